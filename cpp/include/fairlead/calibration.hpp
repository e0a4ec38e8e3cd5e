// Calibration: do events given probability p happen with frequency p? Equal-width bins over [0, 1]; the expected
// calibration error of M. P. Naeini, G. F. Cooper, M. Hauskrecht, "Obtaining Well Calibrated Probabilities Using
// Bayesian Binning" (AAAI 2015): the mean over forecasts of |mean probability - observed frequency| of their bin.
//
// Precision: IEEE double sums, exact counts. Memory: 32 bytes a bin.
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

class Calibration {
 public:
  struct Bin {
    std::uint64_t n = 0;
    std::uint64_t happened = 0;
    double p_sum = 0.0;
    double low = 0.0;  // its lower edge

    double mean_p() const noexcept { return n ? p_sum / static_cast<double>(n) : nan; }
    double frequency() const noexcept { return n ? static_cast<double>(happened) / static_cast<double>(n) : nan; }
  };

  explicit Calibration(std::size_t bins = 10) : bins_(std::max<std::size_t>(bins, 1)) {
    for (std::size_t i = 0; i < bins_.size(); ++i) bins_[i].low = static_cast<double>(i) / static_cast<double>(bins_.size());
  }

  // Bin i holds p in [i / bins, (i + 1) / bins); p = 1 is in the last.
  Status add(double p, bool happened) noexcept {
    if (!(p >= 0.0 && p <= 1.0)) return Status::out_of_range;
    auto i = std::min(static_cast<std::size_t>(p * static_cast<double>(bins_.size())), bins_.size() - 1);
    // The product may round across an edge.
    if (p < bins_[i].low) {
      --i;
    } else if (i + 1 < bins_.size() && p >= bins_[i + 1].low) {
      ++i;
    }
    Bin& bin = bins_[i];
    ++bin.n;
    bin.happened += happened ? 1 : 0;
    bin.p_sum += p;
    return Status::ok;
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

 private:
  std::vector<Bin> bins_;
};

}  // namespace fairlead
