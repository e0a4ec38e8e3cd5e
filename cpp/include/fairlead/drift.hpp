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
    std::vector<double> values(reference.begin(), reference.end());
    Psi fitted;
    fitted.reserve(bins);
    const Status status = fitted.refit(values, bins);
    if (status == Status::ok) out = std::move(fitted);
    return status;
  }

  // Takes now what refit(.., bins) will need.
  void reserve(std::size_t bins) {
    edges_.reserve(std::max<std::size_t>(bins, 2));
    reference_.reserve(bins + 2);
  }

  // The same in place: sorts `values`, and allocates nothing after reserve(bins). An error leaves this as it was.
  Status refit(std::span<double> values, std::size_t bins) {
    if (bins < 2 || bins > max_bins) return Status::out_of_range;
    const auto end = std::partition(values.begin(), values.end(), [](double x) { return !std::isnan(x); });
    const std::span<double> sorted(values.begin(), end);
    if (sorted.empty()) return Status::wrong_length;
    std::sort(sorted.begin(), sorted.end());
    edges_.clear();
    for (std::size_t i = 1; i < bins; ++i) {
      const double edge = quantile(sorted, static_cast<double>(i) / static_cast<double>(bins));
      // An edge at the maximum would leave an empty bin above it.
      if ((edges_.empty() || edge > edges_.back()) && edge < sorted.back()) edges_.push_back(edge);
    }
    if (edges_.empty()) {
      // Nearly every value is the same: tell it from what is below and above.
      edges_.push_back(std::nextafter(sorted.back(), -std::numeric_limits<double>::infinity()));
      edges_.push_back(sorted.back());
    }
    reference_.assign(size(), 0);
    count(values, reference_);
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
  void count(std::span<const double> sample, std::span<std::uint64_t> counts) const noexcept;

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
  static double quantile(std::span<const double> sorted, double q) noexcept {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double low = sorted[below];
    const double high = sorted[std::min(below + 1, sorted.size() - 1)];
    return low == high ? low : low + (high - low) * (at - static_cast<double>(below));
  }

  std::vector<double> edges_;
  std::vector<std::uint64_t> reference_;
};

// PSI of the last `window` values of a stream against its first `reference` values. O(1) a value, and no allocation after
// construction, but for the one value that completes the reference, which sorts it.
// Memory: 8 bytes a value of the reference, 1 byte a value of the window.
class StreamingPsi {
 public:
  explicit StreamingPsi(std::size_t reference = 500, std::size_t window = 500, std::size_t bins = Psi::default_bins)
      : reference_(std::max<std::size_t>(reference, 1)),
        bins_(std::clamp<std::size_t>(bins, 2, Psi::max_bins)),
        recent_(std::max<std::size_t>(window, 1)) {
    first_.reserve(reference_);
    psi_.reserve(bins_);
    counts_.reserve(bins_ + 2);
  }

  void add(double x) noexcept {
    if (!fitted_) {
      first_.push_back(x);  // within the capacity reserved above, as is everything below
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
  void finish_reference() noexcept {
    // All values NaN: wait for as many more rather than compare with nothing.
    fitted_ = psi_.refit(first_, bins_) == Status::ok;
    if (fitted_) counts_.assign(psi_.size(), 0);
    first_.clear();
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
