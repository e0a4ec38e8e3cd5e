// Opening a journal for writing, and repairing one: what a crash may leave is cut off, what it may not is said.
#include <fcntl.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "fairlead/checksum.hpp"
#include "log_state.hpp"
#include "older.hpp"

namespace fairlead::journal {

namespace {

// Copies [from, to) of a segment into a file beside it, durably.
Failure keep(Disk& disk, const Cursor& cursor, const std::string& segments, std::uint64_t to, std::string& kept_in) {
  const std::string base = segments + "/" + file_name(cursor.header().first, ".cut-" + std::to_string(cursor.offset()));
  File file;
  for (int n = 1; !file; ++n) {
    kept_in = n == 1 ? base : base + "-" + std::to_string(n);
    const int opened = disk.open(kept_in, O_WRONLY | O_CREAT | O_EXCL);
    if (opened < 0 && (opened != -EEXIST || n > 1000)) return refused("make", kept_in, opened);
    file = File(disk, opened);
  }
  std::vector<std::byte> bytes(std::size_t{1} << 20);
  for (std::uint64_t at = cursor.offset(); at < to;) {
    const std::size_t n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), to - at));
    const std::int64_t got = disk.read(cursor.file(), bytes.data(), n, at);
    if (got <= 0) return refused("read", cursor.path(), got < 0 ? got : -EIO);
    const std::int64_t wrote = disk.write(file.get(), bytes.data(), static_cast<std::size_t>(got), at - cursor.offset());
    if (wrote != got) {
      file.reset();
      disk.remove(kept_in);
      return refused("write", kept_in, wrote < 0 ? wrote : -ENOSPC);
    }
    at += static_cast<std::uint64_t>(got);
  }
  if (const int result = disk.sync(file.get()); result < 0) return refused("sync", kept_in, result);
  if (const int result = disk.sync_folder(segments); result < 0) return refused("sync", segments, result);
  return {};
}

Failure cut(Disk& disk, const Cursor& cursor, std::uint64_t at) {
  int opened = disk.open(cursor.path(), O_RDWR);
  if (opened == -EACCES && disk.protect(cursor.path(), false) == 0) opened = disk.open(cursor.path(), O_RDWR);
  if (opened < 0) return refused("open for writing", cursor.path(), opened);
  const File file(disk, opened);
  if (const int result = disk.truncate(file.get(), at); result < 0) return refused("cut", cursor.path(), result);
  if (const int result = disk.sync(file.get()); result < 0) return refused("sync", cursor.path(), result);
  return {};
}

// Writes [from, to) once more as it is. Where a sync failed in a process that is gone, the system takes what it could not
// write for clean, and a later sync would call it durable untried.
Failure write_again(Disk& disk, int file, const std::string& path, std::uint64_t from, std::uint64_t to) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(to - std::min(from, to), std::uint64_t{1} << 20)));
  while (from < to) {
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), to - from));
    const std::int64_t got = disk.read(file, bytes.data(), n, from);
    if (got <= 0) return refused("read", path, got < 0 ? got : -EIO);
    const std::int64_t wrote = disk.write(file, bytes.data(), static_cast<std::size_t>(got), from);
    if (wrote != got) return refused("write", path, wrote < 0 ? wrote : -ENOSPC);
    from += static_cast<std::uint64_t>(got);
  }
  return {};
}

