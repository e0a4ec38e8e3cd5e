// The population stability index by its definition: quantiles of the sorted reference, counts by search, terms summed.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "fairlead/drift.hpp"

using fairlead::Psi;
using fairlead::Status;
using fairlead::StreamingPsi;

namespace {

using Numbers = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();

std::vector<double> naive_edges(Numbers reference, std::size_t bins) {
  std::erase_if(reference, [](double x) { return std::isnan(x); });
  std::sort(reference.begin(), reference.end());
  std::vector<double> edges;
  for (std::size_t i = 1; i < bins; ++i) {
    const long double at =
        static_cast<long double>(i) * static_cast<long double>(reference.size() - 1) / static_cast<long double>(bins);
    const auto below = static_cast<std::size_t>(at);
    const long double low = static_cast<long double>(reference[below]);
    const long double high = static_cast<long double>(reference[std::min(below + 1, reference.size() - 1)]);
    edges.push_back(static_cast<double>(low + (high - low) * (at - static_cast<long double>(below))));
  }
  return edges;
}

// Bin i holds edge[i-1] < x <= edge[i]; NaN has the last bin.
std::vector<double> counts(const Numbers& sample, std::span<const double> edges) {
  std::vector<double> n(edges.size() + 2);
  for (const double x : sample) {
    const auto edge = std::lower_bound(edges.begin(), edges.end(), x);
    n[std::isnan(x) ? edges.size() + 1 : static_cast<std::size_t>(edge - edges.begin())] += 1.0;
  }
  return n;
}

double definition(const Numbers& reference, const Numbers& live, std::span<const double> edges) {
  std::vector<double> p = counts(reference, edges);
  std::vector<double> q = counts(live, edges);
  if (p.back() + q.back() == 0.0) {
    p.pop_back();
    q.pop_back();
  }
  for (auto* side : {&p, &q}) {
    for (double& n : *side) n += 0.5;
    const double total = std::accumulate(side->begin(), side->end(), 0.0);
    for (double& n : *side) n /= total;
  }
  double psi = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) psi += q[i] * std::log(q[i] / p[i]) + p[i] * std::log(p[i] / q[i]);
  return psi;
}

double index_of(const Psi& psi, const Numbers& live, std::span<double> terms = {}) {
  std::vector<std::uint64_t> n(psi.size());
  psi.count(live, n);
  return psi.index(n, terms);
}

Numbers draw(std::mt19937_64& random, std::size_t n, double mean, double deviation = 1.0) {
  std::normal_distribution<double> normal(mean, deviation);
  Numbers out(n);
  for (double& x : out) x = normal(random);
  return out;
}

}  // namespace

TEST_CASE("psi: edges are the reference's quantiles and the index is the sum of its terms") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    const std::size_t bins = 2 + random() % 30;
    const Numbers reference = draw(random, 50 + random() % 400, 0.0);
    const Numbers live = draw(random, 20 + random() % 400, 0.02 * static_cast<double>(seed));
    Psi psi;
    REQUIRE(Psi::fit(reference, bins, psi) == Status::ok);
    const auto expected = naive_edges(reference, bins);
    REQUIRE(psi.edges().size() == expected.size());
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(psi.edges()[i] - expected[i]) < 1e-12);

    Numbers terms(psi.size(), -1.0);
    const double index = index_of(psi, live, terms);
    CHECK(index == doctest::Approx(definition(reference, live, psi.edges())).epsilon(1e-10));
    CHECK(std::accumulate(terms.begin(), terms.end(), 0.0) == doctest::Approx(index).epsilon(1e-12));
    CHECK(std::all_of(terms.begin(), terms.end(), [](double t) { return t >= 0.0; }));
    CHECK(index_of(psi, reference) == 0.0);
  }
}

