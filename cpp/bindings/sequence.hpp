// Real numbers from a list, a tuple or a float64 array, read in place: making an array of eight numbers costs more than
// what hot methods do with them.
#pragma once

#include <pybind11/numpy.h>

#include <array>
#include <limits>
#include <span>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

class Sequence {
 public:
  // False, with no exception set, for anything else than one dimension of such numbers. None counts as NaN.
  bool read(PyObject* given) {
    if (PyList_CheckExact(given) || PyTuple_CheckExact(given)) {
      const bool list = PyList_CheckExact(given);
      const Py_ssize_t n = list ? PyList_GET_SIZE(given) : PyTuple_GET_SIZE(given);
      double* const to = reserve(static_cast<std::size_t>(n));
      for (Py_ssize_t i = 0; i < n; ++i) {
        PyObject* const item = list ? PyList_GET_ITEM(given, i) : PyTuple_GET_ITEM(given, i);
        if (PyFloat_CheckExact(item)) {
          to[i] = PyFloat_AS_DOUBLE(item);
        } else if (item == Py_None) {
          to[i] = std::numeric_limits<double>::quiet_NaN();
        } else if (PyFloat_Check(item) || PyLong_CheckExact(item)) {
          to[i] = PyFloat_AsDouble(item);
          if (to[i] == -1.0 && PyErr_Occurred()) {
            PyErr_Clear();
            return false;
          }
        } else {
          return false;
        }
      }
      values_ = {to, static_cast<std::size_t>(n)};
      return true;
    }
    return read_array(given);
  }

  // Other values, copied.
  void assign(std::span<const double> values) {
    double* const to = reserve(values.size());
    std::copy(values.begin(), values.end(), to);
    values_ = {to, values.size()};
  }

  std::span<const double> view() const noexcept { return values_; }

 private:
  bool read_array(PyObject* given) {
    if (!is_array(given)) return false;
    const auto* const array = py::detail::array_proxy(given);
    if (array->nd != 1 || array->strides[0] != static_cast<py::ssize_t>(sizeof(double))) return false;
    if (py::detail::array_descriptor_proxy(array->descr)->type_num != py::detail::npy_api::NPY_DOUBLE_) return false;
    constexpr int usable = py::detail::npy_api::NPY_ARRAY_ALIGNED_;
    if (!py::detail::check_flags(given, usable) || !native_order(array->descr)) return false;
    values_ = {reinterpret_cast<const double*>(array->data), static_cast<std::size_t>(array->dimensions[0])};
    return true;
  }

  static bool is_array(PyObject* given) { return py::detail::npy_api::get().PyArray_Check_(given); }
  static bool native_order(PyObject* descr) { return py::detail::array_descriptor_proxy(descr)->byteorder != '>'; }

  double* reserve(std::size_t n) {
    if (n <= few_.size()) return few_.data();
    many_.resize(n);
    return many_.data();
  }

  std::array<double, 64> few_;  // left as it comes: clearing it would cost more than a pool
  std::vector<double> many_;
  std::span<const double> values_;
};

}  // namespace fairlead::bindings
