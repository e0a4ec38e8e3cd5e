// The Page-Hinkley test for a change of the mean (E. S. Page, "Continuous inspection schemes", Biometrika 41, 1954;
// D. V. Hinkley, "Inference about the change-point from cumulative sum tests", Biometrika 58, 1971), with forgetting
// as in MOA and both directions as in river:
//   up   <- alpha up   + (x - mean) - delta;   a rise when up - min up > threshold
//   down <- alpha down + (x - mean) + delta;   a fall when max down - down > threshold
// where mean is that of all events since the last drift, x among them.
//
// Warning: the same with `warning_threshold`.
// Precision: IEEE double, of differences to the first event, so that an offset of 1e9 costs no digits. No allocation.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct PageHinkleyOptions {
  std::int64_t min_instances = 30;  // no test before so many events
  double delta = 0.005;             // a change that is tolerated, in units of x
  double threshold = 50.0;          // lambda: larger, fewer false alarms and more delay
  double alpha = 1.0 - 0.0001;      // forgetting: 1 keeps all
  double warning_threshold = nan;   // NaN: half of threshold
  Direction mode = Direction::both;
};

class PageHinkley : public Detector<PageHinkley> {
 public:
  using Options = PageHinkleyOptions;
  static constexpr const char* name = "detectors.page_hinkley";

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (o.min_instances < 1) return OptionFault{"min_instances", static_cast<double>(o.min_instances), "at least 1"};
    if (!(o.delta >= 0.0 && o.delta <= largest)) return OptionFault{"delta", o.delta, "in [0, 1e100]"};
    if (!(o.threshold > 0.0 && o.threshold <= largest)) return OptionFault{"threshold", o.threshold, "in (0, 1e100]"};
    if (!(o.alpha > 0.0 && o.alpha <= 1.0)) return OptionFault{"alpha", o.alpha, "in (0, 1]"};
    if (!std::isnan(o.warning_threshold) && !(o.warning_threshold > 0.0 && o.warning_threshold <= o.threshold)) {
      return OptionFault{"warning_threshold", o.warning_threshold, "in (0, threshold]", "threshold", o.threshold};
    }
    if (o.mode > Direction::both) return OptionFault{"mode", static_cast<double>(o.mode), "up, down or both"};
    return std::nullopt;
  }

  explicit PageHinkley(const Options& options = {}) : options_(options) {
    options_.warning_threshold = given_or(options_.warning_threshold, 0.5 * options_.threshold);
  }

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return count_ > 0.0 ? origin_ + sum_ / count_ : nan; }
  // What is compared with the threshold: of both directions the larger.
  double statistic() const noexcept {
    const double rise = sees_up(options_.mode) ? up_ - least_ : 0.0;
    const double fall = sees_down(options_.mode) ? most_ - down_ : 0.0;
    return count_ > 0.0 ? std::max(rise, fall) : 0.0;
  }

 private:
  friend Detector<PageHinkley>;

  static bool accepts(double x) noexcept { return is_number(x); }

  void step(double x) noexcept {
    if (count_ == 0.0) origin_ = x;
    count_ += 1.0;
    const double shifted = x - origin_;
    sum_ += shifted;
    const double deviation = shifted - sum_ / count_;
    up_ = options_.alpha * up_ + (deviation - options_.delta);
    down_ = options_.alpha * down_ + (deviation + options_.delta);
    least_ = std::min(least_, up_);
    most_ = std::max(most_, down_);
    if (count_ < static_cast<double>(options_.min_instances)) return;
    const double found = statistic();
    drift_ = found > options_.threshold;
    warning_ = found > options_.warning_threshold;
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    count_ = origin_ = sum_ = up_ = down_ = 0.0;
    least_ = std::numeric_limits<double>::infinity();
    most_ = -least_;
    warning_ = false;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.min_instances, o.delta, o.threshold, o.alpha, o.warning_threshold, o.mode, s.count_, s.origin_, s.sum_,
          s.up_, s.down_, s.least_, s.most_);
  }

  Options options_;
  // In this order GCC stores neither sum_ and up_ nor up_ and down_ as one vector, for which the next event would wait.
  double count_ = 0.0, sum_ = 0.0;  // of the events since the last drift; the sum has the first taken off each
  double origin_ = 0.0;             // the first of them
  double up_ = 0.0, least_ = std::numeric_limits<double>::infinity();
  double down_ = 0.0, most_ = -std::numeric_limits<double>::infinity();
};

}  // namespace fairlead
