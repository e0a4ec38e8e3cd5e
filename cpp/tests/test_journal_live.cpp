// The live journal: what is appended is read back; marks, waiting, names, the lock, overflow, a disk that refuses, fork.
#include <doctest/doctest.h>

#if defined(__unix__) || defined(__APPLE__)

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fairlead/journal.hpp"
#include "fairlead/journal/ring.hpp"
#include "live_journal.hpp"

using namespace fairlead;
using namespace fairlead::journal;
using test::as_bytes;

namespace {

constexpr Time second = 1'000'000'000;

Seq append(Journal& journal, std::string_view text, Type type = Type::note, Time time = 7) {
  Seq seq = 0;
  const Status status = journal.append(type, time, 1, 2, as_bytes(text), seq);
  REQUIRE_MESSAGE(status == Status::ok, message(status));
  return seq;
}

std::uint64_t count_of(const test::Read& read) {
  std::uint64_t n = 0;
  REQUIRE(read.payload.size() == 8);
  std::memcpy(&n, read.payload.data(), 8);
  return n;
}

// Numbers without a gap, but for those that say so.
void check_dense(const std::vector<test::Read>& all) {
  Seq next = 1;
  for (const test::Read& read : all) {
    REQUIRE(read.header.seq == next);
    next += read.header.type == Type::gap ? count_of(read) : 1;
  }
}

template <class Condition>
void until(Condition&& condition) {
  const auto start = std::chrono::steady_clock::now();
  while (!condition()) {
    REQUIRE(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
}

std::size_t rings_left(const std::array<std::uint8_t, 16>& id) {
  char name[33];
  for (std::size_t i = 0; i < 16; ++i) std::snprintf(name + 2 * i, 3, "%02x", id[i]);
  std::size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm"))
    n += entry.path().string().find(name) != std::string::npos ? 1u : 0u;
  return n;
}

}  // namespace

TEST_CASE("journal: a reader at the tail comes to its end though the file is cut meanwhile") {
  // A segment that is sealed gives back the space it did not need: its size may have been asked before that.
  class Cut : public Disk {
   public:
    int reads = 0;
    std::int64_t size(int file) noexcept override {
      const std::int64_t has = Disk::size(file);
      return has < 0 ? has : has + 4096;
    }
    std::int64_t read(int file, void* bytes, std::size_t n, std::uint64_t offset) noexcept override {
      return ++reads > 10'000 ? -EIO : Disk::read(file, bytes, n, offset);  // so that the test fails and does not hang
    }
  };
  const test::Folder folder;
  {
    auto journal = test::open(folder / "desk", {});
    for (int i = 0; i < 20; ++i) REQUIRE(append(*journal, "x") == static_cast<Seq>(i + 1));
    CHECK(!journal->close());
  }
  Cut disk;
  const std::string path = (folder / "desk") + "/segments/00000000000000000001.seg";
  const std::string sealed = test::bytes_of(path);
  constexpr std::size_t seal = 56;
  for (const std::size_t more : {std::size_t{8}, std::size_t{40}, std::size_t{56}}) {  // what is no record, behind the last
    test::put_bytes(path, sealed.substr(0, sealed.size() - seal) + std::string(more, '\x7f'));
    disk.reads = 0;
    JournalReader reader;
    REQUIRE(!JournalReader::open((folder / "desk") + "", {}, reader, disk));
    Event event;
    int n = 0;
    for (;;) {
      const Failure failure = reader.next(event);
      if (failure || event.header == nullptr) break;
      ++n;
    }
    CHECK(n == 20);
    CHECK(disk.reads < 10'000);
  }
}

TEST_CASE("journal: what was appended is there after close, under every sync policy") {
  for (const Sync sync : {Sync::never, Sync::interval, Sync::always}) {
    const test::Folder folder;
    JournalOptions options;
    options.sync = sync;
    options.log.segment_bytes = 1 << 16;
    std::array<std::uint8_t, 16> id = {};
    {
      auto journal = test::open(folder / "desk", options);
      id = journal->id();
      CHECK(journal->folder() == folder / "desk");
      CHECK(rings_left(id) == 1);
      for (int i = 0; i < 3000; ++i)
        REQUIRE(append(*journal, std::string(static_cast<std::size_t>(i % 200), 'x')) == static_cast<Seq>(i + 1));
      CHECK(journal->watermarks().accepted == 3000);
      Journal::Claim claim;
      REQUIRE(journal->claim(Type::custom, -5, -1, -1, 4, claim, 3) == Status::ok);
      CHECK(claim.seq == 3001);
      CHECK(journal->watermarks().accepted == 3000);  // not yet
      std::memcpy(claim.payload, "abcd", 4);
      journal->commit(claim);
      CHECK(journal->watermarks().accepted == 3001);
      CHECK(!journal->close());
      CHECK(!journal->close());
      CHECK(journal->watermarks().durable == 3001);
      Seq seq = 0;
      CHECK(journal->append(Type::note, 0, -1, -1, {}, seq) == Status::journal_closed);
      CHECK(journal->wait_durable(0, second) == Status::ok);
      CHECK(journal->wait_durable(4000, second) == Status::journal_closed);
    }
    CHECK(rings_left(id) == 0);
    const auto all = test::read_all(folder / "desk");
    REQUIRE(all.size() == 3001);
    check_dense(all);
    for (std::size_t i = 0; i < 3000; ++i) {
      REQUIRE(all[i].payload == std::string(i % 200, 'x'));
      REQUIRE(all[i].header.time == 7);
      REQUIRE(all[i].header.model == 1);
      REQUIRE(all[i].header.category == 2);
    }
    CHECK(all[3000].header.type == Type::custom);
    CHECK(all[3000].header.version == 3);
    CHECK(all[3000].header.time == -5);
    CHECK(all[3000].payload == "abcd");
    auto again = test::open(folder / "desk", options);
    CHECK(again->watermarks().accepted == 3001);
    CHECK(append(*again, "more") == 3002);
  }
}

TEST_CASE("journal: arguments that it refuses leave no trace") {
  const test::Folder folder;
  std::unique_ptr<Journal> none;
  Recovery recovery;
  JournalOptions options;
  options.ring_bytes = 5000;
  CHECK(Journal::open(folder / "a", options, none, recovery).status == Status::out_of_range);
  options.ring_bytes = 1 << 16;
  options.sync_interval = 0;
  CHECK(Journal::open(folder / "a", options, none, recovery).status == Status::out_of_range);
  options.sync_interval = second;
  options.overflow = Overflow::spill;
  options.spill_bytes = 1;
  Failure failure = Journal::open(folder / "a", options, none, recovery);
  CHECK(failure.what.find("spill_bytes is 1") == 0);
  CHECK(none == nullptr);
  auto journal = test::open(folder / "a");
  CHECK(rings_left(journal->id()) == 1);
  Seq seq = 99;
  for (const Type own : {Type::mark, Type::seal, Type::names, Type::name, Type::gap, Type::dropped})
    CHECK(journal->append(own, 0, -1, -1, {}, seq) == Status::out_of_range);
  const std::string large(max_payload + 1, 'x');
  CHECK(journal->append(Type::note, 0, -1, -1, as_bytes(large), seq) == Status::too_long);
  CHECK(seq == 99);
  CHECK(append(*journal, large.substr(1)) == 1);
  CHECK(journal->wait_durable(0, 10 * second) == Status::ok);
  CHECK(journal->wait_durable(2, 1000) == Status::timed_out);
  CHECK(!journal->failure());
}

TEST_CASE("journal: a batch goes in whole or not at all, and its numbers follow each other") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  JournalOptions options;
  options.ring_bytes = 1 << 14;  // 256 units
  for (const Overflow overflow : {Overflow::fail, Overflow::drop}) {
    disk.held = false;
    const std::string desk = folder / std::to_string(static_cast<int>(overflow));
    options.overflow = overflow;
    auto journal = test::open(desk, options, nullptr, disk);
    disk.held = true;
    Seq next = 1;
    Status status = Status::ok;
    for (std::size_t n = 1; status == Status::ok; n += 7) {
      Journal::Batch batch;
      status = journal->claim(Type::custom, 8, n, batch);
      if (status != Status::ok) break;
      CHECK(batch.first == next);
      for (std::size_t i = n; i-- > 0;) {
        const Journal::Claim claim = journal->put(batch, i, static_cast<Time>(i), 3, static_cast<std::int32_t>(n));
        REQUIRE(claim.seq == next + i);
        std::memcpy(claim.payload, &claim.seq, 8);
        journal->commit(claim);
      }
      next += n;
    }
    CHECK(status == (overflow == Overflow::fail ? Status::journal_full : Status::journal_dropped));
    CHECK((journal->watermarks().dropped > 0) == (overflow == Overflow::drop));
    Journal::Batch batch;
    CHECK(journal->claim(Type::custom, 8, 0, batch) == Status::out_of_range);
    CHECK(journal->claim(Type::custom, 8, 200, batch) == Status::too_long);
    CHECK(journal->claim(Type::custom, 8, 5000, batch) == Status::too_long);
    CHECK(journal->claim(Type::dropped, 8, 1, batch) == Status::out_of_range);
    disk.held = false;
    CHECK(!journal->close());
    const auto all = test::read_all(desk);
    check_dense(all);
    REQUIRE(all.size() >= next - 1);
    for (Seq seq = 1; seq < next; ++seq) REQUIRE(count_of(all[seq - 1]) == seq);
  }
}

TEST_CASE("journal: waiting for durable and written, from several threads") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  JournalOptions options;
  options.sync = Sync::never;
  auto journal = test::open(folder / "desk", options, nullptr, disk);
  const Seq one = append(*journal, "one");
  CHECK(journal->wait_written(one, 10 * second) == Status::ok);
  CHECK(journal->watermarks().durable == 0);
  CHECK(journal->wait_durable(one, 10 * second) == Status::ok);  // asks for a sync, although the policy is never
  CHECK(journal->watermarks().durable == one);
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) {
        Seq seq = 0;
        if (journal->append(Type::note, 0, -1, -1, {}, seq) != Status::ok) return;
        if (journal->wait_durable(seq, 10 * second) != Status::ok || journal->watermarks().durable < seq) return;
      }
      ++good;
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(good == 4);
}

