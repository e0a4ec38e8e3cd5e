// The five records, as views: they own nothing, so filling one allocates nothing. Field names are the same in Python
// and JSON; `fields<Record>` states them once and binds each name to its member.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace fairlead {

using Time = std::int64_t;  // nanoseconds since the epoch, UTC
using ModelId = std::int32_t;
using SliceId = std::int32_t;

inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

enum class Kind : std::uint8_t { binary, categorical, numeric };
enum class Tier : std::uint8_t { reasoning, standard, fast };
inline constexpr std::array<std::string_view, 3> tier_names{"reasoning", "standard", "fast"};

// How a decision was pooled: ensemble.hpp says how each does it. The names are those of the Python and JSON interfaces;
// the numbers stand in journals. `given`: by weights that the caller gave; it has a name of its own, and none here.
enum class Strategy : std::uint8_t {
  mean, median, log, weighted, hedge, trimmed, confidence, consensus, stacked, vote, automatic, given = 255
};
inline constexpr std::array<std::string_view, 11> strategy_names{
    "mean", "median", "log", "weighted", "hedge", "trimmed", "confidence", "consensus", "stacked", "vote", "auto"};
inline constexpr std::size_t n_strategies = strategy_names.size();
inline constexpr Strategy default_strategy = Strategy::automatic;

// Why a decision looks the way it does, as bits of Decision::reasons.
enum Reason : std::uint32_t {
  single_model = 1u << 0,    // one model answered; there was nothing to combine
  no_history = 1u << 1,      // no outcome has told these models apart yet, so their weights are equal
  equal_weights = 1u << 2,   // the strategy gives every model one vote
  learned_weights = 1u << 3, // weights follow from past outcomes
  models_disagree = 1u << 4, // disagreement is above 0.1
  models_failed = 1u << 5,   // some calls failed and were left out
  models_removed = 1u << 6,  // some answers came from models that have left the fleet
  in_emergency = 1u << 7,    // nothing healthy was left: the position scale is cut
  no_consensus = 1u << 8,    // the share of the models that name the same answer is too small: no position
  by_confidence = 1u << 9,   // weights follow from how sure the models are
  drawdown_limit = 1u << 10, // profits have fallen from their peak: the position scale is cut
  weights_given = 1u << 11,  // weights are the caller's
  mixed_by_record = 1u << 12,  // auto: strategies are mixed by what each would have scored
  by_agreement = 1u << 13,     // models that name another answer than most were left out
};

// What a route is to be good at: see Objective in router.hpp.
enum class Goal : std::uint8_t { quality, cost, latency, value, mix };
inline constexpr std::array<std::string_view, 5> goal_names{"quality", "cost", "latency", "value", "mix"};

// How a call that was routed ended. `released`: it was never made. `lost`: whoever made it is gone, so that nobody knows.
enum class CallEnd : std::uint8_t { answered, failed, released, lost };
inline constexpr std::array<std::string_view, 4> call_end_names{"answered", "failed", "released", "lost"};

// Why a route looks the way it does, as bits.
struct RouteReason {
  enum Bits : std::uint32_t {
    best_expected = 1u << 0,  // it is expected to serve the objective best
    explored = 1u << 1,       // tried although another is expected to be better: the evidence is thin
    only_candidate = 1u << 2,
    pinned = 1u << 3,         // the rules or the caller name it
    tier_floor = 1u << 4,     // models of lower tiers were left out
    banned = 1u << 5,         // the rules or the caller left models out
    tried_before = 1u << 6,   // models that failed this task were left out
    unhealthy = 1u << 7,      // models whose breaker is open were left out
    held_back = 1u << 8,      // models that may have no more calls in flight for now were left out
    over_budget = 1u << 9,    // the budgets of some models have no money for them
    degraded = 1u << 10,      // of one that was wanted, so that a cheaper one is asked
    below_quality = 1u << 11, // nobody is expected to reach min_quality
    refused = 1u << 12,       // a budget refuses the call, or has it wait
    nobody = 1u << 13,        // there is nobody to ask
  };
};
inline constexpr std::array<std::string_view, 14> route_reason_names{
    "best_expected", "explored",  "only_candidate", "pinned",   "tier_floor",    "banned",  "tried_before",
    "unhealthy",     "held_back", "over_budget",    "degraded", "below_quality", "refused", "nobody"};

