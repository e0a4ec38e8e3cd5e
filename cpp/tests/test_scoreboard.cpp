// The Scoreboard by what it promises: what decisions are made of, and what outcomes teach.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "fairlead/pooling.hpp"
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
constexpr Strategy all_strategies[] = {Strategy::mean,       Strategy::median,    Strategy::log,     Strategy::weighted,
                                       Strategy::hedge,      Strategy::trimmed,   Strategy::confidence,
                                       Strategy::consensus,  Strategy::stacked,   Strategy::vote,    Strategy::automatic};

Scoreboard fleet_of(std::size_t models, fl::ScoreboardOptions options = {}) {
  Scoreboard board(options);
  for (std::size_t i = 0; i < models; ++i) REQUIRE(board.add("model-" + std::to_string(i)) == static_cast<ModelId>(i));
  return board;
}

// An answer to any kind of task: a number, or probabilities.
void answer(Scoreboard& board, fl::TaskHandle task, ModelId model, Kind kind, const Numbers& values) {
  fl::Forecast forecast{.model = model};
  if (kind == Kind::numeric) {
    forecast.value = values[0];
  } else {
    forecast.p = values;
  }
  REQUIRE(board.record(task, forecast) == Status::ok);
}

Numbers random_answer(std::mt19937_64& random, Kind kind, std::size_t labels) {
  std::uniform_real_distribution<double> uniform;
  if (kind == Kind::binary) return {uniform(random)};
  if (kind == Kind::numeric) return {std::normal_distribution<double>(50.0, 20.0)(random)};
  Numbers p(labels);
  for (double& x : p) x = uniform(random) * uniform(random);
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

double random_outcome(std::mt19937_64& random, Kind kind, std::size_t labels) {
  if (kind == Kind::numeric) return std::normal_distribution<double>(50.0, 20.0)(random);
  return static_cast<double>(random() % (kind == Kind::binary ? 2 : labels));
}

double loss_of(Kind kind, const Numbers& p, double outcome) {
  if (kind != Kind::categorical) return (p[0] - outcome) * (p[0] - outcome);
  double loss = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k)
    loss += std::pow(p[k] - (static_cast<double>(k) == outcome ? 1.0 : 0.0), 2);
  return loss;
}

std::map<ModelId, double> weights_of(const fl::Decision& decision) {
  std::map<ModelId, double> out;
  for (const auto& [model, weight] : decision.weights) out[model] = weight;
  return out;
}

