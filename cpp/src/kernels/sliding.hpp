// Statistics of sliding windows over a row: one boundary at a time, all windows that contain it.
//
// Every level runs the body in sliding_body.hpp on vectors of eight numbers, with the same operations in the same order
// and no fused multiply-add, so all levels give the same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

// Where each moment goes; nullptr where it is not asked for.
struct SlidingMoments {
  double* sum;
  double* mean;
  double* var;
  double* std;
  double* skew;
  double* kurt;
};

// What is asked of a pair of rows; nullptr where it is not asked for. beta: the slope of y on x.
struct SlidingPair {
  double* cov;
  double* corr;
  double* beta;
};

// Windows [lo[i], hi[i]) of a row, i < n, neither bound ever decreasing. A window of fewer than `least` samples is NaN.
struct SlidingBounds {
  const std::int64_t* lo;
  const std::int64_t* hi;
  std::size_t n;
  double least;
  bool steady;  // hi[i] = hi[0] + i
};

// Each sample keeps the share `keep` of its weight at each step. sum: of weight times (x - pivot).
struct SlidingDecay {
  double keep;
  double pivot;
  double scale;  // out = sum * scale + pivot, or
  bool growing;  // out = sum / weight + pivot
};

struct SlidingDecayed {
  double sum;
  double weight;
};

struct SlidingKernels {
  Simd level;
  // lo[i - from] for i in [from, to): how many times are before times[i] - age, where the first `start` are known to
  // be.
  void (*starts)(const std::int64_t* times, std::size_t from, std::size_t to, std::int64_t age, std::size_t start,
                 std::int64_t* lo);
  // Windows of w samples: out[i] for i in [w - 1, n). A NaN inside makes its windows NaN. space: 5 (w + 32) numbers.
  void (*moments)(const double* x, std::size_t n, std::size_t w, double ddof, const SlidingMoments& out, double* space);
  void (*extreme)(bool max, const double* x, std::size_t n, std::size_t w, double* out, double* space);
  void (*pair)(const double* x, const double* y, std::size_t n, std::size_t w, double ddof, const SlidingPair& out,
               double* space);
  // Windows of any lengths over a row of n_x numbers without NaN. space: 10 (longest window + 32) numbers.
  void (*moments_of)(const double* x, std::size_t n_x, const SlidingBounds& bounds, double ddof,
                     const SlidingMoments& out, double* space, std::size_t room);
  void (*extreme_of)(bool max, const double* x, std::size_t n_x, const SlidingBounds& bounds, double* out,
                     double* space, std::size_t room);
  void (*pair_of)(const double* x, const double* y, std::size_t n_x, const SlidingBounds& bounds, double ddof,
                  const SlidingPair& out, double* space, std::size_t room);
  // The exponentially weighted mean, over numbers without NaN; goes on where `state` stands.
  void (*decayed)(const double* x, std::size_t n, const SlidingDecay& decay, SlidingDecayed& state, double* out);
};

extern const SlidingKernels sliding_scalar, sliding_avx2, sliding_avx512;

}  // namespace fairlead::kernels
