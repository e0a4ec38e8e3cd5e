// The state of one key of a `Windows`: a ring of samples, and for each window what is known of its part of the ring.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"
#include "fairlead/windows_extremes.hpp"
#include "fairlead/windows_options.hpp"
#include "fairlead/windows_sorted.hpp"
#include "fairlead/windows_sums.hpp"

namespace fairlead::detail {

inline bool number(double x) noexcept { return x == x; }

inline std::uint64_t age(Time now, Time then) noexcept {  // unsigned: cannot overflow, as `then` is never after `now`
  return static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(then);
}

// What `read_common` knows, in its order.
inline constexpr Stat common_stats[] = {Stat::count, Stat::sum, Stat::mean, Stat::var,
                                        Stat::std,   Stat::min, Stat::max,  Stat::range};

// What the options ask for, worked out once.
struct WindowsPlan {
  explicit WindowsPlan(WindowsOptions given);

  struct Window {
    std::uint64_t limit = 0;  // of a time window: a sample of this age is too old
    std::uint64_t keep = 0;   // of a count window
    std::size_t group = 0;    // windows of a group hold the samples up to the same one
    double seconds = 0.0;     // of a time window
    double decay = 0.0;       // of ewm by count: a sample
    double halvings = 0.0;    // of ewm by time: a nanosecond
  };

  WindowsOptions options;
  std::vector<Window> windows;
  std::size_t groups = 1;
  bool sums = false, high = false, joint = false, extremes = false, sorted = false, ewm = false, pairs = false;
  bool common = false;                // `read_common` knows all statistics
  std::vector<std::uint8_t> columns;  // which of its
  bool root = false;                  // std among them
  bool right = true;                  // a window ends with the newest sample
  bool plain = false;                 // and wants no more than sums and extremes
};

struct WindowsKey {
  struct Window {
    std::uint64_t low = 0;  // position of the oldest sample
    std::int64_t n = 0;     // samples that are numbers
    std::int64_t bad = 0;   // and that are not
    Sums sums;
    std::uint64_t max = 0, min = 0;  // indices into the chains
  };

  explicit WindowsKey(const WindowsPlan& plan);

  std::size_t slot(std::uint64_t position) const noexcept { return position & mask; }
  std::uint64_t oldest() const noexcept;  // position of the oldest sample that is in any window, or will be
  std::span<const double> part(const std::vector<double>& ring, std::uint64_t low, std::uint64_t high,
                               bool second) const noexcept;

  // Room for one more sample at `time`; what fails has changed nothing but the capacity.
  Status make_room(const WindowsPlan& plan, Time time) noexcept {
    const bool simple = end - front < xs.size() && plan.options.max_samples == 0 && !plan.sorted;
    return simple ? Status::ok : find_room(plan, time);
  }
  // Twice the ring, or the first one. May throw std::bad_alloc, and has changed nothing but capacities then.
  void grow(const WindowsPlan& plan);
  // A sample at the end, and the time it brings. Needs room. Not a number: x is NaN.
  void push(const WindowsPlan& plan, Time time, double x, double y) noexcept;
  void advance(const WindowsPlan& plan, Time time) noexcept;
  // A sample before the end, in its place by time.
  Status insert(const WindowsPlan& plan, Time time, double x, double y) noexcept;
  void read(const WindowsPlan& plan, double* out) const noexcept;
  // All but the ring, the counters and ewm, from the ring.
  void rebuild(const WindowsPlan& plan) noexcept;
  // The samples of `later` after these. May throw std::bad_alloc.
  Status append(const WindowsPlan& plan, const WindowsKey& later);
  Time first_time() const noexcept { return oldest() == end ? now : times[slot(oldest())]; }

  // The ring: positions only grow, `front` to `end` are there; its size is a power of two.
  std::vector<Time> times;
  std::vector<double> xs, ys;
  std::size_t mask = 0;
  std::uint64_t front = 0, end = 0;
  std::uint64_t floor = 0;             // what is before it has left all windows, in them by time or not
  std::uint64_t high_end[2] = {0, 0};  // where the windows of a group end
  Time now = 0;
  bool started = false;

  std::vector<Window> windows;
  std::vector<High> high;
  std::vector<Joint> joint;
  std::vector<Ewm> ewm;
  std::vector<Sorted> sorted;
  Chain<Greater> max_chain[2];
  Chain<Less> min_chain[2];

  std::uint64_t samples = 0, late = 0, dropped = 0, skipped = 0;

  // --- parts of the above
  Status find_room(const WindowsPlan& plan, Time time) noexcept;
  void read_common(const WindowsPlan& plan, double* out) const noexcept;
  void step(const WindowsPlan& plan) noexcept;
  void step_window(const WindowsPlan& plan, std::size_t w, std::uint64_t high_now) noexcept;
  void step_chains(const WindowsPlan& plan, std::size_t group, std::uint64_t high_now) noexcept;
  void enter(const WindowsPlan& plan, std::size_t w, std::uint64_t position) noexcept;
  void leave(const WindowsPlan& plan, std::size_t w, std::uint64_t low) noexcept;
  void settle(const WindowsPlan& plan, std::size_t w, std::uint64_t high_now) noexcept;
  void weigh(const WindowsPlan& plan, std::size_t w, std::uint64_t position) noexcept;
  void resum(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now) noexcept;
  void recount(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now) noexcept;
  std::uint64_t low_of(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now,
                       Time time) const noexcept;
  std::uint64_t group_end(const WindowsPlan& plan, std::size_t group) const noexcept;
};

}  // namespace fairlead::detail
