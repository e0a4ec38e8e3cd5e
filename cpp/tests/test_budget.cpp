// Budgets: what is granted, by whom it is refused, periods, alerts, snapshots; many threads: test_budget_threads.cpp.
#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "fairlead/budget.hpp"

using namespace fairlead;

namespace {

constexpr Time hour = Calendar::hour, day = Calendar::day_length;
constexpr Where anything{.model = 3, .tier = 1, .category = 2, .type = 0};

BudgetId define(Budgets& budgets, const char* name, const BudgetOptions& options, Time now = 0) {
  BudgetId id = -1;
  REQUIRE(budgets.define(name, options, now, id) == Status::ok);
  return id;
}
Tally now_of(const Budgets& budgets, BudgetId id, Time now) {
  Budgets::View view;
  REQUIRE(budgets.view(id, now, view) == Status::ok);
  return view.now;
}
std::vector<Alert> alerts(Budgets& budgets) {
  std::vector<Alert> out(100);
  out.resize(budgets.take_alerts(out));
  return out;
}

}  // namespace

TEST_CASE("budget: all budgets of a call hold its bound, or none does") {
  Budgets budgets;
  const BudgetId all = define(budgets, "all", {.limit = 100});
  const BudgetId model = define(budgets, "model", {.limit = 60, .scope = Scope::model, .of = 3, .on_exhausted = OnExhausted::queue});
  const BudgetId other = define(budgets, "other", {.limit = 1, .scope = Scope::model, .of = 4});
  Reservation first, second;
  REQUIRE(budgets.reserve(anything, 50, 0, first).granted());
  const Admission refused = budgets.reserve(anything, 11, 0, second);
  CHECK(refused.status == Status::ok);
  CHECK(refused.refused_by == model);
  CHECK(refused.then == OnExhausted::queue);
  CHECK(refused.left == 10);
  CHECK(refused.until == Calendar::end_of_time);
  CHECK(now_of(budgets, all, 0).held == 50);
  CHECK(now_of(budgets, model, 0).held == 50);
  CHECK(now_of(budgets, other, 0).held == 0);
  CHECK(budgets.check(anything, 51, 0).then == OnExhausted::refuse);  // both refuse: the stricter one says what is done
  CHECK(budgets.check(anything, 0, 0).granted());                     // what costs nothing is never refused
  REQUIRE(budgets.settle(first, 20, 0) == Status::ok);
  CHECK(budgets.settle(first, 20, 0) == Status::unknown_key);
  CHECK(budgets.cancel(first) == Status::unknown_key);
  REQUIRE(budgets.reserve(anything, 40, 0, second).granted());
  REQUIRE(budgets.cancel(second) == Status::ok);
  CHECK(now_of(budgets, all, 0).spent == 20);
  CHECK(now_of(budgets, all, 0).held == 0);
  CHECK(now_of(budgets, all, 0).cancelled == 1);
  CHECK(now_of(budgets, model, 0).refused == 1);
}

TEST_CASE("budget: a call above its bound is counted in full and told") {
  Budgets budgets;
  const BudgetId all = define(budgets, "all", {.limit = 100});
  Reservation made;
  REQUIRE(budgets.reserve(anything, 10, 0, made).granted());
  Nanos over = 0;
  REQUIRE(budgets.settle(made, 130, 0, &over) == Status::ok);
  CHECK(over == 120);
  const Tally tally = now_of(budgets, all, 0);
  CHECK(tally.spent == 130);
  CHECK(tally.over == 120);
  CHECK(tally.overruns == 1);
  CHECK_FALSE(budgets.check(anything, 1, 0).granted());
  CHECK(budgets.check(anything, 1, 0).left == 0);
}

