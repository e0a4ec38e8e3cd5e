// The cold events of routing: budgets, alerts, health, rules.
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "fairlead/fleet_routing.hpp"
#include "json_value.hpp"

namespace fairlead {

namespace {

using Json = JsonValue::Kind;


// One of some names; absent: true.
template <class Enum, std::size_t n>
bool read_name(const JsonValue& object, std::string_view field, const std::array<std::string_view, n>& names, Enum& out) {
  std::string name;
  if (object.find(field) == nullptr) return true;
  if (!object.read(field, name)) return false;
  const auto found = std::find(names.begin(), names.end(), name);
  if (found == names.end()) return false;
  out = static_cast<Enum>(found - names.begin());
  return true;
}

bool read_calendar(const JsonValue& runs, Calendar& out) {
  if (!runs.is(Json::list)) return false;
  std::vector<Calendar::Run> read;
  for (const JsonValue& run : runs.items) {
    if (!run.is(Json::list) || run.items.size() != 2 || !run.items[0].whole || !run.items[1].whole) return false;
    read.push_back({run.items[0].integer, run.items[1].integer});
  }
  return Calendar::from_runs(read, out) == Status::ok;
}

bool read_objective(const JsonValue& given, Objective& out) {
  if (!given.is(Json::object)) return false;
  if (!read_name(given, "goal", goal_names, out.goal)) return false;
  for (const auto& [name, target] : {std::pair{"quality", &out.quality}, {"cost", &out.cost}, {"latency", &out.latency},
                                     {"min_quality", &out.min_quality}, {"explore", &out.explore}}) {
    if (!given.read(name, *target) || !(*target >= 0.0 && std::isfinite(*target))) return false;
  }
  return true;
}

bool read_rule(const JsonValue& given, RoutingRule& out) {
  if (!given.is(Json::object)) return false;
  if (const JsonValue* const objective = given.find("objective"); objective != nullptr) {
    Objective read;
    if (!read_objective(*objective, read)) return false;
    out.objective = read;
  }
  if (given.find("at_least") != nullptr) {
    Tier tier = Tier::fast;
    if (!read_name(given, "at_least", tier_names, tier)) return false;
    out.at_least = tier;
  }
  if (!given.read("pin", out.pin)) return false;
  if (const JsonValue* const ban = given.find("ban"); ban != nullptr) {
    if (!ban->is(Json::list)) return false;
    for (const JsonValue& model : ban->items) {
      if (!model.is(Json::text)) return false;
      out.ban.push_back(model.text);
    }
  }
  return true;
}

bool read_breaker(const JsonValue& given, BreakerOptions& out) {
  if (!given.is(Json::object)) return false;
  std::int64_t failures = out.failures, window_calls = out.window_calls, least_calls = out.least_calls,
               successes = out.successes;
  for (const auto& [name, target] : {std::pair{"slow_after", &out.slow_after}, {"window", &out.window},
                                     {"open_for", &out.open_for}, {"open_at_most", &out.open_at_most},
                                     {"retry_after_at_most", &out.retry_after_at_most}, {"call_timeout", &out.call_timeout},
                                     {"failures", &failures}, {"window_calls", &window_calls},
                                     {"least_calls", &least_calls}, {"successes", &successes}}) {
    if (!given.read(name, *target) || *target < 0) return false;
  }
  for (const std::int64_t count : {failures, window_calls, least_calls, successes}) {
    if (count > 1'000'000) return false;
  }
  out.failures = static_cast<std::uint32_t>(failures);
  out.window_calls = static_cast<std::uint32_t>(window_calls);
  out.least_calls = static_cast<std::uint32_t>(least_calls);
  out.successes = static_cast<std::uint32_t>(successes);
  return given.read("error_rate", out.error_rate) && given.read("slow_rate", out.slow_rate) &&
         given.read("backoff", out.backoff) && !Breaker::fault(out);
}

}  // namespace

Status FleetRouting::read(std::string_view json, BudgetChange& out) const {
  JsonValue given;
  if (!JsonValue::parse(json, given) || !given.is(Json::object)) return Status::bad_event;
  if (const JsonValue* const runs = given.find("runs"); runs != nullptr) {
    return read_calendar(*runs, out.calendar.emplace()) ? Status::ok : Status::bad_event;
  }
  if (!given.read("name", out.name) || out.name.empty() || !given.read("removed", out.removed)) return Status::bad_event;
  if (out.removed) return budgets_.find(out.name) >= 0 ? Status::ok : Status::unknown_key;
  BudgetOptions& options = out.options;
  std::int64_t warning = options.warning, critical = options.critical;
  if (!given.read("of", out.of) || !given.read("limit", options.limit) || !given.read("warning", warning) ||
      !given.read("critical", critical) || !read_name(given, "period", period_names, options.period) ||
      !read_name(given, "scope", scope_names, options.scope) ||
      !read_name(given, "on_exhausted", on_exhausted_names, options.on_exhausted)) {
    return Status::bad_event;
  }
  if (warning <= 0 || warning > critical || critical > 1'000'000) return Status::out_of_range;
  if (options.limit < 0 || options.limit > max_amount) return Status::out_of_range;
  options.warning = static_cast<std::int32_t>(warning);
  options.critical = static_cast<std::int32_t>(critical);
  if (options.scope == Scope::all) return Status::ok;
  if (out.of.empty()) return Status::bad_event;
  Tier tier = Tier::standard;
  if (options.scope == Scope::tier) {
    if (!read_name(given, "of", tier_names, tier)) return Status::bad_event;
    options.of = static_cast<std::int32_t>(tier);
  }
  if (options.scope == Scope::model) options.of = breakers_.find(out.of);
  return options.of >= 0 ? Status::ok : Status::unknown_model;
}

Status FleetRouting::check_budget(std::string_view json) const {
  BudgetChange change;
  return read(json, change);
}

Status FleetRouting::budget(std::string_view json, Time time) {
  BudgetChange change;
  if (const Status status = read(json, change); status != Status::ok) return status;
  if (change.calendar) {
    budgets_.set_calendar(*change.calendar);
    spend_.set_calendar(*std::move(change.calendar));
    return Status::ok;
  }
  BudgetOptions& options = change.options;
  if (options.scope == Scope::category) options.of = categories_.intern(change.of);
  if (options.scope == Scope::type) options.of = types_.intern(change.of);
  BudgetId id = -1;
  const Status status = change.removed ? budgets_.remove(change.name) : budgets_.define(change.name, options, time, id);
  n_budgets_ = budgets_.budgets().size();
  return status;
}

Status FleetRouting::alert(std::string_view json) {
  JsonValue given;
  std::string kind, name;
  if (!JsonValue::parse(json, given) || !given.is(Json::object)) return Status::ok;  // somebody's own
  if (!given.read("kind", kind) || kind != "budget") return Status::ok;
  AlertLevel level = AlertLevel::warning;
  std::int64_t number = 0;
  if (!given.read("budget", name) || !read_name(given, "level", alert_level_names, level) || !given.read("number", number)) {
    return Status::bad_event;
  }
  const BudgetId budget = budgets_.find(name);
  if (budget >= 0) budgets_.told(budget, level, number);  // it may have been removed since
  return Status::ok;
}

Status FleetRouting::read(std::string_view json, HealthChange& out) const {
  JsonValue given;
  std::string closed;
  bool emergency = false;
  if (!JsonValue::parse(json, given) || !given.is(Json::object) || !given.read("emergency", emergency) ||
      !given.read("closed", closed)) {
    return Status::bad_event;
  }
  if (given.find("emergency") != nullptr) out.emergency = emergency;
  if (closed.empty()) return out.emergency ? Status::ok : Status::bad_event;
  out.closed = breakers_.find(closed);
  return out.closed >= 0 ? Status::ok : Status::unknown_model;
}

Status FleetRouting::check_health(std::string_view json) const {
  HealthChange change;
  return read(json, change);
}

Status FleetRouting::health(std::string_view json, Time time) {
  HealthChange change;
  if (const Status status = read(json, change); status != Status::ok) return status;
  if (change.closed >= 0) (void)breakers_.close(change.closed, time);
  if (change.emergency) emergency_ = *change.emergency;
  return Status::ok;
}

Status FleetRouting::read(std::string_view json, RulesChange& out) const {
  JsonValue given;
  if (!JsonValue::parse(json, given) || !given.is(Json::object)) return Status::bad_event;
  if (const JsonValue* const rules = given.find("rules"); rules != nullptr) {
    Rules& read = out.rules.emplace();
    if (!rules->is(Json::object)) return Status::bad_event;
    if (const JsonValue* const all = rules->find("all"); all != nullptr && !read_rule(*all, read.all)) {
      return Status::bad_event;
    }
    if (const JsonValue* const types = rules->find("types"); types != nullptr) {
      if (!types->is(Json::object)) return Status::bad_event;
      for (std::size_t i = 0; i < types->names.size(); ++i) {
        RoutingRule rule;
        if (!read_rule(types->items[i], rule)) return Status::bad_event;
        read.types.emplace_back(types->names[i], std::move(rule));
      }
    }
    return Status::ok;
  }
  const JsonValue* const breaker = given.find("breaker");
  out.breaker = breakers_.model_options();
  if (breaker == nullptr || !read_breaker(*breaker, out.breaker) || !given.read("model", out.model)) return Status::bad_event;
  // That of a model that is there has its past.
  return out.model.empty() || breakers_.find(out.model) < 0 ? Status::ok : Status::model_differs;
}

Status FleetRouting::check_rules(std::string_view json) const {
  RulesChange change;
  return read(json, change);
}

Status FleetRouting::rules(std::string_view json) {
  RulesChange change;
  if (const Status status = read(json, change); status != Status::ok) return status;
  if (change.rules) {
    std::string text(json);
    rules_ = *std::move(change.rules);
    rules_json_ = std::move(text);
    return Status::ok;
  }
  const auto known = std::find_if(breaker_options_.begin(), breaker_options_.end(),
                                  [&](const auto& each) { return each.first == change.model; });
  if (known != breaker_options_.end()) {
    known->second = change.breaker;
  } else {  // those of one model come after those of all, and win
    const auto at = change.model.empty() ? breaker_options_.begin() : breaker_options_.end();
    breaker_options_.emplace(at, std::move(change.model), change.breaker);
  }
  return Status::ok;
}

}  // namespace fairlead
