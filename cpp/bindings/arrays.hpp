// Arrays from Python, with errors that name the argument. Nothing is copied where the dtype and the layout fit.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <span>
#include <string>

#include "common.hpp"

namespace fairlead::bindings {

template <class T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

inline std::string shape_of(const py::array& array) {
  const std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
  return py::str(py::tuple(py::cast(shape))).cast<std::string>();
}

// A contiguous array of real numbers from whatever numpy can make one of; `kinds` are the dtype kinds that are allowed.
template <class T>
Array<T> numbers(py::handle given, const char* name, py::ssize_t ndim = 1, const char* kinds = "biuf") {
  py::array array = py::array::ensure(given);
  if (!array) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + " is " + py::repr(py::type::of(given)).cast<std::string>() +
                         ", must be an array of numbers");
  }
  // An empty list comes as float64.
  if (array.size() > 0 && std::string(kinds).find(array.dtype().kind()) == std::string::npos) {
    throw py::type_error(std::string(name) + " has dtype " + py::str(array.dtype()).cast<std::string>() + ", must be " +
                         (std::string(kinds) == "iu" ? "integers" : "real numbers"));
  }
  if (array.ndim() != ndim) {
    throw py::value_error(std::string(name) + " has shape " + shape_of(array) + ", must have " + std::to_string(ndim) +
                          (ndim == 1 ? " dimension" : " dimensions"));
  }
  return Array<T>(array);
}

template <class T>
std::span<const T> view(const Array<T>& array) {
  return {array.data(), static_cast<std::size_t>(array.size())};
}

// Ids and other integers. int32 and int64 arrays are read as they are; an id that does not fit 32 bits becomes -1.
inline Array<std::int32_t> ids(py::handle given, const char* name) {
  const Array<std::int64_t> wide = [&] {
    if (py::isinstance<Array<std::int32_t>>(given)) return Array<std::int64_t>();
    return numbers<std::int64_t>(given, name, 1, "iu");
  }();
  if (wide.ndim() == 1 && wide.size() > 0) {
    Array<std::int32_t> narrow(wide.size());
    std::int32_t* const to = narrow.mutable_data();
    for (py::ssize_t i = 0; i < wide.size(); ++i) {
      const std::int64_t id = wide.data()[i];
      to[i] = id >= 0 && id <= 0x7fffffff ? static_cast<std::int32_t>(id) : -1;
    }
    return narrow;
  }
  return numbers<std::int32_t>(given, name, 1, "iuf");  // int32, or empty
}

// Integer nanoseconds; uint64 only where it fits.
inline Array<std::int64_t> whole_times(py::handle given, const char* argument = "times") {
  const py::array array = py::array::ensure(given);
  if (!array) PyErr_Clear();
  Array<std::int64_t> times = numbers<std::int64_t>(array ? py::handle(array) : given, argument, 1, "iu");
  if (!array || array.dtype().kind() != 'u') return times;
  for (py::ssize_t i = 0; i < times.size(); ++i) {
    if (times.data()[i] >= 0) continue;
    const auto time = static_cast<std::uint64_t>(times.data()[i]);
    throw py::value_error(std::string(argument) + "[" + std::to_string(i) + "] is " + std::to_string(time) +
                          ", outside the 64-bit nanoseconds (years 1677 to 2262)");
  }
  return times;
}

inline void check_length(py::ssize_t length, const char* name, py::ssize_t expected, const char* other) {
  if (length != expected) {
    throw py::value_error(std::string(name) + " has length " + std::to_string(length) + ", " + other +
                          " has " + std::to_string(expected));
  }
}

// Where a result goes: `out` if it is a writable C-contiguous float64 array of this shape, else a new one for None.
inline py::array_t<double> output(py::handle out, std::vector<py::ssize_t> shape) {
  if (out.is_none()) return py::array_t<double>(std::move(shape));
  if (!py::isinstance<py::array_t<double, py::array::c_style>>(out)) {
    throw py::type_error("out is " + py::repr(py::type::of(out)).cast<std::string>() +
                         ", must be a C-contiguous float64 array");
  }
  auto array = py::reinterpret_borrow<py::array_t<double>>(out);
  if (!array.writeable()) throw py::value_error("out is read-only");
  if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
    throw py::value_error("out has shape " + shape_of(array) + ", must have " +
                          py::str(py::tuple(py::cast(shape))).cast<std::string>());
  }
  return array;
}

}  // namespace fairlead::bindings