TEST_CASE("budget: nothing changes where there is an error") {
  Budgets budgets;
  define(budgets, "all", {.limit = 100, .period = Period::daily});
  Reservation made;
  REQUIRE(budgets.reserve(anything, 10, 0, made).granted());
  const std::string before = budgets.snapshot();
  Reservation none;
  BudgetId id = -1;
  CHECK(budgets.reserve(anything, -1, day, none).status == Status::out_of_range);
  CHECK(budgets.reserve(anything, max_amount + 1, day, none).status == Status::out_of_range);
  CHECK(budgets.take(anything, -1, day, none) == Status::out_of_range);
  CHECK(budgets.settle(made, -1, day) == Status::out_of_range);
  CHECK(budgets.settle({made.slot, made.generation + 2}, 1, day) == Status::unknown_key);
  CHECK(budgets.settle({9, 1}, 1, day) == Status::unknown_key);
  CHECK(budgets.charge(anything, -1, day) == Status::out_of_range);
  CHECK(budgets.refuse(anything, -1, day) == Status::out_of_range);
  for (const BudgetOptions& bad : {BudgetOptions{.limit = -1}, BudgetOptions{.limit = max_amount + 1},
                                   BudgetOptions{.limit = 1, .of = 1}, BudgetOptions{.limit = 1, .warning = 0},
                                   BudgetOptions{.limit = 1, .warning = 960'000}, BudgetOptions{.limit = 1, .critical = 1'000'001}}) {
    CHECK(budgets.define("bad", bad, 0, id) == Status::out_of_range);
  }
  CHECK(budgets.remove("nobody") == Status::unknown_key);
  CHECK_FALSE(budgets.check(anything, 101, 0).granted());
  CHECK(budgets.snapshot() == before);
}

TEST_CASE("budget: no more than max_matching budgets for one call, however they are scoped") {
  Budgets budgets;
  BudgetId id = -1;
  for (int i = 0; i < 10; ++i) define(budgets, (std::string("all") + std::to_string(i)).c_str(), {.limit = 1});
  for (int i = 0; i < 6; ++i) define(budgets, (std::string("m") + std::to_string(i)).c_str(), {.limit = 1, .scope = Scope::model, .of = 3});
  for (int i = 0; i < 6; ++i) define(budgets, (std::string("n") + std::to_string(i)).c_str(), {.limit = 1, .scope = Scope::model, .of = 4});
  CHECK(budgets.define("more", {.limit = 1}, 0, id) == Status::wrong_length);
  CHECK(budgets.define("more", {.limit = 1, .scope = Scope::model, .of = 3}, 0, id) == Status::wrong_length);
  CHECK(budgets.define("more", {.limit = 1, .scope = Scope::tier, .of = 0}, 0, id) == Status::wrong_length);
  CHECK(budgets.define("more", {.limit = 1, .scope = Scope::model, .of = 9}, 0, id) == Status::ok);
  CHECK(budgets.define("m0", {.limit = 1, .period = Period::daily, .scope = Scope::model, .of = 3}, 0, id) == Status::ok);
  Reservation made;
  REQUIRE(budgets.take(anything, 1, 0, made) == Status::ok);
  CHECK(budgets.settle(made, 1, 0) == Status::ok);
}

TEST_CASE("budget: periods end on time, and a call belongs to the one it was reserved in") {
  Budgets budgets;
  const BudgetId daily = define(budgets, "daily", {.limit = 100, .period = Period::daily}, hour);
  Reservation late, next;
  REQUIRE(budgets.reserve(anything, 100, day - 1, late).granted());
  CHECK_FALSE(budgets.check(anything, 1, day - 1).granted());
  CHECK(budgets.check(anything, 1, day - 1).until == day);
  REQUIRE(budgets.reserve(anything, 100, day, next).granted());  // a new day
  REQUIRE(budgets.settle(late, 90, day + hour) == Status::ok);
  CHECK(now_of(budgets, daily, day + hour).spent == 0);
  Budgets::View view;
  REQUIRE(budgets.view(daily, 2 * day, view) == Status::ok);
  REQUIRE(view.closed.size() == 2);
  CHECK(view.closed[0].spent == 90);
  CHECK(view.closed[1].held == 100);
  CHECK(view.now.number == 2);
  CHECK(now_of(budgets, daily, day).number == 1);  // reading at a later time changed nothing
}

TEST_CASE("budget: a clock that jumps back gives no money twice") {
  Budgets budgets;
  define(budgets, "daily", {.limit = 100, .period = Period::daily});
  REQUIRE(budgets.charge(anything, 100, day + 1) == Status::ok);
  CHECK_FALSE(budgets.check(anything, 1, day + 1).granted());
  CHECK_FALSE(budgets.check(anything, 1, day - 1).granted());  // yesterday had money left, and is over
  CHECK_FALSE(budgets.check(anything, 1, 0).granted());
  CHECK_FALSE(budgets.check(anything, 1, 2 * day - 1).granted());
  CHECK(budgets.check(anything, 1, 2 * day).granted());
}

TEST_CASE("budget: a refused call leaves the period alone until it is counted") {
  Budgets budgets, told;
  for (Budgets* one : {&budgets, &told}) define(*one, "daily", {.limit = 10, .period = Period::daily});
  CHECK_FALSE(budgets.check(anything, 11, day).granted());
  CHECK(budgets.snapshot() == told.snapshot());
  Reservation none;
  CHECK_FALSE(budgets.reserve(anything, 11, day, none).granted());
  REQUIRE(told.refuse(anything, 11, day) == Status::ok);
  CHECK(budgets.snapshot() == told.snapshot());  // reserve is check, then take or refuse
  REQUIRE(budgets.reserve(anything, 4, day, none).granted());
  REQUIRE(told.take(anything, 4, day, none) == Status::ok);
  CHECK(budgets.snapshot() == told.snapshot());
}

TEST_CASE("budget: each alert once a period") {
  Budgets budgets;
  const BudgetId id = define(budgets, "daily", {.limit = 1000, .period = Period::daily});
  CHECK_FALSE(budgets.any_due());
  REQUIRE(budgets.charge(anything, 799, 1) == Status::ok);
  CHECK(alerts(budgets).empty());
  REQUIRE(budgets.charge(anything, 1, 2) == Status::ok);
  CHECK(budgets.any_due());
  auto found = alerts(budgets);
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == AlertLevel::warning);
  CHECK(found[0].budget == id);
  CHECK(found[0].spent == 800);
  CHECK(found[0].time == 2);
  CHECK_FALSE(budgets.any_due());
  REQUIRE(budgets.charge(anything, 150, 3) == Status::ok);
  REQUIRE(budgets.charge(anything, 10, 3) == Status::ok);
  found = alerts(budgets);
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == AlertLevel::critical);
  for (int i = 0; i < 3; ++i) {
    Reservation none;
    CHECK_FALSE(budgets.reserve(anything, 100, 4, none).granted());
  }
  found = alerts(budgets);
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == AlertLevel::exhausted);
  REQUIRE(budgets.charge(anything, 1000, day) == Status::ok);  // all three at once, in the next period
  found = alerts(budgets);
  REQUIRE(found.size() == 3);
  CHECK(found[0].number == 1);
  // A wider limit may be reached again.
  define(budgets, "daily", {.limit = 2000, .period = Period::daily}, day);
  REQUIRE(budgets.charge(anything, 600, day) == Status::ok);
  found = alerts(budgets);
  REQUIRE(found.size() == 1);
  CHECK(found[0].level == AlertLevel::warning);
}

