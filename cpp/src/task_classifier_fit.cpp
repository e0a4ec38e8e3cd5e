// Training a TaskClassifier: multinomial logistic regression with an L2 penalty by L-BFGS (Liu and Nocedal, Mathematical
// Programming 45, 1989), weights of sources, dropping of features that few sources have, and a temperature (Guo et al., On
// calibration of modern neural networks, ICML 2017) from texts of sources that were held out. Everything in one order and with
// arithmetic of this project: the same texts give the same bits everywhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "fairlead/logistic.hpp"
#include "fairlead/task_classifier.hpp"
#include "kernels/elementary.hpp"
#include "task_text.hpp"

namespace fairlead {

namespace {

constexpr std::int8_t largest = 120;

double logarithm(double x) noexcept { return kernels::log_ratio(x, 1.0); }
double power(double x, double y) noexcept { return exp2_portable(logarithm(x) * y * 0x1.71547652b82fep+0); }

struct Entry {
  std::uint32_t row;
  double value;
};

struct Document {
  std::size_t from = 0, to = 0;  // of the entries; structural ones have rows from 2^bits on
  std::uint32_t label = 0, source = 0;
};

// The features of all texts.
struct Corpus {
  std::vector<Entry> entries;
  std::vector<Document> documents;
  std::size_t types = 0, sources = 0, bits = 0;
};

struct Collecting {
  std::vector<std::uint32_t>& rows;
  std::vector<std::uint32_t>& shapes;
  std::size_t bits;
  void lexical(const task_text::Lexical& f) { rows.push_back(static_cast<std::uint32_t>(f.row(bits))); }
  void structural(std::size_t row) { shapes.push_back(static_cast<std::uint32_t>(row)); }
};

Corpus collect(std::span<const std::string_view> texts, std::span<const std::uint32_t> labels, std::span<const std::uint32_t> sources,
               std::size_t types, const TaskFit& options) {
  Corpus out;
  out.types = types;
  out.bits = options.bits;
  std::vector<std::uint32_t> rows, shapes, names(sources.begin(), sources.end());
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  out.sources = sources.empty() ? texts.size() : names.size();
  for (std::size_t d = 0; d < texts.size(); ++d) {
    rows.clear(), shapes.clear();
    Collecting sink{rows, shapes, options.bits};
    const task_text::Text text(texts[d]);
    const auto found = static_cast<double>(task_text::walk(text, sink));
    std::sort(rows.begin(), rows.end());
    Document document{out.entries.size(), 0, labels[d], static_cast<std::uint32_t>(d)};
    if (!sources.empty()) document.source = static_cast<std::uint32_t>(std::lower_bound(names.begin(), names.end(), sources[d]) - names.begin());
    for (std::size_t i = 0; i < rows.size();) {
      std::size_t j = i;
      while (j < rows.size() && rows[j] == rows[i]) ++j;
      out.entries.push_back({rows[i], static_cast<double>(j - i) / std::sqrt(found)});
      i = j;
    }
    for (const std::uint32_t s : shapes) out.entries.push_back({(std::uint32_t{1} << options.bits) + s, options.structure});
    document.to = out.entries.size();
    out.documents.push_back(document);
  }
  return out;
}

// What each text weighs: types alike, their sources by `balance`; the sum is 1. Texts with training[d] == 0 weigh nothing.
std::vector<double> weigh(const Corpus& corpus, const std::vector<char>& training, double balance) {
  std::vector<double> counts(corpus.sources * corpus.types), totals(corpus.types), out(corpus.documents.size());
  for (std::size_t d = 0; d < out.size(); ++d)
    if (training[d] != 0) counts[corpus.documents[d].source * corpus.types + corpus.documents[d].label] += 1.0;
  std::size_t present = 0;
  for (std::size_t i = 0; i < counts.size(); ++i)
    if (counts[i] > 0.0) totals[i % corpus.types] += power(counts[i], balance);
  for (const double t : totals) present += t > 0.0 ? 1 : 0;
  for (std::size_t d = 0; d < out.size(); ++d) {
    const Document& document = corpus.documents[d];
    if (training[d] == 0) continue;
    const double n = counts[document.source * corpus.types + document.label];
    out[d] = power(n, balance) / totals[document.label] / n / static_cast<double>(present);
  }
  return out;
}

// loss = sum of weight x log-loss + l2 / 2 x squares, over parameters [row][type], and a bias for each type last.
class Objective {
 public:
  Objective(const Corpus& corpus, std::vector<double> weights, const std::vector<char>& training, const TaskFit& options)
      : corpus_(corpus), weights_(std::move(weights)), l2_(options.l2), place_((std::size_t{1} << corpus.bits) + TaskClassifier::structural_rows, none) {
    std::vector<std::uint32_t> last(place_.size(), none), seen(place_.size());
    std::vector<std::uint32_t> order;  // of documents, source by source
    for (std::uint32_t d = 0; d < corpus.documents.size(); ++d)
      if (training[d] != 0) order.push_back(d);
    std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) { return corpus.documents[a].source < corpus.documents[b].source; });
    for (const std::uint32_t d : order)
      for (std::size_t e = corpus.documents[d].from; e < corpus.documents[d].to; ++e) {
        const std::uint32_t row = corpus.entries[e].row;
        if (last[row] == corpus.documents[d].source) continue;
        last[row] = corpus.documents[d].source;
        ++seen[row];
      }
    for (std::size_t row = 0; row < place_.size(); ++row) {
      const bool shape = row >= std::size_t{1} << corpus.bits;
      if (seen[row] >= (shape ? 1 : options.sources) && seen[row] > 0) place_[row] = rows_++;
    }
    for (std::size_t d = 0; d < corpus.documents.size(); ++d) {
      if (weights_[d] == 0.0) continue;
      const Document& document = corpus.documents[d];
      for (std::size_t e = document.from; e < document.to; ++e)
        if (const std::uint32_t row = place_[corpus.entries[e].row]; row != none) used_.push_back({row, corpus.entries[e].value});
      texts_.push_back({used_.size(), weights_[d], document.label});
    }
  }

