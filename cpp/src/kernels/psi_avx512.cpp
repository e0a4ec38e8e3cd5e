#include <immintrin.h>

#include "kernels/psi.hpp"

namespace fairlead::kernels {

// Eight edges at a time, so that their counters stay in registers.
static std::uint64_t count_above(const double* x, std::size_t n, const double* edges, std::size_t n_edges,
                                 std::uint64_t* above) {
  const __m512i one = _mm512_set1_epi64(1);
  __m512i numbers = _mm512_setzero_si512();
  for (std::size_t first = 0; first == 0 || first < n_edges; first += 8) {
    const std::size_t width = n_edges - first < 8 ? n_edges - first : 8;
    __m512d edge[8];
    __m512i count[8];
    for (std::size_t e = 0; e < 8; ++e) {
      edge[e] = _mm512_set1_pd(e < width ? edges[first + e] : 0.0);
      count[e] = _mm512_setzero_si512();
    }
    for (std::size_t i = 0; i < n; i += 8) {
      const __mmask8 lanes = n - i >= 8 ? static_cast<__mmask8>(0xff) : static_cast<__mmask8>((1u << (n - i)) - 1u);
      const __m512d v = _mm512_maskz_loadu_pd(lanes, x + i);
      if (first == 0) numbers = _mm512_mask_add_epi64(numbers, _mm512_mask_cmp_pd_mask(lanes, v, v, _CMP_ORD_Q), numbers, one);
      for (std::size_t e = 0; e < 8; ++e) {
        count[e] = _mm512_mask_add_epi64(count[e], _mm512_mask_cmp_pd_mask(lanes, v, edge[e], _CMP_GT_OQ), count[e], one);
      }
    }
    for (std::size_t e = 0; e < width; ++e) above[first + e] += static_cast<std::uint64_t>(_mm512_reduce_add_epi64(count[e]));
  }
  return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(numbers));
}

const PsiKernels psi_avx512 = {compiled_for, count_above};

}  // namespace fairlead::kernels
