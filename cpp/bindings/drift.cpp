#include "fairlead/drift.hpp"

#include <pybind11/numpy.h>

#include <numeric>

#include "arrays.hpp"
#include "common.hpp"
#include "drift.hpp"

namespace fairlead::bindings {

namespace {

Psi fit(py::handle reference, std::int64_t bins) {
  check_bins(bins);
  const auto values = numbers<double>(reference, "reference");
  Psi psi;
  if (Psi::fit(view(values), static_cast<std::size_t>(bins), psi) != Status::ok) {
    throw py::value_error("reference holds no number to fit bins to");
  }
  return psi;
}

Psi from_edges(py::handle edges, py::handle reference) {
  const auto inner = numbers<double>(edges, "edges");
  Psi psi;
  if (Psi::from_edges(view(inner), {}, psi) != Status::ok) {
    throw py::value_error("edges must be from 1 to " + std::to_string(Psi::max_bins - 1) +
                          " different numbers in ascending order, none of them NaN");
  }
  const auto values = numbers<double>(reference, "reference");
  const py::gil_scoped_release unlocked;
  psi.recount(view(values));
  return psi;
}

Psi from_counts(py::handle edges, py::handle counts) {
  const auto inner = numbers<double>(edges, "edges");
  const auto given = numbers<std::int64_t>(counts, "counts", 1, "iu");
  std::vector<std::uint64_t> reference;
  for (const std::int64_t count : view(given)) {
    if (count < 0) throw py::value_error("counts holds " + std::to_string(count) + ", must be at least 0");
    reference.push_back(static_cast<std::uint64_t>(count));
  }
  Psi psi;
  const Status status = Psi::from_edges(view(inner), reference, psi);
  if (status == Status::wrong_length || reference.empty()) {
    throw py::value_error("counts has length " + std::to_string(reference.size()) +
                          ", must have one for each bin between edges that differ and one for NaN");
  }
  if (status != Status::ok)
    throw py::value_error("edges must be from 1 to " + std::to_string(Psi::max_bins - 1) +
                          " different numbers in ascending order, none of them NaN");
  return psi;
}

std::vector<std::uint64_t> count(const Psi& psi, py::handle live) {
  std::vector<std::uint64_t> counts(psi.size());
  const auto fill = [&](const auto& sample) {
    if (sample.size() == 0) throw py::value_error("live is empty");
    const auto values = view(sample);
    const py::gil_scoped_release unlocked;
    psi.count(values, counts);
  };
  if (py::isinstance<py::array_t<float, py::array::c_style>>(live) &&
      py::reinterpret_borrow<py::array>(live).ndim() == 1) {
    fill(py::reinterpret_borrow<Array<float>>(live));
  } else {
    fill(numbers<double>(live, "live"));
  }
  return counts;
}

template <class T>
py::array_t<T> copy(std::span<const T> values) {
  return py::array_t<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

py::array_t<std::uint64_t> copy(const std::vector<std::uint64_t>& values) {
  return copy(std::span<const std::uint64_t>(values));
}

std::vector<std::uint64_t> count_table(const PsiTable& table, py::handle live) {
  py::array given = py::array::ensure(live);
  if (!given) {
    PyErr_Clear();
    throw py::type_error("live is " + py::repr(py::type::of(live)).cast<std::string>() +
                         ", must be an array of numbers");
  }
  if (given.ndim() != 2) throw py::value_error("live has shape " + shape_of(given) + ", must have 2 dimensions");
  if (static_cast<std::size_t>(given.shape(1)) != table.columns().size()) {
    throw py::value_error("live has " + std::to_string(given.shape(1)) + " columns, the reference has " +
                          std::to_string(table.columns().size()));
  }
  if (given.shape(0) == 0) throw py::value_error("live is empty");
  constexpr py::ssize_t width = sizeof(double);
  const bool as_it_is = py::isinstance<py::array_t<double>>(given) && given.strides(0) % width == 0 &&
                        given.strides(1) % width == 0 &&
                        reinterpret_cast<std::uintptr_t>(given.data()) % alignof(double) == 0;
  if (!as_it_is) given = numbers<double>(live, "live", 2);
  const auto* const x = static_cast<const double*>(given.data());
  const auto rows = static_cast<std::size_t>(given.shape(0));
  const std::ptrdiff_t row = given.strides(0) / width, column = given.strides(1) / width;
  const py::gil_scoped_release unlocked;
  return table.count(x, rows, row, column);
}

StreamingPsi streaming(std::int64_t reference, std::int64_t window, std::int64_t bins) {
  check_size(reference, "reference");
  check_size(window, "window");
  check_bins(bins);
  return StreamingPsi(static_cast<std::size_t>(reference), static_cast<std::size_t>(window),
                      static_cast<std::size_t>(bins));
}

PyObject* streaming_add(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const psi = native<StreamingPsi>(self);
  if (psi == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("add", args, n, 1, 1);
    psi->add(arguments.real(0));
    return Py_NewRef(Py_None);
  });
}

PyMethodDef streaming_add_method =
    fast_method("add", streaming_add,
                "add($self, x, /)\n--\n\nOne value; NaN has a bin of its own. Raises TypeError for what is no number.");

py::bytes snapshot(const StreamingPsi& psi) {
  SnapshotWriter out("streaming_psi", 1);
  psi.write(out);
  return out.finish();
}

StreamingPsi restored(const py::bytes& state) {
  const std::string bytes = state;
  SnapshotReader in(bytes, "streaming_psi", 1);
  StreamingPsi psi;
  psi.read(in);
  check(in.finish(), "state");
  return psi;
}

py::bytes psi_snapshot(const Psi& psi) {
  SnapshotWriter out("psi", 1);
  psi.write(out);
  return out.finish();
}

Psi psi_restored(const py::bytes& state) {
  const std::string bytes = state;
  SnapshotReader in(bytes, "psi", 1);
  Psi psi;
  psi.read(in);
  check(in.finish(), "state");
  return psi;
}

void bind_psi(py::module_& m) {
  py::class_<Psi>(m, "Psi",
                  R"(Population stability index of a live sample against a reference: below .1 calm, above .25 drift.

reference: numbers of shape (n,); bins: 2 to 255 quantile bins, equal edges merged; bin i holds edge[i-1] < x <= edge[i], the
outer edges are infinite and NaN has a bin of its own, the last, which counts when either side has any. Half a count is added
to every bin (Krichevsky-Trofimov). Live samples of float32 are counted as they are; other types become float64.
Raises ValueError for bins out of range or a reference without a number.
Source: H. Jeffreys (1946); N. Siddiqi, "Credit Risk Scorecards" (2006).

>>> import fairlead as fl
>>> psi = fl.Psi([float(i) for i in range(1000)])
>>> psi.compare([float(i) for i in range(1000)])
0.0
>>> round(psi.compare([float(i + 300) for i in range(1000)]), 2)
2.0)")
      .def(py::init(&fit), py::arg("reference"), py::arg("bins") = Psi::default_bins)
      .def_static(
          "from_edges", &from_edges, py::arg("edges"), py::arg("reference"),
          R"(Given inner edges, of shape (1 to 254,), ascending, equal ones merged; the reference's numbers are counted.

>>> import fairlead as fl
>>> fl.Psi.from_edges([0.0, 1.0], [-1.0, 0.0, 0.5, 7.0]).reference.tolist()
[2, 1, 1, 0])")
      .def_static("from_counts", &from_counts, py::arg("edges"), py::arg("counts"),
                  R"(Given inner edges, and how many of the reference each bin holds, the last being the bin of NaN.

>>> import fairlead as fl
>>> fl.Psi.from_counts([0.0], [10, 10, 0]).compare([-1.0, 1.0])
0.0)")
      .def(
          "compare", [](const Psi& psi, py::handle live) { return psi.index(count(psi, live)); }, py::arg("live"),
          R"(The index of a sample of shape (n,) against the reference, at least 0. Raises ValueError for an empty sample.

>>> import fairlead as fl
>>> round(fl.Psi([1.0, 2.0, 3.0, 4.0], bins=2).compare([1.0, 2.0, 2.0, 4.0]), 3)
0.169)")
      .def(
          "count", [](const Psi& psi, py::handle live) { return copy(count(psi, live)); }, py::arg("live"),
          R"(How many of a sample each bin holds, uint64 of shape (bins + 1,); the last is the bin of NaN.

>>> import fairlead as fl
>>> fl.Psi([1.0, 2.0, 3.0, 4.0], bins=2).count([1.0, 2.0, 2.0, float('nan')]).tolist()
[3, 0, 1])")
      .def(
          "contributions",
          [](const Psi& psi, py::handle live) {
            std::vector<double> terms(psi.size());
            (void)psi.index(count(psi, live), terms);
            return copy(std::span<const double>(terms));
          },
          py::arg("live"), R"(Each bin's part of the index, of shape (bins + 1,); the last is the bin of NaN. They sum to the index.

>>> import fairlead as fl
>>> fl.Psi([1.0, 2.0, 3.0, 4.0], bins=2).contributions([1.0, 2.0, 2.0, 4.0]).round(2).tolist()
[0.07, 0.1, 0.0])")
      .def_property_readonly(
          "edges", [](const Psi& psi) { return copy(psi.edges()); }, "Inner bin edges, ascending.")
      .def_property_readonly(
          "reference", [](const Psi& psi) { return copy(psi.reference()); },
          "Reference counts per bin; the last is the bin of NaN.")
      .def("snapshot", &psi_snapshot, "Edges and counts as bytes, checked and versioned; see restore.")
      .def_static("restore", &psi_restored, py::arg("state"),
                  R"(The Psi that gave these bytes. Raises ValueError for bytes that are none of its own.

>>> import fairlead as fl
>>> fl.Psi.restore(fl.Psi([1.0, 2.0, 3.0, 4.0], bins=2).snapshot())
Psi(bins=2, n=4, missing=0))")
      .def("__repr__",
           [](const Psi& psi) {
             const auto counts = psi.reference();
             const std::uint64_t missing = counts.empty() ? 0 : counts.back();
             return "Psi(bins=" + std::to_string(counts.empty() ? 0 : counts.size() - 1) + ", n=" +
                    std::to_string(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0})) +
                    ", missing=" + std::to_string(missing) + ")";
           })
      .def(py::pickle([](const Psi& psi) { return py::make_tuple(copy(psi.edges()), copy(psi.reference())); },
                      [](const py::tuple& state) { return from_counts(state[0], state[1]); }));

