#include "dense.hpp"

#include <algorithm>
#include <cmath>

namespace fairlead::dense {

namespace {

std::size_t block_of(std::size_t n) noexcept { return n > 256 ? 32 : 16; }

void mirror(Matrix& m) noexcept {
  for (std::size_t i = 1; i < m.n; ++i) {
    for (std::size_t j = 0; j < i; ++j) m(i, j) = m(j, i);
  }
}

}  // namespace

std::size_t factor(const Kernels& kernels, Matrix& h, double least) {
  const std::size_t n = h.n, block = block_of(n);
  std::vector<double> diagonal(n);
  for (std::size_t i = 0; i < n; ++i) diagonal[i] = h(i, i);
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t end = std::min(first + block, n);
    for (std::size_t p = first; p < end; ++p) {
      double* const row = h.row(p);
      if (!(row[p] > least * diagonal[p])) return p;
      const double root = std::sqrt(row[p]), scale = 1.0 / root;
      row[p] = root;
      for (std::size_t k = p + 1; k < n; ++k) row[k] *= scale;
      if (p + 1 < end) {
        kernels.product(end - p - 1, n - p - 1, 1, row + p + 1, n, row + p + 1, n, h.row(p + 1) + p + 1, n, -1.0, true);
      }
    }
    if (end < n) {
      const double* const panel = h.row(first) + end;
      kernels.product(n - end, n - end, end - first, panel, n, panel, n, h.row(end) + end, n, -1.0, true);
    }
  }
  return n;
}

void solve(const Matrix& r, std::span<double> x) noexcept {
  const std::size_t n = r.n;
  for (std::size_t p = 0; p < n; ++p) {
    const double* const row = r.row(p);
    const double value = x[p] / row[p];
    x[p] = value;
    for (std::size_t k = p + 1; k < n; ++k) x[k] -= row[k] * value;
  }
  for (std::size_t p = n; p-- > 0;) {
    const double* const row = r.row(p);
    double sum[4] = {};
    std::size_t k = p + 1;
    for (; k + 4 <= n; k += 4) {
      for (std::size_t lane = 0; lane < 4; ++lane) sum[lane] += row[k + lane] * x[k + lane];
    }
    for (; k < n; ++k) sum[0] += row[k] * x[k];
    x[p] = (x[p] - ((sum[0] + sum[1]) + (sum[2] + sum[3]))) / row[p];
  }
}

Matrix inverse(const Kernels& kernels, const Matrix& r) {
  const std::size_t n = r.n, block = block_of(n);
  Matrix y(n), g(n);  // y = r^-T, lower triangular
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t end = std::min(first + block, n);
    for (std::size_t p = first; p < end; ++p) y(p, p) = 1.0;
    kernels.product(end - first, first, first, r.row(0) + first, n, y.row(0), n, y.row(first), n, -1.0, false);
    for (std::size_t p = first; p < end; ++p) {
      double* const row = y.row(p);
      const double scale = 1.0 / r(p, p);
      for (std::size_t k = 0; k <= p; ++k) row[k] *= scale;
      if (p + 1 < end)
        kernels.product(end - p - 1, p + 1, 1, r.row(p) + p + 1, n, row, n, y.row(p + 1), n, -1.0, false);
    }
    kernels.product(end, end, end - first, y.row(first), n, y.row(first), n, g.row(0), n, 1.0, true);
  }
  mirror(g);
  return g;
}

Matrix sandwich(const Kernels& kernels, const Matrix& g, const Matrix& m) {
  Matrix middle(g.n), out(g.n);
  kernels.product(g.n, g.n, g.n, m.row(0), g.n, g.row(0), g.n, middle.row(0), g.n, 1.0, false);
  kernels.product(g.n, g.n, g.n, g.row(0), g.n, middle.row(0), g.n, out.row(0), g.n, 1.0, true);
  mirror(out);
  return out;
}

}  // namespace fairlead::dense
