#include "fairlead/pooling.hpp"

#include <limits>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/elementary.hpp"
#include "kernels/pooling.hpp"

namespace fairlead::pooling {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

bool of_probabilities(Method method) {
  return method == Method::log || method == Method::vote || method == Method::extremized || method == Method::log_odds;
}

// Where NaN occurs: a row must be NaN in all classes or in none.
bool rows_are_whole(std::span<const double> p, std::size_t c) {
  for (std::size_t at = 0; c > 1 && at < p.size(); at += c) {
    for (std::size_t k = 1; k < c; ++k) {
      if (std::isnan(p[at + k]) != std::isnan(p[at])) return false;
    }
  }
  return true;
}

bool has_infinity(std::span<const double> p) {
  return std::any_of(p.begin(), p.end(), [](double x) { return std::isinf(x); });
}

bool are_few_probabilities(std::span<const double> p) {
  if (p.size() > 64) return false;
  bool all = true;
  for (const double x : p) all &= (x >= 0.0) & (x <= 1.0);
  return all;
}

// Adds a model's vote of this weight: to its most probable class, shared out where several are.
void cast_vote(const double* p, std::size_t c, double weight, double* out) {
  const double top = *std::max_element(p, p + c);
  const auto first = static_cast<double>(std::count(p, p + c, top));
  for (std::size_t k = 0; k < c; ++k) {
    if (p[k] == top) out[k] += weight / first;
  }
}

// An event's vote, as that for two classes.
double side(double p) { return p > 0.5 ? 1.0 : p < 0.5 ? 0.0 : 0.5; }

// Of two classes or more.
void vote(const kernels::PoolTasks& a, double* out) {
  for (std::size_t t = 0; t < a.n; ++t, out += a.c) {
    std::fill(out, out + a.c, 0.0);
    double total = 0.0;
    for (std::size_t i = 0; i < a.m; ++i) {
      const double* const p = a.p + (t * a.m + i) * a.c;
      if (std::isnan(*p)) continue;
      const double w = a.weight == nullptr ? 1.0 : a.weight[t * a.weight_row + i];
      total += w;
      cast_vote(p, a.c, w, out);
    }
    for (std::size_t k = 0; k < a.c; ++k) out[k] = total > 0.0 ? out[k] / total : nan;
  }
}

// `worth`: the log-odds for the class voted for, by model.
void log_odds(const kernels::PoolTasks& a, std::span<const double> worth, double* out) {
  for (std::size_t t = 0; t < a.n; ++t, out += a.c) {
    std::fill(out, out + a.c, 0.0);
    std::size_t present = 0;
    for (std::size_t i = 0; i < a.m; ++i) {
      const double* const p = a.p + (t * a.m + i) * a.c;
      if (std::isnan(*p)) continue;
      ++present;
      if (a.c == 1) *out += worth[i] * (2.0 * side(*p) - 1.0);
      else cast_vote(p, a.c, worth[i], out);
    }
    if (present == 0) {
      std::fill(out, out + a.c, nan);
    } else if (a.c == 1) {
      *out = kernels::logistic_of(*out);
    } else {
      const double top = *std::max_element(out, out + a.c);
      for (std::size_t k = 0; k < a.c; ++k) out[k] = kernels::exp_bounded(out[k] - top);
      normalise(out, a.c);
    }
  }
}

// Weights of tasks whose largest is so large or so small that sums of them would overflow or be denormal, brought near
// 1 by a power of two, which is exact; nothing if there are none.
std::vector<double> tamed(std::span<const double> weights, std::size_t m) {
  constexpr double low = 0x1p-300, high = 0x1p300;
  std::vector<double> out;
  for (std::size_t at = 0; at < weights.size(); at += m) {
    const auto row = weights.subspan(at, m);
    const double most = *std::max_element(row.begin(), row.end());
    if (most == 0.0 || (most >= low && most <= high)) continue;
    if (out.empty()) out.assign(weights.begin(), weights.end());
    const int shift = -std::ilogb(most);
    for (std::size_t i = at; i < at + m; ++i) out[i] = std::scalbn(out[i], shift);
  }
  return out;
}

// Trimmed means and medians of more models than the kernels sort.
void sorted_many(const kernels::PoolTasks& a, double* out) {
  std::vector<double> column(a.m);
  for (std::size_t t = 0; t < a.n; ++t, out += a.c) {
    for (std::size_t k = 0; k < a.c; ++k) {
      std::size_t count = 0;
      for (std::size_t i = 0; i < a.m; ++i) {
        const double x = a.p[(t * a.m + i) * a.c + k];
        if (!std::isnan(x)) column[count++] = x;
      }
      if (count == 0) {
        out[k] = nan;
        continue;
      }
      const std::size_t first =
          a.trim < 0.0 ? (count - 1) / 2 : static_cast<std::size_t>(a.trim * static_cast<double>(count));
      std::sort(column.begin(), column.begin() + static_cast<std::ptrdiff_t>(count));
      double sum = 0.0;
      for (std::size_t i = first; i < count - first; ++i) sum += column[i];
      out[k] = sum / static_cast<double>(count - 2 * first);
    }
    if (a.c > 1 && !std::isnan(out[0])) normalise(out, a.c);
  }
}

void abstain(double* out, std::size_t n, std::size_t c, double below) {
  for (std::size_t t = 0; t < n; ++t, out += c) {
    const double top = c == 1 ? std::max(*out, 1.0 - *out) : *std::max_element(out, out + c);
    if (top < below) std::fill(out, out + c, nan);
  }
}

}  // namespace

