// EDDM, the early drift detection method (M. Baena-Garcia, J. del Campo-Avila, R. Fidalgo, A. Bifet, R. Gavalda, R.
// Morales-Bueno, "Early drift detection method", IWKDDS 2006). Watches the distance between two errors: with its mean
// m and standard deviation s it keeps the largest m + 2s. Drift when (m + 2s) / max < beta, warning when below alpha,
// both once there were more than warm_start errors.
//
// As in MOA and frouros, s has n in the denominator and a warning ends with a new maximum; river divides by n - 1 and
// lets the warning stand. As in river, the maximum is kept from event warm_start + 1 on; MOA starts one event
// earlier. Precision: Welford's recurrence over integer distances. No allocation.
#pragma once

#include <cmath>
#include <cstdint>
#include <optional>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct EddmOptions {
  std::int64_t warm_start = 30;
  double alpha = 0.95;  // warning
  double beta = 0.9;    // drift
};

class Eddm : public Detector<Eddm> {
 public:
  using Options = EddmOptions;
  static constexpr const char* name = "detectors.eddm";

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (o.warm_start < 0) return OptionFault{"warm_start", static_cast<double>(o.warm_start), "at least 0"};
    if (!(o.alpha > 0.0 && o.alpha <= 1.0)) return OptionFault{"alpha", o.alpha, "in (0, 1]"};
    if (!(o.beta > 0.0 && o.beta <= o.alpha)) {
      return OptionFault{"beta", o.beta, "in (0, alpha]", "alpha", o.alpha};
    }
    return std::nullopt;
  }

  explicit Eddm(const Options& options = {}) : options_(options) {}

  const Options& options() const noexcept { return options_; }

  double estimation() const noexcept { return errors_ > 0.0 ? mean_ : nan; }  // mean distance between errors
  double statistic() const noexcept { return level_; }                        // (m + 2s) / max, 1 at a new maximum

 private:
  friend Detector<Eddm>;

  static bool accepts(double x) noexcept { return is_error(x); }

  void step(double x) noexcept {
    count_ += 1.0;
    if (x == 0.0) return;
    errors_ += 1.0;
    const double distance = count_ - last_;
    last_ = count_;
    const double before = mean_;
    mean_ += (distance - mean_) / errors_;
    m2_ += (distance - before) * (distance - mean_);
    warning_ = false;
    if (count_ <= static_cast<double>(options_.warm_start)) return;
    const double reach = mean_ + 2.0 * std::sqrt(m2_ / errors_);
    if (reach > most_) {
      most_ = reach;
      level_ = 1.0;
      return;
    }
    level_ = reach / most_;
    if (errors_ <= static_cast<double>(options_.warm_start)) return;
    drift_ = level_ < options_.beta;
    warning_ = level_ < options_.alpha;
  }

  void restart() noexcept { reset_state(); }

  void reset_state() noexcept {
    count_ = errors_ = last_ = mean_ = m2_ = most_ = 0.0;
    level_ = 1.0;
    warning_ = false;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.warm_start, o.alpha, o.beta, s.count_, s.errors_, s.last_, s.mean_, s.m2_, s.most_, s.level_);
  }

  Options options_;
  double count_ = 0.0, errors_ = 0.0, last_ = 0.0;  // events and errors since the last drift; when the last error was
  double mean_ = 0.0, m2_ = 0.0;                    // of the distances: mean, sum of squared deviations
  double most_ = 0.0, level_ = 1.0;
};

}  // namespace fairlead
