#include "fairlead/audits.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::size_t fixed_words = sizeof(AuditFixed) / 8;

// Words of 8 bytes that an entry takes.
std::size_t needed(const AuditFixed& fixed) noexcept {
  const std::size_t doubles = std::size_t{fixed.m} * fixed.classes + 2 * std::size_t{fixed.m} + n_strategies +
                              fixed.n_p + fixed.n_weights;
  const std::size_t bytes = 4 * (std::size_t{fixed.m} + fixed.n_weights) + fixed.n_name;
  return fixed_words + doubles + (bytes + 7) / 8;
}

}  // namespace

void Audits::reserve() {
  if (ring_.empty()) ring_.resize(words_);
}

void Audits::add(const Audit& audit) noexcept {
  AuditFixed fixed = audit.fixed;
  const std::size_t words = needed(fixed);
  if (words > words_ / 4) {
    ++left_out_;
    return;
  }
  while (used_ + words > words_) {
    const std::size_t oldest = ring_[first_] & 0xffffffffu;  // AuditFixed::words
    first_ = wrapped(first_ + oldest);
    used_ -= oldest;
    --n_;
  }
  fixed.words = static_cast<std::uint32_t>(words);
  std::size_t at = newest_ = wrapped(first_ + used_);
  std::uint64_t word = 0;
  std::size_t filled = 0;
  const auto put = [&](const void* from, std::size_t bytes) {
    for (const auto* next = static_cast<const char*>(from); bytes > 0;) {
      const std::size_t taken = std::min(bytes, 8 - filled);
      std::memcpy(reinterpret_cast<char*>(&word) + filled, next, taken);
      next += taken;
      bytes -= taken;
      if ((filled += taken) < 8) return;
      ring_[at] = word;
      at = wrapped(at + 1);
      word = 0;
      filled = 0;
    }
  };
  put(&fixed, sizeof(fixed));
  for (const auto values : {audit.answers, audit.costs, audit.losses, audit.strategies, audit.p, audit.weights}) {
    put(values.data(), values.size_bytes());
  }
  for (const auto models : {audit.models, audit.weighted}) put(models.data(), models.size_bytes());
  put(audit.name.data(), audit.name.size());
  if (filled > 0) ring_[at] = word;
  used_ += words;
  ++n_;
  ++added_;
}

std::size_t Audits::copy(std::size_t at, std::vector<std::uint64_t>& out) const {
  const std::size_t words = ring_[at] & 0xffffffffu;
  out.resize(words);
  for (std::uint64_t& word : out) {
    word = ring_[at];
    at = wrapped(at + 1);
  }
  return at;
}

Audit Audits::view(std::span<const std::uint64_t> entry) noexcept {
  Audit out;
  std::memcpy(static_cast<void*>(&out.fixed), entry.data(), sizeof(AuditFixed));
  const AuditFixed& fixed = out.fixed;
  const auto* from = reinterpret_cast<const std::byte*>(entry.data() + fixed_words);
  const auto take = [&](auto& values, std::size_t n) {
    values = {reinterpret_cast<decltype(values.data())>(from), n};
    from += values.size_bytes();
  };
  take(out.answers, std::size_t{fixed.m} * fixed.classes);
  for (auto* values : {&out.costs, &out.losses}) take(*values, fixed.m);
  take(out.strategies, n_strategies);
  take(out.p, fixed.n_p);
  take(out.weights, fixed.n_weights);
  take(out.models, fixed.m);
  take(out.weighted, fixed.n_weights);
  out.name = {reinterpret_cast<const char*>(from), fixed.n_name};
  return out;
}

// The entries one after the other, wherever in the ring they begin.
void Audits::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint64_t>(words_));
  out.put(left_out_);
  out.put(static_cast<std::uint64_t>(n_));
  const std::size_t older = std::min(used_, ring_.size() - first_);
  out.put(static_cast<std::uint64_t>(used_));
  out.put_raw(std::span<const std::uint64_t>(ring_).subspan(first_, older));
  out.put_raw(std::span<const std::uint64_t>(ring_).first(used_ - older));
}

void Audits::load(SnapshotReader& in, std::size_t models) {
  std::uint64_t words = 0, n = 0, left_out = 0;
  std::vector<std::uint64_t> entries;
  in.get(words);
  in.get(left_out);
  in.get(n);
  in.get(entries);
  in.require(words == words_ && entries.size() <= words_);
  if (!in.ok()) return;
  Audits read(8 * words_);
  read.left_out_ = left_out;
  if (!entries.empty()) read.ring_.resize(words_);
  std::size_t at = 0;
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    AuditFixed fixed;
    in.require(entries.size() - at >= fixed_words);
    if (!in.ok()) return;
    std::memcpy(static_cast<void*>(&fixed), entries.data() + at, sizeof(fixed));
    in.require(fixed.words == needed(fixed) && fixed.words <= entries.size() - at && fixed.words <= words_ / 4 &&
               static_cast<std::uint8_t>(fixed.kind) <= 2 &&
               (static_cast<std::size_t>(fixed.strategy) < n_strategies || fixed.strategy == Strategy::given) &&
               (static_cast<std::size_t>(fixed.chosen) < n_strategies || fixed.chosen == Strategy::given));
    if (!in.ok()) return;
    const Audit entry = view(std::span(entries).subspan(at, fixed.words));
    for (const auto ids : {entry.models, entry.weighted}) {
      in.require(std::ranges::all_of(ids, [&](ModelId id) { return id >= 0 && static_cast<std::size_t>(id) < models; }));
    }
    at += fixed.words;
  }
  in.require(at == entries.size());
  if (!in.ok()) return;
  std::ranges::copy(entries, read.ring_.begin());
  read.used_ = at;
  read.n_ = static_cast<std::size_t>(n);
  *this = std::move(read);
}

}  // namespace fairlead
