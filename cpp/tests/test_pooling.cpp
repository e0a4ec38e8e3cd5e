// Opinion pools by their formulas, class by class in long double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "fairlead/pooling.hpp"

namespace pooling = fairlead::pooling;

namespace {

using Numbers = std::vector<double>;

struct Panel {
  std::size_t m, c;
  Numbers p, weight;
  double at(std::size_t i, std::size_t k) const { return p[i * c + k]; }
};

Numbers simplex(std::mt19937_64& random, std::size_t n, bool zeros) {
  std::exponential_distribution<double> exponential;
  Numbers out(n);
  for (double& x : out) x = zeros && random() % 3 == 0 ? 0.0 : exponential(random);
  out[random() % n] += 0.1;
  const double sum = std::accumulate(out.begin(), out.end(), 0.0);
  for (double& x : out) x /= sum;
  return out;
}

Panel panel(std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Panel out{1 + random() % 25, 2 + random() % 12, {}, {}};
  for (std::size_t i = 0; i < out.m; ++i) {
    const Numbers row = simplex(random, out.c, true);
    out.p.insert(out.p.end(), row.begin(), row.end());
  }
  out.weight = simplex(random, out.m, false);
  return out;
}

Numbers linear(const Panel& a) {
  Numbers out(a.c, -1.0);
  pooling::linear(a.p.data(), a.weight.data(), a.m, a.c, out.data());
  return out;
}
Numbers log(const Panel& a) {
  Numbers out(a.c, -1.0);
  pooling::log(a.p.data(), a.weight.data(), a.m, a.c, out.data());
  return out;
}
Numbers median(const Panel& a) {
  Numbers out(a.c, -1.0), scratch(a.m);
  pooling::median(a.p.data(), a.m, a.c, out.data(), scratch.data());
  return out;
}

double worst(const Numbers& a, const Numbers& b) {
  double gap = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) gap = std::max(gap, std::abs(a[i] - b[i]));
  return gap;
}

double sum(const Numbers& p) { return std::accumulate(p.begin(), p.end(), 0.0); }

}  // namespace

TEST_CASE("pooling: linear, log and median are their formulas") {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    INFO("seed ", seed);
    const Panel a = panel(seed);
    Numbers mixed(a.c), geometric(a.c), middle(a.c);
    for (std::size_t k = 0; k < a.c; ++k) {
      long double total = 0.0L, product = 1.0L;
      Numbers column;
      for (std::size_t i = 0; i < a.m; ++i) {
        total += static_cast<long double>(a.weight[i]) * static_cast<long double>(a.at(i, k));
        product *=
            std::pow(static_cast<long double>(std::max(a.at(i, k), 1e-3)), static_cast<long double>(a.weight[i]));
        column.push_back(a.at(i, k));
      }
      std::sort(column.begin(), column.end());
      mixed[k] = static_cast<double>(total);
      geometric[k] = static_cast<double>(product);
      middle[k] = 0.5 * (column[(a.m - 1) / 2] + column[a.m / 2]);
    }
    const double geometric_sum = sum(geometric);
    for (double& x : geometric) x /= geometric_sum;
    const double middle_sum = sum(middle);
    for (double& x : middle) x = middle_sum > 0.0 ? x / middle_sum : 1.0 / static_cast<double>(a.c);

    CHECK(worst(linear(a), mixed) < 1e-14);
    CHECK(worst(log(a), geometric) < 1e-13);
    CHECK(worst(median(a), middle) < 1e-14);
    for (const Numbers& pooled : {linear(a), log(a), median(a)}) {
      CHECK(std::abs(sum(pooled) - 1.0) < 1e-12);
      CHECK(std::all_of(pooled.begin(), pooled.end(), [](double x) { return x >= 0.0 && x <= 1.0; }));
    }
  }
}

TEST_CASE("pooling: the order of models does not matter") {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    INFO("seed ", seed);
    const Panel a = panel(seed);
    std::mt19937_64 random(seed + 1'000);
    std::vector<std::size_t> order(a.m);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    Panel b{a.m, a.c, {}, {}};
    for (const std::size_t i : order) {
      b.weight.push_back(a.weight[i]);
      for (std::size_t k = 0; k < a.c; ++k) b.p.push_back(a.at(i, k));
    }
    CHECK(worst(linear(a), linear(b)) < 1e-14);
    CHECK(worst(log(a), log(b)) < 1e-13);
    CHECK(worst(median(a), median(b)) == 0.0);
  }
}

TEST_CASE("pooling: unanimity is kept") {
  const Numbers row{0.5, 0.2, 0.2, 0.1};
  Panel a{7, 4, {}, Numbers(7, 1.0 / 7.0)};
  for (int i = 0; i < 7; ++i) a.p.insert(a.p.end(), row.begin(), row.end());
  CHECK(worst(linear(a), row) < 1e-15);
  CHECK(worst(log(a), row) < 1e-15);
  CHECK(worst(median(a), row) < 1e-15);
}

TEST_CASE("pooling: a zero is no veto, and a weight of one is a choice") {
  Panel a{2, 2, {0.0, 1.0, 0.5, 0.5}, {0.5, 0.5}};
  const double ratio = std::sqrt(1e-3 * 0.5) / std::sqrt(0.5);
  CHECK(log(a)[0] == doctest::Approx(ratio / (1.0 + ratio)).epsilon(1e-14));
  a.weight = {0.0, 1.0};
  CHECK(linear(a) == Numbers{0.5, 0.5});
  CHECK(log(a) == Numbers{0.5, 0.5});
}

TEST_CASE("pooling: the median of numbers") {
  Numbers odd{5.0, -1.0, 3.0};
  CHECK(pooling::median(odd.data(), 3) == 3.0);
  Numbers even{4.0, 1.0, 3.0, 2.0};
  CHECK(pooling::median(even.data(), 4) == 2.5);
  Numbers one{7.0};
  CHECK(pooling::median(one.data(), 1) == 7.0);
  Panel numbers{3, 1, {100.0, -5.0, 1.0}, {}};
  CHECK(median(numbers) == Numbers{1.0});  // a number is not normalised

  // Three models, each sure of another class: every median is zero, and nothing is known.
  const Panel sure{3, 3, {1, 0, 0, 0, 1, 0, 0, 0, 1}, {}};
  CHECK(worst(median(sure), Numbers(3, 1.0 / 3.0)) < 1e-15);
}
