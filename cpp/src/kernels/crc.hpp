// CRC-32C of journal records: checking a run of them, or filling in the checksums of a batch, in one call. Every level
// gives the same bits. The wider levels use the CPU's own crc32 instruction: 8 bytes a cycle once several sums are under
// way, which neighbouring records give by themselves, as no record's sum depends on another's; a long record is summed
// in three parts at once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/level.hpp"

namespace fairlead::kernels {

// Why a walk over records ended.
enum class Stop : std::uint8_t {
  more,    // the next record is not whole: `need` bytes from here on would tell
  empty,   // length 0: nothing here yet
  limit,   // event `limit` comes next: what is here from it on counts no more
  sealed,  // after the seal
  bad,
};

enum class Bad : std::uint8_t { none, length, checksum, chain, number, padding, own };

// Where one stands among the records of a segment, and what the next one must be.
struct Walk {
  std::uint64_t next = 1;             // number of the next event
  std::uint64_t limit = ~std::uint64_t{0};
  std::uint32_t prev = 0;             // checksum of the record before
  std::uint32_t chain = 0;            // together with `next == limit`: the end
  std::uint64_t records = 0, events = 0;  // passed
  std::size_t need = 0;
  Stop stop = Stop::more;
  Bad bad = Bad::none;
  bool sealed = false;                // the seal was passed: nothing can follow
  bool names = false;                 // a record with names was passed; only ever set here
};

struct CrcKernels {
  Simd level;
  std::uint32_t (*crc32c)(const std::byte* bytes, std::size_t n, std::uint32_t before);
  // Checks records from `bytes` on until one stops it, and gives the bytes of those that are good.
  std::size_t (*check)(const std::byte* bytes, std::size_t n, Walk& walk);
  // Fills in `prev` and `crc` of whole records and zeros their padding. Gives the checksum of the last.
  std::uint32_t (*fill)(std::byte* bytes, std::size_t n, std::uint32_t prev);
};

extern const CrcKernels crc_scalar, crc_avx2, crc_avx512;

const CrcKernels& crc_kernels() noexcept;  // those that this machine runs

}  // namespace fairlead::kernels
