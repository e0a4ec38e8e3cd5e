#include "windows.hpp"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "fairlead/snapshot.hpp"
#include "players.hpp"

namespace fairlead::bindings {

namespace {

// --- one event -----------------------------------------------------------------------------------------------------

// The arguments of update and peek: h, ts, x, y for pairs, out.
struct Event {
  Event(const char* method, NamedWindows& w, PyObject* const* args, Py_ssize_t n) {
    const Py_ssize_t values = w.core.pairs() ? 4 : 3;
    const Arguments arguments(method, args, n, values, values + 1);
    time = time_of(args[1]);
    x = arguments.real(2);
    if (w.core.pairs()) y = arguments.real(3);
    if (arguments.given(values)) {
      out = args[values];
      cells = cells_of(w, out);
    }
  }
  std::int64_t time = 0;
  double x = 0.0, y = 0.0;
  PyObject* out = nullptr;
  double* cells = nullptr;
};

PyObject* windows_handle(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const w = native<NamedWindows>(self);
  if (w == nullptr) return nullptr;
  return guarded([&] {
    if (n == 1 && PyTuple_Check(args[0])) return PyLong_FromLong(w->core.handle(name_of(*w, args[0])));
    if (static_cast<std::size_t>(n) != w->keys.size()) {
      py::tuple given(static_cast<std::size_t>(n));
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) given[i] = py::handle(args[i]);
      wrong_key(*w, given.ptr());
    }
    return PyLong_FromLong(w->core.handle(name_of(*w, args, static_cast<std::size_t>(n), n > 0 ? args[0] : Py_None)));
  });
}

PyObject* windows_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const w = native<NamedWindows>(self);
  if (w == nullptr) return nullptr;
  return guarded([&] {
    const Event event("update", *w, args, n);
    Handle h = NameTable::absent;
    if (is_key(args[0])) {
      const std::string_view name = name_of(*w, args[0]);
      h = w->core.find(name);
      if (h == NameTable::absent) {
        const Status status = w->core.admit(nullptr, event.time, event.x, event.y);
        if (status != Status::ok) explain(status, *w, h, event.time, event.x, event.y, "");
        h = w->core.handle(name);
      }
    } else {
      h = handle_of(*w, args[0]);
    }
    const Status status = w->core.update(h, event.time, event.x, event.y);
    if (status != Status::ok) explain(status, *w, h, event.time, event.x, event.y, "");
    if (event.cells == nullptr) return Py_NewRef(Py_None);
    (void)w->core.read(h, span_of(*w, event.cells));
    return Py_NewRef(event.out);
  });
}

PyObject* windows_read(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const w = native<NamedWindows>(self);
  if (w == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("read", args, n, 1, 2);
    const Handle h = handle_of(*w, args[0]);
    if (arguments.given(1)) {
      (void)w->core.read(h, span_of(*w, cells_of(*w, args[1])));
      return Py_NewRef(args[1]);
    }
    py::array_t<double> out({w->rows(), w->columns()});
    (void)w->core.read(h, span_of(*w, out.mutable_data()));
    return out.release().ptr();
  });
}

PyObject* windows_peek(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const w = native<NamedWindows>(self);
  if (w == nullptr) return nullptr;
  return guarded([&] {
    const Event event("peek", *w, args, n);
    const Handle h = handle_of(*w, args[0]);
    py::object out = event.out != nullptr ? py::reinterpret_borrow<py::object>(event.out)
                                          : py::object(py::array_t<double>({w->rows(), w->columns()}));
    double* const cells = event.out != nullptr
                              ? event.cells
                              : static_cast<double*>(py::reinterpret_borrow<py::array>(out).mutable_data());
    const Status status = w->core.peek(h, event.time, event.x, event.y, span_of(*w, cells));
    if (status != Status::ok) explain(status, *w, h, event.time, event.x, event.y, "");
    return out.release().ptr();
  });
}

