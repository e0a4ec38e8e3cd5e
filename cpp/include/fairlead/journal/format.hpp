// The journal on disk: the one place that states its bytes. Little-endian, as they lie in memory.
//
//   <folder>/segments/<first seq, 20 digits>.seg   events, in the order of their sequence numbers
//   <folder>/segments/<first seq, 20 digits>.idx   what a sealed segment holds, block by block: a cache (index.hpp)
//   <folder>/segments/<first seq, 20 digits>.cut-<offset>   what a repair took from the end of a segment, as it was
//   <folder>/lock                                  locked while there is a writer; says who it is
//
// A segment is a SegmentHeader, then records, each padded with zeros to a multiple of 8 bytes. Space is taken from the disk
// in advance, so a segment that is not sealed ends in zeros: a record of length 0 means "nothing here yet".
//
// Every record holds the checksum of the one before it (`prev`), through segments too (`SegmentHeader::chain`), so that
// nothing can be left out, swapped or repeated without notice; and as its own checksum does not depend on theirs, records
// are checked as fast as memory is read. Numbers are dense: event n + 1 follows event n. The journal's own records (mark,
// seal, names) use up no number and carry that of the event that comes next.
//
// What is torn and what is damaged: after each sync the next batch begins with a `mark`, which says up to which number all
// is durable. A bad record with a later mark that covers it was durable once, so this is damage, and nobody may cut it
// away unasked. Without such a mark it is the torn end that a power cut leaves behind: never acknowledged as durable.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "fairlead/types.hpp"

namespace fairlead::journal {

using Seq = std::uint64_t;  // the first event is 1; 0 = none

inline constexpr std::uint64_t segment_magic = 0x544e454d474c461aULL;  // "\x1aFLGMENT"
inline constexpr std::uint32_t format_version = 1;
inline constexpr std::size_t record_alignment = 8;
inline constexpr std::size_t max_payload = std::size_t{1} << 20;

struct SegmentHeader {
  std::uint64_t magic = segment_magic;
  std::uint32_t version = format_version;
  std::uint32_t size = 64;                   // of this header
  std::array<std::uint8_t, 16> journal = {};  // drawn at random when the journal is made; the same in all its segments
  Seq first = 0;                             // number of the first event in it, or of the one that will be
  Time created = 0;                          // by the clock of the machine; nothing depends on it but the age of a segment
  std::uint32_t chain = 0;                   // checksum of the last record before it; 0 in the first segment of a journal
  std::uint32_t reserved[2] = {};
  std::uint32_t crc = 0;                     // CRC-32C of the 60 bytes before it
};
static_assert(sizeof(SegmentHeader) == 64);

enum class Type : std::uint16_t {
  // The journal's own. Records that carry a flag `own` use up no number.
  mark = 1,     // own; MarkPayload: all before it is durable
  seal = 2,     // own; SealPayload: the last record of a segment
  names = 3,    // own; all names so far, at the start of each segment but the first: for each {u8 table, u32 id, string}
  name = 4,     // a new name: {u8 table, u32 id, string}
  gap = 5,      // u64 n: n numbers, from this record's on, were taken by calls that a crash cut short
  dropped = 6,  // u64 n: n events were refused since the last such event, as the ring was full

  // The five records, and what makes a fleet. Layouts: events.hpp.
  settings = 16,
  model = 17,
  model_removed = 18,
  task = 19,
  forecast = 20,
  decision = 21,
  outcome = 22,
  closed = 23,  // its outcome will never be known
  route = 24,   // whom a task is asked of, and why
  called = 25,  // how a call that was routed ended
  run = 26,     // what a program did that is no forecast

  // Cold events: the payload is one JSON object, UTF-8.
  note = 32,
  alert = 33,
  training_run = 34,
  model_version = 35,
  deployment = 36,
  budget = 37,
  health = 38,
  routing = 39,
  input = 40,  // what a managed model was asked, and what it said
  label = 41,  // what the answer was

  // Compaction: what a range of archived hot events amounted to. JSON.
  summary = 48,

  custom = 1024,  // from here on, a program's own; fairlead keeps the bytes and asks nothing
};

// The names of the types, as Python, JSON and SQL know them. Empty: not known to this version.
constexpr std::string_view type_name(Type type) noexcept {
  switch (type) {
    case Type::mark: return "mark";
    case Type::seal: return "seal";
    case Type::names: return "names";
    case Type::name: return "name";
    case Type::gap: return "gap";
    case Type::dropped: return "dropped";
    case Type::settings: return "settings";
    case Type::model: return "model";
    case Type::model_removed: return "model_removed";
    case Type::task: return "task";
    case Type::forecast: return "forecast";
    case Type::decision: return "decision";
    case Type::outcome: return "outcome";
    case Type::closed: return "closed";
    case Type::route: return "route";
    case Type::called: return "called";
    case Type::run: return "run";
    case Type::note: return "note";
    case Type::alert: return "alert";
    case Type::training_run: return "training_run";
    case Type::model_version: return "model_version";
    case Type::deployment: return "deployment";
    case Type::budget: return "budget";
    case Type::health: return "health";
    case Type::routing: return "routing";
    case Type::input: return "input";
    case Type::label: return "label";
    case Type::summary: return "summary";
    case Type::custom: return "custom";
  }
  return static_cast<std::uint16_t>(type) > static_cast<std::uint16_t>(Type::custom) ? "custom" : "";
}

inline constexpr std::uint8_t flag_own = 1;  // of the journal itself: no number is used up, readers pass over it

struct RecordHeader {
  std::uint32_t crc = 0;     // CRC-32C of all that follows in this record: 4 bytes on, up to `length`
  std::uint32_t length = 0;  // of header and payload, without the padding; at least 40
  std::uint32_t prev = 0;    // crc of the record before
  Type type = Type::note;
  std::uint8_t version = 1;  // of the layout of this type's payload
  std::uint8_t flags = 0;
  Seq seq = 0;
  Time time = 0;               // the event's own, given by the caller
  std::int32_t model = -1;     // number of a name in the table of models; -1: none
  std::int32_t category = -1;  // the same in the table of categories
};
static_assert(sizeof(RecordHeader) == 40);

// Names are written once, and are numbers afterwards: dense from 0, in the order in which they came, for each table.
enum class Table : std::uint8_t { models, categories };
inline constexpr std::size_t n_tables = 2;

struct MarkPayload {
  Seq durable = 0;  // all events up to and including it are on the disk
};

struct SealPayload {
  Seq last = 0;  // number of the last event, 0 where there is none
  std::uint64_t records = 0;
};

constexpr std::size_t padded(std::size_t length) noexcept {
  return (length + record_alignment - 1) / record_alignment * record_alignment;
}

// A record in memory that somebody else owns.
struct Event {
  const RecordHeader* header = nullptr;

  const std::byte* payload() const noexcept { return reinterpret_cast<const std::byte*>(header + 1); }
  std::size_t payload_size() const noexcept { return header->length - sizeof(RecordHeader); }
  std::span<const std::byte> bytes() const noexcept { return {payload(), payload_size()}; }
};

}  // namespace fairlead::journal
