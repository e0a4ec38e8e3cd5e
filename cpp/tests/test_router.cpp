// The router against its definition in long double, its propensities against sampling, and what routing must achieve.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <vector>

#include "fairlead/normal.hpp"
#include "fairlead/router.hpp"

using namespace fairlead;

namespace {

struct Result {
  std::vector<ContextId> contexts;
  std::vector<ModelId> models;
  std::vector<double> losses;
};

struct Moments {
  long double n = 0.0L, mean = 0.0L, square = 0.0L;
};

// Decayed moments of the quality of `model` (-1: of all) in `context`, summed afresh. Probabilities only.
Moments definition(const std::vector<Result>& past, ContextId context, ModelId model, double half_life) {
  std::vector<std::pair<std::size_t, long double>> seen;
  std::size_t results = 0;
  for (const Result& result : past) {
    const bool here = context == Router::overall || std::count(result.contexts.begin(), result.contexts.end(), context) > 0;
    if (!here) continue;
    ++results;
    for (std::size_t i = 0; i < result.models.size(); ++i) {
      if (model < 0 || result.models[i] == model) seen.emplace_back(results, 1.0L - 0.5L * result.losses[i]);
    }
  }
  Moments made;
  for (const auto& [at, quality] : seen) {
    const long double weight = std::exp2(-static_cast<long double>(results - at) / static_cast<long double>(half_life));
    made.n += weight;
    made.mean += weight * quality;
  }
  if (made.n > 0.0L) made.mean /= made.n;
  for (const auto& [at, quality] : seen) {
    const long double weight = std::exp2(-static_cast<long double>(results - at) / static_cast<long double>(half_life));
    made.square += weight * (quality - made.mean) * (quality - made.mean);
  }
  return made;
}

std::pair<long double, long double> expected(const std::vector<Result>& past, const std::vector<ContextId>& contexts,
                                             ModelId model, const RouterOptions& options) {
  const Moments all = definition(past, Router::overall, -1, options.half_life);
  const Moments own = definition(past, Router::overall, model, options.half_life);
  const long double prior = options.prior, all_mean = (all.n * all.mean + 0.5L) / (all.n + 1.0L);
  const long double all_v = (all.square + 0.0625L) / (all.n + 1.0L);
  const long double mean = (own.n * own.mean + prior * all_mean) / (own.n + prior);
  const long double v = std::max((own.square + prior * all_v) / (own.n + prior), 1e-4L);
  if (contexts.empty()) return {mean, std::sqrt(v / (own.n + prior))};
  long double quality = 0.0L, variance = 0.0L;
  for (const ContextId context : contexts) {
    const Moments here = definition(past, context, model, options.half_life);
    const long double e = here.n / (here.n + 20.0L);
    quality += e * here.mean + (1.0L - e) * mean;
    variance += (here.n > 0.0L ? e * e * v / here.n : 0.0L) + (1.0L - e) * (1.0L - e) * (v / (own.n + prior) + v / 20.0L);
  }
  const auto size = static_cast<long double>(contexts.size());
  return {quality / size, std::sqrt(variance / size)};
}

std::vector<Candidate> candidates(std::size_t n) {
  std::vector<Candidate> made(n);
  for (std::size_t i = 0; i < n; ++i) made[i].model = static_cast<ModelId>(i);
  return made;
}

}  // namespace

