// The writer thread: committed records from the ring into the segments, and on to the disk by the sync policy.
//
// The order that keeps what was accepted: copy, write, only then free the place in the ring. A process that dies before
// the last step leaves a record in both, which is known by its number.
#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "journal/state.hpp"

namespace fairlead {

using journal::Failure;
using journal::RecordHeader;
using journal::Ring;
using journal::Seq;
using journal::Type;

namespace {

constexpr std::size_t batch_bytes = std::size_t{256} << 10;
constexpr std::size_t longest = journal::padded(sizeof(RecordHeader) + journal::max_payload);
constexpr Time microsecond = 1'000, millisecond = 1'000'000;
constexpr Time shortest_nap = 50 * microsecond, longest_nap = millisecond;
constexpr Time patience = 2'000 * millisecond;  // of close(), with a disk that refuses, or a claim that is not committed

struct Writer {
  explicit Writer(Journal::State& state_) : s(state_), batch(batch_bytes + longest) {
    unsynced = s.log.written() > s.log.durable();
    // A burst from idle must not fill the ring while the writer naps: at 16 GB/s it takes so long.
    most_nap = std::clamp(static_cast<Time>(s.ring.bytes() / 16), shortest_nap, longest_nap);
  }

  Journal::State& s;
  std::vector<std::byte> batch;
  std::size_t used = 0;
  Seq last = 0;             // number of the last record in the batch
  Ring::Position next = s.ring.head(), next_spilled = s.spill.made() ? s.spill.head() : Ring::Position{};
  bool unsynced = false;
  Time synced = journal::steady_clock();
  Time most_nap = longest_nap, nap = shortest_nap;
  Time give_up = 0;  // 0 until close() is called

  // Copies what is committed at `at`, and moves `at` behind it.
  void take(const Ring& ring, Ring::Position& at) noexcept {
    while (used < batch_bytes) {
      const std::uint32_t length = ring.committed(at.place);
      if (length == 0) return;
      RecordHeader header;
      std::memcpy(&header, ring.at(at.place), sizeof(header));
      if (header.seq > last) {
        used += Ring::copy(ring.at(at.place), length, batch.data() + used);
        last = header.seq;
        s.newest.store(header.time, std::memory_order_relaxed);
      }
      at.place += Ring::units_of(length);
      ++at.seq;  // of the ring: the spill counts by itself
    }
  }

  void gather() noexcept {
    used = 0;
    last = s.written.load(std::memory_order_relaxed);
    if (!s.spill.made()) return take(s.ring, next);
    // The spill thread moves records from one ring to the other: those in the spill are the older ones.
    const std::lock_guard lock(s.drain);
    next = s.ring.head();
    next_spilled = s.spill.head();
    take(s.spill, next_spilled);
    take(s.ring, next);
  }

  void free() noexcept {
    const std::lock_guard lock(s.drain);
    if (!s.spill.made()) return s.ring.free(next);
    const Ring::Position head = s.ring.head();
    if (next.seq > head.seq) s.ring.free(next);
    // Of this batch, some may have been moved while it was written.
    Ring::Position at = next_spilled;
    while (const std::uint32_t length = s.spill.committed(at.place)) {
      RecordHeader header;
      std::memcpy(&header, s.spill.at(at.place), sizeof(header));
      if (header.seq > last) break;
      at = {at.place + Ring::units_of(length), at.seq + 1};
    }
    s.spill.free(at);
  }

  void announce() {
    if (s.waiters.load(std::memory_order_seq_cst) == 0) return;
    const std::lock_guard lock(s.mutex);
    s.done.notify_all();
  }

  // Gives false where the disk is lost, or where close() has run out of patience.
  bool write() {
    const std::span<std::byte> records(batch.data(), used);
    for (Time pause = 5 * millisecond;; pause = std::min(2 * pause, 200 * millisecond)) {
      Failure failure = s.log.append(records, journal::wall_clock());
      if (!failure) break;
      const bool final = failure.status != Status::system_refused;
      if (tell(std::move(failure), final) || out_of_patience()) return false;
      // What is written already can still become durable.
      if (!sync_if_due(false)) return false;
      sleep(pause);
    }
    if (refusing) tell({}, false);
    unsynced = true;
    s.written.store(last, std::memory_order_seq_cst);
    free();
    announce();
    return true;
  }

  // `more`: other records wait to be written.
  bool sync_if_due(bool more) {
    if (!unsynced) return true;
    const Seq wanted = s.wanted.load(std::memory_order_relaxed), durable = s.durable.load(std::memory_order_relaxed);
    const bool asked = wanted > durable && (!more || s.written.load(std::memory_order_relaxed) >= wanted);
    const bool due = s.options.sync == Sync::always ||
                     (s.options.sync == Sync::interval && journal::steady_clock() - synced >= s.options.sync_interval);
    return asked || due ? sync() : true;
  }

  bool sync() {
    synced = journal::steady_clock();
    Failure failure = s.log.sync();
    // A log that can go on has given what was not durable to a new segment; if that found no room, it says so for good.
    if (failure) return tell(std::move(failure), true), false;
    unsynced = false;
    s.durable.store(s.log.durable(), std::memory_order_seq_cst);
    announce();
    return true;
  }

  // Gives `final`, so that the caller can end.
  bool tell(Failure failure, bool final) {
    if (failure && !refusing) s.troubled.store(true, std::memory_order_release);
    refusing = static_cast<bool>(failure);
    if (final) s.gate.store(Status::journal_failed, std::memory_order_release);
    const std::lock_guard lock(s.mutex);
    s.refusal = std::move(failure);
    return final;
  }

