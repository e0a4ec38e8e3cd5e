// Weights from past outcomes by exponential weighting with a learning rate that each model's own record sets.
//
// A model's excess is its loss minus the mean loss of all who answered the same task, so a task that a model did not
// answer (it was absent, it failed, it joined later) leaves it where the average is. With D the decayed sum of excess
// and V the decayed sum of squared excess per round, a model's advantage is
//
//     A = -eta D,   eta = min(1/2, sqrt(ln M / V)),   M = number of models that have answered so far,
//
// and its weight is proportional to exp(A): the second-order rate of P. Gaillard, G. Stoltz, T. van Erven, "A Second-order
// Bound with Excess Losses" (COLT 2014) and O. Wintenberger, "Optimal learning with Bernstein Online Aggregation"
// (Machine Learning 106, 2017), here with decay, so that an old hero can fall. The rate follows from the data; what is
// fixed, for all data alike, is the half-life (200 tasks) and the evidence that a narrow slice needs (20 tasks).
//
// A round is all outcomes that became known at the same time. Their errors go together (fifty states, one flu season),
// and squaring their sum instead of summing their squares keeps fifty echoes from counting as fifty proofs.
//
// Precision: IEEE double. Memory: 49 bytes a model. Updating is O(M) and vectorises; nothing allocates but resize().
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

struct HedgeOptions {
  double half_life = 200.0;  // tasks after which an excess counts half
};

class Hedge {
 public:
  static constexpr double max_rate = 0.5;  // for losses in [0, 2]

  explicit Hedge(HedgeOptions options = {}) : decay_(std::exp2(-1.0 / options.half_life)) {}

  void resize(std::size_t models) {
    for (auto* column : {&variance_, &round_, &seen_, &advantage_, &evidence_}) column->resize(models);
    met_.resize(models);
    excess_.resize(models);  // last: its size is what the others have at least, also where memory ran out among them
  }
  std::size_t size() const noexcept { return excess_.size(); }

  // One settled task: `excess[i]` is what models[i] lost above the mean of all who answered, loss being in [0, 2].
  void update(std::span<const ModelId> models, std::span<const double> excess, Time time) noexcept {
    const std::size_t size = excess_.size();
    const double keep = decay_;
    const double close = started_ && time != round_time_ ? 1.0 : 0.0;  // a new time closes the round before it
    started_ = true;
    round_time_ = time;
    double* const d = excess_.data();
    double* const v = variance_.data();
    double* const r = round_.data();
    double* const n = seen_.data();
    for (std::size_t i = 0; i < size; ++i) {
      v[i] = keep * (v[i] + close * r[i] * r[i]);
      r[i] = keep * (1.0 - close) * r[i];
      d[i] *= keep;
      n[i] *= keep;
    }
    if (++updates_ % 256 == 0) flush();
    for (std::size_t j = 0; j < models.size(); ++j) {
      const auto i = static_cast<std::size_t>(models[j]);
      if (!met_[i]) {  // counted when it first answers: who will come later must not change what is decided now
        met_[i] = 1;
        ++n_met_;
      }
      d[i] += excess[j];
      r[i] += excess[j];
      n[i] += 1.0;
    }
    const double log_models = std::log(static_cast<double>(std::max<std::size_t>(n_met_, 2)));
    double* const a = advantage_.data();
    double* const e = evidence_.data();
    for (std::size_t i = 0; i < size; ++i) {
      const double variance = std::max(v[i] + r[i] * r[i], 1e-12);
      a[i] = -std::min(std::sqrt(log_models / variance), max_rate) * d[i];
      e[i] = n[i] / (n[i] + shrink);
    }
  }

  // The log of a model's weight, up to a constant that all models share.
  double advantage(ModelId i) const noexcept { return advantage_[static_cast<std::size_t>(i)]; }

  // How far to believe this slice rather than a broader one, in [0, 1): n / (n + 20), n the decayed number of tasks.
  double evidence(ModelId i) const noexcept { return evidence_[static_cast<std::size_t>(i)]; }

  // All but the options, which whoever made this has.
  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static constexpr double shrink = 20.0;

  // What has decayed to nothing becomes 0, as arithmetic on denormal numbers is slow.
  void flush() noexcept {
    for (auto* column : {&excess_, &variance_, &round_, &seen_}) {
      for (double& x : *column) x = std::abs(x) < 1e-200 ? 0.0 : x;
    }
  }

  double decay_;
  bool started_ = false;
  Time round_time_ = 0;
  std::uint64_t updates_ = 0;
  std::size_t n_met_ = 0;
  std::vector<std::uint8_t> met_;
  std::vector<double> excess_, variance_, round_, seen_, advantage_, evidence_;
};

// Turns advantages into weights that sum to 1, in place.
inline void softmax(std::span<double> z) noexcept {
  const double top = *std::max_element(z.begin(), z.end());
  double sum = 0.0;
  for (double& x : z) {
    x = std::exp(x - top);
    sum += x;
  }
  for (double& x : z) x /= sum;
}

}  // namespace fairlead
