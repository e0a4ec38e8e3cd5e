// What a fleet tells Performance: calls, settled answers, runs.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "fairlead/fleet.hpp"

namespace fairlead {

using journal::Table;

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// The model's own, or else the probability of what it holds most likely.
double confidence_of(const Forecast& forecast, Kind kind) noexcept {
  if (!std::isnan(forecast.confidence)) return forecast.confidence;
  if (forecast.p.empty()) return nan;
  if (kind == Kind::binary) return std::max(forecast.p[0], 1.0 - forecast.p[0]);
  return *std::max_element(forecast.p.begin(), forecast.p.end());
}

std::size_t classes_of(const FleetTask& task) noexcept {
  if (task.kind != Kind::categorical) return task.kind == Kind::binary ? 2 : 1;
  journal::TaskFixed fixed;
  std::memcpy(&fixed, task.record.data(), sizeof(fixed));
  return fixed.n_labels;
}

bool no_number(double x) noexcept { return x < 0.0 || std::isinf(x); }

}  // namespace

Status Fleet::called_in(const FleetTask& task, const Forecast& forecast) noexcept {
  Performance::Call call{.latency_ms = forecast.latency_ms,
                         .tokens_in = forecast.tokens_in,
                         .tokens_out = forecast.tokens_out,
                         .failed = !forecast.error.empty()};
  if (to_nanos(forecast.cost_usd, call.cost) != Status::ok) call.cost = max_amount;
  if (call.failed) {
    call.timed_out = tells_timeout(forecast.error);
  } else {
    call.confidence = confidence_of(forecast, task.kind);
  }
  return performance_.call(forecast.model, task.place, forecast.time, call);
}

// After Scoreboard::settle.
Status Fleet::settled_in(const FleetTask& task, Time time) noexcept {
  return performance_.settled(task.place, time, task.kind, classes_of(task), board_.settled_models(), board_.settled_marks());
}

Status Fleet::apply_run(const journal::Event& event) {
  journal::DecodedRun given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const auto name_of = [&](Table table, std::int32_t number) -> const std::string* {
    const Numbers& known = names_[static_cast<std::size_t>(table)];
    if (number < 0 || index(number) >= known.id.size() || known.id[index(number)] < 0) return nullptr;
    return &known.names.name(known.id[index(number)]);
  };
  const std::string* const name = name_of(Table::models, event.header->model);
  if (name == nullptr) return Status::unknown_model;
  const std::string* const category = name_of(Table::categories, event.header->category);
  const PlaceId place = runs_.place(category != nullptr ? std::string_view(*category) : std::string_view(), {}, Expiry::unknown);
  const bool known = runners_.find(*name) >= 0 || runners_.size() + 1 < most_runners;
  const journal::RunFixed& fixed = given.fixed;
  const journal::RunStatus status = fixed.status;
  return runs_.run(runners_.intern(known ? std::string_view(*name) : "(other)"), place, event.header->time,
                   {.latency_ms = fixed.duration_ms,
                    .tokens_in = fixed.tokens,
                    .cost = fixed.cost_nanos,
                    .failed = status == journal::RunStatus::error || status == journal::RunStatus::timeout,
                    .timed_out = status == journal::RunStatus::timeout,
                    .cancelled = status == journal::RunStatus::cancelled},
                   {.api_calls = fixed.api_calls, .compute_s = fixed.compute_s, .memory_mb = fixed.memory_mb});
}

Status Fleet::run(std::string_view name, std::string_view category, const journal::RunFixed& fixed, std::string_view error,
                  Time time) noexcept {
  return live([&] {
    if (name.empty() || no_number(fixed.duration_ms) || no_number(fixed.compute_s) || no_number(fixed.memory_mb) ||
        fixed.tokens < 0 || fixed.api_calls < 0 || fixed.cost_nanos < -1 || fixed.cost_nanos > max_amount ||
        static_cast<std::size_t>(fixed.status) >= journal::run_status_names.size()) {
      return Status::out_of_range;
    }
    std::int32_t number = -1, of = -1;
    if (const Status status = number_of(Table::models, name, number); status != Status::ok) return status;
    if (!category.empty()) {
      if (const Status status = number_of(Table::categories, category, of); status != Status::ok) return status;
    }
    journal::encode(buffer_, fixed, time, number, of, error);
    return log();
  });
}

}  // namespace fairlead
