// Sweeps against Elo one set at a time, and every level of kernels against the scalar one, bit for bit.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "fairlead/elo.hpp"
#include "fairlead/simd.hpp"
#include "fairlead/sweep.hpp"

using namespace fairlead;

namespace {

using Numbers = std::vector<double>;

struct Games {
  std::vector<Player> i, j;
  Numbers score, weight, each;
};

Games games(std::size_t n, std::size_t players, std::size_t sets, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  Games made;
  for (std::size_t m = 0; m < n; ++m) {
    made.i.push_back(static_cast<Player>(random() % players));
    made.j.push_back(
        static_cast<Player>((static_cast<std::size_t>(made.i.back()) + 1 + random() % (players - 1)) % players));
    made.score.push_back(0.5 * static_cast<double>(random() % 3));
    made.weight.push_back(static_cast<double>(random() % 9) / 4.0);
    for (std::size_t s = 0; s < sets; ++s) made.each.push_back(static_cast<double>(random() % 5) / 4.0);
  }
  return made;
}

std::vector<SweepSet> sets(std::size_t n) {
  std::vector<SweepSet> made;
  for (std::size_t s = 0; s < n; ++s) {
    const double x = static_cast<double>(s);
    made.push_back({.k = 4.0 + 3.0 * x, .scale = 150.0 + 30.0 * x, .home = 5.0 * x - 20.0, .start = 1000.0 + x});
  }
  return made;
}

struct Outcome {
  Numbers ratings;
  std::vector<SweepLoss> losses;
};

Outcome run(const Games& g, std::size_t players, const std::vector<SweepSet>& s, bool weighted, bool each,
            std::size_t skip) {
  Outcome out{Numbers(s.size() * players), std::vector<SweepLoss>(s.size())};
  sweep({g.i, g.j, g.score, weighted ? std::span<const double>(g.weight) : std::span<const double>(), {}}, players, s,
        each ? std::span<const double>(g.each) : std::span<const double>(), skip, out.ratings, out.losses);
  return out;
}

}  // namespace

TEST_CASE("sweep: each set is an Elo of its own, its losses those of the expectations before each match") {
  for (const std::size_t count : {1u, 7u, 8u, 13u}) {
    for (const bool each : {false, true}) {
      for (const bool weighted : {false, true}) {
        const std::size_t players = 9, n = 5'003, skip = 101;
        const Games g = games(n, players, count, count);
        const auto s = sets(count);
        const Outcome got = run(g, players, s, weighted, each, skip);
        for (std::size_t k = 0; k < count; ++k) {
          Elo elo({.k = s[k].k, .scale = s[k].scale, .start = s[k].start, .home = s[k].home});
          elo.resize(players);
          double log_loss = 0.0, brier = 0.0;
          for (std::size_t m = 0; m < n; ++m) {
            const double score = each ? g.each[m * count + k] : g.score[m];
            const double p = elo.rate(g.i[m], g.j[m], score, weighted ? g.weight[m] : 1.0, no_time);
            if (m < skip) continue;
            log_loss -= score * std::log(p) + (1.0 - score) * std::log(1.0 - p);
            brier += (score - p) * (score - p);
          }
          for (std::size_t p = 0; p < players; ++p) {
            CHECK(std::abs(got.ratings[k * players + p] - elo[static_cast<Player>(p)]) < 1e-9);
          }
          CHECK(got.losses[k].log_loss == doctest::Approx(log_loss / static_cast<double>(n - skip)).epsilon(1e-12));
          CHECK(got.losses[k].brier == doctest::Approx(brier / static_cast<double>(n - skip)).epsilon(1e-12));
        }
      }
    }
  }
}

TEST_CASE("sweep: every level gives the same bits") {
  const Simd before = simd_level();
  std::mt19937_64 random(1);
  for (int round = 0; round < 12; ++round) {
    const std::size_t count = 1 + random() % 20, players = 2 + random() % 30, n = random() % 3'000;
    const bool weighted = random() % 2 == 0, each = random() % 2 == 0;
    const std::size_t skip = random() % 50;
    const Games g = games(n, players, count, random());
    auto s = sets(count);
    // Some with odds that go through the roof.
    if (round % 3 == 0) s[0] = {.k = 1e5, .scale = 1.0, .home = 0.0, .start = 0.0};
    REQUIRE(set_simd_level(Simd::scalar) == Status::ok);
    const Outcome expected = run(g, players, s, weighted, each, skip);
    CHECK(simd_ran() == Simd::scalar);
    for (const Simd level : {Simd::avx2, Simd::avx512}) {
      if (set_simd_level(level) != Status::ok) {
        MESSAGE("skipped: this machine has no " << name(level));
        continue;
      }
      const Outcome got = run(g, players, s, weighted, each, skip);
      CHECK(simd_ran() == level);
      CHECK(std::memcmp(got.ratings.data(), expected.ratings.data(), 8 * expected.ratings.size()) == 0);
      CHECK(std::memcmp(got.losses.data(), expected.losses.data(), sizeof(SweepLoss) * count) == 0);
    }
  }
  (void)set_simd_level(before);
}

TEST_CASE("sweep: nothing overflows, and nothing scored is NaN") {
  const Games g = games(500, 3, 1, 4);
  const std::vector<SweepSet> s{{.k = 1e6, .scale = 1e-3, .home = 1e9, .start = 1e9},
                                {.k = 1e6, .scale = 1e9, .home = -1e9, .start = -1e9}};
  const Outcome got = run(g, 3, s, true, false, 0);
  for (const double r : got.ratings) CHECK(std::isfinite(r));
  for (const SweepLoss& loss : got.losses) {
    CHECK(std::isfinite(loss.log_loss));
    CHECK((loss.brier >= 0.0 && loss.brier <= 1.0));
  }
  const Outcome none = run(g, 3, s, false, false, 500);
  CHECK(std::isnan(none.losses[0].log_loss));
  CHECK(std::isnan(none.losses[0].brier));
  const Outcome empty = run({}, 0, s, false, false, 0);
  CHECK(std::isnan(empty.losses[1].brier));
}
