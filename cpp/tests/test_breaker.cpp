#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fairlead/breaker.hpp"
#include "fairlead/breakers.hpp"
#include "fairlead/latency_histogram.hpp"

namespace fl = fairlead;
using fl::Breaker;
using fl::BreakerCall;
using fl::Breakers;
using fl::BreakersCall;
using fl::BreakerState;
using fl::CallFailure;
using fl::Gate;
using fl::OpenCause;
using fl::Status;
using fl::Time;

namespace {

constexpr Time s = fl::a_second;
constexpr Time start = 1'700'000'000 * s;

BreakerCall begun(Breaker& breaker, Time now) {
  BreakerCall call = 0;
  REQUIRE(breaker.begin(now, call) == Gate::yes);
  REQUIRE(call != 0);
  return call;
}

// Opens a fresh breaker with failures one after the other.
Time trip(Breaker& breaker, Time now) {
  while (breaker.state() == BreakerState::closed) {
    now += s;
    breaker.failure(begun(breaker, now), now, CallFailure::server);
  }
  return now;
}

}  // namespace

TEST_CASE("breaker: of 200 calls asked for at once a dead model gets five") {
  Breaker breaker;
  std::vector<BreakerCall> hits;
  int waiting = 0;
  for (int i = 0; i < 200; ++i) {
    BreakerCall call = 0;
    const Gate gate = breaker.begin(start, call);
    if (gate == Gate::yes) hits.push_back(call);
    waiting += gate == Gate::wait;
  }
  CHECK(hits.size() == 5);
  CHECK(waiting == 195);
  for (std::size_t i = 0; i < hits.size(); ++i) {  // none more, whenever their failures come
    CHECK(breaker.state() == BreakerState::closed);
    breaker.failure(hits[i], start + s, CallFailure::timeout);
    CHECK_FALSE(breaker.allow(start + s));
  }
  CHECK(breaker.state() == BreakerState::open);
  CHECK(breaker.cause() == OpenCause::failures);
  // One probe an interval: each that fails doubles the next.
  int probes = 0;
  for (Time now = start + s; now < start + 3600 * s; now += s) {
    BreakerCall call = 0;
    if (breaker.begin(now, call) != Gate::yes) continue;
    ++probes;
    CHECK_FALSE(breaker.allow(now));
    breaker.failure(call, now, CallFailure::timeout);
  }
  CHECK(probes == 9);  // after 30, 60, 120, 240, 480 and then 600 seconds
}

