// A policy against its formulas in double, from a file made here; damaged files; no allocation (test_no_alloc counts).
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "fairlead/attention_policy.hpp"
#include "fairlead/safetensors.hpp"
#include "policy_file.hpp"

namespace fl = fairlead;

namespace {

using fl::test::file;
using fl::test::Metadata;
using fl::test::Tensor;
using fl::test::Tensors;
using fl::test::tensors;

using Rows = std::vector<std::vector<double>>;

struct Oracle {
  const Tensors& t;
  Metadata m;
  const std::string kind = m.contains("activation") ? m.at("activation") : "relu";

  double activate(const std::string& which, double x) const {
    if (which == "relu") return x < 0 ? 0 : x;
    return which == "tanh" ? std::tanh(x) : 0.5 * x * (1.0 + std::erf(x / std::sqrt(2.0)));
  }
  Rows linear(const std::string& weight, const std::string& bias, const Rows& x, std::size_t from = 0, std::size_t to = 1 << 20) const {
    const Tensor& w = t.at(weight);
    Rows out(x.size());
    for (std::size_t i = 0; i < x.size(); ++i) {
      for (std::size_t o = from; o < std::min(to, w.shape[0]); ++o) {
        double sum = t.contains(bias) ? static_cast<double>(t.at(bias).data[o]) : 0.0;
        for (std::size_t k = 0; k < w.shape[1]; ++k) sum += x[i][k] * static_cast<double>(w.data[o * w.shape[1] + k]);
        out[i].push_back(sum);
      }
    }
    return out;
  }
  Rows sequence(const std::string& name, Rows x, const std::vector<int>& steps) const {
    for (std::size_t s = 0; s < steps.size(); ++s) {
      const std::string at = name + "." + std::to_string(steps[s]);
      x = linear(at + ".weight", at + ".bias", x);
      if (s + 1 < steps.size())
        for (auto& row : x)
          for (double& v : row) v = activate(kind, v);
    }
    return x;
  }
  Rows norm(const std::string& name, Rows x) const {
    if (!t.contains(name + ".weight")) return x;
    for (auto& row : x) {
      double mean = 0.0, var = 0.0;
      for (const double v : row) mean += v / static_cast<double>(row.size());
      for (const double v : row) var += (v - mean) * (v - mean) / static_cast<double>(row.size());
      for (std::size_t j = 0; j < row.size(); ++j)
        row[j] = (row[j] - mean) / std::sqrt(var + 1e-5) * static_cast<double>(t.at(name + ".weight").data[j]) + static_cast<double>(t.at(name + ".bias").data[j]);
    }
    return x;
  }
  double bias(const std::string& name, std::size_t h, std::size_t heads, double c) const {
    if (t.contains(name + ".slope")) return static_cast<double>(t.at(name + ".slope").data[h]) * c;
    if (!t.contains(name + ".into.weight")) return c;
    (void)heads;
    Rows x = linear(name + ".into.weight", name + ".into.bias", {{c}});
    for (double& v : x[0]) v = activate("gelu", v);
    return linear(name + ".onto.weight", "", x, h, h + 1)[0][0];
  }
  Rows attention(const std::string& name, std::size_t heads, const Rows& x, const Rows& c, std::vector<double>* heat) const {
    const std::size_t d = x[0].size(), each = d / heads, n = x.size();
    const auto part = [&](std::size_t p) { return linear(name + ".attention.in_proj_weight", name + ".attention.in_proj_bias", x, p * d, (p + 1) * d); };
    const Rows q = part(0), k = part(1), v = part(2);
    Rows out(n, std::vector<double>(d));
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t i = 0; i < n; ++i) {
        std::vector<double> w(n);
        double sum = 0.0;
        for (std::size_t j = 0; j < n; ++j) {
          for (std::size_t e = 0; e < each; ++e) w[j] += q[i][h * each + e] * k[j][h * each + e] / std::sqrt(static_cast<double>(each));
          if (!c.empty()) w[j] += bias(name + ".correlation", h, heads, c[i][j]);
          sum += w[j] = std::exp(w[j]);
        }
        for (std::size_t j = 0; j < n; ++j) {
          if (heat != nullptr) heat->push_back(w[j] / sum);
          for (std::size_t e = 0; e < each; ++e) out[i][h * each + e] += w[j] / sum * v[j][h * each + e];
        }
      }
    }
    return linear(name + ".attention.out_proj.weight", name + ".attention.out_proj.bias", out);
  }
  static Rows sum(Rows a, const Rows& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
      for (std::size_t j = 0; j < a[i].size(); ++j) a[i][j] += b[i][j];
    return a;
  }
  // score [n][1], then value [2] (pooled)
  std::vector<double> operator()(const Rows& observation, const Rows& c, std::size_t heads, std::size_t layers, std::vector<double>* heat = nullptr) const {
    const bool before = m.contains("norm") && m.at("norm") == "before";
    Rows x = linear("embed.weight", "embed.bias", observation);
    for (std::size_t l = 0; l < layers; ++l) {
      const std::string name = "layers." + std::to_string(l);
      x = before ? sum(x, attention(name, heads, norm(name + ".norm", x), c, heat)) : norm(name + ".norm", sum(x, attention(name, heads, x, c, heat)));
      if (!t.contains(name + ".feed.0.weight")) continue;
      x = before ? sum(x, sequence(name + ".feed", norm(name + ".feed_norm", x), {0, 2})) : norm(name + ".feed_norm", sum(x, sequence(name + ".feed", x, {0, 2})));
    }
    x = norm("norm", x);
    std::vector<double> out;
    const Rows score = linear("heads.score.weight", "heads.score.bias", x);
    for (const auto& row : score) out.push_back(row[0]);
    Rows mean(1, std::vector<double>(x[0].size()));
    for (const auto& row : x)
      for (std::size_t j = 0; j < row.size(); ++j) mean[0][j] += row[j] / static_cast<double>(x.size());
    const Rows value = sequence("heads.value", mean, {0, 2, 10});
    out.insert(out.end(), value[0].begin(), value[0].end());
    return out;
  }
};

