#include "fairlead/journal/scored.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "fairlead/journal/events.hpp"

namespace fairlead::journal {

namespace {

// The classes' probabilities, scaled to sum to 1 as the Scoreboard scales them.
void normalise(std::vector<double>& p) noexcept {
  double sum = 0.0;
  for (const double x : p) sum += x;
  const double scale = 1.0 / sum;
  for (double& x : p) x *= scale;
}

// A program may log what it likes: only what the Scoreboard would have taken is scored.
bool is_answer(Kind kind, double value, std::span<const double> p, std::uint32_t labels) noexcept {
  const auto is_probability = [](double x) { return x >= 0.0 && x <= 1.0; };
  if (kind == Kind::numeric) return p.empty() && std::isfinite(value);
  if (kind == Kind::binary) return p.empty() && is_probability(value);
  if (p.size() != labels || !std::all_of(p.begin(), p.end(), is_probability)) return false;
  double sum = 0.0;
  for (const double x : p) sum += x;
  return std::abs(sum - 1.0) < 0.01;
}

bool fits(Kind kind, std::uint32_t labels, double outcome) noexcept {
  if (kind == Kind::numeric) return std::isfinite(outcome);
  const double classes = kind == Kind::binary ? 2.0 : static_cast<double>(labels);
  return outcome >= 0.0 && outcome < classes && outcome == std::floor(outcome);
}

}  // namespace

Status Scored::apply(const Event& event) {
  PayloadReader in(event.bytes());
  switch (event.header->type) {
    case Type::task: return open(event);
    case Type::forecast: return forecast(event);
    case Type::outcome: {
      OutcomeFixed fixed;
      if (!in.get(fixed) || !in.done()) return Status::bad_event;
      return end(event, fixed.task, fixed.value, fixed.profit_usd);
    }
    case Type::closed: {
      ClosedFixed fixed;
      if (!in.get(fixed) || !in.done()) return Status::bad_event;
      return end(event, fixed.task, nan, nan);
    }
    default: return Status::ok;
  }
}

Status Scored::open(const Event& event) {
  PayloadReader in(event.bytes());
  TaskFixed fixed;
  std::string_view id, category, text, regime, label;
  if (!in.get(fixed) || !in.get(id) || !in.get(category) || !in.get(text) || !in.get(regime) ||
      fixed.kind > Kind::numeric || (fixed.kind == Kind::categorical && fixed.n_labels < 2)) {
    return Status::bad_event;
  }
  for (std::uint32_t i = 0; i < fixed.n_labels; ++i) {
    if (!in.get(label)) return Status::bad_event;
  }
  Open task{fixed.kind, fixed.n_labels, event.header->category, event.header->time, fixed.stake_usd};
  std::string context;
  const auto join = [&](std::string_view dimension, std::string_view value) {
    context.assign(dimension).append("=").append(value);
    task.contexts.push_back(contexts_.intern(context));
  };
  if (!category.empty()) join("category", category);
  if (!regime.empty()) join("regime", regime);
  for (std::uint32_t i = 0; i < fixed.n_slices; ++i) {
    std::string_view dimension, value;
    if (!in.get(dimension) || !in.get(value)) return Status::bad_event;
    join(dimension, value);
  }
  if (!in.done()) return Status::bad_event;
  open_.insert_or_assign(fixed.task, std::move(task));
  return Status::ok;
}

Status Scored::forecast(const Event& event) {
  PayloadReader in(event.bytes());
  ForecastFixed fixed;
  std::span<const double> p;
  std::span<const char> error;
  if (!in.get(fixed) || !in.get(p, fixed.n_p) || !in.get(error, fixed.n_error) || !in.done()) return Status::bad_event;
  const auto found = open_.find(fixed.task);
  if (found == open_.end()) {
    ++unknown_;
    return Status::ok;
  }
  Open& task = found->second;
  if (error.empty() && !is_answer(task.kind, fixed.value, p, task.labels)) return Status::bad_event;
  auto answer = std::find_if(task.answers.begin(), task.answers.end(),
                             [&](const Answer& known) { return known.model == event.header->model; });
  if (answer == task.answers.end()) answer = task.answers.insert(answer, Answer{event.header->model});
  ++answer->calls;
  if (std::isnan(fixed.cost_usd)) {
    ++answer->unpriced;
  } else {
    answer->cost_usd += fixed.cost_usd;
  }
  answer->tokens_in += fixed.tokens_in;
  answer->tokens_out += fixed.tokens_out;
  if (!std::isnan(fixed.latency_ms)) {
    answer->latency_sum += fixed.latency_ms;
    ++answer->latencies;
  }
  if (!error.empty()) {
    ++answer->failed;
    return Status::ok;
  }
  answer->answered = true;
  answer->value = fixed.value;
  answer->confidence = fixed.confidence;
  answer->p.assign(p.begin(), p.end());
  normalise(answer->p);
  return Status::ok;
}

Status Scored::end(const Event& event, std::uint64_t task, double outcome, double profit_usd) {
  const auto found = open_.find(task);
  if (found == open_.end()) {
    ++unknown_;
    return Status::ok;
  }
  const Open& open = found->second;
  if (event.header->type == Type::outcome && !fits(open.kind, open.labels, outcome)) return Status::bad_event;
  for (const Answer& answer : open.answers) put(event, task, open, answer, outcome, profit_usd);
  open_.erase(found);
  return Status::ok;
}

void Scored::put(const Event& event, std::uint64_t task, const Open& open, const Answer& answer, double outcome,
                 double profit) {
  const bool numeric = open.kind == Kind::numeric;
  const bool scored = answer.answered && !std::isnan(outcome);
  std::array<double, 2> binary{1.0 - answer.value, answer.value};
  const std::span<const double> p = open.kind == Kind::binary ? std::span<const double>(binary) : answer.p;
  Marks marks;
  if (scored) {
    marks = numeric ? mark_number(answer.value, outcome)
                    : mark_classes(p, static_cast<std::size_t>(outcome), open.kind == Kind::binary);
  }
  double value = answer.value;
  if (open.kind == Kind::categorical) value = answer.answered ? *std::max_element(p.begin(), p.end()) : nan;

  rows_.seq.push_back(event.header->seq);
  rows_.time.push_back(event.header->time);
  rows_.asked.push_back(open.asked);
  rows_.task.push_back(task);
  rows_.model.push_back(answer.model);
  rows_.category.push_back(open.category);
  rows_.kind.push_back(static_cast<std::uint8_t>(open.kind));
  rows_.scored.push_back(scored ? 1 : 0);
  rows_.correct.push_back(scored && !numeric && marks.correct ? 1 : 0);
  rows_.happened.push_back(scored && !numeric && marks.happened ? 1 : 0);
  rows_.calls.push_back(answer.calls);
  rows_.failed.push_back(answer.failed);
  rows_.unpriced.push_back(answer.unpriced);
  rows_.value.push_back(value);
  rows_.outcome.push_back(outcome);
  rows_.loss.push_back(scored ? reported(marks.loss, open.kind) : nan);
  rows_.log_loss.push_back(scored && !numeric ? marks.log_loss : nan);
  rows_.shown.push_back(scored && !numeric ? marks.shown : nan);
  rows_.confidence.push_back(answer.confidence);
  rows_.latency_ms.push_back(answer.latencies > 0 ? answer.latency_sum / answer.latencies : nan);
  rows_.cost_usd.push_back(answer.cost_usd);
  rows_.profit_usd.push_back(profit);
  rows_.stake_usd.push_back(open.stake_usd);
  rows_.tokens_in.push_back(answer.tokens_in);
  rows_.tokens_out.push_back(answer.tokens_out);
  rows_.context.insert(rows_.context.end(), open.contexts.begin(), open.contexts.end());
  rows_.context_start.push_back(static_cast<std::uint32_t>(rows_.context.size()));
}

ScoredRows Scored::take() noexcept { return std::exchange(rows_, ScoredRows{}); }

}  // namespace fairlead::journal
