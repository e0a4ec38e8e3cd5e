#include "fairlead/calibration.hpp"

#include <pybind11/numpy.h>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

using Values = py::array_t<double, py::array::c_style | py::array::forcecast>;

void add_many(Calibration& calibration, const Values& p, const Values& happened) {
  if (p.ndim() != 1) throw py::value_error("p has " + std::to_string(p.ndim()) + " dimensions, must have 1");
  if (happened.size() != p.size()) {
    throw py::value_error("happened has length " + std::to_string(happened.size()) + ", p has " + std::to_string(p.size()));
  }
  for (py::ssize_t i = 0; i < p.size(); ++i) {
    const double x = p.data()[i], y = happened.data()[i];
    if (!(x >= 0.0 && x <= 1.0)) throw py::value_error("p[" + std::to_string(i) + "] is " + show(x) + ", outside [0, 1]");
    if (y != 0.0 && y != 1.0) throw py::value_error("happened[" + std::to_string(i) + "] is " + show(y) + ", must be 0 or 1");
  }
  for (py::ssize_t i = 0; i < p.size(); ++i) (void)calibration.add(p.data()[i], happened.data()[i] == 1.0);
}

}  // namespace

py::list calibration_curve(const Calibration& calibration) {
  py::list out;
  for (const Calibration::Bin& bin : calibration.bins()) {
    if (bin.n) out.append(py::make_tuple(bin.mean_p(), bin.frequency(), bin.n));
  }
  return out;
}

void bind_calibration(py::module_& m) {
  py::class_<Calibration>(m, "Calibration", R"(Do events given probability p happen with frequency p? Equal-width bins over [0, 1].

bins: how many, 1 to 10,000. Bin i holds p in [i / bins, (i + 1) / bins), the last also p = 1.

>>> import fairlead as fl
>>> calibration = fl.Calibration(bins=10)
>>> for happened in (True, True, True, False):
...     calibration.add(0.75, happened)
>>> calibration.error
0.0
>>> calibration.curve()
[(0.75, 0.75, 4)])")
      .def(py::init([](std::int64_t bins) {
             if (bins < 1 || bins > 10'000) throw py::value_error("bins is " + std::to_string(bins) + ", outside [1, 10000]");
             return Calibration(static_cast<std::size_t>(bins));
           }),
           py::arg("bins") = 10)
      .def(
          "add",
          [](Calibration& calibration, double p, bool happened) {
            if (calibration.add(p, happened) != Status::ok) throw py::value_error("p is " + show(p) + ", outside [0, 1]");
          },
          py::arg("p"), py::arg("happened"), "One forecast and whether it came true. Raises ValueError for p outside [0, 1].")
      .def("add_many", &add_many, py::arg("p"), py::arg("happened"),
           "Forecasts and whether they came true: two arrays of shape (n,), the second of 0 and 1. All are checked first.")
      .def_property_readonly("error", &Calibration::error,
                             "Expected calibration error, in [0, 1] (Naeini, Cooper, Hauskrecht, AAAI 2015); NaN while empty.")
      .def("curve", &calibration_curve, "(mean probability, observed frequency, count) of every bin that is not empty.")
      .def("__len__", &Calibration::size);
}

}  // namespace fairlead::bindings
