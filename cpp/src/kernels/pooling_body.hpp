// The kernels of pooling.hpp, written once: V is double, or a vector whose lanes are tasks.
#pragma once

#include "kernels/elementary.hpp"
#include "kernels/pooling.hpp"

namespace fairlead::kernels {
namespace {

constexpr double infinity = __builtin_bit_cast(double, std::uint64_t{0x7ff0000000000000});
constexpr double nan = __builtin_bit_cast(double, std::uint64_t{0x7ff8000000000000});

template <class V>
inline V larger(V a, V b) {
  return a > b ? a : b;
}

template <class V>
inline V smaller(V a, V b) {
  return a < b ? a : b;
}

template <class V>
PoolSurvey survey_of(const double* x, std::size_t n) {
  constexpr std::size_t width = Lanes<V>::width;
  V least = all<V>(infinity), most = all<V>(-infinity), odd = all<V>(0.0);
  std::size_t i = 0;
  for (; i + width <= n; i += width) {
    const V v = Lanes<V>::load(x + i);
    least = smaller(v, least);
    most = larger(v, most);
    odd = odd + v * 0.0;
  }
  PoolSurvey out{infinity, -infinity, false};
  double sum = 0.0;
  for (std::size_t l = 0; l < width; ++l) {
    out.least = smaller(Lanes<V>::get(least, l), out.least);
    out.most = larger(Lanes<V>::get(most, l), out.most);
    sum += Lanes<V>::get(odd, l);
  }
  for (; i < n; ++i) {
    out.least = smaller(x[i], out.least);
    out.most = larger(x[i], out.most);
    sum += x[i] * 0.0;
  }
  out.odd = sum != 0.0 || sum != sum;
  return out;
}

// The entries of tasks t, t + 1, .. by their place in the row of a task. Rows that are not long are turned into columns
// once, block by block: shuffles cost less than reading each entry of each lane.
template <class V>
struct Rows {
  static constexpr std::size_t most = 128;
  const double* p;
  std::size_t row;
  V kept[most];

