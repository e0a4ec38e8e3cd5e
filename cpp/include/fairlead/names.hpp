// Names to dense ids and back. Looking up a known name allocates nothing.
//
// A flat table, probed in a line and at most half full: a slot holds 32 bits of the hash beside the id, so that a probe
// that is no match rarely looks at a string. The hash is fixed, and used for nothing that can be seen from outside.
#pragma once

#include <cstdint>
#include <cstring>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace fairlead {

class NameTable {
 public:
  NameTable() = default;
  NameTable(NameTable&&) = default;  // strings stay where they are
  NameTable& operator=(NameTable&&) = default;
  NameTable(const NameTable&) = delete;
  NameTable& operator=(const NameTable&) = delete;

  static constexpr std::int32_t absent = -1;

  std::int32_t find(std::string_view name) const noexcept {
    return slots_.empty() ? absent : slots_[place(name, hash(name))].id;
  }

  // The id of `name`, which is given the next free one when it is new. May throw std::bad_alloc, then changes nothing.
  std::int32_t intern(std::string_view name) {
    const std::uint64_t h = hash(name);
    if (!slots_.empty()) {
      if (const std::int32_t known = slots_[place(name, h)].id; known != absent) return known;
    }
    if (2 * (names_.size() + 1) > slots_.size()) grow();
    const auto id = static_cast<std::int32_t>(names_.size());
    names_.emplace_back(name);
    slots_[place(name, h)] = {tag(h), id};
    return id;
  }

  const std::string& name(std::int32_t id) const noexcept { return names_[static_cast<std::size_t>(id)]; }
  std::int32_t size() const noexcept { return static_cast<std::int32_t>(names_.size()); }

  // For other tables of strings: fixed, and spread over all bits.
  static std::uint64_t hash(std::string_view name) noexcept {
    const char* at = name.data();
    std::size_t left = name.size();
    std::uint64_t h = left * 0x9e3779b97f4a7c15u;
    const auto mix = [&h](std::uint64_t word) {
      h = (h ^ word) * 0xd6e8feb86659fd93u;
      h ^= h >> 32;
    };
    for (; left > 8; left -= 8, at += 8) mix(word(at, 8));
    mix(word(at, left));
    return h * 0x9e3779b97f4a7c15u;
  }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    std::int32_t id = absent;
  };

  static std::uint64_t word(const char* at, std::size_t bytes) noexcept {
    std::uint64_t w = 0;
    if (bytes == 8) {  // one load; the general case is a call
      std::memcpy(&w, at, 8);
    } else if (bytes >= 4) {
      std::uint32_t low = 0, high = 0;
      std::memcpy(&low, at, 4);
      std::memcpy(&high, at + bytes - 4, 4);
      w = low | (static_cast<std::uint64_t>(high) << 32);
    } else {
      for (std::size_t b = 0; b < bytes; ++b)
        w |= static_cast<std::uint64_t>(static_cast<unsigned char>(at[b])) << (8 * b);
    }
    return w;
  }
  static std::uint32_t tag(std::uint64_t h) noexcept { return static_cast<std::uint32_t>(h); }

  // Where the name is, or the free slot where it would be.
  std::size_t place(std::string_view name, std::uint64_t h) const noexcept {
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = static_cast<std::size_t>(h >> 32) & mask;; at = (at + 1) & mask) {
      const Slot slot = slots_[at];
      if (slot.id == absent || (slot.tag == tag(h) && names_[static_cast<std::size_t>(slot.id)] == name)) return at;
    }
  }

  void grow() {
    std::vector<Slot> wider(slots_.empty() ? 16 : 2 * slots_.size());
    slots_.swap(wider);
    for (std::int32_t id = 0; id < size(); ++id) {
      const std::uint64_t h = hash(name(id));
      slots_[place(name(id), h)] = {tag(h), id};
    }
  }

  std::deque<std::string> names_;
  std::vector<Slot> slots_;  // a power of two of them, or none
};

}  // namespace fairlead
