// The layer against its formulas in double, its gradients by differences, its bits on several threads, stale packs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "fairlead/attention_layer.hpp"
#include "fairlead/simd.hpp"

namespace fl = fairlead;

namespace {

constexpr double none = -std::numeric_limits<double>::infinity();

using Numbers = std::vector<double>;

struct Setup {
  fl::AttentionLayerOptions options;
  std::size_t batch = 1, queries = 1, keys = 1;
  bool cross = false, biases = true;
  int bias = 0;  // 0: none, 1: of each head, 2: shared by batches, 3: shared by all
  bool mask = false, counts = false;
  Numbers x, context, in_w, in_b, out_w, out_b, norm_w, norm_b, b, dout;
  std::vector<std::uint8_t> m;
  std::vector<std::int64_t> nq, nk;
};

Setup setup(unsigned seed, std::size_t embed, std::size_t heads, std::size_t batch, std::size_t queries, std::size_t keys = 0) {
  std::mt19937 dice(seed);
  Setup s;
  s.options.embed = embed;
  s.options.heads = heads;
  s.options.norm = static_cast<fl::LayerNorm>(seed % 3);
  s.options.residual = seed / 3 % 2 == 0;
  s.cross = keys > 0;
  s.batch = batch;
  s.queries = queries;
  s.keys = s.cross ? keys : queries;
  s.biases = seed % 5 != 0;
  s.bias = static_cast<int>(seed % 4);
  s.mask = seed % 7 == 1;
  s.counts = seed % 4 == 2;
  std::normal_distribution<double> normal;
  const auto fill = [&](Numbers& to, std::size_t n, double size = 1.0, double level = 0.0) {
    to.resize(n);
    for (double& v : to) v = level + size * normal(dice);
  };
  const double size = 1.0 / std::sqrt(static_cast<double>(embed));
  fill(s.x, batch * queries * embed);
  fill(s.context, batch * s.keys * embed);
  fill(s.in_w, 3 * embed * embed, size);
  fill(s.in_b, 3 * embed, 0.3);
  fill(s.out_w, embed * embed, size);
  fill(s.out_b, embed, 0.3);
  fill(s.norm_w, embed, 0.2, 1.0);
  fill(s.norm_b, embed, 0.2);
  fill(s.dout, batch * queries * embed);
  fill(s.b, (s.bias == 1 ? batch : 1) * (s.bias == 3 ? 1 : heads) * queries * s.keys);
  s.m.resize(batch * queries * s.keys);
  for (auto& v : s.m) v = dice() % 3 != 0;
  for (std::size_t i = 0; i < batch; ++i) {
    s.nq.push_back(static_cast<std::int64_t>(dice() % (queries + 1)));
    s.nk.push_back(s.cross ? static_cast<std::int64_t>(dice() % (s.keys + 1)) : s.nq.back());
  }
  return s;
}

Numbers normed(const Setup& s, const Numbers& z) {
  const std::size_t e = s.options.embed;
  Numbers out(z.size());
  for (std::size_t i = 0; i < z.size() / e; ++i) {
    double mean = 0.0, var = 0.0;
    for (std::size_t j = 0; j < e; ++j) mean += z[i * e + j] / static_cast<double>(e);
    for (std::size_t j = 0; j < e; ++j) var += (z[i * e + j] - mean) * (z[i * e + j] - mean) / static_cast<double>(e);
    for (std::size_t j = 0; j < e; ++j) out[i * e + j] = (z[i * e + j] - mean) / std::sqrt(var + s.options.epsilon) * s.norm_w[j] + s.norm_b[j];
  }
  return out;
}

// The formulas, one number at a time; of each head's weights, too.
Numbers expected(const Setup& s, Numbers* weights = nullptr) {
  const std::size_t e = s.options.embed, h = s.options.heads, d = e / h;
  const Numbers x = s.options.norm == fl::LayerNorm::before ? normed(s, s.x) : s.x;
  const Numbers& c = s.cross ? s.context : x;
  const auto project = [&](const Numbers& rows, std::size_t row, std::size_t part, std::size_t k) {
    double sum = s.biases ? s.in_b[part * e + k] : 0.0;
    for (std::size_t j = 0; j < e; ++j) sum += rows[row * e + j] * s.in_w[(part * e + k) * e + j];
    return sum;
  };
  if (weights != nullptr) weights->assign(s.batch * h * s.queries * s.keys, 0.0);
  Numbers z(s.x.size());
  for (std::size_t b = 0; b < s.batch; ++b) {
    const auto nq = s.counts ? static_cast<std::size_t>(s.nq[b]) : s.queries, nk = s.counts ? static_cast<std::size_t>(s.nk[b]) : s.keys;
    Numbers k(nk * e), v(nk * e);
    for (std::size_t j = 0; j < nk; ++j) {
      for (std::size_t n = 0; n < e; ++n) {
        k[j * e + n] = project(c, b * s.keys + j, 1, n);
        v[j * e + n] = project(c, b * s.keys + j, 2, n);
      }
    }
    for (std::size_t i = 0; i < nq; ++i) {
      Numbers attended(e);
      for (std::size_t head = 0; head < h; ++head) {
        Numbers logit(nk), q(d);
        for (std::size_t n = 0; n < d; ++n) q[n] = project(x, b * s.queries + i, 0, head * d + n);
        double top = none, sum = 0.0;
        for (std::size_t j = 0; j < nk; ++j) {
          for (std::size_t n = 0; n < d; ++n) logit[j] += q[n] * k[j * e + head * d + n] / std::sqrt(static_cast<double>(d));
          if (s.bias > 0) logit[j] += s.b[(((s.bias == 1 ? b : 0) * (s.bias == 3 ? 1 : h) + (s.bias == 3 ? 0 : head)) * s.queries + i) * s.keys + j];
          if (s.mask && s.m[(b * s.queries + i) * s.keys + j] == 0) logit[j] = none;
          top = std::max(top, logit[j]);
        }
        if (top == none) continue;
        for (std::size_t j = 0; j < nk; ++j) sum += logit[j] = std::exp(logit[j] - top);
        for (std::size_t j = 0; j < nk; ++j) {
          if (weights != nullptr) (*weights)[((b * h + head) * s.queries + i) * s.keys + j] = logit[j] / sum;
          for (std::size_t n = 0; n < d; ++n) attended[head * d + n] += logit[j] / sum * v[j * e + head * d + n];
        }
      }
      for (std::size_t n = 0; n < e; ++n) {
        double sum = s.biases ? s.out_b[n] : 0.0;
        for (std::size_t j = 0; j < e; ++j) sum += attended[j] * s.out_w[n * e + j];
        const std::size_t at = (b * s.queries + i) * e + n;
        z[at] = sum + (s.options.residual ? s.x[at] : 0.0);
      }
    }
  }
  if (s.options.norm == fl::LayerNorm::after) z = normed(s, z);
  for (std::size_t b = 0; s.counts && b < s.batch; ++b)
    std::fill(z.begin() + static_cast<long>((b * s.queries + static_cast<std::size_t>(s.nq[b])) * e), z.begin() + static_cast<long>((b + 1) * s.queries * e), 0.0);
  return z;
}

struct Names {
  Numbers x, context, in_w, in_b, out_w, out_b, norm_w, norm_b, b;
};

struct Ran {
  Numbers out, weights;
  Names gradient;
};

template <class T>
Ran run(const Setup& s, std::size_t threads = 1, bool backward = true) {
  const auto as = [](const Numbers& from) { return std::vector<T>(from.begin(), from.end()); };
  const auto back = [](const std::vector<T>& from) { return Numbers(from.begin(), from.end()); };
  const auto x = as(s.x), c = as(s.context), iw = as(s.in_w), ib = as(s.in_b), ow = as(s.out_w), ob = as(s.out_b), nw = as(s.norm_w), nb = as(s.norm_b), b = as(s.b), dout = as(s.dout);
  fl::AttentionLayer<T> layer;
  REQUIRE(layer.open(s.options) == fl::Status::ok);
  fl::AttentionLayerWeights<T> w{iw.data(), s.biases ? ib.data() : nullptr, ow.data(), s.biases ? ob.data() : nullptr, nw.data(), nb.data()};
  REQUIRE(layer.pack(w, 7) == fl::Status::ok);
  fl::AttentionLayerWorkspace workspace;
  std::vector<T> out(x.size(), T(9)), weights(s.batch * s.options.heads * s.queries * s.keys, T(9)), saved(layer.saved(s.batch, s.queries, s.keys));
  fl::AttentionLayerCall<T> call;
  call.batch = s.batch;
  call.queries = s.queries;
  call.keys = s.keys;
  call.input = x.data();
  if (s.cross) call.context = c.data();
  const auto grid = static_cast<fl::Stride>(s.queries * s.keys), row = static_cast<fl::Stride>(s.keys), all = grid * static_cast<fl::Stride>(s.options.heads);
  if (s.bias > 0) call.bias = {b.data(), s.bias == 1 ? all : 0, s.bias == 3 ? 0 : grid, row, 1};
  if (s.mask) call.mask = {s.m.data(), grid, 0, row, 1};
  if (s.counts) call.query_counts = s.nq.data(), call.key_counts = s.nk.data();
  call.out = out.data();
  call.weights = weights.data();
  call.which = fl::AttentionWeights::each;
  call.version = 7;
  REQUIRE(layer.forward(call, workspace, threads) == fl::Status::ok);
  Ran r;
  r.weights = back(weights);
  if (!backward) {
    r.out = back(out);
    return r;
  }
  // Once more, keeping what the backward pass needs: the same bits.
  std::vector<T> again(x.size());
  call.out = again.data();
  call.saved = saved.data();
  REQUIRE(layer.forward(call, workspace, threads) == fl::Status::ok);
  CHECK(again == out);
  r.out = back(out);
  std::vector<T> gx(x.size()), gc(c.size()), giw(iw.size()), gib(ib.size()), gow(ow.size()), gob(ob.size()), gnw(nw.size()), gnb(nb.size()), gb(b.size());
  fl::AttentionLayerGradients<T> g{dout.data(), gx.data(), gc.data(), giw.data(), gib.data(), gow.data(), gob.data(), gnw.data(), gnb.data(), gb.data()};
  REQUIRE(layer.backward(call, g, workspace, threads) == fl::Status::ok);
  r.gradient = {back(gx), back(gc), back(giw), back(gib), back(gow), back(gob), back(gnw), back(gnb), back(gb)};
  return r;
}

double apart(const Numbers& a, const Numbers& b) {
  REQUIRE(a.size() == b.size());
  double most = 0.0, top = 1e-2;
  for (std::size_t i = 0; i < a.size(); ++i) {
    most = std::isnan(a[i]) ? -none : std::max(most, std::fabs(a[i] - b[i]));
    top = std::max(top, std::fabs(b[i]));
  }
  return most / top;
}

double loss(const Setup& s) {
  const Numbers out = expected(s);
  double sum = 0.0;
  for (std::size_t i = 0; i < out.size(); ++i) sum += out[i] * s.dout[i];
  return sum;
}

Setup some(unsigned seed) {
  std::mt19937 dice(seed + 99);
  const std::size_t heads = std::size_t{1} + dice() % 4, embed = heads * (std::size_t{1} + dice() % 20);
  return setup(seed, embed, heads, std::size_t{1} + dice() % 4, std::size_t{1} + dice() % 40, seed % 3 == 2 ? std::size_t{1} + dice() % 30 : 0);
}

}  // namespace

