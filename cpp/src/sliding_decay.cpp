// Exponentially weighted statistics of a row.
#include <algorithm>
#include <cmath>

#include "fairlead/sliding.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/sliding.hpp"

namespace fairlead {

namespace {

// Weighted mean and variance, one sample at a time, for any gaps (D. West 1979, with decay). The weight of all that was
// seen is relative to a newest sample of weight 1. `pairs_` is the square of the sum of weights less the sum of their
// squares, added up rather than subtracted, so that it keeps its digits where one weight is nearly all.
class Decaying {
 public:
  void age(double keep) noexcept {
    weight_ *= keep;
    pairs_ *= keep * keep;
  }

  void add(double x, double own) noexcept {
    ++n_;
    if (n_ == 1) {
      mean_ = x;
      weight_ = 1.0;
      return;
    }
    const double all = weight_ + own;
    const double delta = x - mean_, share = own / all;
    variance_ = (1.0 - share) * (variance_ + share * delta * delta);
    // What is infinite stays so.
    mean_ = std::isfinite(delta) ? mean_ + share * delta : (1.0 - share) * mean_ + share * x;
    pairs_ += 2.0 * weight_ * own;
    weight_ = all;
  }

  // The weights of the recursion without `adjust` always add up to 1.
  void scale_to_one() noexcept {
    pairs_ /= weight_ * weight_;
    weight_ = 1.0;
  }

  std::size_t n() const noexcept { return n_; }
  double mean() const noexcept { return mean_; }
  double variance(bool bias) const noexcept {
    if (bias) return variance_;
    return pairs_ > 0.0 ? variance_ * (weight_ * weight_ / pairs_) : nan;
  }

 private:
  std::size_t n_ = 0;
  double mean_ = nan, variance_ = 0.0, weight_ = 0.0, pairs_ = 0.0;
};

void any_row(std::span<const double> x, std::span<const Time> times, const DecayOptions& options, DecayStat stat,
             double* out) {
  Decaying state;
  const double keep = 1.0 - options.alpha;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const bool number = x[i] == x[i];
    if (state.n() > 0 && (number || !options.ignore_nan)) {
      const double aged = times.empty() ? keep
                                        : std::exp2(-static_cast<double>(static_cast<std::uint64_t>(times[i]) -
                                                                         static_cast<std::uint64_t>(times[i - 1])) /
                                                    options.half_life);
      state.age(aged);
    }
    if (number) {
      state.add(x[i], options.adjust || state.n() == 0 ? 1.0 : options.alpha);
      if (!options.adjust) state.scale_to_one();
    }
    const bool enough = state.n() >= std::max<std::size_t>(options.min_periods, 1);
    const double found = stat == DecayStat::mean ? state.mean() : state.variance(options.bias);
    out[i] = !enough ? nan : stat == DecayStat::std ? std::sqrt(found) : found;
  }
}

// The mean of a row of finite numbers. False where one is not: then what is written is garbage.
bool finite_mean(std::span<const double> x, const DecayOptions& options, double* out) noexcept {
  const auto& run = kernels::select(kernels::sliding_scalar, kernels::sliding_avx2, kernels::sliding_avx512);
  const std::size_t n = x.size();
  const double keep = 1.0 - options.alpha;
  if (!std::isfinite(x[0])) return false;
  if (keep == 0.0) {
    std::copy(x.begin(), x.end(), out);
    return std::all_of(x.begin(), x.end(), [](double v) { return std::isfinite(v); });
  }
  // With `adjust` the weight grows towards 1 / alpha, and has arrived when keep^i is nothing beside 1.
  const double half_life = -1.0 / std::log2(keep);
  const double growing = options.adjust ? 56.0 * half_life + 1.0 : 0.0;
  // Some half-lives at a time, about a pivot that is no larger than the mean so far and the samples next to come: so
  // what has faded leaves no rounding behind, and equal samples have themselves as their mean.
  const std::size_t block = 8 * static_cast<std::size_t>(std::clamp(std::ceil(half_life), 2.0, 128.0));
  kernels::SlidingDecayed state{0.0, 1.0};
  double mean = out[0] = x[0];
  for (std::size_t i = 1; i < n; i += block) {
    const std::size_t size = std::min(block, n - i);
    double pivot = mean;
    for (std::size_t k = i; k < i + std::min<std::size_t>(size, 8); ++k) {
      if (std::abs(x[k]) < std::abs(pivot)) pivot = x[k];
    }
    const bool grows = static_cast<double>(i) < growing;
    state.sum = (mean - pivot) * (grows ? state.weight : 1.0 / options.alpha);
    run.decayed(x.data() + i, size, {keep, pivot, options.alpha, grows}, state, out + i);
    mean = out[i + size - 1];
    if (!std::isfinite(mean)) return false;
  }
  return true;
}

}  // namespace

Status decayed_row(std::span<const double> x, std::span<const Time> times, const DecayOptions& options, DecayStat stat,
                   double* out) noexcept {
  const bool timed = !times.empty();
  if (timed ? !(options.half_life > 0.0) : !(options.alpha > 0.0 && options.alpha <= 1.0)) return Status::out_of_range;
  if (x.empty()) return Status::ok;
  if (stat == DecayStat::mean && !timed && options.min_periods <= 1 && finite_mean(x, options, out)) return Status::ok;
  any_row(x, times, options, stat, out);
  return Status::ok;
}

}  // namespace fairlead
