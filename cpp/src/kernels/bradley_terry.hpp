// Summing matches by pair, and the matrix product that everything dense is made of.
//
// `tally` gives the same counts at every level. `product` and `gradients` sum in the same order at every level but fuse
// multiply and add above scalar: the results differ by rounding alone (below 1e-13 of the largest term of a sum).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

struct BradleyTerryKernels {
  Simd level;

  // For each match adds 1 << 21 c to table[low * players + high], low < high being its players and c twice the score of
  // low. Stops before a match whose ids are not two of [0, players) or whose score is not 0, 1/2 or 1, and returns how
  // many were counted. A field overflows after 2^21 - 1 matches. players <= 2^15.
  std::size_t (*tally)(const std::int32_t* i, const std::int32_t* j, const double* score, std::size_t n,
                       std::int32_t players, std::uint64_t* table);

  // c (rows x columns) += sign * a^T b, where a is depth x rows and b is depth x columns, all row-major. With `upper`,
  // tiles of c that lie wholly below its diagonal are left as they are.
  void (*product)(std::size_t rows, std::size_t columns, std::size_t depth, const double* a, std::size_t a_stride,
                  const double* b, std::size_t b_stride, double* c, std::size_t c_stride, double sign, bool upper);

  // Eight fits at once. For each pair c with players i, j: g[i] += r, g[j] -= r for r = s[c] - n[c] p[i] / (p[i] +
  // p[j]), where s and n have 8 values a pair, p and g 8 values a player.
  void (*gradients)(const std::int32_t* i, const std::int32_t* j, std::size_t pairs, const double* n, const double* s,
                    const double* p, double* g);
};

extern const BradleyTerryKernels bradley_terry_scalar, bradley_terry_avx2, bradley_terry_avx512;

}  // namespace fairlead::kernels
