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
