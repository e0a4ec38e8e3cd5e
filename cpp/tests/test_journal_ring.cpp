// The ring against a model, with several producers, with holes, over the ends of its numbers, and damaged at random.
#include <doctest/doctest.h>

#if defined(__unix__) || defined(__APPLE__)

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <deque>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "fairlead/journal/ring.hpp"
#include "live_journal.hpp"

using namespace fairlead;
using namespace fairlead::journal;

namespace {

constexpr std::array<std::uint8_t, 16> journal_id{1, 2, 3};

std::byte fill_of(Seq seq) { return static_cast<std::byte>(seq * 37 + 11); }

// A record whose payload is known from its number.
void write(const Ring::Slot& slot, std::uint32_t length) {
  RecordHeader header;
  header.type = Type::note;
  header.seq = slot.seq;
  header.time = static_cast<Time>(slot.seq * 10);
  std::memcpy(slot.at + 8, reinterpret_cast<const std::byte*>(&header) + 8, sizeof(header) - 8);
  std::memset(slot.at + sizeof(header), static_cast<int>(fill_of(slot.seq)), length - sizeof(header));
}

bool whole(const std::byte* at, std::uint32_t length, Seq seq) {
  RecordHeader header;
  std::memcpy(&header, at, sizeof(header));
  if (header.seq != seq || header.time != static_cast<Time>(seq * 10)) return false;
  for (std::size_t i = sizeof(header); i < length; ++i)
    if (at[i] != fill_of(seq)) return false;
  return true;
}

Ring make(const std::string& path, std::size_t bytes = 4096, Seq first = 1) {
  Ring ring;
  const Failure failure = Ring::create(path, journal_id, bytes, first, true, ring);
  REQUIRE_MESSAGE(!failure, failure.what);
  return ring;
}

}  // namespace

TEST_CASE("journal ring: a queue of records of any length; a full ring claims nothing") {
  const test::Folder folder;
  Ring ring = make(folder / "ring");
  std::mt19937_64 random(3);
  std::deque<std::uint32_t> lengths;  // committed and not freed
  std::uint64_t units = 0;
  Seq next = 1;
  Ring::Position head = ring.head();
  CHECK(head == Ring::Position{0, 1});
  int full = 0;
  for (int step = 0; step < 200'000; ++step) {
    if (random() % 2 == 0) {
      const auto length = static_cast<std::uint32_t>(40 + random() % 1200);
      Ring::Slot slot;
      const Status status = ring.claim(length, slot);
      if (units + Ring::units_of(length) > 64) {
        REQUIRE(status == Status::journal_full);
        ++full;
        continue;
      }
      REQUIRE(status == Status::ok);
      REQUIRE(slot.seq == next);
      write(slot, length);
      REQUIRE(ring.committed(ring.end().place - Ring::units_of(length)) == 0);
      Ring::commit(slot);
      lengths.push_back(length);
      units += Ring::units_of(length);
      ++next;
    } else if (!lengths.empty()) {
      REQUIRE(ring.committed(head.place) == lengths.front());
      REQUIRE(whole(ring.at(head.place), lengths.front(), head.seq));
      units -= Ring::units_of(lengths.front());
      head = {head.place + Ring::units_of(lengths.front()), head.seq + 1};
      lengths.pop_front();
      ring.free(head);
      REQUIRE(ring.used() == units * Ring::unit);
    }
    REQUIRE(ring.head().seq == head.seq);
    REQUIRE(ring.end().seq == next);
  }
  CHECK(full > 1000);
  Ring::Slot slot;
  CHECK(ring.claim(2049, slot) == Status::too_long);  // more than half of it
}

TEST_CASE("journal ring: what is left of an old commit word beside a payload's end is not a commit word") {
  const test::Folder folder;
  Ring ring = make(folder / "ring");
  const auto add = [&](std::uint32_t length) {
    Ring::Slot slot;
    REQUIRE(ring.claim(length, slot) == Status::ok);
    write(slot, length);
    return slot;
  };
  const auto add_up_to = [&](std::uint64_t place) {
    while (ring.end().place < place) {
      Ring::commit(add(64));
      ring.free(ring.end());
    }
  };
  // How many bytes of the old word the payload covers: four reach into the place, five in a ring of up to 65,536 units.
  for (std::uint32_t covered = 4; covered < 8; ++covered) {
    const std::uint64_t place = (ring.end().place / 256 + 1) * 256 + 10, later = place + 2 * 64;
    add_up_to(later - 65);
    const Ring::Slot slot = add(64 + covered);  // over what is left of `place`
    const std::uint64_t word = ((later << Ring::length_bits) | 999) ^ ring.control().key;
    std::memcpy(slot.at + 64, &word, covered);
    Ring::commit(slot);
    ring.free(ring.end());
    add_up_to(later);
    CHECK(ring.committed(later) == 0);
  }
}

