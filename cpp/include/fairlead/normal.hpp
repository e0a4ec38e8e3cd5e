// The functions that rating rules spend their time in, inlined: exp and the normal distribution.
// (The logistic function is in logistic.hpp.)
//
// Precision (relative, measured in cpp/tests/test_normal.cpp): exp 4e-16 within [-708, 709]; mills 1e-15 on [0, inf);
// normal_cdf 1e-15 for x > -1 and (x^2 / 2 + 5) * 2e-16 below; truncated_above 1e-14, far below -10 its w 1e-11. All
// give the same bits on every machine: additions, multiplications and divisions only, no math library, no fused
// multiply-add. Memory: none.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace fairlead {

// e^x; x is taken no further than [-708, 709], so the result is never 0 nor infinite. NaN gives NaN.
inline double exp_inline(double x) noexcept {
  x = x > 709.0 ? 709.0 : x < -708.0 ? -708.0 : x;
  // x = n ln 2 + r. Adding 1.5 * 2^52 rounds to an integer, which then lies in the lowest bits.
  constexpr double magic = 0x1.8p52;
  const double shifted = x * 0x1.71547652b82fep0 + magic;
  const double n = shifted - magic;
  const double r = (x - n * 0x1.62e42fefa0000p-1) - n * 0x1.cf79abc9e3b3ap-40;
  // Minimax for e^r on [-ln 2 / 2, ln 2 / 2], degree 11: 3e-18.
  const double r2 = r * r, r4 = r2 * r2;
  const double low =
      (0.16666666666666166 + r * 0.04166666666649243) + r2 * (0.008333333333559382 + r * 0.001388888895125701);
  const double high = (0.00019841269432566554 + r * 2.4801486485520618e-05) +
                      r2 * (2.7557622543887344e-06 + r * 2.763230675915368e-07) + r4 * 2.49943256273634e-08;
  const double p = 1.0 + (r + r2 * (0.5000000000000018 + r * (low + r4 * high)));
  return std::bit_cast<double>(std::bit_cast<std::uint64_t>(p) + (std::bit_cast<std::uint64_t>(shifted) << 52));
}

namespace detail {

// Mills' ratio (1 - Phi(y)) / phi(y) as numerator over denominator, for y >= 0: the rational function of degrees 10 and
// 11 with the smallest relative error on [0, inf), 1.2e-17. All coefficients are positive, so nothing cancels.
struct Ratio {
  double over;
  double under;
};

inline Ratio mills_ratio(double y) noexcept {
  y = y < 1e20 ? y : 1e20;
  constexpr double p[] = {1458852.525122045,  2510052.743628114,  2133031.5112201013, 1160457.2878108567,
                          444032.88367856375, 124408.83916853038, 25834.53504555661,  3934.625853100184,
                          422.7407553453602,  29.193663905490887};
  constexpr double q[] = {1163995.9062831542, 2931466.693402815,  3458886.9725407874, 2529548.2404880966,
                          1277288.8330941186, 469031.93654554064, 128285.07770842516, 26255.275800697294,
                          3963.819517007297,  423.74075534535444, 29.193663905490894};
  // Even and odd powers apart: half as long a chain of operations.
  const double z = y * y;
  const double p_even = ((((1.0 * z + p[8]) * z + p[6]) * z + p[4]) * z + p[2]) * z + p[0];
  const double p_odd = (((p[9] * z + p[7]) * z + p[5]) * z + p[3]) * z + p[1];
  const double q_even = ((((q[10] * z + q[8]) * z + q[6]) * z + q[4]) * z + q[2]) * z + q[0];
  const double q_odd = ((((1.0 * z + q[9]) * z + q[7]) * z + q[5]) * z + q[3]) * z + q[1];
  return {p_even + y * p_odd, q_even + y * q_odd};
}

}  // namespace detail

// (1 - Phi(y)) / phi(y) for y >= 0, where phi is the standard normal density and Phi its distribution function.
inline double mills(double y) noexcept {
  const auto [over, under] = detail::mills_ratio(y);
  return over / under;
}

inline double normal_pdf(double x) noexcept { return 0x1.9884533d43651p-2 * exp_inline(-0.5 * (x * x)); }

inline double normal_cdf(double x) noexcept {
  const double tail = normal_pdf(x) * mills(x < 0.0 ? -x : x);
  return x < 0.0 ? tail : 1.0 - tail;
}

// The first two moments of a standard normal that is known to exceed -x: its mean v = phi(x) / Phi(x), and w = v (v +
// x), by which its variance is smaller than 1.
struct Truncated {
  double v;
  double w;
};

inline Truncated truncated_above(double x) noexcept {
  const double y = x < 0.0 ? -x : x;
  const auto [over, under] = detail::mills_ratio(y);
  if (x >= 0.0) {
    const double density = normal_pdf(x);
    const double v = density * under / (under - density * over);
    return {v, v * (v + x)};
  }
  // v - y = (under - y over) / over: the difference of the two polynomials, taken before they were rounded.
  constexpr double d[] = {1163995.9062831542, 1472614.1682807703, 948834.2289126733,
                          396516.7292679953,  116831.54528326202, 24999.052866976865,
                          3876.23853989478,   420.7407551406813,  29.19366390711273};
  const double far = y < 1e20 ? y : 1e20;
  const double z = far * far;
  const double even = (((d[8] * z + d[6]) * z + d[4]) * z + d[2]) * z + d[0];
  const double odd = (((1.0 * z + d[7]) * z + d[5]) * z + d[3]) * z + d[1];
  const double v = under / over;
  return {v, std::min(1.0, v * ((even + far * odd) / over))};
}

}  // namespace fairlead
