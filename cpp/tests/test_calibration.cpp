// Calibration against forecasts sorted into bins by their edges.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/calibration.hpp"

using fairlead::Calibration;
using fairlead::Status;

namespace {

struct Event {
  double p;
  bool happened;
};

// The expected calibration error by its definition: bins weighted by how many forecasts they hold.
double definition(const std::vector<Event>& events, std::size_t bins) {
  long double error = 0.0L;
  for (std::size_t b = 0; b < bins; ++b) {
    const double low = static_cast<double>(b) / static_cast<double>(bins);
    const double high = static_cast<double>(b + 1) / static_cast<double>(bins);
    long double p = 0.0L, happened = 0.0L, n = 0.0L;
    for (const Event& e : events) {
      if (e.p < low || (e.p >= high && !(b + 1 == bins && e.p == 1.0))) continue;
      n += 1.0L;
      p += static_cast<long double>(e.p);
      happened += e.happened ? 1.0L : 0.0L;
    }
    if (n > 0.0L) error += n / static_cast<long double>(events.size()) * std::abs(p / n - happened / n);
  }
  return static_cast<double>(error);
}

}  // namespace

TEST_CASE("calibration: the error is the mean gap of the bins") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> uniform;
    const std::size_t bins = std::vector<std::size_t>{10, 1, 4, 20}[seed % 4];
    Calibration calibration(bins);
    std::vector<Event> events;
    for (int i = 0; i < 400; ++i) {
      const double p = uniform(random);
      events.push_back({p, uniform(random) < p * p});
      REQUIRE(calibration.add(p, events.back().happened) == Status::ok);
    }
    CHECK(calibration.error() == doctest::Approx(definition(events, bins)).epsilon(1e-12));
    CHECK(calibration.size() == events.size());
    CHECK(calibration.bins().size() == bins);
  }
}

TEST_CASE("calibration: a bin holds its lower edge, and 1 is in the last") {
  for (std::size_t i = 0; i < 10; ++i) {
    INFO("edge ", i);
    const double edge = static_cast<double>(i) / 10.0;
    Calibration at;
    REQUIRE(at.add(edge, true) == Status::ok);
    CHECK(at.bins()[i].n == 1);
    if (i == 0) continue;
    Calibration below;
    REQUIRE(below.add(std::nextafter(edge, 0.0), true) == Status::ok);
    CHECK(below.bins()[i - 1].n == 1);
  }
  Calibration one;
  REQUIRE(one.add(1.0, true) == Status::ok);
  CHECK(one.bins()[9].n == 1);
  CHECK(one.bins()[9].mean_p() == 1.0);
  CHECK(one.bins()[9].frequency() == 1.0);
}

TEST_CASE("calibration: a bin holds its lower edge, whatever the number of bins") {
  int astray = 0;
  for (std::size_t bins = 1; bins <= 64; ++bins) {
    for (std::size_t i = 0; i < bins; ++i) {
      Calibration calibration(bins);
      REQUIRE(calibration.add(static_cast<double>(i) / static_cast<double>(bins), false) == Status::ok);
      astray += calibration.bins()[i].n == 1 ? 0 : 1;
    }
  }
  CHECK(astray == 0);
}

TEST_CASE("calibration: what the extremes are") {
  Calibration perfect;
  for (int i = 0; i < 8; ++i) {
    REQUIRE(perfect.add(0.75, i % 4 != 0) == Status::ok);
    REQUIRE(perfect.add(1.0, true) == Status::ok);
    REQUIRE(perfect.add(0.0, false) == Status::ok);
  }
  CHECK(perfect.error() == 0.0);
  Calibration wrong;
  REQUIRE(wrong.add(1.0, false) == Status::ok);
  REQUIRE(wrong.add(0.0, true) == Status::ok);
  CHECK(wrong.error() == 1.0);
}

TEST_CASE("calibration: empty is unknown, and what is not a probability is refused") {
  Calibration calibration;
  CHECK(std::isnan(calibration.error()));
  CHECK(std::isnan(calibration.bins()[0].mean_p()));
  CHECK(std::isnan(calibration.bins()[0].frequency()));
  constexpr double inf = std::numeric_limits<double>::infinity();
  for (const double p : {-1e-9, 1.0 + 1e-9, inf, -inf, fairlead::nan}) {
    CHECK(calibration.add(p, true) == Status::out_of_range);
  }
  CHECK(calibration.size() == 0);
  CHECK(calibration.add(-0.0, true) == Status::ok);
  CHECK(calibration.bins()[0].n == 1);
}
