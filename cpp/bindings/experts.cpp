#include "fairlead/experts.hpp"

#include <optional>
#include <variant>

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/names.hpp"
#include "fairlead/snapshot.hpp"
#include "sequence.hpp"

namespace fairlead::bindings {

namespace {

// Experts by name: what Python calls Experts. Its Python subclasses differ in the rule alone.
struct NamedExperts {
  Experts experts;
  NameTable names;
};

template <ExpertRule rule>
struct Ruled : NamedExperts {};

using Mask = std::vector<std::uint8_t>;

std::string quoted(std::string_view name) { return py::repr(py::str(std::string(name))).cast<std::string>(); }

[[noreturn]] void explain(Status status, const Experts& experts, std::span<const double> x, const char* name) {
  if (status == Status::wrong_length) {
    throw py::value_error(std::string(name) + " has length " + std::to_string(x.size()) + ", there are " +
                          std::to_string(experts.size()) + " experts");
  }
  const bool log = experts.options().loss == ExpertLoss::log && name[0] == 'x';
  for (const double v : x) {
    if (std::isinf(v))
      throw py::value_error(std::string(name) + " holds " + show(v) + ", must be finite, or nan where absent");
    if (log && (v < 0.0 || v > 1.0)) throw py::value_error("x holds " + show(v) + ", outside [0, 1]");
    if (std::abs(v) > Experts::value_max)
      throw py::value_error(std::string(name) + " holds " + show(v) + ", outside [-1e70, 1e70]");
  }
  raise(status, name);
}

[[noreturn]] void refuse_outcome(const Experts& experts, double y) {
  throw py::value_error("y is " + show(y) +
                        (experts.options().loss == ExpertLoss::log ? ", outside [0, 1]" : ", outside [-1e70, 1e70]"));
}

void read(PyObject* given, Sequence& into, const char* name) {
  if (!into.read(given)) into.assign(view(numbers<double>(given, name)));
}

// Truth values of a sequence, one an expert; nothing for None.
void read_mask(PyObject* given, std::size_t size, Mask& into) {
  into.clear();
  if (given == Py_None) return;
  // A tuple of its own, as a list could change while its items are asked for their truth.
  PyObject* const items = PySequence_Tuple(given);
  if (items == nullptr) {
    if (!PyErr_ExceptionMatches(PyExc_TypeError)) throw py::error_already_set();
    PyErr_Clear();
    throw py::type_error("awake is " + py::repr(py::type::of(given)).cast<std::string>() +
                         ", must be a sequence of truth values");
  }
  const auto held = py::reinterpret_steal<py::object>(items);
  const Py_ssize_t n = PyTuple_GET_SIZE(items);
  if (static_cast<std::size_t>(n) != size) {
    throw py::value_error("awake has length " + std::to_string(n) + ", there are " + std::to_string(size) + " experts");
  }
  into.resize(size);
  for (Py_ssize_t i = 0; i < n; ++i) {
    const int truth = PyObject_IsTrue(PyTuple_GET_ITEM(items, i));
    if (truth < 0) throw py::error_already_set();
    into[static_cast<std::size_t>(i)] = truth != 0;
  }
}

PyObject* experts_predict(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<NamedExperts>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("predict", args, n, 1, 2);
    Sequence x;
    Mask awake;
    read(args[0], x, "x");
    read_mask(arguments.object(1), me->experts.size(), awake);
    double forecast = 0.0;
    const Status status = me->experts.predict(x.view(), awake, forecast);
    if (status != Status::ok) explain(status, me->experts, x.view(), "x");
    return PyFloat_FromDouble(forecast);
  });
}

PyObject* experts_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<NamedExperts>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("update", args, n, 2, 3);
    Sequence x;
    Mask awake;
    read(args[0], x, "x");
    const double y = arguments.real(1);
    read_mask(arguments.object(2), me->experts.size(), awake);
    double forecast = 0.0;
    const Status status = me->experts.update(x.view(), y, awake, forecast);
    if (status == Status::bad_outcome) refuse_outcome(me->experts, y);
    if (status != Status::ok) explain(status, me->experts, x.view(), "x");
    return PyFloat_FromDouble(forecast);
  });
}

