// Counting values by bin for a Psi, and placing them in the cells of a sorted sample. Every level gives the same
// counts: comparisons are exact, and cells come from one subtraction and one product, rounded alike everywhere.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

// A monotone map of numbers to cells 0 .. last: trunc((x - low) * scale), clamped.
struct Cells {
  double low, scale;
  std::uint32_t last;
};

// Ascending edges found by their cell: first[c] edges lie below every number of cell c, at most 2^steps - 1 more in it.
// `edges` ends with 2^steps times +inf.
struct EdgeTable {
  Cells cells;
  const std::uint32_t* first;
  const double* edges;
  std::uint32_t steps, nan_bin;
};

// Columns counted together by count_above_rows.
static constexpr std::size_t psi_columns = 8;

struct PsiKernels {
  Simd level;
  // above[e] += how many x are > edges[e]; the return value is how many x are not NaN.
  std::uint64_t (*count_above)(const double* x, std::size_t n, const double* edges, std::size_t n_edges,
                               std::uint64_t* above);
  // The same for n < 2^32 of float; an edge is the largest float that is not above the edge meant.
  std::uint64_t (*count_above_f32)(const float* x, std::size_t n, const float* edges, std::size_t n_edges,
                                   std::uint64_t* above);
  // Eight columns of a row-major table at once, each with edges of its own: edges[e * 8 + c], above[e * 8 + c], and the
  // numbers of each column in above[n_edges * 8 + c]. Reads x[row * stride + c], and fetches ahead[0 .. rows * 8) into
  // the cache: the caller's next rows, which would come too late were they asked for only as this jumps from row to
  // row.
  void (*count_above_rows)(const double* x, std::size_t rows, std::size_t stride, const double* edges,
                           std::size_t n_edges, std::uint64_t* above, const double* ahead);
  // counts[bin] += 1 for each of n < 2^32 numbers; n_bins <= 256.
  void (*count_bins)(const double* x, std::size_t n, const EdgeTable& table, std::uint32_t* counts);
  // The cell of each number; last + 1 for NaN.
  void (*cells)(const double* x, std::size_t n, const Cells& map, std::uint16_t* out);
};

extern const PsiKernels psi_scalar, psi_avx2, psi_avx512;

}  // namespace fairlead::kernels