// Names one open task of one Scoreboard. A handle outlives its task safely: the generation no longer matches.
struct TaskHandle {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;  // 0 is never issued
  friend bool operator==(const TaskHandle&, const TaskHandle&) = default;
};

// A dimension to keep score by and this task's value in it, e.g. {"horizon", "2"}.
struct Dimension {
  std::string_view name;
  std::string_view value;
};

struct Model {
  std::string_view name;
  std::string_view provider = {};
  Tier tier = Tier::standard;
  double price_in = 0.0;      // USD per million input tokens
  double price_out = 0.0;     // USD per million output tokens
  double price_cached = 0.0;  // USD per million cached input tokens; 0: as other input
  std::span<const std::string_view> tags = {};
  double price_written = 0.0;  // USD per million input tokens that are written to a cache; 0: as other input
};

struct Task {
  std::string_view id;
  Kind kind = Kind::binary;
  std::string_view category = {};
  std::string_view text = {};
  std::span<const std::string_view> labels = {};  // categorical: what each probability is for
  double stake_usd = 0.0;
  std::string_view regime = {};   // e.g. a volatility regime: a dimension to keep score by
  double expires_in_s = nan;      // seconds from `time` to expiry
  std::span<const Dimension> slices = {};
  Time time = 0;
};

struct Forecast {
  ModelId model = -1;
  std::span<const double> p = {};  // binary: one value, P(1); categorical: one per label
  double value = nan;              // numeric
  double confidence = nan;         // the model's own, in [0, 1]
  double latency_ms = nan;
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  double cost_usd = 0.0;
  std::string_view error = {};  // not empty: the call failed and there is no answer
  Time time = 0;
};

struct ModelWeight {
  ModelId model;
  double weight;
};

// Filled by Scoreboard::decide; keep one and pass it again, so that its buffers are reused.
struct Decision {
  TaskHandle task = {};
  std::vector<ModelWeight> weights = {};  // sums to 1
  std::vector<double> p = {};             // binary: {P(1)}; categorical: one per label; numeric: empty
  double value = nan;                     // numeric
  double disagreement = 0.0;              // in [0, 1]: 0 = all say the same
  double uncertainty = 0.0;               // in [0, 1] for probabilities, 1 = uniform; numeric: expected error, in the answer's unit
  double position_scale = 0.0;            // in [0, 1]: 1 = full size
  double cost_usd = 0.0;                  // spent on the answers so far
  Strategy strategy = default_strategy;
  std::uint32_t reasons = 0;  // bits of Reason
  Time time = 0;
  double spread = 0.0;      // weighted standard deviation of the answers: P(1), all classes together, or the number
  double entropy = nan;     // of p, over that of the uniform answer: in [0, 1]. Numeric: none
  double divergence = nan;  // Jensen-Shannon: the models' mean divergence from p, over the same. Numeric: none
  double pairwise = 0.0;    // how likely two models drawn by weight name different classes; numeric: their mean distance
  double low = nan, high = nan;  // 90 % interval: of the chance of class 1, or of the likeliest; or of the number
  Strategy chosen = default_strategy;  // auto: the strategy that it follows most; else the same as `strategy`
};

struct Outcome {
  TaskHandle task = {};
  double value = nan;  // binary: 0 or 1; categorical: the label's index; numeric: the number
  Time time = 0;       // when it became known
  double profit_usd = nan;  // for the record; scores do not use it
};

