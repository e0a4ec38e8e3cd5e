// log and exp of the kernels against the C library's long double.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>

#include "../src/kernels/elementary.hpp"

namespace kernels = fairlead::kernels;

namespace {

// How far `value` is from `exact`, in units of the last place of a double at exact.
double ulps(double value, long double exact) {
  const double near = static_cast<double>(exact);
  const double unit = std::abs(std::nextafter(near, std::numeric_limits<double>::infinity()) - near);
  return static_cast<double>(std::abs(static_cast<long double>(value) - exact)) / unit;
}

}  // namespace

TEST_CASE("elementary: log_ratio is within 2.5 ulp") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 1.0), wide(-480.0, 480.0);
  double worst = 0.0;
  for (int i = 0; i < 400'000; ++i) {
    const bool far = i % 2 == 0;
    const double a = far ? std::exp2(wide(random)) : uniform(random) + 1e-3;
    const double b = far ? std::exp2(wide(random)) : i % 3 == 0 ? 1.0 : a * (1.0 + 0.01 * (uniform(random) - 0.5));
    const long double la = a, lb = b;
    worst = std::max(worst, ulps(kernels::log_ratio(a, b), far ? std::log(la / lb) : std::log1p((la - lb) / lb)));
  }
  MESSAGE("worst: ", worst, " ulp");
  CHECK(worst <= 2.5);
  CHECK(kernels::log_ratio(0.7, 0.7) == 0.0);
  CHECK(kernels::log_ratio(1.0, 1.0) == 0.0);
  CHECK(kernels::log_ratio(1e-150, 1e150) == doctest::Approx(-300.0 * std::log(10.0)).epsilon(1e-15));
}

TEST_CASE("elementary: exp_bounded is within 1.5 ulp from -708 to 0, and e^-708 below") {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> wide(-708.0, 0.0), near(-1.0, 0.0);
  double worst = 0.0;
  for (int i = 0; i < 400'000; ++i) {
    const double x = i % 2 == 0 ? wide(random) : near(random);
    worst = std::max(worst, ulps(kernels::exp_bounded(x), std::exp(static_cast<long double>(x))));
  }
  MESSAGE("worst: ", worst, " ulp");
  CHECK(worst <= 1.5);
  CHECK(kernels::exp_bounded(0.0) == 1.0);
  CHECK(kernels::exp_bounded(-1e300) == kernels::exp_bounded(-708.0));
  CHECK(std::isnan(kernels::exp_bounded(std::numeric_limits<double>::quiet_NaN())));
}

TEST_CASE("elementary: the logistic function keeps its relative precision") {
  double worst = 0.0;
  for (double x = -700.0; x < 40.0; x += 0.00371) {
    const long double exact = 1.0L / (1.0L + std::exp(-static_cast<long double>(x)));
    worst = std::max(worst, ulps(kernels::logistic_of(x), exact));
  }
  CHECK(worst <= 3.0);
  CHECK(kernels::logistic_of(0.0) == 0.5);
}
