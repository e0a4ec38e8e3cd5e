#include "fairlead/logistic.hpp"

#include <cmath>
#include <limits>

namespace fairlead {

namespace {

// Double-double arithmetic: the table's values are then rounded once. T. J. Dekker, "A floating-point technique for
// extending the available precision" (1971).
struct Two {
  double high, low;
};

constexpr Two sum(double a, double b) {
  const double s = a + b, t = s - a;
  return {s, (a - (s - t)) + (b - t)};
}

constexpr Two product(double a, double b) {
  constexpr double split = 0x1p27 + 1.0;
  const double p = a * b, sa = split * a, sb = split * b;
  const double ah = sa - (sa - a), bh = sb - (sb - b), al = a - ah, bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

constexpr Two operator*(Two a, Two b) {
  const Two p = product(a.high, b.high);
  return sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

// y / (1 + y) for 0 < y <= 1
constexpr double share(Two y) {
  const Two one_y = sum(1.0, y.high);
  const double below = one_y.low + y.low;
  const double q = y.high / one_y.high;
  const Two p = product(q, one_y.high);
  const double rest = (y.high - p.high) - p.low + (y.low - q * below);
  return q + rest / one_y.high;
}

constexpr auto make_table() {
  std::array<LogisticPiece, 2 * logistic_reach + 1> table{};
  constexpr Two step{0x1.e0fabfbc702a4p-1, -0x1.8d0e700fcfb65p-56};  // e^(-1/16)
  Two y{1.0, 0.0};
  for (std::size_t k = 0; k <= logistic_reach; ++k) {
    double a[8] = {share(y)};
    // f' = f - f^2, term by term
    for (std::size_t n = 0; n < 7; ++n) {
      double square = 0.0;
      for (std::size_t m = 0; m <= n; ++m) square += a[m] * a[n - m];
      a[n + 1] = (a[n] - square) / static_cast<double>(n + 1);
    }
    LogisticPiece& below = table[logistic_reach - k];
    LogisticPiece& above = table[logistic_reach + k];  // f(x) = 1 - f(-x)
    double width = 1.0;
    for (std::size_t n = 0; n < 8; ++n, width /= 16.0) {
      below.c[n] = a[n] * width;
      if (k > 0) above.c[n] = n == 0 ? 1.0 - a[0] : (n % 2 == 0 ? -a[n] : a[n]) * width;
    }
    y = y * step;
  }
  return table;
}

}  // namespace

constinit const std::array<LogisticPiece, 2 * logistic_reach + 1> logistic_table = make_table();

double logistic_far(double sixteenths) noexcept {
  if (sixteenths > 0.0) return 1.0;
  if (!(sixteenths >= -16.0 * 745.0)) return sixteenths != sixteenths ? sixteenths : 0.0;
  constexpr double log2_e = 0x1.71547652b82fep+0;
  return exp2_portable(sixteenths / 16.0 * log2_e);  // 1 + e^x is 1 here
}

double exp2_portable(double x) noexcept {
  if (x != x) return x;
  if (x > 1023.0) return std::numeric_limits<double>::infinity();
  if (x < -1075.0) return 0.0;
  constexpr double shift = 0x1.8p52;
  const double whole = (x + shift) - shift;
  const double r = (x - whole) * 0x1.62e42fefa39efp-1;  // ln 2, so that 2^(x - whole) is e^r with |r| < 0.35
  double sum = 0.0;
  for (int n = 14; n > 0; --n) sum = (1.0 + sum) * r / static_cast<double>(n);
  return std::ldexp(1.0 + sum, static_cast<int>(whole));
}

}  // namespace fairlead
