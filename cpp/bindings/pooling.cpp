#include "fairlead/pooling.hpp"

#include <array>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "arrays.hpp"
#include "common.hpp"
#include "sequence.hpp"

namespace fairlead::bindings {

namespace {

using pooling::Fault;
using pooling::Method;

constexpr std::array<std::pair<std::string_view, Method>, 7> methods{{{"linear", Method::linear},
                                                                      {"log", Method::log},
                                                                      {"trimmed", Method::trimmed},
                                                                      {"median", Method::median},
                                                                      {"vote", Method::vote},
                                                                      {"extremized", Method::extremized},
                                                                      {"log_odds", Method::log_odds}}};

Method method_of(PyObject* given) {
  Py_ssize_t length = 0;
  const char* const text = PyUnicode_Check(given) ? PyUnicode_AsUTF8AndSize(given, &length) : nullptr;
  if (text != nullptr) {
    const std::string_view name(text, static_cast<std::size_t>(length));
    for (const auto& [known, method] : methods) {
      if (name == known) return method;
    }
  }
  PyErr_Clear();
  throw py::value_error("method is " + py::repr(given).cast<std::string>() +
                        ", must be 'linear', 'log', 'trimmed', 'median', 'vote', 'extremized' or 'log_odds'");
}

// What `pool` and `pool_binary` were given besides p.
struct Given {
  pooling::Options options;
  PyObject* weights = nullptr;
  PyObject* accuracy = nullptr;
  PyObject* out = nullptr;
  bool clip = false, trim = false, factor = false, abstains = false;
};

double real(PyObject* value, const char* name) {
  const double x = PyFloat_AsDouble(value);
  if (x == -1.0 && PyErr_Occurred()) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + " is " + py::repr(value).cast<std::string>() + ", must be a number");
  }
  return x;
}

void keyword(Given& given, std::string_view name, PyObject* value, const char* function) {
  const bool left_out = value == Py_None;
  if (name == "weights") {
    given.weights = left_out ? nullptr : value;
  } else if (name == "accuracy") {
    given.accuracy = left_out ? nullptr : value;
  } else if (name == "out") {
    given.out = left_out ? nullptr : value;
  } else if (name == "clip") {
    given.clip = !left_out;
    if (given.clip) given.options.clip = real(value, "clip");
  } else if (name == "trim") {
    given.trim = !left_out;
    if (given.trim) given.options.trim = real(value, "trim");
  } else if (name == "factor") {
    given.factor = !left_out;
    if (given.factor) given.options.factor = real(value, "factor");
  } else if (name == "abstain_below") {
    given.options.abstain_below = left_out ? 0.0 : real(value, "abstain_below");
    given.abstains = given.options.abstain_below != 0.0;
  } else {
    throw py::type_error(std::string(function) + "() got an unexpected keyword argument '" + std::string(name) + "'");
  }
}

[[noreturn]] void no_use(const char* name, const char* user) {
  throw py::value_error(std::string(name) + (user[0] == 'w' ? " are" : " is") + " given, but " + user);
}

void check_options(const Given& given) {
  const auto& options = given.options;
  const Method method = options.method;
  const bool log = method == Method::log || method == Method::extremized || method == Method::log_odds;
  if (given.weights != nullptr) {
    if (method == Method::median) throw py::value_error("weights are given, but the median gives every model one vote");
    if (method == Method::trimmed)
      throw py::value_error("weights are given, but the trimmed mean gives every model one vote");
    if (method == Method::log_odds) throw py::value_error("weights are given, but 'log_odds' weighs by accuracy");
  }
  if ((given.accuracy != nullptr) != (method == Method::log_odds)) {
    if (given.accuracy != nullptr) no_use("accuracy", "only 'log_odds' uses it");
    throw py::value_error("accuracy is not given, but 'log_odds' weighs by it");
  }
  if (given.clip && !log) no_use("clip", "only 'log', 'extremized' and 'log_odds' use it");
  if (given.trim && method != Method::trimmed) no_use("trim", "only 'trimmed' uses it");
  if (given.factor && method != Method::extremized) no_use("factor", "only 'extremized' uses it");
  if (!(options.clip >= 1e-100 && options.clip < 0.5))
    throw py::value_error("clip is " + show(options.clip) + ", outside [1e-100, 0.5)");
  if (!(options.trim >= 0.0 && options.trim < 0.5))
    throw py::value_error("trim is " + show(options.trim) + ", outside [0, 0.5)");
  if (given.factor && !(options.factor > 0.0 && options.factor <= 100.0)) {
    throw py::value_error("factor is " + show(options.factor) + ", outside (0, 100]");
  }
  if (!(options.abstain_below >= 0.0 && options.abstain_below <= 1.0)) {
    throw py::value_error("abstain_below is " + show(options.abstain_below) + ", outside [0, 1]");
  }
}

