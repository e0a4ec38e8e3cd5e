#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

#include "fairlead/snapshot.hpp"

using namespace fairlead;

namespace {

std::string written() {
  SnapshotWriter writer("test", 3);
  writer.put(1.5);
  writer.put(std::vector<std::int32_t>{1, -2, 3});
  NameTable names;
  names.intern("a");
  names.intern("");
  writer.put(names);
  writer.put(true);
  return writer.finish();
}

Status read(std::string_view bytes, std::string_view family = "test", std::uint32_t version = 3) {
  SnapshotReader reader(bytes, family, version);
  double x = 0.0;
  std::vector<std::int32_t> values;
  NameTable names;
  bool flag = false;
  reader.get(x);
  reader.get(values);
  reader.get(names);
  reader.get(flag);
  const Status status = reader.finish();
  if (status == Status::ok) {
    CHECK(x == 1.5);
    CHECK(values == std::vector<std::int32_t>{1, -2, 3});
    CHECK(names.size() == 2);
    CHECK(names.find("") == 1);
    CHECK(flag);
  }
  return status;
}

}  // namespace

TEST_CASE("CRC-32C of RFC 3720") {
  CHECK(crc32c("123456789") == 0xe3069283u);
  CHECK(crc32c(std::string(32, '\0')) == 0x8a9136aau);
}

TEST_CASE("CRC-32C of any length, at any place, whole and in parts") {
  std::string bytes;
  for (unsigned i = 0; i < 100; ++i) bytes.push_back(static_cast<char>(i * i * 7 + i));
  for (std::size_t from = 0; from < 9; ++from) {
    for (std::size_t n = 0; from + n <= bytes.size(); ++n) {
      const std::string_view part = std::string_view(bytes).substr(from, n);
      std::uint32_t c = ~0u;  // bit by bit
      for (const char byte : part) {
        c ^= static_cast<unsigned char>(byte);
        for (int bit = 0; bit < 8; ++bit) c = (c & 1u) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
      }
      REQUIRE(crc32c(part) == ~c);
      REQUIRE(crc32c(part.substr(n / 3), crc32c(part.substr(0, n / 3))) == ~c);
    }
  }
}

TEST_CASE("a snapshot reads back, and only as what it is") {
  const std::string bytes = written();
  CHECK(read(bytes) == Status::ok);
  CHECK(read(bytes, "other") == Status::bad_snapshot);
  CHECK(read(bytes, "test", 4) == Status::bad_snapshot);
  CHECK(read(bytes + "x") == Status::bad_snapshot);
  CHECK(read("") == Status::bad_snapshot);
}

TEST_CASE("every cut and every flipped bit is noticed") {
  const std::string bytes = written();
  for (std::size_t n = 0; n < bytes.size(); ++n) CHECK(read(bytes.substr(0, n)) == Status::bad_snapshot);
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    CHECK(read(damaged) == Status::bad_snapshot);
  }
}

TEST_CASE("a length beyond the end is refused without allocating it") {
  SnapshotWriter writer("test", 3);
  writer.put(1.5);
  writer.put(std::numeric_limits<std::uint64_t>::max());
  CHECK(read(writer.finish()) == Status::bad_snapshot);
}
