// The live calls: check, encode, hand to the sink, apply.
#include <algorithm>
#include <cmath>
#include <new>

#include "fairlead/fleet.hpp"
#include "json.hpp"

namespace fairlead {

using journal::Table;
using journal::Type;

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

}  // namespace

Status Fleet::hand_over() noexcept {
  if (sink_ == nullptr) return Status::ok;
  journal::Seq seq = 0;
  const Status status = sink_->append(buffer_.header(), buffer_.payload(), seq);
  if (status == Status::ok) buffer_.header().seq = seq;
  return status;
}

Status Fleet::log() {
  if (const Status status = hand_over(); status != Status::ok) return status;
  const Status status = apply(buffer_.event());
  // All else was checked, but for a budget too many for one call, which a replay passes over, too.
  behind_ = status != Status::ok && status != Status::wrong_length && sink_ != nullptr;
  return status;
}

// The number of a name, without a call where it is known.
Status Fleet::number_of(Table table, std::string_view name, std::int32_t& out) {
  Numbers& known = names_[static_cast<std::size_t>(table)];
  if (const std::int32_t id = known.names.find(name); id >= 0) {
    out = known.number[index(id)];
    return Status::ok;
  }
  out = known.names.size();
  if (sink_ != nullptr) {
    if (const Status status = sink_->name(table, name, out); status != Status::ok) return status;
  }
  return known.learn(out, name);
}

Status Fleet::configure(const FleetSettings& settings, Time time) noexcept {
  return live([&] {
    if (configured_ || !members_.empty() || next_task_ != 1) {
      return settings == settings_ ? Status::ok : Status::bad_event;
    }
    const std::string text = settings.json();
    FleetSettings checked;
    if (const Status status = FleetSettings::parse(text, checked); status != Status::ok) return status;
    journal::encode_text(buffer_, Type::settings, time, -1, -1, text);
    return log();
  });
}

Status Fleet::add(std::string_view name, std::string_view record, Time time) noexcept {
  return live([&] {
    if (name.empty()) return Status::out_of_range;
    if (const ModelId known = find_model(name); known >= 0 && member(known).present) {
      return member(known).record == record ? Status::ok : Status::model_differs;
    }
    std::int32_t number = -1;
    if (const Status status = number_of(Table::models, name, number); status != Status::ok) return status;
    journal::encode_text(buffer_, Type::model, time, number, -1, record);
    return log();
  });
}

Status Fleet::add(const Model& model, Time time) noexcept {
  return live([&] { return add(model.name, model_json(model), time); });
}

Status Fleet::remove(std::string_view name, Time time) noexcept {
  return live([&] {
    const ModelId model = find_model(name);
    if (model < 0) return Status::unknown_model;
    if (!member(model).present) return Status::inactive_model;
    journal::encode_text(buffer_, Type::model_removed, time, member(model).number, -1, {});
    return log();
  });
}

Status Fleet::find_open(std::string_view id, std::uint32_t& out) const noexcept {
  out = tasks_.find(id);
  if (out == FleetTasks::none) return Status::unknown_task;
  return tasks_[out].state == FleetTask::State::open ? Status::ok : Status::task_ended;
}

Status Fleet::open_new(const Task& task) {
  if (task.id.empty() || !(task.stake_usd >= 0.0) || task.expires_in_s < 0.0) return Status::out_of_range;
  if (const Status status = board_.check(task); status != Status::ok) return status;
  std::int32_t category = -1;
  if (!task.category.empty()) {
    if (const Status status = number_of(Table::categories, task.category, category); status != Status::ok) return status;
  }
  journal::encode(buffer_, task, next_task_, category);
  return log();
}

Status Fleet::open(const Task& task, TaskNumber& out) noexcept {
  return live([&] {
    std::uint32_t slot = 0;
    Status status = find_open(task.id, slot);
    if (status == Status::unknown_task) {
      if (status = open_new(task); status != Status::ok) return status;
      out = next_task_ - 1;
      return Status::ok;
    }
    if (status != Status::ok) return status;
    const FleetTask& known = tasks_[slot];
    journal::encode(compared_, task, known.number, -1);
    if (journal::text_of(compared_.payload()) != known.record) return Status::task_differs;
    out = known.number;
    return Status::ok;
  });
}

Status Fleet::record(const Task& task, const Forecast& forecast) noexcept {
  return live([&] {
    // Before the task is opened, so that an answer that does not fit opens none.
    if (tasks_.find(task.id) == FleetTasks::none) {
      if (const Status status = board_.check(task.kind, task.labels.size(), forecast); status != Status::ok) return status;
    }
    TaskNumber number = 0;
    if (const Status status = open(task, number); status != Status::ok) return status;
    return record_at(tasks_.find(number), forecast);
  });
}

Status Fleet::record(std::string_view id, const Forecast& forecast) noexcept {
  return live([&] {
    std::uint32_t slot = 0;
    const Status status = find_open(id, slot);
    return status == Status::ok ? record_at(slot, forecast) : status;
  });
}

Status Fleet::record(TaskNumber task, const Forecast& forecast) noexcept {
  return live([&] {
    const std::uint32_t slot = tasks_.find(task);
    return slot != FleetTasks::none ? record_at(slot, forecast) : Status::unknown_task;
  });
}

