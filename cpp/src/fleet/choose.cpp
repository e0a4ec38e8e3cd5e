// The choice of whom to ask.
#include <algorithm>
#include <cmath>

#include "fairlead/fleet_routing.hpp"

namespace fairlead {

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }
constexpr std::int64_t enough_calls = 5;  // that a mean in a context is believed
// Of a call before any: the tokens of a text, of the words around it, and of an answer.
constexpr std::int64_t bytes_a_token = 4, words_around = 200, words_of_answer = 300;

}  // namespace

const RoutingRule* FleetRouting::rule_of(std::string_view type) const noexcept {
  for (const auto& [name, rule] : rules_.types) {
    if (name == type) return &rule;
  }
  return nullptr;
}

double FleetRouting::expected_cost(ModelId model, std::int32_t category, std::int32_t type,
                                   std::size_t text_bytes) const noexcept {
  if (type >= 0) {
    const CallCost here = spend_.call_cost(model, Scope::type, type);
    if (here.calls >= enough_calls) return here.lately * 1e-9;
  }
  if (category >= 0) {
    const CallCost here = spend_.call_cost(model, Scope::category, category);
    if (here.calls >= enough_calls) return here.lately * 1e-9;
  }
  const CallCost all = spend_.call_cost(model);
  if (all.calls > 0) return all.lately * 1e-9;
  const Usage usage{.input = static_cast<std::int64_t>(text_bytes) / bytes_a_token + words_around, .output = words_of_answer};
  Nanos nanos = 0;
  return cost(members_[index(model)].prices, usage, nanos) == Status::ok ? to_usd(nanos) : 0.0;
}

Candidate FleetRouting::candidate(ModelId model, const TaskRouting& task, std::int32_t type, std::size_t text_bytes,
                                  const RouteRequest& request) const noexcept {
  Candidate out{.model = model,
                .cost_usd = expected_cost(model, task.category, type, text_bytes),
                .latency_ms = members_[index(model)].usual_ms};
  if (index(model) < std::min(request.predicted.size(), request.predicted_n.size())) {
    out.predicted = request.predicted[index(model)];
    out.predicted_n = request.predicted_n[index(model)];
  }
  return out;
}

Nanos FleetRouting::bound(const Candidate& candidate, const RouteRequest& request) const noexcept {
  const std::size_t model = index(candidate.model);
  if (model < request.bounds.size() && request.bounds[model] >= 0) return std::min(request.bounds[model], max_amount);
  Nanos nanos = 0;
  const double times = spend_.call_cost(candidate.model).calls >= enough_calls ? known_guess : guess;
  return to_nanos(times * candidate.cost_usd, nanos) == Status::ok ? nanos : max_amount;
}

// What the budgets say of each candidate.
void FleetRouting::ask_budgets(const TaskRouting& task, std::int32_t type, const RouteRequest& request, Time now,
                               Route& out) {
  places_.clear();
  bounds_.clear();
  for (const Candidate& each : candidates_) {
    places_.push_back(where(each.model, task, type));
    bounds_.push_back(bound(each, request));
  }
  admissions_.resize(candidates_.size());
  budgets_.check(places_, bounds_, now, admissions_);
  for (const Admission& admission : admissions_) {
    if (!admission.granted()) out.reasons |= RouteReason::over_budget;
  }
}

// Leaves those that their budgets have money for and that are not expected to cost more than this.
void FleetRouting::keep_cheaper(double cost_usd) {
  std::size_t left = 0;
  for (std::size_t i = 0; i < candidates_.size(); ++i) {
    if (!admissions_[i].granted() || candidates_[i].cost_usd > cost_usd) continue;
    candidates_[left] = candidates_[i];
    admissions_[left++] = admissions_[i];
  }
  candidates_.resize(left);
  admissions_.resize(left);
}