  py::class_<PsiTable>(m, "PsiTable", R"(Columns of a table, each with a Psi of its own; counts all of them in one pass.

>>> import fairlead as fl
>>> from fairlead._core import PsiTable
>>> table = PsiTable([fl.Psi([1.0, 2.0, 3.0], bins=2), fl.Psi([5.0, 6.0, 9.0], bins=2)])
>>> [counts.tolist() for counts in table.count([[1.0, 5.0], [2.5, 6.5]])]
[[1, 1, 0], [1, 1, 0]])")
      .def(py::init<std::vector<Psi>>(), py::arg("columns"))
      .def(
          "count",
          [](const PsiTable& table, py::handle live) {
            const auto flat = count_table(table, live);
            py::list out;
            std::size_t start = 0;
            for (const Psi& psi : table.columns()) {
              out.append(copy(std::span(flat).subspan(start, psi.size())));
              start += psi.size();
            }
            return out;
          },
          py::arg("live"), "Counts per bin of each column of an array of shape (rows, columns), either way laid out.")
      .def(
          "psi",
          [](const PsiTable& table, py::handle live) {
            const auto flat = count_table(table, live);
            py::array_t<double> out(static_cast<py::ssize_t>(table.columns().size()));
            double* to = out.mutable_data();
            std::size_t start = 0;
            for (const Psi& psi : table.columns()) {
              *to++ = psi.index(std::span<const std::uint64_t>(flat).subspan(start, psi.size()));
              start += psi.size();
            }
            return out;
          },
          py::arg("live"), "The index of each column, float64 of shape (columns,).");
}

}  // namespace

