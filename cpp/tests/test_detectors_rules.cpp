// Each drift detector against its rule, written down plainly, and on numbers that are hard to sum.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/detectors.hpp"

using namespace fairlead;

namespace {

std::vector<double> normals(std::size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  std::vector<double> x(n);
  for (double& value : x) value = std::normal_distribution<double>()(random);
  return x;
}

long double square(long double x) { return x * x; }

// ADWIN as it is written in the paper's appendix and in MOA: rows of buckets, each event put in at once, the window's
// moments summed anew from raw values in long double.
class PlainAdwin {
 public:
  explicit PlainAdwin(AdwinOptions options) : options_(options) {}

  bool update(double x) {
    if (rows_.empty()) rows_.emplace_back();
    rows_[0].push_back({x});
    for (std::size_t row = 0; row < rows_.size(); ++row) {
      if (rows_[row].size() <= static_cast<std::size_t>(options_.max_buckets)) break;
      if (row + 1 == rows_.size()) rows_.emplace_back();
      Bucket merged = rows_[row][0];
      merged.insert(merged.end(), rows_[row][1].begin(), rows_[row][1].end());
      rows_[row + 1].push_back(merged);
      rows_[row].erase(rows_[row].begin(), rows_[row].begin() + 2);
    }
    bool dropped = false;
    if (++ticks_ % options_.clock == 0 && static_cast<std::int64_t>(window().size()) > options_.grace_period) {
      while (cut()) {
        rows_.back().erase(rows_.back().begin());
        if (rows_.back().empty()) rows_.pop_back();
        dropped = true;
      }
    }
    return dropped;
  }

  using Bucket = std::vector<double>;
  Bucket window() const {
    Bucket all;
    for (std::size_t row = rows_.size(); row-- > 0;) {
      for (const Bucket& bucket : rows_[row]) all.insert(all.end(), bucket.begin(), bucket.end());
    }
    return all;
  }

 private:
  static long double mean(const double* from, std::size_t n) {
    long double sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += static_cast<long double>(from[i]);
    return sum / static_cast<long double>(n);
  }

  bool cut() const {
    const Bucket all = window();
    const auto n = static_cast<long double>(all.size());
    const auto shortest = static_cast<long double>(options_.min_window_length);
    const long double centre = mean(all.data(), all.size());
    long double variance = 0;
    for (const double x : all) variance += square(static_cast<long double>(x) - centre);
    variance /= n;
    const long double d = std::log(2 * std::log(n) / static_cast<long double>(options_.delta));
    std::size_t at = 0;
    for (std::size_t row = rows_.size(); row-- > 0;) {
      for (const Bucket& bucket : rows_[row]) {
        at += bucket.size();
        const auto n0 = static_cast<long double>(at), n1 = n - n0;
        if (n0 < shortest || n1 < shortest) continue;
        const long double m = 1 / (n0 - shortest + 1) + 1 / (n1 - shortest + 1);
        const long double bound = std::sqrt(2 * m * variance * d) + 2.0L / 3 * d * m;
        if (std::abs(mean(all.data(), at) - mean(all.data() + at, all.size() - at)) > bound) return true;
      }
    }
    return false;
  }

  AdwinOptions options_;
  std::int64_t ticks_ = 0;
  std::vector<std::vector<Bucket>> rows_;
};

void same_as_plain(const std::vector<double>& x, const AdwinOptions& options, std::uint64_t at_least) {
  Adwin adwin(options);
  PlainAdwin plain(options);
  for (std::size_t i = 0; i < x.size(); ++i) {
    INFO("event ", i);
    REQUIRE(adwin.update(x[i]) == Status::ok);
    REQUIRE(adwin.drift() == plain.update(x[i]));
    if (i % 101 == 0 || adwin.drift()) {
      const auto window = plain.window();
      REQUIRE(adwin.width() == window.size());
      long double sum = 0, squares = 0;
      for (const double value : window) sum += static_cast<long double>(value);
      const long double mean = sum / static_cast<long double>(window.size());
      for (const double value : window) squares += square(static_cast<long double>(value) - mean);
      const auto variance = static_cast<double>(squares / static_cast<long double>(window.size()));
      REQUIRE(adwin.estimation() == doctest::Approx(static_cast<double>(mean)).epsilon(1e-12));
      REQUIRE(std::abs(adwin.variance() - variance) <= 1e-6 * variance);
    }
  }
  CHECK(adwin.drifts() >= at_least);
}

std::vector<double> shifts(double offset, double scale = 1.0) {
  std::vector<double> x = normals(4000, 3);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = offset + scale * (x[i] + (i / 800 % 2 == 1 ? 1.5 : 0.0));
  return x;
}

}  // namespace

