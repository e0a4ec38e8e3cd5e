#include "fairlead/drift.hpp"

#include <array>

#include "kernels/dispatch.hpp"
#include "kernels/psi.hpp"

namespace fairlead {

void Psi::count(std::span<const double> sample, std::span<std::uint64_t> counts) const noexcept {
  const auto& kernels = kernels::select(kernels::psi_scalar, kernels::psi_avx2, kernels::psi_avx512);
  std::array<std::uint64_t, max_bins> above{};
  const std::uint64_t numbers = kernels.count_above(sample.data(), sample.size(), edges_.data(), edges_.size(), above.data());
  std::uint64_t more = numbers;
  for (std::size_t i = 0; i < edges_.size(); ++i) {
    counts[i] += more - above[i];
    more = above[i];
  }
  counts[edges_.size()] += more;
  counts[size() - 1] += sample.size() - numbers;
}

}  // namespace fairlead
