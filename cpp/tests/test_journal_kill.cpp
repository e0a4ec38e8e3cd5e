// A child process writes from several threads as fast as it can and is killed at a random moment, again and again, also
// while it opens the journal and recovers what the one before it left. Nothing acknowledged is lost, torn or invented.
#include <doctest/doctest.h>

#if defined(__unix__) || defined(__APPLE__)

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fairlead/journal.hpp"
#include "live_journal.hpp"

using namespace fairlead;
using namespace fairlead::journal;

namespace {

constexpr std::size_t n_threads = 2;

// What the child has been told, in memory that outlives it.
struct Told {
  std::atomic<std::uint64_t> acknowledged[n_threads];
  std::atomic<std::uint64_t> started;
};

// An event says who wrote it, and the rest of its bytes follow from that.
struct Mine {
  std::uint64_t trial, thread, n;
};

std::size_t length_of(const Mine& mine) { return sizeof(Mine) + (mine.n * 7919 + mine.trial * 31) % 400; }
std::byte byte_of(const Mine& mine, std::size_t i) { return static_cast<std::byte>(mine.trial + mine.n * 3 + i * 7); }

void put(std::byte* to, const Mine& mine) {
  std::memcpy(to, &mine, sizeof(mine));
  for (std::size_t i = sizeof(mine); i < length_of(mine); ++i) to[i] = byte_of(mine, i);
}

[[noreturn]] void write_until_killed(const std::string& desk, const JournalOptions& options, std::uint64_t trial, Told& told) {
  std::unique_ptr<Journal> journal;
  Recovery recovery;
  if (Journal::open(desk, options, journal, recovery)) _exit(1);
  told.started = 1;
  std::int32_t name = 0;
  (void)journal->name(Table::models, "model " + std::to_string(trial), name);
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      for (std::uint64_t n = 0;; ++n) {
        const Mine mine{trial, t, n};
        Status status = Status::journal_full;
        for (;;) {
          if (n % 64 == 63) {
            Journal::Batch batch;
            status = journal->claim(Type::custom, sizeof(Mine), 5, batch);
            if (status == Status::ok) {
              for (std::size_t i = 0; i < 5; ++i, ++n) {
                const Mine each{trial, t, n};
                const Journal::Claim claim = journal->put(batch, i, -1, name, -1);
                std::memcpy(claim.payload, &each, sizeof(each));
                journal->commit(claim);
              }
              --n;
            }
          } else {
            Journal::Claim claim;
            status = journal->claim(Type::custom, static_cast<Time>(n), name, -1, length_of(mine), claim);
            if (status == Status::ok) {
              put(claim.payload, mine);
              journal->commit(claim);
            }
          }
          if (status == Status::ok) break;
          std::this_thread::sleep_for(std::chrono::microseconds(50));
        }
        told.acknowledged[t].store(n + 1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  _exit(2);
}

}  // namespace

TEST_CASE("journal: killed at any moment, nothing acknowledged is lost, torn or invented") {
  void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  REQUIRE(memory != MAP_FAILED);
  Told& told = *new (memory) Told;
  const char* const asked = std::getenv("FAIRLEAD_KILLS");
  const std::uint64_t kills = asked != nullptr ? std::strtoull(asked, nullptr, 10) : 40;
  std::mt19937_64 random(asked != nullptr ? std::random_device()() : 17);
  auto folder = std::make_unique<test::Folder>();
  std::vector<std::vector<std::uint64_t>> acknowledged;  // of each trial in this folder
  std::vector<std::vector<std::uint64_t>> seen;
  Seq next = 1;
  std::uint64_t events = 0, drained = 0, gaps = 0, started = 0;
  for (std::uint64_t trial = 0; trial < kills; ++trial) {
    JournalOptions options;
    options.ring_bytes = std::size_t{1} << (14 + random() % 5);
    options.spill_bytes = 1 << 18;
    options.log.segment_bytes = 1 << 18;
    options.sync = static_cast<Sync>(random() % 3);
    options.sync_interval = 1'000'000;
    options.overflow = random() % 3 == 0 ? Overflow::spill : Overflow::fail;
    const std::string desk = *folder / "desk";
    for (auto& word : told.acknowledged) word = 0;
    told.started = 0;
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) write_until_killed(desk, options, acknowledged.size(), told);
    if (random() % 4 != 0) {  // else anywhere, opening included
      while (told.started == 0 && waitpid(child, nullptr, WNOHANG) == 0) usleep(100);
    }
    usleep(static_cast<useconds_t>(random() % 8000));
    kill(child, SIGKILL);
    int status = 0;
    if (waitpid(child, &status, 0) == child) REQUIRE(WIFSIGNALED(status));
    started += told.started;
    acknowledged.push_back({told.acknowledged[0], told.acknowledged[1]});
    seen.push_back({0, 0});
    if (random() % 3 == 0 && trial + 1 < kills) continue;  // the next child finds what this one left

    Recovery recovery;
    test::open(desk, {}, &recovery).reset();
    drained += recovery.drained;
    gaps += recovery.gaps;
    CHECK(recovery.lost == 0);
    JournalReader reader;
    Query query;
    query.first = next;
    REQUIRE(!JournalReader::open(desk, query, reader));
    for (;;) {
      Event event;
      const Failure failure = reader.next(event);
      REQUIRE_MESSAGE(!failure, failure.what);
      if (event.header == nullptr) break;
      REQUIRE(event.header->seq == next);
      if (event.header->type == Type::gap) {
        std::uint64_t n = 0;
        std::memcpy(&n, event.payload(), sizeof(n));
        next += n;
        continue;
      }
      ++next;
      if (event.header->type == Type::name) continue;
      REQUIRE(event.header->type == Type::custom);
      Mine mine;
      REQUIRE(event.payload_size() >= sizeof(mine));
      std::memcpy(&mine, event.payload(), sizeof(mine));
      REQUIRE(mine.trial < seen.size());
      REQUIRE(mine.thread < n_threads);
      REQUIRE(mine.n == seen[mine.trial][mine.thread]);  // each thread's events in order, none twice, none missing
      ++seen[mine.trial][mine.thread];
      REQUIRE(reader.names(Table::models).name(event.header->model) == "model " + std::to_string(mine.trial));
      if (event.header->time >= 0) {
        REQUIRE(event.payload_size() == length_of(mine));
        for (std::size_t i = sizeof(mine); i < length_of(mine); ++i) REQUIRE(event.payload()[i] == byte_of(mine, i));
      }
      ++events;
    }
    for (std::size_t t = 0; t < acknowledged.size(); ++t)
      for (std::size_t thread = 0; thread < n_threads; ++thread)
        REQUIRE(seen[t][thread] >= acknowledged[t][thread]);
    if (acknowledged.size() >= 25) {
      VerifyReport report;
      REQUIRE(!verify(desk, report));
      REQUIRE(report.whole);
      folder = std::make_unique<test::Folder>();
      acknowledged.clear();
      seen.clear();
      next = 1;
    }
  }
  munmap(memory, 4096);
  MESSAGE(kills << " kills, " << started << " after opening; " << events << " events, " << drained
                << " of them drained from shared memory; " << gaps << " numbers of calls cut short");
  CHECK(events > kills * 10);
  CHECK(drained > 0);
}

#endif