PyMethodDef windows_methods[] = {
    fast_method("handle", windows_handle,
                "handle($self, /, *parts)\n--\n\n"
                "The handle of a key, an int, for the methods below; a new key is added. parts: a str for each name in "
                "`keys`,\n"
                "or one tuple of them. Raises TypeError where their number or type does not fit."),
    fast_method(
        "update", windows_update,
        "update($self, h, ts, x, /, *rest)\n--\n\n"
        "A sample of a key: update(h, ts, x, out=None), or update(h, ts, x, y, out=None) where samples are pairs.\n\n"
        "h: a handle, or a key, which is added if new. ts: integer nanoseconds, an ISO date, a datetime or a "
        "datetime64.\n"
        "out: a float64 array of shape (windows, statistics) that gets what read(h) gives, and is returned. Raises KeyError for an\n"
        "unknown handle, ValueError for a sample that the policies nan, late and full refuse; nothing has changed "
        "then."),
    fast_method(
        "read", windows_read,
        "read($self, h, out=None, /)\n--\n\n"
        "All statistics of a key (or handle) at its newest time: float64 of shape (windows, statistics), in `out` if\n"
        "given. NaN where a window holds too few samples. Raises KeyError for an unknown key.\n\n"
        ">>> W = Windows([2, 3], stats=[\"mean\", \"max\"])\n"
        ">>> for ts, x in enumerate([8.0, 1.0, 3.0]):\n"
        "...     W.update(\"a\", ts, x)\n"
        ">>> W.read(\"a\")\n"
        "array([[2., 3.],\n"
        "       [4., 8.]])"),
    fast_method("peek", windows_peek,
                "peek($self, h, ts, x, /, *rest)\n--\n\n"
                "What update(h, ts, x, out) would give; nothing changes. peek(h, ts, x, out=None), or peek(h, ts, x, "
                "y, out=None)\n"
                "where samples are pairs. Raises what update raises, and KeyError for an unknown key.\n\n"
                ">>> W = Windows(2, stats=[\"mean\", \"max\"])\n"
                ">>> W.update(\"a\", 0, 1.0)\n"
                ">>> W.peek(\"a\", 1, 3.0)\n"
                "array([[2., 3.]])\n"
                ">>> W.read(\"a\")\n"
                "array([[1., 1.]])"),
};

// --- many events ---------------------------------------------------------------------------------------------------

// A column of keys of one part: a list of str, or what numpy, pandas, polars and pyarrow hold them in.
bool is_column(const NamedWindows& w, py::handle h) {
  if (w.keys.size() != 1) return false;
  if (!PyList_CheckExact(h.ptr()))
    return py::hasattr(h, "dtype") || py::hasattr(h, "__arrow_c_stream__") || py::hasattr(h, "__arrow_c_array__");
  for (Py_ssize_t i = 0; i < PyList_GET_SIZE(h.ptr()); ++i) {
    if (!PyUnicode_CheckExact(PyList_GET_ITEM(h.ptr(), i))) return false;
  }
  return PyList_GET_SIZE(h.ptr()) > 0;
}

// One handle, or one for each sample; keys that are new are added.
std::vector<Handle> handles_of(NamedWindows& w, const py::object& h, std::size_t n) {
  if (is_key(h.ptr())) return {w.core.handle(name_of(w, h.ptr()))};
  if (PyLong_Check(h.ptr()) || (PyIndex_Check(h.ptr()) && !py::isinstance<py::array>(h)))
    return {handle_of(w, h.ptr())};
  std::vector<Handle> handles;
  const py::array array = py::array::ensure(h);
  if (!array) PyErr_Clear();
  if (array && array.ndim() == 1 && (array.dtype().kind() == 'i' || array.dtype().kind() == 'u')) {
    const auto given = ids(array, "h");
    handles.assign(given.data(), given.data() + given.size());
  } else {
    for (const py::handle one : h) {
      if (!is_key(one.ptr()))
        throw py::type_error("h holds " + py::repr(one).cast<std::string>() + ", must be handles or keys");
      handles.push_back(w.core.handle(name_of(w, one.ptr())));
    }
  }
  check_length(static_cast<py::ssize_t>(handles.size()), "h", static_cast<py::ssize_t>(n), "x");
  if (n == 0) handles.clear();
  return handles;
}

