// The state of a fleet as bytes. Tasks are kept as their records; what follows from them is worked out again.
#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "fairlead/fleet.hpp"
#include "fairlead/snapshot.hpp"

namespace fairlead {

using journal::Table;

namespace {

constexpr std::uint32_t version = 3;
constexpr std::string_view family = "fleet";
constexpr std::string_view state_family = "fleet state";

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

std::span<const std::byte> bytes_of(const std::string& text) noexcept {
  return std::as_bytes(std::span<const char>(text));
}

void save_decided(const Decided& decided, SnapshotWriter& out) {
  out.put(static_cast<std::uint8_t>(decided.made));
  if (!decided.made) return;
  out.put(decided.strategy);
  out.put(decided.chosen);
  out.put(decided.reasons);
  out.put(decided.time);
  out.put(decided.disagreement);
  out.put(decided.position_scale);
  out.put(decided.p);
  out.put(static_cast<std::uint64_t>(decided.weights.size()));
  for (const auto& [model, weight] : decided.weights) {
    out.put(model);
    out.put(weight);
  }
  out.put(std::string_view(decided.name));
}

void load_decided(Decided& decided, std::size_t models, SnapshotReader& in) {
  std::uint8_t made = 0;
  in.get(made);
  in.require(made <= 1);
  decided.clear();
  decided.made = made == 1;
  if (!in.ok() || !decided.made) return;
  in.get(decided.strategy);
  in.get(decided.chosen);
  in.get(decided.reasons);
  in.get(decided.time);
  in.get(decided.disagreement);
  in.get(decided.position_scale);
  in.get(decided.p);
  const std::size_t n = in.length(sizeof(ModelId) + sizeof(double));
  in.require(n <= models);
  if (!in.ok()) return;
  decided.weights.resize(n);
  for (auto& [model, weight] : decided.weights) {
    in.get(model);
    in.get(weight);
    in.require(model >= 0 && index(model) < models);
  }
  in.get(decided.name);
  const auto known = [](Strategy strategy) {
    return static_cast<std::size_t>(strategy) < n_strategies || strategy == Strategy::given;
  };
  in.require(known(decided.strategy) && known(decided.chosen));
}

}  // namespace

std::string Fleet::state() const {
  SnapshotWriter out(state_family, version);
  save(out);
  return out.finish();
}

std::string Fleet::snapshot(const FleetOrigin& origin) const {
  SnapshotWriter out(family, version);
  out.put_raw(std::span<const std::uint8_t>(origin.journal));
  out.put(origin.crc);
  out.put(last_);
  out.put(static_cast<std::uint8_t>(configured_));
  out.put(passed_over_);
  out.put(first_passed_over_);
  save(out);
  for (const Numbers& table : names_) {
    out.put(table.names);
    out.put(table.number);
  }
  std::vector<std::int32_t> numbers;
  for (const Member& member : members_) numbers.push_back(member.number);
  out.put(numbers);
  return out.finish();
}

void Fleet::save(SnapshotWriter& out) const {
  out.put(std::string_view(settings_.json()));
  board_.save(out);
  out.put(joined_);
  for (const Member& member : members_) {
    out.put(std::string_view(member.record));
    out.put(member.joined);
    out.put(static_cast<std::uint8_t>(member.present));
  }
  routing_->save(out);
  performance_.save(out);
  out.put(runners_);
  runs_.save(out);
  alerts_.save(out);
  out.put(next_task_);
  out.put(static_cast<std::uint64_t>(tasks_.n_open()));
  for (const std::uint32_t slot : tasks_.open()) {
    const FleetTask& task = tasks_[slot];
    out.put(task.handle.slot);
    out.put(task.handle.generation);
    out.put(task.shown);
    routing_->save_task(task.routing, out);
    out.put(std::string_view(task.record));
    save_decided(task.decided, out);
  }
  audits_.save(out);
  out.put(profit_usd_);
  out.put(profit_peak_usd_);
  out.put(static_cast<std::uint64_t>(tasks_.n_ended()));
  for (const std::uint32_t slot : tasks_.ended()) {
    const FleetTask& task = tasks_[slot];
    out.put(task.state);
    out.put(task.outcome);
    out.put(task.shown);
    out.put(std::string_view(task.record));
  }
}

// Into a new fleet, which is thrown away where the reader fails.
void Fleet::load(SnapshotReader& in) {
  std::string text;
  in.get(text);
  in.require(FleetSettings::parse(text, settings_) == Status::ok);
  if (!in.ok()) return;
  const ScoreboardOptions wanted = settings_.board();
  board_ = Scoreboard(wanted);
  board_.load(in);
  const ScoreboardOptions& got = board_.options();
  in.require(got.hedge.half_life == wanted.hedge.half_life && got.history == wanted.history &&
             got.psi_reference == wanted.psi_reference && got.psi_window == wanted.psi_window);
  in.get(joined_);
  if (!in.ok()) return;
  members_.resize(index(board_.models().size()));
  for (ModelId model = 0; index(model) < members_.size(); ++model) {
    Member& member = members_[index(model)];
    std::uint8_t present = 0;
    in.get(member.record);
    in.get(member.joined);
    in.get(present);
    member.present = present == 1;
    in.require(present <= 1 && member.joined <= joined_ && member.present == board_.active(model));
    if (!in.ok()) return;
    routing_->add(model, board_.models().name(model), member.record);
    if (!member.present) routing_->remove(model);
  }
  for (auto* column : {&losses_, &audit_weights_}) column->reserve(members_.size());
  audit_models_.reserve(members_.size());
  routing_->load(in);
  performance_.load(in);
  in.get(runners_);
  runs_.load(in);
  in.require(performance_.n_models() <= board_.models().size() && runs_.n_models() <= runners_.size());
  alerts_.load(in);
  in.get(next_task_);

  const auto next_record = [&](std::uint32_t& slot) {
    in.get(text);
    if (!in.ok()) return;
    in.require(journal::decode(bytes_of(text), decoded_) && !decoded_.task.id.empty() &&
               decoded_.number < next_task_ && tasks_.find(decoded_.task.id) == FleetTasks::none &&
               tasks_.find(decoded_.number) == FleetTasks::none);
    if (in.ok()) slot = tasks_.prepare(bytes_of(text));
  };
  std::uint64_t n = 0;
  in.get(n);
  in.require(n == board_.open_tasks());
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    TaskHandle handle;
    Time shown = 0;
    std::uint32_t slot = 0;
    in.get(handle.slot);
    in.get(handle.generation);
    in.get(shown);
    TaskRouting routing;
    in.get(routing.attempts);
    in.get(routing.type);
    next_record(slot);
    in.require(board_.is_open(handle));
    if (in.ok()) {
      tasks_.add(slot, decoded_.number, handle, decoded_.task.kind, shown, -1,
                 routing_->load_task(decoded_.task, routing, in));
      load_decided(tasks_[slot].decided, members_.size(), in);
      tasks_[slot].place =
          performance_.place(decoded_.task.category, decoded_.task.regime, expiry_of(decoded_.task.expires_in_s));
    }
  }
  audits_.load(in, members_.size());
  in.get(profit_usd_);
  in.get(profit_peak_usd_);
  in.require(std::isfinite(profit_usd_) && profit_peak_usd_ >= 0.0 && std::isfinite(profit_peak_usd_));
  n = 0;
  in.get(n);
  in.require(n <= settings_.remember);
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    FleetTask::State state = FleetTask::State::unused;
    double outcome = nan;
    Time shown = 0;
    std::uint32_t slot = 0;
    in.get(state);
    in.get(outcome);
    in.get(shown);
    next_record(slot);
    in.require(state == FleetTask::State::settled || state == FleetTask::State::voided);
    if (!in.ok()) break;
    tasks_.add(slot, decoded_.number, {}, decoded_.task.kind, shown, -1);
    tasks_.end(slot, state, outcome);
  }
}