TEST_CASE("a layer of attention gives what its formulas do, at every level") {
  const fl::Simd before = fl::simd_level();
  for (unsigned seed = 0; seed < 40; ++seed) {
    CAPTURE(seed);
    const Setup s = some(seed);
    Numbers weights;
    const Numbers out = expected(s, &weights);
    const Ran exact = run<double>(s);
    CHECK(apart(exact.out, out) < 1e-12);
    CHECK(apart(exact.weights, weights) < 1e-12);
    for (const fl::Simd level : {fl::Simd::scalar, fl::Simd::avx2, fl::Simd::avx512}) {
      if (fl::set_simd_level(level) != fl::Status::ok) continue;
      const Ran fast = run<float>(s);
      CHECK(apart(fast.out, out) < 2e-6 * 4);  // four operations deep, each within 2e-6
      CHECK(apart(fast.weights, weights) < 4e-6);
      const auto near = [&](const Numbers& a, const Numbers& b, double bound = 2e-5) { CHECK(apart(a, b) < bound); };
      near(fast.gradient.x, exact.gradient.x);
      if (s.cross) near(fast.gradient.context, exact.gradient.context);
      near(fast.gradient.in_w, exact.gradient.in_w);
      near(fast.gradient.in_b, exact.gradient.in_b);
      near(fast.gradient.out_w, exact.gradient.out_w);
      near(fast.gradient.out_b, exact.gradient.out_b);
      near(fast.gradient.norm_w, exact.gradient.norm_w);
      near(fast.gradient.norm_b, exact.gradient.norm_b);
      near(fast.gradient.b, exact.gradient.b);
    }
    REQUIRE(fl::set_simd_level(before) == fl::Status::ok);
  }
}

