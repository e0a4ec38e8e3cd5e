// After the death of a process: what it had accepted but not written goes from its rings into the segments.
#include <algorithm>
#include <utility>

#include "journal/state.hpp"

namespace fairlead::journal {

namespace {

constexpr std::size_t batch_bytes = std::size_t{1} << 20;
constexpr Seq most_missing = std::uint64_t{1} << Ring::number_bits;

struct Drain {
  SegmentLog& log;
  Recovery& recovery;
  Seq next = log.written() + 1;
  Time newest = 0;
  Seq telling_seq = 0;  // of an event that may have told of dropped ones
  bool told = false;    // it did
  std::vector<std::byte> batch = {};

  Failure flush() {
    if (batch.empty()) return {};
    Failure failure = log.append(batch, wall_clock());
    batch.clear();
    return failure;
  }

  // Numbers up to `until` that no record has: one event says so, and the numbers stay dense.
  void gap(Seq until) {
    put_event(batch, Type::gap, next, newest, until - next);
    recovery.gaps += until - next;
    next = until;
  }

  Failure take(const Ring& ring, bool dense) {
    Ring::Position at = ring.head();
    while (const std::uint32_t length = ring.walk(at, dense)) {
      const std::byte* const record = ring.at(at.place);
      RecordHeader header;
      std::memcpy(&header, record, sizeof(header));
      if (header.seq >= next) {
        if (header.seq - next > most_missing || header.flags != 0 || header.type <= Type::names || header.type == Type::gap) {
          return {Status::journal_damaged, 0,
                  ring.path() + ": event " + std::to_string(header.seq) + " in shared memory is no event that could follow " +
                      std::to_string(next - 1) + ". To go on without what is there, remove the file"};
        }
        if (header.seq > next) gap(header.seq);
        newest = header.time;
        told = told || (header.seq == telling_seq && header.type == Type::dropped);
        const std::size_t from = batch.size();
        batch.resize(from + padded(length));
        Ring::copy(record, length, batch.data() + from);
        ++next;
        ++recovery.drained;
        if (batch.size() >= batch_bytes) {
          if (Failure failure = flush()) return failure;
        }
      }
      at.place += Ring::units_of(length);
      at.seq = header.seq + 1;
    }
    return {};
  }
};

}  // namespace

void put_event(std::vector<std::byte>& to, Type type, Seq seq, Time time, std::uint64_t n) {
  RecordHeader header;
  header.length = sizeof(header) + sizeof(n);
  header.type = type;
  header.seq = seq;
  header.time = time;
  const std::size_t from = to.size();
  to.resize(from + padded(header.length));
  std::memcpy(to.data() + from, &header, sizeof(header));
  std::memcpy(to.data() + from + sizeof(header), &n, sizeof(n));
}

Failure drain_rings(const Ring& spill, const Ring& ring, SegmentLog& log, Recovery& recovery) {
  Drain drain{log, recovery};
  if (spill.made()) {
    if (Failure failure = drain.take(spill, false)) return failure;
  }
  if (ring.made()) {
    // All before the ring's head was written, or was in the spill. Where it is not, the segments have been cut since.
    const Seq head = ring.head().seq;
    if (head > drain.next && head - drain.next <= most_missing) {
      recovery.lost = head - drain.next;
      drain.gap(head);
    }
    const RingControl& control = ring.control();
    const std::uint64_t telling = control.telling.load(std::memory_order_acquire);
    std::uint64_t told = control.told.load(std::memory_order_relaxed);
    if (telling > told) drain.telling_seq = control.telling_seq.load(std::memory_order_relaxed);
    if (Failure failure = drain.take(ring, true)) return failure;
    if (drain.told) told = telling;
    const std::uint64_t dropped = control.dropped.load(std::memory_order_relaxed);
    if (dropped > told) {
      put_event(drain.batch, Type::dropped, drain.next, drain.newest, dropped - told);
      ++drain.next;
    }
    if (Failure failure = drain.flush()) return failure;
    ring.control().told.store(dropped, std::memory_order_relaxed);  // if opening fails now, the next does not tell it again
    return {};
  }
  return drain.flush();
}

}  // namespace fairlead::journal
