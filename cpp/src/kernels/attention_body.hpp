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

// e^x for x <= 0, 0 below -87: within 2 ulp. x = n ln 2 + r, and e^r by a polynomial (Cephes' expf; its coefficients are
// a minimax fit on |r| <= ln 2 / 2).
inline Lanes exp_down(Lanes x) {
  const Lanes n = Vec::whole(Vec::mul(x, Vec::all(0x1.715476p+0f)));
  Lanes r = Vec::fused(n, Vec::all(-0x1.62e400p-1f), x);
  r = Vec::fused(n, Vec::all(-0x1.7f7d1cp-20f), r);
  Lanes p = Vec::all(1.9875691500e-4f);
  p = Vec::fused(p, r, Vec::all(1.3981999507e-3f));
  p = Vec::fused(p, r, Vec::all(8.3334519073e-3f));
  p = Vec::fused(p, r, Vec::all(4.1665795894e-2f));
  p = Vec::fused(p, r, Vec::all(1.6666665459e-1f));
  p = Vec::fused(p, r, Vec::all(5.0000001201e-1f));
  p = Vec::fused(p, Vec::mul(r, r), Vec::add(r, Vec::all(1.0f)));
  return Vec::zero_below(x, -87.0f, Vec::times_two_to(p, n));
}

