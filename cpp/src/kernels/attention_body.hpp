// Attention of one head with vectors of floats, once for each level above scalar.
//
// A file that includes this defines `Vec`, a vector of `Vec::width` floats, with the static functions used below, and
// `Vec::rows[n]`: how many rows a tile of n vectors has, so that all its sums stay in registers.
#pragma once

#include "kernels/attention.hpp"

namespace fairlead::kernels {
namespace {

using Lanes = Vec::Lanes;
constexpr std::size_t W = Vec::width;
constexpr float none = -__builtin_huge_valf();

constexpr float log2_e = 0x1.715476p+0f, ln_2 = 0x1.62e430p-1f;

// ln x of normal positive numbers, within 2 ulp: x = 2^e m with m in [1 / sqrt 2, sqrt 2), and ln m by a polynomial (Cephes'
// logf).
inline Lanes log_of(Lanes x) {
  Lanes e, m = Vec::split(x, e);
  const Lanes two = Vec::all(1.41421356f), one = Vec::all(1.0f);
  e = Vec::where_above(m, two, Vec::add(e, one), e);
  m = Vec::where_above(m, two, Vec::mul(m, Vec::all(0.5f)), m);
  const Lanes f = Vec::sub(m, one), z = Vec::mul(f, f);
  Lanes p = Vec::all(7.0376836292e-2f);
  constexpr float c[] = {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f, -1.6668057665e-1f,
                        2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f};
  for (const float next : c) p = Vec::fused(p, f, Vec::all(next));
  p = Vec::mul(Vec::mul(p, f), z);
  p = Vec::fused(e, Vec::all(-2.12194440e-4f), p);
  p = Vec::fused(z, Vec::all(-0.5f), p);
  return Vec::fused(e, Vec::all(0.693359375f), Vec::add(f, p));
}

// --- products: tiles of M rows and N vectors, their sums in registers ---

// What becomes of a tile's sums.
struct Store {  // out = sum * scale
  float* out;
  Step row;
  float scale;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    float* const to = out + static_cast<Step>(i) * row + j;
    sum = Vec::mul(sum, Vec::all(scale));
    n >= W ? Vec::store(sum, to) : Vec::store(sum, to, n);
  }
};
template <bool biased>
struct StoreLogits {  // out = sum * scale + bias * log2 e, and -inf beyond the keys
  float* out;
  Step row;
  float scale;
  const float* bias;
  Step bias_row;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    sum = Vec::mul(sum, Vec::all(scale));
    if constexpr (biased) {
      const float* const more = bias + static_cast<Step>(i) * bias_row + j;
      sum = Vec::fused(n >= W ? Vec::load(more) : Vec::load(more, n), Vec::all(log2_e), sum);
    }
    Vec::store(n >= W ? sum : Vec::first_or(sum, n, none), out + static_cast<Step>(i) * row + j);
  }
};
struct AddRows {  // out = (out + sum) * (a factor for each row)
  float* out;
  Step row;
  const float* scale;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    float* const to = out + static_cast<Step>(i) * row + j;
    const Lanes factor = Vec::all(scale[i]);
    n >= W ? Vec::store(Vec::mul(Vec::add(sum, Vec::load(to)), factor), to)
           : Vec::store(Vec::mul(Vec::add(sum, Vec::load(to, n)), factor), to, n);
  }
};
struct StoreRows {  // out = sum * (a factor for each row)
  float* out;
  Step row;
  const float* scale;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    float* const to = out + static_cast<Step>(i) * row + j;
    sum = Vec::mul(sum, Vec::all(scale[i]));
    n >= W ? Vec::store(sum, to) : Vec::store(sum, to, n);
  }
};
struct Add {  // out += sum * scale
  float* out;
  Step row;
  float scale;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    float* const to = out + static_cast<Step>(i) * row + j;
    if (n >= W) {
      Vec::store(Vec::fused(sum, Vec::all(scale), Vec::load(to)), to);
    } else {
      Vec::store(Vec::fused(sum, Vec::all(scale), Vec::load(to, n)), to, n);
    }
  }
};
struct StoreFrom {  // out = start + sum
  float* out;
  Step row;
  const float* start;
  void put(std::size_t i, std::size_t j, Lanes sum, std::size_t n) const {
    float* const to = out + static_cast<Step>(i) * row + j;
    n >= W ? Vec::store(Vec::add(sum, Vec::load(start + j)), to) : Vec::store(Vec::add(sum, Vec::load(start + j, n)), to, n);
  }
};