// How many events lie from the cursor on, from number `next`: by the index, or else by the whole records that are there.
Failure count_given_up(Disk& disk, const Cursor& cursor, const Index* evidence, std::uint64_t to, Recovery& recovery) {
  const Seq next = cursor.walk().next;
  if (evidence != nullptr) {
    recovery.given_up = evidence->header.next - std::min(next, evidence->header.next);
    return {};
  }
  constexpr std::uint64_t most = padded(sizeof(RecordHeader) + max_payload);
  Seq after = next;                  // number of the event after the last that is seen
  std::uint64_t seen = cursor.offset();  // end of the last whole record
  const std::uint64_t size = std::max(cursor.size(), to);  // zeros at the end of a record lie after `to`
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min<std::uint64_t>(size - seen, 4 * most)));
  for (std::uint64_t at = seen; at < to;) {
    const std::int64_t got = disk.read(cursor.file(), bytes.data(), bytes.size(), at);
    if (got < 0) return refused("read", cursor.path(), got);
    const auto n = static_cast<std::size_t>(got);
    std::size_t i = 0;
    while (i + sizeof(RecordHeader) <= n && (n < bytes.size() || at + n >= size || i + most <= n)) {
      RecordHeader header;
      std::memcpy(&header, bytes.data() + i, sizeof header);
      const bool whole = header.length >= sizeof header && header.length <= n - i && header.seq >= next &&
                         header.seq - next < size && crc32c({bytes.data() + i + 4, header.length - 4}) == header.crc;
      if (whole) {
        after = std::max(after, header.seq + ((header.flags & flag_own) == 0 ? 1 : 0));
        seen = at + i + padded(header.length);
      }
      i += whole ? padded(header.length) : record_alignment;
    }
    if (i == 0) break;
    at += i;
  }
  recovery.given_up = after - next;
  recovery.given_up_known = seen >= to;
  return {};
}

}  // namespace

Failure SegmentLog::State::recover(bool accept_loss, Recovery& recovery, bool writing) {
  std::vector<Seq> firsts;
  if (Failure failure = list_segments(disk, segments, firsts)) return failure;
  if (firsts.empty()) {
    if (!writing) return {Status::not_a_journal, 0, "there is no journal: " + segments + " holds no segment"};
    if (::getentropy(id.data(), id.size()) != 0) return refused("draw a number for", segments, errno);
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return create(std::chrono::duration_cast<std::chrono::nanoseconds>(now).count(), 0);
  }
  const auto path_at = [&](std::size_t i) { return path_of(firsts[i], ".seg"); };

  // Every header, and that no segment is missing.
  Cursor last;
  Seq least = 0;
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    if (Failure failure = last.open(disk, path_at(i), firsts[i], false)) return failure;
    if (i == 0) id = last.header().journal;
    if (last.header().journal != id) return damaged(path_at(i), 16, "it belongs to another journal");
    if (firsts[i] < least) return damaged(path_at(i), 24, "it begins before event " + std::to_string(least));
    RecordHeader record;
    SealPayload payload;
    const bool sealed = read_seal(disk, last.file(), last.size(), record, payload);
    if (sealed && i + 1 < firsts.size() && record.seq < firsts[i + 1]) {
      return damaged(path_at(i + 1), 24, "a segment is missing before it: event " + std::to_string(record.seq) +
                                             " should come next");
    }
    if (!writing && i + 1 < firsts.size()) {
      Cursor next_one;
      if (Failure failure = next_one.open(disk, path_at(i + 1), firsts[i + 1], false)) return failure;
      if (Failure failure = check_older(last, next_one.header(), nullptr)) {
        failure.what += "; an older segment cannot be mended";
        return failure;
      }
    }
  }

  // The newest, record by record.
  std::uint64_t proven = sizeof(SegmentHeader);  // all before it was durable: by the last mark
  for (;;) {
    std::span<const std::byte> run;
    const std::uint64_t at = last.offset();
    if (Failure failure = last.step(run)) return failure;
    if (run.empty()) break;
    if (!learn_names(run, names)) return damaged(last.path(), at, "names that contradict those before");
    for (std::size_t i = 0; i < run.size();) {
      const auto* const header = reinterpret_cast<const RecordHeader*>(run.data() + i);
      index.add(at + i, *header);
      if (header->type == Type::mark) proven = at + i;
      i += padded(header->length);
    }
  }
  const Walk& walk = last.walk();
  const bool sealed = walk.stop == Stop::sealed;
  Tail tail;
  if (Failure failure = look_at_tail(disk, last, tail)) return failure;
  Index evidence;
  const bool was_sealed = !sealed && evidence.load(disk, path_of(firsts.back(), ".idx")) &&
                          evidence.header.journal == id && evidence.header.bytes > last.offset();
  if ((tail.covered || was_sealed) && !accept_loss) {
    return damaged(last.path(), last.offset(),
                   last.complaint() + (was_sealed ? ", and the segment was sealed" : ", and what it held was durable") +
                       " (`fairlead journal repair --accept-loss` cuts it there and keeps what it cuts)");
  }
  if (tail.covered || was_sealed) {
    if (Failure failure = count_given_up(disk, last, was_sealed ? &evidence : nullptr, tail.last, recovery)) return failure;
  }
  if (tail.last > last.offset()) {
    std::string kept_in;
    if (Failure failure = keep(disk, last, segments, tail.last, kept_in)) return failure;
    if (Failure failure = cut(disk, last, last.offset())) return failure;
    recovery.cut_bytes = tail.last - last.offset();
    recovery.cut_from = last.path();
    recovery.kept_in = kept_in;
  }
  if (was_sealed) disk.remove(path_of(firsts.back(), ".idx"));
  recovery.events = walk.events;

  first = firsts.back();
  path = last.path();
  next = walk.next;
  prev = walk.prev;
  end = last.offset();
  records = walk.records;
  events = walk.events;
  age_from = last.header().created;
  if (events == 0) {  // names come before events: nothing but our own records is lost
    end = sizeof(SegmentHeader);
    prev = last.header().chain;
    records = 0;
    index.clear();
    if (last.size() > end) {
      if (Failure failure = cut(disk, last, end)) return failure;
    }
    for (NameTable& table : names) table = NameTable();
    for (std::size_t i = firsts.size() - 1; i > 0; --i) {  // they are in the segment before
      Cursor before, after;
      if (Failure failure = before.open(disk, path_at(i - 1), firsts[i - 1], false)) return failure;
      if (Failure failure = after.open(disk, path_at(i), firsts[i], false)) return failure;
      if (Failure failure = check_older(before, after.header(), &names)) return failure;
      if (before.walk().events > 0) break;
    }
  }
  durable_next = next;
  durable_prev = prev;
  if (!writing) return {};

  // What a dead process wrote may be with the operating system only.
  const int opened = disk.open(path, sealed && events > 0 ? O_RDONLY : O_RDWR);
  if (opened < 0) return refused("open for writing", path, opened);
  file = File(disk, opened);
  if (!sealed) {
    if (Failure failure = write_again(disk, opened, path, proven, end)) return failure;
  }
  if (const int result = disk.sync(opened); result < 0) return refused("sync", path, result);
  if (const int result = disk.sync_folder(segments); result < 0) return refused("sync", segments, result);
  const std::int64_t size = disk.size(opened);
  if (size < 0) return refused("read", path, size);
  allocated = static_cast<std::uint64_t>(size);
  names_due = first != 1 && events == 0;
  mark_due = events > 0;
  if (sealed && events > 0) file.reset();

  std::vector<std::string> left;
  if (disk.list(segments, left) == 0) {
    for (const std::string& name : left) {  // of a crash while a segment or an index was made
      if (name.size() > 24 - 1 && name.ends_with(".new") && name.find_first_not_of("0123456789") == 20) {
        disk.remove(segments + "/" + name);
      }
    }
  }
  return {};
}

