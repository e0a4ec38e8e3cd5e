// What the Python faces of all drift detectors share.
#pragma once

#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/detectors.hpp"

namespace fairlead::bindings {

inline Direction direction(py::handle given) {
  const std::string said = "mode is " + py::repr(given).cast<std::string>() + ", must be 'up', 'down' or 'both'";
  if (!py::isinstance<py::str>(given)) throw py::type_error(said);
  const auto mode = given.cast<std::string>();
  if (mode == "up") return Direction::up;
  if (mode == "down") return Direction::down;
  if (mode == "both") return Direction::both;
  throw py::value_error(said);
}

inline std::uint64_t seed_of(py::handle given) {
  const std::string said = "seed is " + py::repr(given).cast<std::string>() + ", must be ";
  const auto whole = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()));
  if (!whole) {
    PyErr_Clear();
    throw py::type_error(said + "a whole number");
  }
  const std::uint64_t seed = PyLong_AsUnsignedLongLong(whole.ptr());
  if (PyErr_Occurred()) {
    PyErr_Clear();
    throw py::value_error(said + "from 0 to 2**64 - 1");
  }
  return seed;
}

inline const char* text(Direction mode) noexcept {
  return mode == Direction::up ? "up" : mode == Direction::down ? "down" : "both";
}

// An option that may be left open, as the core wants it. NaN is no such option.
inline double open_option(const std::optional<double>& given, const char* name) {
  if (given && std::isnan(*given)) throw py::value_error(std::string(name) + " is nan");
  return given.value_or(nan);
}

template <class D>
D make_detector(const typename D::Options& options) {
  if (const auto fault = D::fault(options)) {
    const auto is = [](const char* option, double value) {
      const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
      return std::string(option) + " is " + (whole ? std::to_string(static_cast<std::int64_t>(value)) : show(value));
    };
    throw py::value_error(is(fault->option, fault->value) + ", must be " + fault->must +
                          (fault->bound ? ", and " + is(fault->bound, fault->bound_value) : ""));
  }
  return D(options);
}

// What an event must be, by what the detector refuses.
template <class D>
std::string refusal(double x) {
  if (!std::isfinite(x)) return show(x) + ", must be finite";
  if constexpr (std::is_same_v<D, Ddm> || std::is_same_v<D, Eddm>) return show(x) + ", must be 0 or 1";
  if constexpr (std::is_same_v<D, HddmA> || std::is_same_v<D, HddmW> || std::is_same_v<D, CutScan>) {
    return show(x) + ", outside [0, 1]";
  }
  return show(x) + ", outside [-1e100, 1e100]";
}

template <class D>
PyObject* detector_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const detector = native<D>(self);
  if (detector == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("update", args, n, 1, 1);
    const double x = args[0] == Py_True ? 1.0 : args[0] == Py_False ? 0.0 : arguments.real(0);
    if (detector->update(x) != Status::ok) throw py::value_error("x is " + refusal<D>(x));
    return Py_NewRef(detector->drift() ? Py_True : Py_False);
  });
}

template <class D>
PyMethodDef detector_update_method =
    fast_method("update", detector_update<D>,
                "update($self, x, /)\n--\n\n"
                "One event. True where it completes a drift; `warning` tells whether one may be coming.\n\n"
                "Raises ValueError for an x that is NaN, infinite or outside what the class takes; nothing has\n"
                "changed then.");

template <class D>
py::tuple detector_update_many(D& detector, py::handle given) {
  const auto x = numbers<double>(given, "x");
  std::vector<std::int64_t> drifts, warnings;
  std::size_t bad = 0;
  const Status status = detector.update_many(view(x), drifts, warnings, bad);
  if (status == Status::out_of_memory) raise(status, "x");
  if (status != Status::ok) {
    throw py::value_error("x[" + std::to_string(bad) + "] is " + refusal<D>(x.data()[bad]));
  }
  const auto array = [](const std::vector<std::int64_t>& values) {
    return py::array_t<std::int64_t>(static_cast<py::ssize_t>(values.size()), values.data());
  };
  return py::make_tuple(array(drifts), array(warnings));
}

template <class D>
D detector_restored(const std::string& bytes) {
  D detector;
  check(D::restore(bytes, detector), "data");
  return detector;
}

// `name` is that of the Python class.
template <class D>
void add_common(py::class_<D>& cls, const char* name) {
  attach(cls, detector_update_method<D>);
  cls.def("update_many", &detector_update_many<D>, py::arg("x"),
          R"(Events in order, as many calls of update, with the same answers bit for bit.

x: real numbers (or bools) of shape (n,). Returns two int64 arrays: the positions in x that completed a drift, and
those after which the detector was in the warning state. All of x is checked first: a value that is NaN, infinite or
outside what the class takes (ValueError), a wrong shape (ValueError) or dtype (TypeError) leave the detector as it
was.)")
      .def("reset", &D::reset, "Forgets all events and drifts; the options stay.")
      .def("snapshot", [](const D& detector) { return py::bytes(detector.snapshot()); },
           "Options and state as bytes, with a version and a checksum, for restore. Pickle holds the same bytes.")
      .def_static("restore", [](const py::bytes& data) { return detector_restored<D>(data); }, py::arg("data"),
                  "The detector of a snapshot, which goes on as if it had never stopped. Raises ValueError where the\n"
                  "bytes are no snapshot of this class, or damaged.")
      .def(py::pickle([](const D& detector) { return py::bytes(detector.snapshot()); },
                      [](const py::bytes& data) { return detector_restored<D>(data); }))
      .def("__repr__",
           [name](const D& detector) {
             const char* const state = detector.drift() ? "drift" : detector.warning() ? "warning" : "stable";
             return std::string(name) + "(n=" + std::to_string(detector.n()) +
                    ", drifts=" + std::to_string(detector.drifts()) + ", " + state + ")";
           })
      .def_property_readonly("drift", &D::drift, "Whether the last event completed a drift.")
      .def_property_readonly("warning", &D::warning, "Whether a drift may be coming; False where `drift` is True.")
      .def_property_readonly("n", &D::n, "Events seen since the start, or since reset().")
      .def_property_readonly("drifts", &D::drifts, "Drifts found since the start, or since reset().");
}

}  // namespace fairlead::bindings
