#include <immintrin.h>

#include "kernels/tiles.hpp"

namespace fairlead::kernels {
namespace {

using Step = std::ptrdiff_t;
using Half = std::uint16_t;

constexpr std::size_t numbers = tile_rows * tile_depth;  // of one part
constexpr Step row_bytes = 2 * static_cast<Step>(tile_depth);

struct alignas(64) Shapes {
  std::uint8_t palette = 1, start = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {};
  std::uint8_t rows[16] = {};
};

// Accumulators 0 to 3, rows of `in` in 4 and 5, of the weight in 6 and 7 (one row of tiles: 5 to 7).
void shape(std::size_t rows, bool one) {
  Shapes s;
  for (std::size_t i = 0; i < 8; ++i) {
    s.bytes[i] = 64;
    s.rows[i] = static_cast<std::uint8_t>(i < (one ? 5u : 6u) ? rows : tile_rows);
  }
  _tile_loadconfig(&s);
}

__m512i halves(__m512 low, __m512 high) { return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low)); }
__m512 low_of(__m512i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_castsi512_si256(h)), 16)); }
__m512 high_of(__m512i h) {
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(h, 1)), 16));
}
// What a part leaves over; nothing, where the part is not finite.
__m512 rest(__m512 x, __m512 part) {
  constexpr int not_finite = 0x99;
  return _mm512_maskz_sub_ps(static_cast<__mmask16>(~_mm512_fpclass_ps_mask(part, not_finite)), x, part);
}

struct Parts {
  __m512i part[tile_parts];
};
inline Parts split(__m512 low, __m512 high) {
  Parts out;
  for (std::size_t p = 0; p < tile_parts; ++p) {
    const __m512i h = halves(low, high);
    out.part[p] = h;
    low = rest(low, low_of(h));
    high = rest(high, high_of(h));
  }
  return out;
}

inline __mmask16 first(std::size_t n) { return static_cast<__mmask16>(n >= 16 ? 0xffffu : (1u << n) - 1u); }

// n numbers of a row of a tile.
inline Parts split_row(const float* from, std::size_t n) {
  if (n >= tile_depth) return split(_mm512_loadu_ps(from), _mm512_loadu_ps(from + 16));
  return split(_mm512_maskz_loadu_ps(first(n), from), n > 16 ? _mm512_maskz_loadu_ps(first(n - 16), from + 16) : _mm512_setzero_ps());
}

