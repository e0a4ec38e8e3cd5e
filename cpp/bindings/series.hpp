// Series from Python: results that may lie over what is still to be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "arrays.hpp"

namespace fairlead::bindings {

inline bool overlap(const void* a, py::ssize_t bytes_of_a, const void* b, py::ssize_t bytes_of_b) {
  const auto from = reinterpret_cast<std::uintptr_t>(a), other = reinterpret_cast<std::uintptr_t>(b);
  return from < other + static_cast<std::uintptr_t>(bytes_of_b) && other < from + static_cast<std::uintptr_t>(bytes_of_a);
}

// A copy where a result would be written over what is still to be read.
template <class A>
void part(A& input, const py::array& out) {
  if (overlap(input.data(), input.nbytes(), out.data(), out.nbytes())) input = A(py::array(input).attr("copy")());
}

}  // namespace fairlead::bindings
