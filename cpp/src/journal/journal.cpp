// What callers of a Journal run now and then: names, watermarks, waiting. The hot path is in the header.
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

Journal::Journal(std::unique_ptr<State> state) noexcept : state_(std::move(state)), intake_(*state_) {}

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
  std::unique_ptr<Journal> made(new Journal(std::make_unique<State>()));
  if (Failure failure = made->state_->start(folder, options, recovery, disk)) return failure;
  out = std::move(made);
  return {};
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
  // Who has given up asks for nothing any more; else every later batch would be synced until that number comes.
  if (waiters.fetch_sub(1, std::memory_order_relaxed) == 1) wanted.store(0, std::memory_order_relaxed);
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
  const Status status = state.take(Type::name, state.newest.load(std::memory_order_relaxed), -1, -1, bytes, room, 1);
  if (status != Status::ok) return state.refused(status, 1);
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