TEST_CASE("breaker: a healthy model is soon not held back, and a failure holds back until the next success") {
  Breaker breaker;
  std::vector<BreakerCall> flight;
  const auto fill = [&](Time now) {
    BreakerCall call = 0;
    while (flight.size() < 1'000 && breaker.begin(now, call) == Gate::yes) flight.push_back(call);
  };
  fill(start);
  CHECK(flight.size() == 5);
  for (const BreakerCall call : std::exchange(flight, {})) breaker.success(call, start + s, s);
  fill(start + s);
  CHECK(flight.size() == 30);  // 5 x (1 + 5)
  for (const BreakerCall call : std::exchange(flight, {})) breaker.success(call, start + 2 * s, s);
  fill(start + 2 * s);
  CHECK(flight.size() == 180);
  breaker.failure(flight.back(), start + 3 * s, CallFailure::server);
  flight.pop_back();
  CHECK(breaker.gate(start + 3 * s) == Gate::wait);
  breaker.success(flight.back(), start + 3 * s, s);
  flight.pop_back();
  CHECK(breaker.allow(start + 3 * s));
  // Proofs are forgotten.
  while (!flight.empty()) {
    breaker.success(flight.back(), start + 3 * s, s);
    flight.pop_back();
  }
  fill(start + 63 * s);
  CHECK(flight.size() == 5);
}

TEST_CASE("breaker: what began before it opened or closed changes nothing") {
  Breaker breaker;
  const BreakerCall early = begun(breaker, start), late = begun(breaker, start), later = begun(breaker, start);
  breaker.failure(begun(breaker, start), start + s, CallFailure::rate_limited, 10 * s);
  REQUIRE(breaker.state() == BreakerState::open);
  CHECK(breaker.cause() == OpenCause::retry_after);
  CHECK(breaker.until() == start + 11 * s);
  breaker.success(early, start + 2 * s, s);  // did not see what opened it
  CHECK(breaker.state() == BreakerState::open);
  breaker.failure(late, start + 3 * s, CallFailure::rate_limited, 20 * s);  // but may say to wait longer
  CHECK(breaker.until() == start + 23 * s);
  CHECK(breaker.opened() == 1);
  const BreakerCall probe = begun(breaker, start + 23 * s);
  breaker.failure(later, start + 24 * s, CallFailure::server);
  CHECK(breaker.state() == BreakerState::half_open);
  breaker.success(probe, start + 25 * s, 2 * s);
  CHECK(breaker.state() == BreakerState::closed);
  for (int i = 0; i < 10; ++i) breaker.failure(late, start + 26 * s, CallFailure::server);
  CHECK(breaker.state() == BreakerState::closed);
  CHECK(breaker.streak() == 0);
  // Without a ticket the latency tells: this one began while it was open.
  for (int i = 0; i < 10; ++i) breaker.failure(0, start + 26 * s, CallFailure::server, Breaker::unknown, 5 * s);
  CHECK(breaker.state() == BreakerState::closed);
  for (int i = 0; i < 5; ++i) breaker.failure(0, start + 26 * s, CallFailure::server, Breaker::unknown, s / 2);
  CHECK(breaker.state() == BreakerState::open);
}

TEST_CASE("breaker: a probe that never answers makes way after an interval, and may still answer") {
  Breaker breaker({.successes = 2});
  const Time opened = trip(breaker, start);
  const BreakerCall lost = begun(breaker, opened + 30 * s);
  CHECK_FALSE(breaker.allow(opened + 59 * s));
  const BreakerCall second = begun(breaker, opened + 60 * s);
  CHECK_FALSE(breaker.allow(opened + 60 * s));
  breaker.success(lost, opened + 61 * s, 31 * s);
  CHECK(breaker.state() == BreakerState::half_open);
  breaker.success(second, opened + 62 * s, 2 * s);
  CHECK(breaker.state() == BreakerState::closed);
  CHECK(breaker.allow(opened + 62 * s));
}

TEST_CASE("breaker: opens on the share of failures and on that of slow calls") {
  Breaker breaker({.failures = 100, .slow_after = s, .slow_rate = 0.6, .least_calls = 10});
  Time now = start;
  for (int i = 0; i < 10; ++i) {
    CHECK(breaker.state() == BreakerState::closed);
    now += s;
    if (i % 2 == 0) {
      breaker.failure(begun(breaker, now), now, CallFailure::server);
    } else {
      breaker.success(begun(breaker, now), now, s / 2);
    }
  }
  CHECK(breaker.cause() == OpenCause::error_rate);
  now = breaker.until();
  breaker.success(begun(breaker, now), now + 2 * s, 2 * s);  // a slow probe proves nothing
  CHECK(breaker.state() == BreakerState::open);
  CHECK(breaker.until() == now + 62 * s);
  now = breaker.until();
  breaker.success(begun(breaker, now), now, s / 2);
  REQUIRE(breaker.state() == BreakerState::closed);
  for (int i = 0; i < 10; ++i) {
    now += s;
    breaker.success(begun(breaker, now), now, i % 5 < 3 ? 2 * s : s / 2);
  }
  CHECK(breaker.cause() == OpenCause::slow_calls);
  CHECK(breaker.state() == BreakerState::open);
}

TEST_CASE("breaker: results leave the window by age and by number") {
  Breaker breaker({.failures = 100, .window = 10 * s, .window_calls = 8, .least_calls = 4});
  for (int i = 0; i < 3; ++i) breaker.failure(0, start, CallFailure::server);
  breaker.success(0, start + 10 * s, 0);
  CHECK(breaker.window_size() == 1);
  for (int i = 0; i < 20; ++i) breaker.success(0, start + 11 * s, 0);
  CHECK(breaker.window_size() == 8);
  breaker.failure(0, start + 5 * s, CallFailure::server);  // late: counts as if it came now
  CHECK(breaker.window_size() == 8);
  CHECK(breaker.window_failed() == 1);
  breaker.success(0, start - 3600 * s, 0);  // the clock was set back
  CHECK(breaker.window_size() == 1);
}

TEST_CASE("breaker: a clock that is set back costs a probe, not the model") {
  Breaker breaker;
  const Time opened = trip(breaker, start);
  CHECK_FALSE(breaker.allow(opened - 10 * s));  // late
  CHECK(breaker.allow(opened - 3600 * s));
  const BreakerCall probe = begun(breaker, opened - 3600 * s);
  CHECK_FALSE(breaker.allow(opened - 3600 * s));
  breaker.failure(probe, opened - 3600 * s, CallFailure::server);
  CHECK(breaker.until() == opened - 3540 * s);
  constexpr Time first = std::numeric_limits<Time>::min(), last = std::numeric_limits<Time>::max();
  for (const Time now : {first, last, Time{0}, first, last}) {
    BreakerCall call = 0;
    (void)breaker.begin(now, call);
    breaker.failure(call, now, CallFailure::rate_limited, last, last);
    breaker.success(call, now, last);
    (void)breaker.in_flight(now);
  }
}

TEST_CASE("breaker: calls whose end is never told are forgotten") {
  Breaker breaker({.call_timeout = 60 * s});
  for (int i = 0; i < 5; ++i) (void)begun(breaker, start);
  CHECK(breaker.gate(start) == Gate::wait);
  const Time within = start + 59 * s;
  CHECK(breaker.gate(within) == Gate::wait);
  CHECK(breaker.allow(start + 121 * s));
  CHECK(breaker.in_flight(start + 121 * s) == 0);
}

TEST_CASE("breaker: what says nothing of health frees its place and nothing else") {
  Breaker breaker({.failures = 1});
  const BreakerCall call = begun(breaker, start);
  CHECK_FALSE(breaker.allow(start));
  breaker.failure(call, start, CallFailure::cancelled);
  CHECK(breaker.allow(start));
  CHECK(breaker.failures() == 0);
}

TEST_CASE("breaker: soon after closing the interval goes on growing; later it starts anew") {
  Breaker breaker({.failures = 1});
  Time now = trip(breaker, start);
  CHECK(breaker.until() - now == 30 * s);
  now = breaker.until();
  breaker.success(begun(breaker, now), now, 0);
  breaker.failure(begun(breaker, now + s), now + s, CallFailure::server);
  CHECK(breaker.until() - (now + s) == 60 * s);
  now = breaker.until();
  breaker.success(begun(breaker, now), now, 0);
  breaker.failure(begun(breaker, now + 60 * s), now + 60 * s, CallFailure::server);
  CHECK(breaker.until() - (now + 60 * s) == 30 * s);
}

TEST_CASE("breakers: a dead provider closes the gate for all its models, a dead model does not") {
  Breakers breakers;
  fl::ModelId big = -1, mini = -1, other = -1;
  REQUIRE(breakers.add("big", "openai", big) == Status::ok);
  REQUIRE(breakers.add("mini", "openai", mini) == Status::ok);
  REQUIRE(breakers.add("other", "local", other) == Status::ok);
  CHECK(breakers.add("big", "local", big) == Status::model_differs);

  SUBCASE("one model fails") {
    int hits = 0;
    for (int i = 0; i < 200; ++i) {
      BreakersCall call = 0;
      if (breakers.begin(big, start, call) != Gate::yes) continue;
      ++hits;
      CHECK(breakers.failure(big, call, start, CallFailure::server) == Status::ok);
    }
    CHECK(hits == 5);
    CHECK(breakers.gate(big, start) == Gate::no);
    CHECK(breakers.gate(mini, start) == Gate::yes);
    BreakersCall call = 0;
    REQUIRE(breakers.begin(mini, start, call) == Gate::yes);
    SUBCASE("and the other answers") {
      CHECK(breakers.success(mini, call, start, s) == Status::ok);
      CHECK(breakers.provider_breaker(0).streak() == 0);
    }
    SUBCASE("and the other fails, too") {
      CHECK(breakers.failure(mini, call, start, CallFailure::server) == Status::ok);
      CHECK(breakers.gate(mini, start) == Gate::no);
      CHECK(breakers.provider_breaker(0).state() == BreakerState::open);
      CHECK(breakers.breaker(mini).state() == BreakerState::closed);
    }
  }
  SUBCASE("nobody listens") {
    std::vector<std::pair<fl::ModelId, BreakersCall>> hits;
    for (int i = 0; i < 200; ++i) {
      BreakersCall call = 0;
      const fl::ModelId model = i % 2 == 0 ? big : mini;
      if (breakers.begin(model, start, call) == Gate::yes) hits.emplace_back(model, call);
    }
    CHECK(hits.size() == 5);
    for (const auto& [model, call] : hits) CHECK(breakers.failure(model, call, start, CallFailure::network) == Status::ok);
    CHECK(breakers.gate(big, start) == Gate::no);
    CHECK(breakers.gate(mini, start) == Gate::no);
  }
  SUBCASE("a limit is a model's own") {
    BreakersCall call = 0;
    REQUIRE(breakers.begin(big, start, call) == Gate::yes);
    CHECK(breakers.failure(big, call, start, CallFailure::rate_limited, 60 * s) == Status::ok);
    CHECK(breakers.gate(big, start + 59 * s) == Gate::no);
    CHECK(breakers.gate(mini, start) == Gate::yes);
    CHECK(breakers.until(big) == start + 60 * s);
  }
  CHECK(breakers.gate(other, start) == Gate::yes);
  CHECK(breakers.gate(17, start) == Gate::no);
  CHECK(breakers.success(17, 0, start) == Status::unknown_model);
  CHECK(breakers.failure(-1, 0, start, CallFailure::server) == Status::unknown_model);
}

TEST_CASE("breakers: a snapshot goes on as if nothing had been, and is refused where it was cut or altered") {
  Breakers one({.failures = 3, .slow_after = s, .least_calls = 5}), other;
  std::mt19937_64 random(7);
  fl::ModelId id = -1;
  for (const char* name : {"a", "b", "c"}) REQUIRE(one.add(name, name[0] == 'c' ? "y" : "x", id) == Status::ok);
  std::vector<std::pair<fl::ModelId, BreakersCall>> flight;
  Time now = start;
  const auto step = [&](Breakers& breakers, std::uint64_t r) {
    const auto model = static_cast<fl::ModelId>(r % 3);
    if (r % 7 < 3) {
      BreakersCall call = 0;
      if (breakers.begin(model, now, call) == Gate::yes) flight.emplace_back(model, call);
    } else if (!flight.empty()) {
      const auto [of, call] = flight[r % flight.size()];
      flight.erase(flight.begin() + static_cast<std::ptrdiff_t>(r % flight.size()));
      if (r % 5 < 2) {
        (void)breakers.failure(of, call, now, static_cast<CallFailure>(r % 8), static_cast<Time>(r % 60) * s);
      } else {
        (void)breakers.success(of, call, now, static_cast<Time>(r % 1500) * 1'000'000);
      }
    }
  };
  for (int i = 0; i < 3'000; ++i) {
    now += static_cast<Time>(random() % 3) * s;
    step(one, random());
    if (i % 500 != 499) continue;
    const std::string bytes = one.snapshot();
    REQUIRE(Breakers::restore(bytes, other) == Status::ok);
    CHECK(other.snapshot() == bytes);
    auto kept = flight;
    const Time at = now;
    std::vector<std::uint64_t> numbers(200);
    for (std::uint64_t& r : numbers) r = random();
    const auto go_on = [&](Breakers& breakers) {
      for (const std::uint64_t r : numbers) {
        now += s;
        step(breakers, r);
      }
    };
    go_on(one);
    flight.swap(kept);
    now = at;
    go_on(other);
    CHECK(flight == kept);
    CHECK(other.snapshot() == one.snapshot());
  }
  const std::string bytes = one.snapshot();
  Breakers kept;
  REQUIRE(kept.add("k", "k", id) == Status::ok);
  for (std::size_t cut = 0; cut < bytes.size(); cut += 17)
    CHECK(Breakers::restore(bytes.substr(0, cut), kept) == Status::bad_snapshot);
  for (std::size_t at = 0; at < bytes.size(); at += 13) {
    std::string altered = bytes;
    altered[at] = static_cast<char>(altered[at] ^ 0x20);
    CHECK(Breakers::restore(altered, kept) == Status::bad_snapshot);
  }
  CHECK(kept.find("k") == 0);
}

TEST_CASE("breaker: options that cannot be honoured are named") {
  CHECK_FALSE(Breaker::fault({}));
  CHECK(std::string(Breaker::fault({.failures = 0})->option) == "failures");
  CHECK(std::string(Breaker::fault({.error_rate = std::nan("")})->option) == "error_rate");
  CHECK(std::string(Breaker::fault({.slow_after = -1})->option) == "slow_after");
  CHECK(std::string(Breaker::fault({.window = 0})->option) == "window");
  CHECK(std::string(Breaker::fault({.window_calls = 129})->option) == "window_calls");
  CHECK(std::string(Breaker::fault({.window_calls = 10, .least_calls = 11})->option) == "least_calls");
  CHECK(std::string(Breaker::fault({.backoff = 0.5})->option) == "backoff");
  CHECK(std::string(Breaker::fault({.open_at_most = s})->option) == "open_at_most");
  CHECK(std::string(Breaker::fault({.successes = 0})->option) == "successes");
}

TEST_CASE("latency histogram: quantiles are within a sixteenth, and what is old is forgotten") {
  fl::LatencyHistogram histogram;
  CHECK(histogram.quantile(0.5) == -1);
  std::mt19937_64 random(5);
  std::lognormal_distribution<double> draw(20.0, 1.0);  // around half a second
  std::vector<double> newest;
  for (int i = 0; i < 20'000; ++i) {
    const double latency = std::floor(draw(random));
    histogram.add(static_cast<Time>(latency));
    newest.push_back(latency);
  }
  // The oracle: the same weights, sorted.
  std::vector<std::pair<double, double>> weighted;
  double total = 0.0, weight = 1.0;
  for (std::size_t i = newest.size(); i-- > 0; weight /= 1.0 + std::log(2.0) / 200.0) {
    weighted.emplace_back(newest[i], weight);
    total += weight;
  }
  std::sort(weighted.begin(), weighted.end());
  for (const double q : {0.01, 0.25, 0.5, 0.9, 0.95, 0.99}) {
    double sum = 0.0, exact = 0.0;
    for (const auto& [latency, w] : weighted) {
      sum += w;
      exact = latency;
      if (sum >= q * total) break;
    }
    CHECK(static_cast<double>(histogram.quantile(q)) == doctest::Approx(exact).epsilon(0.0625));
  }
  for (int i = 0; i < 4'000; ++i) histogram.add(3 * s);
  for (const double q : {0.01, 0.5, 0.99})
    CHECK(static_cast<double>(histogram.quantile(q)) == doctest::Approx(3.0 * static_cast<double>(s)).epsilon(0.0625));
  for (const Time latency : {Time{0}, Time{1}, Time{1023}, Time{1024}, std::numeric_limits<Time>::max(), Time{-1}})
    histogram.add(latency);
  CHECK(histogram.n() == 24'005);
  CHECK(histogram.quantile(1.0) > 4'000 * s);
}
