// A long random life of a fleet, and all that can be seen of it, for tests of the fleet and of what it is logged to.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/snapshot.hpp"

namespace life {

namespace fl = fairlead;
using fl::Kind;
using fl::Status;

// All that can be read of a fleet, as bytes: NaN is equal to itself, and 0 differs from -0.
inline std::string view(fl::Fleet& fleet) {
  std::string out;
  const auto put = [&](const auto& value) { out.append(reinterpret_cast<const char*>(&value), sizeof(value)); };
  const fl::Scoreboard& board = fleet.board();
  for (fl::SliceId slice = 0; slice < board.n_slices(); ++slice) {
    (out += board.dimension(slice)) += board.value(slice);
    for (fl::ModelId model = 0; model < board.models().size(); ++model) {
      put(board.rating(model, slice));
      put(board.score(model, slice).n);
      put(board.score(model, slice).brier_sum);
      put(board.score(model, slice).square_sum);
      put(board.calls(model, slice).answered);
      put(board.calls(model, slice).failed);
      put(board.calls(model, slice).cost_usd);
      for (const Kind kind : {Kind::binary, Kind::categorical, Kind::numeric}) {
        put(board.history(model, slice, kind).window(1'000'000, 1'000'000).mean);
      }
      put(board.confidence_psi(model));
    }
  }
  for (const fl::ModelId model : fleet.members()) {
    put(model);
    out += fleet.member(model).record;
  }
  fl::Fleet* const silent = &fleet;
  for (const std::uint32_t slot : silent->tasks().open()) {
    const fl::FleetTask& task = silent->tasks()[slot];
    put(task.number);
    put(task.shown);
    out += task.record;
    for (std::size_t s = 0; s < fl::strategy_names.size(); ++s) {
      fl::Decision d;
      const Status status = const_cast<fl::Scoreboard&>(board).decide(task.handle, static_cast<fl::Strategy>(s), d);
      put(status);
      for (const double p : d.p) put(p);
      put(d.value);
      for (const auto& [model, weight] : d.weights) put(weight);
      put(d.uncertainty);
    }
  }
  const auto put_all = [&](const auto& values) {
    put(values.size());
    for (const auto& value : values) put(value);
  };
  for (const std::uint32_t slot : silent->tasks().open()) {
    const fl::Decided& decided = silent->tasks()[slot].decided;
    put(decided.made);
    if (!decided.made) continue;
    put(decided.strategy);
    put(decided.reasons);
    put(decided.time);
    put_all(decided.p);
    for (const auto& [model, weight] : decided.weights) {
      put(model);
      put(weight);
    }
    out += decided.name;
  }
  silent->audits().each([&](const fl::Audit& audit) {
    put(audit.fixed);
    for (const auto& values : {audit.answers, audit.costs, audit.losses, audit.strategies, audit.p, audit.weights}) put_all(values);
    for (const auto& models : {audit.models, audit.weighted}) put_all(models);
    out += audit.name;
  });
  put(silent->audits().left_out());
  put(silent->drawdown());
  put(silent->profit_usd());
  fl::SnapshotWriter routing("routing", 1);
  silent->routing().save(routing);
  for (const std::uint32_t slot : silent->tasks().open()) {
    const fl::TaskRouting& task = silent->tasks()[slot].routing;
    put(task.attempts);
    put(task.type);
    for (const std::int32_t context : task.where()) put(context);
  }
  out += routing.finish();
  fl::SnapshotWriter performance("performance", 1);
  fleet.performance().save(performance);
  performance.put(fleet.runners());
  fleet.runs().save(performance);
  out += performance.finish();
  for (const std::uint32_t slot : silent->tasks().open()) put(silent->tasks()[slot].place);
  for (const std::uint32_t slot : fleet.tasks().ended()) {
    put(fleet.tasks()[slot].state);
    put(fleet.tasks()[slot].outcome);
    out += fleet.tasks()[slot].record;
  }
  return out;
}

// A long random life: models come and go, tasks of every kind, failures, revisions, late outcomes, void ones.
class Life {
 public:
  explicit Life(unsigned seed) : random_(seed) {}

