// Symmetric positive definite matrices, row-major, made of one kernel: products of the form a^T b.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "kernels/bradley_terry.hpp"

namespace fairlead::dense {

using Kernels = kernels::BradleyTerryKernels;

struct Matrix {
  std::size_t n = 0;
  std::vector<double> values;

  Matrix() = default;
  explicit Matrix(std::size_t size) : n(size), values(size * size) {}
  double* row(std::size_t i) noexcept { return values.data() + i * n; }
  const double* row(std::size_t i) const noexcept { return values.data() + i * n; }
  double& operator()(std::size_t i, std::size_t j) noexcept { return values[i * n + j]; }
  double operator()(std::size_t i, std::size_t j) const noexcept { return values[i * n + j]; }
};

// h = r^T r, r upper triangular and in place of h, of which only the upper half is read. The result is n, or the first
// pivot that is not above `least` times its diagonal: h is then (nearly) singular.
std::size_t factor(const Kernels& kernels, Matrix& h, double least);

// Solves r^T r x = b in place.
void solve(const Matrix& r, std::span<double> x) noexcept;

// (r^T r)^-1.
Matrix inverse(const Kernels& kernels, const Matrix& r);

// g m g of symmetric g and m.
Matrix sandwich(const Kernels& kernels, const Matrix& g, const Matrix& m);

}  // namespace fairlead::dense
