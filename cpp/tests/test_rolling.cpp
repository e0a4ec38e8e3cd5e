// Rolling windows against a window recomputed from scratch after every sample, in long double and two passes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/rolling.hpp"

using fairlead::History;
using fairlead::Moments;
using fairlead::RollingWindow;
using fairlead::Status;
using fairlead::Time;

namespace {

constexpr Time first_time = std::numeric_limits<Time>::min();
constexpr Time last_time = std::numeric_limits<Time>::max();
constexpr double inf = std::numeric_limits<double>::infinity();

struct Sample {
  double x;
  Time time;
};

struct Expected {
  double n = 0, mean = 0, m2 = 0, min = inf, max = -inf;
};

template <class Samples>
Expected from_scratch(const Samples& samples) {
  Expected out;
  long double sum = 0.0L;
  for (const Sample& s : samples) {
    sum += static_cast<long double>(s.x);
    out.min = std::min(out.min, s.x);
    out.max = std::max(out.max, s.x);
  }
  out.n = static_cast<double>(samples.size());
  if (samples.empty()) return out;
  const long double mean = sum / static_cast<long double>(samples.size());
  long double m2 = 0.0L;
  for (const Sample& s : samples) {
    const long double d = static_cast<long double>(s.x) - mean;
    m2 += d * d;
  }
  out.mean = static_cast<double>(mean);
  out.m2 = static_cast<double>(m2);
  return out;
}

// `size`: the largest |x| in play, which bounds what rounding may do to a mean, and so to a deviation from it. (Sums of
// squares would be wrong by size^2, a million times the slack that is left here.)
bool agree(const Moments& got, const Expected& want, double size) {
  if (got.n != want.n || got.min != want.min || got.max != want.max || !(got.m2 >= 0.0)) return false;
  if (want.n == 0) return true;
  const double mean_slack = 1e-14 * size;
  return std::abs(got.mean - want.mean) <= mean_slack &&
         std::abs(got.m2 - want.m2) <=
             1e-12 * want.m2 + 2.0 * mean_slack * std::sqrt(want.n * want.m2) + want.n * mean_slack * mean_slack;
}

// A time window by its definition.
class NaiveTimeWindow {
 public:
  explicit NaiveTimeWindow(Time span) : span_(span) {}
  void push(double x, Time time) {
    advance(time);
    samples_.push_back({x, now_});
  }
  void advance(Time time) {
    now_ = started_ ? std::max(now_, time) : time;
    started_ = true;
    if (now_ < first_time + span_) return;  // the window reaches back beyond all time
    std::erase_if(samples_, [&](const Sample& s) { return s.time <= now_ - span_; });
  }
  const std::vector<Sample>& samples() const { return samples_; }

 private:
  Time span_;
  Time now_ = 0;
  bool started_ = false;
  std::vector<Sample> samples_;
};

}  // namespace

TEST_CASE("rolling: a count window equals the last samples recomputed") {
  for (const std::size_t count : {1u, 2u, 3u, 4u, 5u, 15u, 16u, 17u, 31u, 33u, 100u}) {
    for (const std::uint64_t seed : {1u, 2u}) {
      INFO("count ", count, ", seed ", seed);
      std::mt19937_64 random(seed);
      std::normal_distribution<double> normal(seed == 1 ? 0.0 : 1e6, 1.0);
      auto window = RollingWindow::by_count(count);
      std::deque<Sample> last;
      int bad = 0;
      for (int t = 0; t < 1'200; ++t) {
        const double x = normal(random);
        REQUIRE(window.push(x) == Status::ok);
        last.push_back({x, 0});
        if (last.size() > count) last.pop_front();
        bad += agree(window.moments(), from_scratch(last), seed == 1 ? 10.0 : 1e6) ? 0 : 1;
        bad += window.size() == last.size() ? 0 : 1;
      }
      CHECK(bad == 0);
      CHECK(window.max_count() == count);
    }
  }
}

