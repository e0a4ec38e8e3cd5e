#include "scoreboard.hpp"

#include <pybind11/stl.h>

#include <array>
#include <vector>

#include "calibrator.hpp"

namespace fairlead::bindings {

namespace {

// A handle travels through Python as one integer.
std::int64_t pack(TaskHandle handle) noexcept {
  return static_cast<std::int64_t>((std::uint64_t{handle.generation} << 32) | handle.slot);
}

TaskHandle unpack(std::int64_t value) noexcept {
  const auto bits = static_cast<std::uint64_t>(value);
  return {static_cast<std::uint32_t>(bits), static_cast<std::uint32_t>(bits >> 32)};
}

// The numbers of a float or of any sequence of floats, without a heap allocation for up to 16 classes.
class Numbers {
 public:
  explicit Numbers(PyObject* source) {
    if (source == Py_None) return;
    if (PyFloat_Check(source) || PyLong_Check(source)) {
      put(0, source);
      size_ = 1;
      return;
    }
    // A tuple of our own: reading a number may run Python code, which could change a list under our hands.
    const py::object values = py::reinterpret_steal<py::object>(PySequence_Tuple(source));
    if (!values) throw py::error_already_set();
    const Py_ssize_t n = PyTuple_GET_SIZE(values.ptr());
    if (static_cast<std::size_t>(n) > small_.size()) large_.resize(static_cast<std::size_t>(n));
    for (Py_ssize_t i = 0; i < n; ++i) put(static_cast<std::size_t>(i), PyTuple_GET_ITEM(values.ptr(), i));
    size_ = static_cast<std::size_t>(n);
  }

  std::span<const double> view() const noexcept { return {large_.empty() ? small_.data() : large_.data(), size_}; }

 private:
  void put(std::size_t i, PyObject* value) {
    const double x = PyFloat_AsDouble(value);
    if (x == -1.0 && PyErr_Occurred()) throw py::error_already_set();
    (large_.empty() ? small_.data() : large_.data())[i] = x;
  }

  std::array<double, 16> small_;
  std::vector<double> large_;
  std::size_t size_ = 0;
};

PyObject* board_record(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const board = native<Scoreboard>(self);
  if (board == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("record", args, n, 3, 10);
    const Numbers p(args[2]);
    const Forecast forecast{.model = a.id(1),
                            .p = p.view(),
                            .value = a.real(3, nan),
                            .confidence = a.real(4, nan),
                            .latency_ms = a.real(5, nan),
                            .tokens_in = a.integer(6, 0),
                            .tokens_out = a.integer(7, 0),
                            .cost_usd = a.real(8, 0.0),
                            .error = a.truth(9, false) ? "failed" : ""};
    check(board->record(unpack(a.integer(0)), forecast));
    return Py_NewRef(Py_None);
  });
}

PyObject* board_decide(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const board = native<Scoreboard>(self);
  if (board == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("decide", args, n, 1, 2);
    const std::int64_t strategy = a.integer(1, static_cast<std::int64_t>(default_strategy));
    if (strategy < 0 || strategy >= static_cast<std::int64_t>(strategy_names.size())) {
      throw py::value_error("strategy is " + std::to_string(strategy) + ", not an index into STRATEGIES");
    }
    Decision d;
    check(board->decide(unpack(a.integer(0)), static_cast<Strategy>(strategy), d));
    py::tuple models(d.weights.size()), weights(d.weights.size()), p(d.p.size());
    for (std::size_t i = 0; i < d.weights.size(); ++i) {
      models[i] = py::int_(d.weights[i].model);
      weights[i] = py::float_(d.weights[i].weight);
    }
    for (std::size_t i = 0; i < d.p.size(); ++i) p[i] = py::float_(d.p[i]);
    return py::make_tuple(models, weights, p, d.value, d.disagreement, d.uncertainty, d.position_scale, d.cost_usd, d.reasons)
        .release()
        .ptr();
  });
}

PyObject* board_settle(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const board = native<Scoreboard>(self);
  if (board == nullptr) return nullptr;
  return guarded([&] {
    const Arguments a("settle", args, n, 2, 3);
    check(board->settle({.task = unpack(a.integer(0)), .value = a.real(1), .time = a.integer(2, 0)}),
          "outcome " + show(a.real(1)));
    return Py_NewRef(Py_None);
  });
}

