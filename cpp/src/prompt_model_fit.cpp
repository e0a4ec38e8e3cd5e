// Fitting the models of the prompt. Everything in one order and with arithmetic of this project: the same texts give the same
// bits everywhere.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "fairlead/prompt_model.hpp"
#include "kernels/elementary.hpp"

namespace fairlead {

namespace {

std::vector<float> inverse_frequencies(const PromptRows& texts, std::size_t bits) {
  std::vector<std::uint32_t> counts(std::size_t{1} << bits);
  for (const std::uint32_t row : texts.rows) ++counts[row];
  const auto n = static_cast<double>(texts.starts.size());  // and one
  std::vector<float> out(counts.size());
  for (std::size_t row = 0; row < counts.size(); ++row)
    out[row] = static_cast<float>(kernels::log_ratio(n, 1.0 + static_cast<double>(counts[row])) + 1.0);
  return out;
}

// Each model's mean, over its labels for which use(text) holds; `otherwise` where there are none.
template <class Use>
std::vector<double> means(std::span<const double> quality, std::size_t models, const std::vector<double>& otherwise, Use use) {
  std::vector<double> sums(models), counts(models);
  for (std::size_t i = 0; i < quality.size(); ++i) {
    if (std::isnan(quality[i]) || !use(i / models)) continue;
    sums[i % models] += quality[i];
    counts[i % models] += 1.0;
  }
  for (std::size_t m = 0; m < models; ++m) sums[m] = counts[m] > 0.0 ? sums[m] / counts[m] : otherwise.empty() ? 0.0 : otherwise[m];
  return sums;
}

std::vector<float> narrow(const std::vector<double>& from) {
  std::vector<float> out(from.size());
  std::transform(from.begin(), from.end(), out.begin(), [](double x) { return static_cast<float>(x); });
  return out;
}

// Squared errors of predictions, and of the mean, on texts that were held out.
struct HeldOut {
  std::vector<double> error, variance;

  explicit HeldOut(std::size_t models) : error(models), variance(models) {}
  void add(std::size_t model, double quality, double predicted, double mean) noexcept {
    const double p = std::min(std::max(predicted, 0.0), 1.0);
    error[model] += (quality - p) * (quality - p);
    variance[model] += (quality - mean) * (quality - mean);
  }
  // To compare options by: models whose quality varies little count as much as others.
  double loss() const noexcept {
    double sum = 0.0;
    for (std::size_t m = 0; m < error.size(); ++m)
      if (variance[m] > 0.0) sum += error[m] / variance[m];
    return sum;
  }
  std::vector<float> explained() const {
    std::vector<float> out(error.size());
    for (std::size_t m = 0; m < out.size(); ++m)
      if (variance[m] > 0.0) out[m] = static_cast<float>(std::max(1.0 - error[m] / variance[m], -1e6));
    return out;
  }
};

// (K + penalty) c = b for many columns at once, K = X X', each column with only those texts that its mask has. A row that but
// one text has lies on the diagonal of K.
class Ridge {
 public:
  Ridge(const PromptRows& texts, const std::vector<float>& idf) : n_(texts.starts.size() - 1), diagonal_(n_), norm_(n_) {
    std::vector<std::uint32_t> counts(idf.size()), place(idf.size());
    for (const std::uint32_t row : texts.rows) ++counts[row];
    for (std::size_t row = 0; row < idf.size(); ++row)
      if (counts[row] > 1) place[row] = static_cast<std::uint32_t>(shared_++);
    for (std::size_t i = 0; i < n_; ++i) {
      double norm = 0.0;
      for (std::size_t j = texts.starts[i]; j < texts.starts[i + 1]; ++j) norm += square(idf[texts.rows[j]]);
      norm_[i] = norm > 0.0 ? 1.0 / std::sqrt(norm) : 0.0;
      for (std::size_t j = texts.starts[i]; j < texts.starts[i + 1]; ++j) {
        const std::uint32_t row = texts.rows[j];
        if (counts[row] > 1) {
          rows_.push_back(place[row]);
          values_.push_back(static_cast<double>(idf[row]) * norm_[i]);
        } else {
          diagonal_[i] += square(idf[row]) * norm_[i] * norm_[i];
        }
      }
      ends_.push_back(rows_.size());
    }
  }

  double norm(std::size_t text) const noexcept { return norm_[text]; }