TEST_CASE("rolling: a time window equals its definition through bursts, equal times, late samples and silence") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const Time span = static_cast<Time>(1 + random() % 200);
    auto window = RollingWindow::by_time(span);
    NaiveTimeWindow naive(span);
    Time now = -500;
    int bad = 0;
    for (int step = 0; step < 400; ++step) {
      switch (random() % 8) {
        case 0: now += static_cast<Time>(random() % 50); break;
        case 1: now += span; break;      // the edge: a sample exactly `span` old has left
        case 2: now += span - 1; break;  // and one a nanosecond younger has not
        case 3: now += 3 * span; break;  // silence empties the window
        default: break;                  // a burst at one time
      }
      if (random() % 6 == 0) {
        const Time to = now - static_cast<Time>(random() % 5);
        window.advance(to);
        naive.advance(to);
      } else {
        const Time late = random() % 5 == 0 ? static_cast<Time>(random() % 1'000) : 0;
        const double x = normal(random);
        REQUIRE(window.push(x, now - late) == Status::ok);
        naive.push(x, now - late);
      }
      bad += agree(window.moments(), from_scratch(naive.samples()), 10.0) ? 0 : 1;
      bad += window.size() == naive.samples().size() ? 0 : 1;
    }
    CHECK(bad == 0);
  }
}

TEST_CASE("rolling: a window over a time edge holds (now - span, now]") {
  auto window = RollingWindow::by_time(10);
  CHECK(window.push(1.0, 100) == Status::ok);
  window.advance(109);
  CHECK(window.size() == 1);
  window.advance(110);
  CHECK(window.size() == 0);
  CHECK(window.moments().n == 0.0);
  CHECK(window.moments().min == inf);
  CHECK(std::isnan(window.moments().variance()));
}

