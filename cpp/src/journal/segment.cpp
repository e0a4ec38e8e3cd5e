#include "segment.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "fairlead/checksum.hpp"
#include "fairlead/journal/events.hpp"

namespace fairlead::journal {

namespace {

constexpr std::size_t piece = std::size_t{256} << 10;  // what is read and checked at once: it stays in the cache
constexpr std::size_t small_piece = 4096;              // while waiting for more

std::string_view ending_of(std::string_view name) { return name.size() > 20 ? name.substr(20) : std::string_view{}; }

bool first_of(std::string_view name, Seq& first) {
  if (name.size() <= 20) return false;
  Seq value = 0;
  for (const char digit : name.substr(0, 20)) {
    if (digit < '0' || digit > '9') return false;
    const auto d = static_cast<Seq>(digit - '0');
    if (value > (~Seq{0} - d) / 10) return false;
    value = 10 * value + d;
  }
  first = value;
  return value != 0;
}

}  // namespace

Failure refused(const std::string& what, const std::string& path, std::int64_t error) {
  const int code = static_cast<int>(error < 0 ? -error : error);
  if (code == ELOOP) {
    return {Status::system_refused, code, path + " is a symbolic link, which a journal does not follow"};
  }
  return {Status::system_refused, code, "cannot " + what + " " + path + ": " + std::generic_category().message(code)};
}

Failure damaged(const std::string& path, std::uint64_t offset, const std::string& what) {
  return {Status::journal_damaged, 0, path + " is damaged at byte " + std::to_string(offset) + ": " + what};
}

std::string segments_folder(const std::string& folder) {
  return folder + (folder.empty() || folder.back() != '/' ? "/segments" : "segments");
}

std::string file_name(Seq first, std::string_view ending) {
  const std::string digits = std::to_string(first);
  return std::string(20 - digits.size(), '0') + digits + std::string(ending);
}

Failure list_segments(Disk& disk, const std::string& segments, std::vector<Seq>& firsts) {
  firsts.clear();
  std::vector<std::string> names;
  if (const int result = disk.list(segments, names); result < 0) {
    if (result == -ENOENT || result == -ENOTDIR) {
      return {Status::not_a_journal, -result, "there is no journal: " + segments + " is not there"};
    }
    return refused("list", segments, result);
  }
  for (const std::string& name : names) {
    Seq first = 0;
    if (ending_of(name) == ".seg" && first_of(name, first)) firsts.push_back(first);
  }
  return {};
}

Failure read_header(Disk& disk, int file, const std::string& path, Seq first, SegmentHeader& header) {
  const std::int64_t got = disk.read(file, &header, sizeof header, 0);
  if (got < 0) return refused("read", path, got);
  const auto foreign = [&](const std::string& why) {
    return Failure{Status::journal_damaged, 0, path + " is no segment of a journal, though it has the name of one: " + why};
  };
  if (static_cast<std::size_t>(got) < sizeof header) {
    return foreign("it holds " + std::to_string(got) + " bytes, its header has " + std::to_string(sizeof header));
  }
  if (header.magic != segment_magic) return foreign("it does not begin with the mark of one");
  if (header.version > format_version) {  // a newer version may place its checksum elsewhere
    return {Status::unknown_format, 0,
            path + " has format " + std::to_string(header.version) + ", this version of fairlead reads up to " +
                std::to_string(format_version)};
  }
  const std::span bytes(reinterpret_cast<const std::byte*>(&header), sizeof header);
  if (crc32c(bytes.first(60)) != header.crc || header.size != sizeof header || header.version == 0) {
    return damaged(path, 0, "the header does not match its checksum");
  }
  if (header.first != first) {
    return foreign("by its header it begins with event " + std::to_string(header.first));
  }
  return {};
}

bool read_seal(Disk& disk, int file, std::uint64_t size, RecordHeader& header, SealPayload& seal) noexcept {
  if (size < sizeof(SegmentHeader) + seal_bytes || size % record_alignment != 0) return false;
  std::byte bytes[seal_bytes];
  if (disk.read(file, bytes, seal_bytes, size - seal_bytes) != static_cast<std::int64_t>(seal_bytes)) return false;
  std::memcpy(&header, bytes, sizeof header);
  std::memcpy(&seal, bytes + sizeof header, sizeof seal);
  return header.type == Type::seal && header.length == seal_bytes && header.flags == flag_own &&
         crc32c(std::span(bytes).subspan(4)) == header.crc;
}

bool learn_names(const Event& record, NameTable (&tables)[n_tables]) {
  PayloadReader in(record.bytes());
  do {
    std::uint8_t table = 0;
    std::uint32_t id = 0;
    std::string_view name;
    if (record.header->type == Type::names && in.done()) return true;
    if (!in.get(table) || !in.get(id) || !in.get(name) || table >= n_tables) return false;
    NameTable& names = tables[table];
    if (id < static_cast<std::uint32_t>(names.size())) {
      if (names.name(static_cast<std::int32_t>(id)) != name) return false;
    } else if (id != static_cast<std::uint32_t>(names.size()) || names.intern(name) != static_cast<std::int32_t>(id)) {
      return false;
    }
  } while (!in.done());
  return true;
}

bool learn_names(std::span<const std::byte> run, NameTable (&tables)[n_tables]) {
  for (std::size_t at = 0; at < run.size();) {
    const Event record{reinterpret_cast<const RecordHeader*>(run.data() + at)};
    const Type type = record.header->type;
    if ((type == Type::name || type == Type::names) && !learn_names(record, tables)) return false;
    at += padded(record.header->length);
  }
  return true;
}

Cursor::Cursor(Cursor&& other) noexcept { *this = std::move(other); }

Cursor& Cursor::operator=(Cursor&& other) noexcept {
  if (this == &other) return *this;
  close();
  disk_ = other.disk_;
  file_ = std::move(other.file_);
  path_ = std::move(other.path_);
  header_ = other.header_;
  offset_ = other.offset_;
  size_ = other.size_;
  walk_ = other.walk_;
  map_ = std::exchange(other.map_, nullptr);
  buffer_ = std::move(other.buffer_);
  base_ = other.base_;
  held_ = std::exchange(other.held_, 0);
  until_ = other.until_;
  waiting_ = other.waiting_;
  return *this;
}

Failure Cursor::open(Disk& disk, const std::string& path, Seq first, bool map) {
  close();
  disk_ = &disk;
  path_ = path;
  const int file = disk.open(path, O_RDONLY | O_NONBLOCK);  // a pipe of our name must not make us wait
  if (file < 0) return refused("open", path, file);
  file_ = File(disk, file);
  const std::int64_t size = disk.size(file);
  if (size < 0) return refused("read", path, size);
  size_ = static_cast<std::uint64_t>(size);
  if (Failure failure = read_header(disk, file, path, first, header_)) return failure;
  RecordHeader header;
  SealPayload seal;
  if (map && read_seal(disk, file, size_, header, seal)) map_ = disk.map(file, size_);
  walk_ = {};
  until_ = 0;
  seek(sizeof(SegmentHeader), first, header_.chain);
  return {};
}

void Cursor::close() noexcept {
  if (map_ != nullptr) disk_->unmap(map_, size_);
  map_ = nullptr;
  held_ = 0;
  file_.reset();
}

void Cursor::seek(std::uint64_t offset, Seq next, std::uint32_t prev) noexcept {
  offset_ = offset;
  walk_.next = next;
  walk_.prev = prev;
  walk_.sealed = false;
  waiting_ = false;
  if (offset < base_ || offset > base_ + held_) held_ = 0;
}

Failure Cursor::step(std::span<const std::byte>& run) {
  run = {};
  if (map_ != nullptr) {
    std::uint64_t n = std::min<std::uint64_t>(piece, size_ - offset_);
    for (;;) {
      const std::size_t good = kernels::crc_kernels().check(map_ + offset_, n, walk_);
      if (good == 0 && walk_.stop == Stop::more && walk_.need > n && n < size_ - offset_) {
        n = std::min<std::uint64_t>(walk_.need, size_ - offset_);
        continue;
      }
      run = {map_ + offset_, good};
      offset_ += good;
      return {};
    }
  }
  // What is left of the last piece first, then what the file holds from here on.
  if (held_ > 0 && offset_ < base_ + held_ && !waiting_ && until_ <= offset_) {
    const std::byte* const at = buffer_.data() + (offset_ - base_);
    const std::size_t good = kernels::crc_kernels().check(at, static_cast<std::size_t>(base_ + held_ - offset_), walk_);
    if (good > 0) {
      run = {at, good};
      offset_ += good;
      return {};
    }
  }
  const std::uint64_t most = until_ > offset_ ? until_ - offset_ : piece;
  if (offset_ + small_piece > size_) {  // it may have grown
    const std::int64_t size = disk_->size(file_.get());
    if (size > 0) size_ = std::max(size_, static_cast<std::uint64_t>(size));
  }
  const std::uint64_t there = std::max<std::uint64_t>(small_piece, size_ > offset_ ? size_ - offset_ : 0);
  for (std::size_t n = waiting_ ? small_piece : static_cast<std::size_t>(std::min({std::uint64_t{piece}, most, there}));;) {
    if (buffer_.size() < n) buffer_.resize(n);
    const std::int64_t got = disk_->read(file_.get(), buffer_.data(), n, offset_);
    if (got < 0) return refused("read", path_, got);
    base_ = offset_;
    held_ = static_cast<std::size_t>(got);
    size_ = std::max(size_, base_ + held_);
    const std::size_t good = kernels::crc_kernels().check(buffer_.data(), held_, walk_);
    if (good == 0 && walk_.stop == Stop::more && held_ == n && walk_.need > n) {
      n = walk_.need;  // a record longer than a piece
      continue;
    }
    run = {buffer_.data(), good};
    offset_ += good;
    waiting_ = good == 0;
    return {};
  }
}

std::string Cursor::complaint() const {
  switch (walk_.bad) {
    case Bad::none: break;
    case Bad::length: return "the length of a record is impossible";
    case Bad::checksum: return "a record does not match its checksum";
    case Bad::chain: return "a record does not follow the one before it";
    case Bad::number: return "the number of a record is not " + std::to_string(walk_.next);
    case Bad::padding: return "a record is not followed by zeros";
    case Bad::own: return "a record of the journal itself is not marked as such, or another is";
  }
  if (walk_.stop == Stop::empty) return "nothing follows, where event " + std::to_string(walk_.next) + " should";
  if (walk_.stop == Stop::limit) return "the records before the next segment are not those that it follows";
  return "the last record is cut off";
}

Failure look_at_tail(Disk& disk, const Cursor& cursor, Tail& tail) {
  tail = {};
  tail.last = cursor.offset();
  const std::int64_t size = disk.size(cursor.file());
  if (size < 0) return refused("read", cursor.path(), size);
  const Seq next = cursor.walk().next;
  const auto end = static_cast<std::uint64_t>(size);
  if (end <= cursor.offset()) return {};
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(piece, end - cursor.offset())));
  // Records lie at multiples of 8 bytes; pieces overlap, so that a mark at a border is seen whole.
  for (std::uint64_t at = cursor.offset(); at < end;) {
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), end - at));
    const std::int64_t got = disk.read(cursor.file(), bytes.data(), wanted, at);
    if (got < 0) return refused("read", cursor.path(), got);
    if (got == 0) break;
    const auto n = static_cast<std::size_t>(got);
    for (std::size_t i = n; i > 0; --i) {
      if (bytes[i - 1] != std::byte{0}) {
        tail.last = std::max(tail.last, at + i);
        break;
      }
    }
    for (std::size_t i = 0; i + mark_bytes <= n && !tail.covered; i += record_alignment) {
      RecordHeader header;
      std::memcpy(&header, bytes.data() + i, sizeof header);
      const bool mark = header.type == Type::mark && header.length == mark_bytes;
      const bool seal = header.type == Type::seal && header.length == seal_bytes && i + seal_bytes <= n;
      if ((!mark && !seal) || header.flags != flag_own) continue;
      if (crc32c({bytes.data() + i + 4, header.length - 4}) != header.crc) continue;
      std::uint64_t durable = 0;
      std::memcpy(&durable, bytes.data() + i + sizeof header, sizeof durable);
      // A seal is written after all before it is durable, and stands for own records too.
      if (seal ? header.seq >= next && at + i > cursor.offset() : durable >= next) {
        tail.covered = true;
        tail.covered_at = at + i;
      }
    }
    if (n < wanted || at + n >= end) break;  // less: it was sealed meanwhile, and gave back what it did not need
    at += n - seal_bytes / record_alignment * record_alignment;
  }
  return {};
}

}  // namespace fairlead::journal
