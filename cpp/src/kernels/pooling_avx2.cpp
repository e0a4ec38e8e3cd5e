#include <immintrin.h>

#include "kernels/pooling_body.hpp"

namespace fairlead::kernels {
namespace {

typedef double Four __attribute__((vector_size(32)));
typedef std::uint64_t FourBits __attribute__((vector_size(32)));

template <>
struct Lanes<Four> {
  using Bits = FourBits;
  static constexpr std::size_t width = 4;
  static Four load(const double* p) { return static_cast<Four>(_mm256_loadu_pd(p)); }
  static Four load(const double* p, std::size_t stride) { return Four{p[0], p[stride], p[2 * stride], p[3 * stride]}; }
  static void turn(const double* p, std::size_t row, Four* out) {
    const __m256d a = _mm256_loadu_pd(p), b = _mm256_loadu_pd(p + row);
    const __m256d c = _mm256_loadu_pd(p + 2 * row), d = _mm256_loadu_pd(p + 3 * row);
    const __m256d ab = _mm256_unpacklo_pd(a, b), ba = _mm256_unpackhi_pd(a, b);
    const __m256d cd = _mm256_unpacklo_pd(c, d), dc = _mm256_unpackhi_pd(c, d);
    out[0] = static_cast<Four>(_mm256_permute2f128_pd(ab, cd, 0x20));
    out[1] = static_cast<Four>(_mm256_permute2f128_pd(ba, dc, 0x20));
    out[2] = static_cast<Four>(_mm256_permute2f128_pd(ab, cd, 0x31));
    out[3] = static_cast<Four>(_mm256_permute2f128_pd(ba, dc, 0x31));
  }
  static void store(Four x, double* p, std::size_t stride) {
    if (stride == 1) return _mm256_storeu_pd(p, static_cast<__m256d>(x));
    for (std::size_t l = 0; l < width; ++l) p[l * stride] = x[l];
  }
  static double get(Four x, std::size_t l) { return x[l]; }
  static void set(Four& x, std::size_t l, double value) { x[l] = value; }
};

}  // namespace

const PoolKernels pool_avx2 = {compiled_for, survey_of<Four>, linear_all<Four, false>, linear_all<Four, true>,
                                log_all<Four>, sorted_all<Four>};

}  // namespace fairlead::kernels