  std::size_t size() const noexcept { return (rows_ + 1) * corpus_.types; }

  double operator()(const std::vector<double>& x, std::vector<double>& slope) const noexcept {
    return corpus_.types == 3 ? run<3>(x, slope) : run<0>(x, slope);
  }

  // The weight of a row of the file, in parameters; 0 where the row is not used.
  double parameter(const std::vector<double>& x, std::size_t row, std::size_t type) const noexcept {
    return place_[row] == none ? 0.0 : x[place_[row] * corpus_.types + type];
  }
  double bias(const std::vector<double>& x, std::size_t type) const noexcept { return x[rows_ * corpus_.types + type]; }

 private:
  static constexpr std::uint32_t none = 0xffffffff;

  struct Text {
    std::size_t to;  // of the entries that are used; they begin where those of the text before end
    double weight;
    std::uint32_t label;
  };

  template <std::size_t Types>  // 0: any number
  double run(const std::vector<double>& x, std::vector<double>& slope) const noexcept {
    const std::size_t k = Types == 0 ? corpus_.types : Types;
    std::array<double, Types == 0 ? TaskClassifier::most_types : Types> z;
    double loss = 0.0;
    for (std::size_t i = 0; i < rows_ * k; ++i) {
      loss += x[i] * x[i];
      slope[i] = l2_ * x[i];
    }
    loss *= 0.5 * l2_;
    std::fill(slope.end() - static_cast<std::ptrdiff_t>(k), slope.end(), 0.0);
    std::size_t from = 0;
    for (const Text& text : texts_) {
      for (std::size_t i = 0; i < k; ++i) z[i] = x[rows_ * k + i];
      for (std::size_t e = from; e < text.to; ++e)
        for (std::size_t i = 0; i < k; ++i) z[i] += used_[e].value * x[used_[e].row * k + i];
      const double most = *std::max_element(z.begin(), z.begin() + static_cast<std::ptrdiff_t>(k)), own = z[text.label];
      double sum = 0.0;
      for (std::size_t i = 0; i < k; ++i) sum += z[i] = kernels::exp_bounded(z[i] - most);
      loss += text.weight * (logarithm(sum) + most - own);
      for (std::size_t i = 0; i < k; ++i) z[i] = text.weight * (z[i] / sum - (i == text.label ? 1.0 : 0.0));
      for (std::size_t e = from; e < text.to; ++e)
        for (std::size_t i = 0; i < k; ++i) slope[used_[e].row * k + i] += used_[e].value * z[i];
      for (std::size_t i = 0; i < k; ++i) slope[rows_ * k + i] += z[i];
      from = text.to;
    }
    return loss;
  }

  const Corpus& corpus_;
  std::vector<double> weights_;
  double l2_;
  std::vector<std::uint32_t> place_;  // of a row of the file among the parameters
  std::vector<Entry> used_;
  std::vector<Text> texts_;
  std::uint32_t rows_ = 0;
};