TEST_CASE("journal: names are numbers that outlive the process") {
  const test::Folder folder;
  for (int round = 0; round < 2; ++round) {
    auto journal = test::open(folder / "desk");
    std::int32_t a = -1, b = -1, c = -1;
    CHECK(journal->find_name(Table::models, "b") == (round == 0 ? NameTable::absent : 1));
    CHECK(journal->name(Table::models, "a", a) == Status::ok);
    CHECK(journal->name(Table::models, "b", b) == Status::ok);
    CHECK(journal->name(Table::categories, "b", c) == Status::ok);
    CHECK(journal->name(Table::models, "a", a) == Status::ok);
    CHECK(a == 0);
    CHECK(b == 1);
    CHECK(c == 0);
    CHECK(journal->watermarks().accepted == 3);
    CHECK(journal->name(Table::models, std::string(max_payload, 'x'), a) == Status::too_long);
  }
  const auto all = test::read_all(folder / "desk");
  REQUIRE(all.size() == 3);
  CHECK(all[1].header.type == Type::name);
}

TEST_CASE("journal: a second writer is told who holds it") {
  const test::Folder folder;
  auto journal = test::open(folder / "desk");
  std::unique_ptr<Journal> second_one;
  Recovery recovery;
  const Failure failure = Journal::open(folder / "desk", {}, second_one, recovery);
  CHECK(failure.status == Status::journal_locked);
  CHECK_MESSAGE(failure.what.find("this process, " + std::to_string(getpid()) + " (") != std::string::npos, failure.what);
  CHECK(append(*journal, "still mine") == 1);
  journal.reset();
  CHECK(append(*test::open(folder / "desk"), "now mine") == 2);
}

