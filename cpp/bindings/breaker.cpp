#include "fairlead/breaker.hpp"

#include <pybind11/stl.h>

#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "common.hpp"
#include "fairlead/breakers.hpp"

namespace fairlead::bindings {

namespace {

std::string quoted(std::string_view text) { return py::repr(py::str(text.data(), text.size())).cast<std::string>(); }

// --- options -----------------------------------------------------------------------------------------------------------

Time span(const py::handle& given, const char* name) {
  return py::module_::import("fairlead.times").attr("as_span")(given, name).cast<Time>();
}

void take_count(const py::handle& given, const char* name, std::uint32_t& into) {
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(given.ptr()));
  if (!index) throw py::error_already_set();
  int overflow = 0;
  const long long value = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
  if (overflow != 0 || value < 0 || value > std::numeric_limits<std::uint32_t>::max()) {
    throw py::value_error(std::string(name) + " is " + py::repr(given).cast<std::string>() + ", out of range");
  }
  into = static_cast<std::uint32_t>(value);
}

// The options that are given, upon those that are there.
BreakerOptions read_options(const py::dict& given, BreakerOptions o = {}) {
  for (const auto& [key, value] : given) {
    const auto name = key.cast<std::string>();
    const char* const n = name.c_str();
    if (name == "failures") take_count(value, n, o.failures);
    else if (name == "error_rate") o.error_rate = value.cast<double>();
    else if (name == "slow_after") o.slow_after = value.is_none() ? 0 : span(value, n);
    else if (name == "slow_rate") o.slow_rate = value.cast<double>();
    else if (name == "window") o.window = span(value, n);
    else if (name == "window_calls") take_count(value, n, o.window_calls);
    else if (name == "least_calls") take_count(value, n, o.least_calls);
    else if (name == "open_for") o.open_for = span(value, n);
    else if (name == "backoff") o.backoff = value.cast<double>();
    else if (name == "open_at_most") o.open_at_most = span(value, n);
    else if (name == "retry_after_at_most") o.retry_after_at_most = span(value, n);
    else if (name == "successes") take_count(value, n, o.successes);
    else if (name == "call_timeout") o.call_timeout = span(value, n);
    else throw py::type_error("a breaker has no option " + quoted(name));
  }
  if (const auto fault = Breaker::fault(o)) {
    throw py::value_error(std::string(fault->option) + " is " + show(fault->value) + ", must be " + fault->must);
  }
  return o;
}

// --- arguments ---------------------------------------------------------------------------------------------------------

template <class Call>
Call ticket(const Arguments& arguments, Py_ssize_t i) {
  const std::int64_t given = arguments.integer(i, 0);
  if (given < 0 || static_cast<std::uint64_t>(given) > std::numeric_limits<Call>::max())
    throw py::value_error("call is " + std::to_string(given) + ", must be what begin returned");
  return static_cast<Call>(given);
}

// Milliseconds, or None or nan where not known.
Time latency(const Arguments& arguments, Py_ssize_t i) {
  const double ms = arguments.real(i, nan);
  if (std::isnan(ms)) return Breaker::unknown;
  if (ms < 0.0) throw py::value_error("latency_ms is " + show(ms) + ", must not be negative");
  return ms < 9e12 ? static_cast<Time>(ms * 1e6) : std::numeric_limits<Time>::max();
}

// Seconds; None, nan and what is not positive are no wish.
Time retry_after(const Arguments& arguments, Py_ssize_t i) {
  const double seconds = arguments.real(i, nan);
  if (!(seconds > 0.0)) return Breaker::unknown;
  return seconds < 9e9 ? static_cast<Time>(seconds * 1e9) : std::numeric_limits<Time>::max();
}

CallFailure kind(const Arguments& arguments, Py_ssize_t i) {
  if (!arguments.given(i)) return CallFailure::server;
  Py_ssize_t size = 0;
  const char* const text = PyUnicode_AsUTF8AndSize(arguments.object(i), &size);
  if (text == nullptr) throw py::error_already_set();
  const std::string_view name(text, static_cast<std::size_t>(size));
  for (std::size_t k = 0; k < failure_names.size(); ++k) {
    if (failure_names[k] == name) return static_cast<CallFailure>(k);
  }
  std::string known;
  for (const std::string_view each : failure_names) known += (known.empty() ? "" : ", ") + quoted(each);
  throw py::value_error("kind is " + quoted(name) + ", must be one of " + known);
}

template <class Names, class Value>
PyObject* named(const Names& names, Value value) {
  const std::string_view name = names[static_cast<std::size_t>(value)];
  return PyUnicode_FromStringAndSize(name.data(), static_cast<Py_ssize_t>(name.size()));
}

py::object time_or_none(Time time) {
  return time == std::numeric_limits<Time>::min() ? py::object(py::none()) : py::object(py::int_(time));
}

// --- one breaker -------------------------------------------------------------------------------------------------------

PyObject* breaker_allow(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breaker>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("allow", args, n, 1, 1);
    return PyBool_FromLong(me->allow(arguments.integer(0)));
  });
}

