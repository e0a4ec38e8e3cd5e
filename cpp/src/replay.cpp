#include "fairlead/replay.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace fairlead {

Replay::Replay(Scoreboard& board, const ReplayTable& table, const ReplayOptions& options)
    : board_(board), table_(table), options_(options), tasks_(table.outcome.size()) {
  classes_ = table.kind == Kind::categorical ? table.labels : table.kind == Kind::binary ? 2 : 1;
  width_ = table.kind == Kind::categorical ? table.labels : 1;
  scores_.models.resize(static_cast<std::size_t>(board.models().size()));
  scores_.slices.resize(static_cast<std::size_t>(board.n_slices()));
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
  ++scores_.events;
  if (--task.left == 0) ready_.push_back(id);
  return Status::ok;
}

Status Replay::decide(std::uint32_t id, Time now) {
  TaskState& task = tasks_[id];
  const std::size_t needed = (static_cast<std::size_t>(task.handle.slot) + 1) * ReplayScores::n_strategies * classes_;
  if (decided_.size() < needed) decided_.resize(std::max(needed, 2 * decided_.size()));
  double* out = decided(task.handle);
  for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s, out += classes_) {
    const auto strategy = static_cast<Strategy>(s);
    if (!options_.all_strategies && strategy != default_strategy) continue;
    const Status status = board_.decide(task.handle, strategy, decision_);
    if (status == Status::no_forecast) return Status::ok;  // every call failed: there is nothing to score
    if (status != Status::ok) return status;
    if (table_.kind == Kind::numeric) {
      out[0] = decision_.value;
    } else if (table_.kind == Kind::binary) {
      out[0] = 1.0 - decision_.p[0];
      out[1] = decision_.p[0];
    } else {
      std::copy(decision_.p.begin(), decision_.p.end(), out);
    }
  }
  ++scores_.events;
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
  ++scores_.events;
  if (task.stage == Stage::decided && task.scored) {
    const auto marks = board_.settled_marks();
    const auto models = board_.settled_models();
    for (std::size_t i = 0; i < models.size(); ++i) {
      scores_.models[static_cast<std::size_t>(models[i])].add(marks[i], table_.kind);
    }
    const double* answer = decided(task.handle);
    for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s, answer += classes_) {
      if (!options_.all_strategies && static_cast<Strategy>(s) != default_strategy) continue;
      const Marks mark = table_.kind == Kind::numeric
                             ? mark_number(answer[0], outcome)
                             : mark_classes({answer, classes_}, static_cast<std::size_t>(outcome), table_.kind == Kind::binary);
      scores_.strategies[s].add(mark, table_.kind);
      // What the mean scores are made of: Brier score, or absolute error of numbers.
      loss_[s] += table_.kind == Kind::numeric ? std::sqrt(mark.loss) : reported(mark.loss, table_.kind);
      for (std::size_t d = 0; d < table_.dimensions; ++d) {
        const SliceId slice = table_.slices[id * table_.dimensions + d];
        if (slice >= 0) scores_.slices[static_cast<std::size_t>(slice)][s].add(mark, table_.kind);
      }
    }
    ++scores_.tasks;
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

void Replay::note_history(Time now) {
  if (!scores_.history_time.empty() && scores_.history_time.back() == now) {  // the newer row of a time stands
    scores_.history_time.pop_back();
    scores_.history_n.pop_back();
    scores_.history_rating.resize(scores_.history_rating.size() - scores_.models.size());
    scores_.history_loss.resize(scores_.history_loss.size() - loss_.size());
  }
  scores_.history_time.push_back(now);
  for (std::size_t i = 0; i < scores_.models.size(); ++i) {
    const auto model = static_cast<ModelId>(i);
    scores_.history_rating.push_back(board_.score(model).n > 0 ? board_.rating(model) : nan);
  }
  scores_.history_loss.insert(scores_.history_loss.end(), loss_.begin(), loss_.end());
  scores_.history_n.push_back(scores_.tasks);
}

ReplayError Replay::advance(std::size_t forecasts) {
  const std::size_t n = table_.time.size();
  const std::size_t stop = std::min(n, next_ + std::min(forecasts, n));
  while (next_ < stop) {
    const Time now = table_.time[next_];
    if (const ReplayError error = settle_until(now); error.status != Status::ok) return error;
    if (times_seen_++ % history_every_ == 0) note_history(now);
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
      scores_.unsettled += task.stage == Stage::decided ? 1 : 0;
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
  if (!table_.time.empty()) note_history(last);
  return {};
}

}  // namespace fairlead
