// A fleet: models that answer the same tasks, what is known of them, and the tasks themselves. A fold over events.
//
// `apply` is the one way in which state changes. The live calls (add, record, settle, ...) check everything first, encode
// the event, hand it to a sink, which may be a journal, and then apply the very same event. So what a journal replays is
// what was lived, bit for bit. It reads no clock and does no I/O: times come with the events, and the sink is the caller's.
//
// A call that returns an error has changed nothing and logged nothing, but for two cases. `record` of a task that is not open
// yet is two events; where the sink takes the first and refuses the second, the task is open without an answer, here and in
// a replay. And where memory runs out while an event is applied that the sink has taken, the fleet is behind its journal:
// from then on every call that would change it says out_of_memory, and opening it again makes it whole.
//
// Hot path: record, decide and settle of an open task allocate nothing once the buffers have had their size; a new task
// copies its record. One thread at a time. Memory: scoreboard.hpp; fleet_tasks.hpp.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/alerts.hpp"
#include "fairlead/audits.hpp"
#include "fairlead/fleet_routing.hpp"
#include "fairlead/fleet_tasks.hpp"
#include "fairlead/journal/encode.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/names.hpp"
#include "fairlead/performance.hpp"
#include "fairlead/scoreboard.hpp"
#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

// What the events of a live fleet are handed to. What it refuses does not happen.
class EventSink {
 public:
  virtual ~EventSink() = default;
  // The number of a name in one of the journal's tables; it may be a new one, which is logged by the sink.
  virtual Status name(journal::Table table, std::string_view name, std::int32_t& out) noexcept = 0;
  virtual Status append(const journal::RecordHeader& header, std::span<const std::byte> payload,
                        journal::Seq& out) noexcept = 0;
};

// The numbers a fleet is built with; python/fairlead/settings.py says what they are.
struct FleetSettings {
  double k = 32.0;
  double scale = 400.0;
  double start = 1500.0;
  double half_life = 200.0;
  std::uint64_t history = 4096;
  std::uint64_t psi_reference = 500;
  std::uint64_t psi_window = 500;
  std::uint64_t remember = 100'000;
  double kelly = 1.0;           // of what a decision's certainty says, what position is taken
  double capital_usd = 0.0;     // 0: drawdowns are not looked at
  double drawdown_limit = 0.2;  // of the capital and the profits at their peak: where this is lost, no position is taken

  bool operator==(const FleetSettings&) const = default;
  ScoreboardOptions board() const noexcept;
  std::string json() const;
  // bad_event where it is no object of these numbers or one cannot be honoured, unknown_format where it has one more.
  static Status parse(std::string_view json, FleetSettings& out) noexcept;
};

// Of which journal a fleet is the fold, and up to where: the checksum of its last event, which holds that of the one before,
// and so on. A journal that lost its end in a power cut and went on differently has another one there.
struct FleetOrigin {
  std::array<std::uint8_t, 16> journal = {};
  std::uint32_t crc = 0;

  bool operator==(const FleetOrigin&) const = default;
};

class Fleet {
 public:
  // May throw std::bad_alloc, as may the readers below that give a vector or a string.
  explicit Fleet(const FleetSettings& settings = {});
  Fleet(Fleet&&) = default;
  Fleet& operator=(Fleet&&) = default;

  // --- the fold ---

  // What an event changes. Types that it does not know, decisions and cold events change nothing. An event that does not
  // fit (an answer to a task that is not open) changes nothing but `passed_over`; a live fleet logs none such.
  // unknown_format: of a newer version, to be read no further. out_of_memory: the state is not that of any event.
  Status apply(const journal::Event& event) noexcept;

  // --- live: each logs its event, and then applies it ---

  // Of the journal that this fleet was folded from, all of it; or of a new one, for a new fleet. It outlives the fleet.
  void attach(EventSink* sink) noexcept { sink_ = sink; }

  Status configure(const FleetSettings& settings, Time time) noexcept;  // before anything else

  // Adds a model; `record` is what Model is in Python, as JSON. One that comes back keeps what is known of it. Again
  // with the same record: ok, and no event. model_differs: there is another of this name.
  Status add(std::string_view name, std::string_view record, Time time = 0) noexcept;
  Status add(const Model& model, Time time = 0) noexcept;
  Status remove(std::string_view name, Time time = 0) noexcept;

  // Opens a task: ok also where it is open already and the same but for its time, else task_differs or task_ended.
  // `out` may be used instead of the id until the task ends.
  Status open(const Task& task, TaskNumber& out) noexcept;
  Status record(const Task& task, const Forecast& forecast) noexcept;  // opens it where it is new
  Status record(std::string_view id, const Forecast& forecast) noexcept;
  Status record(TaskNumber task, const Forecast& forecast) noexcept;

