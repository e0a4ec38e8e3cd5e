// HDDM, drift detection by bounds that need no distribution (I. Frias-Blanco, J. del Campo-Avila, G. Ramos-Jimenez,
// R. Morales-Bueno, A. Ortiz-Diaz, Y. Caballero-Mota, "Online and non-parametric drift detection methods based on
// Hoeffding's bounds", IEEE TKDE 27, 2015). Events lie in [0, 1], 1 being an error.
//
// HddmA compares the mean up to the best cut point with the mean of all (Hoeffding's bound, for abrupt changes); HddmW
// compares two exponentially weighted means (McDiarmid's bound, for gradual ones).
//
// HddmW starts the sum of squared weights of a sample with 1, as the paper and MOA do; river starts it with
// lambda^2 + (1 - lambda)^2. A fall is a drift like a rise where `mode` asks for falls; MOA only starts anew then.
// Precision: IEEE double; means of HddmA are sums over counts, exact to a rounding for 0 and 1. No allocation.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct HddmOptions {
  double drift_confidence = 0.001;    // the chance of a false alarm that is accepted at a test
  double warning_confidence = 0.005;
  Direction mode = Direction::up;
};

struct HddmWOptions : HddmOptions {
  double lambda_val = 0.05;  // weight of the newest event
};

inline std::optional<OptionFault> hddm_fault(const HddmOptions& o) noexcept {
  if (!(o.drift_confidence > 0.0 && o.drift_confidence < 1.0)) {
    return OptionFault{"drift_confidence", o.drift_confidence, "in (0, 1)"};
  }
  if (!(o.warning_confidence >= o.drift_confidence && o.warning_confidence < 1.0)) {
    return OptionFault{"warning_confidence", o.warning_confidence, "in [drift_confidence, 1)", "drift_confidence",
                       o.drift_confidence};
  }
  if (o.mode > Direction::both) return OptionFault{"mode", static_cast<double>(o.mode), "up, down or both"};
  return std::nullopt;
}

class HddmA : public Detector<HddmA> {
 public:
  using Options = HddmOptions;
  static constexpr const char* name = "detectors.hddm_a";

  static std::optional<OptionFault> fault(const Options& o) noexcept { return hddm_fault(o); }

  explicit HddmA(const Options& options = {}) : options_(options) { prepare(); }

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return count_ > 0.0 ? sum_ / count_ : nan; }

 private:
  friend Detector<HddmA>;

  // Mean and bound of the first n events.
  struct Cut {
    double n = 0.0, mean = 0.0, bound = 0.0;
  };

  static bool accepts(double x) noexcept { return is_share(x); }

  void step(double x) noexcept {
    count_ += 1.0;
    sum_ += x;
    const Cut all{count_, sum_ / count_, std::sqrt(1.0 / (2.0 * count_) * log_cut_)};
    if (count_ == 1.0) low_ = high_ = all;
    if (low_.mean + low_.bound >= all.mean + all.bound) low_ = all;
    if (high_.mean - high_.bound <= all.mean - all.bound) high_ = all;
    warning_ = false;
    if (sees_up(options_.mode)) test(low_, all.mean - low_.mean);
    if (sees_down(options_.mode)) test(high_, high_.mean - all.mean);
  }

  void test(const Cut& cut, double apart) noexcept {
    if (cut.n == count_ || apart <= 0.0) return;
    const double m = (count_ - cut.n) / cut.n * (1.0 / count_);
    if (apart >= std::sqrt(m / 2.0 * log_drift_)) {
      drift_ = true;
    } else if (apart >= std::sqrt(m / 2.0 * log_warning_)) {
      warning_ = true;
    }
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    count_ = sum_ = 0.0;
    low_ = high_ = Cut{};
    warning_ = false;
  }

  void prepare() noexcept {
    log_cut_ = std::log(1.0 / options_.drift_confidence);
    log_drift_ = std::log(2.0 / options_.drift_confidence);
    log_warning_ = std::log(2.0 / options_.warning_confidence);
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.drift_confidence, o.warning_confidence, o.mode, s.count_, s.sum_, s.low_.n, s.low_.mean, s.low_.bound,
          s.high_.n, s.high_.mean, s.high_.bound);
  }
  void load_more(SnapshotReader&) noexcept { prepare(); }

  Options options_;
  double log_cut_ = 0.0, log_drift_ = 0.0, log_warning_ = 0.0;
  double count_ = 0.0, sum_ = 0.0;  // since the last drift
  Cut low_, high_;                  // where the mean was surely least, surely largest
};