// Says what `pooling::pool` found wrong.
[[noreturn]] void explain(Fault fault, std::span<const double> p, const pooling::Options& options) {
  if (fault == Fault::p) {
    for (const double x : p) {
      if (std::isinf(x)) throw py::value_error("p holds " + show(x) + ", must be finite");
    }
    for (const double x : p) {
      if (!(x >= 0.0 && x <= 1.0) && !std::isnan(x)) throw py::value_error("p holds " + show(x) + ", outside [0, 1]");
    }
  }
  if (fault == Fault::p_partly_absent) {
    throw py::value_error(
        "p holds nan for some classes of a model but not for all: a model that is absent is nan in all");
  }
  if (fault == Fault::weights) {
    for (const double w : options.weights) {
      if (!(w >= 0.0 && std::isfinite(w)))
        throw py::value_error("weights holds " + show(w) + ", must be finite and not negative");
    }
  }
  if (fault == Fault::weights_sum) throw py::value_error("weights sum to 0.0, must be positive");
  for (const double a : options.accuracy) {
    if (!(a >= 0.0 && a <= 1.0)) throw py::value_error("accuracy holds " + show(a) + ", outside [0, 1]");
  }
  throw py::value_error("p cannot be pooled");
}

std::string wrong_length(const char* name, std::size_t length, std::size_t models) {
  return std::string(name) + " has length " + std::to_string(length) + ", p has " + std::to_string(models) + " models";
}

bool is_probability(Method method) {
  return method != Method::linear && method != Method::trimmed && method != Method::median;
}

// One task, given as a sequence: no array is made for it.
PyObject* pool_event(const Given& given, std::span<const double> p) {
  pooling::Options options = given.options;
  Sequence weights, accuracy;
  const auto take = [&](PyObject* from, Sequence& into, const char* name) {
    if (!into.read(from)) into.assign(view(numbers<double>(from, name)));
    if (into.view().size() != p.size()) throw py::value_error(wrong_length(name, into.view().size(), p.size()));
    return into.view();
  };
  if (given.weights != nullptr) options.weights = take(given.weights, weights, "weights");
  if (given.accuracy != nullptr) options.accuracy = take(given.accuracy, accuracy, "accuracy");
  if (given.out != nullptr) throw py::value_error("out is given, but one event's result is a float");
  double pooled = 0.0;
  const Fault fault = pooling::pool(p, 1, p.size(), 1, options, &pooled);
  if (fault != Fault::none) explain(fault, p, options);
  return PyFloat_FromDouble(pooled);
}

// Tasks in an array whose last dimensions are models, or models and classes.
py::array pool_tasks(const Given& given, const Array<double>& p, std::size_t m, std::size_t c,
                     std::vector<py::ssize_t> shape) {
  pooling::Options options = given.options;
  options.probabilities = options.probabilities || c > 1;
  const std::size_t n = static_cast<std::size_t>(p.size()) / (m * c);
  Array<double> weights, accuracy;
  if (given.weights != nullptr) {
    const py::array w = py::array::ensure(given.weights);
    const bool per_task = w && w.ndim() == 2;
    PyErr_Clear();
    weights = numbers<double>(given.weights, "weights", per_task ? 2 : 1);
    const auto models = static_cast<std::size_t>(weights.shape(weights.ndim() - 1));
    if (models != m) throw py::value_error(wrong_length("weights", models, m));
    if (per_task && static_cast<std::size_t>(weights.shape(0)) != n) {
      throw py::value_error("weights has " + std::to_string(weights.shape(0)) + " rows, p has " + std::to_string(n) +
                            " tasks");
    }
    options.weights = view(weights);
  }
  if (given.accuracy != nullptr) {
    accuracy = numbers<double>(given.accuracy, "accuracy");
    if (static_cast<std::size_t>(accuracy.size()) != m)
      throw py::value_error(wrong_length("accuracy", static_cast<std::size_t>(accuracy.size()), m));
    options.accuracy = view(accuracy);
  }
  auto out = output(given.out == nullptr ? Py_None : given.out, std::move(shape));
  double* const to = out.mutable_data();
  if (given.out != nullptr) {
    const auto apart = [&](std::span<const double> read, const char* name) {
      const std::less<const double*> before;
      if (before(to, read.data() + read.size()) && before(read.data(), to + out.size())) {
        throw py::value_error("out overlaps " + std::string(name));
      }
    };
    apart(view(p), "p");
    apart(options.weights, "weights");
    apart(options.accuracy, "accuracy");
  }
  Fault fault = Fault::none;
  {
    const py::gil_scoped_release unlocked;
    fault = pooling::pool(view(p), n, m, c, options, to);
  }
  if (fault != Fault::none) explain(fault, view(p), options);
  return out;
}