Metadata metadata(std::size_t heads, const std::string& norm, const std::string& activation) {
  return {{"fairlead", "attention_policy"}, {"heads", std::to_string(heads)}, {"norm", norm}, {"activation", activation}, {"pooled", "value"}, {"format", "pt"}};
}

}  // namespace

TEST_CASE("a policy gives what its formulas do") {
  std::mt19937 dice(5);
  std::normal_distribution<float> normal;
  for (unsigned n = 0; n < 18; ++n) {
    CAPTURE(n);
    const std::size_t heads = 1 + n % 4, d = heads * (4 + n % 9), features = 3 + n, layers = n % 4, assets = 1 + 3 * n, count = n % 3 == 2 ? assets / 2 + 1 : assets;
    const Metadata m = metadata(heads, n % 2 == 0 ? "after" : "before", n % 3 == 0 ? "relu" : n % 3 == 1 ? "gelu" : "tanh");
    const Tensors t = tensors(dice, features, d, heads, layers);
    fl::AttentionPolicy policy;
    std::string why;
    const fl::Status status = policy.read(file(t, m, n % 2 == 1), &why);
    CAPTURE(why);
    REQUIRE(status == fl::Status::ok);
    CHECK(policy.features() == features);
    CHECK(policy.layers() == layers);
    REQUIRE(policy.heads().size() == 2);
    CHECK(policy.heads()[1].pooled);
    CHECK(policy.heads()[1].width == 2);
    std::vector<float> x(assets * features), c(assets * assets);
    for (float& v : x) v = normal(dice);
    for (float& v : c) v = normal(dice);
    Rows rows(count), correlation;
    for (std::size_t i = 0; i < count; ++i)
      for (std::size_t j = 0; j < features; ++j) rows[i].push_back(static_cast<double>(x[i * features + j]));
    const bool with = n % 5 != 0 || policy.correlated();
    if (with) {
      correlation.resize(count);
      for (std::size_t i = 0; i < count; ++i)
        for (std::size_t j = 0; j < count; ++j) correlation[i].push_back(static_cast<double>(c[i * assets + j]));
    }
    std::vector<double> heat;
    const std::vector<double> expected = Oracle{t, m}(rows, correlation, heads, layers, &heat);
    std::vector<float> out(policy.outputs(assets), 9.0f), weights(layers * heads * assets * assets, 9.0f);
    fl::AttentionPolicyWorkspace workspace;
    fl::AttentionObservation o{x.data(), assets, count == assets ? static_cast<std::size_t>(-1) : count, with ? c.data() : nullptr};
    REQUIRE(policy.forward(o, workspace, out.data(), weights.data()) == fl::Status::ok);
    double top = 1.0;
    for (const double v : expected) top = std::max(top, std::fabs(v));
    for (std::size_t i = 0; i < assets; ++i) CHECK(std::fabs(static_cast<double>(out[i]) - (i < count ? expected[i] : 0.0)) < 2e-5 * top);
    for (std::size_t i = 0; i < 2; ++i) CHECK(std::fabs(static_cast<double>(out[policy.place(1, assets) + i]) - expected[count + i]) < 2e-5 * top);
    if (policy.correlated()) {
      o.correlation = nullptr;
      std::vector<float> kept = out;
      CHECK(policy.forward(o, workspace, kept.data()) == fl::Status::out_of_range);
      CHECK(kept == out);
    }
    std::size_t at = 0;
    bool fits = true;
    for (std::size_t h = 0; h < layers * heads; ++h)
      for (std::size_t i = 0; i < assets; ++i)
        for (std::size_t j = 0; j < assets; ++j)
          fits = fits && std::fabs(static_cast<double>(weights[(h * assets + i) * assets + j]) - (i < count && j < count ? heat[at++] : 0.0)) < 2e-5;
    CHECK(fits);
    std::vector<float> again(out.size());
    REQUIRE(policy.forward(o, workspace, again.data()) == fl::Status::ok);
    CHECK(again == out);
  }
}

