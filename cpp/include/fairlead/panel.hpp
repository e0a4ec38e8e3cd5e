// What is known of the strategies in one slice: how good each would have been, and by what each is in the mixture `auto`.
//
// When a task is settled, every strategy is scored on what it would have answered by the merits that the models had
// when they answered, so that nothing it was told later counts (A. P. Dawid, "Prequential Analysis", 1984).
//
// The core of the mixture is `hedge`, `weighted` and `stacked`, alike at first; how much each is in it, and whether the
// others are let in, follows from what each would have gained over the mean of hedge and weighted. With G the decayed sum
// of a strategy's gain (the mean's loss less its own) and V the decayed sum of squared gain per round, its advantage is
//
//     A = eta soft(G, 2 sqrt(V)),   eta = min(1/2, sqrt(ln S / V)),   soft(x, c) = sign(x) max(|x| - c, 0),
//
// S being the number of strategies that may be in it: the rate of hedge.hpp, and a threshold of two standard errors, below
// which a gain is taken for luck. The share of one of the core is proportional to exp(A), that of mean, median, log and
// trimmed to max(exp(A) - 1, 0) / 10: nothing until their record speaks for them. Choosing among strategies that are
// nearly as good costs more than it gives where every good week is taken for proof. Confidence, consensus and vote are
// asked for by name only.
//
// Memory: about 4 KiB a slice, whatever the number of models. Nothing allocates after it was made.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/score.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

// What each strategy would have gained over the core.
class Gains {
 public:
  static constexpr double half_life = 1000.0;  // tasks

  // One settled task: the gain of each strategy by its number, in [-2, 2].
  void update(const std::array<double, n_strategies>& gain, Time time) noexcept {
    const double keep = kept();
    const double close = started_ && time != round_time_ ? 1.0 : 0.0;  // a new time closes the round before it
    started_ = true;
    round_time_ = time;
    for (std::size_t s = 0; s < n_strategies; ++s) {
      variance_[s] = keep * (variance_[s] + close * round_[s] * round_[s]);
      round_[s] = keep * (1.0 - close) * round_[s] + gain[s];
      gain_[s] = keep * gain_[s] + gain[s];
      const double v = std::max(variance_[s] + round_[s] * round_[s], 1e-12);
      const double clear = std::max(std::abs(gain_[s]) - 2.0 * std::sqrt(v), 0.0);
      advantage_[s] = std::copysign(std::min(std::sqrt(log_candidates / v), 0.5) * clear, gain_[s]);
    }
    seen_ = keep * seen_ + 1.0;
  }

  double advantage(std::size_t strategy) const noexcept { return advantage_[strategy]; }
  double evidence() const noexcept { return seen_ / (seen_ + 20.0); }  // how far to believe this slice rather than all

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static double kept() noexcept { return 0.9993070929904525; }  // 2^(-1 / half_life)
  static constexpr double log_candidates = 1.9459101490553132;  // of 7 strategies

  bool started_ = false;
  Time round_time_ = 0;
  double seen_ = 0.0;
  std::array<double, n_strategies> gain_ = {}, variance_ = {}, round_ = {}, advantage_ = {};
};

struct Panel {
  static constexpr std::array<Strategy, 3> core{Strategy::hedge, Strategy::weighted, Strategy::stacked};
  static constexpr std::array<Strategy, 4> outsiders{Strategy::mean, Strategy::median, Strategy::log, Strategy::trimmed};

  std::array<Gains, 2> gains;             // for probabilities, for numbers
  std::array<Score, n_strategies> score;  // what each would have scored

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails
};

}  // namespace fairlead
