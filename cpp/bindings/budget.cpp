#include "budget.hpp"

#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace fairlead::bindings {

namespace {

std::int64_t number_of(Reservation r) {
  return static_cast<std::int64_t>(std::uint64_t{r.generation} << 32 | r.slot);
}
Reservation reservation_of(std::int64_t number) {
  const auto bits = static_cast<std::uint64_t>(number);
  return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

PyObject* refusal(const Admission& admission) {
  return py::make_tuple(admission.refused_by, static_cast<int>(admission.then), admission.until, admission.left)
      .release()
      .ptr();
}

// The arguments of a call to come: bound, now, model, tier, category, type, tag.
struct Call {
  Call(const char* method, PyObject* const* args, Py_ssize_t n, Py_ssize_t most = 7, const char* what = "bound")
      : Call(Arguments(method, args, n, 2, most), what) {}
  Call(const Arguments& arguments, const char* what)
      : nanos(arguments.integer(0)), now(arguments.integer(1)), where(where_of(arguments, 2)),
        tag(static_cast<std::uint64_t>(arguments.integer(6, 0))) {
    check_amount(nanos, what);
  }
  Nanos nanos;
  Time now;
  Where where;
  std::uint64_t tag;
};

PyObject* budgets_reserve(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Call call("reserve", args, n);
    Reservation made;
    const Admission admission = budgets->reserve(call.where, call.nanos, call.now, made, call.tag);
    check(admission.status);
    return admission.granted() ? PyLong_FromLongLong(number_of(made)) : refusal(admission);
  });
}

PyObject* budgets_check(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Call call("check", args, n, 6);
    const Admission admission = budgets->check(call.where, call.nanos, call.now);
    check(admission.status);
    return admission.granted() ? Py_NewRef(Py_None) : refusal(admission);
  });
}

PyObject* budgets_take(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Call call("take", args, n);
    Reservation made;
    check(budgets->take(call.where, call.nanos, call.now, made, call.tag));
    return PyLong_FromLongLong(number_of(made));
  });
}

PyObject* budgets_refuse(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Call call("refuse", args, n, 6);
    check(budgets->refuse(call.where, call.nanos, call.now));
    return Py_NewRef(Py_None);
  });
}

PyObject* budgets_charge(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Call call("charge", args, n, 6, "actual");
    check(budgets->charge(call.where, call.nanos, call.now));
    return Py_NewRef(Py_None);
  });
}

void check_open(Status status, std::int64_t number) {
  if (status == Status::unknown_key) {
    throw py::key_error("no reservation " + std::to_string(number) + " is open: it was settled, cancelled or never made");
  }
  check(status);
}

PyObject* budgets_settle(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("settle", args, n, 3, 3);
    const std::int64_t number = arguments.integer(0);
    const Nanos actual = arguments.integer(1);
    check_amount(actual, "actual");
    Nanos over = 0;
    check_open(budgets->settle(reservation_of(number), actual, arguments.integer(2), &over), number);
    return PyLong_FromLongLong(over);
  });
}

PyObject* budgets_cancel(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const budgets = native<Budgets>(self);
  if (budgets == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("cancel", args, n, 1, 1);
    const std::int64_t number = arguments.integer(0);
    check_open(budgets->cancel(reservation_of(number)), number);
    return Py_NewRef(Py_None);
  });
}

PyMethodDef methods[] = {
    fast_method("reserve", budgets_reserve,
                "reserve($self, bound, now, model=None, tier=None, category=None, type=None, tag=0, /)\n--\n\n"
                "Holds `bound` nano-dollars in every budget the call falls under, or in none. A reservation (an int), or "
                "the\nrefusal (budget, action, end of its period, nano-dollars left). Raises ValueError for a bound that "
                "is no amount."),
    fast_method("check", budgets_check,
                "check($self, bound, now, model=None, tier=None, category=None, type=None, /)\n--\n\n"
                "What reserve would say, None for yes; changes nothing."),
    fast_method("take", budgets_take,
                "take($self, bound, now, model=None, tier=None, category=None, type=None, tag=0, /)\n--\n\n"
                "reserve, whatever is left: for an event that says it was granted."),
    fast_method("refuse", budgets_refuse,
                "refuse($self, bound, now, model=None, tier=None, category=None, type=None, /)\n--\n\n"
                "Counts a refused call: for an event that says it was refused."),
    fast_method("settle", budgets_settle,
                "settle($self, reservation, actual, now, /)\n--\n\nWhat the call cost, in nano-dollars. Returns by how "
                "much that is above its bound. Raises KeyError for a reservation\nthat is not open."),
    fast_method("cancel", budgets_cancel,
                "cancel($self, reservation, /)\n--\n\nThe call never happened. Raises KeyError for a reservation that "
                "is not open."),
    fast_method("charge", budgets_charge,
                "charge($self, actual, now, model=None, tier=None, category=None, type=None, /)\n--\n\n"
                "Nano-dollars spent without a reservation."),
};

