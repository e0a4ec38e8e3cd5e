// CUSUM, cumulative sums of deviations (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954), as in MOA,
// with both directions as in a tabular chart (D. C. Montgomery, "Introduction to Statistical Quality Control", 2009,
// ch. 9):
//   up   <- max(0, up   + (x - mean) - delta);   a rise when up > threshold
//   down <- max(0, down - (x - mean) - delta);   a fall when down > threshold
// where mean is `target` if given, else that of all events since the last drift, x among them.
//
// Warning: the same with `warning_threshold`.
// Precision: IEEE double, of differences to the target or the first event, so that an offset costs no digits. No
// allocation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct CusumOptions {
  std::int64_t min_instances = 30;  // no test before so many events
  double delta = 0.005;             // slack, often half of the shift that matters, in units of x
  double threshold = 50.0;          // larger, fewer false alarms and more delay
  double target = nan;              // the mean when all is well; NaN: learn it
  double warning_threshold = nan;   // NaN: half of threshold
  Direction mode = Direction::both;
};

class Cusum : public Detector<Cusum> {
 public:
  using Options = CusumOptions;
  static constexpr const char* name = "detectors.cusum";

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (o.min_instances < 1) return OptionFault{"min_instances", static_cast<double>(o.min_instances), "at least 1"};
    if (!(o.delta >= 0.0 && o.delta <= largest)) return OptionFault{"delta", o.delta, "in [0, 1e100]"};
    if (!(o.threshold > 0.0 && o.threshold <= largest)) return OptionFault{"threshold", o.threshold, "in (0, 1e100]"};
    if (!std::isnan(o.target) && !(std::abs(o.target) <= largest)) {
      return OptionFault{"target", o.target, "in [-1e100, 1e100]"};
    }
    if (!std::isnan(o.warning_threshold) && !(o.warning_threshold > 0.0 && o.warning_threshold <= o.threshold)) {
      return OptionFault{"warning_threshold", o.warning_threshold, "in (0, threshold]", "threshold", o.threshold};
    }
    if (o.mode > Direction::both) return OptionFault{"mode", static_cast<double>(o.mode), "up, down or both"};
    return std::nullopt;
  }

  explicit Cusum(const Options& options = {}) : options_(options) {
    options_.warning_threshold = given_or(options_.warning_threshold, 0.5 * options_.threshold);
  }

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return count_ > 0.0 ? origin_ + sum_ / count_ : nan; }
  // What is compared with the threshold: of both directions the larger.
  double statistic() const noexcept {
    return std::max(sees_up(options_.mode) ? up_ : 0.0, sees_down(options_.mode) ? down_ : 0.0);
  }

 private:
  friend Detector<Cusum>;

  static bool accepts(double x) noexcept { return is_number(x); }

  void step(double x) noexcept {
    const bool learns = std::isnan(options_.target);
    if (count_ == 0.0) origin_ = learns ? x : options_.target;
    count_ += 1.0;
    const double shifted = x - origin_;
    sum_ += shifted;
    const double deviation = learns ? shifted - sum_ / count_ : shifted;
    up_ = std::max(0.0, up_ + (deviation - options_.delta));
    down_ = std::max(0.0, down_ - (deviation + options_.delta));
    if (count_ < static_cast<double>(options_.min_instances)) return;
    const double found = statistic();
    drift_ = found > options_.threshold;
    warning_ = found > options_.warning_threshold;
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    count_ = origin_ = sum_ = up_ = down_ = 0.0;
    warning_ = false;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.min_instances, o.delta, o.threshold, o.target, o.warning_threshold, o.mode, s.count_, s.origin_, s.sum_,
          s.up_, s.down_);
  }

  Options options_;
  double count_ = 0.0;                // events since the last drift
  double origin_ = 0.0, sum_ = 0.0;   // target, or the first of them; the sum of all, each less that
  double up_ = 0.0, down_ = 0.0;
};

}  // namespace fairlead
