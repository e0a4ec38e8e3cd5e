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
  static void store(Four x, double* p, std::size_t stride) {
    if (stride == 1) return _mm256_storeu_pd(p, static_cast<__m256d>(x));
    for (std::size_t l = 0; l < width; ++l) p[l * stride] = x[l];
  }
  static double get(Four x, std::size_t l) { return x[l]; }
  static void set(Four& x, std::size_t l, double value) { x[l] = value; }
};

}  // namespace

const PoolKernels pool_avx2 = {compiled_for, survey_of<Four>, linear_all<Four>, log_all<Four>, sorted_all<Four>};

}  // namespace fairlead::kernels
