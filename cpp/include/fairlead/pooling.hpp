// Opinion pools: many forecasts into one. Forecasts lie row by row, `m` models x `c` classes; weights sum to 1.
// C. Genest, J. V. Zidek, "Combining Probability Distributions" (Statistical Science 1, 1986).
//
// `pool` does many tasks at once, by kernels for the widest instruction set, and takes absent models; the functions
// above it do one task and are what a Scoreboard uses.
//
// Precision: IEEE double; `pool` gives the same bits on every machine. The log pool raises probabilities to at least
// `log_floor`, so that one model's zero cannot veto all others for ever. The functions for one task allocate nothing;
// `scratch` of the median holds m values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>

namespace fairlead::pooling {

inline constexpr double log_floor = 1e-3;

// out[k] = sum_i w_i p_ik.
inline void linear(const double* p, const double* weight, std::size_t m, std::size_t c, double* out) noexcept {
  std::fill(out, out + c, 0.0);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t k = 0; k < c; ++k) out[k] += weight[i] * p[i * c + k];
  }
}

inline void normalise(double* p, std::size_t c) noexcept {
  double sum = 0.0;
  for (std::size_t k = 0; k < c; ++k) sum += p[k];
  if (sum > 0.0) {
    for (std::size_t k = 0; k < c; ++k) p[k] /= sum;
  } else {
    std::fill(p, p + c, 1.0 / static_cast<double>(c));
  }
}

// out[k] proportional to prod_i p_ik^w_i: the normalised geometric mean.
inline void log(const double* p, const double* weight, std::size_t m, std::size_t c, double* out) noexcept {
  std::fill(out, out + c, 0.0);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t k = 0; k < c; ++k) out[k] += weight[i] * std::log(std::max(p[i * c + k], log_floor));
  }
  const double top = *std::max_element(out, out + c);
  for (std::size_t k = 0; k < c; ++k) out[k] = std::exp(out[k] - top);
  normalise(out, c);
}

// The median of `n` values, the mean of the middle two when n is even. Reorders `values`.
inline double median(double* values, std::size_t n) noexcept {
  double* const middle = values + n / 2;
  std::nth_element(values, middle, values + n);
  if (n % 2 == 1) return *middle;
  return std::midpoint(*std::max_element(values, middle), *middle);
}

// out[k] = median_i p_ik, normalised to sum 1 when there are two classes or more.
inline void median(const double* p, std::size_t m, std::size_t c, double* out, double* scratch) noexcept {
  for (std::size_t k = 0; k < c; ++k) {
    for (std::size_t i = 0; i < m; ++i) scratch[i] = p[i * c + k];
    out[k] = median(scratch, m);
  }
  if (c > 1) normalise(out, c);
}

enum class Method : std::uint8_t {
  linear,   // weighted mean
  log,      // weighted geometric mean, normalised; of an event: the logistic function of the mean log-odds
  trimmed,  // mean of what is left when a share of the smallest and of the largest is cut off
  median,
  vote,        // each model for its most probable class; the result is each class's share of the weight
  extremized,  // log, its log-odds times a factor
  log_odds,  // votes, each worth the log-odds of its model's accuracy: what is most probable if they err independently
};

// How far n forecasters who know different things are to be pushed from the prior: 1 for one of them, sqrt(3) for many.
// E. Neyman, T. Roughgarden, "Are You Smarter Than a Random Expert? The Robust Aggregation of Substitutable Signals"
// (2022).
inline double neyman_roughgarden(double n) noexcept {
  return n * (std::sqrt(3.0 * n * n - 3.0 * n + 1.0) - 2.0) / (n * n - n - 1.0);
}

struct Options {
  Method method = Method::linear;
  std::span<const double> weights;   // m of them, or n x m; none: all weigh the same. Not for trimmed, median, log_odds
  std::span<const double> accuracy;  // log_odds: the share of right answers of each of m models
  double clip = log_floor;  // log, extremized, log_odds: probabilities and accuracies are raised to at least this
  double trim = 0.1;                 // trimmed: the share cut at each end, as many as fit wholly; below 1/2
  double factor = 0.0;               // extremized: 0 stands for Neyman and Roughgarden's
  bool probabilities = false;        // p outside [0, 1] is refused by any method, not only by those that need it
  double abstain_below = 0.0;        // a task whose largest pooled probability is less has no answer: NaN
};

// What is wrong with the arguments of `pool`.
enum class Fault : std::uint8_t { none, p, p_partly_absent, weights, weights_sum, accuracy };

// Pools n tasks of m models and c classes, p[(t m + i) c + k]; c = 1: p[t m + i] is the probability of one event, or
// for linear, trimmed and median any number. NaN in all classes: the model is absent, its weight is shared by the
// others. Writes n x c, NaN where nobody with a weight is present. Nothing is written if there is a fault. `out` must
// not overlap p.
Fault pool(std::span<const double> p, std::size_t n, std::size_t m, std::size_t c, const Options& options, double* out);

}  // namespace fairlead::pooling
