// What a fleet knows for routing, and the choice of whom to ask: quality by context (router.hpp), money (budget.hpp,
// spend.hpp), health (breakers.hpp), rules, and the calls that have not ended yet.
//
// A fold like the fleet's: what changes it are events, and the same events give the same bits.
//
//   route      holds the money and begins a call in the breakers; or counts a refusal
//   called     settles it: cost, tokens, health. `released` takes all back; `lost` counts at what was held
//   forecast   ends the call of its (task, model) that is open, if nobody told `called` before; without one it is charged
//   outcome    teaches the router
//   budget     {"name", "limit" (nano-dollars), "period", "scope", "of", "warning", "critical" (ppm), "on_exhausted"},
//              {"name", "removed": true} or {"zone", "runs": [[start, day], ...]} (Calendar::runs)
//   alert      {"kind": "budget", "budget", "level", "number", ...}: it was told
//   health     {"emergency": true | false, "reason"} or {"closed": model}: its breaker was closed by hand
//   routing    {"rules": {"all": rule, "types": {type: rule}}}, rule being {"objective": {"goal", "quality", "cost",
//              "latency", "min_quality", "explore"}, "at_least": tier, "pin": model, "ban": [model, ...]}; or
//              {"breaker": options, "model"}: of models that are added after it, or of one of them
//
// The call's cost is expected from the model's calls lately in the task's type or category, if there are some, else
// overall, else from its prices. The most that it may cost is the caller's bound; without one, 4 times what is expected, and
// twice as much once some of its calls are known, which a call may exceed.
//
// Where a budget has no money for the model that is wanted, it says what becomes of the route: refused, to wait (refused, too,
// but for the word), or degraded: the best of those that are expected to cost no more. The propensity is then that among them.
//
// Hot path: `choose` and the fold of route, called, forecast and outcome allocate nothing after warm-up. One thread at a
// time. Memory: that of its parts, and 100 bytes a call that has not ended.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/breakers.hpp"
#include "fairlead/budget.hpp"
#include "fairlead/fleet_tasks.hpp"
#include "fairlead/money.hpp"
#include "fairlead/names.hpp"
#include "fairlead/router.hpp"
#include "fairlead/spend.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class JsonValue;

struct RoutingRule {
  std::optional<Objective> objective = {};
  std::optional<Tier> at_least = {};
  std::string pin = {};
  std::vector<std::string> ban = {};
};

// What the caller asks for; it goes before the rules of the task's type, and those before the rules for all.
struct RouteRequest {
  std::string_view type = {};                // of the task; empty: none, or the one that an earlier route gave it
  std::optional<Objective> objective = {};
  std::optional<Tier> at_least = {};
  std::string_view pin = {};
  std::span<const ModelId> ban = {};
  std::span<const ModelId> without = {};     // tried before, for this task
  std::span<const Nanos> bounds = {};        // by ModelId: the most that a call may cost; -1: not known
  std::span<const double> predicted = {};    // by ModelId: what a model of the prompt expects; NaN: nothing
  std::span<const double> predicted_n = {};  // by ModelId, as many: how many results that is worth
};

// Whom to ask, and why. A route is `made` where its event was logged: somebody is asked, or a budget refused.
struct Route {
  static constexpr std::size_t most_others = 7;
  TaskNumber task = 0;
  ModelId model = -1;         // that is asked, or was wanted where it was refused
  std::uint16_t attempt = 0;  // 0: nobody is asked
  Goal goal = Goal::quality;
  Candidate expected = {};    // of the model
  double propensity = nan;
  std::uint32_t reasons = 0;  // bits of RouteReason
  Nanos reserved = 0;
  Admission admission = {};   // where it was refused: by which budget, and what that wants done
  Time until = 0;             // where nobody is there: when a breaker may next let a call through; 0: not known
  std::array<Candidate, most_others> others = {};
  std::size_t n_others = 0;

  bool asks() const noexcept { return attempt > 0; }
};

class FleetRouting {
 public:
  static constexpr double emergency_scale = 0.25;  // of positions, while an emergency lasts
  static constexpr double guess = 4.0, known_guess = 2.0;  // times what is expected: the most of a call without a bound

  FleetRouting() = default;
  FleetRouting(const FleetRouting&) = delete;
  FleetRouting& operator=(const FleetRouting&) = delete;

  // --- the fold. These may throw std::bad_alloc, but for those that are noexcept ---

  // Of a model that is new or comes back: ids as the Scoreboard gives them. `record`: what Model is in Python, as JSON.
  void add(ModelId model, std::string_view name, std::string_view record);
  void remove(ModelId model) noexcept;
  TaskRouting open(const Task& task);

  Status route(TaskRouting& task, TaskNumber number, ModelId model, const journal::RouteFixed& fixed,
               std::string_view type, Time time);
  Status check(ModelId model, const journal::CalledFixed& fixed) const noexcept;  // what `called` would refuse
  Status called(ModelId model, const journal::CalledFixed& fixed, Time time) noexcept;
  void answered(const TaskRouting& task, TaskNumber number, const Forecast& forecast) noexcept;
  void settled(const TaskRouting& task, Kind kind, std::span<const ModelId> models, std::span<const double> losses) noexcept;
  void ended(TaskNumber number) noexcept;  // no forecast will come any more

