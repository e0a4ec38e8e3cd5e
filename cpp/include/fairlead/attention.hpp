// Attention: softmax(q k^T scale + bias) v, with log-sum-exp, weights and all gradients, that of the bias too.
//
//   T. Dao, D. Y. Fu, S. Ermon, A. Rudra, C. Re, "FlashAttention: Fast and Memory-Efficient Exact Attention with
//   IO-Awareness", 2022, for recomputing the weights from the log-sum-exp in the backward pass; here a block of queries
//   meets all its keys at once, as sets of models and assets are small.
//
// Tensors lie in the caller's memory with any strides: [batch][head][row][number], numbers side by side. So BHND, BNHD and
// packed QKV need no copy. Element types: float; double (the scalar oracle, for checking gradients); bfloat16, which is
// widened to float on the way in and rounded to nearest even on the way out, sums in float.
//
// A query whose keys are all masked (bias -inf, mask 0, or beyond the count of its batch) gives zeros, a log-sum-exp of
// -inf and zero gradients. Results do not depend on the number of threads.
//
// Softmax in float: 2^logit is taken as it is; a row whose sum leaves [2^-40, 2^40] is done again with its largest logit taken
// off first. So values beyond 1e26, which no weight can make smaller in between, may overflow.
// Precision against long arithmetic, of the largest value of a tensor: float 2e-6 forward, 1e-5 gradients; bfloat16 1e-2.
// Memory: `AttentionWorkspace` grows to what the largest call has needed, and allocates nothing after that.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fairlead/status.hpp"

namespace fairlead {

enum class Number : std::uint8_t { f32, f64, bf16 };

constexpr std::size_t bytes_of(Number number) noexcept {
  return number == Number::f64 ? 8 : number == Number::f32 ? 4 : 2;
}

// Between neighbours along an axis, in numbers; 0 where all share one.
using Stride = std::ptrdiff_t;

struct AttentionShape {
  std::size_t batch = 0, heads = 0, key_heads = 0;  // heads: a multiple of key_heads, which successive heads share
  std::size_t queries = 0, keys = 0;
  std::size_t depth = 0, width = 0;  // numbers of a row: of q and k; of v and the output
};

// data: the first number. Rows hold their numbers side by side.
struct AttentionTensor {
  void* data = nullptr;
  Stride batch = 0, head = 0, row = 0;
};

// A bias, added to the logits, or a mask (bytes; 0: this query does not look at this key).
struct AttentionGrid {
  const void* data = nullptr;  // null: none
  Stride batch = 0, head = 0, query = 0, key = 0;
};

enum class AttentionWeights : std::uint8_t { none, each, mean };  // of each head, or their mean over heads

struct Attention {
  AttentionShape shape;
  Number number = Number::f32;  // of q, k, v and out
  float scale = 1.0f;           // for double: of its own, see scale64
  double scale64 = 0.0;         // 0: scale
  AttentionTensor q, k, v, out;
  AttentionGrid bias;  // of `bias_number`
  Number bias_number = Number::f32;
  AttentionGrid mask;
  const std::int64_t* query_counts = nullptr;  // [batch], of those that are there; null: all
  const std::int64_t* key_counts = nullptr;
  // In float, or double where `number` is: [batch][heads][queries], and [batch][heads][queries][keys] or, for the mean,
  // [batch][queries][keys], without gaps. Null: not wanted. The backward pass reads lse.
  void* lse = nullptr;
  void* weights = nullptr;
  AttentionWeights which = AttentionWeights::none;
};

struct AttentionGradients {
  AttentionTensor out;      // given
  AttentionTensor q, k, v;  // made
  // Made where it is not null: as the bias, without gaps, 1 along each axis that the bias's stride is 0 for; in float, or
  // double.
  void* bias = nullptr;
};

class AttentionWorkspace {
 public:
  AttentionWorkspace() noexcept;
  ~AttentionWorkspace();
  AttentionWorkspace(AttentionWorkspace&&) noexcept;
  AttentionWorkspace& operator=(AttentionWorkspace&&) noexcept;

  // At least so many bytes, on a line of the cache; null: out of memory.
  std::byte* take(std::size_t bytes) noexcept;

 private:
  struct Free {
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte, Free> memory_;
  std::size_t bytes_ = 0;
};

// threads: at most so many, this one among them; 0: as many as there are cores, one where the work is less than a million
// operations. out_of_range: a shape without rows or numbers, heads that key_heads do not divide, a count that is negative
// or larger than there are rows; too_long: sizes beyond 2^31, or products that no memory holds; out_of_memory. On an error nothing has
// been written.
Status attention_forward(const Attention& call, AttentionWorkspace& workspace, std::size_t threads = 1) noexcept;
Status attention_backward(const Attention& call, const AttentionGradients& gradients, AttentionWorkspace& workspace,
                          std::size_t threads = 1) noexcept;

}  // namespace fairlead