TEST_CASE("journal: a full disk stops the writer, not the loop; with room it goes on") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  JournalOptions options;
  options.ring_bytes = 1 << 14;
  auto journal = test::open(folder / "desk", options, nullptr, disk);
  append(*journal, "before");
  CHECK(journal->wait_durable(0, 10 * second) == Status::ok);
  disk.full = true;
  Seq last = 1, seq = 0;
  Status status = Status::ok;
  while ((status = journal->append(Type::note, 0, -1, -1, as_bytes("xxxxxxxx"), seq)) == Status::ok) last = seq;
  CHECK(status == Status::journal_full);
  CHECK(journal->watermarks().accepted == last);
  until([&] { return journal->failure().os == ENOSPC; });
  CHECK(journal->wait_written(last, second / 50) == Status::timed_out);
  disk.full = false;
  CHECK(journal->wait_durable(last, 10 * second) == Status::ok);
  CHECK(!journal->failure());
  CHECK(append(*journal, "after") == last + 1);
  CHECK(!journal->close());
  check_dense(test::read_all(folder / "desk"));
  CHECK(test::read_all(folder / "desk").size() == last + 1);
}

TEST_CASE("journal: closed while the disk is full, it leaves the rest in shared memory for the next open") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  auto journal = test::open(folder / "desk", {}, nullptr, disk);
  append(*journal, "one");
  CHECK(journal->wait_durable(0, 10 * second) == Status::ok);
  disk.full = true;
  for (int i = 0; i < 10; ++i) append(*journal, "more");
  const Failure failure = journal->close();
  CHECK(failure.os == ENOSPC);
  CHECK_MESSAGE(failure.what.find("10 events stay in /dev/shm/") != std::string::npos, failure.what);
  journal.reset();
  Recovery recovery;
  journal = test::open(folder / "desk", {}, &recovery);
  CHECK(recovery.drained == 10);
  CHECK(recovery.gaps == 0);
  CHECK(append(*journal, "last") == 12);
}

