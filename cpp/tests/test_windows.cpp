// Windows in C++: parts against plain references, and the whole against what a pass over the samples gives.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <deque>
#include <random>
#include <vector>

#include "fairlead/windows.hpp"

namespace fl = fairlead;
using fl::OnLate;
using fl::OnNan;
using fl::Stat;
using fl::Status;
using fl::Time;
using fl::Windows;
using fl::WindowsOptions;

namespace {

constexpr Time second = 1'000'000'000;

bool same_bits(const std::vector<double>& a, const std::vector<double>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

std::vector<double> read(const Windows& windows, Windows::Handle h) {
  std::vector<double> out(windows.cells());
  REQUIRE(windows.read(h, out) == Status::ok);
  return out;
}

WindowsOptions four(std::vector<fl::WindowSpec> lengths) {
  WindowsOptions options;
  options.windows = std::move(lengths);
  options.stats = {{Stat::mean}, {Stat::var}, {Stat::min}, {Stat::max}};
  return options;
}

}  // namespace

TEST_CASE("windows: a chain holds the extremes of every suffix, whatever falls or rises") {
  std::mt19937_64 dice(3);
  for (const int shape : {0, 1, 2, 3}) {
    constexpr std::size_t size = 256, mask = size - 1;
    std::vector<double> ring(size);
    fl::detail::Chain<fl::detail::Greater> chain;
    chain.resize(size);
    std::uint64_t heads[3] = {0, 0, 0};
    const std::uint64_t lengths[3] = {1, 17, 200};
    for (std::uint64_t i = 0; i < 2'000; ++i) {
      const double phase = static_cast<double>(i % 190);
      const double x = shape == 0   ? static_cast<double>(dice() % 50)
                       : shape == 1 ? (phase < 189.0 ? -phase : 1e3)  // falls for long, then one beats all
                       : shape == 2 ? phase
                                    : 1.0;
      ring[i & mask] = x;
      const auto mark = chain.mark(x, ring.data(), mask);
      chain.push(i, x, ring.data(), mask);
      chain.undo(mark);
      const std::uint64_t put = chain.push(i, x, ring.data(), mask);
      std::uint64_t base = put;
      for (int w = 0; w < 3; ++w) {
        const std::uint64_t low = i + 1 > lengths[w] ? i + 1 - lengths[w] : 0;
        heads[w] = chain.from(std::min(heads[w], put), low);
        base = std::min(base, heads[w]);
        std::uint64_t best = low;
        for (std::uint64_t k = low; k <= i; ++k) best = ring[k & mask] > ring[best & mask] ? k : best;
        REQUIRE(chain.at(heads[w]) == best);
      }
      chain.forget(base);
    }
  }
}

TEST_CASE("windows: sorted blocks are a sorted array") {
  std::mt19937_64 dice(5);
  fl::detail::Sorted blocks;
  std::vector<double> plain;
  for (int round = 0; round < 30'000; ++round) {
    const bool grows = (round / 6'000) % 2 == 0;
    if (plain.empty() || dice() % 10 < (grows ? 8u : 3u)) {
      const double x = static_cast<double>(dice() % 3'000) - 1'000.0;
      blocks.reserve(1);
      blocks.insert(x);
      plain.insert(std::upper_bound(plain.begin(), plain.end(), x), x);
    } else {
      const double x = plain[dice() % plain.size()];
      blocks.erase(x);
      plain.erase(std::lower_bound(plain.begin(), plain.end(), x));
    }
    REQUIRE(blocks.size() == plain.size());
    if (round % 37 != 0 || plain.empty()) continue;
    for (const double q : {0.0, 0.25, 0.5, 1.0}) {
      const double rank = static_cast<double>(plain.size() - 1) * q;
      const auto below = static_cast<std::size_t>(rank);
      const double a = plain[below], b = plain[std::min(below + 1, plain.size() - 1)];
      REQUIRE(blocks.quantile(q) == doctest::Approx(a + (b - a) * (rank - std::floor(rank))));
    }
  }
  blocks.clear();
  CHECK(blocks.size() == 0);
}

TEST_CASE("windows: keys, counts and spans against a pass over the samples") {
  Windows windows(four({{.count = 7}, {.span = 5 * second}, {.count = 100}}));
  std::mt19937_64 dice(7);
  std::normal_distribution<double> gauss;
  std::vector<std::vector<std::pair<Time, double>>> seen(3);
  for (const char* name : {"a", "b", "c"}) windows.handle(name);
  CHECK(windows.handle("b") == 1);
  CHECK(windows.find("z") == fl::NameTable::absent);
  Time now = 0;
  for (int t = 0; t < 3'000; ++t) {
    const auto h = static_cast<Windows::Handle>(dice() % 3);
    now += static_cast<Time>(dice() % 3) * second / 2;
    const double x = 1e6 + gauss(dice);
    REQUIRE(windows.update(h, now, x) == Status::ok);
    auto& all = seen[static_cast<std::size_t>(h)];
    all.emplace_back(now, x);
    const auto found = read(windows, h);
    for (std::size_t w = 0; w < 3; ++w) {
      std::size_t from = 0;
      if (w == 1) {
        while (now - all[from].first >= 5 * second) ++from;
      } else {
        const std::size_t n = w == 0 ? 7 : 100;
        from = all.size() > n ? all.size() - n : 0;
      }
      long double sum = 0.0L, squares = 0.0L;
      double least = all[from].second, most = least;
      const auto n = static_cast<long double>(all.size() - from);
      for (std::size_t i = from; i < all.size(); ++i) sum += all[i].second;
      for (std::size_t i = from; i < all.size(); ++i) {
        const long double d = all[i].second - sum / n;
        squares += d * d;
        least = std::min(least, all[i].second);
        most = std::max(most, all[i].second);
      }
      CHECK(std::abs(found[w * 4] - static_cast<double>(sum / n)) <= 3e-10);
      if (n > 1.0L)
        CHECK(found[w * 4 + 1] == doctest::Approx(static_cast<double>(squares / (n - 1.0L))).epsilon(1e-12));
      else
        CHECK(std::isnan(found[w * 4 + 1]));
      CHECK(found[w * 4 + 2] == least);
      CHECK(found[w * 4 + 3] == most);
    }
  }
}

TEST_CASE("windows: an array is its events, and a peek leaves no trace") {
  WindowsOptions options = four({{.count = 3}, {.span = 4}});
  options.stats.push_back({Stat::quantile, 0.5});
  Windows live(options), batch(options);
  for (Windows* each : {&live, &batch}) each->handle("a"), each->handle("b");
  const std::vector<Windows::Handle> h{0, 1, 0, 0, 1, 0};
  const std::vector<Time> times{1, 2, 3, 5, 9, 9};
  const std::vector<double> x{1.0, 2.0, 3.0, 5.0, 8.0, 13.0};
  std::vector<double> out(h.size() * live.cells());
  std::size_t bad = 0;
  REQUIRE(batch.update_many(h, times, x, {}, bad, out) == Status::ok);
  for (std::size_t i = 0; i < h.size(); ++i) {
    const std::string before = live.snapshot();
    std::vector<double> seen(live.cells());
    REQUIRE(live.peek(h[i], times[i] + 100, -7.0, 0.0, seen) == Status::ok);
    REQUIRE(live.peek(h[i], times[i], x[i], 0.0, seen) == Status::ok);
    REQUIRE(live.snapshot() == before);
    REQUIRE(live.update(h[i], times[i], x[i]) == Status::ok);
    const auto cells = static_cast<std::ptrdiff_t>(live.cells()), at = static_cast<std::ptrdiff_t>(i) * cells;
    CHECK(same_bits(read(live, h[i]), {out.begin() + at, out.begin() + at + cells}));
    CHECK(same_bits(read(live, h[i]), seen));
  }
  Windows again(WindowsOptions{});
  REQUIRE(Windows::restore(live.snapshot(), again) == Status::ok);
  CHECK(again.snapshot() == batch.snapshot());
}

TEST_CASE("windows: errors change nothing") {
  Windows windows(four({{.count = 3}}));
  windows.handle("a");
  REQUIRE(windows.update(0, 5, 1.0) == Status::ok);
  const std::string before = windows.snapshot();
  CHECK(windows.update(0, 4, 1.0) == Status::late_event);
  CHECK(windows.update(0, 6, fl::nan) == Status::not_finite);
  CHECK(windows.update(1, 6, 1.0) == Status::unknown_key);
  CHECK(windows.update(-1, 6, 1.0) == Status::unknown_key);
  CHECK(windows.read(0, {}) == Status::wrong_length);
  CHECK(windows.advance(3, 6) == Status::unknown_key);
  std::size_t bad = 0;
  const std::vector<Windows::Handle> h{0, 0, 0};
  const std::vector<Time> times{6, 8, 7};
  const std::vector<double> x{1.0, 2.0, 3.0};
  CHECK(windows.update_many(h, times, x, {}, bad) == Status::late_event);
  CHECK(bad == 2);
  CHECK(windows.update_many(h, times, std::span(x).first(2), {}, bad) == Status::wrong_length);
  CHECK(windows.snapshot() == before);
  CHECK(Windows::restore("nonsense", windows) == Status::bad_snapshot);
  CHECK(Windows::restore(before.substr(1), windows) == Status::bad_snapshot);
  CHECK(windows.snapshot() == before);

  CHECK(Windows::check(four({})) == Status::out_of_range);
  CHECK(Windows::check(four({{.count = -1}})) == Status::out_of_range);
  CHECK(Windows::check(four({{.count = 1, .span = 1}})) == Status::out_of_range);
  WindowsOptions options = four({{.count = 1}});
  CHECK(Windows::check(options) == Status::ok);
  options.stats.push_back({Stat::quantile, 1.5});
  CHECK(Windows::check(options) == Status::out_of_range);
}

TEST_CASE("windows: times at the ends of their range") {
  constexpr Time least = std::numeric_limits<Time>::min(), most = std::numeric_limits<Time>::max();
  WindowsOptions options = four({{.span = most}, {.count = 2}});
  options.stats = {{Stat::count}, {Stat::max_age}, {Stat::ewm}};
  Windows windows(options);
  windows.handle("a");
  REQUIRE(windows.update(0, least, 3.0) == Status::ok);
  REQUIRE(windows.update(0, -1, 2.0) == Status::ok);
  CHECK(read(windows, 0)[0] == 1.0);  // 2^63 - 1 old
  REQUIRE(windows.update(0, most, 1.0) == Status::ok);
  CHECK(read(windows, 0)[0] == 1.0);
  CHECK(read(windows, 0)[3] == 2.0);
}