  void sleep(Time span) {
    std::unique_lock lock(s.mutex);
    if (!s.kicked) s.wake.wait_for(lock, std::chrono::nanoseconds(span), [&] { return s.kicked; });
    s.kicked = false;
  }

  void rest(bool stopping) {
    Time span = nap;
    nap = std::min(2 * nap, most_nap);
    if (unsynced && s.options.sync == Sync::interval) {
      span = std::clamp(s.options.sync_interval - (journal::steady_clock() - synced), Time{1}, span);
    }
    sleep(stopping ? shortest_nap : span);
  }

  // An event that says how many were refused, as soon as there is room for it.
  void tell_dropped() noexcept {
    auto& control = s.ring.control();
    const std::uint64_t dropped = control.dropped.load(std::memory_order_relaxed);
    const std::uint64_t n = dropped - control.told.load(std::memory_order_relaxed);
    if (n == 0 || s.ring.used() > s.ring.bytes() / 2) return;
    journal::Claim claim;
    if (s.take(Type::dropped, s.newest.load(std::memory_order_relaxed), -1, -1, sizeof(n), claim, 1) != Status::ok) return;
    std::memcpy(claim.payload, &n, sizeof(n));
    control.telling_seq.store(claim.seq, std::memory_order_relaxed);
    control.telling.store(dropped, std::memory_order_release);
    Journal::commit(claim);  // whoever drains the ring of a process that dies here finds the event, and knows what it told
    control.told.store(dropped, std::memory_order_relaxed);
  }

  bool out_of_patience() noexcept {
    if (!s.stopping.load(std::memory_order_acquire)) return false;
    const Time now = journal::steady_clock();
    if (give_up == 0) give_up = now + patience;
    return now > give_up;
  }

  // True: all that was accepted is written.
  bool run() {
    for (;;) {
      const bool stopping = s.stopping.load(std::memory_order_acquire);
      if (s.overflow == Overflow::drop) tell_dropped();
      gather();
      const bool full = used >= batch_bytes;
      if (used > 0) {
        nap = shortest_nap;
        if (!write()) return false;
      }
      if (!sync_if_due(full)) return false;
      if (used > 0 && (full || stopping)) continue;
      if (stopping) {
        if (s.ring.used() == 0 && (!s.spill.made() || s.spill.used() == 0)) return true;
        if (out_of_patience()) return false;  // claimed, but never committed
      }
      rest(stopping);
    }
  }

 private:
  bool refusing = false;
};

}  // namespace

void Journal::State::run() noexcept {
  bool all = false;
  try {
    all = Writer(*this).run();
  } catch (const std::bad_alloc&) {
    gate.store(Status::journal_failed, std::memory_order_release);
    const std::lock_guard lock(mutex);
    refusal.status = Status::out_of_memory;
  }
  const std::lock_guard lock(mutex);
  drained = all;
  finished = !all;  // else stop() makes durable what is written: who waits for that, waits for it
  if (finished) done.notify_all();
}

// Ends both threads, and leaves the ring where it is if something in it could not be written.
Failure Journal::State::stop() {
  if (!writer.joinable()) {  // it never got so far
    (void)log.close();
    held.release();
    return {};
  }
  Status open = Status::ok;
  gate.compare_exchange_strong(open, Status::journal_closed, std::memory_order_acq_rel);
  const Ring::Position end = ring.close();  // from here on nothing is claimed
  {
    const std::lock_guard guard(mutex);
    stopping.store(true, std::memory_order_release);
    kicked = true;
    wake.notify_all();
    spill_wake.notify_all();
  }
  writer.join();
  if (spiller.joinable()) spiller.join();
  Failure result;
  if (drained) {
    // Those that were refused last: the ring took no event any more that would have told of them.
    auto& control = ring.control();
    const std::uint64_t all = control.dropped.load(std::memory_order_relaxed);
    if (const std::uint64_t n = all - control.told.load(std::memory_order_relaxed); n > 0) {
      std::vector<std::byte> event;
      journal::put_event(event, Type::dropped, log.written() + 1, newest.load(std::memory_order_relaxed), n);
      result = log.append(event, journal::wall_clock());
      if (!result) control.told.store(all, std::memory_order_relaxed);  // else the next open tells it
    }
    const Failure closing_it = log.close();
    if (!result) result = closing_it;
    durable.store(log.durable(), std::memory_order_seq_cst);
    written.store(std::max(log.written(), written.load(std::memory_order_relaxed)), std::memory_order_seq_cst);
    if (!result) {
      ring.remove();
      if (spill.made()) spill.remove();
    }
  } else {
    (void)log.close();
    const std::lock_guard guard(mutex);
    result = refusal;
    if (!result) result = {Status::journal_failed, 0, "an event was claimed, but not committed"};
    const Seq kept = end.seq - 1 - std::min(end.seq - 1, written.load(std::memory_order_relaxed));
    if (kept > 0) {
      result.what += "; " + std::to_string(kept) + " events stay in " + ring.path() + ", the next open writes them";
    }
  }
  {
    const std::lock_guard guard(mutex);
    if (result) refusal = result;
    finished = true;
    done.notify_all();
  }
  held.release();
  journal::forget_forks(*this);  // only now: a child that is made meanwhile must not take the rest of this for its own
  return result;
}

}  // namespace fairlead