TEST_CASE("rolling: extreme times neither overflow nor lose a sample") {
  for (const Time span : {Time{1}, Time{1'000}, last_time}) {
    INFO("span ", span);
    auto window = RollingWindow::by_time(span);
    NaiveTimeWindow naive(span);
    double x = 1.0;
    for (const Time time : {first_time, first_time + 1, first_time + 1, Time{-2}, Time{-1}, Time{0}, Time{1},
                            last_time - 1, first_time, last_time, last_time}) {
      REQUIRE(window.push(x, time) == Status::ok);
      naive.push(x, time);
      x += 1.0;
      CHECK(agree(window.moments(), from_scratch(naive.samples()), 100.0));
    }
    window.advance(first_time);
    CHECK(window.size() == naive.samples().size());
  }
}

TEST_CASE("rolling: a spike leaves no trace once it has left") {
  auto window = RollingWindow::by_count(50);
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  std::deque<Sample> last;
  double lowest = inf;
  for (int t = 0; t < 1'000; ++t) {
    const double x = t == 200 ? 1e12 : t == 400 ? -1e12 : normal(random);
    REQUIRE(window.push(x) == Status::ok);
    last.push_back({x, 0});
    if (last.size() > 50) last.pop_front();
    lowest = std::min(lowest, window.moments().m2);
    if (t >= 450 || (t >= 250 && t < 400)) CHECK(agree(window.moments(), from_scratch(last), 10.0));
  }
  CHECK(lowest >= 0.0);

  auto by_time = RollingWindow::by_time(1'000);
  CHECK(by_time.push(1e12, 0) == Status::ok);
  for (Time t = 1; t <= 1'000; ++t) CHECK(by_time.push(0.1, t) == Status::ok);
  CHECK(by_time.moments().mean == 0.1);
  CHECK(by_time.moments().variance() == 0.0);
}

TEST_CASE("rolling: a constant window has variance exactly 0") {
  for (const double x : {0.1, 1.0 / 3.0, 1e300, -7e-300, 123456789.123}) {
    INFO("x ", x);
    auto window = RollingWindow::by_count(37);
    for (int t = 0; t < 200; ++t) {
      REQUIRE(window.push(x) == Status::ok);
      CHECK(window.moments().m2 == 0.0);
      CHECK(window.moments().mean == x);
    }
    CHECK(window.moments().variance() == 0.0);
    CHECK(window.moments().min == x);
    CHECK(window.moments().max == x);
  }
}

TEST_CASE("rolling: a window of one is its newest sample") {
  auto window = RollingWindow::by_count(1);
  for (const double x : {3.0, -4.0, 1e12, 0.0}) {
    CHECK(window.push(x) == Status::ok);
    CHECK(window.size() == 1);
    CHECK(window.moments().mean == x);
    CHECK(window.moments().variance(0.0) == 0.0);
    CHECK(std::isnan(window.moments().variance()));
  }
}

TEST_CASE("rolling: a sample that is not finite is refused and changes nothing") {
  auto window = RollingWindow::by_time(10);
  CHECK(window.push(2.0, 5) == Status::ok);
  for (const double x : {inf, -inf, fairlead::nan}) CHECK(window.push(x, 1'000) == Status::not_finite);
  CHECK(window.size() == 1);
  CHECK(window.moments().mean == 2.0);
  CHECK(window.push(4.0, 6) == Status::ok);  // time has not moved either
  CHECK(window.moments().mean == 3.0);
}

TEST_CASE("rolling: rates are samples per second, and count windows have none") {
  auto window = RollingWindow::by_time(2'000'000'000);
  for (int i = 0; i < 10; ++i) CHECK(window.push(1.0, i) == Status::ok);
  CHECK(window.rate() == 5.0);
  window.advance(3'000'000'000);
  CHECK(window.rate() == 0.0);
  CHECK(std::isnan(RollingWindow::by_count(5).rate()));
  CHECK(window.span() == 2'000'000'000);
}

TEST_CASE("moments: merging parts gives the whole, in any grouping") {
  std::mt19937_64 random(9);
  std::normal_distribution<double> normal(3.0, 2.0);
  std::vector<Sample> all;
  Moments left;
  Moments blocks;
  for (int b = 0; b < 20; ++b) {
    Moments block;
    for (int i = 0; i < 1 + b; ++i) {
      all.push_back({normal(random), 0});
      left = merge(left, Moments::of(all.back().x));
      block = merge(Moments::of(all.back().x), block);
    }
    blocks = merge(block, blocks);
  }
  CHECK(agree(left, from_scratch(all), 20.0));
  CHECK(agree(blocks, from_scratch(all), 20.0));
  CHECK(merge(Moments{}, Moments{}).n == 0.0);
  CHECK(left.variance(0.0) < left.variance());
  CHECK(left.variance(0.0) == doctest::Approx(left.m2 / left.n));
}

TEST_CASE("history: the newest samples, in any window, whatever the capacity") {
  for (const std::size_t capacity : {0u, 1u, 2u, 7u, 8u, 9u, 64u, 100u, 5'000u}) {
    INFO("capacity ", capacity);
    std::mt19937_64 random(capacity);
    std::normal_distribution<double> normal;
    History history(capacity);
    std::deque<Sample> kept;
    Time now = 1'000;
    int bad = 0;
    for (int t = 0; t < 600; ++t) {
      if (random() % 3 == 0) now += static_cast<Time>(random() % 20);
      const Time given = random() % 7 == 0 ? now - static_cast<Time>(random() % 300) : now;
      const double x = normal(random);
      history.push(x, given);
      if (capacity > 0) {
        // An earlier time counts at the newest seen.
        kept.push_back({x, kept.empty() ? given : std::max(given, kept.back().time)});
        if (kept.size() > capacity) kept.pop_front();
      }
      const Time span = static_cast<Time>(1 + random() % 500);
      const Time at = now - static_cast<Time>(random() % 100) + 20;
      std::vector<Sample> inside;
      std::copy_if(kept.begin(), kept.end(), std::back_inserter(inside),
                   [&](const Sample& s) { return s.time > at - span && s.time <= at; });
      bad += agree(history.window(span, at), from_scratch(inside), 10.0) ? 0 : 1;
      bad += history.size() == kept.size() ? 0 : 1;
    }
    CHECK(bad == 0);
  }
}

TEST_CASE("history: extreme times") {
  History history(4);
  history.push(1.0, first_time);
  history.push(2.0, 0);
  history.push(3.0, last_time);
  CHECK(history.window(last_time, last_time).n == 1.0);  // 0 is exactly `span` old
  CHECK(history.window(last_time, last_time - 1).n == 1.0);
  CHECK(history.window(last_time, last_time - 1).mean == 2.0);
  CHECK(history.window(last_time, -2).mean == 1.0);
  CHECK(history.window(1, first_time).mean == 1.0);
  CHECK(history.window(1, last_time).mean == 3.0);
}
