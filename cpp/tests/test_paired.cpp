// The mean of paired differences against its definition, computed with all of them at hand.
#include "fairlead/paired.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <random>
#include <utility>
#include <vector>

namespace fl = fairlead;

namespace {

double by_definition(const std::vector<double>& d, const std::vector<fl::Time>& rounds) {
  long double mean = 0;
  for (const double x : d) mean += x;
  mean /= static_cast<long double>(d.size());
  std::map<fl::Time, long double> sums;
  for (std::size_t i = 0; i < d.size(); ++i) sums[rounds[i]] += d[i] - mean;
  long double squares = 0;
  for (const auto& [round, sum] : sums) squares += sum * sum;
  const auto r = static_cast<long double>(sums.size());
  return static_cast<double>(std::sqrt(squares * r / (r - 1)) / static_cast<long double>(d.size()));
}

}  // namespace

TEST_CASE("paired: the error of a mean is that of rounds") {
  std::mt19937_64 random(5);
  std::normal_distribution<double> normal;
  std::uniform_int_distribution<int> size(1, 9);
  fl::Paired paired;
  std::vector<double> d;
  std::vector<fl::Time> rounds;
  for (fl::Time round = -3; round < 60; ++round) {
    const double shared = normal(random);
    for (int i = size(random); i > 0; --i) {
      d.push_back(0.3 + shared + 0.1 * normal(random));
      rounds.push_back(round);
      paired.add(d.back(), round);
      if (round <= -3) CHECK(std::isnan(paired.standard_error()));
    }
    if (round > -3) CHECK(paired.standard_error() == doctest::Approx(by_definition(d, rounds)).epsilon(1e-10));
  }
  CHECK(paired.size() == d.size());
  CHECK(paired.rounds() == 63);
  double sum = 0.0;
  for (const double x : d) sum += x;
  CHECK(paired.mean() == sum / static_cast<double>(d.size()));
  // Were they taken for independent, the error would be much smaller.
  fl::Paired alone;
  for (std::size_t i = 0; i < d.size(); ++i) alone.add(d[i], static_cast<fl::Time>(i));
  CHECK(alone.standard_error() < 0.6 * paired.standard_error());
}

TEST_CASE("paired: of nothing, of one round, of what never varies") {
  fl::Paired paired;
  CHECK(std::isnan(paired.mean()));
  CHECK(std::isnan(paired.standard_error()));
  CHECK(paired.rounds() == 0);
  for (int i = 0; i < 5; ++i) paired.add(0.5, 7);
  CHECK(paired.mean() == 0.5);
  CHECK(paired.rounds() == 1);
  CHECK(std::isnan(paired.standard_error()));
  paired.add(0.5, 8);
  CHECK(paired.standard_error() == doctest::Approx(0.0));
}
