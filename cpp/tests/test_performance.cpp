// Performance against a list of events, by the rule of the header.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "fairlead/performance.hpp"
#include "fairlead/snapshot.hpp"

namespace fl = fairlead;
using fl::Expiry;
using fl::Kind;
using fl::Marks;
using fl::Performance;
using fl::PerformanceReading;
using fl::Status;
using Window = Performance::Window;

namespace {

constexpr fl::Time second = 1'000'000'000, hour = 3600 * second, day = 24 * hour;
constexpr fl::Time start = 1'772'000'000 * second;

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

// The rule, written down once more.
bool in_window(fl::Time time, Window window, fl::Time now) {
  if (window == Window::all) return true;
  constexpr fl::Time widths[] = {300 * second, 1800 * second, 2 * hour, 12 * hour, 48 * hour};
  constexpr int numbers[] = {12, 12, 12, 14, 15};
  const auto w = static_cast<std::size_t>(window);
  const std::int64_t pane = floor_div(time, widths[w]), newest = floor_div(now, widths[w]);
  return pane <= newest && pane > newest - numbers[w];
}

struct Lived {
  fl::Time time = 0;
  fl::PlaceId place = 0;
  bool settled = false;
  Kind kind = Kind::binary;
  Performance::Call call = {};
  std::vector<fl::ModelId> models = {};  // one that was called, or those who were settled
  std::vector<double> p = {};
  bool happened = false;
};

std::vector<Marks> marks_of(const Lived& event) {
  std::vector<Marks> out;
  for (const double p : event.p) {
    const double both[] = {1.0 - p, p};
    out.push_back(fl::mark_classes(both, event.happened ? 1 : 0, true));
  }
  return out;
}

void tell(Performance& to, const Lived& event) {
  if (event.settled) {
    REQUIRE(to.settled(event.place, event.time, Kind::binary, 2, event.models, marks_of(event)) == Status::ok);
  } else {
    REQUIRE(to.call(event.models[0], event.place, event.time, event.call) == Status::ok);
  }
}

std::vector<Lived> made_up(std::uint64_t seed, std::size_t n, fl::Time span, fl::Time lateness, fl::PlaceId places) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform;
  std::vector<Lived> out(n);
  fl::Time now = start;
  for (Lived& event : out) {
    // Bursts, and now and then a long pause.
    const double pace = uniform(random);
    now += static_cast<fl::Time>(static_cast<double>(span) / static_cast<double>(n) * (pace < 0.02 ? 40.0 * pace / 0.02 : pace));
    event.time = now - (uniform(random) < 0.2 ? static_cast<fl::Time>(uniform(random) * static_cast<double>(lateness)) : 0);
    event.place = 1 + static_cast<fl::PlaceId>(random() % static_cast<std::uint64_t>(places));
    event.settled = random() % 2 == 0;
    if (event.settled) {
      event.happened = random() % 2 == 0;
      for (fl::ModelId model = 0; model < 3; ++model) {
        if (random() % 4 == 0) continue;
        event.models.push_back(model);
        event.p.push_back(uniform(random));
      }
    } else {
      event.models.push_back(static_cast<fl::ModelId>(random() % 3));
      event.call = {.latency_ms = random() % 8 == 0 ? fl::nan : std::exp(6.0 + uniform(random) * 3.0),
                    .confidence = random() % 3 == 0 ? fl::nan : uniform(random),
                    .tokens_in = static_cast<std::int64_t>(random() % 1000),
                    .tokens_out = static_cast<std::int64_t>(random() % 100),
                    .cost = static_cast<fl::Nanos>(random() % 1'000'000),
                    .failed = random() % 5 == 0};
      event.call.timed_out = event.call.failed && random() % 2 == 0;
    }
  }
  return out;
}

Performance places(fl::PlaceId n) {
  Performance out;
  for (fl::PlaceId i = 0; i < n; ++i) {
    CHECK(out.place(i % 2 == 0 ? "crypto" : "rates", std::to_string(i / 2), static_cast<Expiry>(i % 6)) == i + 1);
  }
  return out;
}

