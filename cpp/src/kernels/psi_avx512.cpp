#include <immintrin.h>

#include "kernels/psi.hpp"

namespace fairlead::kernels {

namespace {

// Lanes of double and of float under the same names.
struct Wide64 {
  using Number = double;
  using Mask = __mmask8;
  static constexpr std::size_t lanes = 8;
  __m512d v;
  static Wide64 load(const double* x) { return {_mm512_loadu_pd(x)}; }
  static Wide64 load(const double* x, Mask lanes_) { return {_mm512_maskz_loadu_pd(lanes_, x)}; }
  static Wide64 all(double x) { return {_mm512_set1_pd(x)}; }
  Mask above(Wide64 edge) const { return _mm512_cmp_pd_mask(v, edge.v, _CMP_GT_OQ); }
  Mask number() const { return _mm512_cmp_pd_mask(v, v, _CMP_ORD_Q); }
  static __m512i add(__m512i count, Mask where) {
    return _mm512_mask_add_epi64(count, where, count, _mm512_set1_epi64(1));
  }
  static std::uint64_t sum(__m512i count) { return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(count)); }
};

struct Wide32 {
  using Number = float;
  using Mask = __mmask16;
  static constexpr std::size_t lanes = 16;
  __m512 v;
  static Wide32 load(const float* x) { return {_mm512_loadu_ps(x)}; }
  static Wide32 load(const float* x, Mask lanes_) { return {_mm512_maskz_loadu_ps(lanes_, x)}; }
  static Wide32 all(float x) { return {_mm512_set1_ps(x)}; }
  Mask above(Wide32 edge) const { return _mm512_cmp_ps_mask(v, edge.v, _CMP_GT_OQ); }
  Mask number() const { return _mm512_cmp_ps_mask(v, v, _CMP_ORD_Q); }
  static __m512i add(__m512i count, Mask where) {
    return _mm512_mask_add_epi32(count, where, count, _mm512_set1_epi32(1));
  }
  static std::uint64_t sum(__m512i count) {
    const __m512i low = _mm512_cvtepu32_epi64(_mm512_castsi512_si256(count));
    const __m512i high = _mm512_cvtepu32_epi64(_mm512_extracti64x4_epi64(count, 1));
    return static_cast<std::uint64_t>(_mm512_reduce_add_epi64(_mm512_add_epi64(low, high)));
  }
};

// Edges and counters of a pass stay in registers: exactly `width` of them, as a spare one would cost a comparison.
static constexpr std::size_t most = 13;

template <class Wide, std::size_t width, bool first>
std::uint64_t pass(const typename Wide::Number* x, std::size_t n, const typename Wide::Number* edges,
                          std::uint64_t* above) {
  Wide edge[width > 0 ? width : 1];
  __m512i count[width > 0 ? width : 1];
  for (std::size_t e = 0; e < width; ++e) {
    edge[e] = Wide::all(edges[e]);
    count[e] = _mm512_setzero_si512();
  }
  __m512i numbers = _mm512_setzero_si512();
  const std::size_t whole = n / Wide::lanes * Wide::lanes;
  for (std::size_t i = 0; i < whole; i += Wide::lanes) {
    const Wide v = Wide::load(x + i);
    _mm_prefetch(reinterpret_cast<const char*>(x + i) + 4096, _MM_HINT_T0);  // hides memory where columns are long
    if (first) numbers = Wide::add(numbers, v.number());
    for (std::size_t e = 0; e < width; ++e) count[e] = Wide::add(count[e], v.above(edge[e]));
  }
  if (whole < n) {
    const auto lanes = static_cast<typename Wide::Mask>((1u << (n - whole)) - 1u);
    const Wide v = Wide::load(x + whole, lanes);
    if (first) numbers = Wide::add(numbers, static_cast<typename Wide::Mask>(v.number() & lanes));
    for (std::size_t e = 0; e < width; ++e) {
      count[e] = Wide::add(count[e], static_cast<typename Wide::Mask>(v.above(edge[e]) & lanes));
    }
  }
  for (std::size_t e = 0; e < width; ++e) above[e] += Wide::sum(count[e]);
  return first ? Wide::sum(numbers) : 0;
}

template <class Wide, std::size_t width, bool first>
std::uint64_t pass_of(std::size_t edges_left, const typename Wide::Number* x, std::size_t n,
                             const typename Wide::Number* edges, std::uint64_t* above) {
  if constexpr (width > 0) {
    if (edges_left < width) return pass_of<Wide, width - 1, first>(edges_left, x, n, edges, above);
  }
  return pass<Wide, width, first>(x, n, edges, above);
}

template <class Wide>
std::uint64_t count_above(const typename Wide::Number* x, std::size_t n, const typename Wide::Number* edges,
                                 std::size_t n_edges, std::uint64_t* above) {
  const std::uint64_t numbers = pass_of<Wide, most, true>(n_edges, x, n, edges, above);
  for (std::size_t done = most; done < n_edges; done += most) {
    (void)pass_of<Wide, most, false>(n_edges - done, x, n, edges + done, above + done);
  }
  return numbers;
}

template <std::size_t width>
void pass_rows(const double* x, std::size_t rows, std::size_t stride, const double* edges, std::uint64_t* above,
                      std::uint64_t* numbers, const double* ahead) {
  __m512d edge[width > 0 ? width : 1];
  __m512i count[width > 0 ? width : 1];
  for (std::size_t e = 0; e < width; ++e) {
    edge[e] = _mm512_loadu_pd(edges + 8 * e);
    count[e] = _mm512_loadu_si512(above + 8 * e);
  }
  __m512i ordered = numbers != nullptr ? _mm512_loadu_si512(numbers) : _mm512_setzero_si512();
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    if (ahead != nullptr) _mm_prefetch(reinterpret_cast<const char*>(ahead + 8 * r), _MM_HINT_T1);
    const __m512d v = _mm512_loadu_pd(x);
    ordered = Wide64::add(ordered, _mm512_cmp_pd_mask(v, v, _CMP_ORD_Q));
    for (std::size_t e = 0; e < width; ++e)
      count[e] = Wide64::add(count[e], _mm512_cmp_pd_mask(v, edge[e], _CMP_GT_OQ));
  }
  for (std::size_t e = 0; e < width; ++e) _mm512_storeu_si512(above + 8 * e, count[e]);
  if (numbers != nullptr) _mm512_storeu_si512(numbers, ordered);
}

