// The journal's writer. The hot methods are METH_FASTCALL; what may wait lets other threads run.
#include "fairlead/journal.hpp"

#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "arrays.hpp"
#include "journal_errors.hpp"

namespace fairlead::bindings {

namespace {

using journal::Seq;
using journal::Table;
using journal::Type;

// The number of a type, from its number or its name.
Type type_of(PyObject* given) {
  if (PyUnicode_Check(given)) {
    const auto name = py::reinterpret_borrow<py::str>(given).cast<std::string>();
    for (std::uint16_t t = 0; t <= static_cast<std::uint16_t>(Type::custom); ++t)
      if (!name.empty() && journal::type_name(static_cast<Type>(t)) == name) return static_cast<Type>(t);
    throw py::value_error("type is " + py::repr(given).cast<std::string>() + ", not the name of a type of event");
  }
  const long long number = PyLong_AsLongLong(given);
  if (number == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (number < 0 || number > 0xffff || journal::type_name(static_cast<Type>(number)).empty()) {
    throw py::value_error("type is " + std::to_string(number) + ", not the number of a type of event");
  }
  return static_cast<Type>(number);
}

[[noreturn]] void refuse_type(Type type) {
  throw py::value_error("type is '" + std::string(journal::type_name(type)) + "', which only the journal itself writes");
}

// The number of a name. None is -1, where there may be none.
std::int32_t name_id(const Journal& journal, PyObject* given, Table table, const char* what, bool needed) {
  if (given == Py_None && !needed) return -1;
  const long long id = PyLong_AsLongLong(given);
  if (id == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (id < 0 || id >= journal.n_names(table)) {
    if (id == -1 && !needed) return -1;
    throw py::value_error(std::string(what) + " is " + std::to_string(id) + ", must be a number that name() has given");
  }
  return static_cast<std::int32_t>(id);
}

PyObject* journal_append(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const log = native<Journal>(self);
  if (log == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("append", args, n, 5, 6);
    warn_of_disk(*log);
    const Type type = type_of(a.object(0));
    if (type <= Type::dropped) refuse_type(type);
    const std::int64_t time = a.integer(1), version = a.integer(5, 1);
    const std::int32_t model = name_id(*log, a.object(2), Table::models, "model", false);
    const std::int32_t category = name_id(*log, a.object(3), Table::categories, "category", false);
    if (version < 0 || version > 255) throw py::value_error("version is " + std::to_string(version) + ", outside [0, 255]");
    if (!PyBytes_Check(a.object(4))) {
      throw py::type_error("payload is " + py::repr(py::type::of(a.object(4))).cast<std::string>() + ", must be bytes");
    }
    const std::span payload(PyBytes_AS_STRING(a.object(4)), static_cast<std::size_t>(PyBytes_GET_SIZE(a.object(4))));
    Seq seq = 0;
    check(log->append(type, time, model, category, std::as_bytes(payload), seq, static_cast<std::uint8_t>(version)));
    return PyLong_FromUnsignedLongLong(seq);
  });
}

PyObject* journal_forecast(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const log = native<Journal>(self);
  if (log == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("forecast", args, n, 5, 10);
    warn_of_disk(*log);
    const std::int64_t task = a.integer(0);
    if (task < 0) throw py::value_error("task is " + std::to_string(task) + ", must be the number of a task, at least 0");
    const std::int32_t model = name_id(*log, a.object(1), Table::models, "model", true);
    const std::int32_t category = name_id(*log, a.object(2), Table::categories, "category", false);
    const std::int64_t time = a.integer(3);
    const double value = a.real(4), confidence = a.real(5, nan), latency_ms = a.real(6, nan), cost_usd = a.real(7, 0.0);
    const std::int64_t tokens_in = a.integer(8, 0), tokens_out = a.integer(9, 0);
    Journal::Claim claim;
    if (const Status status = log->claim(Type::forecast, time, model, category, sizeof(journal::ForecastFixed), claim);
        status != Status::ok) [[unlikely]] {
      raise(status, {});
    }
    new (claim.payload) journal::ForecastFixed{.task = static_cast<std::uint64_t>(task),
                                               .confidence = confidence,
                                               .latency_ms = latency_ms,
                                               .cost_usd = cost_usd,
                                               .tokens_in = tokens_in,
                                               .tokens_out = tokens_out,
                                               .value = value};
    Journal::commit(claim);
    return PyLong_FromUnsignedLongLong(claim.seq);
  });
}

// A column, or one value for all rows.
template <class T>
struct Column {
  Array<T> array;
  const T* at = nullptr;
  std::size_t step = 0;
  T one = {};
  Column(py::handle given, const char* name, py::ssize_t n, T otherwise, const char* kinds) {
    if (given.is_none()) {
      one = otherwise;
    } else if (PyFloat_Check(given.ptr()) || PyLong_Check(given.ptr())) {
      one = given.cast<T>();
    } else {
      array = numbers<T>(given, name, 1, kinds);
      check_length(array.size(), name, n, "task");
      at = array.data();
      step = 1;
      return;
    }
    at = &one;
  }
  Column(const Column&) = delete;
  Column& operator=(const Column&) = delete;
  T operator[](std::size_t i) const noexcept { return at[i * step]; }
};

void check_names(const Column<std::int64_t>& column, std::size_t n, std::int64_t least, std::int64_t known, const char* what) {
  if (column.step == 0) n = std::min<std::size_t>(n, 1);
  for (std::size_t i = 0; i < n; ++i) {
    if (column[i] < least || column[i] >= known) {
      throw py::value_error(std::string(what) + "[" + std::to_string(i) + "] is " + std::to_string(column[i]) +
                            ", must be a number that name() has given");
    }
  }
}

void claim_batch(Journal& log, Type type, std::size_t bytes, std::size_t n, Journal::Batch& batch, std::uint8_t version) {
  const Status status = log.claim(type, bytes, n, batch, version);
  if (status == Status::too_long && bytes <= journal::max_payload) {
    throw py::value_error("a batch of " + std::to_string(n) + " events is more than half the ring holds: give fewer at once, or a larger ring_bytes");
  }
  check(status);
}

py::tuple forecasts(Journal& log, py::handle task, py::handle model, py::handle category, py::handle time,
                    py::handle value, py::handle confidence, py::handle latency_ms, py::handle cost_usd,
                    py::handle tokens_in, py::handle tokens_out) {
  const auto tasks = numbers<std::int64_t>(task, "task", 1, "iu");
  const py::ssize_t size = tasks.size();
  const auto n = static_cast<std::size_t>(size);
  const std::int64_t* const numbers_of_tasks = tasks.data();
  for (std::size_t i = 0; i < n; ++i) {
    if (numbers_of_tasks[i] < 0) {
      throw py::value_error("task[" + std::to_string(i) + "] is " + std::to_string(numbers_of_tasks[i]) +
                            ", must be the number of a task, at least 0");
    }
  }
  const Column<std::int64_t> models(model, "model", size, -1, "iu"), categories(category, "category", size, -1, "iu"),
      times(time, "time", size, 0, "iu"), in(tokens_in, "tokens_in", size, 0, "iu"),
      out(tokens_out, "tokens_out", size, 0, "iu");
  const Column<double> values(value, "value", size, nan, "biuf"), confidences(confidence, "confidence", size, nan, "biuf"),
      latencies(latency_ms, "latency_ms", size, nan, "biuf"), costs(cost_usd, "cost_usd", size, 0.0, "biuf");
  check_names(models, n, 0, log.n_names(Table::models), "model");
  check_names(categories, n, -1, log.n_names(Table::categories), "category");
  if (n == 0) return py::make_tuple(0, 0);
  warn_of_disk(log);
  Journal::Batch batch;
  claim_batch(log, Type::forecast, sizeof(journal::ForecastFixed), n, batch, 1);
  for (std::size_t i = 0; i < n; ++i) {
    const Journal::Claim claim = log.put(batch, i, times[i], static_cast<std::int32_t>(models[i]),
                                         static_cast<std::int32_t>(categories[i]));
    new (claim.payload) journal::ForecastFixed{.task = static_cast<std::uint64_t>(numbers_of_tasks[i]),
                                               .confidence = confidences[i],
                                               .latency_ms = latencies[i],
                                               .cost_usd = costs[i],
                                               .tokens_in = in[i],
                                               .tokens_out = out[i],
                                               .value = values[i]};
    Journal::commit(claim);
  }
  return py::make_tuple(batch.first, batch.first + n - 1);
}

py::tuple append_many(Journal& log, py::handle type, py::handle time, py::handle model, py::handle category,
                      py::handle payload, int version) {
  const Type kind = type_of(type.ptr());
  if (kind <= Type::dropped) refuse_type(kind);
  if (version < 0 || version > 255) throw py::value_error("version is " + std::to_string(version) + ", outside [0, 255]");
  const auto rows = py::array_t<std::uint8_t, py::array::c_style>::ensure(payload);
  if (!rows || rows.ndim() != 2 || !py::isinstance<py::array_t<std::uint8_t>>(payload)) {
    PyErr_Clear();
    throw py::type_error("payload is " + py::repr(py::type::of(payload)).cast<std::string>() +
                         ", must be an array of uint8 with a row for each event");
  }
  const py::ssize_t size = rows.shape(0);
  const auto n = static_cast<std::size_t>(size), width = static_cast<std::size_t>(rows.shape(1));
  const auto column = [&](py::handle given, const char* name, std::int64_t otherwise) {
    if (!given.is_none() && !PyLong_Check(given.ptr())) {
      const auto array = numbers<std::int64_t>(given, name, 1, "iu");
      check_length(array.size(), name, size, "payload");
    }
    return Column<std::int64_t>(given, name, size, otherwise, "iu");
  };
  const Column<std::int64_t> times = column(time, "time", 0), models = column(model, "model", -1),
                             categories = column(category, "category", -1);
  check_names(models, n, -1, log.n_names(Table::models), "model");
  check_names(categories, n, -1, log.n_names(Table::categories), "category");
  if (n == 0) return py::make_tuple(0, 0);
  if (width > journal::max_payload) raise(Status::too_long, "a row of payload has " + std::to_string(width) + " bytes");
  warn_of_disk(log);
  Journal::Batch batch;
  claim_batch(log, kind, width, n, batch, static_cast<std::uint8_t>(version));
  for (std::size_t i = 0; i < n; ++i) {
    const Journal::Claim claim = log.put(batch, i, times[i], static_cast<std::int32_t>(models[i]),
                                         static_cast<std::int32_t>(categories[i]));
    if (width > 0) std::memcpy(claim.payload, rows.data() + i * width, width);
    Journal::commit(claim);
  }
  return py::make_tuple(batch.first, batch.first + n - 1);
}

template <std::size_t N>
std::uint8_t choice(const std::string& given, const char* const (&names)[N], const char* what) {
  std::string all;
  for (std::size_t i = 0; i < N; ++i) {
    if (given == names[i]) return static_cast<std::uint8_t>(i);
    all += (i == 0 ? "'" : i + 1 == N ? " or '" : ", '") + std::string(names[i]) + "'";
  }
  throw py::value_error(std::string(what) + " is " + py::repr(py::str(given)).cast<std::string>() + ", must be " + all);
}

constexpr const char* sync_names[] = {"never", "interval", "always"};
constexpr const char* overflow_names[] = {"fail", "drop", "spill"};
constexpr const char* table_names[] = {"models", "categories"};

std::unique_ptr<Journal> open(const std::string& folder, const std::string& sync, std::int64_t sync_interval,
                              const std::string& overflow, std::size_t ring_bytes, std::size_t spill_bytes,
                              std::uint64_t segment_bytes, std::int64_t segment_age, const std::string& memory,
                              py::dict recovered) {
  JournalOptions options;
  options.sync = static_cast<Sync>(choice(sync, sync_names, "sync"));
  options.sync_interval = sync_interval;
  options.overflow = static_cast<Overflow>(choice(overflow, overflow_names, "overflow"));
  options.ring_bytes = ring_bytes;
  options.spill_bytes = spill_bytes;
  options.log.segment_bytes = segment_bytes;
  options.log.segment_age = segment_age;
  options.memory = memory;
  if (folder.empty()) throw py::value_error("folder is '', must be the path of a folder");
  std::unique_ptr<Journal> out;
  journal::Recovery recovery;
  journal::Failure failure;
  {
    const py::gil_scoped_release others_run;
    failure = Journal::open(folder, options, out, recovery);
  }
  check(failure);
  recovered["events"] = recovery.events;
  recovered["cut_bytes"] = recovery.cut_bytes;
  recovered["cut_from"] = recovery.cut_from;
  recovered["kept_in"] = recovery.kept_in;
  recovered["drained"] = recovery.drained;
  recovered["gaps"] = recovery.gaps;
  recovered["lost"] = recovery.lost;
  return out;
}

// In slices, so that Ctrl-C is heard.
void wait_durable(Journal& log, Seq seq, std::optional<double> timeout) {
  constexpr double slice = 0.05;
  if (timeout && !(*timeout >= 0.0)) throw py::value_error("timeout is " + show(*timeout) + ", must be at least 0 s");
  if (seq == 0) seq = log.watermarks().accepted;
  double left = timeout.value_or(std::numeric_limits<double>::infinity());
  for (;;) {
    Status status = Status::ok;
    {
      const py::gil_scoped_release others_run;
      status = log.wait_durable(seq, static_cast<Time>(std::min(left, slice) * 1e9));
    }
    if (status == Status::ok) return;
    left -= slice;
    if (status != Status::timed_out || left <= 0.0) {
      const journal::Failure failure = log.failure();
      std::string what = "event " + std::to_string(seq) + " is not durable";
      if (failure) what += " (" + failure.what + ")";
      raise(status, what);
    }
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  }
}

PyMethodDef append_method = fast_method("append_bytes", journal_append, R"(append_bytes($self, type, time, model, category, payload, version=1, /)
--

One event from raw bytes: type, a name or number; time, integer nanoseconds; model and category, numbers that `name` has given,
or None. Gives its number. Takes no lock and makes no system call.)");

PyMethodDef forecast_method = fast_method("forecast", journal_forecast,
    R"(forecast($self, task, model, category, time, value, confidence=None, latency_ms=None, cost_usd=0.0, tokens_in=0, tokens_out=0, /)
--

One forecast, the fastest way: gives its number. task: the task's number. model, category: numbers that `name` has given
(category may be None). time: integer nanoseconds. value: P(1) of a binary answer, or the number.

Takes no lock and makes no system call. Raises JournalFullError where the ring is full, ValueError for a model that has no name.)");

}  // namespace

void bind_journal(py::module_& m) {
  py::class_<Journal> cls(m, "Journal", "The writer of a journal. Private: `fairlead.Journal` is its public face.");
  cls.def(py::init(&open), py::arg("folder"), py::kw_only(), py::arg("sync"), py::arg("sync_interval"), py::arg("overflow"),
          py::arg("ring_bytes"), py::arg("spill_bytes"), py::arg("segment_bytes"), py::arg("segment_age"), py::arg("memory"),
          py::arg("recovered"))
      .def("forecasts", &forecasts, py::arg("task"), py::arg("model"), py::arg("category"), py::arg("time"), py::arg("value"),
           py::arg("confidence") = py::none(), py::arg("latency_ms") = py::none(), py::arg("cost_usd") = py::none(),
           py::arg("tokens_in") = py::none(), py::arg("tokens_out") = py::none(),
           R"(Many forecasts, all or none: columns of equal length, or one value for all but `task`. Gives the first and the last
number, which follow each other; (0, 0) for no rows.

At most half the ring at once. Raises JournalFullError where they do not all fit, ValueError for an unknown model or category.)")
      .def("append_many", &append_many, py::arg("type"), py::arg("time"), py::arg("model"), py::arg("category"),
           py::arg("payload"), py::arg("version") = 1,
           R"(Many events with payloads of one size, all or none: `payload` is an array of uint8, one row an event; time, model and
category are columns, or one value for all. Gives the first and the last number.)")
      .def(
          "name",
          [](Journal& log, const std::string& table, const std::string& name) {
            std::int32_t id = -1;
            check(log.name(static_cast<Table>(choice(table, table_names, "table")), name, id));
            return id;
          },
          py::arg("table"), py::arg("name"), "The number of a name in the table 'models' or 'categories'; a new one is written.")
      .def(
          "watermarks",
          [](const Journal& log) {
            const Watermarks marks = log.watermarks();
            return py::make_tuple(marks.accepted, marks.written, marks.durable, marks.dropped);
          },
          "Numbers: accepted, written, durable; and how many events were dropped.")
      .def("_wait_durable", &wait_durable, py::arg("seq") = 0, py::arg("timeout") = py::none())
      .def("_close",
           [](Journal& log) {
             journal::Failure failure;
             {
               const py::gil_scoped_release others_run;
               failure = log.close();
             }
             check(failure);
           })
      .def("failure", [](const Journal& log) { return log.failure().what; },
           "What the disk refuses at the moment, in words; empty where all is well.")
      .def_property_readonly("folder", &Journal::folder, "Its folder.")
      .def_property_readonly(
          "id",
          [](const Journal& log) {
            return py::bytes(reinterpret_cast<const char*>(log.id().data()), log.id().size()).attr("hex")();
          },
          "32 hexadecimal digits, drawn when the journal was made.");
  attach(cls, append_method);
  attach(cls, forecast_method);
}

}  // namespace fairlead::bindings
