#include <algorithm>

#include "fairlead/fleet_replay.hpp"

namespace fairlead {

using journal::Event;
using journal::Type;

namespace {

constexpr std::size_t index(Kind kind) noexcept { return static_cast<std::size_t>(kind); }

ReplaySize size_of(Kind kind, const FleetCensus& census) {
  std::size_t most = 0, tasks = 0;
  for (const std::uint32_t answers : census.answers) {
    most = std::max<std::size_t>(most, answers);
    tasks += answers > 0 ? 1 : 0;
  }
  return {.forecasts = census.forecasts[index(kind)],
          .tasks = tasks,
          .most = most,
          .classes = kind == Kind::categorical ? census.most_labels : 2};
}

}  // namespace

void FleetCensus::count(const Event& event) {
  if (first == 0) first = event.header->seq;
  last = event.header->seq;
  if (event.header->type == Type::task && journal::decode(event.bytes(), decoded_)) {
    if (decoded_.task.kind != Kind::categorical) return;
    most_labels = std::max(most_labels, decoded_.labels.size());
    if (labels.empty()) labels.assign(decoded_.labels.begin(), decoded_.labels.end());
    one_set_of_labels &= std::equal(labels.begin(), labels.end(), decoded_.labels.begin(), decoded_.labels.end());
  }
  journal::DecodedForecast given;
  if (event.header->type != Type::forecast || !journal::decode(event.bytes(), given)) return;
  const std::size_t kind = index(given.kind);
  if (forecasts[kind]++ == 0 || event.header->time != newest_[kind]) ++times[kind];
  newest_[kind] = event.header->time;
  if (given.task > event.header->seq) return;  // no such task can have been opened
  if (answers.size() <= given.task) answers.resize(given.task + 1);
  ++answers[given.task];
}

FleetReplay::FleetReplay(Kind kind, FleetCensus census, const ReplayOptions& options)
    : kind_(kind), census_(std::move(census)), options_(options), scorer_(kind, options, size_of(kind, census_)) {
  const std::uint64_t rows = std::max<std::size_t>(options.history_points, 2) - 1;  // one is kept for the end
  every_ = std::max<std::uint64_t>((census_.times[index(kind)] + rows - 1) / rows, 1);
}

FleetReplay::Slot& FleetReplay::slot_of(std::uint32_t slot) {
  if (slots_.size() <= slot) slots_.resize(static_cast<std::size_t>(slot) + 1);
  const TaskNumber number = fleet_.tasks()[slot].number;
  if (slots_[slot].number != number) slots_[slot] = {.number = number};
  return slots_[slot];
}

Status FleetReplay::apply(const Event& event) {
  switch (event.header->type) {
    case Type::forecast: return recorded(event);
    case Type::outcome: {
      journal::OutcomeFixed given;
      if (!journal::decode(event.bytes(), given)) return fleet_.apply(event);
      return ended(event, given.task, given.value, given.profit_usd, true);
    }
    case Type::closed: {
      journal::ClosedFixed given;
      if (!journal::decode(event.bytes(), given)) return fleet_.apply(event);
      return ended(event, given.task, nan, nan, false);
    }
    default: return fleet_.apply(event);
  }
}

Status FleetReplay::recorded(const Event& event) {
  journal::DecodedForecast given;
  const bool ours = journal::decode(event.bytes(), given) && given.kind == kind_;
  const Time now = event.header->time;
  if (ours && (times_seen_ == 0 || now != forecast_time_)) {  // as the census counts them
    if (times_seen_++ % every_ == 0) scorer_.note(fleet_.board(), now);
    forecast_time_ = newest_ = now;
  }
  if (const Status status = fleet_.apply(event); status != Status::ok || !ours) return status;
  ++forecasts_;
  ++scorer_.scores.events;
  const std::uint32_t slot = fleet_.tasks().find(given.task);
  Slot& task = slot_of(slot);
  if (++task.answers < census_.answers[given.task]) return Status::ok;
  const Status status = scorer_.decide(fleet_.board(), fleet_.tasks()[slot].handle, [&](Strategy strategy, Decision& out) {
    return fleet_.consider(given.task, strategy, out, now);  // what was decided is an event of its own
  });
  if (status == Status::ok) task.stage = now > options_.score_after ? Stage::scored : Stage::decided;
  return status == Status::no_forecast ? Status::ok : status;
}

Status FleetReplay::ended(const Event& event, TaskNumber number, double outcome, double profit_usd, bool known) {
  const std::uint32_t slot = fleet_.tasks().find(number);
  if (slot == FleetTasks::none || fleet_.tasks()[slot].kind != kind_) return fleet_.apply(event);
  const Slot task = slot_of(slot);
  const TaskHandle handle = fleet_.tasks()[slot].handle;
  std::array<SliceId, Scoreboard::max_slices> slices;
  const std::span<const SliceId> all = fleet_.board().slices(handle).subspan(1);  // overall is the first
  std::copy(all.begin(), all.end(), slices.begin());
  const std::size_t n = all.size();
  if (const Status status = fleet_.apply(event); status != Status::ok) return status;
  if (!known) {
    scorer_.scores.unsettled += task.stage != Stage::open ? 1 : 0;
    return Status::ok;
  }
  ++scorer_.scores.events;
  newest_ = std::max(newest_, event.header->time);
  if (task.stage == Stage::scored) {
    scorer_.score(fleet_.board(), {.task = handle,
                                   .number = number,
                                   .outcome = outcome,
                                   .profit_usd = profit_usd,
                                   .time = event.header->time,
                                   .slices = std::span(slices).first(n)});
  }
  return Status::ok;
}

void FleetReplay::finish() {
  for (const std::uint32_t slot : fleet_.tasks().open()) {
    if (fleet_.tasks()[slot].kind == kind_ && slot_of(slot).stage != Stage::open) ++scorer_.scores.unsettled;
  }
  if (forecasts_ > 0) scorer_.note(fleet_.board(), newest_);
  for (auto* scores : {&scorer_.scores.models, &scorer_.scores.adjusted}) {
    scores->resize(static_cast<std::size_t>(fleet_.board().models().size()));
  }
  scorer_.scores.models_paired.resize(static_cast<std::size_t>(fleet_.board().models().size()));
  scorer_.scores.slices.resize(static_cast<std::size_t>(fleet_.board().n_slices()));
}

}  // namespace fairlead
