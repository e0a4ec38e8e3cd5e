#include <immintrin.h>

#include "kernels/bradley_terry.hpp"

namespace fairlead::kernels {

// Cells and increments of 8 matches are computed in lanes, then added one by one.
static std::size_t tally(const std::int32_t* i, const std::int32_t* j, const double* score, std::size_t n,
                         std::int32_t players, std::uint64_t* table) {
  alignas(32) std::uint32_t cell[8];
  alignas(32) std::uint64_t more[8];
  const __m256i minus_one = _mm256_set1_epi32(-1), end = _mm256_set1_epi32(players);
  const __m128i two = _mm_set1_epi32(2), below_zero = _mm_set1_epi32(-1), three = _mm_set1_epi32(3);
  const __m256i one = _mm256_set1_epi64x(1), bits = _mm256_set1_epi64x(21);
  std::size_t k = 0;
  for (; k + 8 <= n; k += 8) {
    const __m256i first = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(i + k));
    const __m256i second = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(j + k));
    const __m256i low = _mm256_min_epi32(first, second), high = _mm256_max_epi32(first, second);
    const __m256i known = _mm256_and_si256(_mm256_cmpgt_epi32(low, minus_one), _mm256_cmpgt_epi32(end, high));
    const __m256i good = _mm256_and_si256(known, _mm256_cmpgt_epi32(high, low));
    const __m256i swapped = _mm256_cmpgt_epi32(first, second);
    int fits = 0xf;
    for (int half = 0; half < 2; ++half) {
      const __m256d s = _mm256_loadu_pd(score + k + 4 * half);
      const __m256d twice = _mm256_add_pd(s, s);
      const __m128i whole = _mm256_cvttpd_epi32(twice);
      fits &= _mm256_movemask_pd(_mm256_cmp_pd(_mm256_cvtepi32_pd(whole), twice, _CMP_EQ_OQ));
      fits &= _mm_movemask_ps(
          _mm_castsi128_ps(_mm_and_si128(_mm_cmpgt_epi32(whole, below_zero), _mm_cmpgt_epi32(three, whole))));
      const __m128i flip = half == 0 ? _mm256_castsi256_si128(swapped) : _mm256_extracti128_si256(swapped, 1);
      const __m128i of_low = _mm_blendv_epi8(whole, _mm_sub_epi32(two, whole), flip);
      const __m256i shift = _mm256_mul_epu32(_mm256_cvtepu32_epi64(of_low), bits);
      _mm256_store_si256(reinterpret_cast<__m256i*>(more + 4 * half), _mm256_sllv_epi64(one, shift));
    }
    if (_mm256_movemask_ps(_mm256_castsi256_ps(good)) != 0xff || fits != 0xf) break;
    _mm256_store_si256(reinterpret_cast<__m256i*>(cell), _mm256_add_epi32(_mm256_mullo_epi32(low, end), high));
    for (int lane = 0; lane < 8; ++lane) table[cell[lane]] += more[lane];
  }
  return k + bradley_terry_scalar.tally(i + k, j + k, score + k, n - k, players, table);
}

// A tile of R rows and 8 columns, held in registers.
#define FAIRLEAD_TILE(R)                                                                                               \
  static void tile##R(std::size_t depth, const double* a, std::size_t a_stride, const double* b, std::size_t b_stride, \
                      double* c, std::size_t c_stride, __m256d sign) {                                                 \
    __m256d sum[R][2];                                                                                                 \
    for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = _mm256_setzero_pd();                                           \
    for (std::size_t k = 0; k < depth; ++k) {                                                                          \
      const __m256d b0 = _mm256_loadu_pd(b + k * b_stride), b1 = _mm256_loadu_pd(b + k * b_stride + 4);                \
      for (int r = 0; r < R; ++r) {                                                                                    \
        const __m256d factor = _mm256_set1_pd(a[k * a_stride + static_cast<std::size_t>(r)]);                          \
        sum[r][0] = _mm256_fmadd_pd(factor, b0, sum[r][0]);                                                            \
        sum[r][1] = _mm256_fmadd_pd(factor, b1, sum[r][1]);                                                            \
      }                                                                                                                \
    }                                                                                                                  \
    for (int r = 0; r < R; ++r) {                                                                                      \
      double* const to = c + static_cast<std::size_t>(r) * c_stride;                                                   \
      _mm256_storeu_pd(to, _mm256_fmadd_pd(sign, sum[r][0], _mm256_loadu_pd(to)));                                     \
      _mm256_storeu_pd(to + 4, _mm256_fmadd_pd(sign, sum[r][1], _mm256_loadu_pd(to + 4)));                             \
    }                                                                                                                  \
  }
FAIRLEAD_TILE(4)
FAIRLEAD_TILE(1)
#undef FAIRLEAD_TILE

static void product(std::size_t rows, std::size_t columns, std::size_t depth, const double* a, std::size_t a_stride,
                    const double* b, std::size_t b_stride, double* c, std::size_t c_stride, double sign, bool upper) {
  const __m256d s = _mm256_set1_pd(sign);
  std::size_t first = 0;
  for (; first + 8 <= columns; first += 8) {
    const std::size_t last = upper && first + 8 < rows ? first + 8 : rows;
    std::size_t r = 0;
    for (; r + 4 <= last; r += 4)
      tile4(depth, a + r, a_stride, b + first, b_stride, c + r * c_stride + first, c_stride, s);
    for (; r < last; ++r) tile1(depth, a + r, a_stride, b + first, b_stride, c + r * c_stride + first, c_stride, s);
  }
  for (; first < columns; ++first) {
    for (std::size_t r = 0; r < (upper && first + 1 < rows ? first + 1 : rows); ++r) {
      double sum = 0.0;
      for (std::size_t k = 0; k < depth; ++k) sum += a[k * a_stride + r] * b[k * b_stride + first];
      c[r * c_stride + first] += sign * sum;
    }
  }
}

static void gradients(const std::int32_t* i, const std::int32_t* j, std::size_t pairs, const double* n, const double* s,
                      const double* p, double* g) {
  for (std::size_t c = 0; c < pairs; ++c) {
    for (std::size_t half = 0; half < 8; half += 4) {
      const auto a = 8 * static_cast<std::size_t>(i[c]) + half, b = 8 * static_cast<std::size_t>(j[c]) + half;
      const __m256d p_i = _mm256_loadu_pd(p + a), p_j = _mm256_loadu_pd(p + b);
      const __m256d expected = _mm256_div_pd(p_i, _mm256_add_pd(p_i, p_j));
      const __m256d r =
          _mm256_fnmadd_pd(_mm256_loadu_pd(n + 8 * c + half), expected, _mm256_loadu_pd(s + 8 * c + half));
      _mm256_storeu_pd(g + a, _mm256_add_pd(_mm256_loadu_pd(g + a), r));
      _mm256_storeu_pd(g + b, _mm256_sub_pd(_mm256_loadu_pd(g + b), r));
    }
  }
}

const BradleyTerryKernels bradley_terry_avx2 = {compiled_for, tally, product, gradients};

}  // namespace fairlead::kernels
