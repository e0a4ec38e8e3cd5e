// What every strategy keeps to, what `auto` is made of, and that a strategy is scored by what was known when it was asked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fairlead/scoreboard.hpp"
#include "tasks.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::ModelId;
using fl::Scoreboard;
using fl::SliceId;
using fl::Status;
using fl::Strategy;

namespace {

using Numbers = std::vector<double>;

constexpr std::size_t of(Strategy strategy) { return static_cast<std::size_t>(strategy); }

Numbers random_answer(std::mt19937_64& random, Kind kind, std::size_t labels) {
  std::uniform_real_distribution<double> uniform;
  if (kind == Kind::numeric) return {std::normal_distribution<double>(50.0, 20.0)(random)};
  if (kind == Kind::binary) return {uniform(random)};
  Numbers p(labels);
  double sum = 0.0;
  for (double& x : p) sum += x = uniform(random) * uniform(random) + 1e-4;
  for (double& x : p) x /= sum;
  return p;
}

double random_outcome(std::mt19937_64& random, Kind kind, std::size_t labels) {
  if (kind == Kind::numeric) return std::normal_distribution<double>(50.0, 20.0)(random);
  return static_cast<double>(random() % (kind == Kind::binary ? 2 : labels));
}

void answer(Scoreboard& board, fl::TaskHandle task, ModelId model, Kind kind, const Numbers& values) {
  fl::Forecast forecast{.model = model};
  if (kind == Kind::numeric) {
    forecast.value = values[0];
  } else {
    forecast.p = values;
  }
  REQUIRE(board.record(task, forecast) == Status::ok);
}

std::size_t labels_of(Kind kind) { return kind == Kind::categorical ? 4 : 0; }

// What a decision says, one value per class as the board has it.
Numbers pooled(const fl::Decision& d, Kind kind) {
  if (kind == Kind::numeric) return {d.value};
  return d.p;
}

double loss_of(const fl::Decision& d, Kind kind, double outcome) {
  if (kind == Kind::numeric) return (d.value - outcome) * (d.value - outcome);
  if (kind == Kind::binary) return 2.0 * (d.p[0] - outcome) * (d.p[0] - outcome);
  double loss = 0.0;
  for (std::size_t k = 0; k < d.p.size(); ++k) loss += std::pow(d.p[k] - (static_cast<double>(k) == outcome ? 1.0 : 0.0), 2);
  return loss;
}

// A board with a past: models of different skill, some absent, two slices.
struct Past {
  explicit Past(Kind kind, std::size_t models = 6, std::uint64_t seed = 1, int tasks = 300) : random(seed) {
    for (std::size_t i = 0; i < models; ++i) board.add("model-" + std::to_string(i));
    slices = {board.slice("category", "a"), board.slice("category", "b"), board.slice("horizon", "1")};
    for (int t = 0; t < tasks; ++t) {
      const auto task = open(board, kind, labels_of(kind), {slices[static_cast<std::size_t>(t % 3)]});
      const double outcome = random_outcome(random, kind, labels_of(kind));
      for (std::size_t i = 0; i < models; ++i) {
        if (random() % 5 == 0) continue;
        answer(board, task, static_cast<ModelId>(i), kind, informed(kind, outcome, static_cast<double>(i)));
      }
      REQUIRE(settle(board, task, outcome, t / 4) == Status::ok);
    }
  }

  // The larger `ignorance`, the less it has to do with the outcome.
  Numbers informed(Kind kind, double outcome, double ignorance) {
    Numbers p = random_answer(random, kind, labels_of(kind));
    const double known = 1.0 / (2.0 + ignorance);
    if (kind == Kind::numeric) return {known * outcome + (1.0 - known) * p[0]};
    if (kind == Kind::binary) return {known * outcome + (1.0 - known) * p[0]};
    for (std::size_t k = 0; k < p.size(); ++k) p[k] = (1.0 - known) * p[k] + (static_cast<double>(k) == outcome ? known : 0.0);
    return p;
  }

  std::mt19937_64 random;
  Scoreboard board;
  std::vector<SliceId> slices;
};

constexpr Kind kinds[] = {Kind::binary, Kind::categorical, Kind::numeric};

}  // namespace