void check_bins(std::int64_t bins) {
  if (bins < 2 || bins > static_cast<std::int64_t>(Psi::max_bins)) {
    throw py::value_error("bins is " + std::to_string(bins) + ", outside [2, " + std::to_string(Psi::max_bins) + "]");
  }
}

void check_size(std::int64_t size, const char* name) {
  if (size < 1) throw py::value_error(std::string(name) + " is " + std::to_string(size) + ", must be at least 1");
  if (size > static_cast<std::int64_t>(StreamingPsi::most_values)) {
    throw py::value_error(std::string(name) + " is " + std::to_string(size) + ", must be at most " +
                          std::to_string(StreamingPsi::most_values));
  }
}

void bind_drift(py::module_& m) {
  bind_psi(m);
  auto stream =
      py::class_<StreamingPsi>(m, "StreamingPsi",
                               R"(PSI of the last `window` values of a stream against its first `reference` values.

The index is NaN until the reference is complete and the window full. Raises ValueError for sizes below 1. An update costs a few
nanoseconds whatever the window; memory is a byte a value of the window. For a reference known beforehand, or for many
streams, see KeyedPsi.

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
          .def(py::init(&streaming), py::kw_only(), py::arg("reference") = 500, py::arg("window") = 500,
               py::arg("bins") = Psi::default_bins)
          .def("snapshot", &snapshot, "The state as bytes, checked and versioned; see restore.")
          .def_static(
              "restore", &restored, py::arg("state"),
              "A stream that goes on where snapshot() was taken. Raises ValueError for bytes that are none of its own.")
          .def(py::pickle(&snapshot, &restored))
          .def("__repr__",
               [](const StreamingPsi& psi) {
                 return "StreamingPsi(window=" + std::to_string(psi.window()) + ", n=" + std::to_string(psi.size()) +
                        (psi.fitted() ? ", index=" + show(psi.index()) : ", reference not complete") + ")";
               })
          .def_property_readonly(
              "index", [](const StreamingPsi& psi) { return psi.index(); },
              "The index, NaN while there is too little to compare.");
  attach(stream, streaming_add_method);
  bind_keyed_psi(m);
}

}  // namespace fairlead::bindings
