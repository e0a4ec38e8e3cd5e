// What callers of a Journal run: the hot path, names, waiting.
#include "fairlead/journal.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "journal/state.hpp"

namespace fairlead {

using journal::Failure;
using journal::RecordHeader;
using journal::Ring;
using journal::Seq;
using journal::Type;

Journal::Journal() : state_(std::make_unique<State>()) {}

Journal::~Journal() {
  if (state_->foreign.load(std::memory_order_relaxed)) {
    // The threads are not in this process, and locks may stand as they stood when it was made. Nothing can be undone.
    (void)state_.release();
    return;
  }
  try {
    (void)close();
  } catch (...) {  // out of memory; what was accepted stays in the ring
  }
}

Failure Journal::open(const std::string& folder, const JournalOptions& options, std::unique_ptr<Journal>& out,
                      journal::Recovery& recovery, journal::Disk& disk) {
  std::unique_ptr<Journal> made(new Journal);
  if (Failure failure = made->state_->start(folder, options, recovery, disk)) return failure;
  out = std::move(made);
  return {};
}

// --- the hot path ---

Status Journal::State::refused(Status status, std::uint64_t n) noexcept {
  if (status == Status::journal_full && overflow == Overflow::drop) {
    ring.control().dropped.fetch_add(n, std::memory_order_relaxed);
    return Status::journal_dropped;
  }
  return status;
}

Status Journal::claim(Type type, Time time, std::int32_t model, std::int32_t category, std::size_t payload_bytes,
                      Claim& out, std::uint8_t version) noexcept {
  State& state = *state_;
  if (const Status gate = state.gate.load(std::memory_order_acquire); gate != Status::ok) return gate;
  if (payload_bytes > journal::max_payload) return Status::too_long;
  if (type <= Type::dropped) return Status::out_of_range;  // the journal's own
  return state.claim(type, time, model, category, payload_bytes, out, version);
}

Status Journal::claim(Type type, std::size_t payload_bytes, std::size_t n, Batch& out, std::uint8_t version) noexcept {
  State& state = *state_;
  if (const Status gate = state.gate.load(std::memory_order_acquire); gate != Status::ok) return gate;
  if (payload_bytes > journal::max_payload || n > state.ring.bytes() / Ring::unit) return Status::too_long;
  if (type <= Type::dropped || n == 0) return Status::out_of_range;
  Ring::Slot slot;
  const auto length = static_cast<std::uint32_t>(sizeof(RecordHeader) + payload_bytes);
  if (const Status status = state.ring.claim(length, static_cast<std::uint32_t>(n), slot); status != Status::ok)
    return state.refused(status, n);
  out = {slot.seq, n, slot.at, slot.commit, length, type, version};
  return Status::ok;
}

Journal::Claim Journal::put(const Batch& batch, std::size_t i, Time time, std::int32_t model,
                            std::int32_t category) noexcept {
  const Ring::Slot slot = state_->ring.slot({batch.at, batch.first, batch.place}, batch.length, static_cast<std::uint32_t>(i));
  State::put_header(slot, batch.type, time, model, category, batch.version);
  return {slot.at + sizeof(RecordHeader), slot.seq, slot.commit};
}

void Journal::commit(const Claim& claim) noexcept {
  Ring::commit({claim.payload - sizeof(RecordHeader), claim.seq, claim.place});
}

Status Journal::append(Type type, Time time, std::int32_t model, std::int32_t category,
                       std::span<const std::byte> payload, Seq& out, std::uint8_t version) noexcept {
  Claim room;
  if (const Status status = claim(type, time, model, category, payload.size(), room, version); status != Status::ok)
    return status;
  if (!payload.empty()) std::memcpy(room.payload, payload.data(), payload.size());
  commit(room);
  out = room.seq;
  return Status::ok;
}

// --- how far it has come ---

Seq Journal::State::accepted() noexcept {
  const std::lock_guard lock(drain);
  if (const Ring::Position head = ring.head(); head.seq > front.seq) front = head;
  while (const std::uint32_t length = ring.committed(front.place)) {
    front.place += Ring::units_of(length);
    ++front.seq;
  }
  return front.seq - 1;
}

Watermarks Journal::watermarks() const noexcept {
  State& state = *state_;
  Watermarks marks;
  marks.durable = state.durable.load(std::memory_order_acquire);
  marks.written = state.written.load(std::memory_order_acquire);
  marks.dropped = state.ring.control().dropped.load(std::memory_order_relaxed);
  marks.accepted = state.foreign.load(std::memory_order_relaxed) ? marks.written : state.accepted();
  return marks;
}

Status Journal::State::wait(const std::atomic<Seq>& mark, Seq seq, Time timeout, bool sync) {
  if (foreign.load(std::memory_order_relaxed)) return Status::journal_closed;
  if (seq == 0) seq = ring.end().seq - 1;
  const auto reached = [&] { return mark.load(std::memory_order_seq_cst) >= seq; };
  if (reached()) return Status::ok;
  waiters.fetch_add(1, std::memory_order_seq_cst);
  std::unique_lock lock(mutex);
  if (sync && wanted.load(std::memory_order_relaxed) < seq) wanted.store(seq, std::memory_order_relaxed);
  kicked = true;
  wake.notify_one();
  const auto over = [&] { return reached() || finished; };
  if (timeout < 0) {
    done.wait(lock, over);
  } else {
    // A year is for ever, and does not overflow the clock.
    done.wait_for(lock, std::chrono::nanoseconds(std::min(timeout, Time{365} * 86'400 * 1'000'000'000)), over);
  }
  waiters.fetch_sub(1, std::memory_order_relaxed);
  if (reached()) return Status::ok;
  if (!finished) return Status::timed_out;
  return refusal ? Status::journal_failed : Status::journal_closed;
}

Status Journal::wait_durable(Seq seq, Time timeout) { return state_->wait(state_->durable, seq, timeout, true); }
Status Journal::wait_written(Seq seq, Time timeout) { return state_->wait(state_->written, seq, timeout, false); }

Failure Journal::failure() const {
  if (state_->foreign.load(std::memory_order_relaxed)) return {Status::journal_closed, 0, "the journal belongs to the parent process"};
  const std::lock_guard lock(state_->mutex);
  return state_->refusal;
}

// --- names ---

Status Journal::name(journal::Table table, std::string_view name, std::int32_t& out) {
  State& state = *state_;
  if (const Status gate = state.gate.load(std::memory_order_acquire); gate != Status::ok) return gate;
  if (name.size() > journal::max_payload / 2) return Status::too_long;
  const std::lock_guard lock(state.names_mutex);
  NameTable& names = state.names[static_cast<std::size_t>(table)];
  if (const std::int32_t known = names.find(name); known != NameTable::absent) {
    out = known;
    return Status::ok;
  }
  // The event first, as it may be refused.
  Claim room;
  const std::size_t bytes = 1 + 4 + 4 + name.size();
  const auto id = static_cast<std::uint32_t>(names.size());
  const Status status = state.claim(Type::name, state.newest.load(std::memory_order_relaxed), -1, -1, bytes, room, 1);
  if (status != Status::ok) return status;
  journal::PayloadWriter payload(room.payload);
  payload.put(static_cast<std::uint8_t>(table));
  payload.put(id);
  payload.put(name);
  commit(room);
  try {
    out = names.intern(name);
    state.n_names[static_cast<std::size_t>(table)].store(names.size(), std::memory_order_release);
  } catch (...) {  // out of memory: the log knows a name that this table does not, so its next would be wrong
    state.gate.store(Status::journal_failed, std::memory_order_release);
    throw;
  }
  return Status::ok;
}

std::int32_t Journal::n_names(journal::Table table) const noexcept {
  return state_->n_names[static_cast<std::size_t>(table)].load(std::memory_order_acquire);
}

std::int32_t Journal::find_name(journal::Table table, std::string_view name) const noexcept {
  if (state_->foreign.load(std::memory_order_relaxed)) return NameTable::absent;
  const std::lock_guard lock(state_->names_mutex);
  return state_->names[static_cast<std::size_t>(table)].find(name);
}

// --- the end ---

Failure Journal::close() {
  State& state = *state_;
  if (state.foreign.load(std::memory_order_relaxed)) return {};
  const std::lock_guard lock(state.closing);
  if (!state.closed) {
    state.closed_with = state.stop();
    state.closed = true;
  }
  return state.closed_with;
}

const std::string& Journal::folder() const noexcept { return state_->folder; }
const std::array<std::uint8_t, 16>& Journal::id() const noexcept { return state_->id; }

}  // namespace fairlead
