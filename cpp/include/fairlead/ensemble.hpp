// Strategies: ways to make one answer of those that the models gave to a task. Each is a set of weights on the simplex,
// and a pool that they go into. What a strategy weighs by is the *merit* of each model: a few numbers that its record
// came to when it answered.
//
//   mean        every model has one vote; the linear pool
//   median      the median of each class, normalised
//   trimmed     the mean of what is left when a fifth of the models is cut at each end, class by class, normalised
//   log         the geometric mean, normalised
//   weighted    exponential weights on what the pool would have gained by listening more to each model, so that models
//               that err together share a vote; the linear pool
//   confidence  the model whose most probable class is most probable, by its calibrated answer; those that tie share
//   consensus   those that name the class that most name, where they are at least `agreement` of all; else all, and
//               the decision takes no position
//   hedge       exponential weights on decayed excess losses: hedge.hpp
//   stacked     the linear pool of the mean of hedge's and weighted's weights, its log-odds times a factor that is
//               learned: recalibration.hpp
//   vote        each model votes for its most probable class, weighted by how far its calibrated confidence is above
//               chance; a vote gives its class that confidence, and the other classes the rest alike
//   auto        a mixture of the others by what each would have scored so far: panel.hpp
//
// Of numbers, log is the mean, vote the median, and stacked has no factor; the confident one is that of the highest stated
// confidence, or of the best merit where none is stated; a model agrees that is within `tolerance` of the median.
//
// The order of the models does not matter but for rounding. Two models that give the same answers count twice in all
// but weighted (where they come to share a vote), median and trimmed notwithstanding.
//
// Precision: IEEE double. Memory: none of its own; `scratch` holds m values. Nothing allocates.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/types.hpp"

namespace fairlead {

// What a model's record came to when it answered.
struct Merit {
  double advantage = 0.0;   // hedge: the log of its weight, up to a constant that all share
  double worth = 0.0;       // weighted: the same
  double confidence = nan;  // calibrated probability of its most probable class; of a number: as stated
  double entropy = 0.0;     // of its answer, in nats
  std::uint32_t top = 0;    // its most probable class, the first of those that tie
  std::uint32_t at = 0;     // the Scoreboard's count of settled tasks when this was true
};

// The answers to one task that count.
struct Answers {
  Kind kind = Kind::binary;
  std::size_t m = 0;
  std::size_t classes = 0;            // 1: a number
  const double* p = nullptr;          // m x classes
  const double* log_p = nullptr;      // m x classes, of p raised to at least pooling::log_floor; none of numbers
  const Merit* merit = nullptr; // m
  double tolerance = 0.0;             // consensus of numbers
  double factor = 1.0;                // stacked: what its log-odds are multiplied by,
  double shift = 0.0;                 // and, of two classes, what is added
};

inline constexpr double trim = 0.2;
inline constexpr double consensus_agreement = 2.0 / 3.0 - 1e-9;

// `scratch` holds m values, or as many as there are classes if those are more.

// Writes m weights that sum to 1. Of `consensus`: whether there is one; else true. Not of `automatic` and `given`.
bool weigh(Strategy strategy, const Answers& answers, std::span<double> weights, double* scratch) noexcept;

// What `stacked` makes of the pooled answer; both of `classes` values, and they may be the same.
void recalibrate(const Answers& answers, const double* pooled, double* out, double* scratch) noexcept;

// Writes `classes` values. The weights are those of `weigh`.
void pool(Strategy strategy, const Answers& answers, std::span<const double> weights, double* out, double* scratch) noexcept;

// What `weigh` and `pool` make of probabilities by each strategy but `automatic`, to the bit, in less time: a row of
// `classes` values a strategy, by its number. `weights` and `other` hold m values.
void answer_all(const Answers& answers, double* out, std::span<double> weights, double* other, double* scratch) noexcept;

}  // namespace fairlead