PyObject* experts_update_losses(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<NamedExperts>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("update_losses", args, n, 1, 2);
    Sequence losses;
    Mask awake;
    read(args[0], losses, "losses");
    read_mask(arguments.object(1), me->experts.size(), awake);
    double loss = 0.0;
    const Status status = me->experts.update_losses(losses.view(), awake, loss);
    if (status != Status::ok) explain(status, me->experts, losses.view(), "losses");
    return PyFloat_FromDouble(loss);
  });
}

PyMethodDef experts_methods[] = {
    fast_method(
        "predict", experts_predict,
        "predict($self, x, awake=None, /)\n--\n\n"
        "The weighted mean of forecasts x, one a expert; nothing is learnt.\n\n"
        "x: a list, tuple or float64 array of shape (experts,); NaN or None where an expert is absent. awake: truth\n"
        "values, False where a forecast is to be left out. NaN if nobody is there. Raises ValueError for a wrong\n"
        "length, an infinite forecast, or one outside [0, 1] where the loss is 'log'.\n\n"
        ">>> import fairlead as fl\n>>> fl.BOA(2).predict([0.2, 0.6])\n0.4\n>>> fl.BOA(2).predict([0.2, 0.6], [True, "
        "False])\n0.2"),
    fast_method(
        "update", experts_update,
        "update($self, x, y, awake=None, /)\n--\n\n"
        "One round: experts said x, and y happened. Returns the mixture's forecast, as `predict` gave it before.\n\n"
        "y: what x is about, a number; for the loss 'log' in [0, 1]. x and awake are those of `predict`. A round in\n"
        "which nobody is there teaches nothing and returns NaN. Raises ValueError as `predict` does and for a y that\n"
        "is not finite or outside its range; nothing has changed then.\n\n"
        ">>> import fairlead as fl\n>>> boa = fl.BOA(2)\n>>> boa.update([0.0, 1.0], 1.0)\n0.5\n"
        ">>> boa.predict([0.0, 1.0]) > 0.5\nTrue"),
    fast_method(
        "update_losses", experts_update_losses,
        "update_losses($self, losses, awake=None, /)\n--\n\n"
        "One round of losses of whatever kind, smaller being better, one a expert; NaN or None where absent. For\n"
        "forecasts that are no single number: pool them by `weights()`, then say here what each lost. Returns the\n"
        "weighted mean of the losses, which counts as the mixture's. Raises ValueError for a wrong length or a loss\n"
        "outside [-1e70, 1e70]; nothing has changed then.\n\n"
        ">>> import fairlead as fl\n>>> hedge = fl.Hedge(['a', 'b'])\n>>> hedge.update_losses([0.0, 1.0])\n0.5\n"
        ">>> hedge.weights().round(3)\narray([0.8, 0.2])"),
};

