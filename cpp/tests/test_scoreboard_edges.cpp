// The Scoreboard at its edges: what it refuses, what it forgives, and that a refusal changes nothing.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
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
using fl::TaskHandle;

namespace {

using Numbers = std::vector<double>;
constexpr double inf = std::numeric_limits<double>::infinity();
constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
constexpr fl::Time first_time = std::numeric_limits<fl::Time>::min();
constexpr fl::Time last_time = std::numeric_limits<fl::Time>::max();

Status say(Scoreboard& board, TaskHandle task, ModelId model, const Numbers& p) {
  return board.record(task, {.model = model, .p = p});
}

Status say_number(Scoreboard& board, TaskHandle task, ModelId model, double value) {
  return board.record(task, {.model = model, .value = value});
}

// All that can be read of a board and one of its open tasks.
std::vector<double> state(Scoreboard& board, TaskHandle task) {
  std::vector<double> out{static_cast<double>(board.open_tasks()), static_cast<double>(board.models().size()),
                          static_cast<double>(board.n_slices())};
  for (ModelId i = 0; i < board.models().size(); ++i) {
    const fl::Calls& calls = board.calls(i);
    out.insert(out.end(), {static_cast<double>(calls.answered), static_cast<double>(calls.failed), calls.cost_usd,
                           static_cast<double>(calls.tokens_in), static_cast<double>(calls.tokens_out),
                           calls.latency_ms_sum, static_cast<double>(calls.latency_n)});
    for (SliceId s = 0; s < board.n_slices(); ++s) {
      out.insert(out.end(), {board.rating(i, s), static_cast<double>(board.score(i, s).n)});
    }
  }
  fl::Decision d;
  const Status status = board.decide(task, Strategy::hedge, d);
  out.insert(out.end(), {static_cast<double>(status), d.cost_usd, static_cast<double>(d.reasons)});
  for (const auto& [model, weight] : d.weights) out.insert(out.end(), {static_cast<double>(model), weight});
  out.insert(out.end(), d.p.begin(), d.p.end());
  if (!std::isnan(d.value)) out.push_back(d.value);
  return out;
}

}  // namespace

TEST_CASE("scoreboard: an answer that is refused changes nothing") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b"), gone = board.add("gone");
  REQUIRE(board.remove(gone) == Status::ok);
  const auto binary = open(board);
  const auto classes = open(board, Kind::categorical, 3);
  const auto number = open(board, Kind::numeric);
  for (const ModelId model : {a, b}) {
    REQUIRE(say(board, binary, model, {0.25}) == Status::ok);
    REQUIRE(say(board, classes, model, {0.2, 0.3, 0.5}) == Status::ok);
    REQUIRE(say_number(board, number, model, 7.0) == Status::ok);
  }
  const auto before = std::vector{state(board, binary), state(board, classes), state(board, number)};

  for (const ModelId model : {-1, 3, std::numeric_limits<ModelId>::max()})
    CHECK(say(board, binary, model, {0.5}) == Status::unknown_model);
  CHECK(say(board, binary, gone, {0.5}) == Status::inactive_model);
  for (const double p : {1.0 + 1e-12, -1e-12, 1.3, inf, -inf})
    CHECK(say(board, binary, a, {p}) == Status::out_of_range);
  CHECK(say(board, binary, a, {fl::nan}) == Status::not_finite);
  CHECK(say(board, binary, a, {0.5, 0.5}) == Status::wrong_length);
  CHECK(say(board, binary, a, {}) == Status::wrong_kind);
  CHECK(say_number(board, binary, a, 0.5) == Status::wrong_kind);
  CHECK(board.record(binary, {.model = a, .p = Numbers{0.5}, .value = 0.5}) == Status::wrong_kind);

  CHECK(say(board, classes, a, {0.5, 0.5}) == Status::wrong_length);
  CHECK(say(board, classes, a, {0.25, 0.25, 0.25, 0.25}) == Status::wrong_length);
  CHECK(say(board, classes, a, {0.2, 0.3, 0.5011}) == Status::sum_not_one);
  CHECK(say(board, classes, a, {0.2, 0.3, 0.4989}) == Status::sum_not_one);
  CHECK(say(board, classes, a, {0.0, 0.0, 0.0}) == Status::sum_not_one);
  CHECK(say(board, classes, a, {1.2, -0.1, -0.1}) == Status::out_of_range);
  CHECK(say(board, classes, a, {0.5, 0.5, fl::nan}) == Status::not_finite);
  CHECK(say_number(board, classes, a, 1.0) == Status::wrong_kind);

  CHECK(say(board, number, a, {0.5}) == Status::wrong_kind);
  for (const double x : {fl::nan, inf, -inf}) CHECK(say_number(board, number, a, x) == Status::not_finite);

  const Numbers p{0.5};
  for (const double x : {-0.1, 1.1, inf})
    CHECK(board.record(binary, {.model = a, .p = p, .confidence = x}) == Status::out_of_range);
  for (const double x : {-0.1, inf})
    CHECK(board.record(binary, {.model = a, .p = p, .latency_ms = x}) == Status::out_of_range);
  for (const double x : {-0.1, inf, fl::nan})
    CHECK(board.record(binary, {.model = a, .p = p, .cost_usd = x}) == Status::out_of_range);
  CHECK(board.record(binary, {.model = a, .p = p, .tokens_in = -1}) == Status::out_of_range);
  CHECK(board.record(binary, {.model = a, .p = p, .tokens_out = -1}) == Status::out_of_range);

  for (const double y : {1.5, -1.0, 2.0, fl::nan, inf, -inf}) CHECK(settle(board, binary, y) == Status::bad_outcome);
  for (const double y : {3.0, -1.0, 0.5, fl::nan, inf}) CHECK(settle(board, classes, y) == Status::bad_outcome);
  for (const double y : {fl::nan, inf, -inf}) CHECK(settle(board, number, y) == Status::bad_outcome);

  CHECK(board.remove(3) == Status::unknown_model);
  CHECK(board.remove(-1) == Status::unknown_model);
  CHECK(std::vector{state(board, binary), state(board, classes), state(board, number)} == before);
}

