// The Scoreboard on numeric tasks: errors have a unit, and there is no bound to what a model may say.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <span>
#include <utility>

#include "fairlead/scoreboard.hpp"
#include "tasks.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::ModelId;
using fl::Scoreboard;
using fl::Status;
using fl::Strategy;
using fl::TaskHandle;

namespace {

Status say(Scoreboard& board, TaskHandle task, ModelId model, double value) {
  return board.record(task, {.model = model, .value = value});
}

}  // namespace

TEST_CASE("scoreboard: numbers are weighed, rated and decided") {
  Scoreboard board;
  for (const char* name : {"good", "bad", "worst"}) board.add(name);
  const auto first = open(board, Kind::numeric);
  for (const auto& [model, x] : {std::pair{0, 10.0}, {1, 13.0}, {2, 10.0}})
    REQUIRE(say(board, first, model, x) == Status::ok);
  fl::Decision d = decide(board, first);
  CHECK(d.value == doctest::Approx(11.0));
  CHECK(d.uncertainty == doctest::Approx(std::sqrt(2.0)));        // no history: the spread
  CHECK(d.disagreement == doctest::Approx(2.0 / (2.0 + 121.0)));  // against the answer
  CHECK(decide(board, first, Strategy::median).value == 10.0);
  REQUIRE(settle(board, first, 11.0) == Status::ok);
  for (int t = 1; t < 50; ++t) {
    const auto task = open(board, Kind::numeric);
    for (const auto& [model, x] : {std::pair{0, 11.0}, {1, 13.0}, {2, 40.0}})
      REQUIRE(say(board, task, model, x) == Status::ok);
    REQUIRE(settle(board, task, 11.5, t) == Status::ok);
  }
  CHECK(board.score(0).rmse() < board.score(1).rmse());
  CHECK(board.rating(0) > board.rating(1));
  CHECK(board.rating(1) > board.rating(2));
  const auto task = open(board, Kind::numeric);
  for (const ModelId i : {0, 1, 2}) REQUIRE(say(board, task, i, 20.0 + i) == Status::ok);
  d = decide(board, task);
  double expected = 0.0;
  for (const auto& [model, weight] : d.weights) expected += weight * std::pow(board.score(model).rmse(), 2);
  CHECK(d.uncertainty == doctest::Approx(std::sqrt(expected)).epsilon(1e-12));
  CHECK(d.weights[0].weight > d.weights[1].weight);
  CHECK(d.weights[1].weight > d.weights[2].weight);
}

TEST_CASE("scoreboard: perfect models that agree do not disagree") {
  Scoreboard board;
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) board.add(name);
  double worst = 0.0;
  for (int t = 0; t < 50; ++t) {
    const auto task = open(board, Kind::numeric);
    const double x = 0.1 * (t + 1);
    for (ModelId i = 0; i < 6; ++i) REQUIRE(say(board, task, i, x) == Status::ok);
    worst = std::max(worst, decide(board, task).disagreement);
    REQUIRE(settle(board, task, x, t) == Status::ok);
  }
  CHECK(worst < 1e-9);
}

TEST_CASE("scoreboard: one absurd number does not poison what was learned") {
  for (const double absurd : {1e100, 1e154, 1e160, std::numeric_limits<double>::max()}) {
    for (const int when : {0, 5}) {
      INFO("value ", absurd, ", at task ", when);
      Scoreboard board;
      for (const char* name : {"a", "b", "c"}) board.add(name);
      int bad_weights = 0, bad_scales = 0;
      for (int t = 0; t < 20; ++t) {
        const auto task = open(board, Kind::numeric);
        REQUIRE(say(board, task, 0, 1.0) == Status::ok);
        REQUIRE(say(board, task, 1, 1.5) == Status::ok);
        REQUIRE(say(board, task, 2, t == when ? absurd : t == when + 1 ? -absurd : 2.0) == Status::ok);
        for (const Strategy strategy : {Strategy::mean, Strategy::median, Strategy::weighted, Strategy::hedge}) {
          const fl::Decision d = decide(board, task, strategy);
          double sum = 0.0;
          for (const auto& [model, weight] : d.weights) sum += weight;
          bad_weights += std::abs(sum - 1.0) < 1e-12 ? 0 : 1;
          bad_scales +=
              d.disagreement >= 0.0 && d.disagreement <= 1.0 && d.position_scale >= 0.0 && d.position_scale <= 1.0 ? 0
                                                                                                                   : 1;
        }
        REQUIRE(settle(board, task, 1.0, t) == Status::ok);
      }
      CHECK(bad_weights == 0);
      CHECK(bad_scales == 0);
      CHECK(std::isfinite(board.rating(2)));
    }
  }
}

TEST_CASE("scoreboard: losses too small to divide by still make weights") {
  for (const double tiny : {6e-157, 1e-160, 1e-162, 5e-324}) {
    Scoreboard board;
    const ModelId a = board.add("a"), b = board.add("b");
    const auto first = open(board);
    REQUIRE(board.record(first, {.model = a, .p = std::span(&tiny, 1)}) == Status::ok);
    REQUIRE(board.record(first, {.model = b, .p = std::span(&tiny, 1)}) == Status::ok);
    REQUIRE(settle(board, first, 0.0) == Status::ok);
    const auto second = open(board);
    REQUIRE(board.record(second, {.model = a, .p = std::span(&tiny, 1)}) == Status::ok);
    REQUIRE(board.record(second, {.model = b, .p = std::span(&tiny, 1)}) == Status::ok);
    for (const Strategy strategy : {Strategy::weighted, Strategy::hedge}) {
      for (const auto& [model, weight] : decide(board, second, strategy).weights) CHECK(weight == 0.5);
    }
  }
}