// The samples, and into `out` (where it is given) what is read after each.
void update_all(NamedWindows& w, const py::object& h, py::handle times, py::handle x, const py::object& y,
                const std::function<py::array_t<double>(py::ssize_t)>& out_of) {
  auto at = times_of(times);
  auto xs = numbers<double>(x, "x");
  if (w.core.pairs() == y.is_none()) {
    throw py::type_error(w.core.pairs() ? "y is missing: these statistics are of pairs (x, y)"
                                        : "y is given, but no statistic is of pairs");
  }
  auto ys = w.core.pairs() ? numbers<double>(y, "y") : Array<double>(0);
  check_length(at.size(), "times", xs.size(), "x");
  if (w.core.pairs()) check_length(ys.size(), "y", xs.size(), "x");
  std::span<double> out;
  if (out_of) {
    py::array_t<double> results = out_of(xs.size());
    out = {results.mutable_data(), static_cast<std::size_t>(results.size())};
    part(at, results);
    part(xs, results);
    part(ys, results);
  }
  // Whatever Python code there is to run, such as that of an iterator, runs before keys are added.
  const bool column = is_column(w, h);
  const bool many = !column && !is_key(h.ptr()) && !PyIndex_Check(h.ptr()) && !py::isinstance<py::array>(h);
  const py::object given = many ? py::object(py::list(h)) : h;
  const std::int32_t known = w.core.names().size();
  Players keys(w.core.names(), "every sample needs a key");
  std::span<const std::int32_t> rows;
  if (column) {
    rows = keys.column(given, "h");
    check_length(static_cast<py::ssize_t>(rows.size()), "h", xs.size(), "x");
    keys.order_of_play(rows, {});
    if (w.core.names().size() != known) throw std::runtime_error("keys were added while the arguments were read");
  }
  const std::size_t before = w.core.size();
  try {
    std::vector<Handle> handles(rows.begin(), rows.end());
    if (!column) handles = handles_of(w, given, static_cast<std::size_t>(xs.size()));
    for (Handle i = 0; i < keys.newcomers().size(); ++i) (void)w.core.handle(keys.newcomers().name(i));
    if (xs.size() == 0) return;
    std::size_t bad = 0;
    const Status status = w.core.update_many(handles, view(at), view(xs), view(ys), bad, out);
    if (status == Status::ok) return;
    if (status == Status::unknown_key)
      throw py::key_error("h[" + std::to_string(bad) + "] is no handle; get handles from handle()");
    explain(status, w, handles.size() == 1 ? handles[0] : handles[bad], at.data()[bad], xs.data()[bad],
            w.core.pairs() ? ys.data()[bad] : 0.0, "[" + std::to_string(bad) + "]");
  } catch (...) {
    w.core.truncate(before);
    throw;
  }
}

void update_many(NamedWindows& w, const py::object& h, py::handle times, py::handle x, const py::object& y) {
  update_all(w, h, times, x, y, {});
}

py::array_t<double> roll(NamedWindows& w, const py::object& h, py::handle times, py::handle x, const py::object& y,
                         const py::object& out) {
  py::array_t<double> result;
  update_all(w, h, times, x, y, [&](py::ssize_t n) { return result = output(out, {n, w.rows(), w.columns()}); });
  return result;
}

void advance(NamedWindows& w, const py::object& ts, const py::object& h) {
  const std::int64_t time = time_of(ts.ptr());
  if (!h.is_none()) {
    check(w.core.advance(handle_of(w, h.ptr()), time));
    return;
  }
  for (Handle each = 0; w.core.has(each); ++each) check(w.core.advance(each, time));
}

py::array_t<double> read_all(const NamedWindows& w, const py::object& out) {
  auto result = output(out, {static_cast<py::ssize_t>(w.core.size()), w.rows(), w.columns()});
  for (Handle h = 0; w.core.has(h); ++h) {
    (void)w.core.read(h, span_of(w, result.mutable_data() + static_cast<std::size_t>(h) * w.core.cells()));
  }
  return result;
}

py::dict counters(NamedWindows& w, const py::object& h) {
  const auto counts = w.core.counters(handle_of(w, h.ptr()));
  py::dict out;
  out["samples"] = counts.samples;
  out["held"] = counts.held;
  out["late"] = counts.late;
  out["dropped"] = counts.dropped;
  out["skipped"] = counts.skipped;
  return out;
}

