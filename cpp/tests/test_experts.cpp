// What the Python tests cannot see of Experts: errors as values, nothing allocated, damaged snapshots.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/experts.hpp"

using fairlead::ExpertLoss;
using fairlead::ExpertRule;
using fairlead::Experts;
using fairlead::ExpertsOptions;
using fairlead::Status;

namespace {

constexpr double absent = std::numeric_limits<double>::quiet_NaN();

Experts make(ExpertRule rule, std::size_t m, ExpertsOptions options = {}) {
  options.rule = rule;
  Experts out(options);
  for (std::size_t k = 0; k < m; ++k) out.add();
  return out;
}

}  // namespace

TEST_CASE("experts: errors change nothing") {
  for (const ExpertRule rule : {ExpertRule::hedge, ExpertRule::boa, ExpertRule::ml_poly}) {
    Experts experts = make(rule, 2, {.loss = ExpertLoss::log});
    double forecast = 0.0;
    const std::vector<double> x{0.2, 0.7}, bad{0.2, 1.1}, endless{0.2, std::numeric_limits<double>::infinity()}, one{0.2};
    REQUIRE(experts.update(x, 1.0, {}, forecast) == Status::ok);
    CHECK(forecast == doctest::Approx(0.45).epsilon(1e-15));
    const std::string before = experts.snapshot();
    CHECK(experts.update(x, 1.5, {}, forecast) == Status::bad_outcome);
    CHECK(experts.update(x, absent, {}, forecast) == Status::bad_outcome);
    CHECK(experts.update(bad, 1.0, {}, forecast) == Status::out_of_range);
    CHECK(experts.update(endless, 1.0, {}, forecast) == Status::not_finite);
    CHECK(experts.update(one, 1.0, {}, forecast) == Status::wrong_length);
    CHECK(experts.update_losses(endless, {}, forecast) == Status::not_finite);
    CHECK(experts.remove(7) == Status::unknown_model);
    CHECK(experts.revive(0) == Status::unknown_model);
    CHECK(experts.snapshot() == before);
  }
}

TEST_CASE("experts: a snapshot that was cut or altered is refused") {
  Experts experts = make(ExpertRule::boa, 3);
  double forecast = 0.0;
  const std::vector<double> x{0.2, 0.7, absent};
  for (int t = 0; t < 10; ++t) REQUIRE(experts.update(x, t % 2, {}, forecast) == Status::ok);
  const std::string bytes = experts.snapshot();
  Experts other = make(ExpertRule::hedge, 1);
  for (std::size_t cut = 0; cut < bytes.size(); ++cut) CHECK(Experts::restore(bytes.substr(0, cut), other) == Status::bad_snapshot);
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string altered = bytes;
    altered[at] = static_cast<char>(altered[at] ^ 0x10);
    CHECK(Experts::restore(altered, other) == Status::bad_snapshot);
  }
  CHECK(other.size() == 1);
  REQUIRE(Experts::restore(bytes, other) == Status::ok);
  CHECK(other.snapshot() == bytes);
}

TEST_CASE("experts: weights stay on the simplex through a million-fold range of losses") {
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> heavy(0.0, 6.0);
  for (const ExpertRule rule : {ExpertRule::hedge, ExpertRule::boa, ExpertRule::ml_poly}) {
    for (const double share : {0.0, 0.01}) {
      Experts experts = make(rule, 5, {.fixed_share = share, .floor = 0.01, .cap = 0.9});
      for (int t = 0; t < 2'000; ++t) {
        std::vector<double> losses(5);
        for (double& loss : losses) loss = random() % 4 == 0 ? absent : heavy(random);
        double loss = 0.0;
        REQUIRE(experts.update_losses(losses, {}, loss) == Status::ok);
        double sum = 0.0;
        for (const double w : experts.weights()) {
          REQUIRE(w >= 0.01 - 1e-12);
          REQUIRE(w <= 0.9 + 1e-12);
          sum += w;
        }
        REQUIRE(sum == doctest::Approx(1.0).epsilon(1e-12));
      }
    }
  }
}

TEST_CASE("experts: one round by hand") {
  // Square loss, gradient: forecast 0.5, slope -1, gains r = -1 (0.5 - x) = -0.5 and 0.5.
  const std::vector<double> x{0.0, 1.0};
  double forecast = 0.0;
  Experts hedge = make(ExpertRule::hedge, 2);
  REQUIRE(hedge.update(x, 1.0, {}, forecast) == Status::ok);
  CHECK(forecast == 0.5);
  CHECK(hedge.loss() == 0.25);
  // The gap at an infinite rate is 0.5, so eta = 2 ln 2 and the odds are exp(2 ln 2 x 1) = 4.
  CHECK(hedge.weights()[1] == doctest::Approx(0.8).epsilon(1e-14));
  Experts poly = make(ExpertRule::ml_poly, 2);
  REQUIRE(poly.update(x, 1.0, {}, forecast) == Status::ok);
  CHECK(poly.weights()[0] == 0.0);
  CHECK(poly.record(1).loss == 0.0);
  CHECK(poly.record(0).loss == 1.0);
  CHECK(poly.record(0).mixture_loss == 0.25);
}
