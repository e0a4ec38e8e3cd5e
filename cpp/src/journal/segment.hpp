// One segment, as the log, the reader and the checks see it: its name, its header, and its records from front to back.
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
#include "fairlead/journal/log.hpp"
#include "fairlead/names.hpp"
#include "kernels/crc.hpp"

namespace fairlead::journal {

using kernels::Bad;
using kernels::Stop;
using kernels::Walk;

inline constexpr std::size_t mark_bytes = sizeof(RecordHeader) + sizeof(MarkPayload);
inline constexpr std::size_t seal_bytes = sizeof(RecordHeader) + sizeof(SealPayload);

// "cannot <what> <path>: No space left on device", with status system_refused. `error`: errno, or -errno.
Failure refused(const std::string& what, const std::string& path, std::int64_t error);
Failure damaged(const std::string& path, std::uint64_t offset, const std::string& what);

std::string segments_folder(const std::string& folder);
std::string file_name(Seq first, std::string_view ending);  // 20 digits and the ending

// Numbers of the first events of all segments in `segments`, ascending. Files whose names are not ours are passed over.
Failure list_segments(Disk& disk, const std::string& segments, std::vector<Seq>& firsts);

// An open file that closes itself.
class File {
 public:
  File() = default;
  File(Disk& disk, int file) noexcept : disk_(&disk), file_(file) {}
  File(File&& other) noexcept : disk_(other.disk_), file_(other.release()) {}
  File& operator=(File&& other) noexcept {
    if (this != &other) {
      reset();
      disk_ = other.disk_;
      file_ = other.release();
    }
    return *this;
  }
  ~File() { reset(); }

  int get() const noexcept { return file_; }
  explicit operator bool() const noexcept { return file_ >= 0; }
  int release() noexcept {
    const int file = file_;
    file_ = -1;
    return file;
  }
  void reset() noexcept {
    if (file_ >= 0) disk_->close(release());
  }

 private:
  Disk* disk_ = nullptr;
  int file_ = -1;
};

// Reads the header and checks it against the name of its file. A bad one is a Failure that says what is wrong.
Failure read_header(Disk& disk, int file, const std::string& path, Seq first, SegmentHeader& header);

// The seal at the end of a file of `size` bytes: false where there is none that is whole.
bool read_seal(Disk& disk, int file, std::uint64_t size, RecordHeader& header, SealPayload& seal) noexcept;

// Adds the names in `record`, a `name` or `names`. false where they are no names, or contradict those before.
bool learn_names(const Event& record, NameTable (&tables)[n_tables]);
bool learn_names(std::span<const std::byte> run, NameTable (&tables)[n_tables]);  // of all records in a run

// Walks the records of a segment, run by run, checking each.
class Cursor {
 public:
  Cursor() = default;
  Cursor(Cursor&& other) noexcept;
  Cursor& operator=(Cursor&& other) noexcept;
  ~Cursor() { close(); }

  // Opens and checks the header. Segments that are sealed are mapped where `map` says so.
  Failure open(Disk& disk, const std::string& path, Seq first, bool map);
  void close() noexcept;
  bool is_open() const noexcept { return static_cast<bool>(file_); }

  // The next whole records, empty where there is none now: `walk().stop` says why. A Failure only where reading fails.
  Failure step(std::span<const std::byte>& run);

  // Continues at another record, that of a block of the index.
  void seek(std::uint64_t offset, Seq next, std::uint32_t prev) noexcept;
  // The next run ends there at the latest. Where a record begins; 0: anywhere.
  void stop_at(std::uint64_t offset) noexcept { until_ = offset; }

  const SegmentHeader& header() const noexcept { return header_; }
  const std::string& path() const noexcept { return path_; }
  int file() const noexcept { return file_.get(); }
  std::uint64_t offset() const noexcept { return offset_; }
  std::uint64_t size() const noexcept { return size_; }  // of the file, when it was last looked at
  Walk& walk() noexcept { return walk_; }
  const Walk& walk() const noexcept { return walk_; }
  // In words: what is wrong with the record where the walk stopped.
  std::string complaint() const;

 private:
  Disk* disk_ = nullptr;
  File file_;
  std::string path_;
  SegmentHeader header_;
  std::uint64_t offset_ = 0;  // of the next record
  std::uint64_t size_ = 0;
  Walk walk_;
  const std::byte* map_ = nullptr;
  std::vector<std::byte> buffer_;
  std::uint64_t base_ = 0;  // offset in the file of what the buffer holds
  std::size_t held_ = 0;    // bytes it holds
  std::uint64_t until_ = 0;
  bool waiting_ = false;    // at the end: look at little
};

// What follows the last good record of a segment. `covered`: a later mark or seal proves that something from event `next`
// on, or the records before it, were durable. `last`: the end of the last byte that is not zero.
struct Tail {
  std::uint64_t last = 0;
  bool covered = false;
  std::uint64_t covered_at = 0;
};
Failure look_at_tail(Disk& disk, const Cursor& cursor, Tail& tail);

}  // namespace fairlead::journal
