#include "fleet.hpp"

#include <pybind11/stl.h>

#include <cmath>

#include "fleet_records.hpp"
#include "journal_errors.hpp"

namespace fairlead::bindings {

using namespace fleet_records;

namespace {

constexpr int no_news = -1;  // beside the numbers of Status, where a task has ended with the same outcome before

// The probabilities of a forecast, in the order of the labels. False where they cannot fit.
bool read_p(PyObject* p, PyObject* labels, std::vector<double>& out) {
  out.clear();
  if (p == Py_None) return true;
  if (PyFloat_Check(p)) {
    out.push_back(PyFloat_AS_DOUBLE(p));
    return true;
  }
  if (PyTuple_Check(p)) {
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(p); ++i) out.push_back(real(PyTuple_GET_ITEM(p, i), nan));
    return true;
  }
  if (!PyDict_Check(p) || labels == nullptr) return false;
  Py_ssize_t found = 0;
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(labels); ++i) {
    PyObject* const value = PyDict_GetItemWithError(p, PyTuple_GET_ITEM(labels, i));
    if (value == nullptr && PyErr_Occurred()) throw py::error_already_set();
    found += value != nullptr ? 1 : 0;
    out.push_back(value != nullptr ? real(value, nan) : 0.0);
  }
  return found == PyDict_GET_SIZE(p);
}

PyObject* fleet_record(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("record", args, n, 2, 3);
    if (held->log != nullptr) warn_of_disk(*held->log);
    const Records& r = records();
    PyObject *const task = args[0], *const record = args[1];
    const bool whole = !PyUnicode_Check(task);
    if (!is_a(record, r.forecast) || (whole && !is_a(task, r.task))) return status_of(Status::wrong_kind);

    // All that may run Python code comes before anything is looked up.
    const py::object model = get(record, r.model), p = get(record, r.p), error = get(record, r.error);
    Forecast forecast;
    forecast.value = real(get(record, r.value).ptr(), nan);
    forecast.confidence = real(get(record, r.confidence).ptr(), nan);
    forecast.latency_ms = real(get(record, r.latency_ms).ptr(), nan);
    forecast.tokens_in = integer(get(record, r.tokens_in).ptr());
    forecast.tokens_out = integer(get(record, r.tokens_out).ptr());
    forecast.cost_usd = real(get(record, r.cost_usd).ptr(), 0.0);
    forecast.time = integer(get(record, r.time).ptr());
    forecast.error = utf8(error.ptr());
    Time now = 0;
    if (a.given(2)) now = read(args[2]);
    if (forecast.time == 0) forecast.time = now;
    const py::object id = whole ? get(task, r.id) : py::reinterpret_borrow<py::object>(task);

    Fleet& fleet = held->fleet;
    std::uint32_t slot = fleet.tasks().find(utf8(id.ptr()));
    const bool known = slot != FleetTasks::none;
    if (known && fleet.tasks()[slot].state != FleetTask::State::open) return status_of(Status::task_ended);
    if (!known && !whole) return status_of(Status::unknown_task);
    forecast.model = fleet.find_model(utf8(model.ptr()));
    if (forecast.model < 0 || !fleet.member(forecast.model).present) return status_of(Status::unknown_model);

    if (known && (!whole || held->held(slot).task.ptr() == task)) {
      const bool categorical = fleet.tasks()[slot].kind == Kind::categorical;
      if (!read_p(p.ptr(), categorical ? held->labels(slot).ptr() : nullptr, held->p)) return status_of(Status::wrong_length);
      forecast.p = held->p;
      return status_of(fleet.record(fleet.tasks()[slot].number, forecast));
    }
    ReadTask given(task, *held);
    if (given.view.time == 0) given.view.time = now;
    if (!read_p(p.ptr(), given.view.kind == Kind::categorical ? given.fields[4].ptr() : nullptr, held->p)) {
      return status_of(Status::wrong_length);
    }
    forecast.p = held->p;
    const Status status = fleet.record(given.view, forecast);
    if (status == Status::ok) {
      slot = fleet.tasks().find(given.view.id);
      held->held(slot).task = py::reinterpret_borrow<py::object>(task);
      held->held(slot).labels = given.fields[4];
    }
    return status_of(status);
  });
}