template <class E>
E checked(int value, int values, const char* name) {
  if (value < 0 || value >= values) throw py::value_error(std::string(name) + " is " + std::to_string(value));
  return static_cast<E>(value);
}

BudgetId define(Budgets& budgets, std::string_view name, Nanos limit, int period, int scope, std::int32_t of,
                std::int32_t warning, std::int32_t critical, int on_exhausted, Time now, Nanos spent) {
  const BudgetOptions options{.limit = limit,
                              .period = checked<Period>(period, 4, "period"),
                              .scope = checked<Scope>(scope, 5, "scope"),
                              .of = of,
                              .warning = warning,
                              .critical = critical,
                              .on_exhausted = checked<OnExhausted>(on_exhausted, 3, "on_exhausted")};
  check_amount(limit, "limit");
  check_amount(spent, "spent");
  BudgetId id = -1;
  const Status status = budgets.define(name, options, now, id, spent);
  if (status == Status::wrong_length) {
    throw py::value_error("one call could fall under more than " + std::to_string(Budgets::max_matching) + " budgets");
  }
  check(status, "budget '" + std::string(name) + "'");
  return id;
}

py::dict row(const Tally& t) {
  using namespace py::literals;
  return py::dict("number"_a = t.number, "start"_a = t.start, "end"_a = t.end, "limit"_a = t.limit, "spent"_a = t.spent,
                  "held"_a = t.held, "over"_a = t.over, "settled"_a = t.settled, "cancelled"_a = t.cancelled,
                  "refused"_a = t.refused, "overruns"_a = t.overruns, "raised"_a = t.raised);
}

py::dict shown(const Budgets& budgets, BudgetId id, Time now) {
  Budgets::View v;
  if (budgets.view(id, now, v) != Status::ok) throw py::key_error("no budget has the id " + std::to_string(id));
  py::list closed;
  for (const Tally& t : v.closed) closed.append(row(t));
  const BudgetOptions& o = v.options;
  using namespace py::literals;
  return py::dict("name"_a = v.name, "limit"_a = o.limit, "period"_a = static_cast<int>(o.period),
                  "scope"_a = static_cast<int>(o.scope), "of"_a = o.of, "warning"_a = o.warning,
                  "critical"_a = o.critical, "on_exhausted"_a = static_cast<int>(o.on_exhausted), "now"_a = row(v.now),
                  "closed"_a = closed, "older"_a = row(v.older));
}

py::list alerts(std::span<const Alert> found) {
  py::list out;
  for (const Alert& a : found) {
    out.append(py::make_tuple(a.budget, static_cast<int>(a.level), a.number, a.period_start, a.time, a.limit, a.spent,
                              a.held));
  }
  return out;
}

template <class Read>
py::list read_alerts(const Read& read) {
  std::vector<Alert> found(64);
  std::size_t n = read(std::span<Alert>(found));
  return alerts({found.data(), n});
}

py::list held(const Budgets& budgets, Time older_than) {
  py::list out;
  for (const HeldReservation& h : budgets.held(older_than)) {
    out.append(py::make_tuple(number_of(h.reservation), h.bound, h.time, h.tag, h.where.model, h.where.tier,
                              h.where.category, h.where.type));
  }
  return out;
}

Calendar from_days(std::int64_t first_day, const std::vector<std::int64_t>& starts) {
  Calendar out;
  check(Calendar::from_days(first_day, starts, out), "starts");
  return out;
}

using Runs = std::vector<std::pair<std::int64_t, std::int64_t>>;