bool same(double a, double b, double tolerance) {
  return (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

// Everything a decision must be, whatever was answered.
void check_sane(const fl::Decision& d, Kind kind, std::size_t labels) {
  double sum = 0.0;
  bool positive = true;
  for (const auto& [model, weight] : d.weights) {
    sum += weight;
    positive = positive && weight >= 0.0;
  }
  CHECK(std::abs(sum - 1.0) < 1e-12);
  CHECK(positive);
  CHECK(d.disagreement >= 0.0);
  CHECK(d.disagreement <= 1.0);
  CHECK(d.position_scale >= 0.0);
  CHECK(d.position_scale <= 1.0);
  CHECK(d.uncertainty >= 0.0);
  if (kind == Kind::numeric) {
    CHECK(d.p.empty());
    CHECK(std::isfinite(d.value));
    return;
  }
  CHECK(d.uncertainty <= 1.0);
  CHECK(std::isnan(d.value));
  REQUIRE(d.p.size() == (kind == Kind::binary ? 1 : labels));
  if (kind == Kind::categorical) CHECK(std::abs(std::accumulate(d.p.begin(), d.p.end(), 0.0) - 1.0) < 1e-12);
  CHECK(std::all_of(d.p.begin(), d.p.end(), [](double x) { return x >= 0.0 && x <= 1.0 + 1e-15; }));
}

}  // namespace

TEST_CASE("scoreboard: decisions are sane and do not depend on the order of recording") {
  struct Case {
    Kind kind;
    std::size_t labels, models;
    std::uint64_t seed;
  };
  for (const Case& given :
       {Case{Kind::binary, 0, 1, 1}, Case{Kind::binary, 0, 12, 2}, Case{Kind::categorical, 5, 9, 3},
        Case{Kind::categorical, 100, 6, 4}, Case{Kind::numeric, 0, 7, 5}, Case{Kind::binary, 0, 200, 6},
        Case{Kind::categorical, 2, 3, 7}, Case{Kind::numeric, 0, 1, 8}}) {
    const auto [kind, labels, models, seed] = given;
    INFO("models ", given.models, ", labels ", given.labels, ", seed ", given.seed);
    std::mt19937_64 random(seed);
    Scoreboard forward = fleet_of(models);
    Scoreboard backward = fleet_of(models);
    std::vector<SliceId> slices;
    for (const char* name : {"a", "b", "c"}) {
      slices.push_back(forward.slice("horizon", name));
      REQUIRE(backward.slice("horizon", name) == slices.back());
    }
    double worst = 0.0;
    for (int t = 0; t < 60; ++t) {
      const std::vector<SliceId> where =
          t % 4 == 3 ? std::vector<SliceId>{} : std::vector{slices[static_cast<std::size_t>(t % 4)]};
      const auto a = open(forward, kind, labels, where);
      const auto b = open(backward, kind, labels, where);
      std::vector<std::pair<ModelId, Numbers>> answers;
      for (std::size_t i = 0; i < models; ++i) {
        if (i > 0 && random() % 4 == 0) continue;
        answers.emplace_back(static_cast<ModelId>(i), random_answer(random, kind, labels));
      }
      for (const auto& [model, p] : answers) answer(forward, a, model, kind, p);
      std::shuffle(answers.begin(), answers.end(), random);
      for (const auto& [model, p] : answers) answer(backward, b, model, kind, p);
      for (const Strategy strategy : all_strategies) {
        const fl::Decision x = decide(forward, a, strategy);
        const fl::Decision y = decide(backward, b, strategy);
        check_sane(x, kind, labels);
        CHECK(x.strategy == strategy);
        CHECK(x.task == a);
        const auto wx = weights_of(x), wy = weights_of(y);
        REQUIRE(wx.size() == answers.size());
        for (const auto& [model, weight] : wx) worst = std::max(worst, std::abs(weight - wy.at(model)));
        for (std::size_t k = 0; k < x.p.size(); ++k) worst = std::max(worst, std::abs(x.p[k] - y.p[k]));
        CHECK(same(x.value, y.value, 1e-12));
        CHECK(same(x.uncertainty, y.uncertainty, 1e-12));
        CHECK(same(x.disagreement, y.disagreement, 1e-12));
        CHECK(same(x.position_scale, y.position_scale, 1e-7));  // a square root, steep at 0
      }
      const double outcome = random_outcome(random, kind, labels);
      REQUIRE(settle(forward, a, outcome, t / 5) == Status::ok);
      REQUIRE(settle(backward, b, outcome, t / 5) == Status::ok);
    }
    CHECK(worst < 1e-12);
    CHECK(forward.open_tasks() == 0);
  }
}

TEST_CASE("scoreboard: uncertainty is the models' own plus their disagreement (linear pools)") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    const bool binary = seed % 2 == 0;
    const Kind kind = binary ? Kind::binary : Kind::categorical;
    const std::size_t labels = binary ? 0 : 3 + seed % 5;
    Scoreboard board = fleet_of(6);
    for (int t = 0; t < 10; ++t) {
      const auto task = open(board, kind, labels);
      std::vector<Numbers> answers;
      for (ModelId i = 0; i < 6; ++i) {
        answers.push_back(random_answer(random, kind, labels));
        answer(board, task, i, kind, answers.back());
      }
      for (const Strategy strategy : {Strategy::mean, Strategy::weighted, Strategy::hedge}) {
        const fl::Decision d = decide(board, task, strategy);
        double own = 0.0;
        for (const auto& [model, weight] : d.weights) {
          const Numbers& p = answers[static_cast<std::size_t>(model)];
          double square = 0.0;
          for (const double x : p) square += x * x;
          const double n = static_cast<double>(p.size());
          own += weight * (binary ? 4.0 * p[0] * (1.0 - p[0]) : (1.0 - square) / (1.0 - 1.0 / n));
        }
        CHECK(d.uncertainty == doctest::Approx(own + d.disagreement).epsilon(1e-12));
        if (binary) {
          CHECK(d.uncertainty == doctest::Approx(4.0 * d.p[0] * (1.0 - d.p[0])).epsilon(1e-12));
          CHECK(d.position_scale ==
                doctest::Approx(std::abs(2.0 * d.p[0] - 1.0) * (1.0 - d.disagreement)).epsilon(1e-9));
        }
        CHECK(((d.reasons & fl::models_disagree) != 0) == (d.disagreement > 0.1));
      }
      REQUIRE(settle(board, task, random_outcome(random, kind, labels)) == Status::ok);
    }
  }
}

