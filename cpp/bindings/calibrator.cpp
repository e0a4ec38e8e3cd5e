#include "calibrator.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/snapshot.hpp"
#include "sequence.hpp"

namespace fairlead::bindings {

namespace {

using Method = Calibrator::Method;

constexpr std::array<const char*, 4> method_names = {"as_given", "scaling", "isotonic", "temperature"};
constexpr double sum_tolerance = 1e-3 + 1e-9;

OptionedCalibrator made(double half_life) {
  if (!(half_life >= 1.0 && half_life <= 1e9)) {
    throw py::value_error("half_life is " + show(half_life) + ", outside [1, 1e9]");
  }
  return {half_life, Calibrator({half_life})};
}

Method method_of(PyObject* given) {
  if (PyUnicode_Check(given)) {
    const char* const text = PyUnicode_AsUTF8(given);
    if (text == nullptr) throw py::error_already_set();
    for (std::size_t m = 0; m < method_names.size(); ++m) {
      if (std::string_view(text) == method_names[m]) return static_cast<Method>(m);
    }
  }
  throw py::value_error("method is " + py::repr(given).cast<std::string>() +
                        ", must be 'as_given', 'scaling', 'isotonic' or 'temperature'");
}

void check_probability(double p, const std::string& name) {
  if (!(p >= 0.0 && p <= 1.0)) throw py::value_error(name + " is " + show(p) + ", outside [0, 1]");
}

// One probability a class, brought to sum 1.
void read_row(std::span<const double> given, std::vector<double>& row, const std::string& name) {
  if (given.size() < 2) {
    throw py::value_error(name + " has length " + std::to_string(given.size()) + ", must have a value for each class");
  }
  for (const double p : given) {
    if (!(p >= 0.0 && p <= 1.0)) throw py::value_error(name + " holds " + show(p) + ", outside [0, 1]");
  }
  const double sum = std::accumulate(given.begin(), given.end(), 0.0);
  if (!(std::abs(sum - 1.0) <= sum_tolerance)) throw py::value_error(name + " sums to " + show(sum) + ", must sum to 1");
  row.assign(given.begin(), given.end());
  for (double& p : row) p /= sum;
}

bool is_number(PyObject* given) {
  return PyFloat_Check(given) || PyLong_Check(given) || (PyNumber_Check(given) && !PySequence_Check(given));
}

void read_answer(PyObject* given, std::vector<double>& row) {
  Sequence values;
  if (!values.read(given)) values.assign(view(numbers<double>(given, "p")));
  read_row(values.view(), row, "p");
}

std::size_t read_outcome(double outcome, std::size_t classes, const std::string& name) {
  if (!(outcome >= 0.0 && outcome < static_cast<double>(classes) && outcome == std::floor(outcome))) {
    throw py::value_error(name + " is " + show(outcome) +
                          (classes == 2 ? ", must be 0 or 1"
                                        : ", must be the number of a class, 0 to " + std::to_string(classes - 1)));
  }
  return static_cast<std::size_t>(outcome);
}

void check_order(Time before, Time time, const std::string& name) {
  if (time < before) {
    throw py::value_error(name + " is " + std::to_string(time) + ", earlier than " + std::to_string(before) +
                          ", the one before");
  }
}

PyObject* calibrator_adjust(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<OptionedCalibrator>(self);
  if (me == nullptr) return nullptr;
  return guarded([&]() -> PyObject* {
    const Arguments arguments("adjust", args, n, 1, 2);
    const bool alone = arguments.given(1);
    const Method method = alone ? method_of(arguments.object(1)) : Method::as_given;
    if (is_number(args[0])) {
      const double p = arguments.real(0);
      check_probability(p, "p");
      return PyFloat_FromDouble(alone ? me->core.adjust(method, p) : me->core.adjust(p));
    }
    std::vector<double> row;
    read_answer(args[0], row);
    std::vector<double> out(row.size());
    if (alone) {
      me->core.adjust(method, row, out);
    } else {
      me->core.adjust(row, out);
    }
    return py::cast(out).release().ptr();
  });
}

PyObject* calibrator_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<OptionedCalibrator>(self);
  if (me == nullptr) return nullptr;
  return guarded([&]() -> PyObject* {
    const Arguments arguments("update", args, n, 2, 3);
    Calibrator& core = me->core;
    const Time time = arguments.integer(2, core.size() > 0 ? core.time() + 1 : 0);
    if (core.size() > 0) check_order(core.time(), time, "time");
    if (is_number(args[0])) {
      const double p = arguments.real(0);
      check_probability(p, "p");
      core.update(p, read_outcome(arguments.real(1), 2, "outcome") == 1, time);
    } else {
      std::vector<double> row;
      read_answer(args[0], row);
      core.update(row, read_outcome(arguments.real(1), row.size(), "outcome"), time);
    }
    Py_RETURN_NONE;
  });
}

py::array_t<double> run(OptionedCalibrator& me, const py::object& p, const py::object& outcomes,
                        const py::object& times) {
  const py::array shape = py::array::ensure(p);
  const bool rows = shape && shape.ndim() == 2;
  if (!shape) PyErr_Clear();
  const Array<double> answers = numbers<double>(p, "p", rows ? 2 : 1);
  const Array<double> what = numbers<double>(outcomes, "outcomes");
  const auto n = answers.shape(0);
  const auto classes = rows ? static_cast<std::size_t>(answers.shape(1)) : std::size_t{2};
  check_length(what.size(), "outcomes", n, "p");
  Array<std::int64_t> when;
  if (!times.is_none()) {
    when = whole_times(times);
    check_length(when.size(), "times", n, "p");
  }
  // All is checked before anything is learned.
  std::vector<double> given;
  given.reserve(static_cast<std::size_t>(n) * classes);
  std::vector<std::size_t> happened(static_cast<std::size_t>(n));
  std::vector<Time> round(static_cast<std::size_t>(n));
  std::vector<double> row;
  Time before = me.core.time();
  for (py::ssize_t i = 0; i < n; ++i) {
    const auto k = static_cast<std::size_t>(i);
    const std::string at = "[" + std::to_string(i) + "]";
    if (rows) {
      read_row({answers.data(i, 0), classes}, row, "p" + at);
      given.insert(given.end(), row.begin(), row.end());
    } else {
      check_probability(answers.data()[i], "p" + at);
      given.insert(given.end(), {1.0 - answers.data()[i], answers.data()[i]});
    }
    happened[k] = read_outcome(what.data()[i], classes, "outcomes" + at);
    const bool first = i == 0 && me.core.size() == 0;
    round[k] = !times.is_none() ? when.data()[i] : first ? 0 : before + 1;
    if (!first) check_order(before, round[k], "times" + at);
    before = round[k];
  }
  py::array_t<double> out = rows ? output(py::none(), {n, answers.shape(1)}) : output(py::none(), {n});
  double* const to = out.mutable_data();
  const auto end = static_cast<std::size_t>(n);
  const auto answer = [&](std::size_t i) { return std::span<const double>(given).subspan(i * classes, classes); };
  for (std::size_t from = 0, next = 0; from < end; from = next) {
    for (; next < end && round[next] == round[from]; ++next) {
      if (rows) {
        me.core.adjust(answer(next), {to + next * classes, classes});
      } else {
        to[next] = me.core.adjust(answers.data()[next]);
      }
    }
    for (std::size_t i = from; i < next; ++i) me.core.update(answer(i), happened[i], round[i]);
  }
  return out;
}

py::dict weights(const Calibrator& core) {
  py::dict out;
  const auto values = core.weights();
  for (std::size_t m = 0; m < method_names.size(); ++m) out[method_names[m]] = values[m];
  return out;
}

std::vector<double> biases(const Calibrator& core) { return {core.biases().begin(), core.biases().end()}; }

py::dict as_dict(const OptionedCalibrator& me) {
  py::dict out;
  out["outcomes"] = me.core.size();
  out["classes"] = me.core.classes();
  out["helps"] = me.core.helps();
  out["method"] = method_names[static_cast<std::size_t>(me.core.method())];
  out["weights"] = weights(me.core);
  out["slope"] = me.core.slope();
  out["shift"] = me.core.shift();
  out["biases"] = biases(me.core);
  out["temperature"] = me.core.temperature();
  out["spread"] = me.core.spread();
  return out;
}

py::bytes snapshot(const OptionedCalibrator& me) {
  SnapshotWriter to("calibrator", 1);
  to.put(me.half_life);
  me.core.save(to);
  return py::bytes(to.finish());
}

OptionedCalibrator restored(const py::bytes& data) {
  const std::string bytes = data;
  SnapshotReader from(bytes, "calibrator", 1);
  double half_life = 0.0;
  from.get(half_life);
  from.require(half_life >= 1.0 && half_life <= 1e9);
  if (!from.ok()) raise(Status::bad_snapshot, "data");
  OptionedCalibrator read = made(half_life);
  read.core.load(from);
  check(from.finish(), "data");
  return read;
}

PyMethodDef calibrator_methods[] = {
    fast_method("adjust", calibrator_adjust,
                "adjust($self, p, method=None, /)\n--\n\n"
                "An answer as it should have been: P(1) of a binary one, or a probability for each class, in a list.\n\n"
                "p: a number in [0, 1], or a sequence of at least two with sum 1 (within 1e-3). method: what one method\n"
                "alone makes of it, 'as_given', 'scaling', 'isotonic' or 'temperature'. Raises ValueError for anything\n"
                "else.\n\n"
                ">>> import fairlead as fl\n>>> fl.Calibrator().adjust([0.1, 0.2, 0.7])\n[0.1, 0.2, 0.7]"),
    fast_method("update", calibrator_update,
                "update($self, p, outcome, time=None, /)\n--\n\n"
                "What happened after the answer p, as it was given and not as it was adjusted.\n\n"
                "outcome: 0 or 1, or the number of the class. time: when it became known, integer nanoseconds, not earlier\n"
                "than the last; outcomes of one time are one round. Without it, each outcome is a round of its own. Raises\n"
                "ValueError for what is outside these, and has then learned nothing."),
};

}  // namespace

