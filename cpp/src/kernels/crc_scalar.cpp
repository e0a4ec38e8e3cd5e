#include <array>
#include <cstring>

#include "fairlead/journal/format.hpp"
#include "kernels/crc.hpp"

namespace fairlead::kernels {

namespace {

// Eight bytes at a time, by eight tables: table[k][b] is what byte b does to the sum k bytes later.
constexpr auto table = [] {
  std::array<std::array<std::uint32_t, 256>, 8> made{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1u) != 0 ? (c >> 1) ^ 0x82f63b78u : c >> 1;
    made[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k) {
    for (std::size_t i = 0; i < 256; ++i) made[k][i] = (made[k - 1][i] >> 8) ^ made[0][made[k - 1][i] & 0xffu];
  }
  return made;
}();

std::uint32_t sum_bytes(const std::byte* at, std::size_t n, std::uint32_t c) {
  for (std::size_t i = 0; i < n; ++i) c = table[0][(c ^ static_cast<std::uint32_t>(at[i])) & 0xffu] ^ (c >> 8);
  return c;
}

std::uint32_t sum_half(std::uint32_t value, std::uint32_t c) {
  c ^= value;
  return table[3][c & 0xffu] ^ table[2][(c >> 8) & 0xffu] ^ table[1][(c >> 16) & 0xffu] ^ table[0][c >> 24];
}

std::uint32_t sum_words(const std::byte* at, std::size_t words, std::uint32_t c) {
  for (std::size_t i = 0; i < words; ++i) {
    std::uint64_t w;
    std::memcpy(&w, at + 8 * i, 8);
    w ^= c;
    c = 0;
    for (std::size_t k = 0; k < 8; ++k) c ^= table[7 - k][(w >> (8 * k)) & 0xffu];
  }
  return c;
}

}  // namespace

}  // namespace fairlead::kernels

#include "kernels/crc_body.hpp"

namespace fairlead::kernels {

static_assert(header_bytes == sizeof(journal::RecordHeader) && longest == header_bytes + journal::max_payload);
static_assert(offsetof(journal::RecordHeader, length) == 4 && offsetof(journal::RecordHeader, prev) == 8 &&
              offsetof(journal::RecordHeader, type) == 12 && offsetof(journal::RecordHeader, flags) == 15 &&
              offsetof(journal::RecordHeader, seq) == 16);
static_assert(type_seal == static_cast<std::uint32_t>(journal::Type::seal) &&
              type_names == static_cast<std::uint32_t>(journal::Type::names) &&
              type_name == static_cast<std::uint32_t>(journal::Type::name) &&
              type_gap == static_cast<std::uint32_t>(journal::Type::gap) &&
              first_fleet_type == static_cast<std::uint32_t>(journal::Type::settings) && own == journal::flag_own);

const CrcKernels crc_scalar = {compiled_for, crc32c, check, fill};

}  // namespace fairlead::kernels
