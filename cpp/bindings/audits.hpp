// An audited task as keyword arguments of measure.audit.Audit, but for its reasons, which are bits.
#pragma once

#include <cmath>
#include <functional>
#include <span>

#include "fleet.hpp"

namespace fairlead::bindings {

// Of a replay: the newest tasks that it scored.
struct HeldAudits {
  Audits audits;
};

inline py::object number_or_none(double value) {
  return std::isnan(value) ? py::object(py::none()) : py::object(py::float_(value));
}

// A row of values: P(1), {label: p}, or the number.
py::object audit_answer(Kind kind, std::span<const double> row, const py::tuple& labels);

using NameOf = std::function<py::object(ModelId)>;

// All but what the record of the task tells: its id, category, stake and slices.
py::dict audit_fields(const Audit& audit, const py::tuple& labels, const NameOf& name);
// The whole of it.
py::dict audit_fields(const Audit& audit, const FleetTask& task, const NameOf& name);

// Those of tasks that the fleet still remembers, oldest first.
py::list fleet_audits(HeldFleet& held, const Audits& audits);

}  // namespace fairlead::bindings
