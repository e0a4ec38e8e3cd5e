// Elo against the textbook, written out pair by pair in long double.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "fairlead/elo.hpp"

using fairlead::Elo;
using fairlead::EloOptions;
using fairlead::Status;

namespace {

using Players = std::vector<Elo::Player>;
using Numbers = std::vector<double>;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

Elo rated(const Numbers& ratings, EloOptions options = {}) {
  Elo elo(options);
  elo.resize(ratings.size());
  for (std::size_t i = 0; i < ratings.size(); ++i) (void)elo.set(static_cast<Elo::Player>(i), ratings[i]);
  return elo;
}

Numbers ratings(const Elo& elo) { return {elo.ratings().begin(), elo.ratings().end()}; }

double sum(const Elo& elo) { return std::accumulate(elo.ratings().begin(), elo.ratings().end(), 0.0); }

// Every pair once, from the ratings before the contest.
Numbers textbook(const Numbers& before, const Players& players, const Numbers& losses, const EloOptions& options,
                 double weight) {
  std::vector<long double> after(before.begin(), before.end());
  const std::size_t m = players.size();
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < m; ++j) {
      if (i == j) continue;
      const long double lead = static_cast<long double>(before[static_cast<std::size_t>(players[i])]) -
                               static_cast<long double>(before[static_cast<std::size_t>(players[j])]);
      const long double expected = 1.0L / (1.0L + std::pow(10.0L, -lead / static_cast<long double>(options.scale)));
      const long double score = losses[i] < losses[j] ? 1.0L : losses[i] > losses[j] ? 0.0L : 0.5L;
      after[static_cast<std::size_t>(players[i])] +=
          static_cast<long double>(options.k * weight) / static_cast<long double>(m - 1) * (score - expected);
    }
  }
  Numbers rounded(after.size());
  std::transform(after.begin(), after.end(), rounded.begin(), [](long double r) { return static_cast<double>(r); });
  return rounded;
}

double worst(const Numbers& a, const Numbers& b) {
  double gap = a.size() == b.size() ? 0.0 : inf;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) gap = std::max(gap, std::abs(a[i] - b[i]));
  return gap;
}

}  // namespace

TEST_CASE("elo: newcomers start at the start, a lead of `scale` means ten to one") {
  Elo elo;
  elo.resize(2);
  CHECK(elo[0] == 1500.0);
  CHECK(elo.expected(0, 1) == 0.5);
  (void)elo.set(0, 1900.0);
  CHECK(elo.expected(0, 1) == doctest::Approx(10.0 / 11.0).epsilon(1e-14));
  CHECK(elo.expected(0, 1) + elo.expected(1, 0) == doctest::Approx(1.0).epsilon(1e-15));
  elo.resize(3);
  CHECK(elo[0] == 1900.0);
  CHECK(elo[2] == 1500.0);

  const Elo small(EloOptions{.k = 1.0, .scale = 10.0, .start = 25.0});
  CHECK(small.size() == 0);
  CHECK_FALSE(small.has(0));
}

TEST_CASE("elo: one pair moves by the textbook amount") {
  // FIDE's own example: 1613 against 1609 gains K * (1 - 0.5058).
  Elo elo = rated({1613.0, 1609.0});
  const double expected = 1.0 / (1.0 + std::pow(10.0, -4.0 / 400.0));
  CHECK(elo.update(0, 1, 1.0) == Status::ok);
  CHECK(elo[0] == doctest::Approx(1613.0 + 32.0 * (1.0 - expected)).epsilon(1e-14));
  CHECK(elo[1] == doctest::Approx(1609.0 - 32.0 * (1.0 - expected)).epsilon(1e-14));

  Elo even = rated({1500.0, 1500.0});
  CHECK(even.update(0, 1, 0.5) == Status::ok);
  CHECK(ratings(even) == Numbers{1500.0, 1500.0});
  CHECK(even.update(0, 1, 0.0, 0.5) == Status::ok);
  CHECK(ratings(even) == Numbers{1492.0, 1508.0});
  CHECK(even.update(0, 1, 1.0, 0.0) == Status::ok);
  CHECK(ratings(even) == Numbers{1492.0, 1508.0});
}

