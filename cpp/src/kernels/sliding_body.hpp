// The kernels of sliding.hpp over V, eight numbers, which the file that includes this has defined for its level.
//
// All windows that contain a boundary sample b are answered together: what stands before b is summed backwards from b,
// what stands after it forwards from b, and a window is one sum of each (van Herk 1992, Gil and Werman 1993, here for
// sums as well as extremes). Nothing is subtracted, so nothing outside a window can leave a trace in it. A variance or
// correlation takes the shorter way of `differences` through a block, but only where that is seen to lose nothing.
//
// Sums of powers are taken about the pivot x[b], which is in every one of those windows. Then the sum of squares about
// the pivot is at most (1 + n) times that about the mean, so their difference loses at most log2(1 + n) bits whatever
// the data, and is exactly 0 for a constant window. A pivot that is not finite is replaced by 0: all its windows are
// NaN or infinite anyway.
#pragma once

namespace fairlead::kernels {
namespace {

using Index = std::ptrdiff_t;
constexpr double no_number = __builtin_nan("");
constexpr double infinite = __builtin_inf();

inline double finite_or_zero(double x) { return x - x == 0.0 ? x : 0.0; }

// x[k .. k + 8) where only [0, n) exists: the rest reads as `fill`.
inline V load_within(const double* x, Index k, Index n, double fill) {
  if (k >= 0 && k + 8 <= n) return load(x + k);
  double lane[8];
  for (Index i = 0; i < 8; ++i) lane[i] = k + i >= 0 && k + i < n ? x[k + i] : fill;
  return load(lane);
}

// Asks for what is read, and for what is written, a little later: one line a group of eight. A block is too short for
// the hardware to see that there will be another.
constexpr Index ahead = 256;
inline void soon_read(const double* p) { __builtin_prefetch(p + ahead, 0, 3); }
inline void soon_written(double* p) { __builtin_prefetch(p + ahead, 1, 3); }

// out[k .. k + 8) where only what is before n exists. Lanes past the end of a block are garbage that the next
// overwrites.
inline void store_within(double* out, Index k, Index n, V v) {
  if (k + 8 <= n) {
    soon_written(out + k);
    store(out + k, v);
    return;
  }
  double lane[8];
  store(lane, v);
  for (Index i = 0; k + i < n; ++i) out[k + i] = lane[i];
}

// lane i: the sum of lanes up to i, or from i.
inline V sums_up(V v) {
  const V zero = same(0.0);
  v = v + up<1>(v, zero);
  v = v + up<2>(v, zero);
  return v + up<4>(v, zero);
}
inline V sums_down(V v) {
  const V zero = same(0.0);
  v = v + down<1>(v, zero);
  v = v + down<2>(v, zero);
  return v + down<4>(v, zero);
}

// --- what is summed: powers of one row, or products of two ---------------------------------------------------------

template <std::size_t P>
struct Powers {
  static constexpr std::size_t size = P;
  static constexpr std::size_t square = 1, squares = P == 2 ? 1 : 0;  // the terms that tell whether differences will do
  const double* x;
  Index n;
  double pivot = 0.0;

  void at(Index b) { pivot = finite_or_zero(x[b]); }
  void soon(Index k) const { soon_read(x + k); }
  void terms(Index k, V* t) const { terms(k, 0, n, t); }
  // Of the samples in [begin, end) only.
  void terms(Index k, Index begin, Index end, V* t) const {
    t[0] = load_within(x + begin, k - begin, end - begin, pivot) - same(pivot);
    if constexpr (P > 1) t[1] = t[0] * t[0];
    if constexpr (P > 2) t[2] = t[1] * t[0];
    if constexpr (P > 3) t[3] = t[1] * t[1];
  }
};

template <bool beta_only>
struct Products {
  static constexpr std::size_t size = beta_only ? 4 : 5;
  static constexpr std::size_t square = 3, squares = beta_only ? 0 : 2;
  const double* x;
  const double* y;
  Index n;
  double pivot_x = 0.0, pivot_y = 0.0;

