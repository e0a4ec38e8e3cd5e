// Opinion pools: many forecasts into one. Forecasts lie row by row, `m` models x `c` classes; weights sum to 1.
// C. Genest, J. V. Zidek, "Combining Probability Distributions" (Statistical Science 1, 1986).
//
// Precision: IEEE double. The log pool raises probabilities to at least `log_floor`, so that one model's zero cannot
// veto all others for ever. No allocation; `scratch` of the median holds m values.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
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

}  // namespace fairlead::pooling