// What a list of events amounts to, for one model, in doubles.
struct Direct {
  std::size_t calls = 0, failed = 0, timeouts = 0, n = 0, correct = 0, skilled = 0, confident = 0;
  std::int64_t tokens_in = 0, tokens_out = 0, cost = 0;
  double brier = 0, log_loss = 0, quality = 0, skill = 0, skill_square = 0, confidence = 0, latency = 0;
  std::vector<double> latencies = {};
  double bins[10][3] = {};

  void add(const Lived& event, fl::ModelId model) {
    const auto found = std::find(event.models.begin(), event.models.end(), model);
    if (found == event.models.end()) return;
    if (!event.settled) {
      ++calls;
      failed += event.call.failed;
      timeouts += event.call.timed_out;
      tokens_in += event.call.tokens_in;
      tokens_out += event.call.tokens_out;
      cost += event.call.cost;
      if (!std::isnan(event.call.latency_ms)) {
        latencies.push_back(event.call.latency_ms);
        latency += event.call.latency_ms;
      }
      if (!std::isnan(event.call.confidence)) ++confident, confidence += event.call.confidence;
      return;
    }
    const double y = event.happened ? 1.0 : 0.0;
    double mean = 0.0;
    for (const double p : event.p) mean += (p - y) * (p - y) / static_cast<double>(event.p.size());
    const double p = event.p[static_cast<std::size_t>(found - event.models.begin())];
    const double loss = (p - y) * (p - y);
    ++n;
    correct += (p > 0.5) == event.happened;
    brier += loss;
    log_loss -= std::log(event.happened ? p : 1.0 - p);
    quality += 1.0 - loss / 0.25;
    if (event.p.size() > 1) ++skilled, skill += mean - loss, skill_square += (mean - loss) * (mean - loss);
    double* const bin = bins[std::min(static_cast<int>(p * 10.0), 9)];
    bin[0] += 1.0, bin[1] += y, bin[2] += p;
  }

  double calibration_error() const {
    double gap = 0.0;
    for (const auto& bin : bins) gap += std::abs(bin[1] - bin[2]);
    return gap / static_cast<double>(n);
  }
};

void check_same(const PerformanceReading& got, Direct wanted) {
  CHECK(got.calls.calls == wanted.calls);
  CHECK(got.calls.failed == wanted.failed);
  CHECK(got.calls.timeouts == wanted.timeouts);
  CHECK(got.calls.tokens_in == wanted.tokens_in);
  CHECK(got.calls.tokens_out == wanted.tokens_out);
  CHECK(got.calls.cost == wanted.cost);
  CHECK(got.calls.confident == wanted.confident);
  CHECK(got.calls.timed == wanted.latencies.size());
  CHECK(got.settled.n == wanted.n);
  CHECK(got.settled.correct == wanted.correct);
  CHECK(got.settled.skilled == wanted.skilled);
  const auto near = [](double a, double b, std::size_t n) {
    if (n == 0) {
      CHECK(std::isnan(a));
    } else {
      CHECK(a == doctest::Approx(b / static_cast<double>(n)).epsilon(1e-9).scale(1.0));
    }
  };
  near(got.confidence(), wanted.confidence, wanted.confident);
  near(got.latency_mean_ms(), wanted.latency, wanted.latencies.size());
  near(got.brier(), wanted.brier, wanted.n);
  near(got.log_loss(), wanted.log_loss, wanted.n);
  near(got.quality(), wanted.quality, wanted.n);
  near(got.skill(), wanted.skill, wanted.skilled);
  near(static_cast<double>(got.settled.skill_square) / fl::performance::unit, wanted.skill_square, 1);
  if (wanted.n > 0) CHECK(got.calibration_error() == doctest::Approx(wanted.calibration_error()).epsilon(1e-9));
  std::sort(wanted.latencies.begin(), wanted.latencies.end());
  for (const double q : {0.0, 0.01, 0.5, 0.95, 0.99, 1.0}) {
    const double found = got.latency_ms(q);
    if (wanted.latencies.empty()) {
      CHECK(std::isnan(found));
      continue;
    }
    const auto n = static_cast<double>(wanted.latencies.size());
    const double exact = wanted.latencies[static_cast<std::size_t>(std::max(std::ceil(q * n - 1e-9), 1.0)) - 1];
    CHECK(std::abs(found - exact) <= exact / 129.0 + 1e-6);
  }
}

