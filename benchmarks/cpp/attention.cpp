// Attention, layers of it and the policy: time of a call on one thread, and the share of what the core's fused multiply-adds
// can do at most, which is measured first.
//
//   bench_attention [most calls]
//   bench_attention peak           only what they can do at most, in GFLOP/s
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fairlead/attention_layer.hpp"
#include "fairlead/attention_policy.hpp"
#include "fairlead/simd.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

using Clock = std::chrono::steady_clock;

// Nanoseconds of the fastest call, in rounds of about a tenth of a second.
template <class Call>
double fastest(std::size_t most, const Call& call) {
  double best = 1e300;
  const auto end = Clock::now() + std::chrono::milliseconds(300);
  for (std::size_t n = 0; n < most && (n < 3 || Clock::now() < end); ++n) {
    const auto start = Clock::now();
    call();
    best = std::min(best, std::chrono::duration<double, std::nano>(Clock::now() - start).count());
  }
  return best;
}

#if defined(__x86_64__) && defined(__GNUC__)
template <class Lanes>
struct Sums {
  Lanes lane[12];
};

__attribute__((target("avx512f"))) double peak512() {
  using Lanes = float __attribute__((vector_size(64)));
  Sums<Lanes> s{};
  constexpr int rounds = 200'000;
  const auto start = Clock::now();
  Lanes a = s.lane[0] + 1.0f;
  for (int i = 0; i < rounds; ++i) {
    asm volatile(
        "vfmadd231ps %12, %12, %0\n vfmadd231ps %12, %12, %1\n vfmadd231ps %12, %12, %2\n vfmadd231ps %12, %12, %3\n"
        "vfmadd231ps %12, %12, %4\n vfmadd231ps %12, %12, %5\n vfmadd231ps %12, %12, %6\n vfmadd231ps %12, %12, %7\n"
        "vfmadd231ps %12, %12, %8\n vfmadd231ps %12, %12, %9\n vfmadd231ps %12, %12, %10\n vfmadd231ps %12, %12, %11\n"
        : "+v"(s.lane[0]), "+v"(s.lane[1]), "+v"(s.lane[2]), "+v"(s.lane[3]), "+v"(s.lane[4]), "+v"(s.lane[5]), "+v"(s.lane[6]),
          "+v"(s.lane[7]), "+v"(s.lane[8]), "+v"(s.lane[9]), "+v"(s.lane[10]), "+v"(s.lane[11])
        : "v"(a));
  }
  return 12.0 * 32.0 * rounds / std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}

__attribute__((target("avx2,fma"))) double peak256() {
  using Lanes = float __attribute__((vector_size(32)));
  Sums<Lanes> s{};
  constexpr int rounds = 200'000;
  const auto start = Clock::now();
  Lanes a = s.lane[0] + 1.0f;
  for (int i = 0; i < rounds; ++i) {
    asm volatile(
        "vfmadd231ps %12, %12, %0\n vfmadd231ps %12, %12, %1\n vfmadd231ps %12, %12, %2\n vfmadd231ps %12, %12, %3\n"
        "vfmadd231ps %12, %12, %4\n vfmadd231ps %12, %12, %5\n vfmadd231ps %12, %12, %6\n vfmadd231ps %12, %12, %7\n"
        "vfmadd231ps %12, %12, %8\n vfmadd231ps %12, %12, %9\n vfmadd231ps %12, %12, %10\n vfmadd231ps %12, %12, %11\n"
        : "+x"(s.lane[0]), "+x"(s.lane[1]), "+x"(s.lane[2]), "+x"(s.lane[3]), "+x"(s.lane[4]), "+x"(s.lane[5]), "+x"(s.lane[6]),
          "+x"(s.lane[7]), "+x"(s.lane[8]), "+x"(s.lane[9]), "+x"(s.lane[10]), "+x"(s.lane[11])
        : "x"(a));
  }
  return 12.0 * 16.0 * rounds / std::chrono::duration<double, std::nano>(Clock::now() - start).count();
}
#endif

// GFLOP/s of fused multiply-adds at the level that runs, or 0 where it is not known.
double peak() {
  double best = 0.0;
#if defined(__x86_64__) && defined(__GNUC__)
  for (int round = 0; round < 5; ++round) {
    if (fl::simd_level() == fl::Simd::avx512) best = std::max(best, peak512());
    if (fl::simd_level() == fl::Simd::avx2) best = std::max(best, peak256());
  }
#endif
  return best;
}

std::vector<float> numbers(std::mt19937& dice, std::size_t n, float size) {
  std::normal_distribution<float> normal;
  std::vector<float> out(n);
  for (float& x : out) x = size * normal(dice);
  return out;
}

void tell(const char* what, double ns, double operations, double most) {
  std::printf("%-58s %12.0f %10.1f", what, ns, operations / ns);
  most > 0.0 ? std::printf(" %8.2f\n", operations / ns / most) : std::printf("\n");
}