TEST_CASE("calls of a policy that do not fit are refused") {
  std::mt19937 dice(6);
  fl::AttentionPolicy policy;
  fl::AttentionPolicyWorkspace workspace;
  std::vector<float> x(40, 1.0f), out(40);
  CHECK(policy.forward({x.data(), 4}, workspace, out.data()) == fl::Status::stale_weights);
  REQUIRE(policy.read(file(tensors(dice, 3, 8, 2, 1), metadata(2, "after", "relu"))) == fl::Status::ok);
  CHECK(policy.forward({x.data(), 0}, workspace, out.data()) == fl::Status::out_of_range);
  CHECK(policy.forward({x.data(), 4, 5}, workspace, out.data()) == fl::Status::out_of_range);
  CHECK(policy.forward({x.data(), 4, 0}, workspace, out.data()) == fl::Status::ok);
  CHECK(out[0] == 0.0f);
  CHECK(policy.load("/no/such/file") == fl::Status::system_refused);
}

TEST_CASE("files that are no policy say why, and leave the policy as it was") {
  std::mt19937 dice(7);
  const Tensors good = tensors(dice, 3, 8, 2, 2);
  const Metadata m = metadata(2, "after", "relu");
  fl::AttentionPolicy policy;
  REQUIRE(policy.read(file(good, m)) == fl::Status::ok);
  const auto refused = [&](const Tensors& t, const Metadata& meta, const char* words) {
    std::string why;
    CHECK(policy.read(file(t, meta), &why) == fl::Status::not_a_policy);
    CAPTURE(why);
    CHECK(why.find(words) != std::string::npos);
    CHECK(policy.features() == 3);
  };
  const auto without = [&](const char* name) {
    Tensors t = good;
    t.erase(name);
    return t;
  };
  const auto with = [&](const char* name, std::vector<std::size_t> shape) {
    Tensors t = good;
    std::size_t n = 1;
    for (const std::size_t s : shape) n *= s;
    t[name] = {std::move(shape), std::vector<float>(n)};
    return t;
  };
  const auto meta = [&](const char* key, const char* value) {
    Metadata other = m;
    other[key] = value;
    return other;
  };
  refused(good, {}, "metadata fairlead");
  refused(good, meta("heads", "3"), "heads");
  refused(good, meta("heads", "x"), "no number");
  refused(good, meta("heads", "0"), "heads");
  refused(good, meta("norm", "around"), "around");
  refused(good, meta("activation", "swish"), "swish");
  refused(good, meta("epsilon", "-1"), "epsilon");
  refused(good, meta("pooled", "value,other"), "other");
  refused(without("layers.1.attention.out_proj.weight"), m, "layers.1.attention.out_proj.weight is missing");
  refused(without("layers.0.attention.in_proj_weight"), m, "no part of a policy");
  refused(with("stranger", {2}), m, "stranger is no part");
  refused(with("embed.bias", {9}), m, "embed.bias has shape [9], must have [8]");
  refused(with("layers.0.feed.2.weight", {8, 18}), m, "layers.0.feed.2.weight");
  refused(with("norm.weight", {8, 1}), m, "norm.weight");
  refused(with("heads.score.weight", {1, 7}), m, "heads.score.weight");
}

