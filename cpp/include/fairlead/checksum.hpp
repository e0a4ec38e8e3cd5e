// CRC-32C (Castagnoli), as in RFC 3720, by the CPU's own instruction where there is one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

namespace fairlead {

// `before`: the checksum of the bytes before these.
std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before = 0) noexcept;
inline std::uint32_t crc32c(std::string_view bytes, std::uint32_t before = 0) noexcept {
  return crc32c(std::as_bytes(std::span(bytes)), before);
}

}  // namespace fairlead