PyMethodDef board_methods[] = {
    fast_method("record", board_record,
                "record($self, task, model, p, value=None, confidence=None, latency_ms=None, tokens_in=0, tokens_out=0,\n"
                "       cost_usd=0.0, failed=False, /)\n--\n\n"
                "A model's answer to an open task: p a float (binary) or one per label, or value (numeric), or failed."),
    fast_method("decide", board_decide,
                "decide($self, task, strategy=..., /)\n--\n\n"
                "(models, weights, p, value, disagreement, uncertainty, position_scale, cost_usd, reason bits)."),
    fast_method("settle", board_settle,
                "settle($self, task, outcome, time=0, /)\n--\n\n"
                "What happened: 0 or 1, the index of a label, or a number; time is when it became known, in ns."),
};

Scoreboard make_board(double k, double scale, double start, double half_life, std::int64_t history, std::int64_t psi_reference,
                      std::int64_t psi_window) {
  const auto count = [](const char* name, std::int64_t value) {
    constexpr std::int64_t most = 1'000'000'000;
    if (value < 1 || value > most) throw py::value_error(std::string(name) + " is " + std::to_string(value) + ", outside [1, 1e9]");
    return static_cast<std::size_t>(value);
  };
  check_elo_options(k, scale, start);
  if (!(half_life > 0.0 && std::isfinite(half_life))) throw py::value_error("half_life is " + show(half_life) + ", must be positive and finite");
  return Scoreboard({.elo = {.k = k, .scale = scale, .start = start},
                     .hedge = {.half_life = half_life},
                     .history = count("history", history),
                     .psi_reference = count("psi_reference", psi_reference),
                     .psi_window = count("psi_window", psi_window)});
}

py::bytes snapshot(const Scoreboard& board) { return board.snapshot(); }

Scoreboard restored(const py::bytes& data) {
  const std::string_view bytes = data;
  Scoreboard board;
  const Status status = [&] {
    const py::gil_scoped_release unlocked;
    return Scoreboard::restore(bytes, board);
  }();
  check(status, "data");
  return board;
}

void need_model(const Scoreboard& board, ModelId model) {
  if (!board.has_model(model)) throw py::key_error("no model has the id " + std::to_string(model));
}

void need_slice(const Scoreboard& board, SliceId slice) {
  if (!board.has_slice(slice)) throw py::key_error("no slice has the id " + std::to_string(slice));
}

}  // namespace

