// Corners of the journal that once went wrong: each case is the shortest story of one fault.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <limits>
#include <memory>
#include <sys/wait.h>
#include <unistd.h>

#include "fairlead/journal/columns.hpp"
#include "live_journal.hpp"

namespace fl = fairlead;
namespace fs = std::filesystem;
using namespace fairlead::journal;
using fl::Journal;
using fl::JournalOptions;
using fl::Overflow;
using fl::Status;
using fl::test::Folder;
using fl::test::SwitchedDisk;

namespace {

std::vector<std::byte> note(Seq seq, fl::Time time = 5) {
  RecordHeader header;
  header.length = sizeof header + 8;
  header.type = Type::note;
  header.seq = seq;
  header.time = time;
  std::vector<std::byte> bytes(padded(header.length));
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

void put(SegmentLog& log, Seq seq, fl::Time now, fl::Time time = 5) {
  auto bytes = note(seq, time);
  const Failure failure = log.append(bytes, now);
  REQUIRE_MESSAGE(!failure, failure.what);
}

std::size_t count(JournalReader& reader, Failure& failure) {
  for (std::size_t n = 0;; ++n) {
    Event event;
    failure = reader.next(event);
    if (failure || event.header == nullptr) return n;
  }
}

std::uint64_t told_drops(const std::string& folder) {
  std::uint64_t told = 0;
  for (const auto& read : fl::test::read_all(folder)) {
    if (read.header.type != Type::dropped) continue;
    std::uint64_t n = 0;
    std::memcpy(&n, read.payload.data(), sizeof n);
    told += n;
  }
  return told;
}

std::uint64_t drop_many(Journal& journal) {
  std::uint64_t dropped = 0;
  Seq seq = 0;
  for (int i = 0; i < 500; ++i) dropped += journal.append(Type::note, 5, -1, -1, {}, seq) != Status::ok ? 1u : 0u;
  return dropped;
}

}  // namespace

TEST_CASE("damage in a sealed newest segment is told, and no torn end") {
  Folder folder;
  const std::string desk = folder / "desk";
  {
    Recovery recovery;
    SegmentLog log;
    REQUIRE(!SegmentLog::open(desk, {}, log, recovery));
    for (Seq seq = 1; seq <= 100; ++seq) put(log, seq, 1);
    REQUIRE(!log.close());
  }
  const std::string file = desk + "/segments/00000000000000000001.seg";
  fs::permissions(file, fs::perms::owner_all);
  const std::string whole = fl::test::bytes_of(file);
  constexpr std::size_t fifty = sizeof(SegmentHeader) + 50 * 48;

  std::string bad = whole;
  bad[fifty + 20] = static_cast<char>(bad[fifty + 20] ^ 1);
  for (const std::string& bytes : {bad, whole.substr(0, fifty)}) {
    fl::test::put_bytes(file, bytes);
    JournalReader reader;
    Failure failure = JournalReader::open(desk, {}, reader);
    REQUIRE(!failure);
    CHECK(count(reader, failure) == 50);
    CHECK(failure.status == Status::journal_damaged);
  }
}

TEST_CASE("a reader that saw a seal whose sync failed goes on") {
  struct Failing : Disk {
    bool no_new_file = false;
    int fail_after = -1;
    int open(const std::string& path, int flags) noexcept override {
      return no_new_file && path.ends_with(".new") ? -EIO : Disk::open(path, flags);
    }
    int sync(int file) noexcept override { return fail_after >= 0 && fail_after-- == 0 ? -EIO : Disk::sync(file); }
  } disk;
  Folder folder;
  const std::string desk = folder / "desk";
  Recovery recovery;
  SegmentLog log;
  REQUIRE(!SegmentLog::open(desk, {.segment_age = 100}, log, recovery, disk));
  for (Seq seq = 1; seq <= 5; ++seq) put(log, seq, 1);
  REQUIRE(!log.sync());
  JournalReader reader;
  Failure failure = JournalReader::open(desk, {}, reader);
  REQUIRE(!failure);
  CHECK(count(reader, failure) == 5);
  disk.fail_after = 0;
  disk.no_new_file = true;
  auto bytes = note(6);
  CHECK(log.append(bytes, 1000));
  CHECK(count(reader, failure) == 0);
  disk.no_new_file = false;
  const Failure again = log.append(bytes, 1000);
  REQUIRE_MESSAGE(!again, again.what);
  CHECK(count(reader, failure) == 1);
  CHECK_MESSAGE(!failure, failure.what);
  CHECK(!log.close());
}

TEST_CASE("an event at the end of time is read") {
  Folder folder;
  const std::string desk = folder / "desk";
  {
    Recovery recovery;
    SegmentLog log;
    REQUIRE(!SegmentLog::open(desk, {}, log, recovery));
    put(log, 1, 1, std::numeric_limits<fl::Time>::max());
    REQUIRE(!log.close());
  }
  JournalReader reader;
  Failure failure = JournalReader::open(desk, {}, reader);
  CHECK(count(reader, failure) == 1);
  ColumnReader columns;
  REQUIRE(!ColumnReader::open(desk, {}, columns));
  Columns found(10);
  REQUIRE(!columns.next(found, nullptr));
  CHECK(found.size() == 1);
}

TEST_CASE("what was dropped last is told by the time the journal is closed") {
  Folder folder;
  const std::string desk = folder / "desk";
  SwitchedDisk disk;
  std::unique_ptr<Journal> journal;
  Recovery recovery;
  REQUIRE(!Journal::open(desk, {.overflow = Overflow::drop, .ring_bytes = 4096}, journal, recovery, disk));
  disk.full = true;
  const std::uint64_t dropped = drop_many(*journal);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    disk.full = false;
  });
  const Failure closed = journal->close();
  later.join();
  REQUIRE_MESSAGE(!closed, closed.what);
  CHECK(dropped > 0);
  CHECK(told_drops(desk) == dropped);
}

