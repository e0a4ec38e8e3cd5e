// The domain's events as bytes and back: for the fold, and for programs that log them without a Fleet.
//
// An EventBuffer is one event in memory, as it lies in a journal; it is reused, so that encoding allocates nothing once it has
// held the longest event. Decoding copies nothing: what it gives are views into the payload.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fairlead/journal/events.hpp"
#include "fairlead/types.hpp"

namespace fairlead::journal {

using TaskNumber = std::uint64_t;  // the n-th task that was opened, from 1

class EventBuffer {
 public:
  // Room for a payload of exactly so many bytes, which the caller then writes. May throw std::bad_alloc.
  PayloadWriter start(Type type, Time time, std::int32_t model, std::int32_t category, std::size_t payload_bytes);

  RecordHeader& header() noexcept { return *reinterpret_cast<RecordHeader*>(words_.data()); }
  Event event() const noexcept { return {reinterpret_cast<const RecordHeader*>(words_.data())}; }
  std::span<const std::byte> payload() const noexcept { return event().bytes(); }

 private:
  std::vector<std::uint64_t> words_;  // so that header and numbers lie aligned
};

// --- writing: may throw std::bad_alloc ---

void encode(EventBuffer& out, const Task& task, TaskNumber number, std::int32_t category);
// `model` is its number in the journal. Of an error that is longer than 65,535 bytes the beginning is kept.
void encode(EventBuffer& out, const Forecast& forecast, TaskNumber task, Kind kind, std::int32_t model,
            std::int32_t category);
// `numbers` are those of the models in the journal, by ModelId. `name`: of a strategy whose weights were given.
void encode(EventBuffer& out, const Decision& decision, TaskNumber task, Kind kind, std::int32_t category,
            std::span<const std::int32_t> numbers, std::string_view name = {});
void encode_outcome(EventBuffer& out, TaskNumber task, Kind kind, double value, Time time, double profit_usd,
                    std::int32_t category);
void encode_closed(EventBuffer& out, TaskNumber task, Time time, std::int32_t category);
// A runner-up of a route: its number in the journal, and what was expected of it.
struct RouteOther {
  std::int32_t model = -1;
  double quality = nan, cost_usd = nan, latency_ms = nan;
};
// `fixed` but for its counts.
void encode(EventBuffer& out, RouteFixed fixed, Time time, std::int32_t model, std::int32_t category,
            std::span<const RouteOther> others, std::string_view type);
void encode(EventBuffer& out, const CalledFixed& fixed, Time time, std::int32_t model, std::int32_t category);
// `fixed` but for its count; of an error that is longer than 65,535 bytes the beginning is kept.
void encode(EventBuffer& out, RunFixed fixed, Time time, std::int32_t name, std::int32_t category, std::string_view error);
void encode_name(EventBuffer& out, Table table, std::int32_t number, std::string_view name);
// Settings, model and the cold events, whose payload is JSON; or no payload at all.
void encode_text(EventBuffer& out, Type type, Time time, std::int32_t model, std::int32_t category, std::string_view text);

// --- reading: false where the payload is not exactly what its counts say ---

struct DecodedTask {
  TaskNumber number = 0;
  Task task = {};  // its spans are those below; its time is the event's
  std::vector<std::string_view> labels = {};
  std::vector<Dimension> slices = {};
};
bool decode(std::span<const std::byte> payload, DecodedTask& out);  // may throw std::bad_alloc

struct DecodedForecast {
  TaskNumber task = 0;
  Kind kind = Kind::binary;
  Forecast forecast = {};  // model and time are the event's header's. p is a view, of `value` below if binary
  double value = nan;
};
bool decode(std::span<const std::byte> payload, DecodedForecast& out) noexcept;

struct DecodedDecision {
  DecisionFixed fixed = {};
  DecisionShape shape = {};  // of version 1: not known, NaN
  std::span<const double> p = {}, weights = {};
  std::span<const std::int32_t> models = {};  // numbers in the journal
  std::string_view name = {};                 // of its strategy
};
bool decode(const Event& event, DecodedDecision& out) noexcept;  // of either version

bool decode(std::span<const std::byte> payload, OutcomeFixed& out) noexcept;
bool decode(std::span<const std::byte> payload, ClosedFixed& out) noexcept;

struct DecodedRoute {
  RouteFixed fixed = {};
  std::span<const double> quality = {}, cost_usd = {}, latency_ms = {};  // of the runners-up
  std::span<const std::int32_t> others = {};
  std::string_view type = {};
};
bool decode(std::span<const std::byte> payload, DecodedRoute& out) noexcept;
bool decode(std::span<const std::byte> payload, CalledFixed& out) noexcept;

struct DecodedRun {
  RunFixed fixed = {};
  std::string_view error = {};
};
bool decode(std::span<const std::byte> payload, DecodedRun& out) noexcept;

struct DecodedName {
  Table table = Table::models;
  std::int32_t number = 0;
  std::string_view name = {};
};
bool decode(std::span<const std::byte> payload, DecodedName& out) noexcept;

inline std::string_view text_of(std::span<const std::byte> payload) noexcept {
  return {reinterpret_cast<const char*>(payload.data()), payload.size()};
}

}  // namespace fairlead::journal
