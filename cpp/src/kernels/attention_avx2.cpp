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
  static Lanes whole(Lanes a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
  static Lanes times_two_to(Lanes a, Lanes n) {
    return _mm256_mul_ps(a, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23)));
  }
  static Lanes zero_below(Lanes x, float least, Lanes a) {
    return _mm256_and_ps(_mm256_cmp_ps(x, _mm256_set1_ps(least), _CMP_NLT_UQ), a);  // NaN stays
  }
  static float largest(Lanes v) {
    __m128 m = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    m = _mm_max_ps(m, _mm_movehl_ps(m, m));
    return _mm_cvtss_f32(_mm_max_ss(m, _mm_movehdup_ps(m)));
  }
  static float total(Lanes v) {
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
  }

  // Rows become columns.
  static void turn(Lanes (&r)[8]) {
    __m256 t[8], u[8];
    for (std::size_t i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (std::size_t i = 0; i < 8; i += 4) {
      u[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      u[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
      u[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      u[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      r[i] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x20);
      r[i + 4] = _mm256_permute2f128_ps(u[i], u[i + 4], 0x31);
    }
  }
};

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/attention_body.hpp"

namespace fairlead::kernels {

const AttentionKernels<float> attention_avx2 = {compiled_for, turn, forward, backward, multiply};

}  // namespace fairlead::kernels
