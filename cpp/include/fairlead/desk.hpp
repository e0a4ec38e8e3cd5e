// A desk: a folder with a journal, and a fleet that is the fold of it. POSIX, as the journal is.
//
//   <folder>/segments/, lock           the journal: journal/format.hpp
//   <folder>/snapshots/<event, 20 digits>.fleet   the fleet as of that event: a cache, which may be deleted at any time
//
// Opening takes the newest snapshot that is whole, of this journal and not ahead of it or of a course that a power cut ended,
// and folds the events that came after.
// A snapshot is written from a reader of the journal, never from the live fleet: so whoever writes it waits for nobody, and
// nobody for him.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/fleet_replay.hpp"
#include "fairlead/journal.hpp"
#include "fairlead/journal/reader.hpp"

namespace fairlead {

// What reading a desk found.
struct DeskReport {
  journal::Seq snapshot = 0;   // the event of the snapshot that was used; 0: none, all was folded
  std::uint64_t events = 0;    // that came after it
  std::vector<std::string> warnings = {};  // snapshots that were of no use, and why; events that were passed over
};

// The fleet as of what is written of the journal, by whomever. Where the journal's first segments were archived and no
// snapshot takes their place, it is a Failure that says so. `out` and `origin` stay as they were on a
// Failure.
journal::Failure fold_desk(const std::string& folder, Fleet& out, FleetOrigin& origin, DeskReport& report,
                           bool use_snapshots = true, journal::Disk& disk = journal::Disk::real());

// Writes a snapshot as of what is written, where there are newer events than the newest snapshot's; `out` becomes its event.
// The newest two are kept. One call at a time on a folder.
journal::Failure snapshot_desk(const std::string& folder, journal::Seq& out,
                               journal::Disk& disk = journal::Disk::real());

// What is to be replayed: counts the events up to the last one that is written now.
journal::Failure census_desk(const std::string& folder, FleetCensus& out, journal::Disk& disk = journal::Disk::real());

// The state in which a replay ended, and the one in the newest snapshot beside the one that was folded up to there.
struct StateCheck {
  journal::Seq last = 0;
  std::uint32_t crc = 0;       // CRC-32C of Fleet::state, which are its last four bytes
  journal::Seq snapshot = 0;   // 0: there is none
  std::uint32_t snapshot_crc = 0, folded_crc = 0;

  bool agrees() const noexcept { return snapshot_crc == folded_crc; }
};
// Replays the events that were counted. Needs all of them, from the first. `go_on` is asked now and then, with what is done
// so far; where it says no, the replay ends with a Failure that says so.
journal::Failure replay_desk(const std::string& folder, FleetReplay& replay, StateCheck& check,
                             journal::Disk& disk = journal::Disk::real(),
                             const std::function<bool(const FleetReplay&)>& go_on = {});

// The audits of all settled tasks that a desk's journal holds, oldest outcome first: its events are folded as they are asked
// for. Where the journal's first segments were archived, the oldest snapshot that is of use is begun with, and the audits in it.
class DeskAudits {
 public:
  using Visit = std::function<void(const FleetTask& task, const Audit& audit)>;

  static journal::Failure open(const std::string& folder, DeskAudits& out, journal::Disk& disk = journal::Disk::real());

  // Visits the next `n` audits, fewer at the end, and those of a snapshot at once; `more`: whether there may be some. What `visit` throws ends it.
  journal::Failure advance(std::size_t n, const Visit& visit, bool& more);

  const Fleet& fleet() const noexcept { return fleet_; }  // as of the newest event that was read

 private:
  std::string folder_;
  journal::JournalReader reader_;
  std::span<const std::byte> run_ = {};  // what is left of the reader's
  Fleet fleet_;
  bool begun_ = false;
};

// Hands the events of a fleet to a journal.
class JournalSink final : public EventSink {
 public:
  explicit JournalSink(Journal& journal) noexcept : journal_(journal) {}
  Status name(journal::Table table, std::string_view name, std::int32_t& out) noexcept override;
  Status append(const journal::RecordHeader& header, std::span<const std::byte> payload,
                journal::Seq& out) noexcept override;

 private:
  Journal& journal_;
};

class Desk {
 public:
  // Opens or makes the journal, which then has this writer alone, and folds it. `settings` are those of a new desk; an old one
  // has its own, and a Failure (bad_event) says where they differ. nullptr: the desk's own, or the defaults.
  static journal::Failure open(const std::string& folder, const FleetSettings* settings, const JournalOptions& options,
                               std::unique_ptr<Desk>& out, DeskReport& report, journal::Recovery& recovery);

  Fleet& fleet() noexcept { return fleet_; }
  Journal& journal() noexcept { return *journal_; }
  journal::Failure close();  // of the journal: all is written and synced. The fleet can still be read, and not be changed

 private:
  Desk() = default;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<JournalSink> sink_;
  Fleet fleet_;
};

}  // namespace fairlead
