// Names to dense ids and back. Looking up a known name allocates nothing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

namespace fairlead {

class NameTable {
 public:
  NameTable() = default;
  NameTable(NameTable&&) = default;  // strings stay where they are, and so do the views of them
  NameTable& operator=(NameTable&&) = default;
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  static constexpr std::int32_t absent = -1;

  std::int32_t find(std::string_view name) const noexcept {
    const auto it = ids_.find(name);
    return it == ids_.end() ? absent : it->second;
  }

  // The id of `name`, which is given the next free one when it is new. May throw std::bad_alloc, then changes nothing.
  std::int32_t intern(std::string_view name) {
    if (const std::int32_t known = find(name); known != absent) return known;
    const auto id = static_cast<std::int32_t>(names_.size());
    names_.emplace_back(name);
    try {
      ids_.emplace(names_.back(), id);  // the key views the deque's string, which never moves
    } catch (...) {
      names_.pop_back();
      throw;
    }
    return id;
  }

  const std::string& name(std::int32_t id) const noexcept { return names_[static_cast<std::size_t>(id)]; }
  std::int32_t size() const noexcept { return static_cast<std::int32_t>(names_.size()); }

 private:
  std::deque<std::string> names_;
  std::unordered_map<std::string_view, std::int32_t> ids_;
};

}  // namespace fairlead