Status Fleet::restore(std::string_view bytes, Fleet& out, FleetOrigin& origin) noexcept {
  try {
    SnapshotReader in(bytes, family, version);
    Fleet read;
    FleetOrigin of;
    std::uint8_t configured = 0;
    in.get_raw(std::span<std::uint8_t>(of.journal));
    in.get(of.crc);
    in.get(read.last_);
    in.get(configured);
    in.get(read.passed_over_);
    in.get(read.first_passed_over_);
    in.require(configured <= 1);
    read.configured_ = configured == 1;
    read.load(in);
    for (Numbers& table : read.names_) {
      NameTable names;
      std::vector<std::int32_t> numbers;
      in.get(names);
      in.get(numbers);
      in.require(numbers.size() == index(names.size()));
      for (std::int32_t i = 0; in.ok() && i < names.size(); ++i) {
        in.require(table.learn(numbers[index(i)], names.name(i)) == Status::ok);
      }
    }
    in.get(read.numbers_);
    in.require(read.numbers_.size() == read.members_.size());
    if (in.ok()) read.fit_journal_numbers(in);
    if (const Status status = in.finish(); status != Status::ok) return status;
    out = std::move(read);
    origin = of;
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

// What hangs on the numbers of the journal's names: of the models, and of the categories of open tasks.
void Fleet::fit_journal_numbers(SnapshotReader& in) {
  const Numbers& models = names_[static_cast<std::size_t>(Table::models)];
  for (ModelId model = 0; index(model) < members_.size(); ++model) {
    const std::int32_t number = numbers_[index(model)];
    const bool known = number >= 0 && index(number) < models.id.size() && models.id[index(number)] >= 0;
    in.require(known && models.names.name(models.id[index(number)]) == board_.models().name(model));
    if (!in.ok()) return;
    members_[index(model)].number = number;
    if (by_number_.size() <= index(number)) by_number_.resize(index(number) + 1, NameTable::absent);
    by_number_[index(number)] = model;
  }
  const Numbers& categories = names_[static_cast<std::size_t>(Table::categories)];
  for (const std::uint32_t slot : tasks_.open()) {
    (void)journal::decode(bytes_of(tasks_[slot].record), decoded_);  // it was decoded before
    const std::int32_t id = categories.names.find(decoded_.task.category);
    tasks_[slot].category = id >= 0 ? categories.number[index(id)] : -1;
  }
}

}  // namespace fairlead