TEST_CASE("journal: a sync that fails is never taken for one that did not") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  auto journal = test::open(folder / "desk", {}, nullptr, disk);
  append(*journal, "one");
  CHECK(journal->wait_durable(0, 10 * second) == Status::ok);
  disk.broken = true;
  append(*journal, "two");
  CHECK(journal->wait_durable(2, 10 * second) == Status::journal_failed);
  CHECK(journal->watermarks().durable == 1);
  CHECK(journal->failure().status == Status::journal_failed);
  Seq seq = 0;
  CHECK(journal->append(Type::note, 0, -1, -1, {}, seq) == Status::journal_failed);
  std::int32_t id = 0;
  CHECK(journal->name(Table::models, "a", id) == Status::journal_failed);
  disk.broken = false;
  CHECK(journal->wait_durable(2, second / 50) == Status::journal_failed);
  CHECK(journal->close().status == Status::journal_failed);
}

TEST_CASE("journal: dropped events are counted, and an event tells of them") {
  const test::Folder folder;
  test::SwitchedDisk disk;
  JournalOptions options;
  options.ring_bytes = 1 << 13;
  options.overflow = Overflow::drop;
  auto journal = test::open(folder / "desk", options, nullptr, disk);
  disk.held = true;
  std::uint64_t dropped = 0, taken = 0;
  Seq seq = 0;
  for (int i = 0; i < 500; ++i) {
    const Status status = journal->append(Type::note, 5, -1, -1, as_bytes("x"), seq);
    CHECK((status == Status::ok || status == Status::journal_dropped));
    (status == Status::ok ? taken : dropped) += 1;
  }
  CHECK(dropped > 300);
  CHECK(journal->watermarks().dropped == dropped);
  disk.held = false;
  until([&] { return journal->watermarks().written > taken; });
  CHECK(append(*journal, "after") == taken + 2);
  CHECK(!journal->close());
  const auto all = test::read_all(folder / "desk");
  check_dense(all);
  REQUIRE(all.size() == taken + 2);
  CHECK(all[taken].header.type == Type::dropped);
  CHECK(count_of(all[taken]) == dropped);
}