// Rows of pairs become columns.
inline void turn(__m512i (&r)[16]) {
  __m512i t[16], u[16];
  for (std::size_t i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
  for (std::size_t i = 0; i < 16; i += 4) {
    u[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    u[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    u[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    u[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    t[i] = _mm512_shuffle_i32x4(u[i], u[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(u[i], u[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(u[i + 8], u[i + 12], 0xdd);
  }
  for (std::size_t i = 0; i < 4; ++i) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

void pack(const TileWeight& w) {
  const std::size_t columns = tiles_for(w.columns, tile_rows), steps = tiles_for(w.rows, tile_depth);
  for (std::size_t c = 0; c < columns; ++c) {
    const std::size_t wide = w.columns - c * tile_rows < tile_rows ? w.columns - c * tile_rows : tile_rows;
    for (std::size_t s = 0; s < steps; ++s) {
      const std::size_t k = s * tile_depth, deep = w.rows - k < tile_depth ? w.rows - k : tile_depth;
      Half* const to = w.out + (c * steps + s) * tile_numbers;
      if (w.turned) {
        __m512i rows[tile_parts][tile_rows];
        for (std::size_t i = 0; i < tile_rows; ++i) {
          const Parts parts = i < wide ? split_row(w.from + (c * tile_rows + i) * w.rows + k, deep) : split(_mm512_setzero_ps(), _mm512_setzero_ps());
          for (std::size_t p = 0; p < tile_parts; ++p) rows[p][i] = parts.part[p];
        }
        for (std::size_t p = 0; p < tile_parts; ++p) {
          turn(rows[p]);
          for (std::size_t i = 0; i < tile_rows; ++i) _mm512_storeu_si512(to + p * numbers + i * tile_depth, rows[p][i]);
        }
      } else {
        const __mmask16 mask = first(wide);
        for (std::size_t i = 0; i < tile_rows; ++i) {
          const float* const from = w.from + (k + 2 * i) * w.columns + c * tile_rows;
          const __m512 even = 2 * i < deep ? _mm512_maskz_loadu_ps(mask, from) : _mm512_setzero_ps();
          const __m512 odd = 2 * i + 1 < deep ? _mm512_maskz_loadu_ps(mask, from + w.columns) : _mm512_setzero_ps();
          const Parts parts = split(even, odd);
          for (std::size_t p = 0; p < tile_parts; ++p) {
            const __m512i e = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(parts.part[p]));
            const __m512i o = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(parts.part[p], 1));
            _mm512_storeu_si512(to + p * numbers + i * tile_depth, _mm512_or_si512(e, _mm512_slli_epi32(o, 16)));
          }
        }
      }
    }
  }
}

// `in` in parts: [rows / 16][k / 32].
void split_rows(const TileProduct& x, std::size_t steps) {
  for (std::size_t i = 0; i < x.m; ++i) {
    const float* const from = x.in + static_cast<Step>(i) * x.in_row;
    Half* to = x.scratch + i / tile_rows * steps * tile_numbers + i % tile_rows * tile_depth;
    for (std::size_t s = 0; s < steps; ++s, to += tile_numbers) {
      const Parts parts = split_row(from + s * tile_depth, x.k - s * tile_depth);
      for (std::size_t p = 0; p < tile_parts; ++p) _mm512_store_si512(to + p * numbers, parts.part[p]);
    }
  }
}

#define FAIRLEAD_IN(tile, part) _tile_loadd(tile, in + (part) * numbers, row_bytes)
#define FAIRLEAD_BY(tile, column, part) _tile_loadd(tile, by + (column) * wide + (part) * numbers, row_bytes)

// Two rows of tiles, two columns. Small products first.
inline void two_by_two(const Half* in, std::size_t deep, const Half* by, std::size_t wide, std::size_t steps) {
  const Half* low = in + deep;
  for (; steps > 0; --steps, in += tile_numbers, low += tile_numbers, by += tile_numbers) {
#define FAIRLEAD_LOW(tile, part) _tile_loadd(tile, low + (part) * numbers, row_bytes)
#define FAIRLEAD_LEFT \
  _tile_dpbf16ps(0, 4, 6); \
  _tile_dpbf16ps(2, 5, 6)
#define FAIRLEAD_RIGHT \
  _tile_dpbf16ps(1, 4, 7); \
  _tile_dpbf16ps(3, 5, 7)
#define FAIRLEAD_UPPER \
  _tile_dpbf16ps(0, 4, 6); \
  _tile_dpbf16ps(1, 4, 7)
#define FAIRLEAD_LOWER \
  _tile_dpbf16ps(2, 5, 6); \
  _tile_dpbf16ps(3, 5, 7)
    FAIRLEAD_IN(4, 0);
    FAIRLEAD_BY(6, 0, 2);
    FAIRLEAD_LOW(5, 0);
    FAIRLEAD_BY(7, 1, 2);
    FAIRLEAD_LEFT;  // 0 2
    FAIRLEAD_BY(6, 0, 1);
    FAIRLEAD_RIGHT;
    FAIRLEAD_BY(7, 1, 1);
    FAIRLEAD_UPPER;  // 0 1
    FAIRLEAD_IN(4, 1);
    FAIRLEAD_LOWER;
    FAIRLEAD_LOW(5, 1);
    FAIRLEAD_LEFT;  // 1 1
    FAIRLEAD_BY(6, 0, 0);
    FAIRLEAD_RIGHT;
    FAIRLEAD_BY(7, 1, 0);
    FAIRLEAD_UPPER;  // 1 0
    FAIRLEAD_IN(4, 2);
    FAIRLEAD_LOWER;
    FAIRLEAD_LOW(5, 2);
    FAIRLEAD_UPPER;  // 2 0
    FAIRLEAD_IN(4, 0);
    FAIRLEAD_LOWER;
    FAIRLEAD_LOW(5, 0);
    FAIRLEAD_UPPER;  // 0 0
    FAIRLEAD_LOWER;
#undef FAIRLEAD_LEFT
#undef FAIRLEAD_RIGHT
#undef FAIRLEAD_UPPER
#undef FAIRLEAD_LOWER
#undef FAIRLEAD_LOW
  }
}

// One row of tiles, four columns.
inline void one_by_four(const Half* in, const Half* by, std::size_t wide, std::size_t steps) {
  for (; steps > 0; --steps, in += tile_numbers, by += tile_numbers) {
#define FAIRLEAD_ALL(part)      \
  FAIRLEAD_BY(5, 0, part);      \
  FAIRLEAD_BY(6, 1, part);      \
  FAIRLEAD_BY(7, 2, part);      \
  _tile_dpbf16ps(0, 4, 5);      \
  FAIRLEAD_BY(5, 3, part);      \
  _tile_dpbf16ps(1, 4, 6);      \
  _tile_dpbf16ps(2, 4, 7);      \
  _tile_dpbf16ps(3, 4, 5)
    FAIRLEAD_IN(4, 0);
    FAIRLEAD_ALL(2);
    FAIRLEAD_ALL(1);
    FAIRLEAD_IN(4, 1);
    FAIRLEAD_ALL(1);
    FAIRLEAD_ALL(0);
    FAIRLEAD_IN(4, 2);
    FAIRLEAD_ALL(0);
    FAIRLEAD_IN(4, 0);
    FAIRLEAD_ALL(0);
#undef FAIRLEAD_ALL
  }
}

// One row of tiles, one column.
inline void one_by_one(const Half* in, const Half* by, std::size_t steps) {
  constexpr std::size_t wide = 0;
  for (; steps > 0; --steps, in += tile_numbers, by += tile_numbers) {
    FAIRLEAD_IN(4, 0);
    FAIRLEAD_BY(5, 0, 2);
    FAIRLEAD_BY(6, 0, 1);
    _tile_dpbf16ps(0, 4, 5);
    _tile_dpbf16ps(0, 4, 6);
    FAIRLEAD_IN(4, 1);
    FAIRLEAD_BY(5, 0, 0);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(0, 4, 5);
    FAIRLEAD_IN(4, 2);
    _tile_dpbf16ps(0, 4, 5);
    FAIRLEAD_IN(4, 0);
    _tile_dpbf16ps(0, 4, 5);
  }
}

#undef FAIRLEAD_BY
#undef FAIRLEAD_IN

alignas(64) constexpr float zeros[16] = {};

// What a column of tiles begins with: rows that all lie in the same place.
inline const float* start_of(const TileProduct& x, std::size_t j) { return x.start == nullptr ? zeros : x.start + j; }

void multiply(const TileProduct& x) {
  const std::size_t steps = tiles_for(x.k, tile_depth), deep = steps * tile_numbers, wide = x.weight_column;
  const Step out_bytes = x.out_row * 4;
  split_rows(x, steps);
  const std::size_t whole = x.n / 16 * 16, pairs = x.m / 32 * 32;
  const auto at = [&](std::size_t i, std::size_t j) { return x.out + static_cast<Step>(i) * x.out_row + j; };
  const auto by = [&](std::size_t j) { return x.weight + j / 16 * wide; };
  if (pairs > 0) {
    shape(tile_rows, false);
    std::size_t j = 0;
    for (; j + 32 <= whole; j += 32) {
      for (std::size_t i = 0; i < pairs; i += 32) {
        _tile_loadd(0, start_of(x, j), 0);
        _tile_loadd(1, start_of(x, j + 16), 0);
        _tile_loadd(2, start_of(x, j), 0);
        _tile_loadd(3, start_of(x, j + 16), 0);
        two_by_two(x.scratch + i / 16 * deep, deep, by(j), wide, steps);
        _tile_stored(0, at(i, j), out_bytes);
        _tile_stored(1, at(i, j + 16), out_bytes);
        _tile_stored(2, at(i + 16, j), out_bytes);
        _tile_stored(3, at(i + 16, j + 16), out_bytes);
      }
    }
  }
  // What is left: rows of columns that have no neighbour, and rows that have none.
  for (std::size_t i = 0; i < x.m; i += 16) {
    const std::size_t rows = x.m - i < 16 ? x.m - i : 16, done = i < pairs ? whole / 32 * 32 : 0;
    if (done == x.n) continue;
    shape(rows, true);
    const Half* const in = x.scratch + i / 16 * deep;
    std::size_t j = done;
    for (; j + 64 <= whole; j += 64) {
      _tile_loadd(0, start_of(x, j), 0);
      _tile_loadd(1, start_of(x, j + 16), 0);
      _tile_loadd(2, start_of(x, j + 32), 0);
      _tile_loadd(3, start_of(x, j + 48), 0);
      one_by_four(in, by(j), wide, steps);
      _tile_stored(0, at(i, j), out_bytes);
      _tile_stored(1, at(i, j + 16), out_bytes);
      _tile_stored(2, at(i, j + 32), out_bytes);
      _tile_stored(3, at(i, j + 48), out_bytes);
    }
    for (; j < x.n; j += 16) {
      const std::size_t n = x.n - j;
      alignas(64) float edge[16] = {};
      alignas(64) float made[16 * 16];
      if (n < 16 && x.start != nullptr) _mm512_store_ps(edge, _mm512_maskz_loadu_ps(first(n), x.start + j));
      _tile_loadd(0, n < 16 ? edge : start_of(x, j), 0);
      one_by_one(in, by(j), steps);
      if (n >= 16) {
        _tile_stored(0, at(i, j), out_bytes);
        continue;
      }
      _tile_stored(0, made, 64);
      for (std::size_t r = 0; r < rows; ++r) _mm512_mask_storeu_ps(at(i + r, j), first(n), _mm512_load_ps(made + r * 16));
    }
  }
  _tile_release();
}

}  // namespace

extern const TileKernels tiles_amx;
const TileKernels tiles_amx = {pack, multiply};

}  // namespace fairlead::kernels
