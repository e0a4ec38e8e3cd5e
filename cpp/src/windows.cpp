#include "fairlead/windows.hpp"

#include <algorithm>
#include <cmath>
#include <new>

namespace fairlead {

namespace {

bool valid(const WindowSpec& spec) noexcept {
  return spec.count >= 0 && spec.span >= 0 && (spec.count > 0) != (spec.span > 0) && spec.count < std::int64_t{1} << 30;
}

}  // namespace

Status Windows::check(const WindowsOptions& options) noexcept {
  bool good = !options.windows.empty() && !options.stats.empty();
  for (const WindowSpec& spec : options.windows) good &= valid(spec);
  for (const StatSpec& spec : options.stats) {
    good &= static_cast<std::size_t>(spec.stat) < stat_names.size() && spec.q >= 0.0 && spec.q <= 1.0;
  }
  good &= options.closed <= Closed::neither && options.on_nan <= OnNan::propagate;
  good &= options.on_late <= OnLate::insert && options.on_full <= OnFull::drop;
  good &= options.min_periods >= 0 && options.ddof >= 0.0 && std::isfinite(options.ddof);
  good &= options.lateness >= 0 && options.max_samples >= 0;
  good &= (options.half_life.count == 0 && options.half_life.span == 0) || valid(options.half_life);
  return good ? Status::ok : Status::out_of_range;
}

Windows::Handle Windows::handle(std::string_view name) {
  if (const Handle known = names_.find(name); known != NameTable::absent) return known;
  keys_.emplace_back(plan_);
  try {
    return names_.intern(name);
  } catch (...) {
    keys_.pop_back();
    throw;
  }
}

void Windows::truncate(std::size_t keys) {
  if (keys >= keys_.size()) return;
  NameTable names;
  for (Handle h = 0; static_cast<std::size_t>(h) < keys; ++h) names.intern(names_.name(h));
  names_ = std::move(names);
  keys_.erase(keys_.begin() + static_cast<std::ptrdiff_t>(keys), keys_.end());
}

Windows::Counters Windows::counters(Handle h) const noexcept {
  const Key& k = key(h);
  return {k.samples, k.late, k.dropped, k.skipped, static_cast<std::size_t>(k.end - k.oldest())};
}

const Time* Windows::newest(Handle h) const noexcept { return key(h).started ? &key(h).now : nullptr; }

// --- events --------------------------------------------------------------------------------------------------------

Status Windows::admit(const Time* newest, Time time, double x, double y) const noexcept {
  if (plan_.options.on_nan == OnNan::raise && !(std::isfinite(x) && std::isfinite(y))) return Status::not_finite;
  if (plan_.options.on_late == OnLate::raise && newest != nullptr && time < *newest) return Status::late_event;
  return Status::ok;
}

Status Windows::update(Handle h, Time time, double x, double y) noexcept {
  return has(h) ? update(key(h), time, x, y) : Status::unknown_key;
}

Status Windows::update(Key& k, Time time, double x, double y) noexcept {
  if (!(std::isfinite(x) && std::isfinite(y))) {
    if (plan_.options.on_nan == OnNan::raise) return Status::not_finite;
    x = y = nan;
  }
  const bool number = x == x;
  if (k.started && time < k.now) {
    const bool skip = !number && plan_.options.on_nan == OnNan::skip;
    switch (plan_.options.on_late) {
      case OnLate::raise: return Status::late_event;
      case OnLate::drop:
        ++k.late;
        ++k.dropped;
        return Status::ok;
      case OnLate::insert:
        if (detail::age(k.now, time) > static_cast<std::uint64_t>(plan_.options.lateness)) {
          ++k.late;
          ++k.dropped;
          return Status::ok;
        }
        if (!skip) {
          const Status status = k.insert(plan_, time, x, y);
          k.late += status == Status::ok ? 1 : 0;
          return status;
        }
        [[fallthrough]];
      case OnLate::clamp: break;
    }
    if (skip) {
      ++k.late;
      ++k.skipped;
      return Status::ok;
    }
    if (const Status status = k.make_room(plan_, k.now); status != Status::ok) return status;
    ++k.late;
    k.push(plan_, k.now, x, y);
    return Status::ok;
  }
  if (!number && plan_.options.on_nan == OnNan::skip) {
    ++k.skipped;
    k.advance(plan_, time);
    return Status::ok;
  }
  if (const Status status = k.make_room(plan_, time); status != Status::ok) return status;
  k.push(plan_, time, x, y);
  return Status::ok;
}

Status Windows::update_many(std::span<const Handle> h, std::span<const Time> times, std::span<const double> x,
                            std::span<const double> y, std::size_t& bad, std::span<double> out) {
  const std::size_t n = times.size();
  bad = 0;
  if (h.empty() || (h.size() != 1 && h.size() != n) || x.size() != n || y.size() != (plan_.pairs ? n : 0))
    return Status::wrong_length;
  if (!out.empty() && out.size() != n * cells()) return Status::wrong_length;
  const auto handle_of = [&](std::size_t i) { return h.size() == 1 ? h[0] : h[i]; };
  std::vector<const Time*> newest(keys_.size());
  for (std::size_t k = 0; k < keys_.size(); ++k) newest[k] = keys_[k].started ? &keys_[k].now : nullptr;
  for (std::size_t i = 0; i < h.size(); ++i) {
    if (!has(h[i])) {
      bad = i;
      return Status::unknown_key;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    const Time*& last = newest[static_cast<std::size_t>(handle_of(i))];
    if (const Status status = admit(last, times[i], x[i], plan_.pairs ? y[i] : 0.0); status != Status::ok) {
      bad = i;
      return status;
    }
    if (last == nullptr || times[i] > *last) last = &times[i];
  }
  // Whether a ring overflows is known only on the way: then what has changed is put back.
  std::vector<std::pair<std::size_t, Key>> before;
  if (plan_.options.max_samples > 0 && plan_.options.on_full == OnFull::raise) {
    std::vector<bool> kept(keys_.size());
    for (const Handle one : h) {
      const auto k = static_cast<std::size_t>(one);
      if (!kept[k]) before.emplace_back(k, keys_[k]);
      kept[k] = true;
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    Key& k = key(handle_of(i));
    const Status status = update(k, times[i], x[i], plan_.pairs ? y[i] : 0.0);
    if (status == Status::ok) {
      if (!out.empty()) k.read(plan_, out.data() + i * cells());
      continue;
    }
    for (auto& [at, state] : before) keys_[at] = std::move(state);
    bad = i;
    return status;
  }
  return Status::ok;
}

Status Windows::advance(Handle h, Time time) noexcept {
  if (!has(h)) return Status::unknown_key;
  key(h).advance(plan_, time);
  return Status::ok;
}

Status Windows::read(Handle h, std::span<double> out) const noexcept {
  if (!has(h)) return Status::unknown_key;
  if (out.size() != cells()) return Status::wrong_length;
  key(h).read(plan_, out.data());
  return Status::ok;
}

// --- what if -------------------------------------------------------------------------------------------------------

Status Windows::peek_by_copy(const Key& k, Time time, double x, double y, std::span<double> out) noexcept {
  try {
    Key copy = k;
    const Status status = update(copy, time, x, y);
    if (status == Status::ok) copy.read(plan_, out.data());
    return status;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

// The update is made and taken back: all that it changes is saved, but for the ring, which only gains one slot.
Status Windows::peek(Handle h, Time time, double x, double y, std::span<double> out) noexcept {
  if (!has(h)) return Status::unknown_key;
  if (out.size() != cells()) return Status::wrong_length;
  Key& k = key(h);
  if (const Status status = admit(k.started ? &k.now : nullptr, time, x, y); status != Status::ok) return status;
  const bool plain = plan_.right && (!k.started || time >= k.now) && std::isfinite(x) && std::isfinite(y);
  if (!plain || plan_.options.max_samples > 0) return peek_by_copy(k, time, x, y, out);
  try {
    saved_ = k.windows;
    saved_high_ = k.high;
    saved_joint_ = k.joint;
    saved_ewm_ = k.ewm;
    for (detail::Sorted& order : k.sorted) order.reserve(static_cast<std::size_t>(k.end - k.oldest()) + 1);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  if (const Status status = k.make_room(plan_, time); status != Status::ok) return status;
  const Time now = k.now;
  const bool started = k.started;
  const std::uint64_t end = k.end;
  const auto maxima =
      plan_.extremes ? k.max_chain[0].mark(x, k.xs.data(), k.mask) : detail::Chain<detail::Greater>::Mark{};
  const auto minima =
      plan_.extremes ? k.min_chain[0].mark(x, k.xs.data(), k.mask) : detail::Chain<detail::Less>::Mark{};
  k.push(plan_, time, x, y);
  k.read(plan_, out.data());
  for (std::size_t w = 0; w < k.sorted.size(); ++w) {
    k.sorted[w].erase(x);
    for (std::uint64_t i = saved_[w].low; i != std::min(k.windows[w].low, end); ++i) {
      if (const double old = k.xs[k.slot(i)]; old == old) k.sorted[w].insert(old);
    }
  }
  if (plan_.extremes) {
    k.max_chain[0].undo(maxima);
    k.min_chain[0].undo(minima);
  }
  k.windows.swap(saved_);
  k.high.swap(saved_high_);
  k.joint.swap(saved_joint_);
  k.ewm.swap(saved_ewm_);
  k.end = k.high_end[0] = end;
  k.now = now;
  k.started = started;
  --k.samples;
  return Status::ok;
}

// --- many objects into one -----------------------------------------------------------------------------------------

Status Windows::merge(const Windows& other) {
  if (!(other.plan_.options == plan_.options)) return Status::not_mergeable;
  NameTable names;
  std::vector<Key> merged;
  for (Handle h = 0; h < names_.size(); ++h) {
    names.intern(names_.name(h));
    merged.push_back(key(h));
    const Handle there = other.find(names_.name(h));
    if (there == NameTable::absent || !other.key(there).started) continue;
    const Key& theirs = other.key(there);
    Key& ours = merged.back();
    if (!ours.started) {
      ours = theirs;
      continue;
    }
    Status status = Status::not_mergeable;
    if (theirs.first_time() >= ours.now) {
      status = ours.append(plan_, theirs);
    } else if (ours.first_time() >= theirs.now) {
      Key earlier = theirs;
      status = earlier.append(plan_, ours);
      ours = std::move(earlier);
    }
    if (status != Status::ok) return status;
  }
  for (Handle h = 0; h < other.names_.size(); ++h) {
    if (names.find(other.names_.name(h)) != NameTable::absent) continue;
    names.intern(other.names_.name(h));
    merged.push_back(other.key(h));
  }
  names_ = std::move(names);
  keys_ = std::move(merged);
  return Status::ok;
}

}  // namespace fairlead
