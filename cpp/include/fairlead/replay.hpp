// Replay: a table of forecasts, streamed through a Scoreboard in time order as if it were live.
//
// At each distinct time t, in this order: outcomes known by t are settled (by the time they became known, then by task);
// the forecasts made at t are recorded; every task whose last forecast this was is decided, by every strategy. So no
// decision sees an outcome that was not known. Outcomes that come after the last forecast are settled at the end.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "fairlead/audits.hpp"
#include "fairlead/paired.hpp"
#include "fairlead/score.hpp"
#include "fairlead/scoreboard.hpp"

namespace fairlead {

// Columns over N forecasts, sorted by time, and T tasks. Models and slices are ids of the Scoreboard that replays.
struct ReplayTable {
  Kind kind = Kind::binary;
  std::size_t labels = 0;      // categorical: number of classes
  std::size_t dimensions = 0;  // slices of a task

  std::span<const Time> time = {};            // (N)
  std::span<const std::int32_t> task = {};    // (N)
  std::span<const ModelId> model = {};        // (N)
  std::span<const double> answer = {};        // (N x labels), or (N) where the kind is not categorical
  std::span<const std::uint8_t> failed = {};  // (N)
  std::span<const double> confidence = {};    // (N), NaN: not given
  std::span<const double> latency_ms = {};    // (N), NaN: not given
  std::span<const double> cost_usd = {};      // (N)
  std::span<const std::int64_t> tokens_in = {}, tokens_out = {};  // (N)

  std::span<const double> outcome = {};     // (T), NaN: never known
  std::span<const Time> outcome_time = {};  // (T)
  std::span<const SliceId> slices = {};     // (T x dimensions), -1: none
};

struct ReplayOptions {
  bool all_strategies = true;  // false: decide by the default strategy only
  Time score_after = std::numeric_limits<Time>::min();  // tasks decided at or before it are learned from, not scored
  std::size_t history_points = 400;                     // at most so many rows of history
  std::size_t audit_bytes = std::size_t{32} << 20;      // at most, of the newest scored tasks; less where all need less
};

struct ReplayScores {
  static constexpr std::size_t n_strategies = strategy_names.size();

  std::array<Score, n_strategies> strategies;
  std::vector<Score> models;    // by ModelId, over scored tasks
  std::vector<Score> adjusted;  // the same of their answers as adjusted by what was known when the task was decided
  // Loss (Brier score, or absolute error of numbers) less that of the default strategy on the same tasks.
  std::array<Paired, n_strategies> strategies_paired;
  std::vector<Paired> models_paired;
  std::vector<std::array<Score, n_strategies>> slices;  // by SliceId; overall is `strategies`
  std::uint64_t tasks = 0;      // settled and scored
  std::uint64_t unsettled = 0;  // decided, but the outcome never came
  std::uint64_t events = 0;     // forecasts recorded, tasks decided, outcomes settled

  // History, a row for some of the distinct times: overall rating of every model (NaN before its first settled task),
  // for every strategy its summed loss so far over scored tasks (Brier score, or absolute error of numbers), and for every
  // model its mean loss so far less that of the mean strategy on the same tasks.
  std::vector<Time> history_time;
  std::vector<double> history_rating;    // (H x models)
  std::vector<double> history_loss;      // (H x n_strategies)
  std::vector<double> history_excess;    // (H x models), NaN before its first scored task
  std::vector<std::uint64_t> history_n;  // (H), scored tasks so far
};

// What is to be scored, as far as it is known beforehand: how much memory its audits need at most.
struct ReplaySize {
  std::size_t forecasts = 0;
  std::size_t tasks = 0;
  std::size_t most = 0;     // forecasts of one task
  std::size_t classes = 1;  // at most
};

// What the strategies would have scored: keeps their answers to tasks that are decided, until the outcome comes.
class ReplayScorer {
 public:
  ReplayScorer(Kind kind, const ReplayOptions& options, const ReplaySize& size);

  // Asks every strategy by `ask(strategy, decision)`. no_forecast: every call failed, and there is nothing to score.
  template <class Ask>
  Status decide(const Scoreboard& board, TaskHandle task, Ask&& ask);
  struct Settled {
    TaskHandle task = {};
    std::uint64_t number = 0;  // of the task, to audit it by
    double outcome = nan;
    double profit_usd = nan;
    Time time = 0;                              // when the outcome became known
    std::span<const SliceId> slices = {};       // of the task, without overall; -1: none
  };
  // Scores what was decided of a task that the board has just settled.
  void score(const Scoreboard& board, const Settled& settled);
  // A row of the history; the newer row of a time stands.
  void note(const Scoreboard& board, Time now);

