// The state of a `Windows` as bytes. What follows from the ring is worked out anew; the sums, which depend on the order
// in which samples came and went, are written as they are.
#include <algorithm>
#include <utility>

#include "fairlead/snapshot.hpp"
#include "fairlead/windows.hpp"

namespace fairlead {

namespace {

constexpr std::uint32_t version = 1;

// One list of fields for writing and for reading: `io` is a writer or a reader, with an operator() for numbers.
template <class Io, class Sums>
void fields(Io& io, Sums& s) {
  io(s.pivot), io(s.d.sum), io(s.d.rest), io(s.dd.sum), io(s.dd.rest), io(s.top), io(s.shift), io(s.m2);
}
template <class Io, class Key>
void state(Io& io, Key& k) {
  io(k.samples), io(k.late), io(k.dropped), io(k.skipped);
  for (auto& window : k.windows) fields(io, window.sums);
  for (auto& h : k.high) {
    io(h.ddd.sum), io(h.ddd.rest), io(h.dddd.sum), io(h.dddd.rest), io(h.top), io(h.m3), io(h.m4);
  }
  for (auto& j : k.joint) {
    fields(io, j.y);
    io(j.both.sum), io(j.both.rest), io(j.c);
  }
  for (auto& e : k.ewm) io(e.weight), io(e.weight2), io(e.mean), io(e.m2), io(e.time), io(e.n);
}

template <class Io, class Options>
void scalars(Io& io, Options& o) {
  io(o.closed), io(o.min_periods), io(o.ddof), io(o.on_nan), io(o.on_late), io(o.lateness);
  io(o.half_life.count), io(o.half_life.span), io(o.max_samples), io(o.on_full);
}

}  // namespace

std::string Windows::snapshot() const {
  SnapshotWriter writer("windows", version);
  const auto put = [&writer](const auto& value) { writer.put(value); };
  const WindowsOptions& o = options();
  put(o.windows.size());
  for (const WindowSpec& spec : o.windows) put(spec.count), put(spec.span);
  put(o.stats.size());
  for (const StatSpec& spec : o.stats) put(spec.stat), put(spec.q);
  scalars(put, o);
  writer.put(names_);
  std::vector<Time> times;
  std::vector<double> xs, ys;
  for (const Key& k : keys_) {
    put(static_cast<std::uint8_t>(k.started));
    put(k.now);
    times.clear(), xs.clear(), ys.clear();
    for (std::uint64_t i = k.oldest(); i != k.end; ++i) {
      times.push_back(k.times[k.slot(i)]);
      xs.push_back(k.xs[k.slot(i)]);
      if (pairs()) ys.push_back(k.ys[k.slot(i)]);
    }
    writer.put(times);
    writer.put(xs);
    writer.put(ys);
    state(put, k);
  }
  return writer.finish();
}

Status Windows::restore(std::string_view bytes, Windows& into) {
  SnapshotReader reader(bytes, "windows", version);
  const auto get = [&reader](auto& value) { reader.get(value); };
  WindowsOptions o;
  std::size_t n = 0;
  get(n);
  for (std::size_t i = 0; reader.ok() && i < n; ++i) {
    WindowSpec spec;
    get(spec.count), get(spec.span);
    o.windows.push_back(spec);
  }
  n = 0;
  get(n);
  for (std::size_t i = 0; reader.ok() && i < n; ++i) {
    StatSpec spec;
    get(spec.stat), get(spec.q);
    o.stats.push_back(spec);
  }
  scalars(get, o);
  reader.require(check(o) == Status::ok);
  if (!reader.ok()) return Status::bad_snapshot;
  Windows read(std::move(o));
  reader.get(read.names_);
  for (std::int32_t h = 0; reader.ok() && h < read.names_.size(); ++h) {
    Key& k = read.keys_.emplace_back(read.plan_);
    std::vector<Time> times;
    std::vector<double> xs, ys;
    std::uint8_t started = 0;
    get(started);
    k.started = started != 0;
    get(k.now);
    reader.get(times);
    reader.get(xs);
    reader.get(ys);
    reader.require(xs.size() == times.size() && ys.size() == (read.pairs() ? times.size() : 0));
    reader.require(std::is_sorted(times.begin(), times.end()));
    reader.require(times.empty() || (k.started && times.back() <= k.now));
    for (std::size_t i = 0; reader.ok() && i < times.size(); ++i) {
      reader.require(std::isfinite(xs[i]) ? ys.empty() || std::isfinite(ys[i]) : xs[i] != xs[i]);
      if (k.end == k.xs.size()) k.grow(read.plan_);
      k.times[k.slot(k.end)] = times[i];
      k.xs[k.slot(k.end)] = xs[i];
      if (read.pairs()) k.ys[k.slot(k.end)] = ys[i];
      ++k.end;
    }
    if (!reader.ok()) break;
    for (detail::Sorted& order : k.sorted) order.reserve(times.size() + 1);
    k.rebuild(read.plan_);
    state(get, k);
  }
  const Status status = reader.finish();
  if (status == Status::ok) into = std::move(read);
  return status;
}

}  // namespace fairlead
