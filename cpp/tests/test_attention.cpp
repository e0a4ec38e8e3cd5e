// Attention against the formulas in double, over random shapes, strides, masks, groups and counts.
#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/attention.hpp"
#include "fairlead/simd.hpp"

namespace fl = fairlead;

namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

struct Case {
  fl::AttentionShape s;
  bool bias = false, one_batch = false, one_head = false, one_query = false, one_key = false, mask = false, counts = false;
  std::vector<double> q, k, v, b, dout;
  std::vector<std::uint8_t> m;
  std::vector<std::int64_t> nq, nk;
};

struct Result {
  std::vector<double> out, lse, each, mean, dq, dk, dv, db;
  double terms = 1.0;  // the largest sum of sizes of what a bias gradient is made of: where keys share a bias it cancels
};

std::size_t axis(bool one, std::size_t n) { return one ? 1 : n; }

Case make(std::mt19937& dice, std::size_t most) {
  const auto upto = [&](std::size_t n) { return std::size_t{1} + dice() % n; };
  Case c;
  const std::size_t group = upto(3);
  c.s.key_heads = upto(2);
  c.s.heads = c.s.key_heads * group;
  c.s.batch = upto(3);
  c.s.queries = upto(most);
  c.s.keys = dice() % 3 == 0 ? c.s.queries : upto(most);
  c.s.depth = upto(70);
  c.s.width = dice() % 2 == 0 ? c.s.depth : upto(70);
  c.bias = dice() % 4 != 0;
  c.one_batch = dice() % 2 == 0;
  c.one_head = dice() % 2 == 0;
  c.one_query = dice() % 4 == 0;
  c.one_key = dice() % 4 == 0;
  c.mask = dice() % 3 == 0;
  c.counts = dice() % 3 == 0;
  std::normal_distribution<float> normal;
  const auto fill = [&](std::vector<double>& to, std::size_t n) {
    to.resize(n);
    for (double& x : to) x = static_cast<double>(normal(dice));
  };
  const fl::AttentionShape& s = c.s;
  fill(c.q, s.batch * s.heads * s.queries * s.depth);
  fill(c.k, s.batch * s.key_heads * s.keys * s.depth);
  fill(c.v, s.batch * s.key_heads * s.keys * s.width);
  fill(c.dout, s.batch * s.heads * s.queries * s.width);
  fill(c.b, axis(c.one_batch, s.batch) * axis(c.one_head, s.heads) * axis(c.one_query, s.queries) * axis(c.one_key, s.keys));
  for (double& x : c.b)
    if (dice() % 7 == 0) x = none;
  c.m.resize(s.batch * s.queries * s.keys);
  for (std::uint8_t& x : c.m) x = dice() % 3 != 0;
  for (std::size_t j = 0; j < s.keys; ++j) c.m[j] = 0;  // one query looks at nothing
  for (std::size_t b = 0; b < s.batch; ++b) {
    c.nq.push_back(static_cast<std::int64_t>(dice() % (s.queries + 1)));
    c.nk.push_back(static_cast<std::int64_t>(dice() % (s.keys + 1)));
  }
  return c;
}

std::size_t bias_at(const Case& c, std::size_t b, std::size_t h, std::size_t i, std::size_t j) {
  const fl::AttentionShape& s = c.s;
  const std::size_t bb = c.one_batch ? 0 : b, hh = c.one_head ? 0 : h, ii = c.one_query ? 0 : i, jj = c.one_key ? 0 : j;
  return ((bb * axis(c.one_head, s.heads) + hh) * axis(c.one_query, s.queries) + ii) * axis(c.one_key, s.keys) + jj;
}