TEST_CASE("router: estimates are those of the definition") {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  const RouterOptions options{.half_life = 30.0, .prior = 2.0};
  Router router(options);
  router.resize(4);
  std::vector<ContextId> all;
  for (const char* name : {"a", "b", "c"}) all.push_back(router.context("category", name));
  all.push_back(router.context("horizon", "a"));
  std::vector<Result> past;
  for (int t = 0; t < 400; ++t) {
    Result result;
    for (const ContextId context : all) {
      if (random() % 3 == 0) result.contexts.push_back(context);
    }
    for (ModelId model = 0; model < 4; ++model) {
      if (random() % 4 == 0) {
        result.models.push_back(model);
        result.losses.push_back(2.0 * uniform(random));
      }
    }
    REQUIRE(router.learn(Kind::binary, result.contexts, result.models, result.losses) == Status::ok);
    if (!result.models.empty()) past.push_back(result);
    if (t % 20 != 0) continue;
    for (const auto& contexts : {std::vector<ContextId>{}, std::vector{all[0]}, std::vector{all[1], all[3]}}) {
      auto found = candidates(4);
      REQUIRE(router.estimate(Kind::binary, contexts, found) == Status::ok);
      for (const Candidate& candidate : found) {
        const auto [quality, spread] = expected(past, contexts, candidate.model, options);
        CHECK(candidate.quality == doctest::Approx(static_cast<double>(quality)).epsilon(1e-9));
        CHECK(candidate.spread == doctest::Approx(static_cast<double>(spread)).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("router: propensities are how often a choice is made") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 12; ++round) {
    Router router;
    const std::size_t n = 2 + random() % 6;
    router.resize(n);
    for (int t = 0; t < 60; ++t) {
      const auto model = static_cast<ModelId>(random() % n);
      // Some are asked hardly ever, so that spreads differ widely.
      if (model > 1 && random() % 8 != 0) continue;
      const double loss = std::uniform_real_distribution<double>(0.0, 0.3 + 0.1 * model)(random);
      REQUIRE(router.learn(Kind::binary, {}, std::array{model}, std::array{loss}) == Status::ok);
    }
    const Objective objectives[] = {{}, {.goal = Objective::Goal::mix, .cost = 0.1}, {.goal = Objective::Goal::value}};
    const Objective& objective = objectives[round % 3];
    std::map<ModelId, int> chosen;
    std::map<ModelId, double> propensity;
    constexpr int draws = 40'000;
    for (std::uint64_t seed = 0; seed < draws; ++seed) {
      auto found = candidates(n);
      for (Candidate& candidate : found) candidate.cost_usd = 0.001 * (1.0 + 0.1 * candidate.model);
      Pick pick;
      REQUIRE(router.pick(Kind::binary, {}, objective, seed * 7919, found, pick) == Status::ok);
      ++chosen[found[pick.order[0]].model];
      propensity[found[pick.order[0]].model] = pick.propensity;
      for (std::size_t i = 1; i < n; ++i) REQUIRE(found[pick.order[i - 1]].utility >= found[pick.order[i]].utility);
    }
    double sum = 0.0;
    for (const auto& [model, count] : chosen) {
      CHECK(std::abs(propensity[model] - static_cast<double>(count) / draws) < 0.011);
      sum += propensity[model];
    }
    CHECK(sum == doctest::Approx(1.0).epsilon(0.01));
  }
}

TEST_CASE("router: the quantile undoes the distribution function") {
  for (double p = 1e-12; p < 1.0 - 1e-9; p = p < 0.1 ? p * 1.7 : p + 0.0137) {
    CHECK(normal_cdf(normal_quantile(p)) == doctest::Approx(p).epsilon(3e-6));
    CHECK(normal_quantile(1.0 - p) == doctest::Approx(-normal_quantile(p)).epsilon(p < 1e-6 ? 1e-3 : 1e-6));
  }
}

TEST_CASE("router: objectives order candidates by what they say") {
  Router router;
  router.resize(3);
  for (int t = 0; t < 200; ++t) {
    const std::array<ModelId, 3> who{0, 1, 2};
    REQUIRE(router.learn(Kind::binary, {}, who, std::array{0.1, 0.2, 0.9}) == Status::ok);
  }
  const auto order = [&](Objective objective, double missing_latency = 30.0) {
    auto found = candidates(3);
    const double costs[] = {0.02, 0.01, 0.0001}, latencies[] = {900.0, 50.0, missing_latency};
    for (std::size_t i = 0; i < 3; ++i) {
      found[i].cost_usd = costs[i];
      found[i].latency_ms = latencies[i];
    }
    objective.explore = 0.0;
    Pick pick;
    REQUIRE(router.pick(Kind::binary, {}, objective, 1, found, pick) == Status::ok);
    CHECK(pick.propensity == 1.0);
    CHECK(!pick.explored);
    return std::array{found[pick.order[0]].model, found[pick.order[1]].model, found[pick.order[2]].model};
  };
  using Goal = Objective::Goal;
  CHECK(order({}) == std::array<ModelId, 3>{0, 1, 2});
  CHECK(order({.goal = Goal::cost}) == std::array<ModelId, 3>{2, 1, 0});
  CHECK(order({.goal = Goal::cost, .min_quality = 0.8}) == std::array<ModelId, 3>{1, 0, 2});
  CHECK(order({.goal = Goal::latency}) == std::array<ModelId, 3>{2, 1, 0});
  CHECK(order({.goal = Goal::latency}, fairlead::nan)[0] == 1);  // what is not known counts as slow
  CHECK(order({.goal = Goal::value}) == std::array<ModelId, 3>{2, 1, 0});
  CHECK(order({.goal = Goal::mix, .quality = 1.0, .cost = 0.3}) == std::array<ModelId, 3>{1, 0, 2});
  auto found = candidates(3);
  Pick pick;
  REQUIRE(router.pick(Kind::binary, {}, {.min_quality = 0.99}, 1, found, pick) == Status::ok);
  CHECK(pick.below);
}

TEST_CASE("router: a prediction for the prompt counts as so many results") {
  Router router;
  router.resize(2);
  auto found = candidates(2);
  found[1].predicted = 0.9;
  found[1].predicted_n = 2.0;
  REQUIRE(router.estimate(Kind::binary, {}, found) == Status::ok);
  CHECK(found[0].quality == doctest::Approx(0.5));
  CHECK(found[1].quality == doctest::Approx(0.7));  // beside the prior's two
  CHECK(found[1].spread < found[0].spread);
}

TEST_CASE("router: what drifts is found again, and what is new is tried") {
  std::mt19937_64 random(3);
  Router router(RouterOptions{.half_life = 200.0});
  router.resize(4);
  double skill[] = {0.6, 0.8, 0.7, 0.75};
  int best_late = 0;
  for (std::uint64_t t = 0; t < 8000; ++t) {
    if (t == 4000) std::swap(skill[0], skill[1]);
    auto found = candidates(4);
    Pick pick;
    REQUIRE(router.pick(Kind::binary, {}, {}, t, found, pick) == Status::ok);
    const ModelId asked = found[pick.order[0]].model;
    const bool right = std::bernoulli_distribution(skill[asked])(random);
    REQUIRE(router.learn(Kind::binary, {}, std::array{asked}, std::array{right ? 0.0 : 2.0}) == Status::ok);
    if (t >= 6500) best_late += asked == 0;
  }
  CHECK(best_late > 600);  // of 1,500; the mean of the three rivals is under .77, so chance would give 375
  for (ModelId model = 0; model < 4; ++model) CHECK(router.evidence(Kind::binary, Router::overall, model) > 1.0);
}

TEST_CASE("router: numbers are judged by the error that is usual there") {
  Router router;
  router.resize(2);
  const ContextId small = router.context("category", "small"), large = router.context("category", "large");
  for (int t = 0; t < 100; ++t) {
    const std::array<ModelId, 2> who{0, 1};
    REQUIRE(router.learn(Kind::numeric, std::array{small}, who, std::array{1e-4, 3e-4}) == Status::ok);
    REQUIRE(router.learn(Kind::numeric, std::array{large}, who, std::array{3e6, 1e6}) == Status::ok);
  }
  auto found = candidates(2);
  REQUIRE(router.estimate(Kind::numeric, std::array{small}, found) == Status::ok);
  CHECK(found[0].quality > found[1].quality);
  REQUIRE(router.estimate(Kind::numeric, std::array{large}, found) == Status::ok);
  CHECK(found[0].quality < found[1].quality);
  REQUIRE(router.estimate(Kind::binary, std::array{large}, found) == Status::ok);
  CHECK(found[0].quality == 0.5);  // nothing is known of its probabilities
}

TEST_CASE("router: what does not fit is refused and changes nothing") {
  Router router;
  router.resize(2);
  const std::string before = router.snapshot();
  CHECK(router.learn(Kind::binary, std::array{ContextId{7}}, std::array{ModelId{0}}, std::array{0.0}) == Status::unknown_slice);
  CHECK(router.learn(Kind::binary, {}, std::array{ModelId{2}}, std::array{0.0}) == Status::unknown_model);
  CHECK(router.learn(Kind::binary, {}, std::array{ModelId{1}}, {}) == Status::wrong_length);
  const std::vector<ContextId> many(Router::max_contexts + 1, 0);
  CHECK(router.learn(Kind::binary, many, std::array{ModelId{1}}, std::array{0.0}) == Status::too_many_slices);
  auto found = candidates(3);
  Pick pick;
  CHECK(router.pick(Kind::binary, {}, {}, 1, found, pick) == Status::unknown_model);
  found = candidates(2);
  CHECK(router.pick(Kind::binary, {}, {.explore = -1.0}, 1, found, pick) == Status::out_of_range);
  CHECK(router.pick(Kind::binary, {}, {.min_quality = fairlead::nan}, 1, found, pick) == Status::out_of_range);
  found[1].cost_usd = fairlead::nan;
  CHECK(router.pick(Kind::binary, {}, {}, 1, found, pick) == Status::out_of_range);
  CHECK(router.pick(Kind::binary, {}, {}, 1, {}, pick) == Status::no_forecast);
  CHECK(router.snapshot() == before);
}

TEST_CASE("router: a snapshot goes on as if never stopped, and a damaged one changes nothing") {
  std::mt19937_64 random(5);
  Router router;
  router.resize(3);
  const auto live = [&](Router& at, std::uint64_t seed) {
    std::mt19937_64 own(seed);
    const ContextId context = at.context("category", std::to_string(own() % 5));
    const auto model = static_cast<ModelId>(own() % 3);
    const double loss = std::uniform_real_distribution<double>(0.0, 2.0)(own);
    const Kind kind = own() % 3 == 0 ? Kind::numeric : Kind::binary;
    REQUIRE(at.learn(kind, std::array{context}, std::array{model}, std::array{loss}) == Status::ok);
  };
  for (std::uint64_t t = 0; t < 300; ++t) live(router, t);
  const std::string bytes = router.snapshot();
  Router other;
  REQUIRE(Router::restore(bytes, other) == Status::ok);
  CHECK(other.snapshot() == bytes);
  for (std::uint64_t t = 300; t < 600; ++t) {
    live(router, t);
    live(other, t);
  }
  CHECK(other.snapshot() == router.snapshot());
  const std::string kept = other.snapshot();
  for (std::size_t i = 0; i < bytes.size(); i += 1 + random() % 16) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ static_cast<char>(1 + random() % 255));
    CHECK(Router::restore(bad, other) == Status::bad_snapshot);
    CHECK(Router::restore(std::string_view(bytes).substr(0, i), other) == Status::bad_snapshot);
  }
  CHECK(other.snapshot() == kept);
}
