// What was answered to an open task, and what became of those that have ended.
#include <unordered_map>

#include "audits.hpp"
#include "fleet.hpp"
#include "fleet_records.hpp"

namespace fairlead::bindings {

using namespace fleet_records;

py::object audit_answer(Kind kind, std::span<const double> row, const py::tuple& labels) {
  if (kind == Kind::numeric) return py::float_(row[0]);
  if (kind == Kind::binary) return py::float_(row.back());
  py::dict out;
  for (std::size_t i = 0; i < row.size(); ++i) out[py::object(labels[i])] = row[i];
  return out;
}

py::dict audit_fields(const Audit& audit, const py::tuple& labels, const NameOf& name) {
  const AuditFixed& fixed = audit.fixed;
  const bool categorical = fixed.kind == Kind::categorical;
  const auto by_model = [&](std::span<const ModelId> models, std::span<const double> values, double scale) {
    py::dict out;
    for (std::size_t i = 0; i < models.size(); ++i) out[name(models[i])] = scale * values[i];
    return out;
  };
  const double scale = fixed.kind == Kind::binary ? 0.5 : 1.0;  // what `reported` does
  py::dict given;
  for (std::size_t i = 0; i < fixed.m; ++i) {
    given[name(audit.models[i])] =
        audit_answer(fixed.kind, audit.answers.subspan(i * fixed.classes, fixed.classes), labels);
  }
  py::dict out;
  out["time"] = fixed.decided;
  out["settled"] = fixed.time;
  out["outcome"] = categorical                   ? py::object(labels[static_cast<std::size_t>(fixed.outcome)])
                   : fixed.kind == Kind::numeric ? py::object(py::float_(fixed.outcome))
                                                 : py::object(py::int_(static_cast<int>(fixed.outcome)));
  out["profit_usd"] = number_or_none(fixed.profit_usd);
  out["strategy"] = py::none();
  out["chosen"] = py::none();
  out["p"] = py::none();
  out["value"] = py::none();
  out["loss"] = py::none();
  if (fixed.made != 0) {
    const auto named = [&](Strategy strategy) {
      return str(strategy == Strategy::given ? audit.name : strategy_names[static_cast<std::size_t>(strategy)]);
    };
    out["strategy"] = named(fixed.strategy);
    out["chosen"] = named(fixed.chosen);
    double loss = 0.0;
    if (fixed.kind == Kind::numeric) {
      out["value"] = audit.p[0];
      loss = mark_number(audit.p[0], fixed.outcome).loss;
    } else if (fixed.kind == Kind::binary) {
      out["p"] = audit.p[0];
      loss = (audit.p[0] - fixed.outcome) * (audit.p[0] - fixed.outcome);
    } else {
      out["p"] = audit_answer(fixed.kind, audit.p, labels);
      loss = mark_classes(audit.p, static_cast<std::size_t>(fixed.outcome), false).loss;
    }
    out["loss"] = loss;
  }
  out["reasons"] = fixed.reasons;
  out["weights"] = by_model(audit.weighted, audit.weights, 1.0);
  out["answers"] = given;
  out["losses"] = by_model(audit.models, audit.losses, scale);
  py::dict strategies;
  for (std::size_t s = 0; s < audit.strategies.size(); ++s) {
    if (!std::isnan(audit.strategies[s])) strategies[str(strategy_names[s])] = scale * audit.strategies[s];
  }
  out["strategies"] = strategies;
  out["disagreement"] = number_or_none(fixed.disagreement);
  out["position_scale"] = number_or_none(fixed.position_scale);
  out["cost_usd"] = fixed.cost_usd;
  out["costs"] = by_model(audit.models, audit.costs, 1.0);
  return out;
}

py::dict audit_fields(const Audit& audit, const FleetTask& task, const NameOf& name) {
  const py::tuple record = task_fields(task);
  py::dict out = audit_fields(audit, py::tuple(record[4]), name);
  out["task"] = record[0];
  out["kind"] = record[1];
  out["category"] = record[2];
  if (audit.fixed.made == 0) out["time"] = task.shown;
  out["stake_usd"] = record[5];
  out["slices"] = py::dict(record[8]);
  if (py::len(record[6]) > 0) out["slices"]["regime"] = record[6];
  return out;
}

namespace {

// (model, answer, confidence, cost, active) of everybody who answered, in that order; None where the task is not open.
py::object answers(HeldFleet& held, std::string_view id) {
  const FleetTasks& tasks = held.fleet.tasks();
  const std::uint32_t slot = tasks.find(id);
  if (slot == FleetTasks::none || tasks[slot].state != FleetTask::State::open) return py::none();
  const FleetTask& task = tasks[slot];
  const Scoreboard& board = held.fleet.board();
  const auto models = board.answered(task.handle);
  const auto rows = board.answers(task.handle);
  const auto merits = board.merits(task.handle);
  const auto costs = board.costs(task.handle);
  const py::tuple labels = task.kind == Kind::categorical ? py::tuple(held.labels(slot)) : py::tuple();
  py::list out;
  for (std::size_t i = 0; i < models.size(); ++i) {
    const std::size_t classes = rows.size() / models.size();
    out.append(py::make_tuple(held.name(models[i]), audit_answer(task.kind, rows.subspan(i * classes, classes), labels),
                              number_or_none(merits[i].confidence), costs[i], board.active(models[i])));
  }
  return out;
}

py::list chosen(HeldFleet& held, const Audits& audits, const std::unordered_map<TaskNumber, std::uint32_t>& slots) {
  const FleetTasks& tasks = held.fleet.tasks();
  const NameOf name = [&](ModelId model) { return held.name(model); };
  py::list out;
  audits.each([&](const Audit& audit) {
    if (const auto found = slots.find(audit.fixed.task); found != slots.end()) {
      out.append(audit_fields(audit, tasks[found->second], name));
    }
  });
  return out;
}

// Those of one task, or of all that are remembered, oldest first.
py::list audits(HeldFleet& held, const py::object& id) {
  if (id.is_none()) return fleet_audits(held, held.fleet.audits());
  const FleetTasks& tasks = held.fleet.tasks();
  const std::uint32_t slot = tasks.find(utf8(id.ptr()));
  if (slot == FleetTasks::none) return py::list();
  return chosen(held, held.fleet.audits(), {{tasks[slot].number, slot}});
}

}  // namespace

py::list fleet_audits(HeldFleet& held, const Audits& audits) {
  const FleetTasks& tasks = held.fleet.tasks();
  std::unordered_map<TaskNumber, std::uint32_t> ended;
  for (const std::uint32_t slot : tasks.ended()) ended.emplace(tasks[slot].number, slot);
  return chosen(held, audits, ended);
}

void bind_fleet_audits(py::class_<HeldFleet>& cls) {
  cls.def("answers", &answers, py::arg("task"))
      .def("audits", &audits, py::arg("task") = py::none())
      .def_property_readonly("audits_left_out", [](const HeldFleet& held) { return held.fleet.audits().left_out(); })
      .def_property_readonly("drawdown", [](const HeldFleet& held) { return held.fleet.drawdown(); })
      .def_property_readonly("profit_usd", [](const HeldFleet& held) { return held.fleet.profit_usd(); });
}

}  // namespace fairlead::bindings