Given arguments(PyObject* const* args, Py_ssize_t n, PyObject* names, const char* function) {
  Given given;
  if (n < 1 || n > 2) {
    throw py::type_error(std::string(function) + "() takes p and method as positional arguments, " + std::to_string(n) +
                         " given");
  }
  if (n == 2) given.options.method = method_of(args[1]);
  const Py_ssize_t named = names == nullptr ? 0 : PyTuple_GET_SIZE(names);
  for (Py_ssize_t i = 0; i < named; ++i) {
    Py_ssize_t length = 0;
    const char* const text = PyUnicode_AsUTF8AndSize(PyTuple_GET_ITEM(names, i), &length);
    if (text == nullptr) throw py::error_already_set();
    const std::string_view name(text, static_cast<std::size_t>(length));
    if (name == "method" && n < 2) given.options.method = method_of(args[n + i]);
    else keyword(given, name, args[n + i], function);
  }
  check_options(given);
  return given;
}

PyObject* pool(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return guarded([&]() -> PyObject* {
    const Given given = arguments(args, n, names, "pool");
    const py::array any = py::array::ensure(args[0]);
    if (!any) PyErr_Clear();
    const py::ssize_t ndim = any ? any.ndim() : 2;
    if (ndim != 2 && ndim != 3) {
      throw py::value_error("p has " + std::to_string(ndim) +
                            " dimensions, must have 2 (models, classes) or 3 (tasks, models, " +
                            "classes); one probability a model is for pool_binary");
    }
    const auto p = numbers<double>(args[0], "p", ndim);
    const auto m = static_cast<std::size_t>(p.shape(ndim - 2)), c = static_cast<std::size_t>(p.shape(ndim - 1));
    if (m == 0 || c == 0) throw py::value_error("p is empty");
    if (c == 1 && (is_probability(given.options.method) || given.abstains)) {
      throw py::value_error("p has 1 class: a probability of one event is for pool_binary");
    }
    std::vector<py::ssize_t> shape{p.shape(ndim - 1)};
    if (ndim == 3) shape.insert(shape.begin(), p.shape(0));
    return pool_tasks(given, p, m, c, std::move(shape)).release().ptr();
  });
}

PyObject* pool_binary(PyObject*, PyObject* const* args, Py_ssize_t n, PyObject* names) {
  return guarded([&]() -> PyObject* {
    Given given = arguments(args, n, names, "pool_binary");
    given.options.probabilities = true;
    Sequence event;
    if (!event.read(args[0])) {
      const py::array any = py::array::ensure(args[0]);
      if (!any) PyErr_Clear();
      const py::ssize_t ndim = any && any.ndim() == 1 ? 1 : 2;
      const auto p = numbers<double>(args[0], "p", ndim);
      if (ndim == 2) {
        if (p.shape(1) == 0) throw py::value_error("p is empty");
        return pool_tasks(given, p, static_cast<std::size_t>(p.shape(1)), 1, {p.shape(0)}).release().ptr();
      }
      event.assign(view(p));
    }
    const auto p = event.view();
    if (p.empty()) throw py::value_error("p is empty");
    return pool_event(given, p);
  });
}

PyMethodDef functions[] = {
    {"pool", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pool)), METH_FASTCALL | METH_KEYWORDS,
     R"(pool($module, p, method='linear', *, weights=None, clip=None, trim=None, factor=None, accuracy=None, abstain_below=0.0, out=None)
--

