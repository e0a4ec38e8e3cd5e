#include "fairlead/task_classifier.hpp"

#include <cmath>
#include <map>
#include <new>

#include "kernels/elementary.hpp"
#include "task_text.hpp"

namespace fairlead {

namespace {

// 21 bits of a packed sum, the lowest first. A text has at most 2 x 4096 + 2 features, of at most 120 each.
constexpr int lane = 21;
static_assert((2 * TaskClassifier::longest + 2) * 120 < (std::size_t{1} << (lane - 1)));

inline std::int64_t lowest(std::uint64_t& sum) noexcept {
  const std::int64_t x = static_cast<std::int64_t>(sum << (64 - lane)) >> (64 - lane);
  sum = static_cast<std::uint64_t>(static_cast<std::int64_t>(sum - static_cast<std::uint64_t>(x)) >> lane);
  return x;
}

template <std::size_t Words>  // 0: any number
struct Sums {
  const std::uint64_t *lexical_rows, *structural_rows;
  std::size_t bits, words;
  std::uint64_t of_lexical[Words == 0 ? (TaskClassifier::most_types + 2) / 3 : Words] = {};
  std::uint64_t of_structural[Words == 0 ? (TaskClassifier::most_types + 2) / 3 : Words] = {};

  void lexical(const task_text::Lexical& f) noexcept { add(of_lexical, lexical_rows, f.row(bits)); }
  void structural(std::size_t row) noexcept { add(of_structural, structural_rows, row); }

 private:
  void add(std::uint64_t* sums, const std::uint64_t* rows, std::size_t row) const noexcept {
    if constexpr (Words == 1) {
      *sums += rows[row];
    } else {
      for (std::size_t w = 0; w < words; ++w) sums[w] += rows[row * words + w];
    }
  }
};

template <std::size_t Words>
void add_up(std::string_view from, Sums<Words> sums, std::span<const float> bias, double lexical_scale, double structural_scale,
            double* out) noexcept {
  const task_text::Text text(from);
  const std::size_t found = task_text::walk(text, sums);
  const double scale = found > 0 ? lexical_scale / std::sqrt(static_cast<double>(found)) : 0.0;
  for (std::size_t k = 0; k < bias.size(); ++k) {
    const auto l = static_cast<double>(lowest(sums.of_lexical[k / 3])), s = static_cast<double>(lowest(sums.of_structural[k / 3]));
    out[k] = static_cast<double>(bias[k]) + (scale * l + structural_scale * s);
  }
}

}  // namespace

void TaskClassifier::pack() {
  const std::size_t k = types_.size(), w = words();
  const auto packed = [&](const std::vector<std::int8_t>& weights) {
    std::vector<std::uint64_t> out(weights.size() / k * w);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto weight = static_cast<std::uint64_t>(static_cast<std::int64_t>(weights[i]));
      out[i / k * w + i % k / 3] += weight << lane * (i % k % 3);
    }
    return out;
  };
  packed_lexical_ = packed(lexical_);
  packed_structural_ = packed(structural_);
}

void TaskClassifier::logits(std::string_view text, double* out) const noexcept {
  const auto run = [&](auto sums) {
    sums.lexical_rows = packed_lexical_.data();
    sums.structural_rows = packed_structural_.data();
    sums.bits = bits_;
    sums.words = words();
    add_up(text, sums, bias_, static_cast<double>(lexical_scale_), static_cast<double>(structural_scale_), out);
  };
  if (types_.size() <= 3) {
    run(Sums<1>{});
  } else {
    run(Sums<0>{});
  }
}

std::size_t TaskClassifier::classify(std::string_view text, double* probabilities) const noexcept {
  if (types_.empty()) return 0;
  std::array<double, most_types> z;
  logits(text, z.data());
  const std::size_t k = types_.size();
  const auto best = static_cast<std::size_t>(std::max_element(z.begin(), z.begin() + static_cast<std::ptrdiff_t>(k)) - z.begin());
  if (probabilities != nullptr) {
    const double most = z[best], rate = 1.0 / static_cast<double>(temperature_);
    double sum = 0.0;
    for (std::size_t i = 0; i < k; ++i) sum += probabilities[i] = kernels::exp_bounded((z[i] - most) * rate);
    for (std::size_t i = 0; i < k; ++i) probabilities[i] /= sum;
  }
  return best;
}