Failure SegmentLog::open(const std::string& folder, const LogOptions& options, SegmentLog& out, Recovery& recovery,
                         Disk& disk) {
  recovery = {};
  if (options.segment_age <= 0) return {Status::out_of_range, 0, "segment_age must be positive"};
  if (options.segment_bytes > std::uint64_t{1} << 40) return {Status::out_of_range, 0, "segment_bytes is above 2^40"};
  auto state = std::make_unique<State>(disk, folder, options);
  for (const std::string& path : {folder, state->segments}) {
    if (const int result = disk.make_folder(path); result < 0) return refused("make the folder", path, result);
  }
  if (const int result = disk.sync_folder(folder); result < 0) return refused("sync", folder, result);
  // And its own name, where it is new. A folder that may not be read cannot be synced: then its maker has to.
  (void)disk.sync_folder(folder + "/..");
  if (Failure failure = state->recover(false, recovery, true)) return failure;
  out.state_ = std::move(state);
  return {};
}

Failure SegmentLog::mend(const std::string& folder, bool accept_loss, Recovery& recovery, Disk& disk) {
  recovery = {};
  return State(disk, folder, {}).recover(accept_loss, recovery, false);
}

Failure repair(const std::string& folder, bool accept_loss, Recovery& recovery, Disk& disk) {
  return SegmentLog::mend(folder, accept_loss, recovery, disk);
}

}  // namespace fairlead::journal