Pools the forecasts of several models into one, class by class.

p: float64 of shape (models, classes) or (tasks, models, classes); a model that is NaN in all classes is absent from that
task, and its weight is shared by the others. weights: shape (models,) or (tasks, models), not negative, scaled to sum 1;
equal if not given. Returns shape (classes,) or (tasks, classes), in `out` if given; NaN where nobody with a weight is
present. A probability of one event a model, without classes, is for pool_binary.

Methods: "linear", the weighted mean; "log", the normalised weighted geometric mean; "trimmed", the mean of what is left
when a share `trim` (0.1) of the smallest and of the largest is cut (rounded down, as scipy.stats.trim_mean does);
"median"; these two class by class, then normalised. "vote": each class's share of the weight, a model voting for its most
probable class and sharing its vote out among equals. "extremized": log, the log-odds times `factor`, which is
n (sqrt(3 n^2 - 3 n + 1) - 2) / (n^2 - n - 1) for the n models present if not given, from 1 up to sqrt(3). "log_odds": a
vote is worth ln(a (classes - 1) / (1 - a)), a being the model's `accuracy`: the most probable class if models err
independently and no class is more likely before.

clip (1e-3): what "log", "extremized" and "log_odds" raise probabilities and accuracies to, so that nobody can veto all
others. abstain_below: a task whose largest pooled probability is less has no answer, NaN. Numbers, shape (.., models, 1),
may be pooled by "linear", "trimmed" and "median".

Raises ValueError naming the argument for wrong shapes, infinities, NaN in some classes only, probabilities outside
[0, 1], weights that cannot be honoured, and an argument that the method does not use.
Sources: C. Genest, J. V. Zidek, "Combining Probability Distributions" (1986); V. Satopaa et al., "Combining multiple
probability predictions using a simple logit model" (2014); E. Neyman, T. Roughgarden, "Are You Smarter Than a Random
Expert?" (2022); S. Nitzan, J. Paroush, "Optimal Decision Rules in Uncertain Dichotomous Choice Situations" (1982).

>>> import fairlead as fl
>>> fl.pool([[0.2, 0.8], [0.4, 0.6]])
array([0.3, 0.7])
>>> fl.pool([[0.2, 0.8], [0.4, 0.6]], weights=[3, 1]).round(2)
array([0.25, 0.75])
>>> fl.pool([[0.2, 0.8], [0.4, 0.6], [float("nan")] * 2], "log").round(3)
array([0.29, 0.71])
>>> fl.pool([[0.2, 0.8], [0.6, 0.4], [0.9, 0.1]], "vote").round(3)
array([0.667, 0.333]))"},
    {"pool_binary", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(pool_binary)),
     METH_FASTCALL | METH_KEYWORDS,
     R"(pool_binary($module, p, method='linear', *, weights=None, clip=None, trim=None, factor=None, accuracy=None, abstain_below=0.0, out=None)
--

Pools the probabilities that several models give one event.

p: shape (models,), which gives a float, or (tasks, models), which gives float64 of shape (tasks,). NaN (in a list or a
tuple also None): the model is absent, its weight is shared by the others. Methods, arguments and errors are those of
`pool` for two classes, 1 - p and p: "log" is the geometric mean of the odds, "vote" the share of the weight that gives
more than 1/2. abstain_below: a task where neither p nor 1 - p reaches it has no answer, NaN.

One event's list, tuple or float64 array is read in place, so this is fast enough for a call an event.

>>> import fairlead as fl
>>> round(fl.pool_binary([0.6, 0.7, 0.8]), 4)
0.7
>>> round(fl.pool_binary([0.6, 0.7, None], "log"), 4)
0.6517
>>> round(fl.pool_binary([0.6, 0.7, 0.8], "extremized", factor=1.5), 4)
0.7891
>>> round(fl.pool_binary([0.9, 0.2, 0.4], "log_odds", accuracy=[0.9, 0.6, 0.6]), 4)
0.8
>>> fl.pool_binary([[0.6, 0.7], [0.5, 0.4]], abstain_below=0.6).round(2)
array([0.65,  nan]))"},
    {nullptr, nullptr, 0, nullptr},
};

}  // namespace

void bind_pooling(py::module_& m) {
  if (PyModule_AddFunctions(m.ptr(), functions) != 0) throw py::error_already_set();
}

}  // namespace fairlead::bindings