TEST_CASE("the gradients of a layer are the slopes of its formulas") {
  for (unsigned seed = 0; seed < 24; ++seed) {
    CAPTURE(seed);
    Setup s = setup(seed, 6, 2, 2, 4, seed % 2 == 1 ? 3 : 0);
    const Ran r = run<double>(s);
    const auto slopes = [&](Numbers& of, const Numbers& gradient, const char* name) {
      CAPTURE(name);
      for (std::size_t i = 0; i < of.size(); ++i) {
        const double kept = of[i], step = 1e-5;
        of[i] = kept + step;
        const double up = loss(s);
        of[i] = kept - step;
        const double down = loss(s);
        of[i] = kept;
        CHECK(gradient[i] == doctest::Approx((up - down) / (2.0 * step)).epsilon(1e-6).scale(10.0));
      }
    };
    slopes(s.x, r.gradient.x, "x");
    if (s.cross) slopes(s.context, r.gradient.context, "context");
    slopes(s.in_w, r.gradient.in_w, "in_w");
    slopes(s.out_w, r.gradient.out_w, "out_w");
    if (s.biases) slopes(s.in_b, r.gradient.in_b, "in_b");
    if (s.biases) slopes(s.out_b, r.gradient.out_b, "out_b");
    if (s.options.norm != fl::LayerNorm::none) {
      slopes(s.norm_w, r.gradient.norm_w, "norm_w");
      slopes(s.norm_b, r.gradient.norm_b, "norm_b");
    }
    if (s.bias > 0) slopes(s.b, r.gradient.b, "b");
  }
}

