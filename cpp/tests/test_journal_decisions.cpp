// Decisions of both layouts, and runs, as bytes, as columns, and as bytes again.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fairlead/journal/columns.hpp"
#include "fairlead/journal/encode.hpp"

namespace fl = fairlead;
using namespace fairlead::journal;
using fl::Status;
using fl::Strategy;

namespace {

fl::Decision decided(Strategy strategy, Strategy chosen) {
  fl::Decision out;
  out.weights = {{1, 0.75}, {0, 0.25}};
  out.p = {0.6};
  out.strategy = strategy;
  out.chosen = chosen;
  out.time = 99;
  out.spread = 0.1;
  out.entropy = 0.9;
  out.divergence = 0.05;
  out.pairwise = 0.375;
  out.low = 0.4;
  out.high = 0.8;
  return out;
}

EventBuffer decision(Strategy strategy = Strategy::automatic, Strategy chosen = Strategy::stacked,
                     std::string_view name = {}) {
  EventBuffer out;
  const std::vector<std::int32_t> numbers{5, 2};  // of models 0 and 1
  encode(out, decided(strategy, chosen), 7, fl::Kind::binary, 0, numbers, name);
  return out;
}

// As it was before decisions told their shape.
EventBuffer of_layout_1(Strategy strategy) {
  EventBuffer out;
  const double weights[] = {0.75, 0.25};
  const std::int32_t who[] = {2, 5};
  const DecisionFixed fixed{.task = 7, .value = 0.6, .n_weights = 2, .strategy = strategy};
  PayloadWriter to = out.start(Type::decision, 99, -1, 0, sizeof fixed + sizeof weights + sizeof who);
  to.put(fixed);
  to.put(std::span<const double>(weights));
  to.put(std::span<const std::int32_t>(who));
  return out;
}

EventBuffer run(RunFixed fixed, std::string_view error = {}) {
  EventBuffer out;
  encode(out, fixed, 99, 1, 0, error);
  return out;
}

EventBuffer with_bytes(const Event& from, std::span<const std::byte> payload) {
  EventBuffer out;
  out.start(from.header->type, 5, 1, 0, payload.size()).put(payload);
  out.header().version = from.header->version;
  return out;
}

std::vector<std::byte> bytes_of(const Event& event) {
  std::vector<std::byte> out(padded(event.header->length));
  std::memcpy(out.data(), event.header, event.header->length);
  std::memset(out.data(), 0, sizeof(std::uint32_t));
  std::memset(out.data() + offsetof(RecordHeader, prev), 0, sizeof(std::uint32_t));
  return out;
}

// Through columns and back; whether the columns alone tell it.
bool comes_back(const Event& event) {
  fl::NameTable models, categories;
  for (int i = 0; i < 6; ++i) (void)models.intern(std::to_string(i));
  (void)categories.intern("rates");
  Columns columns(1);
  columns.add(event, models, categories);
  const ColumnsView view = columns.view();
  std::vector<std::byte> again;
  std::size_t bad = 0;
  REQUIRE(rebuild(view, categories, again, bad) == Status::ok);
  CHECK(again == bytes_of(event));
  return !view.payload.has(0) && !view.header.has(0);
}

}  // namespace

TEST_CASE("decisions: what was encoded is decoded, and nothing that is longer or shorter") {
  const EventBuffer event = decision();
  CHECK(event.event().header->version == decision_version);
  DecodedDecision found;
  REQUIRE(decode(event.event(), found));
  CHECK(found.fixed.task == 7);
  CHECK(found.fixed.value == 0.6);
  CHECK(found.name == "auto");
  CHECK(found.shape.chosen == Strategy::stacked);
  CHECK(found.shape.pairwise == 0.375);
  CHECK(found.shape.high == 0.8);
  REQUIRE(found.models.size() == 2);
  CHECK(found.models[0] == 2);
  CHECK(found.weights[1] == 0.25);
  const auto payload = event.payload();
  for (std::size_t n = 0; n < payload.size(); ++n) {
    CHECK_FALSE(decode(with_bytes(event.event(), payload.first(n)).event(), found));
  }
  std::vector<std::byte> longer(payload.begin(), payload.end());
  longer.push_back(std::byte{0});
  CHECK_FALSE(decode(with_bytes(event.event(), longer).event(), found));
}

