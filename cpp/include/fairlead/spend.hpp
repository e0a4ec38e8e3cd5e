// What was spent: calls, tokens and nano-dollars of each model, tier, category and task type, by day.
//
//   all | model | tier | category | type    days of a Calendar, which fold into weeks and months; what is older than
//                                           `days` active days is one sum
//   model x (all | category | type)         calls, cost, and the cost of a call lately: for quality per dollar in context
//
// A call counts on the day of its own time, whenever it comes. An id beyond `max_ids` counts as `other`, the last id.
// Precision: integers, but for the cost of a call lately, which is a mean of the last `memory` calls (exact up to then,
// exponential after). Memory: 72 bytes a day on which there was a call, 32 a pair of model and category or type that
// met. Nothing is allocated but on the first call of a day, of an id, of a pair. One thread at a time.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/budget.hpp"
#include "fairlead/calendar.hpp"
#include "fairlead/money.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

struct SpendDay {
  std::int64_t day = 0;  // of the calendar
  std::int64_t calls = 0;
  std::int64_t unpriced = 0;  // of calls: what they cost is not known, and counts as nothing
  std::int64_t failed = 0;    // of calls
  std::int64_t input = 0, output = 0, cached = 0, written = 0;  // tokens; the last two are part of input
  Nanos cost = 0;

  void add(const SpendDay& other) noexcept {
    calls += other.calls;
    unpriced += other.unpriced;
    failed += other.failed;
    input += other.input;
    output += other.output;
    cached += other.cached;
    written += other.written;
    cost = cost > std::numeric_limits<Nanos>::max() - other.cost ? std::numeric_limits<Nanos>::max() : cost + other.cost;
  }
};

// Of one model: all it did, or in one category or task type.
struct CallCost {
  std::int64_t calls = 0;  // that had a price
  Nanos cost = 0;
  double lately = 0.0;     // nano-dollars a call
  double answer = 0.0;     // output tokens a call, lately
};

struct SpendOptions {
  std::int32_t days = 400;      // active days of each id that are kept apart
  std::int32_t max_ids = 1024;  // of models, categories and types, each
  std::int32_t memory = 288;    // calls that "lately" looks back on: a half-life of 200
};

class Spend {
 public:
  using Options = SpendOptions;

  // days in [1, 100,000], max_ids in [1, 1,000,000], memory at least 1.
  static Status check(const Options& options) noexcept;
  // The options must be ok.
  explicit Spend(Calendar calendar = Calendar(), Options options = {}) : options_(options), calendar_(std::move(calendar)) {}

  const Options& options() const noexcept { return options_; }
  const Calendar& calendar() const noexcept { return calendar_; }
  void set_calendar(Calendar calendar);  // days that are over keep their number

  // A call. out_of_range: a cost outside [0, max_amount], negative tokens. cost: null where it is not known.
  Status add(const Where& where, Time time, const Nanos* cost, const Usage& usage = {}, bool failed = false) noexcept {
    if (cost != nullptr && (*cost < 0 || *cost > max_amount)) return Status::out_of_range;
    if ((usage.input | usage.output | usage.cached | usage.written) < 0 || usage.input > max_tokens ||
        usage.output > max_tokens || usage.cached > usage.input || usage.written > usage.input) {
      return Status::out_of_range;
    }
    if (time < today_ || time >= tomorrow_) look_up(time);
    const SpendDay call{.day = day_,
                        .calls = 1,
                        .unpriced = cost == nullptr ? 1 : 0,
                        .failed = failed ? 1 : 0,
                        .input = usage.input,
                        .output = usage.output,
                        .cached = usage.cached,
                        .written = usage.written,
                        .cost = cost == nullptr ? 0 : *cost};
    const std::int32_t id[] = {0, where.model, where.tier, where.category, where.type};
    std::array<SpendDay*, 5> days{};
    for (std::size_t scope = 0; scope < days.size(); ++scope) {
      if (id[scope] < 0) continue;
      days[scope] = bucket(scope, id[scope]);
      if (days[scope] == nullptr) return Status::out_of_memory;
    }
    std::array<CallCost*, 3> pairs{};
    if (cost != nullptr && where.model >= 0) {
      const std::int32_t context[] = {0, where.category, where.type};
      for (std::size_t kind = 0; kind < pairs.size(); ++kind) {
        if (context[kind] < 0) continue;
        pairs[kind] = pair(kind, where.model, context[kind]);
        if (pairs[kind] == nullptr) return Status::out_of_memory;
      }
    }
    for (SpendDay* day : days) {
      if (day != nullptr) day->add(call);
    }
    for (CallCost* each : pairs) {
      if (each == nullptr) continue;
      ++each->calls;
      each->cost += call.cost;
      const double weight = 1.0 / static_cast<double>(each->calls < options_.memory ? each->calls : options_.memory);
      each->lately += (static_cast<double>(call.cost) - each->lately) * weight;
      each->answer += (static_cast<double>(call.output) - each->answer) * weight;
    }
    return Status::ok;
  }

  // Ids of a scope that were seen run from 0 to here; an id beyond max_ids is max_ids.
  std::int32_t ids(Scope scope) const noexcept;
  std::int32_t other() const noexcept { return options_.max_ids; }
  // Active days of an id in order; empty where there are none. Before the first of them: `older`.
  const std::vector<SpendDay>& days(Scope scope, std::int32_t id) const noexcept;
  SpendDay older(Scope scope, std::int32_t id) const noexcept;
  // The sum over the days [from, to).
  SpendDay sum(Scope scope, std::int32_t id, std::int64_t from, std::int64_t to) const noexcept;
  SpendDay total(Scope scope, std::int32_t id) const noexcept;
  std::int64_t day_of(Time time) const noexcept { return calendar_.day(time); }

  // What a model costs a call: overall (Scope::all), in a category or in a task type.
  CallCost call_cost(ModelId model, Scope context = Scope::all, std::int32_t id = 0) const noexcept;

  std::string snapshot() const;
  Status restore(std::string_view bytes);

 private:
  static constexpr std::int64_t max_tokens = std::int64_t{1} << 40;

  struct Series {
    std::vector<SpendDay> days;  // by day
    SpendDay older;
  };

  std::size_t slot(std::int32_t id) const noexcept {
    return static_cast<std::size_t>(id < options_.max_ids ? id : options_.max_ids);
  }
  SpendDay* bucket(std::size_t scope, std::int32_t id) noexcept {
    auto& all = series_[scope];
    const std::size_t at = slot(id);
    if (at < all.size() && !all[at].days.empty() && all[at].days.back().day == day_) return &all[at].days.back();
    return make_bucket(scope, at);
  }
  CallCost* pair(std::size_t kind, std::int32_t model, std::int32_t context) noexcept {
    auto& models = pairs_[kind];
    const std::size_t m = slot(model), c = slot(context);
    if (m < models.size() && c < models[m].size()) return &models[m][c];
    return make_pair(kind, m, c);
  }
  void look_up(Time time) noexcept;
  SpendDay* make_bucket(std::size_t scope, std::size_t at) noexcept;
  CallCost* make_pair(std::size_t kind, std::size_t model, std::size_t context) noexcept;

  Options options_;
  Calendar calendar_;
  std::int64_t day_ = 0;
  Time today_ = 0, tomorrow_ = 0;
  std::array<std::vector<Series>, 5> series_;
  std::array<std::vector<std::vector<CallCost>>, 3> pairs_;
};

}  // namespace fairlead