TEST_CASE("scoreboard: certainty, ignorance and contradiction") {
  Scoreboard board = fleet_of(2);
  const auto task = open(board);
  answer(board, task, 0, Kind::binary, {1.0});
  fl::Decision d = decide(board, task);
  CHECK(d.p == Numbers{1.0});
  CHECK(d.uncertainty == 0.0);
  CHECK(d.position_scale == 1.0);
  CHECK(d.reasons == fl::single_model);
  answer(board, task, 1, Kind::binary, {0.0});
  d = decide(board, task);
  CHECK(d.p == Numbers{0.5});
  CHECK(d.uncertainty == 1.0);
  CHECK(d.disagreement == 1.0);
  CHECK(d.position_scale == 0.0);
  CHECK(d.reasons == (fl::no_history | fl::models_disagree));
  answer(board, task, 0, Kind::binary, {0.5});
  answer(board, task, 1, Kind::binary, {0.5});
  d = decide(board, task);
  CHECK(d.uncertainty == 1.0);
  CHECK(d.disagreement == 0.0);
  CHECK(d.reasons == fl::no_history);
  CHECK(decide(board, task, Strategy::mean).reasons == fl::equal_weights);
}

TEST_CASE("scoreboard: pools are those of the pooling family") {
  std::mt19937_64 random(21);
  Scoreboard board = fleet_of(5);
  const auto task = open(board, Kind::categorical, 4);
  Numbers rows;
  for (ModelId i = 0; i < 5; ++i) {
    const Numbers p = random_answer(random, Kind::categorical, 4);
    answer(board, task, i, Kind::categorical, p);
    rows.insert(rows.end(), p.begin(), p.end());
  }
  const Numbers equal(5, 0.2);
  Numbers expected(4), scratch(5);
  const auto close = [&](const fl::Decision& d) {
    double worst = 0.0;
    for (std::size_t k = 0; k < 4; ++k) worst = std::max(worst, std::abs(d.p[k] - expected[k]));
    return worst < 1e-14;
  };
  fl::pooling::linear(rows.data(), equal.data(), 5, 4, expected.data());
  CHECK(close(decide(board, task, Strategy::mean)));
  fl::pooling::log(rows.data(), equal.data(), 5, 4, expected.data());
  CHECK(close(decide(board, task, Strategy::log)));
  fl::pooling::median(rows.data(), 5, 4, expected.data(), scratch.data());
  CHECK(close(decide(board, task, Strategy::median)));
}