TEST_CASE("elo: ten thousand random pairs agree with long double") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    const EloOptions options{.k = 24.0, .scale = 350.0, .start = 1000.0};
    Elo elo(options);
    elo.resize(12);
    std::vector<long double> expected(12, 1000.0L);
    for (int t = 0; t < 10'000; ++t) {
      const auto i = static_cast<Elo::Player>(random() % 12);
      const auto j = static_cast<Elo::Player>((static_cast<std::uint64_t>(i) + 1 + random() % 11) % 12);
      const double score = 0.5 * static_cast<double>(random() % 3);
      const double weight = 0.25 * static_cast<double>(1 + random() % 8);
      REQUIRE(elo.update(i, j, score, weight) == Status::ok);
      long double& a = expected[static_cast<std::size_t>(i)];
      long double& b = expected[static_cast<std::size_t>(j)];
      const long double change = static_cast<long double>(24.0 * weight) *
                                 (static_cast<long double>(score) - 1.0L / (1.0L + std::pow(10.0L, (b - a) / 350.0L)));
      a += change;
      b -= change;
    }
    double gap = 0.0;
    for (std::size_t i = 0; i < 12; ++i) {
      gap = std::max(gap, std::abs(elo.ratings()[i] - static_cast<double>(expected[i])));
    }
    CHECK(gap < 1e-9);
    CHECK(std::abs(sum(elo) - 12'000.0) < 1e-8);
  }
}

TEST_CASE("elo: a pair that cannot be rated changes nothing") {
  Elo elo = rated({1500.0, 1600.0});
  const Numbers before = ratings(elo);
  CHECK(elo.update(0, 2, 1.0) == Status::unknown_model);
  CHECK(elo.update(-1, 1, 1.0) == Status::unknown_model);
  CHECK(elo.update(1, 1, 0.5) == Status::self_contest);
  for (const double score : {-0.001, 1.001, not_a_number, inf, -inf})
    CHECK(elo.update(0, 1, score) == Status::out_of_range);
  for (const double weight : {-1.0, 1.1e6, not_a_number, inf})
    CHECK(elo.update(0, 1, 1.0, weight) == Status::out_of_range);
  CHECK(ratings(elo) == before);
}

TEST_CASE("elo: a contest is the sum of its pairs, whatever its size") {
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    const EloOptions options{.k = seed % 2 ? 32.0 : 10.0, .scale = seed % 3 ? 400.0 : 173.7, .start = 1500.0};
    const std::size_t n = 2 + random() % 70;
    Numbers start(n);
    std::normal_distribution<double> normal(1500.0, 300.0);
    for (double& r : start) r = normal(random);
    Players players(n);
    std::iota(players.begin(), players.end(), 0);
    std::shuffle(players.begin(), players.end(), random);
    players.resize(2 + random() % (n - 1));
    Numbers losses(players.size());
    for (double& loss : losses) loss = static_cast<double>(random() % 6) / 5.0;  // ties are common
    const double weight = 0.5 * static_cast<double>(random() % 5);

    Elo elo = rated(start, options);
    const double total = sum(elo);
    REQUIRE(elo.contest(players, losses, weight) == Status::ok);
    CHECK(worst(ratings(elo), textbook(start, players, losses, options, weight)) < 1e-9);
    CHECK(std::abs(sum(elo) - total) < 1e-8);
    for (std::size_t i = 0; i < n; ++i) CHECK(std::abs(elo.ratings()[i] - start[i]) <= options.k * weight + 1e-9);

    // The order in which players are named does not matter.
    std::vector<std::size_t> order(players.size());
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    Players shuffled;
    Numbers shuffled_losses;
    for (const std::size_t i : order) {
      shuffled.push_back(players[i]);
      shuffled_losses.push_back(losses[i]);
    }
    Elo again = rated(start, options);
    REQUIRE(again.contest(shuffled, shuffled_losses, weight) == Status::ok);
    CHECK(worst(ratings(elo), ratings(again)) < 1e-10);
  }
}

TEST_CASE("elo: the sum of ratings is conserved through thousands of contests") {
  std::mt19937_64 random(11);
  Elo elo;
  elo.resize(40);
  Players everyone(40);
  std::iota(everyone.begin(), everyone.end(), 0);
  for (int t = 0; t < 3'000; ++t) {
    std::shuffle(everyone.begin(), everyone.end(), random);
    const std::size_t m = 1 + random() % 40;
    Numbers losses(m);
    // The lower the number, the better the player: the spread becomes large.
    for (std::size_t i = 0; i < m; ++i) losses[i] = static_cast<double>(everyone[i] + static_cast<int>(random() % 4));
    REQUIRE(elo.contest(std::span(everyone.data(), m), losses) == Status::ok);
  }
  CHECK(std::abs(sum(elo) - 40 * 1500.0) < 1e-7);
  CHECK(elo[0] > elo[20]);
  CHECK(elo[20] > elo[39]);
}

