// The portable logistic function and power of two, against long double.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "fairlead/logistic.hpp"

using fairlead::exp2_portable;
using fairlead::logistic;

namespace {

double ulps(double found, long double exact) {
  const auto rounded = static_cast<double>(exact);
  const double ulp = std::nextafter(rounded, std::numeric_limits<double>::infinity()) - rounded;
  return static_cast<double>(std::abs(static_cast<long double>(found) - exact) / static_cast<long double>(ulp));
}

}  // namespace

TEST_CASE("logistic: within two units in the last place from -40 to 40") {
  double worst = 0.0;
  for (int k = -400'000; k <= 400'000; ++k) {
    const double x = k * 1e-4;
    worst = std::max(worst, ulps(logistic(x), 1.0L / (1.0L + std::exp(-static_cast<long double>(x)))));
  }
  CHECK(worst < 2.0);
}

TEST_CASE("logistic: a half at 0, rising everywhere, and both sides make one") {
  CHECK(logistic(0.0) == 0.5);
  CHECK(logistic(-0.0) == 0.5);
  double before = 0.0;
  for (int k = -4'000'000; k <= 4'000'000; k += 7) {
    const double x = k * 1e-5, p = logistic(x);
    CHECK_MESSAGE(p >= before * (1.0 - 1e-15), x);
    CHECK_MESSAGE(std::abs(p + logistic(-x) - 1.0) < 3e-16, x);
    before = p;
  }
}

TEST_CASE("logistic: far out it is what it should be") {
  constexpr double inf = std::numeric_limits<double>::infinity();
  CHECK(logistic(40.001) == 1.0);
  CHECK(logistic(inf) == 1.0);
  CHECK(logistic(-inf) == 0.0);
  CHECK(logistic(-1e300) == 0.0);
  CHECK(std::isnan(logistic(std::numeric_limits<double>::quiet_NaN())));
  for (const double x : {-40.0, -40.001, -55.5, -300.0, -700.0}) {
    CHECK(logistic(x) == doctest::Approx(std::exp(x)).epsilon(1e-12));
  }
}

TEST_CASE("exp2_portable: within two units in the last place, and exact for whole numbers") {
  double worst = 0.0;
  for (int k = -1'000'000; k <= 1'000'000; ++k) {
    const double x = k * 1e-3;
    worst = std::max(worst, ulps(exp2_portable(x), std::exp2(static_cast<long double>(x))));
  }
  CHECK(worst < 2.0);
  for (int k = -1074; k <= 1023; ++k) CHECK(exp2_portable(k) == std::ldexp(1.0, k));
  CHECK(exp2_portable(-2000.0) == 0.0);
  CHECK(exp2_portable(2000.0) == std::numeric_limits<double>::infinity());
  CHECK(std::isnan(exp2_portable(std::numeric_limits<double>::quiet_NaN())));
}