template <class Record, class Member>
struct Field {
  std::string_view name;
  Member Record::*member;
};
// Written out for compilers that do not yet deduce the arguments of aggregates (Clang before 17).
template <class Record, class Member>
Field(std::string_view, Member Record::*) -> Field<Record, Member>;

template <class Record>
inline constexpr auto fields = std::tuple{};

#define FAIRLEAD_FIELD(record, member) Field{#member, &record::member}
template <>
inline constexpr auto fields<Model> = std::tuple{
    FAIRLEAD_FIELD(Model, name),         FAIRLEAD_FIELD(Model, provider),  FAIRLEAD_FIELD(Model, tier),
    FAIRLEAD_FIELD(Model, price_in),     FAIRLEAD_FIELD(Model, price_out), FAIRLEAD_FIELD(Model, price_cached),
    FAIRLEAD_FIELD(Model, tags),         FAIRLEAD_FIELD(Model, price_written)};
template <>
inline constexpr auto fields<Task> = std::tuple{
    FAIRLEAD_FIELD(Task, id),        FAIRLEAD_FIELD(Task, kind),   FAIRLEAD_FIELD(Task, category),
    FAIRLEAD_FIELD(Task, text),      FAIRLEAD_FIELD(Task, labels), FAIRLEAD_FIELD(Task, stake_usd),
    FAIRLEAD_FIELD(Task, regime),    FAIRLEAD_FIELD(Task, expires_in_s),
    FAIRLEAD_FIELD(Task, slices),    FAIRLEAD_FIELD(Task, time)};
template <>
inline constexpr auto fields<Forecast> = std::tuple{
    FAIRLEAD_FIELD(Forecast, model),      FAIRLEAD_FIELD(Forecast, p),          FAIRLEAD_FIELD(Forecast, value),
    FAIRLEAD_FIELD(Forecast, confidence), FAIRLEAD_FIELD(Forecast, latency_ms), FAIRLEAD_FIELD(Forecast, tokens_in),
    FAIRLEAD_FIELD(Forecast, tokens_out), FAIRLEAD_FIELD(Forecast, cost_usd),   FAIRLEAD_FIELD(Forecast, error),
    FAIRLEAD_FIELD(Forecast, time)};
template <>
inline constexpr auto fields<Decision> = std::tuple{
    FAIRLEAD_FIELD(Decision, task),           FAIRLEAD_FIELD(Decision, weights),      FAIRLEAD_FIELD(Decision, p),
    FAIRLEAD_FIELD(Decision, value),          FAIRLEAD_FIELD(Decision, disagreement), FAIRLEAD_FIELD(Decision, uncertainty),
    FAIRLEAD_FIELD(Decision, position_scale), FAIRLEAD_FIELD(Decision, cost_usd),     FAIRLEAD_FIELD(Decision, strategy),
    FAIRLEAD_FIELD(Decision, reasons),        FAIRLEAD_FIELD(Decision, time),         FAIRLEAD_FIELD(Decision, spread),
    FAIRLEAD_FIELD(Decision, entropy),        FAIRLEAD_FIELD(Decision, divergence),   FAIRLEAD_FIELD(Decision, pairwise),
    FAIRLEAD_FIELD(Decision, low),            FAIRLEAD_FIELD(Decision, high),         FAIRLEAD_FIELD(Decision, chosen)};
template <>
inline constexpr auto fields<Outcome> = std::tuple{
    FAIRLEAD_FIELD(Outcome, task), FAIRLEAD_FIELD(Outcome, value), FAIRLEAD_FIELD(Outcome, time),
    FAIRLEAD_FIELD(Outcome, profit_usd)};
#undef FAIRLEAD_FIELD

// The field names of a record, in order: field_names<Task>() -> {"id", "kind", ...}.
template <class Record>
constexpr auto field_names() noexcept {
  return std::apply([](const auto&... field) { return std::array<std::string_view, sizeof...(field)>{field.name...}; },
                    fields<Record>);
}

}  // namespace fairlead
