#include "json_value.hpp"

#include <charconv>
#include <utility>

namespace fairlead {

namespace {

constexpr int deepest = 32;

class Parser {
 public:
  explicit Parser(std::string_view text) noexcept : left_(text) {}

  bool value(JsonValue& out, int depth) {
    skip();
    if (left_.empty() || depth > deepest) return false;
    switch (left_.front()) {
      case '{': return object(out, depth);
      case '[': return list(out, depth);
      case '"': out.kind = JsonValue::Kind::text; return string(out.text);
      case 't': out.kind = JsonValue::Kind::boolean; out.truth = true; return word("true");
      case 'f': out.kind = JsonValue::Kind::boolean; return word("false");
      case 'n': return word("null");
      default: return number(out);
    }
  }
  bool done() noexcept {
    skip();
    return left_.empty();
  }

 private:
  void skip() noexcept {
    while (!left_.empty() && (left_.front() == ' ' || left_.front() == '\t' || left_.front() == '\n' || left_.front() == '\r')) {
      left_.remove_prefix(1);
    }
  }
  bool take(char c) noexcept {
    skip();
    if (left_.empty() || left_.front() != c) return false;
    left_.remove_prefix(1);
    return true;
  }
  bool word(std::string_view wanted) noexcept {
    if (!left_.starts_with(wanted)) return false;
    left_.remove_prefix(wanted.size());
    return true;
  }

  bool number(JsonValue& out) noexcept {
    std::size_t n = 0;
    while (n < left_.size() && std::string_view("+-.0123456789eE").find(left_[n]) != std::string_view::npos) ++n;
    const char *const begin = left_.data(), *const end = begin + n;
    // from_chars takes more than JSON does: ".5", "5.", "01".
    const char* digits = begin + (n > 0 && *begin == '-' ? 1 : 0);
    if (digits == end || *digits < '0' || *digits > '9' || end[-1] == '.') return false;
    if (*digits == '0' && digits + 1 < end && digits[1] >= '0' && digits[1] <= '9') return false;
    const auto [stop, error] = std::from_chars(begin, end, out.number);
    if (error != std::errc() || stop != end) return false;
    const auto [whole, failed] = std::from_chars(begin, end, out.integer);
    out.whole = failed == std::errc() && whole == end;
    out.kind = JsonValue::Kind::number;
    left_.remove_prefix(n);
    return true;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto put = [&out](std::uint32_t byte) { out += static_cast<char>(byte); };
    if (code < 0x80) return put(code);
    if (code < 0x800) {
      put(0xc0u | (code >> 6));
    } else {
      if (code < 0x10000) {
        put(0xe0u | (code >> 12));
      } else {
        put(0xf0u | (code >> 18));
        put(0x80u | ((code >> 12) & 0x3fu));
      }
      put(0x80u | ((code >> 6) & 0x3fu));
    }
    put(0x80u | (code & 0x3fu));
  }
  bool hex(std::uint32_t& out) noexcept {
    if (left_.size() < 4) return false;
    const auto [end, error] = std::from_chars(left_.data(), left_.data() + 4, out, 16);
    if (error != std::errc() || end != left_.data() + 4) return false;
    left_.remove_prefix(4);
    return true;
  }
  bool escape(std::string& out) {
    if (left_.empty()) return false;
    const char c = left_.front();
    left_.remove_prefix(1);
    constexpr std::string_view letters = "\"\\/bfnrt", meant = "\"\\/\b\f\n\r\t";
    if (const std::size_t known = letters.find(c); known != std::string_view::npos) {
      out += meant[known];
      return true;
    }
    std::uint32_t code = 0, low = 0;
    if (c != 'u' || !hex(code)) return false;
    if (code >= 0xdc00 && code < 0xe000) return false;  // half of a pair
    if (code >= 0xd800 && code < 0xdc00) {
      if (!word("\\u") || !hex(low) || low < 0xdc00 || low >= 0xe000) return false;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    append_utf8(out, code);
    return true;
  }
  bool string(std::string& out) {
    out.clear();
    left_.remove_prefix(1);
    for (;;) {
      std::size_t n = 0;
      while (n < left_.size() && left_[n] != '"' && left_[n] != '\\' && static_cast<unsigned char>(left_[n]) >= 0x20) ++n;
      out.append(left_.substr(0, n));
      left_.remove_prefix(n);
      if (left_.empty()) return false;
      const char c = left_.front();
      left_.remove_prefix(1);
      if (c == '"') return true;
      if (c != '\\' || !escape(out)) return false;
    }
  }
  bool list(JsonValue& out, int depth) {
    out.kind = JsonValue::Kind::list;
    left_.remove_prefix(1);
    if (take(']')) return true;
    do {
      if (!value(out.items.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take(']');
  }
  bool object(JsonValue& out, int depth) {
    out.kind = JsonValue::Kind::object;
    left_.remove_prefix(1);
    if (take('}')) return true;
    do {
      skip();
      if (left_.empty() || left_.front() != '"' || !string(out.names.emplace_back())) return false;
      if (!take(':') || !value(out.items.emplace_back(), depth + 1)) return false;
    } while (take(','));
    return take('}');
  }

  std::string_view left_;
};

}  // namespace

bool JsonValue::parse(std::string_view text, JsonValue& out) {
  JsonValue read;
  Parser in(text);
  if (!in.value(read, 0) || !in.done()) return false;
  out = std::move(read);
  return true;
}

bool JsonValue::read(std::string_view name, std::string& out) const {
  const JsonValue* const found = find(name);
  if (found == nullptr) return true;
  if (!found->is(Kind::text)) return false;
  out = found->text;
  return true;
}

bool JsonValue::read(std::string_view name, double& out) const noexcept {
  const JsonValue* const found = find(name);
  if (found == nullptr) return true;
  if (!found->is(Kind::number)) return false;
  out = found->number;
  return true;
}

bool JsonValue::read(std::string_view name, std::int64_t& out) const noexcept {
  const JsonValue* const found = find(name);
  if (found == nullptr) return true;
  if (!found->is(Kind::number) || !found->whole) return false;
  out = found->integer;
  return true;
}

bool JsonValue::read(std::string_view name, bool& out) const noexcept {
  const JsonValue* const found = find(name);
  if (found == nullptr) return true;
  if (!found->is(Kind::boolean)) return false;
  out = found->truth;
  return true;
}

}  // namespace fairlead
