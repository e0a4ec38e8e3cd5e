// The kernels of kernels/layer.hpp, in loops that a compiler makes vectors of; once for each level.
#pragma once

#include "kernels/layer.hpp"

namespace fairlead::kernels {
namespace {

constexpr std::size_t lanes = 16;

// The sum of f(0 .. n), in the same order at every level.
template <class T, class F>
inline T total(std::size_t n, const F& f) {
  T lane[lanes] = {};
  std::size_t j = 0;
  for (; j + lanes <= n; j += lanes) {
    for (std::size_t l = 0; l < lanes; ++l) lane[l] += f(j + l);
  }
  for (std::size_t l = 0; j + l < n; ++l) lane[l] += f(j + l);
  for (std::size_t half = lanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <class T>
void normalise(const Normalise<T>& x) {
  const auto n = static_cast<T>(x.n);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const T* z = x.in + i * x.n;
    if (x.more != nullptr) {
      const T* const more = x.more + i * x.n;
      T* const sum = x.sum + i * x.n;
      for (std::size_t j = 0; j < x.n; ++j) sum[j] = z[j] + more[j];
      z = sum;
    }
    const T mean = total<T>(x.n, [&](std::size_t j) { return z[j]; }) / n;
    const T var = total<T>(x.n, [&](std::size_t j) { return (z[j] - mean) * (z[j] - mean); }) / n;
    const T rest = T(1) / root(var + x.epsilon);
    if (x.mean != nullptr) {
      x.mean[i] = mean;
      x.rest[i] = rest;
    }
    T* const out = x.out + i * x.n;
    if (x.start != nullptr) {
      for (std::size_t j = 0; j < x.n; ++j) out[j] = (z[j] - mean) * rest * x.by[j] + x.start[j];
    } else {
      for (std::size_t j = 0; j < x.n; ++j) out[j] = (z[j] - mean) * rest * x.by[j];
    }
  }
}

template <class T>
void normalise_gradient(const NormaliseGradient<T>& x) {
  const auto n = static_cast<T>(x.n);
  for (std::size_t i = 0; i < x.rows; ++i) {
    const T *const z = x.sum + i * x.n, *const dy = x.out_gradient + i * x.n;
    T* const dz = x.in_gradient + i * x.n;
    const T mean = x.mean[i], rest = x.rest[i];
    if (x.by_gradient != nullptr) {
      for (std::size_t j = 0; j < x.n; ++j) x.by_gradient[j] += dy[j] * ((z[j] - mean) * rest);
    }
    if (x.start_gradient != nullptr) {
      for (std::size_t j = 0; j < x.n; ++j) x.start_gradient[j] += dy[j];
    }
    const T level = total<T>(x.n, [&](std::size_t j) { return dy[j] * x.by[j]; }) / n;
    const T slope = total<T>(x.n, [&](std::size_t j) { return dy[j] * x.by[j] * ((z[j] - mean) * rest); }) / n;
    for (std::size_t j = 0; j < x.n; ++j) dz[j] = rest * (dy[j] * x.by[j] - level - (z[j] - mean) * rest * slope);
  }
}

template <class T>
void add(T* to, const T* x, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) to[j] += x[j];
}

template <class T>
void sum_rows(const T* x, std::size_t row, std::size_t rows, std::size_t n, T* out) {
  for (std::size_t j = 0; j < n; ++j) out[j] = T(0);
  for (std::size_t i = 0; i < rows; ++i) add(out, x + i * row, n);
}

template <class T>
void mean(const T* x, std::size_t row, std::size_t rows, std::size_t n, T* out) {
  const T part = T(1) / static_cast<T>(rows);
  if (rows == 4) {  // as most layers have
    const T *const a = x + row, *const b = a + row, *const c = b + row;
    for (std::size_t j = 0; j < n; ++j) out[j] = (((x[j] + a[j]) + b[j]) + c[j]) * part;
    return;
  }
  sum_rows(x, row, rows, n, out);
  for (std::size_t j = 0; j < n; ++j) out[j] *= part;
}

// e^y for y <= 0, within 1e-7 of it; see attention_body.hpp.
inline float exp_down(float y) {
  float z = y * 0x1.715476p+0f;
  z = z < -126.0f ? -126.0f : z;
  const float magic = 0x1.8p23f, shifted = z + magic, r = z - (shifted - magic);
  float p = 0x1.5c08e4p-10f;
  p = p * r + 0x1.3d0c52p-7f;
  p = p * r + 0x1.c6b6e4p-5f;
  p = p * r + 0x1.ebf918p-3f;
  p = p * r + 0x1.62e428p-1f;
  p = p * r + 0x1.000002p+0f;
  return __builtin_bit_cast(float, __builtin_bit_cast(unsigned, p) + (__builtin_bit_cast(unsigned, shifted) << 23));
}

inline float tanh_of(float x) {
  const float e = exp_down(-2.0f * __builtin_fabsf(x));
  return __builtin_copysignf((1.0f - e) / (1.0f + e), x);
}
inline double tanh_of(double x) { return __builtin_tanh(x); }

inline float gelu_of(float x) {
  const float z = __builtin_fabsf(x) * 0.70710678f, t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * (p * t) * exp_down(-z * z);  // of the normal distribution, beyond |x|
  return x * (x < 0.0f ? tail : 1.0f - tail);
}
inline double gelu_of(double x) { return 0.5 * x * (1.0 + __builtin_erf(x * 0.70710678118654752)); }

template <class T>
void relu(T* x, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) x[j] = x[j] < T(0) ? T(0) : x[j];  // NaN stays
}
template <class T>
void gelu(T* x, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) x[j] = gelu_of(x[j]);
}
template <class T>
void tanh(T* x, std::size_t n) {
  for (std::size_t j = 0; j < n; ++j) x[j] = tanh_of(x[j]);
}

template <class T>
constexpr LayerKernels<T> layer_kernels() {
  return {compiled_for, normalise<T>, normalise_gradient<T>, add<T>, sum_rows<T>, mean<T>, {relu<T>, gelu<T>, tanh<T>}};
}

}  // namespace
}  // namespace fairlead::kernels
