// Replay case by case: what is learned when, what is scored, and where it stops.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "fairlead/replay.hpp"
#include "replay_table.hpp"

namespace fl = fairlead;
using namespace fairlead::testing;
using fl::ModelId;
using fl::Replay;
using fl::Scoreboard;
using fl::Status;
using fl::Time;

namespace {

// Forty tasks a time unit apart; model 0 is right, model 1 is wrong. Each outcome is known `delay` after its forecasts.
Table lessons(Time delay) {
  Table table;
  for (std::int32_t t = 0; t < 40; ++t) {
    const double y = t % 2;
    table.settles(y, t + delay);
    table.forecast(t, t, 0, {0.2 + 0.6 * y});
    table.forecast(t, t, 1, {0.8 - 0.6 * y});
  }
  return table;
}

}  // namespace

TEST_CASE("replay: a decision uses an outcome known by then, at the same time too, and none that comes later") {
  Scoreboard at_once = fleet_of(2), one_late = fleet_of(2), at_the_end = fleet_of(2);
  const fl::ReplayScores now = play(at_once, lessons(1));  // known when the next task is forecast: settled first
  const fl::ReplayScores late = play(one_late, lessons(2));
  const fl::ReplayScores never = play(at_the_end, lessons(100));
  CHECK(now.strategies[hedge].brier() < late.strategies[hedge].brier());
  CHECK(late.strategies[hedge].brier() < never.strategies[hedge].brier());
  // Nothing is known before the last decision: every weight is equal, although by the end all of it has been learned.
  CHECK(never.strategies[hedge].brier_sum == never.strategies[mean].brier_sum);
  CHECK(never.strategies[hedge].brier() == doctest::Approx(0.25).epsilon(1e-14));
  CHECK(never.tasks == 40);
  CHECK(at_the_end.rating(0) > 1600.0);

  // Two tasks at one time, whose outcomes are known at that time: the second must not learn from the first.
  Table pair;
  for (std::int32_t t = 0; t < 2; ++t) {
    pair.settles(1.0, 6);
    for (const ModelId i : {0, 1}) pair.forecast(5, t, i, {i == 0 ? 0.9 : 0.2});
  }
  Scoreboard board = fleet_of(2);
  const fl::ReplayScores scores = play(board, pair);
  CHECK(scores.strategies[hedge].brier_sum == scores.strategies[mean].brier_sum);
}

TEST_CASE("replay: failures, revisions, missing and late outcomes are ordinary") {
  Table table;
  const auto revised = table.settles(1.0, 50), silent = table.settles(1.0, 20), open = table.settles(fl::nan, 0);
  const auto unasked = table.settles(0.0, 3);  // has an outcome and no forecast
  table.forecast(1, revised, 0, {0.1});
  table.forecast(1, silent, 0, {}, true);
  table.forecast(2, revised, 0, {0.9});
  table.forecast(2, open, 0, {0.5});
  table.forecast(3, revised, 1, {0.7});
  table.forecast(3, revised, 1, {}, true);
  Scoreboard board = fleet_of(3);
  const fl::ReplayScores scores = play(board, table);
  CHECK(scores.tasks == 1);
  CHECK(scores.unsettled == 1);
  CHECK(scores.events == 6 + 2 + 2);  // forecasts, decisions, settlements of tasks that were open
  CHECK(scores.models[0].n == 1);
  CHECK(scores.models[0].brier() == doctest::Approx(0.01));
  CHECK(scores.models[1].brier() == doctest::Approx(0.09));
  CHECK(scores.models[2].n == 0);
  CHECK(scores.strategies[mean].brier() == doctest::Approx(0.04));
  CHECK(board.calls(0).failed == 1);
  CHECK(board.calls(0).cost_usd == 1.0);
  CHECK(board.open_tasks() == 0);
  CHECK(unasked == 3);
}

TEST_CASE("replay: warm-up is learned from and not scored") {
  Table table = lessons(1);
  Scoreboard board = fleet_of(2), all = fleet_of(2);
  const fl::ReplayScores scores = play(board, table, {.score_after = 19});
  CHECK(scores.tasks == 20);
  for (const fl::Score& score : scores.strategies) CHECK(score.n == 20);
  for (const fl::Score& score : scores.models) CHECK(score.n == 20);
  const fl::ReplayScores everything = play(all, table);
  CHECK(same_bits(ratings(board), ratings(all)));
  CHECK(scores.events == everything.events);
  CHECK(scores.strategies[hedge].brier() < everything.strategies[hedge].brier());
  CHECK(board.score(0).n == 40);

  Scoreboard third = fleet_of(2);
  CHECK(play(third, table, {.score_after = 39}).tasks == 0);
}