TEST_CASE("scoreboard: a sum within 1e-3 of 1 is renormalised") {
  Scoreboard board;
  const ModelId a = board.add("a");
  const auto task = open(board, Kind::categorical, 3);
  for (const double last : {0.4991, 0.5009}) {
    REQUIRE(say(board, task, a, {0.2, 0.3, last}) == Status::ok);
    const auto p = decide(board, task).p;
    CHECK(p[0] == doctest::Approx(0.2 / (0.5 + last)).epsilon(1e-14));
    CHECK(std::abs(p[0] + p[1] + p[2] - 1.0) < 1e-15);
  }
}

TEST_CASE("scoreboard: a task that cannot be opened changes nothing") {
  Scoreboard board;
  board.add("a");
  const SliceId known = board.slice("category", "known");
  TaskHandle task{7, 7};
  CHECK(board.open(Kind::binary, 0, std::vector<SliceId>(9, known), task) == Status::too_many_slices);
  CHECK(board.open(Kind::binary, 0, std::vector<SliceId>{known, 2}, task) == Status::unknown_slice);
  CHECK(board.open(Kind::binary, 0, std::vector<SliceId>{-1}, task) == Status::unknown_slice);
  for (const std::size_t labels : {std::size_t{0}, std::size_t{1}, Scoreboard::max_labels + 1}) {
    CHECK(board.open(Kind::categorical, labels, {}, task) == Status::wrong_length);
  }
  CHECK(task == TaskHandle{7, 7});
  CHECK(board.open_tasks() == 0);
  CHECK(board.n_slices() == 2);
}

TEST_CASE("scoreboard: handles of settled and closed tasks are refused, also when their slot is used again") {
  Scoreboard board;
  const ModelId a = board.add("a");
  const auto refused = [&](TaskHandle old) {
    fl::Decision d;
    CHECK(say(board, old, a, {0.5}) == Status::stale_task);
    CHECK(board.decide(old, Strategy::mean, d) == Status::stale_task);
    CHECK(settle(board, old, 1.0) == Status::stale_task);
    CHECK(board.close(old) == Status::stale_task);
  };
  refused({});
  refused({5, 1});
  const auto settled = open(board);
  REQUIRE(say(board, settled, a, {0.5}) == Status::ok);
  REQUIRE(settle(board, settled, 1.0) == Status::ok);
  refused(settled);
  const auto closed = open(board);
  CHECK(closed.slot == settled.slot);
  CHECK(closed.generation != settled.generation);
  refused(settled);
  REQUIRE(board.close(closed) == Status::ok);
  refused(closed);
  const auto third = open(board);
  refused(settled);
  refused(closed);
  CHECK(board.open_tasks() == 1);
  CHECK(board.score(a).n == 1);
  fl::Decision d;
  CHECK(board.decide(third, Strategy::mean, d) == Status::no_forecast);  // the old answer is not in the new task
}

