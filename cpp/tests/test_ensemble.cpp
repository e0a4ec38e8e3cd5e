// All strategies at once against one at a time.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <vector>

#include "fairlead/ensemble.hpp"
#include "fairlead/pooling.hpp"

namespace fl = fairlead;

TEST_CASE("ensemble: all strategies at once are to the bit what each is alone") {
  constexpr auto own = static_cast<std::size_t>(fl::Strategy::automatic);
  for (std::uint64_t seed = 0; seed < 200; ++seed) {
    INFO("seed ", seed);
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    const std::size_t m = 1 + random() % 25;
    const std::size_t classes = seed % 20 == 0 ? 100 : 2 + (seed % 2) * (random() % 6);
    std::vector<double> p, log_p;
    std::vector<fl::Merit> merit(m);
    for (std::size_t i = 0; i < m; ++i) {
      std::vector<double> row(classes);
      for (double& x : row) x = std::exp(2.0 * normal(random));
      if (random() % 4 == 0 && i > 0) row.assign(p.end() - static_cast<std::ptrdiff_t>(classes), p.end());  // an echo
      if (random() % 4 == 0) row.assign(classes, 0.0), row[random() % classes] = 1.0;
      fl::pooling::normalise(row.data(), classes);
      for (const double x : row) {
        p.push_back(x);
        log_p.push_back(std::log(std::max(x, fl::pooling::log_floor)));
      }
      const auto top = std::max_element(row.begin(), row.end());
      merit[i] = {.advantage = normal(random), .worth = normal(random), .confidence = *top};
      merit[i].top = static_cast<std::uint32_t>(top - row.begin());
    }
    fl::Answers answers{.kind = classes == 2 ? fl::Kind::binary : fl::Kind::categorical, .m = m, .classes = classes};
    answers.p = p.data();
    answers.log_p = log_p.data();
    answers.merit = merit.data();
    if (seed % 3 == 0) answers.factor = 1.3, answers.shift = classes == 2 ? 0.2 : 0.0;
    std::vector<double> all(own * classes), one(classes), weights(m), other(m), scratch(std::max(m, classes));
    fl::answer_all(answers, all.data(), weights, other.data(), scratch.data());
    for (std::size_t s = 0; s < own; ++s) {
      INFO("strategy ", fl::strategy_names[s]);
      fl::weigh(static_cast<fl::Strategy>(s), answers, weights, scratch.data());
      fl::pool(static_cast<fl::Strategy>(s), answers, weights, one.data(), scratch.data());
      for (std::size_t k = 0; k < classes; ++k) CHECK(all[s * classes + k] == one[k]);
    }
  }
}
