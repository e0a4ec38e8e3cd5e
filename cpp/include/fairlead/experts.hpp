// Online aggregation of experts: a weighted mean of forecasts whose weights follow from what each expert lost, round by
// round, with a guarantee against the best of them on any sequence. An expert may be absent (asleep): its weight is
// shared by the others, and it is judged only by the rounds in which it was awake.
//
// In a round expert k gains r_k = loss of the mixture - loss of k where awake, else 0 (A. Blum, Y. Mansour, 2007, and
// P. Gaillard, G. Stoltz, T. van Erven, 2014: so a sleeper is one who plays the mixture). R_k is the sum of gains.
//
//   hedge    weight ~ exp(eta R_k), eta = ln m / D, D being the summed mixability gaps: AdaHedge, S. de Rooij, T. van
//   Erven,
//            P. Grunwald, W. Koolen, "Follow the Leader If You Can, Hedge If You Must" (JMLR 15, 2014). Regret at most
//            S sqrt(T ln m) + S (4/3 ln m + 2) for losses within a range S, which need not be known.
//   boa      weight ~ eta_k exp(eta_k L_k), L_k = 1/2 sum of (r_k - eta_k r_k^2 + B_k [eta_k r_k > 1/2]), eta_k = min(1
//   / B_k,
//            sqrt(ln m / V_k)), V_k the sum of r_k^2 and B_k the power of two above the largest |r_k|: Bernstein online
//            aggregation, O. Wintenberger, "Optimal learning with Bernstein Online Aggregation" (Machine Learning 106,
//            2017).
//   ml_poly  weight ~ eta_k max(R_k, 0), eta_k = 1 / (E^2 + V_k), E the largest |r| of all: ML-Poly, P. Gaillard, G.
//   Stoltz,
//            T. van Erven, "A Second-order Bound with Excess Losses" (COLT 2014). No rate to set.
//
// Options: `gradient` learns from the linearised loss, loss'(mixture) x forecast, which competes with the best fixed
// mixture and not only with the best expert. `fixed_share` a: after each round a weight v becomes (1 - a) v + a / m, so
// that a fallen expert can rise (M. Herbster, M. Warmuth, "Tracking the Best Expert", 1998). `half_life`: sums lose
// half in so many rounds. `floor` and `cap` bound the weights that are played: w = clamp(z w, floor, cap) with the z
// for which they sum to 1, which is the nearest such w in relative entropy (M. Herbster, M. Warmuth, "Tracking the Best
// Linear Predictor", 2001).
//
// Precision: IEEE double. Memory: 98 bytes an expert. A round is O(m) and allocates nothing.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

enum class ExpertRule : std::uint8_t { hedge, boa, ml_poly };
enum class ExpertLoss : std::uint8_t { square, absolute, log };

struct ExpertsOptions {
  ExpertRule rule = ExpertRule::boa;
  ExpertLoss loss = ExpertLoss::square;
  bool gradient = true;
  double eta = 0.0;  // 0: follows from the losses
  double fixed_share = 0.0;
  double half_life = 0.0;  // rounds; 0: nothing is forgotten
  double floor = 0.0;
  double cap = 1.0;

  // The first option that cannot be honoured; nullptr if all can.
  const char* fault() const noexcept;
};

// What is known of an expert, over the rounds in which it was awake.
struct ExpertRecord {
  double loss = 0.0;          // its own
  double mixture_loss = 0.0;  // of the mixture
  std::uint64_t rounds = 0;
};

class Experts {
 public:
  static constexpr double value_max =
      1e70;  // forecasts, outcomes and losses: beyond, squares of squares would overflow
  static constexpr double clip = 1e-3;       // log loss: probabilities are kept this far from 0 and 1

  explicit Experts(const ExpertsOptions& options = {}) : options_(options) {
    if (options_.half_life > 0.0) keep_ = std::exp2(-1.0 / options_.half_life);
  }

  const ExpertsOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return active_.size(); }
  bool active(std::size_t k) const noexcept { return k < size() && active_[k] != 0; }
  double loss() const noexcept { return loss_; }             // of the mixture, summed
  std::uint64_t rounds() const noexcept { return rounds_; }  // in which somebody was awake
  const ExpertRecord& record(std::size_t k) const noexcept { return records_[k]; }

  // A new expert, with no gains and no losses. Its id is the number of experts before.
  void add();
  // It stays out from now on; ids stay.
  Status remove(std::size_t k) noexcept;
  // It comes back as if new.
  Status revive(std::size_t k) noexcept;

  // One a expert: the weights to play now, 0 for those that are not `awake` (empty: all are). They sum to 1, or are all
  // 0.
  std::span<const double> weights(std::span<const std::uint8_t> awake = {}) noexcept;

  // The mixture of forecasts x; NaN in x is absent too. NaN if nobody is awake. wrong_length, not_finite (infinity), or
  // out_of_range (beyond value_max; log loss: outside [0, 1]).
  Status predict(std::span<const double> x, std::span<const std::uint8_t> awake, double& forecast) noexcept;

  // What `predict` and `update` would say of forecasts and of an outcome (bad_outcome).
  Status check(std::span<const double> x, std::span<const std::uint8_t> awake) noexcept;
  Status check(double y) const noexcept;

  // A round: what `predict` gives, then learning from the outcome y. Nothing is learnt where nobody is awake.
  Status update(std::span<const double> x, double y, std::span<const std::uint8_t> awake, double& forecast) noexcept;

  // A round of losses of whatever kind, smaller being better, each at most value_max in size. The mixture's is their
  // mean.
  Status update_losses(std::span<const double> losses, std::span<const std::uint8_t> awake, double& loss) noexcept;

  // The weights of the last round or of the last call of `weights` or `predict`.
  std::span<const double> played() const noexcept { return played_; }

  std::string snapshot() const;
  static Status restore(std::string_view bytes, Experts& experts);

 private:
  double loss_of(double forecast, double y) const noexcept;
  double slope(double forecast, double y) const noexcept;
  Status look(std::span<const double> x, std::span<const std::uint8_t> awake, double low, double high) noexcept;
  void weigh() noexcept;
  void bound() noexcept;
  void learn(double mixture) noexcept;
  void learn_hedge() noexcept;
  void learn_boa() noexcept;
  void learn_ml_poly() noexcept;
  void share() noexcept;
  void refresh() noexcept;
  double log_count() const noexcept { return std::log(static_cast<double>(std::max<std::size_t>(n_active_, 2))); }

  ExpertsOptions options_;
  double keep_ = 1.0;
  double gap_ = 0.0;      // hedge: summed mixability gaps
  double largest_ = 0.0;  // the largest |r| of all
  double loss_ = 0.0;
  std::uint64_t rounds_ = 0;
  std::size_t n_active_ = 0;
  // R_k (boa: L_k), V_k, the largest |r_k|
  std::vector<double> gain_, variance_, reach_;
  std::vector<ExpertRecord> records_;
  std::vector<std::uint8_t> active_;
  // From the columns above: the logarithm of the weight up to what all share (not ml_poly), the rate, the weight if all
  // are awake
  std::vector<double> log_weight_, rate_, prior_;
  // Of the round at hand
  std::vector<double> played_, excess_, scale_;
  std::vector<std::uint8_t> here_;
};

}  // namespace fairlead