TEST_CASE("budget: an alert waits until it was told, and survives a crash") {
  Budgets budgets;
  const BudgetId id = define(budgets, "daily", {.limit = 10, .period = Period::daily});
  REQUIRE(budgets.charge(anything, 9, 0) == Status::ok);
  Budgets again;
  REQUIRE(again.restore(budgets.snapshot()) == Status::ok);
  CHECK(again.any_due());
  std::vector<Alert> waiting(10);
  REQUIRE(again.due(waiting) == 1);
  REQUIRE(again.due(waiting) == 1);  // still there
  again.told(id, waiting[0].level, waiting[0].number);
  CHECK(again.due(waiting) == 0);
  REQUIRE(again.charge(anything, 0, 0) == Status::ok);
  CHECK(again.due(waiting) == 0);
  // Exhausted by a refusal that is in no event: told is enough.
  again.told(id, AlertLevel::exhausted, 0);
  REQUIRE(again.refuse(anything, 5, 0) == Status::ok);
  CHECK(again.due(waiting) == 0);
}

TEST_CASE("budget: alerts that nobody takes are dropped from the oldest on, and counted") {
  Budgets budgets;
  define(budgets, "daily", {.limit = 1, .period = Period::daily});
  for (int i = 0; i < 100; ++i) REQUIRE(budgets.charge(anything, 1, i * day) == Status::ok);
  CHECK(budgets.dropped() == 300 - 2 * Budgets::due_each);
  CHECK(alerts(budgets).back().number == 99);
}

TEST_CASE("budget: periods too old to be kept apart are one sum, in which a late call still counts") {
  Budgets budgets;
  const BudgetId id = define(budgets, "daily", {.limit = 10, .period = Period::daily});
  Reservation late;
  REQUIRE(budgets.reserve(anything, 7, 0, late).granted());
  for (int i = 1; i < 20; ++i) REQUIRE(budgets.charge(anything, 1, i * day) == Status::ok);
  Budgets::View view;
  REQUIRE(budgets.view(id, 19 * day, view) == Status::ok);
  CHECK(view.closed.size() == Budgets::closed_periods);
  CHECK(view.older.held == 7);
  CHECK(view.older.spent == 10);
  REQUIRE(budgets.settle(late, 6, 19 * day) == Status::ok);
  REQUIRE(budgets.view(id, 19 * day, view) == Status::ok);
  CHECK(view.older.held == 0);
  CHECK(view.older.spent == 16);
  CHECK(view.now.spent == 1);
}