double dot(const std::vector<double>& a, const std::vector<double>& b) noexcept {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::vector<double> minimise(const Objective& objective, std::size_t steps) {
  constexpr std::size_t memory = 8;
  const std::size_t n = objective.size();
  std::vector<double> x(n), slope(n), next(n), next_slope(n), direction(n);
  std::array<std::vector<double>, memory> moves, turns;
  std::array<double, memory> inner{}, alpha{};
  double loss = objective(x, slope);
  for (std::size_t step = 0, kept = 0; step < steps; ++step) {
    for (std::size_t i = 0; i < n; ++i) direction[i] = -slope[i];
    const std::size_t have = std::min(kept, memory);
    for (std::size_t j = 0; j < have; ++j) {
      const std::size_t m = (kept - 1 - j) % memory;
      alpha[m] = dot(moves[m], direction) / inner[m];
      for (std::size_t i = 0; i < n; ++i) direction[i] -= alpha[m] * turns[m][i];
    }
    if (have > 0) {
      const std::size_t m = (kept - 1) % memory;
      const double size = inner[m] / dot(turns[m], turns[m]);
      for (double& d : direction) d *= size;
    }
    for (std::size_t j = have; j-- > 0;) {
      const std::size_t m = (kept - 1 - j) % memory;
      const double beta = dot(turns[m], direction) / inner[m];
      for (std::size_t i = 0; i < n; ++i) direction[i] += (alpha[m] - beta) * moves[m][i];
    }
    const double steepness = dot(slope, direction);
    if (!(steepness < 0.0)) break;
    double length = have > 0 ? 1.0 : 1.0 / std::sqrt(dot(slope, slope)), reached = loss;
    bool better = false;
    for (int attempt = 0; attempt < 30 && !better; ++attempt, length *= 0.5) {
      for (std::size_t i = 0; i < n; ++i) next[i] = x[i] + length * direction[i];
      reached = objective(next, next_slope);
      better = reached <= loss + 1e-4 * length * steepness;
    }
    if (!better) break;
    std::vector<double>&move = moves[kept % memory], &turn = turns[kept % memory];
    move.resize(n), turn.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      move[i] = next[i] - x[i];
      turn[i] = next_slope[i] - slope[i];
    }
    const double curvature = dot(move, turn), gained = loss - reached;
    x.swap(next), slope.swap(next_slope);
    loss = reached;
    if (curvature > 1e-12 * dot(turn, turn)) inner[kept++ % memory] = curvature;
    if (gained <= 1e-5 * loss) break;
  }
  return x;
}

// The temperature with the least log-loss, by golden section over its logarithm.
double best_temperature(const std::vector<double>& logits, const std::vector<std::uint32_t>& labels, const std::vector<double>& weights, std::size_t k) {
  const auto loss = [&](double log2_temperature) {
    const double rate = exp2_portable(-log2_temperature);
    double sum = 0.0;
    for (std::size_t d = 0; d < labels.size(); ++d) {
      const double* const z = logits.data() + d * k;
      const double most = *std::max_element(z, z + k);
      double total = 0.0;
      for (std::size_t i = 0; i < k; ++i) total += kernels::exp_bounded((z[i] - most) * rate);
      sum += weights[d] * (logarithm(total) + (most - z[labels[d]]) * rate);
    }
    return sum;
  };
  constexpr double golden = 0.6180339887498949;
  double low = -4.0, high = 8.0, a = high - golden * (high - low), b = low + golden * (high - low), at_a = loss(a), at_b = loss(b);
  for (int i = 0; i < 40; ++i) {
    if (at_a <= at_b) {
      high = b, b = a, at_b = at_a;
      a = high - golden * (high - low), at_a = loss(a);
    } else {
      low = a, a = b, at_a = at_b;
      b = low + golden * (high - low), at_b = loss(b);
    }
  }
  return exp2_portable(0.5 * (low + high));
}

// In which fold a text is held out: sources of a type in turn; texts of a type in turn where it has less sources than folds.
std::vector<std::size_t> folds_of(const Corpus& corpus, std::size_t folds) {
  std::vector<std::size_t> out(corpus.documents.size());
  for (std::uint32_t type = 0; type < corpus.types; ++type) {
    std::vector<std::uint32_t> sources;
    for (const Document& document : corpus.documents)
      if (document.label == type) sources.push_back(document.source);
    std::sort(sources.begin(), sources.end());
    sources.erase(std::unique(sources.begin(), sources.end()), sources.end());
    std::size_t turn = 0;
    for (std::size_t d = 0; d < out.size(); ++d) {
      const Document& document = corpus.documents[d];
      if (document.label != type) continue;
      const auto place = static_cast<std::size_t>(std::lower_bound(sources.begin(), sources.end(), document.source) - sources.begin());
      out[d] = (sources.size() < folds ? turn++ : place) % folds;
    }
  }
  return out;
}

}  // namespace