  void at(Index b) {
    pivot_x = finite_or_zero(x[b]);
    pivot_y = finite_or_zero(y[b]);
  }
  void soon(Index k) const {
    soon_read(x + k);
    soon_read(y + k);
  }
  void terms(Index k, V* t) const { terms(k, 0, n, t); }
  void terms(Index k, Index begin, Index end, V* t) const {
    t[0] = load_within(x + begin, k - begin, end - begin, pivot_x) - same(pivot_x);
    t[1] = load_within(y + begin, k - begin, end - begin, pivot_y) - same(pivot_y);
    t[2] = t[0] * t[1];
    t[3] = t[0] * t[0];
    if constexpr (!beta_only) t[4] = t[1] * t[1];
  }
};

// --- from sums to statistics ---------------------------------------------------------------------------------------

// How many samples, and what that is divided by.
struct Length {
  V n, per_n, per_free;  // per_free: 1 / (n - ddof), NaN where that is not positive
};

inline Length length_of(V n, double ddof) {
  const V one = same(1.0), free = n - same(ddof);
  return {n, one / n, where_less(same(0.0), free, one / free, same(no_number))};
}

inline V deviation(V squares, V sum, V mean) { return upper(same(0.0), squares - sum * mean); }

// only: the one statistic that is asked for, known when compiling; 0 where any may be.
template <std::size_t P, char only>
inline void finish(const SlidingMoments& out, Index i, Index n_out, double pivot, const V* s, const Length& length,
                   V* least) {
  const auto wanted = [&](double* to, char name) { return only == 0 ? to != nullptr : only == name; };
  const V mean = s[0] * length.per_n;
  if (wanted(out.sum, 's')) store_within(out.sum, i, n_out, s[0] + length.n * same(pivot));
  if (wanted(out.mean, 'm')) store_within(out.mean, i, n_out, mean + same(pivot));
  if constexpr (P > 1) {
    const V m2 = deviation(s[1], s[0], mean);
    if (P == 2 && least != nullptr) least[0] = lower(m2, least[0]);
    if (wanted(out.var, 'v')) store_within(out.var, i, n_out, m2 * length.per_free);
    if (wanted(out.std, 'd')) store_within(out.std, i, n_out, root(m2 * length.per_free));
    if constexpr (P > 3) {
      const V zero = same(0.0), one = same(1.0), two = same(2.0), three = same(3.0), n = length.n;
      const V sum2 = s[0] * mean;  // n mean^2
      if (out.skew != nullptr) {
        const V m3 = s[2] - three * mean * s[1] + two * mean * sum2;
        const V bias = n * root(n - one) / (n - two);
        const V skew = where_less(zero, m2, bias * m3 / (m2 * root(m2)), same(no_number));
        store_within(out.skew, i, n_out, where_less(two, n, skew, same(no_number)));
      }
      if (out.kurt != nullptr) {
        const V m4 = s[3] - same(4.0) * mean * s[2] + same(6.0) * mean * mean * s[1] - three * mean * mean * sum2;
        const V scaled = n * (n + one) * (m4 / m2 / m2) - three * (n - one);
        const V bias = (n - one) / ((n - two) * (n - three));
        const V kurt = where_less(zero, m2, bias * scaled, same(no_number));
        store_within(out.kurt, i, n_out, where_less(three, n, kurt, same(no_number)));
      }
    }
  }
}

template <bool beta_only>
inline void finish(const SlidingPair& out, Index i, Index n_out, const V* s, const Length& length, V* least) {
  const V mean_x = s[0] * length.per_n;
  const V both = s[2] - mean_x * s[1];
  if (out.cov != nullptr) store_within(out.cov, i, n_out, both * length.per_free);
  const V m2_x = deviation(s[3], s[0], mean_x);
  if (out.beta != nullptr) store_within(out.beta, i, n_out, both / m2_x);
  if constexpr (!beta_only) {
    const V m2_y = deviation(s[4], s[1], s[1] * length.per_n);
    if (least != nullptr) {
      least[0] = lower(m2_x, least[0]);
      least[1] = lower(m2_y, least[1]);
    }
    const V product = m2_x * m2_y;
    V scale = root(product);
    // Where the product nearly underflows or overflows, the product of two roots does not.
    if (any_less(product, same(1e-280)) || any_less(same(1e280), product)) scale = root(m2_x) * root(m2_y);
    if (out.corr == nullptr) return;
    const V corr = both / scale;
    const V below = where_less(same(1.0), corr, same(1.0), corr);
    store_within(out.corr, i, n_out, where_less(below, same(-1.0), same(-1.0), below));
  }
}

// --- sums of windows -----------------------------------------------------------------------------------------------

// to[p][k - lo]: the sum of term p over [k, b), for k in [lo, b]; up to seven numbers before to[p] are overwritten.
template <class Terms>
void sum_back(const Terms& terms, Index lo, Index b, double* const* to) {
  constexpr std::size_t P = Terms::size;
  V carry[P];
  for (std::size_t p = 0; p < P; ++p) {
    carry[p] = same(0.0);
    to[p][b - lo] = 0.0;
  }
  for (Index k = b - 8; k > lo - 8; k -= 8) {
    V t[P];
    terms.terms(k, t);
    for (std::size_t p = 0; p < P; ++p) {
      const V sum = sums_down(t[p]) + carry[p];
      store(to[p] + (k - lo), sum);
      carry[p] = first(sum);
    }
  }
}

// One block by what enters less what leaves a window: half the work of sums of two parts. False where some window has
// less than 2^-7 of the squares of the whole block, so that more than seven bits may be lost, or where not all is
// finite: then the block is to be done again.
template <class Terms, class Finish>
inline bool differences(const Terms& terms, Index b, Index n, Index w, Index end, Finish finish_at) {
  constexpr std::size_t P = Terms::size, squares = Terms::squares;
  const Index lo = b - w + 1;
  V carry[P], all[squares], least[squares];
  for (std::size_t p = 0; p < P; ++p) carry[p] = same(0.0);
  for (Index k = lo; k < b; k += 8) {
    V t[P];
    terms.terms(k, lo, b, t);
    for (std::size_t p = 0; p < P; ++p) carry[p] = carry[p] + t[p];
  }
  for (std::size_t q = 0; q < squares; ++q) {
    all[q] = carry[Terms::square + q];
    least[q] = same(infinite);
  }
  for (std::size_t p = 0; p < P; ++p) carry[p] = last(sums_up(carry[p]));
  for (Index j = 0; j < end; j += 8) {
    V s[P], gone[P];
    terms.soon(b + j);
    terms.terms(b + j, s);
    terms.terms(b + j - w, lo, n, gone);
    for (std::size_t q = 0; q < squares; ++q) all[q] = all[q] + s[Terms::square + q];
    for (std::size_t p = 0; p < P; ++p) {
      s[p] = sums_up(s[p] - gone[p]) + carry[p];
      carry[p] = last(s[p]);
    }
    finish_at(terms, b + j, s, least);
  }
  for (std::size_t q = 0; q < squares; ++q) {
    const V whole = last(sums_up(all[q]));
    if (any_less(least[q], whole * same(0x1p-7)) || any_nan(whole - whole)) return false;
  }
  return true;
}

// The same for sums alone, which is worth it where what stands before the boundary would leave the nearest cache.
// Of the sizes of the samples about the pivot, each window has a stretch of whole groups of
// eight; the least such stretch, lane by lane, stands for the least window.
template <class Finish>
inline bool sum_differences(const Powers<1>& terms, Index b, Index n, Index w, Index end, Finish finish_at) {
  const Index lo = b - w + 1, groups = w / 24;
  const V zero = same(0.0);
  V carry = zero, all = zero, least = same(infinite), sizes = zero;
  Index left = groups;
  const auto weigh = [&](V t) {
    sizes = sizes + upper(t, zero - t);
    if (--left > 0) return;
    least = lower(sizes, least);
    all = all + sizes;
    sizes = zero;
    left = groups;
  };
  for (Index k = lo; k < b; k += 8) {
    V t;
    terms.terms(k, lo, b, &t);
    carry = carry + t;
    weigh(t);
  }
  // The stretch at hand is cut off by the boundary.
  all = all + sizes;
  sizes = zero;
  left = groups;
  carry = last(sums_up(carry));
  for (Index j = 0; j < end; j += 8) {
    V s, gone;
    terms.soon(b + j);
    terms.terms(b + j, &s);
    terms.terms(b + j - w, lo, n, &gone);
    weigh(s);
    s = sums_up(s - gone) + carry;
    carry = last(s);
    finish_at(terms, b + j, &s, nullptr);
  }
  const V whole = last(sums_up(all + sizes));
  return !any_less(last(sums_up(least)), whole * same(0x1p-7)) && !any_nan(whole - whole);
}

// Windows of w samples. finish(terms, i, s, least): the sums of the windows of outputs [i, i + 8).
template <class Terms, class Finish>
inline void fixed_sums(Terms terms, Index n, Index w, double* space, Finish finish_at) {
  constexpr std::size_t P = Terms::size;
  double* before[P];
  for (std::size_t p = 0; p < P; ++p) before[p] = space + static_cast<Index>(p) * (w + 32) + 8;
  for (std::size_t p = 0; p < P; ++p) {
    for (Index i = 0; i < 16; ++i) before[p][w + i] = 0.0;
  }
  for (Index b = w - 1; b < n; b += w) {
    terms.at(b);
    const Index end = n - b < w ? n - b : w;
    if constexpr (Terms::size == 1) {
      if (w >= 2048 && sum_differences(terms, b, n, w, end, finish_at)) continue;
    }
    if constexpr (Terms::squares > 0) {
      if (w >= 32 && differences(terms, b, n, w, end, finish_at)) continue;
    }
    sum_back(terms, b - w + 1, b, before);
    V carry[P];
    for (std::size_t p = 0; p < P; ++p) carry[p] = same(0.0);
    for (Index j = 0; j < end; j += 8) {
      V s[P];
      terms.soon(b + j);
      terms.terms(b + j, s);
      for (std::size_t p = 0; p < P; ++p) {
        const V sum = sums_up(s[p]) + carry[p];
        s[p] = sum + load(before[p] + j);
        carry[p] = last(sum);
      }
      finish_at(terms, b + j, s, nullptr);
    }
  }
}

// The end of the outputs after i whose windows contain sample b.
inline Index containing(const SlidingBounds& bounds, Index i, Index b) {
  const Index n = static_cast<Index>(bounds.n);
  while (i < n && bounds.lo[i] <= b) ++i;
  return i;
}

// Bounds of outputs [i, i + 8), those at and after `end` repeating the last one before it.
struct EightBounds {
  std::int64_t lo_copy[8], hi_copy[8];
  const std::int64_t* lo;
  const std::int64_t* hi;

