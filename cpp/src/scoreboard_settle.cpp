// Settling: what an outcome says of the models, and of the strategies.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "fairlead/pooling.hpp"
#include "fairlead/scoreboard.hpp"

namespace fairlead {

Status Scoreboard::settle(const Outcome& outcome) noexcept {
  OpenTask* const task = find(outcome.task);
  if (task == nullptr) return Status::stale_task;
  const double y = outcome.value;
  const std::size_t classes = task->classes;
  const bool numeric = task->kind == Kind::numeric;
  if (const Status status = check(*task, y); status != Status::ok) return status;
  const std::size_t m = task->models.size();
  if (m > 0) {
    judge(*task, y, outcome.time);
    for (std::size_t i = 0; i < m; ++i) {
      const double* const row = task->p.data() + i * classes;
      marks_[i] = numeric ? mark_number(row[0], y)
                          : mark_classes({row, classes}, static_cast<std::size_t>(y), task->kind == Kind::binary);
      loss_[i] = marks_[i].loss;
    }
    if (!numeric) calibrate(*task, static_cast<std::size_t>(y), outcome.time);
    Elo::pair_points({loss_.data(), m}, {points_.data(), m});
    for (std::size_t s = 0; s < task->n_slices; ++s) learn(*task, slices_[index(task->slices[s])], outcome.time);
    ++settled_;
  }
  settled_models_ = task->models;  // the slot keeps them until it is opened again
  settled_answers_ = task->p;
  settled_costs_ = task->cost;
  settled_cost_usd_ = task->cost_usd;
  release(*task, outcome.task.slot);
  return Status::ok;
}

// What each strategy would have scored, by what was known when the models answered. Of numbers, also how wide the interval
// has to be.
void Scoreboard::judge(const OpenTask& task, double y, Time time) noexcept {
  const std::size_t m = task.models.size();
  const std::size_t classes = task.classes;
  const bool numeric = task.kind == Kind::numeric;
  const Answers answers{.kind = task.kind,
                        .m = m,
                        .classes = classes,
                        .p = task.p.data(),
                        .log_p = task.log_p.data(),
                        .merit = task.merit.data(),
                        .tolerance = task.mixture.tolerance,
                        .factor = task.mixture.factor,
                        .shift = task.mixture.shift};
  const std::span<double> weights(weight_.data(), m), mixed(mixed_.data(), m);
  constexpr auto own = static_cast<std::size_t>(Strategy::automatic);
  const auto answer = [&](std::size_t s) { return std::span(pooled_.data() + s * classes, classes); };
  if (numeric) {
    combine(Strategy::automatic, answers, task.mixture, mixed, answer(own).data());
    for (std::size_t s = 0; s < own; ++s) {
      const auto strategy = static_cast<Strategy>(s);
      fairlead::weigh(strategy, answers, weights, column_.data());
      fairlead::pool(strategy, answers, weights, answer(s).data(), column_.data());
    }
  } else {
    answer_all(answers, pooled_.data(), weights, excess_.data(), column_.data());
    const auto of = [&](Strategy strategy) { return answer(static_cast<std::size_t>(strategy)); };
    const auto share = [&](Strategy strategy) { return task.mixture.share[static_cast<std::size_t>(strategy)]; };
    // As `combine` does, to the bit.
    double *const middle = rows_.data(), *const stacked = log_rows_.data();
    for (std::size_t k = 0; k < classes; ++k) middle[k] = std::midpoint(of(Strategy::hedge)[k], of(Strategy::weighted)[k]);
    recalibrate(answers, middle, stacked, column_.data());
    for (std::size_t k = 0; k < classes; ++k) {
      const double p = of(Strategy::hedge)[k], q = of(Strategy::weighted)[k], core = middle[k];
      double pooled = core + share(Strategy::hedge) * (p - core) + share(Strategy::weighted) * (q - core) +
                      share(Strategy::stacked) * (stacked[k] - core);
      for (const Strategy each : Panel::outsiders) {
        if (share(each) > 0.0) pooled += share(each) * (of(each)[k] - core);
      }
      answer(own)[k] = std::clamp(pooled, 0.0, 1.0);
    }
  }
  const auto mark = [&](std::span<const double> p) {
    return numeric ? mark_number(p[0], y) : mark_classes(p, static_cast<std::size_t>(y), task.kind == Kind::binary);
  };
  for (std::size_t s = 0; s < n_strategies; ++s) {
    const Marks& found = panel_marks_[s] = mark(answer(s));
    if (!numeric) said_[s][static_cast<std::size_t>(task.kind)].add_to(found.bin, found.shown, found.happened);
  }

  // The core of `auto`, how good it would have been, and how far each model was from it. Its place is that of `auto`.
  const std::span<double> core = answer(own);
  const std::span<const double> first = answer(static_cast<std::size_t>(Strategy::hedge));
  const std::span<const double> second = answer(static_cast<std::size_t>(Strategy::weighted));
  for (std::size_t k = 0; k < classes; ++k) core[k] = std::midpoint(first[k], second[k]);
  core_loss_ = mark(core).loss;
  if (!numeric) {
    const std::span<double> log_core(pooled_.data(), classes);  // the strategies' answers have been marked
    for (std::size_t k = 0; k < classes; ++k) log_core[k] = std::log(std::max(core[k], pooling::log_floor));
    recalibration_[static_cast<std::size_t>(task.kind)].update(core, log_core, static_cast<std::size_t>(y),
                                                               task.kind == Kind::binary, time);
  }
  for (std::size_t i = 0; i < m; ++i) {
    distance_[i] = 0.0;
    for (std::size_t k = 0; k < classes; ++k) {
      const double d = std::clamp(task.p[i * classes + k] - core[k], -1e70, 1e70);
      distance_[i] += d * d;
    }
  }
  if (!numeric) return;
  double expected = 0.0, known = 0.0;
  for (std::size_t i = 0; i < m; ++i) {
    const Score& score = at(overall).score[index(task.models[i])];
    if (score.numbers == 0) continue;
    expected += mixed[i] * score.square_sum / static_cast<double>(score.numbers);
    known += mixed[i];
  }
  if (!(known > 0.0)) return;
  constexpr double rate = 0.05, miss = 0.1;
  const bool missed = panel_marks_[own].loss > interval_ * interval_ * (expected / known);
  interval_ = std::clamp(interval_ * std::exp(rate * ((missed ? 1.0 : 0.0) - miss)), 0.01, 100.0);
}

// What the outcome says of how the models' probabilities have to be adjusted, and of the adjusted ones.
void Scoreboard::calibrate(const OpenTask& task, std::size_t y, Time time) noexcept {
  const auto kind = static_cast<std::size_t>(task.kind);
  for (std::size_t i = 0; i < task.models.size(); ++i) {
    ModelState& model = model_state_[index(task.models[i])];
    const std::span<const double> row(task.p.data() + i * task.classes, task.classes);
    const Merit& merit = task.merit[i];
    if (task.kind == Kind::binary) {
      model.calibrator[kind].update(row[1], y == 1, time);
      const double p = merit.top == 1 ? merit.confidence : 1.0 - merit.confidence;
      (void)model.adjusted[kind].add(std::clamp(p, 0.0, 1.0), y == 1);
    } else {
      model.calibrator[kind].update(row, y, time);
      (void)model.adjusted[kind].add(merit.confidence, y == merit.top);
    }
  }
}

// Folds a settled task, whose marks, losses and points are in the scratch, into one slice.
void Scoreboard::learn(const OpenTask& task, Slice& slice, Time time) noexcept {
  const std::size_t m = task.models.size();
  const std::size_t f = family(task.kind);
  const std::span<const ModelId> models(task.models);
  const std::span<const double> losses(loss_.data(), m);
  // Squared errors have no scale of their own: measure them against what is usual here, so that they lie in [0, 2].
  double scale = 0.0;
  if (task.kind == Kind::numeric) {
    const double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(m);
    constexpr double fade = 0.05;
    scale = slice.square_scale > 0.0 ? slice.square_scale : mean;
    slice.square_scale = scale + fade * (std::min(mean, 10.0 * scale) - scale);
  }
  const auto bounded = [&](double loss) {
    return task.kind != Kind::numeric ? loss : loss > 0.0 ? 2.0 * loss / (loss + scale) : 0.0;
  };
  // The excess over the mean: of the loss for `hedge`; for `weighted` of the loss less the distance from the core, which
  // is, but for a constant, how the core's loss changes with the model's weight (A. Krogh, J. Vedelsby, "Neural Network
  // Ensembles, Cross Validation, and Active Learning", 1995): a model that errs as the pool errs earns nothing. Of bounded
  // losses three quarters of the distance, as else an outlier's loss and distance cancel.
  const double ambiguity = task.kind == Kind::numeric ? 0.75 : 1.0;
  double mean = 0.0, other = 0.0;
  for (std::size_t i = 0; i < m; ++i) {
    mean += excess_[i] = bounded(losses[i]);
    other += column_[i] = excess_[i] - ambiguity * bounded(distance_[i]);
  }
  mean /= static_cast<double>(m);
  other /= static_cast<double>(m);
  for (std::size_t i = 0; i < m; ++i) {
    excess_[i] -= mean;
    column_[i] -= other;
  }

  slice.elo.contest_points(models, {points_.data(), m});
  slice.hedge[f].update(models, std::span<const double>(excess_.data(), m), time);
  slice.weighted[f].update(models, std::span<const double>(column_.data(), m), time);
  for (std::size_t i = 0; i < m; ++i) {
    slice.score[index(models[i])].add(marks_[i], task.kind);
    slice.history[index(models[i])][static_cast<std::size_t>(task.kind)].push(reported(losses[i], task.kind), time);
  }

  std::array<double, n_strategies> gain;
  for (std::size_t s = 0; s < n_strategies; ++s) gain[s] = bounded(core_loss_) - bounded(panel_marks_[s].loss);
  slice.panel.gains[f].update(gain, time);
  for (std::size_t s = 0; s < n_strategies; ++s) slice.panel.score[s].add(panel_marks_[s], task.kind);
}

}  // namespace fairlead