void bind_scoreboard(py::module_& m) {
  auto cls =
      py::class_<Scoreboard>(m, "Scoreboard")
          .def(py::init(&make_board), py::kw_only(), py::arg("k") = 32.0, py::arg("scale") = 400.0, py::arg("start") = 1500.0,
               py::arg("half_life") = 200.0, py::arg("history") = 4096, py::arg("psi_reference") = 500,
               py::arg("psi_window") = 500)
          .def("add", [](Scoreboard& board, std::string_view model) { return board.add(model); }, py::arg("model"))
          .def("remove", [](Scoreboard& board, ModelId model) { check(board.remove(model)); }, py::arg("model"))
          .def("slice", &Scoreboard::slice, py::arg("dimension"), py::arg("value"))
          .def(
              "find_slice",
              [](const Scoreboard& board, std::string_view dimension, std::string_view value) {
                return board.find_slice(dimension, value);
              },
              py::arg("dimension"), py::arg("value"))
          .def(
              "open",
              [](Scoreboard& board, int kind, std::int64_t labels, const std::vector<SliceId>& slices) {
                if (labels < 0) throw py::value_error("labels is " + std::to_string(labels) + ", must not be negative");
                TaskHandle handle;
                check(board.open(kind_from(kind), static_cast<std::size_t>(labels), slices, handle));
                return pack(handle);
              },
              py::arg("kind"), py::arg("labels") = 0, py::arg("slices") = std::vector<SliceId>{})
          .def("close", [](Scoreboard& board, std::int64_t task) { check(board.close(unpack(task))); }, py::arg("task"))
          .def("model_name", [](const Scoreboard& board, ModelId model) {
                 need_model(board, model);
                 return board.models().name(model);
               }, py::arg("model"))
          .def("find_model", [](const Scoreboard& board, std::string_view model) { return board.models().find(model); }, py::arg("model"))
          .def_property_readonly("n_models", [](const Scoreboard& board) { return board.models().size(); })
          .def_property_readonly("open_tasks", &Scoreboard::open_tasks)
          .def("slices",
               [](const Scoreboard& board) {
                 py::list out;
                 for (SliceId i = 1; i < board.n_slices(); ++i) {
                   out.append(py::make_tuple(std::string(board.dimension(i)), std::string(board.value(i))));
                 }
                 return out;
               })
          .def("active", [](const Scoreboard& board, ModelId model) {
                 need_model(board, model);
                 return board.active(model);
               }, py::arg("model"))
          .def("rating", [](const Scoreboard& board, ModelId model, SliceId slice) {
                 need_model(board, model);
                 need_slice(board, slice);
                 return board.rating(model, slice);
               }, py::arg("model"), py::arg("slice") = Scoreboard::overall)
          .def("score", [](const Scoreboard& board, ModelId model, SliceId slice) {
                 need_model(board, model);
                 need_slice(board, slice);
                 return score_dict(board.score(model, slice));
               }, py::arg("model"), py::arg("slice") = Scoreboard::overall)
          .def("strategy_score", [](const Scoreboard& board, int strategy, SliceId slice) {
                 if (strategy < 0 || static_cast<std::size_t>(strategy) >= n_strategies) {
                   throw py::value_error("strategy is " + std::to_string(strategy) + ", not an index into STRATEGIES");
                 }
                 need_slice(board, slice);
                 return score_dict(board.score(static_cast<Strategy>(strategy), slice));
               }, py::arg("strategy"), py::arg("slice") = Scoreboard::overall)
          .def("calibrator", [](const Scoreboard& board, ModelId model, int kind) {
                 need_model(board, model);
                 if (kind != 0 && kind != 1) throw py::value_error("kind is " + std::to_string(kind) + ", must be 0 or 1");
                 const auto of = static_cast<Kind>(kind);
                 const Calibration& adjusted = board.adjusted(model, of);
                 return py::make_tuple(OptionedCalibrator{.core = board.calibrator(model, of)}, calibration_curve(adjusted),
                                       adjusted.error());
               }, py::arg("model"), py::arg("kind"),
               "A copy of how the model's answers are adjusted, and the curve and error of the adjusted ones so far.")
          .def("calls", [](const Scoreboard& board, ModelId model, SliceId slice) {
                 need_model(board, model);
                 need_slice(board, slice);
                 const Calls& calls = board.calls(model, slice);
                 py::dict out;
                 out["answered"] = calls.answered;
                 out["failed"] = calls.failed;
                 out["tokens_in"] = calls.tokens_in;
                 out["tokens_out"] = calls.tokens_out;
                 out["cost_usd"] = calls.cost_usd;
                 out["latency_ms"] = calls.mean_latency_ms();
                 return out;
               }, py::arg("model"), py::arg("slice") = Scoreboard::overall)
          .def("confidence_psi", [](const Scoreboard& board, ModelId model) {
                 need_model(board, model);
                 return board.confidence_psi(model);
               }, py::arg("model"))
          .def("recent", [](const Scoreboard& board, ModelId model, SliceId slice, int kind, Time span, Time now) {
                 need_model(board, model);
                 need_slice(board, slice);
                 if (span < 1) throw py::value_error("span is " + std::to_string(span) + " ns, must be at least 1");
                 const Moments sum = board.history(model, slice, kind_from(kind)).window(span, now);
                 py::dict out;
                 out["count"] = static_cast<std::uint64_t>(sum.n);
                 out["mean"] = sum.n > 0 ? sum.mean : nan;
                 out["variance"] = sum.variance();
                 out["min"] = sum.n > 0 ? sum.min : nan;
                 out["max"] = sum.n > 0 ? sum.max : nan;
                 out["rate"] = sum.n / (static_cast<double>(span) * 1e-9);
                 return out;
               }, py::arg("model"), py::arg("slice"), py::arg("kind"), py::arg("span"), py::arg("now"))
          .def("kinds", [](const Scoreboard& board, ModelId model, SliceId slice) {
                 need_model(board, model);
                 need_slice(board, slice);
                 py::list out;
                 for (int kind = 0; kind < 3; ++kind) {
                   if (board.history(model, slice, static_cast<Kind>(kind)).size() > 0) out.append(kind);
                 }
                 return out;
               }, py::arg("model"), py::arg("slice") = Scoreboard::overall)
          .def("snapshot", &snapshot,
               "All that later calls depend on, bit for bit, as bytes with a version and a checksum, for restore.\n"
               "Open tasks keep their handles. Pickle holds the same bytes.")
          .def_static("restore", &restored, py::arg("data"),
                      "The scoreboard of a snapshot, which goes on as if it had never stopped. Raises ValueError\n"
                      "where the bytes are no snapshot of this class, or damaged.")
          .def(py::pickle(&snapshot, &restored));
  for (PyMethodDef& method : board_methods) attach(cls, method);
}

}  // namespace fairlead::bindings