// The formulas, one number at a time.
Result expected(const Case& c) {
  const fl::AttentionShape& s = c.s;
  Result r;
  r.out.assign(c.dout.size(), 0.0);
  r.lse.assign(s.batch * s.heads * s.queries, none);
  r.each.assign(r.lse.size() * s.keys, 0.0);
  r.mean.assign(s.batch * s.queries * s.keys, 0.0);
  r.dq.assign(c.q.size(), 0.0);
  r.dk.assign(c.k.size(), 0.0);
  r.dv.assign(c.v.size(), 0.0);
  r.db.assign(c.b.size(), 0.0);
  const double scale = 1.0 / std::sqrt(static_cast<double>(s.depth));
  std::vector<double> sizes(c.b.size());
  for (std::size_t b = 0; b < s.batch; ++b) {
    const auto nq = c.counts ? static_cast<std::size_t>(c.nq[b]) : s.queries;
    const auto nk = c.counts ? static_cast<std::size_t>(c.nk[b]) : s.keys;
    for (std::size_t h = 0; h < s.heads; ++h) {
      const std::size_t g = h / (s.heads / s.key_heads);
      for (std::size_t i = 0; i < nq; ++i) {
        const double* const q = &c.q[((b * s.heads + h) * s.queries + i) * s.depth];
        const double* const dout = &c.dout[((b * s.heads + h) * s.queries + i) * s.width];
        std::vector<double> logit(nk), weight(nk);
        double top = none;
        for (std::size_t j = 0; j < nk; ++j) {
          for (std::size_t d = 0; d < s.depth; ++d) logit[j] += q[d] * c.k[((b * s.key_heads + g) * s.keys + j) * s.depth + d];
          logit[j] = logit[j] * scale + (c.bias ? c.b[bias_at(c, b, h, i, j)] : 0.0);
          if (c.mask && c.m[(b * s.queries + i) * s.keys + j] == 0) logit[j] = none;
          top = std::max(top, logit[j]);
        }
        if (top == none) continue;
        double sum = 0.0;
        for (std::size_t j = 0; j < nk; ++j) sum += weight[j] = std::exp(logit[j] - top);
        r.lse[(b * s.heads + h) * s.queries + i] = top + std::log(sum);
        double delta = 0.0;
        std::vector<double> dp(nk);
        for (std::size_t j = 0; j < nk; ++j) {
          weight[j] /= sum;
          r.each[((b * s.heads + h) * s.queries + i) * s.keys + j] = weight[j];
          r.mean[(b * s.queries + i) * s.keys + j] += weight[j] / static_cast<double>(s.heads);
          for (std::size_t w = 0; w < s.width; ++w) {
            const std::size_t at = ((b * s.key_heads + g) * s.keys + j) * s.width + w;
            r.out[((b * s.heads + h) * s.queries + i) * s.width + w] += weight[j] * c.v[at];
            r.dv[at] += weight[j] * dout[w];
            dp[j] += dout[w] * c.v[at];
          }
          delta += weight[j] * dp[j];
        }
        for (std::size_t j = 0; j < nk; ++j) {
          const double ds = weight[j] * (dp[j] - delta);
          if (c.bias) {
            r.db[bias_at(c, b, h, i, j)] += ds;
            sizes[bias_at(c, b, h, i, j)] += std::fabs(ds);
          }
          for (std::size_t d = 0; d < s.depth; ++d) {
            const std::size_t at = ((b * s.key_heads + g) * s.keys + j) * s.depth + d;
            r.dq[((b * s.heads + h) * s.queries + i) * s.depth + d] += ds * scale * c.k[at];
            r.dk[at] += ds * scale * q[d];
          }
        }
      }
    }
  }
  for (const double size : sizes) r.terms = std::max(r.terms, size);
  return r;
}