// in: rows `row` apart, numbers `step` apart. by: k rows of at least n numbers. `last`: of the last vector's lanes, those
// that are there.
struct Factors {
  const float* in;
  Step row, step;
  const float* by;
  Step by_row;
  std::size_t k;
};

template <std::size_t M, std::size_t N, bool whole, class Keep>
inline void tile(const Factors& f, std::size_t i, std::size_t j, std::size_t last, const Keep keep) {
  // `keep` is a copy: what is stored cannot be taken for a change of it.
  Lanes sum[M][N];
#pragma GCC unroll 16
  for (std::size_t m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (std::size_t n = 0; n < N; ++n) sum[m][n] = Vec::all(0.0f);
  }
  const float* in = f.in + static_cast<Step>(i) * f.row;
  const float* by = f.by + j;
  const Step row = f.row, step = f.step, by_row = f.by_row;
  for (std::size_t k = f.k; k > 0; --k, in += step, by += by_row) {
    Lanes b[N];
#pragma GCC unroll 4
    for (std::size_t n = 0; n < N; ++n) b[n] = whole || n + 1 < N ? Vec::load(by + n * W) : Vec::load(by + n * W, last);
#pragma GCC unroll 16
    for (std::size_t m = 0; m < M; ++m) {
      const Lanes a = Vec::all(in[static_cast<Step>(m) * row]);
#pragma GCC unroll 4
      for (std::size_t n = 0; n < N; ++n) sum[m][n] = Vec::fused(a, b[n], sum[m][n]);
    }
  }
#pragma GCC unroll 16
  for (std::size_t m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (std::size_t n = 0; n < N; ++n) keep.put(i + m, j + n * W, sum[m][n], whole || n + 1 < N ? W : last);
  }
}

template <std::size_t M, std::size_t N, bool whole, class Keep>
inline void rows_from(const Factors& f, std::size_t i, std::size_t m, std::size_t j, std::size_t last, const Keep& keep) {
  for (; i + M <= m; i += M) tile<M, N, whole>(f, i, j, last, keep);
  if constexpr (M > 1) {
    if (i < m) rows_from<(M > 8 ? 8 : M > 6 ? 6 : M > 4 ? 4 : M > 2 ? 2 : 1), N, whole>(f, i, m, j, last, keep);
  }
}

template <std::size_t N, class Keep>
inline void columns(const Factors& f, std::size_t m, std::size_t j, std::size_t last, const Keep& keep) {
  last == W ? rows_from<Vec::rows[N], N, true>(f, 0, m, j, last, keep) : rows_from<Vec::rows[N], N, false>(f, 0, m, j, last, keep);
}

// m rows and n numbers; by rows of vectors that are padded, n may be rounded up to whole vectors.
template <class Keep>
inline void product(const Factors& f, std::size_t m, std::size_t n, const Keep& keep) {
  for (std::size_t j = 0; j < n;) {
    const std::size_t vectors = (n - j + W - 1) / W;
    const std::size_t take = vectors == 5 || vectors == 6 ? 3 : vectors < Vec::most ? vectors : Vec::most;
    const std::size_t left = n - j, last = left < take * W ? left - (take - 1) * W : W;
    switch (take) {
      case 1: columns<1>(f, m, j, last, keep); break;
      case 2: columns<2>(f, m, j, last, keep); break;
      case 3: columns<3>(f, m, j, last, keep); break;
      default: columns<4>(f, m, j, last, keep); break;
    }
    j += take * W;
  }
}

// --- logits, in units of ln 2 ---

constexpr std::size_t padded(std::size_t n) { return (n + W - 1) / W * W; }

