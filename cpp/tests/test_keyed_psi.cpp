// Many streams: each is bit for bit a StreamingPsi, merged as if concatenated, and free of allocation once made.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "fairlead/drift.hpp"
#include "fairlead/sample.hpp"
#include "fairlead/tails.hpp"

using namespace fairlead;

namespace {

std::vector<double> draw(std::uint64_t seed, std::size_t n) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> out(n);
  for (double& x : out) x = normal(random);
  return out;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

}  // namespace

TEST_CASE("keyed psi: every key is a stream of its own, bit for bit") {
  const auto values = draw(1, 4000);
  KeyedPsi keyed(StreamingPsi(50, 30, 7));
  std::vector<StreamingPsi> single(3, StreamingPsi(50, 30, 7));
  for (const char* name : {"a", "b", "c"}) (void)keyed.id(name);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto key = static_cast<KeyedPsi::Key>((i * i) % 3);
    keyed.update(key, values[i]);
    single[static_cast<std::size_t>(key)].add(values[i]);
    REQUIRE(same(keyed.index(key), single[static_cast<std::size_t>(key)].index()));
  }
  KeyedPsi again{StreamingPsi()};
  REQUIRE(again.restore(keyed.snapshot()) == Status::ok);
  CHECK(again.snapshot() == keyed.snapshot());
  for (KeyedPsi::Key key = 0; key < 3; ++key) CHECK(same(again.index(key), keyed.index(key)));
}

TEST_CASE("keyed psi: merging with one reference is concatenation; an error changes nothing") {
  const auto values = draw(2, 300);
  Psi psi;
  REQUIRE(Psi::fit(draw(3, 500), 10, psi) == Status::ok);
  for (const std::size_t cut : {std::size_t{0}, std::size_t{3}, std::size_t{40}, std::size_t{299}}) {
    KeyedPsi left(StreamingPsi(psi, 40)), right(StreamingPsi(psi, 40)), whole(StreamingPsi(psi, 40));
    for (KeyedPsi* keyed : {&left, &right, &whole}) (void)keyed->id("k");
    for (std::size_t i = 0; i < values.size(); ++i) {
      (i < cut ? left : right).update(0, values[i]);
      whole.update(0, values[i]);
    }
    KeyedPsi::Key wrong = 0;
    REQUIRE(left.merge(right, wrong) == Status::ok);
    CHECK(wrong == NameTable::absent);
    CHECK(same(left.index(0), whole.index(0)));
  }
  KeyedPsi left(StreamingPsi(5, 4)), right(StreamingPsi(5, 4));
  for (KeyedPsi* keyed : {&left, &right}) {
    (void)keyed->id("k");
    for (std::size_t i = 0; i < 9; ++i) keyed->update(0, values[i]);
  }
  (void)right.id("new");
  const auto before = left.snapshot();
  KeyedPsi::Key wrong = NameTable::absent;
  CHECK(left.merge(right, wrong) == Status::out_of_range);
  CHECK(wrong == 0);
  CHECK(left.merge(KeyedPsi(StreamingPsi(5, 6)), wrong) == Status::wrong_length);
  CHECK(left.snapshot() == before);
}

TEST_CASE("special: tails against tables") {
  CHECK(chi2_tail(3.841458820694124, 1) == doctest::Approx(0.05).epsilon(1e-12));
  CHECK(chi2_tail(16.918977604620448, 9) == doctest::Approx(0.05).epsilon(1e-12));
  CHECK(chi2_tail(1000.0, 9) / 1.72406811892247e-209 == doctest::Approx(1.0).epsilon(1e-11));
  CHECK(kolmogorov_tail(1.3580986393225505) == doctest::Approx(0.05).epsilon(1e-9));
  CHECK(cramer_von_mises_tail(0.46136) == doctest::Approx(0.05).epsilon(1e-4));
  CHECK(ks_tail_exact(4, 4, 12) == doctest::Approx(16.0 / 70.0).epsilon(1e-14));  // by counting: 4 + 4 paths each way
  CHECK(ks_tail_exact(1, 1, 0) == 1.0);
}

TEST_CASE("sample: a statistic of what is counted in cells is that of what is sorted") {
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const auto reference = draw(seed, 3000);
    auto other = draw(seed + 100, 2500);
    for (double& x : other) x = std::round(x * (seed % 2 == 0 ? 1e3 : 1e9)) / (seed % 2 == 0 ? 1e3 : 1e9) + 0.01 * static_cast<double>(seed);
    other[7] = fairlead::nan;
    const SortedSample sample(reference);
    const KsResult quick = sample.ks(other), whole = sample.all(other).ks;
    CHECK(quick.scaled == whole.scaled);
    CHECK(quick.at == whole.at);
    CHECK(quick.m == 2499);
  }
}
