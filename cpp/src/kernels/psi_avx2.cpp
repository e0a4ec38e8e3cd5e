#include <immintrin.h>

#include "kernels/psi.hpp"

namespace fairlead::kernels {

static std::uint64_t lanes_sum(__m256i v) {
  alignas(32) std::uint64_t lane[4];
  _mm256_store_si256(reinterpret_cast<__m256i*>(lane), v);
  return lane[0] + lane[1] + lane[2] + lane[3];
}

// Five edges at a time, so that edges and counters stay in the sixteen registers. A comparison gives -1, so it is subtracted.
static std::uint64_t count_above(const double* x, std::size_t n, const double* edges, std::size_t n_edges,
                                 std::uint64_t* above) {
  std::uint64_t numbers = 0;
  const std::size_t whole = n / 4 * 4;
  for (std::size_t first = 0; first == 0 || first < n_edges; first += 5) {
    const std::size_t width = n_edges - first < 5 ? n_edges - first : 5;
    __m256d edge[5];
    __m256i count[5];
    for (std::size_t e = 0; e < 5; ++e) {
      edge[e] = _mm256_set1_pd(e < width ? edges[first + e] : 0.0);
      count[e] = _mm256_setzero_si256();
    }
    __m256i ordered = _mm256_setzero_si256();
    for (std::size_t i = 0; i < whole; i += 4) {
      const __m256d v = _mm256_loadu_pd(x + i);
      if (first == 0) ordered = _mm256_sub_epi64(ordered, _mm256_castpd_si256(_mm256_cmp_pd(v, v, _CMP_ORD_Q)));
      for (std::size_t e = 0; e < 5; ++e) {
        count[e] = _mm256_sub_epi64(count[e], _mm256_castpd_si256(_mm256_cmp_pd(v, edge[e], _CMP_GT_OQ)));
      }
    }
    for (std::size_t e = 0; e < width; ++e) above[first + e] += lanes_sum(count[e]);
    numbers += lanes_sum(ordered);
  }
  for (std::size_t i = whole; i < n; ++i) {
    numbers += x[i] == x[i] ? 1 : 0;
    for (std::size_t e = 0; e < n_edges; ++e) above[e] += x[i] > edges[e] ? 1 : 0;
  }
  return numbers;
}

const PsiKernels psi_avx2 = {compiled_for, count_above};

}  // namespace fairlead::kernels