struct TaskClassifierTraining {
  static TaskClassifier fit(const Corpus& corpus, const std::vector<char>& training, std::vector<std::string> types, const TaskFit& options) {
    const Objective objective(corpus, weigh(corpus, training, options.balance), training, options);
    const std::vector<double> x = minimise(objective, options.steps);
    TaskClassifier out;
    const std::size_t k = corpus.types, rows = std::size_t{1} << corpus.bits;
    out.types_ = std::move(types);
    out.bits_ = corpus.bits;
    const auto quantise = [&](std::size_t from, std::size_t to, std::vector<std::int8_t>& weights, float& scale, double value) {
      double most = 0.0;
      for (std::size_t row = from; row < to; ++row)
        for (std::size_t i = 0; i < k; ++i) most = std::max(most, std::abs(objective.parameter(x, row, i)));
      weights.assign((to - from) * k, 0);
      scale = static_cast<float>(most * value / largest);
      for (std::size_t row = from; row < to && most > 0.0; ++row)
        for (std::size_t i = 0; i < k; ++i)
          weights[(row - from) * k + i] = static_cast<std::int8_t>(std::floor(objective.parameter(x, row, i) / most * largest + 0.5));
    };
    quantise(0, rows, out.lexical_, out.lexical_scale_, 1.0);
    quantise(rows, rows + TaskClassifier::structural_rows, out.structural_, out.structural_scale_, options.structure);
    for (std::size_t i = 0; i < k; ++i) out.bias_.push_back(static_cast<float>(objective.bias(x, i)));
    out.pack();
    return out;
  }

  static TaskClassifier all(std::span<const std::string_view> texts, const Corpus& corpus, std::vector<std::string> types, const TaskFit& options) {
    TaskClassifier out = fit(corpus, std::vector<char>(texts.size(), 1), std::move(types), options);
    if (options.folds < 2) return out;
    const std::size_t k = corpus.types;
    const std::vector<std::size_t> fold = folds_of(corpus, options.folds);
    std::vector<double> logits(texts.size() * k);
    std::vector<std::uint32_t> labels;
    for (const Document& document : corpus.documents) labels.push_back(document.label);
    for (std::size_t f = 0; f < options.folds; ++f) {
      std::vector<char> training(texts.size());
      for (std::size_t d = 0; d < texts.size(); ++d) training[d] = fold[d] != f;
      const TaskClassifier without = fit(corpus, training, out.types_, options);
      for (std::size_t d = 0; d < texts.size(); ++d)
        if (fold[d] == f) without.logits(texts[d], logits.data() + d * k);
    }
    const std::vector<double> weights = weigh(corpus, std::vector<char>(texts.size(), 1), options.balance);
    out.temperature_ = static_cast<float>(best_temperature(logits, labels, weights, k));
    return out;
  }
};

Status TaskClassifier::fit(std::span<const std::string_view> texts, std::span<const std::uint32_t> labels, std::span<const std::uint32_t> sources,
                           std::vector<std::string> types, const TaskFit& options) noexcept {
  if (labels.size() != texts.size() || (!sources.empty() && sources.size() != texts.size())) return Status::wrong_length;
  if (types.size() < 2 || types.size() > most_types || texts.size() > 0x7fffffff) return Status::out_of_range;
  if (!(options.l2 > 0.0 && options.l2 <= 1e6 && options.structure > 0.0 && options.structure <= 1e3 && options.balance >= 0.0 && options.balance <= 1.0) ||
      options.bits < 8 || options.bits > 20 || options.folds > 100)
    return Status::out_of_range;
  try {
    std::vector<char> there(types.size());
    for (const std::uint32_t label : labels) {
      if (label >= types.size()) return Status::out_of_range;
      there[label] = 1;
    }
    if (std::find(there.begin(), there.end(), 0) != there.end()) return Status::out_of_range;
    const Corpus corpus = collect(texts, labels, sources, types.size(), options);
    *this = TaskClassifierTraining::all(texts, corpus, std::move(types), options);
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

}  // namespace fairlead
