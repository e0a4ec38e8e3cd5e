// Bradley-Terry in the core: kernels of every level against the scalar ones, known fits, errors that change nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "fairlead/bradley_terry.hpp"
#include "fairlead/simd.hpp"

using namespace fairlead;

namespace {

struct AtLevel {
  Simd before = simd_level();
  explicit AtLevel(Simd level) { REQUIRE(set_simd_level(level) == Status::ok); }
  ~AtLevel() { (void)set_simd_level(before); }
};

struct Table {
  std::vector<std::int32_t> i, j;
  std::vector<double> score;

  Table(std::size_t n, std::int32_t players, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (std::size_t k = 0; k < n; ++k) {
      const auto first = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(players));
      const auto other = static_cast<std::int32_t>(random() % static_cast<std::uint64_t>(players - 1));
      i.push_back(first);
      j.push_back(other < first ? other : other + 1);
      score.push_back(0.5 * static_cast<double>(random() % 3));
    }
  }
  PairedMatches matches(std::size_t players) const { return {.i = i, .j = j, .score = score, .players = players}; }
};

BradleyTerry fitted(const Table& table, std::size_t players) {
  PairCells cells;
  std::size_t bad = 0;
  REQUIRE(aggregate(table.matches(players), cells, bad) == Status::ok);
  BradleyTerry fit;
  REQUIRE(fit.fit(std::move(cells)) == Status::ok);
  return fit;
}

}  // namespace

TEST_CASE("bradley-terry: every level sums, fits and resamples as the scalar kernels do") {
  // Sizes around the tiles of 4, 8 and 16, and rows of matches that fill no vector.
  for (const std::int32_t players : {2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 50}) {
    const auto n_players = static_cast<std::size_t>(players);
    const Table table(40 * n_players + 13, players, n_players);
    std::vector<double> strengths, sandwich, rounds;
    std::vector<double> counts;
    for (const Simd level : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (level > simd_best()) {
        MESSAGE("skipped: this machine has no " << name(level));
        continue;
      }
      INFO("players ", players, ", level ", name(level));
      const AtLevel here(level);
      const BradleyTerry fit = fitted(table, n_players);
      CHECK(simd_ran() == level);
      BradleyTerry::Errors errors;
      REQUIRE(fit.errors(errors) == Status::ok);
      std::vector<double> drawn(16 * (n_players + 1));
      REQUIRE(fit.bootstrap(16, 5, drawn) == Status::ok);
      if (level == Simd::scalar) {
        strengths.assign(fit.strengths().begin(), fit.strengths().end());
        sandwich = errors.sandwich;
        rounds = drawn;
        counts = fit.cells().s;
        continue;
      }
      CHECK(fit.cells().s == counts);
      for (std::size_t k = 0; k < n_players; ++k) {
        CHECK(std::abs(fit.strengths()[k] - strengths[k]) < 1e-11);
        CHECK(errors.sandwich[k] == doctest::Approx(sandwich[k]).epsilon(1e-10));
      }
      for (std::size_t k = 0; k < drawn.size(); ++k) CHECK(std::abs(drawn[k] - rounds[k]) < 1e-7);
    }
  }
}

TEST_CASE("bradley-terry: two players have the log-odds of their score, and its error") {
  Table table(0, 2, 0);
  for (int k = 0; k < 100; ++k) {
    table.i.push_back(k % 2);
    table.j.push_back(1 - k % 2);
    table.score.push_back(k < 60 ? 1.0 - k % 2 : k % 2);  // the first player wins 60 of 100
  }
  const BradleyTerry fit = fitted(table, 2);
  CHECK(fit.strengths()[0] - fit.strengths()[1] == doctest::Approx(std::log(1.5)).epsilon(1e-13));
  BradleyTerry::Contrast contrast{};
  REQUIRE(fit.contrast(0, 1, contrast) == Status::ok);
  CHECK(contrast.model == doctest::Approx(1.0 / 24.0).epsilon(1e-13));
  CHECK(contrast.sandwich == doctest::Approx(1.0 / 24.0).epsilon(1e-13));
  CHECK(fit.log_likelihood() == doctest::Approx(60 * std::log(0.6) + 40 * std::log(0.4)).epsilon(1e-13));
  CHECK(fit.deviance() == doctest::Approx(0.0));
}

TEST_CASE("bradley-terry: a match that cannot be is found, whatever summed the others") {
  for (const std::int32_t players : {20, 3000}) {  // counted in a table, and sorted
    for (const std::size_t at : {std::size_t{0}, std::size_t{17}, std::size_t{499}}) {
      const Table good(500, players, 3);
      PairCells cells;
      std::size_t bad = 0;
      REQUIRE(aggregate(good.matches(20), cells, bad) == (players == 20 ? Status::ok : Status::unknown_model));
      const auto before = cells.n;
      const auto n_players = static_cast<std::size_t>(players);
      Table table = good;
      table.i[at] = players;
      CHECK(aggregate(table.matches(n_players), cells, bad) == Status::unknown_model);
      CHECK(bad == at);
      table.i[at] = -1;
      CHECK(aggregate(table.matches(n_players), cells, bad) == Status::unknown_model);
      table.i[at] = table.j[at];
      CHECK(aggregate(table.matches(n_players), cells, bad) == Status::self_contest);
      CHECK(bad == at);
      table = good;
      for (const double score : {-0.5, 1.5, std::nan("")}) {
        table.score[at] = score;
        CHECK(aggregate(table.matches(n_players), cells, bad) == Status::out_of_range);
        CHECK(bad == at);
      }
      CHECK(cells.n == before);
    }
  }
}

TEST_CASE("bradley-terry: counted in a table or sorted, pairs are the same") {
  Table table(3000, 40, 11);
  PairCells few, many;
  std::size_t bad = 0;
  REQUIRE(aggregate(table.matches(40), few, bad) == Status::ok);
  REQUIRE(aggregate(table.matches(40'000), many, bad) == Status::ok);  // too many players for a table
  REQUIRE(few.size() == many.size());
  const auto sum = [](const PairCells& cells, std::int32_t i, std::int32_t j) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      if (cells.i[c] == i && cells.j[c] == j) return std::vector<double>{cells.n[c], cells.s[c], cells.ss[c]};
    }
    return std::vector<double>{};
  };
  for (std::size_t c = 0; c < few.size(); c += 7) CHECK(sum(few, few.i[c], few.j[c]) == sum(many, few.i[c], few.j[c]));
}

TEST_CASE("bradley-terry: more matches than a field of the table holds") {
  const std::size_t n = (std::size_t{1} << 21) + 100;
  Table table(0, 2, 0);
  table.i.assign(n, 0);
  table.j.assign(n, 1);
  table.score.assign(n, 1.0);
  table.score[5] = 0.0;
  PairCells cells;
  std::size_t bad = 0;
  REQUIRE(aggregate(table.matches(2), cells, bad) == Status::ok);
  CHECK(cells.n[0] == static_cast<double>(n));
  CHECK(cells.s[0] == static_cast<double>(n - 1));
}

TEST_CASE("bradley-terry: a fit that fails leaves the one before") {
  const Table table(300, 6, 2);
  BradleyTerry fit = fitted(table, 6);
  const std::vector<double> before(fit.strengths().begin(), fit.strengths().end());
  CHECK(fit.fit(PairCells{}) == Status::wrong_length);
  PairCells cells = fit.cells();
  CHECK(fit.fit(std::move(cells), {.prior = 0.0}) == Status::out_of_range);
  CHECK(std::equal(before.begin(), before.end(), fit.strengths().begin()));
}
