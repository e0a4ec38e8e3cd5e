// The sums behind `Windows`: what enters is added, what leaves is subtracted, and neither leaves a trace.
//
// Differences from a pivot near the mean are summed, each sum as an unevaluated pair of doubles (D. E. Knuth's TwoSum,
// "The Art of Computer Programming" 2, 4.2.2), so that what left is gone to about 2^-100 of the largest sum since the
// last rebuild. A window is rebuilt from its samples, about a new pivot, when its mean has wandered from the pivot (sum
// of squares > 8 M2) or when M2 fell below 2^-30 of the largest sum of squares: a spike that left, a level that
// decayed. So a variance is never negative, and a constant window has variance exactly 0: its pivot is the constant.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace fairlead::detail {

// sum + rest, the rest being what rounding took from the sum.
struct Pair {
  double sum = 0.0;
  double rest = 0.0;

  void add(double v) noexcept {
    const double s = sum + v;
    const double w = s - sum;
    rest += (sum - (s - w)) + (v - w);
    sum = s;
  }
  double value() const noexcept { return sum + rest; }
};

constexpr double wander = 8.0;           // sum of squares over M2 that asks for a new pivot
constexpr double collapse = 1073741824;  // 2^30: largest sum of squares over M2 that asks for a rebuild

// First and second moments of a window about `pivot`. The last two are what is read: mean - pivot, and M2.
struct Sums {
  double pivot = 0.0;
  Pair d, dd;
  double top = 0.0;  // largest sum of squares since the pivot was set
  double shift = 0.0, m2 = 0.0;

  void start(double x) noexcept { *this = Sums{.pivot = x, .d = {}, .dd = {}}; }
  void enter(double x) noexcept {
    const double v = x - pivot;
    d.add(v);
    dd.add(v * v);
  }
  void leave(double x) noexcept {
    const double v = x - pivot;
    d.add(-v);
    dd.add(-(v * v));
  }
  // Brings shift and m2 up to date for n samples; false when the window must be rebuilt.
  bool settle(double n) noexcept {
    const double s = d.value(), squares = dd.value();
    shift = s / n;
    m2 = squares - shift * s;
    top = std::max(top, squares);
    return m2 * wander >= squares && m2 * collapse >= top;
  }
  double mean() const noexcept { return pivot + shift; }
};

// Third and fourth moments, about the pivot of Sums.
struct High {
  Pair ddd, dddd;
  double top = 0.0;
  double m3 = 0.0, m4 = 0.0;

  void add(double v, double sign) noexcept {
    const double v2 = v * v;
    ddd.add(sign * (v2 * v));
    dddd.add(sign * (v2 * v2));
  }
  bool settle(double n, const Sums& sums) noexcept {
    const double m = sums.shift, q = sums.dd.value(), c = ddd.value(), f = dddd.value();
    m3 = c - 3.0 * m * q + 2.0 * n * m * m * m;
    m4 = std::max(0.0, f - 4.0 * m * c + 6.0 * m * m * q - 3.0 * n * m * m * m * m);
    top = std::max(top, f);
    return m4 * collapse >= top;
  }
};

// The second variable of a pair, and what it has in common with the first.
struct Joint {
  Sums y;
  Pair both;
  double c = 0.0;  // sum of (x - mean x) (y - mean y)

  void start(double value) noexcept {
    y.start(value);
    both = Pair{};
    c = 0.0;
  }
  void add(double dx, double value, double sign) noexcept {
    const double dy = value - y.pivot;
    y.d.add(sign * dy);
    y.dd.add(sign * (dy * dy));
    both.add(sign * (dx * dy));
  }
  bool settle(double n, const Sums& x) noexcept {
    const bool good = y.settle(n);
    c = both.value() - x.shift * y.d.value();
    return good;
  }
};

// Exponentially weighted mean and squares: weight 1 for the newest, halved with every half-life (West 1979; as pandas'
// ewm with adjust=True). Nothing is subtracted.
struct Ewm {
  double weight = 0.0, weight2 = 0.0, mean = 0.0, m2 = 0.0;
  std::int64_t time = 0;  // of the newest
  std::int64_t n = 0;