TEST_CASE("journal ring: several producers take numbers that are dense, in the order of their places") {
  const test::Folder folder;
  Ring ring = make(folder / "ring", 1 << 14);
  constexpr int producers = 3;
  constexpr Seq each = 30'000;
  std::vector<std::thread> threads;
  for (int t = 0; t < producers; ++t) {
    threads.emplace_back([&ring, t] {
      std::mt19937_64 random(static_cast<std::uint64_t>(t));
      for (Seq i = 0; i < each;) {
        const auto length = static_cast<std::uint32_t>(40 + random() % 300);
        Ring::Slot slot;
        if (ring.claim(length, slot) != Status::ok) {
          std::this_thread::yield();
          continue;
        }
        write(slot, length);
        Ring::commit(slot);
        ++i;
      }
    });
  }
  Ring::Position at = ring.head();
  bool good = true;
  while (at.seq <= producers * each && good) {
    const std::uint32_t length = ring.committed(at.place);
    if (length == 0) {
      std::this_thread::yield();
      continue;
    }
    good = whole(ring.at(at.place), length, at.seq);
    at = {at.place + Ring::units_of(length), at.seq + 1};
    if (at.seq % 7 == 0) ring.free(at);
  }
  ring.free(at);
  for (std::thread& thread : threads) thread.join();
  CHECK(good);
  CHECK(ring.used() == 0);
  CHECK(ring.end().seq == producers * each + 1);
}

TEST_CASE("journal ring: numbers and places run over their bits") {
  const test::Folder folder;
  // Numbers: over 2^24, and over the point where the base moves.
  Ring ring = make(folder / "ring", 4096, (Seq{1} << 24) * 5 - 3);
  Ring::Position at = ring.head();
  bool good = true;
  Ring::Slot slot;
  for (int i = 0; i < 4'300'000 && good; ++i) {
    good = ring.claim(40, slot) == Status::ok && slot.seq == at.seq;
    Ring::commit(slot);
    at = {at.place + 1, at.seq + 1};
    ring.free(at);
  }
  CHECK(good);
  CHECK(ring.control().base.load() > (Seq{1} << 24) * 5 - 3);
  CHECK(ring.head().seq == at.seq);
  // Places: over 2^39.
  const std::uint64_t near = (ring.control().claim.load() & ~Ring::place_mask) | (Ring::place_mask - 5);
  for (auto* word : {&ring.control().claim, &ring.control().seen, &ring.control().head}) word->store(near);
  at.place = Ring::place_mask - 5;
  for (int i = 0; i < 300; ++i) {
    REQUIRE(ring.claim(150, slot) == Status::ok);
    REQUIRE(slot.seq == at.seq);
    write(slot, 150);
    Ring::commit(slot);
    REQUIRE(ring.committed(at.place) == 150);
    REQUIRE(whole(ring.at(at.place), 150, at.seq));
    at = {at.place + 3, at.seq + 1};
    if (i % 5 == 4) ring.free(at);
  }
  CHECK(ring.used() == 0);
}

TEST_CASE("journal ring: a closed ring takes nothing, but what was claimed may be committed") {
  const test::Folder folder;
  Ring ring = make(folder / "ring");
  Ring::Slot early, late;
  REQUIRE(ring.claim(100, early) == Status::ok);
  const Ring::Position end = ring.close();
  CHECK(end == Ring::Position{2, 2});
  CHECK(ring.close() == end);
  CHECK(ring.claim(40, late) == Status::journal_closed);
  CHECK(ring.committed(0) == 0);
  write(early, 100);
  Ring::commit(early);
  CHECK(ring.committed(0) == 100);
  CHECK(ring.end() == end);
}

