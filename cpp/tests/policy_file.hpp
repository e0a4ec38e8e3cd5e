// The file of a small policy, for tests: random tensors by name, and the bytes that safetensors would write of them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace fairlead::test {

struct Tensor {
  std::vector<std::size_t> shape;
  std::vector<float> data;
};
using Tensors = std::map<std::string, Tensor>;
using Metadata = std::map<std::string, std::string>;

inline std::vector<std::byte> file(const Tensors& tensors, const Metadata& metadata, bool half = false) {
  std::string header = "{\"__metadata__\": {";
  for (const auto& [key, value] : metadata) header += (header.back() == '{' ? "\"" : ", \"") + key + "\": \"" + value + "\"";
  header += "}";
  std::string data;
  for (const auto& [name, t] : tensors) {
    const std::size_t from = data.size();
    for (const float x : t.data) {
      char bytes[4];
      std::memcpy(bytes, &x, 4);
      half ? data.append(bytes + 2, 2) : data.append(bytes, 4);
    }
    header += ", \"" + name + "\": {\"dtype\": \"" + (half ? "BF16" : "F32") + "\", \"shape\": [";
    for (std::size_t i = 0; i < t.shape.size(); ++i) header += (i > 0 ? ", " : "") + std::to_string(t.shape[i]);
    header += "], \"data_offsets\": [" + std::to_string(from) + ", " + std::to_string(data.size()) + "]}";
  }
  header += "}";
  while (header.size() % 8 != 0) header += ' ';
  std::string all;
  for (int i = 0; i < 8; ++i) all += static_cast<char>(header.size() >> 8 * i & 255u);
  all += header + data;
  std::vector<std::byte> out(all.size());
  std::memcpy(out.data(), all.data(), all.size());
  return out;
}

inline Tensors tensors(std::mt19937& dice, std::size_t features, std::size_t d, std::size_t heads, std::size_t layers, bool small = false) {
  Tensors out;
  std::normal_distribution<float> normal;
  const auto add = [&](const std::string& name, std::vector<std::size_t> shape, float level = 0.0f) {
    std::size_t n = 1;
    for (const std::size_t s : shape) n *= s;
    Tensor t{std::move(shape), std::vector<float>(n)};
    for (float& x : t.data) x = level + 0.3f * normal(dice);
    // What bfloat16 can say, so that both kinds of file are the same policy.
    for (float& x : t.data) {
      std::uint32_t bits;
      std::memcpy(&bits, &x, 4);
      bits &= 0xffff0000u;
      std::memcpy(&x, &bits, 4);
    }
    out[name] = t;
  };
  const auto linear = [&](const std::string& name, std::size_t in, std::size_t to) {
    add(name + ".weight", {to, in});
    add(name + ".bias", {to});
  };
  const auto norm = [&](const std::string& name) {
    add(name + ".weight", {d}, 1.0f);
    add(name + ".bias", {d});
  };
  linear("embed", features, d);
  for (std::size_t i = 0; i < layers; ++i) {
    const std::string name = "layers." + std::to_string(i);
    add(name + ".attention.in_proj_weight", {3 * d, d});
    add(name + ".attention.in_proj_bias", {3 * d});
    linear(name + ".attention.out_proj", d, d);
    if (small) continue;
    if (i % 3 == 0) add(name + ".correlation.slope", {heads});
    if (i % 3 == 1) {
      linear(name + ".correlation.into", 1, 5);
      add(name + ".correlation.onto.weight", {heads, 5});
    }
    norm(name + ".norm");
    linear(name + ".feed.0", d, 2 * d + 3);
    linear(name + ".feed.2", 2 * d + 3, d);
    norm(name + ".feed_norm");
  }
  if (!small) norm("norm");
  linear("heads.score", d, 1);
  linear("heads.value.0", d, 11);
  linear("heads.value.2", 11, 10);
  linear("heads.value.10", 10, 2);
  return out;
}

}  // namespace fairlead::test
