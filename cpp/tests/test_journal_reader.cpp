// Reading: what is asked for, through the index or not, at the live end, in another process.
#include "journal_desk.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>

using namespace desk;

namespace {

// Events of a few models and categories, in stretches, so that blocks differ; `n` of them, besides the names.
void make(const Folder& folder, Seq n, std::uint64_t segment_bytes, bool close) {
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {.segment_bytes = segment_bytes}, log, recovery));
  std::int32_t named = 0;
  for (Seq i = 0; i < n;) {
    Batch batch;
    Seq seq = log.written() + 1;
    if (i % 2'000 == 0) {
      const std::string name = "model " + std::to_string(named);
      batch.name(seq++, Table::models, static_cast<std::uint32_t>(named), name);
      batch.name(seq++, Table::categories, static_cast<std::uint32_t>(named++), "category " + name);
    }
    for (int k = 0; k < 100; ++k, ++i, ++seq) {
      batch.add(i % 1'000 < 3 ? Type::note : Type::forecast, seq, static_cast<Time>(i), named - 1, (named - 1) / 2,
                payload_of(seq, 100));
    }
    good(log.append(batch.span(), 0));
  }
  if (close) good(log.close());
}

struct Row {
  Seq seq;
  Time time;
  Type type;
  std::int32_t model, category;
};
bool operator==(const Row& a, const Row& b) { return a.seq == b.seq && a.time == b.time && a.type == b.type; }

std::vector<Row> read(const Folder& folder, const Query& query, JournalReader& reader) {
  std::vector<Row> rows;
  good(JournalReader::open(folder.str(), query, reader));
  for (;;) {
    Event event;
    good(reader.next(event));
    if (event.header == nullptr) return rows;
    const RecordHeader& header = *event.header;
    rows.push_back({header.seq, header.time, header.type, header.model, header.category});
  }
}

}  // namespace

