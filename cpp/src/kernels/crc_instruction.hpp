// Sums by the crc32 instruction: three cycles each, one begun a cycle. For crc_avx2.cpp and crc_avx512.cpp.
#pragma once

#include <immintrin.h>

#include <cstring>

#include "kernels/crc.hpp"

namespace fairlead::kernels {

namespace {

// A long run of bytes is summed in three parts of so many words at once.
constexpr std::size_t part = 32;

// What a sum becomes when a part of zeros follows: by its four bytes.
struct Shift {
  std::uint32_t by[4][256];
};

constexpr Shift after_part() {
  Shift made{};
  std::uint32_t bit[32] = {};
  for (std::uint32_t i = 0; i < 32; ++i) {
    std::uint32_t c = 1u << i;
    for (std::size_t step = 0; step < 64 * part; ++step) c = (c & 1u) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    bit[i] = c;
  }
  for (std::uint32_t k = 0; k < 4; ++k) {
    for (std::uint32_t b = 0; b < 256; ++b) {
      std::uint32_t c = 0;
      for (std::uint32_t i = 0; i < 8; ++i) c ^= ((b >> i) & 1u) != 0 ? bit[8 * k + i] : 0u;
      made.by[k][b] = c;
    }
  }
  return made;
}

constexpr Shift shift_table = after_part();

std::uint32_t shift(std::uint32_t c) {
  return shift_table.by[0][c & 0xffu] ^ shift_table.by[1][(c >> 8) & 0xffu] ^ shift_table.by[2][(c >> 16) & 0xffu] ^
         shift_table.by[3][c >> 24];
}

std::uint64_t word(const std::byte* at) {
  std::uint64_t value;
  std::memcpy(&value, at, 8);
  return value;
}

std::uint32_t sum_words(const std::byte* at, std::size_t words, std::uint32_t c) {
  std::uint64_t sum = c;
  for (; words >= 3 * part; words -= 3 * part, at += 24 * part) {
    std::uint64_t second = 0, third = 0;
    for (std::size_t i = 0; i < part; ++i) {
      sum = _mm_crc32_u64(sum, word(at + 8 * i));
      second = _mm_crc32_u64(second, word(at + 8 * (i + part)));
      third = _mm_crc32_u64(third, word(at + 8 * (i + 2 * part)));
    }
    sum = shift(shift(static_cast<std::uint32_t>(sum)) ^ static_cast<std::uint32_t>(second)) ^ third;
  }
  for (; words >= 4; words -= 4, at += 32) {
    sum = _mm_crc32_u64(sum, word(at));
    sum = _mm_crc32_u64(sum, word(at + 8));
    sum = _mm_crc32_u64(sum, word(at + 16));
    sum = _mm_crc32_u64(sum, word(at + 24));
  }
  for (; words > 0; --words, at += 8) sum = _mm_crc32_u64(sum, word(at));
  return static_cast<std::uint32_t>(sum);
}

std::uint32_t sum_bytes(const std::byte* at, std::size_t n, std::uint32_t c) {
  for (std::size_t i = 0; i < n; ++i) c = _mm_crc32_u8(c, static_cast<std::uint8_t>(at[i]));
  return c;
}

std::uint32_t sum_half(std::uint32_t value, std::uint32_t c) { return _mm_crc32_u32(c, value); }

}  // namespace

}  // namespace fairlead::kernels
