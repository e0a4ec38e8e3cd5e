#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace fairlead::kernels {
namespace {

struct Vec {
  static constexpr std::size_t width = 8, most = 3;
  static constexpr std::size_t rows[] = {0, 8, 6, 4, 2};  // 12 of 16 registers

  using Lanes = __m256;

  static __m256i first(std::size_t n) {
    alignas(32) static constexpr std::int32_t lanes[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(lanes + 8 - (n < 8 ? n : 8)));
  }
  static Lanes load(const float* p) { return _mm256_loadu_ps(p); }
  static Lanes load(const float* p, std::size_t n) { return _mm256_maskload_ps(p, first(n)); }
  static void store(Lanes v, float* p) { _mm256_storeu_ps(p, v); }
  static void store(Lanes v, float* p, std::size_t n) { _mm256_maskstore_ps(p, first(n), v); }
  static Lanes all(float x) { return _mm256_set1_ps(x); }
  static Lanes add(Lanes a, Lanes b) { return _mm256_add_ps(a, b); }
  static Lanes sub(Lanes a, Lanes b) { return _mm256_sub_ps(a, b); }
  static Lanes mul(Lanes a, Lanes b) { return _mm256_mul_ps(a, b); }
  static Lanes fused(Lanes a, Lanes b, Lanes c) { return _mm256_fmadd_ps(a, b, c); }
  static Lanes max(Lanes a, Lanes b) { return _mm256_max_ps(a, b); }
  // 2^y within 3e-7 of it, 0 below -126, something large above 127. y = n + r with |r| <= 1/2, 2^r by a polynomial (a
  // minimax fit of this project), and n goes straight into the exponent.
  static Lanes exp2(Lanes y) {
    y = _mm256_min_ps(all(127.0f), y);  // NaN stays
    const Lanes magic = all(0x1.8p23f);
    const Lanes shifted = add(y, magic);  // n in its last bits
    const Lanes r = sub(y, sub(shifted, magic));
    Lanes p = all(0x1.5c08e4p-10f);
    p = fused(p, r, all(0x1.3d0c52p-7f));
    p = fused(p, r, all(0x1.c6b6e4p-5f));
    p = fused(p, r, all(0x1.ebf918p-3f));
    p = fused(p, r, all(0x1.62e428p-1f));
    p = fused(p, r, all(0x1.000002p+0f));
    const __m256i n = _mm256_slli_epi32(_mm256_castps_si256(shifted), 23);
    const Lanes whole = _mm256_castsi256_ps(_mm256_add_epi32(_mm256_castps_si256(p), n));
    return _mm256_and_ps(_mm256_cmp_ps(y, all(-126.0f), _CMP_NLT_UQ), whole);
  }
  // Bit i: lane i is not within [least, most].
  static unsigned outside(Lanes x, float least, float most_) {
    const Lanes within = _mm256_and_ps(_mm256_cmp_ps(x, all(least), _CMP_GE_OQ), _mm256_cmp_ps(x, all(most_), _CMP_LE_OQ));
    return ~static_cast<unsigned>(_mm256_movemask_ps(within)) & 0xffu;
  }
  static Lanes div(Lanes a, Lanes b) { return _mm256_div_ps(a, b); }
  static Lanes where_above(Lanes x, Lanes y, Lanes yes, Lanes no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, y, _CMP_GT_OQ));
  }
  static Lanes where_equal(Lanes x, Lanes y, Lanes yes, Lanes no) {
    return _mm256_blendv_ps(no, yes, _mm256_cmp_ps(x, y, _CMP_EQ_OQ));
  }
  static Lanes first_or(Lanes a, std::size_t n, float rest) {
    return _mm256_blendv_ps(_mm256_set1_ps(rest), a, _mm256_castsi256_ps(first(n)));
  }
  static Lanes kept(Lanes a, const std::uint8_t* mask, std::size_t n, float rest) {
    std::uint8_t bytes[8] = {};
    for (std::size_t i = 0; i < n; ++i) bytes[i] = mask[i];
    const __m256i lanes = _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes)));
    return _mm256_blendv_ps(a, _mm256_set1_ps(rest), _mm256_castsi256_ps(_mm256_cmpeq_epi32(lanes, _mm256_setzero_si256())));
  }
  static Lanes split(Lanes x, Lanes& exponent) {
    const __m256i bits = _mm256_castps_si256(x);
    exponent = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srli_epi32(bits, 23), _mm256_set1_epi32(127)));
    return _mm256_castsi256_ps(_mm256_or_si256(_mm256_and_si256(bits, _mm256_set1_epi32(0x7fffff)), _mm256_set1_epi32(0x3f800000)));
  }

  // Joins the lanes of each row: lane i of the result is row i's.
  template <class Join>
  static Lanes fold(Lanes (&r)[8], const Join& join) {
    for (std::size_t i = 0; i < 4; ++i) r[i] = join(_mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]));
    for (std::size_t i = 0; i < 2; ++i)
      r[i] = join(_mm256_shuffle_ps(r[2 * i], r[2 * i + 1], 0x44), _mm256_shuffle_ps(r[2 * i], r[2 * i + 1], 0xee));
    return join(_mm256_permute2f128_ps(r[0], r[1], 0x20), _mm256_permute2f128_ps(r[0], r[1], 0x31));
  }

  // Four columns of 8 rows, row r at at(r): column c to out + c next. What is loaded is put in place at once, which spares
  // the one port that shuffles.
  template <class At>
  static void turn(const At& at, float* out, std::ptrdiff_t next) {
    const auto four = [&](std::size_t r) {
      return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(at(r))), _mm_loadu_ps(at(r + 4)), 1);
    };
    const Lanes r0 = four(0), r1 = four(1), r2 = four(2), r3 = four(3);
    const __m256d a = _mm256_castps_pd(_mm256_unpacklo_ps(r0, r1)), b = _mm256_castps_pd(_mm256_unpacklo_ps(r2, r3));
    const __m256d c = _mm256_castps_pd(_mm256_unpackhi_ps(r0, r1)), d = _mm256_castps_pd(_mm256_unpackhi_ps(r2, r3));
    store(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)), out);
    store(_mm256_castpd_ps(_mm256_unpackhi_pd(a, b)), out + next);
    store(_mm256_castpd_ps(_mm256_unpacklo_pd(c, d)), out + 2 * next);
    store(_mm256_castpd_ps(_mm256_unpackhi_pd(c, d)), out + 3 * next);
  }
};

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/attention_body.hpp"

namespace fairlead::kernels {

const AttentionKernels<float> attention_avx2 = {compiled_for, turn, forward, backward, multiply};

}  // namespace fairlead::kernels
