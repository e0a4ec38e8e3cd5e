#include <immintrin.h>

#include "kernels/bradley_terry.hpp"

namespace fairlead::kernels {

// Cells and increments of 16 matches are computed in lanes, then added one by one: a scatter would have to look for
// repeated cells, and costs more than sixteen stores.
static std::size_t tally(const std::int32_t* i, const std::int32_t* j, const double* score, std::size_t n,
                         std::int32_t players, std::uint64_t* table) {
  alignas(64) std::uint32_t cell[16];
  alignas(64) std::uint64_t more[16];
  const __m512i zero = _mm512_setzero_si512(), end = _mm512_set1_epi32(players);
  const __m256i two = _mm256_set1_epi32(2);
  const __m512i one = _mm512_set1_epi64(1), bits = _mm512_set1_epi64(21);
  std::size_t k = 0;
  for (; k + 16 <= n; k += 16) {
    const __m512i first = _mm512_loadu_si512(i + k), second = _mm512_loadu_si512(j + k);
    const __m512i low = _mm512_min_epi32(first, second), high = _mm512_max_epi32(first, second);
    const __mmask16 known = _mm512_mask_cmplt_epi32_mask(_mm512_cmpge_epi32_mask(low, zero), high, end);
    const __mmask16 good = _mm512_mask_cmplt_epi32_mask(known, low, high);
    const __mmask16 swapped = _mm512_cmpgt_epi32_mask(first, second);
    __mmask8 fits = 0xff;
    for (int half = 0; half < 2; ++half) {
      const __m512d s = _mm512_loadu_pd(score + k + 8 * half);
      const __m512d twice = _mm512_add_pd(s, s);
      const __m256i whole = _mm512_cvttpd_epi32(twice);
      fits = _mm512_mask_cmp_pd_mask(fits, _mm512_cvtepi32_pd(whole), twice, _CMP_EQ_OQ);
      fits = _mm256_mask_cmple_epu32_mask(fits, whole, two);
      const auto flip = static_cast<__mmask8>(swapped >> (8 * half));
      const __m256i of_low = _mm256_mask_sub_epi32(whole, flip, two, whole);
      const __m512i shift = _mm512_mul_epu32(_mm512_cvtepu32_epi64(of_low), bits);
      _mm512_store_si512(more + 8 * half, _mm512_sllv_epi64(one, shift));
    }
    if (good != 0xffff || fits != 0xff) break;
    _mm512_store_si512(cell, _mm512_add_epi32(_mm512_mullo_epi32(low, end), high));
    for (int lane = 0; lane < 16; ++lane) table[cell[lane]] += more[lane];
  }
  return k + bradley_terry_scalar.tally(i + k, j + k, score + k, n - k, players, table);
}

// A tile of R rows and up to 16 columns, held in registers.
#define FAIRLEAD_TILE(R)                                                                                               \
  static void tile##R(std::size_t depth, const double* a, std::size_t a_stride, const double* b, std::size_t b_stride, \
                      double* c, std::size_t c_stride, __m512d sign, __mmask8 left, __mmask8 right) {                  \
    __m512d sum[R][2];                                                                                                 \
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm512_setzero_pd();                                           \
    for (std::size_t k = 0; k < depth; ++k) {                                                                          \
      const __m512d b0 = _mm512_maskz_loadu_pd(left, b + k * b_stride);                                                \
      const __m512d b1 = _mm512_maskz_loadu_pd(right, b + k * b_stride + 8);                                           \
      for (int r = 0; r < R; ++r) {                                                                                    \
        const __m512d factor = _mm512_set1_pd(a[k * a_stride + static_cast<std::size_t>(r)]);                          \
        sum[r][0] = _mm512_fmadd_pd(factor, b0, sum[r][0]);                                                            \
        sum[r][1] = _mm512_fmadd_pd(factor, b1, sum[r][1]);                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    for (int r = 0; r < R; ++r) {                                                                                      \
      double* const to = c + static_cast<std::size_t>(r) * c_stride;                                                   \
      _mm512_mask_storeu_pd(to, left, _mm512_fmadd_pd(sign, sum[r][0], _mm512_maskz_loadu_pd(left, to)));              \
      _mm512_mask_storeu_pd(to + 8, right, _mm512_fmadd_pd(sign, sum[r][1], _mm512_maskz_loadu_pd(right, to + 8)));    \
    }                                                                                                                  \
  }
FAIRLEAD_TILE(8)
FAIRLEAD_TILE(4)
FAIRLEAD_TILE(1)
#undef FAIRLEAD_TILE

static __mmask8 lanes(std::size_t n) {
  return n >= 8 ? static_cast<__mmask8>(0xff) : static_cast<__mmask8>((1u << n) - 1u);
}

static void product(std::size_t rows, std::size_t columns, std::size_t depth, const double* a, std::size_t a_stride,
                    const double* b, std::size_t b_stride, double* c, std::size_t c_stride, double sign, bool upper) {
  const __m512d s = _mm512_set1_pd(sign);
  for (std::size_t first = 0; first < columns; first += 16) {
    const std::size_t width = columns - first;
    const __mmask8 left = lanes(width), right = width > 8 ? lanes(width - 8) : static_cast<__mmask8>(0);
    const std::size_t last = upper && first + 16 < rows ? first + 16 : rows;
    std::size_t r = 0;
    for (; r + 8 <= last; r += 8)
      tile8(depth, a + r, a_stride, b + first, b_stride, c + r * c_stride + first, c_stride, s, left, right);
    for (; r + 4 <= last; r += 4)
      tile4(depth, a + r, a_stride, b + first, b_stride, c + r * c_stride + first, c_stride, s, left, right);
    for (; r < last; ++r)
      tile1(depth, a + r, a_stride, b + first, b_stride, c + r * c_stride + first, c_stride, s, left, right);
  }
}

static void gradients(const std::int32_t* i, const std::int32_t* j, std::size_t pairs, const double* n, const double* s,
                      const double* p, double* g) {
  for (std::size_t c = 0; c < pairs; ++c) {
    const auto a = 8 * static_cast<std::size_t>(i[c]), b = 8 * static_cast<std::size_t>(j[c]);
    const __m512d p_i = _mm512_loadu_pd(p + a), p_j = _mm512_loadu_pd(p + b);
    const __m512d expected = _mm512_div_pd(p_i, _mm512_add_pd(p_i, p_j));
    const __m512d r = _mm512_fnmadd_pd(_mm512_loadu_pd(n + 8 * c), expected, _mm512_loadu_pd(s + 8 * c));
    _mm512_storeu_pd(g + a, _mm512_add_pd(_mm512_loadu_pd(g + a), r));
    _mm512_storeu_pd(g + b, _mm512_sub_pd(_mm512_loadu_pd(g + b), r));
  }
}

const BradleyTerryKernels bradley_terry_avx512 = {compiled_for, tally, product, gradients};

}  // namespace fairlead::kernels