void attention(std::size_t batch, std::size_t heads, std::size_t n, std::size_t depth, std::size_t most, double limit, std::mt19937& dice) {
  const std::size_t rows = batch * heads * n, size = rows * depth;
  auto q = numbers(dice, size, 1.0f), k = numbers(dice, size, 1.0f), v = numbers(dice, size, 1.0f), dout = numbers(dice, size, 1.0f);
  const auto bias = numbers(dice, heads * n * n, 1.0f);
  std::vector<float> out(size), dq(size), dk(size), dv(size), dbias(bias.size()), lse(rows), weights(batch * n * n);
  const auto laid = [&](std::vector<float>& x) {
    const auto row = static_cast<fl::Stride>(depth), head = static_cast<fl::Stride>(n) * row;
    return fl::AttentionTensor{x.data(), static_cast<fl::Stride>(heads) * head, head, row};
  };
  fl::Attention a;
  a.shape = {batch, heads, heads, n, n, depth, depth};
  a.scale = 1.0f / std::sqrt(static_cast<float>(depth));
  a.q = laid(q);
  a.k = laid(k);
  a.v = laid(v);
  a.out = laid(out);
  fl::AttentionWorkspace workspace;
  const auto must = [](fl::Status status) {
    if (status != fl::Status::ok) std::abort();
  };
  const double forward = 4.0 * static_cast<double>(rows * n * depth);
  const std::string name = std::to_string(batch) + " x " + std::to_string(heads) + " heads of " + std::to_string(n) + " x " + std::to_string(depth);
  const auto time = [&](const char* what, double operations, const auto& call) {
    tell((name + what).c_str(), fastest(most, call), operations, limit);
  };
  const auto go = [&] { must(fl::attention_forward(a, workspace)); };
  time(": forward", forward, go);
  a.bias = {bias.data(), 0, static_cast<fl::Stride>(n * n), static_cast<fl::Stride>(n), 1};
  time(": forward, bias", forward, go);
  a.weights = weights.data();
  a.which = fl::AttentionWeights::mean;
  time(": forward, bias, mean weights", forward, go);
  a.weights = nullptr;
  a.lse = lse.data();
  go();
  const fl::AttentionGradients g{laid(dout), laid(dq), laid(dk), laid(dv), dbias.data()};
  time(": backward, bias gradient", 2.5 * forward, [&] { must(fl::attention_backward(a, g, workspace)); });
}

void layer(std::size_t batch, std::size_t n, std::size_t depth, std::size_t most, double limit, std::mt19937& dice) {
  fl::AttentionLayerOptions options;
  options.heads = 4;
  options.embed = 4 * depth;
  const std::size_t e = options.embed;
  const float size = 1.0f / std::sqrt(static_cast<float>(e));
  const auto in = numbers(dice, 3 * e * e, size), out = numbers(dice, e * e, size), some = numbers(dice, 3 * e, size);
  const auto x = numbers(dice, batch * n * e, 1.0f), bias = numbers(dice, 4 * n * n, 1.0f);
  fl::AttentionLayer<float> layer;
  fl::AttentionLayerWeights<float> weights{in.data(), some.data(), out.data(), some.data(), nullptr, nullptr};
  if (layer.open(options) != fl::Status::ok || layer.pack(weights) != fl::Status::ok) std::abort();
  std::vector<float> y(x.size()), w(batch * n * n), saved(layer.saved(batch, n, n)), gx(x.size()), gi(in.size()), gib(3 * e), go(out.size()), gob(e), gb(bias.size());
  fl::AttentionLayerWorkspace workspace;
  fl::AttentionLayerCall<float> call;
  call.batch = batch;
  call.queries = n;
  call.input = x.data();
  call.bias = {bias.data(), 0, static_cast<fl::Stride>(n * n), static_cast<fl::Stride>(n), 1};
  call.out = y.data();
  const auto wide = static_cast<double>(e), rows = static_cast<double>(batch * n);
  const double forward = 8.0 * rows * wide * wide + 4.0 * rows * static_cast<double>(n) * wide;
  const double backward = 16.0 * rows * wide * wide + 10.0 * rows * static_cast<double>(n) * wide;
  const std::string name = "layer " + std::to_string(batch) + " x " + std::to_string(n) + ", 4 heads of " + std::to_string(depth);
  const auto must = [](fl::Status status) {
    if (status != fl::Status::ok) std::abort();
  };
  tell((name + ": forward").c_str(), fastest(most, [&] { must(layer.forward(call, workspace)); }), forward, limit);
  call.weights = w.data();
  call.which = fl::AttentionWeights::mean;
  tell((name + ": forward, mean weights").c_str(), fastest(most, [&] { must(layer.forward(call, workspace)); }), forward, limit);
  call.weights = nullptr;
  call.saved = saved.data();
  fl::AttentionLayerGradients<float> g{x.data(), gx.data(), nullptr, gi.data(), gib.data(), go.data(), gob.data(), nullptr, nullptr, gb.data()};
  const auto both = [&] {
    must(layer.forward(call, workspace));
    must(layer.backward(call, g, workspace));
  };
  tell((name + ": forward, backward").c_str(), fastest(most, both), forward + backward, limit);
  tell((name + ": pack").c_str(), fastest(most, [&] { must(layer.pack(weights)); }), 0.0, 0.0);
}

