// Routing of a fleet: whom to ask, how calls ended, budgets, health, rules.
#include <pybind11/stl.h>

#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "fleet_records.hpp"
#include "journal_errors.hpp"
#include "task_classifier.hpp"

namespace fairlead::bindings {

using namespace fleet_records;

namespace {


// A route, with the fleet that names its models.
struct HeldRoute {
  py::object owner = {};
  HeldFleet* fleet = nullptr;
  py::object task = {};
  std::string type = {};
  std::string refused_by = {};
  Route route = {};

  py::object name(ModelId model) const { return model >= 0 ? fleet->name(model) : py::none(); }
};

py::object number_or_none(double value) { return std::isnan(value) ? py::object(py::none()) : py::object(py::float_(value)); }

template <class Names>
py::tuple words(std::uint32_t bits, const Names& names) {
  py::list out;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if ((bits & (1u << i)) != 0) out.append(str(names[i]));
  }
  return py::tuple(out);
}

// Ids of models by their names. False for one that was never in the fleet.
bool read_models(PyObject* given, const HeldFleet& held, std::vector<ModelId>& out) {
  out.clear();
  if (given == Py_None) return true;
  const py::object items = py::reinterpret_steal<py::object>(PySequence_Fast(given, "models must be a sequence of names"));
  if (!items) throw py::error_already_set();
  for (Py_ssize_t i = 0; i < PySequence_Fast_GET_SIZE(items.ptr()); ++i) {
    const ModelId model = held.fleet.find_model(utf8(PySequence_Fast_GET_ITEM(items.ptr(), i)));
    if (model < 0) return false;
    out.push_back(model);
  }
  return true;
}

// A mapping from names to numbers as a column by ModelId.
template <class T, class Read>
void read_column(PyObject* given, const HeldFleet& held, T otherwise, std::vector<T>& out, Read&& number) {
  out.clear();
  if (given == Py_None) return;
  if (!PyDict_Check(given)) throw py::type_error("must be a dict from models to numbers");
  out.assign(static_cast<std::size_t>(held.fleet.board().models().size()), otherwise);
  PyObject *name = nullptr, *value = nullptr;
  for (Py_ssize_t at = 0; PyDict_Next(given, &at, &name, &value) != 0;) {
    const ModelId model = held.fleet.find_model(utf8(name));
    if (model >= 0) out[static_cast<std::size_t>(model)] = number(value);
  }
}

std::optional<Objective> read_objective(PyObject* given) {
  if (given == Py_None) return {};
  if (!PyTuple_Check(given) || PyTuple_GET_SIZE(given) != 6) throw py::type_error("objective must be a tuple of six");
  const std::int64_t goal = integer(PyTuple_GET_ITEM(given, 0));
  if (goal < 0 || goal >= static_cast<std::int64_t>(goal_names.size())) throw py::value_error("objective has no such goal");
  const auto at = [&](Py_ssize_t i) { return real(PyTuple_GET_ITEM(given, i), 0.0); };
  return Objective{.goal = static_cast<Goal>(goal), .quality = at(1), .cost = at(2), .latency = at(3),
                   .min_quality = at(4), .explore = at(5)};
}

// The open task that is meant, opened where it is new.
Status find_task(HeldFleet& held, PyObject* task, Time now, TaskNumber& out) {
  const Records& r = records();
  Fleet& fleet = held.fleet;
  const bool whole = !PyUnicode_Check(task);
  if (whole && !is_a(task, r.task)) return Status::wrong_kind;
  const py::object id = whole ? get(task, r.id) : py::reinterpret_borrow<py::object>(task);
  const std::uint32_t slot = fleet.tasks().find(utf8(id.ptr()));
  if (slot != FleetTasks::none) {
    if (fleet.tasks()[slot].state != FleetTask::State::open) return Status::task_ended;
    if (!whole || held.held(slot).task.ptr() == task) {
      out = fleet.tasks()[slot].number;
      return Status::ok;
    }
  } else if (!whole) {
    return Status::unknown_task;
  }
  ReadTask given(task, held);
  if (given.view.time == 0) given.view.time = now;
  const Status status = fleet.open(given.view, out);
  if (status == Status::ok) {
    HeldFleet::Held& known = held.held(fleet.tasks().find(out));
    known.task = py::reinterpret_borrow<py::object>(task);
    known.labels = given.fields[4];
  }
  return status;
}

PyObject* fleet_route(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("route", args, n, 2, 11);
    if (held->log != nullptr) warn_of_disk(*held->log);
    // All that may run Python code comes before anything is looked up.
    const Time now = read(args[1]);
    RouteRequest request;
    request.objective = read_objective(a.object(3));
    if (a.given(4)) {
      const std::int64_t tier = a.integer(4);
      if (tier < 0 || tier >= static_cast<std::int64_t>(tier_names.size())) throw py::value_error("at_least is no tier");
      request.at_least = static_cast<Tier>(tier);
    }
    if (a.given(5)) request.pin = utf8(args[5]);
    if ((a.given(5) && held->fleet.find_model(request.pin) < 0) || !read_models(a.object(6), *held, held->ban) ||
        !read_models(a.object(7), *held, held->without)) {
      return status_of(Status::unknown_model);
    }
    read_column(a.object(8), *held, Nanos{-1}, held->bounds, [](PyObject* value) { return integer(value); });
    read_column(a.object(9), *held, nan, held->predicted, [](PyObject* value) { return real(value, nan); });
    read_column(a.object(10), *held, 0.0, held->predicted_n, [](PyObject* value) { return real(value, 0.0); });
    request.predicted_n = held->predicted_n;
    request.ban = held->ban;
    request.without = held->without;
    request.bounds = held->bounds;
    request.predicted = held->predicted;

    TaskNumber number = 0;
    if (const Status status = find_task(*held, args[0], now, number); status != Status::ok) return status_of(status);
    const std::uint32_t slot = held->fleet.tasks().find(number);
    const FleetTask& task = held->fleet.tasks()[slot];
    if (a.given(2)) {
      request.type = utf8(args[2]);
    } else if (held->task_types != nullptr && task.routing.type < 0 && !task.text().empty()) {
      request.type = held->task_types->types()[held->task_types->classify(task.text())];
    }
    auto made = std::make_unique<HeldRoute>();
    Route& route = made->route;
    if (const Status status = held->fleet.route(number, request, route, now); status != Status::ok) return status_of(status);
    made->owner = py::reinterpret_borrow<py::object>(self);
    made->fleet = held;
    made->task = PyUnicode_Check(args[0]) ? py::reinterpret_borrow<py::object>(args[0]) : get(args[0], records().id);
    const FleetRouting& routing = held->fleet.routing();
    if (!request.type.empty()) {
      made->type = request.type;
    } else if (task.routing.type >= 0) {
      made->type = routing.types().name(task.routing.type);
    }
    if (route.admission.refused_by >= 0) {
      Budgets::View view;
      if (routing.budgets().view(route.admission.refused_by, now, view) == Status::ok) made->refused_by = view.name;
    }
    return py::cast(std::move(made)).release().ptr();
  });
}