  Status step(fl::Fleet& fleet, int t) {
    const unsigned what = roll(100);
    if (what < 6) return fleet.add({.name = name(), .price_in = 2.5}, t);
    if (what < 8) return fleet.remove(name(), t);
    if (what < 46) return answer(fleet, t);
    if (what < 58) return route(fleet, t);
    if (what < 68) return end_call(fleet, t);
    if (what < 70) return cold(fleet, t);
    if (what < 78) {
      fl::Decision d;
      const std::string id = this->id();
      const std::uint32_t slot = fleet.tasks().find(id);
      if (roll(4) > 0 || slot == fl::FleetTasks::none) {
        return fleet.decide(id, static_cast<fl::Strategy>(roll(fl::n_strategies)), d, t);
      }
      const std::vector<fl::ModelWeight> weights{{0, 1.0}, {static_cast<fl::ModelId>(roll(4)), 0.5}};
      return fleet.decide_by(fleet.tasks()[slot].number, roll(2) == 0 ? "mine" : "yours", weights, d, t);
    }
    bool news = false;
    if (what < 97) return fleet.settle(id(), roll(2), t, roll(2) == 0 ? fl::nan : static_cast<double>(roll(9)) - 4.0, news);
    return fleet.close(id(), t, news);
  }

 private:
  unsigned roll(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }
  std::string name() { return "model-" + std::to_string(roll(6)); }
  std::string id() { return "task-" + std::to_string(at_ - std::min(at_, roll(6))); }

  Status answer(fl::Fleet& fleet, int t) {
    if (roll(4) == 0) ++at_;
    const std::string id = this->id();
    const auto number = static_cast<unsigned>(std::stoul(id.substr(5)));
    const Kind kind = static_cast<Kind>(number % 3);
    const std::vector<std::string_view> labels{"up", "flat", "down"};
    const fl::Dimension horizon{"horizon", number % 2 == 0 ? "1d" : "1w"};
    const fl::Task task{.id = id,
                        .kind = kind,
                        .category = number % 4 == 0 ? "" : number % 4 == 1 ? "politics" : "rates",
                        .text = "will it, and if so when?",
                        .labels = kind == Kind::categorical ? std::span(labels) : std::span<const std::string_view>{},
                        .stake_usd = 40.0,
                        .regime = number % 5 == 0 ? "wild" : "",
                        .expires_in_s = number % 3 == 0 ? fl::nan : 2000.0 * number,
                        .slices = std::span(&horizon, 1),
                        .time = t};
    const double u = 0.01 * roll(101);
    const double p[] = {u, (1.0 - u) / 2, (1.0 - u) / 2};
    fl::Forecast forecast{.model = fleet.find_model(name()), .confidence = roll(3) == 0 ? u : fl::nan, .cost_usd = 0.01, .time = t};
    if (roll(10) == 0) forecast.error = "timeout";
    else if (kind == Kind::numeric) forecast.value = 100.0 * u;
    else forecast.p = std::span(p, kind == Kind::binary ? 1u : 3u);
    return roll(2) == 0 ? fleet.record(task, forecast) : fleet.record(task.id, forecast);
  }