// A file of a policy: names and shapes as attention_policy.hpp has them.
std::vector<std::byte> policy_file(std::size_t features, std::size_t d, std::size_t heads, std::size_t layers, std::size_t feed, std::mt19937& dice) {
  std::map<std::string, std::vector<std::size_t>> shapes;
  const auto linear = [&](const std::string& name, std::size_t in, std::size_t out) {
    shapes[name + ".weight"] = {out, in};
    shapes[name + ".bias"] = {out};
  };
  linear("embed", features, d);
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string name = "layers." + std::to_string(i);
    shapes[name + ".attention.in_proj_weight"] = {3 * d, d};
    shapes[name + ".attention.in_proj_bias"] = {3 * d};
    linear(name + ".attention.out_proj", d, d);
    shapes[name + ".correlation.slope"] = {heads};
    for (const char* norm : {".norm", ".feed_norm"}) shapes[name + norm + ".weight"] = shapes[name + norm + ".bias"] = {d};
    linear(name + ".feed.0", d, feed);
    linear(name + ".feed.2", feed, d);
  }
  linear("heads.score.0", d, d);
  linear("heads.score.2", d, 1);
  linear("heads.value.0", d, d);
  linear("heads.value.2", d, 1);
  std::string header = "{\"__metadata__\": {\"fairlead\": \"attention_policy\", \"heads\": \"" + std::to_string(heads) + "\", \"pooled\": \"value\"}", data;
  for (const auto& [name, shape] : shapes) {
    std::size_t n = 1;
    std::string sizes;
    for (const std::size_t s : shape) {
      n *= s;
      sizes += (sizes.empty() ? "" : ", ") + std::to_string(s);
    }
    const auto values = numbers(dice, n, 1.0f / std::sqrt(static_cast<float>(d)));
    header += ", \"" + name + "\": {\"dtype\": \"F32\", \"shape\": [" + sizes + "], \"data_offsets\": [" + std::to_string(data.size());
    data.append(reinterpret_cast<const char*>(values.data()), n * sizeof(float));
    header += ", " + std::to_string(data.size()) + "]}";
  }
  header += "}";
  std::string all;
  for (int i = 0; i < 8; ++i) all += static_cast<char>(header.size() >> 8 * i & 255u);
  all += header + data;
  std::vector<std::byte> out(all.size());
  std::memcpy(out.data(), all.data(), all.size());
  return out;
}

void policy(std::size_t assets, std::size_t d, std::size_t feed, std::size_t most, double limit, std::mt19937& dice) {
  constexpr std::size_t features = 16, layers = 2;
  fl::AttentionPolicy policy;
  std::string why;
  if (policy.read(policy_file(features, d, 4, layers, feed, dice), &why) != fl::Status::ok) {
    std::printf("%s\n", why.c_str());
    std::abort();
  }
  const auto x = numbers(dice, assets * features, 1.0f), c = numbers(dice, assets * assets, 1.0f);
  std::vector<float> out(policy.outputs(assets));
  fl::AttentionPolicyWorkspace workspace;
  const fl::AttentionObservation o{x.data(), assets, static_cast<std::size_t>(-1), c.data()};
  const auto n = static_cast<double>(assets), e = static_cast<double>(d), f = static_cast<double>(feed);
  const double operations = 2.0 * n * e * features + layers * (8.0 * n * e * e + 4.0 * n * n * e + 4.0 * n * e * f) + 2.0 * (n + 1.0) * e * (e + 1.0);
  const std::string name = "policy: 2 layers, d = " + std::to_string(d) + ", feed " + std::to_string(feed) + ", " + std::to_string(assets) + " assets";
  tell(name.c_str(), fastest(most, [&] {
         if (policy.forward(o, workspace, out.data()) != fl::Status::ok) std::abort();
       }), operations, limit);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t most = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  const double limit = peak();
  if (argc > 1 && std::strcmp(argv[1], "peak") == 0) {
    std::printf("%.1f\n", limit);
    return 0;
  }
  std::printf("%s: %.1f GFLOP/s of fused multiply-adds at most\n\n", fl::name(fl::simd_level()), limit);
  std::printf("%-58s %12s %10s %8s\n", "", "ns", "GFLOP/s", "share");
  std::mt19937 dice(1);
  for (const std::size_t n : {8u, 32u, 128u}) attention(1, 4, n, n == 8 ? 16 : 64, most, limit, dice);
  attention(1, 8, 512, 64, std::min<std::size_t>(most, 100), limit, dice);
  attention(64, 4, 32, 64, std::min<std::size_t>(most, 100), limit, dice);
  policy(30, 64, 128, most, limit, dice);
  policy(30, 64, 256, most, limit, dice);
  layer(1, 8, 16, most, limit, dice);
  layer(1, 32, 64, most, limit, dice);
  layer(1, 128, 64, most, limit, dice);
  layer(1, 512, 64, std::min<std::size_t>(most, 100), limit, dice);
  layer(64, 32, 64, std::min<std::size_t>(most, 100), limit, dice);
  return 0;
}