PyObject* breaker_gate(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breaker>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("gate", args, n, 1, 1);
    return named(gate_names, me->gate(arguments.integer(0)));
  });
}

PyObject* breaker_begin(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breaker>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("begin", args, n, 1, 1);
    BreakerCall call = 0;
    const Gate gate = me->begin(arguments.integer(0), call);
    return gate == Gate::yes ? PyLong_FromUnsignedLong(call) : Py_NewRef(Py_None);
  });
}

PyObject* breaker_success(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breaker>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("success", args, n, 2, 3);
    const auto call = ticket<BreakerCall>(arguments, 0);
    const Time now = arguments.integer(1), took = latency(arguments, 2);
    me->success(call, now, took);
    return Py_NewRef(Py_None);
  });
}

PyObject* breaker_failure(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breaker>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("failure", args, n, 2, 5);
    const auto call = ticket<BreakerCall>(arguments, 0);
    const Time now = arguments.integer(1), wait = retry_after(arguments, 3), took = latency(arguments, 4);
    me->failure(call, now, kind(arguments, 2), wait, took);
    return Py_NewRef(Py_None);
  });
}

PyMethodDef breaker_methods[] = {
    fast_method("allow", breaker_allow,
                "allow($self, now, /)\n--\n\n"
                "Whether a call may begin at `now`, integer nanoseconds since the epoch. Changes nothing."),
    fast_method("gate", breaker_gate,
                "gate($self, now, /)\n--\n\n"
                "'yes', 'no', or 'wait': too many calls are in flight for what is known; one may begin when one of "
                "them has ended."),
    fast_method("begin", breaker_begin,
                "begin($self, now, /)\n--\n\n"
                "Begins a call: returns its ticket, an int, or None where the gate is not open. In an open breaker it "
                "is the probe.\n\n"
                ">>> import fairlead as fl\n>>> breaker = fl.Breaker(failures=2)\n"
                ">>> [breaker.begin(0) is None for _ in range(3)]\n[False, False, True]"),
    fast_method("success", breaker_success,
                "success($self, call, now, latency_ms=None, /)\n--\n\n"
                "A call has ended well. call: its ticket, or None for one that was never announced. Raises ValueError "
                "for a\nlatency below 0 or a ticket that is none."),
    fast_method("failure", breaker_failure,
                "failure($self, call, now, kind='server', retry_after=None, latency_ms=None, /)\n--\n\n"
                "A call has failed. kind: 'server' (5xx), 'timeout', 'network', 'rate_limited', 'unparsable', "
                "'truncated', 'refused' (bad key, no\ncredit), or 'cancelled', which tells nothing of the model's "
                "health. retry_after: of 'rate_limited' and 'server',\nseconds from `now`. Raises ValueError for another kind.\n\n"
                ">>> import fairlead as fl\n>>> breaker = fl.Breaker()\n"
                ">>> breaker.failure(breaker.begin(0), 0, 'rate_limited', 7.5)\n"
                ">>> breaker.allow(7_000_000_000), breaker.allow(7_500_000_000)\n(False, True)"),
};

Breaker restored(const py::bytes& data) {
  Breaker read;
  check(Breaker::restore(std::string_view(data), read), "data");
  return read;
}

