#include "fairlead/prompt_model.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <new>

#include "task_text.hpp"

namespace fairlead {

namespace {

// Which of 2^bits rows a text has had.
template <std::size_t MostBits>
struct Seen {
  std::uint64_t words[(std::size_t{1} << MostBits) / 64];

  explicit Seen(std::size_t bits) noexcept { std::memset(words, 0, (std::size_t{1} << bits) / 8); }
  bool first(std::size_t row) noexcept {
    std::uint64_t& word = words[row / 64];
    const std::uint64_t bit = std::uint64_t{1} << (row % 64);
    const bool fresh = (word & bit) == 0;
    word |= bit;
    return fresh;
  }
};

template <std::size_t MostBits, class Take>
struct Distinct {
  Seen<MostBits> seen;
  std::size_t bits;
  Take take;

  void lexical(const task_text::Lexical& f) noexcept(noexcept(take(std::size_t{}))) {
    const std::size_t row = f.row(bits);
    if (seen.first(row)) take(row);
  }
  void structural(std::size_t) noexcept(noexcept(take(std::size_t{}))) {}
};

// Calls take(row) for each row that the text has, once. The map of small models stays small.
template <class Take>
void each_row(std::string_view from, std::size_t bits, Take take) noexcept(noexcept(take(std::size_t{}))) {
  const task_text::Text text(from);
  const auto run = [&](auto sink) { task_text::walk(text, sink); };
  if (bits <= 16) {
    run(Distinct<16, Take>{Seen<16>(bits), bits, take});
  } else {
    run(Distinct<PromptModel::most_bits, Take>{Seen<PromptModel::most_bits>(bits), bits, take});
  }
}

double bounded(double quality) noexcept { return std::min(std::max(quality, 0.0), 1.0); }

bool finite(std::span<const float> numbers, float most) noexcept {
  return std::all_of(numbers.begin(), numbers.end(), [&](float x) { return std::abs(x) <= most; });
}

// Sums of the columns of the table, 4 Blocks floats wide; 0: any width, in pieces.
template <std::size_t Blocks>
void add_up(std::string_view text, std::size_t bits, const float* table, std::size_t stride, float* sums) noexcept {
  if constexpr (Blocks == 0) {
    each_row(text, bits, [&](std::size_t row) noexcept {
      const float* const from = table + row * stride;
      for (std::size_t i = 0; i < stride; i += 4)
        for (std::size_t j = 0; j < 4; ++j) sums[i + j] += from[i + j];
    });
  } else {
    each_row(text, bits, [&](std::size_t row) noexcept {
      const float* const from = table + row * (4 * Blocks);
      for (std::size_t i = 0; i < 4 * Blocks; ++i) sums[i] += from[i];
    });
  }
}

}  // namespace

double PromptModel::weight(std::size_t model) const noexcept {
  const double share = static_cast<double>(explained_[model]) * (slice + 1.0);
  if (!(share > 0.0)) return 0.0;
  return share < 1.0 ? std::min(slice * share / (1.0 - share), most_weight) : most_weight;
}

Status PromptModel::set_common(std::vector<std::string> names, std::span<const float> idf, std::span<const float> mean,
                               std::span<const float> explained) {
  const std::size_t m = names.size();
  if (m == 0 || m > most_models || !std::has_single_bit(idf.size()) || idf.size() < std::size_t{1} << least_bits ||
      idf.size() > std::size_t{1} << most_bits)
    return Status::out_of_range;
  if (mean.size() != m || explained.size() != m) return Status::wrong_length;
  if (!finite(idf, 1e3f) || !finite(mean, 1.0f) || !finite(explained, 1e6f)) return Status::not_finite;
  for (const float x : idf)
    if (!(x > 1e-3f)) return Status::out_of_range;
  for (std::size_t i = 0; i < m; ++i)
    if (!(mean[i] >= 0.0f && explained[i] <= 1.0f)) return Status::out_of_range;
  names_ = std::move(names);
  bits_ = static_cast<std::size_t>(std::countr_zero(idf.size()));
  mean_.assign(mean.begin(), mean.end());
  explained_.assign(explained.begin(), explained.end());
  return Status::ok;
}

Status LinearPromptModel::assign(std::vector<std::string> names, std::span<const float> idf, std::span<const float> weights,
                                 std::span<const float> mean, std::span<const float> explained) {
  const std::size_t m = names.size(), stride = (m + 4) / 4 * 4;
  if (weights.size() != idf.size() * m) return Status::wrong_length;
  if (!finite(weights, 1e6f)) return Status::not_finite;
  std::vector<float> table(idf.size() * stride);
  for (std::size_t row = 0; row < idf.size(); ++row) {
    table[row * stride] = idf[row] * idf[row];
    for (std::size_t i = 0; i < m; ++i) table[row * stride + 1 + i] = idf[row] * weights[row * m + i];
  }
  if (const Status status = set_common(std::move(names), idf, mean, explained); status != Status::ok) return status;
  stride_ = stride;
  table_ = std::move(table);
  return Status::ok;
}

void LinearPromptModel::predict(std::string_view text, double* out, PromptScratch&) const noexcept {
  alignas(64) std::array<float, most_models + 4> sums;
  std::fill_n(sums.begin(), stride_, 0.0f);
  switch (stride_ / 4) {
    case 0: return;
    case 1: add_up<1>(text, bits_, table_.data(), stride_, sums.data()); break;
    case 2: add_up<2>(text, bits_, table_.data(), stride_, sums.data()); break;
    case 3: add_up<3>(text, bits_, table_.data(), stride_, sums.data()); break;
    case 4: add_up<4>(text, bits_, table_.data(), stride_, sums.data()); break;
    case 5: add_up<5>(text, bits_, table_.data(), stride_, sums.data()); break;
    default: add_up<0>(text, bits_, table_.data(), stride_, sums.data());
  }
  const double scale = sums[0] > 0.0f ? 1.0 / std::sqrt(static_cast<double>(sums[0])) : 0.0;
  for (std::size_t i = 0; i < models(); ++i)
    out[i] = bounded(static_cast<double>(mean_[i]) + scale * static_cast<double>(sums[i + 1]));
}

Status NearestPromptModel::assign(std::vector<std::string> names, std::span<const float> idf, std::span<const std::uint32_t> starts,
                                  std::span<const std::uint32_t> rows, std::span<const float> quality, std::span<const float> mean,
                                  std::span<const float> explained, std::size_t neighbours, double shrink) {
  const std::size_t m = names.size(), n = starts.empty() ? 0 : starts.size() - 1;
  if (n == 0 || n > most_texts || neighbours == 0 || neighbours > most_neighbours || !(shrink >= 0.0 && shrink <= 1e6)) return Status::out_of_range;
  if (quality.size() != n * m || starts.front() != 0 || starts.back() != rows.size()) return Status::wrong_length;
  for (const float q : quality)
    if (!std::isnan(q) && !(q >= 0.0f && q <= 1.0f)) return Status::out_of_range;
  for (std::size_t i = 0; i < n; ++i) {
    if (starts[i] > starts[i + 1]) return Status::out_of_range;
    for (std::size_t j = starts[i]; j < starts[i + 1]; ++j)
      if (j >= rows.size() || rows[j] >= idf.size() || (j > starts[i] && rows[j] <= rows[j - 1])) return Status::out_of_range;
  }
  std::vector<float> idf2(idf.size()), inverse(n);
  std::vector<std::uint32_t> counts(idf.size() + 1), postings(rows.size());
  for (std::size_t row = 0; row < idf.size(); ++row) idf2[row] = idf[row] * idf[row];
  for (const std::uint32_t row : rows) ++counts[row + 1];
  for (std::size_t row = 0; row < idf.size(); ++row) counts[row + 1] += counts[row];
  std::vector<std::uint32_t> next(counts.begin(), counts.end() - 1);
  for (std::size_t i = 0; i < n; ++i) {
    double norm = 0.0;
    for (std::size_t j = starts[i]; j < starts[i + 1]; ++j) {
      norm += static_cast<double>(idf2[rows[j]]);
      postings[next[rows[j]]++] = static_cast<std::uint32_t>(i);
    }
    inverse[i] = norm > 0.0 ? static_cast<float>(1.0 / std::sqrt(norm)) : 0.0f;
  }
  std::vector<float> labels(quality.begin(), quality.end());
  if (const Status status = set_common(std::move(names), idf, mean, explained); status != Status::ok) return status;
  neighbours_ = neighbours;
  shrink_ = static_cast<float>(shrink);
  idf2_ = std::move(idf2);
  inverse_norm_ = std::move(inverse);
  quality_ = std::move(labels);
  starts_ = std::move(counts);
  postings_ = std::move(postings);
  return Status::ok;
}

std::size_t NearestPromptModel::nearest(std::string_view text, std::span<Neighbour> out, PromptScratch& scratch, std::int64_t except) const noexcept {
  const std::size_t n = inverse_norm_.size();
  if (n == 0 || out.empty() || scratch.similar_.size() < n) return 0;
  float* const similar = scratch.similar_.data();
  std::fill_n(similar, n, 0.0f);
  double norm = 0.0;
  each_row(text, bits_, [&](std::size_t row) noexcept {
    const float add = idf2_[row];
    norm += static_cast<double>(add);
    for (std::size_t j = starts_[row]; j < starts_[row + 1]; ++j) similar[postings_[j]] += add;
  });
  if (except >= 0) similar[except] = 0.0f;
  const float scale = norm > 0.0 ? static_cast<float>(1.0 / std::sqrt(norm)) : 0.0f;
  // A heap of the best so far, the worst of them on top; the earlier of two that are equal is the better one.
  const auto better = [](const Neighbour& a, const Neighbour& b) { return a.similarity > b.similarity || (a.similarity == b.similarity && a.text < b.text); };
  std::size_t found = 0;
  float least = 0.0f;
  for (std::size_t i = 0; i < n; ++i) {
    const float s = similar[i] * inverse_norm_[i];
    if (!(s > least)) continue;
    const auto end = [&] { return out.begin() + static_cast<std::ptrdiff_t>(found); };
    if (found == out.size()) {
      std::pop_heap(out.begin(), end(), better);
      --found;
    }
    out[found++] = {s, static_cast<std::uint32_t>(i)};
    std::push_heap(out.begin(), end(), better);
    if (found == out.size()) least = out[0].similarity;
  }
  std::sort_heap(out.begin(), out.begin() + static_cast<std::ptrdiff_t>(found), better);
  for (std::size_t i = 0; i < found; ++i) out[i].similarity *= scale;
  return found;
}

void NearestPromptModel::predict(std::string_view text, double* out, PromptScratch& scratch) const noexcept {
  std::array<Neighbour, most_neighbours> best;
  const std::size_t found = nearest(text, {best.data(), neighbours_}, scratch);
  for (std::size_t m = 0; m < models(); ++m) {
    const auto shrink = static_cast<double>(shrink_);
    double sum = shrink * static_cast<double>(mean_[m]), total = shrink;
    for (std::size_t i = 0; i < found; ++i) {
      const float q = quality_[best[i].text * models() + m];
      if (std::isnan(q)) continue;
      sum += static_cast<double>(best[i].similarity) * static_cast<double>(q);
      total += static_cast<double>(best[i].similarity);
    }
    out[m] = total > 0.0 ? bounded(sum / total) : static_cast<double>(mean_[m]);
  }
}

PromptRows prompt_rows(std::span<const std::string_view> texts, std::size_t bits) {
  PromptRows out;
  for (const std::string_view text : texts) {
    each_row(text, bits, [&](std::size_t row) { out.rows.push_back(static_cast<std::uint32_t>(row)); });
    if (out.rows.size() > 0xffffffff) throw std::bad_alloc();
    std::sort(out.rows.begin() + static_cast<std::ptrdiff_t>(out.starts.back()), out.rows.end());
    out.starts.push_back(static_cast<std::uint32_t>(out.rows.size()));
  }
  return out;
}

}  // namespace fairlead
