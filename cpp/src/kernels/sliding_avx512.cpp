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
inline V gather(const double* base, const std::int64_t* at, std::int64_t from) {
  return {_mm512_i64gather_pd(_mm512_sub_epi64(_mm512_loadu_si512(at), _mm512_set1_epi64(from)), base, 8)};
}
inline V length(const std::int64_t* lo, const std::int64_t* hi) {
  return {_mm512_cvtepi64_pd(_mm512_sub_epi64(_mm512_loadu_si512(hi), _mm512_loadu_si512(lo)))};
}
inline V where_less(V x, V y, V a, V b) {
  return {_mm512_mask_blend_pd(_mm512_cmp_pd_mask(x.v, y.v, _CMP_LT_OQ), b.v, a.v)};
}
inline bool any_less(V x, V y) { return _mm512_cmp_pd_mask(x.v, y.v, _CMP_LT_OQ) != 0; }
inline bool any_nan(V x) { return _mm512_cmp_pd_mask(x.v, x.v, _CMP_UNORD_Q) != 0; }

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/sliding_body.hpp"

namespace fairlead::kernels {
const SlidingKernels sliding_avx512 = sliding_table;
}
