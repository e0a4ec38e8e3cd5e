#include <immintrin.h>

#include "kernels/psi.hpp"

namespace fairlead::kernels {

namespace {

// Lanes of double and of float under the same names. A comparison gives -1, so it is subtracted.
struct Wide64 {
  using Number = double;
  static constexpr std::size_t lanes = 4;
  __m256d v;
  static Wide64 load(const double* x) { return {_mm256_loadu_pd(x)}; }
  static Wide64 all(double x) { return {_mm256_set1_pd(x)}; }
  __m256i above(Wide64 edge) const { return _mm256_castpd_si256(_mm256_cmp_pd(v, edge.v, _CMP_GT_OQ)); }
  __m256i number() const { return _mm256_castpd_si256(_mm256_cmp_pd(v, v, _CMP_ORD_Q)); }
  static __m256i add(__m256i count, __m256i where) { return _mm256_sub_epi64(count, where); }
  static std::uint64_t sum(__m256i count) {
    alignas(32) std::uint64_t lane[4];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lane), count);
    return lane[0] + lane[1] + lane[2] + lane[3];
  }
};

struct Wide32 {
  using Number = float;
  static constexpr std::size_t lanes = 8;
  __m256 v;
  static Wide32 load(const float* x) { return {_mm256_loadu_ps(x)}; }
  static Wide32 all(float x) { return {_mm256_set1_ps(x)}; }
  __m256i above(Wide32 edge) const { return _mm256_castps_si256(_mm256_cmp_ps(v, edge.v, _CMP_GT_OQ)); }
  __m256i number() const { return _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_ORD_Q)); }
  static __m256i add(__m256i count, __m256i where) { return _mm256_sub_epi32(count, where); }
  static std::uint64_t sum(__m256i count) {
    alignas(32) std::uint32_t lane[8];
    _mm256_store_si256(reinterpret_cast<__m256i*>(lane), count);
    std::uint64_t total = 0;
    for (const std::uint32_t c : lane) total += c;
    return total;
  }
};

// Counters of a pass stay in registers, edges in the first-level cache.
static constexpr std::size_t most = 12;

template <class Wide, std::size_t width, bool first>
std::uint64_t pass(const typename Wide::Number* x, std::size_t n, const typename Wide::Number* edges,
                          std::uint64_t* above) {
  Wide edge[width > 0 ? width : 1];
  __m256i count[width > 0 ? width : 1];
  for (std::size_t e = 0; e < width; ++e) {
    edge[e] = Wide::all(edges[e]);
    count[e] = _mm256_setzero_si256();
  }
  __m256i ordered = _mm256_setzero_si256();
  const std::size_t whole = n / Wide::lanes * Wide::lanes;
  for (std::size_t i = 0; i < whole; i += Wide::lanes) {
    const Wide v = Wide::load(x + i);
    _mm_prefetch(reinterpret_cast<const char*>(x + i) + 4096, _MM_HINT_T0);  // hides memory where columns are long
    if (first) ordered = Wide::add(ordered, v.number());
    for (std::size_t e = 0; e < width; ++e) count[e] = Wide::add(count[e], v.above(edge[e]));
  }
  std::uint64_t numbers = first ? Wide::sum(ordered) : 0;
  for (std::size_t e = 0; e < width; ++e) above[e] += Wide::sum(count[e]);
  for (std::size_t i = whole; i < n; ++i) {
    if (first) numbers += x[i] == x[i] ? 1 : 0;
    for (std::size_t e = 0; e < width; ++e) above[e] += x[i] > edges[e] ? 1 : 0;
  }
  return numbers;
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
  __m256d edge[width > 0 ? width : 1];
  __m256i count[width > 0 ? width : 1];
  for (std::size_t e = 0; e < width; ++e) {
    edge[e] = _mm256_loadu_pd(edges + 8 * e);
    count[e] = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(above + 8 * e));
  }
  __m256i ordered = _mm256_setzero_si256();
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    if (ahead != nullptr) _mm_prefetch(reinterpret_cast<const char*>(ahead + 8 * r), _MM_HINT_T1);
    const __m256d v = _mm256_loadu_pd(x);
    ordered = _mm256_sub_epi64(ordered, _mm256_castpd_si256(_mm256_cmp_pd(v, v, _CMP_ORD_Q)));
    for (std::size_t e = 0; e < width; ++e) {
      count[e] = _mm256_sub_epi64(count[e], _mm256_castpd_si256(_mm256_cmp_pd(v, edge[e], _CMP_GT_OQ)));
    }
  }
  for (std::size_t e = 0; e < width; ++e) _mm256_storeu_si256(reinterpret_cast<__m256i*>(above + 8 * e), count[e]);
  if (numbers == nullptr) return;
  const __m256i before = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(numbers));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(numbers), _mm256_add_epi64(before, ordered));
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
  for (std::size_t half = 0; half < 8; half += 4) {
    pass_rows_of<most>(n_edges, x + half, rows, stride, edges + half, above + half, above + 8 * n_edges + half,
                       half == 0 ? ahead : nullptr);
    for (std::size_t done = most; done < n_edges; done += most) {
      pass_rows_of<most>(n_edges - done, x + half, rows, stride, edges + 8 * done + half, above + 8 * done + half,
                         nullptr, nullptr);
    }
  }
}

