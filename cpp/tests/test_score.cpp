// Scores against their definitions, summed in long double.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/score.hpp"

using fairlead::Kind;
using fairlead::mark_classes;
using fairlead::mark_number;
using fairlead::Marks;
using fairlead::Score;

namespace {

using Numbers = std::vector<double>;

}  // namespace

TEST_CASE("marks: one answer against what happened") {
  const Marks binary = mark_classes(Numbers{0.3, 0.7}, 1, true);
  CHECK(binary.loss == doctest::Approx(2 * 0.09).epsilon(1e-14));
  CHECK(binary.log_loss == doctest::Approx(-std::log(0.7)).epsilon(1e-15));
  CHECK(binary.shown == 0.7);
  CHECK(binary.happened);
  CHECK(binary.correct);

  const Marks unlikely = mark_classes(Numbers{0.8, 0.2}, 0, true);
  CHECK(unlikely.shown == 0.2);  // P(1), even where 0 is the better guess
  CHECK_FALSE(unlikely.happened);
  CHECK(unlikely.correct);

  const Marks classes = mark_classes(Numbers{0.2, 0.5, 0.3}, 2, false);
  CHECK(classes.loss == doctest::Approx(0.04 + 0.25 + 0.49).epsilon(1e-14));
  CHECK(classes.log_loss == doctest::Approx(-std::log(0.3)).epsilon(1e-15));
  CHECK(classes.shown == 0.5);
  CHECK_FALSE(classes.happened);
  CHECK_FALSE(classes.correct);

  CHECK(mark_number(-2.0, 1.5).loss == 12.25);
}

TEST_CASE("marks: a tie counts as the first, a zero is clipped at 2^-52") {
  CHECK(mark_classes(Numbers{0.4, 0.4, 0.2}, 0, false).correct);
  CHECK_FALSE(mark_classes(Numbers{0.4, 0.4, 0.2}, 1, false).correct);
  CHECK(mark_classes(Numbers{0.5, 0.5}, 0, true).correct);
  CHECK(mark_classes(Numbers{1.0, 0.0}, 1, true).log_loss == doctest::Approx(52 * std::log(2.0)).epsilon(1e-14));
  CHECK(mark_classes(Numbers{1.0, 0.0}, 1, true).loss == 2.0);
  CHECK(mark_classes(Numbers{1.0, 0.0}, 0, true).log_loss == 0.0);
}

TEST_CASE("score: means over many answers") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform;
    const bool binary = seed % 2 == 0;
    const std::size_t classes = binary ? 2 : 3 + seed;
    Score score;
    long double brier = 0.0L, log_loss = 0.0L;
    std::uint64_t correct = 0;
    constexpr int n = 500;
    for (int t = 0; t < n; ++t) {
      Numbers p(classes);
      double total = 0.0;
      for (double& x : p) total += x = uniform(random) * uniform(random);
      for (double& x : p) x /= total;
      const std::size_t outcome = random() % classes;
      score.add(mark_classes(p, outcome, binary), binary ? Kind::binary : Kind::categorical);
      std::size_t best = 0;
      for (std::size_t k = 0; k < classes; ++k) {
        const long double miss = static_cast<long double>(p[k]) - (k == outcome ? 1.0L : 0.0L);
        if (!binary || k == 1) brier += miss * miss;
        if (p[k] > p[best]) best = k;
      }
      log_loss -= std::log(static_cast<long double>(p[outcome]));
      correct += best == outcome ? 1u : 0u;
    }
    CHECK(score.n == n);
    CHECK(score.brier() == doctest::Approx(static_cast<double>(brier / n)).epsilon(1e-12));
    CHECK(score.log_loss() == doctest::Approx(static_cast<double>(log_loss / n)).epsilon(1e-12));
    CHECK(score.accuracy() == static_cast<double>(correct) / n);
    CHECK(score.calibration.size() == n);
    CHECK(score.calibration_error() >= 0.0);
    CHECK(std::isnan(score.mae()));
    CHECK(std::isnan(score.rmse()));
  }
}

TEST_CASE("score: numbers have errors, not probabilities") {
  Score score;
  for (const double value : {3.0, -1.0, 2.0}) score.add(mark_number(value, 1.0), Kind::numeric);
  CHECK(score.mae() == doctest::Approx(5.0 / 3.0));
  CHECK(score.rmse() == doctest::Approx(std::sqrt(9.0 / 3.0)));
  CHECK(std::isnan(score.brier()));
  CHECK(std::isnan(score.log_loss()));
  CHECK(std::isnan(score.accuracy()));
  CHECK(std::isnan(score.calibration_error()));

  // A model that answers both kinds keeps the two apart.
  score.add(mark_classes(Numbers{0.25, 0.75}, 1, true), Kind::binary);
  CHECK(score.n == 4);
  CHECK(score.brier() == 0.0625);
  CHECK(score.accuracy() == 1.0);
  CHECK(score.mae() == doctest::Approx(5.0 / 3.0));
}

TEST_CASE("score: nothing scored is unknown, and rounding above 1 is still counted") {
  Score score;
  CHECK(std::isnan(score.brier()));
  CHECK(std::isnan(score.calibration_error()));
  score.add(mark_classes(Numbers{std::nextafter(1.0, 2.0), 0.0, 0.0}, 0, false), Kind::categorical);
  CHECK(score.calibration.size() == 1);
  CHECK(score.calibration.bins()[9].n == 1);
}