  // out = (K + penalty) c; `columns` is a multiple of 4.
  void apply(const std::vector<double>& c, double penalty, std::size_t columns, std::vector<double>& out) {
    sums_.assign(shared_ * columns, 0.0);
    for (std::size_t i = 0, j = 0; i < n_; ++i)
      for (const double* const from = c.data() + i * columns; j < ends_[i]; ++j) add(values_[j], from, columns, sums_.data() + rows_[j] * columns);
    for (std::size_t i = 0, j = 0; i < n_; ++i) {
      double* const to = out.data() + i * columns;
      const double own = diagonal_[i] + penalty;
      for (std::size_t k = 0; k < columns; ++k) to[k] = own * c[i * columns + k];
      for (; j < ends_[i]; ++j) add(values_[j], sums_.data() + rows_[j] * columns, columns, to);
    }
  }

  // Conjugate gradients from what c holds, until each residual is `tolerance` of its right-hand side. Both c and b are 0 where
  // the mask is.
  void solve(const std::vector<double>& b, const std::vector<char>& mask, double penalty, double tolerance, std::size_t columns, std::vector<double>& c) {
    std::vector<double> r(b.size()), p(b.size()), q(b.size());
    std::vector<double> size(columns), wanted(columns), step(columns), along(columns);
    apply(c, penalty, columns, q);
    for (std::size_t i = 0; i < b.size(); ++i) r[i] = mask[i] != 0 ? b[i] - q[i] : 0.0;
    p = r;
    const auto dot = [&](const std::vector<double>& x, const std::vector<double>& y, std::vector<double>& to) {
      std::fill(to.begin(), to.end(), 0.0);
      for (std::size_t i = 0; i < x.size(); i += columns)
        for (std::size_t k = 0; k < columns; ++k) to[k] += x[i + k] * y[i + k];
    };
    dot(b, b, wanted);
    for (double& w : wanted) w *= tolerance * tolerance;
    dot(r, r, size);
    for (int round = 0; round < 500; ++round) {
      bool done = true;
      for (std::size_t k = 0; k < columns; ++k) done &= size[k] <= wanted[k];
      if (done) return;
      apply(p, penalty, columns, q);
      for (std::size_t i = 0; i < q.size(); ++i) q[i] = mask[i] != 0 ? q[i] : 0.0;
      dot(p, q, along);
      for (std::size_t k = 0; k < columns; ++k) step[k] = along[k] > 0.0 ? size[k] / along[k] : 0.0;
      for (std::size_t i = 0; i < c.size(); i += columns)
        for (std::size_t k = 0; k < columns; ++k) c[i + k] += step[k] * p[i + k], r[i + k] -= step[k] * q[i + k];
      along = size;
      dot(r, r, size);
      for (std::size_t k = 0; k < columns; ++k) step[k] = along[k] > 0.0 ? size[k] / along[k] : 0.0;
      for (std::size_t i = 0; i < c.size(); i += columns)
        for (std::size_t k = 0; k < columns; ++k) p[i + k] = r[i + k] + step[k] * p[i + k];
    }
  }

 private:
  static double square(float x) noexcept { return static_cast<double>(x) * static_cast<double>(x); }
  static void add(double value, const double* from, std::size_t columns, double* to) noexcept {
    for (std::size_t k = 0; k < columns; k += 4)
      for (std::size_t l = 0; l < 4; ++l) to[k + l] += value * from[k + l];
  }

  std::size_t n_, shared_ = 0;
  std::vector<double> diagonal_, norm_, values_, sums_;
  std::vector<std::uint32_t> rows_;
  std::vector<std::size_t> ends_;
};

// A fold for each text, whatever order they come in.
std::vector<std::size_t> deal(std::size_t n, std::size_t folds) {
  std::vector<std::uint64_t> order(n);
  for (std::size_t i = 0; i < n; ++i) {
    std::uint64_t x = (i + 1) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
    x = (x ^ x >> 27) * 0x94d049bb133111eb;
    order[i] = (x ^ x >> 31) << 32 | i;  // n < 2^32
  }
  std::sort(order.begin(), order.end());
  std::vector<std::size_t> out(n);
  for (std::size_t i = 0; i < n; ++i) out[order[i] & 0xffffffff] = i % folds;
  return out;
}

constexpr std::size_t most_held_out = 50'000;  // texts times folds that are fitted to find the penalties

constexpr std::size_t padded(std::size_t columns) noexcept { return (columns + 3) / 4 * 4; }

// A right-hand side and its mask, [texts][columns]. Of each of some sets of texts: column 0 how much easier a text is than
// others, for all models together; then for each model by how much it is better there than that.
struct Targets {
  std::size_t models, columns;
  std::vector<double> b;
  std::vector<char> mask;

