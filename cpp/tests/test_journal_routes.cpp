// Routes and calls as bytes, as columns, and as bytes again.
#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "fairlead/breaker.hpp"
#include "fairlead/journal/columns.hpp"
#include "fairlead/journal/encode.hpp"

namespace fl = fairlead;
using namespace fairlead::journal;
using fl::Status;

namespace {

const std::vector<RouteOther> others{{2, 0.5, 0.001, fl::nan}, {0, 0.25, fl::nan, 40.0}};

EventBuffer route(std::string_view type = "tool_use") {
  EventBuffer out;
  const RouteFixed fixed{.task = 7,
                         .reserved_nanos = 8'000'000,
                         .propensity = 0.9,
                         .quality = 0.75,
                         .spread = 0.1,
                         .cost_usd = 0.002,
                         .latency_ms = 900.0,
                         .reasons = 5,
                         .attempt = 2,
                         .goal = fl::Goal::value};
  encode(out, fixed, 99, 1, 0, others, type);
  return out;
}

EventBuffer called(CalledFixed fixed) {
  EventBuffer out;
  encode(out, fixed, 99, 1, 0);
  return out;
}

// The record as it lies in a journal, but for its checksums.
std::vector<std::byte> bytes_of(const Event& event) {
  std::vector<std::byte> out(padded(event.header->length));
  std::memcpy(out.data(), event.header, event.header->length);
  std::memset(out.data(), 0, sizeof(std::uint32_t));
  std::memset(out.data() + offsetof(RecordHeader, prev), 0, sizeof(std::uint32_t));
  return out;
}

fl::NameTable names(std::initializer_list<const char*> all) {
  fl::NameTable out;
  for (const char* name : all) (void)out.intern(name);
  return out;
}

// Through columns and back; whether the columns alone tell it.
bool comes_back(const Event& event, std::int32_t models = 3) {
  fl::NameTable known;
  for (std::int32_t i = 0; i < models; ++i) (void)known.intern(std::to_string(i));
  const fl::NameTable categories = names({"rates"});
  Columns columns(1);
  columns.add(event, known, categories);
  const ColumnsView view = columns.view();
  std::vector<std::byte> again;
  std::size_t bad = 0;
  REQUIRE(rebuild(view, categories, again, bad) == Status::ok);
  CHECK(again == bytes_of(event));
  return !view.payload.has(0) && !view.header.has(0);
}

}  // namespace

TEST_CASE("routes: what was encoded is decoded, and nothing that is longer or shorter") {
  const EventBuffer event = route();
  CHECK(event.event().header->type == Type::route);
  DecodedRoute found;
  REQUIRE(decode(event.payload(), found));
  CHECK(found.fixed.task == 7);
  CHECK(found.fixed.reserved_nanos == 8'000'000);
  CHECK(found.fixed.attempt == 2);
  CHECK(found.fixed.goal == fl::Goal::value);
  CHECK(found.type == "tool_use");
  REQUIRE(found.others.size() == 2);
  CHECK(found.others[0] == 2);
  CHECK(found.quality[1] == 0.25);
  CHECK(found.cost_usd[0] == 0.001);
  CHECK(found.latency_ms[1] == 40.0);
  const auto payload = event.payload();
  for (std::size_t n = 0; n < payload.size(); ++n) CHECK_FALSE(decode(payload.first(n), found));
  std::vector<std::byte> longer(payload.begin(), payload.end());
  longer.push_back(std::byte{0});
  CHECK_FALSE(decode(longer, found));
  longer.pop_back();
  longer[offsetof(RouteFixed, goal)] = std::byte{5};
  CHECK_FALSE(decode(longer, found));
}

TEST_CASE("routes: of a type that is too long the beginning is kept, and none is none") {
  DecodedRoute found;
  const std::string type(70'000, 'x');
  REQUIRE(decode(route(type).payload(), found));
  CHECK(found.fixed.n_type == 65'535);
  const EventBuffer none = route("");
  REQUIRE(decode(none.payload(), found));
  CHECK(found.type.empty());
}

TEST_CASE("calls: what was encoded is decoded, and nothing that is longer or shorter") {
  const EventBuffer event = called({.task = 7, .cost_nanos = 12, .attempt = 2, .calls = 3, .end = fl::CallEnd::lost});
  CHECK(event.event().header->type == Type::called);
  CalledFixed found;
  REQUIRE(decode(event.payload(), found));
  CHECK(found.cost_nanos == 12);
  CHECK(found.calls == 3);
  CHECK(found.end == fl::CallEnd::lost);
  const auto payload = event.payload();
  for (std::size_t n = 0; n < payload.size(); ++n) CHECK_FALSE(decode(payload.first(n), found));
  std::vector<std::byte> other(payload.begin(), payload.end());
  other[offsetof(CalledFixed, end)] = std::byte{4};
  CHECK_FALSE(decode(other, found));
}

TEST_CASE("columns: routes and calls come back, and need no bytes beside them where they are as they should be") {
  CHECK(comes_back(route().event()));
  CHECK(comes_back(route("").event()));
  CHECK_FALSE(comes_back(route("\xff").event()));
  CHECK_FALSE(comes_back(route().event(), 2));  // a runner-up whose name is not known
  for (std::uint8_t end = 0; end < fl::call_end_names.size(); ++end) {
    for (std::uint8_t failure = 0; failure <= fl::failure_names.size(); ++failure) {
      const auto how = static_cast<fl::CallEnd>(end);
      const bool right = how == fl::CallEnd::failed ? failure < fl::failure_names.size() : failure == 0;
      for (const std::int64_t cost : {-1, 0, -2, 500}) {
        CHECK(comes_back(called({.task = 1, .cost_nanos = cost, .end = how, .failure = failure}).event()) == right);
      }
    }
  }
}

TEST_CASE("columns: whatever the bytes of a route or a call are, they come back") {
  std::mt19937_64 random(24);
  const EventBuffer events[] = {route(), route(""), called({.task = 3, .cost_nanos = 9})};
  int plain = 0;
  for (int i = 0; i < 3'000; ++i) {
    const Event& from = events[random() % 3].event();
    std::vector<std::byte> payload(from.bytes().begin(), from.bytes().end());
    for (std::uint64_t n = random() % 3; n > 0; --n) payload[random() % payload.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) payload.resize(random() % (payload.size() + 9));
    EventBuffer event;
    event.start(from.header->type, 5, 1, 0, payload.size()).put(std::span<const std::byte>(payload));
    plain += comes_back(event.event()) ? 1 : 0;
  }
  CHECK(plain > 500);
}
