#include "fairlead/replay.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <memory>
#include <utility>
#include <vector>

#include "audits.hpp"
#include "scoreboard.hpp"

namespace fairlead::bindings {

namespace {

template <class T>
using Column = py::array_t<T, py::array::c_style>;

template <class T>
std::span<const T> view(const py::dict& columns, const char* name, std::size_t size) {
  if (!columns.contains(name)) throw py::key_error(std::string("columns lacks ") + name);
  const py::object given = columns[name];
  // Used as it lies, and a wrong type is refused rather than copied.
  if (!Column<T>::check_(given)) throw py::type_error(std::string(name) + " must be a C-contiguous array of " + py::str(py::dtype::of<T>()).template cast<std::string>());
  const auto column = py::reinterpret_borrow<Column<T>>(given);
  if (static_cast<std::size_t>(column.size()) != size) {
    throw py::value_error(std::string(name) + " has " + std::to_string(column.size()) + " values, needs " + std::to_string(size));
  }
  return {column.data(), size};
}

std::size_t length(const py::dict& columns, const char* name) {
  if (!columns.contains(name)) throw py::key_error(std::string("columns lacks ") + name);
  return py::len(columns[name]);
}

template <class Index>
void need_below(std::span<const Index> values, std::int64_t least, std::size_t most, const char* name) {
  for (const Index value : values) {
    if (value < least || value >= static_cast<std::int64_t>(most)) {
      throw py::value_error(std::string(name) + " holds " + std::to_string(value) + ", outside [" + std::to_string(least) + ", " +
                            std::to_string(most) + ")");
    }
  }
}

// A replay and what its table is made of. Numbers are read where they lie, in arrays that are held here; ids are copied once
// they are checked, so that nothing the caller does to its arrays can make the replay read out of bounds.
struct HeldReplay {
  HeldReplay(Scoreboard& board, int kind, std::size_t labels, std::size_t dimensions, const py::dict& columns,
             const ReplayOptions& options)
      : arrays(columns.attr("copy")()), replay(board, table_from(board, kind, labels, dimensions), options) {}

  ReplayTable table_from(const Scoreboard& board, int kind, std::size_t labels, std::size_t dimensions);