TEST_CASE("drops of a dead process are told once, however often the next open fails") {
  Folder folder;
  const std::string desk = folder / "desk";
  int pipe[2];
  REQUIRE(::pipe(pipe) == 0);
  const pid_t child = fork();
  if (child == 0) {
    static SwitchedDisk disk;
    std::unique_ptr<Journal> journal;
    Recovery recovery;
    if (Journal::open(desk, {.overflow = Overflow::drop, .ring_bytes = 4096}, journal, recovery, disk)) _exit(1);
    disk.full = true;
    (void)drop_many(*journal);
    const std::uint64_t dropped = journal->watermarks().dropped;
    (void)!::write(pipe[1], &dropped, sizeof dropped);
    ::kill(getpid(), SIGKILL);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  std::uint64_t dropped = 0;
  REQUIRE(::read(pipe[0], &dropped, sizeof dropped) == sizeof dropped);
  ::close(pipe[0]);
  ::close(pipe[1]);
  for (int i = 0; i < 4; ++i) {
    JournalOptions options;
    if (i < 3) options.ring_bytes = 5000;  // no power of two
    std::unique_ptr<Journal> journal;
    Recovery recovery;
    CHECK(static_cast<bool>(Journal::open(desk, options, journal, recovery)) == (i < 3));
  }
  CHECK(dropped > 0);
  CHECK(told_drops(desk) == dropped);
}

TEST_CASE("a process that dies while it tells of drops has told of them once") {
  for (const bool committed : {false, true}) {
    CAPTURE(committed);
    Folder folder;
    const std::string desk = folder / "desk", memory = folder / "memory";
    fs::create_directory(memory);
    struct Left {
      std::array<std::uint8_t, 16> id;
      std::uint64_t dropped;
    } left = {};
    int pipe[2];
    REQUIRE(::pipe(pipe) == 0);
    const pid_t child = fork();
    if (child == 0) {
      static SwitchedDisk disk;
      std::unique_ptr<Journal> journal;
      Recovery recovery;
      if (Journal::open(desk, {.overflow = Overflow::drop, .ring_bytes = 4096, .memory = memory}, journal, recovery, disk)) _exit(1);
      disk.full = true;
      Seq seq = 0;
      const std::array<std::byte, 100> payload = {};  // three lines of the ring's 64: one stays free
      for (int i = 0; i < 100; ++i) (void)journal->append(Type::note, 5, -1, -1, payload, seq);
      left = {journal->id(), journal->watermarks().dropped};
      (void)!::write(pipe[1], &left, sizeof left);
      ::kill(getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(::read(pipe[0], &left, sizeof left) == sizeof left);
    ::close(pipe[0]);
    ::close(pipe[1]);
    REQUIRE(left.dropped > 0);
    {
      Intake dead;
      bool found = false;
      const std::string path = fs::directory_iterator(memory)->path();
      REQUIRE(!Ring::open(path, left.id, dead.ring, found));
      REQUIRE(found);
      Claim claim;
      REQUIRE(dead.take(Type::dropped, 5, -1, -1, sizeof left.dropped, claim, 1) == Status::ok);
      std::memcpy(claim.payload, &left.dropped, sizeof left.dropped);
      dead.ring.control().telling_seq = claim.seq;
      dead.ring.control().telling = left.dropped;
      if (committed) Intake::commit(claim);
    }
    std::unique_ptr<Journal> journal;
    Recovery recovery;
    const Failure failure = Journal::open(desk, {.memory = memory}, journal, recovery);
    REQUIRE_MESSAGE(!failure, failure.what);
    REQUIRE(!journal->close());
    CHECK(told_drops(desk) == left.dropped);
  }
}

TEST_CASE("who no longer waits for an event to be durable asks for no sync") {
  struct Counting : Disk {
    std::atomic<int> syncs = 0;
    int sync(int file) noexcept override { return ++syncs, Disk::sync(file); }
  };
  Folder folder;
  Counting disk;
  std::unique_ptr<Journal> journal;
  Recovery recovery;
  REQUIRE(!Journal::open(folder / "desk", {.sync = fl::Sync::never}, journal, recovery, disk));
  CHECK(journal->wait_durable(1'000'000, 1'000'000) == Status::timed_out);
  const int before = disk.syncs;
  Seq seq = 0;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(journal->append(Type::note, 5, -1, -1, {}, seq) == Status::ok);
    REQUIRE(journal->wait_written(seq, -1) == Status::ok);
  }
  CHECK(disk.syncs - before <= 1);  // the writer may have been at one while the wait ended
  REQUIRE(journal->wait_durable(seq, -1) == Status::ok);
  REQUIRE(!journal->close());
}

TEST_CASE("killed while what was not durable moves to a new segment, it loses nothing") {
  struct Killing : Disk {
    bool on = false;
    int syncs = 0;
    int sync_folder(const std::string& path) noexcept override {
      const int result = Disk::sync_folder(path);
      if (on) ::kill(getpid(), SIGKILL);
      return result;
    }
    int sync(int file) noexcept override { return on && syncs++ == 0 ? -EIO : Disk::sync(file); }
  };
  Folder folder;
  const std::string desk = folder / "desk";
  const pid_t child = fork();
  if (child == 0) {
    static Killing disk;
    std::unique_ptr<Journal> journal;
    Recovery recovery;
    if (Journal::open(desk, {.sync = fl::Sync::never}, journal, recovery, disk)) _exit(1);
    Seq seq = 0;
    for (int i = 0; i < 5; ++i) (void)journal->append(Type::note, 5, -1, -1, {}, seq);
    (void)journal->wait_durable(seq, -1);
    for (int i = 0; i < 5; ++i) (void)journal->append(Type::note, 5, -1, -1, {}, seq);
    (void)journal->wait_written(seq, -1);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));  // until the ring is free of them
    disk.on = true;
    (void)journal->wait_durable(seq, -1);
    _exit(0);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFSIGNALED(status));
  std::unique_ptr<Journal> journal;
  Recovery recovery;
  const Failure failure = Journal::open(desk, {}, journal, recovery);
  REQUIRE_MESSAGE(!failure, failure.what);
  CHECK(recovery.lost == 0);
  CHECK(!journal->close());
  CHECK(fl::test::read_all(desk).size() == 10);
}
