// A sorted reference sample, to compare others with: the two-sample statistics of Kolmogorov and Smirnov (N. Smirnov
// 1939), of Cramer and von Mises (T. W. Anderson 1962), and the Wasserstein distance of order 1 (L. N. Vaserstein
// 1969).
//
// NaN takes no part. The distribution functions are compared after all of a group of equal values, in both statistics;
// the usual formula of the second by mean ranks is far too large where samples of unequal size have ties. Precision:
// the first is a whole number over n m, and exact; the others are IEEE double sums without cancellation. Memory: 8
// bytes a value kept; 2 more a value of the other sample while ks() runs, 16 while all() does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fairlead/types.hpp"

namespace fairlead {

// Ascending order, by the digits of the numbers rather than by comparison. No NaN.
void sort_numbers(std::vector<double>& values);

struct KsResult {
  std::uint64_t scaled = 0;  // largest difference of the distribution functions, times n m
  double statistic = nan;    // NaN where a side holds no number
  double at = nan;           // the smallest value at which it is reached
  std::size_t n = 0, m = 0;  // numbers of the reference, of the other
};

struct Distances {
  KsResult ks;
  double wasserstein = nan;
  double cramer_von_mises = nan;
};

class SortedSample {
 public:
  SortedSample() = default;
  explicit SortedSample(std::span<const double> values);

  std::span<const double> values() const noexcept { return sorted_; }
  std::size_t missing() const noexcept { return missing_; }

  // Counts the other sample in cells of the value axis, then sorts only the cells that may hold the answer.
  KsResult ks(std::span<const double> other) const;

  // Sorts all of the other sample.
  Distances all(std::span<const double> other) const;

 private:
  static constexpr std::size_t cells = 8192;

  void prepare();
  KsResult finish(KsResult found, std::size_t m) const noexcept;

  std::vector<double> sorted_;
  std::size_t missing_ = 0;
  std::vector<std::uint64_t> start_;  // cells + 1 places in sorted_
  double low_ = 0.0, scale_ = 0.0;
};

}  // namespace fairlead