TEST_CASE("decisions: a strategy of a name of its own") {
  const EventBuffer event = decision(Strategy::given, Strategy::given, "mine");
  DecodedDecision found;
  REQUIRE(decode(event.event(), found));
  CHECK(found.name == "mine");
  CHECK(found.shape.chosen == Strategy::given);
  const EventBuffer other = decision(Strategy::given, Strategy::given, std::string(70'000, 'x'));
  REQUIRE(decode(other.event(), found));
  CHECK(found.name.size() == 65'535);
}

TEST_CASE("decisions: the first layout is read, and says nothing of the shape") {
  const EventBuffer event = of_layout_1(Strategy::hedge);
  DecodedDecision found;
  REQUIRE(decode(event.event(), found));
  CHECK(found.name == "hedge");
  CHECK(found.shape.chosen == Strategy::hedge);
  CHECK(std::isnan(found.shape.spread));
  CHECK(std::isnan(found.shape.low));
  CHECK(found.weights[0] == 0.75);
  CHECK_FALSE(decode(of_layout_1(Strategy::given).event(), found));
}

TEST_CASE("columns: decisions and runs come back, and need no bytes beside them where they are as they should be") {
  for (std::size_t i = 0; i < fl::n_strategies; ++i) {
    const auto strategy = static_cast<Strategy>(i);
    CHECK(comes_back(decision(strategy, strategy).event()));
    CHECK(comes_back(of_layout_1(strategy).event()));
  }
  CHECK(comes_back(decision(Strategy::given, Strategy::given, "mine").event()));
  CHECK(comes_back(decision(Strategy::given, Strategy::given, "").event()));
  CHECK(comes_back(decision(Strategy::given, Strategy::mean, "mine").event()));
  CHECK_FALSE(comes_back(decision(Strategy::given, Strategy::given, "hedge").event()));
  CHECK_FALSE(comes_back(decision(Strategy::given, Strategy::given, "\xff").event()));
  CHECK_FALSE(comes_back(decision(Strategy::mean, Strategy::mean, "mine").event()));
  CHECK_FALSE(comes_back(decision(Strategy::mean, Strategy::given).event()));
  CHECK_FALSE(comes_back(decision(static_cast<Strategy>(11), Strategy::mean).event()));
  for (std::size_t i = 0; i < run_status_names.size(); ++i) {
    for (const std::int64_t cost : {-1, 0, -2, 500}) {
      const auto status = static_cast<RunStatus>(i);
      CHECK(comes_back(run({.cost_nanos = cost, .tokens = 7, .status = status}).event()));
      CHECK(comes_back(run({.cost_nanos = cost, .duration_ms = 2.5, .status = status}, "no room").event()));
    }
  }
  CHECK_FALSE(comes_back(run({}, "\xff").event()));
  CHECK_FALSE(comes_back(run({.status = static_cast<RunStatus>(4)}).event()));
}

TEST_CASE("columns: whatever the bytes of a decision or a run are, they come back") {
  std::mt19937_64 random(26);
  const EventBuffer events[] = {decision(), of_layout_1(Strategy::hedge),
                                decision(Strategy::given, Strategy::given, "mine"), run({.cost_nanos = 9}, "no room")};
  int plain = 0;
  for (int i = 0; i < 3'000; ++i) {
    const Event& from = events[random() % 4].event();
    std::vector<std::byte> payload(from.bytes().begin(), from.bytes().end());
    for (std::uint64_t n = random() % 3; n > 0; --n) payload[random() % payload.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) payload.resize(random() % (payload.size() + 9));
    EventBuffer event = with_bytes(from, payload);
    if (random() % 8 == 0) event.header().version = static_cast<std::uint16_t>(random() % 4);
    plain += comes_back(event.event()) ? 1 : 0;
  }
  CHECK(plain > 500);
}

TEST_CASE("columns: a table holds the names of the strategies that its rows have, each once") {
  fl::NameTable models, categories;
  for (int i = 0; i < 6; ++i) (void)models.intern(std::to_string(i));
  (void)categories.intern("rates");
  Columns columns(4);
  std::vector<std::byte> expected;
  for (const char* name : {"a", "b", "a", "c"}) {
    const EventBuffer event = decision(Strategy::given, Strategy::given, name);
    columns.add(event.event(), models, categories);
    const auto bytes = bytes_of(event.event());
    expected.insert(expected.end(), bytes.begin(), bytes.end());
  }
  ColumnsView view = columns.view();
  CHECK(view.given == std::vector<std::string_view>{"a", "b", "c"});
  std::vector<std::byte> again;
  std::size_t bad = 0;
  REQUIRE(rebuild(view, categories, again, bad) == Status::ok);
  CHECK(again == expected);
  view.given.pop_back();  // the last row says one that there is not
  again.clear();
  CHECK(rebuild(view, categories, again, bad) == Status::bad_event);
  CHECK(bad == 3);
}
