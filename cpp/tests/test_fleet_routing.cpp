// Routing through the fleet: whom it asks, what calls cost, who is healthy; live and replayed.
#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fleet_life.hpp"
#include "fleet_log.hpp"

namespace fl = fairlead;
using fl::CallEnd;
using fl::RouteReason;
using fl::Status;
using fl::Tier;

namespace {

constexpr fl::Time second = 1'000'000'000;

// Three models of one provider each, logged.
struct Desk {
  Desk() {
    fleet.attach(&log);
    REQUIRE(fleet.configure({}, 0) == Status::ok);
    REQUIRE(fleet.add({.name = "big", .provider = "a", .tier = Tier::reasoning, .price_in = 10, .price_out = 30}) == Status::ok);
    REQUIRE(fleet.add({.name = "mid", .provider = "b", .price_in = 1, .price_out = 3}) == Status::ok);
    REQUIRE(fleet.add({.name = "small", .provider = "c", .tier = Tier::fast, .price_in = 0.1, .price_out = 0.3}) == Status::ok);
  }
  fl::TaskNumber open(const std::string& id, std::string_view category = {}) {
    fl::TaskNumber number = 0;
    REQUIRE(fleet.open({.id = id, .category = category}, number) == Status::ok);
    return number;
  }
  fl::Route route(fl::TaskNumber task, const fl::RouteRequest& request = {}, fl::Time now = second) {
    fl::Route out;
    REQUIRE(fleet.route(task, request, out, now) == Status::ok);
    return out;
  }
  Status end(const fl::Route& made, fl::journal::CalledFixed fixed = {.cost_nanos = 0, .latency_ms = 100}, fl::Time now = second) {
    return fleet.called(made, fixed, now);
  }
  Status answer(fl::TaskNumber task, std::string_view model, double p, double cost = 0.0) {
    return fleet.record(task, {.model = fleet.find_model(model), .p = std::span(&p, 1), .latency_ms = 50, .cost_usd = cost, .time = second});
  }
  fl::Budgets::View budget(std::string_view name, fl::Time now = second) {
    fl::Budgets::View view;
    REQUIRE(fleet.routing().budgets().view(fleet.routing().budgets().find(name), now, view) == Status::ok);
    return view;
  }
  void same_replayed() {
    fl::Fleet again = log.folded();
    CHECK(again.state() == fleet.state());
  }

  Log log;
  fl::Fleet fleet;
};

constexpr fl::Objective cheapest{.goal = fl::Goal::cost};

}  // namespace

TEST_CASE("route: the objective, and all that leaves candidates out") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  const auto cheap = [&](fl::RouteRequest request) {
    request.objective = cheapest;
    fl::Route made = desk.route(task, request);
    if (made.asks()) REQUIRE(desk.end(made, {.end = CallEnd::released}) == Status::ok);
    return made;
  };
  CHECK(cheap({}).model == 2);
  CHECK((cheap({}).reasons & RouteReason::best_expected) != 0);
  CHECK(cheap({}).propensity == 1.0);
  CHECK(cheap({}).n_others == 2);
  CHECK(cheap({}).others[0].model == 1);
  const fl::Route floor = cheap({.at_least = Tier::standard});
  CHECK(floor.model == 1);
  CHECK((floor.reasons & RouteReason::tier_floor) != 0);
  const fl::ModelId small[] = {2}, all[] = {0, 1, 2};
  CHECK(cheap({.ban = small}).model == 1);
  CHECK((cheap({.ban = small}).reasons & RouteReason::banned) != 0);
  CHECK((cheap({.without = small}).reasons & RouteReason::tried_before) != 0);
  CHECK(cheap({.pin = "big"}).model == 0);
  CHECK((cheap({.pin = "big"}).reasons & (RouteReason::pinned | RouteReason::only_candidate)) ==
        (RouteReason::pinned | RouteReason::only_candidate));
  const fl::Route none = cheap({.without = all});
  CHECK_FALSE(none.asks());
  CHECK((none.reasons & RouteReason::nobody) != 0);

  // The rules; those of a type go before, and a call's own before both.
  REQUIRE(desk.fleet.routing_rules(R"({"rules": {"all": {"at_least": "standard", "ban": ["mid"]},
    "types": {"simple": {"at_least": "fast", "ban": ["small"]}, "hard": {"pin": "small"}}}})", 0) == Status::ok);
  CHECK(cheap({}).model == 0);
  CHECK(cheap({.type = "simple"}).model == 0);
  CHECK(cheap({.type = "simple"}).reasons == cheap({}).reasons);  // the task is of that type now
  CHECK(cheap({.type = "hard", .at_least = Tier::fast}).model == 2);
  CHECK(desk.fleet.routing_rules(R"({"rules": {"all": {"at_least": "best"}}})", 0) == Status::bad_event);
  CHECK(desk.fleet.routing_rules("{", 0) == Status::bad_event);
  CHECK(desk.fleet.route(99, {}, desk.route(task) = {}, 0) == Status::unknown_task);
  desk.same_replayed();
}

