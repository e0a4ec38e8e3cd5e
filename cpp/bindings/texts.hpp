// Texts from Python as UTF-8.
#pragma once

#include <string_view>
#include <utility>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

// A str as UTF-8. Half a surrogate pair, which has none, counts as three bytes; `kept` holds them.
inline std::string_view utf8(PyObject* text, py::object& kept) {
  if (!PyUnicode_Check(text)) throw py::type_error("text is a " + std::string(Py_TYPE(text)->tp_name) + ", must be a str");
  Py_ssize_t size = 0;
  if (const char* const data = PyUnicode_AsUTF8AndSize(text, &size); data != nullptr) return {data, static_cast<std::size_t>(size)};
  if (PyErr_ExceptionMatches(PyExc_UnicodeEncodeError) == 0) throw py::error_already_set();
  PyErr_Clear();
  kept = py::reinterpret_steal<py::object>(PyUnicode_AsEncodedString(text, "utf-8", "surrogatepass"));
  if (!kept) throw py::error_already_set();
  return {PyBytes_AS_STRING(kept.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(kept.ptr()))};
}

// Texts and what keeps them alive.
struct Texts {
  std::vector<std::string_view> views;
  std::vector<py::object> kept;

  explicit Texts(const py::sequence& given) {
    if (py::isinstance<py::str>(given)) throw py::type_error("texts is one str, must be a sequence of them");
    for (const py::handle item : given) {
      kept.push_back(py::reinterpret_borrow<py::object>(item));
      py::object bytes;
      views.push_back(utf8(item.ptr(), bytes));
      if (bytes) kept.push_back(std::move(bytes));
    }
  }
};

}  // namespace fairlead::bindings