TEST_CASE("elo: a contest of two is an update") {
  Elo a = rated({1480.0, 1555.5});
  Elo b = a;
  CHECK(a.contest(Players{1, 0}, Numbers{0.2, 0.3}, 1.5) == Status::ok);
  CHECK(b.update(1, 0, 1.0, 1.5) == Status::ok);
  CHECK(worst(ratings(a), ratings(b)) < 1e-11);
}

TEST_CASE("elo: ties are symmetric") {
  Elo even = rated(Numbers(9, 1500.0));
  Players all(9);
  std::iota(all.begin(), all.end(), 0);
  CHECK(even.contest(all, Numbers(9, 0.4)) == Status::ok);
  CHECK(worst(ratings(even), Numbers(9, 1500.0)) < 1e-11);

  Elo apart = rated({1400.0, 1600.0});
  CHECK(apart.contest(Players{0, 1}, Numbers{0.4, 0.4}) == Status::ok);
  CHECK(apart[0] > 1400.0);
  CHECK(apart[0] - 1400.0 == doctest::Approx(1600.0 - apart[1]).epsilon(1e-10));

  // An infinite loss is the worst there is, and equals another infinite loss.
  Elo lost = rated({1500.0, 1500.0, 1500.0});
  CHECK(lost.contest(Players{0, 1, 2}, Numbers{inf, 1e300, inf}) == Status::ok);
  CHECK(lost[1] == doctest::Approx(1516.0));
  CHECK(lost[0] == doctest::Approx(1492.0));
  CHECK(lost[0] == doctest::Approx(lost[2]).epsilon(1e-14));
}

TEST_CASE("elo: points are won pairs plus half of drawn ones, itself included") {
  const Numbers losses{0.3, 0.1, 0.3, 0.9};
  Numbers points(4, -7.0);
  Elo::pair_points(losses, points);
  CHECK(points == Numbers{2.0, 3.5, 2.0, 0.5});
}

TEST_CASE("elo: alone there is nothing to win") {
  Elo elo = rated({1450.0, 1550.0});
  CHECK(elo.contest(Players{}, Numbers{}) == Status::ok);
  CHECK(elo.contest(Players{1}, Numbers{0.1}) == Status::ok);
  CHECK(ratings(elo) == Numbers{1450.0, 1550.0});
}

TEST_CASE("elo: a contest that cannot be rated changes nothing") {
  Elo elo = rated({1500.0, 1600.0, 1700.0});
  const Numbers before = ratings(elo);
  CHECK(elo.contest(Players{0, 1}, Numbers{0.1}) == Status::wrong_length);
  CHECK(elo.contest(Players{0, 1, 2, 0}, Numbers(4, 0.1)) == Status::wrong_length);
  CHECK(elo.contest(Players{0, 3}, Numbers{0.1, 0.2}) == Status::unknown_model);
  CHECK(elo.contest(Players{0, -1}, Numbers{0.1, 0.2}) == Status::unknown_model);
  CHECK(elo.contest(Players{0, 1}, Numbers{0.1, not_a_number}) == Status::not_finite);
  for (const double weight : {-0.1, 2e6, not_a_number, inf}) {
    CHECK(elo.contest(Players{0, 1}, Numbers{0.1, 0.2}, weight) == Status::out_of_range);
  }
  CHECK(ratings(elo) == before);
}

TEST_CASE("elo: ratings far apart stay finite, exact to 25,000 points") {
  const Numbers start{0.0, 5'000.0, 12'000.0, 25'000.0, 25'000.5, 24'900.0};
  const Players players{3, 0, 4, 2, 5, 1};
  const Numbers losses{0.9, 0.1, 0.4, 0.4, 0.2, 0.2};
  Elo elo = rated(start);
  REQUIRE(elo.contest(players, losses) == Status::ok);
  CHECK(worst(ratings(elo), textbook(start, players, losses, {}, 1.0)) < 1e-8);

  Elo absurd = rated({-1e9, 0.0, 1e9, 5.0, 6.0});
  REQUIRE(absurd.contest(Players{0, 1, 2, 3, 4}, Numbers{1, 2, 3, 4, 5}) == Status::ok);
  for (const double r : absurd.ratings()) CHECK(std::isfinite(r));
  CHECK(std::abs(sum(absurd) - 11.0) < 1e-5);
}
