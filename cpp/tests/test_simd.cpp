#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/drift.hpp"
#include "fairlead/simd.hpp"

using namespace fairlead;

namespace {

// Puts the level back however the test ends.
struct AtLevel {
  Simd before = simd_level();
  explicit AtLevel(Simd level) { REQUIRE(set_simd_level(level) == Status::ok); }
  ~AtLevel() { (void)set_simd_level(before); }
};

}  // namespace

TEST_CASE("the level that is asked for is the level that runs") {
  std::vector<double> sample(1000);
  std::mt19937_64 random(7);
  for (double& x : sample) x = std::normal_distribution<double>()(random);
  Psi psi;
  REQUIRE(Psi::fit(sample, 10, psi) == Status::ok);
  for (const Simd level : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    if (level > simd_best()) {
      MESSAGE("skipped: this machine has no " << name(level));
      CHECK(set_simd_level(level) == Status::out_of_range);
      continue;
    }
    const AtLevel here(level);
    std::vector<std::uint64_t> counts(psi.size());
    psi.count(sample, counts);
    CHECK(simd_ran() == level);
    CHECK(counts == std::vector<std::uint64_t>(psi.reference().begin(), psi.reference().end()));
  }
}