py::dict as_dict(const Breaker& me) {
  using namespace py::literals;
  return py::dict("state"_a = breaker_state_names[static_cast<std::size_t>(me.state())],
                  "cause"_a = open_cause_names[static_cast<std::size_t>(me.cause())], "until"_a = time_or_none(me.until()),
                  "streak"_a = me.streak(), "successes"_a = me.successes(), "failures"_a = me.failures(),
                  "opened"_a = me.opened(), "window_calls"_a = me.window_size(), "window_failed"_a = me.window_failed(),
                  "window_slow"_a = me.window_slow());
}

// --- breakers of a fleet -----------------------------------------------------------------------------------------------

// A model by its id or its name.
ModelId who(const Breakers& me, PyObject* given) {
  ModelId model = -1;
  if (PyUnicode_Check(given)) {
    Py_ssize_t size = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(given, &size);
    if (text == nullptr) throw py::error_already_set();
    model = me.find({text, static_cast<std::size_t>(size)});
  } else {
    const Arguments argument("model", &given, 1, 1, 1);
    model = argument.id(0);
  }
  if (!me.known(model)) throw py::key_error("no model is " + py::repr(given).cast<std::string>());
  return model;
}

PyObject* breakers_allow(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("allow", args, n, 2, 2);
    return PyBool_FromLong(me->allow(who(*me, args[0]), arguments.integer(1)));
  });
}

PyObject* breakers_gate(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("gate", args, n, 2, 2);
    return named(gate_names, me->gate(who(*me, args[0]), arguments.integer(1)));
  });
}

PyObject* breakers_begin(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("begin", args, n, 2, 2);
    BreakersCall call = 0;
    const Gate gate = me->begin(who(*me, args[0]), arguments.integer(1), call);
    return gate == Gate::yes ? PyLong_FromUnsignedLongLong(call) : Py_NewRef(Py_None);
  });
}

// Tickets of both have 64 bits, the highest of which may be set.
BreakersCall both(PyObject* given) {
  if (given == Py_None) return 0;
  const unsigned long long call = PyLong_AsUnsignedLongLong(given);
  if (call == static_cast<unsigned long long>(-1) && PyErr_Occurred()) throw py::error_already_set();
  return call;
}

PyObject* breakers_success(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("success", args, n, 3, 4);
    const ModelId model = who(*me, args[0]);
    const BreakersCall call = both(args[1]);
    const Time now = arguments.integer(2), took = latency(arguments, 3);
    check(me->success(model, call, now, took));
    return Py_NewRef(Py_None);
  });
}

PyObject* breakers_failure(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("failure", args, n, 3, 6);
    const ModelId model = who(*me, args[0]);
    const BreakersCall call = both(args[1]);
    const Time now = arguments.integer(2), wait = retry_after(arguments, 4), took = latency(arguments, 5);
    check(me->failure(model, call, now, kind(arguments, 3), wait, took));
    return Py_NewRef(Py_None);
  });
}

PyObject* breakers_latency(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<Breakers>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("latency_ms", args, n, 1, 2);
    const ModelId model = who(*me, args[0]);
    const double q = arguments.real(1, 0.5);
    if (!(q >= 0.0 && q <= 1.0)) throw py::value_error("q is " + show(q) + ", outside [0, 1]");
    const Time time = me->latency(model).quantile(q);
    return PyFloat_FromDouble(time < 0 ? nan : static_cast<double>(time) / 1e6);
  });
}