TEST_CASE("strategies: weights lie on the simplex and answers are such, with a past and without") {
  for (const Kind kind : kinds) {
    for (const int tasks : {0, 1, 300}) {
      Past past(kind, 6, 3, tasks);
      for (std::size_t m = 1; m <= 6; ++m) {
        const auto task = open(past.board, kind, labels_of(kind), {past.slices[0], past.slices[2]});
        for (std::size_t i = 0; i < m; ++i) {
          answer(past.board, task, static_cast<ModelId>(i), kind, random_answer(past.random, kind, labels_of(kind)));
        }
        for (std::size_t s = 0; s < fl::n_strategies; ++s) {
          CAPTURE(fl::strategy_names[s]);
          const fl::Decision d = decide(past.board, task, static_cast<Strategy>(s));
          double sum = 0.0;
          REQUIRE(d.weights.size() == m);
          for (const auto& [model, weight] : d.weights) {
            CHECK(weight >= 0.0);
            sum += weight;
          }
          CHECK(sum == doctest::Approx(1.0).epsilon(1e-12));
          CHECK(d.position_scale >= 0.0);
          CHECK(d.position_scale <= 1.0);
          CHECK(d.disagreement >= 0.0);
          CHECK(d.low <= d.high);
          CHECK(d.spread >= 0.0);
          if (kind == Kind::numeric) continue;
          double total = 0.0;
          for (const double p : d.p) {
            CHECK(p >= 0.0);
            CHECK(p <= 1.0 + 1e-12);
            total += p;
          }
          if (kind == Kind::categorical) CHECK(total == doctest::Approx(1.0).epsilon(1e-12));
          CHECK(d.entropy >= 0.0);
          CHECK(d.entropy <= 1.0);
          CHECK(d.divergence >= 0.0);
          const double told = kind == Kind::binary ? d.p[0] : *std::ranges::max_element(d.p);
          CHECK(d.low <= told);
          CHECK(d.high >= told);
        }
        REQUIRE(settle(past.board, task, 0.0, 1000) == Status::ok);
      }
    }
  }
}

TEST_CASE("strategies: the order of the models does not matter, and one that failed or left is as if it had not been asked") {
  for (const Kind kind : kinds) {
    Past past(kind);
    std::vector<Numbers> answers;
    for (std::size_t i = 0; i < 6; ++i) answers.push_back(random_answer(past.random, kind, labels_of(kind)));
    const auto ask = [&](const std::vector<ModelId>& order, bool fail) {
      const auto task = open(past.board, kind, labels_of(kind), {past.slices[1]});
      for (const ModelId model : order) answer(past.board, task, model, kind, answers[static_cast<std::size_t>(model)]);
      if (fail) REQUIRE(past.board.record(task, {.model = 5, .error = "timeout"}) == Status::ok);
      return task;
    };
    const auto straight = ask({0, 1, 2, 3, 4}, false), turned = ask({3, 1, 4, 0, 2}, true);
    for (std::size_t s = 0; s < fl::n_strategies; ++s) {
      CAPTURE(fl::strategy_names[s]);
      const fl::Decision one = decide(past.board, straight, static_cast<Strategy>(s));
      const fl::Decision other = decide(past.board, turned, static_cast<Strategy>(s));
      std::map<ModelId, double> weights;
      for (const auto& [model, weight] : one.weights) weights[model] = weight;
      for (const auto& [model, weight] : other.weights) CHECK(weight == doctest::Approx(weights.at(model)).epsilon(1e-9));
      const Numbers p = pooled(one, kind), q = pooled(other, kind);
      for (std::size_t k = 0; k < p.size(); ++k) CHECK(p[k] == doctest::Approx(q[k]).epsilon(1e-9));
    }
    // Five answered, one of them leaves: what is decided is what the other four say.
    const auto four = ask({0, 1, 2, 3}, false);
    const auto five = ask({4, 0, 1, 2, 3}, false);
    REQUIRE(past.board.remove(4) == Status::ok);
    for (std::size_t s = 0; s < fl::n_strategies; ++s) {
      CAPTURE(fl::strategy_names[s]);
      const Numbers p = pooled(decide(past.board, four, static_cast<Strategy>(s)), kind);
      const Numbers q = pooled(decide(past.board, five, static_cast<Strategy>(s)), kind);
      for (std::size_t k = 0; k < p.size(); ++k) CHECK(p[k] == doctest::Approx(q[k]).epsilon(1e-12));
    }
  }
}