  // Changes nothing but the journal, and what is audited. A decision that the sink refuses is given all the same, as
  // deciding must not fail because of the log; it is counted in `unlogged`, and not audited.
  Status decide(std::string_view id, Strategy strategy, Decision& out, Time now = 0) noexcept;
  Status decide(TaskNumber task, Strategy strategy, Decision& out, Time now = 0) noexcept;
  // What `decide` would give; nothing is logged, and nothing audited.
  Status consider(TaskNumber task, Strategy strategy, Decision& out, Time now = 0) noexcept;
  // By weights of the caller's, under a name of the caller's: Scoreboard::decide_by.
  Status decide_by(TaskNumber task, std::string_view name, std::span<const ModelWeight> weights, Decision& out,
                   Time now = 0) noexcept;

  // `news` becomes false where the task has ended with the same outcome before; with another: task_ended.
  Status settle(std::string_view id, double value, Time time, double profit_usd, bool& news) noexcept;
  Status settle(TaskNumber task, double value, Time time, double profit_usd = nan) noexcept;
  Status close(std::string_view id, Time time, bool& news) noexcept;  // its outcome will never be known
  Status close(TaskNumber task, Time time) noexcept;

  // --- routing: fleet_routing.hpp ---

  // Whom to ask a task. Where somebody is, the call has begun: its end is told by `called`, or by `record` of the answer.
  // Where a budget refuses, or nobody is there, that is logged too; where all are held back, nothing is. out_of_range: the
  // task has had 65,535 calls.
  Status route(TaskNumber task, const RouteRequest& request, Route& out, Time now) noexcept;
  // How the call of a route ended; its forecast is recorded after it. unknown_key: it has ended, or never began.
  // `fixed` but for its task and attempt.
  Status called(const Route& route, journal::CalledFixed fixed, Time now) noexcept;
  // The calls that a process that is gone left open have ended, nobody knows how: they count as made. May log many events.
  Status lose_calls(Time now) noexcept;

  // What a program did that is no forecast, whatever it is called; `fixed` but for its count. Names beyond `most_runners` count
  // as "(other)".
  static constexpr std::int32_t most_runners = 4096;
  Status run(std::string_view name, std::string_view category, const journal::RunFixed& fixed, std::string_view error,
             Time time) noexcept;

  // Cold events of routing, as JSON: fleet_routing.hpp says which.
  Status budget(std::string_view json, Time time) noexcept;
  Status health(std::string_view json, Time time) noexcept;
  Status routing_rules(std::string_view json, Time time) noexcept;
  // The alerts of budgets that wait, each logged, and told once. May throw std::bad_alloc.
  Status take_alerts(std::vector<Alert>& out, Time now);
  // An alert of a rule, as JSON: alerts.hpp. `news` becomes false, and nothing is logged, where it is raised already, or
  // cleared and was not. bad_event where it is of another kind.
  Status alert(std::string_view json, Time time, bool& news) noexcept;

  const FleetRouting& routing() const noexcept { return *routing_; }
  const Alerts& alerts() const noexcept { return alerts_; }
  // For whoever reads objects that are not const; they are changed by events alone.
  FleetRouting& routing() noexcept { return *routing_; }

  // --- reading ---

  struct Member {
    std::string record = {};
    std::uint64_t joined = 0;   // rises with every one that comes
    std::int32_t number = -1;   // in the journal
    bool present = false;
  };

  const FleetSettings& settings() const noexcept { return settings_; }
  bool configured() const noexcept { return configured_; }  // by an event
  const Scoreboard& board() const noexcept { return board_; }
  ModelId find_model(std::string_view name) const noexcept { return board_.models().find(name); }
  const Member& member(ModelId model) const noexcept { return members_[static_cast<std::size_t>(model)]; }
  std::vector<ModelId> members() const;  // those in the fleet now, in the order in which they came
  const FleetTasks& tasks() const noexcept { return tasks_; }
  const Audits& audits() const noexcept { return audits_; }
  // How far profits have fallen from their peak, of the capital and that peak, in [0, 1]; 0 where there is no capital.
  double drawdown() const noexcept;
  double profit_usd() const noexcept { return profit_usd_; }  // of all outcomes
  // How every model is doing. A call counts when its forecast comes, an answer when its task is settled. Calls that were
  // cancelled or lost have no forecast, and count in none.
  const Performance& performance() const noexcept { return performance_; }
  const Performance& runs() const noexcept { return runs_; }  // by runner, category
  const NameTable& runners() const noexcept { return runners_; }
  journal::Seq last() const noexcept { return last_; }  // number of the newest event that was applied
  std::uint64_t passed_over() const noexcept { return passed_over_; }
  journal::Seq first_passed_over() const noexcept { return first_passed_over_; }
  std::uint64_t unlogged() const noexcept { return unlogged_; }

