// A disk that refuses: full, broken, or slow to take more than a part. Nothing that was written before is harmed.
#include "journal_desk.hpp"
#include "memory_disk.hpp"

using namespace desk;

namespace {

std::string read_from(MemoryDisk& disk, Seq expected) {
  JournalReader reader;
  if (Failure failure = JournalReader::open("desk", {}, reader, disk)) return failure.what;
  Seq next = 1;
  bool right = true;
  if (Failure failure = read_all(reader, next, right)) return failure.what;
  if (!right) return "a wrong event";
  return next - 1 == expected ? "" : "read " + std::to_string(next - 1) + " of " + std::to_string(expected);
}

constexpr Seq last = 60;

// Appends batches of three up to `last`; each that fails is given again, once the disk takes it.
void run(MemoryDisk& disk, SegmentLog& log, int& failures) {
  for (Seq seq = 1; seq < last; seq += 3) {
    Batch batch = events(seq, seq + 2);
    for (int again = 0;; ++again) {
      const Seq before = log.written();
      const Failure failure = log.append(batch.span(), 0);
      if (!failure) break;
      ++failures;
      REQUIRE(again < 50);
      CHECK(failure.status == Status::system_refused);
      CHECK(!failure.what.empty());
      CHECK(log.written() >= before);
      CHECK(read_from(disk, log.written()) == "");  // what does not count is not read
    }
    CHECK(log.written() == seq + 2);
    if (seq % 4 == 0) good(log.sync());
  }
}

}  // namespace

TEST_CASE("failures: ENOSPC at every call, for one call and for several in a row") {
  int failures = 0;
  for (const int in_a_row : {1, 2, 7}) {
    for (int which = 0;; ++which) {
      CAPTURE(which);
      MemoryDisk disk;
      SegmentLog log;
      Recovery recovery;
      good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
      int calls = 0;
      disk.fail = [&](const char* call) {
        if (std::strcmp(call, "sync") == 0 || std::strcmp(call, "sync_folder") == 0) return 0;
        const int n = calls++;
        return n >= which && n < which + in_a_row ? -ENOSPC : 0;
      };
      run(disk, log, failures);
      good(log.close());
      CHECK(read_from(disk, last) == "");
      VerifyReport report;
      good(verify("desk", report, disk));
      CHECK(report.whole);
      if (calls <= which) break;
    }
  }
  CHECK(failures > 100);
}

TEST_CASE("failures: a full disk, and the writer dies of it") {
  for (int which = 0;; ++which) {
    MemoryDisk disk;
    SegmentLog log;
    Recovery recovery;
    good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
    int calls = 0;
    disk.fail = [&](const char*) { return calls++ >= which ? -ENOSPC : 0; };
    Seq seq = 1;
    for (; seq < last; seq += 3) {
      Batch batch = events(seq, seq + 2);
      if (log.append(batch.span(), 0) || log.sync()) break;
    }
    const Seq written = log.written(), durable = log.durable();
    CHECK(durable <= written);
    log = SegmentLog();
    const bool done = calls <= which;
    disk.fail = [](const char*) { return 0; };
    good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
    CHECK(log.written() >= durable);
    CHECK(log.written() <= seq + 2);
    CHECK(read_from(disk, log.written()) == "");
    if (done) break;
  }
}

TEST_CASE("failures: every sync fails once; a failure is told, or all is durable") {
  for (const bool folders : {false, true}) {
    for (int which = 0;; ++which) {
      CAPTURE(which);
      MemoryDisk disk;
      SegmentLog log;
      Recovery recovery;
      int calls = 0;
      disk.fail = [&](const char* call) {
        return std::strcmp(call, folders ? "sync_folder" : "sync") == 0 && calls++ == which ? -EIO : 0;
      };
      if (const Failure failure = SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk)) {
        CHECK(failure.os == EIO);
        good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
      }
      int failures = 0;
      run(disk, log, failures);
      good(log.sync());
      CHECK(log.durable() == last);
      CHECK(read_from(disk, last) == "");
      VerifyReport report;
      good(verify("desk", report, disk));
      CHECK(report.whole);
      good(log.close());
      CHECK(read_from(disk, last) == "");
      const bool done = calls <= which;
      disk.fail = [](const char*) { return 0; };
      good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
      CHECK(log.written() == last);
      if (done) break;
    }
  }
}

TEST_CASE("failures: where the new segment cannot be synced either, the log takes no more") {
  MemoryDisk disk;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open("desk", {}, log, recovery, disk));
  Batch batch = events(1, 5);
  good(log.append(batch.span(), 0));
  good(log.sync());
  batch = events(6, 9);
  good(log.append(batch.span(), 0));
  disk.fail = [](const char* call) { return std::strcmp(call, "sync") == 0 ? -EIO : 0; };
  const Failure failure = log.sync();
  CHECK(failure.status == Status::journal_failed);
  CHECK(failure.os == EIO);
  CHECK(log.durable() == 5);
  disk.fail = [](const char*) { return 0; };
  batch = events(10, 11);
  CHECK(log.append(batch.span(), 0).status == Status::journal_failed);  // it is not tried again
  CHECK(log.sync().status == Status::journal_failed);
  CHECK(log.close().status == Status::journal_failed);
}

TEST_CASE("failures: a reader goes on where a failed sync has begun a new segment") {
  MemoryDisk disk;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open("desk", {}, log, recovery, disk));
  int once = 1;
  for (const Seq durable : {Seq{0}, Seq{6}}) {  // nothing durable in the segment: the new one takes its name
    CAPTURE(durable);
    const Seq first = log.written() + 1;
    Batch batch = events(first, first + 3);
    good(log.append(batch.span(), 0));
    if (durable != 0) good(log.sync());
    JournalReader reader;
    good(JournalReader::open("desk", {}, reader, disk));
    Seq next = 1;
    bool right = true;
    good(read_all(reader, next, right));
    CHECK(next == first + 4);
    batch = events(first + 4, first + 7);
    good(log.append(batch.span(), 0));
    good(read_all(reader, next, right));
    once = 0;
    disk.fail = [&](const char* call) { return std::strcmp(call, "sync") == 0 && once++ == 0 ? -EIO : 0; };
    good(log.sync());
    batch = events(first + 8, first + 9);
    good(log.append(batch.span(), 0));
    good(read_all(reader, next, right));
    CHECK(next == first + 10);
    CHECK(right);
    CHECK(read_from(disk, first + 9) == "");
  }
}

TEST_CASE("failures: a disk that takes a few bytes at a time") {
  MemoryDisk disk;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open("desk", {.segment_bytes = 1200}, log, recovery, disk));
  disk.most_at_once = 64;  // a header is written whole or not at all
  int failures = 0;
  run(disk, log, failures);
  CHECK(failures == 0);
  good(log.close());
  CHECK(read_from(disk, last) == "");
}