TEST_CASE("ADWIN is the paper's rule on raw values, whatever the options") {
  same_as_plain(shifts(0.0), {}, 3);
  same_as_plain(shifts(0.0), {.delta = 0.3, .clock = 7, .max_buckets = 2, .min_window_length = 1, .grace_period = 0},
                3);
  same_as_plain(shifts(0.0, 1e-3), {.delta = 0.05, .clock = 100, .max_buckets = 9}, 0);
}

TEST_CASE("ADWIN with every event a test") {
  auto x = shifts(0.0);
  x.resize(1800);
  same_as_plain(x, {.clock = 1}, 2);
}

TEST_CASE("ADWIN loses nothing to an offset of 1e9, or to a spike") {
  same_as_plain(shifts(1e9), {}, 3);
  auto x = shifts(0.0);
  x[500] = 1e12;
  x[2900] = -1e12;
  same_as_plain(x, {}, 1);
}

TEST_CASE("ADWIN: a spike that has left leaves no trace") {
  Adwin adwin({.max_buckets = 64});
  auto x = normals(5000, 5);
  x[3] = 1e12;
  for (const double value : x) REQUIRE(adwin.update(value) == Status::ok);
  REQUIRE(adwin.drifts() == 1);  // when the spike was dropped
  REQUIRE(adwin.width() > 4900);
  long double sum = 0;
  for (std::size_t i = x.size() - adwin.width(); i < x.size(); ++i) sum += static_cast<long double>(x[i]);
  CHECK(std::abs(adwin.total() - static_cast<double>(sum)) < 1e-12);
  CHECK(adwin.variance() == doctest::Approx(1.0).epsilon(0.05));
}

TEST_CASE("ADWIN: a constant stream has variance exactly 0 and never drifts") {
  for (const double value : {0.0, 0.1, 1e9 + 0.3, 1e100, -1e-300}) {
    Adwin adwin;
    for (int i = 0; i < 20'000; ++i) {
      REQUIRE(adwin.update(value) == Status::ok);
      REQUIRE_FALSE(adwin.drift());
    }
    CHECK(adwin.variance() == 0.0);
    CHECK(adwin.estimation() == value);
  }
}

TEST_CASE("ADWIN: an empty window has no mean") {
  Adwin adwin;
  CHECK(std::isnan(adwin.estimation()));
  CHECK(std::isnan(adwin.variance()));
  CHECK(adwin.total() == 0.0);
  CHECK(adwin.width() == 0);
}

TEST_CASE("a mode sees its changes only") {
  const auto x = shifts(0.0);
  Adwin both, up({.mode = Direction::up}), down({.mode = Direction::down});
  for (const double value : x) {
    REQUIRE(both.update(value) == Status::ok);
    REQUIRE(up.update(value) == Status::ok);
    REQUIRE(down.update(value) == Status::ok);
    REQUIRE(both.drift() == (up.drift() || down.drift()));
  }
  CHECK(up.drifts() > 0);
  CHECK(down.drifts() > 0);
}