// What the products did not do: a bias whose keys are not side by side, and the mask.
inline void finish_logits(const Head<float>& h, std::size_t i, float* s) {
  const auto at = static_cast<Step>(i);
  if (h.bias != nullptr && h.bias_key != 1) {
    const float* const bias = h.bias + at * h.bias_row;
    for (std::size_t j = 0; j < h.keys; ++j) s[j] = __builtin_fmaf(bias[static_cast<Step>(j) * h.bias_key], log2_e, s[j]);
  }
  if (h.mask == nullptr) return;
  const std::uint8_t* const mask = h.mask + at * h.mask_row;
  if (h.mask_key == 1) {
    for (std::size_t j = 0; j < h.keys; j += W)
      Vec::store(Vec::kept(Vec::load(s + j), mask + j, h.keys - j < W ? h.keys - j : W, none), s + j);
  } else {
    for (std::size_t j = 0; j < h.keys; ++j) s[j] = mask[static_cast<Step>(j) * h.mask_key] != 0 ? s[j] : none;
  }
}

// Logits of queries [i, i + rows): (q k^T scale + bias) log2 e, -inf where there is no key, or the mask says so. k_row:
// of the turned k.
inline void logits(const Head<float>& h, Step k_row, std::size_t i, std::size_t rows, float* s, Step wide) {
  const auto at = static_cast<Step>(i);
  const bool together = h.bias != nullptr && h.bias_key == 1;
  const Factors f{h.q + at * h.q_row, h.q_row, 1, h.turned_k, k_row, h.depth};
  const float scale = h.scale * log2_e;
  together ? product(f, rows, h.keys, StoreLogits<true>{s, wide, scale, h.bias + at * h.bias_row, h.bias_row})
           : product(f, rows, h.keys, StoreLogits<false>{s, wide, scale, nullptr, 0});
  if (h.mask == nullptr && (h.bias == nullptr || together)) return;
  for (std::size_t r = 0; r < rows; ++r) finish_logits(h, i + r, s + static_cast<Step>(r) * wide);
}

// The rows' largest numbers, or their sums, for W rows at once: row r is the vector at from + r W.
template <class Join>
inline Lanes across(const float* from, std::size_t rows, const Join& join) {
  Lanes row[W];
  for (std::size_t l = 0; l < W; ++l) row[l] = l < rows ? Vec::load(from + l * W) : Vec::all(0.0f);
  return Vec::fold(row, join);
}

inline void keep_weights(const Head<float>& h, std::size_t i, const float* p, float one) {
  float* const w = h.weights + static_cast<Step>(i) * h.weights_row;
  const Lanes part = Vec::all(one * h.share);
  for (std::size_t j = 0; j < h.keys; j += W) {
    const std::size_t n = h.keys - j < W ? h.keys - j : W;
    Lanes weight = Vec::mul(Vec::load(p + j), part);
    if (h.add_weights) weight = Vec::add(weight, Vec::load(w + j, n));
    Vec::store(weight, w + j, n);
  }
}

inline void ask_for(const float* row, std::size_t n) {
  const char* const at = reinterpret_cast<const char*>(row);
  for (std::size_t i = 0; i < n * sizeof(float); i += 64) __builtin_prefetch(at + i);
}

// Of the next head what stands where row i of this one does.
inline void ask_for_next(const Head<float>& h, std::size_t i) {
  const auto row = static_cast<Step>(i);
  if (h.next_q != nullptr) ask_for(h.next_q + row * h.q_row, h.depth);
  if (h.next_k == nullptr || i >= h.keys) return;
  ask_for(h.next_k + row * h.next_k_row, h.depth);
  ask_for(h.next_v + row * h.v_row, h.width);
}

struct Room {  // for a block of rows
  float *from, *one, *rest, *s;
  Step wide;
};

