// Whether bytes are UTF-8 as Arrow and JSON understand it: shortest forms only, no surrogates, at most U+10FFFF.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace fairlead::journal {

inline bool is_utf8(std::string_view text) noexcept {
  const auto* at = reinterpret_cast<const unsigned char*>(text.data());
  const auto* const end = at + text.size();
  const auto tail = [&](std::ptrdiff_t n) {
    if (end - at <= n) return false;
    for (std::ptrdiff_t i = 1; i <= n; ++i) {
      if ((at[i] & 0xc0) != 0x80) return false;
    }
    return true;
  };
  while (at != end) {
    while (end - at >= 8) {  // ASCII, a word at a time
      std::uint64_t word = 0;
      std::memcpy(&word, at, 8);
      if ((word & 0x8080808080808080ULL) != 0) break;
      at += 8;
    }
    if (at == end) return true;
    if (*at < 0x80) {
      ++at;
    } else if (*at >= 0xc2 && *at <= 0xdf) {
      if (!tail(1)) return false;
      at += 2;
    } else if (*at >= 0xe0 && *at <= 0xef) {
      if (!tail(2) || (*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f)) return false;
      at += 3;
    } else if (*at >= 0xf0 && *at <= 0xf4) {
      if (!tail(3) || (*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f)) return false;
      at += 4;
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace fairlead::journal
