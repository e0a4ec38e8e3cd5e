// Series from Python: their times, and results that may lie over what is still to be read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "arrays.hpp"

namespace fairlead::bindings {

// Integer nanoseconds; uint64 only where it fits.
inline Array<Time> whole_times(py::handle given) {
  const py::array array = py::array::ensure(given);
  if (!array) PyErr_Clear();
  Array<Time> times = numbers<Time>(array ? py::handle(array) : given, "times", 1, "iu");
  if (!array || array.dtype().kind() != 'u') return times;
  for (py::ssize_t i = 0; i < times.size(); ++i) {
    if (times.data()[i] >= 0) continue;
    const auto time = static_cast<std::uint64_t>(times.data()[i]);
    throw py::value_error("times[" + std::to_string(i) + "] is " + std::to_string(time) +
                          ", outside the 64-bit nanoseconds (years 1677 to 2262)");
  }
  return times;
}

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
