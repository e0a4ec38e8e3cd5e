#include <cmath>

#include "kernels/sliding.hpp"

namespace fairlead::kernels {
namespace {

struct V {
  double lane[8];
};

template <class F>
V each(F f) {
  V r;
  for (int i = 0; i < 8; ++i) r.lane[i] = f(i);
  return r;
}

V load(const double* p) { return each([&](int i) { return p[i]; }); }
void store(double* p, const V& v) {
  for (int i = 0; i < 8; ++i) p[i] = v.lane[i];
}
V same(double a) { return each([&](int) { return a; }); }
V operator+(const V& a, const V& b) { return each([&](int i) { return a.lane[i] + b.lane[i]; }); }
V operator-(const V& a, const V& b) { return each([&](int i) { return a.lane[i] - b.lane[i]; }); }
V operator*(const V& a, const V& b) { return each([&](int i) { return a.lane[i] * b.lane[i]; }); }
V operator/(const V& a, const V& b) { return each([&](int i) { return a.lane[i] / b.lane[i]; }); }
V root(const V& a) { return each([&](int i) { return std::sqrt(a.lane[i]); }); }
V lower(const V& a, const V& b) { return each([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; }); }
V upper(const V& a, const V& b) { return each([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; }); }
template <int k>
V up(const V& v, const V& fill) {
  return each([&](int i) { return i >= k ? v.lane[i - k] : fill.lane[i]; });
}
template <int k>
V down(const V& v, const V& fill) {
  return each([&](int i) { return i + k < 8 ? v.lane[i + k] : fill.lane[i]; });
}
V first(const V& v) { return same(v.lane[0]); }
V last(const V& v) { return same(v.lane[7]); }
V gather(const double* base, const std::int64_t* at, std::int64_t from) {
  return each([&](int i) { return base[at[i] - from]; });
}
V length(const std::int64_t* lo, const std::int64_t* hi) {
  return each([&](int i) { return static_cast<double>(hi[i] - lo[i]); });
}
// a where x < y, else b.
V where_less(const V& x, const V& y, const V& a, const V& b) {
  return each([&](int i) { return x.lane[i] < y.lane[i] ? a.lane[i] : b.lane[i]; });
}
bool any_less(const V& x, const V& y) {
  bool any = false;
  for (int i = 0; i < 8; ++i) any |= x.lane[i] < y.lane[i];
  return any;
}
bool any_nan(const V& x) {
  bool any = false;
  for (int i = 0; i < 8; ++i) any |= x.lane[i] != x.lane[i];
  return any;
}

// How many times are before each of eight bounds, the last the latest, counting on from k; returns the last.
std::size_t before_each(const std::int64_t* times, std::size_t k, const std::int64_t* bound, std::int64_t* count) {
  for (int i = 0; i < 8; ++i) {
    while (times[k] < bound[i]) ++k;
    count[i] = static_cast<std::int64_t>(k);
  }
  return k;
}

}  // namespace
}  // namespace fairlead::kernels

#include "kernels/sliding_body.hpp"

namespace fairlead::kernels {
const SlidingKernels sliding_scalar = sliding_table;
}