// ln x of a normal positive number; only for one number a row.
inline float log_of(float x) { return __builtin_logf(x); }

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
inline void tile(const Factors& f, std::size_t i, std::size_t j, std::size_t last, const Keep& keep) {
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

// --- logits ---

constexpr std::size_t padded(std::size_t n) { return (n + W - 1) / W * W; }

// Adds bias and mask to a row of logits, and makes those beyond the keys -inf. Gives the largest.
inline float finish_logits(const Head<float>& h, std::size_t i, float* s) {
  const auto at = static_cast<Step>(i);
  const std::size_t whole = h.keys / W * W, rest = h.keys - whole;
  if (h.bias != nullptr) {
    const float* const bias = h.bias + at * h.bias_row;
    if (h.bias_key == 1) {
      for (std::size_t j = 0; j < whole; j += W) Vec::store(Vec::add(Vec::load(s + j), Vec::load(bias + j)), s + j);
      if (rest != 0) Vec::store(Vec::add(Vec::load(s + whole), Vec::load(bias + whole, rest)), s + whole);
    } else {
      for (std::size_t j = 0; j < h.keys; ++j) s[j] += bias[static_cast<Step>(j) * h.bias_key];
    }
  }
  if (h.mask != nullptr) {
    const std::uint8_t* const mask = h.mask + at * h.mask_row;
    for (std::size_t j = 0; j < h.keys; ++j) s[j] = mask[static_cast<Step>(j) * h.mask_key] != 0 ? s[j] : none;
  }
  for (std::size_t j = h.keys; j < padded(h.keys); ++j) s[j] = none;
  Lanes most = Vec::load(s);
  for (std::size_t j = W; j < h.keys; j += W) most = Vec::max(most, Vec::load(s + j));
  return Vec::largest(most);
}

inline void logits(const Head<float>& h, std::size_t i, std::size_t rows, float* s, Step wide) {
  product({h.q + static_cast<Step>(i) * h.q_row, h.q_row, 1, h.turned_k, wide, h.depth}, rows, padded(h.keys),
          Store{s, wide, h.scale});
}

void forward(const Head<float>& h, float* scratch) {
  const std::size_t block = rows_at_once(h.queries);
  const auto wide = static_cast<Step>(ahead(h.keys));
  float* const s = scratch;
  float* const one = scratch + block * static_cast<std::size_t>(wide);
  for (std::size_t i = 0; i < h.queries; i += block) {
    const std::size_t rows = h.queries - i < block ? h.queries - i : block;
    logits(h, i, rows, s, wide);
    for (std::size_t r = 0; r < rows; ++r) {
      float* const p = s + static_cast<Step>(r) * wide;
      const float most = finish_logits(h, i + r, p);
      const float from = most == none ? 0.0f : most;
      const Lanes shift = Vec::all(from);
      Lanes sum = Vec::all(0.0f);
      for (std::size_t j = 0; j < h.keys; j += W) {
        const Lanes e = exp_down(Vec::sub(Vec::load(p + j), shift));
        Vec::store(e, p + j);
        sum = Vec::add(sum, e);
      }
      const float total = Vec::total(sum);
      one[r] = total == 0.0f ? 0.0f : 1.0f / total;
      if (h.lse != nullptr) h.lse[i + r] = total == 0.0f ? none : from + log_of(total);
      if (h.weights == nullptr) continue;
      float* const w = h.weights + static_cast<Step>(i + r) * h.weights_row;
      const Lanes part = Vec::all(one[r] * h.share);
      for (std::size_t j = 0; j < h.keys; j += W) {
        const std::size_t n = h.keys - j < W ? h.keys - j : W;
        Lanes weight = Vec::mul(Vec::load(p + j), part);
        if (h.add_weights) weight = Vec::add(weight, Vec::load(w + j, n));
        Vec::store(weight, w + j, n);
      }
    }
    product({s, wide, 1, h.v, h.v_row, h.keys}, rows, h.width,
            StoreRows{h.out + static_cast<Step>(i) * h.out_row, h.out_row, one});
  }
}

inline float dot(const float* a, const float* b, std::size_t n) {
  Lanes sum = Vec::all(0.0f);
  for (std::size_t j = 0; j < n; j += W) {
    const std::size_t m = n - j < W ? n - j : W;
    sum = Vec::fused(Vec::load(a + j, m), Vec::load(b + j, m), sum);
  }
  return Vec::total(sum);
}

// Gradients of the keys of a block: added, or stored if they are the first.
inline void add_to(const Factors& f, std::size_t m, std::size_t n, float* out, Step row, float scale, bool add) {
  add ? product(f, m, n, Add{out, row, scale}) : product(f, m, n, Store{out, row, scale});
}

void backward(const HeadGradient<float>& g, float* scratch) {
  const Head<float>& h = g.head;
  const std::size_t block = rows_at_once(h.queries);
  const auto wide = static_cast<Step>(ahead(h.keys));
  float* const p = scratch;
  float* const d = scratch + block * static_cast<std::size_t>(wide);
  for (std::size_t i = 0; i < h.queries; i += block) {
    const std::size_t rows = h.queries - i < block ? h.queries - i : block;
    const auto at = static_cast<Step>(i);
    const float* const dout = g.out_gradient + at * g.out_gradient_row;
    logits(h, i, rows, p, wide);
    product({dout, g.out_gradient_row, 1, g.turned_v, wide, h.width}, rows, padded(h.keys), Store{d, wide, 1.0f});
    for (std::size_t r = 0; r < rows; ++r) {
      const auto row = static_cast<Step>(r);
      float *const weight = p + row * wide, *const change = d + row * wide;
      (void)finish_logits(h, i + r, weight);
      const float lse = h.lse[i + r];
      const Lanes shift = Vec::all(lse == none ? 0.0f : lse);
      const Lanes delta = Vec::all(dot(dout + row * g.out_gradient_row, h.out + (at + row) * h.out_row, h.width));
      float* const bias = g.bias_gradient == nullptr ? nullptr : g.bias_gradient + (at + row) * g.bias_gradient_row;
      for (std::size_t j = 0; j < h.keys; j += W) {
        const Lanes e = exp_down(Vec::sub(Vec::load(weight + j), shift));
        const Lanes c = Vec::mul(e, Vec::sub(Vec::load(change + j), delta));
        Vec::store(e, weight + j);
        Vec::store(c, change + j);
        if (bias == nullptr) continue;
        const std::size_t n = h.keys - j < W ? h.keys - j : W;
        Vec::store(g.add_bias ? Vec::add(c, Vec::load(bias + j, n)) : c, bias + j, n);
      }
    }
    product({d, wide, 1, g.k, g.k_row, h.keys}, rows, h.depth, Store{g.q_gradient + at * g.q_gradient_row, g.q_gradient_row, h.scale});
    const bool add = g.add_keys || i != 0;
    add_to({d, 1, wide, h.q + at * h.q_row, h.q_row, rows}, h.keys, h.depth, g.k_gradient, g.k_gradient_row, h.scale, add);
    add_to({p, 1, wide, dout, g.out_gradient_row, rows}, h.keys, h.width, g.v_gradient, g.v_gradient_row, 1.0f, add);
  }
}

void turn(const float* rows, Step row, std::size_t n, std::size_t depth, float* out) {
  const std::size_t wide = ahead(n), end = padded(n);
  for (std::size_t j = 0; j < end; j += W) {
    const std::size_t m = j >= n ? 0 : n - j < W ? n - j : W;
    for (std::size_t d = 0; d < depth; d += W) {
      Lanes square[W];
      const std::size_t c = depth - d < W ? depth - d : W;
      for (std::size_t l = 0; l < W; ++l) {
        const float* const from = rows + static_cast<Step>(j + l) * row + d;
        square[l] = l >= m ? Vec::all(0.0f) : c == W ? Vec::load(from) : Vec::load(from, c);
      }
      Vec::turn(square);
      for (std::size_t l = 0; l < c; ++l) Vec::store(square[l], out + (d + l) * wide + j);
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