  EightBounds(const SlidingBounds& bounds, Index i, Index end) : lo(bounds.lo + i), hi(bounds.hi + i) {
    if (i + 8 <= end) return;
    for (Index k = 0; k < 8; ++k) {
      const Index from = i + k < end ? k : end - 1 - i;
      lo_copy[k] = lo[from];
      hi_copy[k] = hi[from];
    }
    lo = lo_copy;
    hi = hi_copy;
  }
};

// finish_at(terms, i, s, n): the sums s and the lengths n of the windows of outputs [i, i + 8). empty(i): of one
// without samples.
template <class Terms, class Finish, class Empty>
inline void bounded_sums(Terms terms, const SlidingBounds& bounds, double* space, Index room, Finish finish_at,
                         Empty empty) {
  constexpr std::size_t P = Terms::size;
  double *before[P], *after[P];
  for (std::size_t p = 0; p < P; ++p) {
    before[p] = space + static_cast<Index>(p) * room + 8;
    after[p] = space + static_cast<Index>(P + p) * room;
  }
  const Index n = static_cast<Index>(bounds.n);
  for (Index i = 0; i < n;) {
    const Index lo = bounds.lo[i], b = bounds.hi[i] - 1;
    if (b < lo) {
      empty(i++);
      continue;
    }
    const Index end = containing(bounds, i + 1, b);
    terms.at(b);
    sum_back(terms, lo, b, before);
    V carry[P];
    for (std::size_t p = 0; p < P; ++p) carry[p] = same(0.0);
    for (Index k = b; k < bounds.hi[end - 1]; k += 8) {
      V t[P];
      terms.terms(k, t);
      for (std::size_t p = 0; p < P; ++p) {
        const V sum = sums_up(t[p]) + carry[p];
        store(after[p] + (k - b), sum);
        carry[p] = last(sum);
      }
    }
    for (; i < end; i += 8) {
      const EightBounds eight(bounds, i, end);
      V s[P];
      if (bounds.steady) {
        for (std::size_t p = 0; p < P; ++p)
          s[p] = gather(before[p], eight.lo, lo) + load(after[p] + (eight.hi[0] - b - 1));
      } else {
        for (std::size_t p = 0; p < P; ++p) s[p] = gather(before[p], eight.lo, lo) + gather(after[p], eight.hi, b + 1);
      }
      finish_at(terms, i, s, length(eight.lo, eight.hi));
    }
    i = end;
  }
}

// --- moments -------------------------------------------------------------------------------------------------------

template <std::size_t P, char only>
void fixed_moments(const double* x, std::size_t n, std::size_t w, double ddof, const SlidingMoments& out,
                   double* space) {
  const Length length = length_of(same(static_cast<double>(w)), ddof);
  const Index n_out = static_cast<Index>(n);
  fixed_sums(Powers<P>{x, n_out}, n_out, static_cast<Index>(w), space,
             [&](const Powers<P>& terms, Index i, const V* s, V* least) {
               finish<P, only>(out, i, n_out, terms.pivot, s, length, least);
             });
}

void moments(const double* x, std::size_t n, std::size_t w, double ddof, const SlidingMoments& out, double* space) {
  const bool var = out.var != nullptr, std = out.std != nullptr, high = out.skew != nullptr || out.kurt != nullptr;
  const bool sum = out.sum != nullptr, mean = out.mean != nullptr;
  if (high) return fixed_moments<4, 0>(x, n, w, ddof, out, space);
  if (sum + mean + var + std > 1)
    return (var || std ? fixed_moments<2, 0> : fixed_moments<1, 0>)(x, n, w, ddof, out, space);
  if (sum) return fixed_moments<1, 's'>(x, n, w, ddof, out, space);
  if (mean) return fixed_moments<1, 'm'>(x, n, w, ddof, out, space);
  if (var) return fixed_moments<2, 'v'>(x, n, w, ddof, out, space);
  if (std) return fixed_moments<2, 'd'>(x, n, w, ddof, out, space);
}

template <std::size_t P>
void bounded_moments(const double* x, std::size_t n_x, const SlidingBounds& bounds, double ddof,
                     const SlidingMoments& out, double* space, std::size_t room) {
  const Index n_out = static_cast<Index>(bounds.n);
  const V least = same(bounds.least), none = same(no_number);
  bounded_sums(
      Powers<P>{x, static_cast<Index>(n_x)}, bounds, space, static_cast<Index>(room),
      [&](const Powers<P>& terms, Index i, V* s, V n) {
        s[0] = where_less(n, least, none, s[0]);
        if constexpr (P > 1) s[1] = where_less(n, least, none, s[1]);
        finish<P, 0>(out, i, n_out, terms.pivot, s, length_of(n, ddof), nullptr);
      },
      [&](Index i) {
        if (out.sum != nullptr) out.sum[i] = bounds.least <= 0.0 ? 0.0 : no_number;
        double* const others[] = {out.mean, out.var, out.std, out.skew, out.kurt};
        for (double* const to : others) {
          if (to != nullptr) to[i] = no_number;
        }
      });
}

void moments_of(const double* x, std::size_t n_x, const SlidingBounds& bounds, double ddof, const SlidingMoments& out,
                double* space, std::size_t room) {
  if (out.skew != nullptr || out.kurt != nullptr) return bounded_moments<4>(x, n_x, bounds, ddof, out, space, room);
  if (out.var != nullptr || out.std != nullptr) return bounded_moments<2>(x, n_x, bounds, ddof, out, space, room);
  bounded_moments<1>(x, n_x, bounds, ddof, out, space, room);
}

// --- pairs ---------------------------------------------------------------------------------------------------------

template <bool beta_only>
void fixed_pair(const double* x, const double* y, Index n, std::size_t w, double ddof, const SlidingPair& out,
                double* space) {
  const Length length = length_of(same(static_cast<double>(w)), ddof);
  using Terms = Products<beta_only>;
  fixed_sums(Terms{x, y, n}, n, static_cast<Index>(w), space,
             [&](const Terms&, Index i, const V* s, V* least) { finish<beta_only>(out, i, n, s, length, least); });
}

void pair(const double* x, const double* y, std::size_t n, std::size_t w, double ddof, const SlidingPair& out,
          double* space) {
  (out.corr != nullptr ? fixed_pair<false> : fixed_pair<true>)(x, y, static_cast<Index>(n), w, ddof, out, space);
}

void pair_of(const double* x, const double* y, std::size_t n_x, const SlidingBounds& bounds, double ddof,
             const SlidingPair& out, double* space, std::size_t room) {
  using Terms = Products<false>;
  const Index n_out = static_cast<Index>(bounds.n);
  const V least = same(bounds.least), none = same(no_number);
  bounded_sums(
      Terms{x, y, static_cast<Index>(n_x)}, bounds, space, static_cast<Index>(room),
      [&](const Terms&, Index i, V* s, V n) {
        s[2] = where_less(n, least, none, s[2]);
        finish<false>(out, i, n_out, s, length_of(n, ddof), nullptr);
      },
      [&](Index i) {
        double* const all[] = {out.cov, out.corr, out.beta};
        for (double* const to : all) {
          if (to != nullptr) to[i] = no_number;
        }
      });
}

// --- extremes ------------------------------------------------------------------------------------------------------

template <bool max>
struct Extreme {
  static constexpr double none = max ? -infinite : infinite;
  static V best(V a, V b) {
    if constexpr (max) return upper(a, b);
    return lower(a, b);
  }
  static double best(double a, double b) {
    if (a != a || b != b) return no_number;
    if constexpr (max) return a > b ? a : b;
    return a < b ? a : b;
  }
  static V up_to(V v) {
    const V fill = same(none);
    v = best(v, up<1>(v, fill));
    v = best(v, up<2>(v, fill));
    return best(v, up<4>(v, fill));
  }
  static V from(V v) {
    const V fill = same(none);
    v = best(v, down<1>(v, fill));
    v = best(v, down<2>(v, fill));
    return best(v, down<4>(v, fill));
  }