// What was decided of an open task, as Python has it.
PyObject* decided(HeldFleet& held, std::uint32_t slot, const Decision& d) {
  const auto put = [](const py::dict& out, const py::object& key, double value) {
    if (PyDict_SetItem(out.ptr(), key.ptr(), py::float_(value).ptr()) != 0) throw py::error_already_set();
  };
  const Kind kind = held.fleet.tasks()[slot].kind;
  py::dict weights;
  std::size_t top = 0;
  for (std::size_t i = 0; i < d.weights.size(); ++i) {
    put(weights, held.name(d.weights[i].model), d.weights[i].weight);
    if (d.weights[i].weight > d.weights[top].weight) top = i;
  }
  py::object p = py::none(), value = py::none();
  if (kind == Kind::binary) {
    p = py::float_(d.p[0]);
  } else if (kind == Kind::numeric) {
    value = py::float_(d.value);
  } else {
    const py::object labels = held.labels(slot);
    py::dict by_label;
    for (std::size_t i = 0; i < d.p.size(); ++i) {
      put(by_label, py::reinterpret_borrow<py::object>(PyTuple_GET_ITEM(labels.ptr(), static_cast<Py_ssize_t>(i))), d.p[i]);
    }
    p = std::move(by_label);
  }
  const auto known = [](double x) { return std::isfinite(x) ? py::object(py::float_(x)) : py::object(py::none()); };
  return py::make_tuple(weights, p, value, d.disagreement, d.uncertainty, d.position_scale, d.cost_usd, d.reasons, d.time,
                        known(d.spread), known(d.entropy), known(d.divergence), known(d.pairwise), known(d.low),
                        known(d.high), static_cast<int>(d.chosen), held.name(d.weights[top].model))
      .release()
      .ptr();
}

PyObject* fleet_decide(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("decide", args, n, 3, 3);
    if (held->log != nullptr) warn_of_disk(*held->log);
    const std::int64_t strategy = a.integer(1);
    if (strategy < 0 || strategy >= static_cast<std::int64_t>(strategy_names.size())) {
      throw py::value_error("strategy is " + std::to_string(strategy) + ", not an index into STRATEGIES");
    }
    const Time now = read(args[2]);
    Fleet& fleet = held->fleet;
    const std::uint32_t slot = fleet.tasks().find(utf8(args[0]));
    if (slot == FleetTasks::none) return status_of(Status::unknown_task);
    const FleetTask& task = fleet.tasks()[slot];
    if (task.state != FleetTask::State::open) return status_of(Status::task_ended);
    Decision& d = held->decision;
    if (const Status status = fleet.decide(task.number, static_cast<Strategy>(strategy), d, now); status != Status::ok) {
      return status_of(status);
    }
    return decided(*held, slot, d);
  });
}

PyObject* fleet_decide_by(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("decide_by", args, n, 4, 4);
    if (held->log != nullptr) warn_of_disk(*held->log);
    if (!PyDict_Check(args[2])) throw py::type_error("weights must be a dict");
    std::vector<std::pair<std::string, double>> given;  // read first, as reading may run Python code
    PyObject *model = nullptr, *weight = nullptr;
    for (Py_ssize_t at = 0; PyDict_Next(args[2], &at, &model, &weight) != 0;) {
      const std::string name(utf8(model));
      given.emplace_back(name, real(weight, nan));
    }
    const Time now = read(args[3]);
    Fleet& fleet = held->fleet;
    const std::uint32_t slot = fleet.tasks().find(utf8(args[0]));
    if (slot == FleetTasks::none) return status_of(Status::unknown_task);
    if (fleet.tasks()[slot].state != FleetTask::State::open) return status_of(Status::task_ended);
    std::vector<ModelWeight> weights;
    for (const auto& [name, value] : given) weights.push_back({fleet.find_model(name), value});
    Decision& d = held->decision;
    const Status status = fleet.decide_by(fleet.tasks()[slot].number, utf8(args[1]), weights, d, now);
    return status == Status::ok ? decided(*held, slot, d) : status_of(status);
  });
}


// The outcome as the core takes it; NaN where a label is none of the task's.
double number_of(HeldFleet& held, std::uint32_t slot, PyObject* outcome) {
  if (!PyUnicode_Check(outcome)) return real(outcome, nan);
  if (held.fleet.tasks()[slot].kind != Kind::categorical) return nan;
  const py::object labels = held.labels(slot);
  for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(labels.ptr()); ++i) {
    const int same = PyUnicode_Compare(PyTuple_GET_ITEM(labels.ptr(), i), outcome);
    if (same == 0) return static_cast<double>(i);
    if (same == -1 && PyErr_Occurred()) throw py::error_already_set();
  }
  return nan;
}

PyObject* fleet_settle(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("settle", args, n, 2, 5);
    if (held->log != nullptr) warn_of_disk(*held->log);
    Time time = a.integer(2, 0);
    const double profit = a.real(3, nan);
    if (time == 0 && a.given(4)) time = read(args[4]);
    Fleet& fleet = held->fleet;
    const std::string_view id = utf8(args[0]);
    const std::uint32_t slot = fleet.tasks().find(id);
    if (slot == FleetTasks::none) return status_of(Status::unknown_task);
    bool news = false;
    Status status = Status::ok;
    if (args[1] == Py_None) {
      status = fleet.close(id, time, news);
    } else {
      const double value = number_of(*held, slot, args[1]);
      status = std::isnan(value) ? Status::bad_outcome : fleet.settle(id, value, time, profit, news);
    }
    if (status != Status::ok) return status_of(status);
    if (news && slot < held->tasks.size()) held->tasks[slot] = {};
    return PyLong_FromLong(news ? 0 : no_news);
  });
}