TEST_CASE("scoreboard: many tasks are open at once and settle in any order") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b");
  std::vector<TaskHandle> tasks;
  for (int i = 0; i < 300; ++i) {
    tasks.push_back(open(board));
    REQUIRE(say(board, tasks.back(), a, {static_cast<double>(i) / 300.0}) == Status::ok);
    REQUIRE(say(board, tasks.back(), b, {0.5}) == Status::ok);
  }
  CHECK(board.open_tasks() == 300);
  for (std::size_t i = 0; i < 300; i += 7) REQUIRE(settle(board, tasks[i], 1.0) == Status::ok);
  for (std::size_t i = 0; i < 300; ++i) {
    if (i % 7 != 0)
      CHECK(decide(board, tasks[i], Strategy::mean).p[0] == doctest::Approx(0.25 + static_cast<double>(i) / 600.0));
  }
  CHECK(board.open_tasks() == 300 - 43);
  CHECK(board.score(a).n == 43);
}

TEST_CASE("scoreboard: a revised answer replaces the old one, costs add up") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b");
  const auto task = open(board);
  const Numbers first{0.9}, second{0.2};
  CHECK(board.record(task, {.model = a, .p = first, .latency_ms = 10, .tokens_in = 5, .cost_usd = 0.5}) == Status::ok);
  CHECK(say(board, task, b, {0.4}) == Status::ok);
  CHECK(board.record(task,
                     {.model = a, .p = second, .latency_ms = 30, .tokens_in = 7, .tokens_out = 2, .cost_usd = 0.25}) ==
        Status::ok);
  const fl::Decision d = decide(board, task, Strategy::mean);
  CHECK(d.weights.size() == 2);
  CHECK(d.p[0] == doctest::Approx(0.3));
  CHECK(d.cost_usd == 0.75);
  CHECK(board.calls(a).answered == 2);
  CHECK(board.calls(a).tokens_in == 12);
  CHECK(board.calls(a).tokens_out == 2);
  CHECK(board.calls(a).mean_latency_ms() == 20.0);
  CHECK(std::isnan(board.calls(b).mean_latency_ms()));
  CHECK(settle(board, task, 0.0) == Status::ok);
  CHECK(board.score(a).n == 1);
  CHECK(board.score(a).brier() == doctest::Approx(0.04));
  CHECK(board.rating(a) == doctest::Approx(1516.0));
}

TEST_CASE("scoreboard: a failed call costs, counts, and leaves an earlier answer standing") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b");
  const auto task = open(board);
  fl::Decision d;
  CHECK(board.record(task, {.model = b, .cost_usd = 0.1, .error = "timeout"}) == Status::ok);
  CHECK(board.decide(task, Strategy::hedge, d) == Status::no_forecast);
  CHECK(say(board, task, a, {0.8}) == Status::ok);
  CHECK(board.record(task, {.model = a, .error = "rate limit"}) == Status::ok);
  d = decide(board, task);
  CHECK(d.p[0] == 0.8);
  CHECK(d.cost_usd == 0.1);
  CHECK(d.reasons == (fl::single_model | fl::models_failed));
  CHECK(settle(board, task, 1.0) == Status::ok);
  CHECK(board.calls(b).failed == 1);
  CHECK(board.calls(b).answered == 0);
  CHECK(board.score(b).n == 0);
  CHECK(board.rating(b) == 1500.0);
  CHECK(board.settled_models().size() == 1);

  const auto all_failed = open(board);
  CHECK(board.record(all_failed, {.model = a, .error = "down"}) == Status::ok);
  CHECK(settle(board, all_failed, 1.0) == Status::ok);
  CHECK(board.settled_models().empty());
  CHECK(board.score(a).n == 1);
}