TEST_CASE("reader: a query gives what a filter over all gives, with the index and without") {
  for (const bool indexed : {true, false}) {
    CAPTURE(indexed);
    const Folder folder;
    make(folder, 20'000, 600'000, true);
    if (!indexed) {
      for (const auto& entry : fs::directory_iterator(folder.path / "segments")) {
        if (entry.path().extension() == ".idx") spew(entry.path().string(), "no index");
      }
    }
    JournalReader reader;
    const std::vector<Row> all = read(folder, {}, reader);
    REQUIRE(all.size() == 20'020);
    const NameTable& models = reader.names(Table::models);
    REQUIRE(models.size() == 10);
    std::vector<Query> queries(9);
    queries[0].first = 12'345;
    queries[1].last = 777;
    queries[2].start = 5'000;
    queries[2].end = 5'100;
    queries[3].models = {"model 3"};
    queries[4].types = {Type::note};
    queries[5].categories = {"category model 1", "category model 4"};
    queries[5].types = {Type::note, Type::name};
    queries[6].models = {"model 9", "no such model"};
    queries[6].first = 100;
    queries[6].last = 19'000;
    queries[7].models = {"no such model"};
    queries[8].first = 25'000;
    for (std::size_t q = 0; q < queries.size(); ++q) {
      CAPTURE(q);
      const Query& query = queries[q];
      std::vector<Row> expected;
      for (const Row& row : all) {
        const auto has = [](const std::vector<std::string>& wanted, const std::string& name, std::int32_t id) {
          return wanted.empty() || (id >= 0 && std::find(wanted.begin(), wanted.end(), name) != wanted.end());
        };
        if (row.seq >= query.first && row.seq <= query.last && row.time >= query.start && row.time < query.end &&
            (query.types.empty() || std::find(query.types.begin(), query.types.end(), row.type) != query.types.end()) &&
            has(query.models, "model " + std::to_string(row.model), row.model) &&
            has(query.categories, "category model " + std::to_string(row.category), row.category)) {
          expected.push_back(row);
        }
      }
      JournalReader some;
      CHECK(read(folder, query, some) == expected);
    }
    // Names are known although the blocks of most events were passed over.
    Query last_only;
    last_only.start = 19'999;
    (void)read(folder, last_only, reader);
    CHECK(reader.names(Table::models).size() == 10);
    CHECK(reader.position() == 20'020);
  }
}

TEST_CASE("reader: blocks that the index rules out are not read") {
  const Folder folder;
  make(folder, 20'000, 64 << 20, true);
  class Counting : public Disk {
   public:
    std::uint64_t bytes = 0;
    std::int64_t read(int file, void* to, std::size_t n, std::uint64_t offset) noexcept override {
      const std::int64_t got = Disk::read(file, to, n, offset);
      if (got > 0) bytes += static_cast<std::uint64_t>(got);
      return got;
    }
  } disk;
  Query query;
  query.models = {"model 3"};
  JournalReader reader;
  good(JournalReader::open(folder.str(), query, reader, disk));
  Event event;
  std::uint64_t found = 0;
  do {
    good(reader.next(event));
    found += event.header != nullptr ? 1 : 0;
  } while (event.header != nullptr);
  CHECK(found == 2'000);
  CHECK(disk.bytes > 0);
  CHECK(disk.bytes < fs::file_size(folder.segment(1)));
}

TEST_CASE("reader: an index that is damaged, or of another segment, is not believed") {
  const Folder folder;
  make(folder, 4'000, 64 << 20, true);
  const std::string whole = slurp(folder.segment(1, ".idx"));
  Query query;
  query.models = {"model 1"};
  JournalReader reader;
  const auto expected = read(folder, query, reader);
  CHECK(expected.size() == 2'000);
  for (std::size_t byte = 0; byte < whole.size(); byte += 7) {
    std::string bad = whole;
    bad[byte] = static_cast<char>(bad[byte] ^ 16);
    spew(folder.segment(1, ".idx"), bad);
    if (read(folder, query, reader) != expected) FAIL_CHECK("byte " << byte);
  }
  const Folder other;
  make(other, 4'000, 64 << 20, true);
  spew(folder.segment(1, ".idx"), slurp(other.segment(1, ".idx")));
  CHECK(read(folder, query, reader) == expected);
}

TEST_CASE("reader: runs hold all records, for replay") {
  const Folder folder;
  make(folder, 5'000, 200'000, false);
  JournalReader reader;
  good(JournalReader::open(folder.str(), {}, reader));
  Seq next = 1;
  for (;;) {
    std::span<const std::byte> run;
    good(reader.run(run));
    if (run.empty()) break;
    for (const Event event : Events(run)) REQUIRE(event.header->seq == next++);
  }
  CHECK(next == 5'007);
  CHECK(reader.position() == 5'006);
}

TEST_CASE("reader: follows a writer in another process through segments that roll") {
  const Folder folder;
  constexpr Seq last = 3'000;
  {
    SegmentLog log;  // so that there is a journal to follow
    Recovery recovery;
    good(SegmentLog::open(folder.str(), {}, log, recovery));
  }
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    SegmentLog log;
    Recovery recovery;
    bool bad = static_cast<bool>(SegmentLog::open(folder.str(), {.segment_bytes = 20'000}, log, recovery));
    for (Seq seq = 1; seq < last && !bad; seq += 5) {
      Batch batch = events(seq, seq + 4);
      bad = static_cast<bool>(log.append(batch.span(), 0));
    }
    std::_Exit(bad || log.close() ? 1 : 0);
  }
  JournalReader reader;
  good(JournalReader::open(folder.str(), {}, reader));
  Seq next = 1;
  bool right = true, done = false;
  int status = 0;
  while (next <= last && !done) {
    done = ::waitpid(child, &status, WNOHANG) != 0;
    good(read_all(reader, next, right));
  }
  if (!done) ::waitpid(child, &status, 0);
  good(read_all(reader, next, right));
  CHECK(status == 0);
  CHECK(next == last + 1);
  CHECK(right);
}

TEST_CASE("reader: waits at a record that is not whole yet") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  Batch batch = events(1, 4);
  good(log.append(batch.span(), 0));
  const std::string file = folder.segment(1);
  const std::string whole = slurp(file);
  std::size_t two = sizeof(SegmentHeader);
  for (int i = 0; i < 2; ++i) two += padded(reinterpret_cast<const RecordHeader*>(whole.data() + two)->length);
  for (const std::size_t more : {std::size_t{0}, std::size_t{3}, std::size_t{8}, std::size_t{30}, std::size_t{41}}) {
    std::string part = whole.substr(0, two + more);
    part.resize(whole.size());
    spew(file, part);
    JournalReader reader;
    good(JournalReader::open(folder.str(), {}, reader));
    Seq next = 1;
    bool right = true;
    for (int polls = 0; polls < 5; ++polls) good(read_all(reader, next, right));
    CHECK(next == 3);
    spew(file, whole);
    good(read_all(reader, next, right));
    CHECK(next == 5);
    CHECK(right);
  }
}

TEST_CASE("reader: oldest segments that were taken away") {
  const Folder folder;
  make(folder, 4'000, 100'000, true);
  fs::remove(folder.segment(1));
  fs::remove(folder.segment(1, ".idx"));
  JournalReader reader;
  const auto rows = read(folder, {}, reader);
  REQUIRE(!rows.empty());
  CHECK(rows.front().seq > 1);
  CHECK(rows.back().seq == 4'004);
  CHECK(reader.names(Table::models).size() == 2);  // from the names at the start of the next
  VerifyReport report;
  good(verify(folder.str(), report));
  CHECK(report.whole);
}