// --- whole objects -------------------------------------------------------------------------------------------------

constexpr std::uint32_t snapshot_version = 1;

py::bytes snapshot(const NamedWindows& w) {
  SnapshotWriter writer("Windows", snapshot_version);
  for (const auto* labels : {&w.windows, &w.stats, &w.keys}) {
    writer.put(static_cast<std::uint64_t>(labels->size()));
    for (const std::string& label : *labels) writer.put(std::string_view(label));
  }
  writer.put(std::string_view(w.core.snapshot()));
  return writer.finish();
}

NamedWindows restored(const py::bytes& data) {
  NamedWindows w{Windows(WindowsOptions{}), {}, {}, {}, {}};
  SnapshotReader reader(std::string_view(data), "Windows", snapshot_version);
  for (auto* labels : {&w.windows, &w.stats, &w.keys}) {
    std::uint64_t n = 0;
    reader.get(n);
    for (std::uint64_t i = 0; reader.ok() && i < n; ++i) reader.get(labels->emplace_back());
  }
  std::string core;
  reader.get(core);
  if (reader.finish() != Status::ok || Windows::restore(core, w.core) != Status::ok ||
      w.windows.size() * w.stats.size() != w.core.cells() || w.windows.size() != w.core.options().windows.size()) {
    throw py::value_error(std::string("data: ") + message(Status::bad_snapshot));
  }
  return w;
}

void merge(NamedWindows& w, const NamedWindows& other) {
  if (other.keys != w.keys) throw py::value_error("other has keys of other names");
  const Status status = w.core.merge(other.core);
  if (status != Status::ok) throw py::value_error(std::string("other cannot be merged: ") + message(status));
}

using Specs = std::vector<std::pair<std::int64_t, std::int64_t>>;
using Labels = std::vector<std::string>;

NamedWindows make(const Labels& windows, const Specs& lengths, const Labels& stats,
                  const std::vector<std::pair<int, double>>& kinds, const Labels& keys, int closed,
                  std::int64_t min_periods, double ddof, int on_nan, int on_late, std::int64_t lateness,
                  std::pair<std::int64_t, std::int64_t> half_life, std::int64_t max_samples, int on_full) {
  WindowsOptions options;
  for (const auto& [count, span] : lengths) options.windows.push_back({count, span});
  for (const auto& [kind, q] : kinds) options.stats.push_back({static_cast<Stat>(kind), q});
  options.closed = static_cast<Closed>(closed);
  options.min_periods = min_periods;
  options.ddof = ddof;
  options.on_nan = static_cast<OnNan>(on_nan);
  options.on_late = static_cast<OnLate>(on_late);
  options.lateness = lateness;
  options.half_life = {half_life.first, half_life.second};
  options.max_samples = max_samples;
  options.on_full = static_cast<OnFull>(on_full);
  check(Windows::check(options), "windows");
  if (windows.size() != lengths.size() || stats.size() != kinds.size())
    throw py::value_error("each window and statistic needs a label");
  NamedWindows made{Windows(std::move(options)), windows, stats, keys, {}};
  if (keys.empty()) (void)made.core.handle("");
  return made;
}

}  // namespace

