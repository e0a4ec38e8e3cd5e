// What the methods of the Python class Windows share: keys of several parts, arguments, errors.
#pragma once

#include <cmath>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common.hpp"
#include "fairlead/windows.hpp"
#include "series.hpp"

namespace fairlead::bindings {

using Handle = Windows::Handle;

// What Python calls Windows: labels of windows and statistics, and keys of several parts.
struct NamedWindows {
  Windows core;
  std::vector<std::string> windows, stats, keys;  // labels as they were given; the names of a key's parts
  std::string scratch;

  py::ssize_t rows() const { return static_cast<py::ssize_t>(windows.size()); }
  py::ssize_t columns() const { return static_cast<py::ssize_t>(stats.size()); }
};

// --- keys ----------------------------------------------------------------------------------------------------------

inline std::string_view text(PyObject* part) {
  Py_ssize_t length = 0;
  const char* const utf8 = PyUnicode_AsUTF8AndSize(part, &length);
  if (utf8 == nullptr) throw py::error_already_set();  // names what is no str
  return {utf8, static_cast<std::size_t>(length)};
}

[[noreturn]] inline void wrong_key(const NamedWindows& w, PyObject* given) {
  std::string parts;
  for (const std::string& name : w.keys) parts += (parts.empty() ? "" : ", ") + name;
  throw py::type_error("key is " + py::repr(given).cast<std::string>() + ", must be " +
                       (w.keys.size() == 1 ? "a str: " : std::to_string(w.keys.size()) + " parts, each a str: ") +
                       parts);
}

// One part is its own name; several are written one after the other, each behind its length.
inline std::string_view name_of(NamedWindows& w, PyObject* const* parts, std::size_t n, PyObject* given) {
  if (n != w.keys.size()) wrong_key(w, given);
  for (std::size_t i = 0; i < n; ++i) {
    if (!PyUnicode_Check(parts[i])) wrong_key(w, given);
  }
  if (n == 1) return text(parts[0]);
  w.scratch.clear();
  for (std::size_t i = 0; i < n; ++i) {
    const std::string_view part = text(parts[i]);
    const auto length = static_cast<std::uint32_t>(part.size());
    w.scratch.append(reinterpret_cast<const char*>(&length), sizeof(length));
    w.scratch.append(part);
  }
  return w.scratch;
}

inline bool is_key(PyObject* given) { return PyUnicode_Check(given) || PyTuple_Check(given); }

inline std::string_view name_of(NamedWindows& w, PyObject* given) {
  if (PyUnicode_Check(given)) return name_of(w, &given, 1, given);
  std::vector<PyObject*> parts(static_cast<std::size_t>(PyTuple_GET_SIZE(given)));
  for (std::size_t i = 0; i < parts.size(); ++i) parts[i] = PyTuple_GET_ITEM(given, static_cast<Py_ssize_t>(i));
  return name_of(w, parts.data(), parts.size(), given);
}

inline py::object key_of(const NamedWindows& w, Handle h) {
  const std::string& name = w.core.names().name(h);
  if (w.keys.size() == 1) return py::str(name);
  py::tuple parts(w.keys.size());
  for (std::size_t i = 0, at = 0; i < w.keys.size(); ++i) {
    std::uint32_t length = 0;
    if (at + sizeof(length) > name.size()) throw py::value_error("the snapshot holds a key that is none");
    std::memcpy(&length, name.data() + at, sizeof(length));
    parts[i] = py::str(name.substr(at += sizeof(length), length));
    at += length;
  }
  return parts;
}

// A handle, as it is or of a known key.
inline Handle handle_of(NamedWindows& w, PyObject* given) {
  if (is_key(given)) {
    const Handle h = w.core.find(name_of(w, given));
    if (h == NameTable::absent) throw py::key_error("no key is " + py::repr(given).cast<std::string>());
    return h;
  }
  if (!PyIndex_Check(given))
    throw py::type_error("h is " + py::repr(given).cast<std::string>() + ", must be a handle (int) or a key");
  const long long h = PyLong_AsLongLong(given);
  if (h == -1 && PyErr_Occurred()) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError))
      PyErr_Clear();
    else
      throw py::error_already_set();
  }
  if (h < 0 || static_cast<std::size_t>(h) >= w.core.size()) {
    throw py::key_error("no key has the handle " + py::repr(given).cast<std::string>() + "; get handles from handle()");
  }
  return static_cast<Handle>(h);
}