PyMethodDef fleet_methods[] = {
    fast_method("record", fleet_record,
                "record($self, task, forecast, clock=None, /)\n--\n\n"
                "A model's answer to a Task or the id of an open one: the number of a status, 0 where all is well. `clock`\n"
                "gives the time of what comes without one."),
    fast_method("decide", fleet_decide,
                "decide($self, task, strategy, clock, /)\n--\n\n"
                "(weights, p, value, disagreement, uncertainty, position_scale, cost_usd, reason bits, time, spread, entropy,\n"
                "divergence, pairwise, low, high, index of the chosen strategy), or a status."),
    fast_method("decide_by", fleet_decide_by,
                "decide_by($self, task, name, weights, clock, /)\n--\n\n"
                "The same by weights {model: weight}, under a name."),
    fast_method("settle", fleet_settle,
                "settle($self, task, outcome, time=0, profit_usd=None, clock=None, /)\n--\n\n"
                "What happened, or None where it will never be known: a status, or -1 where it was known before."),
};

FleetSettings settings_from(double k, double scale, double start, double half_life, std::uint64_t history,
                            std::uint64_t psi_reference, std::uint64_t psi_window, std::uint64_t remember, double kelly,
                            double capital_usd, double drawdown_limit) {
  const FleetSettings given{k,          scale,    start, half_life,   history,       psi_reference,
                            psi_window, remember, kelly, capital_usd, drawdown_limit};
  FleetSettings checked;
  if (FleetSettings::parse(given.json(), checked) != Status::ok) {
    throw py::value_error("settings are " + given.json() + ", of which one is out of bounds");
  }
  return given;
}

py::bytes as_bytes(const std::string& text) { return {text.data(), text.size()}; }

}  // namespace

HeldFleet::Held& HeldFleet::held(std::uint32_t slot) {
  if (slot >= tasks.size()) tasks.resize(static_cast<std::size_t>(slot) + 1);
  if (tasks[slot].number != fleet.tasks()[slot].number) tasks[slot] = {fleet.tasks()[slot].number};
  return tasks[slot];
}

const py::object& HeldFleet::labels(std::uint32_t slot) {
  Held& known = held(slot);
  if (!known.labels) known.labels = task_fields(fleet.tasks()[slot])[4];
  return known.labels;
}

const py::object& HeldFleet::name(ModelId model) {
  const auto i = static_cast<std::size_t>(model);
  if (i >= names.size()) names.resize(i + 1);
  if (!names[i]) names[i] = str(fleet.board().models().name(model));
  return names[i];
}

py::tuple task_fields(const FleetTask& task) {
  journal::DecodedTask decoded;
  if (!journal::decode(std::as_bytes(std::span<const char>(task.record)), decoded)) throw py::value_error("bad task");
  const Task& t = decoded.task;
  py::tuple labels(t.labels.size());
  for (std::size_t i = 0; i < t.labels.size(); ++i) labels[i] = str(t.labels[i]);
  py::dict slices;
  for (const Dimension& slice : t.slices) slices[str(slice.name)] = str(slice.value);
  const py::object expires = std::isnan(t.expires_in_s) ? py::object(py::none()) : py::object(py::float_(t.expires_in_s));
  return py::make_tuple(str(t.id), records().kinds[static_cast<std::size_t>(t.kind)], str(t.category), str(t.text), labels,
                        t.stake_usd, str(t.regime), expires, slices, task.shown);
}

