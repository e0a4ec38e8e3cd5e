// Inside a Journal: what its callers, its writer thread and its spill thread share. What every append reads comes first.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "fairlead/journal.hpp"
#include "fairlead/journal/intake.hpp"
#include "fairlead/names.hpp"
#include "journal/lock.hpp"

namespace fairlead {

struct Journal::State : journal::Intake {
  // --- what the writer tells ---
  alignas(128) std::atomic<journal::Seq> written{0};
  std::atomic<journal::Seq> durable{0};
  std::atomic<Time> newest{0};  // time of the newest event that was written: that of the journal's own events
  alignas(128) std::atomic<journal::Seq> wanted{0};  // somebody waits until this one is durable
  std::atomic<int> waiters{0};
  std::array<std::atomic<std::int32_t>, journal::n_tables> n_names{};
  std::atomic<bool> stopping{false};
  std::atomic<bool> foreign{false};  // a child process has this copy: nothing here is its own

  std::string folder;
  JournalOptions options;
  std::array<std::uint8_t, 16> id = {};
  journal::WriterLock held;

  std::mutex names_mutex;
  std::array<NameTable, journal::n_tables> names;

  std::mutex mutex;  // of what follows, and for sleeping
  std::condition_variable wake, done, spill_wake;
  bool kicked = false;    // the writer is to look now
  bool finished = false;  // the writer has ended
  bool drained = false;   // it has written all that was accepted
  journal::Failure refusal;  // what the disk last refused

  // Who moves the ring's head, or walks along records that must not be freed meanwhile. Only writer, spill and watermarks.
  std::mutex drain;
  journal::Ring spill;
  journal::Ring::Position front;  // all before it are committed

  std::mutex closing;
  bool closed = false;
  journal::Failure closed_with;

  std::thread writer, spiller;
  journal::SegmentLog log;  // the writer's, once it runs

  ~State();

  journal::Seq accepted() noexcept;
  Status wait(const std::atomic<journal::Seq>& mark, journal::Seq seq, Time timeout, bool sync);

  // open.cpp
  journal::Failure start(const std::string& folder, const JournalOptions& options, journal::Recovery& recovery,
                         journal::Disk& disk);
  std::string memory_path() const;

  // writer.cpp
  void run() noexcept;
  journal::Failure stop();

  // spill.cpp
  void move_to_spill() noexcept;
};

namespace journal {

// Brings into `log` what a dead process left in its rings: first the spill, then the ring. Either may not be there.
Failure drain_rings(const Ring& spill, const Ring& ring, SegmentLog& log, Recovery& recovery);

// A child process must not write to its parent's journals. Every journal that is open is in a list; after a fork the child
// goes through its copy of the list and marks all of them. Both may be called at any time by any thread.
void watch_forks(Journal::State& state);
void forget_forks(Journal::State& state) noexcept;

// One of the journal's own events, as it stands on disk, at the end of `to`.
void put_event(std::vector<std::byte>& to, Type type, Seq seq, Time time, std::uint64_t n);

}  // namespace journal

}  // namespace fairlead