Fault pool(std::span<const double> p, std::size_t n, std::size_t m, std::size_t c, const Options& options,
           double* out) {
  const auto& kernels = kernels::select(kernels::pool_scalar, kernels::pool_avx2, kernels::pool_avx512);
  const Method method = options.method;
  const auto survey =
      are_few_probabilities(p) ? kernels::PoolSurvey{0.0, 1.0, false} : kernels.survey(p.data(), p.size());
  if ((options.probabilities || of_probabilities(method)) && (survey.least < 0.0 || survey.most > 1.0)) return Fault::p;
  if (survey.odd && has_infinity(p)) return Fault::p;
  if (survey.odd && !rows_are_whole(p, c)) return Fault::p_partly_absent;
  std::vector<double> tame;
  if (!options.weights.empty()) {
    const auto seen = kernels.survey(options.weights.data(), options.weights.size());
    if (seen.odd || seen.least < 0.0) return Fault::weights;
    if (options.weights.size() == m && !(seen.most > 0.0)) return Fault::weights_sum;
    // Where a weight is 0 or minute, its row must be looked at.
    if (seen.most > 0x1p300 || (seen.least < 0x1p-300 && seen.most > 0.0)) tame = tamed(options.weights, m);
  }
  for (const double accuracy : options.accuracy) {
    if (!(accuracy >= 0.0 && accuracy <= 1.0)) return Fault::accuracy;
  }

  std::vector<double> numbers;  // by model, or by number of models
  kernels::PoolTasks tasks{.p = p.data(),
                           .weight = options.weights.empty() ? nullptr
                                     : tame.empty()          ? options.weights.data()
                                                             : tame.data(),
                           .weight_row = options.weights.size() > m ? m : 0,
                           .n = n,
                           .m = m,
                           .c = c,
                           .clip = options.clip,
                           .factors = nullptr,
                           .trim = method == Method::median ? -1.0 : options.trim,
                           .whole = !survey.odd};
  switch (method) {
    case Method::linear: kernels.linear(tasks, out); break;
    case Method::extremized:
      numbers.assign(m + 1, options.factor);
      for (std::size_t i = tasks.whole ? m : 0; options.factor == 0.0 && i <= m; ++i) {
        numbers[i] = neyman_roughgarden(static_cast<double>(i));
      }
      tasks.factors = numbers.data();
      kernels.log(tasks, out);
      break;
    case Method::log: kernels.log(tasks, out); break;
    case Method::trimmed:
    case Method::median:
      if (m <= kernels::pool_sort_max) kernels.sorted(tasks, out);
      else sorted_many(tasks, out);
      break;
    case Method::vote:
      if (c == 1) kernels.vote(tasks, out);
      else vote(tasks, out);
      break;
    case Method::log_odds: {
      const double others = c > 2 ? static_cast<double>(c - 1) : 1.0;
      for (const double accuracy : options.accuracy) {
        const double right = std::clamp(accuracy, options.clip, 1.0 - options.clip);
        numbers.push_back(kernels::log_ratio(right * others, 1.0 - right));
      }
      log_odds(tasks, numbers, out);
      break;
    }
  }
  if (options.abstain_below > 0.0) abstain(out, n, c, options.abstain_below);
  return Fault::none;
}

}  // namespace fairlead::pooling
