#include <immintrin.h>

#include "kernels/pooling_body.hpp"

namespace fairlead::kernels {
namespace {

typedef double Eight __attribute__((vector_size(64)));
typedef std::uint64_t EightBits __attribute__((vector_size(64)));

template <>
struct Lanes<Eight> {
  using Bits = EightBits;
  static constexpr std::size_t width = 8;
  static Eight load(const double* p) { return static_cast<Eight>(_mm512_loadu_pd(p)); }
  static Eight load(const double* p, std::size_t stride) {
    if (stride == 1) return load(p);
    // Faster than a gather, which merges into its target and so waits for the last use of that register.
    return Eight{p[0],          p[stride],     p[2 * stride], p[3 * stride],
                 p[4 * stride], p[5 * stride], p[6 * stride], p[7 * stride]};
  }
  static void turn(const double* p, std::size_t row, Eight* out) {
    __m512d pair[8];  // entries 0 2 4 6 of two rows, then 1 3 5 7
    for (std::size_t l = 0; l < 8; l += 2) {
      const __m512d a = _mm512_loadu_pd(p + l * row), b = _mm512_loadu_pd(p + (l + 1) * row);
      pair[l] = _mm512_unpacklo_pd(a, b);
      pair[l + 1] = _mm512_unpackhi_pd(a, b);
    }
    for (std::size_t l = 0; l < 2; ++l) {
      const __m512d near_low = _mm512_shuffle_f64x2(pair[l], pair[l + 2], 0x88);
      const __m512d near_high = _mm512_shuffle_f64x2(pair[l + 4], pair[l + 6], 0x88);
      const __m512d far_low = _mm512_shuffle_f64x2(pair[l], pair[l + 2], 0xdd);
      const __m512d far_high = _mm512_shuffle_f64x2(pair[l + 4], pair[l + 6], 0xdd);
      out[l] = static_cast<Eight>(_mm512_shuffle_f64x2(near_low, near_high, 0x88));
      out[l + 4] = static_cast<Eight>(_mm512_shuffle_f64x2(near_low, near_high, 0xdd));
      out[l + 2] = static_cast<Eight>(_mm512_shuffle_f64x2(far_low, far_high, 0x88));
      out[l + 6] = static_cast<Eight>(_mm512_shuffle_f64x2(far_low, far_high, 0xdd));
    }
  }
  static void store(Eight x, double* p, std::size_t stride) {
    if (stride == 1) return _mm512_storeu_pd(p, static_cast<__m512d>(x));
    for (std::size_t l = 0; l < width; ++l) p[l * stride] = x[l];
  }
  static double get(Eight x, std::size_t l) { return x[l]; }
  static void set(Eight& x, std::size_t l, double value) { x[l] = value; }
};

}  // namespace

const PoolKernels pool_avx512 = {compiled_for, survey_of<Eight>, linear_all<Eight, false>, linear_all<Eight, true>,
                                log_all<Eight>, sorted_all<Eight>};

}  // namespace fairlead::kernels
