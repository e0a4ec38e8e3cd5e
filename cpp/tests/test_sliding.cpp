// Sliding windows beside plain loops in long double, on every instruction set that this machine has.
#include "fairlead/sliding.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/simd.hpp"

using namespace fairlead;

namespace {

constexpr Simd levels[] = {Simd::scalar, Simd::avx2, Simd::avx512};

struct Level {
  Simd before = simd_level();
  explicit Level(Simd level) : had(set_simd_level(level) == Status::ok) {}
  ~Level() { (void)set_simd_level(before); }
  bool had;
};

std::vector<double> wild(std::size_t n, unsigned seed) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& v : x) v = generator() % 20 == 0 ? 1e12 : 5.0 + normal(generator);
  return x;
}

std::vector<double> one(SlidingStat stat, const std::vector<double>& x, const SlidingOptions& options,
                        const std::vector<Time>& times = {}, const std::vector<double>& y = {}) {
  std::vector<double> out(x.size(), -7.0);
  const SlidingTarget targets[] = {{stat, out.data(), nullptr}};
  Sliding work;
  REQUIRE(work.row(x, y, times, options, targets) == Status::ok);
  return out;
}

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i]) ? !std::isnan(b[i]) : std::memcmp(&a[i], &b[i], sizeof(double)) != 0) return false;
  }
  return a.size() == b.size();
}

}  // namespace

TEST_CASE("mean, variance and extremes of full windows") {
  for (const Simd level : levels) {
    const Level set(level);
    if (!set.had) continue;
    for (const std::size_t n : {1u, 7u, 8u, 9u, 40u, 333u}) {
      const auto x = wild(n, 3);
      for (const std::size_t window : {1u, 2u, 7u, 8u, 9u, 31u, 400u}) {
        SlidingOptions options;
        options.count = options.min_periods = window;
        const auto mean = one(SlidingStat::mean, x, options), var = one(SlidingStat::var, x, options);
        const auto low = one(SlidingStat::min, x, options), median = one(SlidingStat::quantile, x, options);
        CHECK(simd_ran() == level);
        for (std::size_t i = 0; i < n; ++i) {
          if (i + 1 < window) {
            CHECK(std::isnan(mean[i]));
            CHECK(std::isnan(low[i]));
            CHECK(std::isnan(median[i]));
            continue;
          }
          std::vector<double> inside(x.begin() + static_cast<std::ptrdiff_t>(i + 1 - window),
                                     x.begin() + static_cast<std::ptrdiff_t>(i + 1));
          long double sum = 0, squares = 0;
          for (const double v : inside) sum += v;
          const auto m = static_cast<double>(window);
          const long double middle = sum / m;
          for (const double v : inside) squares += (v - middle) * (v - middle);
          CHECK(mean[i] == doctest::Approx(static_cast<double>(middle)).epsilon(1e-13));
          if (window > 1) CHECK(var[i] == doctest::Approx(static_cast<double>(squares / (m - 1))).epsilon(1e-12));
          std::sort(inside.begin(), inside.end());
          CHECK(low[i] == inside[0]);
          CHECK(median[i] == 0.5 * inside[(window - 1) / 2] + 0.5 * inside[window / 2]);
        }
      }
    }
  }
}

TEST_CASE("every instruction set gives the same bits") {
  const auto x = wild(700, 1), y = wild(700, 2);
  auto holed = x;
  for (std::size_t i = 0; i < holed.size(); i += 37) holed[i] = fairlead::nan;
  std::vector<Time> times(700);
  for (std::size_t i = 0; i < times.size(); ++i) times[i] = static_cast<Time>(i * i / 50);
  const SlidingStat stats[] = {SlidingStat::sum,  SlidingStat::mean, SlidingStat::var, SlidingStat::std,
                               SlidingStat::skew, SlidingStat::kurt, SlidingStat::min, SlidingStat::max};
  for (const std::size_t window : {1u, 5u, 8u, 100u, 699u}) {
    for (const bool timed : {false, true}) {
      SlidingOptions options;
      options.span = timed ? static_cast<Time>(window) : 0;
      options.count = timed ? 0 : window;
      const auto& used = timed ? times : std::vector<Time>();
      for (const auto& series : {x, holed}) {
        for (const SlidingStat stat : stats) {
          const Level scalar(Simd::scalar);
          const auto right = one(stat, series, options, used);
          for (const Simd level : levels) {
            const Level set(level);
            if (set.had) CHECK(same_bits(one(stat, series, options, used), right));
          }
        }
        for (const SlidingStat stat : {SlidingStat::cov, SlidingStat::corr, SlidingStat::beta}) {
          const Level scalar(Simd::scalar);
          const auto right = one(stat, series, options, used, y);
          for (const Simd level : levels) {
            const Level set(level);
            if (set.had) CHECK(same_bits(one(stat, series, options, used, y), right));
          }
        }
      }
    }
  }
}

TEST_CASE("a constant window has variance 0, and what has left leaves no trace") {
  for (const Simd level : levels) {
    const Level set(level);
    if (!set.had) continue;
    std::vector<double> x(500, 1e9 / 3.0);
    x[100] = 1e300;
    x[200] = std::numeric_limits<double>::infinity();
    x[300] = fairlead::nan;
    SlidingOptions options;
    options.count = options.min_periods = 10;
    const auto var = one(SlidingStat::var, x, options), mean = one(SlidingStat::mean, x, options);
    for (std::size_t i = 9; i < 500; ++i) {
      if (i >= 100 && i % 100 < 10) continue;
      CHECK(var[i] == 0.0);
      CHECK(mean[i] == x[0]);
    }
    CHECK(std::isinf(mean[205]));
    CHECK(std::isnan(mean[305]));
  }
}

TEST_CASE("exponential weights, beside the plain recursion") {
  const auto x = wild(1000, 5);
  for (const Simd level : levels) {
    const Level set(level);
    if (!set.had) continue;
    for (const double alpha : {1e-3, 0.3, 1.0}) {
      for (const bool adjust : {true, false}) {
        std::vector<double> out(x.size());
        DecayOptions options;
        options.alpha = alpha;
        options.adjust = adjust;
        REQUIRE(decayed_row(x, {}, options, DecayStat::mean, out.data()) == Status::ok);
        long double sum = 0, weight = 0, flat = x[0];
        for (std::size_t i = 0; i < x.size(); ++i) {
          sum = (1.0L - alpha) * sum + x[i];
          weight = (1.0L - alpha) * weight + 1;
          if (i > 0) flat = (1.0L - alpha) * flat + alpha * x[i];
          CHECK(out[i] == doctest::Approx(static_cast<double>(adjust ? sum / weight : flat)).epsilon(1e-11));
        }
      }
    }
  }
}

TEST_CASE("what is no window is refused, and nothing is written") {
  const std::vector<double> x(5, 1.0);
  std::vector<double> out(5, -7.0);
  const SlidingTarget targets[] = {{SlidingStat::mean, out.data(), nullptr}};
  Sliding work;
  SlidingOptions options;
  CHECK(work.row(x, {}, {}, options, targets) == Status::out_of_range);
  options.count = 3;
  options.q = 1.5;
  CHECK(work.row(x, {}, {}, options, targets) == Status::out_of_range);
  DecayOptions decay;
  CHECK(decayed_row(x, {}, decay, DecayStat::mean, out.data()) == Status::out_of_range);
  for (const double v : out) CHECK(v == -7.0);
}
