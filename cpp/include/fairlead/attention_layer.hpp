// A layer of attention as torch.nn.MultiheadAttention computes it, all of it in one call: the projections to q, k and v,
// attention with a bias and a mask, the projection of its output; if wished the residual and a LayerNorm, before or after.
//
//   self-attention: q, k and v from `input`;  cross-attention: q from `input`, k and v from `context`
//   norm none:    out =           [input +] A(input)
//   norm before:  out =           [input +] A(norm(input))          (the context is taken as it is)
//   norm after:   out = norm(     [input +] A(input))
//
// Weights lie as that module has them, and are packed before use. A pack carries the version that it was given, a call
// says which version it wants, and another one is refused (`stale_weights`): after a step of an optimiser pack again.
//
// Rows beyond a count give zeros and have zero gradients; the numbers in them must be finite. Results do not depend on the
// number of threads. T: float, or double, the scalar oracle. Precision: see attention.hpp. Memory: a workspace grows to what
// the largest call has needed, and allocates nothing after that; what the backward pass reads again is kept in memory of
// the caller, `saved` numbers of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fairlead/attention.hpp"
#include "fairlead/packed_matrix.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

enum class LayerNorm : std::uint8_t { none, before, after };

struct AttentionLayerOptions {
  std::size_t embed = 0, heads = 4;  // embed: a multiple of heads
  LayerNorm norm = LayerNorm::none;
  bool residual = false;
  double epsilon = 1e-5;  // of the LayerNorm
};

// Of the caller. Each bias may be null.
template <class T>
struct AttentionLayerWeights {
  const T *in_weight = nullptr, *in_bias = nullptr;      // in_proj_weight [3 embed][embed], in_proj_bias [3 embed]: q, k, v
  const T *out_weight = nullptr, *out_bias = nullptr;    // out_proj.weight [embed][embed], out_proj.bias [embed]
  const T *norm_weight = nullptr, *norm_bias = nullptr;  // [embed]; read if there is a norm, null: ones
};

template <class T>
struct AttentionLayerCall {
  std::size_t batch = 1, queries = 0, keys = 0;  // keys: rows of the context; self-attention has as many as queries
  const T* input = nullptr;                      // [batch][queries][embed]
  const T* context = nullptr;                    // [batch][keys][embed]; null: self-attention
  AttentionGrid bias, mask;                      // see attention.hpp; the bias in T
  const std::int64_t *query_counts = nullptr, *key_counts = nullptr;  // [batch]
  T* out = nullptr;                              // [batch][queries][embed]; not `input`
  T* weights = nullptr;                          // of attention: [batch][heads][queries][keys], or [batch][queries][keys]
  AttentionWeights which = AttentionWeights::none;
  T* mean_weights = nullptr;  // [batch][queries][keys]: beside weights of each head their mean; or null
  T* saved = nullptr;  // for the backward pass: written by forward, read by backward; null: there will be none
  std::uint64_t version = 0;  // of the weights that are meant
};

// Each is made where it is not null, but for out, which is given.
template <class T>
struct AttentionLayerGradients {
  const T* out = nullptr;
  T *input = nullptr, *context = nullptr;
  T *in_weight = nullptr, *in_bias = nullptr, *out_weight = nullptr, *out_bias = nullptr;
  T *norm_weight = nullptr, *norm_bias = nullptr;
  T* bias = nullptr;  // as AttentionGradients::bias
};

class AttentionLayerWorkspace {
 public:
  AttentionWorkspace memory;
  AttentionWorkspace* each(std::size_t threads) noexcept;  // null: out of memory

 private:
  std::unique_ptr<AttentionWorkspace[]> each_;
  std::size_t threads_ = 0;
};

template <class T>
class AttentionLayer {
 public:
  // out_of_range: no embed, heads that do not divide it, an epsilon that is not positive.
  Status open(const AttentionLayerOptions& options) noexcept;

  // Copies the weights. gradients: also what the backward pass needs.
  Status pack(const AttentionLayerWeights<T>& weights, std::uint64_t version = 0, bool gradients = true) noexcept;
  bool packed() const noexcept { return packed_; }
  std::uint64_t version() const noexcept { return version_; }
  const AttentionLayerOptions& options() const noexcept { return options_; }

  // How many numbers `saved` has.
  std::size_t saved(std::size_t batch, std::size_t queries, std::size_t keys) const noexcept;

  // threads: as attention_forward. stale_weights: nothing is packed, or another version; backward also: packed without
  // gradients, or `saved` is null.
  Status forward(const AttentionLayerCall<T>& call, AttentionLayerWorkspace& workspace, std::size_t threads = 1) const noexcept;
  Status backward(const AttentionLayerCall<T>& call, const AttentionLayerGradients<T>& gradients,
                  AttentionLayerWorkspace& workspace, std::size_t threads = 1) const noexcept;

 private:
  template <class>
  friend struct AttentionLayerRun;

  AttentionLayerOptions options_;
  PackedMatrix<T> in_, out_, in_back_, out_back_;
  AttentionWorkspace small_;  // biases and the norm's weights
  const T *in_bias_ = nullptr, *out_bias_ = nullptr, *norm_weight_ = nullptr, *norm_bias_ = nullptr;
  bool packed_ = false, gradients_ = false;
  std::uint64_t version_ = 0;
};

extern template class AttentionLayer<float>;
extern template class AttentionLayer<double>;

}  // namespace fairlead
