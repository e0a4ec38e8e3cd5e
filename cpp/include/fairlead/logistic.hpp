// 1 / (1 + e^-x) and 2^x with the same bits on every machine, which the functions of the C library do not promise.
//
// The logistic function is a table of its Taylor polynomials of degree 7 about each sixteenth, from -40 to 40 (one
// cache line each, 80 KiB, of which a fleet of ratings touches what lies within its spread), so it needs neither exp
// nor a division: half the latency of 1 / (1 + exp(-x)). Precision: within 2 ulp (30 where the value is below e^-40).
// Memory: none but the table.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace fairlead {

struct alignas(64) LogisticPiece {
  double c[8];  // coefficients of r^0 .. r^7, r being the distance from the middle in sixteenths
};

inline constexpr std::uint64_t logistic_reach = 640;  // sixteenths; beyond, the value is within 4.3e-18 of 0 or 1
extern const std::array<LogisticPiece, 2 * logistic_reach + 1> logistic_table;

// Where |x| > 40. `sixteenths` is 16 x.
double logistic_far(double sixteenths) noexcept;

// The logistic function of sixteenths / 16.
inline double logistic16(double sixteenths) noexcept {
  constexpr double shift = 0x1.8p52;  // adding it rounds to an integer, which then stands in the low bits
  const double shifted = sixteenths + shift;
  const std::uint64_t piece =
      std::bit_cast<std::uint64_t>(shifted) - std::bit_cast<std::uint64_t>(shift) + logistic_reach;
  if (piece > 2 * logistic_reach) [[unlikely]]
    return logistic_far(sixteenths);  // NaN, too
  const double r = sixteenths - (shifted - shift);
  const double* const c = logistic_table[static_cast<std::size_t>(piece)].c;
  const double r2 = r * r;
  const double high = (c[4] + c[5] * r) + (c[6] + c[7] * r) * r2;
  return c[0] + ((c[1] * r + (c[2] + c[3] * r) * r2) + high * (r2 * r2));
}

inline double logistic(double x) noexcept { return logistic16(16.0 * x); }

// 2^x for x in [-1022, 1023], within 2 ulp; 0 below, infinity above.
double exp2_portable(double x) noexcept;

}  // namespace fairlead
