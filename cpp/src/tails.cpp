#include "fairlead/tails.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <vector>

namespace fairlead {

namespace {

constexpr double pi = 3.14159265358979323846;
constexpr double epsilon = std::numeric_limits<double>::epsilon();

// x^a e^-x / gamma(a + 1), without the cancellation of large logarithms (C. Loader, 2000).
double poisson_term(double a, double x) noexcept {
  if (a < 10.0) return std::exp(a * std::log(x) - x - std::lgamma(a + 1.0));
  const double a2 = a * a;
  const double stirling = (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / (1188 * a2)) / a2) / a2) / a2) / a;
  const double u = (x - a) / a;
  // a log(1 + u) - a u, the deviance.
  const double deviance = std::abs(u) < 0.1 ? a * (std::log1p(u) - u) : a * std::log(x / a) - (x - a);
  return std::exp(deviance - stirling) / std::sqrt(2.0 * pi * a);
}

// K of order 1/4, times e^z: the trapezoidal rule on its integral, which converges geometrically.
double bessel_k_quarter_scaled(double z) noexcept {
  constexpr double step = 1.0 / 16;
  double sum = 0.5;
  for (int i = 1; i < 4000; ++i) {
    const double t = step * i;
    const double half = std::sinh(0.5 * t);
    const double term = std::exp(-2.0 * z * half * half) * std::cosh(0.25 * t);
    sum += term;
    if (term < epsilon * 1e-3 * sum) break;
  }
  return step * sum;
}

// Smirnov's integrals for the tail (N. V. Smirnov 1937): nothing cancels where the tail is small. The midpoint rule in
// the angle, where the integrand is smooth and periodic.
double cramer_von_mises_far(double x) noexcept {
  constexpr int points = 512;
  double total = 0.0;
  for (int k = 1; k <= 3; ++k) {
    const double middle = (2.0 * k - 0.5) * pi;
    double sum = 0.0;
    for (int i = 0; i < points; ++i) {
      const double angle = pi * (i + 0.5) / points;
      const double t = middle - 0.5 * pi * std::cos(angle);
      // -sin(t) by its distance from the nearer end of the interval, where t itself would have lost digits.
      const double half = angle < 0.5 * pi ? std::sin(0.5 * angle) : std::cos(0.5 * angle);
      sum += std::sqrt(t / std::sin(pi * half * half)) * std::exp(-0.5 * x * t * t) / t * std::sin(angle);
    }
    total += (k % 2 == 1 ? 1.0 : -1.0) * sum;
  }
  return total * pi / points;
}

}  // namespace

double chi2_tail(double x, double freedom) noexcept {
  if (std::isnan(x) || std::isnan(freedom)) return std::numeric_limits<double>::quiet_NaN();
  if (!(x > 0.0) || !(freedom > 0.0)) return 1.0;
  const double a = 0.5 * freedom;
  const double z = 0.5 * x;
  if (std::isinf(z)) return 0.0;
  if (z < a + 1.0) {
    double term = 1.0, sum = 1.0;
    for (double k = a + 1.0; term > epsilon * 0.01 * sum; k += 1.0) {
      term *= z / k;
      sum += term;
    }
    return std::max(0.0, 1.0 - poisson_term(a, z) * sum);
  }
  constexpr double tiny = 1e-300;
  double b = z + 1.0 - a;
  double c = 1.0 / tiny, d = 1.0 / b, h = d;
  for (int i = 1; i < 1'000'000; ++i) {
    const double an = -static_cast<double>(i) * (static_cast<double>(i) - a);
    b += 2.0;
    d = an * d + b;
    if (std::abs(d) < tiny) d = tiny;
    c = b + an / c;
    if (std::abs(c) < tiny) c = tiny;
    d = 1.0 / d;
    const double factor = d * c;
    h *= factor;
    if (std::abs(factor - 1.0) < epsilon) break;
  }
  return poisson_term(a, z) * a * h;
}

double kolmogorov_tail(double x) noexcept {
  if (std::isnan(x)) return x;
  if (x < 0.04) return 1.0;
  if (x < 0.82) {
    const double y = -pi * pi / (8.0 * x * x);
    double sum = 0.0;
    for (int k = 1; k < 40; k += 2) sum += std::exp(y * k * k);
    return 1.0 - std::sqrt(2.0 * pi) / x * sum;
  }
  double sum = 0.0;
  for (int k = 1; k < 12; ++k) sum += (k % 2 == 1 ? 2.0 : -2.0) * std::exp(-2.0 * x * x * k * k);
  return sum;
}

double ks_tail_exact(std::size_t n, std::size_t m, std::uint64_t scaled) {
  if (scaled == 0) return 1.0;
  if (n < m) std::swap(n, m);
  // The share of lattice paths from (0, 0) to (n, m) that touch |i m - j n| >= scaled, summed over the first touch:
  // each point's weight is the probability that a random path comes by without having touched, so nothing cancels in a
  // tail.
  std::vector<double> reached;
  try {
    reached.assign(m + 1, 0.0);
  } catch (const std::bad_alloc&) {
    return std::numeric_limits<double>::quiet_NaN();
  }
  const auto wide_n = static_cast<std::int64_t>(n), wide_m = static_cast<std::int64_t>(m);
  double touched = 0.0;
  for (std::int64_t i = 0; i <= wide_n; ++i) {
    for (std::int64_t j = 0; j <= wide_m; ++j) {
      const auto at = static_cast<std::size_t>(j);
      // Left to draw before the last step: a random order takes from each sample in proportion to what is left of it.
      double weight = i == 0 && j == 0 ? 1.0 : 0.0;
      const double left = static_cast<double>(wide_n + wide_m - i - j + 1);
      if (i > 0) weight += reached[at] * static_cast<double>(wide_n - i + 1) / left;
      if (j > 0) weight += reached[at - 1] * static_cast<double>(wide_m - j + 1) / left;
      const std::int64_t apart = std::abs(i * wide_m - j * wide_n);
      if (static_cast<std::uint64_t>(apart) >= scaled) {
        touched += weight;
        weight = 0.0;
      }
      reached[at] = weight;
    }
  }
  return std::min(touched, 1.0);
}

double ks_tail(std::size_t n, std::size_t m, double d) noexcept {
  const double a = static_cast<double>(n), b = static_cast<double>(m);
  const double root = std::sqrt(a / (a + b) * b);
  return kolmogorov_tail((root + 0.12 + 0.11 / root) * d);
}

double cramer_von_mises_tail(double x) noexcept {
  if (std::isnan(x)) return x;
  if (x <= 0.0) return 1.0;
  if (x > 0.8) return std::clamp(cramer_von_mises_far(x), 0.0, 1.0);
  double sum = 0.0;
  double ratio = 1.0;  // gamma(k + 1/2) / (gamma(1/2) k!)
  for (int k = 0; k < 60; ++k) {
    const double y = 4.0 * k + 1.0;
    const double q = y * y / (16.0 * x);
    if (2.0 * q > 745.0) break;
    const double term = ratio * std::sqrt(y) * std::exp(-2.0 * q) * bessel_k_quarter_scaled(q);
    sum += term;
    if (term < 1e-18 * sum) break;
    ratio *= (k + 0.5) / (k + 1.0);
  }
  return std::clamp(1.0 - sum / (pi * std::sqrt(x)), 0.0, 1.0);
}

}  // namespace fairlead
