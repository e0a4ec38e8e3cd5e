// Statistics of every sliding window of an array at once: the batch side of rolling.hpp.
//
// Sources: boundaries and scans after M. van Herk (1992) and J. Gil, M. Werman (1993), for sums as well as extremes;
// the median by ranks (J. Suomela, "Median filtering is equivalent to sorting", 2014) with a bit set instead of a list.
// Precision: IEEE double. A window is the sum of two parts, with nothing subtracted; or, for variances and correlations
// and within one block of at most two windows, of differences, where each window of the block has 2^-7 of its squares.
// Powers are summed about a sample that is in the window, so the relative error of a variance is below about
// n (1 + n) 2^-53 for any data and some 2^-50 for ordinary data, a constant window has variance exactly 0, none is
// negative, and what has left a window, NaN and infinity included, leaves no trace. Differences within a window, and in
// moments their powers, must neither overflow nor underflow. All instruction sets give the same bits.
// Memory: a workspace of a few windows, or of a few rows where windows differ in length; it is kept between calls.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

enum class SlidingStat : std::uint8_t {
  count, rate, sum, mean, var, std, skew, kurt, min, max, argmin, argmax, quantile, rank, cov, corr, beta
};

// Which ends of a window belong to it. A sample counts by its place on the right: the window of sample i holds no later
// one, even of the same time, and an open right end leaves out all samples of the same time.
enum class Closed : std::uint8_t { right, left, both, neither };

struct SlidingOptions {
  std::size_t count = 0;       // the window in samples, or
  Time span = 0;               // in time
  Closed closed = Closed::right;
  std::size_t min_periods = 1; // fewer numbers in a window: its statistics are NaN
  bool propagate = false;      // a NaN in a window makes it NaN; else it is left out
  double ddof = 1.0;           // var, std and cov divide by n - ddof
  double q = 0.5;              // which quantile; between samples it is interpolated linearly
};

// Where one statistic of a row goes: as many numbers as the row has; argmin and argmax into `place`, -1 where there is
// none.
struct SlidingTarget {
  SlidingStat stat = SlidingStat::mean;
  double* number = nullptr;
  std::int64_t* place = nullptr;
};

class SlidingOrder;

class Sliding {
 public:
  Sliding();
  ~Sliding();

  // One row. y: empty unless cov, corr or beta is asked for; then only places where both are numbers count. times: as
  // long as x and never decreasing (checked by the caller), for windows by time. No target may overlap x, y or times.
  // Errors: out_of_range for a window, ddof or q that is none, out_of_memory.
  Status row(std::span<const double> x, std::span<const double> y, std::span<const Time> times,
             const SlidingOptions& options, std::span<const SlidingTarget> targets) noexcept;

 private:
  struct Row;
  struct Windows;
  enum class Sick : char { no, some, newest };  // which samples of a window are NaN
  struct Best {
    double value;
    std::int64_t place;
  };

  void run(Row& row);
  void fixed(Row& row, std::size_t window);
  void bounded(Row& row, std::size_t n, Windows windows);
  void stretch(Row& row, std::size_t n, std::size_t longest, bool steady);
  void leave_out_nans(Row& row);
  void count_numbers(std::size_t n);
  double* space(std::size_t numbers);
  template <bool max>
  void place_extremes(const Row& row, std::size_t n, std::int64_t* out);

  // A vector whose new elements hold garbage, as all are written before they are read.
  template <class T>
  struct Buffer {
    void resize(std::size_t n) {
      if (n > size) at = std::make_unique_for_overwrite<T[]>(n), size = n;
    }
    T& operator[](std::size_t i) noexcept { return at[i]; }
    const T& operator[](std::size_t i) const noexcept { return at[i]; }
    T* data() noexcept { return at.get(); }
    std::unique_ptr<T[]> at;
    std::size_t size = 0;
  };

  Buffer<double> space_, x_, y_;
  Buffer<std::int64_t> lo_, hi_, place_, numbers_before_;
  Buffer<Best> best_;
  Buffer<Sick> sick_;
  std::unique_ptr<SlidingOrder> order_;
};

// How an exponentially weighted statistic forgets.
struct DecayOptions {
  double alpha = 0.0;          // share of the newest sample, in (0, 1]; or
  double half_life = 0.0;      // by time: nanoseconds in which a weight halves
  bool adjust = true;          // divide by the sum of weights; else the first sample starts the recursion
  bool ignore_nan = false;     // a NaN does not age the others
  bool bias = false;           // variance without the correction for the weights
  std::size_t min_periods = 1;
};

enum class DecayStat : std::uint8_t { mean, var, std };

// One row. out may not overlap x. Where x is NaN the last value stands, as in pandas. An infinity stays for good.
Status decayed_row(std::span<const double> x, std::span<const Time> times, const DecayOptions& options, DecayStat stat,
                   double* out) noexcept;

}  // namespace fairlead