TEST_CASE("route: quality is learned, by type and category too") {
  Desk desk;
  bool news = false;
  // `mid` is good at politics, `small` at all that is simple.
  for (int i = 0; i < 300; ++i) {
    const std::string id = "q" + std::to_string(i);
    const bool politics = i % 2 == 0;
    const fl::TaskNumber task = desk.open(id, politics ? "politics" : "rates");
    const fl::Route made = desk.route(task, {.type = i % 3 == 0 ? "simple" : "reasoning"});
    REQUIRE(made.asks());
    REQUIRE(desk.end(made) == Status::ok);
    REQUIRE(desk.answer(task, "big", 0.6) == Status::ok);
    REQUIRE(desk.answer(task, "mid", politics ? 0.95 : 0.3) == Status::ok);
    REQUIRE(desk.answer(task, "small", i % 3 == 0 ? 0.99 : 0.5) == Status::ok);
    REQUIRE(desk.fleet.settle(id, 1.0, second, fl::nan, news) == Status::ok);
  }
  const auto best = [&](const char* id, const char* category, const char* type) {
    return desk.route(desk.open(id, category), {.type = type, .objective = fl::Objective{.explore = 0.0}}).model;
  };
  CHECK(best("x", "politics", "reasoning") == 1);
  CHECK(best("y", "rates", "reasoning") == 0);
  CHECK(best("z", "rates", "simple") == 2);
  desk.same_replayed();
}