std::string bytes_of(const Performance& performance) {
  fl::SnapshotWriter out("test", 1);
  performance.save(out);
  return out.finish();
}

Status restore(const std::string& bytes, Performance& out) {
  fl::SnapshotReader in(bytes, "test", 1);
  out.load(in);
  return in.finish();
}

PerformanceReading read(const Performance& from, Performance::Where where, Window window, fl::Time now) {
  PerformanceReading out;
  from.read(where, window, now, out);
  return out;
}

}  // namespace

TEST_CASE("every window holds the events of its panes, in every slice, however late they come") {
  const struct {
    std::size_t n;
    fl::Time span, lateness;
  } cases[] = {{400, 3 * hour, hour}, {600, 3 * day, 30 * hour}, {800, 80 * day, 40 * day}, {300, 700 * day, day}};
  std::uint64_t seed = 1;
  for (const auto& [n, span, lateness] : cases) {
    const std::vector<Lived> events = made_up(seed++, n, span, lateness, 4);
    Performance performance = places(4);
    std::vector<Lived> lived;
    fl::Time newest = events[0].time;
    for (std::size_t i = 0; i < n; ++i) {
      tell(performance, events[i]);
      lived.push_back(events[i]);
      newest = std::max(newest, events[i].time);
      if (i % 97 != 96 && i + 1 != n) continue;
      for (const fl::Time later : {fl::Time{0}, 20 * 60 * second, 5 * hour, 9 * day}) {
        const fl::Time now = newest + later;
        for (std::size_t w = 0; w < 6; ++w) {
          const auto window = static_cast<Window>(w);
          for (fl::ModelId model = 0; model < 3; ++model) {
            Direct all, crypto;
            for (const Lived& event : lived) {
              if (!in_window(event.time, window, now)) continue;
              all.add(event, model);
              if (event.place % 2 == 1) crypto.add(event, model);
            }
            check_same(read(performance, {.model = model}, window, now), all);
            check_same(read(performance, {.model = model, .category = 0}, window, now), crypto);
          }
        }
      }
    }
  }
}

TEST_CASE("a pane of a window holds its own events, and nothing is in none") {
  const std::vector<Lived> events = made_up(17, 700, 40 * day, 10 * day, 4);
  Performance performance = places(4);
  fl::Time newest = events[0].time;
  for (const Lived& event : events) {
    tell(performance, event);
    newest = std::max(newest, event.time);
  }
  for (const fl::Time now : {newest, newest + 5 * hour, newest + 9 * day}) {
    for (std::size_t w = 0; w < Performance::levels; ++w) {
      const fl::Time width = Performance::pane[w];
      for (int back = 0; back < Performance::panes[w]; ++back) {
        Direct one;
        const std::int64_t number = floor_div(now, width) - back;
        for (const Lived& event : events) {
          if (floor_div(event.time, width) == number && event.place % 2 == 1) one.add(event, 1);
        }
        PerformanceReading got;
        performance.read_one({.model = 1, .category = 0}, static_cast<Window>(w), now, back, got);
        check_same(got, one);
      }
    }
  }
}

