// Hedge against its definition, summed afresh over all settled tasks after each one.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <vector>

#include "fairlead/hedge.hpp"

using fairlead::Hedge;
using fairlead::HedgeOptions;
using fairlead::ModelId;
using fairlead::Time;

namespace {

using Numbers = std::vector<double>;

struct Settled {
  std::vector<ModelId> models;
  Numbers excess;
  Time time;
};

struct Expected {
  long double advantage = 0.0L, evidence = 0.0L;
};

// D: every excess, halved once per half-life of tasks since. V: the squares of the rounds' sums, each sum decayed to
// the round's last task and its square from there on.
Expected definition(const std::vector<Settled>& tasks, ModelId model, std::size_t models, double half_life) {
  const auto decay = [&](std::size_t age) {
    return std::exp2(-static_cast<long double>(age) / static_cast<long double>(half_life));
  };
  long double d = 0.0L, v = 0.0L, n = 0.0L;
  for (std::size_t from = 0; from < tasks.size();) {
    std::size_t to = from;
    while (to < tasks.size() && tasks[to].time == tasks[from].time) ++to;
    long double round = 0.0L;
    for (std::size_t t = from; t < to; ++t) {
      for (std::size_t j = 0; j < tasks[t].models.size(); ++j) {
        if (tasks[t].models[j] != model) continue;
        const long double x = static_cast<long double>(tasks[t].excess[j]);
        d += x * decay(tasks.size() - 1 - t);
        n += decay(tasks.size() - 1 - t);
        round += x * decay(to - 1 - t);
      }
    }
    v += round * round * decay(tasks.size() - to);
    from = to;
  }
  const long double log_models = std::log(static_cast<long double>(std::max<std::size_t>(models, 2)));
  const long double eta = std::min(0.5L, std::sqrt(log_models / std::max(v, 1e-12L)));
  return {-eta * d, n / (n + 20.0L)};
}

Settled task(std::mt19937_64& random, std::size_t models, Time time) {
  std::vector<ModelId> who(models);
  std::iota(who.begin(), who.end(), 0);
  std::shuffle(who.begin(), who.end(), random);
  who.resize(1 + random() % models);
  std::uniform_real_distribution<double> loss(0.0, 2.0);
  Numbers excess(who.size());
  for (double& x : excess) x = loss(random);
  const double mean = std::accumulate(excess.begin(), excess.end(), 0.0) / static_cast<double>(excess.size());
  for (double& x : excess) x -= mean;
  return {who, excess, time};
}

Hedge after(const std::vector<Settled>& tasks, std::size_t models, double half_life) {
  Hedge hedge(HedgeOptions{.half_life = half_life});
  hedge.resize(models);
  for (const Settled& t : tasks) hedge.update(t.models, t.excess, t.time);
  return hedge;
}

}  // namespace

TEST_CASE("hedge: advantage and evidence are those of the definition after every task") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    const std::size_t models = 1 + random() % 12;
    const double half_life = std::vector<double>{200.0, 5.0, 1.0, 1000.0}[seed % 4];
    Hedge hedge(HedgeOptions{.half_life = half_life});
    hedge.resize(models);
    std::vector<Settled> tasks;
    Time now = static_cast<Time>(seed) - 20;
    double worst = 0.0;
    for (int t = 0; t < 80; ++t) {
      if (random() % 3 == 0) now += 1 + static_cast<Time>(random() % 4);
      tasks.push_back(task(random, models, now));
      hedge.update(tasks.back().models, tasks.back().excess, now);
      for (ModelId i = 0; i < static_cast<ModelId>(models); ++i) {
        const Expected expected = definition(tasks, i, models, half_life);
        worst = std::max({worst, std::abs(hedge.advantage(i) - static_cast<double>(expected.advantage)),
                          std::abs(hedge.evidence(i) - static_cast<double>(expected.evidence))});
      }
    }
    CHECK(worst < 1e-11);
  }
}

