#include <immintrin.h>

#include "kernels/sliding.hpp"

namespace fairlead::kernels {
namespace {

struct V {
  __m256d lo, hi;
};

inline V load(const double* p) { return {_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)}; }
inline void store(double* p, V a) {
  _mm256_storeu_pd(p, a.lo);
  _mm256_storeu_pd(p + 4, a.hi);
}
inline V same(double a) { return {_mm256_set1_pd(a), _mm256_set1_pd(a)}; }
inline V operator+(V a, V b) { return {_mm256_add_pd(a.lo, b.lo), _mm256_add_pd(a.hi, b.hi)}; }
inline V operator-(V a, V b) { return {_mm256_sub_pd(a.lo, b.lo), _mm256_sub_pd(a.hi, b.hi)}; }
inline V operator*(V a, V b) { return {_mm256_mul_pd(a.lo, b.lo), _mm256_mul_pd(a.hi, b.hi)}; }
inline V operator/(V a, V b) { return {_mm256_div_pd(a.lo, b.lo), _mm256_div_pd(a.hi, b.hi)}; }
inline V root(V a) { return {_mm256_sqrt_pd(a.lo), _mm256_sqrt_pd(a.hi)}; }
inline V lower(V a, V b) { return {_mm256_min_pd(a.lo, b.lo), _mm256_min_pd(a.hi, b.hi)}; }
inline V upper(V a, V b) { return {_mm256_max_pd(a.lo, b.lo), _mm256_max_pd(a.hi, b.hi)}; }

// The upper half of a, then the lower half of b.
inline __m256d middle(__m256d a, __m256d b) { return _mm256_permute2f128_pd(a, b, 0x21); }

template <int k>
inline V up(V a, V fill) {
  const __m256d across = middle(a.lo, a.hi), into = middle(fill.lo, a.lo);
  if constexpr (k == 1) return {_mm256_shuffle_pd(into, a.lo, 5), _mm256_shuffle_pd(across, a.hi, 5)};
  if constexpr (k == 2) return {into, across};
  return {fill.lo, a.lo};
}
template <int k>
inline V down(V a, V fill) {
  const __m256d across = middle(a.lo, a.hi), into = middle(a.hi, fill.hi);
  if constexpr (k == 1) return {_mm256_shuffle_pd(a.lo, across, 5), _mm256_shuffle_pd(a.hi, into, 5)};
  if constexpr (k == 2) return {across, into};
  return {a.hi, fill.hi};
}
inline V first(V a) {
  const __m256d all = _mm256_broadcastsd_pd(_mm256_castpd256_pd128(a.lo));
  return {all, all};
}
inline V last(V a) {
  const __m256d all = _mm256_permute4x64_pd(a.hi, 0xff);
  return {all, all};
}
inline V gather(const double* base, const std::int64_t* at, std::int64_t from) {
  return {_mm256_set_pd(base[at[3] - from], base[at[2] - from], base[at[1] - from], base[at[0] - from]),
          _mm256_set_pd(base[at[7] - from], base[at[6] - from], base[at[5] - from], base[at[4] - from])};
}
inline V length(const std::int64_t* lo, const std::int64_t* hi) {
  double n[8];
  for (int i = 0; i < 8; ++i) n[i] = static_cast<double>(hi[i] - lo[i]);
  return load(n);
}
inline V where_less(V x, V y, V a, V b) {
  return {_mm256_blendv_pd(b.lo, a.lo, _mm256_cmp_pd(x.lo, y.lo, _CMP_LT_OQ)),
          _mm256_blendv_pd(b.hi, a.hi, _mm256_cmp_pd(x.hi, y.hi, _CMP_LT_OQ))};
}
inline bool any_less(V x, V y) {
  return _mm256_movemask_pd(
             _mm256_or_pd(_mm256_cmp_pd(x.lo, y.lo, _CMP_LT_OQ), _mm256_cmp_pd(x.hi, y.hi, _CMP_LT_OQ))) != 0;
}
inline bool any_nan(V x) {
  return _mm256_movemask_pd(
             _mm256_or_pd(_mm256_cmp_pd(x.lo, x.lo, _CMP_UNORD_Q), _mm256_cmp_pd(x.hi, x.hi, _CMP_UNORD_Q))) != 0;
}

// How many times are before each of eight bounds, the last the latest, counting on from k; returns the last.
inline std::size_t before_each(const std::int64_t* times, std::size_t k, const std::int64_t* bound,
                               std::int64_t* count) {
  const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bound));
  const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bound + 4));
  __m256i low_count = _mm256_set1_epi64x(static_cast<long long>(k)), high_count = low_count;
  for (; times[k] < bound[7]; ++k) {
    const __m256i time = _mm256_set1_epi64x(times[k]);
    low_count = _mm256_sub_epi64(low_count, _mm256_cmpgt_epi64(low, time));
    high_count = _mm256_sub_epi64(high_count, _mm256_cmpgt_epi64(high, time));
  }
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(count), low_count);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(count + 4), high_count);
  return k;
}

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/sliding_body.hpp"

namespace fairlead::kernels {
const SlidingKernels sliding_avx2 = sliding_table;
}