// --- arguments -----------------------------------------------------------------------------------------------------

inline py::object nanoseconds_of(py::handle given, const char* argument) {
  return py::module_::import("fairlead.measure.rolling").attr("_nanoseconds")(given, argument);
}

inline std::int64_t time_of(PyObject* given) {
  if (PyLong_CheckExact(given)) {
    const long long time = PyLong_AsLongLong(given);
    if (time != -1 || !PyErr_Occurred()) return time;
    PyErr_Clear();  // as_time says it better
  }
  const py::handle time(given);
  if (py::hasattr(time, "dtype") && py::object(time.attr("dtype").attr("kind")).equal(py::str("M")))
    return py::int_(nanoseconds_of(time, "ts")).cast<std::int64_t>();
  if (py::hasattr(time, "nanosecond")) {  // of pandas, whose NaT differs from itself
    if (py::object(time.attr("__ne__")(time)).equal(py::bool_(true))) throw py::value_error("ts is NaT");
  }
  return py::module_::import("fairlead.times").attr("as_time")(time, "ts").cast<std::int64_t>();
}

// Integers as they are; all other notations are read where those of fairlead.rolling are.
inline Array<std::int64_t> times_of(py::handle given) {
  if (py::isinstance<py::array>(given)) {
    const char kind = py::reinterpret_borrow<py::array>(given).dtype().kind();
    if (kind == 'i' || kind == 'u') return whole_times(given);
  }
  return whole_times(nanoseconds_of(given, "times"));
}

// Where to write rows x columns: numpy's own fields tell whether a plain array fits, in a few nanoseconds.
inline double* cells_of(const NamedWindows& w, PyObject* out) {
  static PyTypeObject* const array_type =
      reinterpret_cast<PyTypeObject*>(py::module_::import("numpy").attr("ndarray").ptr());
  static PyObject* const float64 = py::dtype::of<double>().release().ptr();
  constexpr int good = py::detail::npy_api::NPY_ARRAY_C_CONTIGUOUS_ | py::detail::npy_api::NPY_ARRAY_ALIGNED_ |
                       py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  if (Py_TYPE(out) == array_type) {
    const auto* const array = py::detail::array_proxy(out);
    if (array->nd == 2 && array->descr == float64 && (array->flags & good) == good &&
        array->dimensions[0] == w.rows() && array->dimensions[1] == w.columns()) {
      return reinterpret_cast<double*>(array->data);
    }
  }
  return output(out, {w.rows(), w.columns()}).mutable_data();
}

inline std::span<double> span_of(const NamedWindows& w, double* cells) { return {cells, w.core.cells()}; }

[[noreturn]] inline void explain(Status status, const NamedWindows& w, Handle h, std::int64_t time, double x, double y,
                                 const std::string& at) {
  switch (status) {
    case Status::not_finite:
      if (std::isfinite(x)) throw py::value_error("y" + at + " is " + show(y) + ", must be finite");
      throw py::value_error("x" + at + " is " + show(x) + ", must be finite");
    case Status::late_event: {
      const Time* const newest = w.core.has(h) ? w.core.newest(h) : nullptr;
      throw py::value_error((at.empty() ? "ts" : "times") + at + " is " + std::to_string(time) + ", before the newest time of its key" +
                            (at.empty() && newest != nullptr ? ", " + std::to_string(*newest) : ""));
    }
    case Status::window_full:
      throw py::value_error("max_samples is " + std::to_string(w.core.options().max_samples) + ": the sample" + at +
                            " would be one more");
    default: raise(status, "");
  }
}

}  // namespace fairlead::bindings