class HddmW : public Detector<HddmW> {
 public:
  using Options = HddmWOptions;
  static constexpr const char* name = "detectors.hddm_w";

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (!(o.lambda_val > 0.0 && o.lambda_val <= 1.0)) return OptionFault{"lambda_val", o.lambda_val, "in (0, 1]"};
    return hddm_fault(o);
  }

  explicit HddmW(const Options& options = {}) : options_(options) { prepare(); }

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return total_.weight > 0.0 ? total_.mean : nan; }

 private:
  friend Detector<HddmW>;

  // A weighted mean, and the sum of its squared weights, 0 while it is empty.
  struct Sample {
    double mean = 0.0, weight = 0.0;

    void add(double x, double lambda, double rest) noexcept {
      const bool first = weight == 0.0;
      mean = first ? x : lambda * x + rest * mean;
      weight = first ? 1.0 : lambda * lambda + rest * rest * weight;
    }
  };

  static bool accepts(double x) noexcept { return is_share(x); }

  void step(double x) noexcept {
    const double lambda = options_.lambda_val, rest = 1.0 - lambda;
    total_.add(x, lambda, rest);
    const double bound = std::sqrt(total_.weight * log_drift_ / 2.0);
    warning_ = false;
    if (sees_up(options_.mode)) {
      if (total_.mean + bound < low_cut_) {
        low_cut_ = total_.mean + bound;
        low_before_ = total_;
        low_since_ = Sample{};
      } else {
        low_since_.add(x, lambda, rest);
        test(low_before_, low_since_, low_since_.mean - low_before_.mean);
      }
    }
    if (sees_down(options_.mode)) {
      if (total_.mean - bound > high_cut_) {
        high_cut_ = total_.mean - bound;
        high_before_ = total_;
        high_since_ = Sample{};
      } else {
        high_since_.add(x, lambda, rest);
        test(high_before_, high_since_, high_before_.mean - high_since_.mean);
      }
    }
  }

  void test(const Sample& before, const Sample& since, double apart) noexcept {
    if (apart <= 0.0) return;
    const double weight = before.weight + since.weight;
    if (apart > std::sqrt(weight * log_drift_ / 2.0)) {
      drift_ = true;
    } else if (apart > std::sqrt(weight * log_warning_ / 2.0)) {
      warning_ = true;
    }
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    total_ = low_before_ = low_since_ = high_before_ = high_since_ = Sample{};
    low_cut_ = std::numeric_limits<double>::infinity();
    high_cut_ = -low_cut_;
    warning_ = false;
  }

  void prepare() noexcept {
    log_drift_ = std::log(1.0 / options_.drift_confidence);
    log_warning_ = std::log(1.0 / options_.warning_confidence);
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.drift_confidence, o.warning_confidence, o.mode, o.lambda_val, s.low_cut_, s.high_cut_);
    for (auto* sample : {&s.total_, &s.low_before_, &s.low_since_, &s.high_before_, &s.high_since_}) {
      visit(sample->mean, sample->weight);
    }
  }
  void load_more(SnapshotReader&) noexcept { prepare(); }

  Options options_;
  double log_drift_ = 0.0, log_warning_ = 0.0;
  Sample total_, low_before_, low_since_, high_before_, high_since_;
  double low_cut_ = std::numeric_limits<double>::infinity(), high_cut_ = -std::numeric_limits<double>::infinity();
};

}  // namespace fairlead