  Targets(std::size_t n, std::size_t models_, std::size_t sets) : models(models_), columns(padded(sets * (models_ + 1))), b(n * columns), mask(n * columns) {}

  void put(std::size_t set, std::size_t text, std::span<const double> quality, const std::vector<double>& mean) noexcept {
    const std::size_t at = text * columns + set * (models + 1);
    double sum = 0.0, labels = 0.0;
    for (std::size_t m = 0; m < models; ++m)
      if (!std::isnan(quality[m])) sum += quality[m] - mean[m], labels += 1.0;
    if (labels == 0.0) return;
    mask[at] = 1;
    b[at] = sum / labels;
    for (std::size_t m = 0; labels > 1.0 && m < models; ++m)
      if (!std::isnan(quality[m])) mask[at + 1 + m] = 1, b[at + 1 + m] = quality[m] - mean[m] - b[at];
  }
};

// The penalty with the least held-out error so far, and what it said there.
struct BestPenalty {
  double penalty = 0.0, least = std::numeric_limits<double>::infinity();
  int worse = 0;
  std::vector<double> said{};

  void offer(double next, double error, const std::vector<double>& predictions) {
    if (error < least) {
      least = error, penalty = next, worse = 0;
      said = predictions;
    } else {
      ++worse;
    }
  }
};

}  // namespace

LinearPromptFit fit_linear_prompt_model(std::span<const std::string_view> texts, std::span<const double> quality, std::size_t models,
                                        std::size_t bits, std::span<const double> penalties, std::size_t folds) {
  const PromptRows rows = prompt_rows(texts, bits);
  const std::size_t n = texts.size();
  const auto of = [&](std::size_t text) { return quality.subspan(text * models, models); };
  LinearPromptFit out;
  out.idf = inverse_frequencies(rows, bits);
  const std::vector<double> mean = means(quality, models, {}, [](std::size_t) { return true; });
  Ridge ridge(rows, out.idf);
  out.explained.resize(models);
  BestPenalty level{penalties[0]}, difference{penalties[0]};

  folds = std::min(folds, n);
  if (folds > 1) {  // set f: all texts but those of fold f
    const std::vector<std::size_t> fold = deal(n, folds);
    const std::size_t sets = std::clamp<std::size_t>(most_held_out / n, 1, folds);  // of many texts, not all are held out
    Targets targets(n, models, sets);
    std::vector<std::vector<double>> mean_without;
    for (std::size_t f = 0; f < sets; ++f) {
      mean_without.push_back(means(quality, models, mean, [&](std::size_t i) { return fold[i] != f; }));
      for (std::size_t i = 0; i < n; ++i)
        if (fold[i] != f) targets.put(f, i, of(i), mean_without[f]);
    }
    const std::size_t columns = targets.columns;
    std::vector<double> c(n * columns), said(n * columns), levels(n), differences(n * models);
    for (const double penalty : penalties) {  // from the largest, each from the solution of the last
      ridge.solve(targets.b, targets.mask, penalty, 1e-3, columns, c);
      ridge.apply(c, 0.0, columns, said);
      double level_error = 0.0, difference_error = 0.0;
      Targets truth(1, models, 1);
      for (std::size_t i = 0; i < n; ++i) {
        if (fold[i] >= sets) continue;
        const double* const from = said.data() + i * columns + fold[i] * (models + 1);
        truth.mask.assign(truth.mask.size(), 0);
        truth.put(0, 0, of(i), mean_without[fold[i]]);
        levels[i] = from[0];
        if (truth.mask[0] != 0) level_error += (truth.b[0] - from[0]) * (truth.b[0] - from[0]);
        for (std::size_t m = 0; m < models; ++m) {
          differences[i * models + m] = from[m + 1];
          if (truth.mask[m + 1] != 0) difference_error += (truth.b[m + 1] - from[m + 1]) * (truth.b[m + 1] - from[m + 1]);
        }
      }
      level.offer(penalty, level_error, levels);
      difference.offer(penalty, difference_error, differences);
      if (std::min(level.worse, difference.worse) >= 2) break;
    }
    HeldOut held(models);
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t m = 0; fold[i] < sets && m < models; ++m) {
        const double q = of(i)[m], around = mean_without[fold[i]][m];
        if (!std::isnan(q)) held.add(m, q, around + level.said[i] + difference.said[i * models + m], around);
      }
    out.explained = held.explained();
  }

