#include "fairlead/safetensors.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

namespace fairlead {

namespace {

constexpr std::size_t longest_header = 100'000'000;  // as the format's own reader has it

struct Damage {
  std::string why;
};

[[noreturn]] void damaged(std::string why) { throw Damage{std::move(why)}; }

bool utf8(std::string_view text) noexcept {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[at])) : 0u; };
    const unsigned first = byte(i);
    const std::size_t more = first < 0x80 ? 0 : first >= 0xc2 && first < 0xe0 ? 1 : first >= 0xe0 && first < 0xf0 ? 2 : first >= 0xf0 && first < 0xf5 ? 3 : 4;
    if (more == 4) return false;
    unsigned code = more == 0 ? first : first & (0x3fu >> more);
    for (std::size_t k = 1; k <= more; ++k) {
      if ((byte(i + k) & 0xc0u) != 0x80u) return false;
      code = code << 6 | (byte(i + k) & 0x3fu);
    }
    if ((more == 2 && (code < 0x800 || (code >= 0xd800 && code < 0xe000))) || (more == 3 && (code < 0x10000 || code > 0x10ffff))) return false;
    i += more + 1;
  }
  return true;
}

// The JSON of a header, one token at a time.
class Reader {
 public:
  explicit Reader(std::string_view text) noexcept : text_(text) {}

  bool take(char c) noexcept {
    skip();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void must(char c) {
    if (!take(c)) wrong(std::string("'") + c + "' is missing");
  }

  std::string string() {
    must('"');
    std::string out;
    for (;;) {
      const char c = next();
      if (c == '"') {
        if (!utf8(out)) wrong("a string that is not UTF-8 ends");
        return out;
      }
      if (static_cast<unsigned char>(c) < 0x20) wrong("a control character in a string");
      if (c != '\\') {
        out += c;
        continue;
      }
      constexpr std::string_view letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
      const char escape = next();
      if (const std::size_t known = letters.find(escape); known != std::string_view::npos) {
        out += meant[known];
      } else if (escape == 'u') {
        append(out, code());
      } else {
        wrong("an unknown escape");
      }
    }
  }

  std::size_t whole() {
    skip();
    std::size_t n = 0;
    const std::size_t first = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const auto digit = static_cast<std::size_t>(text_[at_] - '0');
      if (n > (std::numeric_limits<std::size_t>::max() - digit) / 10) wrong("a number is too large");
      n = n * 10 + digit;
    }
    if (at_ == first) wrong("a whole number is missing");
    return n;
  }

  template <class Each>
  void list(const Each& each) {
    must('[');
    if (take(']')) return;
    do each();
    while (take(','));
    must(']');
  }

  template <class Each>
  void object(const Each& each) {  // each(name)
    must('{');
    if (take('}')) return;
    do {
      std::string name = string();
      must(':');
      each(std::move(name));
    } while (take(','));
    must('}');
  }

  bool done() noexcept {
    skip();
    return at_ == text_.size();
  }

  [[noreturn]] void wrong(const std::string& what) const {
    damaged("the header is no JSON of this format: " + what + " at byte " + std::to_string(at_));
  }

