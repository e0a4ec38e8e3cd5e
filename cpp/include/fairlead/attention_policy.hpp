// A policy over a set of assets without a framework: layers of attention and heads, from a safetensors file.
//
// The file is what safetensors.torch.save_file(module.state_dict(), path, metadata) writes for a module of these parts
// (torch names; `?`: may be missing; every other tensor is refused):
//
//   embed? = Linear(features, d)                       x = embed(observation); without it features = d
//   layers.<i>.attention = MultiheadAttention(d, h)    i = 0, 1, ...
//   layers.<i>.correlation? = CorrelationBias(h)       fairlead.attention's: slope [h], or into = Linear(1, hidden), GELU,
//                                                      onto = Linear(hidden, h); without it the correlation is the bias
//   layers.<i>.norm? = LayerNorm(d)
//   layers.<i>.feed? = Sequential(Linear(d, f), activation, Linear(f, d)), of any length
//   layers.<i>.feed_norm? = LayerNorm(d)
//   norm? = LayerNorm(d)                               after all layers
//   heads.<name> = Linear, or Sequential(Linear, activation, ..., Linear)
//
//   norm "after":   x = norm(x + attention(x));   x = feed_norm(x + feed(x))
//   norm "before":  x = x + attention(norm(x));   x = x + feed(feed_norm(x))
//
// Linear layers of a Sequential are found by their numbers, so there may be anything without weights between them;
// `activation` runs after each but the last. Metadata (strings):
//   fairlead "attention_policy"    must be there         heads "4"      of attention; must be there
//   norm "after" | "before"        default "after"       activation "relu" | "gelu" | "tanh", default "relu"
//   epsilon "1e-05"                of every norm         pooled "value,cash"  heads that see the mean over assets
//
// Weights are F32 or BF16; sums run in float. Precision: see attention.hpp and kernels/layer.hpp. Memory: a workspace grows
// to what the largest observation has needed; a call allocates nothing after that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fairlead/attention_layer.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

enum class Activation : std::uint8_t { relu, gelu, tanh };

struct AttentionObservation {
  const float* features = nullptr;  // [assets][features]
  std::size_t assets = 0;
  std::size_t count = static_cast<std::size_t>(-1);  // of assets that are there, the first ones; at most `assets`
  const float* correlation = nullptr;                // [assets][assets], added to logits; or null, if not correlated()
};

class AttentionPolicyWorkspace {
 public:
  AttentionWorkspace memory;
  AttentionLayerWorkspace layer;
};

class AttentionPolicy {
 public:
  struct Head {
    std::string name;
    std::size_t width = 0;
    bool pooled = false;
  };

  // From the bytes of a file, which need not stay. not_a_policy: `why` says what is wrong. On an error nothing has changed.
  Status read(std::span<const std::byte> file, std::string* why = nullptr) noexcept;
  // From a file. system_refused: it cannot be read.
  Status load(const std::string& path, std::string* why = nullptr) noexcept;

  std::size_t features() const noexcept { return features_; }
  std::size_t embed() const noexcept { return embed_; }
  std::size_t attention_heads() const noexcept { return attention_heads_; }
  std::size_t layers() const noexcept { return layers_.size(); }
  bool correlated() const noexcept;  // has learned what to make of correlations, and decides nothing without them
  std::span<const Head> heads() const noexcept { return names_; }  // by name

  // How many numbers forward makes, and where those of a head begin: [assets][width], or [width] where it is pooled.
  std::size_t outputs(std::size_t assets) const noexcept { return place(names_.size(), assets); }
  std::size_t place(std::size_t head, std::size_t assets) const noexcept;

  // weights: [layers][attention heads][assets][assets], or null. Assets that are not there give zeros. out_of_range: no
  // assets, a count beyond them, or no correlation where it is needed; stale_weights: nothing was read.
  Status forward(const AttentionObservation& observation, AttentionPolicyWorkspace& workspace, float* out,
                 float* weights = nullptr) const noexcept;

 private:
  struct Linear {
    PackedMatrix<float> matrix;
    std::vector<float> bias;  // or empty
  };
  struct Norm {
    std::vector<float> weight, bias;  // weight empty: none
  };
  struct Layer {
    AttentionLayer<float> attention;
    std::vector<float> correlation;  // slope of each head, or empty
    std::vector<Linear> encoding;    // two, or none
    std::vector<Linear> feed;
    Norm feed_norm;
  };
  friend struct AttentionPolicyFile;

  const float* run(const std::vector<Linear>& linears, const float* in, std::size_t rows, float* a, float* b) const noexcept;
  void encode(const Layer& layer, const AttentionObservation& o, std::size_t n, float* bias, float* scratch) const noexcept;
  void normalise(const Norm& norm, std::size_t rows, const float* in, const float* more, float* sum, float* out) const noexcept;

  std::size_t features_ = 0, embed_ = 0, attention_heads_ = 0, widest_ = 0, hidden_ = 0;
  bool before_ = false;
  Activation activation_ = Activation::relu;
  float epsilon_ = 1e-5f;
  std::vector<Linear> input_;  // one, or none
  std::vector<Layer> layers_;
  Norm norm_;
  std::vector<Head> names_;
  std::vector<std::vector<Linear>> heads_;
};

}  // namespace fairlead