TEST_CASE("whatever is cut off or flipped in a file, it is refused or is a policy") {
  std::mt19937 dice(8);
  const std::vector<std::byte> good = file(tensors(dice, 2, 4, 2, 1, true), metadata(2, "after", "relu"));
  std::size_t header = 0;
  for (std::size_t i = 0; i < 8; ++i) header |= static_cast<std::size_t>(good[i]) << 8 * i;
  fl::AttentionPolicyWorkspace workspace;
  const auto use = [&](const std::vector<std::byte>& bytes) {  // a copy of exact size: a sanitizer sees what is read beyond
    fl::AttentionPolicy policy;
    std::string why;
    const fl::Status status = policy.read(bytes, &why);
    CHECK((status == fl::Status::ok || (status == fl::Status::not_a_policy && !why.empty())));
    if (status != fl::Status::ok) return false;
    const std::vector<float> x(3 * policy.features(), 0.5f);
    std::vector<float> out(policy.outputs(3));
    CHECK(policy.forward({x.data(), 3}, workspace, out.data()) == fl::Status::ok);
    return true;
  };
  CHECK(use(good));
  for (std::size_t n = 0; n < good.size(); ++n) CHECK_FALSE(use({good.begin(), good.begin() + static_cast<long>(n)}));
  std::vector<std::byte> longer = good;
  longer.push_back(std::byte{0});
  CHECK_FALSE(use(longer));
  for (std::size_t bit = 0; bit < (8 + header) * 8; ++bit) {
    std::vector<std::byte> bytes = good;
    bytes[bit / 8] ^= static_cast<std::byte>(1u << bit % 8);
    use(bytes);
  }
  for (int n = 0; n < 3000; ++n) {  // several bytes of the header at once, some replaced by what JSON is made of
    std::vector<std::byte> bytes = good;
    for (unsigned k = 0; k < 1 + dice() % 4; ++k) bytes[8 + dice() % header] = static_cast<std::byte>("{}[],:\"\\0919u-"[dice() % 14]);
    use(bytes);
  }
}

TEST_CASE("a header that claims too much is refused") {
  const auto refused = [](const std::string& header, const char* words, std::size_t data = 8) {
    std::vector<std::byte> bytes(8 + header.size() + data);
    for (std::size_t i = 0; i < 8; ++i) bytes[i] = static_cast<std::byte>(header.size() >> 8 * i & 255u);
    std::memcpy(bytes.data() + 8, header.data(), header.size());
    fl::SafeTensors file;
    std::string why;
    CHECK(file.read(bytes, why) == fl::Status::not_a_policy);
    CAPTURE(why);
    CHECK(why.find(words) != std::string::npos);
  };
  refused(R"({"a": {"dtype": "F32", "shape": [4294967296, 4294967296], "data_offsets": [0, 0]}})", "too large");
  refused(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}})", "gaps");
  refused(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]}})", "other bytes");
  refused(R"({"a": {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]}})", "other bytes");
  refused(R"({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}})", "16 bytes, 8 are there");
  refused(R"({"a": {"dtype": "Q4", "shape": [2], "data_offsets": [0, 8]}})", "unknown dtype");
  refused(R"({"a": {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]}})", "whole number");
  refused(R"({"a": {"dtype": "F32", "shape": [99999999999999999999], "data_offsets": [0, 8]}})", "too large");
  refused(R"({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})", "twice");
  refused(R"({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "b": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}})", "overlap");
  refused(R"({"a": {"dtype": "F32", "shape": [2]}})", "lacks");
  refused(R"({"__metadata__": {"a": 1}})", "'\"' is missing");
  refused(R"({"a\ud800": 1})", "escapes");
  for (const char* bad : {"\xff", "\xc0\x80", "\xe3\x28\xa1", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xc3"})
    refused(std::string("{\"__metadata__\": {\"a\": \"") + bad + "\"}}", "not UTF-8");
  refused("{\"__metadata__\": {\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\": \"\\u00e9\"}} x", "something follows");
  refused("{} x", "something follows");
  refused("", "'{' is missing");
}