namespace {

using task_text::Kind;

constexpr std::array<std::string_view, task_text::groups> group_names{
    "bytes",         "words",          "sentences",    "question marks", "numbers",     "numbers per word", "capitals",
    "capitals per word", "first character", "last character", "quotes '", "quotes \"", "backticks",       "commas per word",
    "(",             "[",              "{",            "backslashes",    "$",           "lines",            "_",
    "camelCase",     "operators",      "%",            "colons",         "/",           "@ and #",          "hyphens",
    "share not ASCII", "length of words", "CAPITALS"};

std::string structural_name(std::size_t row) {
  const std::size_t group = row / task_text::bins, bin = row % task_text::bins;
  constexpr std::array<std::string_view, 6> first{"upper case", "lower case", "digit", "not ASCII", "symbol", "none"};
  constexpr std::array<std::string_view, 9> last{"?", ".", "!", ":", "quote", "bracket", "letter", "digit", "other"};
  std::string value;
  if (group == 0) {
    const double from = std::exp2((static_cast<double>(bin) + 7.0) / 2.0);
    value = bin == 0 ? "< 16" : std::to_string(static_cast<int>(std::ceil(from))) + (bin + 1 == task_text::bins ? "+" : "...");
  } else if (group == 1) {
    value = bin == 0 ? "0" : std::to_string(std::size_t{1} << (bin - 1)) + "...";
  } else if (group == 8) {
    value = first[std::min<std::size_t>(bin, first.size() - 1)];
  } else if (group == 9) {
    value = last[std::min<std::size_t>(bin, last.size() - 1)];
  } else if (group == 29) {
    value = std::to_string(bin / 2) + (bin % 2 == 0 ? ".0" : ".5") + (bin + 1 == task_text::bins ? "+" : "...");
  } else {
    value = bin < 3 ? std::to_string(bin) : std::to_string((std::size_t{1} << (bin - 2)) + 1) + "...";
    const std::string_view name = group_names[group];
    if (name.find("per") != name.npos || name.find("share") != name.npos) value += "/64";
  }
  std::string out = "<";
  out += group_names[group];
  out += ": ";
  out += value;
  return out += '>';
}

struct Naming {
  const task_text::Text& text;
  const std::vector<std::int8_t>&lexical_weights, &structural_weights;
  std::size_t types, bits;
  double lexical_scale, structural_scale;
  std::vector<TaskClassifier::Reason>& out;
  std::map<std::string, std::size_t> seen{};

  std::string token(std::size_t at, std::size_t size) const {
    const std::string t(reinterpret_cast<const char*>(text.bytes) + at, size);
    const std::size_t count = t.find_first_not_of("0123456789");
    if (count == 0) return t;
    const std::size_t digits = count == t.npos ? size : count;
    std::string shape(digits == size ? std::min<std::size_t>(digits, 5) : 1, '9');
    return digits == size ? shape.append(digits > 5 ? "..." : "") : shape.append(t, digits);
  }
  void lexical(const task_text::Lexical& f) {
    std::string name = token(f.at, f.size);
    if (f.kind == Kind::pair) name = token(f.before_at, f.before_size) + " " + name;
    if (f.kind == Kind::beginning) name = std::string(reinterpret_cast<const char*>(text.bytes) + f.at, f.size) + "...";
    if (f.kind == Kind::first) name = "<first> " + name;
    if (f.kind == Kind::last) name += " <last>";
    add(std::move(name), lexical_weights, f.row(bits), lexical_scale);
  }
  void structural(std::size_t row) { add(structural_name(row), structural_weights, row, structural_scale); }

 private:
  void add(std::string name, const std::vector<std::int8_t>& weights, std::size_t row, double scale) {
    const auto [place, fresh] = seen.emplace(name, out.size());
    if (fresh) out.push_back({std::move(name), {}});
    for (std::size_t k = 0; k < types; ++k) out[place->second].adds[k] += scale * static_cast<double>(weights[row * types + k]);
  }
};

struct Counting {
  void lexical(const task_text::Lexical&) noexcept {}
  void structural(std::size_t) noexcept {}
};

}  // namespace

std::vector<TaskClassifier::Reason> TaskClassifier::explain(std::string_view from) const {
  std::vector<Reason> out;
  if (types_.empty()) return out;
  const task_text::Text text(from);
  Counting counting;
  const std::size_t found = task_text::walk(text, counting);
  const double cool = 1.0 / static_cast<double>(temperature_);
  out.push_back({"(always)", {}});
  for (std::size_t k = 0; k < types_.size(); ++k) out[0].adds[k] = static_cast<double>(bias_[k]) * cool;
  const double scale = found > 0 ? static_cast<double>(lexical_scale_) / std::sqrt(static_cast<double>(found)) : 0.0;
  Naming naming{text, lexical_, structural_, types_.size(), bits_, scale * cool, static_cast<double>(structural_scale_) * cool, out};
  task_text::walk(text, naming);
  return out;
}

}  // namespace fairlead
