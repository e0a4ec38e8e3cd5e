#include <immintrin.h>

#include "kernels/sweep.hpp"

namespace fairlead::kernels {

static inline __m256d coefficient(std::size_t n) { return _mm256_set1_pd(sweep_exp2[n]); }

struct Lanes {
  __m256d k, exponent, home, product, doublings, linear, brier;
};

template <bool each, bool weighted>
static inline void play(const SweepBlock& b, Lanes& v, std::size_t m, std::size_t at) {
  double* const first = b.ratings + static_cast<std::size_t>(b.i[m]) * sweep_lanes + at;
  double* const second = b.ratings + static_cast<std::size_t>(b.j[m]) * sweep_lanes + at;
  const double* const score = b.score + m * b.score_stride;
  const __m256d one = _mm256_set1_pd(1.0);
  const __m256d ri = _mm256_load_pd(first), rj = _mm256_load_pd(second);
  __m256d x = _mm256_fmadd_pd(_mm256_sub_pd(rj, ri), v.exponent, v.home);
  x = _mm256_min_pd(x, _mm256_set1_pd(sweep_most_doublings));
  x = _mm256_max_pd(x, _mm256_set1_pd(-sweep_most_doublings));
  const __m256d round = _mm256_set1_pd(sweep_round);
  const __m256d shifted = _mm256_add_pd(x, round);
  const __m256d r = _mm256_sub_pd(x, _mm256_sub_pd(shifted, round));
  const __m256d r2 = _mm256_mul_pd(r, r);
  __m256d even = _mm256_fmadd_pd(coefficient(10), r2, coefficient(8));
  __m256d odd = _mm256_fmadd_pd(coefficient(9), r2, coefficient(7));
  even = _mm256_fmadd_pd(even, r2, coefficient(6));
  odd = _mm256_fmadd_pd(odd, r2, coefficient(5));
  even = _mm256_fmadd_pd(even, r2, coefficient(4));
  odd = _mm256_fmadd_pd(odd, r2, coefficient(3));
  even = _mm256_fmadd_pd(even, r2, coefficient(2));
  odd = _mm256_fmadd_pd(odd, r2, coefficient(1));
  even = _mm256_fmadd_pd(even, r2, coefficient(0));
  const __m256d p = _mm256_fmadd_pd(odd, r, even);
  const __m256i power = _mm256_slli_epi64(_mm256_castpd_si256(shifted), 52);
  const __m256d odds = _mm256_castsi256_pd(_mm256_add_epi64(_mm256_castpd_si256(p), power));
  const __m256d last_bit = _mm256_castsi256_pd(_mm256_set1_epi64x(1));  // see the scalar kernel
  const __m256d base = _mm256_andnot_pd(last_bit, _mm256_add_pd(one, odds));
  const __m256d s = each ? _mm256_loadu_pd(score + at) : _mm256_set1_pd(*score);
  const __m256d surprise = _mm256_sub_pd(s, _mm256_div_pd(one, base));
  const __m256d change = weighted ? _mm256_mul_pd(v.k, _mm256_set1_pd(b.weight[m])) : v.k;
  _mm256_store_pd(first, _mm256_fmadd_pd(change, surprise, ri));
  _mm256_store_pd(second, _mm256_fnmadd_pd(change, surprise, rj));
  v.brier = _mm256_fmadd_pd(surprise, surprise, v.brier);
  v.linear = _mm256_fmadd_pd(_mm256_sub_pd(one, s), x, v.linear);
  v.product = _mm256_mul_pd(v.product, base);
}

static inline void carry(Lanes& v) {
  const __m256i bits = _mm256_castpd_si256(v.product);
  // The exponent as a double: 2^52 + it, less 2^52 + 1023.
  const __m256i exponent = _mm256_or_si256(_mm256_srli_epi64(bits, 52), _mm256_castpd_si256(_mm256_set1_pd(0x1p52)));
  v.doublings =
      _mm256_add_pd(v.doublings, _mm256_sub_pd(_mm256_castsi256_pd(exponent), _mm256_set1_pd(0x1p52 + 1023.0)));
  const __m256i mantissa = _mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff));
  v.product = _mm256_castsi256_pd(_mm256_or_si256(mantissa, _mm256_castpd_si256(_mm256_set1_pd(1.0))));
}

static inline Lanes lanes_of(const SweepBlock& b, std::size_t at) {
  return {_mm256_loadu_pd(b.k + at),       _mm256_loadu_pd(b.exponent + at),  _mm256_loadu_pd(b.home + at),
          _mm256_loadu_pd(b.product + at), _mm256_loadu_pd(b.doublings + at), _mm256_loadu_pd(b.linear + at),
          _mm256_loadu_pd(b.brier + at)};
}

static inline void store(SweepBlock& b, const Lanes& v, std::size_t at) {
  _mm256_storeu_pd(b.product + at, v.product);
  _mm256_storeu_pd(b.doublings + at, v.doublings);
  _mm256_storeu_pd(b.linear + at, v.linear);
  _mm256_storeu_pd(b.brier + at, v.brier);
}

// The first four lanes, then the other four: both at once would need twice the registers there are.
template <bool each, bool weighted>
static void run_all(SweepBlock& b) {
  for (std::size_t at = 0; at < sweep_lanes; at += 4) {
    Lanes v = lanes_of(b, at);
    std::size_t m = 0;
    for (; m + 4 <= b.n; m += 4) {
      for (std::size_t k = 0; k < 4; ++k) play<each, weighted>(b, v, m + k, at);
      carry(v);
    }
    for (; m < b.n; ++m) play<each, weighted>(b, v, m, at);
    carry(v);
    store(b, v, at);
  }
}

static void run(SweepBlock& b) {
  if (b.weight != nullptr) {
    b.score_each ? run_all<true, true>(b) : run_all<false, true>(b);
  } else {
    b.score_each ? run_all<true, false>(b) : run_all<false, false>(b);
  }
}

const SweepKernels sweep_avx2 = {compiled_for, run};

}  // namespace fairlead::kernels