  // bad_event where the JSON is not what it should be, unknown_model, unknown_key (a budget), out_of_range, wrong_length;
  // nothing has changed then. `check_...` tells what its event would be refused for, but for wrong_length.
  Status budget(std::string_view json, Time time);
  Status alert(std::string_view json);
  Status health(std::string_view json, Time time);
  Status rules(std::string_view json);
  Status check_budget(std::string_view json) const;
  Status check_health(std::string_view json) const;
  Status check_rules(std::string_view json) const;

  // --- the choice: it changes nothing ---

  Status choose(const TaskRouting& task, Kind kind, std::size_t text_bytes, const RouteRequest& request, std::uint64_t seed,
                Time now, Route& out);

  // --- reading ---

  // A call that was begun and has not ended; or, of a model and task, how many ended and wait for their forecasts.
  struct OpenCall {
    TaskNumber task = 0;
    BreakersCall ticket = 0;
    Nanos reserved = 0;
    Time time = 0;
    Reservation reservation = {};
    Where where = {};
    std::uint16_t attempt = 0;
    std::uint16_t awaited = 0;  // forecasts of calls that have ended; 0: it has not
    bool used = false;          // the slot
  };
  std::vector<OpenCall> open_calls() const;  // by task and attempt. May throw std::bad_alloc

  const Router& router() const noexcept { return router_; }
  const Budgets& budgets() const noexcept { return budgets_; }
  const Spend& spend() const noexcept { return spend_; }
  const Breakers& breakers() const noexcept { return breakers_; }
  const NameTable& categories() const noexcept { return categories_; }
  const NameTable& types() const noexcept { return types_; }
  const std::string& rules_json() const noexcept { return rules_json_; }
  bool emergency() const noexcept { return emergency_; }
  double expected_cost(ModelId model, std::int32_t category, std::int32_t type, std::size_t text_bytes) const noexcept;

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // into a new one, which is thrown away where the reader fails
  void save_task(const TaskRouting& task, SnapshotWriter& out) const;
  TaskRouting load_task(const Task& task, const TaskRouting& saved, SnapshotReader& in);

 private:
  static constexpr std::uint32_t none = SlotIndex::none;
  static std::uint64_t spread(TaskNumber number) noexcept { return number * 0x9e3779b97f4a7c15u; }

  struct Member {
    Tier tier = Tier::standard;
    bool present = false;
    Prices prices = {};
    double usual_ms = nan;  // median latency
  };
  struct Rules {
    RoutingRule all = {};
    std::vector<std::pair<std::string, RoutingRule>> types = {};
  };

  // What the cold events say, once it is known to fit.
  struct BudgetChange {
    std::optional<Calendar> calendar = {};
    std::string name = {}, of = {};
    bool removed = false;
    BudgetOptions options = {};
  };
  struct HealthChange {
    std::optional<bool> emergency = {};
    ModelId closed = -1;
  };
  struct RulesChange {
    std::optional<Rules> rules = {};
    std::string model = {};  // whose breaker it is; empty: of all that come
    BreakerOptions breaker = {};
  };
  Status read(std::string_view json, BudgetChange& out) const;
  Status read(std::string_view json, HealthChange& out) const;
  Status read(std::string_view json, RulesChange& out) const;

  const RoutingRule* rule_of(std::string_view type) const noexcept;
  Where where(ModelId model, const TaskRouting& task, std::int32_t type) const noexcept;
  Candidate candidate(ModelId model, const TaskRouting& task, std::int32_t type, std::size_t text_bytes,
                      const RouteRequest& request) const noexcept;
  Nanos bound(const Candidate& candidate, const RouteRequest& request) const noexcept;
  void ask_budgets(const TaskRouting& task, std::int32_t type, const RouteRequest& request, Time now, Route& out);
  void keep_cheaper(double cost_usd);
  void find_others(Route& out, const Pick& pick) const noexcept;

  std::uint32_t find_call(TaskNumber task, std::uint16_t attempt) const noexcept;
  std::uint32_t find_call(TaskNumber task, ModelId model) const noexcept;
  std::uint32_t add_call();
  void drop_call(std::uint32_t slot) noexcept;
  void pay(OpenCall& call, Nanos cost, const Usage& usage, bool failed, Time time) noexcept;
  void tell_health(ModelId model, BreakersCall ticket, CallEnd end, CallFailure kind, double retry_after_ms, double latency_ms,
                   Time time) noexcept;

  Router router_;
  Budgets budgets_;
  Spend spend_;
  Breakers breakers_;
  NameTable categories_, types_;
  std::vector<Member> members_;  // by ModelId
  std::size_t n_budgets_ = 0;
  Rules rules_;
  std::string rules_json_;
  std::vector<std::pair<std::string, BreakerOptions>> breaker_options_;  // by model; "": of all that come
  bool emergency_ = false;

  std::vector<OpenCall> calls_;
  std::vector<std::uint32_t> free_calls_;
  SlotIndex calls_of_task_;

  // Buffers of a choice.
  std::vector<Candidate> candidates_;
  std::vector<Admission> admissions_;  // of each candidate
  std::vector<Where> places_;
  std::vector<Nanos> bounds_;
  Pick pick_;
};

}  // namespace fairlead