TEST_CASE("the order of events changes nothing that is read") {
  std::vector<Lived> events = made_up(7, 500, 40 * day, 0, 3);
  const auto newest = std::max_element(events.begin(), events.end(), [](const Lived& a, const Lived& b) { return a.time < b.time; });
  const fl::Time now = newest->time;
  Performance one = places(3), two = places(3);
  for (const Lived& event : events) tell(one, event);
  std::mt19937_64 random(3);
  std::shuffle(events.begin(), events.end(), random);
  for (const Lived& event : events) tell(two, event);
  for (std::size_t w = 0; w < 6; ++w) {
    for (fl::ModelId model = 0; model < 3; ++model) {
      const PerformanceReading a = read(one, {.model = model}, static_cast<Window>(w), now);
      const PerformanceReading b = read(two, {.model = model}, static_cast<Window>(w), now);
      CHECK(a.calls.cost == b.calls.cost);
      CHECK(a.calls.latency == b.calls.latency);
      CHECK(a.settled.skill == b.settled.skill);
      CHECK(a.settled.log_loss == b.settled.log_loss);
      CHECK(a.latency == b.latency);
      REQUIRE(a.rounds.size() == b.rounds.size());
      CHECK(a.round_width() == b.round_width());
      for (std::size_t i = 0; i < a.rounds.size(); ++i) {
        CHECK(a.rounds[i].number == b.rounds[i].number);
        CHECK(a.rounds[i].skill == b.rounds[i].skill);
        CHECK(a.rounds[i].n == b.rounds[i].n);
      }
    }
  }
}

TEST_CASE("cells that are merged are one cell, bit for bit") {
  const std::vector<Lived> events = made_up(11, 600, 50 * day, 2 * day, 6);
  Performance apart = places(6), together = places(1);
  fl::Time now = 0;
  for (Lived event : events) {
    tell(apart, event);
    event.place = 1;
    tell(together, event);
    now = std::max(now, event.time);
  }
  for (std::size_t w = 0; w < 6; ++w) {
    const auto window = static_cast<Window>(w);
    PerformanceReading sum;
    for (fl::PlaceId place = 1; place <= 6; ++place) {
      sum.add(read(apart, {.model = 1, .place = place}, window, now));
    }
    const PerformanceReading merged = read(apart, {.model = 1}, window, now), one = read(together, {.model = 1}, window, now);
    const PerformanceReading* const both[] = {&sum, &merged};
    for (const PerformanceReading* const other : both) {
      CHECK(other->latency == one.latency);
      CHECK(other->calls.confidence == one.calls.confidence);
      CHECK(other->calls.latency == one.calls.latency);
      CHECK(other->settled.brier == one.settled.brier);
      CHECK(other->settled.skill_square == one.settled.skill_square);
      CHECK(other->calibration_error() == doctest::Approx(one.calibration_error()).epsilon(1e-15));
      REQUIRE(other->rounds.size() == one.rounds.size());
      CHECK(other->round_width() == one.round_width());
      for (std::size_t i = 0; i < one.rounds.size(); ++i) {
        CHECK(other->rounds[i].number == one.rounds[i].number);
        CHECK(other->rounds[i].skill == one.rounds[i].skill);
      }
    }
  }
}

TEST_CASE("a snapshot is as good as never having stopped, and the same bytes") {
  const std::vector<Lived> events = made_up(5, 700, 60 * day, 3 * day, 5);
  Performance whole = places(5), stopped = places(5);
  for (std::size_t i = 0; i < events.size(); ++i) {
    if (i % 180 == 0) {
      Performance back;
      REQUIRE(restore(bytes_of(stopped), back) == Status::ok);
      CHECK(bytes_of(back) == bytes_of(stopped));
      stopped = std::move(back);
    }
    tell(whole, events[i]);
    tell(stopped, events[i]);
  }
  CHECK(bytes_of(whole) == bytes_of(stopped));
}

