// The live calls of routing: choose or check, encode, hand to the sink, apply.
#include <array>
#include <limits>
#include <new>
#include <string>

#include "fairlead/fleet.hpp"
#include "json.hpp"
#include "json_value.hpp"

namespace fairlead {

using journal::Type;

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

std::string alert_json(std::string_view budget, const Alert& alert) {
  std::string out = "{\"kind\": \"budget\", \"budget\": ";
  append_json(out, budget);
  append_json(out += ", \"level\": ", alert_level_names[static_cast<std::size_t>(alert.level)]);
  for (const auto& [name, value] : {std::pair{"number", alert.number}, {"period_start", alert.period_start},
                                    {"limit", alert.limit}, {"spent", alert.spent}, {"held", alert.held}}) {
    ((out += ", \"") += name) += std::string("\": ") + std::to_string(value);
  }
  return out += '}';
}

}  // namespace

Status Fleet::route(TaskNumber number, const RouteRequest& request, Route& out, Time now) noexcept {
  return live([&] {
    const std::uint32_t slot = tasks_.find(number);
    if (slot == FleetTasks::none) return Status::unknown_task;
    const FleetTask& task = tasks_[slot];
    if (task.routing.attempts == std::numeric_limits<std::uint16_t>::max()) return Status::out_of_range;
    const std::uint64_t seed = (number << 16) + task.routing.attempts;
    out.task = number;
    if (const Status status =
            routing_->choose(task.routing, task.kind, task.record.size(), request, seed, now, out);
        status != Status::ok) {
      return status;
    }
    if ((out.reasons & RouteReason::nobody) != 0 && (out.reasons & RouteReason::held_back) != 0) return Status::ok;  // nothing has been decided
    const journal::RouteFixed fixed{.task = number,
                                    .reserved_nanos = out.reserved,
                                    .propensity = out.propensity,
                                    .quality = out.expected.quality,
                                    .spread = out.expected.spread,
                                    .cost_usd = out.model >= 0 ? out.expected.cost_usd : nan,
                                    .latency_ms = out.model >= 0 ? out.expected.latency_ms : nan,
                                    .reasons = out.reasons,
                                    .attempt = out.attempt,
                                    .goal = out.goal};
    std::array<journal::RouteOther, Route::most_others> others;
    for (std::size_t i = 0; i < out.n_others; ++i) {
      const Candidate& other = out.others[i];
      others[i] = {numbers_[index(other.model)], other.quality, other.cost_usd, other.latency_ms};
    }
    std::string_view type = request.type;
    if (type.empty() && task.routing.type >= 0) type = routing_->types().name(task.routing.type);
    journal::encode(buffer_, fixed, now, out.model >= 0 ? numbers_[index(out.model)] : -1, task.category,
                    std::span(others).first(out.n_others), type);
    return log();
  });
}

Status Fleet::called(const Route& route, journal::CalledFixed fixed, Time now) noexcept {
  return live([&] {
    if (route.model < 0 || index(route.model) >= members_.size()) return Status::unknown_model;
    fixed.task = route.task;
    fixed.attempt = route.attempt;
    if (fixed.end == CallEnd::released) {
      fixed.cost_nanos = 0;
      fixed.calls = 0;
    }
    if (const Status status = routing_->check(route.model, fixed); status != Status::ok) return status;
    const std::uint32_t slot = tasks_.find(route.task);
    const std::int32_t category = slot != FleetTasks::none ? tasks_[slot].category : -1;
    journal::encode(buffer_, fixed, now, numbers_[index(route.model)], category);
    return log();
  });
}

Status Fleet::lose_calls(Time now) noexcept {
  return live([&] {
    for (const FleetRouting::OpenCall& call : routing_->open_calls()) {
      if (call.awaited > 0) continue;
      const Route route{.task = call.task, .model = call.where.model, .attempt = call.attempt};
      if (const Status status = called(route, {.end = CallEnd::lost}, now); status != Status::ok) return status;
    }
    return Status::ok;
  });
}

Status Fleet::log_text(Type type, std::string_view json, Time time, std::int32_t model) {
  journal::encode_text(buffer_, type, time, model, -1, json);
  return log();
}

Status Fleet::budget(std::string_view json, Time time) noexcept {
  return live([&] {
    const Status status = routing_->check_budget(json);
    return status == Status::ok ? log_text(Type::budget, json, time) : status;
  });
}

Status Fleet::health(std::string_view json, Time time) noexcept {
  return live([&] {
    const Status status = routing_->check_health(json);
    return status == Status::ok ? log_text(Type::health, json, time) : status;
  });
}

Status Fleet::routing_rules(std::string_view json, Time time) noexcept {
  return live([&] {
    const Status status = routing_->check_rules(json);
    return status == Status::ok ? log_text(Type::routing, json, time) : status;
  });
}

Status Fleet::alert(std::string_view json, Time time, bool& news) noexcept {
  news = false;
  return live([&] {
    JsonValue given;
    std::string kind, model;
    if (!JsonValue::parse(json, given) || !given.read("kind", kind) || kind != "rule") return Status::bad_event;
    if (const Status status = alerts_.check(json, news); status != Status::ok || !news) return status;
    const ModelId id = given.read("model", model) ? find_model(model) : -1;
    return log_text(Type::alert, json, time, id >= 0 ? numbers_[index(id)] : -1);
  });
}

Status Fleet::take_alerts(std::vector<Alert>& out, Time now) {
  out.clear();
  if (behind_) return Status::out_of_memory;
  std::array<Alert, Budgets::due_each> due;
  const std::size_t n = routing_->budgets().due(due);
  for (const Alert& alert : std::span(due).first(n)) {
    Budgets::View view;
    if (routing_->budgets().view(alert.budget, now, view) != Status::ok) continue;  // it was removed
    out.reserve(out.size() + 1);
    if (const Status status = log_text(Type::alert, alert_json(view.name, alert), now); status != Status::ok) return status;
    out.push_back(alert);
  }
  return Status::ok;
}

}  // namespace fairlead
