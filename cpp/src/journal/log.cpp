#include "fairlead/journal/log.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fairlead/checksum.hpp"
#include "fairlead/journal/events.hpp"
#include "log_state.hpp"

namespace fairlead::journal {

namespace {

// Space is taken from the disk in steps that grow with the segment, so that a small journal stays small.
constexpr std::uint64_t least_step = std::uint64_t{1} << 20, most_step = std::uint64_t{16} << 20;

const RecordHeader& header_at(const std::byte* at) noexcept { return *reinterpret_cast<const RecordHeader*>(at); }

// How many numbers an event uses up.
Seq used_by(const RecordHeader& header) noexcept {
  if ((header.flags & flag_own) != 0) return 0;
  Seq n = 1;
  if (header.type == Type::gap) std::memcpy(&n, &header + 1, sizeof n);
  return n;
}

Failure bad_batch(Seq seq, const std::string& why) {
  return {Status::bad_event, 0, "event " + std::to_string(seq) + " cannot be appended: " + why};
}

// A `name` that comes when the tables hold `sizes` names.
bool fits(const Event& event, const NameTable (&names)[n_tables], std::uint32_t (&sizes)[n_tables]) {
  PayloadReader in(event.bytes());
  std::uint8_t table = 0;
  std::uint32_t id = 0;
  std::string_view name;
  if (!in.get(table) || !in.get(id) || !in.get(name) || !in.done() || table >= n_tables || id > sizes[table]) {
    return false;
  }
  if (id == sizes[table]) ++sizes[table];
  const auto known = static_cast<std::uint32_t>(names[table].size());
  return id < known ? names[table].name(static_cast<std::int32_t>(id)) == name
                    : names[table].find(name) == NameTable::absent;
}

// Whether a batch is whole records that follow event `next - 1`. Those that are written already are passed over: `from`.
Failure check_batch(std::span<const std::byte> records, Seq next, const NameTable (&names)[n_tables],
                    std::size_t& from) {
  std::uint32_t sizes[n_tables];
  for (std::size_t t = 0; t < n_tables; ++t) sizes[t] = static_cast<std::uint32_t>(names[t].size());
  from = 0;
  Seq expected = 0;
  for (std::size_t at = 0; at < records.size();) {
    const std::size_t left = records.size() - at;
    if (left < sizeof(RecordHeader)) return bad_batch(next, "the batch ends within a record");
    const RecordHeader& header = header_at(records.data() + at);
    const Seq seq = header.seq;
    if (header.length < sizeof(RecordHeader) || header.length > sizeof(RecordHeader) + max_payload ||
        padded(header.length) > left) {
      return bad_batch(seq, "its length is " + std::to_string(header.length));
    }
    const bool own = header.type == Type::mark || header.type == Type::seal || header.type == Type::names;
    if (own || (header.flags & flag_own) != 0 || static_cast<std::uint16_t>(header.type) == 0) {
      return bad_batch(seq, "records of this type are the log's own");
    }
    if (header.type == Type::gap && header.length < sizeof(RecordHeader) + 8) return bad_batch(seq, "a gap of no length");
    const Seq used = used_by(header);
    if (at == 0 ? seq > next || seq == 0 : seq != expected) {
      return bad_batch(seq, "the number should be " + std::to_string(at == 0 ? next : expected));
    }
    if (used == 0 || seq + used < seq || (seq < next && seq + used > next)) return bad_batch(seq, "a gap of that length");
    expected = seq + used;
    if (header.type == Type::name && seq >= next && !fits({&header}, names, sizes)) {
      return bad_batch(seq, "it is no new name, or its number is not the next");
    }
    at += padded(header.length);
    if (expected <= next) from = at;
  }
  return {};
}

}  // namespace

SegmentLog::SegmentLog() = default;
SegmentLog::~SegmentLog() = default;
SegmentLog::SegmentLog(SegmentLog&&) noexcept = default;
SegmentLog& SegmentLog::operator=(SegmentLog&&) noexcept = default;

namespace {

Failure not_open() { return {Status::journal_closed, 0, "the log is not open"}; }

}  // namespace

Failure SegmentLog::append(std::span<std::byte> records, Time now) {
  return state_ ? state_->append(records, now) : not_open();
}
Failure SegmentLog::sync() { return state_ ? state_->sync() : not_open(); }
Failure SegmentLog::close() { return state_ ? state_->close() : not_open(); }
Seq SegmentLog::written() const noexcept { return state_ ? state_->next - 1 : 0; }
Seq SegmentLog::durable() const noexcept { return state_ ? state_->durable_next - 1 : 0; }
const std::array<std::uint8_t, 16>& SegmentLog::id() const noexcept { return state_->id; }
const NameTable& SegmentLog::names(Table table) const noexcept { return state_->names[static_cast<std::size_t>(table)]; }

void SegmentLog::State::put_own(std::vector<std::byte>& out, Type type, std::span<const std::byte> payload) const {
  RecordHeader header;
  header.length = static_cast<std::uint32_t>(sizeof header + payload.size());
  header.type = type;
  header.flags = flag_own;
  header.seq = next;
  const auto* const bytes = reinterpret_cast<const std::byte*>(&header);
  out.insert(out.end(), bytes, bytes + sizeof header);
  out.insert(out.end(), payload.begin(), payload.end());
  out.resize(padded(out.size()));
}

void SegmentLog::State::put_names(std::vector<std::byte>& out) const {
  std::vector<std::byte> payload;
  for (std::size_t t = 0; t < n_tables; ++t) {
    for (std::int32_t n = 0; n < names[t].size(); ++n) {
      const std::string& name = names[t].name(n);
      const std::size_t bytes = 1 + 4 + 4 + name.size();
      if (payload.size() + bytes > max_payload) {
        put_own(out, Type::names, payload);
        payload.clear();
      }
      payload.resize(payload.size() + bytes);
      PayloadWriter to(payload.data() + payload.size() - bytes);
      to.put(static_cast<std::uint8_t>(t));
      to.put(static_cast<std::uint32_t>(n));
      to.put(std::string_view(name));
    }
  }
  put_own(out, Type::names, payload);
}

std::size_t SegmentLog::State::own_bytes() const {
  std::size_t bytes = mark_due ? mark_bytes : 0;
  if (names_due) {
    std::vector<std::byte> out;
    put_names(out);
    bytes += out.size();
  }
  return bytes;
}

// The header is durable under another name before the segment gets its own, so a segment with a bad header is damaged,
// never merely torn. Where one of this name is there already, nothing in it was ever durable.
Failure SegmentLog::State::create(Time now, std::uint64_t room, std::span<const std::byte> contents) {
  const std::string fresh = path_of(next, ".new"), target = path_of(next, ".seg");
  const int opened = disk.open(fresh, O_RDWR | O_CREAT | O_TRUNC);
  if (opened < 0) return refused("make", fresh, opened);
  File made(disk, opened);
  const auto fail = [&](const char* what, std::int64_t error) {
    made.reset();
    disk.remove(fresh);
    return refused(what, target, error);
  };
  // Space first, so that a full disk shows here.
  const std::uint64_t least = sizeof(SegmentHeader) + room + seal_bytes;
  std::uint64_t space = std::max(least, std::min(options.segment_bytes, least_step));
  int result = disk.allocate(made.get(), space);
  if (result < 0 && space > least) result = disk.allocate(made.get(), space = least);
  if (result < 0) return fail("take space for", result);
  SegmentHeader header;
  header.journal = id;
  header.first = next;
  header.created = now;
  header.chain = prev;
  header.crc = crc32c({reinterpret_cast<const std::byte*>(&header), 60});
  const std::int64_t wrote = disk.write(made.get(), &header, sizeof header, 0);
  if (wrote != static_cast<std::int64_t>(sizeof header)) return fail("write", wrote < 0 ? wrote : -ENOSPC);
  if (!contents.empty()) {
    const std::int64_t more = disk.write(made.get(), contents.data(), contents.size(), sizeof header);
    if (more != static_cast<std::int64_t>(contents.size())) return fail("write", more < 0 ? more : -ENOSPC);
  }
  if ((result = disk.sync(made.get())) < 0) return fail("sync", result);
  if ((result = disk.rename(fresh, target)) < 0) return fail("name", result);
  if ((result = disk.sync_folder(segments)) < 0) {
    disk.remove(target);
    return fail("sync the folder of", result);
  }
  file = std::move(made);
  path = target;
  first = next;
  end = sizeof header;
  allocated = space;
  records = events = 0;
  names_due = next != 1;
  mark_due = false;
  age_from = now;
  pending.clear();
  index.clear();
  return {};
}

Failure SegmentLog::State::reserve(std::uint64_t bytes) {
  if (bytes <= allocated) return {};
  const std::uint64_t step = std::clamp(allocated, least_step, most_step);
  std::uint64_t space = std::max(bytes, std::min(allocated + step, options.segment_bytes));
  int result = disk.allocate(file.get(), space);
  if (result < 0 && space > bytes) result = disk.allocate(file.get(), space = bytes);
  if (result < 0) return refused("take space for", path, result);
  allocated = space;
  return {};
}

Failure SegmentLog::State::put_pending(std::size_t from) {
  const std::size_t n = pending.size() - from;
  std::size_t done = 0;
  while (done < n) {
    const std::int64_t wrote = disk.write(file.get(), pending.data() + from + done, n - done, end + done);
    if (wrote <= 0) {
      // A reader must not take for events what does not count.
      const std::vector<std::byte> zeros(done);
      if (done > 0) (void)disk.write(file.get(), zeros.data(), done, end);
      pending.resize(from);
      return refused("write", path, wrote < 0 ? wrote : -ENOSPC);
    }
    done += static_cast<std::size_t>(wrote);
  }
  for (std::size_t at = from; at < pending.size();) {
    const RecordHeader& header = header_at(pending.data() + at);
    index.add(end + at - from, header);
    ++records;
    if ((header.flags & flag_own) == 0) ++events;
    next += used_by(header);
    prev = header.crc;
    if (header.type == Type::name) (void)learn_names({&header}, names);  // looked at before
    at += padded(header.length);
  }
  end += n;
  must_sync = true;
  return {};
}

Failure SegmentLog::State::write_portion(std::span<std::byte> portion) {
  const std::size_t from = pending.size();
  if (names_due) put_names(pending);
  if (mark_due) {
    const MarkPayload mark{durable_next - 1};
    put_own(pending, Type::mark, std::as_bytes(std::span(&mark, 1)));
  }
  const std::uint32_t chain = kernels::crc_kernels().fill(pending.data() + from, pending.size() - from, prev);
  (void)kernels::crc_kernels().fill(portion.data(), portion.size(), chain);
  pending.insert(pending.end(), portion.begin(), portion.end());
  if (Failure failure = reserve(end + (pending.size() - from) + seal_bytes)) {
    pending.resize(from);
    return failure;
  }
  if (Failure failure = put_pending(from)) return failure;
  names_due = mark_due = false;
  return {};
}

Failure SegmentLog::State::append(std::span<std::byte> batch, Time now) {
  if (failed) return failed;
  std::size_t from = 0;
  if (Failure failure = check_batch(batch, next, names, from)) return failure;
  batch = batch.subspan(from);
  while (!batch.empty()) {
    if (file) {
      if (age_from == 0) age_from = now;   // made by opening, which reads no clock
      // It counts from the first event; a clock that was set back must not keep a segment open for ever.
      age_from = events == 0 ? now : std::min(age_from, now);
      const bool old = now - age_from >= options.segment_age;
      const bool full = end + own_bytes() + batch.size() + seal_bytes > options.segment_bytes;
      if (events > 0 && (old || full)) {
        if (Failure failure = seal()) return failure;
      }
    }
    if (!file) {
      const std::size_t whole = padded(header_at(batch.data()).length);
      if (Failure failure = create(now, whole)) return failure;
    }
    // What fits, and at least one record: one that is longer than a segment has one for itself.
    const std::uint64_t before = end + own_bytes() + seal_bytes;
    std::size_t n = batch.size();
    if (before + n > options.segment_bytes) {
      n = padded(header_at(batch.data()).length);
      while (n < batch.size()) {
        const std::size_t more = padded(header_at(batch.data() + n).length);
        if (before + n + more > options.segment_bytes) break;
        n += more;
      }
    }
    if (Failure failure = write_portion(batch.first(n))) return failure;
    batch = batch.subspan(n);
  }
  return {};
}

Failure SegmentLog::State::sync() {
  if (failed) return failed;
  if (!must_sync) return {};
  if (const int result = disk.sync(file.get()); result < 0) return supersede(refused("sync", path, result));
  if (disk.links(file.get()) == 0) {  // all that is in it goes when it is closed
    failed = {Status::journal_failed, 0, path + " was removed while it was written to"};
    return failed;
  }
  must_sync = false;
  durable_next = next;
  durable_prev = prev;
  pending.clear();
  mark_due = true;
  return {};
}

Failure SegmentLog::State::supersede(const Failure& why) {
  std::vector<std::byte> kept;
  for (std::size_t at = 0; at < pending.size();) {
    const RecordHeader& header = header_at(pending.data() + at);
    const std::size_t whole = padded(header.length);
    if ((header.flags & flag_own) == 0) kept.insert(kept.end(), pending.data() + at, pending.data() + at + whole);
    at += whole;
  }
  const Seq written = next;
  const auto lost = [&](const Failure& then) {
    file.reset();
    next = written;
    failed = {Status::journal_failed, then.os, why.what + "; then, in a new segment: " + then.what};
    return failed;
  };
  file.reset();
  next = durable_next;
  prev = durable_prev;
  // All of it is there before the new segment takes the place of the old one: a process that dies between loses nothing.
  std::vector<std::byte> anew;
  if (next != 1) put_names(anew);
  anew.insert(anew.end(), kept.begin(), kept.end());
  (void)kernels::crc_kernels().fill(anew.data(), anew.size(), prev);
  if (Failure failure = create(age_from, anew.size(), anew)) return lost(failure);
  names_due = false;
  pending = std::move(anew);  // the same once more, and counted
  if (Failure failure = reserve(end + pending.size() + seal_bytes)) return lost(failure);
  if (Failure failure = put_pending(0)) return lost(failure);
  if (const int result = disk.sync(file.get()); result < 0) return lost(refused("sync", path, result));
  must_sync = false;
  durable_next = next;
  durable_prev = prev;
  pending.clear();
  mark_due = true;
  return {};
}

// All is durable before the seal is written: so a seal proves it, as a mark does.
Failure SegmentLog::State::seal() {
  if (Failure failure = sync()) return failure;
  const SealPayload payload{next - 1, records};
  put_own(pending, Type::seal, std::as_bytes(std::span(&payload, 1)));
  (void)kernels::crc_kernels().fill(pending.data(), pending.size(), prev);
  if (Failure failure = reserve(end + pending.size())) {
    pending.clear();
    return failure;
  }
  if (Failure failure = put_pending(0)) return failure;
  pending.clear();
  must_sync = mark_due = false;
  if (disk.sync(file.get()) < 0) {
    prev = durable_prev;  // the next segment follows the last event instead: it supersedes the seal
    file.reset();
    return {};
  }
  durable_prev = prev;
  if (disk.truncate(file.get(), end) >= 0) {
    index.header.journal = id;
    index.header.first = first;
    index.header.next = next;
    index.header.bytes = end;
    index.header.last_crc = prev;
    index.save(disk, path_of(first, ".idx"));
  }
  disk.protect(path, true);
  file.reset();
  return {};
}

Failure SegmentLog::State::close() {
  if (failed) {
    file.reset();
    return failed.status == Status::journal_closed ? Failure{} : failed;
  }
  Failure failure;
  if (file && events > 0) failure = seal();
  if (file) (void)disk.truncate(file.get(), end);
  file.reset();
  if (durable_next == next) failure = {};  // a seal that found no room is no loss
  failed = {Status::journal_closed, 0, "the log is closed"};
  return failure;
}

}  // namespace fairlead::journal
