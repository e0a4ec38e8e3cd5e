// Columns that pandas, polars, pyarrow and others share without a copy: the Arrow C data and stream interfaces, by
// which they hand over pointers in capsules (https://arrow.apache.org/docs/format/CDataInterface.html). Nothing is
// linked.
#pragma once

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "common.hpp"

namespace fairlead::bindings::arrow {

// The layout is fixed by the specification.
struct Schema {
  const char* format;
  const char* name;
  const char* metadata;
  std::int64_t flags, n_children;
  Schema** children;
  Schema* dictionary;
  void (*release)(Schema*);
  void* private_data;
};

struct Array {
  std::int64_t length, null_count, offset, n_buffers, n_children;
  const void** buffers;
  Array** children;
  Array* dictionary;
  void (*release)(Array*);
  void* private_data;

  bool is_null(std::int64_t row) const noexcept {
    if (null_count == 0 || n_buffers == 0 || buffers[0] == nullptr) return false;
    const auto at = static_cast<std::size_t>(row + offset);
    return ((static_cast<const std::uint8_t*>(buffers[0])[at / 8] >> (at % 8)) & 1) == 0;
  }
};

struct Stream {
  int (*get_schema)(Stream*, Schema*);
  int (*get_next)(Stream*, Array*);
  const char* (*get_last_error)(Stream*);
  void (*release)(Stream*);
  void* private_data;
};

// Something the specification makes us release.
template <class T>
struct Owned : T {
  Owned() noexcept : T{} {}
  Owned(const Owned&) = delete;
  Owned& operator=(const Owned&) = delete;
  ~Owned() {
    if (this->release != nullptr) this->release(this);
  }
};

inline bool is_text(std::string_view format) noexcept { return format == "u" || format == "U" || format == "vu"; }

// The string in a row of an array of this format (one of is_text).
class Texts {
 public:
  Texts(const char* format, const Array& array) noexcept : kind_(format[0]), array_(array) {}

  std::string_view operator[](std::int64_t row) const noexcept {
    const auto at = static_cast<std::size_t>(row + array_.offset);
    if (kind_ == 'u') return between<std::int32_t>(at);
    if (kind_ == 'U') return between<std::int64_t>(at);
    const char* const view = static_cast<const char*>(array_.buffers[1]) + 16 * at;
    std::int32_t words[4];
    std::memcpy(words, view, sizeof(words));
    const auto length = static_cast<std::size_t>(words[0]);
    if (length <= 12) return {view + 4, length};
    return {static_cast<const char*>(array_.buffers[2 + words[2]]) + words[3], length};
  }

 private:
  template <class Offset>
  std::string_view between(std::size_t at) const noexcept {
    const auto* const offsets = static_cast<const Offset*>(array_.buffers[1]);
    return {static_cast<const char*>(array_.buffers[2]) + offsets[at],
            static_cast<std::size_t>(offsets[at + 1] - offsets[at])};
  }
  char kind_;
  const Array& array_;
};

// Calls `with(pointer to the first row)` for an array of integers, whatever their width; the format is one of cCsSiIlL.
template <class With>
void integers(char format, const Array& array, With&& with) {
  const auto call = [&]<class T>(T) { with(static_cast<const T*>(array.buffers[1]) + array.offset); };
  switch (format) {
    case 'c': return call(std::int8_t{});
    case 'C': return call(std::uint8_t{});
    case 's': return call(std::int16_t{});
    case 'S': return call(std::uint16_t{});
    case 'i': return call(std::int32_t{});
    case 'I': return call(std::uint32_t{});
    default: return call(std::int64_t{});
  }
}

// Calls `each(schema, array)` for every chunk of a column. False if `given` speaks no Arrow, or what it would hand over
// is of a format that `wanted(schema)` does not want.
template <class Wanted, class Each>
bool chunks(py::handle given, Wanted&& wanted, Each&& each) {
  if (py::hasattr(given, "__arrow_c_stream__")) {
    py::object capsule;
    try {
      capsule = given.attr("__arrow_c_stream__")();
    } catch (py::error_already_set&) {
      return false;  // pandas without pyarrow
    }
    auto* const stream = static_cast<Stream*>(PyCapsule_GetPointer(capsule.ptr(), "arrow_array_stream"));
    if (stream == nullptr) throw py::error_already_set();
    Owned<Schema> schema;
    if (stream->get_schema(stream, &schema) != 0 || !wanted(schema)) return false;
    while (true) {
      Owned<Array> array;
      if (stream->get_next(stream, &array) != 0) {
        const char* const why = stream->get_last_error(stream);
        throw py::value_error(std::string("the column could not be read: ") +
                              (why != nullptr ? why : "no reason given"));
      }
      if (array.release == nullptr) return true;
      each(schema, array);
    }
  }
  if (py::hasattr(given, "__arrow_c_array__")) {
    const auto both = given.attr("__arrow_c_array__")().cast<py::tuple>();
    auto* const schema = static_cast<Schema*>(PyCapsule_GetPointer(py::object(both[0]).ptr(), "arrow_schema"));
    auto* const array = static_cast<Array*>(PyCapsule_GetPointer(py::object(both[1]).ptr(), "arrow_array"));
    if (schema == nullptr || array == nullptr) throw py::error_already_set();
    if (!wanted(*schema)) return false;
    each(*schema, *array);
    return true;
  }
  return false;
}

}  // namespace fairlead::bindings::arrow