Status FleetRouting::choose(const TaskRouting& task, Kind kind, std::size_t text_bytes, const RouteRequest& request,
                            std::uint64_t seed, Time now, Route& out) {
  const std::string_view type = !request.type.empty() ? request.type
                                : task.type >= 0      ? std::string_view(types_.name(task.type))
                                                      : std::string_view();
  const RoutingRule* const own = type.empty() ? nullptr : rule_of(type);
  const RoutingRule& all = rules_.all;
  const auto first_of = [](const auto& asked, const auto& by_type, const auto& by_all, auto otherwise) {
    return asked ? *asked : by_type ? *by_type : by_all ? *by_all : otherwise;
  };
  const std::optional<Objective> no_objective = {};
  const std::optional<Tier> no_tier = {};
  const Objective objective =
      first_of(request.objective, own != nullptr ? own->objective : no_objective, all.objective, Objective{});
  const Tier at_least = first_of(request.at_least, own != nullptr ? own->at_least : no_tier, all.at_least, Tier::fast);
  std::string_view pin = request.pin;
  if (pin.empty() && own != nullptr) pin = own->pin;
  if (pin.empty()) pin = all.pin;

  // The contexts, with the type that the caller tells.
  std::array<ContextId, TaskRouting::most_contexts> contexts = task.contexts;
  std::size_t n_contexts = task.n_contexts;
  std::int32_t type_id = task.type;
  if (!request.type.empty()) {
    type_id = types_.find(request.type);
    const ContextId context = router_.find_context("type", request.type);
    if (task.type >= 0) --n_contexts;  // the last one, which was that of its type so far
    if (context != NameTable::absent) contexts[n_contexts++] = context;
  }

  out = Route{.task = out.task, .goal = objective.goal};
  candidates_.clear();
  const auto among = [](std::span<const ModelId> models, ModelId model) {
    return std::find(models.begin(), models.end(), model) != models.end();
  };
  const auto named = [this](const std::vector<std::string>& names, ModelId model) {
    return !names.empty() && std::find(names.begin(), names.end(), breakers_.name(model)) != names.end();
  };
  for (ModelId model = 0; index(model) < members_.size(); ++model) {
    const Member& member = members_[index(model)];
    if (!member.present) continue;
    if (!pin.empty() && breakers_.name(model) != pin) continue;
    if (member.tier > at_least) {
      out.reasons |= RouteReason::tier_floor;
      continue;
    }
    if (among(request.ban, model) || named(all.ban, model) || (own != nullptr && named(own->ban, model))) {
      out.reasons |= RouteReason::banned;
      continue;
    }
    if (among(request.without, model)) {
      out.reasons |= RouteReason::tried_before;
      continue;
    }
    if (const Gate gate = breakers_.gate(model, now); gate != Gate::yes) {
      out.reasons |= gate == Gate::no ? RouteReason::unhealthy : RouteReason::held_back;
      if (gate == Gate::no && (out.until == 0 || breakers_.until(model) < out.until)) out.until = breakers_.until(model);
      continue;
    }
    candidates_.push_back(candidate(model, task, type_id, text_bytes, request));
  }
  if (n_budgets_ > 0) ask_budgets(task, type_id, request, now, out);
  if (!pin.empty()) out.reasons |= RouteReason::pinned;
  if (candidates_.empty()) {
    out.reasons |= RouteReason::nobody;
    return Status::ok;
  }
  const std::span<const ContextId> where_to_look = std::span(contexts).first(n_contexts);
  if (const Status status = router_.pick(kind, where_to_look, objective, seed, candidates_, pick_); status != Status::ok) {
    return status;
  }
  std::size_t first = pick_.order[0];
  if (n_budgets_ > 0 && !admissions_[first].granted()) {
    const Candidate wanted = candidates_[first];
    out.admission = admissions_[first];
    if (out.admission.then == OnExhausted::degrade) {
      keep_cheaper(wanted.cost_usd);
    } else {
      candidates_.clear();
    }
    if (candidates_.empty()) {
      out.expected = wanted;
      out.model = wanted.model;
      out.propensity = pick_.propensity;
      out.reserved = bound(wanted, request);
      out.reasons |= RouteReason::refused;
      return Status::ok;
    }
    // The same draws, among those that are left.
    out.admission = Admission{};
    out.reasons |= RouteReason::degraded;
    if (const Status status = router_.pick(kind, where_to_look, objective, seed, candidates_, pick_); status != Status::ok) {
      return status;
    }
    first = pick_.order[0];
  }
  out.expected = candidates_[first];
  out.model = out.expected.model;
  out.propensity = pick_.propensity;
  out.reserved = bound(out.expected, request);
  out.reasons |= candidates_.size() == 1 ? RouteReason::only_candidate
                 : pick_.explored        ? RouteReason::explored
                                         : RouteReason::best_expected;
  if (pick_.below) out.reasons |= RouteReason::below_quality;
  find_others(out, pick_);
  out.attempt = static_cast<std::uint16_t>(task.attempts + 1);
  return Status::ok;
}

void FleetRouting::find_others(Route& out, const Pick& pick) const noexcept {
  out.n_others = std::min(candidates_.size() - 1, Route::most_others);
  for (std::size_t i = 0; i < out.n_others; ++i) out.others[i] = candidates_[pick.order[i + 1]];
}

}  // namespace fairlead