TEST_CASE("budget: changed, removed and defined anew") {
  Budgets budgets;
  const BudgetId id = define(budgets, "b", {.limit = 10, .period = Period::daily});
  Reservation open;
  REQUIRE(budgets.reserve(anything, 4, 0, open).granted());
  CHECK(define(budgets, "b", {.limit = 5, .period = Period::daily}) == id);
  CHECK(budgets.check(anything, 1, 0).granted());
  CHECK_FALSE(budgets.check(anything, 2, 0).granted());
  const BudgetId weekly = define(budgets, "b", {.limit = 5, .period = Period::weekly});
  CHECK(weekly != id);  // the old one still has a reservation
  CHECK(now_of(budgets, weekly, 0).held == 0);
  CHECK_FALSE(budgets.has(id));
  REQUIRE(budgets.settle(open, 4, 0) == Status::ok);
  CHECK(now_of(budgets, weekly, 0).spent == 0);
  REQUIRE(budgets.remove("b") == Status::ok);
  CHECK(budgets.find("b") == -1);
  CHECK(budgets.budgets().empty());
  Reservation none;
  REQUIRE(budgets.reserve(anything, 1'000'000, 0, none).granted());
  CHECK(none.slot == Reservation::nowhere);
  CHECK(budgets.settle(none, 5, 0) == Status::ok);
  BudgetId spent = -1;
  REQUIRE(budgets.define("c", {.limit = 10}, 0, spent, 9) == Status::ok);
  CHECK(now_of(budgets, spent, 0).spent == 9);
  CHECK(alerts(budgets).size() == 1);
}

TEST_CASE("budget: what is held after a crash can be listed and expired") {
  Budgets budgets;
  const BudgetId id = define(budgets, "all", {.limit = 100});
  Reservation a, b, c;
  REQUIRE(budgets.reserve(anything, 10, 3 * hour, a, 77).granted());
  REQUIRE(budgets.reserve(anything, 20, 1 * hour, b).granted());
  REQUIRE(budgets.reserve(anything, 30, 2 * hour, c).granted());
  REQUIRE(budgets.cancel(c) == Status::ok);
  Budgets again;
  REQUIRE(again.restore(budgets.snapshot()) == Status::ok);
  const auto held = again.held();
  REQUIRE(held.size() == 2);
  CHECK(held[0].reservation == b);
  CHECK(held[1].tag == 77);
  CHECK(held[1].where.model == 3);
  CHECK(again.held(2 * hour).size() == 1);
  CHECK(now_of(again, id, 0).held == 30);
  CHECK(again.expire(2 * hour, 4 * hour) == 1);
  CHECK(now_of(again, id, 0).held == 10);
  CHECK(now_of(again, id, 0).spent == 20);
  CHECK(again.settle(b, 1, 0) == Status::unknown_key);
  CHECK(again.settle(a, 5, 0) == Status::ok);
}

TEST_CASE("budget: a restored object goes on as if it had never stopped") {
  std::mt19937_64 random(5);
  Budgets budgets;
  for (int i = 0; i < 6; ++i) {
    define(budgets, std::to_string(i).c_str(),
           {.limit = 3000, .period = static_cast<Period>(i % 4), .scope = static_cast<Scope>(i % 5), .of = i % 5 == 0 ? 0 : 1});
  }
  std::vector<Reservation> open;
  const auto step = [&](Budgets& on, std::vector<Reservation>& held, std::mt19937_64& dice, Time now) {
    const Where where{.model = static_cast<ModelId>(dice() % 2), .tier = 1, .category = 1, .type = static_cast<std::int32_t>(dice() % 2)};
    Reservation made;
    if (dice() % 2 == 0 || held.empty()) {
      if (on.reserve(where, static_cast<Nanos>(dice() % 200), now, made).granted()) held.push_back(made);
    } else {
      const std::size_t which = dice() % held.size();
      REQUIRE(on.settle(held[which], static_cast<Nanos>(dice() % 250), now) == Status::ok);
      held.erase(held.begin() + static_cast<std::ptrdiff_t>(which));
    }
  };
  for (int i = 0; i < 500; ++i) step(budgets, open, random, i * hour);
  Budgets again;
  REQUIRE(again.restore(budgets.snapshot()) == Status::ok);
  CHECK(again.snapshot() == budgets.snapshot());
  auto same = open;
  auto dice = random;
  for (int i = 500; i < 1000; ++i) {
    step(budgets, open, random, i * hour);
    step(again, same, dice, i * hour);
  }
  CHECK(again.snapshot() == budgets.snapshot());
  CHECK(same == open);
}

TEST_CASE("budget: damaged bytes are refused and change nothing") {
  Budgets budgets;
  define(budgets, "a", {.limit = 10, .period = Period::monthly, .scope = Scope::model, .of = 2});
  Reservation made;
  REQUIRE(budgets.take({.model = 2}, 5, 0, made) == Status::ok);
  const std::string bytes = budgets.snapshot();
  Budgets into;
  define(into, "other", {.limit = 1});
  const std::string before = into.snapshot();
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x41);
    CHECK(into.restore(damaged) == Status::bad_snapshot);
    CHECK(into.restore(bytes.substr(0, i)) == Status::bad_snapshot);
  }
  CHECK(into.snapshot() == before);
  CHECK(into.restore(bytes) == Status::ok);
}
