#include "fairlead/replay.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

namespace fairlead {

namespace {

// What `size` needs at most; a ring also takes no entry larger than a quarter of it. See AuditFixed.
std::size_t audit_bytes(const ReplaySize& size, std::size_t most) noexcept {
  const std::size_t of_task = sizeof(AuditFixed) + 8 * (n_strategies + size.classes + 1);
  const std::size_t of_forecast = 8 * (size.classes + 4);
  const std::size_t largest = of_task + size.most * of_forecast;
  return std::min(most, std::max(4 * largest, size.tasks * of_task + size.forecasts * of_forecast));
}

}  // namespace

ReplayScorer::ReplayScorer(Kind kind, const ReplayOptions& options, const ReplaySize& size)
    : audits(audit_bytes(size, options.audit_bytes)), kind_(kind), options_(options) {}

// The default strategy's decision, until the task is settled.
void ReplayScorer::keep(const Decision& decision, Decided& out) const {
  out.made = true;
  out.strategy = decision.strategy;
  out.chosen = decision.chosen;
  out.reasons = decision.reasons;
  out.time = decision.time;
  out.disagreement = decision.disagreement;
  out.position_scale = decision.position_scale;
  if (kind_ == Kind::numeric) {
    out.p.assign(1, decision.value);
  } else {
    out.p.assign(decision.p.begin(), decision.p.end());
  }
  out.weights.assign(decision.weights.begin(), decision.weights.end());
}

// The models' answers as their calibrators would have them, by what is known now.
void ReplayScorer::adjust(const Scoreboard& board, TaskHandle task, std::vector<double>& out) {
  out.clear();
  if (kind_ == Kind::numeric) return;
  const auto models = board.answered(task);
  const auto answers = board.answers(task);
  const std::size_t classes = answers.size() / models.size();
  out.resize(answers.size());
  for (std::size_t i = 0; i < models.size(); ++i) {
    const Calibrator& calibrator = board.calibrator(models[i], kind_);
    const auto row = answers.subspan(i * classes, classes);
    const std::span<double> adjusted = std::span(out).subspan(i * classes, classes);
    if (kind_ == Kind::binary) {
      adjusted[1] = calibrator.adjust(row[1]);
      adjusted[0] = 1.0 - adjusted[1];
    } else {
      calibrator.adjust(row, adjusted);
    }
  }
}

void ReplayScorer::score(const Scoreboard& board, const Settled& settled) {
  const auto grow = [](auto& list, std::size_t n) {
    if (list.size() < n) list.resize(n);
  };
  const auto all = static_cast<std::size_t>(board.models().size());
  grow(scores.models, all);
  grow(scores.adjusted, all);
  grow(scores.models_paired, all);
  grow(excess_, all);
  grow(scores.slices, static_cast<std::size_t>(board.n_slices()));
  const Held& held = held_[settled.task.slot];
  const bool binary = kind_ == Kind::binary;
  const auto marked = [&](std::span<const double> answer) {
    return kind_ == Kind::numeric ? mark_number(answer[0], settled.outcome)
                                  : mark_classes(answer, static_cast<std::size_t>(settled.outcome), binary);
  };
  // What the mean scores are made of: Brier score, or absolute error of numbers.
  const auto told = [&](double loss) { return kind_ == Kind::numeric ? std::sqrt(loss) : reported(loss, kind_); };

  const std::size_t classes = held.pooled.size() / (options_.all_strategies ? ReplayScores::n_strategies : 1);
  const double* answer = held.pooled.data();
  std::ranges::fill(strategy_losses_, nan);
  for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s) {
    if (!asked(s)) continue;
    const Marks mark = marked({answer, classes});
    answer += classes;
    scores.strategies[s].add(mark, kind_);
    strategy_losses_[s] = mark.loss;
    loss_[s] += told(mark.loss);
    for (const SliceId slice : settled.slices) {
      if (slice >= 0) scores.slices[static_cast<std::size_t>(slice)][s].add(mark, kind_);
    }
  }
  // Where nobody said when the outcome became known, those that were decided together go together, apart from the others.
  const bool when = settled.time != std::numeric_limits<Time>::max();
  const Time round = when ? settled.time : ~held.decided.time;
  const double own = told(strategy_losses_[static_cast<std::size_t>(default_strategy)]);
  const double mean = asked(0) ? told(strategy_losses_[0]) : own;
  for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s) {
    if (asked(s)) scores.strategies_paired[s].add(told(strategy_losses_[s]) - own, round);
  }
  const auto models = board.settled_models();
  const auto marks = board.settled_marks();
  losses_.clear();
  for (std::size_t i = 0; i < models.size(); ++i) {
    const auto model = static_cast<std::size_t>(models[i]);
    scores.models[model].add(marks[i], kind_);
    scores.models_paired[model].add(told(marks[i].loss) - own, round);
    excess_[model] += told(marks[i].loss) - mean;
    losses_.push_back(marks[i].loss);
    if (!held.adjusted.empty()) {
      scores.adjusted[model].add(marked(std::span(held.adjusted).subspan(i * classes, classes)), kind_);
    }
  }
  audit(board, settled, held.decided);
  ++scores.tasks;
}

