// Elo over the same pairs with eight sets of parameters (or eight fleets) at once, one in each lane.
//
// Every level gives the same bits: all use the same operations, fused multiply-adds included, and where AVX-512 takes a
// reciprocal instead of dividing, its last step makes it the correctly rounded one (P. Markstein, 1990).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

static constexpr std::size_t sweep_lanes = 8;

struct SweepBlock {
  // n matches; score is a row of eight numbers a match, or one for all eight. weight may be null.
  const std::int32_t* i;
  const std::int32_t* j;
  const double* score;
  std::size_t score_stride;  // doubles from one match to the next
  bool score_each;           // a number for each lane
  const double* weight;
  std::size_t n;
  // One for each lane.
  double k[sweep_lanes];
  double exponent[sweep_lanes];  // doublings of the odds a point
  double home[sweep_lanes];      // doublings of the odds for playing first
  // States: eight ratings a player, 64-byte aligned.
  double* ratings;
  // What was scored: sums over matches. The log-loss, in bits, is log2(product) + doublings - linear.
  double product[sweep_lanes];    // of 1 + odds, in [1, 2)
  double doublings[sweep_lanes];  // powers of two taken out of it
  double linear[sweep_lanes];
  double brier[sweep_lanes];
};

struct SweepKernels {
  Simd level;
  void (*run)(SweepBlock& block);
};

extern const SweepKernels sweep_scalar, sweep_avx2, sweep_avx512;

// 2^x on [-0.5, 0.5]: minimax, 2.1e-16.
static constexpr double sweep_exp2[11] = {1.0,
                                          0.6931471805599497,
                                          0.24022650695908768,
                                          0.05550410866445858,
                                          0.009618129108034524,
                                          0.0013333558228604493,
                                          0.00015403529961348722,
                                          1.525265808976657e-05,
                                          1.321566267198136e-06,
                                          1.0208543362470542e-07,
                                          7.037314759505711e-09};
static constexpr double sweep_most_doublings = 250.0;  // odds go no further: four factors of a product stay finite
static constexpr double sweep_round = 0x1.8p52;        // adding it rounds to an integer, in the lowest bits

}  // namespace fairlead::kernels