TEST_CASE("journal: spilled events come in their order, then the ring's") {
  for (const bool kill : {false, true}) {
    const test::Folder folder;
    test::SwitchedDisk disk;
    JournalOptions options;
    options.ring_bytes = 1 << 14;
    options.spill_bytes = 1 << 18;
    options.overflow = Overflow::spill;
    constexpr Seq n = 1500;  // the ring alone holds 128
    const auto fill = [&](Journal& journal) {
      disk.held = true;
      Seq seq = 0;
      for (Seq i = 1; i <= n; ++i) {
        while (journal.append(Type::note, 0, -1, -1, as_bytes(std::to_string(i) + std::string(60, ' ')), seq) != Status::ok)
          std::this_thread::sleep_for(std::chrono::microseconds(100));
      }
    };
    if (kill) {
      const pid_t child = fork();
      REQUIRE(child >= 0);
      if (child == 0) {
        fill(*test::open(folder / "desk", options, nullptr, disk).release());
        _exit(0);
      }
      int status = 0;
      REQUIRE(waitpid(child, &status, 0) == child);
      REQUIRE(status == 0);
      Recovery recovery;
      options.overflow = Overflow::fail;
      auto journal = test::open(folder / "desk", options, &recovery);
      CHECK(recovery.drained == n);
      CHECK(rings_left(journal->id()) == 1);
    } else {
      auto journal = test::open(folder / "desk", options, nullptr, disk);
      fill(*journal);
      CHECK(journal->watermarks().accepted == n);
      CHECK(rings_left(journal->id()) == 2);
      disk.held = false;
      CHECK(journal->wait_durable(0, 20 * second) == Status::ok);
      CHECK(!journal->close());
      CHECK(rings_left(journal->id()) == 0);
    }
    const auto all = test::read_all(folder / "desk");
    check_dense(all);
    REQUIRE(all.size() >= n);
    for (Seq i = 1; i <= n; ++i) REQUIRE(all[i - 1].payload.starts_with(std::to_string(i) + " "));
  }
}

TEST_CASE("journal: a child of fork can do nothing to it, and does not hold its lock") {
  const test::Folder folder;
  auto journal = test::open(folder / "desk");
  append(*journal, "parent's");
  int to_child[2];
  REQUIRE(pipe(to_child) == 0);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    Seq seq = 0;
    std::int32_t id = 0;
    int wrong = 0;
    wrong += journal->append(Type::note, 0, -1, -1, {}, seq) != Status::journal_closed;
    wrong += journal->name(Table::models, "a", id) != Status::journal_closed;
    wrong += journal->wait_durable(0, second) != Status::journal_closed;
    (void)journal->watermarks();
    wrong += static_cast<bool>(journal->close());
    journal.reset();
    char byte = 0;
    (void)!read(to_child[0], &byte, 1);  // outlives the parent's journal
    _exit(wrong);
  }
  append(*journal, "parent's again");
  CHECK(!journal->close());
  CHECK(append(*test::open(folder / "desk"), "while the child lives") == 3);
  REQUIRE(write(to_child[1], "x", 1) == 1);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(status == 0);
  close(to_child[0]);
  close(to_child[1]);
  CHECK(test::read_all(folder / "desk").size() == 3);
}

TEST_CASE("journal: a clock that goes backwards and times in any order change nothing") {
  const test::Folder folder;
  {
    auto journal = test::open(folder / "desk");
    for (const Time time : {5 * second, -second, Time{0}, std::numeric_limits<Time>::max() - 1, std::numeric_limits<Time>::min()})
      append(*journal, "x", Type::note, time);
  }
  const auto all = test::read_all(folder / "desk");
  REQUIRE(all.size() == 5);
  CHECK(all[3].header.time == std::numeric_limits<Time>::max() - 1);
  check_dense(all);
}

#endif
