#include "fairlead/pooling.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

using Values = py::array_t<double, py::array::c_style | py::array::forcecast>;

py::array_t<double> pool(const Values& p, const std::string& method, const std::optional<Values>& weights) {
  if (p.ndim() != 2 && p.ndim() != 3) throw py::value_error("p has " + std::to_string(p.ndim()) + " dimensions, must have 2 or 3");
  const bool many = p.ndim() == 3;
  const auto tasks = static_cast<std::size_t>(many ? p.shape(0) : 1);
  const auto m = static_cast<std::size_t>(p.shape(p.ndim() - 2));
  const auto c = static_cast<std::size_t>(p.shape(p.ndim() - 1));
  if (m == 0 || c == 0) throw py::value_error("p is empty");
  if (method != "linear" && method != "log" && method != "median") {
    throw py::value_error("method is " + py::repr(py::str(method)).cast<std::string>() + ", must be 'linear', 'log' or 'median'");
  }
  for (py::ssize_t i = 0; i < p.size(); ++i) {
    const double x = p.data()[i];
    if (!std::isfinite(x)) throw py::value_error("p holds " + show(x) + ", must be finite");
    if (method == "log" && !(x >= 0.0 && x <= 1.0)) throw py::value_error("p holds " + show(x) + ", outside [0, 1]");
  }
  std::vector<double> weight(m, 1.0 / static_cast<double>(m));
  if (weights) {
    if (method == "median") throw py::value_error("weights are given, but the median gives every model one vote");
    if (weights->ndim() != 1 || static_cast<std::size_t>(weights->size()) != m) {
      throw py::value_error("weights has length " + std::to_string(weights->size()) + ", p has " + std::to_string(m) + " models");
    }
    double sum = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
      const double w = weights->data()[i];
      if (!(w >= 0.0 && std::isfinite(w))) throw py::value_error("weights holds " + show(w) + ", must be finite and not negative");
      sum += w;
    }
    if (!(sum > 0.0)) throw py::value_error("weights sum to " + show(sum) + ", must be positive");
    for (std::size_t i = 0; i < m; ++i) weight[i] = weights->data()[i] / sum;
  }
  std::vector<py::ssize_t> shape;
  if (many) shape.push_back(static_cast<py::ssize_t>(tasks));
  shape.push_back(static_cast<py::ssize_t>(c));
  py::array_t<double> out(shape);
  const double* in = p.data();
  double* to = out.mutable_data();
  std::vector<double> scratch(m);
  const py::gil_scoped_release unlocked;
  for (std::size_t t = 0; t < tasks; ++t, in += m * c, to += c) {
    if (method == "linear") pooling::linear(in, weight.data(), m, c, to);
    if (method == "log") pooling::log(in, weight.data(), m, c, to);
    if (method == "median") pooling::median(in, m, c, to, scratch.data());
  }
  return out;
}

}  // namespace

void bind_pooling(py::module_& m) {
  m.def("pool", &pool, py::arg("p"), py::arg("method") = "linear", py::kw_only(), py::arg("weights") = py::none(),
        R"(Pools the forecasts of several models into one.

p: float64 of shape (models, classes) or (tasks, models, classes); weights: shape (models,), not negative, scaled to sum 1,
equal if not given. Returns shape (classes,) or (tasks, classes). Methods: "linear" (weighted mean), "log" (normalised weighted
geometric mean, probabilities raised to at least 1e-3), "median" (of each class, normalised). Raises ValueError naming the
argument for wrong shapes, NaN, a probability outside [0, 1] in a log pool, or weights that cannot be honoured.
Source: C. Genest, J. V. Zidek, "Combining Probability Distributions" (1986).

>>> import fairlead as fl
>>> fl.pool([[0.2, 0.8], [0.4, 0.6]])
array([0.3, 0.7])
>>> fl.pool([[0.2, 0.8], [0.4, 0.6]], weights=[3, 1]).round(2)
array([0.25, 0.75]))");
}

}  // namespace fairlead::bindings
