#include "fairlead/desk.hpp"

#include "desk_files.hpp"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <new>
#include <utility>

namespace fairlead {

using journal::Disk;
using journal::Event;
using journal::Events;
using journal::Failure;
using journal::JournalReader;
using journal::Seq;

namespace {

constexpr std::string_view suffix = ".fleet";
constexpr std::string_view unfinished = ".tmp";
constexpr std::size_t digits = 20;
constexpr std::size_t kept = 2;
constexpr Seq between_questions = 50'000;  // events that are replayed from one to the next
constexpr std::int64_t largest = std::int64_t{1} << 36;  // of a snapshot file: what is larger is none

std::string snapshots_of(const std::string& folder) { return folder + "/snapshots"; }

std::string file_name(Seq seq) {
  const std::string number = std::to_string(seq);
  return std::string(digits - number.size(), '0') + number + std::string(suffix);
}

bool event_of(std::string_view name, Seq& out) noexcept {
  if (name.size() != digits + suffix.size() || !name.ends_with(suffix)) return false;
  const auto [end, error] = std::from_chars(name.data(), name.data() + digits, out);
  return error == std::errc() && end == name.data() + digits;
}

// The events that have a snapshot, newest first. A folder that is not there has none.
std::vector<Seq> snapshots_in(const std::string& folder, Disk& disk) {
  std::vector<std::string> names;
  std::vector<Seq> found;
  if (disk.list(snapshots_of(folder), names) < 0) return found;
  for (const std::string& name : names) {
    Seq seq = 0;
    if (event_of(name, seq)) found.push_back(seq);
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

Failure refused(int error, const std::string& what) {
  return {Status::system_refused, -error, what + ": " + std::strerror(-error)};
}

// An open file that is closed in the end.
class File {
 public:
  File(Disk& disk, const std::string& path, int flags) : disk_(disk), file_(disk.open(path, flags)) {}
  ~File() {
    if (file_ >= 0) disk_.close(file_);
  }
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  int get() const noexcept { return file_; }

 private:
  Disk& disk_;
  int file_;
};

// Why a file is no use, empty where it is.
std::string read_file(const std::string& path, std::string& out, Disk& disk) {
  const File file(disk, path, O_RDONLY);
  if (file.get() < 0) return std::strerror(-file.get());
  const std::int64_t size = disk.size(file.get());
  if (size < 0) return std::strerror(static_cast<int>(-size));
  if (size > largest) return "too large";
  out.resize(static_cast<std::size_t>(size));
  const std::int64_t got = disk.read(file.get(), out.data(), out.size(), 0);
  if (got < 0) return std::strerror(static_cast<int>(-got));
  return got == size ? "" : "it grows shorter while it is read";
}

// Folds what comes after the fleet's own last event, and keeps `origin` up. `why` the fleet is not of this journal's course.
Failure fold_tail(const std::string& folder, Fleet& fleet, FleetOrigin& origin, std::uint64_t& events, std::string& why,
                  Disk& disk) {
  const Seq start = fleet.last();
  JournalReader reader;
  if (Failure failure = JournalReader::open(folder, {.first = std::max<Seq>(start, 1)}, reader, disk)) return failure;
  Seq newest = 0;
  std::span<const std::byte> run;
  for (;;) {
    if (Failure failure = reader.run(run)) return failure;
    if (run.empty()) break;
    for (const Event event : Events(run)) {
      const journal::RecordHeader& header = *event.header;
      if (newest == 0 && header.seq > start + 1) {
        return {Status::journal_damaged, 0,
                folder + ": events " + std::to_string(start + 1) + " to " + std::to_string(header.seq - 1) +
                    " are no longer among the segments, and no snapshot stands for them"};
      }
      newest = header.seq;
      if (newest < start) continue;
      if (newest == start) {
        if (header.crc != origin.crc) why = "the journal took another course before event " + std::to_string(start);
        if (!why.empty()) return {};
        continue;
      }
      const Status status = fleet.apply(event);
      if (status == Status::unknown_format || status == Status::out_of_memory) {
        return {status, 0, folder + ": event " + std::to_string(newest) + ": " + message(status)};
      }
      origin.crc = header.crc;
      ++events;
    }
  }
  origin.journal = reader.id();
  if (newest < start && (newest != 0 || reader.position() < start)) why = "it is ahead of the journal";
  return {};
}

// A fleet from one snapshot; why it is no use, empty where it is.
std::string restore(const std::string& path, Seq seq, const FleetOrigin& journal, Fleet& out, FleetOrigin& origin,
                    Disk& disk) {
  std::string bytes;
  if (std::string why = read_file(path, bytes, disk); !why.empty()) return why;
  Fleet read;
  const Status status = Fleet::restore(bytes, read, origin);
  if (status != Status::ok) return message(status);
  if (origin.journal != journal.journal) return "it is of another journal";
  if (read.last() != seq) return "it is of event " + std::to_string(read.last());
  out = std::move(read);
  return {};
}

// That of the state's bytes before their own: with it the checksum of any state would be the same.
std::uint32_t state_crc(const Fleet& fleet) {
  const std::string state = fleet.state();
  return crc32c(std::string_view(state).substr(0, state.size() - sizeof(std::uint32_t)));
}

// Whether the journal still has the event that a snapshot was taken at, and not another one that took its number after a
// power cut. What was archived and removed is past any cut.
bool of_this_course(const std::string& folder, Seq seq, const FleetOrigin& origin, Disk& disk) {
  JournalReader reader;
  if (JournalReader::open(folder, {.first = seq}, reader, disk)) return false;
  std::span<const std::byte> run;
  do {
    if (reader.run(run)) return false;
    for (const Event event : Events(run)) {
      if (event.header->seq >= seq) return event.header->seq > seq || event.header->crc == origin.crc;
    }
  } while (!run.empty());
  return false;
}

// The newest snapshot that is of use by itself, of an event up to `last`.
bool newest_snapshot(const std::string& folder, Seq last, Fleet& out, Disk& disk) {
  FleetOrigin journal, of;
  {
    JournalReader reader;
    if (JournalReader::open(folder, {}, reader, disk)) return false;
    journal.journal = reader.id();
  }
  for (const Seq seq : snapshots_in(folder, disk)) {
    const std::string path = snapshots_of(folder) + "/" + file_name(seq);
    if (seq > last || !restore(path, seq, journal, out, of, disk).empty()) continue;
    if (of_this_course(folder, seq, of, disk)) return true;
  }
  return false;
}

// Hands every event from the first to `last` to `each`, which says whether to go on.
template <class Each>
Failure walk(const std::string& folder, Seq last, Disk& disk, Each&& each) {
  JournalReader reader;
  if (Failure failure = JournalReader::open(folder, {}, reader, disk)) return failure;
  std::span<const std::byte> run;
  Seq newest = 0;
  for (;;) {
    if (Failure failure = reader.run(run)) return failure;
    if (run.empty()) return {};
    for (const Event event : Events(run)) {
      const Seq seq = event.header->seq;
      if (newest == 0 && seq != 1) {
        return {Status::journal_damaged, 0,
                folder + ": events 1 to " + std::to_string(seq - 1) + " are no longer among the segments; a replay needs them"};
      }
      newest = seq;
      if (seq > last) return {};
      const Status status = each(event);
      if (status == Status::unknown_format || status == Status::out_of_memory) {
        return {status, 0, folder + ": event " + std::to_string(seq) + ": " + message(status)};
      }
    }
  }
}

}  // namespace

bool desk_files::oldest_snapshot(const std::string& folder, Seq first, Fleet& out, Disk& disk) {
  FleetOrigin journal, of;
  {
    JournalReader reader;
    if (JournalReader::open(folder, {}, reader, disk)) return false;
    journal.journal = reader.id();
  }
  std::vector<Seq> found = snapshots_in(folder, disk);
  for (auto seq = found.rbegin(); seq != found.rend(); ++seq) {
    if (*seq + 1 < first || !restore(snapshots_of(folder) + "/" + file_name(*seq), *seq, journal, out, of, disk).empty()) {
      continue;
    }
    if (*seq < first || of_this_course(folder, *seq, of, disk)) return true;
  }
  out = Fleet();
  return false;
}

Failure census_desk(const std::string& folder, FleetCensus& out, Disk& disk) {
  try {
    FleetCensus census;
    const Failure failure = walk(folder, ~Seq{0}, disk, [&](const Event& event) {
      census.count(event);
      return Status::ok;
    });
    if (!failure) out = std::move(census);
    return failure;
  } catch (const std::bad_alloc&) {
    return {Status::out_of_memory, 0, folder};
  }
}

Failure replay_desk(const std::string& folder, FleetReplay& replay, StateCheck& check, Disk& disk,
                    const std::function<bool(const FleetReplay&)>& go_on) {
  try {
    const Seq last = replay.census().last;
    StateCheck found;
    {
      Fleet kept_there;
      if (newest_snapshot(folder, last, kept_there, disk)) {
        found.snapshot = kept_there.last();
        found.snapshot_crc = state_crc(kept_there);
      }
    }
    bool stopped = false;
    if (Failure failure = walk(folder, last, disk, [&](const Event& event) {
          if (go_on && event.header->seq % between_questions == 0) stopped = stopped || !go_on(replay);
          if (stopped) return Status::ok;
          const Status status = replay.apply(event);
          if (event.header->seq == found.snapshot) found.folded_crc = state_crc(replay.fleet());
          return status;
        })) {
      return failure;
    }
    if (stopped) return {Status::timed_out, 0, folder + ": the replay was stopped"};
    replay.finish();
    found.last = replay.fleet().last();
    found.crc = state_crc(replay.fleet());
    check = found;
    return {};
  } catch (const std::bad_alloc&) {
    return {Status::out_of_memory, 0, folder};
  }
}

Failure fold_desk(const std::string& folder, Fleet& out, FleetOrigin& origin, DeskReport& report, bool use_snapshots,
                  Disk& disk) {
  try {
    FleetOrigin journal;
    {
      JournalReader reader;
      if (Failure failure = JournalReader::open(folder, {}, reader, disk)) return failure;
      journal.journal = reader.id();
    }
    DeskReport found;
    std::vector<Seq> candidates = use_snapshots ? snapshots_in(folder, disk) : std::vector<Seq>{};
    candidates.push_back(0);
    for (const Seq seq : candidates) {
      Fleet fleet;
      FleetOrigin of = journal;
      found.events = 0;
      const std::string path = snapshots_of(folder) + "/" + file_name(seq);
      std::string why = seq != 0 ? restore(path, seq, journal, fleet, of, disk) : std::string();
      if (why.empty()) {
        if (Failure failure = fold_tail(folder, fleet, of, found.events, why, disk)) {
          for (const std::string& warning : found.warnings) failure.what += "; " + warning;
          return failure;
        }
      }
      if (!why.empty()) {
        found.warnings.push_back(path + ": passed over: " + why);
        continue;
      }
      found.snapshot = seq;
      if (fleet.passed_over() > 0) {
        found.warnings.push_back(folder + ": " + std::to_string(fleet.passed_over()) +
                                 " events that do not fit were passed over, the first is event " +
                                 std::to_string(fleet.first_passed_over()));
      }
      out = std::move(fleet);
      origin = of;
      report = std::move(found);
      return {};
    }
    return {Status::journal_damaged, 0, folder};  // not reached: the beginning is of every course
  } catch (const std::bad_alloc&) {
    return {Status::out_of_memory, 0, {}};
  }
}

Failure snapshot_desk(const std::string& folder, Seq& out, Disk& disk) {
  try {
    Fleet fleet;
    FleetOrigin origin;
    DeskReport report;
    if (Failure failure = fold_desk(folder, fleet, origin, report, true, disk)) return failure;
    out = fleet.last();
    if (report.snapshot == fleet.last()) return {};
    const std::string snapshots = snapshots_of(folder);
    if (const int made = disk.make_folder(snapshots); made < 0) return refused(made, snapshots);
    std::vector<std::string> names;
    disk.list(snapshots, names);
    for (const std::string& name : names) {
      if (name.ends_with(unfinished)) disk.remove(snapshots + "/" + name);  // of a process that died
    }
    const std::string path = snapshots + "/" + file_name(fleet.last());
    const std::string temporary = path + std::string(unfinished);
    const std::string bytes = fleet.snapshot(origin);
    {
      const File file(disk, temporary, O_WRONLY | O_CREAT | O_TRUNC);
      if (file.get() < 0) return refused(file.get(), temporary);
      for (std::size_t done = 0; done < bytes.size();) {
        const std::int64_t wrote = disk.write(file.get(), bytes.data() + done, bytes.size() - done, done);
        if (wrote < 0) return refused(static_cast<int>(wrote), temporary);
        if (wrote == 0) return {Status::system_refused, 0, temporary + ": the disk takes no more"};
        done += static_cast<std::size_t>(wrote);
      }
      if (const int synced = disk.sync(file.get()); synced < 0) return refused(synced, temporary);
    }
    if (const int renamed = disk.rename(temporary, path); renamed < 0) return refused(renamed, path);
    if (const int synced = disk.sync_folder(snapshots); synced < 0) return refused(synced, snapshots);
    const std::vector<Seq> all = snapshots_in(folder, disk);
    // Those that are ahead of the journal take no place of good ones.
    std::size_t good = 0;
    for (const Seq seq : all) {
      if (seq > fleet.last() || ++good > kept) disk.remove(snapshots + "/" + file_name(seq));
    }
    return {};
  } catch (const std::bad_alloc&) {
    return {Status::out_of_memory, 0, {}};
  }
}

}  // namespace fairlead
