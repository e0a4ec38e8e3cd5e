// Pools of many tasks at once. Every level gives the same bits: the same operations in the same order, none of them
// fused.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

// n tasks of m models and c classes: p[(t * m + i) * c + k]. c = 1 where p[t * m + i] is the probability of one event,
// or a number. A model whose entries for a task are NaN is absent from it.
struct PoolTasks {
  const double* p;
  const double* weight;  // of model i in task t: weight[t * weight_row + i]; nullptr: all weigh the same
  std::size_t weight_row;
  std::size_t n, m, c;
  double clip;            // log pools: probabilities are raised to at least this
  const double* factors;  // log pools: of the log-odds, by the number of models present; nullptr: 1
  double trim;            // trimmed pools: the share cut at each end; negative: the median
  bool whole;             // no NaN in p
};

struct PoolSurvey {
  double least, most;  // of what is not NaN
  bool odd;            // NaN or infinity occurs
};

inline constexpr std::size_t pool_sort_max = 64;  // models that `sorted` takes

struct PoolKernels {
  Simd level;
  PoolSurvey (*survey)(const double* x, std::size_t n);
  // Each writes c values a task to `out`; NaN where the weights of those present sum to 0.
  void (*linear)(const PoolTasks& tasks, double* out);
  void (*vote)(const PoolTasks& tasks, double* out);    // of events, c = 1
  void (*log)(const PoolTasks& tasks, double* out);
  void (*sorted)(const PoolTasks& tasks, double* out);  // trimmed means and medians, normalised where c > 1
};

extern const PoolKernels pool_scalar, pool_avx2, pool_avx512;

}  // namespace fairlead::kernels