 private:
  char next() {
    if (at_ == text_.size()) wrong("a string does not end");
    return text_[at_++];
  }
  void skip() noexcept {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) ++at_;
  }
  unsigned quarter() {
    unsigned n = 0;
    for (int i = 0; i < 4; ++i) {
      const char c = next();
      const unsigned digit = c >= '0' && c <= '9'   ? static_cast<unsigned>(c - '0')
                             : c >= 'a' && c <= 'f' ? static_cast<unsigned>(c - 'a') + 10
                             : c >= 'A' && c <= 'F' ? static_cast<unsigned>(c - 'A') + 10
                                                    : 16;
      if (digit == 16) wrong("a wrong \\u escape");
      n = n * 16 + digit;
    }
    return n;
  }
  unsigned code() {
    const unsigned first = quarter();
    if (first < 0xd800 || first > 0xdfff) return first;
    if (first > 0xdbff || next() != '\\' || next() != 'u') wrong("half of a pair of \\u escapes");
    const unsigned second = quarter();
    if (second < 0xdc00 || second > 0xdfff) wrong("half of a pair of \\u escapes");
    return 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
  }
  static void append(std::string& out, unsigned c) {
    const auto put = [&](unsigned byte) { out += static_cast<char>(byte); };
    if (c < 0x80) {
      put(c);
    } else if (c < 0x800) {
      put(0xc0 | c >> 6), put(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
      put(0xe0 | c >> 12), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
    } else {
      put(0xf0 | c >> 18), put(0x80 | (c >> 12 & 0x3f)), put(0x80 | (c >> 6 & 0x3f)), put(0x80 | (c & 0x3f));
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

std::size_t bytes_of_type(std::string_view type) noexcept {
  constexpr std::array<std::pair<std::string_view, std::size_t>, 15> known{{{"F32", 4},
                                                                            {"BF16", 2},
                                                                            {"F16", 2},
                                                                            {"F64", 8},
                                                                            {"I64", 8},
                                                                            {"U64", 8},
                                                                            {"I32", 4},
                                                                            {"U32", 4},
                                                                            {"I16", 2},
                                                                            {"U16", 2},
                                                                            {"I8", 1},
                                                                            {"U8", 1},
                                                                            {"BOOL", 1},
                                                                            {"F8_E4M3", 1},
                                                                            {"F8_E5M2", 1}}};
  for (const auto& [name, bytes] : known)
    if (name == type) return bytes;
  return 0;
}

SafeTensors::Tensor tensor(Reader& in, const std::string& name) {
  SafeTensors::Tensor t;
  bool typed = false, shaped = false, placed = false;
  in.object([&](const std::string& field) {
    if (field == "dtype" && !typed) {
      t.type = in.string();
      typed = true;
    } else if (field == "shape" && !shaped) {
      in.list([&] { t.shape.push_back(in.whole()); });
      shaped = true;
    } else if (field == "data_offsets" && !placed) {
      std::array<std::size_t, 2> at{};
      std::size_t n = 0;
      in.list([&] {
        const std::size_t offset = in.whole();
        if (n == 2) in.wrong("data_offsets has more than two numbers");
        at[n++] = offset;
      });
      if (n != 2) in.wrong("data_offsets has less than two numbers");
      t.from = at[0];
      t.to = at[1];
      placed = true;
    } else {
      in.wrong("an unknown or repeated field '" + field + "'");
    }
  });
  if (!typed || !shaped || !placed) damaged("tensor " + name + " lacks dtype, shape or data_offsets");
  const std::size_t each = bytes_of_type(t.type);
  if (each == 0) damaged("tensor " + name + " has the unknown dtype " + t.type);
  std::size_t bytes = each;
  const bool empty = std::find(t.shape.begin(), t.shape.end(), std::size_t{0}) != t.shape.end();
  for (const std::size_t n : t.shape) {
    if (!empty && bytes > std::numeric_limits<std::size_t>::max() / n) damaged("tensor " + name + " is too large");
    bytes = empty ? 0 : bytes * n;
  }
  if (t.to < t.from || t.to - t.from != bytes) damaged("tensor " + name + " has other bytes than its shape and dtype need");
  return t;
}

}  // namespace

std::size_t SafeTensors::Tensor::numbers() const noexcept { return (to - from) / std::max<std::size_t>(bytes_of_type(type), 1); }

Status SafeTensors::read(std::span<const std::byte> bytes, std::string& why) noexcept {
  try {
    if (bytes.size() < 8) damaged("it has " + std::to_string(bytes.size()) + " bytes, less than the length of a header");
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8; ++i) length |= static_cast<std::uint64_t>(bytes[i]) << 8 * i;
    if (length > longest_header || length > bytes.size() - 8)
      damaged("its header should have " + std::to_string(length) + " bytes, " + std::to_string(bytes.size() - 8) + " follow");
    const auto size = static_cast<std::size_t>(length);
    Reader in({reinterpret_cast<const char*>(bytes.data()) + 8, size});
    SafeTensors out;
    out.data_ = bytes.subspan(8 + size);
    in.object([&](const std::string& name) {
      if (name == "__metadata__") {
        if (!out.metadata_.empty()) in.wrong("__metadata__ is there twice");
        in.object([&](std::string key) {
          if (!out.metadata_.emplace(std::move(key), in.string()).second) in.wrong("a name is there twice");
        });
      } else if (!out.tensors_.emplace(name, tensor(in, name)).second) {
        in.wrong("a name is there twice");
      }
    });
    if (!in.done()) in.wrong("something follows");
    std::vector<std::pair<std::size_t, std::size_t>> places;
    for (const auto& [name, t] : out.tensors_) places.emplace_back(t.from, t.to);
    std::sort(places.begin(), places.end());
    std::size_t at = 0;
    for (const auto& [from, to] : places) {
      if (from != at) damaged("its tensors overlap or leave gaps");
      at = to;
    }
    if (at != out.data_.size())
      damaged("its tensors need " + std::to_string(at) + " bytes, " + std::to_string(out.data_.size()) + " are there");
    *this = std::move(out);
    return Status::ok;
  } catch (Damage& damage) {
    why = std::move(damage.why);
    return Status::not_a_policy;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

const SafeTensors::Tensor* SafeTensors::find(std::string_view name) const noexcept {
  const auto found = tensors_.find(name);
  return found == tensors_.end() ? nullptr : &found->second;
}

bool SafeTensors::floats(const Tensor& tensor, float* to) const noexcept {
  const std::byte* const from = data_.data() + tensor.from;
  const std::size_t n = tensor.numbers();
  if (tensor.type != "F32" && tensor.type != "BF16") return false;
  const bool half = tensor.type == "BF16";
  for (std::size_t i = 0; i < n; ++i) {  // little endian, wherever this runs
    std::uint32_t bits = 0;
    for (std::size_t b = 0; b < (half ? 2u : 4u); ++b)
      bits |= static_cast<std::uint32_t>(from[i * (half ? 2 : 4) + b]) << 8 * (b + (half ? 2 : 0));
    std::memcpy(to + i, &bits, 4);
  }
  return true;
}

}  // namespace fairlead
