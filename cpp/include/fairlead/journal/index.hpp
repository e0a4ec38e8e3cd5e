// What a sealed segment holds, block by block, so that a reader who wants some models, types or times can pass over the
// rest unread. A cache beside the segment: where it is missing or damaged, the segment is read instead.
//
// File: IndexHeader, then IndexBlock for each block of about 64 KiB of records. Little-endian, as they lie in memory.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "fairlead/journal/disk.hpp"
#include "fairlead/journal/format.hpp"

namespace fairlead::journal {

inline constexpr std::uint64_t index_magic = 0x5845444e494c461aULL;  // "\x1aFLINDEX"
inline constexpr std::uint32_t index_version = 1;
inline constexpr std::uint64_t index_block_bytes = std::uint64_t{64} << 10;

struct IndexHeader {
  std::uint64_t magic = index_magic;
  std::uint32_t version = index_version;
  std::uint32_t crc = 0;  // CRC-32C of all that follows
  std::array<std::uint8_t, 16> journal = {};
  Seq first = 0, next = 0;      // of the segment, and of the one after it
  std::uint64_t bytes = 0;      // of the segment
  std::uint32_t last_crc = 0;   // of its last record, the seal
  std::uint32_t blocks = 0;
};
static_assert(sizeof(IndexHeader) == 64);

// Sets of numbers as 256 bits: number n is bit n % 256, so a set may seem to hold what it does not, never the reverse.
using Bits = std::array<std::uint64_t, 4>;

struct IndexBlock {
  std::uint64_t offset = 0;  // of its first record
  Seq first = 0;             // number of the event that comes next there
  Time earliest = std::numeric_limits<Time>::max();
  Time latest = std::numeric_limits<Time>::min();
  std::uint64_t types = 0;   // bit of each type below 63; bit 63: any other
  Bits models = {}, categories = {};
  std::uint32_t prev = 0;    // checksum of the record before it
  std::uint32_t reserved = 0;
};
static_assert(sizeof(IndexBlock) == 112);

struct Index {
  IndexHeader header = {};
  std::vector<IndexBlock> blocks = {};

  static constexpr std::uint64_t bit(Type type) noexcept {
    const auto number = static_cast<unsigned>(type);
    return std::uint64_t{1} << (number < 63 ? number : 63);
  }

  // Takes up a record that lies at `offset`. In order.
  void add(std::uint64_t offset, const RecordHeader& record);
  void clear() noexcept;

  // Writes it, beside the segment. What fails is left out: it is only a cache.
  void save(Disk& disk, const std::string& path);
  // false where there is none that is whole.
  bool load(Disk& disk, const std::string& path);
};

}  // namespace fairlead::journal