  py::dict arrays;
  std::vector<Time> time, outcome_time;
  std::vector<std::int32_t> task, model, slices;
  Replay replay;
};

ReplayTable HeldReplay::table_from(const Scoreboard& board, int kind, std::size_t labels, std::size_t dimensions) {
  const py::dict& columns = arrays;
  const std::size_t n = length(columns, "time");
  const std::size_t tasks = length(columns, "outcome");
  ReplayTable table;
  table.kind = kind_from(kind);
  table.labels = labels;
  table.dimensions = dimensions;
  if (dimensions > Scoreboard::max_slices) throw py::value_error("dimensions is " + std::to_string(dimensions) + ", at most 8");
  const auto hold = [](const auto& from, auto& to) {
    to.assign(from.begin(), from.end());
    return std::span(std::as_const(to));
  };
  table.time = hold(view<Time>(columns, "time", n), time);
  table.task = hold(view<std::int32_t>(columns, "task", n), task);
  table.model = hold(view<ModelId>(columns, "model", n), model);
  table.answer = view<double>(columns, "answer", n * (table.kind == Kind::categorical ? labels : 1));
  table.failed = view<std::uint8_t>(columns, "failed", n);
  table.confidence = view<double>(columns, "confidence", n);
  table.latency_ms = view<double>(columns, "latency_ms", n);
  table.cost_usd = view<double>(columns, "cost_usd", n);
  table.tokens_in = view<std::int64_t>(columns, "tokens_in", n);
  table.tokens_out = view<std::int64_t>(columns, "tokens_out", n);
  table.outcome = view<double>(columns, "outcome", tasks);
  table.outcome_time = hold(view<Time>(columns, "outcome_time", tasks), outcome_time);
  table.slices = hold(view<SliceId>(columns, "slices", tasks * dimensions), slices);
  need_below(table.task, 0, tasks, "task");
  need_below(table.model, 0, static_cast<std::size_t>(board.models().size()), "model");
  need_below(table.slices, -1, static_cast<std::size_t>(board.n_slices()), "slices");
  for (std::size_t i = 1; i < n; ++i) {
    if (table.time[i] < table.time[i - 1]) throw py::value_error("time falls at row " + std::to_string(i) + ", must be sorted");
  }
  return table;
}

void check(const ReplayError& error) {
  if (error.status == Status::ok) return;
  raise(error.status, "at forecast " + std::to_string(error.forecast) + ", task " + std::to_string(error.task));
}

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

template <class T>
py::array_t<T> copy(const std::vector<T>& values, std::size_t rows, std::size_t columns) {
  return py::array_t<T>({static_cast<py::ssize_t>(rows), static_cast<py::ssize_t>(columns)}, values.data());
}

py::dict paired_dict(const Paired& paired) {
  py::dict out;
  out["difference"] = paired.mean();
  out["standard_error"] = paired.standard_error();
  out["rounds"] = paired.rounds();
  return out;
}

py::dict by_strategy(const std::array<Score, ReplayScores::n_strategies>& scores) {
  py::dict out;
  for (std::size_t i = 0; i < scores.size(); ++i) out[py::str(std::string(strategy_names[i]))] = score_dict(scores[i]);
  return out;
}

// Each with the row of its task as "task", and without what the table tells of it.
py::list read_audits(const HeldAudits& held, const py::sequence& models, const py::tuple& labels) {
  py::list out;
  held.audits.each([&](const Audit& audit) {
    py::dict fields = audit_fields(audit, labels, [&](ModelId model) { return py::object(models[index(model)]); });
    fields["task"] = audit.fixed.task;
    out.append(fields);
  });
  return out;
}

}  // namespace

py::dict replay_scores(const ReplayScores& s) {
  py::list slices;
  for (const auto& slice : s.slices) slices.append(by_strategy(slice));
  py::list models;
  for (const Score& score : s.models) models.append(score_dict(score));
  py::list adjusted, against;
  for (const Score& score : s.adjusted) adjusted.append(score_dict(score));
  for (const Paired& paired : s.models_paired) against.append(paired_dict(paired));
  py::dict strategies_against;
  for (std::size_t i = 0; i < strategy_names.size(); ++i) {
    strategies_against[py::str(std::string(strategy_names[i]))] = paired_dict(s.strategies_paired[i]);
  }
  const std::size_t rows = s.history_time.size();
  py::dict out;
  out["strategies"] = by_strategy(s.strategies);
  out["models"] = models;
  out["adjusted"] = adjusted;
  out["models_against"] = against;
  out["strategies_against"] = strategies_against;
  out["slices"] = slices;
  out["tasks"] = s.tasks;
  out["unsettled"] = s.unsettled;
  out["events"] = s.events;
  out["history_time"] = py::array_t<Time>(static_cast<py::ssize_t>(rows), s.history_time.data());
  out["history_rating"] = copy(s.history_rating, rows, s.models.size());
  out["history_loss"] = copy(s.history_loss, rows, ReplayScores::n_strategies);
  out["history_excess"] = copy(s.history_excess, rows, s.models.size());
  out["history_n"] = py::array_t<std::uint64_t>(static_cast<py::ssize_t>(rows), s.history_n.data());
  return out;
}

void bind_replay(py::module_& m) {
  py::class_<HeldReplay>(m, "Replay")
      .def(py::init([](Scoreboard& board, int kind, std::size_t labels, std::size_t dimensions, const py::dict& columns,
                       bool all_strategies, std::optional<Time> score_after, std::size_t history_points) {
             ReplayOptions options;
             options.all_strategies = all_strategies;
             if (score_after) options.score_after = *score_after;
             options.history_points = history_points;
             return std::make_unique<HeldReplay>(board, kind, labels, dimensions, columns, options);
           }),
           py::keep_alive<1, 2>(), py::arg("board"), py::arg("kind"), py::arg("labels"), py::arg("dimensions"),
           py::arg("columns"), py::kw_only(), py::arg("all_strategies") = true, py::arg("score_after") = py::none(),
           py::arg("history_points") = 400)
      .def("advance", [](HeldReplay& held, std::size_t forecasts) { check(held.replay.advance(forecasts)); },
           py::arg("forecasts"))
      .def("finish", [](HeldReplay& held) { check(held.replay.finish()); })
      .def_property_readonly("done", [](const HeldReplay& held) { return held.replay.done(); })
      .def_property_readonly("position", [](const HeldReplay& held) { return held.replay.position(); })
      .def("scores", [](const HeldReplay& held) { return replay_scores(held.replay.scores()); })
      .def("take_audits", [](HeldReplay& held) { return std::make_unique<HeldAudits>(held.replay.take_audits()); });
  py::class_<HeldAudits>(m, "Audits")
      .def("__len__", [](const HeldAudits& held) { return held.audits.size(); })
      .def_property_readonly("left_out", [](const HeldAudits& held) { return held.audits.left_out(); })
      .def("read", &read_audits, py::arg("models"), py::arg("labels"))
      .def("read_of", [](const HeldAudits& held, HeldFleet& fleet) { return fleet_audits(fleet, held.audits); },
           py::arg("fleet"));
}

}  // namespace fairlead::bindings
