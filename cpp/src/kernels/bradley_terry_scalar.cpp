#include "kernels/bradley_terry.hpp"

namespace fairlead::kernels {

static std::size_t tally(const std::int32_t* i, const std::int32_t* j, const double* score, std::size_t n,
                         std::int32_t players, std::uint64_t* table) {
  for (std::size_t k = 0; k < n; ++k) {
    const std::int32_t low = i[k] < j[k] ? i[k] : j[k];
    const std::int32_t high = i[k] < j[k] ? j[k] : i[k];
    if (low < 0 || high >= players || low == high) return k;
    if (score[k] != 0.0 && score[k] != 0.5 && score[k] != 1.0) return k;
    const auto twice = static_cast<unsigned>(2.0 * score[k]);
    const unsigned of_low = i[k] < j[k] ? twice : 2u - twice;
    table[static_cast<std::size_t>(low) * static_cast<std::size_t>(players) + static_cast<std::size_t>(high)] +=
        std::uint64_t{1} << (21u * of_low);
  }
  return n;
}

static void product(std::size_t rows, std::size_t columns, std::size_t depth, const double* a, std::size_t a_stride,
                    const double* b, std::size_t b_stride, double* c, std::size_t c_stride, double sign, bool upper) {
  constexpr std::size_t width = 16;
  for (std::size_t r = 0; r < rows; ++r) {
    // The first tile that is not wholly below the diagonal.
    for (std::size_t first = upper ? r / width * width : 0; first < columns; first += width) {
      const std::size_t w = columns - first < width ? columns - first : width;
      double sum[width] = {};
      for (std::size_t k = 0; k < depth; ++k) {
        const double factor = a[k * a_stride + r];
        const double* const from = b + k * b_stride + first;
        for (std::size_t x = 0; x < w; ++x) sum[x] += factor * from[x];
      }
      double* const to = c + r * c_stride + first;
      for (std::size_t x = 0; x < w; ++x) to[x] += sign * sum[x];
    }
  }
}

static void gradients(const std::int32_t* i, const std::int32_t* j, std::size_t pairs, const double* n, const double* s,
                      const double* p, double* g) {
  for (std::size_t c = 0; c < pairs; ++c) {
    const double* const p_i = p + 8 * static_cast<std::size_t>(i[c]);
    const double* const p_j = p + 8 * static_cast<std::size_t>(j[c]);
    double* const g_i = g + 8 * static_cast<std::size_t>(i[c]);
    double* const g_j = g + 8 * static_cast<std::size_t>(j[c]);
    for (std::size_t lane = 0; lane < 8; ++lane) {
      const double r = s[8 * c + lane] - n[8 * c + lane] * (p_i[lane] / (p_i[lane] + p_j[lane]));
      g_i[lane] += r;
      g_j[lane] -= r;
    }
  }
}

const BradleyTerryKernels bradley_terry_scalar = {compiled_for, tally, product, gradients};

}  // namespace fairlead::kernels
