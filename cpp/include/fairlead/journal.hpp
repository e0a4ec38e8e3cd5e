// The journal: an append-only log of events that survives the death of its process, and a power cut up to its sync interval.
//
//   producers (any thread)                   one writer thread                        any number of readers
//   append -> ring in shared memory   ->   checksums, segments, fdatasync   ->   follow the tail, other processes too
//             `accepted`                       `written`    `durable`
//
// The bytes on disk: journal/format.hpp; the payloads: journal/events.hpp; reading: journal/reader.hpp.
//
// Hot path: `append` takes no lock, makes no system call, never sleeps and allocates nothing. Any number of threads may
// call it at once. What it has accepted lies in shared memory: if the process dies, the next open finds it there and writes
// it. A power cut loses at most what came after the last sync: the sync interval and the time of one fsync.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "fairlead/journal/disk.hpp"
#include "fairlead/journal/events.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/journal/intake.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/journal/reader.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

enum class Sync : std::uint8_t { never, interval, always };

struct JournalOptions {
  Sync sync = Sync::interval;
  Time sync_interval = 10'000'000;  // 10 ms
  Overflow overflow = Overflow::fail;
  std::size_t ring_bytes = std::size_t{16} << 20;  // a power of two
  std::size_t spill_bytes = std::size_t{256} << 20;
  journal::LogOptions log = {};
  std::string memory = "/dev/shm";  // folder for the ring; where it is not there, the journal's own folder
};

struct Watermarks {
  journal::Seq accepted = 0;  // survives the death of the process
  journal::Seq written = 0;   // the operating system has it: readers see it
  journal::Seq durable = 0;   // survives a power cut
  std::uint64_t dropped = 0;  // refused under Overflow::drop since the journal was opened
};

class Journal {
 public:
  // One writer at a time: a second open is a Failure (Status::journal_locked) that says who holds the journal.
  static journal::Failure open(const std::string& folder, const JournalOptions& options, std::unique_ptr<Journal>& out,
                               journal::Recovery& recovery, journal::Disk& disk = journal::Disk::real());
  ~Journal();  // as close(), without a word where it fails
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // --- hot path, any thread ---

  // One event. `out` becomes its number. Anything but Status::ok: the event was not accepted and leaves no trace.
  Status append(journal::Type type, Time time, std::int32_t model, std::int32_t category,
                std::span<const std::byte> payload, journal::Seq& out, std::uint8_t version = 1) noexcept {
    Claim room;
    const Status status = claim(type, time, model, category, payload.size(), room, version);
    if (status != Status::ok) return status;
    if (!payload.empty()) std::memcpy(room.payload, payload.data(), payload.size());
    commit(room);
    out = room.seq;
    return Status::ok;
  }

  // The same without a copy: `claim` gives room for a payload of exactly so many bytes in the ring, `commit` hands it
  // over. Between the two the writer waits at this place, so fill it at once; a claim must be committed. Fastest is to make
  // the payload where it stays: new (claim.payload) Payload{...}.
  using Claim = journal::Claim;
  Status claim(journal::Type type, Time time, std::int32_t model, std::int32_t category, std::size_t payload_bytes,
               Claim& out, std::uint8_t version = 1) noexcept {
    return intake_.claim(type, time, model, category, payload_bytes, out, version);
  }
  static void commit(const Claim& claim) noexcept { journal::Intake::commit(claim); }

  // Room for n events with payloads of one size, all or none, with numbers that follow each other: for each i in [0, n)
  // `put` writes its header and gives its claim, which is filled and committed like any other. At most half the ring:
  // else Status::too_long.
  using Batch = journal::Batch;
  Status claim(journal::Type type, std::size_t payload_bytes, std::size_t n, Batch& out, std::uint8_t version = 1) noexcept {
    return intake_.claim(type, payload_bytes, n, out, version);
  }
  Claim put(const Batch& batch, std::size_t i, Time time, std::int32_t model, std::int32_t category) const noexcept {
    return intake_.put(batch, i, time, model, category);
  }

  Watermarks watermarks() const noexcept;

  // --- these may wait, allocate, take a lock ---

  // The number of a name, which is written as an event when it is new.
  Status name(journal::Table table, std::string_view name, std::int32_t& out);
  std::int32_t n_names(journal::Table table) const noexcept;  // how many there are; takes no lock
  std::int32_t find_name(journal::Table table, std::string_view name) const noexcept;  // NameTable::absent if unknown

  // Until event `seq` (0: all that is accepted now) is durable, or written. timeout in ns; negative: for ever.
  // Status::timed_out, or journal_failed where the disk is lost (then `failure` says why).
  Status wait_durable(journal::Seq seq, Time timeout);
  Status wait_written(journal::Seq seq, Time timeout);

  journal::Failure failure() const;  // why the journal takes nothing any more, or what the disk last refused
  // True once each time the disk begins to refuse: events are taken as before, but stay in shared memory until it takes
  // them. Costs a load where it is false.
  bool take_trouble() noexcept {
    return intake_.troubled.load(std::memory_order_relaxed) && intake_.troubled.exchange(false, std::memory_order_acquire);
  }
  journal::Failure close();          // writes and syncs all that was accepted, seals, unlocks
  const std::string& folder() const noexcept;
  const std::array<std::uint8_t, 16>& id() const noexcept;

  struct State;

 private:
  explicit Journal(std::unique_ptr<State> state) noexcept;
  std::unique_ptr<State> state_;
  journal::Intake& intake_;  // of state_
};

}  // namespace fairlead