TEST_CASE("bytes that were changed are refused, and leave what was there") {
  Performance performance = places(2);
  for (const Lived& event : made_up(9, 60, day, hour, 2)) tell(performance, event);
  const std::string good = bytes_of(performance);
  Performance other = places(3);
  const std::string before = bytes_of(other);
  std::mt19937_64 random(4);
  for (int i = 0; i < 300; ++i) {
    // With a checksum that holds, so that what is read must be looked at.
    std::string bad = good.substr(0, good.size() - 4);
    const std::size_t at = 20 + random() % (bad.size() - 20);
    bad[at] = static_cast<char>(random());
    if (i % 3 == 0) bad.resize(at);
    const std::uint32_t sum = fl::crc32c(bad);
    bad.append(reinterpret_cast<const char*>(&sum), 4);
    if (restore(bad, other) != Status::ok) {
      CHECK(bytes_of(other) == before);
    } else {
      other = places(3);
    }
  }
}

TEST_CASE("numbers have a quality and a skill, and no Brier score") {
  Performance performance;
  const fl::PlaceId place = performance.place("macro", "", Expiry::unknown);
  const fl::ModelId models[] = {0, 1};
  const auto settle = [&](double one, double two, fl::Time time) {
    const Marks marks[] = {fl::mark_number(one, 0.0), fl::mark_number(two, 0.0)};
    REQUIRE(performance.settled(place, time, Kind::numeric, 1, models, marks) == Status::ok);
  };
  settle(1.0, 3.0, start);  // mean squared error 5, and so the scale
  const PerformanceReading a = read(performance, {.model = 0}, Window::all, start);
  const PerformanceReading b = read(performance, {.model = 1}, Window::h1, start);
  CHECK(a.settled.n == 0);
  CHECK(std::isnan(a.brier()));
  CHECK(std::isnan(a.accuracy()));
  CHECK(a.quality() == doctest::Approx(1.0 - 2.0 / 6.0).epsilon(1e-9));
  CHECK(b.quality() == doctest::Approx(1.0 - 18.0 / 14.0).epsilon(1e-9));
  CHECK(a.skill() == doctest::Approx(0.5 * (2.0 / 6.0 + 18.0 / 14.0) - 2.0 / 6.0).epsilon(1e-9));
  CHECK(a.skill() == doctest::Approx(-b.skill()).epsilon(1e-9));
  for (int i = 0; i < 100; ++i) settle(0.0, 0.0, start + i);
  CHECK(read(performance, {.model = 1}, Window::all, start).quality() > 0.9);
  settle(1e200, -1e308, start + 101);
  CHECK(std::isfinite(read(performance, {.model = 1}, Window::all, start).quality()));
}

TEST_CASE("a model that answers alone has no skill") {
  Performance performance;
  const fl::PlaceId place = performance.place("", "", Expiry::hour);
  const double p[] = {0.2, 0.8};
  const fl::ModelId model = 4;
  const Marks mark = fl::mark_classes(p, 1, true);
  REQUIRE(performance.settled(place, start, Kind::binary, 2, {&model, 1}, {&mark, 1}) == Status::ok);
  const PerformanceReading got = read(performance, {.model = 4}, Window::d30, start);
  CHECK(got.settled.scored == 1);
  CHECK(got.settled.skilled == 0);
  CHECK(std::isnan(got.skill()));
  CHECK(got.brier() == doctest::Approx(0.04));
  CHECK(got.quality() == doctest::Approx(1.0 - 0.08 / 0.5));
}

