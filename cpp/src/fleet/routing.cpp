// The fold of routing: models, calls, money, health, what is learned.
#include "fairlead/fleet_routing.hpp"

#include <algorithm>
#include <cmath>

#include "json_value.hpp"

namespace fairlead {

namespace {

constexpr std::int64_t most_tokens = std::int64_t{1} << 40;  // of a call: Spend refuses what has more, and its cost with it

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// Milliseconds as nanoseconds; Breaker::unknown where they are none.
Time span_of(double ms) noexcept { return ms >= 0.0 && ms < 9e12 ? static_cast<Time>(ms * 1e6) : Breaker::unknown; }

// USD a million tokens as nano-dollars; 0 where it is no price.
std::int64_t price_of(const JsonValue& record, std::string_view name) noexcept {
  double usd = 0.0;
  Nanos nanos = 0;
  return record.read(name, usd) && to_nanos(usd, nanos) == Status::ok ? nanos : 0;
}

// How long a task still runs: a dimension of its own.
std::string_view time_left(double seconds) noexcept {
  if (seconds < 3600.0) return "1h";
  if (seconds < 86'400.0) return "1d";
  if (seconds < 7 * 86'400.0) return "7d";
  return seconds < 30 * 86'400.0 ? "30d" : "later";
}

// The failure that the error of a forecast tells of, "kind: message" as providers write it; else of the server.
CallFailure failure_of(std::string_view error) noexcept {
  const std::string_view kind = error.substr(0, error.find(':'));
  for (std::size_t i = 0; i < failure_names.size(); ++i) {
    if (failure_names[i] == kind) return static_cast<CallFailure>(i);
  }
  return CallFailure::server;
}

}  // namespace

void FleetRouting::add(ModelId model, std::string_view name, std::string_view record) {
  Member member;
  std::string provider;
  JsonValue given;
  if (JsonValue::parse(record, given)) {
    std::string tier;
    (void)given.read("provider", provider);
    (void)given.read("tier", tier);
    for (std::size_t i = 0; i < tier_names.size(); ++i) {
      if (tier == tier_names[i]) member.tier = static_cast<Tier>(i);
    }
    const Nanos cached = price_of(given, "price_cached"), written = price_of(given, "price_written");
    member.prices.input = price_of(given, "price_in");
    member.prices.output = price_of(given, "price_out");
    member.prices.cached = cached > 0 ? cached : member.prices.input;
    member.prices.written = member.prices.written_1h = written > 0 ? written : member.prices.input;
  }
  if (members_.size() <= index(model)) members_.resize(index(model) + 1);
  if (index(model) >= router_.models()) router_.resize(std::max<std::size_t>(8, 2 * index(model)));
  const BreakerOptions* options = &breakers_.model_options();
  for (const auto& [whose, its] : breaker_options_) {
    if (whose.empty() || whose == name) options = &its;
  }
  // A model without a provider is one of its own.
  const std::string own = provider.empty() ? "model " + std::string(name) : provider;
  const BreakerOptions& of_provider = provider.empty() ? *options : breakers_.provider_options();
  Status status = Status::ok;
  if (!breakers_.known(model)) {
    ModelId id = -1;  // dense in the order of adding, there as on the Scoreboard
    status = breakers_.add(name, own, *options, of_provider, id);
  } else if (breakers_.provider_name(breakers_.provider_of(model)) != own) {  // it came back from somewhere else
    status = breakers_.move(model, own, of_provider);
  }
  if (status == Status::out_of_memory) throw std::bad_alloc();
  member.present = true;
  member.usual_ms = members_[index(model)].usual_ms;
  members_[index(model)] = member;
  candidates_.reserve(members_.size());
  admissions_.reserve(members_.size());
  places_.reserve(members_.size());
  bounds_.reserve(members_.size());
}

void FleetRouting::remove(ModelId model) noexcept { members_[index(model)].present = false; }

TaskRouting FleetRouting::open(const Task& task) {
  TaskRouting out;
  const auto put = [&](std::string_view dimension, std::string_view value) {
    if (value.empty() || out.n_contexts == TaskRouting::most_contexts - 1) return;  // one is left for the type
    const ContextId context = router_.context(dimension, value);
    const std::span<const std::int32_t> so_far = out.where();
    if (std::find(so_far.begin(), so_far.end(), context) == so_far.end()) out.contexts[out.n_contexts++] = context;
  };
  put("category", task.category);
  put("regime", task.regime);
  if (task.expires_in_s >= 0.0) put("expires", time_left(task.expires_in_s));
  for (const Dimension& slice : task.slices) put(slice.name, slice.value);
  if (!task.category.empty()) out.category = categories_.intern(task.category);
  return out;
}

Where FleetRouting::where(ModelId model, const TaskRouting& task, std::int32_t type) const noexcept {
  const std::int32_t tier = model >= 0 ? static_cast<std::int32_t>(members_[index(model)].tier) : -1;
  return {.model = model, .tier = tier, .category = task.category, .type = type};
}

// --- calls ---

std::uint32_t FleetRouting::find_call(TaskNumber task, std::uint16_t attempt) const noexcept {
  return calls_of_task_.find(spread(task), [&](std::uint32_t slot) {
    return calls_[slot].task == task && calls_[slot].attempt == attempt && calls_[slot].awaited == 0;
  });
}

// The one whose forecast comes next: one that has ended, else the newest that has not.
std::uint32_t FleetRouting::find_call(TaskNumber task, ModelId model) const noexcept {
  std::uint32_t found = none;
  (void)calls_of_task_.find(spread(task), [&](std::uint32_t slot) {
    const OpenCall& call = calls_[slot];
    if (call.task != task || call.where.model != model) return false;
    if (found == none || call.awaited > 0 || (calls_[found].awaited == 0 && call.attempt > calls_[found].attempt)) {
      found = slot;
    }
    return false;
  });
  return found;
}

std::uint32_t FleetRouting::add_call() {
  calls_of_task_.reserve_one();
  if (free_calls_.empty()) {
    if (free_calls_.capacity() <= calls_.size()) free_calls_.reserve(std::max<std::size_t>(16, 2 * calls_.size()));
    calls_.emplace_back();
    free_calls_.push_back(static_cast<std::uint32_t>(calls_.size() - 1));
  }
  return free_calls_.back();
}

void FleetRouting::drop_call(std::uint32_t slot) noexcept {
  calls_of_task_.erase(spread(calls_[slot].task), slot);
  calls_[slot].used = false;
  free_calls_.push_back(slot);
}

Status FleetRouting::route(TaskRouting& task, TaskNumber number, ModelId model, const journal::RouteFixed& fixed,
                           std::string_view type, Time time) {
  const bool asks = fixed.attempt > 0;
  if (asks && (model < 0 || !members_[index(model)].present)) return Status::unknown_model;
  if (fixed.reserved_nanos < 0 || fixed.reserved_nanos > max_amount) return Status::out_of_range;
  if (asks && (fixed.attempt <= task.attempts || find_call(number, fixed.attempt) != none)) return Status::bad_event;
  const std::uint32_t slot = asks ? add_call() : none;
  if (!type.empty()) {
    const ContextId context = router_.context("type", type);
    const std::int32_t id = types_.intern(type);
    if (task.type < 0) ++task.n_contexts;
    task.contexts[task.n_contexts - 1] = context;  // the last one is that of the type: slices may be called "type", too
    task.type = id;
  }
  const Where place = where(model, task, task.type);
  if (!asks) {
    return (fixed.reasons & RouteReason::refused) != 0 && model >= 0 ? budgets_.refuse(place, fixed.reserved_nanos, time) : Status::ok;
  }
  OpenCall call{.task = number, .reserved = fixed.reserved_nanos, .time = time, .where = place,
                .attempt = fixed.attempt, .used = true};
  if (const Status status = budgets_.take(place, call.reserved, time, call.reservation, number); status != Status::ok) {
    return status;
  }
  (void)breakers_.begin(model, time, call.ticket);  // no ticket where it is closed: whoever logged it asked all the same
  calls_[slot] = call;
  free_calls_.pop_back();
  calls_of_task_.insert(spread(number), slot);
  task.attempts = fixed.attempt;
  return Status::ok;
}

void FleetRouting::pay(OpenCall& call, Nanos cost, const Usage& usage, bool failed, Time time) noexcept {
  (void)budgets_.settle(call.reservation, cost >= 0 ? cost : call.reserved, time);  // removed budgets know it no more
  (void)spend_.add(call.where, time, cost >= 0 ? &cost : nullptr, usage, failed);
}

void FleetRouting::tell_health(ModelId model, BreakersCall ticket, CallEnd end, CallFailure kind, double retry_after_ms,
                               double latency_ms, Time time) noexcept {
  const Time latency = span_of(latency_ms);
  if (end == CallEnd::released) {
    (void)breakers_.release(model, ticket, time);
  } else if (end == CallEnd::answered) {
    (void)breakers_.success(model, ticket, time, latency);
    const Time median = breakers_.latency(model).quantile(0.5);
    if (median >= 0) members_[index(model)].usual_ms = static_cast<double>(median) * 1e-6;
  } else {
    const CallFailure what = end == CallEnd::failed ? kind : CallFailure::cancelled;
    (void)breakers_.failure(model, ticket, time, what, span_of(retry_after_ms), latency);
  }
}

Status FleetRouting::check(ModelId model, const journal::CalledFixed& fixed) const noexcept {
  const std::uint32_t slot = find_call(fixed.task, fixed.attempt);
  if (slot == none || calls_[slot].where.model != model) return Status::unknown_key;
  const bool sound = fixed.cost_nanos >= -1 && fixed.cost_nanos <= max_amount && fixed.failure < failure_names.size();
  return sound ? Status::ok : Status::out_of_range;
}

Status FleetRouting::called(ModelId model, const journal::CalledFixed& fixed, Time time) noexcept {
  if (const Status status = check(model, fixed); status != Status::ok) return status;
  const std::uint32_t slot = find_call(fixed.task, fixed.attempt);
  OpenCall& call = calls_[slot];
  if (fixed.end == CallEnd::released) {
    (void)budgets_.cancel(call.reservation);
  } else {
    const bool lost = fixed.end == CallEnd::lost;
    const auto count = [](std::int64_t n) { return std::clamp<std::int64_t>(n, 0, most_tokens); };
    const std::int64_t input = count(fixed.tokens_in);
    const Usage usage{.input = input,
                      .output = count(fixed.tokens_out),
                      .cached = std::min(count(fixed.tokens_cached), input),
                      .written = std::min(count(fixed.tokens_written), input)};
    pay(call, lost ? call.reserved : fixed.cost_nanos, usage, fixed.end != CallEnd::answered, time);
  }
  tell_health(model, call.ticket, fixed.end, static_cast<CallFailure>(fixed.failure), fixed.retry_after_ms, fixed.latency_ms,
              time);
  // A forecast comes, but of those that somebody gave up.
  const bool answers = fixed.end == CallEnd::answered ||
                       (fixed.end == CallEnd::failed && static_cast<CallFailure>(fixed.failure) != CallFailure::cancelled);
  const std::uint32_t before = answers ? find_call(fixed.task, model) : none;
  if (before != none && calls_[before].awaited > 0 && calls_[before].awaited < 0xffff) {
    ++calls_[before].awaited;
    drop_call(slot);
  } else if (answers) {
    call.awaited = 1;
  } else {
    drop_call(slot);
  }
  return Status::ok;
}

void FleetRouting::answered(const TaskRouting& task, TaskNumber number, const Forecast& forecast) noexcept {
  const std::uint32_t slot = find_call(number, forecast.model);
  if (slot != none && calls_[slot].awaited > 0) {  // all was told before
    if (--calls_[slot].awaited == 0) drop_call(slot);
    return;
  }
  Nanos cost = 0;
  const auto whole = [](std::int64_t n) { return std::clamp<std::int64_t>(n, 0, most_tokens); };
  const Usage usage{.input = whole(forecast.tokens_in), .output = whole(forecast.tokens_out)};
  const bool failed = !forecast.error.empty();
  if (to_nanos(forecast.cost_usd, cost) != Status::ok) cost = 0;
  // Neither a latency nor a cost, tokens or an error: an answer that is used again. No call was made.
  if (slot == none && !failed && !(forecast.latency_ms >= 0.0) && cost == 0 && usage.input == 0 && usage.output == 0) return;
  BreakersCall ticket = 0;
  if (slot != none) {
    ticket = calls_[slot].ticket;
    pay(calls_[slot], cost, usage, failed, forecast.time);
    drop_call(slot);
  } else {
    const Where place = where(forecast.model, task, task.type);
    if (cost > 0) (void)budgets_.charge(place, cost, forecast.time);
    (void)spend_.add(place, forecast.time, &cost, usage, failed);
  }
  tell_health(forecast.model, ticket, failed ? CallEnd::failed : CallEnd::answered,
              failed ? failure_of(forecast.error) : CallFailure::server, nan, forecast.latency_ms, forecast.time);
}

void FleetRouting::settled(const TaskRouting& task, Kind kind, std::span<const ModelId> models,
                           std::span<const double> losses) noexcept {
  (void)router_.learn(kind, task.where(), models, losses);
}

void FleetRouting::ended(TaskNumber number) noexcept {
  for (;;) {
    const std::uint32_t slot = calls_of_task_.find(
        spread(number), [&](std::uint32_t at) { return calls_[at].task == number && calls_[at].awaited > 0; });
    if (slot == none) return;
    drop_call(slot);
  }
}

std::vector<FleetRouting::OpenCall> FleetRouting::open_calls() const {
  std::vector<OpenCall> out;
  for (const OpenCall& call : calls_) {
    if (call.used) out.push_back(call);
  }
  std::sort(out.begin(), out.end(), [](const OpenCall& a, const OpenCall& b) {
    return a.task != b.task ? a.task < b.task : a.attempt < b.attempt;
  });
  return out;
}

}  // namespace fairlead
