// DDM, the drift detection method (J. Gama, P. Medas, G. Castillo, P. Rodrigues, "Learning with drift detection",
// SBIA 2004). Of the error rate p and its standard deviation s = sqrt(p (1 - p) / n) it keeps those where p + s was
// least. Drift when p + s > p_min + drift_threshold s_min, warning likewise. Needs more than warm_start events, as in
// river; MOA counts one fewer.
//
// Precision: errors are counted, so p is exact to a rounding after any number of events. No allocation.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct DdmOptions {
  std::int64_t warm_start = 30;
  double warning_threshold = 2.0;  // in standard deviations
  double drift_threshold = 3.0;
};

class Ddm : public Detector<Ddm> {
 public:
  using Options = DdmOptions;
  static constexpr const char* name = "detectors.ddm";

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (o.warm_start < 0) return OptionFault{"warm_start", static_cast<double>(o.warm_start), "at least 0"};
    if (!(o.drift_threshold > 0.0 && o.drift_threshold <= largest)) {
      return OptionFault{"drift_threshold", o.drift_threshold, "in (0, 1e100]"};
    }
    if (!(o.warning_threshold > 0.0 && o.warning_threshold <= o.drift_threshold)) {
      return OptionFault{"warning_threshold", o.warning_threshold, "in (0, drift_threshold]", "drift_threshold",
                         o.drift_threshold};
    }
    return std::nullopt;
  }

  explicit Ddm(const Options& options = {}) : options_(options) {}

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return count_ > 0.0 ? errors_ / count_ : nan; }  // the error rate

 private:
  friend Detector<Ddm>;

  static bool accepts(double x) noexcept { return is_error(x); }

  void step(double x) noexcept {
    count_ += 1.0;
    errors_ += x;
    if (count_ <= static_cast<double>(options_.warm_start)) return;
    const double p = errors_ / count_;
    const double s = std::sqrt(p * (1.0 - p) / count_);
    if (p + s <= p_least_ + s_least_) {
      p_least_ = p;
      s_least_ = s;
    }
    drift_ = p + s > p_least_ + options_.drift_threshold * s_least_;
    warning_ = p + s > p_least_ + options_.warning_threshold * s_least_;
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    count_ = errors_ = s_least_ = 0.0;
    p_least_ = std::numeric_limits<double>::infinity();
    warning_ = false;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.warm_start, o.warning_threshold, o.drift_threshold, s.count_, s.errors_, s.p_least_, s.s_least_);
  }

  Options options_;
  double count_ = 0.0, errors_ = 0.0;  // since the last drift
  double p_least_ = std::numeric_limits<double>::infinity(), s_least_ = 0.0;
};

}  // namespace fairlead
