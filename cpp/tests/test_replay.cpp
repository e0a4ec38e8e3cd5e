// Replay against a Scoreboard driven by hand: the same bits, in any steps, and no outcome known too early.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include "fairlead/replay.hpp"
#include "replay_table.hpp"

namespace fl = fairlead;
using namespace fairlead::testing;
using fl::Kind;
using fl::ModelId;
using fl::Replay;
using fl::ReplayOptions;
using fl::Scoreboard;
using fl::SliceId;
using fl::Status;
using fl::Strategy;
using fl::Time;

namespace {

Numbers flat(const fl::Score& s) {
  return {static_cast<double>(s.n),
          static_cast<double>(s.numbers),
          static_cast<double>(s.correct),
          s.brier_sum,
          s.log_loss_sum,
          s.absolute_sum,
          s.square_sum,
          static_cast<double>(s.calibration.size())};
}

Numbers flat(const fl::ReplayScores& s) {
  Numbers out{static_cast<double>(s.tasks), static_cast<double>(s.unsettled), static_cast<double>(s.events)};
  const auto add = [&](const Numbers& more) { out.insert(out.end(), more.begin(), more.end()); };
  for (const fl::Score& score : s.strategies) add(flat(score));
  for (const fl::Score& score : s.models) add(flat(score));
  add(s.history_loss);
  for (const double r : s.history_rating) out.push_back(std::isnan(r) ? -1.0 : r);
  for (const Time t : s.history_time) out.push_back(static_cast<double>(t));
  for (const std::uint64_t n : s.history_n) out.push_back(static_cast<double>(n));
  return out;
}

// Overlapping tasks with failures, revisions, absent models and slices, late and missing outcomes.
Table random_table(std::uint64_t seed, std::size_t models, std::size_t slices) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  Table table{.kind = static_cast<Kind>(seed % 3), .labels = seed % 3 == 1 ? 4u : 0u, .dimensions = 2};
  struct Row {
    Time time;
    std::int32_t task;
    ModelId model;
    Numbers p;
    bool failed;
  };
  std::vector<Row> rows;
  for (std::int32_t t = 0; t < 120; ++t) {
    Time last = std::numeric_limits<Time>::min();
    const Time start = static_cast<Time>(random() % 200) - 100;
    for (std::size_t n = 1 + random() % 12; n > 0; --n) {
      Numbers p(table.width());
      double sum = 0.0;
      for (double& x : p) sum += x = uniform(random);
      if (table.kind == Kind::categorical) {
        for (double& x : p) x /= sum;
      }
      rows.push_back(
          {start + static_cast<Time>(random() % 8), t, static_cast<ModelId>(random() % models), p, random() % 6 == 0});
      last = std::max(last, rows.back().time);
    }
    const double y = table.kind == Kind::numeric
                         ? uniform(random)
                         : static_cast<double>(random() % std::max<std::size_t>(table.labels, 2));
    table.settles(random() % 5 == 0 ? fl::nan : y,
                  last + 1 + static_cast<Time>(random() % (random() % 4 == 0 ? 300 : 5)));
    for (int d = 0; d < 2; ++d)
      table.slices.push_back(random() % 4 == 0 ? -1 : 1 + static_cast<SliceId>(random() % slices));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.time < b.time; });
  for (const Row& row : rows) table.forecast(row.time, row.task, row.model, row.p, row.failed);
  return table;
}

// The definition of a replay, by hand: every decision in `decided`, strategy by strategy.
struct ByHand {
  std::map<std::int32_t, std::vector<Numbers>> decided;
  std::uint64_t events = 0;
};

