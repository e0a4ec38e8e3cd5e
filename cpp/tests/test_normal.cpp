// The inlined functions against long double.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "fairlead/normal.hpp"

using namespace fairlead;

namespace {

constexpr long double root2 = 1.41421356237309504880168872420969808L;
constexpr long double two_pi = 6.28318530717958647692528676655900577L;

double off(double got, long double expected) {
  return static_cast<double>(std::abs(static_cast<long double>(got) / expected - 1.0L));
}

}  // namespace

TEST_CASE("special: exp within 4e-16, and it never overflows") {
  double worst = 0.0;
  for (double x = -708.0; x < 709.0; x += 0.0071)
    worst = std::max(worst, off(exp_inline(x), std::exp(static_cast<long double>(x))));
  CHECK(worst < 4e-16);
  CHECK(exp_inline(0.0) == 1.0);
  CHECK(exp_inline(1e300) == exp_inline(709.0));
  CHECK(exp_inline(-std::numeric_limits<double>::infinity()) > 0.0);
  CHECK(std::isnan(exp_inline(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("special: Mills' ratio and the normal distribution") {
  double mills_off = 0.0, cdf_off = 0.0;
  for (double y = 0.0; y < 40.0; y += 0.003) {
    const long double x = static_cast<long double>(y);
    mills_off =
        std::max(mills_off, off(mills(y), std::sqrt(two_pi) / 2.0L * std::exp(x * x / 2.0L) * std::erfc(x / root2)));
  }
  CHECK(mills_off < 1e-15);
  CHECK(off(mills(1e8), 1e-8L) < 1e-15);
  CHECK(off(mills(1e15), 1e-15L) < 1e-15);
  for (double x = -37.0; x < 12.0; x += 0.003) {
    const double allowed = x > -1.0 ? 1e-15 : (0.5 * x * x + 5.0) * 2e-16;
    cdf_off = std::max(cdf_off, off(normal_cdf(x), std::erfc(-static_cast<long double>(x) / root2) / 2.0L) / allowed);
  }
  CHECK(cdf_off < 1.0);
}

TEST_CASE("special: moments of a truncated normal") {
  double v_off = 0.0, w_off = 0.0;
  for (double t = -10.0; t < 6.0; t += 0.003) {
    const long double x = static_cast<long double>(t);
    const long double v = std::exp(-x * x / 2.0L) / std::sqrt(two_pi) / (std::erfc(-x / root2) / 2.0L);
    const Truncated got = truncated_above(t);
    v_off = std::max(v_off, off(got.v, v));
    // v + x loses digits in long double too, where v is about -x.
    w_off = std::max(w_off, off(got.w, v * (v + x)) / (1.0 + t * t));
  }
  CHECK(v_off < 1e-14);
  CHECK(w_off < 1e-14);
  for (const double x : {-50.0, -1e3, -1e6, -1e12}) {
    // 1 - w is 1 / x^2 (1 - 6 / x^2 + ...)
    CHECK(truncated_above(x).v == doctest::Approx(-x - 1.0 / x).epsilon(1e-6));
    CHECK(truncated_above(x).w == doctest::Approx(1.0 - 1.0 / (x * x) + 6.0 / (x * x * x * x)).epsilon(1e-6));
    CHECK(truncated_above(x).w <= 1.0);
  }
}
