#include "players.hpp"

#include <deque>

namespace fairlead::bindings {

namespace {

[[noreturn]] void bad_row(const char* argument, std::size_t row, PyObject* value) {
  throw py::type_error(std::string(argument) + "[" + std::to_string(row) + "] is " + py::repr(value).cast<std::string>() +
                       ", must be a name (str) or an id (int)");
}

}  // namespace

// str objects are borrowed from a list or an array that nothing changes meanwhile, so that they can be told by address.
void Players::from_objects(PyObject* const* values, std::size_t n, const char* argument, Ids& out) {
  struct Slot {
    PyObject* name = nullptr;
    std::int32_t id = -1;
  };
  const int bits = n >= 16384 ? 16 : 10;
  std::vector<Slot> slots(std::size_t{1} << bits);
  std::size_t misses = 0;
  bool cache = true;  // of no use where every row has a str of its own
  out.resize(n);
  for (std::size_t k = 0; k < n; ++k) {
    PyObject* const value = values[k];
    Slot& slot = slots[(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(value)) * 0x9e3779b97f4a7c15u) >> (64 - bits)];
    if (slot.name == value) {
      out[k] = slot.id;
      continue;
    }
    if (value != nullptr && PyUnicode_CheckExact(value)) {
      out[k] = id(utf8(value));
      if (cache) slot = {value, out[k]};
      if (++misses == 8192) cache = k > 4 * misses;
    } else if (value == nullptr || !small_int(value, out[k])) {
      if (value != nullptr && PyUnicode_Check(value)) {
        out[k] = id(utf8(value));
      } else if (value != nullptr && PyIndex_Check(value)) {
        int overflow = 0;
        const long long wide = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (wide == -1 && PyErr_Occurred()) throw py::error_already_set();
        out[k] = overflow == 0 && wide >= 0 && wide <= 0x7fffffff ? static_cast<std::int32_t>(wide) : -1;
      } else {
        bad_row(argument, k, value != nullptr ? value : Py_None);
      }
    }
  }
}

bool Players::from_arrow(py::handle, const char*, Ids&) { return false; }
bool Players::from_categories(py::handle, const char*, Ids&) { return false; }

std::span<const std::int32_t> Players::column(py::handle given, const char* argument) {
  if (PyList_CheckExact(given.ptr()) || PyTuple_CheckExact(given.ptr())) {
    Ids& out = owned_.emplace_back();
    // A tuple of our own: an __index__ of a value could change the list.
    const auto values = py::reinterpret_steal<py::tuple>(PySequence_Tuple(given.ptr()));
    if (!values) throw py::error_already_set();
    from_objects(PySequence_Fast_ITEMS(values.ptr()), values.size(), argument, out);
    return out;
  }
  if (py::isinstance<py::array>(given)) {
    const auto array = py::reinterpret_borrow<py::array>(given);
    const char kind = array.dtype().kind();
    if (array.ndim() == 1 && (kind == 'O' || kind == 'U' || kind == 'T')) return column(array.attr("tolist")(), argument);
    held_.push_back(ids(given, argument));
    return view(held_.back());
  }
  Ids& out = owned_.emplace_back();
  if (from_categories(given, argument, out) || from_arrow(given, argument, out)) return out;
  if (PyUnicode_Check(given.ptr())) {
    throw py::type_error(std::string(argument) + " is one str, must be a column of names or ids; use update for one match");
  }
  py::object array = py::array::ensure(given);
  if (!array) {
    PyErr_Clear();
    throw py::type_error(std::string(argument) + " is " + py::repr(py::type::of(given)).cast<std::string>() +
                         ", must be a column of names (str) or ids (int)");
  }
  return column(array, argument);
}

}  // namespace fairlead::bindings
