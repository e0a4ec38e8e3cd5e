#include "fairlead/rolling.hpp"

#include <cmath>
#include <string>

#include "arrays.hpp"

namespace fairlead::bindings {

namespace {

PyObject* window_push(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const window = native<RollingWindow>(self);
  if (window == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("push", args, n, 1, 2);
    const double x = arguments.real(0);
    if (window->span() > 0 && !arguments.given(1))
      throw py::type_error("push() of a time window needs the time of the sample");
    if (window->push(x, arguments.integer(1, 0)) != Status::ok)
      throw py::value_error("x is " + show(x) + ", must be finite");
    return Py_NewRef(Py_None);
  });
}

PyMethodDef push_method = fast_method(
    "push", window_push,
    "push($self, x, time=None, /)\n--\n\n"
    "Adds a sample; what has left the window is dropped. time: integer nanoseconds, needed by a time window; a sample\n"
    "that comes late counts at the newest time seen. Raises ValueError where x is NaN or infinite.");

void push_many(RollingWindow& window, py::handle given, const py::object& time) {
  const auto x = numbers<double>(given, "x");
  if (window.span() > 0 && time.is_none()) {
    throw py::type_error("push_many() of a time window needs the times of the samples");
  }
  const auto times = time.is_none() ? Array<Time>(0) : numbers<Time>(time, "time", 1, "iu");
  if (!time.is_none()) check_length(times.size(), "time", x.size(), "x");
  for (py::ssize_t i = 0; i < x.size(); ++i) {
    if (std::isfinite(x.data()[i])) continue;
    throw py::value_error("x[" + std::to_string(i) + "] is " + show(x.data()[i]) + ", must be finite");
  }
  const double* const values = x.data();
  const Time* const at = time.is_none() ? nullptr : times.data();
  const py::ssize_t size = x.size();
  for (py::ssize_t i = 0; i < size; ++i) (void)window.push(values[i], at != nullptr ? at[i] : 0);
}

}  // namespace

void bind_rolling(py::module_& m) {
  auto cls =
      py::class_<RollingWindow>(m, "RollingWindow")
          .def(py::init([](std::int64_t count, Time span) {
                 if ((count > 0) == (span > 0) || count < 0 || span < 0) {
                   throw py::value_error("count is " + std::to_string(count) + " and span is " + std::to_string(span) +
                                         " ns: exactly one must be positive");
                 }
                 return count > 0 ? RollingWindow::by_count(static_cast<std::size_t>(count))
                                  : RollingWindow::by_time(span);
               }),
               py::kw_only(), py::arg("count") = 0, py::arg("span") = 0)
          .def("push_many", &push_many, py::arg("x"), py::arg("time") = py::none(),
               R"(Samples in order, as many calls of push. x: numbers of shape (n,); time: n integers, nanoseconds,
needed by a time window.

Raises ValueError for a sample that is NaN or infinite and for unequal lengths, TypeError for missing times or another
dtype; nothing has changed then.

>>> window = RollingWindow(2)
>>> window.push_many([1.0, 2.0, 4.0])
>>> window.mean
3.0
)")
          .def("advance", &RollingWindow::advance, py::arg("time"),
               R"(Moves a time window to `time`, integer nanoseconds, without a sample; what is too old leaves. A time
before the newest seen changes nothing.

>>> window = RollingWindow("1s")
>>> window.push(1.0, 0)
>>> window.advance(10**9)
>>> window.count
0
)")
          .def_property_readonly("count", &RollingWindow::size, "How many samples the window holds.")
          .def_property_readonly(
              "mean", [](const RollingWindow& w) { return w.size() ? w.moments().mean : nan; },
              "Mean of the samples; NaN of none.")
          .def_property_readonly(
              "min", [](const RollingWindow& w) { return w.size() ? w.moments().min : nan; },
              "The least sample; NaN of none.")
          .def_property_readonly(
              "max", [](const RollingWindow& w) { return w.size() ? w.moments().max : nan; },
              "The greatest sample; NaN of none.")
          .def(
              "variance", [](const RollingWindow& w, double ddof) { return w.moments().variance(ddof); },
              py::arg("ddof") = 1.0,
              "Variance, with count - ddof in the denominator: NaN where that is not positive, exactly 0 where all "
              "samples\nare equal.")
          .def_property_readonly("rate", &RollingWindow::rate,
                                 "Samples per second of a time window, count / span; NaN for a window of samples.")
          .def("__len__", &RollingWindow::size);
  attach(cls, push_method);
}

}  // namespace fairlead::bindings
