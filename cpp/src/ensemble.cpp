#include "fairlead/ensemble.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fairlead/hedge.hpp"
#include "fairlead/pooling.hpp"

namespace fairlead {

namespace {

void equal(std::span<double> weights) noexcept {
  std::fill(weights.begin(), weights.end(), 1.0 / static_cast<double>(weights.size()));
}

void normalise(std::span<double> weights) noexcept {
  double sum = 0.0;
  for (const double w : weights) sum += w;
  if (!(sum > 0.0)) return equal(weights);
  for (double& w : weights) w /= sum;
}

// All the weight on the largest values, shared where several are largest.
template <class Value>
void only_largest(std::span<double> weights, Value&& value) noexcept {
  double top = value(0);
  for (std::size_t i = 1; i < weights.size(); ++i) top = std::max(top, value(i));
  for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = value(i) >= top ? 1.0 : 0.0;
  normalise(weights);
}

double median_of(const Answers& a, double* scratch) noexcept {
  std::copy_n(a.p, a.m, scratch);
  return pooling::median(scratch, a.m);
}

bool agree(const Answers& a, std::span<double> weights, double* scratch) noexcept {
  if (a.kind == Kind::numeric) {
    const double middle = median_of(a, scratch);
    for (std::size_t i = 0; i < a.m; ++i) weights[i] = std::abs(a.p[i] - middle) <= a.tolerance ? 1.0 : 0.0;
  } else {
    // The class that most name; of those that tie, the one with the largest mean probability, then the first.
    std::size_t best = 0;
    double most = -1.0;
    std::uint64_t seen = 0;  // of the first 64 classes
    for (std::size_t i = 0; i < a.m; ++i) {
      const std::uint32_t top = a.merit[i].top;
      if (top < 64) {
        if (seen >> top & 1u) continue;
        seen |= std::uint64_t{1} << top;
      }
      double named = 0.0;
      double mean = 0.0;
      for (std::size_t j = 0; j < a.m; ++j) {
        named += a.merit[j].top == top ? 1.0 : 0.0;
        mean += a.p[j * a.classes + top];
      }
      const double value = named + 0.5 * mean / static_cast<double>(a.m);
      if (value > most || (value == most && top < best)) {
        most = value;
        best = top;
      }
    }
    for (std::size_t i = 0; i < a.m; ++i) weights[i] = a.merit[i].top == best ? 1.0 : 0.0;
  }
  double agreeing = 0.0;
  for (const double w : weights) agreeing += w;
  if (agreeing >= consensus_agreement * static_cast<double>(a.m)) {
    normalise(weights);
    return true;
  }
  equal(weights);
  return false;
}

// The mean of what is left of sorted values when as many are cut at each end as fit wholly into the share.
double trimmed_mean(const double* sorted, std::size_t m) noexcept {
  const auto cut = static_cast<std::size_t>(trim * static_cast<double>(m));
  double sum = 0.0;
  for (std::size_t i = cut; i < m - cut; ++i) sum += sorted[i];
  return sum / static_cast<double>(m - 2 * cut);
}

void trimmed(const Answers& a, double* out, double* scratch) noexcept {
  const auto column = [&](std::size_t k) {
    for (std::size_t i = 0; i < a.m; ++i) scratch[i] = a.p[i * a.classes + k];
    std::sort(scratch, scratch + a.m);
    return trimmed_mean(scratch, a.m);
  };
  if (a.classes == 2) {  // the second is what is left of the first
    out[1] = column(1);
    out[0] = 1.0 - out[1];
    return;
  }
  for (std::size_t k = 0; k < a.classes; ++k) out[k] = column(k);
  if (a.classes > 1) pooling::normalise(out, a.classes);
}

void log_pool(const Answers& a, std::span<const double> weights, double* out) noexcept {
  std::fill(out, out + a.classes, 0.0);
  for (std::size_t i = 0; i < a.m; ++i) {
    for (std::size_t k = 0; k < a.classes; ++k) out[k] += weights[i] * a.log_p[i * a.classes + k];
  }
  const double top = *std::max_element(out, out + a.classes);
  for (std::size_t k = 0; k < a.classes; ++k) out[k] = std::exp(out[k] - top);
  pooling::normalise(out, a.classes);
}

}  // namespace

bool weigh(Strategy strategy, const Answers& a, std::span<double> weights, double* scratch) noexcept {
  switch (strategy) {
    case Strategy::hedge:
      for (std::size_t i = 0; i < a.m; ++i) weights[i] = a.merit[i].advantage;
      softmax(weights);
      return true;
    case Strategy::stacked: {
      const std::span<double> other(scratch, a.m);
      weigh(Strategy::hedge, a, weights, scratch);
      weigh(Strategy::weighted, a, other, scratch);
      for (std::size_t i = 0; i < a.m; ++i) weights[i] = std::midpoint(weights[i], other[i]);
      return true;
    }
    case Strategy::weighted:
      for (std::size_t i = 0; i < a.m; ++i) weights[i] = a.merit[i].worth;
      softmax(weights);
      return true;
    case Strategy::confidence:
      if (a.kind == Kind::numeric) {
        const bool stated = std::any_of(a.merit, a.merit + a.m, [](const Merit& s) { return s.confidence >= 0.0; });
        only_largest(weights, [&](std::size_t i) {
          if (!stated) return a.merit[i].advantage;
          return a.merit[i].confidence >= 0.0 ? a.merit[i].confidence : -1.0;
        });
      } else {
        only_largest(weights, [&](std::size_t i) { return a.merit[i].confidence; });
      }
      return true;
    case Strategy::consensus: return agree(a, weights, scratch);
    case Strategy::vote:
      if (a.kind != Kind::numeric) {
        // How far above chance; a hundredth for a model that is not, so that somebody always votes.
        const double chance = 1.0 / static_cast<double>(a.classes);
        for (std::size_t i = 0; i < a.m; ++i) {
          weights[i] = std::max((a.merit[i].confidence - chance) / (1.0 - chance), 0.01);
        }
        normalise(weights);
        return true;
      }
      break;
    case Strategy::mean:
    case Strategy::median:
    case Strategy::log:
    case Strategy::trimmed:
    case Strategy::automatic:
    case Strategy::given: break;
  }
  equal(weights);
  return true;
}

void recalibrate(const Answers& a, const double* pooled, double* out, double* scratch) noexcept {
  if (a.kind == Kind::numeric || (a.factor == 1.0 && a.shift == 0.0)) {
    std::copy_n(pooled, a.classes, scratch);
    std::copy_n(scratch, a.classes, out);
    return;
  }
  for (std::size_t k = 0; k < a.classes; ++k) scratch[k] = a.factor * std::log(std::max(pooled[k], pooling::log_floor));
  if (a.kind == Kind::binary) scratch[1] += a.shift;
  softmax({scratch, a.classes});
  std::copy_n(scratch, a.classes, out);
}

void pool(Strategy strategy, const Answers& a, std::span<const double> weights, double* out, double* scratch) noexcept {
  const bool numeric = a.kind == Kind::numeric;
  switch (strategy) {
    case Strategy::median:
      if (a.classes == 2) {
        for (std::size_t i = 0; i < a.m; ++i) scratch[i] = a.p[2 * i + 1];
        out[1] = pooling::median(scratch, a.m);
        out[0] = 1.0 - out[1];
        return;
      }
      return pooling::median(a.p, a.m, a.classes, out, scratch);
    case Strategy::trimmed: return trimmed(a, out, scratch);
    case Strategy::log:
      if (!numeric) return log_pool(a, weights, out);
      break;
    case Strategy::stacked:
      pooling::linear(a.p, weights.data(), a.m, a.classes, out);
      return recalibrate(a, out, out, scratch);
    case Strategy::vote:
      if (numeric) {
        out[0] = median_of(a, scratch);
        return;
      }
      // A vote is as sure as its model's record bears out; what is left goes to the other classes alike.
      std::fill(out, out + a.classes, 0.0);
      for (std::size_t i = 0; i < a.m; ++i) {
        const double sure = a.merit[i].confidence;
        const double rest = (1.0 - sure) / static_cast<double>(a.classes - 1);
        for (std::size_t k = 0; k < a.classes; ++k) out[k] += weights[i] * (k == a.merit[i].top ? sure : rest);
      }
      return;
    case Strategy::mean:
    case Strategy::weighted:
    case Strategy::hedge:
    case Strategy::confidence:
    case Strategy::consensus:
    case Strategy::automatic:
    case Strategy::given: break;
  }
  pooling::linear(a.p, weights.data(), a.m, a.classes, out);
}

void answer_all(const Answers& a, double* out, std::span<double> weights, double* other, double* scratch) noexcept {
  const std::size_t m = a.m, classes = a.classes;
  const auto answer = [&](Strategy s) { return out + static_cast<std::size_t>(s) * classes; };
  const auto linear = [&](Strategy s) { pooling::linear(a.p, weights.data(), m, classes, answer(s)); };
  equal(weights);
  linear(Strategy::mean);
  log_pool(a, weights, answer(Strategy::log));
  // Median and trimmed of the same sorted answers.
  double *const median = answer(Strategy::median), *const left = answer(Strategy::trimmed);
  for (std::size_t k = classes == 2 ? 1 : 0; k < classes; ++k) {
    for (std::size_t i = 0; i < m; ++i) scratch[i] = a.p[i * classes + k];
    std::sort(scratch, scratch + m);
    median[k] = m % 2 == 1 ? scratch[m / 2] : std::midpoint(scratch[m / 2 - 1], scratch[m / 2]);
    left[k] = trimmed_mean(scratch, m);
  }
  if (classes == 2) {
    median[0] = 1.0 - median[1];
    left[0] = 1.0 - left[1];
  } else {
    pooling::normalise(median, classes);
    pooling::normalise(left, classes);
  }
  for (const Strategy each : {Strategy::confidence, Strategy::consensus}) {
    weigh(each, a, weights, scratch);
    linear(each);
  }
  weigh(Strategy::vote, a, weights, scratch);
  pool(Strategy::vote, a, weights, answer(Strategy::vote), scratch);
  // Stacked of the weights of the other two.
  weigh(Strategy::weighted, a, weights, scratch);
  linear(Strategy::weighted);
  std::copy_n(weights.data(), m, other);
  weigh(Strategy::hedge, a, weights, scratch);
  linear(Strategy::hedge);
  for (std::size_t i = 0; i < m; ++i) weights[i] = std::midpoint(weights[i], other[i]);
  linear(Strategy::stacked);
  recalibrate(a, answer(Strategy::stacked), answer(Strategy::stacked), scratch);
}

}  // namespace fairlead
