#include "fairlead/types.hpp"

#include <pybind11/stl.h>
#include <structmember.h>

#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

template <class Record>
py::tuple names_of() {
  constexpr auto names = field_names<Record>();
  py::tuple out(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) out[i] = py::str(std::string(names[i]));
  return out;
}

// Where the slots of a class lie, in the order of its fields.
bool find_slots(PyTypeObject* type, std::vector<Py_ssize_t>& out) {
  const auto fields = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(reinterpret_cast<PyObject*>(type), "__match_args__"));
  if (!fields || !PyTuple_Check(fields.ptr())) return false;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(fields.ptr()); ++i) {
    PyObject* const slot = PyDict_GetItem(type->tp_dict, PyTuple_GET_ITEM(fields.ptr(), i));  // borrowed
    if (slot == nullptr || Py_TYPE(slot) != &PyMemberDescr_Type) return false;
    const PyMemberDef& member = *reinterpret_cast<PyMemberDescrObject*>(slot)->d_member;
    if (member.type != T_OBJECT_EX) return false;
    out.push_back(member.offset);
  }
  return true;
}

// A record of which everything is known and right: its __init__ would take longer than what the core does.
PyObject* filled(PyObject*, PyObject* const* args, Py_ssize_t n) {
  static PyTypeObject* known = nullptr;
  static std::vector<Py_ssize_t> slots;
  if (n != 2 || !PyType_Check(args[0]) || !PyTuple_CheckExact(args[1])) {
    PyErr_SetString(PyExc_TypeError, "filled takes a class and a tuple");
    return nullptr;
  }
  auto* const type = reinterpret_cast<PyTypeObject*>(args[0]);
  if (type != known) {
    std::vector<Py_ssize_t> found;
    if (!find_slots(type, found)) {
      PyErr_Clear();
      PyErr_SetString(PyExc_TypeError, "the class must be a dataclass with slots");
      return nullptr;
    }
    Py_INCREF(type);
    Py_XDECREF(known);
    known = type;
    slots = std::move(found);
  }
  if (static_cast<std::size_t>(PyTuple_GET_SIZE(args[1])) != slots.size()) {
    PyErr_SetString(PyExc_TypeError, "there must be a value for each field");
    return nullptr;
  }
  PyObject* const out = type->tp_alloc(type, 0);
  if (out == nullptr) return nullptr;
  for (std::size_t i = 0; i < slots.size(); ++i) {
    PyObject* const value = PyTuple_GET_ITEM(args[1], static_cast<Py_ssize_t>(i));
    Py_INCREF(value);
    std::memcpy(reinterpret_cast<char*>(out) + slots[i], &value, sizeof value);
  }
  return out;
}

PyMethodDef filled_method = {"filled", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&filled)), METH_FASTCALL,
                             "filled(cls, values, /)\n--\n\nA dataclass with slots, its fields set to these values as they are."};

}  // namespace

void bind_types(py::module_& m) {
  PyObject* const function = PyCFunction_NewEx(&filled_method, nullptr, m.attr("__name__").ptr());
  if (function == nullptr) throw py::error_already_set();
  m.add_object("filled", py::reinterpret_steal<py::object>(function));

  py::dict records;
  records["Model"] = names_of<Model>();
  records["Task"] = names_of<Task>();
  records["Forecast"] = names_of<Forecast>();
  records["Decision"] = names_of<Decision>();
  records["Outcome"] = names_of<Outcome>();
  m.attr("RECORD_FIELDS") = records;

  py::tuple strategies(strategy_names.size());
  for (std::size_t i = 0; i < strategy_names.size(); ++i) strategies[i] = py::str(std::string(strategy_names[i]));
  m.attr("STRATEGIES") = strategies;
  m.attr("DEFAULT_STRATEGY") = py::str(std::string(strategy_names[static_cast<std::size_t>(default_strategy)]));

  py::dict reasons;
  reasons["single_model"] = py::int_(static_cast<unsigned>(Reason::single_model));
  reasons["no_history"] = py::int_(static_cast<unsigned>(Reason::no_history));
  reasons["equal_weights"] = py::int_(static_cast<unsigned>(Reason::equal_weights));
  reasons["learned_weights"] = py::int_(static_cast<unsigned>(Reason::learned_weights));
  reasons["models_disagree"] = py::int_(static_cast<unsigned>(Reason::models_disagree));
  reasons["models_failed"] = py::int_(static_cast<unsigned>(Reason::models_failed));
  reasons["models_removed"] = py::int_(static_cast<unsigned>(Reason::models_removed));
  reasons["in_emergency"] = py::int_(static_cast<unsigned>(Reason::in_emergency));
  reasons["no_consensus"] = py::int_(static_cast<unsigned>(Reason::no_consensus));
  reasons["by_confidence"] = py::int_(static_cast<unsigned>(Reason::by_confidence));
  reasons["drawdown_limit"] = py::int_(static_cast<unsigned>(Reason::drawdown_limit));
  reasons["weights_given"] = py::int_(static_cast<unsigned>(Reason::weights_given));
  reasons["mixed_by_record"] = py::int_(static_cast<unsigned>(Reason::mixed_by_record));
  reasons["by_agreement"] = py::int_(static_cast<unsigned>(Reason::by_agreement));
  m.attr("REASONS") = reasons;
}

}  // namespace fairlead::bindings
