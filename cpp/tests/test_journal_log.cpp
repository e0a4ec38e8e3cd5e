// Writing a journal's segments: what comes back, and when they roll.
#include "journal_desk.hpp"

using namespace desk;

TEST_CASE("log: events come back as they were, through segments") {
  for (const std::uint64_t segment_bytes : {std::uint64_t{0}, std::uint64_t{1000}, std::uint64_t{4096}, std::uint64_t{64} << 20}) {
    CAPTURE(segment_bytes);
    const Folder folder;
    Recovery recovery;
    SegmentLog log;
    good(SegmentLog::open(folder.str(), {.segment_bytes = segment_bytes}, log, recovery));
    CHECK(log.written() == 0);
    CHECK(log.durable() == 0);
    for (Seq seq = 1; seq < 400; seq += 10) {
      Batch batch = events(seq, seq + 9);
      good(log.append(batch.span(), 0));
      CHECK(log.written() == seq + 9);
      if (seq % 3 == 0) {
        good(log.sync());
        CHECK(log.durable() == seq + 9);
      }
    }
    JournalReader live;
    good(JournalReader::open(folder.str(), {}, live));
    Seq next = 1;
    bool right = true;
    good(read_all(live, next, right));
    CHECK(next == 401);
    const std::array<std::uint8_t, 16> id = log.id();
    CHECK(live.id() == id);
    good(log.close());
    CHECK(log.append(Batch().span(), 0).status == Status::journal_closed);

    good(SegmentLog::open(folder.str(), {.segment_bytes = segment_bytes}, log, recovery));
    CHECK(log.id() == id);
    CHECK(log.written() == 400);
    CHECK(log.durable() == 400);
    CHECK(recovery.cut_bytes == 0);
    Batch more = events(401, 500);
    good(log.append(more.span(), 0));
    good(read_all(live, next, right));  // the same reader goes on
    CHECK(next == 501);
    CHECK(right);
    good(log.close());
    VerifyReport report;
    good(verify(folder.str(), report));
    CHECK(report.whole);
    CHECK(report.events == 500);
  }
}

TEST_CASE("log: what is no batch of whole records with the next numbers is refused, and changes nothing") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  Batch ten = events(1, 10);
  good(log.append(ten.span(), 0));
  const auto bad = [&](Batch batch) {
    CHECK(log.append(batch.span(), 0).status == Status::bad_event);
    CHECK(log.written() == 10);
  };
  bad(events(12, 13));
  Batch batch = events(11, 12);
  batch.add(14);
  bad(batch);
  batch = Batch();
  batch.add(Type::mark, 11, 0, -1, -1, "12345678");
  bad(batch);
  batch = Batch();
  batch.add(static_cast<Type>(0), 11, 0, -1, -1, "");
  bad(batch);
  batch = Batch();
  batch.gap(11, 0);
  bad(batch);
  batch = Batch();
  batch.gap(11, ~Seq{0});
  bad(batch);
  batch = Batch();
  batch.name(11, Table::models, 1, "no name has number 0");
  bad(batch);
  batch = events(11, 12);
  CHECK(log.append(batch.span().first(batch.span().size() - 8), 0).status == Status::bad_event);
  batch = Batch();
  batch.add(Type::note, 11, 0, -1, -1, std::string(max_payload + 1, 'x'));
  bad(batch);
  CHECK(log.names(Table::models).size() == 0);

  batch = events(9, 12);  // given again, with what is written already
  good(log.append(batch.span(), 0));
  CHECK(log.written() == 12);
  batch = events(9, 12);
  good(log.append(batch.span(), 0));
  CHECK(log.written() == 12);
  JournalReader reader;
  good(JournalReader::open(folder.str(), {}, reader));
  Seq next = 1;
  bool right = true;
  good(read_all(reader, next, right));
  CHECK(next == 13);
  CHECK(right);
}

TEST_CASE("log: numbers that a gap takes up are passed over") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  for (const Seq first : {Seq{1}, Seq{12}}) {
    good(SegmentLog::open(folder.str(), {.segment_bytes = 300}, log, recovery));
    Batch batch = events(first, first + 1);
    batch.gap(first + 2, 7);
    batch.add(first + 9);
    batch.add(first + 10);
    good(log.append(batch.span(), 0));
    CHECK(log.written() == first + 10);
    good(log.close());
  }
  JournalReader reader;
  good(JournalReader::open(folder.str(), {}, reader));
  std::vector<Seq> found;
  for (Event event;;) {
    good(reader.next(event));
    if (event.header == nullptr) break;
    found.push_back(event.header->seq);
  }
  CHECK(found == std::vector<Seq>{1, 2, 3, 10, 11, 12, 13, 14, 21, 22});
  CHECK(reader.position() == 22);
}

