// JSON as a tree, for what is read seldom: models, settings, budgets, rules.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead {

class JsonValue {
 public:
  enum class Kind : std::uint8_t { null, boolean, number, text, list, object };

  Kind kind = Kind::null;
  bool truth = false;
  bool whole = false;         // it is written as an integer, and `integer` is exact
  std::int64_t integer = 0;
  double number = 0.0;
  std::string text = {};
  std::vector<std::string> names = {};  // of an object's items
  std::vector<JsonValue> items = {};

  // RFC 8259, in UTF-8, at most 32 deep. False where the text is no JSON. May throw std::bad_alloc.
  static bool parse(std::string_view text, JsonValue& out);

  const JsonValue* find(std::string_view name) const noexcept {  // of an object; null where it has none
    for (std::size_t i = 0; i < names.size(); ++i) {
      if (names[i] == name) return &items[i];
    }
    return nullptr;
  }
  bool is(Kind wanted) const noexcept { return kind == wanted; }

  // What an object says under a name; false, and `out` is left alone, where it is something else. Absent: true.
  bool read(std::string_view name, std::string& out) const;
  bool read(std::string_view name, double& out) const noexcept;
  bool read(std::string_view name, std::int64_t& out) const noexcept;
  bool read(std::string_view name, bool& out) const noexcept;
};

}  // namespace fairlead
