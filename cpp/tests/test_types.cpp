// The five records: every member is named once, in order, by the name that Python and JSON use.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fl = fairlead;

namespace {

struct Anything {
  template <class T>
  operator T() const;  // never defined: only asked whether it would fit
};

template <class Record, std::size_t... I>
consteval bool takes(std::index_sequence<I...>) {
  return requires { Record{((void)I, Anything{})...}; };
}

// How many members an aggregate has: the longest list that initialises it.
template <class Record, std::size_t N = 1>
consteval std::size_t members() {
  if constexpr (takes<Record>(std::make_index_sequence<N + 1>{})) {
    return members<Record, N + 1>();
  } else {
    return N;
  }
}

template <class Record>
std::vector<std::string_view> names() {
  const auto array = fl::field_names<Record>();
  return {array.begin(), array.end()};
}

template <class Record>
std::vector<std::size_t> offsets() {
  static const Record record{};
  const auto* const base = reinterpret_cast<const char*>(&record);
  return std::apply(
      [&](const auto&... field) {
        return std::vector<std::size_t>{
            static_cast<std::size_t>(reinterpret_cast<const char*>(&(record.*field.member)) - base)...};
      },
      fl::fields<Record>);
}

using Names = std::vector<std::string_view>;

}  // namespace

static_assert(fl::field_names<fl::Model>().size() == members<fl::Model>());
static_assert(fl::field_names<fl::Task>().size() == members<fl::Task>());
static_assert(fl::field_names<fl::Forecast>().size() == members<fl::Forecast>());
static_assert(fl::field_names<fl::Decision>().size() == members<fl::Decision>());
static_assert(fl::field_names<fl::Outcome>().size() == members<fl::Outcome>());

static_assert(std::is_aggregate_v<fl::Model> && std::is_aggregate_v<fl::Task> && std::is_aggregate_v<fl::Forecast>);
static_assert(std::is_aggregate_v<fl::Decision> && std::is_aggregate_v<fl::Outcome>);
static_assert(std::is_trivially_copyable_v<fl::Task> && std::is_trivially_copyable_v<fl::Forecast>,
              "a view owns nothing, so it can be copied as bytes");
static_assert(std::is_same_v<fl::Time, std::int64_t>);

TEST_CASE_TEMPLATE("types: field names are unique and name every member in order", Record, fl::Model, fl::Task,
                   fl::Forecast, fl::Decision, fl::Outcome) {
  const auto listed = names<Record>();
  CHECK(std::set<std::string_view>(listed.begin(), listed.end()).size() == listed.size());
  CHECK(std::none_of(listed.begin(), listed.end(), [](std::string_view name) { return name.empty(); }));
  const auto at = offsets<Record>();
  CHECK(at.front() == 0);
  CHECK(std::adjacent_find(at.begin(), at.end(), std::greater_equal<>()) == at.end());
}

TEST_CASE("types: field names are those of Python and JSON") {
  CHECK(names<fl::Model>() == Names{"name", "provider", "tier", "price_in", "price_out", "price_cached", "tags", "price_written"});
  CHECK(names<fl::Task>() ==
        Names{"id", "kind", "category", "text", "labels", "stake_usd", "regime", "expires_in_s", "slices", "time"});
  CHECK(names<fl::Forecast>() == Names{"model", "p", "value", "confidence", "latency_ms", "tokens_in", "tokens_out",
                                       "cost_usd", "error", "time"});
  CHECK(names<fl::Decision>() == Names{"task", "weights", "p", "value", "disagreement", "uncertainty", "position_scale",
                                       "cost_usd", "strategy", "reasons", "time", "spread", "entropy", "divergence",
                                       "pairwise", "low", "high", "chosen"});
  CHECK(names<fl::Outcome>() == Names{"task", "value", "time", "profit_usd"});
}

TEST_CASE("types: strategies are named in the order of the enumeration") {
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::mean)] == "mean");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::median)] == "median");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::log)] == "log");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::weighted)] == "weighted");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::hedge)] == "hedge");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::trimmed)] == "trimmed");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::confidence)] == "confidence");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::consensus)] == "consensus");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::stacked)] == "stacked");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::vote)] == "vote");
  CHECK(fl::strategy_names[static_cast<std::size_t>(fl::Strategy::automatic)] == "auto");
  CHECK(static_cast<std::size_t>(fl::default_strategy) < fl::strategy_names.size());
}

TEST_CASE("types: each reason is a bit of its own") {
  std::uint32_t seen = 0;
  for (const std::uint32_t bit : {fl::single_model, fl::no_history, fl::equal_weights, fl::learned_weights,
                                  fl::models_disagree, fl::models_failed, fl::models_removed, fl::in_emergency,
                                  fl::no_consensus, fl::by_confidence, fl::drawdown_limit, fl::weights_given,
                                  fl::mixed_by_record, fl::by_agreement}) {
    CHECK(bit != 0);
    CHECK((bit & (bit - 1)) == 0);
    CHECK((seen & bit) == 0);
    seen |= bit;
  }
}

TEST_CASE("types: handles compare by slot and generation, and the default one was never issued") {
  CHECK(fl::TaskHandle{} == fl::TaskHandle{0, 0});
  CHECK(fl::TaskHandle{1, 2} == fl::TaskHandle{1, 2});
  CHECK_FALSE(fl::TaskHandle{1, 2} == fl::TaskHandle{1, 3});
  CHECK_FALSE(fl::TaskHandle{1, 2} == fl::TaskHandle{0, 2});
}

TEST_CASE("status: every value has a message of its own") {
  std::set<std::string_view> messages;
  const auto last = static_cast<std::uint8_t>(fl::Status::not_a_policy);
  for (std::uint8_t i = 0; i <= last; ++i) messages.insert(fl::message(static_cast<fl::Status>(i)));
  CHECK(messages.size() == last + 1u);
  CHECK(messages.count("unknown status") == 0);
  CHECK(std::string_view(fl::message(static_cast<fl::Status>(last + 1))) == "unknown status");
}
