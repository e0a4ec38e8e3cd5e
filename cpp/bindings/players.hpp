// Who played, from whatever Python holds it in: ids, names, or dictionary-encoded columns.
#pragma once

#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <vector>

#include "arrays.hpp"
#if PY_VERSION_HEX < 0x030B0000
#include <longintrepr.h>  // what an int is made of; later versions include it by themselves
#endif

#include "fairlead/names.hpp"

namespace fairlead::bindings {

// An int that fits 32 bits, without a call where Python shows what is inside.
inline bool small_int(PyObject* given, std::int32_t& out) noexcept {
  if (!PyLong_CheckExact(given)) return false;
#if PY_VERSION_HEX >= 0x030C0000
  auto* const number = reinterpret_cast<PyLongObject*>(given);
  if (!PyUnstable_Long_IsCompact(number)) return false;
  const Py_ssize_t value = PyUnstable_Long_CompactValue(number);
  out = value >= 0 && value <= 0x7fffffff ? static_cast<std::int32_t>(value) : -1;
#else
  const Py_ssize_t digits = Py_SIZE(given);
  if (digits != 0 && digits != 1) return false;
  out = digits == 0 ? 0 : static_cast<std::int32_t>(reinterpret_cast<PyLongObject*>(given)->ob_digit[0]);
#endif
  return true;
}

// The UTF-8 of an exact str, which lives as long as the str.
inline std::string_view utf8(PyObject* name) {
  if (PyUnicode_IS_COMPACT_ASCII(name)) {
    return {static_cast<const char*>(PyUnicode_DATA(name)), static_cast<std::size_t>(PyUnicode_GET_LENGTH(name))};
  }
  Py_ssize_t length = 0;
  const char* const bytes = PyUnicode_AsUTF8AndSize(name, &length);
  if (bytes == nullptr) throw py::error_already_set();
  return {bytes, static_cast<std::size_t>(length)};
}

// Ids of str objects that were seen before, found by the object itself: programs name their players by the same few
// objects. It holds a reference to each that it remembers; a slot is lost to the next object that falls on it.
class NameCache {
 public:
  NameCache() = default;
  NameCache(const NameCache&) = delete;
  NameCache& operator=(const NameCache&) = delete;
  NameCache(NameCache&& other) noexcept : slots_(std::move(other.slots_)), shift_(other.shift_) {
    other.slots_.clear();
  }
  NameCache& operator=(NameCache&& other) noexcept {
    slots_.swap(other.slots_);
    std::swap(shift_, other.shift_);
    return *this;
  }
  ~NameCache() { clear(); }

  bool find(PyObject* name, std::int32_t& id) const noexcept {
    if (slots_.empty()) return false;
    const Slot& slot = slots_[place(name)];
    if (slot.name != name) return false;
    id = slot.id;
    return true;
  }
  // Four slots a player, and at most 65,536.
  void remember(PyObject* name, std::int32_t id, std::size_t players) {
    if (slots_.size() < 4 * players && slots_.size() < (std::size_t{1} << 16)) {
      int bits = 6;
      while ((std::size_t{1} << bits) < 8 * players && bits < 16) ++bits;
      clear();
      slots_.resize(std::size_t{1} << bits);
      shift_ = 64 - bits;
    }
    Slot& slot = slots_[place(name)];
    Py_INCREF(name);
    Py_XDECREF(slot.name);
    slot = {name, id};
  }
  void clear() noexcept {
    for (Slot& slot : slots_) Py_XDECREF(slot.name);
    slots_.clear();
  }

 private:
  struct Slot {
    PyObject* name = nullptr;
    std::int32_t id = -1;
  };
  std::size_t place(PyObject* name) const noexcept {
    return static_cast<std::size_t>(
        (static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(name)) * 0x9e3779b97f4a7c15u) >> shift_);
  }
  std::vector<Slot> slots_;
  int shift_ = 58;
};

// Columns of players as ids. Names that are unknown get the ids that follow, and are kept in `newcomers` until the
// caller has found nothing wrong and adds them, in that order.
class Players {
 public:
  // why_none: the reason given where a name is missing.
  explicit Players(const NameTable& names, const char* why_none = "every match needs two players")
      : names_(names), why_none_(why_none) {}

  // int32 and int64 arrays or lists of ids; lists or arrays of str; pandas, polars and pyarrow columns of strings or
  // categories. Raises TypeError or ValueError that names the argument.
  std::span<const std::int32_t> column(py::handle given, const char* argument);

  // Newcomers get the ids that they would get, were the matches played one by one. Lengths must be equal.
  void order_of_play(std::span<const std::int32_t> i, std::span<const std::int32_t> j);

  std::int32_t id(std::string_view name) {
    const std::int32_t known = names_.find(name);
    return known != NameTable::absent ? known : names_.size() + newcomers_.intern(name);
  }
  const NameTable& newcomers() const noexcept { return newcomers_; }
  std::size_t size() const noexcept { return static_cast<std::size_t>(names_.size() + newcomers_.size()); }

 private:
  using Ids = std::vector<std::int32_t>;
  // plain: returns false at the first value that is neither a str nor a small int.
  bool from_objects(PyObject* const* values, std::size_t n, const char* argument, Ids& out, bool plain);
  bool from_arrow(py::handle given, const char* argument, Ids& out);
  bool from_categories(py::handle given, const char* argument, Ids& out);

  [[noreturn]] void missing(const char* argument, std::size_t row) const;

  const NameTable& names_;
  const char* why_none_;
  NameTable newcomers_;
  std::int32_t stray_ = -1;  // an id that nobody has
  std::deque<Ids> owned_;    // where a span points to, nothing may move
  std::vector<Array<std::int32_t>> held_;
};

}  // namespace fairlead::bindings