// A block of rows, whatever their logits: the largest of a row is taken off before the exponential.
void forward_far(const Head<float>& h, std::size_t i, std::size_t rows, const Room& room) {
  const auto [from, one, rest, s, wide] = room;
  logits(h, static_cast<Step>(ahead(h.keys)), i, rows, s, wide);
  for (std::size_t r = 0; r < rows; ++r) {
    const float* const p = s + static_cast<Step>(r) * wide;
    Lanes most = Vec::load(p);
    for (std::size_t j = W; j < h.keys; j += W) most = Vec::max(most, Vec::load(p + j));
    Vec::store(most, rest + r * W);
  }
  for (std::size_t r = 0; r < rows; r += W) {
    const Lanes most = across(rest + r * W, rows - r, [](Lanes a, Lanes b) { return Vec::max(a, b); });
    Vec::store(Vec::where_above(most, Vec::all(none), most, Vec::all(0.0f)), from + r);
  }
  for (std::size_t r = 0; r < rows; ++r) {
    float* const p = s + static_cast<Step>(r) * wide;
    const Lanes most = Vec::all(from[r]);
    Lanes sum = Vec::all(0.0f);
    for (std::size_t j = 0; j < h.keys; j += W) {
      const Lanes e = Vec::exp2(Vec::sub(Vec::load(p + j), most));
      Vec::store(e, p + j);
      sum = Vec::add(sum, e);
    }
    Vec::store(sum, rest + r * W);
  }
  for (std::size_t r = 0; r < rows; r += W) {
    const Lanes total = across(rest + r * W, rows - r, [](Lanes a, Lanes b) { return Vec::add(a, b); });
    const Lanes zero = Vec::all(0.0f);
    Vec::store(Vec::where_equal(total, zero, zero, Vec::div(Vec::all(1.0f), total)), one + r);
    if (h.lse == nullptr) continue;
    const Lanes sum = Vec::fused(Vec::load(from + r), Vec::all(ln_2), log_of(total));
    Vec::store(Vec::where_equal(total, zero, Vec::all(none), sum), h.lse + i + r, rows - r < W ? rows - r : W);
  }
  if (h.weights != nullptr) {
    for (std::size_t r = 0; r < rows; ++r) keep_weights(h, i + r, s + static_cast<Step>(r) * wide, one[r]);
  }
  product({s, wide, 1, h.v, h.v_row, h.keys}, rows, h.width, StoreRows{h.out + static_cast<Step>(i) * h.out_row, h.out_row, one});
}

// Sums of 2^logit within these are as exact as those of 2^(logit - the largest).
constexpr float least_sum = 0x1p-40f, most_sum = 0x1p40f;

// Keys [j, j + n) of a head.
inline Head<float> part_of(const Head<float>& h, std::size_t j, std::size_t n) {
  Head<float> part = h;
  const auto at = static_cast<Step>(j);
  part.keys = n;
  part.turned_k += j;
  part.v += at * h.v_row;
  if (h.bias != nullptr) part.bias += at * h.bias_key;
  if (h.mask != nullptr) part.mask += at * h.mask_key;
  return part;
}

// A block of rows with nothing taken off before the exponential, so that a row need not be known when it begins. Bit r of
// the result: the sum of row i + r is not within bounds, and the row is to be done by `forward_far`.
inline std::uint64_t forward_near(const Head<float>& h, std::size_t i, std::size_t rows, const Room& room) {
  const auto [from, one, rest, all, wide] = room;
  float* const out = h.out + static_cast<Step>(i) * h.out_row;
  const std::size_t block = keys_at_once(h.keys);
  std::uint64_t far = 0;
  for (std::size_t j = 0; j < h.keys; j += block) {
    const bool last = h.keys - j <= block;
    const Head<float> part = part_of(h, j, last ? h.keys - j : block);
    float* const s = h.weights != nullptr ? all + j : all;  // who wants weights needs those of all keys
    logits(part, static_cast<Step>(ahead(h.keys)), i, rows, s, wide);
    for (std::size_t r = 0; r < rows; ++r) {
      float* const p = s + static_cast<Step>(r) * wide;
      if (j == 0) ask_for_next(h, i + r);
      Lanes sum = j == 0 ? Vec::all(0.0f) : Vec::load(rest + r * W);
      for (std::size_t c = 0; c < part.keys; c += W) {
        const Lanes e = Vec::exp2(Vec::load(p + c));
        Vec::store(e, p + c);
        sum = Vec::add(sum, e);
      }
      Vec::store(sum, rest + r * W);
    }
    const Factors f{s, wide, 1, part.v, h.v_row, part.keys};
    if (!last) {
      j == 0 ? product(f, rows, h.width, Store{out, h.out_row, 1.0f}) : product(f, rows, h.width, Add{out, h.out_row, 1.0f});
      continue;
    }
    for (std::size_t r = 0; r < rows; r += W) {
      const Lanes total = across(rest + r * W, rows - r, [](Lanes a, Lanes b) { return Vec::add(a, b); });
      const std::size_t n = rows - r < W ? rows - r : W;
      far |= std::uint64_t{Vec::outside(total, least_sum, most_sum) & ((1u << n) - 1u)} << r;
      Vec::store(Vec::div(Vec::all(1.0f), total), one + r);
      if (h.lse != nullptr) Vec::store(log_of(total), h.lse + i + r, n);
    }
    if (h.weights != nullptr) {
      for (std::size_t r = 0; r < rows; ++r)
        if ((far >> r & 1u) == 0) keep_weights(h, i + r, all + static_cast<Step>(r) * wide, one[r]);
    }
    j == 0 ? product(f, rows, h.width, StoreRows{out, h.out_row, one}) : product(f, rows, h.width, AddRows{out, h.out_row, one});
  }
  return far;
}