void bind_windows(py::module_& m) {
  auto cls = py::class_<NamedWindows>(m, "Windows");
  cls.def(py::init(&make), py::kw_only(), py::arg("windows"), py::arg("lengths"), py::arg("stats"), py::arg("kinds"),
          py::arg("keys"), py::arg("closed"), py::arg("min_periods"), py::arg("ddof"), py::arg("on_nan"),
          py::arg("on_late"), py::arg("lateness"), py::arg("half_life"), py::arg("max_samples"), py::arg("on_full"))
      .def(py::init(&restored), py::arg("data"))
      .def(
          "update_many", &update_many, py::arg("h"), py::arg("times"), py::arg("x"), py::arg("y") = py::none(),
          R"(Samples in order, as many calls of update. times, x (and y for pairs): arrays of shape (n,); h: one
handle or key, or n of them: an array or a list, for keys of one part also a column of strings or categories of pandas,
polars or pyarrow. times: integer nanoseconds, datetime64, ISO dates or datetimes, as in fairlead.rolling.

Everything is checked first: KeyError for an unknown handle, ValueError for unequal lengths or a sample that the
policies nan, late and full refuse, TypeError for a wrong dtype; nothing has changed then.)")
      .def("roll", &roll, py::arg("h"), py::arg("times"), py::arg("x"), py::arg("y") = py::none(), py::kw_only(),
           py::arg("out") = py::none(),
           R"(update_many, and what read gives after each sample: float64 of shape (n, windows, statistics), in
`out` if given, which may be what x or times lie in.

The same bits as n calls of update. Raises what update_many raises.

>>> W = Windows([2, "24h"], stats="mean")
>>> W.roll("a", ["2024-01-01", "2024-01-01T12:00", "2024-01-02"], [1.0, 3.0, 8.0])[:, :, 0]
array([[1. , 1. ],
       [2. , 2. ],
       [5.5, 5.5]])
)")
      .def(
          "advance", &advance, py::arg("ts"), py::arg("h") = py::none(),
          R"(Time moves on without a sample, for one key or for all, and what is too old leaves. An earlier time
than the newest of a key changes nothing. Raises KeyError for an unknown key.

>>> W = Windows("24h", stats="count")
>>> W.update("a", "2024-01-01", 1.0)
>>> W.advance("2024-01-02")
>>> W["a"]
{'24h': {'count': 0.0}}
)")
      .def("read_all", &read_all, py::arg("out") = py::none(),
           "All statistics of all keys, each at its newest time: float64 of shape (keys, windows, statistics), in "
           "`out` if given.")
      .def("counters", &counters, py::arg("h"),
           R"(What came of a key: samples taken, those held in its ring, late ones (whatever the policy did with them),
those dropped (late, or early for want of room), and those skipped for not being a number. Raises KeyError for an
unknown key.)")
      .def(
          "newest",
          [](NamedWindows& w, const py::object& h) -> py::object {
            const Time* const time = w.core.newest(handle_of(w, h.ptr()));
            return time != nullptr ? py::object(py::int_(*time)) : py::none();
          },
          py::arg("h"),
          "Time of the newest event of a key in nanoseconds; None before the first. Raises KeyError for an unknown "
          "key.")
      .def("merge", &merge, py::arg("other"),
           R"(Takes in the keys of another object with the same settings. A key that both have becomes the concatenation
of its samples, whose times must not overlap (the earlier of the two may end when the later begins). Raises
ValueError, and changes nothing, for other settings or times that overlap.

>>> W, later = Windows(3, stats="sum"), Windows(3, stats="sum")
>>> W.update_many("a", [0, 1], [1.0, 2.0])
>>> later.update_many("a", [2, 3], [4.0, 8.0])
>>> W.merge(later)
>>> W["a"]
{'3': {'sum': 14.0}}
)")
      .def("snapshot", &snapshot, "The whole state as bytes, for restore; pickle holds the same.")
      .def(
          "key", [](NamedWindows& w, const py::object& h) { return key_of(w, handle_of(w, h.ptr())); }, py::arg("h"),
          "The key of a handle: a str, or a tuple of str. Raises KeyError for an unknown handle.")
      .def("__contains__",
           [](NamedWindows& w, const py::object& key) {
             return is_key(key.ptr()) && w.core.find(name_of(w, key.ptr())) != NameTable::absent;
           })
      .def("__len__", [](const NamedWindows& w) { return w.core.size(); })
      .def_property_readonly(
          "windows", [](const NamedWindows& w) { return py::tuple(py::cast(w.windows)); }, "Labels of the windows.")
      .def_property_readonly(
          "stats", [](const NamedWindows& w) { return py::tuple(py::cast(w.stats)); }, "Labels of the statistics.")
      .def_property_readonly(
          "key_names", [](const NamedWindows& w) { return py::tuple(py::cast(w.keys)); },
          "Names of the parts of a key.");
  for (PyMethodDef& method : windows_methods) attach(cls, method);
  py::list names;
  for (const std::string_view name : stat_names) names.append(py::str(std::string(name)));
  m.attr("WINDOW_STATS") = py::tuple(names);
}

}  // namespace fairlead::bindings
