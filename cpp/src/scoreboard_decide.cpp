// Deciding: the merits of the models, the pool, and what is told of it.
#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "fairlead/pooling.hpp"
#include "fairlead/scoreboard.hpp"

namespace fairlead {

namespace {

constexpr double calm_disagreement = 0.1;  // below it, a decision does not mention disagreement
constexpr double z_90 = 1.6448536269514722;

double squared(double x) noexcept { return x * x; }

}  // namespace

// What a model's record comes to, in the slices of a task. Each narrow slice is believed by its evidence, the rest is
// what the model does overall; then their mean.
void Scoreboard::stand(const OpenTask& task, ModelId model, Merit& out) const noexcept {
  const std::size_t f = family(task.kind);
  const Slice& broad = slices_[overall];
  const std::size_t narrow = task.n_slices - 1u;
  out.at = settled_;
  out.advantage = broad.hedge[f].advantage(model);
  out.worth = broad.weighted[f].advantage(model);
  if (narrow == 0) return;
  const double share = 1.0 / static_cast<double>(narrow);
  double advantage = 0.0, worth = 0.0;
  for (std::size_t s = 1; s <= narrow; ++s) {
    const Slice& slice = at(task.slices[s]);
    const double believe = slice.hedge[f].evidence(model);
    advantage += share * (believe * slice.hedge[f].advantage(model) + (1.0 - believe) * out.advantage);
    worth += share * (believe * slice.weighted[f].advantage(model) + (1.0 - believe) * out.worth);
  }
  out.advantage = advantage;
  out.worth = worth;
}

// The shares of the strategies in `auto`: panel.hpp.
Scoreboard::Mixture Scoreboard::mix(const OpenTask& task) const noexcept {
  const std::size_t f = family(task.kind);
  const Gains& broad = slices_[overall].panel.gains[f];
  const std::size_t narrow = task.n_slices - 1u;
  const double part = narrow ? 1.0 / static_cast<double>(narrow) : 0.0;
  const auto advantage_of = [&](Strategy strategy) {
    const auto s = static_cast<std::size_t>(strategy);
    if (narrow == 0) return broad.advantage(s);
    double advantage = 0.0;
    for (std::size_t i = 1; i <= narrow; ++i) {
      const Gains& gains = at(task.slices[i]).panel.gains[f];
      const double believe = gains.evidence();
      advantage += part * (believe * gains.advantage(s) + (1.0 - believe) * broad.advantage(s));
    }
    return advantage;
  };
  Mixture out;
  out.at = settled_;
  double top = 0.0;
  for (const Strategy strategy : Panel::core) {
    top = std::max(top, out.share[static_cast<std::size_t>(strategy)] = advantage_of(strategy));
  }
  for (const Strategy strategy : Panel::outsiders) {
    top = std::max(top, out.share[static_cast<std::size_t>(strategy)] = advantage_of(strategy));
  }
  double sum = 0.0;
  for (const Strategy strategy : Panel::core) {
    double& share = out.share[static_cast<std::size_t>(strategy)];
    sum += share = std::exp(share - top);
  }
  for (const Strategy strategy : Panel::outsiders) {
    double& share = out.share[static_cast<std::size_t>(strategy)];
    sum += share = share > 0.0 ? 0.1 * (std::exp(share - top) - std::exp(-top)) : 0.0;
  }
  for (double& share : out.share) share /= sum;
  if (task.kind == Kind::numeric) {
    out.tolerance = std::sqrt(slices_[overall].square_scale);
  } else {
    const Recalibration& learned = recalibration_[static_cast<std::size_t>(task.kind)];
    out.factor = learned.factor();
    out.shift = task.kind == Kind::binary ? learned.shift() : 0.0;
  }
  return out;
}

// The answers that count, as they lie or from the scratch: those of models that have left are skipped, and merits that
// are older than the last outcome are looked up again. Their models are in who_.
std::size_t Scoreboard::gather(const OpenTask& task, Answers& out) noexcept {
  const std::size_t n = task.models.size();
  const std::size_t classes = task.classes;
  std::size_t m = 0;
  bool fresh = true;
  for (std::size_t i = 0; i < n; ++i) {
    if (!active(task.models[i])) continue;
    who_[m++] = task.models[i];
    fresh &= task.merit[i].at == settled_;
  }
  out = {.kind = task.kind,
         .m = m,
         .classes = classes,
         .p = task.p.data(),
         .log_p = task.log_p.data(),
         .merit = task.merit.data()};
  if (m < n) {
    double* row = rows_.data();
    double* log_row = log_rows_.data();
    for (std::size_t i = 0; i < n; ++i) {
      if (!active(task.models[i])) continue;
      row = std::copy_n(task.p.data() + i * classes, classes, row);
      log_row = std::copy_n(task.log_p.data() + i * classes, classes, log_row);
    }
    out.p = rows_.data();
    out.log_p = log_rows_.data();
  }
  if (m < n || !fresh) {
    std::size_t j = 0;
    for (std::size_t i = 0; i < n; ++i) {
      if (!active(task.models[i])) continue;
      merit_[j] = task.merit[i];
      if (merit_[j].at != settled_) stand(task, task.models[i], merit_[j]);
      ++j;
    }
    out.merit = merit_.data();
  }
  return m;
}

// Weights and the pooled answer. False where a consensus was wanted and there is none.
bool Scoreboard::combine(Strategy strategy, const Answers& a, const Mixture& mixture, std::span<double> weights,
                         double* out) noexcept {
  if (strategy != Strategy::automatic) {
    const bool agreed = fairlead::weigh(strategy, a, weights, column_.data());
    fairlead::pool(strategy, a, weights, out, column_.data());
    return agreed;
  }
  // The core at once, as stacked is made of the other two.
  const std::size_t classes = a.classes;
  const auto share = [&](Strategy s) { return mixture.share[static_cast<std::size_t>(s)]; };
  const std::span<double> first(loss_.data(), a.m), second(excess_.data(), a.m);
  double *const p = pooled_.data(), *const q = p + classes, *const core = q + classes, *const other = core + classes;
  fairlead::weigh(Strategy::hedge, a, first, column_.data());
  fairlead::weigh(Strategy::weighted, a, second, column_.data());
  pooling::linear(a.p, first.data(), a.m, classes, p);
  pooling::linear(a.p, second.data(), a.m, classes, q);
  for (std::size_t k = 0; k < classes; ++k) core[k] = std::midpoint(p[k], q[k]);
  recalibrate(a, core, other, column_.data());
  // As departures from the core, so that what all agree on is told to the last bit.
  for (std::size_t i = 0; i < a.m; ++i) {
    const double middle = std::midpoint(first[i], second[i]);
    weights[i] = middle + share(Strategy::hedge) * (first[i] - middle) + share(Strategy::weighted) * (second[i] - middle);
  }
  for (std::size_t k = 0; k < classes; ++k) {
    out[k] = core[k] + share(Strategy::hedge) * (p[k] - core[k]) + share(Strategy::weighted) * (q[k] - core[k]) +
             share(Strategy::stacked) * (other[k] - core[k]);
  }
  for (const Strategy each : Panel::outsiders) {
    if (share(each) <= 0.0) continue;
    const std::span<double> part(points_.data(), a.m);
    fairlead::weigh(each, a, part, column_.data());
    fairlead::pool(each, a, part, other, column_.data());
    for (std::size_t i = 0; i < a.m; ++i) weights[i] += share(each) * (part[i] - std::midpoint(first[i], second[i]));
    for (std::size_t k = 0; k < classes; ++k) out[k] += share(each) * (other[k] - core[k]);
  }
  for (double& weight : weights) weight = std::max(weight, 0.0);  // rounding may leave a hair less
  if (a.kind != Kind::numeric) {
    for (std::size_t k = 0; k < classes; ++k) out[k] = std::clamp(out[k], 0.0, 1.0);
  }
  return true;
}

Status Scoreboard::decide(TaskHandle handle, Strategy strategy, Decision& out, Time now) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  if (static_cast<std::size_t>(strategy) >= n_strategies) return Status::out_of_range;
  Answers answers;
  const std::size_t m = gather(*task, answers);
  if (m == 0) return Status::no_forecast;
  try {
    out.weights.resize(m);
    out.p.resize(task->classes);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  const Mixture mixture = task->mixture.at == settled_ ? task->mixture : mix(*task);
  answers.factor = mixture.factor;
  answers.shift = mixture.shift;
  answers.tolerance = mixture.tolerance;
  const std::span<double> weights(weight_.data(), m);
  const bool agreed = combine(strategy, answers, mixture, weights, out.p.data());
  for (std::size_t i = 0; i < m; ++i) out.weights[i] = {who_[i], weights[i]};
  out.task = handle;
  out.time = now;
  out.strategy = out.chosen = strategy;
  if (strategy == Strategy::automatic) {
    out.chosen = static_cast<Strategy>(std::ranges::max_element(mixture.share) - mixture.share.begin());
  }
  out.cost_usd = task->cost_usd;
  describe(*task, answers, out);
  explain(*task, answers, out);
  if (!agreed) {
    out.position_scale = 0.0;
    out.reasons |= Reason::no_consensus;
  }
  finish(*task, out);
  return Status::ok;
}

Status Scoreboard::decide_by(TaskHandle handle, std::span<const ModelWeight> given, Decision& out, Time now) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  Answers answers;
  const std::size_t m = gather(*task, answers);
  if (m == 0) return Status::no_forecast;
  const std::span<double> weights(weight_.data(), m);
  double sum = 0.0;
  for (std::size_t i = 0; i < m; ++i) {
    weights[i] = 0.0;
    for (const auto& [model, weight] : given) {
      if (!(weight >= 0.0) || std::isinf(weight)) return Status::out_of_range;
      if (model == who_[i]) weights[i] = weight;
    }
    sum += weights[i];
  }
  if (!(sum > 0.0) || std::isinf(sum)) return Status::out_of_range;
  try {
    out.weights.resize(m);
    out.p.resize(task->classes);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  for (std::size_t i = 0; i < m; ++i) out.weights[i] = {who_[i], weights[i] /= sum};
  pooling::linear(answers.p, weights.data(), m, answers.classes, out.p.data());
  out.task = handle;
  out.time = now;
  out.strategy = out.chosen = Strategy::given;
  out.cost_usd = task->cost_usd;
  describe(*task, answers, out);
  explain(*task, answers, out);
  finish(*task, out);
  return Status::ok;
}

// Why it looks as it does.
void Scoreboard::explain(const OpenTask& task, const Answers& a, Decision& out) const noexcept {
  out.reasons = 0;
  if (a.m == 1) out.reasons |= Reason::single_model;
  if (a.m > 1) {
    const double first = out.weights[0].weight;
    const bool told_apart = std::ranges::any_of(out.weights, [first](const ModelWeight& w) { return w.weight != first; });
    switch (out.strategy) {
      case Strategy::mean:
      case Strategy::median:
      case Strategy::trimmed:
      case Strategy::log: out.reasons |= Reason::equal_weights; break;
      case Strategy::confidence:
      case Strategy::vote: out.reasons |= told_apart ? Reason::by_confidence : Reason::equal_weights; break;
      case Strategy::consensus: out.reasons |= told_apart ? Reason::by_agreement : Reason::equal_weights; break;
      case Strategy::given: out.reasons |= Reason::weights_given; break;
      case Strategy::automatic:
        if (settled_ > 0 && told_apart) out.reasons |= Reason::mixed_by_record;
        [[fallthrough]];
      case Strategy::weighted:
      case Strategy::hedge:
      case Strategy::stacked: out.reasons |= told_apart ? Reason::learned_weights : Reason::no_history; break;
    }
  }
  if (out.disagreement > calm_disagreement) out.reasons |= Reason::models_disagree;
  if (task.failed > 0) out.reasons |= Reason::models_failed;
  if (a.m < task.models.size()) out.reasons |= Reason::models_removed;
}

// The answer in the form of its kind.
void Scoreboard::finish(const OpenTask& task, Decision& out) noexcept {
  out.value = nan;
  if (task.kind == Kind::numeric) {
    out.value = out.p[0];
    out.p.clear();
  } else if (task.kind == Kind::binary) {
    out.p[0] = out.p[1];
    out.p.resize(1);
  }
}

// What is told of a pooled answer that stands in out.p, one value per class.
void Scoreboard::describe(const OpenTask& task, const Answers& a, Decision& out) noexcept {
  // Around the weighted mean of the answers; of numbers around the answer. Of linear pools they are the same.
  const std::size_t classes = a.classes;
  double* const middle = pooled_.data() + classes;
  if (a.kind == Kind::numeric) {
    middle[0] = out.p[0];
  } else {
    std::fill_n(middle, classes, 0.0);
    for (std::size_t i = 0; i < a.m; ++i) {
      const double w = out.weights[i].weight;
      for (std::size_t k = 0; k < classes; ++k) middle[k] += w * a.p[i * classes + k];
    }
  }
  double between = 0.0;
  for (std::size_t i = 0; i < a.m; ++i) {
    double distance = 0.0;
    for (std::size_t k = 0; k < classes; ++k) {
      distance += squared(std::clamp(a.p[i * classes + k] - middle[k], -1e70, 1e70));
    }
    between += out.weights[i].weight * distance;
  }
  if (task.kind == Kind::numeric) {
    describe_number(a, between, out);
  } else {
    describe_classes(a, between, out);
  }
}

// Uncertainty is the root of the models' weighted mean squared error so far (or, with no history, the spread);
// disagreement is spread^2 / (spread^2 + uncertainty^2), or / (spread^2 + answer^2) with no history; the position scale is
// 1 - disagreement, and 0 while none of the models has been scored on a number. The interval is so many times the
// uncertainty to both sides as held 90 % of the outcomes so far: I. Gibbs, E. Candes, "Adaptive Conformal Inference Under
// Distribution Shift" (NeurIPS 2021), here on the logarithm of the width.
void Scoreboard::describe_number(const Answers& a, double between, Decision& out) const noexcept {
  const double expected = expected_square(out.weights);
  const double size = std::min(std::abs(out.p[0]), 1e70);
  // A spread that rounding alone can make is none.
  if (between <= 1e-24 * size * size) between = 0.0;
  const bool known = expected >= 0.0;
  const double reference = known ? expected : size * size;
  out.uncertainty = std::sqrt(known ? expected : between);
  out.disagreement = between > 0.0 ? between / (between + reference) : 0.0;
  out.position_scale = known ? 1.0 - out.disagreement : 0.0;
  out.spread = std::sqrt(between);
  out.entropy = out.divergence = nan;
  out.pairwise = 0.0;
  for (std::size_t i = 0; i < a.m; ++i) {
    for (std::size_t j = i + 1; j < a.m; ++j) {
      out.pairwise += 2.0 * out.weights[i].weight * out.weights[j].weight * std::min(std::abs(a.p[i] - a.p[j]), 1e70);
    }
  }
  out.low = out.p[0] - interval_ * out.uncertainty;
  out.high = out.p[0] + interval_ * out.uncertainty;
}

// The models' weighted mean squared error on numbers so far; negative where none of them has been scored.
double Scoreboard::expected_square(std::span<const ModelWeight> weights) const noexcept {
  double expected = 0.0;
  double known = 0.0;
  for (const auto& [model, weight] : weights) {
    const Score& score = at(overall).score[index(model)];
    if (score.numbers == 0) continue;
    expected += weight * score.square_sum / static_cast<double>(score.numbers);
    known += weight;
  }
  return known > 0.0 ? expected / known : -1.0;
}

// The Gini impurity of the pool, 1 - sum p^2, is the models' own mean impurity plus the variance between them (an identity
// for linear pools). Both are divided by the impurity of the uniform answer, so `uncertainty` is 1 for "anything may
// happen", and `disagreement` is the part of it that comes from the models contradicting one another: what is left is
// their own (and, where the pool is not linear, what it made of them). The position scale is sqrt(1 - uncertainty), which for a binary answer is |2p - 1|, the Kelly fraction at even
// odds, times (1 - disagreement).
//
// The divergence is the mean over models of KL(model || pool), which for a linear pool is the Jensen-Shannon divergence.
//
// The interval is of the chance of class 1, or of the likeliest: what happened when this strategy gave such a chance (the
// calibration bin of it), drawn toward the chance given as if by 20 tasks, plus and minus 1.645 standard deviations; the
// variance is that of a frequency with so many tasks, plus the variance between the models.
void Scoreboard::describe_classes(const Answers& a, double between, Decision& out) noexcept {
  const std::size_t classes = a.classes;
  const double* const middle = pooled_.data() + classes;  // the weighted mean of the answers: describe
  double impurity = 1.0;
  double entropy = 0.0;
  double cross = 0.0;  // of the models' mean answer against the pool
  std::size_t top = 0;
  for (std::size_t k = 0; k < classes; ++k) {
    impurity -= out.p[k] * out.p[k];
    const double surprise = -std::log(std::max(out.p[k], 1e-300));
    entropy += out.p[k] * surprise;
    cross += middle[k] * -std::log(std::max(out.p[k], pooling::log_floor));
    if (out.p[k] > out.p[top]) top = k;
  }
  double own = 0.0;
  double apart = 0.0;  // variance between the models of the chance that is told
  const std::size_t told = a.kind == Kind::binary ? 1 : top;  // as calibration has it
  const std::span<double> votes(pooled_.data(), classes);
  std::ranges::fill(votes, 0.0);
  for (std::size_t i = 0; i < a.m; ++i) {
    const double w = out.weights[i].weight;
    own += w * a.merit[i].entropy;
    apart += w * squared(a.p[i * classes + told] - middle[told]);
    votes[a.merit[i].top] += w;
  }
  double same = 0.0;
  for (const double w : votes) same += w * w;
  const double uniform = 1.0 - 1.0 / static_cast<double>(classes);
  const double most = std::log(static_cast<double>(classes));
  out.uncertainty = std::clamp(impurity / uniform, 0.0, 1.0);
  out.disagreement = std::clamp(between / uniform, 0.0, 1.0);
  out.position_scale = std::sqrt(1.0 - out.uncertainty) * (1.0 - out.disagreement);
  out.spread = std::sqrt(a.kind == Kind::binary ? apart : between);
  out.entropy = std::clamp(entropy / most, 0.0, 1.0);
  out.divergence = std::max((cross - own) / most, 0.0);
  out.pairwise = std::clamp(1.0 - same, 0.0, 1.0);

  constexpr double prior = 20.0;
  const double chance = std::min(out.p[told], 1.0);
  double n = 0.0;
  double happened = 0.0, expected = 0.0;
  if (static_cast<std::size_t>(out.strategy) < n_strategies) {
    const Calibration& past = said_[static_cast<std::size_t>(out.strategy)][static_cast<std::size_t>(a.kind)];
    const Calibration::Bin& bin = past.bins()[equal_width_bin(chance, Calibration::default_bins)];
    n = static_cast<double>(bin.n);
    happened = static_cast<double>(bin.happened);
    expected = bin.p_sum;
  }
  const double centre = std::clamp(chance + (happened - expected) / (n + prior), 0.0, 1.0);
  const double half = z_90 * std::sqrt(centre * (1.0 - centre) / (n + prior + 1.0) + apart);
  out.low = std::clamp(std::min(centre - half, chance), 0.0, 1.0);
  out.high = std::clamp(std::max(centre + half, chance), 0.0, 1.0);
}

}  // namespace fairlead
