// What every binding file needs: errors as exceptions, and hot methods that bypass pybind11's dispatcher.
#pragma once

#include <pybind11/pybind11.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead::bindings {

namespace py = pybind11;

// A value as it appears in an error message: 1.3, 0.72, nan.
inline std::string show(double value) { return py::repr(py::float_(value)).cast<std::string>(); }

// Raises one of the package's own exceptions, fairlead.errors.<name>.
[[noreturn]] inline void raise_named(const char* name, const std::string& text) {
  const py::object type = py::module_::import("fairlead.errors").attr(name);
  PyErr_SetString(type.ptr(), text.c_str());
  throw py::error_already_set();
}

[[noreturn]] inline void raise(Status status, const std::string& what) {
  const std::string text = what.empty() ? message(status) : what + ": " + message(status);
  switch (status) {
    case Status::unknown_model:
    case Status::unknown_slice:
    case Status::unknown_key:
    case Status::stale_task: throw py::key_error(text);
    case Status::out_of_memory: throw std::bad_alloc();
    case Status::journal_full:
    case Status::journal_dropped: raise_named("JournalFullError", text);
    case Status::journal_locked: raise_named("JournalLockedError", text);
    case Status::bad_event:
    case Status::journal_damaged: raise_named("JournalDamagedError", text);
    case Status::journal_failed:
    case Status::journal_closed:
    case Status::not_a_journal:
    case Status::unknown_format:
    case Status::system_refused: raise_named("JournalError", text);
    case Status::timed_out:
      PyErr_SetString(PyExc_TimeoutError, text.c_str());
      throw py::error_already_set();
    default: throw py::value_error(text);
  }
}

inline void check(Status status, const std::string& what = {}) {
  if (status != Status::ok) raise(status, what);
}

// Bounds within which no rating overflows.
inline void check_elo_options(double k, double scale, double start) {
  if (!(k > 0.0 && k <= 1e6)) throw py::value_error("k is " + show(k) + ", outside (0, 1e6]");
  if (!(scale >= 1e-3 && scale <= 1e9)) throw py::value_error("scale is " + show(scale) + ", outside [1e-3, 1e9]");
  if (!(std::abs(start) <= 1e9)) throw py::value_error("start is " + show(start) + ", outside [-1e9, 1e9]");
}

// --- METH_FASTCALL methods ---------------------------------------------------------------------------------------
// A bound pybind11 method costs about 70 ns a call, a METH_FASTCALL method on the same class about 25. So the few hot
// methods are plain C functions, attached to the pybind11 class as method descriptors, which check the type of self.

// The C++ object behind self; nullptr with an exception set if __init__ never ran.
template <class T>
T* native(PyObject* self) noexcept {
  auto* const instance = reinterpret_cast<py::detail::instance*>(self);
  // Only a class with one C++ base has the simple layout; a Python class with several has a value for each.
  void* const value = instance->simple_layout
                          ? instance->simple_value_holder[0]
                          : instance->get_value_and_holder(py::detail::get_type_info(typeid(T))).value_ptr();
  if (value == nullptr) PyErr_SetString(PyExc_TypeError, "__init__ of this object has not been called");
  return static_cast<T*>(value);
}

// `method` must have static storage: Python keeps a pointer to it.
template <class Class>
void attach(Class& cls, PyMethodDef& method) {
  PyObject* const descriptor = PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls.ptr()), &method);
  if (descriptor == nullptr) throw py::error_already_set();
  cls.attr(method.ml_name) = py::reinterpret_steal<py::object>(descriptor);
}

using FastFunction = PyObject* (*)(PyObject*, PyObject* const*, Py_ssize_t);

inline PyMethodDef fast_method(const char* name, FastFunction function, const char* doc) {
  return {name, reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(function)), METH_FASTCALL, doc};
}

// Runs the body of a fast method and turns C++ exceptions into Python ones.
template <class Body>
PyObject* guarded(Body&& body) noexcept {
  try {
    return body();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

// Positional arguments of a fast method. Each getter throws what Python raised for a wrong type.
class Arguments {
 public:
  Arguments(const char* method, PyObject* const* values, Py_ssize_t n, Py_ssize_t least, Py_ssize_t most)
      : values_(values), n_(n) {
    if (n < least || n > most) {
      const std::string expected =
          least == most ? std::to_string(least) : "from " + std::to_string(least) + " to " + std::to_string(most);
      throw py::type_error(std::string(method) + "() takes " + expected + " positional arguments, " +
                           std::to_string(n) + " given");
    }
  }

  PyObject* object(Py_ssize_t i) const noexcept { return i < n_ ? values_[i] : Py_None; }
  bool given(Py_ssize_t i) const noexcept { return i < n_ && values_[i] != Py_None; }

  double real(Py_ssize_t i) const {
    PyObject* const value = values_[i];
    if (PyFloat_CheckExact(value)) return PyFloat_AS_DOUBLE(value);
    const double result = PyFloat_AsDouble(value);
    if (result == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    return result;
  }
  double real(Py_ssize_t i, double otherwise) const { return given(i) ? real(i) : otherwise; }

  std::int64_t integer(Py_ssize_t i) const {
#if PY_VERSION_HEX < 0x030c0000 && PYLONG_BITS_IN_DIGIT == 30
    // Nanoseconds have three digits of 30 bits, for which PyLong_AsLongLong goes through an array of bytes.
    if (PyLong_CheckExact(values_[i])) {
      const auto* const digit = reinterpret_cast<const PyLongObject*>(values_[i])->ob_digit;
      const Py_ssize_t digits = Py_SIZE(values_[i]);
      if (digits == 1) return digit[0];
      if (digits == 2) return std::int64_t{digit[0]} | std::int64_t{digit[1]} << 30;
      if (digits == 3 && digit[2] < 8) return std::int64_t{digit[0]} | std::int64_t{digit[1]} << 30 | std::int64_t{digit[2]} << 60;
    }
#endif
    const long long result = PyLong_AsLongLong(values_[i]);
    if (result == -1 && PyErr_Occurred()) throw py::error_already_set();
    return result;
  }
  std::int64_t integer(Py_ssize_t i, std::int64_t otherwise) const { return given(i) ? integer(i) : otherwise; }

  // An id: what does not fit 32 bits is no id of ours.
  std::int32_t id(Py_ssize_t i) const {
    const std::int64_t wide = integer(i);
    return wide >= 0 && wide <= 0x7fffffff ? static_cast<std::int32_t>(wide) : -1;
  }

  bool truth(Py_ssize_t i, bool otherwise) const {
    if (!given(i)) return otherwise;
    const int result = PyObject_IsTrue(values_[i]);
    if (result < 0) throw py::error_already_set();
    return result != 0;
  }

 private:
  PyObject* const* values_;
  Py_ssize_t n_;
};

}  // namespace fairlead::bindings
