// The walk over records, compiled once for each level. Offsets are those of journal/format.hpp, which this may not
// include (see dispatch.hpp); crc_scalar.cpp compares them. Needs, from the file that includes it:
//   std::uint32_t sum_words(const std::byte* at, std::size_t words, std::uint32_t c);   8 bytes each
//   std::uint32_t sum_bytes(const std::byte* at, std::size_t n, std::uint32_t c);       n < 8
//   std::uint32_t sum_half(std::uint32_t value, std::uint32_t c);                       4 bytes
#pragma once

#include <cstring>

#include "kernels/crc.hpp"

namespace fairlead::kernels {

namespace {

constexpr std::uint64_t header_bytes = 40, longest = header_bytes + (std::uint64_t{1} << 20);
constexpr std::uint32_t type_names = 3, type_name = 4, type_gap = 5, type_seal = 2, first_fleet_type = 16;
constexpr std::uint32_t own = 1;

std::uint64_t load64(const std::byte* at) {
  std::uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

void ask_for([[maybe_unused]] const std::byte* at) {
#if defined(__GNUC__)
  __builtin_prefetch(at);
#endif
}

// The part of a record that its sum covers: from its length on.
std::uint32_t sum_record(const std::byte* at, std::uint32_t length) {
  std::uint32_t c = sum_half(length, ~0u);
  const std::size_t words = (length - 8) / 8, rest = length % 8;
  c = sum_words(at + 8, words, c);
  if (rest != 0) c = sum_bytes(at + 8 + 8 * words, rest, c);
  return ~c;
}

std::uint32_t crc32c(const std::byte* bytes, std::size_t n, std::uint32_t before) {
  const std::size_t words = n / 8;
  const std::uint32_t c = sum_words(bytes, words, ~before);
  return ~sum_bytes(bytes + 8 * words, n % 8, c);
}

std::size_t check(const std::byte* bytes, std::size_t n, Walk& walk) {
  std::size_t at = 0;
  std::uint64_t next = walk.next, records = 0, events = 0;
  std::uint32_t prev = walk.prev;
  Bad bad = Bad::none;
  walk.need = 0;
  walk.bad = Bad::none;
  walk.stop = Stop::sealed;
  if (walk.sealed) return 0;
  for (;;) {
    if (next == walk.limit && prev == walk.chain) {
      walk.stop = Stop::limit;
      break;
    }
    walk.stop = Stop::more;
    walk.need = header_bytes;
    const std::size_t left = n - at;
    if (left < 8) break;
    const std::byte* const record = bytes + at;
    const std::uint64_t front = load64(record);
    ask_for(record + 2048);  // some twenty records on: processors do not ask beyond a page by themselves
    ask_for(record + 2048 + 64);
    const auto length = static_cast<std::uint32_t>(front >> 32);
    if (length == 0) {
      walk.stop = Stop::empty;
      break;
    }
    if (length < header_bytes || length > longest) {
      bad = Bad::length;
      break;
    }
    const std::size_t whole = (length + std::size_t{7}) / 8 * 8;
    if (whole > left) {
      walk.need = whole;
      break;
    }
    const std::uint32_t crc = sum_record(record, length);
    if (crc != static_cast<std::uint32_t>(front)) {
      bad = Bad::checksum;
      break;
    }
    if (length % 8 != 0 && load64(record + whole - 8) >> (8 * (length % 8)) != 0) {
      bad = Bad::padding;
      break;
    }
    const std::uint64_t middle = load64(record + 8);  // prev, type, version, flags
    if (static_cast<std::uint32_t>(middle) != prev) {
      bad = Bad::chain;
      break;
    }
    const std::uint64_t seq = load64(record + 16);
    if (seq != next) {
      bad = Bad::number;
      break;
    }
    const auto type = static_cast<std::uint32_t>(middle >> 32) & 0xffffu;
    const auto flags = static_cast<std::uint32_t>(middle >> 56);
    std::uint64_t used = 1;
    if (type < first_fleet_type || (flags & own) != 0) {
      const bool is_own = type >= 1 && type <= type_names;
      if (is_own != ((flags & own) != 0) || type == 0) {
        bad = Bad::own;
        break;
      }
      if (is_own) used = 0;
      if (type == type_gap) {
        used = length >= header_bytes + 8 ? load64(record + header_bytes) : 0;
        if (used == 0 || next + used < next) {
          bad = Bad::number;
          break;
        }
      }
      walk.names |= type == type_names || type == type_name;
    }
    if (used > walk.limit - next) {  // it has been written anew in the next segment
      if (used != 1) bad = Bad::number;
      if (bad == Bad::none) walk.stop = Stop::limit;
      break;
    }
    next += used;
    events += used != 0 ? 1 : 0;
    ++records;
    prev = crc;
    at += whole;
    if (type == type_seal) {
      walk.stop = Stop::sealed;
      walk.sealed = true;
      break;
    }
  }
  if (bad != Bad::none) walk.stop = Stop::bad;
  walk.bad = bad;
  walk.next = next;
  walk.prev = prev;
  walk.records += records;
  walk.events += events;
  return at;
}

std::uint32_t fill(std::byte* bytes, std::size_t n, std::uint32_t prev) {
  for (std::size_t at = 0; at < n;) {
    std::byte* const record = bytes + at;
    const auto length = static_cast<std::uint32_t>(load64(record) >> 32);
    const std::size_t whole = (length + std::size_t{7}) / 8 * 8;
    std::memset(record + length, 0, whole - length);
    std::memcpy(record + 8, &prev, 4);
    prev = sum_record(record, length);
    std::memcpy(record, &prev, 4);
    at += whole;
  }
  return prev;
}

}  // namespace

}  // namespace fairlead::kernels
