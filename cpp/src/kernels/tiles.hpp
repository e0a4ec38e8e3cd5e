// Products of float matrices on the matrix unit of recent x86 machines (AMX), which multiplies bfloat16 and sums in float:
// each number is the sum of three of bfloat16, 24 bits in all, and six of the nine products of the parts are made.
//
//   G. Henry, P. T. P. Tang, A. Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//   Computations", 2019.
//
// Precision: what is left out is below 2^-23 of each product, as float's own rounding; sums run in float, over k in order,
// for each row apart, so a row's result does not depend on the rows beside it. Products below 1e-37 may be lost; what is not
// finite gives what is not finite. Memory: the caller's.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fairlead::kernels {

inline constexpr std::size_t tile_rows = 16, tile_depth = 32, tile_parts = 3;
// Numbers of bfloat16 in the parts of a tile: 16 rows of 32.
inline constexpr std::size_t tile_numbers = tile_rows * tile_depth * tile_parts;

static constexpr std::size_t tiles_for(std::size_t n, std::size_t size) noexcept { return (n + size - 1) / size; }

// A weight [columns][rows], or [rows][columns] where it is not turned, as tiles: [columns / 16][rows / 32], the last ones
// padded with zeros.
struct TileWeight {
  const float* from = nullptr;
  std::size_t rows = 0, columns = 0;
  bool turned = true;
  std::uint16_t* out = nullptr;
};

struct TileProduct {  // out = in * weight (+ start, or + out)
  std::size_t m = 0, n = 0, k = 0;
  const float* in = nullptr;
  std::ptrdiff_t in_row = 0;
  const std::uint16_t* weight = nullptr;  // of its first tile
  std::size_t weight_column = 0;          // from one column of tiles to the next
  float* out = nullptr;
  std::ptrdiff_t out_row = 0;
  const float* start = nullptr;  // [n], or null
  std::uint16_t* scratch = nullptr;  // [tiles_for(m, 16)][tiles_for(k, 32)][tile_numbers], on a line of the cache
};

struct TileKernels {
  void (*pack)(const TileWeight& weight);
  void (*multiply)(const TileProduct& product);
};

// Null where the machine, the system, the level or the build has none.
const TileKernels* tile_kernels() noexcept;

// For tests and comparisons: whether they are to be used where they can.
void use_tiles(bool use) noexcept;

}  // namespace fairlead::kernels