void ReplayScorer::audit(const Scoreboard& board, const Settled& settled, const Decided& decided) {
  weights_.clear();
  weighted_.clear();
  for (const auto& [model, weight] : decided.weights) {
    weights_.push_back(weight);
    weighted_.push_back(model);
  }
  const auto models = board.settled_models();
  const auto answers = board.settled_answers();
  audits.reserve();
  audits.add({.fixed = {.m = static_cast<std::uint32_t>(models.size()),
                        .task = settled.number,
                        .outcome = settled.outcome,
                        .profit_usd = settled.profit_usd,
                        .cost_usd = board.settled_cost_usd(),
                        .time = settled.time,
                        .decided = decided.time,
                        .disagreement = decided.disagreement,
                        .position_scale = decided.position_scale,
                        .classes = static_cast<std::uint32_t>(answers.size() / models.size()),
                        .n_p = static_cast<std::uint32_t>(decided.p.size()),
                        .n_weights = static_cast<std::uint32_t>(weights_.size()),
                        .reasons = decided.reasons,
                        .kind = kind_,
                        .strategy = decided.strategy,
                        .chosen = decided.chosen,
                        .made = 1},
              .answers = answers,
              .costs = board.settled_costs(),
              .losses = losses_,
              .strategies = strategy_losses_,
              .p = decided.p,
              .weights = weights_,
              .models = models,
              .weighted = weighted_});
}

void ReplayScorer::note(const Scoreboard& board, Time now) {
  // Models may have come since the last row; in the rows before they have no rating.
  const std::size_t n = static_cast<std::size_t>(board.models().size());
  const std::size_t rows = scores.history_time.size();
  const auto widen = [&](std::vector<double>& values) {
    const std::size_t before = rows > 0 ? values.size() / rows : n;
    if (before == n) return;
    std::vector<double> wider;
    wider.reserve((rows + 1) * n);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto from = values.begin() + static_cast<std::ptrdiff_t>(row * before);
      wider.insert(wider.end(), from, from + static_cast<std::ptrdiff_t>(before));
      wider.resize((row + 1) * n, nan);
    }
    values = std::move(wider);
  };
  widen(scores.history_rating);
  widen(scores.history_excess);
  if (!scores.history_time.empty() && scores.history_time.back() == now) {
    scores.history_time.pop_back();
    scores.history_n.pop_back();
    scores.history_rating.resize(scores.history_rating.size() - n);
    scores.history_excess.resize(scores.history_excess.size() - n);
    scores.history_loss.resize(scores.history_loss.size() - loss_.size());
  }
  scores.history_time.push_back(now);
  for (std::size_t i = 0; i < n; ++i) {
    const auto model = static_cast<ModelId>(i);
    scores.history_rating.push_back(board.score(model).n > 0 ? board.rating(model) : nan);
    const double scored = i < scores.models.size() ? static_cast<double>(scores.models[i].n) : 0.0;
    scores.history_excess.push_back(scored > 0.0 && i < excess_.size() ? excess_[i] / scored : nan);
  }
  scores.history_loss.insert(scores.history_loss.end(), loss_.begin(), loss_.end());
  scores.history_n.push_back(scores.tasks);
}

namespace {

ReplaySize size_of(const ReplayTable& table) {
  std::vector<std::uint32_t> forecasts(table.outcome.size());
  for (const std::int32_t task : table.task) ++forecasts[static_cast<std::size_t>(task)];
  return {.forecasts = table.task.size(),
          .tasks = table.outcome.size(),
          .most = forecasts.empty() ? 0 : *std::ranges::max_element(forecasts),
          .classes = table.kind == Kind::categorical ? table.labels : 2};
}

}  // namespace

Replay::Replay(Scoreboard& board, const ReplayTable& table, const ReplayOptions& options)
    : board_(board), table_(table), options_(options), scorer_(table.kind, options, size_of(table)), tasks_(table.outcome.size()) {
  width_ = table.kind == Kind::categorical ? table.labels : 1;
  for (auto* scores : {&scorer_.scores.models, &scorer_.scores.adjusted}) {
    scores->resize(static_cast<std::size_t>(board.models().size()));
  }
  scorer_.scores.models_paired.resize(static_cast<std::size_t>(board.models().size()));
  scorer_.scores.slices.resize(static_cast<std::size_t>(board.n_slices()));
  for (const std::int32_t task : table.task) ++tasks_[static_cast<std::size_t>(task)].left;

  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    if (!std::isnan(table.outcome[i])) by_outcome_.push_back(static_cast<std::uint32_t>(i));
  }
  std::stable_sort(by_outcome_.begin(), by_outcome_.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return table.outcome_time[a] < table.outcome_time[b]; });

  std::size_t times = table.time.empty() ? 0 : 1;
  for (std::size_t i = 1; i < table.time.size(); ++i) times += table.time[i] != table.time[i - 1] ? 1u : 0u;
  // One row is kept for the end.
  const std::size_t rows = std::max<std::size_t>(options.history_points, 2) - 1;
  history_every_ = std::max<std::size_t>((times + rows - 1) / rows, 1);
}