TEST_CASE("route: money is held, settled to the nano-dollar once, and never overspent") {
  Desk desk;
  REQUIRE(desk.fleet.budget(R"({"name": "all", "limit": 1000})", 0) == Status::ok);
  REQUIRE(desk.fleet.budget(R"({"name": "big", "limit": 500, "scope": "model", "of": "big", "on_exhausted": "queue"})", 0) ==
          Status::ok);
  const std::vector<fl::Nanos> bounds{300, 300, 300};
  const fl::RouteRequest request{.pin = "big", .bounds = bounds};
  const fl::TaskNumber task = desk.open("q");
  const fl::Route first = desk.route(task, request);
  REQUIRE(first.asks());
  CHECK(desk.budget("big").now.held == 300);
  const fl::Route second_one = desk.route(task, request);
  CHECK_FALSE(second_one.asks());
  CHECK(second_one.model == 0);
  CHECK((second_one.reasons & RouteReason::refused) != 0);
  CHECK(second_one.admission.then == fl::OnExhausted::queue);
  CHECK(desk.budget("big").now.refused == 1);
  REQUIRE(desk.end(first, {.cost_nanos = 123, .tokens_in = 10, .tokens_out = 2, .tokens_cached = 4}) == Status::ok);
  CHECK(desk.end(first) == Status::unknown_key);
  CHECK(desk.budget("big").now.held == 0);
  CHECK(desk.budget("big").now.spent == 123);
  CHECK(desk.budget("all").now.spent == 123);
  REQUIRE(desk.answer(task, "big", 0.5, 123e-9) == Status::ok);  // the answer of that call costs nothing more
  CHECK(desk.budget("all").now.spent == 123);
  REQUIRE(desk.answer(task, "mid", 0.5, 7e-9) == Status::ok);  // an answer that nobody routed does
  CHECK(desk.budget("all").now.spent == 130);
  // A route whose answer is recorded without `called`.
  const fl::Route asked = desk.route(task, {.pin = "small", .bounds = bounds});
  REQUIRE(asked.asks());
  CHECK(desk.budget("all").now.held == 300);
  REQUIRE(desk.answer(task, "small", 0.5, 20e-9) == Status::ok);
  CHECK(desk.budget("all").now.held == 0);
  CHECK(desk.budget("all").now.spent == 150);
  CHECK(desk.end(asked) == Status::unknown_key);
  // One that was never made, and one that nobody knows of.
  const fl::Route released = desk.route(task, {.pin = "small", .bounds = bounds}), lost = desk.route(task, {.pin = "mid", .bounds = bounds});
  REQUIRE(desk.end(released, {.end = CallEnd::released}) == Status::ok);
  CHECK(desk.budget("all").now.held == 300);
  REQUIRE(desk.fleet.lose_calls(second) == Status::ok);
  CHECK(desk.fleet.routing().open_calls().empty());
  CHECK(desk.end(lost) == Status::unknown_key);
  CHECK(desk.budget("all").now.held == 0);
  CHECK(desk.budget("all").now.spent == 450);
  const fl::SpendDay spent = desk.fleet.routing().spend().total(fl::Scope::all, 0);
  CHECK(spent.cost == 450);
  CHECK(spent.calls == 4);
  CHECK(spent.input == 10);
  CHECK(spent.cached == 4);
  // As many as may be are asked, none above the limit.
  int asks = 0;
  for (int i = 0; i < 10; ++i) asks += desk.route(task, {.bounds = bounds}).asks() ? 1 : 0;
  CHECK(asks == 1);
  desk.same_replayed();
}

TEST_CASE("route: a budget that degrades has a cheaper model asked, and no dearer one") {
  Desk desk;
  REQUIRE(desk.fleet.budget(R"({"name": "dear", "limit": 100, "scope": "tier", "of": "reasoning", "on_exhausted": "degrade"})", 0) ==
          Status::ok);
  REQUIRE(desk.fleet.budget(R"({"name": "m", "limit": 100, "scope": "model", "of": "mid", "on_exhausted": "degrade"})", 0) == Status::ok);
  const std::vector<fl::Nanos> bounds{300, 300, 300}, two{300, 50, 300}, one{50, 300, 300};
  const fl::TaskNumber task = desk.open("q");
  const fl::Objective greedy{.explore = 0.0};  // of equals the first
  const fl::Route made = desk.route(task, {.objective = greedy, .bounds = two});
  CHECK(made.model == 1);
  CHECK((made.reasons & (RouteReason::over_budget | RouteReason::degraded)) == (RouteReason::over_budget | RouteReason::degraded));
  CHECK(made.n_others == 1);
  // Who is wanted has money: that others have none changes nothing.
  const fl::Route wanted = desk.route(task, {.objective = greedy, .bounds = one});
  CHECK(wanted.model == 0);
  CHECK((wanted.reasons & (RouteReason::over_budget | RouteReason::degraded)) == RouteReason::over_budget);
  // `mid` is wanted and has none: `big` is dearer.
  const fl::ModelId big[] = {0};
  CHECK(desk.route(task, {.objective = greedy, .ban = big, .bounds = bounds}).model == 2);
  const fl::ModelId small[] = {2};
  const fl::Route none = desk.route(task, {.objective = fl::Objective{.goal = fl::Goal::cost}, .ban = small, .bounds = one});
  CHECK_FALSE(none.asks());
  CHECK(none.model == 1);
  CHECK((none.reasons & RouteReason::refused) != 0);
  CHECK(none.admission.then == fl::OnExhausted::degrade);
  desk.same_replayed();
}

