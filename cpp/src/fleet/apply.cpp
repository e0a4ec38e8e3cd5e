// The fold: what each event of a journal changes.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "fairlead/fleet.hpp"

namespace fairlead {

using journal::Event;
using journal::Table;
using journal::Type;

namespace {

constexpr std::int32_t most_names = 1 << 24;  // so that a false number takes no memory

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

bool ours(Type type) noexcept { return type >= Type::settings && type <= Type::run; }

}  // namespace

Fleet::Fleet(const FleetSettings& settings)
    : settings_(settings), board_(settings.board()), routing_(std::make_unique<FleetRouting>()) {}

Status Fleet::apply(const Event& event) noexcept {
  const journal::RecordHeader& header = *event.header;
  if ((header.flags & journal::flag_own) != 0) return Status::ok;
  Status status = Status::ok;
  try {
    status = dispatch(event);
  } catch (const std::bad_alloc&) {
    status = Status::out_of_memory;
  }
  if (status == Status::unknown_format || status == Status::out_of_memory) return status;
  if (header.seq != 0) last_ = header.seq;
  if (status != Status::ok && passed_over_++ == 0) first_passed_over_ = header.seq;
  return status;
}

Status Fleet::dispatch(const Event& event) {
  const Type type = event.header->type;
  if ((ours(type) || type == Type::name) &&
      (event.header->version == 0 || event.header->version > journal::newest_version(type))) {
    return Status::unknown_format;
  }
  switch (type) {
    case Type::name: {
      journal::DecodedName name;
      if (!journal::decode(event.bytes(), name)) return Status::bad_event;
      return names_[static_cast<std::size_t>(name.table)].learn(name.number, name.name);
    }
    case Type::settings: return apply_settings(event);
    case Type::model: return apply_model(event);
    case Type::model_removed: return apply_model_removed(event);
    case Type::task: return apply_task(event);
    case Type::forecast: return apply_forecast(event);
    case Type::decision: return apply_decision(event);
    case Type::outcome: return apply_outcome(event);
    case Type::closed: return apply_closed(event);
    case Type::route: return apply_route(event);
    case Type::called: return apply_called(event);
    case Type::run: return apply_run(event);
    case Type::budget: return routing_->budget(journal::text_of(event.bytes()), event.header->time);
    case Type::alert: return apply_alert(event);
    case Type::health: return routing_->health(journal::text_of(event.bytes()), event.header->time);
    case Type::routing: return routing_->rules(journal::text_of(event.bytes()));
    default: return Status::ok;
  }
}

Status Fleet::Numbers::learn(std::int32_t n, std::string_view name) {
  if (n < 0 || n >= most_names) return Status::bad_event;
  if (id.size() <= index(n)) id.resize(index(n) + 1, NameTable::absent);
  number.reserve(number.size() + 1);
  const std::int32_t own = names.intern(name);
  if (number.size() <= index(own)) number.push_back(n);
  number[index(own)] = n;
  id[index(n)] = own;
  return Status::ok;
}

Status Fleet::apply_settings(const Event& event) {
  FleetSettings given;
  if (const Status status = FleetSettings::parse(journal::text_of(event.bytes()), given); status != Status::ok) return status;
  if (given != settings_) {
    // What was learned by other settings cannot be learned anew.
    if (configured_ || !members_.empty() || next_task_ != 1) return Status::bad_event;
    board_ = Scoreboard(given.board());
    settings_ = given;
  }
  configured_ = true;
  return Status::ok;
}

// Of a budget, or of a rule.
Status Fleet::apply_alert(const Event& event) {
  const std::string_view json = journal::text_of(event.bytes());
  const Status status = routing_->alert(json);
  return status == Status::ok ? alerts_.apply(json, event.header->time) : status;
}

ModelId Fleet::model_of(std::int32_t number) const noexcept {
  return number >= 0 && index(number) < by_number_.size() ? by_number_[index(number)] : NameTable::absent;
}

Status Fleet::apply_model(const Event& event) {
  const std::int32_t number = event.header->model;
  const Numbers& known = names_[static_cast<std::size_t>(Table::models)];
  if (number < 0 || index(number) >= known.id.size() || known.id[index(number)] < 0) return Status::unknown_model;
  const std::string_view record = journal::text_of(event.bytes());
  if (const ModelId model = model_of(number); model >= 0 && members_[index(model)].present) {
    return members_[index(model)].record == record ? Status::ok : Status::model_differs;
  }
  // What can fail comes first.
  std::string copy(record);
  members_.reserve(members_.size() + 1);
  numbers_.reserve(numbers_.size() + 1);
  for (auto* column : {&losses_, &audit_weights_}) column->reserve(members_.size() + 1);
  audit_models_.reserve(members_.size() + 1);
  if (by_number_.size() <= index(number)) by_number_.resize(index(number) + 1, NameTable::absent);
  const ModelId model = board_.add(known.names.name(known.id[index(number)]));
  if (index(model) == members_.size()) {
    members_.emplace_back();
    numbers_.push_back(number);
  }
  routing_->add(model, board_.models().name(model), record);
  members_[index(model)] = {std::move(copy), ++joined_, number, true};
  numbers_[index(model)] = number;
  by_number_[index(number)] = model;
  return Status::ok;
}

Status Fleet::apply_model_removed(const Event& event) noexcept {
  const ModelId model = model_of(event.header->model);
  if (model < 0) return Status::unknown_model;
  if (!members_[index(model)].present) return Status::inactive_model;
  members_[index(model)].present = false;
  routing_->remove(model);
  return board_.remove(model);
}

Status Fleet::apply_task(const Event& event) {
  if (!journal::decode(event.bytes(), decoded_) || decoded_.task.id.empty()) return Status::bad_event;
  if (const std::uint32_t slot = tasks_.find(decoded_.task.id); slot != FleetTasks::none) {
    return tasks_[slot].state == FleetTask::State::open ? Status::task_differs : Status::task_ended;
  }
  if (tasks_.find(decoded_.number) != FleetTasks::none) return Status::task_differs;
  if (decoded_.number == std::numeric_limits<TaskNumber>::max()) return Status::bad_event;  // none could come after it
  const std::uint32_t slot = tasks_.prepare(event.bytes());
  const TaskRouting routing = routing_->open(decoded_.task);
  const PlaceId place =
      performance_.place(decoded_.task.category, decoded_.task.regime, expiry_of(decoded_.task.expires_in_s));
  TaskHandle handle;
  if (const Status status = board_.open(decoded_.task, handle); status != Status::ok) return status;
  tasks_.add(slot, decoded_.number, handle, decoded_.task.kind, event.header->time, event.header->category,
             routing);
  tasks_[slot].place = place;
  if (decoded_.number >= next_task_) next_task_ = decoded_.number + 1;
  return Status::ok;
}

Status Fleet::apply_forecast(const Event& event) noexcept {
  journal::DecodedForecast given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const std::uint32_t slot = tasks_.find(given.task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  if (tasks_[slot].kind != given.kind) return Status::wrong_kind;
  given.forecast.model = model_of(event.header->model);
  given.forecast.time = event.header->time;
  if (given.forecast.model < 0) return Status::unknown_model;
  try {
    performance_.room({&given.forecast.model, 1}, tasks_[slot].place);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  const Status status = board_.record(tasks_[slot].handle, given.forecast);
  if (status != Status::ok) return status;
  routing_->answered(tasks_[slot].routing, given.task, given.forecast);
  return called_in(tasks_[slot], given.forecast);
}

// It changes what an audit tells, and nothing that a later decision depends on.
Status Fleet::apply_decision(const Event& event) {
  journal::DecodedDecision given;
  if (!journal::decode(event, given)) return Status::ok;
  const std::uint32_t slot = tasks_.find(given.fixed.task);
  if (slot == FleetTasks::none || tasks_[slot].kind != given.fixed.kind) return Status::ok;
  FleetTask& task = tasks_[slot];
  noted_.time = event.header->time;
  noted_.strategy = given.fixed.strategy;
  noted_.chosen = given.shape.chosen;
  noted_.reasons = given.fixed.reasons;
  noted_.disagreement = given.fixed.disagreement;
  noted_.position_scale = given.fixed.position_scale;
  noted_.value = given.fixed.value;
  noted_.p.clear();
  if (task.kind == Kind::binary) noted_.p.push_back(given.fixed.value);
  if (task.kind == Kind::categorical) noted_.p.assign(given.p.begin(), given.p.end());
  noted_.weights.clear();
  for (std::size_t i = 0; i < given.models.size(); ++i) {
    const ModelId model = model_of(given.models[i]);
    if (model < 0) return Status::ok;
    noted_.weights.push_back({model, given.weights[i]});
  }
  note(task, noted_, given.fixed.strategy == Strategy::given ? given.name : std::string_view{});
  return Status::ok;
}

// May throw std::bad_alloc, and has changed nothing then.
void Fleet::note(FleetTask& task, const Decision& decision, std::string_view name) {
  Decided& decided = task.decided;
  decided.p.reserve(std::max<std::size_t>(decision.p.size(), 1));
  decided.weights.reserve(decision.weights.size());
  decided.name.assign(name);
  decided.made = true;
  decided.strategy = decision.strategy;
  decided.chosen = decision.chosen;
  decided.reasons = decision.reasons;
  decided.time = decision.time;
  decided.disagreement = decision.disagreement;
  decided.position_scale = decision.position_scale;
  decided.p.assign(decision.p.begin(), decision.p.end());
  if (task.kind == Kind::numeric) decided.p.assign(1, decision.value);
  decided.weights.assign(decision.weights.begin(), decision.weights.end());
}

// What is left of the capital and the profits at their peak, as a share lost.
double Fleet::drawdown() const noexcept {
  if (!(settings_.capital_usd > 0.0)) return 0.0;
  return std::clamp((profit_peak_usd_ - profit_usd_) / (settings_.capital_usd + profit_peak_usd_), 0.0, 1.0);
}

// After the board has settled the task; what it found, and the losses, are there.
void Fleet::audit(const FleetTask& task, const journal::OutcomeFixed& outcome, Time time) noexcept {
  const std::span<const ModelId> models = board_.settled_models();
  const Decided& decided = task.decided;
  Audit entry{.fixed = {.m = static_cast<std::uint32_t>(models.size()),
                        .task = task.number,
                        .outcome = outcome.value,
                        .profit_usd = outcome.profit_usd,
                        .cost_usd = board_.settled_cost_usd(),
                        .time = time,
                        .decided = decided.time,
                        .disagreement = decided.disagreement,
                        .position_scale = decided.position_scale,
                        .n_p = static_cast<std::uint32_t>(decided.p.size()),
                        .n_weights = static_cast<std::uint32_t>(decided.weights.size()),
                        .reasons = decided.reasons,
                        .n_name = static_cast<std::uint16_t>(std::min<std::size_t>(decided.name.size(), 0xffff)),
                        .kind = task.kind,
                        .strategy = decided.strategy,
                        .chosen = decided.chosen,
                        .made = static_cast<std::uint8_t>(decided.made)},
              .answers = board_.settled_answers(),
              .costs = board_.settled_costs(),
              .losses = losses_,
              .strategies = strategy_losses_,
              .p = decided.p,
              .models = models};
  if (!models.empty()) entry.fixed.classes = static_cast<std::uint32_t>(entry.answers.size() / models.size());
  entry.name = std::string_view(decided.name).substr(0, entry.fixed.n_name);
  if (!decided.made) {
    entry.fixed.decided = 0;
    entry.fixed.reasons = 0;
    entry.fixed.disagreement = entry.fixed.position_scale = nan;
    entry.fixed.strategy = entry.fixed.chosen = default_strategy;
  }
  // Room for a weight of every model was taken when the models came: apply_model.
  audit_weights_.clear();
  audit_models_.clear();
  for (const auto& [model, weight] : decided.weights) {
    audit_weights_.push_back(weight);
    audit_models_.push_back(model);
  }
  entry.weights = audit_weights_;
  entry.weighted = audit_models_;
  audits_.add(entry);
}

Status Fleet::apply_outcome(const Event& event) noexcept {
  journal::OutcomeFixed given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const std::uint32_t slot = tasks_.find(given.task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  if (tasks_[slot].kind != given.kind) return Status::wrong_kind;
  const Outcome outcome{.task = tasks_[slot].handle, .value = given.value, .time = event.header->time};
  try {
    audits_.reserve();
    performance_.room(board_.answered(tasks_[slot].handle), tasks_[slot].place);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  if (const Status status = board_.settle(outcome); status != Status::ok) return status;
  const std::span<const Marks> marks = board_.settled_marks();
  losses_.clear();  // it has room for every model: apply_model
  for (const Marks& mark : marks) losses_.push_back(mark.loss);
  strategy_losses_.fill(nan);
  const std::span<const Marks> strategies = board_.settled_strategies();
  for (std::size_t s = 0; s < strategies.size(); ++s) strategy_losses_[s] = strategies[s].loss;
  audit(tasks_[slot], given, event.header->time);
  if (std::isfinite(given.profit_usd)) {
    profit_usd_ += given.profit_usd;
    profit_peak_usd_ = std::max(profit_peak_usd_, profit_usd_);
  }
  routing_->settled(tasks_[slot].routing, given.kind, board_.settled_models(), losses_);
  const Status counted = settled_in(tasks_[slot], event.header->time);
  routing_->ended(given.task);
  tasks_.end(slot, FleetTask::State::settled, given.value);
  tasks_.forget(settings_.remember);
  return counted;
}

Status Fleet::apply_closed(const Event& event) noexcept {
  journal::ClosedFixed given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const std::uint32_t slot = tasks_.find(given.task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  if (const Status status = board_.close(tasks_[slot].handle); status != Status::ok) return status;
  routing_->ended(given.task);
  tasks_.end(slot, FleetTask::State::voided, nan);
  tasks_.forget(settings_.remember);
  return Status::ok;
}

Status Fleet::apply_route(const Event& event) {
  journal::DecodedRoute given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const std::uint32_t slot = tasks_.find(given.fixed.task);
  if (slot == FleetTasks::none) return Status::unknown_task;
  return routing_->route(tasks_[slot].routing, given.fixed.task, model_of(event.header->model), given.fixed, given.type,
                         event.header->time);
}

Status Fleet::apply_called(const Event& event) noexcept {
  journal::CalledFixed given;
  if (!journal::decode(event.bytes(), given)) return Status::bad_event;
  const Status status = routing_->called(model_of(event.header->model), given, event.header->time);
  // Of a task that has ended no forecast comes.
  if (status == Status::ok && tasks_.find(given.task) == FleetTasks::none) routing_->ended(given.task);
  return status;
}

std::vector<ModelId> Fleet::members() const {
  std::vector<ModelId> present;
  for (ModelId model = 0; index(model) < members_.size(); ++model) {
    if (member(model).present) present.push_back(model);
  }
  std::sort(present.begin(), present.end(), [this](ModelId a, ModelId b) { return member(a).joined < member(b).joined; });
  return present;
}

}  // namespace fairlead
