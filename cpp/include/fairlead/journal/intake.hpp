// What a producer runs for every event: a gate, a claim of place and number in the ring, the header, the commit.
//
// All of it inlines into the caller's loop. A locked instruction waits until all earlier stores have reached the cache, so
// what costs here is the number of stores from one event to the next: headers and payloads are written once, where they
// stay, in whole words. A struct that is put together elsewhere by its fields and then copied by wider loads would stall at
// each of them.
#pragma once

#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "fairlead/journal/format.hpp"
#include "fairlead/journal/ring.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

// What happens to an event where the ring is full, as the disk does not keep up or refuses:
//   fail   append gives Status::journal_full
//   drop   append gives Status::journal_dropped; the event is counted, and a `dropped` event says how many were lost
//   spill  a second thread moves events from the ring into further shared memory, up to spill_bytes; then as fail
enum class Overflow : std::uint8_t { fail, drop, spill };

namespace journal {

// Room for the payload of one event, which is to be filled and committed.
struct Claim {
  std::byte* payload = nullptr;  // at a multiple of 8
  Seq seq = 0;
  std::uint64_t place = 0;
};

// Room for n events with payloads of one size.
struct Batch {
  Seq first = 0;
  std::size_t n = 0;
  std::byte* at = nullptr;
  std::uint64_t place = 0;
  std::uint32_t length = 0;
  Type type = Type::custom;
  std::uint8_t version = 1;
};

struct Intake {
  std::atomic<Status> gate{Status::journal_closed};  // ok while events are taken
  Overflow overflow = Overflow::fail;
  std::atomic<bool> troubled{false};  // the disk has begun to refuse, and nobody has asked why yet
  Ring ring;

  // One of a caller's events.
  Status claim(Type type, Time time, std::int32_t model, std::int32_t category, std::size_t payload_bytes, Claim& out,
               std::uint8_t version) noexcept {
    if (const Status status = refusal(type, payload_bytes); status != Status::ok) [[unlikely]] return status;
    if (const Status status = take(type, time, model, category, payload_bytes, out, version); status != Status::ok)
      [[unlikely]] return refused(status, 1);
    return Status::ok;
  }

  Status claim(Type type, std::size_t payload_bytes, std::size_t n, Batch& out, std::uint8_t version) noexcept {
    if (const Status status = refusal(type, payload_bytes); status != Status::ok) return status;
    if (n > ring.bytes() / Ring::unit) return Status::too_long;
    if (n == 0) return Status::out_of_range;
    Ring::Slot slot;
    const auto length = static_cast<std::uint32_t>(sizeof(RecordHeader) + payload_bytes);
    if (const Status status = ring.claim(length, static_cast<std::uint32_t>(n), slot); status != Status::ok)
      return refused(status, n);
    out = {slot.seq, n, slot.at, slot.commit, length, type, version};
    return Status::ok;
  }

  Claim put(const Batch& batch, std::size_t i, Time time, std::int32_t model, std::int32_t category) const noexcept {
    const Ring::Slot slot = ring.slot({batch.at, batch.first, batch.place}, batch.length, static_cast<std::uint32_t>(i));
    put_header(slot, batch.type, time, model, category, batch.version);
    return {slot.at + sizeof(RecordHeader), slot.seq, slot.commit};
  }

  static void commit(const Claim& claim) noexcept {
    Ring::commit({claim.payload - sizeof(RecordHeader), claim.seq, claim.place});
  }

  // The same for the journal's own events: where there is no room, nothing of a caller's is lost, and nothing is counted.
  Status take(Type type, Time time, std::int32_t model, std::int32_t category, std::size_t payload_bytes, Claim& out,
              std::uint8_t version) noexcept {
    Ring::Slot slot;
    const auto length = static_cast<std::uint32_t>(sizeof(RecordHeader) + payload_bytes);
    if (const Status status = ring.claim(length, slot); status != Status::ok) [[unlikely]] return status;
    put_header(slot, type, time, model, category, version);
    out = {slot.at + sizeof(RecordHeader), slot.seq, slot.commit};
    return Status::ok;
  }

  // What callers are told where the ring has refused n events of theirs.
  Status refused(Status status, std::uint64_t n) noexcept {
    if (status != Status::journal_full || overflow != Overflow::drop) return status;
    ring.control().dropped.fetch_add(n, std::memory_order_relaxed);
    return Status::journal_dropped;
  }

 private:
  Status refusal(Type type, std::size_t payload_bytes) const noexcept {
    if (const Status status = gate.load(std::memory_order_acquire); status != Status::ok) return status;
    if (payload_bytes > max_payload) return Status::too_long;
    return type <= Type::dropped ? Status::out_of_range : Status::ok;  // those are the journal's own
  }

  // All of the header but its first 8 bytes, where the commit word will stand.
  static void put_header(const Ring::Slot& slot, Type type, Time time, std::int32_t model, std::int32_t category,
                         std::uint8_t version) noexcept {
    static_assert(std::endian::native == std::endian::little && sizeof(RecordHeader) == 40);
    const auto pair = [](std::uint32_t low, std::uint32_t high) { return std::uint64_t{high} << 32 | low; };
    const auto put = [&](std::size_t word, std::uint64_t value) { std::memcpy(slot.at + 8 * word, &value, 8); };
    put(1, pair(0, static_cast<std::uint32_t>(type) | std::uint32_t{version} << 16));
    put(2, slot.seq);
    put(3, static_cast<std::uint64_t>(time));
    put(4, pair(static_cast<std::uint32_t>(model), static_cast<std::uint32_t>(category)));
  }
};

}  // namespace journal
}  // namespace fairlead
