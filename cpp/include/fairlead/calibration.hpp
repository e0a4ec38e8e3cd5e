// Calibration: do events given probability p happen with frequency p? Equal-width bins over [0, 1]; the expected
// calibration error of M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using
// Bayesian Binning" (AAAI 2015): the mean over forecasts of |mean probability - observed frequency| of their bin.
//
// Precision: IEEE double sums, exact counts. Memory: 24 bytes a bin.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

// Bin i of `bins` holds p in [i / bins, (i + 1) / bins); p = 1 is in the last. p must be in [0, 1].
inline std::size_t equal_width_bin(double p, std::size_t bins) noexcept {
  const auto n = static_cast<double>(bins);
  const auto i = std::min(static_cast<std::size_t>(p * n), bins - 1);
  // The product may round across an edge.
  if (p < static_cast<double>(i) / n) return i - 1;
  return i + 1 < bins && p >= static_cast<double>(i + 1) / n ? i + 1 : i;
}

class Calibration {
 public:
  struct Bin {
    std::uint64_t n = 0;
    std::uint64_t happened = 0;
    double p_sum = 0.0;

    double mean_p() const noexcept { return n ? p_sum / static_cast<double>(n) : nan; }
    double frequency() const noexcept { return n ? static_cast<double>(happened) / static_cast<double>(n) : nan; }
  };

  static constexpr std::size_t default_bins = 10;

  explicit Calibration(std::size_t bins = default_bins) : bins_(std::max<std::size_t>(bins, 1)) {}

  Status add(double p, bool happened) noexcept {
    if (!(p >= 0.0 && p <= 1.0)) return Status::out_of_range;
    add_to(equal_width_bin(p, bins_.size()), p, happened);
    return Status::ok;
  }

  // The same where the bin is known, from another Calibration of as many bins.
  void add_to(std::size_t bin, double p, bool happened) noexcept {
    Bin& chosen = bins_[bin];
    ++chosen.n;
    chosen.happened += happened ? 1 : 0;
    chosen.p_sum += p;
  }

  std::span<const Bin> bins() const noexcept { return bins_; }

  std::uint64_t size() const noexcept {
    std::uint64_t n = 0;
    for (const Bin& bin : bins_) n += bin.n;
    return n;
  }

  // Expected calibration error, in [0, 1]; NaN while empty.
  double error() const noexcept {
    double gap = 0.0;
    for (const Bin& bin : bins_) {
      if (bin.n) gap += std::abs(bin.p_sum - static_cast<double>(bin.happened));
    }
    return gap / static_cast<double>(size());
  }

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  std::vector<Bin> bins_;
};

}  // namespace fairlead