  // As sum_back. True where there is a NaN, and then what is written is garbage.
  static bool back(const double* x, Index n, Index lo, Index b, double* to) {
    V carry = same(none);
    to[b - lo] = none;
    bool any = false;
    for (Index k = b - 8; k > lo - 8; k -= 8) {
      const V t = load_within(x, k, n, none);
      any |= any_nan(t);
      const V v = from(t);
      store(to + (k - lo), best(v, carry));
      carry = best(carry, first(v));
    }
    return any;
  }

  static void fixed(const double* x, Index n, Index w, double* out, double* space) {
    double* const before = space + 8;
    for (Index i = 0; i < 16; ++i) before[w + i] = none;
    for (Index b = w - 1; b < n; b += w) {
      const Index lo = b - w + 1, end = n - b < w ? n - b : w;
      bool any = back(x, n, lo, b, before);
      V carry = same(none);
      for (Index j = 0; j < end; j += 8) {
        soon_read(x + (b + j));
        const V t = load_within(x, b + j, n, none);
        any |= any_nan(t);
        const V v = up_to(t);
        store_within(out, b + j, n, best(best(v, carry), load(before + j)));
        carry = best(carry, last(v));
      }
      if (!any) continue;
      // One at a time, so that a NaN makes its windows NaN.
      double best_so_far = none;
      before[w - 1] = none;
      for (Index k = w - 2; k >= 0; --k) before[k] = best_so_far = best(x[lo + k], best_so_far);
      best_so_far = none;
      for (Index j = 0; j < end; ++j) {
        best_so_far = best(x[b + j], best_so_far);
        out[b + j] = best(best_so_far, before[j]);
      }
    }
  }

