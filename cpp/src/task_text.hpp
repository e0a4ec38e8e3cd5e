// The features of a text, for task_classifier.hpp: what counts as a token, and what is hashed to what. A change here is a new
// version of the file format ("features").
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "fairlead/task_classifier.hpp"

namespace fairlead::task_text {

constexpr std::size_t block = 64;
constexpr std::size_t blocks = TaskClassifier::longest / block;

// A bit a byte, of 64 bytes. wide: above 127; alone: first bytes of CJK and Hangul.
struct Kinds {
  std::uint64_t word = 0, symbol = 0, digit = 0, upper = 0, line = 0, wide = 0, alone = 0;

  bool operator==(const Kinds&) const = default;
};

// Puts 64 bytes into lower case and tells their kinds.
inline Kinds kinds_portable(unsigned char* bytes) noexcept {
  Kinds k;
  for (std::size_t i = 0; i < block; ++i) {
    const unsigned char c = bytes[i];
    const std::uint64_t bit = std::uint64_t{1} << i;
    const bool upper = c >= 'A' && c <= 'Z', digit = c >= '0' && c <= '9';
    if (upper) bytes[i] = static_cast<unsigned char>(c | 0x20);
    const bool word = upper || digit || (c >= 'a' && c <= 'z') || c >= 0x80;
    if (word) k.word |= bit;
    if (upper) k.upper |= bit;
    if (digit) k.digit |= bit;
    if (!word && c > ' ' && c < 0x7f) k.symbol |= bit;
    if (c == '\n') k.line |= bit;
    if (c >= 0x80) k.wide |= bit;
    if (c >= 0xe3 && c <= 0xed) k.alone |= bit;
  }
  return k;
}

// Bits that are set. Not std::popcount, which is a call of a function where the machine need not have the instruction.
inline std::size_t count(std::uint64_t bits) noexcept {
  if (bits == 0) return 0;
  bits -= bits >> 1 & 0x5555555555555555;
  bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
  return static_cast<std::size_t>(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f) * 0x0101010101010101 >> 56);
}

#if defined(__SSE2__)
inline Kinds kinds(unsigned char* bytes) noexcept {
  Kinds k;
  // Moves least..most to the top of the signed numbers, whatever else wraps around.
  const auto between = [](__m128i x, int least, int most) {
    return _mm_cmpgt_epi8(_mm_add_epi8(x, _mm_set1_epi8(static_cast<char>(127 - most))), _mm_set1_epi8(static_cast<char>(126 - (most - least))));
  };
  const auto bits = [](__m128i x) { return static_cast<std::uint64_t>(static_cast<unsigned>(_mm_movemask_epi8(x))); };
  for (std::size_t i = 0; i < block; i += 16) {
    const __m128i x = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i));
    const __m128i upper = between(x, 'A', 'Z'), digit = between(x, '0', '9');
    const __m128i lower = _mm_or_si128(x, _mm_and_si128(upper, _mm_set1_epi8(0x20)));
    const __m128i word = _mm_or_si128(_mm_or_si128(digit, between(lower, 'a', 'z')), _mm_cmplt_epi8(x, _mm_setzero_si128()));
    const __m128i visible = between(x, ' ' + 1, 0x7e);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(bytes + i), lower);
    k.word |= bits(word) << i;
    k.upper |= bits(upper) << i;
    k.digit |= bits(digit) << i;
    k.symbol |= bits(_mm_andnot_si128(word, visible)) << i;
    k.line |= bits(_mm_cmpeq_epi8(x, _mm_set1_epi8('\n'))) << i;
    k.wide |= bits(x) << i;
  }
  for (std::size_t i = 0; k.wide != 0 && i < block; i += 16) {
    k.alone |= bits(between(_mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes + i)), 0xe3, 0xed)) << i;
  }
  return k;
}
#else
inline Kinds kinds(unsigned char* bytes) noexcept { return kinds_portable(bytes); }
#endif

// The bytes of a text that count, in lower case, and their kinds.
struct Text {
  std::size_t size, lines = 0, wide = 0;
  std::uint64_t start[blocks + 2], stop[blocks + 2], symbol[blocks + 2], digit[blocks + 2], upper[blocks + 2];
  alignas(64) unsigned char bytes[TaskClassifier::longest + 2 * block];

  explicit Text(std::string_view text) noexcept {
    constexpr std::size_t tail = TaskClassifier::longest - TaskClassifier::head;
    size = std::min(text.size(), TaskClassifier::longest);
    const std::size_t first = text.size() > TaskClassifier::longest ? TaskClassifier::head : size;
    if (first > 0) std::memcpy(bytes, text.data(), first);
    if (first < size) std::memcpy(bytes + first, text.data() + (text.size() - tail), tail);
    const std::size_t n = (size + block - 1) / block;
    std::memset(bytes + size, ' ', 2 * block);  // a whole block beyond the last one: hashes read on
    std::uint64_t before = 0;
    for (std::size_t b = 0; b < n; ++b) {
      const Kinds k = kinds(bytes + b * block);
      start[b] = (k.word & ~(k.word << 1 | before)) | k.alone;
      stop[b] = ~k.word | start[b];
      symbol[b] = k.symbol;
      digit[b] = k.digit;
      upper[b] = k.upper;
      before = k.word >> 63;
      lines += count(k.line);
      wide += count(k.wide);
    }
    for (std::size_t b = n; b < n + 2; ++b) {
      start[b] = symbol[b] = digit[b] = upper[b] = 0;
      stop[b] = ~std::uint64_t{0};
    }
  }