PyObject* fleet_called(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const held = native<HeldFleet>(self);
  if (held == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("called", args, n, 3, 13);
    if (held->log != nullptr) warn_of_disk(*held->log);
    const Time now = read(args[1]);
    const std::int64_t end = a.integer(2), failure = a.integer(4, 0), calls = a.integer(12, 1);
    if (end < 0 || end >= static_cast<std::int64_t>(call_end_names.size())) throw py::value_error("end is none of CALL_ENDS");
    if (failure < 0 || failure >= static_cast<std::int64_t>(failure_names.size())) throw py::value_error("failure is no kind");
    journal::CalledFixed fixed{.latency_ms = a.real(5, nan),
                               .first_token_ms = a.real(6, nan),
                               .retry_after_ms = a.real(7, nan),
                               .tokens_in = a.integer(8, 0),
                               .tokens_out = a.integer(9, 0),
                               .tokens_cached = a.integer(10, 0),
                               .tokens_written = a.integer(11, 0),
                               .calls = static_cast<std::uint16_t>(std::min<std::int64_t>(std::max<std::int64_t>(calls, 0), 65'535)),
                               .end = static_cast<CallEnd>(end),
                               .failure = static_cast<std::uint8_t>(failure)};
    if (a.given(3)) {
      const double usd = a.real(3);
      if (to_nanos(usd, fixed.cost_nanos) != Status::ok) throw py::value_error("cost_usd is " + show(usd) + ", no amount of money");
    }
    const auto route = py::reinterpret_borrow<py::object>(args[0]);
    if (!py::isinstance<HeldRoute>(route)) throw py::type_error("route must be a Route");
    const auto& given = route.cast<const HeldRoute&>();
    if (given.fleet != held) raise_named("InvalidRecordError", "route is of another fleet");
    return status_of(held->fleet.called(given.route, fixed, now));
  });
}

PyMethodDef routing_methods[] = {
    fast_method("route", fleet_route,
                "route($self, task, clock, type=None, objective=None, at_least=None, pin=None, ban=None, without=None, bounds=None, "
                "predicted=None, predicted_n=None, /)\n--\n\n"
                "Whom to ask a Task or the id of an open one: a Route, or the number of a status."),
    fast_method("called", fleet_called,
                "called($self, route, clock, end, cost_usd=None, failure=0, latency_ms=None, first_token_ms=None, retry_after_ms=None, "
                "tokens_in=0, tokens_out=0, tokens_cached=0, tokens_written=0, calls=1, /)\n--\n\n"
                "How the call of a route ended: the number of a status."),
};

py::object route_function(const char* name) { return py::module_::import("fairlead.policy.route").attr(name); }

py::object runner_up(const HeldRoute& self, const Candidate& other) {
  return route_function("RunnerUp")(self.name(other.model), other.quality, other.cost_usd, number_or_none(other.latency_ms));
}

void bind_route(py::module_& m) {
  py::class_<HeldRoute>(m, "Route", R"(Whom to ask a task, and why. True where somebody is asked.

The call has begun with it: its money is held, until `Fleet.called`, `Fleet.record` of its answer, or `Fleet.release`.

>>> import fairlead as fl
>>> fleet = fl.Fleet()
>>> fleet.add("gpt-4o")
>>> route = fleet.route(fl.Task("q-1"))
>>> route.model, route.attempt, route.propensity, route.reasons
('gpt-4o', 1, 1.0, ('only_candidate',))
>>> bool(fleet.route(fl.Task("q-1"), without=["gpt-4o"]))
False)")
      .def_property_readonly("task", [](const HeldRoute& self) { return self.task; }, "The id of the task.")
      .def_property_readonly("model", [](const HeldRoute& self) { return self.route.asks() ? self.name(self.route.model) : py::none(); },
                             "Who is asked; None: nobody.")
      .def_property_readonly("wanted", [](const HeldRoute& self) { return self.name(self.route.model); },
                             "Who would be asked if a budget did not refuse; else as `model`.")
      .def_property_readonly(
          "provider",
          [](const HeldRoute& self) -> py::object {
            if (self.route.model < 0) return py::none();
            const Breakers& breakers = self.fleet->fleet.routing().breakers();
            return str(breakers.provider_name(breakers.provider_of(self.route.model)));
          },
          "The provider whose breaker counts: that of the model, or \"model NAME\" where it has none.")
      .def_property_readonly("attempt", [](const HeldRoute& self) { return self.route.attempt; }, "The n-th call for this task, from 1.")
      .def_property_readonly("type", [](const HeldRoute& self) { return self.type; }, "The task's type, empty where it has none.")
      .def_property_readonly("goal", [](const HeldRoute& self) { return str(goal_names[static_cast<std::size_t>(self.route.goal)]); },
                             "What the route is to be good at.")
      .def_property_readonly("quality", [](const HeldRoute& self) { return number_or_none(self.route.expected.quality); },
                             "Expected of the answer, in [0, 1].")
      .def_property_readonly("spread", [](const HeldRoute& self) { return number_or_none(self.route.expected.spread); },
                             "Standard deviation of that estimate.")
      .def_property_readonly("cost_usd", [](const HeldRoute& self) { return self.route.expected.cost_usd; }, "Expected, USD.")
      .def_property_readonly("latency_ms", [](const HeldRoute& self) { return number_or_none(self.route.expected.latency_ms); },
                             "Expected: the median of its calls. None before the first.")
      .def_property_readonly("propensity", [](const HeldRoute& self) { return number_or_none(self.route.propensity); },
                             "How likely this choice was, given what is known.")
      .def_property_readonly("reserved_usd", [](const HeldRoute& self) { return to_usd(self.route.reserved); },
                             "The most that the call may cost, which its budgets hold.")
      .def_property_readonly("reasons", [](const HeldRoute& self) { return words(self.route.reasons, route_reason_names); },
                             "Why, as words of `fairlead.policy.route.ROUTE_REASONS`.")
      .def_property_readonly(
          "runners_up",
          [](const HeldRoute& self) {
            py::tuple out(self.route.n_others);
            for (std::size_t i = 0; i < self.route.n_others; ++i) out[i] = runner_up(self, self.route.others[i]);
            return out;
          },
          "Who would be asked next, with what is expected of them; at most seven.")
      .def_property_readonly("refused_by", [](const HeldRoute& self) { return self.refused_by; }, "The budget that refuses, else empty.")
      .def_property_readonly(
          "then",
          [](const HeldRoute& self) {
            return self.route.admission.granted() ? py::str() : str(on_exhausted_names[static_cast<std::size_t>(self.route.admission.then)]);
          },
          "What the budget that refuses wants done: degrade, queue or refuse.")
      .def_property_readonly(
          "until",
          [](const HeldRoute& self) -> py::object {
            const Time until = self.route.admission.granted() ? self.route.until : self.route.admission.until;
            if (until <= 0 || until == Calendar::end_of_time) return py::none();
            return py::int_(until);
          },
          "Where nobody is asked: when that may next be otherwise, in nanoseconds; None where it is not known.")
      .def_property_readonly("left_usd", [](const HeldRoute& self) { return to_usd(self.route.admission.left); },
                             "What the budget that refuses has left.")
      .def("as_dict", [](const py::object& self) { return route_function("as_dict")(self); }, "Everything, as plain JSON types.")
      .def("__str__", [](const py::object& self) { return route_function("in_words")(self); })
      .def("__repr__",
           [](const HeldRoute& self) {
             const py::object model = self.route.asks() ? self.name(self.route.model) : py::object(py::none());
             return "<Route of " + py::repr(self.task).cast<std::string>() + " to " + py::repr(model).cast<std::string>() + ">";
           })
      .def("__bool__", [](const HeldRoute& self) { return self.route.asks(); });
}

}  // namespace