  static void bounded(const double* x, Index n_x, const SlidingBounds& bounds, double* out, double* space, Index room) {
    double *const before = space + 8, *const after = space + room;
    const Index n = static_cast<Index>(bounds.n);
    for (Index i = 0; i < n;) {
      const Index lo = bounds.lo[i], b = bounds.hi[i] - 1;
      if (b < lo) {
        out[i++] = no_number;
        continue;
      }
      const Index end = containing(bounds, i + 1, b);
      (void)back(x, n_x, lo, b, before);
      V carry = same(none);
      for (Index k = b; k < bounds.hi[end - 1]; k += 8) {
        const V v = up_to(load_within(x, k, n_x, none));
        store(after + (k - b), best(v, carry));
        carry = best(carry, last(v));
      }
      for (; i < end; i += 8) {
        const EightBounds eight(bounds, i, end);
        const V late = bounds.steady ? load(after + (eight.hi[0] - b - 1)) : gather(after, eight.hi, b + 1);
        const V found = best(gather(before, eight.lo, lo), late);
        const V few = length(eight.lo, eight.hi);
        store_within(out, i, n, where_less(few, same(bounds.least), same(no_number), found));
      }
      i = end;
    }
  }
};

void extreme(bool max, const double* x, std::size_t n, std::size_t w, double* out, double* space) {
  (max ? Extreme<true>::fixed : Extreme<false>::fixed)(x, static_cast<Index>(n), static_cast<Index>(w), out, space);
}

void extreme_of(bool max, const double* x, std::size_t n_x, const SlidingBounds& bounds, double* out, double* space,
                std::size_t room) {
  (max ? Extreme<true>::bounded : Extreme<false>::bounded)(x, static_cast<Index>(n_x), bounds, out, space,
                                                          static_cast<Index>(room));
}

// --- decay ---------------------------------------------------------------------------------------------------------

void decayed(const double* x, std::size_t n, const SlidingDecay& decay, SlidingDecayed& state, double* out) {
  const double keep = decay.keep;
  double powers[8] = {keep};
  for (int i = 1; i < 8; ++i) powers[i] = powers[i - 1] * keep;
  const V by1 = same(powers[0]), by2 = same(powers[1]), by4 = same(powers[3]), by8 = same(powers[7]), by = load(powers);
  const V zero = same(0.0), pivot = same(decay.pivot), scale = same(decay.scale);
  const auto scan = [&](V v) {
    v = v + up<1>(v, zero) * by1;
    v = v + up<2>(v, zero) * by2;
    return v + up<4>(v, zero) * by4;
  };
  const V ones = scan(same(1.0)), ones_last = last(ones);
  V sum = same(state.sum), weight = same(state.weight);
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    soon_read(x + i);
    soon_written(out + i);
    const V v = scan(load(x + i) - pivot);
    const V found = v + sum * by;
    sum = last(v) + sum * by8;
    if (decay.growing) {
      store(out + i, found / (ones + weight * by) + pivot);
      weight = ones_last + weight * by8;
    } else {
      store(out + i, found * scale + pivot);
    }
  }
  double lane[8];
  store(lane, sum);
  state.sum = lane[0];
  store(lane, weight);
  state.weight = lane[0];
  for (; i < n; ++i) {
    state.sum = (x[i] - decay.pivot) + keep * state.sum;
    if (decay.growing) {
      state.weight = 1.0 + keep * state.weight;
      out[i] = state.sum / state.weight + decay.pivot;
    } else {
      out[i] = state.sum * decay.scale + decay.pivot;
    }
  }
}

// --- bounds --------------------------------------------------------------------------------------------------------

void starts(const std::int64_t* times, std::size_t from, std::size_t to, std::int64_t age, std::size_t start,
            std::int64_t* lo) {
  const auto since = [&](std::size_t i) {
    std::int64_t time;
    return __builtin_sub_overflow(times[i], age, &time) ? INT64_MIN : time;
  };
  std::size_t i = from, k = start;
  for (; i + 8 <= to; i += 8) {
    std::int64_t bound[8];
    for (std::size_t l = 0; l < 8; ++l) bound[l] = since(i + l);
    k = before_each(times, k, bound, lo + (i - from));
  }
  for (; i < to; ++i) {
    const std::int64_t bound = since(i);
    while (times[k] < bound) ++k;
    lo[i - from] = static_cast<std::int64_t>(k);
  }
}

constexpr SlidingKernels sliding_table = {compiled_for, starts,     moments, extreme, pair,
                                          moments_of,   extreme_of, pair_of, decayed};

}  // namespace
}  // namespace fairlead::kernels