Status Fleet::record_at(std::uint32_t slot, const Forecast& forecast) {
  const FleetTask& task = tasks_[slot];
  if (const Status status = board_.check(task.handle, forecast); status != Status::ok) return status;
  journal::encode(buffer_, forecast, task.number, task.kind, numbers_[index(forecast.model)], task.category);
  return log();
}

Status Fleet::decide(std::string_view id, Strategy strategy, Decision& out, Time now) noexcept {
  std::uint32_t slot = 0;
  const Status status = find_open(id, slot);
  return status == Status::ok ? decide_at(slot, strategy, out, now) : status;
}

Status Fleet::decide(TaskNumber task, Strategy strategy, Decision& out, Time now) noexcept {
  const std::uint32_t slot = tasks_.find(task);
  return slot != FleetTasks::none ? decide_at(slot, strategy, out, now) : Status::unknown_task;
}

Status Fleet::consider(TaskNumber task, Strategy strategy, Decision& out, Time now) noexcept {
  const std::uint32_t slot = tasks_.find(task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  const Status status = board_.decide(tasks_[slot].handle, strategy, out, now);
  if (status == Status::ok) limit(out);
  return status;
}

Status Fleet::decide_by(TaskNumber task, std::string_view name, std::span<const ModelWeight> weights, Decision& out,
                        Time now) noexcept {
  const std::uint32_t slot = tasks_.find(task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  if (const Status status = board_.decide_by(tasks_[slot].handle, weights, out, now); status != Status::ok) return status;
  log_decision(slot, out, name);
  return Status::ok;
}

Status Fleet::decide_at(std::uint32_t slot, Strategy strategy, Decision& out, Time now) noexcept {
  if (const Status status = board_.decide(tasks_[slot].handle, strategy, out, now); status != Status::ok) return status;
  log_decision(slot, out, {});
  return Status::ok;
}

// What the desk's money and health allow of the position.
void Fleet::limit(Decision& out) const noexcept {
  out.position_scale *= settings_.kelly;
  if (const double lost = drawdown(); lost > 0.0) {
    out.position_scale *= std::max(1.0 - lost / settings_.drawdown_limit, 0.0);
    out.reasons |= drawdown_limit;
  }
  if (routing_->emergency()) {
    out.position_scale *= FleetRouting::emergency_scale;
    out.reasons |= in_emergency;
  }
}

// The event, and what an audit will tell.
void Fleet::log_decision(std::uint32_t slot, Decision& out, std::string_view name) noexcept {
  limit(out);
  FleetTask& task = tasks_[slot];
  Status logged = Status::ok;
  try {
    if (sink_ != nullptr) {
      journal::encode(buffer_, out, task.number, task.kind, task.category, numbers_, name);
      logged = hand_over();
    }
    if (logged == Status::ok) note(task, out, name);
  } catch (const std::bad_alloc&) {
    logged = Status::out_of_memory;
  }
  if (sink_ == nullptr) return;
  if (logged == Status::ok) {
    last_ = buffer_.header().seq;
  } else {
    ++unlogged_;
  }
}

Status Fleet::settle(std::string_view id, double value, Time time, double profit_usd, bool& news) noexcept {
  return live([&] {
    std::uint32_t slot = 0;
    Status status = find_open(id, slot);
    if (status == Status::task_ended) {
      const FleetTask& task = tasks_[slot];
      if (task.state != FleetTask::State::settled || task.outcome != value) return status;
      news = false;
      return Status::ok;
    }
    if (status == Status::ok) status = settle_at(slot, value, time, profit_usd);
    if (status == Status::ok) news = true;
    return status;
  });
}

Status Fleet::settle(TaskNumber task, double value, Time time, double profit_usd) noexcept {
  return live([&] {
    const std::uint32_t slot = tasks_.find(task);
    return slot != FleetTasks::none ? settle_at(slot, value, time, profit_usd) : Status::unknown_task;
  });
}

Status Fleet::settle_at(std::uint32_t slot, double value, Time time, double profit_usd) {
  const FleetTask& task = tasks_[slot];
  const Outcome outcome{.task = task.handle, .value = value, .time = time};
  if (const Status status = board_.check(outcome); status != Status::ok) return status;
  journal::encode_outcome(buffer_, task.number, task.kind, value, time, profit_usd, task.category);
  return log();
}

Status Fleet::close(std::string_view id, Time time, bool& news) noexcept {
  return live([&] {
    std::uint32_t slot = 0;
    Status status = find_open(id, slot);
    if (status == Status::task_ended && tasks_[slot].state == FleetTask::State::voided) {
      news = false;
      return Status::ok;
    }
    if (status == Status::ok) status = close_at(slot, time);
    if (status == Status::ok) news = true;
    return status;
  });
}

Status Fleet::close(TaskNumber task, Time time) noexcept {
  return live([&] {
    const std::uint32_t slot = tasks_.find(task);
    return slot != FleetTasks::none ? close_at(slot, time) : Status::unknown_task;
  });
}

Status Fleet::close_at(std::uint32_t slot, Time time) {
  journal::encode_closed(buffer_, tasks_[slot].number, time, tasks_[slot].category);
  return log();
}

}  // namespace fairlead
