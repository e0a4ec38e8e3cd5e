// Attention of one head: softmax(q k^T scale + bias) v and its gradients, over rows in memory with any stride.
//
// k and v are taken once for all queries of a head: `turn` lays k (and v, for gradients) out by depth, so that one kind of
// tile serves every product: a number of one matrix times a vector of the other, summed in registers.
//
// Precision: sums run in the number's own type, products and sums fused above the scalar level; e^x within 2 ulp. Levels
// agree within 2e-6 of the largest value of a row (tests/attention). Memory: scratch is the caller's, see `scratch_of`.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

using Step = std::ptrdiff_t;  // between neighbours of an axis, in numbers

// A head's forward pass. Rows hold their numbers one after the other; rows themselves lie `_row` apart.
template <class T>
struct Head {
  std::size_t queries = 0, keys = 0, depth = 0, width = 0;  // depth: of q and k; width: of v and out
  T scale = 1;
  const T* q = nullptr;
  Step q_row = 0;
  const T* turned_k = nullptr;  // [depth][ahead(keys)]
  const T* v = nullptr;
  Step v_row = 0;
  const T* bias = nullptr;  // or null
  Step bias_row = 0, bias_key = 0;
  const std::uint8_t* mask = nullptr;  // 0: this key is not looked at; or null
  Step mask_row = 0, mask_key = 0;
  T* out = nullptr;
  Step out_row = 0;
  T* lse = nullptr;      // [queries], log of the sum of e^logits; -inf where no key is looked at; or null
  T* weights = nullptr;  // [queries][keys], or null
  Step weights_row = 0;
  T share = 1;            // weights are multiplied by it,
  bool add_weights = false;  // and added to those that are there
  // Of the head that comes next, if it is known: its rows are asked for while this one is worked on. Only addresses.
  const T *next_q = nullptr, *next_k = nullptr, *next_v = nullptr;
  Step next_k_row = 0;
};

// A head's gradients, given that of its output.
template <class T>
struct HeadGradient {
  Head<T> head;  // as it ran; out and lse are read, weights and share are not
  const T* k = nullptr;
  Step k_row = 0;
  const T* turned_v = nullptr;  // [width][ahead(keys)]
  const T* out_gradient = nullptr;
  Step out_gradient_row = 0;
  T* q_gradient = nullptr;
  Step q_gradient_row = 0;
  T *k_gradient = nullptr, *v_gradient = nullptr;
  Step k_gradient_row = 0, v_gradient_row = 0;
  bool add_keys = false;       // k and v gradients are added to what is there
  T* bias_gradient = nullptr;  // [queries][keys], or null
  Step bias_gradient_row = 0;
  bool add_bias = false;
};

// Rows of queries that are worked on at once: their logits stay in the cache.
inline constexpr std::size_t most_rows = 64, usual_rows = 48, widest = 16;  // widest: numbers of a vector
static constexpr std::size_t rows_at_once(std::size_t queries) noexcept { return queries <= most_rows ? queries : usual_rows; }

// Keys whose weights meet v at once, so that they stay in the nearest cache.
static constexpr std::size_t keys_at_once(std::size_t keys) noexcept { return keys <= 192 ? keys : 128; }

// Numbers from one row of a turned matrix, or of logits, to the next: whole vectors, and never a power of two of lines,
// which would all fall on the same few places of the cache.
static constexpr std::size_t ahead(std::size_t keys) noexcept {
  const std::size_t whole = (keys + 15) / 16 * 16;
  return whole % 64 == 0 ? whole + 16 : whole;
}

// Numbers of scratch for a head: of a forward pass, or of gradients.
static constexpr std::size_t scratch_of(std::size_t queries, std::size_t keys, bool gradients) noexcept {
  return rows_at_once(queries) * ahead(keys) * (gradients ? 2 : 1) + most_rows * (2 + widest);
}

template <class T>
struct Layout {  // out = in * by (+ out): all by rows, `by` as rows of n numbers
  std::size_t m = 0, n = 0, k = 0;
  const T* in = nullptr;
  Step in_row = 0, in_k = 1;
  const T* by = nullptr;
  Step by_row = 0;
  T* out = nullptr;
  Step out_row = 0;
  const T* start = nullptr;  // [n], what each row of out begins with; null: 0
  bool add = false;          // to what is in out
};

template <class T>
struct AttentionKernels {
  Simd level;
  void (*turn)(const T* rows, Step row, std::size_t n, std::size_t depth, T* out);  // out[d][ahead(n)], anything beyond n
  void (*forward)(const Head<T>& head, T* scratch);
  void (*backward)(const HeadGradient<T>& head, T* scratch);
  void (*multiply)(const Layout<T>& product);
};

extern const AttentionKernels<float> attention_scalar, attention_avx2, attention_avx512;
extern const AttentionKernels<double> attention_double;

}  // namespace fairlead::kernels