TEST_CASE("psi: calm stays below .1, a shift of one deviation is far above .25") {
  std::mt19937_64 random(4);
  const Numbers reference = draw(random, 5'000, 10.0);
  Psi psi;
  REQUIRE(Psi::fit(reference, Psi::default_bins, psi) == Status::ok);
  CHECK(index_of(psi, draw(random, 5'000, 10.0)) < 0.1);
  CHECK(index_of(psi, draw(random, 5'000, 11.0)) > 0.25);
  CHECK(index_of(psi, draw(random, 5'000, 10.0, 3.0)) > 0.25);
}

TEST_CASE("psi: heavy ties merge edges, and a constant still has two sides") {
  Numbers ties(70, 1.0);
  ties.insert(ties.end(), 30, 0.0);
  Psi psi;
  REQUIRE(Psi::fit(ties, 10, psi) == Status::ok);
  CHECK(std::adjacent_find(psi.edges().begin(), psi.edges().end(), std::greater_equal<>()) == psi.edges().end());
  CHECK(index_of(psi, ties) == 0.0);
  CHECK(index_of(psi, Numbers(100, 0.0)) > 0.25);
  CHECK(psi.bin(0.0) != psi.bin(1.0));

  REQUIRE(Psi::fit(Numbers(100, 0.7), 10, psi) == Status::ok);
  CHECK(index_of(psi, Numbers(100, 0.7)) == 0.0);
  CHECK(index_of(psi, Numbers(100, 0.6)) > 1.0);
  CHECK(index_of(psi, Numbers(100, 0.8)) > 1.0);
}

TEST_CASE("psi: NaN has a bin that counts when either side has any") {
  const Numbers clean{1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  Numbers holes = clean;
  holes.insert(holes.end(), 10, fairlead::nan);
  Psi from_clean, from_holes;
  REQUIRE(Psi::fit(clean, 4, from_clean) == Status::ok);
  REQUIRE(Psi::fit(holes, 4, from_holes) == Status::ok);
  CHECK(from_clean.bin(fairlead::nan) == from_clean.size() - 1);
  CHECK(std::equal(from_clean.edges().begin(), from_clean.edges().end(), from_holes.edges().begin()));
  CHECK(index_of(from_clean, holes) == doctest::Approx(definition(clean, holes, from_clean.edges())).epsilon(1e-12));
  CHECK(index_of(from_holes, clean) == doctest::Approx(definition(holes, clean, from_clean.edges())).epsilon(1e-12));
  CHECK(index_of(from_clean, holes) > 0.25);
}

TEST_CASE("psi: infinities and unseen ranges fall into the outer bins") {
  const Numbers reference{-inf, -inf, 1, 2, 3, 4, 5, 6, inf, inf};
  Psi psi;
  REQUIRE(Psi::fit(reference, 10, psi) == Status::ok);
  for (const double edge : psi.edges()) CHECK_FALSE(std::isnan(edge));
  CHECK(psi.bin(-inf) == 0);
  CHECK(psi.bin(inf) == psi.size() - 2);
  CHECK(psi.bin(1e300) == psi.size() - 2);
  CHECK(index_of(psi, reference) == 0.0);
  CHECK(std::isfinite(index_of(psi, Numbers{})));
}

TEST_CASE("psi: bins from 2 to 255 and a reference with a number in it") {
  Psi psi;
  const Numbers some{1.0, 2.0, 3.0};
  REQUIRE(Psi::fit(some, 2, psi) == Status::ok);
  const auto before = std::vector<double>(psi.edges().begin(), psi.edges().end());
  CHECK(before == Numbers{2.0});
  CHECK(Psi::fit(some, 1, psi) == Status::out_of_range);
  CHECK(Psi::fit(some, 256, psi) == Status::out_of_range);
  CHECK(Psi::fit(Numbers{}, 10, psi) == Status::wrong_length);
  CHECK(Psi::fit(Numbers{fairlead::nan}, 10, psi) == Status::wrong_length);
  CHECK(std::equal(before.begin(), before.end(), psi.edges().begin(), psi.edges().end()));
}

TEST_CASE("streaming psi: the last window against the first, recomputed at every value") {
  struct Sizes {
    std::size_t reference, window, bins;
  };
  for (const Sizes& sizes :
       {Sizes{40, 25, 10}, Sizes{500, 500, 10}, Sizes{30, 1, 5}, Sizes{600, 40, 255}}) {
    const auto [reference, window, bins] = sizes;
    INFO("reference ", sizes.reference, ", window ", sizes.window, ", bins ", sizes.bins);
    std::mt19937_64 random(reference);
    StreamingPsi stream(reference, window, bins);
    const Numbers all = draw(random, reference + 3 * window, 0.0);
    Psi psi;
    REQUIRE(Psi::fit(std::span(all).first(reference), bins, psi) == Status::ok);
    double worst = 0.0;
    int early = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      stream.add(i % 50 == 49 && i > reference ? fairlead::nan : all[i] + (i > reference + window ? 1.0 : 0.0));
      if (i + 1 < reference + window) {
        early += std::isnan(stream.index()) ? 0 : 1;
        continue;
      }
      Numbers live;
      for (std::size_t j = i + 1 - window; j <= i; ++j) {
        live.push_back(j % 50 == 49 && j > reference ? fairlead::nan : all[j] + (j > reference + window ? 1.0 : 0.0));
      }
      if (i % 7 == 0) worst = std::max(worst, std::abs(stream.index() - index_of(psi, live)));
    }
    CHECK(early == 0);
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("streaming psi: a reference that is all NaN is waited out") {
  StreamingPsi stream(4, 3);
  for (int i = 0; i < 9; ++i) stream.add(fairlead::nan);  // two references of nothing, and the first value of a third
  CHECK(std::isnan(stream.index()));
  for (const double x : {1.0, 2.0, 3.0}) stream.add(x);
  for (const double x : {1.0, 2.0}) stream.add(x);
  CHECK(std::isnan(stream.index()));
  stream.add(3.0);
  CHECK(std::isfinite(stream.index()));
}
