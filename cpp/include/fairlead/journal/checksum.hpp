// CRC-32C (Castagnoli), as in RFC 3720, by the CPU's own instruction where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace fairlead::journal {

// `before`: the checksum of the bytes before these.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;

}  // namespace fairlead::journal