Runs runs(const Calendar& calendar) {
  Runs out;
  for (const Calendar::Run& run : calendar.runs()) out.emplace_back(run.start, run.day);
  return out;
}
Calendar from_runs(const Runs& given) {
  std::vector<Calendar::Run> read;
  for (const auto& [start, day] : given) read.push_back({start, day});
  Calendar out;
  check(Calendar::from_runs(read, out), "runs");
  return out;
}

py::bytes snapshot(const Budgets& budgets) { return budgets.snapshot(); }
std::unique_ptr<Budgets> restored(const py::bytes& state) {
  auto budgets = std::make_unique<Budgets>();
  check(budgets->restore(std::string(state)), "state");
  return budgets;
}

PyObject* call_cost(PyObject*, PyObject* const* args, Py_ssize_t n) {
  return guarded([&] {
    const Arguments arguments("call_cost", args, n, 2, 6);
    if (!PyTuple_Check(args[0])) throw py::type_error("prices must be a tuple of 6 integers");
    const Arguments price("prices", reinterpret_cast<PyTupleObject*>(args[0])->ob_item, PyTuple_GET_SIZE(args[0]), 6, 6);
    const Prices prices{price.integer(0), price.integer(1), price.integer(2),
                        price.integer(3), price.integer(4), price.integer(5)};
    const Usage usage{arguments.integer(1), arguments.integer(2, 0), arguments.integer(3, 0), arguments.integer(4, 0),
                      arguments.integer(5, 0)};
    Nanos out = 0;
    if (const Status status = cost(prices, usage, out); status != Status::ok) {
      raise(status, "tokens (" + std::to_string(usage.input) + " in, " + std::to_string(usage.output) + " out, " +
                        std::to_string(usage.cached) + " cached, " + std::to_string(usage.written) + " written, " +
                        std::to_string(usage.written_1h) + " of them for an hour)");
    }
    return PyLong_FromLongLong(out);
  });
}

PyMethodDef cost_function =
    fast_method("call_cost", call_cost,
                "call_cost(prices, input, output=0, cached=0, written=0, written_1h=0, /)\n--\n\n"
                "What a call costs in nano-dollars, rounded up once. prices: a tuple of nano-dollars per million tokens of "
                "input,\noutput, cached input, written input, input written for an hour; and nano-dollars a call. Raises "
                "ValueError for numbers\nthat cannot be.");

}  // namespace