Status Replay::record(std::size_t i) {
  const auto id = static_cast<std::uint32_t>(table_.task[i]);
  TaskState& task = tasks_[id];
  if (task.stage == Stage::waiting) {
    std::array<SliceId, Scoreboard::max_slices> slices;
    std::size_t n = 0;
    for (std::size_t d = 0; d < table_.dimensions; ++d) {
      const SliceId slice = table_.slices[id * table_.dimensions + d];
      if (slice < 0) continue;
      if (n == slices.size()) return Status::too_many_slices;
      slices[n++] = slice;
    }
    const Status opened = board_.open(table_.kind, table_.labels, std::span(slices.data(), n), task.handle);
    if (opened != Status::ok) return opened;
    task.stage = Stage::open;
  }
  Forecast forecast{.model = table_.model[i],
                    .confidence = table_.confidence[i],
                    .latency_ms = table_.latency_ms[i],
                    .tokens_in = table_.tokens_in[i],
                    .tokens_out = table_.tokens_out[i],
                    .cost_usd = table_.cost_usd[i],
                    .time = table_.time[i]};
  if (table_.failed[i]) {
    forecast.error = "failed";
  } else if (table_.kind == Kind::numeric) {
    forecast.value = table_.answer[i];
  } else {
    forecast.p = table_.answer.subspan(i * width_, width_);
  }
  if (const Status status = board_.record(task.handle, forecast); status != Status::ok) return status;
  ++scorer_.scores.events;
  if (--task.left == 0) ready_.push_back(id);
  return Status::ok;
}

Status Replay::decide(std::uint32_t id, Time now) {
  TaskState& task = tasks_[id];
  const Status status = scorer_.decide(board_, task.handle, [&](Strategy strategy, Decision& out) {
    return board_.decide(task.handle, strategy, out, now);
  });
  if (status == Status::no_forecast) return Status::ok;
  if (status != Status::ok) return status;
  task.stage = Stage::decided;
  task.scored = now > options_.score_after;
  return Status::ok;
}

Status Replay::settle(std::uint32_t id, Time time) {
  TaskState& task = tasks_[id];
  if (task.stage == Stage::waiting) {
    task.stage = Stage::ended;
    return Status::ok;
  }
  const double outcome = table_.outcome[id];
  const Status status = board_.settle({.task = task.handle, .value = outcome, .time = time});
  if (status != Status::ok) return status;
  ++scorer_.scores.events;
  if (task.stage == Stage::decided && task.scored) {
    scorer_.score(board_, {.task = task.handle,
                           .number = id,
                           .outcome = outcome,
                           .time = time,
                           .slices = table_.slices.subspan(id * table_.dimensions, table_.dimensions)});
  }
  task.stage = Stage::ended;
  return Status::ok;
}

ReplayError Replay::settle_until(Time now) {
  for (; next_outcome_ < by_outcome_.size(); ++next_outcome_) {
    const std::uint32_t task = by_outcome_[next_outcome_];
    const Time known = table_.outcome_time[task];
    if (known > now) break;
    if (const Status status = settle(task, known); status != Status::ok) return {status, next_, task};
  }
  return {};
}

ReplayError Replay::advance(std::size_t forecasts) {
  const std::size_t n = table_.time.size();
  const std::size_t stop = std::min(n, next_ + std::min(forecasts, n));
  while (next_ < stop) {
    const Time now = table_.time[next_];
    if (const ReplayError error = settle_until(now); error.status != Status::ok) return error;
    if (times_seen_++ % history_every_ == 0) scorer_.note(board_, now);
    for (; next_ < n && table_.time[next_] == now; ++next_) {
      if (const Status status = record(next_); status != Status::ok) {
        return {status, next_, static_cast<std::size_t>(table_.task[next_])};
      }
    }
    for (const std::uint32_t task : ready_) {
      if (const Status status = decide(task, now); status != Status::ok) return {status, next_, task};
    }
    ready_.clear();
  }
  return {};
}

ReplayError Replay::finish() {
  if (const ReplayError error = settle_until(std::numeric_limits<Time>::max()); error.status != Status::ok) return error;
  for (TaskState& task : tasks_) {
    if (task.stage == Stage::open || task.stage == Stage::decided) {
      (void)board_.close(task.handle);  // it is open, so this cannot fail
      scorer_.scores.unsettled += task.stage == Stage::decided ? 1 : 0;
      task.stage = Stage::ended;
    }
  }
  // The last row is what all outcomes came to; its time is the last at which anything was known.
  Time last = table_.time.empty() ? 0 : table_.time.back();
  for (auto task = by_outcome_.rbegin(); task != by_outcome_.rend(); ++task) {
    const Time known = table_.outcome_time[*task];
    if (known == std::numeric_limits<Time>::max()) continue;  // known one day, but nobody said when
    last = std::max(last, known);
    break;
  }
  if (!table_.time.empty()) scorer_.note(board_, last);
  return {};
}

}  // namespace fairlead
