// Counting values above each edge of a Psi. Every level gives the same counts: comparisons are exact.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

struct PsiKernels {
  Simd level;
  // above[e] += how many x are > edges[e]; the return value is how many x are not NaN.
  std::uint64_t (*count_above)(const double* x, std::size_t n, const double* edges, std::size_t n_edges,
                               std::uint64_t* above);
};

extern const PsiKernels psi_scalar, psi_avx2, psi_avx512;

}  // namespace fairlead::kernels
