#include <bit>
#include <cmath>

#include "kernels/sweep.hpp"

namespace fairlead::kernels {

// Matches outside, lanes inside; what the wider levels do, lane by lane.
static void run(SweepBlock& b) {
  const double* const c = sweep_exp2;
  for (std::size_t m = 0; m < b.n; ++m) {
    double* const first = b.ratings + static_cast<std::size_t>(b.i[m]) * sweep_lanes;
    double* const second = b.ratings + static_cast<std::size_t>(b.j[m]) * sweep_lanes;
    const double* const score = b.score + m * b.score_stride;
    const double weight = b.weight != nullptr ? b.weight[m] : 1.0;
    for (std::size_t l = 0; l < sweep_lanes; ++l) {
      double x = std::fma(second[l] - first[l], b.exponent[l], b.home[l]);
      x = x < sweep_most_doublings ? x : sweep_most_doublings;
      x = x > -sweep_most_doublings ? x : -sweep_most_doublings;
      const double shifted = x + sweep_round;
      const double r = x - (shifted - sweep_round);
      const double r2 = r * r;
      double even = c[10], odd = c[9];
      for (int n = 8; n >= 0; n -= 2) even = std::fma(even, r2, c[n]);
      for (int n = 7; n >= 1; n -= 2) odd = std::fma(odd, r2, c[n]);
      const double p = std::fma(odd, r, even);
      const double odds =
          std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) + (std::bit_cast<std::uint64_t>(shifted) << 52));
      // The last bit is cleared, as the reciprocal of 1.11...1 (binary) is the one that AVX-512 would round otherwise.
      const double base = std::bit_cast<double>(std::bit_cast<std::uint64_t>(1.0 + odds) & ~std::uint64_t{1});
      const double s = score[b.score_each ? l : 0];
      const double surprise = s - 1.0 / base;
      const double change = b.weight != nullptr ? b.k[l] * weight : b.k[l];
      first[l] = std::fma(change, surprise, first[l]);
      second[l] = std::fma(-change, surprise, second[l]);
      b.brier[l] = std::fma(surprise, surprise, b.brier[l]);
      b.linear[l] = std::fma(1.0 - s, x, b.linear[l]);
      b.product[l] *= base;
      if (m % 4 == 3 || m + 1 == b.n) {
        const std::uint64_t bits = std::bit_cast<std::uint64_t>(b.product[l]);
        b.doublings[l] += static_cast<double>(static_cast<std::int64_t>(bits >> 52) - 1023);
        b.product[l] = std::bit_cast<double>((bits & 0x000fffffffffffffu) | 0x3ff0000000000000u);
      }
    }
  }
}

const SweepKernels sweep_scalar = {compiled_for, run};

}  // namespace fairlead::kernels
