#include "fairlead/sample.hpp"

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/psi.hpp"
#include "fairlead/tails.hpp"

namespace fairlead::bindings {

namespace {

// Up to so many pairs of values the distribution of Kolmogorov and Smirnov's statistic is counted out.
constexpr std::size_t exact_pairs = 1'000'000;

double ks_p(std::size_t n, std::size_t m, double statistic) {
  if (n == 0 || m == 0 || std::isnan(statistic)) return nan;
  if (n > exact_pairs / m) return ks_tail(n, m, statistic);
  return ks_tail_exact(
      n, m, static_cast<std::uint64_t>(std::llround(statistic * static_cast<double>(n) * static_cast<double>(m))));
}

py::dict ks_dict(const KsResult& found) {
  using namespace py::literals;
  return py::dict("ks"_a = found.statistic, "ks_at"_a = found.at, "ks_p"_a = ks_p(found.n, found.m, found.statistic));
}

SortedSample sorted(py::handle given) {
  const auto array = numbers<double>(given, "values");
  const auto values = view(array);
  const py::gil_scoped_release unlocked;
  return SortedSample(values);
}

py::dict ks(const SortedSample& sample, py::handle live) {
  const auto array = numbers<double>(live, "live");
  const auto values = view(array);
  KsResult found;
  {
    const py::gil_scoped_release unlocked;
    found = sample.ks(values);
  }
  return ks_dict(found);
}

py::dict all(const SortedSample& sample, py::handle live) {
  const auto array = numbers<double>(live, "live");
  const auto values = view(array);
  Distances found;
  {
    const py::gil_scoped_release unlocked;
    found = sample.all(values);
  }
  py::dict out = ks_dict(found.ks);
  out["wasserstein"] = found.wasserstein;
  out["cramer_von_mises"] = found.cramer_von_mises;
  // The statistic's mean and variance at these sizes, brought to those of the limit (T. W. Anderson 1962).
  double p = nan;
  if (found.ks.n > 0 && found.ks.m > 0) {
    const double n = static_cast<double>(found.ks.n), m = static_cast<double>(found.ks.m), total = n + m;
    const double mean = (1.0 + 1.0 / total) / 6.0;
    const double variance = (total + 1.0) / (45.0 * total * total) *
                            (4.0 * m * n * total - 3.0 * (m * m + n * n) - 2.0 * m * n) / (4.0 * m * n);
    p = variance > 0.0 ? cramer_von_mises_tail(1.0 / 6.0 + (found.cramer_von_mises - mean) / std::sqrt(45.0 * variance))
                       : 1.0;
  }
  out["cramer_von_mises_p"] = p;
  return out;
}

std::vector<std::uint64_t> counts_of(py::handle given, const char* name) {
  const auto array = numbers<std::int64_t>(given, name, 1, "iu");
  std::vector<std::uint64_t> out;
  for (const std::int64_t n : view(array)) {
    if (n < 0) throw py::value_error(std::string(name) + " holds " + std::to_string(n) + ", must be at least 0");
    out.push_back(static_cast<std::uint64_t>(n));
  }
  return out;
}

py::tuple psi_terms(py::handle reference, py::handle live) {
  const auto before = counts_of(reference, "reference"), now = counts_of(live, "live");
  check_length(static_cast<py::ssize_t>(now.size()), "live", static_cast<py::ssize_t>(before.size()), "reference");
  py::array_t<double> out(static_cast<py::ssize_t>(now.size()));
  const double index = psi_index(before, now, std::span(out.mutable_data(), now.size()));
  return py::make_tuple(index, out);
}

}  // namespace

void bind_sample(py::module_& m) {
  py::class_<SortedSample>(m, "SortedSample", R"(A sorted reference sample, to compare others with. NaN takes no part.

>>> from fairlead._core import SortedSample
>>> sample = SortedSample([3.0, 1.0, 2.0, 4.0])
>>> found = sample.ks([3.0, 4.0, 5.0, 6.0])
>>> found["ks"], found["ks_at"]
(0.5, 2.0)
>>> sample.distances([3.0, 4.0, 5.0, 6.0])["wasserstein"]
2.0)")
      .def(py::init(&sorted), py::arg("values"))
      .def("ks", &ks, py::arg("live"),
           "Kolmogorov and Smirnov's statistic, where it is reached, and its p-value. numbers of shape (n,).")
      .def("distances", &all, py::arg("live"),
           "The same, the Wasserstein distance, and Cramer and von Mises' statistic with its p-value.")
      .def_property_readonly(
          "values",
          [](const SortedSample& sample) {
            return py::array_t<double>(static_cast<py::ssize_t>(sample.values().size()), sample.values().data());
          },
          "The numbers, ascending.")
      .def_property_readonly("missing", &SortedSample::missing, "How many were NaN.")
      .def("__len__", [](const SortedSample& sample) { return sample.values().size(); })
      .def(py::pickle(
          [](const SortedSample& sample) {
            return py::make_tuple(
                py::array_t<double>(static_cast<py::ssize_t>(sample.values().size()), sample.values().data()));
          },
          [](const py::tuple& state) { return sorted(state[0]); }));
  m.def("psi_terms", &psi_terms, py::arg("reference"), py::arg("live"),
        "The index from counts of equal shape, and each bin's part of it.");
  m.def("chi2_tail", &chi2_tail, py::arg("x"), py::arg("freedom"), "P(X > x) of chi-square.");
  m.def(
      "ks_p", [](std::size_t n, std::size_t m_, double d) { return ks_p(n, m_, d); }, py::arg("n"), py::arg("m"),
      py::arg("statistic"), "P(D >= statistic) of two samples; exact for n m <= 1e6 without ties.");
  m.def("kolmogorov_tail", &kolmogorov_tail, py::arg("x"), "P(K > x) of Kolmogorov's distribution.");
  m.def("cramer_von_mises_tail", &cramer_von_mises_tail, py::arg("x"),
        "P(W > x) of the limit of Cramer and von Mises' statistic.");
}

}  // namespace fairlead::bindings
