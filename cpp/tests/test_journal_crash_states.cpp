// Every way in which a power cut could have cut off the writing of a small journal: each opens, has lost nothing that was
// said to be durable, and holds nothing that was not appended.
#include "journal_desk.hpp"
#include "memory_disk.hpp"

#include <random>

using namespace desk;

namespace {

constexpr std::size_t all_up_to = 9;  // so many things that are not sure: all combinations; above: some

// What a run of the writer had said at each moment.
struct Said {
  std::size_t changes;
  Seq appended, durable;
};

// Writes a journal of some segments: batches of 1 to 3 events, some synced, closed and opened again in between.
void write_journal(MemoryDisk& disk, std::vector<Said>& said, std::uint64_t segment_bytes, std::size_t most) {
  SegmentLog log;
  Recovery recovery;
  Seq next = 1;
  const auto note = [&] { said.push_back({disk.changes.size(), next - 1, log.durable()}); };
  for (int opened = 0; opened < 2; ++opened) {
    good(SegmentLog::open("desk", {.segment_bytes = segment_bytes}, log, recovery, disk));
    for (int step = 0; step < 8; ++step) {
      Batch batch;
      const Seq n = 1 + (next + static_cast<Seq>(step)) % 3;
      if (step == 2) {
        // A name is an event like others to the log; its payload is not what `is_right` expects.
        batch.name(next, Table::models, static_cast<std::uint32_t>(opened), "model " + std::to_string(opened));
      } else {
        for (Seq seq = next; seq < next + n; ++seq) batch.add(seq, most);
      }
      // Before the call: what it writes may be there after a cut in the middle of it.
      said.push_back({disk.changes.size(), next - 1 + (step == 2 ? 1 : n), log.durable()});
      good(log.append(batch.span(), 0));
      next += step == 2 ? 1 : n;
      if (step % 3 == 1) good(log.sync());
      note();
    }
    if (opened == 0) good(log.close());
    note();
  }
}

bool event_is_right(const Event& event, std::size_t most) {
  return event.header->type == Type::name || is_right(event, most);
}

// Opens what a cut has left, and goes on. `least`: what must be there; `most_seq`: what may be.
std::string check_state(MemoryDisk& disk, Seq least, Seq most_seq, std::uint64_t segment_bytes, std::size_t most) {
  const auto count = [&](Seq& last) -> std::string {
    JournalReader reader;
    if (Failure failure = JournalReader::open("desk", {}, reader, disk)) {
      last = 0;
      return failure.status == Status::not_a_journal ? "" : failure.what;
    }
    last = 0;
    for (;;) {
      Event event;
      if (Failure failure = reader.next(event)) return failure.what;
      if (event.header == nullptr) return "";
      if (event.header->seq != last + 1 || !event_is_right(event, most)) return "a wrong event";
      ++last;
    }
  };
  Seq before = 0;
  if (const std::string wrong = count(before); !wrong.empty()) return "reading: " + wrong;
  if (before < least) return "a reader finds " + std::to_string(before) + " of " + std::to_string(least);
  SegmentLog log;
  Recovery recovery;
  if (Failure failure = SegmentLog::open("desk", {.segment_bytes = segment_bytes}, log, recovery, disk)) return failure.what;
  if (log.written() < least) return "lost: " + std::to_string(log.written()) + " of " + std::to_string(least);
  if (log.written() > most_seq) return "invented";
  if (log.written() != before) return "the writer and a reader differ";
  Batch batch = events(log.written() + 1, log.written() + 2, most);
  if (Failure failure = log.append(batch.span(), 0)) return "going on: " + failure.what;
  const Seq now = log.written();
  if (Failure failure = log.close()) return "closing: " + failure.what;
  Seq after = 0;
  if (const std::string wrong = count(after); !wrong.empty()) return "reading after: " + wrong;
  if (after != now) return "what was written after is not read";
  VerifyReport report;
  if (Failure failure = verify("desk", report, disk)) return failure.what;
  for (const SegmentReport& segment : report.segments) {
    if (!segment.problem.empty()) return "verify: " + segment.file + ": " + segment.problem;
  }
  return "";
}

// The states after the first n changes, some of them where there are too many.
template <class Visit>
void states(const MemoryDisk& disk, std::size_t n, std::size_t some, std::mt19937_64& random, Visit&& visit) {
  const auto units = disk.unsure(n);
  const std::size_t names = disk.unsure_names(n);
  for (std::size_t k = 0; k <= names; ++k) {
    if (units.size() <= all_up_to) {
      for (std::uint64_t bits = 0; bits < std::uint64_t{1} << units.size(); ++bits) {
        std::vector<bool> kept(units.size());
        for (std::size_t u = 0; u < units.size(); ++u) kept[u] = (bits >> u & 1) != 0;
        visit(units, kept, k);
      }
      continue;
    }
    // None, all, all but one, one alone, then any.
    visit(units, std::vector<bool>(units.size(), false), k);
    visit(units, std::vector<bool>(units.size(), true), k);
    for (std::size_t u = 0; u < units.size(); ++u) {
      std::vector<bool> kept(units.size(), true);
      kept[u] = false;
      visit(units, kept, k);
      kept.flip();
      visit(units, kept, k);
    }
    for (std::size_t i = 0; i < some; ++i) {
      std::vector<bool> kept(units.size());
      const std::uint64_t odds = 1 + random() % 7;  // of 8
      for (std::size_t u = 0; u < units.size(); ++u) kept[u] = random() % 8 < odds;
      visit(units, kept, k);
    }
  }
}

std::uint64_t check_all(const MemoryDisk& disk, const std::vector<Said>& said, std::uint64_t segment_bytes, std::size_t most,
                        std::size_t some) {
  std::mt19937_64 random(1);
  std::uint64_t count = 0, wrong = 0;
  for (std::size_t n = 0; n <= disk.changes.size(); ++n) {
    Seq least = 0, may = 0;
    for (const Said& s : said) {
      if (s.changes <= n) {
        least = std::max(least, s.durable);
        may = std::max(may, s.appended);
      }
    }
    states(disk, n, some, random, [&](const auto& units, const std::vector<bool>& kept, std::size_t names) {
      MemoryDisk left;
      disk.after_cut(n, units, kept, names, left);
      const std::string what = check_state(left, least, may, segment_bytes, most);
      ++count;
      if (!what.empty() && ++wrong <= 5) {
        std::string bits;
        for (const bool k : kept) bits += k ? '1' : '0';
        FAIL_CHECK("after change " << n << ", kept " << bits << ", names " << names << ": " << what);
      }
    });
  }
  CHECK(wrong == 0);
  return count;
}

}  // namespace