TEST_CASE("places and cells have an end, and what comes beyond counts in other") {
  Performance few{fl::PerformanceOptions{.max_cells = 4, .max_places = 3}};
  const fl::PlaceId a = few.place("a", "", Expiry::day), b = few.place("b", "x", Expiry::day);
  CHECK(a == 1);
  CHECK(b == 2);
  CHECK(few.place("c", "", Expiry::day) == Performance::other);
  CHECK(few.place("b", "x", Expiry::week) == Performance::other);
  CHECK(few.place("a", "", Expiry::day) == a);
  for (fl::ModelId model = 0; model < 5; ++model) {
    for (const fl::PlaceId place : {a, b, Performance::other}) {
      REQUIRE(few.call(model, place, start, {.cost = 1}) == Status::ok);
      const fl::ModelId answered[] = {model};
      const Marks mark = fl::mark_number(1.0, 1.0);
      REQUIRE(few.settled(place, start, Kind::numeric, 1, answered, {&mark, 1}) == Status::ok);
    }
  }
  CHECK(few.n_cells() <= 4 + 5);
  for (fl::ModelId model = 0; model < 5; ++model) {
    const PerformanceReading all = read(few, {.model = model}, Window::all, start);
    CHECK(all.calls.calls == 3);
    CHECK(all.settled.scored == 3);
  }
  CHECK(read(few, {.category = few.categories().find("a")}, Window::all, start).calls.calls < 5);
  CHECK(read(few, {}, Window::h1, start).calls.cost == 15);
  Performance back;
  REQUIRE(restore(bytes_of(few), back) == Status::ok);
  CHECK(bytes_of(back) == bytes_of(few));
  CHECK(back.place("d", "", Expiry::day) == Performance::other);
}

TEST_CASE("runs keep what they used") {
  Performance runs;
  const fl::PlaceId place = runs.place("", "", Expiry::unknown);
  REQUIRE(runs.run(0, place, start, {.latency_ms = 1500.0, .tokens_in = 10}, {.api_calls = 3, .compute_s = 0.5, .memory_mb = 256.0}) ==
          Status::ok);
  REQUIRE(runs.run(0, place, start + day, {.failed = true, .timed_out = true}, {.memory_mb = 64.0}) == Status::ok);
  REQUIRE(runs.run(0, place, start + day, {.cancelled = true}, {}) == Status::ok);
  const PerformanceReading got = read(runs, {.model = 0}, Window::all, start + day);
  CHECK(got.calls.calls == 3);
  CHECK(got.succeeded() == 1);
  CHECK(got.calls.timeouts == 1);
  CHECK(got.calls.cancelled == 1);
  CHECK(got.resources.api_calls == 3);
  CHECK(got.resources.compute == 500'000'000);
  CHECK(got.resources.memory == 320'000'000);
  CHECK(got.resources.memory_most == 256'000'000);
  CHECK(got.resources.measured == 2);
  CHECK(read(runs, {.model = 0}, Window::h6, start + day).resources.memory_most == 64'000'000);
  Performance back;
  REQUIRE(restore(bytes_of(runs), back) == Status::ok);
  CHECK(bytes_of(back) == bytes_of(runs));
}

TEST_CASE("times before the epoch and at the ends of time") {
  Performance performance;
  const fl::PlaceId place = performance.place("", "", Expiry::unknown);
  const fl::Time least = std::numeric_limits<fl::Time>::min(), most = std::numeric_limits<fl::Time>::max();
  for (const fl::Time time : {fl::Time{-1}, least, least + 1, fl::Time{0}, -hour, most, most - hour}) {
    REQUIRE(performance.call(0, place, time, {}) == Status::ok);
    const fl::ModelId model = 0;
    const Marks mark = fl::mark_number(1.0, 1.0);
    REQUIRE(performance.settled(place, time, Kind::numeric, 1, {&model, 1}, {&mark, 1}) == Status::ok);
  }
  CHECK(read(performance, {.model = 0}, Window::all, 0).calls.calls == 7);
  CHECK(read(performance, {.model = 0}, Window::all, 0).settled.scored == 7);
  CHECK(read(performance, {.model = 0}, Window::h6, most).calls.calls == 2);
  CHECK(performance.call(-1, place, 0, {}) == Status::out_of_range);
  CHECK(performance.call(0, 7, 0, {}) == Status::out_of_range);
}

TEST_CASE("which errors tell that time ran out") {
  for (const char* error : {"timeout", "timeout: no answer in 30 s", "ReadTimeout", "the read Timed Out", "network: timed out"}) {
    CHECK(fl::tells_timeout(error));
  }
  for (const char* error : {"", "server: 500", "time", "out of time", "rate_limited: try again"}) CHECK_FALSE(fl::tells_timeout(error));
}