  Rows(const PoolTasks& a, std::size_t t) : p(a.p + t * a.m * a.c), row(a.m * a.c) {
    constexpr std::size_t width = Lanes<V>::width;
    if (row > most) return;
    std::size_t j = 0;
    for (; j + width <= row; j += width) Lanes<V>::turn(p + j, row, kept + j);
    for (; j < row; ++j) kept[j] = Lanes<V>::load(p + j, row);
  }
  V operator[](std::size_t j) const { return row <= most ? kept[j] : Lanes<V>::load(p + j, row); }
};

template <>
struct Rows<double> {
  const double* p;
  Rows(const PoolTasks& a, std::size_t t) : p(a.p + t * a.m * a.c) {}
  double operator[](std::size_t j) const { return p[j]; }
};

// Where the weights of tasks t, t + 1, .. stand.
template <class V>
inline V weight_at(const PoolTasks& a, std::size_t t, std::size_t i) {
  if (a.weight_row == 0) return all<V>(a.weight[i]);
  return Lanes<V>::load(a.weight + t * a.weight_row + i, a.weight_row);
}

template <class V>
inline V normalised(V x, V sum, std::size_t c) {
  return sum > 0.0 ? x / sum : all<V>(1.0 / static_cast<double>(c));
}

// The weighted mean; of votes if Vote, an event's probability p being a vote for whichever of p and 1 - p is larger.
template <class V, bool Vote>
void linear_at(const PoolTasks& a, std::size_t t, double* out) {
  const Rows<V> rows(a, t);
  const V zero = all<V>(0.0);
  for (std::size_t k = 0; k < a.c; ++k) {
    V sum = zero, total = zero;
    for (std::size_t i = 0; i < a.m; ++i) {
      V x = rows[i * a.c + k];
      const V w = a.weight == nullptr ? all<V>(1.0) : weight_at<V>(a, t, i);
      const V here = x == x ? w : zero;
      if constexpr (Vote) x = x > 0.5 ? all<V>(1.0) : x < 0.5 ? zero : all<V>(0.5);
      sum = sum + (x == x ? x : zero) * here;
      total = total + here;
    }
    Lanes<V>::store(sum / total, out + t * a.c + k, a.c);
  }
}

// The factor of each task's log-odds over the weight of those present.
template <class V>
inline V factor_over(const PoolTasks& a, V count, V total) {
  if (a.factors == nullptr) return 1.0 / total;
  if (a.whole) return a.factors[a.m] / total;
  V factor = total;
  for (std::size_t l = 0; l < Lanes<V>::width; ++l) {
    Lanes<V>::set(factor, l, a.factors[static_cast<std::size_t>(Lanes<V>::get(count, l))]);
  }
  return factor / total;
}

inline bool products_fit(const PoolTasks& a) {
  if (a.clip >= 0x1p-10 && a.m < 99) return true;
  double least = 1.0;
  for (std::size_t i = 0; i < a.m; ++i) {
    least *= a.clip;
    if (least < 0x1p-990) return false;
  }
  return true;
}

// The sum over models of weight x ln(p / q), q being 1 - p for an event (c = 1) and 1 for a class; what is absent
// counts nothing. Equal weights need one logarithm of two products instead of one a model.
template <class V, bool Whole, bool Event>
inline V log_sum(const PoolTasks& a, const Rows<V>& rows, std::size_t t, std::size_t k, bool product, V& count,
                 V& total) {
  const V clip = all<V>(a.clip), one = all<V>(1.0);
  const V zero = all<V>(0.0);
  V sum = zero, up = one, down = one;
  count = Whole ? all<V>(static_cast<double>(a.m)) : zero;
  total = zero;
  for (std::size_t i = 0; i < a.m; ++i) {
    const V x = rows[i * a.c + k];
    V yes = larger(x, clip), no = Event ? larger(1.0 - x, clip) : one;
    V here = one;
    if constexpr (!Whole) {
      here = x == x ? one : zero;
      yes = x == x ? yes : one;
      if constexpr (Event) no = x == x ? no : one;
    }
    if constexpr (!Whole) count = count + here;
    if (product) {
      up = up * yes;
      if constexpr (Event) down = down * no;
    } else {
      const V w = (a.weight == nullptr ? one : weight_at<V>(a, t, i)) * here;
      sum = sum + w * log_ratio(yes, no);
      total = total + w;
    }
  }
  if (!product) return sum;
  total = count;
  return log_ratio(up, down);
}

template <class V, bool Whole>
void log_at(const PoolTasks& a, std::size_t t, bool product, double* out) {
  const Rows<V> rows(a, t);
  V count, total;
  if (a.c == 1) {
    const V sum = log_sum<V, Whole, true>(a, rows, t, 0, product, count, total);
    Lanes<V>::store(logistic_of<V>(sum * factor_over<V>(a, count, total)), out + t, 1);
    return;
  }
  constexpr std::size_t most = 32;  // classes whose sums stay here; those of more wait in out
  V kept[most];
  V top = all<V>(-infinity);
  for (std::size_t k = 0; k < a.c; ++k) {
    const V sum = log_sum<V, Whole, false>(a, rows, t, k, product, count, total);
    const V x = sum * factor_over<V>(a, count, total);
    top = larger(x, top);
    if (a.c <= most) kept[k] = x;
    else Lanes<V>::store(x, out + t * a.c + k, a.c);
  }
  V mass = all<V>(0.0);
  for (std::size_t k = 0; k < a.c; ++k) {
    const V x = a.c <= most ? kept[k] : Lanes<V>::load(out + t * a.c + k, a.c);
    const V e = exp_bounded<V>(x - top);
    mass = mass + e;
    if (a.c <= most) kept[k] = e;
    else Lanes<V>::store(e, out + t * a.c + k, a.c);
  }
  for (std::size_t k = 0; k < a.c; ++k) {
    const V e = a.c <= most ? kept[k] : Lanes<V>::load(out + t * a.c + k, a.c);
    Lanes<V>::store(e / mass, out + t * a.c + k, a.c);
  }
}

// Batcher's merge exchange for any m (Knuth, The Art of Computer Programming 3, algorithm 5.2.2M).
template <class V>
inline void sort_lanes(V* x, std::size_t m) {
  std::size_t top = 1;
  while (top < m) top *= 2;
  for (std::size_t p = top / 2; p > 0; p /= 2) {
    std::size_t r = 0, d = p;
    for (std::size_t q = top / 2;; q /= 2) {
      for (std::size_t i = 0; i + d < m; ++i) {
        if ((i & p) != r) continue;
        const V a = x[i], b = x[i + d];
        x[i] = a < b ? a : b;
        x[i + d] = a < b ? b : a;
      }
      if (q == p) break;
      d = q - p;
      r = p;
    }
  }
}

// Which of n sorted values are averaged: [first, n - first).
inline std::size_t first_kept(const PoolTasks& a, std::size_t n) {
  return a.trim < 0.0 ? (n - 1) / 2 : static_cast<std::size_t>(a.trim * static_cast<double>(n));
}

template <class V>
void sorted_at(const PoolTasks& a, std::size_t t, double* out) {
  constexpr std::size_t width = Lanes<V>::width;
  const Rows<V> rows(a, t);
  V x[pool_sort_max];
  V mass = all<V>(0.0);
  for (std::size_t k = 0; k < a.c; ++k) {
    V count = all<V>(0.0);
    for (std::size_t i = 0; i < a.m; ++i) {
      const V v = rows[i * a.c + k];
      count = count + (v == v ? all<V>(1.0) : all<V>(0.0));
      x[i] = v == v ? v : all<V>(infinity);
    }
    sort_lanes(x, a.m);
    V mean = all<V>(0.0);
    if (a.whole) {
      const std::size_t first = first_kept(a, a.m);
      for (std::size_t i = first; i < a.m - first; ++i) mean = mean + x[i];
      mean = mean / static_cast<double>(a.m - 2 * first);
    } else {
      for (std::size_t l = 0; l < width; ++l) {
        const auto n = static_cast<std::size_t>(Lanes<V>::get(count, l));
        double sum = n == 0 ? nan : 0.0;
        const std::size_t first = n == 0 ? 0 : first_kept(a, n);
        for (std::size_t i = first; i < n - first; ++i) sum += Lanes<V>::get(x[i], l);
        Lanes<V>::set(mean, l, sum / static_cast<double>(n - 2 * first));
      }
    }
    mass = mass + mean;
    Lanes<V>::store(mean, out + t * a.c + k, a.c);
  }
  if (a.c == 1) return;
  for (std::size_t k = 0; k < a.c; ++k) {
    const V mean = Lanes<V>::load(out + t * a.c + k, a.c);
    Lanes<V>::store(mass == mass ? normalised<V>(mean, mass, a.c) : mass, out + t * a.c + k, a.c);
  }
}

// All tasks: as many at once as V has lanes, the last few one by one.
template <class V, bool Vote>
void linear_all(const PoolTasks& a, double* out) {
  std::size_t t = 0;
  for (; t + Lanes<V>::width <= a.n; t += Lanes<V>::width) linear_at<V, Vote>(a, t, out);
  for (; t < a.n; ++t) linear_at<double, Vote>(a, t, out);
}

template <class V>
void log_all(const PoolTasks& a, double* out) {
  const bool product = a.weight == nullptr && products_fit(a);
  std::size_t t = 0;
  for (; t + Lanes<V>::width <= a.n; t += Lanes<V>::width) {
    if (a.whole) log_at<V, true>(a, t, product, out);
    else log_at<V, false>(a, t, product, out);
  }
  for (; t < a.n; ++t) {
    if (a.whole) log_at<double, true>(a, t, product, out);
    else log_at<double, false>(a, t, product, out);
  }
}

template <class V>
void sorted_all(const PoolTasks& a, double* out) {
  std::size_t t = 0;
  for (; t + Lanes<V>::width <= a.n; t += Lanes<V>::width) sorted_at<V>(a, t, out);
  for (; t < a.n; ++t) sorted_at<double>(a, t, out);
}

}  // namespace
}  // namespace fairlead::kernels