  std::size_t mask_words() const noexcept { return (size + block - 1) / block; }
};

// 64 bits of a mask from `at` on.
inline std::uint64_t bits_at(const std::uint64_t* mask, std::size_t at) noexcept {
  const std::size_t shift = at % 64;
  const std::uint64_t low = mask[at / 64] >> shift;
  return shift == 0 ? low : low | mask[at / 64 + 1] << (64 - shift);
}

inline std::uint64_t eight(const unsigned char* from) noexcept {
  std::uint64_t x;
  std::memcpy(&x, from, 8);
  if constexpr (std::endian::native == std::endian::big) {
    std::uint64_t y = 0;
    for (int i = 0; i < 8; ++i) y = y << 8 | (x >> 8 * i & 0xff);
    x = y;
  }
  return x;
}

inline constexpr std::uint64_t odd1 = 0x9e3779b97f4a7c15, odd2 = 0xc2b2ae3d27d4eb4f, odd3 = 0xd6e8feb86659fd93;

// Reads 8 bytes, of which those beyond the word do not count.
inline std::uint64_t hash_word(const unsigned char* from, std::size_t n) noexcept {
  std::uint64_t x = eight(from), y = n;
  if (n <= 8) {
    x &= ~std::uint64_t{0} >> (64 - 8 * n);
  } else {
    y += eight(from + n - 8) * odd3;
  }
  const std::uint64_t h = (x ^ y * odd2) * odd1;
  return h ^ h >> 32;
}

enum class Kind : std::uint8_t { token, pair, beginning, first, last };

// A lexical feature: the hash, and where it stands: a token from `at`, `size` bytes, and for a pair the one before.
struct Lexical {
  std::uint64_t hash;
  Kind kind;
  std::size_t at, size, before_at, before_size;

  std::size_t row(std::size_t bits) const noexcept { return static_cast<std::size_t>(hash >> (64 - bits)); }
};

inline constexpr std::size_t bins = 16, groups = 31;
static_assert(bins * (groups + 1) <= TaskClassifier::structural_rows);

// 0, 1, 2, 3-4, 5-8, 9-16, ... as 0, 1, 2, 3, 4, 5, ...
inline std::size_t few(std::size_t n) noexcept {
  return std::min<std::size_t>(n < 3 ? n : static_cast<std::size_t>(std::bit_width(n - 1)) + 1, bins - 1);
}
inline std::size_t share(std::size_t part, std::size_t whole) noexcept { return few(64 * part / std::max<std::size_t>(whole, 1)); }

// What a symbol counts as: a place in an array of counts.
enum Symbol : std::uint8_t {
  other_symbol, period, question, exclamation, comma, colon, semicolon, double_quote, single_quote, backtick, parenthesis, square,
  brace, backslash, dollar, underscore, operation, percent, slash, at_or_hash, hyphen, symbol_kinds
};

inline constexpr std::array<std::uint8_t, 256> symbol_kind = [] {
  std::array<std::uint8_t, 256> t{};
  const auto set = [&](std::string_view characters, Symbol kind) {
    for (const char c : characters) t[static_cast<unsigned char>(c)] = kind;
  };
  set(".", period), set("?", question), set("!", exclamation), set(",", comma), set(":", colon), set(";", semicolon);
  set("\"", double_quote), set("'", single_quote), set("`", backtick), set("(", parenthesis), set("[", square), set("{", brace);
  set("\\", backslash), set("$", dollar), set("_", underscore), set("=+*^<>", operation), set("%", percent), set("/", slash);
  set("@#", at_or_hash), set("-", hyphen);
  return t;
}();

