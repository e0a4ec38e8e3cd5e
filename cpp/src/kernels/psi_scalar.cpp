#include "kernels/psi.hpp"

namespace fairlead::kernels {

static std::uint64_t count_above(const double* x, std::size_t n, const double* edges, std::size_t n_edges,
                                 std::uint64_t* above) {
  std::uint64_t numbers = 0;
  for (std::size_t i = 0; i < n; ++i) {
    numbers += x[i] == x[i] ? 1 : 0;
    for (std::size_t e = 0; e < n_edges; ++e) above[e] += x[i] > edges[e] ? 1 : 0;
  }
  return numbers;
}

const PsiKernels psi_scalar = {compiled_for, count_above};

}  // namespace fairlead::kernels