TEST_CASE("scoreboard: ratings, scores, weights and recent losses follow from the outcomes") {
  for (const Kind kind : {Kind::binary, Kind::categorical}) {
    const std::size_t labels = kind == Kind::binary ? 0 : 4;
    INFO("labels ", labels);
    std::mt19937_64 random(31);
    constexpr std::size_t models = 7;
    Scoreboard board = fleet_of(models);
    const SliceId politics = board.slice("category", "politics");
    const SliceId sports = board.slice("category", "sports");

    // The same bookkeeping, kept by hand for each slice.
    struct Book {
      fl::Elo elo;
      fl::Hedge hedge;
      std::vector<std::vector<std::pair<fl::Time, double>>> losses =
          std::vector<std::vector<std::pair<fl::Time, double>>>(models);
    };
    std::map<SliceId, Book> books;
    for (const SliceId slice : {Scoreboard::overall, politics, sports}) {
      books[slice].elo.resize(models);
      books[slice].hedge.resize(models);
    }

    for (int t = 0; t < 150; ++t) {
      const SliceId narrow = random() % 3 == 0 ? sports : politics;
      const auto task = open(board, kind, labels, {narrow});
      std::vector<ModelId> who;
      std::vector<Numbers> answers;
      for (ModelId i = 0; i < static_cast<ModelId>(models); ++i) {
        if (i > 1 && random() % 3 == 0) continue;
        who.push_back(i);
        answers.push_back(random_answer(random, kind, labels));
        answer(board, task, i, kind, answers.back());
      }

      // Hedge: the narrow slice as far as its evidence goes, the rest is the overall record.
      Numbers z;
      for (const ModelId i : who) {
        const fl::Hedge& near = books[narrow].hedge;
        const double believe = near.evidence(i);
        z.push_back(std::exp(believe * near.advantage(i) + (1.0 - believe) * books[0].hedge.advantage(i)));
      }
      const double z_sum = std::accumulate(z.begin(), z.end(), 0.0);
      const auto hedge = weights_of(decide(board, task, Strategy::hedge));
      double worst = 0.0;
      for (std::size_t j = 0; j < who.size(); ++j) {
        worst = std::max(worst, std::abs(hedge.at(who[j]) - z[j] / z_sum));
      }
      CHECK(worst < 1e-12);

      const double outcome = random_outcome(random, kind, labels);
      const fl::Time now = t / 3;
      REQUIRE(settle(board, task, outcome, now) == Status::ok);
      Numbers losses;
      for (const Numbers& p : answers) losses.push_back(loss_of(kind, p, outcome));
      REQUIRE(board.settled_models().size() == who.size());
      CHECK(std::equal(who.begin(), who.end(), board.settled_models().begin()));
      // Models are compared by the squared error over all classes: twice the Brier score of a binary answer.
      Numbers full = losses;
      for (double& loss : full) loss *= kind == Kind::binary ? 2.0 : 1.0;
      const double mean = std::accumulate(full.begin(), full.end(), 0.0) / static_cast<double>(full.size());
      Numbers excess;
      for (const double loss : full) excess.push_back(loss - mean);
      for (const SliceId slice : {Scoreboard::overall, narrow}) {
        Book& book = books[slice];
        REQUIRE(book.elo.contest(who, full) == Status::ok);
        book.hedge.update(who, excess, now);
        for (std::size_t j = 0; j < who.size(); ++j)
          book.losses[static_cast<std::size_t>(who[j])].emplace_back(now, losses[j]);
      }
    }

    for (const auto& [slice, book] : books) {
      for (ModelId i = 0; i < static_cast<ModelId>(models); ++i) {
        CHECK(board.rating(i, slice) == doctest::Approx(book.elo[i]).epsilon(1e-12));
        double sum = 0.0, window_sum = 0.0, window_n = 0.0;
        for (const auto& [time, loss] : book.losses[static_cast<std::size_t>(i)]) {
          sum += loss;
          if (time > 30 && time <= 40) {
            window_sum += loss;
            window_n += 1.0;
          }
        }
        const fl::Score& score = board.score(i, slice);
        CHECK(score.n == book.losses[static_cast<std::size_t>(i)].size());
        CHECK(score.brier() == doctest::Approx(sum / static_cast<double>(score.n)).epsilon(1e-12));
        const fl::Moments recent = board.history(i, slice, kind).window(10, 40);
        CHECK(recent.n == window_n);
        if (window_n > 0.0) CHECK(recent.mean == doctest::Approx(window_sum / window_n).epsilon(1e-12));
      }
    }
    const auto task = open(board, kind, labels);
    for (const ModelId i : {0, 1}) answer(board, task, i, kind, random_answer(random, kind, labels));
    CHECK(decide(board, task).reasons == (decide(board, task).reasons | fl::learned_weights));
  }
}
