// What a fleet tells Performance, and runs.
#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fleet_log.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::Performance;
using fl::PerformanceReading;
using fl::Status;
using Window = Performance::Window;

namespace {

constexpr fl::Time second = 1'000'000'000, hour = 3600 * second;
constexpr fl::Time start = 1'772'000'000 * second;

PerformanceReading read(const Performance& from, Performance::Where where, Window window, fl::Time now) {
  PerformanceReading out;
  from.read(where, window, now, out);
  return out;
}

fl::Fleet of_two(fl::EventSink* sink = nullptr) {
  fl::Fleet fleet;
  fleet.attach(sink);
  REQUIRE(fleet.configure({}, 0) == Status::ok);
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  REQUIRE(fleet.add({.name = "b"}) == Status::ok);
  return fleet;
}

}  // namespace

TEST_CASE("fleet performance: a call counts when its forecast comes, an answer when its task is settled") {
  fl::Fleet fleet = of_two();
  const fl::Task task{.id = "q", .category = "crypto", .regime = "wild", .expires_in_s = 7200.0, .time = start};
  const double p[] = {0.8}, q[] = {0.4};
  REQUIRE(fleet.record(task, {.model = 0, .p = p, .confidence = 0.9, .latency_ms = 200.0, .tokens_in = 30, .tokens_out = 4, .cost_usd = 0.02, .time = start}) == Status::ok);
  REQUIRE(fleet.record(task, {.model = 1, .p = q, .time = start}) == Status::ok);
  REQUIRE(fleet.record(task, {.model = 1, .latency_ms = 5000.0, .error = "timeout: none in 5 s", .time = start}) == Status::ok);
  REQUIRE(fleet.record(task, {.model = 1, .error = "server: 500", .time = start}) == Status::ok);
  const Performance& performance = fleet.performance();
  const PerformanceReading a = read(performance, {.model = 0}, Window::h1, start);
  CHECK(a.calls.calls == 1);
  CHECK(a.calls.cost == 20'000'000);
  CHECK(a.calls.tokens_in == 30);
  CHECK(a.confidence() == doctest::Approx(0.9));
  CHECK(a.latency_ms(0.95) == doctest::Approx(200.0).epsilon(1.0 / 129));
  const PerformanceReading b = read(performance, {.model = 1}, Window::h1, start);
  CHECK(b.calls.calls == 3);
  CHECK(b.calls.failed == 2);
  CHECK(b.calls.timeouts == 1);
  CHECK(b.confidence() == doctest::Approx(0.6));
  CHECK(b.settled.n == 0);

  bool news = false;
  REQUIRE(fleet.settle("q", 1.0, start + 30 * hour, fl::nan, news) == Status::ok);
  const fl::Time now = start + 30 * hour;
  CHECK(read(performance, {.model = 0}, Window::h24, now).calls.calls == 0);
  const PerformanceReading settled = read(performance, {.model = 0}, Window::h24, now);
  CHECK(settled.brier() == doctest::Approx(0.04));
  CHECK(settled.skill() == doctest::Approx((0.04 + 0.36) / 2 - 0.04));
  CHECK(settled.quality() == doctest::Approx(1.0 - 0.04 / 0.25));
  CHECK(settled.accuracy() == 1.0);
  const std::int32_t crypto = performance.categories().find("crypto"), wild = performance.regimes().find("wild");
  CHECK(read(performance, {.model = 0, .category = crypto, .regime = wild, .expiry = static_cast<int>(fl::Expiry::day)}, Window::all, now).settled.n == 1);
  CHECK(read(performance, {.model = 0, .expiry = static_cast<int>(fl::Expiry::week)}, Window::all, now).settled.n == 0);
}

TEST_CASE("fleet performance: the quality of a categorical answer is beside that of the uniform one") {
  fl::Fleet fleet = of_two();
  const std::vector<std::string_view> labels{"a", "b", "c", "d"};
  const fl::Task task{.id = "q", .kind = Kind::categorical, .labels = labels, .time = start};
  const double uniform[] = {0.25, 0.25, 0.25, 0.25}, sure[] = {1.0, 0.0, 0.0, 0.0};
  REQUIRE(fleet.record(task, {.model = 0, .p = uniform, .time = start}) == Status::ok);
  REQUIRE(fleet.record(task, {.model = 1, .p = sure, .time = start}) == Status::ok);
  bool news = false;
  REQUIRE(fleet.settle("q", 0.0, start, fl::nan, news) == Status::ok);
  CHECK(read(fleet.performance(), {.model = 0}, Window::all, start).quality() == doctest::Approx(0.0));
  CHECK(read(fleet.performance(), {.model = 1}, Window::all, start).quality() == doctest::Approx(1.0));
  CHECK(read(fleet.performance(), {.model = 0}, Window::all, start).brier() == doctest::Approx(0.75));
}

TEST_CASE("fleet performance: runs are folded by their names, which need be no models") {
  Log log;
  fl::Fleet fleet = of_two(&log);
  const fl::journal::RunFixed fine{.cost_nanos = 5, .duration_ms = 20.0, .memory_mb = 64.0, .tokens = 9, .api_calls = 2};
  REQUIRE(fleet.run("crawler", "rates", fine, "", start) == Status::ok);
  REQUIRE(fleet.run("crawler", "", {.status = fl::journal::RunStatus::timeout}, "no answer", start + hour) == Status::ok);
  REQUIRE(fleet.run("a", "", {.status = fl::journal::RunStatus::cancelled}, "", start) == Status::ok);  // as a model is called
  CHECK(fleet.run("", "", fine, "", start) == Status::out_of_range);
  CHECK(fleet.run("x", "", {.duration_ms = -1.0}, "", start) == Status::out_of_range);
  CHECK(fleet.run("x", "", {.cost_nanos = -2}, "", start) == Status::out_of_range);
  CHECK(fleet.runners().size() == 2);
  CHECK(fleet.members().size() == 2);
  const PerformanceReading all = read(fleet.runs(), {.model = fleet.runners().find("crawler")}, Window::all, start);
  CHECK(all.calls.calls == 2);
  CHECK(all.calls.timeouts == 1);
  CHECK(all.calls.cost == 5);
  CHECK(all.calls.tokens_in == 9);
  CHECK(all.resources.api_calls == 2);
  CHECK(read(fleet.performance(), {}, Window::all, start).calls.calls == 0);
  fl::Fleet again = log.folded();
  CHECK(again.state() == fleet.state());
  fl::Fleet back;
  fl::FleetOrigin origin;
  REQUIRE(fl::Fleet::restore(fleet.snapshot({}), back, origin) == Status::ok);
  CHECK(back.state() == fleet.state());
}

TEST_CASE("fleet performance: runners beyond the limit share a name") {
  fl::Fleet fleet;
  for (int i = 0; i < fl::Fleet::most_runners + 10; ++i) {
    REQUIRE(fleet.run("r" + std::to_string(i), "", {}, "", start) == Status::ok);
  }
  CHECK(fleet.runners().size() == fl::Fleet::most_runners);
  const std::int32_t other = fleet.runners().find("(other)");
  REQUIRE(other >= 0);
  CHECK(read(fleet.runs(), {.model = other}, Window::all, start).calls.calls == 11);
}