TEST_CASE("route: a model that comes back from another provider has that one's breaker; a probe that was never made is made") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  for (int i = 0; i < 5; ++i) {
    const fl::Route made = desk.route(task, {.pin = "big"});
    REQUIRE(desk.end(made, {.end = CallEnd::failed, .failure = static_cast<std::uint8_t>(fl::CallFailure::network)}) == Status::ok);
  }
  REQUIRE(desk.fleet.remove("big") == Status::ok);
  REQUIRE(desk.fleet.add({.name = "big", .provider = "b", .tier = Tier::reasoning}) == Status::ok);
  const fl::Breakers& breakers = desk.fleet.routing().breakers();
  CHECK(breakers.provider_name(breakers.provider_of(0)) == "b");
  CHECK_FALSE(desk.route(task, {.pin = "big"}).asks());  // its own breaker is open all the same
  const fl::Time later = 60 * second;
  const fl::Route probe = desk.route(task, {.pin = "big"}, later);
  REQUIRE(probe.asks());
  CHECK_FALSE(desk.route(task, {.pin = "big"}, later).asks());
  REQUIRE(desk.end(probe, {.end = CallEnd::released}, later) == Status::ok);
  CHECK(desk.route(task, {.pin = "big"}, later).asks());
  desk.same_replayed();
}

TEST_CASE("route: a dead sole model is hit five times, then once an interval") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  std::vector<fl::Route> made;
  for (int i = 0; i < 200; ++i) {  // all at once
    const fl::Route one = desk.route(task, {.pin = "big"}, i);
    if (one.asks()) made.push_back(one);
    else CHECK((one.reasons & RouteReason::held_back) != 0);
  }
  CHECK(made.size() == 5);
  for (const fl::Route& one : made) {
    REQUIRE(desk.end(one, {.end = CallEnd::failed, .failure = static_cast<std::uint8_t>(fl::CallFailure::network)}, second) ==
            Status::ok);
  }
  const std::size_t events = desk.log.size();
  const fl::Route closed = desk.route(task, {.pin = "big"}, 2 * second);
  CHECK_FALSE(closed.asks());
  CHECK((closed.reasons & (RouteReason::unhealthy | RouteReason::nobody)) == (RouteReason::unhealthy | RouteReason::nobody));
  CHECK(closed.until > 2 * second);
  CHECK(desk.log.size() == events + 1);  // that nobody is there is told
  int probes = 0;
  for (int i = 0; i < 50; ++i) probes += desk.route(task, {.pin = "big"}, closed.until + 1 + i).asks() ? 1 : 0;
  CHECK(probes == 1);
  CHECK(desk.route(task, {}, 2 * second).asks());  // others are well
  REQUIRE(desk.fleet.health(R"({"closed": "big"})", closed.until + 5) == Status::ok);
  CHECK(desk.route(task, {.pin = "big"}, closed.until + 6).asks());
  desk.same_replayed();
}

TEST_CASE("route: an answer that is used again is no call: it costs nothing and heals nobody") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  for (int i = 0; i < 5; ++i) {
    const fl::Route made = desk.route(task, {.pin = "big"});
    REQUIRE(desk.end(made, {.end = CallEnd::failed, .failure = static_cast<std::uint8_t>(fl::CallFailure::server)}) == Status::ok);
  }
  const fl::ModelId big = desk.fleet.find_model("big");
  const auto calls = [&] { return desk.fleet.routing().spend().total(fl::Scope::all, 0).calls; };
  REQUIRE(desk.fleet.routing().breakers().gate(big, second) == fl::Gate::no);
  REQUIRE(calls() == 5);
  const fl::TaskNumber next = desk.open("r");
  const double p = 0.7;
  const fl::Time later = 40 * second;  // a success would close it
  const fl::Forecast again{.model = big, .p = std::span(&p, 1), .time = later};
  REQUIRE(desk.fleet.record(next, again) == Status::ok);
  CHECK(desk.fleet.routing().breakers().breaker(big).state() == fl::BreakerState::open);
  CHECK(calls() == 5);
  const fl::Forecast asked{.model = big, .p = std::span(&p, 1), .latency_ms = 50, .time = later};
  REQUIRE(desk.fleet.record(next, asked) == Status::ok);  // with a latency: somebody asked it
  CHECK(desk.fleet.routing().breakers().breaker(big).state() == fl::BreakerState::closed);
  CHECK(calls() == 6);
  desk.same_replayed();
}