ByHand by_hand(Scoreboard& board, const Table& table) {
  ByHand out;
  std::map<std::int32_t, fl::TaskHandle> open;
  std::set<std::pair<Time, std::int32_t>> due;
  for (std::size_t t = 0; t < table.outcome.size(); ++t) {
    if (!std::isnan(table.outcome[t])) due.emplace(table.outcome_time[t], static_cast<std::int32_t>(t));
  }
  const auto settle_until = [&](Time now) {
    while (!due.empty() && due.begin()->first <= now) {
      const auto [known, task] = *due.begin();
      due.erase(due.begin());
      if (!open.count(task)) continue;
      REQUIRE(
          board.settle({.task = open[task], .value = table.outcome[static_cast<std::size_t>(task)], .time = known}) ==
          Status::ok);
      ++out.events;
    }
  };
  std::set<Time> times(table.time.begin(), table.time.end());
  for (const Time now : times) {
    settle_until(now);
    std::vector<std::int32_t> last_here;
    for (std::size_t i = 0; i < table.time.size(); ++i) {
      if (table.time[i] != now) continue;
      const std::int32_t task = table.task[i];
      if (!open.count(task)) {
        std::vector<SliceId> slices;
        for (std::size_t d = 0; d < table.dimensions; ++d) {
          const SliceId slice = table.slices[static_cast<std::size_t>(task) * table.dimensions + d];
          if (slice >= 0) slices.push_back(slice);
        }
        REQUIRE(board.open(table.kind, table.labels, slices, open[task]) == Status::ok);
      }
      fl::Forecast forecast{.model = table.model[i], .tokens_in = 3, .tokens_out = 3, .cost_usd = 0.25, .time = now};
      if (table.failed[i]) {
        forecast.error = "failed";
      } else if (table.kind == Kind::numeric) {
        forecast.value = table.answer[i];
      } else {
        forecast.p = std::span(table.answer).subspan(i * table.width(), table.width());
      }
      REQUIRE(board.record(open[task], forecast) == Status::ok);
      ++out.events;
      if (std::find(table.task.begin() + static_cast<std::ptrdiff_t>(i) + 1, table.task.end(), task) ==
          table.task.end()) {
        last_here.push_back(task);
      }
    }
    for (const std::int32_t task : last_here) {
      fl::Decision d;
      if (board.decide(open[task], Strategy::mean, d) == Status::no_forecast) continue;
      ++out.events;
      for (std::size_t s = 0; s < fl::strategy_names.size(); ++s) {
        REQUIRE(board.decide(open[task], static_cast<Strategy>(s), d) == Status::ok);
        out.decided[task].push_back(table.kind == Kind::numeric  ? Numbers{d.value}
                                    : table.kind == Kind::binary ? Numbers{1.0 - d.p[0], d.p[0]}
                                                                 : d.p);
      }
    }
  }
  settle_until(std::numeric_limits<Time>::max());
  return out;
}

}  // namespace

TEST_CASE("replay: equals a Scoreboard driven by hand, bit for bit") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    INFO("seed ", seed);
    const Table table = random_table(seed, 6, 3);
    Scoreboard board = fleet_of(6, 3), mine = fleet_of(6, 3);
    const fl::ReplayScores scores = play(board, table);
    const ByHand expected = by_hand(mine, table);
    CHECK(same_bits(ratings(board), ratings(mine)));
    CHECK(scores.events == expected.events);
    std::uint64_t settled = 0, unsettled = 0;
    std::array<long double, fl::strategy_names.size()> loss{}, drawn{};  // drawn: what the history adds up
    for (const auto& [task, answers] : expected.decided) {
      const double y = table.outcome[static_cast<std::size_t>(task)];
      ++(std::isnan(y) ? unsettled : settled);
      if (std::isnan(y)) continue;
      for (std::size_t s = 0; s < answers.size(); ++s) {
        for (std::size_t k = 0; k < answers[s].size(); ++k) {
          if (table.kind == Kind::binary && k == 0) continue;
          const double target = table.kind == Kind::categorical ? (static_cast<double>(k) == y ? 1.0 : 0.0) : y;
          const long double miss = static_cast<long double>(answers[s][k]) - static_cast<long double>(target);
          loss[s] += miss * miss;
          drawn[s] += table.kind == Kind::numeric ? std::abs(miss) : miss * miss;
        }
      }
    }
    CHECK(scores.tasks == settled);
    CHECK(scores.unsettled == unsettled);
    for (std::size_t s = 0; s < loss.size(); ++s) {
      const fl::Score& score = scores.strategies[s];
      CHECK(score.n == settled);
      const double sum = table.kind == Kind::numeric ? score.square_sum : score.brier_sum;
      CHECK(sum == doctest::Approx(static_cast<double>(loss[s])).epsilon(1e-12));
      CHECK(scores.history_loss[scores.history_loss.size() - loss.size() + s] ==
            doctest::Approx(static_cast<double>(drawn[s])).epsilon(1e-12));
    }
  }
}

