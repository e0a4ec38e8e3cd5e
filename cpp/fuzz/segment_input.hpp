// What the fuzz target and the bounded run in the tests share: from any bytes to a journal, which is read, verified and
// opened. Whatever the bytes are: no crash, and nothing that a writer could go on from and a reader could not read.
//
// The first byte of an input says what is done with the rest, a segment file:
//   bit 0   checksums are made to fit first, header and chain too, so that what lies behind them is reached
//   bit 1   a second segment follows, an empty one that says it comes after `next` of byte 1 events
//   bit 2   it is opened for writing and an event is appended
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "../tests/memory_disk.hpp"
#include "fairlead/checksum.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/journal/reader.hpp"

namespace desk {

using namespace fairlead::journal;

inline void must(bool holds) {
  if (!holds) std::abort();
}

inline std::uint32_t fix_header(Bytes& bytes) {
  if (bytes.size() < sizeof(SegmentHeader)) return 0;
  SegmentHeader header;
  std::memcpy(&header, bytes.data(), sizeof header);
  header.magic = segment_magic;
  header.version = format_version;
  header.size = sizeof header;
  header.first = 1;
  std::memcpy(bytes.data(), &header, sizeof header);
  const std::uint32_t crc = fairlead::crc32c(std::span<const std::byte>(bytes).first(60));
  std::memcpy(bytes.data() + 60, &crc, sizeof crc);
  return header.chain;
}

// Gives each record that has room the checksum and `prev` that it should have.
inline std::uint32_t fix_records(Bytes& bytes) {
  std::uint32_t prev = fix_header(bytes);
  for (std::size_t at = sizeof(SegmentHeader); at + sizeof(RecordHeader) <= bytes.size();) {
    RecordHeader header;
    std::memcpy(&header, bytes.data() + at, sizeof header);
    if (header.length < sizeof header || header.length > bytes.size() - at) break;
    std::memcpy(bytes.data() + at + 8, &prev, sizeof prev);
    prev = fairlead::crc32c(std::span<const std::byte>(bytes).subspan(at + 4, header.length - 4));
    std::memcpy(bytes.data() + at, &prev, sizeof prev);
    at += padded(header.length);
  }
  return prev;
}

// Reads all that a query matches. Gives the number of the last event passed.
inline Failure read_to_end(MemoryDisk& disk, const Query& query, Seq& position) {
  JournalReader reader;
  position = 0;
  if (Failure failure = JournalReader::open("desk", query, reader, disk)) return failure;
  Seq last = 0;
  for (;;) {
    Event event;
    Failure failure = reader.next(event);
    position = reader.position();
    if (failure || event.header == nullptr) return failure;
    must(event.header->seq > last);
    must(event.header->length >= sizeof(RecordHeader) && event.payload_size() <= max_payload);
    std::uint64_t sum = 0;  // every byte may be looked at
    for (const std::byte byte : event.bytes()) sum += static_cast<std::uint64_t>(byte);
    must(sum <= 255 * max_payload);
    last = event.header->seq;
  }
}

inline void try_segment(std::span<const std::uint8_t> input) {
  if (input.size() < 2) return;
  const unsigned what = input[0];
  MemoryDisk disk;
  const auto add = [&](const std::string& name, Bytes bytes) {
    auto& file = disk.files["desk/segments/" + name] = std::make_shared<MemoryDisk::File>();
    file->bytes = std::move(bytes);
    file->links = 1;
  };
  Bytes bytes(input.size() - 2);
  if (!bytes.empty()) std::memcpy(bytes.data(), input.data() + 2, bytes.size());
  const std::uint32_t last = (what & 1) != 0 ? fix_records(bytes) : 0;
  SegmentHeader header;
  if (bytes.size() >= sizeof header) std::memcpy(&header, bytes.data(), sizeof header);
  add("00000000000000000001.seg", bytes);
  if ((what & 2) != 0) {
    header.first = Seq{1} + input[1];
    header.chain = last;
    header.crc = fairlead::crc32c(std::span(reinterpret_cast<const std::byte*>(&header), 60));
    Bytes second(sizeof header);
    std::memcpy(second.data(), &header, sizeof header);
    const std::string digits = std::to_string(header.first);
    if (header.first != 1) add(std::string(20 - digits.size(), '0') + digits + ".seg", second);
  }
  Seq read = 0, some = 0;
  const Failure failure = read_to_end(disk, {}, read);
  Query query;
  query.first = 2;
  query.types = {Type::note, Type::forecast};
  query.models = {"m"};
  (void)read_to_end(disk, query, some);
  VerifyReport report;
  const Failure verified = verify("desk", report, disk);
  must(!failure || verified || !report.whole);  // what a reader refuses, verify sees
  if ((what & 4) == 0) return;
  SegmentLog log;
  Recovery recovery;
  if (SegmentLog::open("desk", {.segment_bytes = 4096}, log, recovery, disk)) return;
  if (!failure) must(log.written() >= read || (what & 2) != 0);
  RecordHeader note;
  note.length = sizeof note;
  note.seq = log.written() + 1;
  if (note.seq == 0) return;
  Bytes record(sizeof note);
  std::memcpy(record.data(), &note, sizeof note);
  const Failure appended = log.append(record, 0);
  if (appended) return;
  must(!log.sync());
  if (!failure) {
    const Failure again = read_to_end(disk, {}, read);
    must(!again && read == log.written());
  }
}

}  // namespace desk
