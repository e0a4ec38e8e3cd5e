// Spend against sums written out, late calls, bounds, snapshots.
#include <doctest/doctest.h>

#include <map>
#include <random>
#include <string>

#include "fairlead/spend.hpp"

using namespace fairlead;

namespace {

constexpr Time hour = Calendar::hour, day = Calendar::day_length;

bool same(const SpendDay& a, const SpendDay& b) {
  return a.calls == b.calls && a.unpriced == b.unpriced && a.failed == b.failed && a.input == b.input &&
         a.output == b.output && a.cached == b.cached && a.written == b.written && a.cost == b.cost;
}

}  // namespace

TEST_CASE("spend: each id of each scope by day, in whatever order the calls come") {
  std::mt19937_64 dice(1);
  Spend spend(Calendar(hour), {.days = 10'000});
  std::map<std::tuple<int, int, std::int64_t>, SpendDay> expected;
  for (int i = 0; i < 5000; ++i) {
    const Time time = static_cast<Time>(dice() % (40 * 24)) * hour;
    const Where where{.model = static_cast<ModelId>(dice() % 4) - 1, .tier = static_cast<std::int32_t>(dice() % 3),
                      .category = static_cast<std::int32_t>(dice() % 5) - 1, .type = static_cast<std::int32_t>(dice() % 2)};
    const auto input = static_cast<std::int64_t>(dice() % 1000);
    const Usage usage{.input = input, .output = static_cast<std::int64_t>(dice() % 100), .cached = input / 3, .written = input / 5};
    const auto cost = static_cast<Nanos>(dice() % 100'000);
    const bool priced = dice() % 10 != 0, failed = dice() % 7 == 0;
    REQUIRE(spend.add(where, time, priced ? &cost : nullptr, usage, failed) == Status::ok);
    const int ids[] = {0, where.model, where.tier, where.category, where.type};
    for (int scope = 0; scope < 5; ++scope) {
      if (ids[scope] < 0) continue;
      expected[{scope, ids[scope], (time + hour) / day}].add({.calls = 1, .unpriced = priced ? 0 : 1, .failed = failed ? 1 : 0,
                                                              .input = usage.input, .output = usage.output, .cached = usage.cached,
                                                              .written = usage.written, .cost = priced ? cost : 0});
    }
  }
  std::size_t seen = 0;
  for (int scope = 0; scope < 5; ++scope) {
    for (std::int32_t id = 0; id < spend.ids(static_cast<Scope>(scope)); ++id) {
      for (const SpendDay& found : spend.days(static_cast<Scope>(scope), id)) {
        REQUIRE(same(found, expected.at({scope, id, found.day})));
        ++seen;
      }
    }
  }
  CHECK(seen == expected.size());
  SpendDay week;
  for (const auto& [key, value] : expected) {
    if (std::get<0>(key) == 1 && std::get<1>(key) == 2 && std::get<2>(key) >= 7 && std::get<2>(key) < 14) week.add(value);
  }
  CHECK(same(spend.sum(Scope::model, 2, 7, 14), week));
}

TEST_CASE("spend: memory is bounded, and nothing is lost") {
  Spend spend(Calendar(), {.days = 5, .max_ids = 2, .memory = 4});
  const Nanos cost = 10;
  for (int i = 0; i < 50; ++i) REQUIRE(spend.add({.model = i % 6, .category = i}, i * day, &cost) == Status::ok);
  REQUIRE(spend.add({.model = 0}, 3 * day, &cost) == Status::ok);  // long before what is kept apart
  CHECK(spend.days(Scope::all, 0).size() == 5);
  CHECK(spend.older(Scope::all, 0).calls == 46);
  CHECK(spend.total(Scope::all, 0).cost == 510);
  CHECK(spend.ids(Scope::model) == 3);
  CHECK(spend.other() == 2);
  CHECK(spend.total(Scope::model, spend.other()).calls == 32);
  CHECK(spend.total(Scope::category, spend.other()).calls == 48);
  // A late day in the middle pushes out the oldest.
  Spend gaps(Calendar(), {.days = 3});
  for (const int d : {1, 5, 9, 7, 5, 2}) REQUIRE(gaps.add({}, d * day, &cost) == Status::ok);
  REQUIRE(gaps.days(Scope::all, 0).size() == 3);
  CHECK(gaps.days(Scope::all, 0)[0].day == 5);
  CHECK(gaps.days(Scope::all, 0)[0].calls == 2);
  CHECK(gaps.days(Scope::all, 0)[1].day == 7);
  CHECK(gaps.older(Scope::all, 0).calls == 2);
}

TEST_CASE("spend: the cost of a call in context, over all calls and lately") {
  Spend spend(Calendar(), {.memory = 4});
  Nanos cost = 0;
  for (int i = 1; i <= 4; ++i) {
    cost = i * 100;
    REQUIRE(spend.add({.model = 1, .category = i % 2, .type = 0}, 0, &cost, {.input = 1, .output = i}) == Status::ok);
  }
  CHECK(spend.call_cost(1).lately == doctest::Approx(250.0));  // exact up to `memory` calls
  CHECK(spend.call_cost(1).answer == doctest::Approx(2.5));
  REQUIRE(spend.add({.model = 1}, 0, nullptr) == Status::ok);  // no price: no cost of a call
  cost = 1250;
  REQUIRE(spend.add({.model = 1}, 0, &cost) == Status::ok);
  CHECK(spend.call_cost(1).lately == doctest::Approx(500.0));
  CHECK(spend.call_cost(1).calls == 5);
  CHECK(spend.call_cost(1, Scope::category, 1).cost == 400);
  CHECK(spend.call_cost(1, Scope::category, 7).calls == 0);
  CHECK(spend.call_cost(1, Scope::type, 0).calls == 4);
  CHECK(spend.call_cost(-1).calls == 0);
}

TEST_CASE("spend: what cannot be is refused and changes nothing; snapshots go on") {
  Spend spend(Calendar(hour), {.days = 3, .max_ids = 9, .memory = 5});
  Nanos cost = 5;
  for (int i = 0; i < 30; ++i) REQUIRE(spend.add({.model = i % 3, .tier = 1, .category = i % 2}, i * 7 * hour, &cost, {.input = 3, .output = 1}) == Status::ok);
  const std::string before = spend.snapshot();
  for (const Usage& bad : {Usage{.input = -1}, Usage{.output = -1}, Usage{.input = 1, .cached = 2}, Usage{.input = 1, .written = 2}, Usage{.input = INT64_MAX}}) {
    CHECK(spend.add({}, 0, &cost, bad) == Status::out_of_range);
  }
  cost = -1;
  CHECK(spend.add({}, 0, &cost) == Status::out_of_range);
  CHECK(spend.snapshot() == before);
  CHECK(Spend::check({.days = 0}) == Status::out_of_range);
  CHECK(Spend::check({.max_ids = 0}) == Status::out_of_range);
  CHECK(Spend::check({.memory = 0}) == Status::out_of_range);
  Spend again;
  REQUIRE(again.restore(before) == Status::ok);
  cost = 11;
  for (Spend* one : {&spend, &again}) {
    for (int i = 0; i < 30; ++i) REQUIRE(one->add({.model = i % 4, .type = 2}, i * 9 * hour, &cost) == Status::ok);
  }
  CHECK(again.snapshot() == spend.snapshot());
  for (std::size_t i = 0; i < before.size(); i += 3) {
    std::string damaged = before;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x21);
    CHECK(again.restore(damaged) == Status::bad_snapshot);
  }
  CHECK(again.snapshot() == spend.snapshot());
}
