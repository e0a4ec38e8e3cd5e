#include <algorithm>

#include "fairlead/fleet_routing.hpp"
#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

}  // namespace

void FleetRouting::save(SnapshotWriter& out) const {
  router_.save(out);
  for (const std::string& part : {budgets_.snapshot(), spend_.snapshot(), breakers_.snapshot()}) out.put(std::string_view(part));
  out.put(categories_);
  out.put(types_);
  out.put(std::string_view(rules_json_));
  out.put(static_cast<std::uint64_t>(breaker_options_.size()));
  for (const auto& [model, options] : breaker_options_) {
    out.put(std::string_view(model));
    out.put(options.failures), out.put(options.error_rate), out.put(options.slow_after), out.put(options.slow_rate);
    out.put(options.window), out.put(options.window_calls), out.put(options.least_calls), out.put(options.open_for);
    out.put(options.backoff), out.put(options.open_at_most), out.put(options.retry_after_at_most);
    out.put(options.successes), out.put(options.call_timeout);
  }
  out.put(static_cast<std::uint8_t>(emergency_));
  const std::vector<OpenCall> calls = open_calls();
  out.put(static_cast<std::uint64_t>(calls.size()));
  for (const OpenCall& call : calls) {
    out.put(call.task), out.put(call.attempt), out.put(call.awaited), out.put(call.ticket);
    out.put(call.reserved), out.put(call.time), out.put(call.reservation.slot), out.put(call.reservation.generation);
    out.put(call.where.model), out.put(call.where.tier), out.put(call.where.category), out.put(call.where.type);
  }
}

// The members are added before, from their records.
void FleetRouting::load(SnapshotReader& in) {
  router_.load(in);
  std::string text;
  in.get(text);
  in.require(in.ok() && budgets_.restore(text) == Status::ok);
  in.get(text);
  in.require(in.ok() && spend_.restore(text) == Status::ok);
  in.get(text);
  Breakers breakers;
  in.require(in.ok() && Breakers::restore(text, breakers) == Status::ok && breakers.size() == breakers_.size());
  if (!in.ok()) return;
  for (ModelId model = 0; model < breakers.size(); ++model) in.require(breakers.name(model) == breakers_.name(model));
  in.require(router_.models() >= members_.size());
  if (!in.ok()) return;
  breakers_ = std::move(breakers);
  n_budgets_ = budgets_.budgets().size();
  for (ModelId model = 0; index(model) < members_.size(); ++model) {
    const Time median = breakers_.latency(model).quantile(0.5);
    members_[index(model)].usual_ms = median >= 0 ? static_cast<double>(median) * 1e-6 : nan;
  }
  in.get(categories_);
  in.get(types_);
  in.get(text);
  if (in.ok() && !text.empty()) in.require(rules(text) == Status::ok);
  std::uint64_t n = 0;
  in.get(n);
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    BreakerOptions o;
    in.get(text);
    in.get(o.failures), in.get(o.error_rate), in.get(o.slow_after), in.get(o.slow_rate), in.get(o.window);
    in.get(o.window_calls), in.get(o.least_calls), in.get(o.open_for), in.get(o.backoff), in.get(o.open_at_most);
    in.get(o.retry_after_at_most), in.get(o.successes), in.get(o.call_timeout);
    in.require(!Breaker::fault(o));
    if (in.ok()) breaker_options_.emplace_back(text, o);
  }
  std::uint8_t flag = 0;
  in.get(flag);
  in.require(flag <= 1);
  emergency_ = flag == 1;
  n = 0;
  in.get(n);
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    OpenCall call;
    in.get(call.task), in.get(call.attempt), in.get(call.awaited), in.get(call.ticket), in.get(call.reserved), in.get(call.time);
    in.get(call.reservation.slot), in.get(call.reservation.generation), in.get(call.where.model), in.get(call.where.tier);
    in.get(call.where.category), in.get(call.where.type);
    in.require(breakers_.known(call.where.model) && call.reserved >= 0 && call.reserved <= max_amount &&
               (call.awaited > 0 || find_call(call.task, call.attempt) == none));
    if (!in.ok()) return;
    call.used = true;
    const std::uint32_t slot = add_call();
    calls_[slot] = call;
    free_calls_.pop_back();
    calls_of_task_.insert(spread(call.task), slot);
  }
}

void FleetRouting::save_task(const TaskRouting& task, SnapshotWriter& out) const {
  out.put(task.attempts);
  out.put(task.type);
}

TaskRouting FleetRouting::load_task(const Task& task, const TaskRouting& saved, SnapshotReader& in) {
  TaskRouting out = open(task);
  in.require(saved.type >= -1 && saved.type < types_.size());
  if (!in.ok()) return out;
  out.attempts = saved.attempts;
  out.type = saved.type;
  if (out.type >= 0) out.contexts[out.n_contexts++] = router_.context("type", types_.name(out.type));
  return out;
}

}  // namespace fairlead