TEST_CASE("replay: an empty table, and times at both ends of the clock") {
  Scoreboard board = fleet_of(2);
  const fl::ReplayScores nothing = play(board, Table{});
  CHECK(nothing.events == 0);
  CHECK(nothing.history_time.empty());

  Table table;
  constexpr Time begin = std::numeric_limits<Time>::min(), end = std::numeric_limits<Time>::max();
  table.settles(1.0, 0);
  table.settles(0.0, end);
  for (const ModelId i : {0, 1}) table.forecast(begin + 1, 0, i, {0.5 + 0.1 * i});
  for (const ModelId i : {0, 1}) table.forecast(end - 1, 1, i, {0.5 + 0.1 * i});
  const fl::ReplayScores scores = play(board, table);
  CHECK(scores.tasks == 2);
  CHECK(scores.unsettled == 0);
}

TEST_CASE("replay: it stops at what is wrong and says where") {
  const auto stops = [](const Table& table, Status status, std::size_t forecast, std::size_t task) {
    Scoreboard board = fleet_of(2, 1);
    Replay replay(board, table.view(), {});
    fl::ReplayError error = replay.advance(1'000);
    if (error.status == Status::ok) error = replay.finish();
    CHECK(error.status == status);
    CHECK(error.forecast == forecast);
    CHECK(error.task == task);
  };
  Table after_outcome;  // answered again once the outcome is known
  after_outcome.settles(1.0, 5);
  after_outcome.forecast(1, 0, 0, {0.5});
  after_outcome.forecast(5, 0, 1, {0.5});
  stops(after_outcome, Status::stale_task, 1, 0);

  Table too_late;  // first answered once the outcome is known
  too_late.settles(1.0, 5);
  too_late.settles(1.0, 0);
  too_late.forecast(1, 0, 0, {0.5});
  too_late.forecast(2, 1, 0, {0.5});
  stops(too_late, Status::stale_task, 1, 1);

  Table outcome = lessons(1);
  outcome.outcome[3] = 0.5;
  stops(outcome, Status::bad_outcome, 8, 3);
  Table probability = lessons(1);
  probability.answer[9] = 1.5;
  stops(probability, Status::out_of_range, 9, 4);
  Table stranger = lessons(1);
  stranger.model[6] = 2;
  stops(stranger, Status::unknown_model, 6, 3);
}

TEST_CASE("replay: more dimensions than a task may lie in are refused") {
  Table table{.dimensions = Scoreboard::max_slices + 4};
  table.settles(1.0, 2);
  table.forecast(1, 0, 0, {0.5});
  table.slices.assign(table.dimensions, 1);
  Scoreboard board = fleet_of(1, 1);
  Replay replay(board, table.view(), {});
  CHECK(replay.advance(1).status == Status::too_many_slices);
}

TEST_CASE("replay: the newest scored tasks are audited, as many as fit, and their losses are those of the scores") {
  const Table table = lessons(3);
  Scoreboard board = fleet_of(2);
  Replay replay(board, table.view(), {});
  REQUIRE(replay.advance(1'000).status == Status::ok);
  REQUIRE(replay.finish().status == Status::ok);
  const fl::ReplayScores scores = replay.scores();
  const fl::Audits whole = replay.take_audits();
  CHECK(whole.size() == 40);
  CHECK(whole.left_out() == 0);
  std::vector<double> sums(fl::n_strategies, 0.0);
  std::uint64_t row = 0;
  whole.each([&](const fl::Audit& audit) {
    CHECK(audit.fixed.task == row);
    CHECK(audit.fixed.made == 1);
    CHECK(audit.fixed.strategy == fl::default_strategy);
    CHECK(audit.fixed.decided == static_cast<Time>(row));
    CHECK(audit.fixed.time == static_cast<Time>(row + 3));
    CHECK(audit.fixed.outcome == static_cast<double>(row % 2));
    CHECK(audit.fixed.cost_usd == 0.5);
    CHECK(audit.weights.size() == 2);
    for (std::size_t s = 0; s < sums.size(); ++s) sums[s] += fl::reported(audit.strategies[s], fl::Kind::binary);
    ++row;
  });
  for (std::size_t s = 0; s < sums.size(); ++s) CHECK(sums[s] == scores.strategies[s].brier_sum);

  Scoreboard again = fleet_of(2);
  Replay narrow(again, table.view(), {.score_after = 4, .audit_bytes = 4'000});
  REQUIRE(narrow.advance(1'000).status == Status::ok);
  REQUIRE(narrow.finish().status == Status::ok);
  const fl::Audits newest = narrow.take_audits();
  CHECK(newest.size() > 5);
  CHECK(newest.size() < 35);
  row = 40 - newest.size();
  newest.each([&](const fl::Audit& audit) { CHECK(audit.fixed.task == row++); });
  CHECK(row == 40);
}