  Targets targets(n, models, 1);
  for (std::size_t i = 0; i < n; ++i) targets.put(0, i, of(i), mean);
  std::vector<double> c(targets.b.size()), d(targets.b.size());
  ridge.solve(targets.b, targets.mask, difference.penalty, 1e-7, targets.columns, c);
  ridge.solve(targets.b, targets.mask, level.penalty, 1e-7, targets.columns, d);
  std::vector<double> weights(out.idf.size() * models);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = rows.starts[i]; j < rows.starts[i + 1]; ++j) {
      const double value = static_cast<double>(out.idf[rows.rows[j]]) * ridge.norm(i);
      for (std::size_t m = 0; m < models; ++m)
        weights[rows.rows[j] * models + m] += value * (d[i * targets.columns] + c[i * targets.columns + m + 1]);
    }
  out.weights = narrow(weights);
  out.mean = narrow(mean);
  out.level_penalty = level.penalty;
  out.difference_penalty = difference.penalty;
  return out;
}

NearestPromptFit fit_nearest_prompt_model(std::span<const std::string_view> texts, std::span<const double> quality, std::size_t models,
                                          std::size_t bits, std::span<const std::size_t> neighbours, std::span<const double> shrinks) {
  constexpr std::size_t most_asked = 2000;  // texts left out in turn
  NearestPromptFit out;
  out.texts = prompt_rows(texts, bits);
  out.idf = inverse_frequencies(out.texts, bits);
  out.quality.resize(quality.size());
  std::transform(quality.begin(), quality.end(), out.quality.begin(), [](double q) { return static_cast<float>(q); });
  const std::vector<double> mean = means(quality, models, {}, [](std::size_t) { return true; });
  out.mean = narrow(mean);
  out.explained.resize(models);

  const std::size_t n = texts.size(), most = *std::max_element(neighbours.begin(), neighbours.end());
  NearestPromptModel model;
  if (model.assign(std::vector<std::string>(models), out.idf, out.texts.starts, out.texts.rows, out.quality, out.mean, out.explained, most, 0.0) != Status::ok)
    throw std::bad_alloc();  // none of it can be wrong
  PromptScratch scratch;
  scratch.resize(n);
  std::vector<double> labels(models);
  for (std::size_t i = 0; i < quality.size(); ++i) labels[i % models] += std::isnan(quality[i]) ? 0.0 : 1.0;

  std::vector<HeldOut> held(neighbours.size() * shrinks.size(), HeldOut(models));
  std::vector<NearestPromptModel::Neighbour> best(most);
  const std::size_t asked = std::min(n, most_asked);
  for (std::size_t a = 0; n > 1 && a < asked; ++a) {
    const std::size_t i = a * n / asked;
    const std::size_t found = model.nearest(texts[i], best, scratch, static_cast<std::int64_t>(i));
    for (std::size_t m = 0; m < models; ++m) {
      const double q = quality[i * models + m];
      if (std::isnan(q) || labels[m] < 2.0) continue;
      const double around = (mean[m] * labels[m] - q) / (labels[m] - 1.0);
      for (std::size_t k = 0; k < neighbours.size(); ++k) {
        double sum = 0.0, total = 0.0;
        for (std::size_t j = 0; j < std::min(found, neighbours[k]); ++j) {
          const double y = quality[best[j].text * models + m], s = static_cast<double>(best[j].similarity);
          if (!std::isnan(y)) sum += s * y, total += s;
        }
        for (std::size_t s = 0; s < shrinks.size(); ++s) {
          const double rest = shrinks[s];
          held[k * shrinks.size() + s].add(m, q, total + rest > 0.0 ? (sum + rest * around) / (total + rest) : around, around);
        }
      }
    }
  }
  const auto least = std::min_element(held.begin(), held.end(), [](const HeldOut& a, const HeldOut& b) { return a.loss() < b.loss(); });
  const auto which = static_cast<std::size_t>(least - held.begin());
  out.neighbours = neighbours[which / shrinks.size()];
  out.shrink = shrinks[which % shrinks.size()];
  out.explained = least->explained();
  return out;
}

}  // namespace fairlead
