#include "fairlead/drift.hpp"

#include <pybind11/numpy.h>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

using Values = py::array_t<double, py::array::c_style | py::array::forcecast>;

std::span<const double> view(const Values& values, const char* name) {
  if (values.ndim() != 1) throw py::value_error(std::string(name) + " has " + std::to_string(values.ndim()) + " dimensions, must have 1");
  return {values.data(), static_cast<std::size_t>(values.size())};
}

Psi fit(const Values& reference, std::int64_t bins) {
  if (bins < 2 || bins > static_cast<std::int64_t>(Psi::max_bins)) {
    throw py::value_error("bins is " + std::to_string(bins) + ", outside [2, " + std::to_string(Psi::max_bins) + "]");
  }
  Psi psi;
  if (Psi::fit(view(reference, "reference"), static_cast<std::size_t>(bins), psi) != Status::ok) {
    throw py::value_error("reference holds no number to fit bins to");
  }
  return psi;
}

std::vector<std::uint64_t> count(const Psi& psi, const Values& live) {
  const auto sample = view(live, "live");
  if (sample.empty()) throw py::value_error("live is empty");
  std::vector<std::uint64_t> counts(psi.size());
  const py::gil_scoped_release unlocked;
  psi.count(sample, counts);
  return counts;
}

template <class T>
py::array_t<T> copy(std::span<const T> values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

}  // namespace

void bind_drift(py::module_& m) {
  py::class_<Psi>(m, "Psi", R"(Population stability index of a live sample against a reference: below .1 calm, above .25 drift.

reference: float64 of shape (n,); bins: 2 to 255 quantile bins, equal edges merged; bin i holds edge[i-1] < x <= edge[i], the
outer edges are infinite and NaN has a bin of its own, the last, which counts when either side has any. Half a count is added
to every bin. Raises ValueError for bins out of range or a reference without a number.
Source: H. Jeffreys (1946); N. Siddiqi, "Credit Risk Scorecards" (2006).

>>> import fairlead as fl
>>> psi = fl.Psi([float(i) for i in range(1000)])
>>> psi.compare([float(i) for i in range(1000)])
0.0
>>> round(psi.compare([float(i + 300) for i in range(1000)]), 2)
2.0)")
      .def(py::init(&fit), py::arg("reference"), py::arg("bins") = Psi::default_bins)
      .def("compare", [](const Psi& psi, const Values& live) { return psi.index(count(psi, live)); }, py::arg("live"),
           "The index of a sample of shape (n,) against the reference, at least 0. Raises ValueError for an empty sample.")
      .def(
          "contributions",
          [](const Psi& psi, const Values& live) {
            std::vector<double> terms(psi.size());
            (void)psi.index(count(psi, live), terms);
            return copy(std::span<const double>(terms));
          },
          py::arg("live"), "Each bin's part of the index, of shape (bins + 1,); the last is the bin of NaN.")
      .def_property_readonly("edges", [](const Psi& psi) { return copy(psi.edges()); }, "Inner bin edges, ascending.")
      .def_property_readonly("reference", [](const Psi& psi) { return copy(psi.reference()); },
                             "Reference counts per bin; the last is the bin of NaN.");

  py::class_<StreamingPsi>(m, "StreamingPsi", R"(PSI of the last `window` values of a stream against its first `reference` values.

The index is NaN until the reference is complete and the window full. Raises ValueError for sizes below 1.

>>> import fairlead as fl
>>> psi = fl.StreamingPsi(reference=100, window=100)
>>> for i in range(200):
...     psi.add(i % 10)
>>> psi.index
0.0
>>> for i in range(100):
...     psi.add(9)
>>> psi.index > 0.25
True)")
      .def(py::init([](std::int64_t reference, std::int64_t window, std::int64_t bins) {
             if (reference < 1) throw py::value_error("reference is " + std::to_string(reference) + ", must be at least 1");
             if (window < 1) throw py::value_error("window is " + std::to_string(window) + ", must be at least 1");
             if (bins < 2 || bins > static_cast<std::int64_t>(Psi::max_bins)) {
               throw py::value_error("bins is " + std::to_string(bins) + ", outside [2, " + std::to_string(Psi::max_bins) + "]");
             }
             return StreamingPsi(static_cast<std::size_t>(reference), static_cast<std::size_t>(window), static_cast<std::size_t>(bins));
           }),
           py::kw_only(), py::arg("reference") = 500, py::arg("window") = 500, py::arg("bins") = Psi::default_bins)
      .def("add", &StreamingPsi::add, py::arg("x"), "One value; NaN has a bin of its own.")
      .def_property_readonly("index", &StreamingPsi::index, "The index, NaN while there is too little to compare.");
}

}  // namespace fairlead::bindings
