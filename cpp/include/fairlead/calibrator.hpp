// A calibrator learns from outcomes how a model's probabilities have to be adjusted, and adjusts them where that has
// lowered the Brier score of outcomes that were not yet known when the adjustment was learned.
//
// Three adjustments are learned side by side, each shrunk toward leaving answers as they are:
//
//   scaling      two classes: logit q = a logit p + c (J. Platt, "Probabilistic Outputs for Support Vector Machines",
//                1999). More: q_k ~ p_k^a e^(b_k), vector scaling with one slope (C. Guo, G. Pleiss, Y. Sun, K.
//                Weinberger, "On Calibration of Modern Neural Networks", ICML 2017). By online Newton steps with a
//                Gaussian prior at a = 1, c = 0 of information ten, at b_k = 0 of information twenty; the classes'
//                information is taken as diagonal.
//   isotonic     of P(1), or of the probability of the top class, the others keeping their proportions: counts in 16
//                bins, each with 40 pseudo-counts where the answers of the bin are; pool adjacent violators (M. Ayer
//                et al., 1955; B. Zadrozny, C. Elkan, KDD 2002); linear between the middles of bins.
//   temperature  q_k ~ p_k^t, for more than two classes: what scaling is where the number of classes is another than
//                that of the first answer, or above 8. Binary answers do without.
//
// The answer is a mixture: p as it was has weight 1, an adjustment max(0, e^(eta D) - 1) / 2. D is the decayed sum of
// squared errors that it saved, eta = min(1/2, 2 / sqrt(V)), and V the decayed sum over rounds of the square of what it
// saved in the round, so that D / sqrt(V) is how many standard errors the gain stands above 0. Without evidence, or
// where nothing is gained, p is returned as it is, to the bit.
//
// A round is all outcomes that became known at the same time. An adjustment is scored on a round by what it was before
// the round. Errors in a round go together, which makes them look like more evidence than they are; so all that is
// learned is divided by how much larger the squared sums of residuals of rounds are than if they were independent (at
// least 1; P. McCullagh, J. Nelder, "Generalized Linear Models", 1989, 4.5). Everything decays with a half-life of 1000
// outcomes. Slopes and biases follow every outcome; isotonic is fitted and the mixture weighed at every 8th, from the
// 256th on at every 32nd.
//
// A model that gives binary and categorical answers has one Calibrator for each. Probabilities are taken to be valid:
// in [0, 1], of at least two classes, with sum 1. No call fails, allocates or takes a lock.
//
// Precision: IEEE double, logarithms and exponentials by this project, so the same events give the same bits on every
// machine. Probabilities below .003 count as .003 in logarithms. Memory: under 1 KiB, fixed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

struct CalibratorOptions {
  double half_life = 1000.0;  // outcomes after which one counts half
};

class Calibrator {
 public:
  enum class Method : std::uint8_t { as_given, scaling, isotonic, temperature };

  static constexpr std::size_t bins = 16;
  static constexpr std::size_t most_classes = 8;  // of scaling

  explicit Calibrator(CalibratorOptions options = {}) noexcept;

  // P(1) of a binary answer, adjusted.
  double adjust(double p) const noexcept { return adjusts_ ? adjusted(p) : p; }
  // One value a class; both of the same length, with no memory in common.
  void adjust(std::span<const double> p, std::span<double> out) const noexcept;

  // What happened after the answer p, as it was given. Times do not decrease.
  void update(double p, bool happened, Time time) noexcept;
  void update(std::span<const double> p, std::size_t outcome, Time time) noexcept;

  // Whether an answer is adjusted now: some adjustment has a weight.
  bool helps() const noexcept { return adjusts_; }
  // What has the largest weight in an answer of two classes, or else of as many as the first answer had.
  Method method() const noexcept;
  // Weights in such an answer, by method; they sum to 1.
  std::array<double, 4> weights() const noexcept;
  // What one method alone makes of an answer.
  double adjust(Method method, double p) const noexcept;
  void adjust(Method method, std::span<const double> p, std::span<double> out) const noexcept;

  std::uint64_t size() const noexcept { return n_; }         // outcomes seen
  Time time() const noexcept { return round_time_; }         // of the last of them; 0 before
  std::size_t classes() const noexcept { return classes_; }  // of the first answer; 0 before
  double slope() const noexcept { return live_.slope; }        // a
  double shift() const noexcept { return live_.shift; }        // c, of two classes
  std::span<const double> biases() const noexcept {
    return std::span(live_.bias).first(scaled(classes_) ? classes_ : 0);
  }
  double temperature() const noexcept { return live_.temperature; }  // t
  // How much more than by chance the residuals of a round go together; 1 where they do not.
  double spread() const noexcept { return spread_; }
  // Sum of squared errors an adjustment has saved, decayed, in standard errors; 0 without evidence.
  double evidence(Method method) const noexcept;

  // All but the options, which whoever made this has.
  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static constexpr std::size_t n_methods = 3;  // without as_given
  static constexpr std::uint64_t refresh_early = 8, refresh_late = 32;

  struct Map {  // what an answer is adjusted by
    double slope = 1.0;
    double shift = 0.0;
    double temperature = 1.0;
    std::array<double, most_classes> bias = {};
    std::array<float, bins> move = {};  // isotonic: what is added in the middle of a bin
  };

  struct Gate {  // of a method
    double saved = 0.0;
    double square = 0.0;  // of closed rounds
    double round = 0.0;
  };

  static bool scaled(std::size_t classes) noexcept { return classes > 2 && classes <= most_classes; }
  double adjusted(double p) const noexcept;
  void adjusted(std::span<const double> p, std::span<double> out) const noexcept;
  // By method, of an answer of so many classes.
  std::array<double, 4> weights(std::size_t classes) const noexcept;
  void begin(std::size_t classes, Time time) noexcept;
  void finish(double shown, bool happened, double expected, const std::array<double, n_methods>& gain) noexcept;
  void learn_temperature(std::span<const double> p, std::span<const double> logs, std::size_t top, std::size_t outcome,
                         double& loss, double& expected) noexcept;
  void learn_classes(std::span<const double> logs, std::size_t top, std::size_t outcome, double& loss,
                     double& expected) noexcept;
  void refresh() noexcept;
  void mix() noexcept;
  void fit_isotonic() noexcept;
  double moved(const Map& map, double p) const noexcept;

  double keep_, grow_;  // 2^(-1 / half-life) and its inverse
  Map live_, before_;  // before_: as it was when the round began
  std::array<double, n_methods> weight_ = {};  // beside 1 for p as given
  std::array<double, n_methods> binary_ = {1.0, 0.0, 0.0};  // of a binary answer: p as given, scaling, isotonic
  std::array<Gate, n_methods> gate_ = {};
  // Information: of slope, slope and shift, shift; of temperature; of each bias.
  double slope_slope_, slope_shift_ = 0.0, shift_shift_, temperature_;
  std::array<double, most_classes> bias_;
  // Decayed sums of a bin, times grown_.
  std::array<double, bins> count_ = {}, happened_ = {}, p_ = {};
  double grown_ = 1.0;
  double round_residual_ = 0.0, round_variance_ = 0.0, residual_, variance_, spread_ = 1.0;
  std::uint64_t n_ = 0;
  Time round_time_ = 0;
  std::uint32_t classes_ = 0;
  bool adjusts_ = false;
};

}  // namespace fairlead