void bind_fleet(py::module_& m) {
  auto cls =
      py::class_<HeldFleet>(m, "Fleet", "The state behind fairlead.Fleet, which puts its statuses in words.")
          .def(py::init([](double k, double scale, double start, double half_life, std::uint64_t history,
                           std::uint64_t psi_reference, std::uint64_t psi_window, std::uint64_t remember, double kelly,
                           double capital_usd, double drawdown_limit) {
                 return std::make_unique<HeldFleet>(settings_from(k, scale, start, half_life, history, psi_reference,
                                                                  psi_window, remember, kelly, capital_usd, drawdown_limit));
               }),
               py::kw_only(), py::arg("k") = 32.0, py::arg("scale") = 400.0, py::arg("start") = 1500.0,
               py::arg("half_life") = 200.0, py::arg("history") = 4096, py::arg("psi_reference") = 500,
               py::arg("psi_window") = 500, py::arg("remember") = 100'000, py::arg("kelly") = 1.0,
               py::arg("capital_usd") = 0.0, py::arg("drawdown_limit") = 0.2)
          .def("add",
               [](HeldFleet& held, std::string_view name, std::string_view record, Time time) {
                 return static_cast<int>(held.fleet.add(name, record, time));
               },
               py::arg("name"), py::arg("record"), py::arg("time") = 0)
          .def("remove",
               [](HeldFleet& held, std::string_view name, Time time) { return static_cast<int>(held.fleet.remove(name, time)); },
               py::arg("name"), py::arg("time") = 0)
          .def("configure",
               [](HeldFleet& held, const HeldFleet& like, Time time) {
                 return static_cast<int>(held.fleet.configure(like.fleet.settings(), time));
               },
               py::arg("like"), py::arg("time"))
          .def("models",
               [](const HeldFleet& held) {
                 py::list out;
                 for (const ModelId model : held.fleet.members()) out.append(str(held.fleet.member(model).record));
                 return out;
               })
          .def("model",
               [](const HeldFleet& held, std::string_view name) -> py::object {
                 const ModelId model = held.fleet.find_model(name);
                 if (model < 0 || !held.fleet.member(model).present) return py::none();
                 return str(held.fleet.member(model).record);
               },
               py::arg("name"))
          .def("has_model",
               [](const HeldFleet& held, std::string_view name) {
                 const ModelId model = held.fleet.find_model(name);
                 return model >= 0 && held.fleet.member(model).present;
               },
               py::arg("name"))
          .def("open_tasks",
               [](const HeldFleet& held) {
                 py::list out;
                 for (const std::uint32_t slot : held.fleet.tasks().open()) out.append(task_fields(held.fleet.tasks()[slot]));
                 return out;
               })
          .def("open_ids",
               [](const HeldFleet& held) {
                 py::list out;
                 for (const std::uint32_t slot : held.fleet.tasks().open()) out.append(str(held.fleet.tasks()[slot].id()));
                 return out;
               })
          .def("task",
               [](const HeldFleet& held, std::string_view id) -> py::object {
                 const std::uint32_t slot = held.fleet.tasks().find(id);
                 if (slot == FleetTasks::none) return py::none();
                 const FleetTask& task = held.fleet.tasks()[slot];
                 return py::make_tuple(task_fields(task), task.state != FleetTask::State::open,
                                       std::isnan(task.outcome) ? py::object(py::none()) : py::object(py::float_(task.outcome)));
               },
               py::arg("id"))
          .def_property_readonly("n_open", [](const HeldFleet& held) { return held.fleet.tasks().n_open(); })
          .def_property_readonly("n_models", [](const HeldFleet& held) { return held.fleet.members().size(); })
          .def_property_readonly("last", [](const HeldFleet& held) { return held.fleet.last(); })
          .def_property_readonly("passed_over",
                                 [](const HeldFleet& held) {
                                   return py::make_tuple(held.fleet.passed_over(), held.fleet.first_passed_over());
                                 })
          .def_property_readonly("unlogged", [](const HeldFleet& held) { return held.fleet.unlogged(); })
          .def_property_readonly("settings",
                                 [](const HeldFleet& held) {
                                   const FleetSettings& s = held.fleet.settings();
                                   py::dict out;
                                   out["k"] = s.k;
                                   out["scale"] = s.scale;
                                   out["start"] = s.start;
                                   out["half_life"] = s.half_life;
                                   out["history"] = s.history;
                                   out["psi_reference"] = s.psi_reference;
                                   out["psi_window"] = s.psi_window;
                                   out["remember"] = s.remember;
                                   out["kelly"] = s.kelly;
                                   out["capital_usd"] = s.capital_usd;
                                   out["drawdown_limit"] = s.drawdown_limit;
                                   return out;
                                 })
          .def_property_readonly("configured", [](const HeldFleet& held) { return held.fleet.configured(); })
          // Its events come through the fleet; nobody else may change it.
          .def_property_readonly(
              "board", [](HeldFleet& held) -> Scoreboard& { return const_cast<Scoreboard&>(held.fleet.board()); },
              py::return_value_policy::reference_internal)
          .def("state", [](const HeldFleet& held) { return as_bytes(held.fleet.state()); });
  for (PyMethodDef& method : fleet_methods) attach(cls, method);
  bind_fleet_routing(m, cls);
  bind_fleet_audits(cls);
  bind_fleet_performance(m, cls);
  m.def("raise_status", [](int status, const std::string& what) { check(static_cast<Status>(status), what); }, py::arg("status"), py::arg("what") = "");
}

}  // namespace fairlead::bindings
