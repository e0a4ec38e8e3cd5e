// Population stability index: sum over bins of (q - p) ln(q / p), the symmetrised Kullback-Leibler divergence
// (H. Jeffreys 1946; in credit scoring: N. Siddiqi, "Credit Risk Scorecards", 2006). Below .1 calm, above .25 drift.
//
// Bins: quantiles of the reference by default (linear interpolation, as numpy), equal edges merged; outer edges are
// infinite; bin i holds edge[i-1] < x <= edge[i]; NaN has a bin of its own, which counts when either side has any.
// Smoothing: half a count is added to every bin (Krichevsky-Trofimov), so an empty bin is a large but finite term and
// the answer does not hang on an arbitrary epsilon.
// Precision: exact integer counts, IEEE double sums.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class Psi {
 public:
  static constexpr std::size_t default_bins = 10;
  static constexpr std::size_t max_bins = 255;

  // Fits quantile edges and reference counts. Needs at least one number that is not NaN.
  static Status fit(std::span<const double> reference, std::size_t bins, Psi& out) {
    if (bins < 2 || bins > max_bins) return Status::out_of_range;
    std::vector<double> sorted;
    sorted.reserve(reference.size());
    for (const double x : reference) {
      if (!std::isnan(x)) sorted.push_back(x);
    }
    if (sorted.empty()) return Status::wrong_length;
    std::sort(sorted.begin(), sorted.end());
    Psi fitted;
    for (std::size_t i = 1; i < bins; ++i) {
      const double edge = quantile(sorted, static_cast<double>(i) / static_cast<double>(bins));
      // An edge at the maximum would leave an empty bin above it.
      if ((fitted.edges_.empty() || edge > fitted.edges_.back()) && edge < sorted.back()) fitted.edges_.push_back(edge);
    }
    if (fitted.edges_.empty()) {
      // Nearly every value is the same: tell it from what is below and above.
      fitted.edges_ = {std::nextafter(sorted.back(), -std::numeric_limits<double>::infinity()), sorted.back()};
    }
    fitted.reference_.resize(fitted.size());
    fitted.count(reference, fitted.reference_);
    out = std::move(fitted);
    return Status::ok;
  }

  // Bins of numbers plus the one for NaN, which is the last.
  std::size_t size() const noexcept { return edges_.size() + 2; }
  std::span<const double> edges() const noexcept { return edges_; }
  std::span<const std::uint64_t> reference() const noexcept { return reference_; }

  std::size_t bin(double x) const noexcept {
    if (std::isnan(x)) return size() - 1;
    std::size_t above = 0;
    for (const double edge : edges_) above += x > edge ? 1 : 0;  // branch-free; faster than a search at 10 bins
    return above;
  }

  // Adds the sample's counts per bin to `counts`, of length size().
  void count(std::span<const double> sample, std::span<std::uint64_t> counts) const noexcept {
    for (const double x : sample) ++counts[bin(x)];
  }

  // The index, from counts per bin. `terms`, if not empty, receives each bin's contribution.
  double index(std::span<const std::uint64_t> live, std::span<double> terms = {}) const noexcept {
    const std::size_t nan_bin = size() - 1;
    const std::size_t used = reference_[nan_bin] + live[nan_bin] > 0 ? size() : nan_bin;
    double reference_total = 0.5 * static_cast<double>(used);
    double live_total = reference_total;
    for (std::size_t i = 0; i < used; ++i) {
      reference_total += static_cast<double>(reference_[i]);
      live_total += static_cast<double>(live[i]);
    }
    std::fill(terms.begin(), terms.end(), 0.0);
    double sum = 0.0;
    for (std::size_t i = 0; i < used; ++i) {
      const double p = (static_cast<double>(reference_[i]) + 0.5) / reference_total;
      const double q = (static_cast<double>(live[i]) + 0.5) / live_total;
      const double term = (q - p) * std::log(q / p);
      if (!terms.empty()) terms[i] = term;
      sum += term;
    }
    return sum;
  }

 private:
  static double quantile(const std::vector<double>& sorted, double q) noexcept {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double low = sorted[below];
    const double high = sorted[std::min(below + 1, sorted.size() - 1)];
    return low == high ? low : low + (high - low) * (at - static_cast<double>(below));
  }

  std::vector<double> edges_;
  std::vector<std::uint64_t> reference_;
};

// PSI of the last `window` values of a stream against its first `reference` values. O(1) a value.
class StreamingPsi {
 public:
  explicit StreamingPsi(std::size_t reference = 500, std::size_t window = 500, std::size_t bins = Psi::default_bins)
      : reference_(reference), bins_(bins), recent_(window) {}

  void add(double x) {
    if (!fitted_) {
      first_.push_back(x);
      if (first_.size() == reference_) finish_reference();
      return;
    }
    const auto code = static_cast<std::uint8_t>(psi_.bin(x));
    if (n_ == recent_.size()) {
      --counts_[recent_[next_]];
    } else {
      ++n_;
    }
    recent_[next_] = code;
    ++counts_[code];
    next_ = next_ + 1 == recent_.size() ? 0 : next_ + 1;
  }

  // NaN until the reference is complete and the window is full: a smaller window would read as drift by chance.
  double index() const noexcept { return fitted_ && n_ == recent_.size() ? psi_.index(counts_) : nan; }

 private:
  void finish_reference() {
    // All values NaN: wait for `reference` more rather than compare with nothing.
    fitted_ = Psi::fit(first_, bins_, psi_) == Status::ok;
    if (fitted_) counts_.assign(psi_.size(), 0);
    first_.clear();
    if (fitted_) first_.shrink_to_fit();
  }

  std::size_t reference_, bins_;
  bool fitted_ = false;
  Psi psi_;
  std::vector<double> first_;
  std::vector<std::uint8_t> recent_;
  std::vector<std::uint64_t> counts_;
  std::size_t n_ = 0, next_ = 0;
};

}  // namespace fairlead
