#include "kernels/psi.hpp"

namespace fairlead::kernels {

namespace {

template <class T>
std::uint64_t count(const T* x, std::size_t n, const T* edges, std::size_t n_edges, std::uint64_t* above) {
  std::uint64_t numbers = 0;
  for (std::size_t i = 0; i < n; ++i) {
    numbers += x[i] == x[i] ? 1 : 0;
    for (std::size_t e = 0; e < n_edges; ++e) above[e] += x[i] > edges[e] ? 1 : 0;
  }
  return numbers;
}

void count_rows(const double* x, std::size_t rows, std::size_t stride, const double* edges, std::size_t n_edges,
                std::uint64_t* above, const double*) {
  for (std::size_t r = 0; r < rows; ++r, x += stride) {
    for (std::size_t e = 0; e < n_edges; ++e) {
      for (std::size_t c = 0; c < psi_columns; ++c)
        above[e * psi_columns + c] += x[c] > edges[e * psi_columns + c] ? 1 : 0;
    }
    for (std::size_t c = 0; c < psi_columns; ++c) above[n_edges * psi_columns + c] += x[c] == x[c] ? 1 : 0;
  }
}

std::uint32_t cell(double x, const Cells& map) {
  const double at = (x - map.low) * map.scale;
  const double last = static_cast<double>(map.last);
  const double clamped = at > 0.0 ? at : 0.0;  // NaN too: scale 0 times infinity
  return static_cast<std::uint32_t>(clamped < last ? clamped : last);
}

void count_bins(const double* x, std::size_t n, const EdgeTable& table, std::uint32_t* counts) {
  for (std::size_t i = 0; i < n; ++i) {
    if (x[i] != x[i]) {
      ++counts[table.nan_bin];
      continue;
    }
    std::uint32_t bin = table.first[cell(x[i], table.cells)];
    for (std::uint32_t step = (1u << table.steps) >> 1; step > 0; step >>= 1) {
      bin += step & (0u - static_cast<std::uint32_t>(x[i] > table.edges[bin + step - 1]));  // no branch on x
    }
    ++counts[bin];
  }
}

void cells(const double* x, std::size_t n, const Cells& map, std::uint16_t* out) {
  for (std::size_t i = 0; i < n; ++i) {
    out[i] = static_cast<std::uint16_t>(x[i] == x[i] ? cell(x[i], map) : map.last + 1);
  }
}

}  // namespace

const PsiKernels psi_scalar = {compiled_for, count<double>, count<float>, count_rows, count_bins, cells};

}  // namespace fairlead::kernels