// Calls sink.lexical(Lexical) for each lexical feature and sink.structural(row) for each structural one. Returns how many
// lexical ones there are.
template <class Sink>
inline std::size_t walk(const Text& text, Sink& sink) noexcept(noexcept(sink.structural(std::size_t{}))) {
  std::size_t counts[symbol_kinds] = {};
  std::size_t words = 0, numbers = 0, uppers = 0, capitals = 0, camels = 0, sentences = 0, quoted = 0, letters = 0, found = 0;
  std::size_t before_at = 0, before_size = 0;
  std::uint64_t before = 0;
  constexpr std::uint64_t first_salt = 0x51, last_salt = 0xa5, beginning_salt = 0x3c, number_salt = 0x77f1;
  const auto give = [&](std::uint64_t h, Kind kind, std::size_t at, std::size_t size) {
    sink.lexical(Lexical{h, kind, at, size, before_at, before_size});
    ++found;
  };
  const std::size_t n = text.mask_words();
  for (std::size_t b = 0; b < n; ++b) {
    uppers += count(text.upper[b]);
    capitals += count(text.upper[b] & text.start[b]);
    const std::uint64_t start = text.start[b];
    std::uint64_t left = start | text.symbol[b];
    while (left != 0) {
      const auto i = static_cast<std::size_t>(std::countr_zero(left));
      left &= left - 1;
      const std::size_t at = b * block + i;
      std::uint64_t h;
      std::size_t size = 1;
      if ((start >> i & 1) != 0) {
        for (;;) {
          const auto more = static_cast<std::size_t>(std::countr_zero(bits_at(text.stop, at + size)));
          size += more;
          if (more < 64) break;
        }
        ++words;
        letters += size;
        const unsigned char* const from = text.bytes + at;
        if (*from <= '9') {  // a number: how many digits, and what stands behind it, as in 5pm
          const auto count = std::min<std::size_t>(static_cast<std::size_t>(std::countr_one(bits_at(text.digit, at))), size);
          ++numbers;
          h = (number_salt + std::min<std::size_t>(count, 5)) * odd2;
          if (count < size) h = hash_word(from + count, size - count) + number_salt;
        } else {
          h = hash_word(from, size);
          if (size > 4) give(((eight(from) & 0xffffffff) ^ beginning_salt << 56) * odd1, Kind::beginning, at, 4);
        }
      } else {
        const unsigned char c = text.bytes[at];
        h = (c + std::uint64_t{0x100}) * odd3;
        const std::uint8_t kind = symbol_kind[c];
        ++counts[kind];
        if (kind >= period && kind <= exclamation) sentences += text.bytes[at + 1] <= ' ' ? 1 : 0;
        if (kind == single_quote) quoted += at == 0 || text.bytes[at - 1] <= ' ' || text.bytes[at - 1] == '(' ? 1 : 0;
      }
      give(h * odd1, Kind::token, at, size);
      give(found <= 2 ? (h ^ first_salt << 48) * odd3 : (std::rotl(before, 23) + h) * odd2, found <= 2 ? Kind::first : Kind::pair, at, size);
      before = h;
      before_at = at;
      before_size = size;
    }
  }
  if (found > 0) give((before ^ last_salt << 48) * odd3, Kind::last, before_at, before_size);
  for (std::size_t b = 0; b < n; ++b) {  // an upper-case letter behind a lower-case one or a digit
    const std::uint64_t inner = text.upper[b] & ~text.start[b];
    camels += count(inner & ~(text.upper[b] << 1 | (b > 0 ? text.upper[b - 1] >> 63 : 0)));
  }

  std::size_t group = 0;
  const auto bin = [&](std::size_t which) { sink.structural(bins * group++ + which); };
  const unsigned char first = text.size > 0 ? text.bytes[0] : 0, last = before_size > 0 ? text.bytes[before_at + before_size - 1] : 0;
  const bool upper_first = (text.size > 0 && (text.upper[0] & 1) != 0);
  const auto half_octave = static_cast<std::size_t>(std::bit_width(text.size * text.size));
  bin(std::min<std::size_t>(half_octave > 8 ? half_octave - 8 : 0, bins - 1));
  bin(static_cast<std::size_t>(std::bit_width(words)));
  bin(few(sentences));
  bin(few(counts[question]));
  bin(few(numbers));
  bin(share(numbers, words));
  bin(few(capitals - (upper_first ? 1 : 0)));
  bin(share(capitals - (upper_first ? 1 : 0), words));
  bin(upper_first ? 0 : first >= 'a' && first <= 'z' ? 1 : first >= '0' && first <= '9' ? 2 : first >= 0x80 ? 3 : first > ' ' ? 4 : 5);
  bin(last == '?'                                                                        ? 0
      : last == '.'                                                                      ? 1
      : last == '!'                                                                      ? 2
      : last == ':'                                                                      ? 3
      : last == '"' || last == '\'' || last == '`'                                       ? 4
      : last == ')' || last == ']' || last == '}'                                        ? 5
      : (last >= 'a' && last <= 'z') || last >= 0x80                                     ? 6
      : last >= '0' && last <= '9'                                                       ? 7
                                                                                         : 8);
  bin(few(quoted));
  bin(few(counts[double_quote]));
  bin(few(counts[backtick]));
  bin(share(counts[comma], words));
  bin(few(counts[parenthesis]));
  bin(few(counts[square]));
  bin(few(counts[brace]));
  bin(few(counts[backslash]));
  bin(few(counts[dollar]));
  bin(few(text.lines));
  bin(few(counts[underscore]));
  bin(few(camels));
  bin(few(counts[operation]));
  bin(few(counts[percent]));
  bin(few(counts[colon]));
  bin(few(counts[slash]));
  bin(few(counts[at_or_hash]));
  bin(few(counts[hyphen]));
  bin(share(text.wide, text.size));
  bin(std::min<std::size_t>(words > 0 ? 2 * letters / words : 0, bins - 1));
  bin(few(uppers - capitals));
  return found;
}

}  // namespace fairlead::task_text
