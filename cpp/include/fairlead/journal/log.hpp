// The segments of a journal, as its one writer sees them: whole records go in, in order; nothing here starts a thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/journal/disk.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/names.hpp"
#include "fairlead/status.hpp"

namespace fairlead::journal {

// What went wrong, in words that name the file and the place. Only cold paths return one.
struct Failure {
  Status status = Status::ok;
  int os = 0;  // errno, where the system refused something
  std::string what = {};

  explicit operator bool() const noexcept { return status != Status::ok; }
};

struct LogOptions {
  std::uint64_t segment_bytes = std::uint64_t{64} << 20;  // a segment is closed when the next batch would not fit
  Time segment_age = Time{24} * 3600 * 1'000'000'000;     // or when it is older, by the machine's clock
};

// What opening a journal for writing, or repairing it, found and did.
struct Recovery {
  std::uint64_t events = 0;          // in the newest segment, after the repair
  std::uint64_t cut_bytes = 0;       // taken from the torn end and kept beside it
  std::string cut_from = {}, kept_in = {};
  std::uint64_t given_up = 0;        // events that were durable once, and that `accept_loss` gave up
  bool given_up_known = true;        // false: there may have been more, which cannot be read any more
  std::uint64_t drained = 0;         // events that a dead process had left in shared memory
  std::uint64_t gaps = 0;            // numbers that were taken, but whose call the crash cut short
  std::uint64_t lost = 0;            // of these: events that had been written, but that the segments hold no more
};

class SegmentLog {
 public:
  SegmentLog();
  ~SegmentLog();
  SegmentLog(SegmentLog&&) noexcept;
  SegmentLog& operator=(SegmentLog&&) noexcept;

  // Opens `folder` for writing, making it where it is not there. Cuts a torn end (see format.hpp) and says so. Damage, a
  // foreign file or a newer format is a Failure that names it, and changes nothing.
  static Failure open(const std::string& folder, const LogOptions& options, SegmentLog& out, Recovery& recovery,
                      Disk& disk = Disk::real());

  // Appends records, each padded to 8 bytes, whose headers lack only `crc` and `prev`: these are filled in, in place (the
  // numbers must follow those before). Opens new segments as needed. On a Failure (a full disk) nothing of the batch
  // counts but what `written` says, what was written before is whole, and the same batch may be given again: events that
  // are written already are passed over. (Only a batch that does not fit into one segment is written in parts.)
  Failure append(std::span<std::byte> records, Time now);

  // Makes all that was appended durable. After a failed sync of a segment nothing in it is trusted that was not durable
  // before: a new segment is opened, the records that were not durable are written there again (they are kept in memory
  // until then), and that is synced. Only if this fails too there is a Failure, and the log is of no more use.
  Failure sync();

  Failure close();  // syncs, seals, gives back the space that was taken in advance

  Seq written() const noexcept;
  Seq durable() const noexcept;
  const std::array<std::uint8_t, 16>& id() const noexcept;
  const NameTable& names(Table table) const noexcept;  // as of what is written

 private:
  struct State;
  static Failure mend(const std::string& folder, bool accept_loss, Recovery& recovery, Disk& disk);
  friend Failure repair(const std::string& folder, bool accept_loss, Recovery& recovery, Disk& disk);
  std::unique_ptr<State> state_;
};

// Cuts the torn end of a journal that nobody writes. With `accept_loss` it also cuts at damage that was durable once; the
// bytes are kept beside the segment in either case. An older segment that is damaged cannot be mended: a Failure.
Failure repair(const std::string& folder, bool accept_loss, Recovery& recovery, Disk& disk = Disk::real());

}  // namespace fairlead::journal