void bind_calibrator(py::module_& m) {
  py::class_<OptionedCalibrator> cls(m, "Calibrator", R"(Adjusts a model's probabilities by what has happened, where that lowers the Brier score.

It learns three adjustments, shrunk toward none: "scaling" (Platt's for two classes, a slope and a bias for each class for up
to 8), "isotonic" (of P(1), or of the top class), and, for more than two classes, "temperature". Each is scored on outcomes
it had not seen; the answer is a mixture of p as given and of those that have saved squared error, by how surely they have. As
long as none has, `adjust` returns p to the bit. Outcomes with the same time are one round, whose errors may go together, and
count for as much as they do. What was learned decays: half_life is in outcomes, in [1, 1e9].

One Calibrator a model, and one each for its binary and its categorical answers. Where the number of classes changes, scaling
stays with the first, and the others do without. Adjusted answers are better each by itself; an equal-weight mean of them
need not be better than that of the answers as given, as they err together more.

Sources: J. Platt (1999); B. Zadrozny, C. Elkan (KDD 2002); C. Guo, G. Pleiss, Y. Sun, K. Weinberger (ICML 2017).

>>> import fairlead as fl
>>> calibrator = fl.Calibrator()
>>> for day in range(400):  # says 90 %, and is right three times in four
...     calibrator.update(0.9, day % 4 != 0)
>>> calibrator.helps, round(calibrator.adjust(0.9), 2)
(True, 0.77)
>>> print(calibrator)
Calibrator(outcomes=400, method='scaling'))");
  for (PyMethodDef& method : calibrator_methods) attach(cls, method);
  cls.def(py::init(&made), py::kw_only(), py::arg("half_life") = CalibratorOptions{}.half_life)
      .def("run", &run, py::arg("p"), py::arg("outcomes"), py::arg("times") = py::none(),
           R"(Answers in order, each adjusted by what was known before its round, then learned: float64 of p's shape.

p: shape (n,), P(1), or (n, classes). outcomes: shape (n,), 0 and 1 or numbers of classes. times: shape (n,), integer
nanoseconds that do not decrease; without them, each outcome is a round. All is checked first: errors are those of `update`.

>>> import fairlead as fl
>>> fl.Calibrator().run([0.9, 0.8], [1, 0])
array([0.9, 0.8]))")
      .def(
          "evidence",
          [](const OptionedCalibrator& me, const py::object& method) {
            return me.core.evidence(method_of(method.ptr()));
          },
          py::arg("method"),
          "Squared error that a method has saved lately, in standard errors; negative where it has lost.")
      .def("as_dict", &as_dict, "What was learned, as a plain dict.")
      .def("snapshot", &snapshot,
           "Options and state as bytes, with a version and a checksum, for restore. Pickle holds the same bytes.")
      .def_static("restore", &restored, py::arg("data"),
                  "A calibrator from a snapshot; ValueError if the bytes are none, or damaged.")
      .def(py::pickle(&snapshot, &restored))
      .def("__len__", [](const OptionedCalibrator& me) { return me.core.size(); })
      .def("__repr__",
           [](const OptionedCalibrator& me) {
             return "Calibrator(outcomes=" + std::to_string(me.core.size()) + ", method='" +
                    method_names[static_cast<std::size_t>(me.core.method())] + "')";
           })
      .def_readonly("half_life", &OptionedCalibrator::half_life, "Outcomes after which one counts half.")
      .def_property_readonly(
          "helps", [](const OptionedCalibrator& me) { return me.core.helps(); }, "Whether answers are adjusted now.")
      .def_property_readonly(
          "method",
          [](const OptionedCalibrator& me) { return method_names[static_cast<std::size_t>(me.core.method())]; },
          "What has the largest weight now.")
      .def_property_readonly(
          "weights", [](const OptionedCalibrator& me) { return weights(me.core); },
          "Weights by method, which sum to 1, for answers of as many classes as the first had.")
      .def_property_readonly(
          "slope", [](const OptionedCalibrator& me) { return me.core.slope(); },
          "Of scaling: below 1 where answers are overconfident.")
      .def_property_readonly(
          "shift", [](const OptionedCalibrator& me) { return me.core.shift(); },
          "Of scaling, for two classes: added to the log-odds.")
      .def_property_readonly(
          "biases", [](const OptionedCalibrator& me) { return biases(me.core); },
          "Of scaling, for three to eight classes: added to their logarithms.")
      .def_property_readonly(
          "temperature", [](const OptionedCalibrator& me) { return me.core.temperature(); },
          "The power that probabilities of more than two classes are raised to.")
      .def_property_readonly(
          "spread", [](const OptionedCalibrator& me) { return me.core.spread(); },
          "How much more than by chance errors of one round go together, at least 1: how many outcomes count as one.");
}

}  // namespace fairlead::bindings