std::uint16_t to_half(double x) {
  const auto f = static_cast<float>(x);
  std::uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
double from_half(std::uint16_t h) {
  const std::uint32_t bits = std::uint32_t{h} << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return static_cast<double>(f);
}

template <class T>
T as(double x) {
  if constexpr (std::is_same_v<T, std::uint16_t>) {
    return to_half(x);
  } else {
    return static_cast<T>(x);
  }
}
template <class T>
double back(T x) {
  if constexpr (std::is_same_v<T, std::uint16_t>) {
    return from_half(x);
  } else {
    return static_cast<double>(x);
  }
}

// A tensor [batch][head][row][n] laid out with gaps, by head or by row first, filled with a number that must not be read.
template <class T>
struct Laid {
  std::vector<T> memory;
  fl::AttentionTensor view;
  std::size_t batch, heads, rows, n;

  Laid(const std::vector<double>& from, std::size_t b, std::size_t h, std::size_t r, std::size_t n_, bool rows_first, std::size_t gap)
      : batch(b), heads(h), rows(r), n(n_) {
    memory.assign(b * h * r * (n + gap), as<T>(777.0));
    const auto wide = static_cast<fl::Stride>(n + gap);
    view.row = rows_first ? wide * static_cast<fl::Stride>(h) : wide;
    view.head = rows_first ? wide : wide * static_cast<fl::Stride>(r);
    view.batch = wide * static_cast<fl::Stride>(h * r);
    view.data = memory.data();
    if (from.empty()) return;
    for (std::size_t i = 0; i < from.size(); ++i) memory[at(i)] = as<T>(from[i]);
  }
  std::size_t at(std::size_t i) const {
    const std::size_t d = i % n, row = i / n % rows, h = i / n / rows % heads, b = i / n / rows / heads;
    return static_cast<std::size_t>(static_cast<fl::Stride>(b) * view.batch + static_cast<fl::Stride>(h) * view.head +
                                    static_cast<fl::Stride>(row) * view.row) + d;
  }
  std::vector<double> read() const {
    std::vector<double> out(batch * heads * rows * n);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = back(memory[at(i)]);
    return out;
  }
  bool gaps_untouched() const {
    std::size_t touched = 0;
    for (const T& x : memory) touched += back(x) != back(as<T>(777.0)) ? 1u : 0u;
    return touched <= batch * heads * rows * n;
  }
};

template <class T>
Result run(const Case& c, fl::Number number, bool rows_first, std::size_t gap, std::size_t threads) {
  using Sum = std::conditional_t<std::is_same_v<T, double>, double, float>;
  const fl::AttentionShape& s = c.s;
  Laid<T> q(c.q, s.batch, s.heads, s.queries, s.depth, rows_first, gap), k(c.k, s.batch, s.key_heads, s.keys, s.depth, rows_first, gap),
      v(c.v, s.batch, s.key_heads, s.keys, s.width, rows_first, gap), dout(c.dout, s.batch, s.heads, s.queries, s.width, rows_first, gap),
      out({}, s.batch, s.heads, s.queries, s.width, rows_first, gap), dq({}, s.batch, s.heads, s.queries, s.depth, rows_first, gap),
      dk({}, s.batch, s.key_heads, s.keys, s.depth, rows_first, gap), dv({}, s.batch, s.key_heads, s.keys, s.width, rows_first, gap);
  std::vector<T> bias(c.b.size());
  for (std::size_t i = 0; i < bias.size(); ++i) bias[i] = as<T>(c.b[i]);
  fl::Attention a;
  a.shape = s;
  a.number = number;
  a.scale = 1.0f / std::sqrt(static_cast<float>(s.depth));
  a.scale64 = 1.0 / std::sqrt(static_cast<double>(s.depth));
  a.q = q.view;
  a.k = k.view;
  a.v = v.view;
  a.out = out.view;
  if (c.bias) {
    a.bias_number = number;
    a.bias.data = bias.data();
    const std::size_t keys = axis(c.one_key, s.keys), queries = axis(c.one_query, s.queries), heads = axis(c.one_head, s.heads);
    a.bias.key = c.one_key ? 0 : 1;
    a.bias.query = c.one_query ? 0 : static_cast<fl::Stride>(keys);
    a.bias.head = c.one_head ? 0 : static_cast<fl::Stride>(keys * queries);
    a.bias.batch = c.one_batch ? 0 : static_cast<fl::Stride>(keys * queries * heads);
  }
  if (c.mask) {
    a.mask = {c.m.data(), static_cast<fl::Stride>(s.queries * s.keys), 0, static_cast<fl::Stride>(s.keys), 1};
  }
  if (c.counts) {
    a.query_counts = c.nq.data();
    a.key_counts = c.nk.data();
  }
  std::vector<Sum> lse(s.batch * s.heads * s.queries, Sum(55)), each(lse.size() * s.keys, Sum(55)), mean(s.batch * s.queries * s.keys, Sum(55)),
      db(c.b.size(), Sum(55));
  a.lse = lse.data();
  fl::AttentionWorkspace workspace;
  a.weights = each.data();
  a.which = fl::AttentionWeights::each;
  REQUIRE(fl::attention_forward(a, workspace, threads) == fl::Status::ok);
  const std::vector<T> first = out.memory;
  a.weights = mean.data();
  a.which = fl::AttentionWeights::mean;
  REQUIRE(fl::attention_forward(a, workspace, threads) == fl::Status::ok);
  CHECK(first == out.memory);
  fl::AttentionGradients g{dout.view, dq.view, dk.view, dv.view, c.bias ? db.data() : nullptr};
  REQUIRE(fl::attention_backward(a, g, workspace, threads) == fl::Status::ok);
  for (const auto* laid : {&out, &dq, &dk, &dv}) CHECK(laid->gaps_untouched());
  Result r;
  r.out = out.read();
  r.dq = dq.read();
  r.dk = dk.read();
  r.dv = dv.read();
  r.lse.assign(lse.begin(), lse.end());
  r.each.assign(each.begin(), each.end());
  r.mean.assign(mean.begin(), mean.end());
  if (c.bias) r.db.assign(db.begin(), db.end());
  return r;
}

// The largest difference, of the largest number (at least `least`).
double error(const std::vector<double>& got, const std::vector<double>& want, double least) {
  REQUIRE(got.size() <= want.size());
  double most = least, worst = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (got[i] == want[i]) continue;
    if (std::isfinite(want[i])) most = std::max(most, std::fabs(want[i]));
    const double d = std::fabs(got[i] - want[i]);
    worst = d <= worst ? worst : d;  // NaN counts
  }
  return worst / most;
}