TEST_CASE("route: alerts are told once, here and in a replay") {
  Desk desk;
  REQUIRE(desk.fleet.budget(R"({"name": "day", "limit": 1000, "period": "daily"})", 0) == Status::ok);
  const fl::TaskNumber task = desk.open("q");
  std::vector<fl::Alert> alerts;
  const auto spend = [&](double usd) { REQUIRE(desk.answer(task, "mid", 0.5, usd) == Status::ok); };
  spend(700e-9);
  REQUIRE(desk.fleet.take_alerts(alerts, second) == Status::ok);
  CHECK(alerts.empty());
  spend(150e-9);
  spend(10e-9);
  fl::Fleet before = desk.log.folded();
  CHECK(before.routing().budgets().any_due());
  REQUIRE(desk.fleet.take_alerts(alerts, second) == Status::ok);
  REQUIRE(alerts.size() == 1);
  CHECK(alerts[0].level == fl::AlertLevel::warning);
  REQUIRE(desk.fleet.take_alerts(alerts, second) == Status::ok);
  CHECK(alerts.empty());
  fl::Fleet after = desk.log.folded();
  CHECK_FALSE(after.routing().budgets().any_due());
  spend(140e-9);
  REQUIRE(desk.fleet.take_alerts(alerts, second) == Status::ok);
  CHECK(alerts.size() == 2);  // critical, exhausted
  desk.same_replayed();
}

TEST_CASE("route: in an emergency positions are cut") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  REQUIRE(desk.answer(task, "mid", 0.9) == Status::ok);
  fl::Decision calm, alarmed;
  REQUIRE(desk.fleet.decide(task, fl::Strategy::mean, calm, 1) == Status::ok);
  REQUIRE(desk.fleet.health(R"({"emergency": true, "reason": "all breakers are open"})", 1) == Status::ok);
  CHECK(desk.fleet.routing().emergency());
  REQUIRE(desk.fleet.decide(task, fl::Strategy::mean, alarmed, 1) == Status::ok);
  CHECK(alarmed.position_scale == fl::FleetRouting::emergency_scale * calm.position_scale);
  CHECK((alarmed.reasons & fl::in_emergency) != 0);
  desk.same_replayed();
  REQUIRE(desk.fleet.health(R"({"emergency": false})", 2) == Status::ok);
  CHECK_FALSE(desk.fleet.routing().emergency());
}

TEST_CASE("route: what cannot be is refused, and nothing is logged") {
  Desk desk;
  const std::size_t events = desk.log.size();
  const std::string state = desk.fleet.state();
  for (const char* json : {"", "[]", "{}", R"({"name": ""})", R"({"name": "x", "limit": -1})", R"({"name": "x", "limit": 1.5})",
                           R"({"name": "x", "limit": 1, "period": "hourly"})", R"({"name": "x", "limit": 1, "scope": "tier"})",
                           R"({"name": "x", "limit": 1, "scope": "model", "of": "nobody"})", R"({"name": "x", "removed": true})",
                           R"({"name": "x", "limit": 1, "warning": 2000000})", R"({"runs": [[1, 2, 3]]})", R"({"runs": [[0, 5]]})",
                           R"({"name": "x\ud800", "limit": 1})", R"({"name": "x", "limit": 1} x)"}) {
    CAPTURE(json);
    CHECK(desk.fleet.budget(json, 0) != Status::ok);
  }
  for (const char* json : {"{}", R"({"closed": "nobody"})", R"({"emergency": 1})"}) CHECK(desk.fleet.health(json, 0) != Status::ok);
  for (const char* json : {"{}", R"({"rules": []})", R"({"rules": {"all": {"objective": {"goal": "x"}}}})",
                           R"({"breaker": {"failures": 0}, "model": "new"})", R"({"breaker": {}, "model": "big"})"}) {
    CHECK(desk.fleet.routing_rules(json, 0) != Status::ok);
  }
  CHECK(desk.fleet.called({.task = 1, .model = 0, .attempt = 1}, {}, 0) == Status::unknown_key);
  CHECK(desk.fleet.called({.task = 1, .model = 9, .attempt = 1}, {}, 0) == Status::unknown_model);
  CHECK(desk.log.size() == events);
  CHECK(desk.fleet.state() == state);
}

