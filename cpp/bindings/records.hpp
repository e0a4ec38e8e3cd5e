// Whole records in memory that came from Python: checked before anything walks them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "arrays.hpp"
#include "fairlead/journal/format.hpp"

namespace fairlead::bindings {

// The bytes of a contiguous numpy array of uint8 whose memory is aligned for records; nothing is copied.
inline std::span<const std::byte> record_bytes(py::handle given) {
  if (!py::isinstance<py::array_t<std::uint8_t>>(given)) throw py::type_error("records must be a numpy array of uint8");
  const auto array = py::reinterpret_borrow<py::array>(given);
  if (array.ndim() != 1 || (array.flags() & py::array::c_style) == 0) {
    throw py::type_error("records must be a contiguous array of one dimension");
  }
  if (reinterpret_cast<std::uintptr_t>(array.data()) % journal::record_alignment != 0) {
    throw py::value_error("records must lie at a multiple of 8 bytes");
  }
  return {static_cast<const std::byte*>(array.data()), static_cast<std::size_t>(array.size())};
}

// How many there are. Raises ValueError where a length does not fit.
inline std::size_t count_records(std::span<const std::byte> bytes) {
  std::size_t n = 0, at = 0;
  while (at < bytes.size()) {
    const std::size_t left = bytes.size() - at;
    const auto* const header = reinterpret_cast<const journal::RecordHeader*>(bytes.data() + at);
    if (left < sizeof *header || header->length < sizeof *header || journal::padded(header->length) > left) {
      throw py::value_error("records: no whole record at byte " + std::to_string(at));
    }
    at += journal::padded(header->length);
    ++n;
  }
  return n;
}

}  // namespace fairlead::bindings