__m128i cells_of(__m256d v, __m256d low, __m256d scale, __m256d last) {
  const __m256d at = _mm256_mul_pd(_mm256_sub_pd(v, low), scale);
  // max and min give their second operand where the first is NaN.
  return _mm256_cvttpd_epi32(_mm256_min_pd(_mm256_max_pd(at, _mm256_setzero_pd()), last));
}

std::uint32_t bin_of(double x, std::uint32_t cell, const EdgeTable& table) {
  std::uint32_t bin = table.first[cell];
  for (std::uint32_t step = (1u << table.steps) >> 1; step > 0; step >>= 1) {
    bin += step & (0u - static_cast<std::uint32_t>(x > table.edges[bin + step - 1]));  // no branch on x
  }
  return x == x ? bin : table.nan_bin;
}

void count_bins(const double* x, std::size_t n, const EdgeTable& table, std::uint32_t* counts) {
  const __m256d low = _mm256_set1_pd(table.cells.low), scale = _mm256_set1_pd(table.cells.scale);
  const __m256d last = _mm256_set1_pd(static_cast<double>(table.cells.last));
  // Neighbours often share a bin: a counter for each of four lanes keeps one increment from waiting for the last.
  std::uint32_t lane[4][256];
  for (auto& row : lane) {
    for (std::uint32_t& c : row) c = 0;
  }
  alignas(16) std::uint32_t cell[4];
  for (std::size_t i = 0; i < n; i += 4) {
    double padded[4] = {0.0, 0.0, 0.0, 0.0};
    const std::size_t left = n - i < 4 ? n - i : 4;
    const double* from = x + i;
    if (left < 4) {
      for (std::size_t j = 0; j < left; ++j) padded[j] = x[i + j];
      from = padded;
    }
    _mm_store_si128(reinterpret_cast<__m128i*>(cell), cells_of(_mm256_loadu_pd(from), low, scale, last));
    for (std::size_t j = 0; j < left; ++j) ++lane[j][bin_of(from[j], cell[j], table)];
  }
  for (std::size_t b = 0; b <= table.nan_bin; ++b) counts[b] += lane[0][b] + lane[1][b] + lane[2][b] + lane[3][b];
}

void cells(const double* x, std::size_t n, const Cells& map, std::uint16_t* out) {
  const __m256d low = _mm256_set1_pd(map.low), scale = _mm256_set1_pd(map.scale);
  const __m256d last = _mm256_set1_pd(static_cast<double>(map.last));
  alignas(16) std::uint32_t cell[4];
  for (std::size_t i = 0; i < n; i += 4) {
    double padded[4] = {0.0, 0.0, 0.0, 0.0};
    const std::size_t left = n - i < 4 ? n - i : 4;
    const double* from = x + i;
    if (left < 4) {
      for (std::size_t j = 0; j < left; ++j) padded[j] = x[i + j];
      from = padded;
    }
    _mm_store_si128(reinterpret_cast<__m128i*>(cell), cells_of(_mm256_loadu_pd(from), low, scale, last));
    for (std::size_t j = 0; j < left; ++j) {
      out[i + j] = static_cast<std::uint16_t>(from[j] == from[j] ? cell[j] : map.last + 1);
    }
  }
}

}  // namespace

const PsiKernels psi_avx2 = {compiled_for,     count_above<Wide64>, count_above<Wide32>,
                             count_above_rows, count_bins,          cells};

}  // namespace fairlead::kernels