void forward(const Head<float>& h, float* scratch) {
  const std::size_t block = rows_at_once(h.queries);
  Room room;
  room.from = scratch;
  room.one = room.from + most_rows;
  room.rest = room.one + most_rows;
  room.s = room.rest + most_rows * W;
  room.wide = static_cast<Step>(ahead(h.keys));
  Room near = room;
  near.wide = static_cast<Step>(ahead(h.weights != nullptr ? h.keys : keys_at_once(h.keys)));
  for (std::size_t i = 0; i < h.queries; i += block) {
    const std::size_t rows = h.queries - i < block ? h.queries - i : block;
    std::uint64_t far = forward_near(h, i, rows, near);
    while (far != 0) {  // runs of rows
      const auto first = static_cast<std::size_t>(__builtin_ctzll(far));
      const std::uint64_t rest = ~(far >> first);
      const std::size_t n = rest == 0 ? 64 : static_cast<std::size_t>(__builtin_ctzll(rest));
      forward_far(h, i + first, n, room);
      far = n == 64 ? 0 : far & ~(((std::uint64_t{1} << n) - 1) << first);
    }
  }
}

// The products of two rows' numbers, summed but for the last step.
inline Lanes dot(const float* a, const float* b, std::size_t n) {
  Lanes sum = Vec::all(0.0f);
  std::size_t j = 0;
  for (; j + W <= n; j += W) sum = Vec::fused(Vec::load(a + j), Vec::load(b + j), sum);
  return j < n ? Vec::fused(Vec::load(a + j, n - j), Vec::load(b + j, n - j), sum) : sum;
}

// Gradients of the keys of a block: added, or stored if they are the first.
inline void add_to(const Factors& f, std::size_t m, std::size_t n, float* out, Step row, float scale, bool add) {
  add ? product(f, m, n, Add{out, row, scale}) : product(f, m, n, Store{out, row, scale});
}

