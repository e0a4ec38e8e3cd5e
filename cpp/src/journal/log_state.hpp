// What a SegmentLog holds. log.cpp writes, recovery.cpp opens and repairs.
#pragma once

#include <string>
#include <vector>

#include "fairlead/journal/index.hpp"
#include "fairlead/journal/log.hpp"
#include "segment.hpp"

namespace fairlead::journal {

struct SegmentLog::State {
  State(Disk& disk_, std::string folder, const LogOptions& options_)
      : disk(disk_), segments(segments_folder(folder)), options(options_) {}

  Disk& disk;
  std::string segments;  // folder
  LogOptions options;
  std::array<std::uint8_t, 16> id = {};
  NameTable names[n_tables];

  // The segment that is written. None after a seal, until something is appended.
  File file;
  std::string path;
  Seq first = 0;
  std::uint64_t end = 0;        // where the next record goes
  std::uint64_t allocated = 0;  // space that the file has
  std::uint64_t records = 0, events = 0;  // in it
  bool names_due = false;       // it does not begin with the names yet
  Time age_from = 0;
  Index index;

  // The journal.
  std::uint32_t prev = 0;  // checksum of the last record
  Seq next = 1;            // number of the next event
  Seq durable_next = 1;    // the same as of the last sync, and how the segment was then
  std::uint32_t durable_prev = 0;
  bool mark_due = false;
  bool must_sync = false;            // something was written since
  std::vector<std::byte> pending;    // the records in the segment that are not durable
  Failure failed;

  std::string path_of(Seq first_, std::string_view ending) const { return segments + "/" + file_name(first_, ending); }

  // --- log.cpp ---
  Failure append(std::span<std::byte> records_, Time now);
  Failure sync();
  Failure close();
  // A segment that begins with event `next`, after `prev`. `contents` are in it when it gets its name.
  Failure create(Time now, std::uint64_t room, std::span<const std::byte> contents = {});
  Failure reserve(std::uint64_t bytes);
  Failure write_portion(std::span<std::byte> portion);
  Failure put_pending(std::size_t from);   // writes pending[from ..) at `end`, and counts it
  Failure supersede(const Failure& why);   // after a failed sync
  Failure seal();
  std::size_t own_bytes() const;           // what comes before the next batch
  void put_names(std::vector<std::byte>& out) const;
  void put_own(std::vector<std::byte>& out, Type type, std::span<const std::byte> payload) const;

  // --- recovery.cpp ---
  Failure recover(bool accept_loss, Recovery& recovery, bool writing);
};

}  // namespace fairlead::journal
