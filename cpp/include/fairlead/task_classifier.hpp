// Which type of task a text is: a linear model over hashed words and the shape of the text.
//
// Lexical features: each token (a word in lower case; a number by its number of digits; a symbol), pairs of neighbours, the
// first four bytes of longer words, the first and the last token. Each is hashed to one of 2^bits rows of weights (Weinberger
// et al., Feature hashing for large scale multitask learning, ICML 2009); their sum is divided by the root of their number.
// Structural features: 31 counts and ratios (bytes, sentences, numbers, quotes, brackets, ...), each one of 16 bins.
// A word is a run of ASCII letters and digits and of bytes above 127, except that a character of CJK or Hangul is a word of its
// own; of a word longer than 16 bytes, the first and last eight and the length count.
//
// Of a text longer than 4096 bytes, the first 3072 and the last 1024 count; so the time for a text is bounded.
//
// Model: softmax of (bias + lexical + structural) / temperature. Weights are whole numbers in [-120, 120] times a scale, so sums
// are exact, and the same bits come out everywhere. Memory: classify allocates nothing and uses 7 KiB of the stack.
//
// File: safetensors. Metadata: fairlead "task_classifier", features "1", type.0 "reasoning", ... Tensors: lexical I8
// [2^bits, types], structural I8 [512, types], bias F32 [types], scale F32 [2] (lexical, structural), temperature F32 [1].
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

struct TaskFit {
  double l2 = 1e-3;          // of every weight but the bias
  double structure = 0.25;   // the value of a structural feature; the sum of squares of the lexical ones is about 1
  double balance = 0.5;      // weight of a source with n texts among those of its type: n to this power; 0: all the same
  std::size_t sources = 1;   // a lexical feature that fewer sources have is dropped
  std::size_t bits = 15;     // 2^bits rows of weights
  std::size_t folds = 3;     // held out in turn for the temperature; 0: the temperature is 1
  std::size_t steps = 200;   // of L-BFGS, at most
};

class TaskClassifier {
 public:
  static constexpr std::size_t most_types = 63;
  static constexpr std::size_t longest = 4096;  // bytes of a text that count
  static constexpr std::size_t head = 3072;     // of them from the beginning, where it is longer
  static constexpr std::size_t structural_rows = 512;

  // A feature that a text has, and what it adds to the logit of each type.
  struct Reason {
    std::string feature;
    std::array<double, most_types> adds{};
  };

  // From the bytes of a file, which need not stay. not_a_policy: `why` says what is wrong. On an error nothing has changed.
  Status read(std::span<const std::byte> file, std::string* why = nullptr) noexcept;
  // The bytes of its file. Throws std::bad_alloc.
  std::string bytes() const;

  // Trains on texts with labels 0 .. types.size() - 1; source of each text, or none: then each text is its own. Deterministic.
  // wrong_length: lengths differ; out_of_range: a label, an option, less than two types, or a type with no text;
  // out_of_memory. On an error nothing has changed.
  Status fit(std::span<const std::string_view> texts, std::span<const std::uint32_t> labels, std::span<const std::uint32_t> sources,
             std::vector<std::string> types, const TaskFit& options = {}) noexcept;

  const std::vector<std::string>& types() const noexcept { return types_; }
  std::size_t bits() const noexcept { return bits_; }
  double temperature() const noexcept { return temperature_; }

  // The most probable type; the first of them where some are equal. probabilities: one for each type, or null. A classifier
  // without types returns 0 and writes nothing.
  std::size_t classify(std::string_view text, double* probabilities = nullptr) const noexcept;

  // What decided: the features of a text, each once, the constant "(always)" first; the sums are the logits, of which
  // probabilities are the softmax. Throws std::bad_alloc.
  std::vector<Reason> explain(std::string_view text) const;

 private:
  friend struct TaskClassifierFile;
  friend struct TaskClassifierTraining;

  std::size_t words() const noexcept { return (types_.size() + 2) / 3; }
  void pack();
  void logits(std::string_view text, double* out) const noexcept;

  std::vector<std::string> types_;
  std::size_t bits_ = 0;
  std::vector<std::int8_t> lexical_, structural_;                // [rows][types]
  std::vector<std::uint64_t> packed_lexical_, packed_structural_;  // [rows][words]: three types a word, 21 bits each
  std::vector<float> bias_;
  float lexical_scale_ = 0.0f, structural_scale_ = 0.0f, temperature_ = 1.0f;
};

}  // namespace fairlead