void backward(const HeadGradient<float>& g, float* scratch) {
  const Head<float>& h = g.head;
  const std::size_t block = rows_at_once(h.queries);
  const auto wide = static_cast<Step>(ahead(h.keys));
  float* const delta = scratch;
  float* const rest = delta + 2 * most_rows;
  float* const p = rest + most_rows * W;
  float* const d = p + block * static_cast<std::size_t>(wide);
  for (std::size_t i = 0; i < h.queries; i += block) {
    const std::size_t rows = h.queries - i < block ? h.queries - i : block;
    const auto at = static_cast<Step>(i);
    const float* const dout = g.out_gradient + at * g.out_gradient_row;
    logits(h, wide, i, rows, p, wide);
    product({dout, g.out_gradient_row, 1, g.turned_v, wide, h.width}, rows, padded(h.keys), Store{d, wide, 1.0f});
    for (std::size_t r = 0; r < rows; ++r) {
      const auto row = static_cast<Step>(r);
      Vec::store(dot(dout + row * g.out_gradient_row, h.out + (at + row) * h.out_row, h.width), rest + r * W);
    }
    for (std::size_t r = 0; r < rows; r += W)
      Vec::store(across(rest + r * W, rows - r, [](Lanes a, Lanes b) { return Vec::add(a, b); }), delta + r);
    for (std::size_t r = 0; r < rows; ++r) {
      const auto row = static_cast<Step>(r);
      float *const weight = p + row * wide, *const change = d + row * wide;
      const float lse = h.lse[i + r];
      const Lanes shift = Vec::all(lse == none ? 0.0f : lse * log2_e), less = Vec::all(delta[r]);
      float* const bias = g.bias_gradient == nullptr ? nullptr : g.bias_gradient + (at + row) * g.bias_gradient_row;
      for (std::size_t j = 0; j < h.keys; j += W) {
        const Lanes e = Vec::exp2(Vec::sub(Vec::load(weight + j), shift));
        const Lanes c = Vec::mul(e, Vec::sub(Vec::load(change + j), less));
        Vec::store(e, weight + j);
        Vec::store(c, change + j);
        if (bias == nullptr) continue;
        const std::size_t n = h.keys - j;
        if (n >= W) {
          Vec::store(g.add_bias ? Vec::add(c, Vec::load(bias + j)) : c, bias + j);
        } else {
          Vec::store(g.add_bias ? Vec::add(c, Vec::load(bias + j, n)) : c, bias + j, n);
        }
      }
    }
    product({d, wide, 1, g.k, g.k_row, h.keys}, rows, h.depth, Store{g.q_gradient + at * g.q_gradient_row, g.q_gradient_row, h.scale});
    const bool add = g.add_keys || i != 0;
    add_to({d, 1, wide, h.q + at * h.q_row, h.q_row, rows}, h.keys, h.depth, g.k_gradient, g.k_gradient_row, h.scale, add);
    add_to({p, 1, wide, dout, g.out_gradient_row, rows}, h.keys, h.width, g.v_gradient, g.v_gradient_row, 1.0f, add);
  }
}

void turn(const float* rows, Step row, std::size_t n, std::size_t depth, float* out) {
  const auto wide = static_cast<Step>(ahead(n));
  for (std::size_t j = 0; j < n; j += W, rows += static_cast<Step>(W) * row, out += W) {
    const std::size_t m = n - j < W ? n - j : W;
    std::size_t d = 0;
    if (m % 4 == 0) {
      const float* from = rows;
#pragma GCC unroll 1
      for (; d + 4 <= depth; d += 4, from += 4) {
        // So few pointers that they stay in registers.
        const float *const a = from, *const b = m > 4 ? a + 4 * row : a, *const c = m > 8 ? b + 4 * row : a, *const e = m > 12 ? c + 4 * row : a;
        Vec::turn([=](std::size_t r) { return (r < 4 ? a : r < 8 ? b : r < 12 ? c : e) + static_cast<Step>(r % 4) * row; },
                  out + static_cast<Step>(d) * wide, wide);
      }
    } else {
      const float* from[W];
      for (std::size_t r = 0; r < W; ++r) from[r] = rows + static_cast<Step>(r < m ? r : m - 1) * row;
      for (; d + 4 <= depth; d += 4) Vec::turn([&](std::size_t r) { return from[r] + d; }, out + static_cast<Step>(d) * wide, wide);
    }
    for (; d < depth; ++d) {
      for (std::size_t r = 0; r < m; ++r) out[static_cast<Step>(d) * wide + static_cast<Step>(r)] = rows[static_cast<Step>(r) * row + static_cast<Step>(d)];
    }
  }
}

void multiply(const Layout<float>& x) {
  const Factors f{x.in, x.in_row, x.in_k, x.by, x.by_row, x.k};
  if (x.add) {
    product(f, x.m, x.n, Add{x.out, x.out_row, 1.0f});
  } else if (x.start != nullptr) {
    product(f, x.m, x.n, StoreFrom{x.out, x.out_row, x.start});
  } else {
    product(f, x.m, x.n, Store{x.out, x.out_row, 1.0f});
  }
}

}  // namespace
}  // namespace fairlead::kernels