py::array_t<double> copied(std::span<const double> values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

// A table has its columns by name, and they must be those of the experts. Experts that are but numbered go by place.
void check_columns(const NamedExperts& me, py::handle table, const char* name) {
  const char* const attribute = py::hasattr(table, "column_names") ? "column_names" : "columns";
  if (!py::hasattr(table, attribute)) return;
  std::vector<std::string> columns, experts;
  bool numbered = true, known = false;
  for (const py::handle column : table.attr(attribute)) columns.push_back(py::str(column).cast<std::string>());
  for (std::int32_t i = 0; i < me.names.size(); ++i) {
    experts.push_back(me.names.name(i));
    numbered = numbered && experts.back() == std::to_string(i);
  }
  for (const std::string& column : columns) known = known || me.names.find(column) != NameTable::absent;
  if (columns == experts || (numbered && !known)) return;
  throw py::value_error(std::string(name) + " has the columns " + py::repr(py::cast(columns)).cast<std::string>() +
                        ", must have those of the experts, in their order: " +
                        py::repr(py::cast(experts)).cast<std::string>());
}

py::tuple run(NamedExperts& me, py::handle given_x, py::handle given_y, py::handle given_awake) {
  Experts& experts = me.experts;
  check_columns(me, given_x, "x");
  check_columns(me, given_awake, "awake");
  const auto x = numbers<double>(given_x, "x", 2);
  const auto y = numbers<double>(given_y, "y");
  check_length(y.size(), "y", x.shape(0), "x");
  const auto n = static_cast<std::size_t>(x.shape(0)), m = static_cast<std::size_t>(x.shape(1));
  Array<std::uint8_t> awake;
  if (!given_awake.is_none()) {
    awake = numbers<std::uint8_t>(given_awake, "awake", 2, "biu");
    if (awake.shape(0) != x.shape(0) || awake.shape(1) != x.shape(1)) {
      throw py::value_error("awake has shape " + shape_of(awake) + ", x has " + shape_of(x));
    }
  }
  const auto row = [&](std::size_t t) { return std::span<const double>(x.data() + t * m, m); };
  const auto mask = [&](std::size_t t) {
    return given_awake.is_none() ? std::span<const std::uint8_t>()
                                 : std::span<const std::uint8_t>(awake.data() + t * m, m);
  };
  for (std::size_t t = 0; t < n; ++t) {  // all is checked before anything changes
    if (const Status status = experts.check(row(t), mask(t)); status != Status::ok)
      explain(status, experts, row(t), "x");
    if (experts.check(y.data()[t]) != Status::ok) refuse_outcome(experts, y.data()[t]);
  }
  py::array_t<double> forecasts(y.size()), weights({x.shape(0), x.shape(1)});
  for (std::size_t t = 0; t < n; ++t) {
    check(experts.update(row(t), y.data()[t], mask(t), forecasts.mutable_data()[t]));
    const auto played = experts.played();
    std::copy(played.begin(), played.end(), weights.mutable_data() + t * m);
  }
  return py::make_tuple(forecasts, weights);
}

std::size_t named(const NamedExperts& me, std::string_view name) {
  const auto id = me.names.find(name);
  if (id == NameTable::absent || !me.experts.active(static_cast<std::size_t>(id)))
    throw py::key_error("no expert is called " + quoted(name));
  return static_cast<std::size_t>(id);
}

std::size_t add(NamedExperts& me, const std::string& name) {
  const auto known = me.names.find(name);
  if (known == NameTable::absent) {
    me.experts.add();
    return static_cast<std::size_t>(me.names.intern(name));
  }
  const auto id = static_cast<std::size_t>(known);
  if (me.experts.revive(id) != Status::ok)
    throw py::value_error("name is " + quoted(name) + ", which an expert has already");
  return id;
}

double regret(const NamedExperts& me, std::size_t k) {
  return me.experts.record(k).mixture_loss - me.experts.record(k).loss;
}

std::optional<std::size_t> best(const NamedExperts& me) {
  std::optional<std::size_t> out;
  for (std::size_t k = 0; k < me.experts.size(); ++k) {
    if (!me.experts.active(k) || me.experts.record(k).rounds == 0) continue;
    if (!out || regret(me, k) > regret(me, *out)) out = k;
  }
  return out;
}

py::dict as_dict(NamedExperts& me) {
  // All is copied first: making a list may run a finalizer, which may add an expert.
  const auto now = me.experts.weights();
  std::vector<std::string> names;
  std::vector<double> weights, losses, mixture_losses, regrets;
  std::vector<std::int64_t> rounds;
  for (std::size_t k = 0; k < now.size(); ++k) {
    if (!me.experts.active(k)) continue;
    const ExpertRecord record = me.experts.record(k);
    names.push_back(me.names.name(static_cast<std::int32_t>(k)));
    weights.push_back(now[k]);
    losses.push_back(record.loss);
    mixture_losses.push_back(record.mixture_loss);
    regrets.push_back(regret(me, k));
    rounds.push_back(static_cast<std::int64_t>(record.rounds));
  }
  using namespace py::literals;
  return py::dict("expert"_a = names, "weight"_a = weights, "loss"_a = losses, "mixture_loss"_a = mixture_losses,
                  "regret"_a = regrets, "rounds"_a = rounds);
}

using Who = std::variant<std::int64_t, std::vector<std::string>>;

// What all rules take.
struct Common {
  std::string loss;
  std::optional<bool> gradient;
  double fixed_share;
  std::optional<double> half_life;
  double floor, cap;
};

template <ExpertRule rule>
Ruled<rule> make(const Who& who, const Common& common, std::optional<double> eta) {
  ExpertsOptions options;
  options.rule = rule;
  if (common.loss == "square") options.loss = ExpertLoss::square;
  else if (common.loss == "absolute") options.loss = ExpertLoss::absolute;
  else if (common.loss == "log") options.loss = ExpertLoss::log;
  else throw py::value_error("loss is " + quoted(common.loss) + ", must be 'square', 'absolute' or 'log'");
  options.gradient = common.gradient.value_or(options.loss != ExpertLoss::log);
  if (eta && !(*eta > 0.0 && *eta <= 1e100)) throw py::value_error("eta is " + show(*eta) + ", outside (0, 1e100]");
  if (common.half_life && !(*common.half_life >= 1e-3 && *common.half_life <= 1e15)) {
    throw py::value_error("half_life is " + show(*common.half_life) + ", outside [0.001, 1e15]");
  }
  options.eta = eta.value_or(0.0);
  options.fixed_share = common.fixed_share;
  options.half_life = common.half_life.value_or(0.0);
  options.floor = common.floor;
  options.cap = common.cap;
  if (const char* const fault = options.fault()) {
    const std::string name = fault;
    const double value = name == "fixed_share" ? common.fixed_share : name == "floor" ? common.floor : common.cap;
    throw py::value_error(name + " is " + show(value) + (name == "cap" ? ", must be in (0, 1] and not less than floor"
                                                         : name == "floor" ? ", outside [0, 1]" : ", outside [0, 1)"));
  }
  Ruled<rule> made;
  made.experts = Experts(options);
  if (const auto* const count = std::get_if<std::int64_t>(&who)) {
    if (*count < 1 || *count > 1'000'000)
      throw py::value_error("experts is " + std::to_string(*count) + ", outside [1, 1000000]");
    for (std::int64_t k = 0; k < *count; ++k) add(made, std::to_string(k));
  } else {
    for (const std::string& name : std::get<1>(who)) add(made, name);
  }
  if (made.experts.size() == 0) throw py::value_error("experts is empty");
  return made;
}

std::string snapshot(const NamedExperts& me) {
  SnapshotWriter to("named experts", 1);
  to.put(me.names);
  to.put(std::string_view(me.experts.snapshot()));
  return to.finish();
}

template <ExpertRule rule>
Ruled<rule> restored(const std::string& bytes) {
  SnapshotReader from(bytes, "named experts", 1);
  Ruled<rule> read;
  std::string experts;
  from.get(read.names);
  from.get(experts);
  check(from.finish(), "data");
  check(Experts::restore(experts, read.experts), "data");
  if (read.experts.options().rule != rule || read.experts.size() != static_cast<std::size_t>(read.names.size())) {
    raise(Status::bad_snapshot, "data");
  }
  return read;
}

template <ExpertRule rule>
py::class_<Ruled<rule>, NamedExperts> bind_rule(py::module_& m, const char* name, const char* doc) {
  return py::class_<Ruled<rule>, NamedExperts>(m, name, doc)
      .def_static(
          "restore", [](const py::bytes& data) { return restored<rule>(data); }, py::arg("data"),
          "The experts of a snapshot, which go on as if they had never stopped. Raises ValueError where the bytes\n"
          "are no snapshot of this class, or damaged.")
      .def(py::pickle([](const Ruled<rule>& me) { return py::bytes(snapshot(me)); },
                      [](const py::bytes& data) { return restored<rule>(data); }))
      .def("__repr__", [name = std::string(name)](const Ruled<rule>& me) {
        const auto leader = best(me);
        return name + "(experts=" + std::to_string(me.names.size()) +
               ", rounds=" + std::to_string(me.experts.rounds()) +
               (leader ? ", best=" + quoted(me.names.name(static_cast<std::int32_t>(*leader))) +
                             ", regret=" + show(regret(me, *leader))
                       : "") +
               ")";
      });
}

template <ExpertRule rule>
void bind_with_eta(py::module_& m, const char* name, const char* doc) {
  bind_rule<rule>(m, name, doc)
      .def(py::init([](const Who& experts, const std::string& loss, std::optional<bool> gradient,
                       std::optional<double> eta, double fixed_share, std::optional<double> half_life, double floor,
                       double cap) {
             return make<rule>(experts, {loss, gradient, fixed_share, half_life, floor, cap}, eta);
           }),
           py::arg("experts"), py::kw_only(), py::arg("loss") = "square", py::arg("gradient") = py::none(),
           py::arg("eta") = py::none(), py::arg("fixed_share") = 0.0, py::arg("half_life") = py::none(),
           py::arg("floor") = 0.0, py::arg("cap") = 1.0);
}

}  // namespace

