// Settled forecasts as columns: what a store, a reflection or an archive wants to know of a journal, one row for each model
// that was asked about a task, made when the task ends.
//
// A row is what the Scoreboard scores: the last answer stands, costs add up, a failed call leaves an earlier answer alone.
// The marks are those of score.hpp. Rows come in the order of the outcomes, and of the first call within a task.
// Memory: open tasks, at about 100 bytes an answer.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "fairlead/journal/format.hpp"
#include "fairlead/names.hpp"
#include "fairlead/score.hpp"
#include "fairlead/status.hpp"

namespace fairlead::journal {

struct ScoredRows {
  std::vector<Seq> seq;         // number of the event that ended the task
  std::vector<Time> time;       // of that event
  std::vector<Time> asked;      // of the task
  std::vector<std::uint64_t> task;
  std::vector<std::int32_t> model, category;  // numbers of the journal's names
  std::vector<std::uint8_t> kind;
  std::vector<std::uint8_t> scored;   // 1: it answered, and the outcome is known; else the marks are NaN and 0
  std::vector<std::uint8_t> correct;  // the most probable class happened
  std::vector<std::uint8_t> happened; // what `shown` was about came true
  std::vector<std::uint32_t> calls, failed;
  std::vector<std::uint32_t> unpriced;  // calls whose cost is NaN, not known: cost_usd is that of the others
  std::vector<double> value;     // the number, or P(1), or the probability of the most probable class
  std::vector<double> outcome;   // NaN: never known
  std::vector<double> loss;      // Brier score, or squared error
  std::vector<double> log_loss;  // NaN of numbers
  std::vector<double> shown;     // the probability that calibration bins; NaN of numbers
  std::vector<double> confidence, latency_ms;  // of the last answer, and the mean of the calls; NaN: not given
  std::vector<double> cost_usd, profit_usd, stake_usd;
  std::vector<std::int64_t> tokens_in, tokens_out;
  // Row i is in the contexts context[context_start[i]] to context[context_start[i + 1] - 1]: "category=x", "regime=y", ...
  std::vector<std::uint32_t> context_start = {0};
  std::vector<std::int32_t> context;

  std::size_t size() const noexcept { return seq.size(); }
};

class Scored {
 public:
  // Folds one event; what it does not know is passed over. bad_event: the payload is not what its type says.
  Status apply(const Event& event);

  const ScoredRows& rows() const noexcept { return rows_; }
  ScoredRows take() noexcept;  // the rows so far; afterwards there are none

  const NameTable& contexts() const noexcept { return contexts_; }
  std::size_t open_tasks() const noexcept { return open_.size(); }
  std::uint64_t unknown() const noexcept { return unknown_; }  // forecasts and outcomes of tasks that were never seen

 private:
  struct Answer {
    std::int32_t model;
    bool answered = false;
    std::uint32_t calls = 0, failed = 0, unpriced = 0, latencies = 0;
    double value = nan, confidence = nan, latency_sum = 0.0, cost_usd = 0.0;
    std::int64_t tokens_in = 0, tokens_out = 0;
    std::vector<double> p = {};  // categorical
  };
  struct Open {
    Kind kind;
    std::uint32_t labels;
    std::int32_t category;
    Time asked;
    double stake_usd;
    std::vector<std::int32_t> contexts = {};
    std::vector<Answer> answers = {};
  };

  Status open(const Event& event);
  Status forecast(const Event& event);
  Status end(const Event& event, std::uint64_t task, double outcome, double profit_usd);
  void put(const Event& event, std::uint64_t task, const Open& open, const Answer& answer, double outcome, double profit);

  std::unordered_map<std::uint64_t, Open> open_;
  NameTable contexts_;
  ScoredRows rows_;
  std::uint64_t unknown_ = 0;
};

}  // namespace fairlead::journal