void compare(const Result& got, const Result& want, double forward, double gradients) {
  CHECK(error(got.out, want.out, 0.1) <= forward);
  CHECK(error(got.lse, want.lse, 1.0) <= forward);
  CHECK(error(got.each, want.each, 0.1) <= forward);
  CHECK(error(got.mean, want.mean, 0.1) <= forward);
  CHECK(error(got.dq, want.dq, 1.0) <= gradients);
  CHECK(error(got.dk, want.dk, 1.0) <= gradients);
  CHECK(error(got.dv, want.dv, 1.0) <= gradients);
  CHECK(error(got.db, want.db, want.terms) <= gradients);
}

// Runs at a level, or not at all where this machine lacks it.
template <class Body>
void at_each_level(Body&& body) {
  const fl::Simd before = fl::simd_level();
  for (const fl::Simd level : {fl::Simd::scalar, fl::Simd::avx2, fl::Simd::avx512}) {
    if (fl::set_simd_level(level) != fl::Status::ok) continue;
    CAPTURE(fl::name(level));
    body();
  }
  CHECK(fl::set_simd_level(before) == fl::Status::ok);
}

}  // namespace

TEST_CASE("attention: double equals the formulas") {
  std::mt19937 dice(1);
  for (int i = 0; i < 60; ++i) {
    const Case c = make(dice, 20);
    compare(run<double>(c, fl::Number::f64, dice() % 2 == 0, dice() % 3, 1), expected(c), 1e-13, 1e-12);
  }
}

TEST_CASE("attention: float is within its bounds at every level, whatever shape, strides, masks and counts") {
  std::mt19937 dice(2);
  for (int i = 0; i < 80; ++i) {
    const Case c = make(dice, i % 8 == 0 ? 150 : 40);
    const Result want = expected(c);
    const bool rows_first = dice() % 2 == 0;
    const std::size_t gap = dice() % 3;
    at_each_level([&] { compare(run<float>(c, fl::Number::f32, rows_first, gap, 1), want, 2e-6, 1e-5); });
  }
}

TEST_CASE("attention: bfloat16 is within one percent") {
  std::mt19937 dice(3);
  for (int i = 0; i < 20; ++i) {
    Case c = make(dice, 40);
    for (auto* x : {&c.q, &c.k, &c.v, &c.b, &c.dout})
      for (double& y : *x) y = std::isfinite(y) ? from_half(to_half(y)) : y;
    const Result want = expected(c);
    at_each_level([&] { compare(run<std::uint16_t>(c, fl::Number::bf16, i % 2 == 0, 0, 1), want, 1e-2, 1e-2); });
  }
}

TEST_CASE("attention: the same bits with any number of threads") {
  std::mt19937 dice(4);
  for (int i = 0; i < 20; ++i) {
    const Case c = make(dice, 40);
    const Result one = run<float>(c, fl::Number::f32, false, 0, 1);
    for (const std::size_t threads : {std::size_t{2}, std::size_t{3}, std::size_t{8}}) {
      const Result more = run<float>(c, fl::Number::f32, false, 0, threads);
      CHECK(one.out == more.out);
      CHECK(one.mean == more.mean);
      CHECK(one.dq == more.dq);
      CHECK(one.dk == more.dk);
      CHECK(one.dv == more.dv);
      CHECK(one.db == more.db);
    }
  }
}

TEST_CASE("attention: extreme logits") {
  at_each_level([] {
    for (const double size : {0.0, 1.0, 1e2, 1e4}) {
      std::mt19937 dice(5);
      Case c = make(dice, 30);
      c.bias = true;
      for (double& x : c.b) x = std::isfinite(x) ? x * size : x;
      for (double& x : c.q) x *= size == 0.0 ? 0.0 : 1.0;
      for (double& x : c.b) x = static_cast<double>(static_cast<float>(x));
      // The logits themselves carry a rounding of their size.
      const double bound = 2e-6 + size * 2e-7;
      compare(run<float>(c, fl::Number::f32, false, 0, 1), expected(c), bound, 5.0 * bound);
    }
  });
}

