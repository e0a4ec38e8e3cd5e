// How far the pooled answer is to be pushed from, or toward, the uniform one: what `stacked` learns.
//
// With l the logarithms of a pooled answer, the answer becomes softmax((1 + t) l), of two classes with a shift b of the
// log-odds: t > 0 extremizes (R. Ranjan, T. Gneiting, "Combining Probability Forecasts", JRSS B 72, 2010). Each of the
// two is one Newton step of the Brier score from no change, shrunk by the evidence against it: with G and H the decayed
// sums of first and second derivatives, and V the decayed sum of squared derivatives per round,
//
//     t = -1/2 f G / (H + 10),  b = -f G / (H + 10),  f = max(0, 1 - 4 V / G^2),  both within 2 of 0:
//
// the shrinkage of W. James, C. Stein (1961) with the variance of rounds, which is 0 within two standard errors. So it is
// no change at all until it is proven. Learned overall, as narrow slices prove little.
//
// Precision: IEEE double. Memory: 96 bytes. O(classes); nothing allocates.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

class Recalibration {
 public:
  static constexpr double keep = 0.9965402628278678;  // 2^(-1/200): half-life 200 tasks
  static constexpr double prior = 10.0;
  static constexpr double most = 2.0;

  double factor() const noexcept { return 1.0 + step(state_[0], 0.5); }
  double shift() const noexcept { return step(state_[1], 1.0); }  // of the log-odds of a binary answer

  // What happened after the pooled answer p of two classes or more, whose logarithms lie in log_p, raised to a floor.
  void update(std::span<const double> p, std::span<const double> log_p, std::size_t outcome, bool binary, Time time) noexcept;

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  struct Parameter {
    double gradient = 0.0, curvature = 0.0, variance = 0.0, round = 0.0;
  };

  static double step(const Parameter& x, double rate) noexcept {
    const double v = x.variance + x.round * x.round;
    const double square = x.gradient * x.gradient;
    if (!(square > 4.0 * v)) return 0.0;
    return std::clamp(-rate * (1.0 - 4.0 * v / square) * x.gradient / (x.curvature + prior), -most, most);
  }

  bool started_ = false;
  Time round_time_ = 0;
  std::array<Parameter, 2> state_ = {};  // t, b
};

}  // namespace fairlead