void bind_budget(py::module_& m) {
  PyObject* const function = PyCFunction_NewEx(&cost_function, nullptr, m.attr("__name__").ptr());
  if (function == nullptr) throw py::error_already_set();
  m.attr("call_cost") = py::reinterpret_steal<py::object>(function);

  py::class_<Calendar>(m, "Calendar", R"(Where days, weeks and months start: a fixed offset from UTC, or the days of a zone.

`fairlead.measure.calendar.calendar_of("Europe/London")` makes one of an IANA zone.

>>> from fairlead._core import Calendar
>>> Calendar().day(86_400 * 10**9)
1)")
      .def(py::init<Time>(), py::arg("offset") = 0)
      .def_static("from_days", &from_days, py::arg("first_day"), py::arg("starts"),
                  "The days first_day, first_day + 1, ... (0 is 1970-01-01) and the nanosecond each starts.")
      .def("day", &Calendar::day, py::arg("time"), "The day a time lies in, as days since 1970-01-01.")
      .def("start_of_day", &Calendar::start_of_day, py::arg("day"), "When a day starts.")
      .def(
          "number",
          [](const Calendar& c, int period, Time time) { return c.number(checked<Period>(period, 4, "period"), time); },
          py::arg("period"), py::arg("time"), "The number of the day (1), week (2) or month (3) a time lies in.")
      .def(
          "start",
          [](const Calendar& c, int period, std::int64_t number) {
            return c.start(checked<Period>(period, 4, "period"), number);
          },
          py::arg("period"), py::arg("number"), "When the day, week or month of a number starts.")
      .def_static(
          "first_day",
          [](int period, std::int64_t number) {
            return Calendar::first_day(checked<Period>(period, 4, "period"), number);
          },
          py::arg("period"), py::arg("number"), "The first day of the day, week or month of a number.")
      .def_static(
          "number_of_day",
          [](int period, std::int64_t day) {
            return Calendar::number_of_day(checked<Period>(period, 4, "period"), day);
          },
          py::arg("period"), py::arg("day"), "The number of the day, week or month that a day lies in.")
      .def_property_readonly("runs", &runs,
                             "What it is made of: (start, number of its first day) of each run of days of 24 hours.")
      .def_static("from_runs", &from_runs, py::arg("runs"), "A calendar of such runs. Raises ValueError for others.")
      .def(py::pickle(&runs, &from_runs))
      .def("__eq__", [](const Calendar& a, py::handle b) {
        return py::isinstance<Calendar>(b) && a == b.cast<const Calendar&>();
      })
      .def("__hash__", [](const Calendar& c) { return c.runs().size(); });

  auto cls =
      py::class_<Budgets>(m, "Budgets", R"(Budgets of ids, in nano-dollars; `fairlead.Budgets` has names, and dollars.

>>> from fairlead._core import Budgets
>>> budgets = Budgets()
>>> everything = budgets.define("all", 1000, now=0)
>>> call = budgets.reserve(600, 0)
>>> budgets.reserve(600, 0)[0] == everything  # refused by
True
>>> budgets.settle(call, 250, 0), budgets.view(everything, 0)["now"]["spent"]
(0, 250))")
          .def(py::init<Calendar>(), py::arg("calendar") = Calendar())
          .def("define", &define, py::arg("name"), py::arg("limit"), py::kw_only(), py::arg("period") = 0,
               py::arg("scope") = 0, py::arg("of") = 0, py::arg("warning") = 800'000, py::arg("critical") = 950'000,
               py::arg("on_exhausted") = 2, py::arg("now"), py::arg("spent") = 0,
               "A budget, new or changed; returns its id. Thresholds are parts per million of the limit.")
          .def(
              "remove",
              [](Budgets& b, std::string_view name) {
                if (b.remove(name) != Status::ok) throw py::key_error("no budget is named '" + std::string(name) + "'");
              },
              py::arg("name"), "Removes a budget. Raises KeyError where there is none of this name.")
          .def("find", &Budgets::find, py::arg("name"), "The id of a budget, -1 where there is none.")
          .def("budgets", &Budgets::budgets, "The ids of all budgets.")
          .def("view", &shown, py::arg("id"), py::arg("now"), "The state of a budget. Raises KeyError for an unknown id.")
          .def("held", &held, py::arg("older_than") = Calendar::end_of_time,
               "Open reservations made before: (reservation, bound, time, tag, model, tier, category, type), by time.")
          .def("expire", &Budgets::expire, py::arg("older_than"), py::arg("now"),
               "Settles at their bounds the reservations made before `older_than`; returns how many.")
          .def("take_alerts", [](Budgets& b) { return read_alerts([&](auto out) { return b.take_alerts(out); }); },
               "Alerts that wait, at most 64, which are gone then: (budget, level, number of the period, its start, time,\n"
               "limit, spent, held).")
          .def("due", [](const Budgets& b) { return read_alerts([&](auto out) { return b.due(out); }); },
               "Alerts that wait, at most 64, which go on waiting until `told`.")
          .def("told",
               [](Budgets& b, BudgetId budget, int level, std::int64_t number) {
                 b.told(budget, checked<AlertLevel>(level, 3, "level"), number);
               },
               py::arg("budget"), py::arg("level"), py::arg("number"),
               "An alert was told: it waits no more, and does not come again in its period.")
          .def_property_readonly("dropped", &Budgets::dropped, "Alerts that nobody took in time.")
          .def_property(
              "calendar", &Budgets::calendar, [](Budgets& b, const Calendar& c) { b.set_calendar(c); },
              "Where periods start; may be replaced by one that reaches further.")
          .def("snapshot", &snapshot, "The state as bytes, with what is held; see restore.")
          .def_static("restore", &restored, py::arg("state"),
                      "An object that goes on where snapshot() was taken. Raises ValueError for bytes that are none of "
                      "its own.")
          .def(py::pickle(&snapshot, &restored));
  for (PyMethodDef& method : methods) attach(cls, method);
}

}  // namespace fairlead::bindings