  Status route(fl::Fleet& fleet, int t) {
    const std::string id = this->id();
    const std::uint32_t slot = fleet.tasks().find(std::string_view(id));
    if (slot == fl::FleetTasks::none || fleet.tasks()[slot].state != fl::FleetTask::State::open) return Status::unknown_task;
    const std::vector<fl::Nanos> bounds(static_cast<std::size_t>(fleet.board().models().size()), 20'000'000);
    fl::RouteRequest request{.type = roll(3) == 0 ? "" : roll(2) == 0 ? "reasoning" : "simple"};
    if (roll(2) == 0) request.bounds = bounds;
    if (roll(3) == 0) request.objective = fl::Objective{.goal = static_cast<fl::Goal>(roll(5)), .cost = 0.5, .latency = 0.1};
    fl::Route made;
    const Status status = fleet.route(fleet.tasks()[slot].number, request, made, t * 1'000'000'000LL);
    if (status == Status::ok && made.asks()) calls_.push_back(made);
    return status;
  }

  Status end_call(fl::Fleet& fleet, int t) {
    if (calls_.empty()) return Status::unknown_key;
    const unsigned at = roll(static_cast<unsigned>(calls_.size()));
    const fl::Route made = calls_[at];
    if (roll(8) != 0) calls_.erase(calls_.begin() + at);
    const auto end = static_cast<fl::CallEnd>(roll(4));
    return fleet.called(made,
                        {.cost_nanos = static_cast<std::int64_t>(roll(3)) * 10'000'000 - (roll(9) == 0 ? 1 : 0),
                         .latency_ms = 1.0 + roll(900),
                         .tokens_in = roll(1000),
                         .tokens_out = roll(100),
                         .tokens_cached = roll(1500),
                         .end = end,
                         .failure = static_cast<std::uint8_t>(roll(8))},
                        t * 1'000'000'000LL);
  }

  Status cold(fl::Fleet& fleet, int t) {
    const fl::Time now = t * 1'000'000'000LL;
    std::vector<fl::Alert> alerts;
    switch (roll(9)) {
      case 8:
        return fleet.run("crawler " + std::to_string(roll(3)), roll(2) == 0 ? "" : "rates",
                         {.cost_nanos = static_cast<std::int64_t>(roll(5)) - 1,
                          .duration_ms = roll(3) == 0 ? fl::nan : 10.0 * roll(90),
                          .memory_mb = roll(3) == 0 ? fl::nan : 1.5 * roll(90),
                          .tokens = roll(100),
                          .api_calls = roll(5),
                          .status = static_cast<fl::journal::RunStatus>(roll(4))},
                         roll(2) == 0 ? "" : "no disk", now);
      case 0: return fleet.budget(R"({"name": "day", "limit": 90000000, "period": "daily", "on_exhausted": "degrade"})", now);
      case 1: return fleet.budget(R"({"name": "m", "limit": 60000000, "scope": "model", "of": "model-1"})", now);
      case 2: return fleet.budget(R"({"name": "t", "limit": 70000000, "scope": "type", "of": "reasoning", "on_exhausted": "queue"})", now);
      case 3: return fleet.budget(R"({"name": "m", "removed": true})", now);
      case 4: return fleet.health(roll(2) == 0 ? R"({"emergency": true})" : R"({"emergency": false})", now);
      case 5: return fleet.routing_rules(R"({"rules": {"all": {"ban": ["model-3"]}, "types": {"simple": {"objective": {"goal": "cost"}}}}})", now);
      case 6: return fleet.routing_rules(R"({"breaker": {"failures": 2}, "model": "model-5"})", now);
      default: return fleet.take_alerts(alerts, now);
    }
  }

  std::mt19937 random_;
  unsigned at_ = 0;
  std::vector<fl::Route> calls_;  // that have not ended, but for some
};

inline fl::Fleet lived(unsigned seed, int steps, fl::EventSink* sink, const fl::FleetSettings& settings = {}) {
  fl::Fleet fleet;
  fleet.attach(sink);
  REQUIRE(fleet.configure(settings, 0) == Status::ok);
  Life life(seed);
  int fine = 0;
  for (int t = 1; t <= steps; ++t) fine += life.step(fleet, t) == Status::ok ? 1 : 0;
  CHECK(fine > steps / 8);
  CHECK(fine < steps);
  return fleet;
}

inline const fl::FleetSettings narrow{.k = 24, .history = 16, .psi_reference = 20, .psi_window = 20, .remember = 5};

}  // namespace life
