// Products with a packed matrix against sums in double, with and without the matrix unit.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/packed_matrix.hpp"

namespace fl = fairlead;

TEST_CASE("products, and parts of them") {
  std::mt19937 dice(1);
  std::normal_distribution<float> normal;
  for (const bool tiles : {false, true}) {
    for (const bool turned : {false, true}) {
      for (const std::size_t m : {1u, 5u, 16u, 23u, 32u, 47u, 64u, 200u}) {
        for (const auto& [rows, columns] : {std::pair{32u, 16u}, {40u, 24u}, {64u, 192u}, {96u, 80u}, {192u, 33u}, {7u, 5u}}) {
          std::vector<float> weight(rows * columns), in(m * rows), start(columns);
          for (auto* const numbers : {&weight, &in, &start})
            for (float& x : *numbers) x = normal(dice);
          fl::PackedMatrix<float> matrix;
          REQUIRE(matrix.pack(weight.data(), rows, columns, turned, tiles) == fl::Status::ok);
          struct Part {
            std::size_t first, last, row, depth;
          };
          for (const Part part : {Part{0, columns, 0, 0}, Part{16, columns, 0, 0}, Part{0, 16, 32, 64}, Part{3, 5, 0, 0}}) {
            const std::size_t last = std::min<std::size_t>(part.last, columns);
            const std::size_t depth = part.depth == 0 ? rows : part.depth;
            if (part.first >= last || part.row + depth > rows) continue;
            const std::size_t n = last - part.first, in_row = depth + 3, out_row = n + 2;
            std::vector<float> out(m * out_row, -7.0f), given(m * in_row);
            for (std::size_t i = 0; i < m; ++i) std::copy_n(in.begin() + static_cast<std::ptrdiff_t>(i * rows), depth, given.begin() + static_cast<std::ptrdiff_t>(i * in_row));
            matrix.multiply({m, given.data(), in_row, start.data(), out.data(), out_row, part.first, part.last, part.row, part.depth, tiles});
            double worst = 0.0;
            for (std::size_t i = 0; i < m; ++i) {
              for (std::size_t j = 0; j < n; ++j) {
                double sum = static_cast<double>(start[part.first + j]), size = std::abs(sum);
                for (std::size_t k = 0; k < depth; ++k) {
                  const std::size_t r = part.row + k, c = part.first + j;
                  const double product = static_cast<double>(weight[turned ? c * rows + r : r * columns + c]) * static_cast<double>(in[i * rows + k]);
                  sum += product;
                  size += std::abs(product);
                }
                worst = std::max(worst, std::abs(static_cast<double>(out[i * out_row + j]) - sum) / size);
              }
              CHECK(out[i * out_row + n] == -7.0f);  // nothing is written beyond
            }
            CHECK(worst < 6e-7);
          }
        }
      }
    }
  }
}

TEST_CASE("what is not finite stays in its row") {
  constexpr std::size_t n = 64;
  std::vector<float> weight(n * n, 0.5f), in(20 * n, 1.0f), out(20 * n);
  in[3 * n + 7] = std::numeric_limits<float>::infinity();
  in[5 * n + 9] = std::numeric_limits<float>::quiet_NaN();
  in[6 * n + 1] = 3.4e38f;
  for (const bool tiles : {false, true}) {
    fl::PackedMatrix<float> matrix;
    REQUIRE(matrix.pack(weight.data(), n, n, true, tiles) == fl::Status::ok);
    matrix.multiply({20, in.data(), n, nullptr, out.data(), n, 0, n, 0, 0, tiles});
    for (std::size_t i = 0; i < 20; ++i) {
      if (i == 3 || i == 5 || i == 6) continue;
      CHECK(out[i * n] == 32.0f);
    }
    CHECK_FALSE(std::isfinite(out[3 * n]));
    CHECK(std::isnan(out[5 * n + 63]));
  }
}
