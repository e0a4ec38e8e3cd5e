// log and exp for kernels, written once for a double and for vectors of doubles (GCC's and Clang's vector extension).
//
// Only +, -, x, / and operations on bits, never a fused multiply-add: every instruction set and every machine gives the
// same bits. Precision, against long arithmetic: log_ratio within 2.5 ulp, exp_bounded within 1.5 ulp. The polynomials
// are Chebyshev fits of this project, with errors below 1e-18.
//
// For files of kernels: no standard library, and all in the unnamed namespace, so that no symbol is weak (see
// dispatch.hpp).
#pragma once

#include <cstddef>
#include <cstdint>

namespace fairlead::kernels {
namespace {

// What a vector V of doubles can do beyond arithmetic. A file of kernels adds that of its own V.
template <class V>
struct Lanes;

template <>
struct Lanes<double> {
  using Bits = std::uint64_t;
  static constexpr std::size_t width = 1;
  static double load(const double* p) { return *p; }
  static double load(const double* p, std::size_t) { return *p; }  // with a stride between lanes
  static void store(double x, double* p, std::size_t) { *p = x; }
  static double get(double x, std::size_t) { return x; }
  static void set(double& x, std::size_t, double value) { x = value; }
};

template <class V>
inline typename Lanes<V>::Bits bits_of(V x) {
  return __builtin_bit_cast(typename Lanes<V>::Bits, x);
}

template <class V>
inline V from_bits(typename Lanes<V>::Bits bits) {
  return __builtin_bit_cast(V, bits);
}

template <class V>
inline V all(double x) {
  return V{} + x;
}

// ln(a / b) of positive normal numbers whose ratio lies in [2^-1000, 2^1000]. With a = 2^k a' and a' within a
// factor 1.51 of b it is k ln 2 + 2 atanh((a' - b) / (a' + b)), where a' - b is exact: the only division is of
// logarithm and ratio alike.
template <class V>
inline V log_ratio(V a, V b) {
  using Bits = typename Lanes<V>::Bits;
  constexpr double shift = 0x1.8p52;
  constexpr std::uint64_t bias = 2048;
  // The difference of bit patterns is a logarithm to base 2, within 0.09; biased, so that the shift need not know
  // signs.
  const Bits k = (bits_of(a) - bits_of(b) + ((bias << 52) + (1ull << 51))) >> 52;
  const V scaled = a * from_bits<V>((bias + 1023 - k) << 52);
  const V s = (scaled - b) / (scaled + b);
  const V z = s * s, z2 = z * z;
  const V q =
      ((0x1.5555555555555p-2 + z * 0x1.9999999999fb5p-3) + z2 * (0x1.24924923cd311p-3 + z * 0x1.c71c72f5a823ap-4)) +
      (z2 * z2) *
          ((0x1.745ca575beb47p-4 + z * 0x1.3b2adeb1ebfa6p-4) + z2 * (0x1.0e77aa8215e45p-4 + z * 0x1.173a241c43d1cp-4));
  const V twice = s + s;
  const V whole = from_bits<V>(k + (0x4338000000000000ull - bias)) - shift;  // k as a number
  return whole * 0x1.62e42fec00000p-1 + (whole * 0x1.d1cf79abc9e3bp-32 + (twice + twice * (z * q)));
}

// e^x for x <= 0; where x < -708 it is e^-708, 3e-308, which keeps clear of denormal numbers.
template <class V>
inline V exp_bounded(V x) {
  constexpr double shift = 0x1.8p52;
  x = x < -708.0 ? all<V>(-708.0) : x;  // NaN stays
  const V shifted = x * 0x1.71547652b82fep+0 + shift;
  const V whole = shifted - shift;
  const V r = (x - whole * 0x1.62e42fec00000p-1) - whole * 0x1.d1cf79abc9e3bp-32;
  const V r2 = r * r, r4 = r2 * r2;
  const V q =
      ((0x1.5555555555555p-3 + r * 0x1.5555555554cb2p-5) + r2 * (0x1.1111111110e69p-7 + r * 0x1.6c16c17393002p-10)) +
      r4 * (((0x1.a01a01a4b5021p-13 + r * 0x1.a019c99634817p-16) +
             r2 * (0x1.71de17dab6782p-19 + r * 0x1.2880562d283e2p-22)) +
            r4 * 0x1.af238498b289ap-26);
  const V e = 1.0 + (r + (r2 * 0.5 + (r * r2) * q));
  return from_bits<V>(bits_of(e) + (bits_of(shifted) << 52));
}

// 1 / (1 + e^-x), which keeps its relative precision near 0.
template <class V>
inline V logistic_of(V x) {
  const V e = exp_bounded(x > 0.0 ? -x : x);
  return (x > 0.0 ? all<V>(1.0) : e) / (1.0 + e);
}

}  // namespace
}  // namespace fairlead::kernels
