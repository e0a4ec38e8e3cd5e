#include <immintrin.h>

#include "kernels/sweep.hpp"

#if defined(__GNUC__) && !defined(__clang__) && !defined(__OPTIMIZE__)
#pragma GCC diagnostic ignored \
    "-Wsign-conversion"  // GCC's own macros for range, getexp and getmant, without optimisation
#endif

namespace fairlead::kernels {

// 1 / x, correctly rounded, for x in [1, 2^251]: two steps of Newton's kind to within an ulp, then one in which the
// error is exact.
static inline __m512d reciprocal(__m512d x) {
  const __m512d one = _mm512_set1_pd(1.0);
  __m512d y = _mm512_rcp14_pd(x);
  __m512d e = _mm512_fnmadd_pd(x, y, one);
  y = _mm512_fmadd_pd(y, _mm512_fmadd_pd(e, e, e), y);
  e = _mm512_fnmadd_pd(x, y, one);
  y = _mm512_fmadd_pd(y, e, y);
  e = _mm512_fnmadd_pd(x, y, one);
  return _mm512_fmadd_pd(y, e, y);
}

static inline __m512d coefficient(std::size_t n) { return _mm512_set1_pd(sweep_exp2[n]); }

struct Lanes {
  __m512d k, exponent, home, product, doublings, linear, brier;
};

template <bool each, bool weighted>
static inline void play(const SweepBlock& b, Lanes& v, std::size_t m) {
  double* const first = b.ratings + static_cast<std::size_t>(b.i[m]) * sweep_lanes;
  double* const second = b.ratings + static_cast<std::size_t>(b.j[m]) * sweep_lanes;
  const double* const score = b.score + m * b.score_stride;
  const __m512d one = _mm512_set1_pd(1.0);
  const __m512d ri = _mm512_load_pd(first), rj = _mm512_load_pd(second);
  __m512d x = _mm512_fmadd_pd(_mm512_sub_pd(rj, ri), v.exponent, v.home);
  x = _mm512_range_pd(x, _mm512_set1_pd(sweep_most_doublings), 2);  // the smaller size, with the sign of x
  const __m512d round = _mm512_set1_pd(sweep_round);
  const __m512d shifted = _mm512_add_pd(x, round);
  const __m512d r = _mm512_sub_pd(x, _mm512_sub_pd(shifted, round));
  const __m512d r2 = _mm512_mul_pd(r, r);
  __m512d even = _mm512_fmadd_pd(coefficient(10), r2, coefficient(8));
  __m512d odd = _mm512_fmadd_pd(coefficient(9), r2, coefficient(7));
  even = _mm512_fmadd_pd(even, r2, coefficient(6));
  odd = _mm512_fmadd_pd(odd, r2, coefficient(5));
  even = _mm512_fmadd_pd(even, r2, coefficient(4));
  odd = _mm512_fmadd_pd(odd, r2, coefficient(3));
  even = _mm512_fmadd_pd(even, r2, coefficient(2));
  odd = _mm512_fmadd_pd(odd, r2, coefficient(1));
  even = _mm512_fmadd_pd(even, r2, coefficient(0));
  const __m512d p = _mm512_fmadd_pd(odd, r, even);
  const __m512i power = _mm512_slli_epi64(_mm512_castpd_si512(shifted), 52);
  const __m512d odds = _mm512_castsi512_pd(_mm512_add_epi64(_mm512_castpd_si512(p), power));
  const __m512d last_bit = _mm512_castsi512_pd(_mm512_set1_epi64(1));  // see the scalar kernel
  const __m512d base = _mm512_andnot_pd(last_bit, _mm512_add_pd(one, odds));
  const __m512d s = each ? _mm512_loadu_pd(score) : _mm512_set1_pd(*score);
  const __m512d surprise = _mm512_sub_pd(s, reciprocal(base));
  const __m512d change = weighted ? _mm512_mul_pd(v.k, _mm512_set1_pd(b.weight[m])) : v.k;
  _mm512_store_pd(first, _mm512_fmadd_pd(change, surprise, ri));
  _mm512_store_pd(second, _mm512_fnmadd_pd(change, surprise, rj));
  v.brier = _mm512_fmadd_pd(surprise, surprise, v.brier);
  v.linear = _mm512_fmadd_pd(_mm512_sub_pd(one, s), x, v.linear);
  v.product = _mm512_mul_pd(v.product, base);
}

static inline void carry(Lanes& v) {
  v.doublings = _mm512_add_pd(v.doublings, _mm512_getexp_pd(v.product));
  v.product = _mm512_getmant_pd(v.product, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_zero);
}

template <bool each, bool weighted>
static void run_all(SweepBlock& b) {
  Lanes v{_mm512_loadu_pd(b.k),       _mm512_loadu_pd(b.exponent),  _mm512_loadu_pd(b.home),
          _mm512_loadu_pd(b.product), _mm512_loadu_pd(b.doublings), _mm512_loadu_pd(b.linear),
          _mm512_loadu_pd(b.brier)};
  std::size_t m = 0;
  for (; m + 4 <= b.n; m += 4) {
    for (std::size_t k = 0; k < 4; ++k) play<each, weighted>(b, v, m + k);
    carry(v);
  }
  for (; m < b.n; ++m) play<each, weighted>(b, v, m);
  carry(v);
  _mm512_storeu_pd(b.product, v.product);
  _mm512_storeu_pd(b.doublings, v.doublings);
  _mm512_storeu_pd(b.linear, v.linear);
  _mm512_storeu_pd(b.brier, v.brier);
}

static void run(SweepBlock& b) {
  if (b.weight != nullptr) {
    b.score_each ? run_all<true, true>(b) : run_all<false, true>(b);
  } else {
    b.score_each ? run_all<true, false>(b) : run_all<false, false>(b);
  }
}

const SweepKernels sweep_avx512 = {compiled_for, run};

}  // namespace fairlead::kernels