TEST_CASE("replay: small steps equal one, and asking for less than a distinct time takes all of it") {
  for (const std::uint64_t seed : {3u, 4u, 5u}) {
    INFO("seed ", seed);
    const Table table = random_table(seed, 5, 2);
    Scoreboard whole = fleet_of(5, 2);
    const Numbers expected = flat(play(whole, table));
    for (const std::size_t step :
         {std::size_t{1}, std::size_t{7}, std::size_t{100}, std::numeric_limits<std::size_t>::max()}) {
      Scoreboard parts = fleet_of(5, 2);
      CHECK(same_bits(flat(play(parts, table, {}, step)), expected));
      CHECK(same_bits(ratings(parts), ratings(whole)));
    }
    Scoreboard board = fleet_of(5, 2);
    Replay replay(board, table.view(), {});
    REQUIRE(replay.advance(0).status == Status::ok);
    CHECK(replay.position() == 0);
    REQUIRE(replay.advance(1).status == Status::ok);
    CHECK(replay.position() ==
          static_cast<std::size_t>(std::count(table.time.begin(), table.time.end(), table.time[0])));
  }
}

TEST_CASE("replay: what is known later changes nothing before") {
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    INFO("seed ", seed);
    const Table table = random_table(seed, 6, 3);
    const Time horizon = table.time[table.time.size() / 2];
    Table other = table;
    for (std::size_t t = 0; t < table.outcome.size(); ++t) {
      if (table.outcome_time[t] > horizon) other.outcome[t] = table.outcome[t] == 0.0 ? 1.0 : 0.0;
    }
    const ReplayOptions every_time{.history_points = 10'000};
    Scoreboard a = fleet_of(6, 3), b = fleet_of(6, 3);
    const fl::ReplayScores x = play(a, table, every_time), y = play(b, other, every_time);
    CHECK_FALSE(same_bits(ratings(a), ratings(b)));
    std::size_t rows = 0;
    while (x.history_time[rows] <= horizon) ++rows;
    REQUIRE(y.history_time.size() >= rows);
    REQUIRE(std::equal(x.history_time.begin(), x.history_time.begin() + static_cast<std::ptrdiff_t>(rows),
                       y.history_time.begin()));
    CHECK(rows > 20);
    const auto until = [&](const Numbers& values, std::size_t width) {
      Numbers out(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(rows * width));
      for (double& v : out) v = std::isnan(v) ? -1.0 : v;
      return out;
    };
    CHECK(same_bits(until(x.history_rating, 6), until(y.history_rating, 6)));
    CHECK(
        same_bits(until(x.history_loss, fl::strategy_names.size()), until(y.history_loss, fl::strategy_names.size())));
  }
}

TEST_CASE("replay: the default strategy alone decides the same") {
  const Table table = random_table(7, 6, 3);
  Scoreboard a = fleet_of(6, 3), b = fleet_of(6, 3);
  const fl::ReplayScores all = play(a, table), one = play(b, table, {.all_strategies = false});
  constexpr auto own = static_cast<std::size_t>(fl::default_strategy);
  CHECK(same_bits(flat(all.strategies[own]), flat(one.strategies[own])));
  CHECK(all.events == one.events);
  for (std::size_t s = 0; s < one.strategies.size(); ++s) {
    if (static_cast<Strategy>(s) != fl::default_strategy) CHECK(one.strategies[s].n == 0);
  }
}

TEST_CASE("replay: history has at most as many rows as asked for, in time order, whole columns") {
  const Table table = random_table(9, 4, 2);
  const std::size_t times = std::set<Time>(table.time.begin(), table.time.end()).size();
  for (const std::size_t points : {2u, 3u, 10u, 50u, 400u, 100'000u}) {
    INFO("points ", points);
    Scoreboard board = fleet_of(4, 2);
    const fl::ReplayScores scores = play(board, table, {.history_points = points});
    const std::size_t rows = scores.history_time.size();
    CHECK(rows <= points);
    CHECK(rows >= std::min(points, times) / 2);
    CHECK(std::adjacent_find(scores.history_time.begin(), scores.history_time.end(), std::greater_equal<>{}) ==
          scores.history_time.end());
    Time last = table.time.back();
    for (std::size_t t = 0; t < table.outcome.size(); ++t) {
      if (!std::isnan(table.outcome[t])) last = std::max(last, table.outcome_time[t]);
    }
    CHECK(scores.history_time.back() == last);
    CHECK(scores.history_rating.size() == rows * 4);
    CHECK(scores.history_loss.size() == rows * fl::strategy_names.size());
    CHECK(scores.history_n.size() == rows);
    CHECK(scores.history_n.back() == scores.tasks);
    for (ModelId i = 0; i < 4; ++i) {
      CHECK(std::isnan(scores.history_rating[static_cast<std::size_t>(i)]));
      CHECK(scores.history_rating[(rows - 1) * 4 + static_cast<std::size_t>(i)] == board.rating(i));
    }
  }
}