template <std::size_t width>
void pass_rows_of(std::size_t edges_left, const double* x, std::size_t rows, std::size_t stride,
                         const double* edges, std::uint64_t* above, std::uint64_t* numbers, const double* ahead) {
  if constexpr (width > 0) {
    if (edges_left < width) return pass_rows_of<width - 1>(edges_left, x, rows, stride, edges, above, numbers, ahead);
  }
  pass_rows<width>(x, rows, stride, edges, above, numbers, ahead);
}

void count_above_rows(const double* x, std::size_t rows, std::size_t stride, const double* edges,
                             std::size_t n_edges, std::uint64_t* above, const double* ahead) {
  pass_rows_of<most>(n_edges, x, rows, stride, edges, above, above + 8 * n_edges, ahead);
  for (std::size_t done = most; done < n_edges; done += most) {
    pass_rows_of<most>(n_edges - done, x, rows, stride, edges + 8 * done, above + 8 * done, nullptr, nullptr);
  }
}

__m256i cells_of(__m512d v, __m512d low, __m512d scale, __m512d last) {
  const __m512d at = _mm512_mul_pd(_mm512_sub_pd(v, low), scale);
  // max and min give their second operand where the first is NaN.
  return _mm512_cvttpd_epi32(_mm512_min_pd(_mm512_max_pd(at, _mm512_setzero_pd()), last));
}

// GCC's own header converts a mask with a change of sign where it does not optimise.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"
void count_bins(const double* x, std::size_t n, const EdgeTable& table, std::uint32_t* counts) {
  const __m512d low = _mm512_set1_pd(table.cells.low), scale = _mm512_set1_pd(table.cells.scale);
  const __m512d last = _mm512_set1_pd(static_cast<double>(table.cells.last));
  const __m256i nan_bin = _mm256_set1_epi32(static_cast<int>(table.nan_bin));
  // Neighbours often share a bin: a counter for each of four lanes keeps one increment from waiting for the last.
  std::uint32_t lane[4][256];
  for (auto& row : lane) {
    for (std::uint32_t& c : row) c = 0;
  }
  alignas(32) std::uint32_t bins[8];
  for (std::size_t i = 0; i < n; i += 8) {
    const std::size_t left = n - i < 8 ? n - i : 8;
    const __m512d v = _mm512_maskz_loadu_pd(static_cast<__mmask8>((1u << left) - 1u), x + i);
    __m256i bin = _mm256_i32gather_epi32(reinterpret_cast<const int*>(table.first), cells_of(v, low, scale, last), 4);
    for (std::uint32_t step = (1u << table.steps) >> 1; step > 0; step >>= 1) {
      const __m512d edge = _mm512_i32gather_pd(bin, table.edges + step - 1, 8);
      bin = _mm256_mask_add_epi32(bin, _mm512_cmp_pd_mask(v, edge, _CMP_GT_OQ), bin,
                                  _mm256_set1_epi32(static_cast<int>(step)));
    }
    bin = _mm256_mask_mov_epi32(bin, _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q), nan_bin);
    _mm256_store_si256(reinterpret_cast<__m256i*>(bins), bin);
    if (left == 8) {
      for (std::size_t j = 0; j < 8; ++j) ++lane[j % 4][bins[j]];
    } else {
      for (std::size_t j = 0; j < left; ++j) ++lane[j % 4][bins[j]];
    }
  }
  for (std::size_t b = 0; b <= table.nan_bin; ++b) counts[b] += lane[0][b] + lane[1][b] + lane[2][b] + lane[3][b];
}
#pragma GCC diagnostic pop

void cells(const double* x, std::size_t n, const Cells& map, std::uint16_t* out) {
  const __m512d low = _mm512_set1_pd(map.low), scale = _mm512_set1_pd(map.scale);
  const __m512d last = _mm512_set1_pd(static_cast<double>(map.last));
  const __m256i nan_cell = _mm256_set1_epi32(static_cast<int>(map.last + 1));
  for (std::size_t i = 0; i < n; i += 8) {
    const auto lanes = static_cast<__mmask8>(n - i < 8 ? (1u << (n - i)) - 1u : 0xffu);
    const __m512d v = _mm512_maskz_loadu_pd(lanes, x + i);
    const __m256i cell =
        _mm256_mask_mov_epi32(cells_of(v, low, scale, last), _mm512_cmp_pd_mask(v, v, _CMP_UNORD_Q), nan_cell);
    _mm256_mask_cvtepi32_storeu_epi16(out + i, lanes, cell);
  }
}

}  // namespace

const PsiKernels psi_avx512 = {compiled_for,     count_above<Wide64>, count_above<Wide32>,
                               count_above_rows, count_bins,          cells};

}  // namespace fairlead::kernels