TEST_CASE_TEMPLATE("Page-Hinkley and CUSUM do not mind an offset", D, PageHinkley, Cusum) {
  D plain, offset;
  const auto x = shifts(0.0);
  for (const double value : x) {
    const double fine = std::round(value * 1024) / 1024;  // so that the sum is exact
    REQUIRE(plain.update(fine) == Status::ok);
    REQUIRE(offset.update(fine + 0x1p30) == Status::ok);
    REQUIRE(plain.statistic() == offset.statistic());
  }
  CHECK(plain.drifts() > 2);
}

TEST_CASE("KSWIN: the p-value counts paths") {
  // r = 3: of C(6, 3) = 20 orders, all 20 have a distance of at least 1/3, 12 at least 2/3, 2 a distance of 1.
  CHECK(Kswin::p_value(0, 3) == 1.0);
  CHECK(Kswin::p_value(1, 3) == doctest::Approx(1.0));
  CHECK(Kswin::p_value(2, 3) == doctest::Approx(12.0 / 20.0));
  CHECK(Kswin::p_value(3, 3) == doctest::Approx(2.0 / 20.0));
  for (const std::size_t r : {1u, 2u, 30u, 500u, 100'000u}) {
    double before = 1.0;
    for (std::size_t h = 0; h <= std::min<std::size_t>(r, 600); ++h) {
      const double p = Kswin::p_value(h, r);
      REQUIRE(p <= before + 1e-12);
      REQUIRE(p >= 0.0);
      before = p;
    }
  }
}

TEST_CASE("KSWIN: the same seed, the same answers") {
  const auto x = normals(5000, 9);
  Kswin a({.alpha = 0.05, .seed = 1}), b({.alpha = 0.05, .seed = 1}), c({.alpha = 0.05, .seed = 2});
  int different = 0;
  for (const double value : x) {
    REQUIRE(a.update(value) == Status::ok);
    REQUIRE(b.update(value) == Status::ok);
    REQUIRE(c.update(value) == Status::ok);
    REQUIRE(a.drift() == b.drift());
    REQUIRE((a.p_value() == b.p_value() || (std::isnan(a.p_value()) && std::isnan(b.p_value()))));
    different += a.p_value() != c.p_value() ? 1 : 0;
  }
  CHECK(different > 1000);
}

TEST_CASE("KSWIN: with a window of two halves nothing is left to chance") {
  // The older half is drawn whole, so the distance is that of the two halves.
  constexpr std::size_t r = 20;
  auto x = normals(3000, 4);
  for (double& value : x) value = std::round(value * 3);  // many ties
  Kswin kswin({.alpha = 1e-9, .window_size = 2 * r, .stat_size = r});
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE(kswin.update(x[i]) == Status::ok);
    if (i + 1 < 2 * r) {
      REQUIRE(std::isnan(kswin.statistic()));
      continue;
    }
    double most = 0.0;
    for (std::size_t k = i + 1 - 2 * r; k <= i; ++k) {
      double older = 0.0, recent = 0.0;
      for (std::size_t j = 0; j < r; ++j) {
        older += x[i + 1 - 2 * r + j] <= x[k] ? 1.0 : 0.0;
        recent += x[i + 1 - r + j] <= x[k] ? 1.0 : 0.0;
      }
      most = std::max(most, std::abs(older - recent));
    }
    REQUIRE(kswin.statistic() == most / static_cast<double>(r));
  }
}

TEST_CASE("options that cannot be honoured have a name") {
  CHECK_FALSE(Adwin::fault({}).has_value());
  CHECK(std::strcmp(Adwin::fault({.delta = 0.0})->option, "delta") == 0);
  CHECK(std::strcmp(Adwin::fault({.delta = std::numeric_limits<double>::quiet_NaN()})->option, "delta") == 0);
  CHECK(std::strcmp(Adwin::fault({.clock = 0})->option, "clock") == 0);
  CHECK(std::strcmp(Kswin::fault({.window_size = 50, .stat_size = 26})->option, "stat_size") == 0);
  CHECK(std::strcmp(Ddm::fault({.warning_threshold = 4.0})->option, "warning_threshold") == 0);
  CHECK(std::strcmp(Eddm::fault({.alpha = 0.8})->option, "beta") == 0);
}
