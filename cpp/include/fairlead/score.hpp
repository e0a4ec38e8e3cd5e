// How good a forecaster has been: sums of proper scores over settled tasks, of one model or of one way to pool.
//
// Brier score: G. W. Brier (1950); (p - y)^2 for binary answers, the sum over classes for categorical ones.
// Log-loss: -ln p(what happened), with p raised to at least 2^-52 (as scikit-learn does). Lower is better for both.
// Precision: IEEE double sums; one event adds about 1e-16 relative error.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "fairlead/calibration.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

// One answer against what happened. `loss` is the squared error over all classes (so twice the Brier score of a binary
// answer), and the squared error of a number: what models are compared by.
struct Marks {
  double loss = 0.0;
  double log_loss = 0.0;
  double shown = 0.0;     // the probability that calibration bins: P(1) of a binary answer, else the largest
  bool happened = false;  // whether what `shown` was about came true
  std::uint32_t bin = 0;  // where calibration counts `shown`
  bool correct = false;   // the most probable class happened; a tie for the first place counts as the first of them
};

// A loss as scores and windows report it: the Brier score of probabilities, the squared error of a number.
constexpr double reported(double loss, Kind kind) noexcept { return kind == Kind::binary ? 0.5 * loss : loss; }

inline double clipped_log_loss(double p) noexcept {
  return -std::log(std::max(p, std::numeric_limits<double>::epsilon()));
}

// `p` holds one probability per class (two for a binary answer), `outcome` is the class that happened.
inline Marks mark_classes(std::span<const double> p, std::size_t outcome, bool binary) noexcept {
  Marks marks;
  std::size_t top = 0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double miss = p[k] - (k == outcome ? 1.0 : 0.0);
    marks.loss += miss * miss;
    if (p[k] > p[top]) top = k;
  }
  marks.log_loss = clipped_log_loss(p[outcome]);
  marks.correct = top == outcome;
  marks.shown = std::min(binary ? p[1] : p[top], 1.0);  // rounding can put a normalised probability a hair above 1
  // Every Score has the same bins, so an answer's is looked up once for all the slices it counts in.
  marks.bin = static_cast<std::uint32_t>(equal_width_bin(marks.shown, Calibration::default_bins));
  marks.happened = binary ? outcome == 1 : marks.correct;
  return marks;
}

inline Marks mark_number(double value, double outcome) noexcept {
  Marks marks;
  // Bounded, so that no sum or ratio of losses overflows: one absurd number must not become a NaN that stays.
  const double miss = std::clamp(value - outcome, -1e70, 1e70);
  marks.loss = miss * miss;
  return marks;
}

struct Score {
  std::uint64_t n = 0;        // answers scored
  std::uint64_t numbers = 0;  // how many of them were numbers, not probabilities
  std::uint64_t correct = 0;
  double brier_sum = 0.0;
  double log_loss_sum = 0.0;
  double absolute_sum = 0.0;
  double square_sum = 0.0;
  Calibration calibration;

  void add(const Marks& marks, Kind kind) noexcept {
    ++n;
    if (kind == Kind::numeric) {
      ++numbers;
      absolute_sum += std::sqrt(marks.loss);
      square_sum += marks.loss;
      return;
    }
    correct += marks.correct ? 1 : 0;
    brier_sum += reported(marks.loss, kind);
    log_loss_sum += marks.log_loss;
    calibration.add_to(marks.bin, marks.shown, marks.happened);
  }

  // Means; NaN where nothing of that kind was scored.
  double brier() const noexcept { return brier_sum / static_cast<double>(n - numbers); }
  double log_loss() const noexcept { return log_loss_sum / static_cast<double>(n - numbers); }
  double accuracy() const noexcept { return static_cast<double>(correct) / static_cast<double>(n - numbers); }
  double calibration_error() const noexcept { return calibration.error(); }
  double mae() const noexcept { return absolute_sum / static_cast<double>(numbers); }
  double rmse() const noexcept { return std::sqrt(square_sum / static_cast<double>(numbers)); }

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails
};

}  // namespace fairlead