TEST_CASE("hedge: before any outcome, and for who never answered, the advantage is nothing") {
  Hedge hedge;
  hedge.resize(3);
  for (const ModelId i : {0, 1, 2}) CHECK(hedge.advantage(i) == 0.0);
  for (const ModelId i : {0, 1, 2}) CHECK(hedge.evidence(i) == 0.0);
  for (Time t = 0; t < 50; ++t) hedge.update(std::vector<ModelId>{0, 1}, Numbers{-0.1, 0.1}, t);
  CHECK(hedge.advantage(0) > 0.0);
  CHECK(hedge.advantage(1) < 0.0);
  CHECK(hedge.advantage(2) == 0.0);
  CHECK(hedge.evidence(2) == 0.0);
  CHECK(hedge.evidence(0) > 0.5);
  hedge.resize(4);  // one joins late: where the average is
  CHECK(hedge.advantage(3) == 0.0);
  CHECK(hedge.advantage(0) > 0.0);
}

TEST_CASE("hedge: the rate never exceeds a half") {
  Hedge hedge;
  hedge.resize(2);
  hedge.update(std::vector<ModelId>{0, 1}, Numbers{-1e-9, 1e-9}, 0);
  CHECK(hedge.advantage(0) == doctest::Approx(0.5e-9).epsilon(1e-12));
}

TEST_CASE("hedge: fifty echoes at one time are not fifty proofs") {
  std::vector<Settled> one_round, fifty_rounds;
  for (Time t = 0; t < 50; ++t) {
    one_round.push_back({{0, 1}, {-0.3, 0.3}, 7});
    fifty_rounds.push_back({{0, 1}, {-0.3, 0.3}, t});
  }
  const double echo = after(one_round, 2, 200.0).advantage(0);
  const double proof = after(fifty_rounds, 2, 200.0).advantage(0);
  CHECK(echo > 0.0);
  CHECK(proof > 3.0 * echo);
}

TEST_CASE("hedge: models that come later change nothing before they come") {
  Hedge small, large;
  small.resize(3);
  large.resize(60);
  const std::vector<ModelId> models{0, 1, 2};
  for (int t = 0; t < 50; ++t) {
    const Numbers excess{0.1 * std::sin(t), -0.05, 0.05 - 0.1 * std::sin(t)};
    small.update(models, excess, t);
    large.update(models, excess, t);
    for (const ModelId i : models) REQUIRE(small.advantage(i) == large.advantage(i));
  }
  const std::vector<ModelId> newcomers{3, 4};
  const double before = large.advantage(0);
  large.update(newcomers, Numbers{0.1, -0.1}, 50);
  CHECK(large.advantage(0) != before);  // now there are five
}

TEST_CASE("hedge: a model that left decays to exactly nothing") {
  Hedge hedge({.half_life = 1.0});
  hedge.resize(2);
  hedge.update(std::vector<ModelId>{0, 1}, Numbers{0.5, -0.5}, 0);
  for (int t = 1; t < 1'100; ++t) hedge.update(std::vector<ModelId>{1}, Numbers{0.0}, t);
  CHECK(hedge.evidence(0) == 0.0);
  CHECK(hedge.advantage(0) == 0.0);
}

TEST_CASE("hedge: an old hero can fall") {
  std::vector<Settled> tasks;
  for (Time t = 0; t < 1'000; ++t) tasks.push_back({{0, 1}, {-0.2, 0.2}, t});
  CHECK(after(tasks, 2, 200.0).advantage(0) > after(tasks, 2, 200.0).advantage(1));
  for (Time t = 1'000; t < 1'400; ++t) tasks.push_back({{0, 1}, {0.2, -0.2}, t});
  CHECK(after(tasks, 2, 200.0).advantage(0) < after(tasks, 2, 200.0).advantage(1));
}

TEST_CASE("softmax: weights sum to one however large the advantages") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal(0.0, seed % 2 ? 3.0 : 2'000.0);
    Numbers z(1 + random() % 40);
    for (double& x : z) x = normal(random);
    Numbers shifted = z;
    for (double& x : shifted) x += 1e4;
    const Numbers before = z;
    fairlead::softmax(z);
    fairlead::softmax(shifted);
    CHECK(std::abs(std::accumulate(z.begin(), z.end(), 0.0) - 1.0) < 1e-13);
    for (std::size_t i = 0; i < z.size(); ++i) {
      CHECK(z[i] >= 0.0);
      CHECK(std::abs(z[i] - shifted[i]) < 1e-9);
      for (std::size_t j = 0; j < z.size(); ++j) {
        if (z[j] > 1e-200 && z[i] > 1e-200) CHECK(std::abs(std::log(z[i] / z[j]) - (before[i] - before[j])) < 1e-9);
      }
    }
  }
}