TEST_CASE("log: names are known again after opening, in whatever segment they were given") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  for (int opened = 0; opened < 4; ++opened) {
    good(SegmentLog::open(folder.str(), {.segment_bytes = 500}, log, recovery));
    CHECK(log.names(Table::models).size() == 3 * opened);
    for (int i = 0; i < 3; ++i) {
      const Seq seq = log.written() + 1;
      const auto id = static_cast<std::uint32_t>(log.names(Table::models).size());
      Batch batch;
      batch.name(seq, Table::models, id, "model " + std::to_string(id));
      batch.add(Type::note, seq + 1, 0, static_cast<std::int32_t>(id), -1, std::string(100, 'x'));
      good(log.append(batch.span(), 0));
    }
    if (opened % 2 == 0) good(log.close());
  }
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  for (int id = 0; id < 12; ++id) CHECK(log.names(Table::models).find("model " + std::to_string(id)) == id);
  JournalReader reader;
  Query query;
  query.models = {"model 7"};
  good(JournalReader::open(folder.str(), query, reader));
  Event event;
  good(reader.next(event));
  REQUIRE(event.header != nullptr);
  CHECK(event.header->seq == 16);
}

TEST_CASE("log: more names than one record holds") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  Batch batch;
  constexpr std::uint32_t n = 3'000;
  for (std::uint32_t id = 0; id < n; ++id) batch.name(id + 1, Table::categories, id, std::string(500, 'c') + std::to_string(id));
  good(log.append(batch.span(), 0));
  good(log.close());
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  batch = events(n + 1, n + 2);
  good(log.append(batch.span(), 0));
  log = SegmentLog();
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  CHECK(log.names(Table::categories).size() == static_cast<std::int32_t>(n));
  VerifyReport report;
  good(verify(folder.str(), report));
  CHECK(report.whole);
  CHECK(report.segments.size() == 2);
}

namespace {

std::size_t segments_in(const Folder& folder) {
  std::size_t n = 0;
  for (const auto& entry : fs::directory_iterator(folder.path / "segments")) n += entry.path().extension() == ".seg" ? 1u : 0u;
  return n;
}

}  // namespace

TEST_CASE("log: segments roll by age, whatever the clock does") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  const auto add = [&](Time now) {
    Batch batch = events(log.written() + 1, log.written() + 1);
    good(log.append(batch.span(), now));
    return segments_in(folder);
  };
  good(SegmentLog::open(folder.str(), {.segment_age = 1000}, log, recovery));
  CHECK(add(5'000) == 1);  // the first is made when the journal is opened, at a time that is not known
  CHECK(add(6'100) == 2);
  CHECK(add(7'000) == 2);
  CHECK(add(7'100) == 3);
  CHECK(add(-50'000) == 3);  // set back: the age counts from here
  CHECK(add(-49'001) == 3);
  CHECK(add(-49'000) == 4);
  CHECK(add(9'000'000'000) == 5);
  good(log.close());
  VerifyReport report;
  good(verify(folder.str(), report));
  CHECK(report.whole);
}

TEST_CASE("log: segments roll by size; sealed ones are cut to what they hold and not writable") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {.segment_bytes = 2'000}, log, recovery));
  for (Seq seq = 1; seq <= 200; ++seq) {
    Batch batch = events(seq, seq);
    good(log.append(batch.span(), 0));
  }
  VerifyReport report;
  good(verify(folder.str(), report));
  REQUIRE(report.segments.size() > 8);
  for (std::size_t i = 0; i + 1 < report.segments.size(); ++i) {
    const SegmentReport& segment = report.segments[i];
    CHECK(segment.sealed);
    CHECK(segment.bytes <= 2'000);
    CHECK(segment.bytes > 1'700);
    CHECK(fs::file_size(segment.file) == segment.bytes);
    CHECK((fs::status(segment.file).permissions() & fs::perms::owner_write) == fs::perms::none);
    CHECK(segment.last + 1 == report.segments[i + 1].first);
    CHECK(segment.earliest == time_of(segment.first));
  }
  // A record that is longer than a segment has one for itself.
  Batch batch;
  batch.add(Type::custom, 201, 0, -1, -1, std::string(5'000, 'x'));
  batch.add(202);
  good(log.append(batch.span(), 0));
  good(log.close());
  good(verify(folder.str(), report));
  CHECK(report.whole);
  CHECK(report.events == 202);
}

TEST_CASE("log: opening and closing without writing leaves no more files, and is as before") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  for (int i = 0; i < 3; ++i) {
    good(SegmentLog::open(folder.str(), {}, log, recovery));
    good(log.close());
    CHECK(segments_in(folder) == 1);
    CHECK(fs::file_size(folder.segment(1)) == sizeof(SegmentHeader));
  }
  for (int i = 0; i < 3; ++i) {
    good(SegmentLog::open(folder.str(), {}, log, recovery));
    Batch batch = events(log.written() + 1, log.written() + 1);
    if (i == 0) good(log.append(batch.span(), 0));
    good(log.close());
    CHECK(segments_in(folder) == 1);
  }
  CHECK(log.append({}, 0).status == Status::journal_closed);
}
