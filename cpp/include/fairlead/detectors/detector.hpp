// What all drift detectors share: checked events, the states "drift" and "warning", counters, batches, snapshots.
//
// A detector is made from options without a fault(): it corrects none but those that could harm memory.
// After a drift the next event starts anew; until then the statistics show what fired. Adwin and Kswin keep the part of
// their window that is newer than the drift. Detectors cannot be merged: what they say hangs on the order of events.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

// Which changes of the mean count.
enum class Direction : std::uint8_t { up, down, both };

constexpr bool sees_up(Direction mode) noexcept { return mode != Direction::down; }
constexpr bool sees_down(Direction mode) noexcept { return mode != Direction::up; }

// An option that cannot be honoured, its value, and what it must be; where another option bounds it, that one too.
struct OptionFault {
  const char* option;
  double value;
  const char* must;
  const char* bound = nullptr;
  double bound_value = 0.0;
};

// `Self` has: name; accepts(x), whether an event is valid; step(x), which sets drift_ and warning_; restart() after a
// drift; reset_state(); options_ and fault(options); fields(self, visit), the options and the state in the order in
// which they are saved, and save_more and load_more for what is no plain number.
template <class Self>
class Detector {
 public:
  // What a detector of a stream of numbers takes; beyond it squares would overflow.
  static constexpr double largest = 1e100;

  bool drift() const noexcept { return drift_; }      // the last event completed a drift
  bool warning() const noexcept { return warning_; }  // it may be coming; never together with drift
  std::uint64_t n() const noexcept { return n_; }     // events since the start, or the last reset
  std::uint64_t drifts() const noexcept { return drifts_; }

  // An event that is refused has changed nothing.
  Status update(double x) noexcept {
    if (!Self::accepts(x)) return refusal(x);
    take(x);
    return Status::ok;
  }

  // As many calls of update, but all or none count: every event is checked first, `bad` being the first that is
  // refused, and where memory for the answers runs out nothing has happened. Appends the positions of drifts, and of
  // events in the warning state.
  Status update_many(std::span<const double> x, std::vector<std::int64_t>& drifts, std::vector<std::int64_t>& warnings,
                     std::size_t& bad) {
    bool fine = true;
    for (const double value : x) fine &= Self::accepts(value);
    if (!fine) {
      bad = 0;
      while (Self::accepts(x[bad])) ++bad;
      return refusal(x[bad]);
    }
    const std::size_t n_drifts = drifts.size(), n_warnings = warnings.size();
    try {
      Self after = self();  // thrown away where memory runs out
      for (std::size_t from = 0; from < x.size(); from += block_size) {
        after.take_block(x.subspan(from, std::min(block_size, x.size() - from)), static_cast<std::int64_t>(from),
                         drifts, warnings);
      }
      self() = std::move(after);
      return Status::ok;
    } catch (const std::bad_alloc&) {
      drifts.resize(n_drifts);
      warnings.resize(n_warnings);
      return Status::out_of_memory;
    }
  }

  // As if no event had ever come.
  void reset() noexcept {
    n_ = drifts_ = 0;
    drift_ = warning_ = false;
    self().reset_state();
  }

  std::string snapshot() const {
    SnapshotWriter writer(Self::name, version);
    writer.put(n_);
    writer.put(drifts_);
    writer.put(static_cast<std::uint8_t>((drift_ ? 1 : 0) | (warning_ ? 2 : 0)));
    Self::fields(self(), [&](const auto&... field) { (writer.put(field), ...); });
    self().save_more(writer);
    return writer.finish();
  }

  static Status restore(std::string_view bytes, Self& out) {
    SnapshotReader reader(bytes, Self::name, version);
    Self read;
    std::uint8_t flags = 0;
    reader.get(read.n_);
    reader.get(read.drifts_);
    reader.get(flags);
    Self::fields(read, [&](auto&... field) { (reader.get(field), ...); });
    reader.require(flags <= 2 && !Self::fault(read.options_));
    read.load_more(reader);
    const Status status = reader.finish();
    if (status != Status::ok) return status;
    read.drift_ = (flags & 1) != 0;
    read.warning_ = (flags & 2) != 0;
    out = std::move(read);
    return Status::ok;
  }

 protected:
  // What an event may be. Free of branches, so that the check of a batch costs next to nothing.
  static bool is_number(double x) noexcept { return std::abs(x) <= largest; }  // false for NaN
  static bool is_share(double x) noexcept { return static_cast<int>(x >= 0.0) & static_cast<int>(x <= 1.0); }
  static bool is_error(double x) noexcept { return static_cast<int>(x == 0.0) | static_cast<int>(x == 1.0); }

  void save_more(SnapshotWriter&) const noexcept {}
  void load_more(SnapshotReader&) noexcept {}

  bool drift_ = false, warning_ = false;
  std::uint64_t n_ = 0, drifts_ = 0;

 private:
  static constexpr std::uint32_t version = 1;
  static constexpr std::size_t block_size = 256;

  Self& self() noexcept { return static_cast<Self&>(*this); }
  const Self& self() const noexcept { return static_cast<const Self&>(*this); }

  static Status refusal(double x) noexcept { return std::isfinite(x) ? Status::out_of_range : Status::not_finite; }

  void take_block(std::span<const double> x, std::int64_t from, std::vector<std::int64_t>& drifts,
                  std::vector<std::int64_t>& warnings) {
    std::array<std::uint8_t, block_size> states;
    if constexpr (std::is_trivially_copyable_v<Self>) {
      Self local = self();  // a copy that nothing else can see lives in registers
      local.take_all(x, states);
      self() = local;
    } else {
      take_all(x, states);
    }
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (states[i] == 1) drifts.push_back(from + static_cast<std::int64_t>(i));
      if (states[i] == 2) warnings.push_back(from + static_cast<std::int64_t>(i));
    }
  }

  // Writes drift (1) and warning (2) of each event.
  void take_all(std::span<const double> x, std::span<std::uint8_t> states) noexcept {
    for (std::size_t i = 0; i < x.size(); ++i) {
      take(x[i]);
      states[i] = static_cast<std::uint8_t>((drift_ ? 1 : 0) | (warning_ ? 2 : 0));
    }
  }

  void take(double x) noexcept {
    if (drift_) {
      drift_ = false;
      self().restart();
    }
    ++n_;
    self().step(x);
    if (drift_) {
      warning_ = false;
      ++drifts_;
    }
  }
};

// A copy of `given`, or `otherwise` where it is NaN: the option was left open.
inline double given_or(double given, double otherwise) noexcept { return std::isnan(given) ? otherwise : given; }

}  // namespace fairlead
