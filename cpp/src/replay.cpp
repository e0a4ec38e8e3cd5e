#include "fairlead/replay.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>
#include <utility>

namespace fairlead {

void ReplayScorer::score(const Scoreboard& board, TaskHandle task, double outcome, std::span<const SliceId> slices) {
  const auto grow = [](auto& list, std::int32_t n) {
    if (list.size() < static_cast<std::size_t>(n)) list.resize(static_cast<std::size_t>(n));
  };
  grow(scores.models, board.models().size());
  grow(scores.slices, board.n_slices());
  const auto marks = board.settled_marks();
  const auto models = board.settled_models();
  for (std::size_t i = 0; i < models.size(); ++i) scores.models[static_cast<std::size_t>(models[i])].add(marks[i], kind_);
  const std::vector<double>& answers = decided_[task.slot];
  const std::size_t classes = answers.size() / (options_.all_strategies ? ReplayScores::n_strategies : 1);
  const double* answer = answers.data();
  for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s) {
    if (!asked(s)) continue;
    const Marks mark =
        kind_ == Kind::numeric
            ? mark_number(answer[0], outcome)
            : mark_classes({answer, classes}, static_cast<std::size_t>(outcome), kind_ == Kind::binary);
    answer += classes;
    scores.strategies[s].add(mark, kind_);
    // What the mean scores are made of: Brier score, or absolute error of numbers.
    loss_[s] += kind_ == Kind::numeric ? std::sqrt(mark.loss) : reported(mark.loss, kind_);
    for (const SliceId slice : slices) {
      if (slice >= 0) scores.slices[static_cast<std::size_t>(slice)][s].add(mark, kind_);
    }
  }
  ++scores.tasks;
}

void ReplayScorer::note(const Scoreboard& board, Time now) {
  // Models may have come since the last row; in the rows before they have no rating.
  const std::size_t n = static_cast<std::size_t>(board.models().size());
  const std::size_t rows = scores.history_time.size();
  if (const std::size_t before = rows > 0 ? scores.history_rating.size() / rows : n; before < n) {
    std::vector<double> wider;
    wider.reserve((rows + 1) * n);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto from = scores.history_rating.begin() + static_cast<std::ptrdiff_t>(row * before);
      wider.insert(wider.end(), from, from + static_cast<std::ptrdiff_t>(before));
      wider.resize((row + 1) * n, nan);
    }
    scores.history_rating = std::move(wider);
  }
  if (!scores.history_time.empty() && scores.history_time.back() == now) {
    scores.history_time.pop_back();
    scores.history_n.pop_back();
    scores.history_rating.resize(scores.history_rating.size() - n);
    scores.history_loss.resize(scores.history_loss.size() - loss_.size());
  }
  scores.history_time.push_back(now);
  for (std::size_t i = 0; i < n; ++i) {
    const auto model = static_cast<ModelId>(i);
    scores.history_rating.push_back(board.score(model).n > 0 ? board.rating(model) : nan);
  }
  scores.history_loss.insert(scores.history_loss.end(), loss_.begin(), loss_.end());
  scores.history_n.push_back(scores.tasks);
}

Replay::Replay(Scoreboard& board, const ReplayTable& table, const ReplayOptions& options)
    : board_(board), table_(table), options_(options), scorer_(table.kind, options), tasks_(table.outcome.size()) {
  width_ = table.kind == Kind::categorical ? table.labels : 1;
  scorer_.scores.models.resize(static_cast<std::size_t>(board.models().size()));
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
  const Status status = scorer_.decide(
      task.handle, [&](Strategy strategy, Decision& out) { return board_.decide(task.handle, strategy, out); });
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
    scorer_.score(board_, task.handle, outcome, table_.slices.subspan(id * table_.dimensions, table_.dimensions));
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
