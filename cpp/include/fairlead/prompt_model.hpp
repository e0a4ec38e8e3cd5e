// How good each model will be on a prompt, in [0, 1], from its text: two models of the prompt with one interface.
//
// Features: the lexical ones of task_classifier.hpp (words, pairs, beginnings, first and last token), hashed to one of 2^bits
// rows; a row that the text has counts once, however often. x_r = idf_r / |x|, idf_r = 1 + ln((1 + n) / (1 + texts that have
// it)) as in scikit-learn; |x| takes in rows that no training text had, so an odd text is drawn to the mean.
//
// LinearPromptModel: ridge regression on x, around each model's mean (A. E. Hoerl, R. W. Kennard, Technometrics 12, 1970), in
// its dual form by conjugate gradients (M. R. Hestenes, E. Stiefel, 1952), which also takes labels that are missing. The penalty
// is the one of a grid with the least squared error on held-out folds.
// NearestPromptModel: the mean of the k most similar training texts by cosine, weighted by it and shrunk to each model's mean;
// k and the shrinkage by leaving one out. Linear and kNN are the routers of Q. J. Hu et al., "RouterBench" (2024).
//
// Hot path: `predict` allocates nothing and does not throw. Linear: a row of weights a feature. Nearest: every training text
// that shares a feature, so time grows with their number.
// Precision: weights and similarities are float, summed in the order of the text: 1e-6 of the exact result, the same bits
// everywhere. Memory: linear 4 (models + 1) 2^bits bytes (rounded up to 4 floats a row), nearest 4 bytes a feature of a training
// text; 16 KiB of the stack and up to 32 KiB for 2^18 rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

// What `predict` needs beside the model: one for each thread, made at warm-up.
class PromptScratch {
 public:
  void resize(std::size_t texts) { similar_.resize(texts); }

 private:
  friend class NearestPromptModel;
  std::vector<float> similar_;
};

class PromptModel {
 public:
  static constexpr std::size_t most_models = 256, least_bits = 8, most_bits = 18;
  static constexpr double slice = 20.0;         // results by which the router shrinks a slice (router.hpp)
  static constexpr double most_weight = 100.0;   // so that a slice that knows better is heard

  virtual ~PromptModel() = default;

  const std::vector<std::string>& names() const noexcept { return names_; }
  std::size_t models() const noexcept { return names_.size(); }
  std::size_t bits() const noexcept { return bits_; }

  // The share of the variance of a model's quality that predictions explained on texts they were not fitted to; below 0 where
  // the mean was better.
  const std::vector<float>& explained() const noexcept { return explained_; }
  // How many results a prediction is worth (Candidate::predicted_n): as many as a slice must have for its mean, shrunk as the
  // router does, to explain as much, slices differing as the router takes them to. 0 where the mean was better.
  double weight(std::size_t model) const noexcept;

  // The training texts that a scratch must have room for.
  virtual std::size_t scratch_texts() const noexcept { return 0; }
  // out: one number for each model. `scratch` must have been resized to scratch_texts().
  virtual void predict(std::string_view text, double* out, PromptScratch& scratch) const noexcept = 0;

 protected:
  // wrong_length, out_of_range, not_finite; sizes are checked by the caller.
  Status set_common(std::vector<std::string> names, std::span<const float> idf, std::span<const float> mean,
                    std::span<const float> explained);

  std::vector<std::string> names_;
  std::size_t bits_ = 0;
  std::vector<float> mean_, explained_;
};

class LinearPromptModel final : public PromptModel {
 public:
  // idf: by row, positive; weights [2^bits][models]; mean, explained by model. wrong_length, out_of_range, not_finite: then
  // nothing has changed.
  Status assign(std::vector<std::string> names, std::span<const float> idf, std::span<const float> weights,
                std::span<const float> mean, std::span<const float> explained);
  void predict(std::string_view text, double* out, PromptScratch& scratch) const noexcept override;

 private:
  std::size_t stride_ = 0;
  std::vector<float> table_;  // [2^bits][stride]: idf^2, then idf times the weight of each model
};

class NearestPromptModel final : public PromptModel {
 public:
  static constexpr std::size_t most_neighbours = 256, most_texts = 1u << 24;

  // quality [texts][models], NaN where there is none; the rows of text i are rows[starts[i]] .. rows[starts[i + 1] - 1],
  // increasing. neighbours: k. shrink: similarity that the mean counts as.
  Status assign(std::vector<std::string> names, std::span<const float> idf, std::span<const std::uint32_t> starts,
                std::span<const std::uint32_t> rows, std::span<const float> quality, std::span<const float> mean,
                std::span<const float> explained, std::size_t neighbours, double shrink);
  std::size_t scratch_texts() const noexcept override { return inverse_norm_.size(); }
  void predict(std::string_view text, double* out, PromptScratch& scratch) const noexcept override;

  struct Neighbour {
    float similarity = 0.0f;
    std::uint32_t text = 0;
  };
  // The most similar texts with a similarity above 0, best first, at most out.size() <= most_neighbours, without text `except`
  // (or -1). Returns how many.
  std::size_t nearest(std::string_view text, std::span<Neighbour> out, PromptScratch& scratch, std::int64_t except = -1) const noexcept;

 private:
  std::size_t neighbours_ = 0;
  float shrink_ = 0.0f;
  std::vector<float> idf2_, inverse_norm_, quality_;
  std::vector<std::uint32_t> starts_, postings_;  // by row: the texts that have it
};

// The rows of each of some texts, distinct and increasing: text i has rows[starts[i]] .. rows[starts[i + 1] - 1].
struct PromptRows {
  std::vector<std::uint32_t> starts{0}, rows;
};

// What a fit found: the arguments of `assign`.
struct LinearPromptFit {
  std::vector<float> idf, weights, mean, explained;
  double level_penalty = 0.0, difference_penalty = 0.0;
};
struct NearestPromptFit {
  PromptRows texts;
  std::vector<float> idf, quality, mean, explained;
  std::size_t neighbours = 0;
  double shrink = 0.0;
};

// These may throw std::bad_alloc. Their arguments must be sound: bits in range, quality [texts][models] in [0, 1] or NaN, each
// model with a label, penalties above 0 and decreasing, at least one. Deterministic.
PromptRows prompt_rows(std::span<const std::string_view> texts, std::size_t bits);
LinearPromptFit fit_linear_prompt_model(std::span<const std::string_view> texts, std::span<const double> quality, std::size_t models,
                                        std::size_t bits, std::span<const double> penalties, std::size_t folds);
NearestPromptFit fit_nearest_prompt_model(std::span<const std::string_view> texts, std::span<const double> quality, std::size_t models,
                                          std::size_t bits, std::span<const std::size_t> neighbours, std::span<const double> shrinks);

}  // namespace fairlead