TEST_CASE("route: slices may be called type; a snapshot knows the contexts of a task whose type was told anew") {
  Desk desk;
  const fl::Dimension own{"type", "reasoning"};
  fl::TaskNumber task = 0;
  REQUIRE(desk.fleet.open({.id = "q", .slices = std::span(&own, 1)}, task) == Status::ok);
  for (const char* type : {"reasoning", "simple"}) REQUIRE(desk.end(desk.route(task, {.type = type})) == Status::ok);
  fl::Fleet again;
  fl::FleetOrigin origin;
  REQUIRE(fl::Fleet::restore(desk.fleet.snapshot(origin), again, origin) == Status::ok);
  CHECK(life::view(again) == life::view(desk.fleet));
  const fl::FleetTask& known = desk.fleet.tasks()[desk.fleet.tasks().find(task)];
  REQUIRE(known.routing.where().size() == 2);
  CHECK(desk.fleet.routing().router().value(known.routing.where()[0]) == "reasoning");
  CHECK(desk.fleet.routing().router().value(known.routing.where()[1]) == "simple");
}

TEST_CASE("route: a number of tokens that cannot be loses no money") {
  Desk desk;
  const fl::TaskNumber task = desk.open("q");
  REQUIRE(desk.end(desk.route(task), {.cost_nanos = 70, .tokens_in = std::int64_t{1} << 50, .tokens_out = -1}) == Status::ok);
  CHECK(desk.fleet.routing().spend().total(fl::Scope::all, 0).cost == 70);
  desk.same_replayed();
}

TEST_CASE("route: where the calendar ends no period begins anew with each call") {
  for (const fl::Time end : {std::numeric_limits<fl::Time>::max(), fl::Time{8'500'000'000} * second}) {
    Desk desk;
    REQUIRE(desk.fleet.budget(R"({"name": "all", "limit": 1000})", 0) == Status::ok);
    REQUIRE(desk.fleet.budget(R"({"name": "day", "limit": 1000, "period": "daily"})", 0) == Status::ok);
    const std::vector<fl::Nanos> bounds{300, 300, 300};
    const fl::TaskNumber task = desk.open("q");
    const fl::Route first = desk.route(task, {.bounds = bounds}, end), other = desk.route(task, {.bounds = bounds}, end);
    for (const char* name : {"all", "day"}) CHECK(desk.budget(name, end).now.held == 600);
    REQUIRE(desk.end(first, {.cost_nanos = 100}, end) == Status::ok);
    REQUIRE(desk.end(other, {.cost_nanos = 100}, end) == Status::ok);
    for (const char* name : {"all", "day"}) {
      CHECK(desk.budget(name, end).now.spent == 200);
      CHECK(desk.budget(name, end).now.held == 0);
    }
  }
}

TEST_CASE("route: a snapshot in the middle of a life, and what came after, is the whole life") {
  for (unsigned seed = 20; seed < 23; ++seed) {
    Log log;
    fl::Fleet live = life::lived(seed, 2'500, &log, life::narrow);
    for (const std::size_t at : {log.size() / 3, log.size() - 1}) {
      fl::Fleet before = log.folded(at), restored;
      fl::FleetOrigin origin;
      REQUIRE(fl::Fleet::restore(before.snapshot(origin), restored, origin) == Status::ok);
      CHECK(restored.state() == before.state());
      for (std::size_t i = at; i < log.size(); ++i) REQUIRE(restored.apply(log[i]) == Status::ok);
      CHECK(restored.state() == live.state());
      CHECK(life::view(restored) == life::view(live));
    }
  }
}