  // The state as bytes, the same for the same events: `state` without where the journal stands, which is the same in
  // memory; `snapshot` with it, to go on from. Restoring trusts nothing: bad_snapshot or out_of_memory leave `out` as it was.
  std::string state() const;
  std::string snapshot(const FleetOrigin& origin) const;
  static Status restore(std::string_view bytes, Fleet& out, FleetOrigin& origin) noexcept;

 private:
  // Numbers of a journal's table, as far as the fleet has seen them. A live fleet sees those that it asked for itself.
  struct Numbers {
    NameTable names = {};
    std::vector<std::int32_t> number = {};  // by id in `names`
    std::vector<std::int32_t> id = {};      // by number
    Status learn(std::int32_t n, std::string_view name);
  };

  Status dispatch(const journal::Event& event);
  Status apply_settings(const journal::Event& event);
  Status apply_model(const journal::Event& event);
  Status apply_model_removed(const journal::Event& event) noexcept;
  Status apply_task(const journal::Event& event);
  Status apply_forecast(const journal::Event& event) noexcept;
  Status apply_outcome(const journal::Event& event) noexcept;
  Status apply_closed(const journal::Event& event) noexcept;
  Status apply_route(const journal::Event& event);
  Status apply_called(const journal::Event& event) noexcept;
  Status apply_decision(const journal::Event& event);
  void note(FleetTask& task, const Decision& decision, std::string_view name);
  void audit(const FleetTask& task, const journal::OutcomeFixed& outcome, Time time) noexcept;
  Status apply_run(const journal::Event& event);
  Status called_in(const FleetTask& task, const Forecast& forecast) noexcept;
  Status settled_in(const FleetTask& task, Time time) noexcept;
  Status apply_alert(const journal::Event& event);

  template <class Change>
  Status live(Change&& change) noexcept {
    if (behind_) return Status::out_of_memory;
    try {
      return change();
    } catch (const std::bad_alloc&) {
      return Status::out_of_memory;
    }
  }
  Status log();  // the event in the buffer, then applies it
  Status hand_over() noexcept;
  Status log_text(journal::Type type, std::string_view json, Time time, std::int32_t model = -1);
  Status number_of(journal::Table table, std::string_view name, std::int32_t& out);
  Status open_new(const Task& task);
  Status record_at(std::uint32_t slot, const Forecast& forecast);
  Status decide_at(std::uint32_t slot, Strategy strategy, Decision& out, Time now) noexcept;
  void limit(Decision& out) const noexcept;
  void log_decision(std::uint32_t slot, Decision& out, std::string_view name) noexcept;
  Status settle_at(std::uint32_t slot, double value, Time time, double profit_usd);
  Status close_at(std::uint32_t slot, Time time);
  // The slot of a task with this id that is open, or why there is none.
  Status find_open(std::string_view id, std::uint32_t& out) const noexcept;
  ModelId model_of(std::int32_t number) const noexcept;
  void fit_journal_numbers(SnapshotReader& in);

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);

  FleetSettings settings_;
  bool configured_ = false;
  Scoreboard board_;
  std::vector<Member> members_;      // by ModelId
  std::vector<std::int32_t> numbers_;  // Member::number of each, for decisions
  std::vector<ModelId> by_number_;   // by number of the model's name in the journal; -1: not in the fleet
  std::uint64_t joined_ = 0;
  FleetTasks tasks_;
  std::unique_ptr<FleetRouting> routing_;  // so that it stays where it is
  Performance performance_, runs_;
  NameTable runners_;
  Alerts alerts_;
  TaskNumber next_task_ = 1;
  std::array<Numbers, journal::n_tables> names_;
  journal::Seq last_ = 0, first_passed_over_ = 0;
  std::uint64_t passed_over_ = 0;
  Audits audits_;
  double profit_usd_ = 0.0, profit_peak_usd_ = 0.0;

  EventSink* sink_ = nullptr;
  bool behind_ = false;  // the journal has an event that could not be applied
  std::uint64_t unlogged_ = 0;
  journal::EventBuffer buffer_, compared_;
  journal::DecodedTask decoded_;
  std::vector<double> losses_;  // of a settled task
  std::array<double, n_strategies> strategy_losses_ = {};
  std::vector<double> audit_weights_;
  std::vector<ModelId> audit_models_;
  Decision noted_ = {};
};

}  // namespace fairlead