TEST_CASE("threads do not change a bit of a layer") {
  for (unsigned seed = 0; seed < 12; ++seed) {
    CAPTURE(seed);
    const Setup s = setup(seed, 32, 4, seed % 2 == 0 ? 37 : 1, seed % 2 == 0 ? 9 : 210, seed % 3 == 1 ? 20 : 0);
    const Ran one = run<float>(s, 1), three = run<float>(s, 3);
    CHECK(one.out == three.out);
    CHECK(one.weights == three.weights);
    CHECK(one.gradient.x == three.gradient.x);
    CHECK(one.gradient.in_w == three.gradient.in_w);
    CHECK(one.gradient.in_b == three.gradient.in_b);
    CHECK(one.gradient.out_w == three.gradient.out_w);
    CHECK(one.gradient.norm_w == three.gradient.norm_w);
    CHECK(one.gradient.b == three.gradient.b);
  }
}

TEST_CASE("a pack that is stale is refused, and so are options that do not fit") {
  const Setup s = setup(3, 8, 2, 1, 4);
  const std::vector<float> w(3 * 8 * 8, 0.1f), x(4 * 8, 1.0f);
  fl::AttentionLayer<float> layer;
  fl::AttentionLayerOptions wrong;
  CHECK(layer.open(wrong) == fl::Status::out_of_range);
  wrong.embed = 6;
  CHECK(layer.open(wrong) == fl::Status::out_of_range);  // four heads
  REQUIRE(layer.open(s.options) == fl::Status::ok);
  fl::AttentionLayerWeights<float> weights;
  CHECK(layer.pack(weights) == fl::Status::out_of_range);
  weights.in_weight = weights.out_weight = w.data();
  fl::AttentionLayerWorkspace workspace;
  std::vector<float> out(4 * 8, 9.0f), saved(layer.saved(1, 4, 4));
  fl::AttentionLayerCall<float> call;
  call.queries = 4;
  call.input = x.data();
  call.out = out.data();
  call.saved = saved.data();
  call.version = 1;
  CHECK(layer.forward(call, workspace) == fl::Status::stale_weights);
  REQUIRE(layer.pack(weights, 1, false) == fl::Status::ok);
  CHECK(layer.forward(call, workspace) == fl::Status::ok);
  fl::AttentionLayerGradients<float> g;
  g.out = x.data();
  CHECK(layer.backward(call, g, workspace) == fl::Status::stale_weights);  // packed without gradients
  REQUIRE(layer.pack(weights, 2) == fl::Status::ok);
  CHECK(layer.backward(call, g, workspace) == fl::Status::stale_weights);
  std::fill(out.begin(), out.end(), 9.0f);
  CHECK(layer.forward(call, workspace) == fl::Status::stale_weights);
  CHECK(out == std::vector<float>(4 * 8, 9.0f));
  call.version = 2;
  CHECK(layer.forward(call, workspace) == fl::Status::ok);
  CHECK(layer.backward(call, g, workspace) == fl::Status::ok);
  const std::int64_t count = 5;
  call.query_counts = &count;
  CHECK(layer.forward(call, workspace) == fl::Status::out_of_range);
}