PyMethodDef breakers_methods[] = {
    fast_method("allow", breakers_allow,
                "allow($self, model, now, /)\n--\n\n"
                "Whether a call of the model, its id or its name, may begin: its own breaker and its provider's let it."),
    fast_method("gate", breakers_gate,
                "gate($self, model, now, /)\n--\n\n"
                "'yes', 'wait' or 'no', whichever of model and provider is stricter; see Breaker.gate."),
    fast_method("begin", breakers_begin,
                "begin($self, model, now, /)\n--\n\n"
                "Begins a call of the model: a ticket for `success` or `failure`, or None where the gate is not open.\n\n"
                ">>> import fairlead as fl\n>>> breakers = fl.Breakers()\n>>> breakers.add('gpt', 'openai')\n0\n"
                ">>> sum(breakers.begin('gpt', 0) is not None for _ in range(200))\n5"),
    fast_method("success", breakers_success,
                "success($self, model, call, now, latency_ms=None, /)\n--\n\n"
                "A call has ended well: see Breaker.success."),
    fast_method("failure", breakers_failure,
                "failure($self, model, call, now, kind='server', retry_after=None, latency_ms=None, /)\n--\n\n"
                "A call has failed: see Breaker.failure. Its provider's breaker is told of 'server', 'timeout' and "
                "'network'; the\nrest is the model's own affair."),
    fast_method("latency_ms", breakers_latency,
                "latency_ms($self, model, q=0.5, /)\n--\n\n"
                "The quantile q of the model's latencies in milliseconds, of its successes, a half-life being 200 of "
                "them; off by less\nthan a sixteenth. nan where none is known. Raises ValueError for a q outside "
                "[0, 1].\n\n"
                ">>> import fairlead as fl\n>>> breakers = fl.Breakers()\n>>> gpt = breakers.add('gpt', 'openai')\n"
                ">>> for ms in range(1, 101):\n...     breakers.success(gpt, None, 0, ms)\n"
                ">>> 90 < breakers.latency_ms(gpt, 0.95) < 100\nTrue"),
};

Breakers restored_all(const py::bytes& data) {
  Breakers read;
  check(Breakers::restore(std::string_view(data), read), "data");
  return read;
}

std::size_t provider_named(const Breakers& me, const std::string& name) {
  const auto id = me.find_provider(name);
  if (id == NameTable::absent) throw py::key_error("no provider is " + quoted(name));
  return static_cast<std::size_t>(id);
}

py::dict table(const Breakers& me) {
  py::list models, providers, states, provider_states, causes, until, streaks, successes, failures, opened, p50, p95, p99;
  const auto ms = [](Time t) { return t < 0 ? nan : static_cast<double>(t) / 1e6; };
  for (ModelId m = 0; m < me.size(); ++m) {
    const Breaker& breaker = me.breaker(m);
    const Breaker& its = me.provider_breaker(me.provider_of(m));
    models.append(me.name(m));
    providers.append(me.provider_name(me.provider_of(m)));
    states.append(breaker_state_names[static_cast<std::size_t>(breaker.state())]);
    provider_states.append(breaker_state_names[static_cast<std::size_t>(its.state())]);
    causes.append(open_cause_names[static_cast<std::size_t>(breaker.cause())]);
    until.append(time_or_none(me.until(m)));
    streaks.append(breaker.streak());
    successes.append(breaker.successes());
    failures.append(breaker.failures());
    opened.append(breaker.opened());
    p50.append(ms(me.latency(m).quantile(0.5)));
    p95.append(ms(me.latency(m).quantile(0.95)));
    p99.append(ms(me.latency(m).quantile(0.99)));
  }
  using namespace py::literals;
  return py::dict("model"_a = models, "provider"_a = providers, "state"_a = states,
                  "provider_state"_a = provider_states, "cause"_a = causes, "until"_a = until, "streak"_a = streaks,
                  "successes"_a = successes, "failures"_a = failures, "opened"_a = opened, "p50_ms"_a = p50,
                  "p95_ms"_a = p95, "p99_ms"_a = p99);
}