TEST_CASE("strategies: of one model, and of models that all say the same, the answer is theirs") {
  for (const Kind kind : {Kind::binary, Kind::categorical}) {
    Past past(kind, 6, 5, 0);
    const Numbers p = kind == Kind::binary ? Numbers{0.7} : Numbers{0.1, 0.6, 0.1, 0.2};
    for (const std::size_t m : {std::size_t{1}, std::size_t{4}}) {
      const auto task = open(past.board, kind, labels_of(kind));
      for (std::size_t i = 0; i < m; ++i) answer(past.board, task, static_cast<ModelId>(i), kind, p);
      for (std::size_t s = 0; s < fl::n_strategies; ++s) {
        if (kind == Kind::categorical && static_cast<Strategy>(s) == Strategy::vote) continue;  // it spreads the rest
        CAPTURE(fl::strategy_names[s]);
        const fl::Decision d = decide(past.board, task, static_cast<Strategy>(s));
        for (std::size_t k = 0; k < p.size(); ++k) CHECK(d.p[k] == doctest::Approx(p[k]).epsilon(1e-12));
        CHECK(d.spread == doctest::Approx(0.0));
        CHECK(d.pairwise == doctest::Approx(0.0));
        CHECK(d.divergence == doctest::Approx(0.0).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("strategies: what each does, on answers that tell them apart") {
  Scoreboard board;
  for (int i = 0; i < 5; ++i) board.add("model-" + std::to_string(i));
  const auto task = open(board);
  const Numbers p{0.9, 0.2, 0.6, 0.65, 0.02};
  for (ModelId i = 0; i < 5; ++i) answer(board, task, i, Kind::binary, {p[static_cast<std::size_t>(i)]});
  CHECK(decide(board, task, Strategy::trimmed).p[0] == doctest::Approx((0.2 + 0.6 + 0.65) / 3.0));
  const fl::Decision sure = decide(board, task, Strategy::confidence);  // 0.02 is the surest
  CHECK(sure.p[0] == 0.02);
  CHECK((sure.reasons & fl::by_confidence) != 0);
  const fl::Decision none = decide(board, task, Strategy::consensus);  // three of five
  CHECK((none.reasons & fl::no_consensus) != 0);
  CHECK(none.position_scale == 0.0);
  const fl::Decision vote = decide(board, task, Strategy::vote);
  const double yes = 0.8 + 0.2 + 0.3, no = 0.6 + 0.96;
  const double said = 0.8 * 0.9 + 0.6 * 0.2 + 0.2 * 0.6 + 0.3 * 0.65 + 0.96 * 0.02;  // of two classes, their answers
  CHECK(vote.p[0] == doctest::Approx(said / (yes + no)));
  CHECK(vote.pairwise == doctest::Approx(2.0 * yes * no / ((yes + no) * (yes + no))));

  const auto agreed = open(board);
  for (const ModelId i : {0, 1, 2}) answer(board, agreed, i, Kind::binary, {p[static_cast<std::size_t>(i)]});
  const fl::Decision most = decide(board, agreed, Strategy::consensus);  // two of three
  CHECK(most.p[0] == doctest::Approx(0.75));
  CHECK((most.reasons & fl::no_consensus) == 0);
  CHECK((most.reasons & fl::by_agreement) != 0);
}

TEST_CASE("strategies: what the shape of a decision says, by its definitions") {
  Past past(Kind::categorical);
  const auto task = open(past.board, Kind::categorical, 4, {past.slices[0]});
  std::vector<Numbers> rows;
  for (ModelId i = 0; i < 5; ++i) {
    rows.push_back(random_answer(past.random, Kind::categorical, 4));
    answer(past.board, task, i, Kind::categorical, rows.back());
  }
  const fl::Decision d = decide(past.board, task, Strategy::weighted);
  double between = 0.0, divergence = 0.0, entropy = 0.0;
  for (std::size_t k = 0; k < 4; ++k) entropy -= d.p[k] * std::log(d.p[k]);
  std::map<std::size_t, double> named;
  for (std::size_t i = 0; i < 5; ++i) {
    const double w = d.weights[i].weight;
    for (std::size_t k = 0; k < 4; ++k) {
      between += w * std::pow(rows[i][k] - d.p[k], 2);
      divergence += w * rows[i][k] * std::log(std::max(rows[i][k], 1e-3) / d.p[k]);
    }
    named[static_cast<std::size_t>(std::ranges::max_element(rows[i]) - rows[i].begin())] += w;
  }
  double same = 0.0;
  for (const auto& [label, w] : named) same += w * w;
  CHECK(d.spread == doctest::Approx(std::sqrt(between)));
  CHECK(d.entropy == doctest::Approx(entropy / std::log(4.0)));
  CHECK(d.divergence == doctest::Approx(divergence / std::log(4.0)).epsilon(1e-6));
  CHECK(d.pairwise == doctest::Approx(1.0 - same));
}

TEST_CASE("strategies: each is scored by what it would have answered when the models did, whatever came since") {
  for (const Kind kind : kinds) {
    Past past(kind);
    // Twenty tasks wait; outcomes of others come in between; then theirs.
    struct Waiting {
      fl::TaskHandle task;
      std::vector<fl::Decision> decided;
    };
    std::vector<Waiting> waiting;
    fl::Time now = 1000;
    for (int t = 0; t < 20; ++t) {
      Waiting w{open(past.board, kind, labels_of(kind), {past.slices[static_cast<std::size_t>(t % 2)], past.slices[2]}), {}};
      for (ModelId i = 0; i < 6; ++i) answer(past.board, w.task, i, kind, random_answer(past.random, kind, labels_of(kind)));
      for (std::size_t s = 0; s < fl::n_strategies; ++s) w.decided.push_back(decide(past.board, w.task, static_cast<Strategy>(s)));
      waiting.push_back(std::move(w));
      const auto other = open(past.board, kind, labels_of(kind), {past.slices[0]});
      for (ModelId i = 0; i < 6; ++i) answer(past.board, other, i, kind, random_answer(past.random, kind, labels_of(kind)));
      REQUIRE(settle(past.board, other, random_outcome(past.random, kind, labels_of(kind)), ++now) == Status::ok);
    }
    for (const Waiting& w : waiting) {
      const double outcome = random_outcome(past.random, kind, labels_of(kind));
      REQUIRE(settle(past.board, w.task, outcome, ++now) == Status::ok);
      const auto marks = past.board.settled_strategies();
      REQUIRE(marks.size() == fl::n_strategies);
      for (std::size_t s = 0; s < fl::n_strategies; ++s) {
        CAPTURE(fl::strategy_names[s]);
        CHECK(marks[s].loss == doctest::Approx(loss_of(w.decided[s], kind, outcome)).epsilon(1e-9));
      }
    }
  }
}

TEST_CASE("auto: begins as the mean, and follows the core until a record speaks for another") {
  Past past(Kind::binary, 4, 7, 0);
  const auto task = open(past.board);
  const Numbers p{0.9, 0.4, 0.55, 0.1};
  for (ModelId i = 0; i < 4; ++i) answer(past.board, task, i, Kind::binary, {p[static_cast<std::size_t>(i)]});
  const fl::Decision first = decide(past.board, task);
  CHECK(first.p[0] == doctest::Approx((0.9 + 0.4 + 0.55 + 0.1) / 4.0).epsilon(1e-12));
  CHECK((first.reasons & fl::no_history) != 0);

  // The median is always right, one model is wild: it pulls every weighted mean, and the median does not care.
  Scoreboard board;
  for (int i = 0; i < 5; ++i) board.add("model-" + std::to_string(i));
  std::mt19937_64 random(11);
  std::normal_distribution<double> noise(0.0, 1.0);
  for (int t = 0; t < 3000; ++t) {
    const auto next = open(board, Kind::numeric);
    // Everybody is wild once in a while, a different one each time, so that no weight can tell.
    for (ModelId i = 0; i < 5; ++i) answer(board, next, i, Kind::numeric, {noise(random) + (random() % 8 == 0 ? 400.0 : 0.0)});
    REQUIRE(settle(board, next, 0.0, t) == Status::ok);
  }
  const auto last = open(board, Kind::numeric);
  for (ModelId i = 0; i < 5; ++i) answer(board, last, i, Kind::numeric, {i == 2 ? 400.0 : 0.1 * i});
  const fl::Decision d = decide(board, last);
  CHECK(d.chosen == Strategy::median);
  CHECK(std::abs(d.value) < 30.0);  // the mean is at 80
}

TEST_CASE("weighted: twins share a vote") {
  Scoreboard board;
  for (int i = 0; i < 6; ++i) board.add("model-" + std::to_string(i));
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform;
  std::normal_distribution<double> noise(0.0, 0.25);
  // Models 0 to 3 are one and the same; 4 and 5 err on their own, as much.
  double twins = 0.0, loss = 0.0, mean_loss = 0.0;
  int n = 0;
  for (int t = 0; t < 4000; ++t) {
    const double p = uniform(random);
    const auto task = open(board);
    const double shared = std::clamp(p + noise(random), 0.0, 1.0);
    for (ModelId i = 0; i < 6; ++i) answer(board, task, i, Kind::binary, {i < 4 ? shared : std::clamp(p + noise(random), 0.0, 1.0)});
    if (t >= 1000) {
      const fl::Decision d = decide(board, task, Strategy::weighted), mean = decide(board, task, Strategy::mean);
      for (const auto& [model, weight] : d.weights) twins += model < 4 ? weight : 0.0;
      loss += std::pow(d.p[0] - p, 2);
      mean_loss += std::pow(mean.p[0] - p, 2);
      ++n;
    }
    REQUIRE(settle(board, task, uniform(random) < p ? 1.0 : 0.0, t) == Status::ok);
  }
  CHECK(twins / n < 0.5);  // a third would be their share of the votes, two thirds is that of the models
  CHECK(loss < 0.85 * mean_loss);
}

TEST_CASE("stacked: underconfident models are pushed outward, biased ones shifted") {
  for (const bool biased : {false, true}) {
    Scoreboard board;
    for (int i = 0; i < 3; ++i) board.add("model-" + std::to_string(i));
    std::mt19937_64 random(9);
    std::uniform_real_distribution<double> uniform;
    double core = 0.0, stacked = 0.0;
    for (int t = 0; t < 1500; ++t) {
      const double p = uniform(random);
      const auto task = open(board);
      for (ModelId i = 0; i < 3; ++i) {
        const double logit = std::log(std::clamp(p, 0.01, 0.99) / (1.0 - std::clamp(p, 0.01, 0.99)));
        const double told = biased ? logit - 1.0 : 0.5 * logit;
        answer(board, task, i, Kind::binary, {1.0 / (1.0 + std::exp(-told))});
      }
      REQUIRE(settle(board, task, uniform(random) < p ? 1.0 : 0.0, t) == Status::ok);
      if (t < 300) continue;
      core += board.settled_strategies()[of(Strategy::hedge)].loss;
      stacked += board.settled_strategies()[of(Strategy::stacked)].loss;
    }
    CHECK(stacked < 0.985 * core);
  }
}

TEST_CASE("decide_by: weights of the caller's") {
  Past past(Kind::binary);
  const auto task = open(past.board);
  for (ModelId i = 0; i < 3; ++i) answer(past.board, task, i, Kind::binary, {0.2 + 0.3 * i});
  fl::Decision d;
  const std::vector<fl::ModelWeight> weights{{0, 3.0}, {2, 1.0}, {5, 7.0}};  // 5 has not answered
  REQUIRE(past.board.decide_by(task, weights, d) == Status::ok);
  CHECK(d.p[0] == doctest::Approx(0.75 * 0.2 + 0.25 * 0.8));
  CHECK(d.strategy == Strategy::given);
  CHECK((d.reasons & fl::weights_given) != 0);
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL}) {
    const std::vector<fl::ModelWeight> wrong{{0, bad}, {1, 1.0}};
    CHECK(past.board.decide_by(task, wrong, d) == Status::out_of_range);
  }
  const std::vector<fl::ModelWeight> nobody{{5, 1.0}};
  CHECK(past.board.decide_by(task, nobody, d) == Status::out_of_range);
  CHECK(past.board.decide(task, Strategy::given, d) == Status::out_of_range);
}

TEST_CASE("interval: holds what happens about as often as it says") {
  std::mt19937_64 random(3);
  std::uniform_real_distribution<double> uniform;
  std::normal_distribution<double> noise(0.0, 1.0);
  Scoreboard board;
  for (int i = 0; i < 4; ++i) board.add("model-" + std::to_string(i));
  int held = 0, asked = 0, number_held = 0;
  for (int t = 0; t < 4000; ++t) {
    const double p = uniform(random);
    const auto task = open(board);
    for (ModelId i = 0; i < 4; ++i) {
      answer(board, task, i, Kind::binary, {std::clamp(p + 0.1 * noise(random), 0.0, 1.0)});
    }
    const double y = noise(random);
    const auto number = open(board, Kind::numeric);
    for (ModelId i = 0; i < 4; ++i) answer(board, number, i, Kind::numeric, {0.5 * y + 0.5 * noise(random)});
    if (t >= 500) {
      const fl::Decision d = decide(board, task), e = decide(board, number);
      ++asked;
      held += d.low <= p && p <= d.high ? 1 : 0;
      number_held += e.low <= y && y <= e.high ? 1 : 0;
    }
    REQUIRE(settle(board, task, uniform(random) < p ? 1.0 : 0.0, t) == Status::ok);
    REQUIRE(settle(board, number, y, t) == Status::ok);
  }
  CHECK(held > 0.88 * asked);
  CHECK(number_held == doctest::Approx(0.9 * asked).epsilon(0.03));
}
