// The mean of differences, with a standard error that does not take those of one round for independent.
//
// A round is all differences that are given with the same key, one after the other: tasks whose outcomes became known
// together. With S_r the sum and n_r the number of those of round r, and m the mean of all n, the variance of m is
//
//     R / (R - 1)  sum_r (S_r - n_r m)^2 / n^2,
//
// the cluster-robust one of K.-Y. Liang and S. L. Zeger (Biometrika 73, 1986). Rounds are taken for independent of one
// another. NaN with fewer than two rounds.
//
// Precision: IEEE double sums. Memory: 72 bytes. O(1); nothing allocates.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "fairlead/types.hpp"

namespace fairlead {

class Paired {
 public:
  void add(double difference, Time round) noexcept {
    if (n_ == 0 || round != round_) close();
    round_ = round;
    ++n_;
    sum_ += difference;
    round_sum_ += difference;
    round_n_ += 1.0;
  }

  std::uint64_t size() const noexcept { return n_; }
  std::uint64_t rounds() const noexcept { return rounds_ + (round_n_ > 0.0 ? 1 : 0); }
  double mean() const noexcept { return n_ > 0 ? sum_ / static_cast<double>(n_) : nan; }
  double standard_error() const noexcept {
    if (rounds() < 2) return nan;
    const double m = mean(), r = static_cast<double>(rounds());
    const double squares = squares_ + round_sum_ * round_sum_;
    const double cross = cross_ + round_sum_ * round_n_;
    const double sizes = sizes_ + round_n_ * round_n_;
    const double spread = std::max(squares - 2.0 * m * cross + m * m * sizes, 0.0);
    return std::sqrt(spread * r / (r - 1.0)) / static_cast<double>(n_);
  }

 private:
  void close() noexcept {
    if (round_n_ <= 0.0) return;
    squares_ += round_sum_ * round_sum_;
    cross_ += round_sum_ * round_n_;
    sizes_ += round_n_ * round_n_;
    ++rounds_;
    round_sum_ = round_n_ = 0.0;
  }

  std::uint64_t n_ = 0, rounds_ = 0;  // rounds_: closed ones
  Time round_ = 0;
  double sum_ = 0.0, round_sum_ = 0.0, round_n_ = 0.0;
  double squares_ = 0.0, cross_ = 0.0, sizes_ = 0.0;  // of closed rounds: of S^2, S n, n^2
};

}  // namespace fairlead