TEST_CASE("attention: rows far from zero among rows near it, and more keys than meet the values at once") {
  std::mt19937 dice(6);
  for (const std::size_t keys : {std::size_t{1}, std::size_t{17}, std::size_t{300}}) {
    Case c = make(dice, 1);
    c.s = {1, 1, 1, 130, keys, 20, 20};
    c.bias = true;
    c.mask = c.counts = c.one_batch = c.one_head = c.one_query = c.one_key = false;
    std::normal_distribution<float> normal;
    for (auto* x : {&c.q, &c.dout}) x->resize(130 * 20);
    for (auto* x : {&c.k, &c.v}) x->resize(keys * 20);
    c.b.resize(130 * keys);
    for (auto* x : {&c.q, &c.k, &c.v, &c.dout, &c.b})
      for (double& y : *x) y = static_cast<double>(normal(dice));
    for (std::size_t i = 0; i < 130; ++i) {
      // Runs of rows: one alone, some at the ends of a block of rows, a whole block.
      const bool low = i == 3 || (i > 44 && i < 51) || i == 129, high = i == 5 || i == 20, nothing = i == 21 || i > 95;
      for (std::size_t j = 0; j < keys; ++j) {
        double& x = c.b[i * keys + j];
        x = nothing && !low ? none : static_cast<double>(static_cast<float>(x + (low ? -300.0 : high ? 300.0 : 0.0)));
      }
    }
    const Result want = expected(c);
    at_each_level([&] { compare(run<float>(c, fl::Number::f32, false, 1, 1), want, 6e-5, 3e-4); });
  }
}

TEST_CASE("attention: refused before anything is written") {
  fl::AttentionWorkspace workspace;
  std::vector<float> x(64, 1.0f), out(64, 7.0f);
  fl::Attention a;
  a.shape = {1, 3, 2, 2, 2, 4, 4};
  a.q = a.k = a.v = {x.data(), 0, 8, 4};
  a.out = {out.data(), 0, 8, 4};
  CHECK(fl::attention_forward(a, workspace) == fl::Status::out_of_range);  // two key heads do not divide three
  a.shape.heads = 2;
  const std::int64_t many = 3, negative = -1;
  a.key_counts = &many;
  CHECK(fl::attention_forward(a, workspace) == fl::Status::out_of_range);
  a.key_counts = &negative;
  CHECK(fl::attention_forward(a, workspace) == fl::Status::out_of_range);
  a.key_counts = nullptr;
  a.shape.depth = 0;
  CHECK(fl::attention_forward(a, workspace) == fl::Status::out_of_range);
  a.shape.depth = 4;
  a.shape.queries = std::size_t{1} << 31;
  CHECK(fl::attention_forward(a, workspace) == fl::Status::too_long);
  CHECK(out == std::vector<float>(64, 7.0f));
}

TEST_CASE("attention: a bias that nobody used has a gradient of zeros, and sizes whose products wrap are refused") {
  const std::vector<float> numbers(64, 1.0f);
  using Sizes = std::array<std::size_t, 3>;
  for (const auto& [batch, queries, keys] : {Sizes{0, 5, 5}, Sizes{1, 0, 5}, Sizes{1, 5, 0}}) {
    fl::Attention call;
    call.shape = {batch, 2, 2, queries, keys, 4, 4};
    call.q = call.k = call.v = call.out = {const_cast<float*>(numbers.data()), 0, 0, 0};
    call.lse = const_cast<float*>(numbers.data());
    call.bias = {numbers.data(), 0, 25, queries == 0 ? 0 : 5, keys == 0 ? 0 : 1};
    fl::AttentionGradients to;
    std::vector<float> bias(64, 7.0f), out(64);
    to.out = to.q = to.k = to.v = {out.data(), 0, 0, 0};
    to.bias = bias.data();
    fl::AttentionWorkspace workspace;
    REQUIRE(fl::attention_backward(call, to, workspace, 1) == fl::Status::ok);
    const std::size_t n = 2 * (queries == 0 ? 1 : queries) * (keys == 0 ? 1 : keys);
    CHECK(std::count(bias.begin(), bias.end(), 0.0f) == static_cast<std::ptrdiff_t>(n));
  }
  fl::Attention call;
  call.shape = {1, 1, 1, 1, (std::size_t{1} << 31) - 1, std::size_t{1} << 30, 4};
  call.q = call.k = call.v = call.out = {const_cast<float*>(numbers.data()), 0, 0, 0};
  fl::AttentionWorkspace workspace;
  CHECK(fl::attention_forward(call, workspace, 1) == fl::Status::too_long);
}