TEST_CASE("scoreboard: removed models leave decisions, keep their record, and may come back") {
  Scoreboard board;
  std::vector<ModelId> fleet;
  for (const char* name : {"a", "b", "c"}) fleet.push_back(board.add(name));
  const auto task = open(board, Kind::categorical, 3);
  REQUIRE(say(board, task, 0, {1.0, 0.0, 0.0}) == Status::ok);
  REQUIRE(say(board, task, 1, {0.0, 1.0, 0.0}) == Status::ok);
  REQUIRE(say(board, task, 2, {0.0, 0.0, 1.0}) == Status::ok);
  REQUIRE(board.remove(1) == Status::ok);
  for (const Strategy strategy : {Strategy::mean, Strategy::weighted, Strategy::hedge}) {
    const fl::Decision d = decide(board, task, strategy);
    CHECK(d.p == Numbers{0.5, 0.0, 0.5});
    CHECK(d.weights.size() == 2);
    CHECK((d.reasons & fl::models_removed) != 0u);
  }
  CHECK(say(board, task, 1, {0.0, 1.0, 0.0}) == Status::inactive_model);
  REQUIRE(board.remove(0) == Status::ok);
  REQUIRE(board.remove(2) == Status::ok);
  fl::Decision none;
  CHECK(board.decide(task, Strategy::mean, none) == Status::no_forecast);
  CHECK(board.add("b") == 1);
  CHECK(board.active(1));
  CHECK(decide(board, task).p == Numbers{0.0, 1.0, 0.0});
  CHECK(settle(board, task, 1.0) == Status::ok);  // all three had answered, and are scored
  for (const ModelId model : fleet) CHECK(board.score(model).n == 1);
  CHECK(board.rating(1) > 1500.0);
}

TEST_CASE("scoreboard: a model that joins late starts in the middle") {
  Scoreboard board;
  const ModelId good = board.add("good"), bad = board.add("bad");
  const SliceId slice = board.slice("category", "x");
  const auto waiting = open(board, Kind::categorical, 60, {slice});  // opened before the third model came
  for (int t = 0; t < 60; ++t) {
    const auto task = open(board, Kind::binary, 0, {slice});
    REQUIRE(say(board, task, good, {0.8}) == Status::ok);
    REQUIRE(say(board, task, bad, {0.4}) == Status::ok);
    REQUIRE(settle(board, task, 1.0, t) == Status::ok);
  }
  const ModelId late = board.add("late");
  CHECK(board.rating(late, slice) == 1500.0);
  CHECK(board.score(late, slice).n == 0);
  Numbers uniform(60, 1.0 / 60.0);
  for (const ModelId model : {late, good, bad}) REQUIRE(say(board, waiting, model, uniform) == Status::ok);
  std::vector<double> weight(3);
  for (const auto& [model, w] : decide(board, waiting).weights) weight[static_cast<std::size_t>(model)] = w;
  CHECK(weight[0] > weight[2]);
  CHECK(weight[2] > weight[1]);
  CHECK(settle(board, waiting, 59.0, 60) == Status::ok);
}

TEST_CASE("scoreboard: extreme times and token counts do not overflow") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b");
  for (const fl::Time time : {last_time, first_time, fl::Time{0}, last_time}) {
    const auto task = open(board);
    REQUIRE(say(board, task, a, {0.7}) == Status::ok);
    REQUIRE(say(board, task, b, {0.6}) == Status::ok);
    REQUIRE(settle(board, task, 1.0, time) == Status::ok);
  }
  CHECK(board.history(a, Scoreboard::overall, Kind::binary).window(1, last_time).n == 4.0);  // the late ones count at the newest time
  CHECK(board.history(a, Scoreboard::overall, Kind::binary).window(last_time, first_time).n == 0.0);

  const auto task = open(board);
  const Numbers p{0.5};
  for (int i = 0; i < 3; ++i) {
    (void)board.record(task, {.model = a, .p = p, .tokens_in = most, .tokens_out = most});
    CHECK(board.calls(a).tokens_in >= 0);
    CHECK(board.calls(a).tokens_out >= 0);
  }
}

TEST_CASE("scoreboard: confidence drift is that of the confidence given, else of the answer's largest probability") {
  Scoreboard given({.psi_reference = 50, .psi_window = 20}), shown({.psi_reference = 50, .psi_window = 20});
  fl::StreamingPsi expected(50, 20);
  given.add("a");
  shown.add("a");
  const auto in_given = open(given);
  const auto in_shown = open(shown);
  for (int t = 0; t < 200; ++t) {
    const double p = 0.5 + 0.4 * std::sin(t * (t < 100 ? 1.0 : 0.01));
    const Numbers answer{p}, flat{0.5};
    REQUIRE(given.record(in_given, {.model = 0, .p = flat, .confidence = std::max(p, 1.0 - p)}) == Status::ok);
    REQUIRE(shown.record(in_shown, {.model = 0, .p = answer}) == Status::ok);
    expected.add(std::max(p, 1.0 - p));
    const double index = expected.index();
    CHECK((std::isnan(index) ? std::isnan(given.confidence_psi(0)) : given.confidence_psi(0) == index));
    CHECK((std::isnan(index) ? std::isnan(shown.confidence_psi(0)) : shown.confidence_psi(0) == index));
  }
  CHECK(std::isfinite(given.confidence_psi(0)));
}