void bind_experts(py::module_& m) {
  py::class_<NamedExperts> cls(
      m, "Experts",
      R"(What Hedge, BOA and MLPoly have in common: a mixture of experts that learns from what each of them loses.

Ask `predict(x)` for the mixture of forecasts x, one a expert, then tell `update(x, y)` what happened; or do both for
arrays with `run`. An absent expert is NaN in x or False in `awake`: the others share its weight, and it is judged only by
rounds in which it was there. Weights depend on nothing but the rounds seen.

experts: how many, or their names. loss: "square", "absolute", or "log" (probabilities of an event, y in [0, 1], kept 1e-3
from 0 and 1). gradient: learn from the linearised loss, and so compete with the best fixed mixture instead of the best
expert; True for "square" and "absolute", False for "log", if not given. fixed_share, in [0, 1): the share of all weight that
is dealt out evenly after each round, so that a fallen expert can rise soon (try 0.01). half_life: rounds after which a gain
counts half. floor, cap: bounds of the weights that are played; w becomes clamp(z w, floor, cap), with the z for which
weights sum to 1, and where too many or too few are there for the bounds, they share evenly.

>>> import fairlead as fl
>>> mixture = fl.MLPoly(["gpt", "local"])
>>> isinstance(mixture, fl.Experts)
True
>>> forecasts, weights = mixture.run([[0.9, 0.4], [0.8, 0.3], [0.7, float("nan")]], [1, 1, 1])
>>> forecasts.round(2), weights.round(2).tolist()
(array([0.65, 0.8 , 0.7 ]), [[0.5, 0.5], [1.0, 0.0], [1.0, 0.0]])
>>> mixture.best, round(mixture.regret, 4)
('gpt', 0.1125))");
  cls.def(
         "weights",
         [](NamedExperts& me, py::handle awake) {
           Mask mask;
           read_mask(awake.ptr(), me.experts.size(), mask);
           return copied(me.experts.weights(mask));
         },
         py::arg("awake") = py::none(),
         "The weights that would be played now, float64 of shape (experts,), a copy: 0 for those not awake or "
         "removed,\n"
         "summing to 1 unless nobody is there.")
      .def("run", &run, py::arg("x"), py::arg("y"), py::kw_only(), py::arg("awake") = py::none(),
           R"(Rounds in order, as many calls of update, with the same answers bit for bit.

x: float64 of shape (rounds, experts), NaN where absent; y: shape (rounds,); awake: truth values of x's shape. Returns the
mixture's forecasts, shape (rounds,), each made before its y was known, and the weights they were made with, shape
(rounds, experts). x may be a data frame: its columns must be the experts' names, in their order, or ValueError is raised;
experts that have but a number go by place. All is checked first: errors are those of `update`, and change nothing.

>>> import fairlead as fl
>>> forecasts, weights = fl.BOA(["gpt", "local"]).run([[0.9, 0.4], [0.8, 0.2]], [1, 1])
>>> forecasts.round(2), weights.shape
(array([0.65, 0.66]), (2, 2)))")
      .def("add", &add, py::arg("name"),
           "Adds an expert, which has neither gained nor lost, and returns its id: its place in x. A name that was "
           "removed\n"
           "gets its old place back, with nothing remembered. Raises ValueError for a name that an expert has.")
      .def(
          "remove", [](NamedExperts& me, std::string_view name) { check(me.experts.remove(named(me, name))); },
          py::arg("name"),
          "Takes an expert out: its weight is 0 and its forecasts are not looked at from now on. Its place in x "
          "stays.\n"
          "Raises KeyError for an unknown name.")
      .def("as_dict", &as_dict,
           R"(Columns, a row for each expert that was not removed, for a DataFrame of pandas or polars.

expert (its name), weight (all awake), loss and mixture_loss (its own and the mixture's, summed over the rounds in which it
was awake), regret (their difference) and rounds.

>>> import fairlead as fl
>>> fl.Hedge(["gpt", "local"]).as_dict()["expert"]
['gpt', 'local'])")
      .def(
          "snapshot", [](const NamedExperts& me) { return py::bytes(snapshot(me)); },
          "Options and state as bytes, with a version and a checksum, for restore. Pickle holds the same bytes.")
      .def("__len__", [](const NamedExperts& me) { return me.experts.size(); })
      .def_property_readonly(
          "names",
          [](const NamedExperts& me) {
            py::list out;
            for (std::int32_t i = 0; i < me.names.size(); ++i) out.append(me.names.name(i));
            return out;
          },
          "Names by id, with those that were removed.")
      .def_property_readonly(
          "rounds", [](const NamedExperts& me) { return me.experts.rounds(); }, "Rounds in which somebody was awake.")
      .def_property_readonly(
          "loss", [](const NamedExperts& me) { return me.experts.loss(); },
          "Loss of the mixture, summed over all rounds.")
      .def_property_readonly(
          "best",
          [](const NamedExperts& me) -> std::optional<std::string> {
            const auto leader = best(me);
            if (!leader) return std::nullopt;
            return std::string(me.names.name(static_cast<std::int32_t>(*leader)));
          },
          "Name of the expert that the mixture falls behind most, over the rounds in which that expert was awake.")
      .def_property_readonly(
          "regret",
          [](const NamedExperts& me) {
            const auto leader = best(me);
            return leader ? regret(me, *leader) : 0.0;
          },
          "Loss of the mixture above that of `best`, over the rounds in which it was awake. Below 0: better than all.");
  for (PyMethodDef& method : experts_methods) attach(cls, method);

  bind_with_eta<ExpertRule::hedge>(
      m, "Hedge", R"(Exponential weights: of an expert, exp(eta x gains). Its methods are those of Experts.

eta, the learning rate, adapts to the losses if not given, whatever their scale: ln m over the summed mixability gaps
(AdaHedge). The regret against the best of m experts after T rounds of linear losses within a range S is then at most
S sqrt(T ln m) + S (4/3 ln m + 2). With loss="log", eta=1 is Bayes' rule. Other options are those of Experts. Raises ValueError
for an option outside its range. Source: S. de Rooij, T. van Erven, P. Grunwald, W. Koolen, "Follow the Leader If You Can,
Hedge If You Must" (JMLR 15, 2014).

>>> import fairlead as fl
>>> bayes = fl.Hedge(["optimist", "pessimist"], loss="log", eta=1)
>>> bayes.update([0.8, 0.4], 1)
0.6000000000000001
>>> bayes.weights().round(4)
array([0.6667, 0.3333]))");
  bind_with_eta<ExpertRule::boa>(
      m, "BOA",
      R"(Bernstein online aggregation: exponential weights with a second-order term and a rate for each expert. Its methods
are those of Experts.

Faster than Hedge where one expert is clearly better, as its regret goes with the variance of the excess losses. eta adapts
to each expert if not given; other options are those of Experts. An expert that is new starts with the mean rate of the
others. Raises ValueError for an option outside its range. Source: O. Wintenberger, "Optimal learning with Bernstein Online
Aggregation" (Machine Learning 106, 2017).

>>> import fairlead as fl
>>> boa = fl.BOA(3, fixed_share=0.01, floor=0.05)
>>> forecasts, weights = boa.run([[1.0, 2.0, 4.0]] * 50, [2.0] * 50)
>>> boa.best, boa.weights().argmax().item()
('1', 1))");
  bind_rule<ExpertRule::ml_poly>(
      m, "MLPoly",
      R"(Polynomial weights with a rate for each expert, set by its own excess losses: nothing to tune. Its methods are those of
Experts.

An expert that has done worse than the mixture so far has no weight. Options are those of Experts. Raises ValueError for an
option outside its range. Source: P. Gaillard, G. Stoltz, T. van Erven, "A Second-order Bound with Excess Losses" (COLT 2014).

>>> import fairlead as fl
>>> mixture = fl.MLPoly(2, loss="absolute")
>>> mixture.update([0.0, 1.0], 1.0), mixture.weights().tolist()
(0.5, [0.0, 1.0]))")
      .def(py::init([](const Who& experts, const std::string& loss, std::optional<bool> gradient, double fixed_share,
                       std::optional<double> half_life, double floor, double cap) {
             return make<ExpertRule::ml_poly>(experts, {loss, gradient, fixed_share, half_life, floor, cap},
                                              std::nullopt);
           }),
           py::arg("experts"), py::kw_only(), py::arg("loss") = "square", py::arg("gradient") = py::none(),
           py::arg("fixed_share") = 0.0, py::arg("half_life") = py::none(), py::arg("floor") = 0.0,
           py::arg("cap") = 1.0);
}

}  // namespace fairlead::bindings
