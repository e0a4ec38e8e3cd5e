// Checksums, and the walk over records that uses them: every instruction set the same.
#include "journal_desk.hpp"

#include <random>

#include "fairlead/checksum.hpp"
#include "fairlead/simd.hpp"
#include "fairlead/snapshot.hpp"

using namespace desk;

namespace {

std::vector<fairlead::Simd> levels() {
  std::vector<fairlead::Simd> found;
  for (const auto level : {fairlead::Simd::scalar, fairlead::Simd::avx2, fairlead::Simd::avx512}) {
    if (level <= fairlead::simd_best()) found.push_back(level);
  }
  return found;
}

struct Level {
  fairlead::Simd before = fairlead::simd_level();
  explicit Level(fairlead::Simd level) { REQUIRE(fairlead::set_simd_level(level) == Status::ok); }
  ~Level() { (void)fairlead::set_simd_level(before); }
};

}  // namespace

TEST_CASE("checksum: the vectors of RFC 3720, and byte by byte, for every length") {
  std::mt19937_64 random(7);
  std::string bytes(5'000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const auto crc = [](std::string_view text, std::uint32_t before = 0) {
    return fairlead::crc32c(std::as_bytes(std::span(text.data(), text.size())), before);
  };
  std::string ascending(32, '\0');
  for (std::size_t i = 0; i < 32; ++i) ascending[i] = static_cast<char>(i);
  for (const auto level : levels()) {
    CAPTURE(fairlead::name(level));
    const Level set(level);
    CHECK(crc(std::string(32, '\0')) == 0x8a9136aau);
    CHECK(crc(std::string(32, '\xff')) == 0x62a8ab43u);
    CHECK(crc(ascending) == 0x46dd794eu);
    CHECK(crc("123456789") == 0xe3069283u);
    int wrong = 0;
    for (std::size_t n = 0; n < 2'500; n += n < 900 ? 1 : 37) {
      const std::string_view part = std::string_view(bytes).substr(n % 11, n);
      const std::uint32_t before = static_cast<std::uint32_t>(n * 2654435761u);
      wrong += crc(part, before) != fairlead::crc32c(part, before) ? 1 : 0;
      wrong += crc(part.substr(n / 3), crc(part.substr(0, n / 3))) != crc(part) ? 1 : 0;
    }
    CHECK(wrong == 0);
    CHECK(fairlead::simd_ran() == level);
  }
}

TEST_CASE("format: a journal written on one instruction set is read on every other") {
  for (const auto writes : levels()) {
    const Folder folder;
    {
      const Level set(writes);
      SegmentLog log;
      Recovery recovery;
      good(SegmentLog::open(folder.str(), {.segment_bytes = 30'000}, log, recovery));
      for (Seq seq = 1; seq <= 100; seq += 10) {
        Batch batch = events(seq, seq + 9, 4'000);
        good(log.append(batch.span(), 0));
        good(log.sync());
      }
    }
    for (const auto reads : levels()) {
      const Level set(reads);
      JournalReader reader;
      good(JournalReader::open(folder.str(), {}, reader));
      Seq next = 1;
      bool right = true;
      good(read_all(reader, next, right, 4'000));
      CHECK(next == 101);
      CHECK(right);
    }
  }
}

TEST_CASE("format: the bytes of a small journal are what format.hpp says") {
  const Folder folder;
  SegmentLog log;
  Recovery recovery;
  good(SegmentLog::open(folder.str(), {}, log, recovery));
  Batch batch;
  batch.add(Type::note, 1, 77, -1, 5, "{}");
  good(log.append(batch.span(), 0));
  good(log.sync());
  batch = Batch();
  batch.add(Type::custom, 2, -1, -1, -1, "12345678");
  good(log.append(batch.span(), 0));
  good(log.close());
  const std::string bytes = slurp(folder.segment(1));
  REQUIRE(bytes.size() == 64 + 48 + 48 + 48 + 56);
  CHECK(bytes.substr(0, 8) == "\x1a" "FLGMENT");
  const auto record = [&](std::size_t at) {
    RecordHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    const std::string_view covered = std::string_view(bytes).substr(at + 4, header.length - 4);
    CHECK(header.crc == fairlead::crc32c(covered));
    return header;
  };
  const RecordHeader note = record(64), mark = record(112), custom = record(160), seal = record(208);
  CHECK(note.prev == 0);
  CHECK(note.length == 42);
  CHECK(bytes.substr(64 + 40, 8) == std::string("{}\0\0\0\0\0\0", 8));
  CHECK(mark.type == Type::mark);
  CHECK(mark.flags == flag_own);
  CHECK(mark.seq == 2);
  CHECK(mark.prev == note.crc);
  CHECK(bytes[112 + 40] == 1);
  CHECK(custom.prev == mark.crc);
  CHECK(custom.seq == 2);
  CHECK(seal.type == Type::seal);
  CHECK(seal.seq == 3);
  CHECK(bytes[208 + 40] == 2);
  CHECK(bytes[208 + 48] == 3);
}