void bind_one(py::module_& m) {
  auto cls = py::class_<Breaker>(m, "Breaker",
                                 R"(A circuit breaker: whether a model may be called now, from how its calls have ended.

closed: calls go through. open: none does, for `open_for`. half_open: one probe does in each such interval; `successes` of
them close it, a failure opens it for `backoff` times longer, at most `open_at_most`.

It opens on `failures` in a row; when of the newest `window_calls` results (at most 128) that are no older than `window`, and
at least `least_calls`, a share `error_rate` failed or a share `slow_rate` took `slow_after` or longer; and on a 429 or
503 with a Retry-After, until then, but at most for `retry_after_at_most`.

Calls in flight count: one may begin while calls in flight + failures in a row < failures x (1 + successes since it closed),
successes counting only after the last failure was followed by one, and while the last is no older than `window`. So a dead
model that is asked 200 things at once is hit `failures` times. A call whose end is never told is forgotten one to two
`call_timeout`s after it began.

A call that began before the breaker opened or closed changes nothing when it ends. Times are integer nanoseconds since the
epoch, arguments all of them: the same calls give the same state. Spans are those of `fairlead.times`: "30s", "10min", a
timedelta or nanoseconds. Raises ValueError for an option outside its range. Sources: M. Nygard, "Release It!" (2007);
resilience4j for the windows.

>>> import fairlead as fl
>>> breaker = fl.Breaker(failures=3, open_for="10s")
>>> for _ in range(3):
...     breaker.failure(breaker.begin(0), 0, "timeout")
>>> breaker
Breaker(state='open', cause='failures', until=10000000000, opened=1)
>>> probe = breaker.begin(10_000_000_000)
>>> breaker.allow(10_000_000_000)
False
>>> breaker.success(probe, 11_000_000_000, 950.0)
>>> breaker.state
'closed')");
  cls.def(py::init([](const py::kwargs& options) { return Breaker(read_options(options)); }))
      .def("close", &Breaker::close, py::arg("now"), "Closes it, as if a probe had just succeeded.")
      .def("in_flight", &Breaker::in_flight, py::arg("now"), "Calls that have begun since it opened or closed, and not ended.")
      .def("as_dict", &as_dict, "State and counters as a plain dict; window_calls, window_failed, window_slow: of the results in the window.")
      .def("snapshot", [](const Breaker& me) { return py::bytes(me.snapshot()); },
           "Options and state as bytes, with a version and a checksum, for restore. Pickle holds the same bytes.")
      .def_static("restore", &restored, py::arg("data"),
                  "A breaker from a snapshot; ValueError if the bytes are none, or damaged.")
      .def(py::pickle([](const Breaker& me) { return py::bytes(me.snapshot()); }, &restored))
      .def_property_readonly("state", [](const Breaker& me) { return breaker_state_names[static_cast<std::size_t>(me.state())]; },
                             "'closed', 'open' or 'half_open'.")
      .def_property_readonly("cause", [](const Breaker& me) { return open_cause_names[static_cast<std::size_t>(me.cause())]; },
                             "Why it opened last: 'never', 'failures', 'error_rate', 'slow_calls', 'retry_after', 'probe'.")
      .def_property_readonly("until", [](const Breaker& me) { return time_or_none(me.until()); },
                             "When the next probe may begin, in nanoseconds; None while closed.")
      .def_property_readonly("streak", &Breaker::streak, "Failures in a row, while closed.")
      .def_property_readonly("successes", &Breaker::successes, "All that were told.")
      .def_property_readonly("failures", &Breaker::failures, "All that were told and count.")
      .def_property_readonly("opened", &Breaker::opened, "How often it has opened.")
      .def("__repr__", [](const Breaker& me) {
        std::string text = "Breaker(state=" + quoted(breaker_state_names[static_cast<std::size_t>(me.state())]);
        if (me.state() != BreakerState::closed) {
          text += ", cause=" + quoted(open_cause_names[static_cast<std::size_t>(me.cause())]) +
                  ", until=" + std::to_string(me.until());
        }
        return text + ", opened=" + std::to_string(me.opened()) + ")";
      });
  for (PyMethodDef& method : breaker_methods) attach(cls, method);
}

