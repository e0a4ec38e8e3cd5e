// What a layer does beside its products: LayerNorm with its gradients, activations, sums of columns.
//
//   J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer Normalization", 2016; gelu(x) = x Phi(x), D. Hendrycks, K. Gimpel, 2016.
//
// Precision: sums run in sixteen lanes that are added pairwise, nothing is fused, so every level gives the bits of the scalar
// one. In float, tanh is within 2e-7 and gelu within 2e-7 |x| (erf of Abramowitz and Stegun, 7.1.26). Memory: the caller's.
#pragma once

#include <cstddef>

#include "kernels/level.hpp"

namespace fairlead::kernels {

// Rows of n numbers, one row after the other. out = (z - mean) / sqrt(var + epsilon) * by + start, z = in + more.
template <class T>
struct Normalise {
  std::size_t rows = 0, n = 0;
  const T* in = nullptr;
  const T* more = nullptr;  // or null
  T* sum = nullptr;         // z; may be null without `more`, may be `in` or `out`
  T epsilon = T(1e-5);
  const T* by = nullptr;
  const T* start = nullptr;  // or null
  T* out = nullptr;          // may be `in`
  T* mean = nullptr;         // [rows], with `rest`, or null
  T* rest = nullptr;         // 1 / sqrt(var + epsilon)
};

// in_gradient is made; by_gradient and start_gradient are added to, where they are not null.
template <class T>
struct NormaliseGradient {
  std::size_t rows = 0, n = 0;
  const T* sum = nullptr;  // z
  const T *mean = nullptr, *rest = nullptr, *by = nullptr;
  const T* out_gradient = nullptr;
  T* in_gradient = nullptr;  // may be out_gradient
  T *by_gradient = nullptr, *start_gradient = nullptr;
};

template <class T>
struct LayerKernels {
  Simd level;
  void (*normalise)(const Normalise<T>&);
  void (*normalise_gradient)(const NormaliseGradient<T>&);
  void (*add)(T* to, const T* x, std::size_t n);
  void (*sum_rows)(const T* x, std::size_t row, std::size_t rows, std::size_t n, T* out);  // out[j] = sum of x[i][j]
  void (*mean)(const T* x, std::size_t row, std::size_t rows, std::size_t n, T* out);      // the mean of x[i][j]
  void (*activate[3])(T* x, std::size_t n);                                                 // relu, gelu, tanh
};

extern const LayerKernels<float> layer_scalar, layer_avx2, layer_avx512;
extern const LayerKernels<double> layer_double;

}  // namespace fairlead::kernels