TEST_CASE("crash states: a power cut at any moment loses nothing durable and invents nothing") {
  std::uint64_t count = 0;
  for (const auto& [segment_bytes, most] : {std::pair<std::uint64_t, std::size_t>{600, 60}, {2'000, 60}, {1 << 15, 900}}) {
    CAPTURE(segment_bytes);
    MemoryDisk disk;
    std::vector<Said> said;
    write_journal(disk, said, segment_bytes, most);
    count += check_all(disk, said, segment_bytes, most, 40);
  }
  MESSAGE("crash states checked: " << count);
  CHECK(count > 10'000);
}

TEST_CASE("crash states: the same while a sync fails, each of them once") {
  std::uint64_t count = 0;
  for (int which = 0;; ++which) {
    MemoryDisk disk;
    std::vector<Said> said;
    int syncs = 0;
    bool hit = false;
    disk.fail = [&](const char* call) {
      if (std::strcmp(call, "sync") != 0 || syncs++ != which) return 0;
      hit = true;
      return -EIO;
    };
    // Those while a segment is made, or a journal opened, are told to the caller: here only those in between.
    SegmentLog log;
    Recovery recovery;
    if (SegmentLog::open("desk", {.segment_bytes = 900}, log, recovery, disk)) continue;
    for (Seq seq = 1; seq <= 24; seq += 2) {
      Batch batch = events(seq, seq + 1, 60);
      said.push_back({disk.changes.size(), seq + 1, log.durable()});
      Failure failure = log.append(batch.span(), 0);
      if (failure) failure = log.append(batch.span(), 0);  // again, as the header says
      good(failure);
      if (seq % 4 == 1) good(log.sync());
      said.push_back({disk.changes.size(), seq + 1, log.durable()});
    }
    good(log.sync());
    said.push_back({disk.changes.size(), 24, log.durable()});
    CHECK(log.durable() == 24);
    if (!hit) break;
    count += check_all(disk, said, 900, 60, 10);
  }
  MESSAGE("crash states checked: " << count);
  CHECK(count > 10'000);
}