void bind_fleet_routing(py::module_& m, py::class_<HeldFleet>& cls) {
  bind_route(m);
  const auto texts = [](const auto& names) {
    py::tuple out(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) out[i] = str(names[i]);
    return out;
  };
  m.attr("GOALS") = texts(goal_names);
  m.attr("ROUTE_REASONS") = texts(route_reason_names);
  m.attr("CALL_ENDS") = texts(call_end_names);
  m.attr("CALL_FAILURES") = texts(failure_names);
  for (PyMethodDef& method : routing_methods) attach(cls, method);
  cls.def("use_classifier",
          [](HeldFleet& held, const py::object& classifier) {
            held.task_types = classifier.is_none() ? nullptr : &classifier.cast<const Classifier&>().core;
            held.classifier = classifier;
          },
          py::arg("classifier"))
      .def("budget_event", [](HeldFleet& held, std::string_view json, Time time) { return static_cast<int>(held.fleet.budget(json, time)); },
           py::arg("json"), py::arg("time"))
      .def("rule_alert",
           [](HeldFleet& held, std::string_view json, Time time) {
             bool news = false;
             const Status status = held.fleet.alert(json, time, news);
             return status == Status::ok && !news ? -1 : static_cast<int>(status);
           },
           py::arg("json"), py::arg("time"))
      .def("raised_alerts",
           [](const HeldFleet& held) {
             py::list out;
             for (const Alerts::Raised& one : held.fleet.alerts().raised()) out.append(py::make_tuple(one.key, one.json, one.time));
             return out;
           })
      .def("health_event", [](HeldFleet& held, std::string_view json, Time time) { return static_cast<int>(held.fleet.health(json, time)); },
           py::arg("json"), py::arg("time"))
      .def("routing_event",
           [](HeldFleet& held, std::string_view json, Time time) { return static_cast<int>(held.fleet.routing_rules(json, time)); },
           py::arg("json"), py::arg("time"))
      .def("alerts",
           [](HeldFleet& held, Time now) -> py::object {
             std::vector<Alert> alerts;
             const Status status = held.fleet.take_alerts(alerts, now);
             if (status == Status::out_of_memory) throw std::bad_alloc();
             py::list out;
             for (const Alert& alert : alerts) {
               Budgets::View view;
               check(held.fleet.routing().budgets().view(alert.budget, now, view), "budget");
               out.append(py::make_tuple(view.name, str(alert_level_names[static_cast<std::size_t>(alert.level)]), alert.number,
                                         alert.period_start, alert.time, alert.limit, alert.spent, alert.held));
             }
             return out;
           },
           py::arg("now"))
      .def_property_readonly("any_alert", [](const HeldFleet& held) { return held.fleet.routing().budgets().any_due(); })
      .def("lose_calls", [](HeldFleet& held, Time now) { return static_cast<int>(held.fleet.lose_calls(now)); }, py::arg("now"))
      .def("open_calls",
           [](HeldFleet& held) {
             py::list out;
             for (const FleetRouting::OpenCall& call : held.fleet.routing().open_calls()) {
               out.append(py::make_tuple(call.task, held.name(call.where.model), call.attempt, call.awaited, call.reserved, call.time));
             }
             return out;
           })
      .def("spend_names",
           [](const HeldFleet& held, const std::string& scope) {
             const FleetRouting& routing = held.fleet.routing();
             if (scope != "category" && scope != "type") throw py::value_error("scope must be category or type");
             const NameTable& names = scope == "category" ? routing.categories() : routing.types();
             py::list out;
             for (std::int32_t i = 0; i < names.size(); ++i) out.append(str(names.name(i)));
             return out;
           },
           py::arg("scope"))
      .def("estimate",
           [](HeldFleet& held, const std::string& kind, const std::vector<std::pair<std::string, std::string>>& where) -> py::object {
             const FleetRouting& routing = held.fleet.routing();
             std::vector<ContextId> contexts;
             for (const auto& [dimension, value] : where) {
               const ContextId context = routing.router().find_context(dimension, value);
               if (context >= 0) contexts.push_back(context);
             }
             std::vector<Candidate> candidates;
             for (const ModelId model : held.fleet.members()) candidates.push_back({.model = model});
             const Kind of = kind == "numeric" ? Kind::numeric : Kind::binary;
             check(routing.router().estimate(of, contexts, candidates), "where");
             py::list out;
             for (const Candidate& c : candidates) {
               const double n = routing.router().evidence(of, contexts.empty() ? Router::overall : contexts.front(), c.model);
               out.append(py::make_tuple(held.name(c.model), c.quality, c.spread, n));
             }
             return out;
           },
           py::arg("kind"), py::arg("where"))
      .def_property_readonly("emergency", [](const HeldFleet& held) { return held.fleet.routing().emergency(); })
      .def_property_readonly("rules_json", [](const HeldFleet& held) { return str(held.fleet.routing().rules_json()); })
      // Their events come through the fleet; nobody else may change them.
      .def_property_readonly(
          "budgets", [](HeldFleet& held) -> const Budgets& { return held.fleet.routing().budgets(); },
          py::return_value_policy::reference_internal)
      .def_property_readonly(
          "spend", [](HeldFleet& held) -> const Spend& { return held.fleet.routing().spend(); },
          py::return_value_policy::reference_internal)
      .def_property_readonly(
          "breakers", [](HeldFleet& held) -> const Breakers& { return held.fleet.routing().breakers(); },
          py::return_value_policy::reference_internal);
}

}  // namespace fairlead::bindings
