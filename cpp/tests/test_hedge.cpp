// Hedge against its definition, summed afresh over all settled tasks after each one, and against adversaries.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <utility>
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

// What the weights lose more than the best model, over rounds whose losses an adversary chooses who sees the weights.
//
// For rates that do not increase, the regret is at most ln M / eta plus the sum of the mixability gaps, each at most
// eta s^2 / 8, s being the range of the round's losses (S. de Rooij, T. van Erven, P. Grunwald, W. Koolen, "Follow the Leader
// If You Can, Hedge If You Must", JMLR 15, 2014). Two models have one rate, as their excesses are x and -x = s / 2; so with
// eta = min(1/2, sqrt(ln M / V)), V = sum x^2, x^2 <= 1, the sum is at most sqrt(V ln M) + 1 and
//
//     regret <= 2 sqrt(V ln M) + 2 ln M + 1,
//
// without decay. More models have a rate each, for which we know no proof: there the same bound, V being the largest of
// theirs, is an observation, on adversaries that are made to break it.
struct Game {
  double regret = 0.0, bound = 0.0;
};

template <class Adversary>
Game play(std::size_t models, int rounds, Adversary&& adversary) {
  Hedge hedge(HedgeOptions{.half_life = 1e15});
  hedge.resize(models);
  std::vector<ModelId> who(models);
  std::iota(who.begin(), who.end(), 0);
  Numbers weights(models), loss(models), excess(models), total(models), squares(models);
  double ours = 0.0;
  for (int t = 0; t < rounds; ++t) {
    for (std::size_t i = 0; i < models; ++i) weights[i] = hedge.advantage(who[i]);
    fairlead::softmax(weights);
    adversary(t, std::as_const(weights), loss);
    const double mean = std::accumulate(loss.begin(), loss.end(), 0.0) / static_cast<double>(models);
    ours += std::inner_product(weights.begin(), weights.end(), loss.begin(), 0.0);
    for (std::size_t i = 0; i < models; ++i) {
      total[i] += loss[i];
      excess[i] = loss[i] - mean;
      squares[i] += excess[i] * excess[i];
    }
    hedge.update(who, excess, t);
  }
  const double log_models = std::log(static_cast<double>(models));
  const double most = *std::max_element(squares.begin(), squares.end());
  return {ours - *std::min_element(total.begin(), total.end()), 2.0 * std::sqrt(most * log_models) + 2.0 * log_models + 1.0};
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

TEST_CASE("hedge: the regret on adversarial losses is within the bound") {
  double closest = 0.0;
  for (const std::size_t models : {2u, 3u, 5u, 20u, 100u}) {
    for (const int rounds : {10, 100, 3'000}) {
      std::mt19937_64 random(models);
      std::uniform_real_distribution<double> uniform(0.0, 2.0);
      const auto check = [&](const char* name, auto&& adversary) {
        const Game game = play(models, rounds, adversary);
        INFO(name, ", ", models, " models, ", rounds, " rounds");
        CHECK(game.regret <= game.bound);
        closest = std::max(closest, game.regret / game.bound);
      };
      using Loss = Numbers;
      const auto top = [](const Numbers& w) { return static_cast<std::size_t>(std::max_element(w.begin(), w.end()) - w.begin()); };
      const auto last = [](const Numbers& w) { return static_cast<std::size_t>(std::min_element(w.begin(), w.end()) - w.begin()); };
      check("the most trusted fails", [&](int, const Numbers& w, Loss& loss) {
        std::ranges::fill(loss, 0.0);
        loss[top(w)] = 2.0;
      });
      check("only the least trusted is right", [&](int, const Numbers& w, Loss& loss) {
        std::ranges::fill(loss, 2.0);
        loss[last(w)] = 0.0;
      });
      check("those above the average fail", [&](int, const Numbers& w, Loss& loss) {
        const double even = 1.0 / static_cast<double>(models);
        for (std::size_t i = 0; i < models; ++i) loss[i] = w[i] >= even ? 2.0 : 0.0;
      });
      check("random", [&](int, const Numbers&, Loss& loss) {
        for (double& x : loss) x = uniform(random);
      });
      check("coins", [&](int, const Numbers&, Loss& loss) {
        for (double& x : loss) x = random() % 2 == 0 ? 0.0 : 2.0;
      });
      for (const int stay : {1, 2, 50}) {
        check("the best one changes", [&](int t, const Numbers&, Loss& loss) {
          std::ranges::fill(loss, 2.0);
          loss[static_cast<std::size_t>(t / stay) % models] = 0.0;
        });
      }
      check("a calm one lures, then fails", [&](int, const Numbers& w, Loss& loss) {
        for (double& x : loss) x = random() % 2 == 0 ? 0.0 : 2.0;
        const double others = std::accumulate(loss.begin() + 1, loss.end(), 0.0) / static_cast<double>(models - 1);
        loss[0] = w[0] < 0.5 ? std::max(others - 0.05, 0.0) : 2.0;
      });
      check("the good one is wild, the others calm", [&](int, const Numbers& w, Loss& loss) {
        std::ranges::fill(loss, 1.0);
        loss[0] = w[0] > 0.6 || uniform(random) > 1.1 ? 2.0 : 0.0;
      });
    }
  }
  CHECK(closest > 0.4);  // the adversaries are worth something
}

TEST_CASE("hedge: with decay, whoever becomes the best is soon followed") {
  // Over every stretch of 400 tasks after a change, the loss is below that of the mean of all models.
  constexpr std::size_t models = 5;
  Hedge hedge;
  hedge.resize(models);
  const std::vector<ModelId> who{0, 1, 2, 3, 4};
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> uniform(0.0, 1.0);
  double ours = 0.0, mean_of_all = 0.0;
  for (int t = 0; t < 4'000; ++t) {
    const auto best = static_cast<std::size_t>(t / 400) % models;
    Numbers loss(models), weights(models);
    for (std::size_t i = 0; i < models; ++i) {
      loss[i] = uniform(random) + (i == best ? 0.0 : 1.0);
      weights[i] = hedge.advantage(who[i]);
    }
    fairlead::softmax(weights);
    const double mean = std::accumulate(loss.begin(), loss.end(), 0.0) / models;
    ours += std::inner_product(weights.begin(), weights.end(), loss.begin(), 0.0);
    mean_of_all += mean;
    for (double& x : loss) x -= mean;
    hedge.update(who, loss, t);
    if (t % 400 == 399) {
      INFO("task ", t);
      CHECK(ours < mean_of_all);
      ours = mean_of_all = 0.0;
    }
  }
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
