#include <immintrin.h>

#include "kernels/sliding.hpp"

namespace fairlead::kernels {
namespace {

struct V {
  __m512d v;
};

inline V load(const double* p) { return {_mm512_loadu_pd(p)}; }
inline void store(double* p, V a) { _mm512_storeu_pd(p, a.v); }
inline V same(double a) { return {_mm512_set1_pd(a)}; }
inline V operator+(V a, V b) { return {_mm512_add_pd(a.v, b.v)}; }
inline V operator-(V a, V b) { return {_mm512_sub_pd(a.v, b.v)}; }
inline V operator*(V a, V b) { return {_mm512_mul_pd(a.v, b.v)}; }
inline V operator/(V a, V b) { return {_mm512_div_pd(a.v, b.v)}; }
inline V root(V a) { return {_mm512_sqrt_pd(a.v)}; }
inline V lower(V a, V b) { return {_mm512_min_pd(a.v, b.v)}; }
inline V upper(V a, V b) { return {_mm512_max_pd(a.v, b.v)}; }
template <int k>
inline V up(V a, V fill) {
  return {_mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(a.v), _mm512_castpd_si512(fill.v), 8 - k))};
}
template <int k>
inline V down(V a, V fill) {
  return {_mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(fill.v), _mm512_castpd_si512(a.v), k))};
}
inline V first(V a) { return {_mm512_broadcastsd_pd(_mm512_castpd512_pd128(a.v))}; }
inline V last(V a) { return {_mm512_permutexvar_pd(_mm512_set1_epi64(7), a.v)}; }
// Without optimization GCC's gather is a macro that trips over its own mask.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
inline V gather(const double* base, const std::int64_t* at, std::int64_t from) {
  return {_mm512_i64gather_pd(_mm512_sub_epi64(_mm512_loadu_si512(at), _mm512_set1_epi64(from)), base, 8)};
}
#pragma GCC diagnostic pop
inline V length(const std::int64_t* lo, const std::int64_t* hi) {
  return {_mm512_cvtepi64_pd(_mm512_sub_epi64(_mm512_loadu_si512(hi), _mm512_loadu_si512(lo)))};
}
inline V where_less(V x, V y, V a, V b) {
  return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
}
inline bool any_less(V x, V y) { return _mm512_cmp_pd_mask(x.v, y.v, _CMP_LT_OQ) != 0; }
inline bool any_nan(V x) { return _mm512_cmp_pd_mask(x.v, x.v, _CMP_UNORD_Q) != 0; }

// How many times are before each of eight bounds, the last the latest, counting on from k; returns the last.
inline std::size_t before_each(const std::int64_t* times, std::size_t k, const std::int64_t* bound,
                               std::int64_t* count) {
  const __m512i bounds = _mm512_loadu_si512(bound), one = _mm512_set1_epi64(1);
  __m512i counts = _mm512_set1_epi64(static_cast<long long>(k));
  for (; times[k] < bound[7]; ++k) {
    counts = _mm512_mask_add_epi64(counts, _mm512_cmplt_epi64_mask(_mm512_set1_epi64(times[k]), bounds), counts, one);
  }
  _mm512_storeu_si512(count, counts);
  return k;
}

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/sliding_body.hpp"

namespace fairlead::kernels {
const SlidingKernels sliding_avx512 = sliding_table;
}