void bind_all(py::module_& m) {
  auto cls = py::class_<Breakers>(m, "Breakers",
                                  R"(Breakers of a fleet: one a model and one a provider, and the latencies of each model.

A call goes through where its model's and its provider's breaker let it, and its end is told to both: a dead provider closes
the gate for all its models. One model that fails while it alone is asked does not close its provider, unless no connection
is made at all (kind 'network'). Options are those of Breaker, and go for models and providers alike; `providers`, a dict,
has those that differ for providers. Models are named by name or, faster, by the id that `add` returned.

>>> import fairlead as fl
>>> breakers = fl.Breakers(failures=3, providers={"failures": 5})
>>> gpt, mini = breakers.add("gpt", "openai"), breakers.add("gpt-mini", "openai")
>>> for _ in range(3):
...     breakers.failure(gpt, breakers.begin(gpt, 0), 0, "network")
>>> breakers.gate(mini, 0), breakers.as_dict()["state"]
('yes', ['open', 'closed'])
>>> for _ in range(2):
...     breakers.failure(mini, breakers.begin(mini, 0), 0, "network")
>>> breakers.gate(mini, 0), breakers.provider("openai")["state"]
('no', 'open'))");
  cls.def(py::init([](const py::object& providers, const py::kwargs& options) {
            const BreakerOptions models = read_options(options);
            return Breakers(models, providers.is_none() ? models : read_options(providers.cast<py::dict>(), models));
          }),
          py::kw_only(), py::arg("providers") = py::none())
      .def("add",
           [](Breakers& me, const std::string& model, const std::string& provider, const py::kwargs& options) {
             ModelId id = -1;
             const BreakerOptions own = read_options(options, me.model_options());
             const Status status = me.add(model, provider, own, id);
             if (status == Status::model_differs) {
               throw py::value_error("provider is " + quoted(provider) + ", the model " + quoted(model) + " has another: " +
                                     quoted(me.provider_name(me.provider_of(me.find(model)))));
             }
             check(status, model);
             return id;
           },
           py::arg("model"), py::arg("provider") = "",
           "Adds a model, with options of its own, and returns its id: 0, 1, ... A known one keeps its breaker. Raises\n"
           "ValueError for a known model of another provider, or an option outside its range.")
      .def("close",
           [](Breakers& me, const py::object& model, Time now) { check(me.close(who(me, model.ptr()), now)); },
           py::arg("model"), py::arg("now"), "Closes the model's breaker and its provider's.")
      .def("breaker", [](const Breakers& me, const py::object& model) { return as_dict(me.breaker(who(me, model.ptr()))); },
           py::arg("model"), "State and counters of the model's own breaker.")
      .def("provider",
           [](const Breakers& me, const std::string& name) {
             return as_dict(me.provider_breaker(static_cast<std::int32_t>(provider_named(me, name))));
           },
           py::arg("name"), "State and counters of the provider's breaker. Raises KeyError for an unknown one.")
      .def("until", [](const Breakers& me, const py::object& model) { return time_or_none(me.until(who(me, model.ptr()))); },
           py::arg("model"), "When the model may next be probed, in nanoseconds; None where both breakers are closed.")
      .def("as_dict", &table, "Columns, a row a model: for a DataFrame of pandas or polars.")
      .def("snapshot", [](const Breakers& me) { return py::bytes(me.snapshot()); },
           "Options and state as bytes, with a version and a checksum, for restore. Pickle holds the same bytes.")
      .def_static("restore", &restored_all, py::arg("data"),
                  "Breakers from a snapshot; ValueError if the bytes are none, or damaged.")
      .def(py::pickle([](const Breakers& me) { return py::bytes(me.snapshot()); }, &restored_all))
      .def("__len__", [](const Breakers& me) { return me.size(); })
      .def_property_readonly("models",
                             [](const Breakers& me) {
                               py::list out;
                               for (ModelId i = 0; i < me.size(); ++i) out.append(me.name(i));
                               return out;
                             },
                             "Names by id.")
      .def("__repr__", [](const Breakers& me) {
        int shut = 0;
        for (ModelId i = 0; i < me.size(); ++i) {
          shut += me.breaker(i).state() != BreakerState::closed ||
                  me.provider_breaker(me.provider_of(i)).state() != BreakerState::closed;
        }
        return "Breakers(models=" + std::to_string(me.size()) + ", providers=" + std::to_string(me.providers()) +
               ", not_closed=" + std::to_string(shut) + ")";
      });
  for (PyMethodDef& method : breakers_methods) attach(cls, method);
}

}  // namespace

void bind_breaker(py::module_& m) {
  bind_one(m);
  bind_all(m);
}

}  // namespace fairlead::bindings
