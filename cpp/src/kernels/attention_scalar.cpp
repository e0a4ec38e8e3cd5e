// The oracle: one number at a time, in the order of the formulas.
#include "kernels/attention.hpp"

#include <cmath>
#include <limits>

namespace fairlead::kernels {

namespace {

template <class T>
void turn(const T* rows, Step row, std::size_t n, std::size_t depth, T* out) {
  const std::size_t wide = ahead(n);
  for (std::size_t d = 0; d < depth; ++d) {
    for (std::size_t j = 0; j < wide; ++j) out[d * wide + j] = j < n ? rows[static_cast<Step>(j) * row + static_cast<Step>(d)] : T(0);
  }
}

// Logits of one query: q k^T scale + bias, -inf where the mask says so.
template <class T>
void logits(const Head<T>& h, std::size_t i, T* to) {
  const std::size_t wide = ahead(h.keys);
  const auto at = static_cast<Step>(i);
  for (std::size_t j = 0; j < h.keys; ++j) {
    const auto key = static_cast<Step>(j);
    T sum = 0;
    for (std::size_t d = 0; d < h.depth; ++d) sum += h.q[at * h.q_row + static_cast<Step>(d)] * h.turned_k[d * wide + j];
    to[j] = sum * h.scale;
    if (h.bias != nullptr) to[j] += h.bias[at * h.bias_row + key * h.bias_key];
    if (h.mask != nullptr && h.mask[at * h.mask_row + key * h.mask_key] == 0) to[j] = -std::numeric_limits<T>::infinity();
  }
}

template <class T>
void forward(const Head<T>& h, T* scratch) {
  constexpr T none = -std::numeric_limits<T>::infinity();
  for (std::size_t i = 0; i < h.queries; ++i) {
    const auto at = static_cast<Step>(i);
    T* const p = scratch;
    logits(h, i, p);
    T most = none;
    for (std::size_t j = 0; j < h.keys; ++j) most = p[j] > most || p[j] != p[j] ? p[j] : most;
    const T from = most == none ? T(0) : most;
    T sum = 0;
    for (std::size_t j = 0; j < h.keys; ++j) sum += p[j] = std::exp(p[j] - from);
    const T one = sum == T(0) ? T(0) : T(1) / sum;
    for (std::size_t c = 0; c < h.width; ++c) {
      T total = 0;
      for (std::size_t j = 0; j < h.keys; ++j) total += p[j] * h.v[static_cast<Step>(j) * h.v_row + static_cast<Step>(c)];
      h.out[at * h.out_row + static_cast<Step>(c)] = total * one;
    }
    if (h.lse != nullptr) h.lse[i] = from + std::log(sum);
    if (h.weights != nullptr) {
      T* const w = h.weights + at * h.weights_row;
      for (std::size_t j = 0; j < h.keys; ++j) w[j] = (h.add_weights ? w[j] : T(0)) + p[j] * (one * h.share);
    }
  }
}

template <class T>
void backward(const HeadGradient<T>& g, T* scratch) {
  const Head<T>& h = g.head;
  const std::size_t wide = ahead(h.keys);
  if (!g.add_keys) {
    for (std::size_t j = 0; j < h.keys; ++j) {
      const auto key = static_cast<Step>(j);
      for (std::size_t d = 0; d < h.depth; ++d) g.k_gradient[key * g.k_gradient_row + static_cast<Step>(d)] = 0;
      for (std::size_t c = 0; c < h.width; ++c) g.v_gradient[key * g.v_gradient_row + static_cast<Step>(c)] = 0;
    }
  }
  T* const p = scratch;
  for (std::size_t i = 0; i < h.queries; ++i) {
    const auto at = static_cast<Step>(i);
    const T* const dout = g.out_gradient + at * g.out_gradient_row;
    logits(h, i, p);
    const T lse = h.lse[i] == -std::numeric_limits<T>::infinity() ? T(0) : h.lse[i];
    T delta = 0;
    for (std::size_t c = 0; c < h.width; ++c) delta += dout[c] * h.out[at * h.out_row + static_cast<Step>(c)];
    T* const dq = g.q_gradient + at * g.q_gradient_row;
    for (std::size_t d = 0; d < h.depth; ++d) dq[d] = 0;
    for (std::size_t j = 0; j < h.keys; ++j) {
      const auto key = static_cast<Step>(j);
      const T weight = std::exp(p[j] - lse);
      T dp = 0;
      for (std::size_t c = 0; c < h.width; ++c) dp += dout[c] * g.turned_v[c * wide + j];
      const T ds = weight * (dp - delta);
      if (g.bias_gradient != nullptr) {
        T& to = g.bias_gradient[at * g.bias_gradient_row + key];
        to = (g.add_bias ? to : T(0)) + ds;
      }
      for (std::size_t c = 0; c < h.width; ++c) g.v_gradient[key * g.v_gradient_row + static_cast<Step>(c)] += weight * dout[c];
      for (std::size_t d = 0; d < h.depth; ++d) {
        dq[d] += ds * h.scale * g.k[key * g.k_row + static_cast<Step>(d)];
        g.k_gradient[key * g.k_gradient_row + static_cast<Step>(d)] += ds * h.scale * h.q[at * h.q_row + static_cast<Step>(d)];
      }
    }
  }
}

template <class T>
void multiply(const Layout<T>& x) {
  for (std::size_t i = 0; i < x.m; ++i) {
    for (std::size_t j = 0; j < x.n; ++j) {
      T sum = x.start != nullptr ? x.start[j] : T(0);
      for (std::size_t k = 0; k < x.k; ++k) {
        sum += x.in[static_cast<Step>(i) * x.in_row + static_cast<Step>(k) * x.in_k] * x.by[static_cast<Step>(k) * x.by_row + static_cast<Step>(j)];
      }
      T& out = x.out[static_cast<Step>(i) * x.out_row + static_cast<Step>(j)];
      out = x.add ? out + sum : sum;
    }
  }
}

}  // namespace

const AttentionKernels<float> attention_scalar = {compiled_for, turn<float>, forward<float>, backward<float>, multiply<float>};
const AttentionKernels<double> attention_double = {compiled_for, turn<double>, forward<double>, backward<double>, multiply<double>};

}  // namespace fairlead::kernels