TEST_CASE("journal ring: the next process finds what was committed, and steps over holes") {
  const test::Folder folder;
  const std::string path = folder / "ring";
  std::mt19937_64 random(5);
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::pair<Seq, std::uint32_t>> kept;
    Seq first = 0;
    {
      Ring ring = make(path, 4096, 1000);
      // Some laps first, so that the ring is full of old records; they also hold bytes that look like headers.
      const std::uint64_t old = random() % 300;
      Ring::Position at = ring.head();
      Ring::Slot slot;
      for (std::uint64_t i = 0; i < old; ++i) {
        const auto length = static_cast<std::uint32_t>(40 + random() % 200);
        REQUIRE(ring.claim(length, slot) == Status::ok);
        write(slot, length);
        Ring::commit(slot);
        at = {at.place + Ring::units_of(length), at.seq + 1};
        ring.free(at);
      }
      first = at.seq;
      while (true) {
        const auto length = static_cast<std::uint32_t>(40 + random() % 200);
        if (ring.claim(length, slot) != Status::ok) break;
        if (random() % 4 == 0) continue;  // died here
        write(slot, length);
        if (random() % 4 == 0) continue;  // or here
        Ring::commit(slot);
        kept.emplace_back(slot.seq, length);
      }
      if (random() % 2 == 0) (void)ring.close();
    }
    Ring again;
    bool found = false;
    const Failure failure = Ring::open(path, journal_id, again, found);
    REQUIRE_MESSAGE(!failure, failure.what);
    REQUIRE(found);
    Ring::Position at = again.head();
    CHECK(at.seq == first);
    for (const auto& [seq, length] : kept) {
      REQUIRE(again.walk(at) == length);
      REQUIRE(at.seq == seq);
      REQUIRE(whole(again.at(at.place), length, seq));
      at = {at.place + Ring::units_of(length), at.seq + 1};
    }
    REQUIRE(again.walk(at) == 0);
  }
}

TEST_CASE("journal ring: a file that is no ring of this journal is refused, and never trusted") {
  const test::Folder folder;
  const std::string path = folder / "ring";
  bool found = true;
  Ring ring;
  CHECK(!Ring::open(path, journal_id, ring, found));
  CHECK(!found);
  {
    Ring made = make(path);
    Ring::Slot slot;
    for (int i = 0; i < 20; ++i) {
      REQUIRE(made.claim(100, slot) == Status::ok);
      write(slot, 100);
      Ring::commit(slot);
    }
  }
  CHECK(Ring::open(path, {9}, ring, found).status == Status::journal_damaged);
  struct stat about = {};
  REQUIRE(stat(path.c_str(), &about) == 0);
  CHECK((about.st_mode & 0777) == 0600);
  CHECK(about.st_size == 4096 + 4096);
  CHECK(symlink(path.c_str(), (folder / "link").c_str()) == 0);
  CHECK(Ring::open(folder / "link", journal_id, ring, found).status == Status::system_refused);
  CHECK(Ring::create(folder / "x", journal_id, 5000, 1, false, ring).status == Status::out_of_range);
  CHECK(Ring::create(folder / "no/where", journal_id, 4096, 1, false, ring).os == ENOENT);

  const std::string good = test::bytes_of(path);
  const auto opened = [&](const std::string& bytes) {
    test::put_bytes(path, bytes);
    return Ring::open(path, journal_id, ring, found).status;
  };
  for (const std::size_t size : {0u, 10u, 200u, 4095u, 4096u, 5000u, 8191u}) {
    CHECK(opened(good.substr(0, size)) == Status::journal_damaged);
  }
  CHECK(opened(good + std::string(4096, '\0')) == Status::journal_damaged);
  CHECK(opened(std::string(8192, '\0')) == Status::journal_damaged);
  std::string other = good;
  other[8] = 2;
  CHECK(opened(other) == Status::unknown_format);
  CHECK(opened(good) == Status::ok);
  CHECK(found);

  // Any byte, anything: a refusal, or records of a possible length inside the ring, in order, and an end.
  std::mt19937_64 random(11);
  int refusals = 0;
  for (int trial = 0; trial < 3000; ++trial) {
    std::string bytes = good;
    const int changes = 1 + static_cast<int>(random() % 4);
    for (int c = 0; c < changes; ++c) {
      const bool control = random() % 2 == 0;  // half of it where the control words are
      const std::size_t at = control ? random() % 640 : random() % bytes.size();
      bytes[at] = static_cast<char>(random());
    }
    if (opened(bytes) != Status::ok) {
      ++refusals;
      continue;
    }
    if (!found) continue;
    Ring::Position at = ring.head();
    Seq before = 0;
    int records = 0;
    while (const std::uint32_t length = ring.walk(at)) {
      REQUIRE(length >= sizeof(RecordHeader));
      REQUIRE(Ring::units_of(length) <= 64);
      REQUIRE(at.seq > before);
      before = at.seq;
      REQUIRE(++records <= 64);
      at = {at.place + Ring::units_of(length), at.seq + 1};
    }
  }
  CHECK(refusals > 100);
}

#endif
