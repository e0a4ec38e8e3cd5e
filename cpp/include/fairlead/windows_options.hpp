// What a `Windows` is made with: its windows, its statistics and its policies.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fairlead/types.hpp"

namespace fairlead {

// One statistic of one window. Of a pair (x, y), all but cov, corr and beta are of x.
enum class Stat : std::uint8_t {
  count,
  sum,
  mean,
  var,
  std,
  skew,
  kurt,
  min,
  max,
  range,
  argmin,
  argmax,
  min_age,
  max_age,
  first,
  last,
  rate,
  quantile,
  ewm,
  ewm_var,
  ewm_std,
  cov,
  corr,
  beta,
};
inline constexpr std::array<std::string_view, 24> stat_names = {
    "count", "sum",      "mean",   "var",     "std",     "skew",    "kurt",  "min",
    "max",   "range",    "argmin", "argmax",  "min_age", "max_age", "first", "last",
    "rate",  "quantile", "ewm",    "ewm_var", "ewm_std", "cov",     "corr",  "beta"};

struct StatSpec {
  Stat stat = Stat::count;
  double q = 0.5;  // of a quantile, in [0, 1]
  bool operator==(const StatSpec&) const = default;
};

// A number of samples, or a span of time: one of the two is positive.
struct WindowSpec {
  std::int64_t count = 0;
  Time span = 0;
  bool operator==(const WindowSpec&) const = default;
};

// Which ends belong to a window of `span` at time `now`, as in pandas. A count window of n holds the newest n samples
// when `right`, the n before the newest when `left`, both together when `both`, and the n - 1 before the newest when
// `neither`.
enum class Closed : std::uint8_t {
  right,    // now - span <  t <= now
  left,     // now - span <= t <  now
  both,     // now - span <= t <= now
  neither,  // now - span <  t <  now
};

// What to do with a sample that is NaN or infinite.
enum class OnNan : std::uint8_t {
  raise,      // refuse it
  skip,       // time moves on, as if there had been no sample
  propagate,  // it takes its place, and all statistics but count and rate of a window that holds it are NaN
};

// What to do with a sample older than the newest time of its key.
enum class OnLate : std::uint8_t {
  raise,   // refuse it
  drop,    // count it as late, and that is all
  clamp,   // count it at the newest time
  insert,  // put it where it belongs; one older than `lateness` is dropped
};

// What to do when a key would hold more than `max_samples`.
enum class OnFull : std::uint8_t { raise, drop };  // refuse the sample | let the oldest leave all windows early

struct WindowsOptions {
  std::vector<WindowSpec> windows;
  std::vector<StatSpec> stats;
  Closed closed = Closed::right;
  std::int64_t min_periods = 1;  // with fewer samples all statistics but count and rate are NaN
  double ddof = 1.0;             // of var, std and cov
  OnNan on_nan = OnNan::raise;
  OnLate on_late = OnLate::raise;
  Time lateness = 0;
  WindowSpec half_life;          // of ewm; neither: that of a window is its own length
  std::int64_t max_samples = 0;  // of a key; 0: as many as the longest window holds
  OnFull on_full = OnFull::raise;
  bool operator==(const WindowsOptions&) const = default;
};

}  // namespace fairlead
