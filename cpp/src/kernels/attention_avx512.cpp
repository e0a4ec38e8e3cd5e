#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace fairlead::kernels {
namespace {

struct Vec {
  static constexpr std::size_t width = 16, most = 4;
  static constexpr std::size_t rows[] = {0, 12, 12, 8, 6};  // 24 of 32 registers

  using Lanes = __m512;

  static __mmask16 first(std::size_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u); }
  static Lanes load(const float* p) { return _mm512_loadu_ps(p); }
  static Lanes load(const float* p, std::size_t n) { return _mm512_maskz_loadu_ps(first(n), p); }
  static void store(Lanes v, float* p) { _mm512_storeu_ps(p, v); }
  static void store(Lanes v, float* p, std::size_t n) { _mm512_mask_storeu_ps(p, first(n), v); }
  static Lanes all(float x) { return _mm512_set1_ps(x); }
  static Lanes add(Lanes a, Lanes b) { return _mm512_add_ps(a, b); }
  static Lanes sub(Lanes a, Lanes b) { return _mm512_sub_ps(a, b); }
  static Lanes mul(Lanes a, Lanes b) { return _mm512_mul_ps(a, b); }
  static Lanes fused(Lanes a, Lanes b, Lanes c) { return _mm512_fmadd_ps(a, b, c); }
  static Lanes max(Lanes a, Lanes b) { return _mm512_max_ps(a, b); }
  // 2^y within 3e-7 of it, 0 below -126: the part of y behind the point by a polynomial (a minimax fit of this project).
  static Lanes exp2(Lanes y) {
    const Lanes r = _mm512_reduce_ps(y, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);  // y - floor(y)
    Lanes p = all(0x1.ec320cp-10f);
    p = fused(p, r, all(0x1.26900cp-7f));
    p = fused(p, r, all(0x1.c95446p-5f));
    p = fused(p, r, all(0x1.ebd5a8p-3f));
    p = fused(p, r, all(0x1.62e4f6p-1f));
    p = fused(p, r, all(0x1.fffffep-1f));
    return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(y, all(-126.0f), _CMP_NLT_UQ), p, y);  // NaN stays
  }
  // Bit i: lane i is not within [least, most].
  static unsigned outside(Lanes x, float least, float most_) {
    return static_cast<unsigned>(static_cast<__mmask16>(~(_mm512_cmp_ps_mask(x, all(least), _CMP_GE_OQ) & _mm512_cmp_ps_mask(x, all(most_), _CMP_LE_OQ))));
  }
  static Lanes div(Lanes a, Lanes b) { return _mm512_div_ps(a, b); }
  static Lanes where_above(Lanes x, Lanes y, Lanes yes, Lanes no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, y, _CMP_GT_OQ), yes);
  }
  static Lanes where_equal(Lanes x, Lanes y, Lanes yes, Lanes no) {
    return _mm512_mask_mov_ps(no, _mm512_cmp_ps_mask(x, y, _CMP_EQ_OQ), yes);
  }
  static Lanes first_or(Lanes a, std::size_t n, float rest) { return _mm512_mask_mov_ps(_mm512_set1_ps(rest), first(n), a); }
  static Lanes kept(Lanes a, const std::uint8_t* mask, std::size_t n, float rest) {
    const __m128i bytes = _mm_maskz_loadu_epi8(first(n), mask);
    return _mm512_mask_mov_ps(_mm512_set1_ps(rest), _mm_test_epi8_mask(bytes, bytes), a);
  }
  static Lanes split(Lanes x, Lanes& exponent) {
    const __m512i bits = _mm512_castps_si512(x);
    exponent = _mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_srli_epi32(bits, 23), _mm512_set1_epi32(127)));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_and_si512(bits, _mm512_set1_epi32(0x7fffff)), _mm512_set1_epi32(0x3f800000)));
  }

  // Joins the lanes of each row: lane i of the result is row i's.
  template <class Join>
  static Lanes fold(Lanes (&r)[16], const Join& join) {
    for (std::size_t i = 0; i < 8; ++i) r[i] = join(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]), _mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
    for (std::size_t i = 0; i < 4; ++i) {
      const __m512d a = _mm512_castps_pd(r[2 * i]), b = _mm512_castps_pd(r[2 * i + 1]);
      r[i] = join(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
    }
    for (std::size_t n = 2; n > 0; n /= 2) {
      for (std::size_t i = 0; i < n; ++i)
        r[i] = join(_mm512_shuffle_f32x4(r[2 * i], r[2 * i + 1], 0x88), _mm512_shuffle_f32x4(r[2 * i], r[2 * i + 1], 0xdd));
    }
    return r[0];
  }

  // Four columns of 16 rows, row r at at(r): column c to out + c next. What is loaded is put in place at once, which spares
  // the one port that shuffles.
  template <class At>
  static void turn(const At& at, float* out, std::ptrdiff_t next) {
    const auto four = [&](std::size_t r) {
      __m512 x = _mm512_castps128_ps512(_mm_loadu_ps(at(r)));
      x = _mm512_mask_broadcast_f32x4(x, 0x00f0, _mm_loadu_ps(at(r + 4)));
      x = _mm512_mask_broadcast_f32x4(x, 0x0f00, _mm_loadu_ps(at(r + 8)));
      return _mm512_mask_broadcast_f32x4(x, 0xf000, _mm_loadu_ps(at(r + 12)));
    };
    const Lanes r0 = four(0), r1 = four(1), r2 = four(2), r3 = four(3);
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r0, r1)), b = _mm512_castps_pd(_mm512_unpacklo_ps(r2, r3));
    const __m512d c = _mm512_castps_pd(_mm512_unpackhi_ps(r0, r1)), d = _mm512_castps_pd(_mm512_unpackhi_ps(r2, r3));
    store(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)), out);
    store(_mm512_castpd_ps(_mm512_unpackhi_pd(a, b)), out + next);
    store(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)), out + 2 * next);
    store(_mm512_castpd_ps(_mm512_unpackhi_pd(c, d)), out + 3 * next);
  }
};

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/attention_body.hpp"

namespace fairlead::kernels {

const AttentionKernels<float> attention_avx512 = {compiled_for, turn, forward, backward, multiply};

}  // namespace fairlead::kernels