  // All weights so far are multiplied by `decay`, then x comes in with weight w.
  void enter(double x, double decay, double w = 1.0) noexcept {
    weight = decay * weight + w;
    weight2 = decay * decay * weight2 + w * w;
    const double delta = x - mean;
    const bool alone = weight == w;
    mean = alone ? x : mean + delta * (w / weight);
    m2 = alone ? 0.0 : decay * m2 + w * std::max(0.0, delta * (x - mean));
    ++n;
  }
  // Those of `later` come after all of these, whose weights are multiplied by `decay`.
  void append(const Ewm& later, double decay) noexcept {
    const double w = decay * weight, all = w + later.weight;
    if (!(w > 0.0)) {
      *this = later;
      return;
    }
    const double delta = later.mean - mean;
    m2 = decay * m2 + later.m2 + delta * delta * w * (later.weight / all);
    mean += delta * (later.weight / all);
    weight2 = decay * decay * weight2 + later.weight2;
    weight = all;
    time = later.time;
    n += later.n;
  }
  // Unbiased for weights that say how reliable a sample is; NaN for fewer than two samples.
  double variance() const noexcept {
    const double spread = weight * weight - weight2;
    return spread > 0.0 ? m2 * weight / spread : std::numeric_limits<double>::quiet_NaN();
  }
};

// Number, sum and squares of differences from `about`, in four lanes by place in the window, wherever its ring wraps.
struct Lanes {
  double about = 0.0;
  double n[4] = {}, d[4] = {}, dd[4] = {};
  std::size_t at = 0;  // samples so far; NaN counts here, and nowhere else

  void run(std::span<const double> samples) noexcept {
    std::size_t i = 0;
    for (; i < samples.size() && at % 4 != 0; ++i) one(at++ % 4, samples[i]);
    for (; i + 4 <= samples.size(); i += 4, at += 4) {
      for (std::size_t lane = 0; lane < 4; ++lane) one(lane, samples[i + lane]);
    }
    for (; i < samples.size(); ++i) one(at++ % 4, samples[i]);
  }
  void one(std::size_t lane, double x) noexcept {
    const bool number = x == x;
    const double v = number ? x - about : 0.0;
    n[lane] += number ? 1.0 : 0.0;
    d[lane] += v;
    dd[lane] += v * v;
  }
  static double total(const double (&lanes)[4]) noexcept { return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]); }
};

// A pivot for these samples (the pieces of a ring; NaN are skipped): their mean, with no more bits than their spread
// needs, so that differences from it are seldom rounded. `near` is one of the samples.
inline double pivot_of(std::span<const double> a, std::span<const double> b, double near) noexcept {
  Lanes lanes{.about = near};
  lanes.run(a);
  lanes.run(b);
  const double n = Lanes::total(lanes.n), d = Lanes::total(lanes.d), dd = Lanes::total(lanes.dd);
  if (!(dd > 0.0) || !std::isfinite(dd)) return near;
  const double shift = d / n, mean = near + shift;
  const double spread = std::sqrt(std::max(dd / n - shift * shift, 0.0));
  if (!std::isfinite(mean)) return near;
  if (!(spread > 0.0)) return mean;
  const int exponent = std::ilogb(spread) - 2;
  const double steps = std::scalbn(mean, -exponent);
  if (!(std::abs(steps) < 4503599627370496.0)) return mean;  // 2^52: no bit to spare
  return std::scalbn(std::nearbyint(steps), exponent);
}

// Sums of these samples about the pivot, in blocks so short that plain addition inside them costs no bit that matters.
inline void sum_about(Sums& sums, std::span<const double> a, std::span<const double> b) noexcept {
  constexpr std::size_t block = 64;
  Lanes lanes{.about = sums.pivot};
  const auto flush = [&] {
    sums.d.add(Lanes::total(lanes.d));
    sums.dd.add(Lanes::total(lanes.dd));
    lanes = Lanes{.about = sums.pivot};
  };
  for (const auto part : {a, b}) {
    for (std::size_t i = 0; i < part.size();) {
      const std::size_t n = std::min(block - lanes.at, part.size() - i);
      lanes.run(part.subspan(i, n));
      i += n;
      if (lanes.at == block) flush();
    }
  }
  flush();
}

}  // namespace fairlead::detail
