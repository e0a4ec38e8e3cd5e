// How the fleet's fast methods read Python's records: their fields by interned names, without a copy.
#pragma once

#include <pybind11/gil_safe_call_once.h>

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "fleet.hpp"

// A namespace of its own: other headers have helpers of the same names.
namespace fairlead::bindings::fleet_records {

// Python's records and the names of their fields, looked up once.
struct Records {
  py::object task, forecast;
  PyObject *id, *kind, *category, *text, *labels, *stake_usd, *regime, *expires_in_s, *slices, *time;
  PyObject *model, *p, *value, *confidence, *latency_ms, *tokens_in, *tokens_out, *cost_usd, *error;
  std::array<py::object, 3> kinds;
};

inline const Records& records() {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Records> stored;
  return stored
      .call_once_and_store_result([] {
        const py::module_ types = py::module_::import("fairlead.types");
        Records r;
        r.task = types.attr("Task");
        r.forecast = types.attr("Forecast");
        const auto intern = [](PyObject*& out, const char* name) { out = PyUnicode_InternFromString(name); };
        intern(r.id, "id"), intern(r.kind, "kind"), intern(r.category, "category"), intern(r.text, "text");
        intern(r.labels, "labels"), intern(r.stake_usd, "stake_usd"), intern(r.regime, "regime");
        intern(r.expires_in_s, "expires_in_s"), intern(r.slices, "slices"), intern(r.time, "time");
        intern(r.model, "model"), intern(r.p, "p"), intern(r.value, "value"), intern(r.confidence, "confidence");
        intern(r.latency_ms, "latency_ms"), intern(r.tokens_in, "tokens_in"), intern(r.tokens_out, "tokens_out");
        intern(r.cost_usd, "cost_usd"), intern(r.error, "error");
        const py::tuple kinds = types.attr("KINDS");
        for (std::size_t i = 0; i < r.kinds.size(); ++i) r.kinds[i] = kinds[i];
        return r;
      })
      .get_stored();
}

inline bool is_a(PyObject* value, const py::object& type) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(value)) == type.ptr()) return true;
  const int is = PyObject_IsInstance(value, type.ptr());
  if (is < 0) throw py::error_already_set();
  return is == 1;
}

inline py::object get(PyObject* record, PyObject* name) {
  PyObject* const value = PyObject_GetAttr(record, name);
  if (value == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(value);
}

// The UTF-8 of a string, which lives as long as the string.
inline std::string_view utf8(PyObject* value) {
  Py_ssize_t size = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(value, &size);
  if (text == nullptr) throw py::error_already_set();
  return {text, static_cast<std::size_t>(size)};
}

inline py::str str(std::string_view text) { return {text.data(), text.size()}; }

inline double real(PyObject* value, double otherwise) {
  if (value == Py_None) return otherwise;
  if (PyFloat_CheckExact(value)) return PyFloat_AS_DOUBLE(value);
  const double x = PyFloat_AsDouble(value);
  if (x == -1.0 && PyErr_Occurred()) throw py::error_already_set();
  return x;
}

inline std::int64_t integer(PyObject* value) {
  const long long x = PyLong_AsLongLong(value);
  if (x == -1 && PyErr_Occurred()) throw py::error_already_set();
  return x;
}

inline Time read(PyObject* clock) {
  PyObject* const now = PyObject_CallNoArgs(clock);
  if (now == nullptr) throw py::error_already_set();
  const auto held = py::reinterpret_steal<py::object>(now);
  const long long time = PyLong_AsLongLong(now);
  if (time != -1 || PyErr_Occurred() == nullptr) return time;
  if (PyErr_ExceptionMatches(PyExc_TypeError) || PyErr_ExceptionMatches(PyExc_OverflowError)) {
    PyErr_Clear();
    const py::object invalid = py::module_::import("fairlead.errors").attr("InvalidRecordError");
    PyErr_Format(invalid.ptr(), "clock gave %R, must give integer nanoseconds since the epoch", now);
  }
  throw py::error_already_set();
}

// A Task of Python's, read once; the strings are views into its fields, which it holds.
struct ReadTask {
  ReadTask(PyObject* record, HeldFleet& fleet) {
    const Records& r = records();
    fields = {get(record, r.id),        get(record, r.kind),   get(record, r.category),     get(record, r.text),
              get(record, r.labels),    get(record, r.regime), get(record, r.slices),       get(record, r.stake_usd),
              get(record, r.expires_in_s), get(record, r.time)};
    view.id = utf8(fields[0].ptr());
    view.category = utf8(fields[2].ptr());
    view.text = utf8(fields[3].ptr());
    view.regime = utf8(fields[5].ptr());
    for (std::size_t i = 0; i < r.kinds.size(); ++i) {
      if (fields[1].ptr() == r.kinds[i].ptr() || fields[1].equal(r.kinds[i])) view.kind = static_cast<Kind>(i);
    }
    if (!PyTuple_Check(fields[4].ptr()) || !PyDict_Check(fields[6].ptr())) throw py::type_error("not a Task");
    fleet.label_views.clear();
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields[4].ptr()); ++i) {
      fleet.label_views.push_back(utf8(PyTuple_GET_ITEM(fields[4].ptr(), i)));
    }
    fleet.slice_views.clear();
    PyObject *name = nullptr, *value = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(fields[6].ptr(), &at, &name, &value) != 0;) {
      fleet.slice_views.push_back({utf8(name), utf8(value)});
    }
    view.labels = fleet.label_views;
    view.slices = fleet.slice_views;
    view.stake_usd = real(fields[7].ptr(), 0.0);
    view.expires_in_s = real(fields[8].ptr(), nan);
    view.time = integer(fields[9].ptr());
  }

  std::array<py::object, 10> fields;
  Task view;
};

inline PyObject* status_of(Status status) {
  if (status == Status::out_of_memory) throw std::bad_alloc();
  return PyLong_FromLong(static_cast<long>(status));
}

}  // namespace fairlead::bindings::fleet_records