  ReplayScores scores;
  Audits audits;  // of scored tasks, decided by the default strategy; losses are those of `scores`

 private:
  struct Held {                         // of an open task that was decided
    std::vector<double> pooled = {};    // strategies x classes
    std::vector<double> adjusted = {};  // models x classes
    Decided decided = {};               // by the default strategy
  };

  bool asked(std::size_t strategy) const noexcept {
    return options_.all_strategies || static_cast<Strategy>(strategy) == default_strategy;
  }
  void keep(const Decision& decision, Decided& out) const;
  void adjust(const Scoreboard& board, TaskHandle task, std::vector<double>& out);
  void audit(const Scoreboard& board, const Settled& settled, const Decided& decided);

  Kind kind_;
  ReplayOptions options_;
  Decision decision_ = {};
  std::vector<Held> held_ = {};  // by slot
  std::array<double, ReplayScores::n_strategies> loss_{};
  std::vector<double> excess_ = {};  // of each model over the mean, summed
  // Of an audit.
  std::array<double, ReplayScores::n_strategies> strategy_losses_ = {};
  std::vector<double> losses_ = {}, weights_ = {};
  std::vector<ModelId> weighted_ = {};
};

// Where a replay stopped: what was wrong with which forecast or task.
struct ReplayError {
  Status status = Status::ok;
  std::size_t forecast = 0;
  std::size_t task = 0;
};

// Streams a table. `advance(n)` consumes at least the next n forecasts (all of a distinct time together), so that a caller may
// show progress; `finish` settles what is left. The board may hold history from before.
class Replay {
 public:
  // Spans must stay alive. Throws std::bad_alloc.
  Replay(Scoreboard& board, const ReplayTable& table, const ReplayOptions& options);

  ReplayError advance(std::size_t forecasts);
  ReplayError finish();

  bool done() const noexcept { return next_ == table_.time.size(); }
  std::size_t position() const noexcept { return next_; }
  const ReplayScores& scores() const noexcept { return scorer_.scores; }
  Audits take_audits() noexcept { return std::move(scorer_.audits); }  // in the end. Their tasks are rows of `outcome`

 private:
  enum class Stage : std::uint8_t { waiting, open, decided, ended };

  struct TaskState {
    TaskHandle handle = {};
    std::uint32_t left = 0;  // forecasts still to come
    Stage stage = Stage::waiting;
    bool scored = false;
  };

  Status record(std::size_t forecast);
  Status decide(std::uint32_t task, Time now);
  Status settle(std::uint32_t task, Time time);
  ReplayError settle_until(Time now);

  Scoreboard& board_;
  ReplayTable table_;
  ReplayOptions options_;
  ReplayScorer scorer_;
  std::size_t next_ = 0;
  std::size_t width_ = 1;    // values of an answer in the table
  std::vector<TaskState> tasks_;
  std::vector<std::uint32_t> by_outcome_;  // tasks whose outcome is known one day, by when
  std::size_t next_outcome_ = 0;
  std::vector<std::uint32_t> ready_;  // tasks to decide at this time
  std::size_t history_every_ = 1;
  std::size_t times_seen_ = 0;
};

template <class Ask>
Status ReplayScorer::decide(const Scoreboard& board, TaskHandle task, Ask&& ask) {
  if (task.slot >= held_.size()) held_.resize(static_cast<std::size_t>(task.slot) + 1);
  Held& out = held_[task.slot];
  out.pooled.clear();
  for (std::size_t s = 0; s < ReplayScores::n_strategies; ++s) {
    if (!asked(s)) continue;
    if (const Status status = ask(static_cast<Strategy>(s), decision_); status != Status::ok) return status;
    if (kind_ == Kind::numeric) {
      out.pooled.push_back(decision_.value);
    } else if (kind_ == Kind::binary) {
      out.pooled.push_back(1.0 - decision_.p[0]);
      out.pooled.push_back(decision_.p[0]);
    } else {
      out.pooled.insert(out.pooled.end(), decision_.p.begin(), decision_.p.end());
    }
    if (static_cast<Strategy>(s) == default_strategy) keep(decision_, out.decided);
  }
  adjust(board, task, out.adjusted);
  ++scores.events;
  return Status::ok;
}

}  // namespace fairlead
