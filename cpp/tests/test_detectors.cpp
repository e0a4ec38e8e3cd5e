// What all drift detectors promise; test_detectors_rules.cpp has what each of them finds.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "fairlead/detectors.hpp"

using namespace fairlead;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

template <class D>
constexpr bool takes_errors = std::is_same_v<D, Ddm> || std::is_same_v<D, Eddm>;
template <class D>
constexpr bool takes_shares = std::is_same_v<D, HddmA> || std::is_same_v<D, HddmW> || std::is_same_v<D, CutScan>;

// Quiet and shifted stretches in turns, of what the detector takes.
template <class D>
std::vector<double> stream(std::size_t n) {
  std::mt19937_64 random(11);
  std::vector<double> x(n);
  for (std::size_t i = 0; i < n; ++i) {
    const bool shifted = i / 700 % 2 == 1;
    const auto roll = static_cast<double>(random() >> 11) * 0x1p-53;
    if constexpr (takes_errors<D> || takes_shares<D>) {
      x[i] = roll < (shifted ? 0.6 : 0.2) ? 1.0 : 0.0;
    } else {
      x[i] = roll + (shifted ? 2.0 : 0.0);
    }
  }
  return x;
}

template <class D>
D fed(std::span<const double> x) {
  D detector;
  for (const double value : x) REQUIRE(detector.update(value) == Status::ok);
  return detector;
}

}  // namespace

#define EACH_DETECTOR Adwin, PageHinkley, Cusum, Kswin, Ddm, Eddm, HddmA, HddmW, CutScan

TEST_CASE_TEMPLATE("a detector sees drifts, and counts them", D, EACH_DETECTOR) {
  D detector;
  CHECK_FALSE(detector.drift());
  CHECK_FALSE(detector.warning());
  std::uint64_t n = 0, drifts = 0, warnings = 0;
  for (const double x : stream<D>(5000)) {
    REQUIRE(detector.update(x) == Status::ok);
    ++n;
    drifts += detector.drift() ? 1u : 0u;
    warnings += detector.warning() ? 1u : 0u;
    CHECK_FALSE((detector.drift() && detector.warning()));
    CHECK(detector.n() == n);
    CHECK(detector.drifts() == drifts);
  }
  CHECK(drifts > 1);
  CHECK(warnings > 0);
}

TEST_CASE_TEMPLATE("a batch is as many updates", D, EACH_DETECTOR) {
  const auto x = stream<D>(5000);
  D one_by_one, batch;
  std::vector<std::int64_t> drifts, warnings, found_drifts, found_warnings;
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE(one_by_one.update(x[i]) == Status::ok);
    if (one_by_one.drift()) drifts.push_back(static_cast<std::int64_t>(i));
    if (one_by_one.warning()) warnings.push_back(static_cast<std::int64_t>(i));
  }
  std::size_t bad = 0;
  CHECK(batch.update_many(x, found_drifts, found_warnings, bad) == Status::ok);
  CHECK(found_drifts == drifts);
  CHECK(found_warnings == warnings);
  CHECK(batch.snapshot() == one_by_one.snapshot());
}

TEST_CASE_TEMPLATE("a refused event changes nothing", D, EACH_DETECTOR) {
  const auto x = stream<D>(1500);
  D detector = fed<D>(x);
  const std::string before = detector.snapshot();
  for (const double bad : {not_a_number, inf, -inf}) CHECK(detector.update(bad) == Status::not_finite);
  const double outside = takes_errors<D> ? 0.5 : takes_shares<D> ? 1.1 : 1.1e100;
  CHECK(detector.update(outside) == Status::out_of_range);
  CHECK(detector.update(-outside) == Status::out_of_range);
  std::vector<double> later(x.begin(), x.begin() + 100);
  later[70] = not_a_number;
  std::vector<std::int64_t> drifts, warnings;
  std::size_t bad = 0;
  CHECK(detector.update_many(later, drifts, warnings, bad) == Status::not_finite);
  CHECK(bad == 70);
  CHECK(drifts.empty());
  CHECK(warnings.empty());
  CHECK(detector.snapshot() == before);
}

TEST_CASE_TEMPLATE("a restored detector goes on as if it had never stopped", D, EACH_DETECTOR) {
  const auto x = stream<D>(3000);
  D whole;
  for (std::size_t i = 0; i < x.size(); ++i) {
    REQUIRE(whole.update(x[i]) == Status::ok);
    if (i % 97 != 0 && !whole.drift()) continue;  // right at a drift, too
    D restored;
    REQUIRE(D::restore(whole.snapshot(), restored) == Status::ok);
    CHECK(restored.snapshot() == whole.snapshot());
    D copy = whole;
    for (std::size_t k = i + 1; k < std::min(i + 200, x.size()); ++k) {
      REQUIRE(copy.update(x[k]) == Status::ok);
      REQUIRE(restored.update(x[k]) == Status::ok);
      REQUIRE(restored.drift() == copy.drift());
      REQUIRE(restored.warning() == copy.warning());
    }
    CHECK(restored.snapshot() == copy.snapshot());
  }
}

TEST_CASE_TEMPLATE("what is no snapshot is refused, and nothing changes", D, EACH_DETECTOR) {
  const D detector = fed<D>(stream<D>(800));
  const std::string bytes = detector.snapshot();
  D other = fed<D>(stream<D>(10));
  const std::string before = other.snapshot();
  const auto refused = [&](std::string_view data) {
    return D::restore(data, other) == Status::bad_snapshot && other.snapshot() == before;
  };
  for (std::size_t n = 0; n < bytes.size(); n += 3) CHECK(refused(std::string_view(bytes).substr(0, n)));
  for (std::size_t bit = 0; bit < bytes.size() * 8; bit += 5) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    CHECK(refused(damaged));
  }
}

TEST_CASE_TEMPLATE("reset is a new start", D, EACH_DETECTOR) {
  D detector = fed<D>(stream<D>(900));
  detector.reset();
  CHECK(detector.snapshot() == D().snapshot());
}

TEST_CASE_TEMPLATE("nonsense with a good checksum is refused, or at least harmless", D, EACH_DETECTOR) {
  const auto x = stream<D>(1000);
  const std::string bytes = fed<D>(x).snapshot();
  std::mt19937_64 random(3);
  int accepted = 0;
  for (int trial = 0; trial < 600; ++trial) {
    std::string wild = bytes.substr(0, bytes.size() - 4);
    // Behind the magic number, the name and the version.
    const std::size_t head = 4 + 8 + std::string_view(D::name).size() + 4;
    for (int change = 0; change < 1 + trial % 3; ++change) {
      wild[head + random() % (wild.size() - head)] = static_cast<char>(random() % (trial % 2 == 0 ? 256 : 4));
    }
    const std::uint32_t checksum = crc32c(wild);
    wild.append(reinterpret_cast<const char*>(&checksum), sizeof(checksum));
    D detector;
    if (D::restore(wild, detector) != Status::ok) continue;
    ++accepted;
    for (const double value : x) REQUIRE(detector.update(value) == Status::ok);
    D again;
    CHECK(D::restore(detector.snapshot(), again) == Status::ok);
  }
  CHECK(accepted > 0);
  CHECK(accepted < 600);
}
