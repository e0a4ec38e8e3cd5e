// A Fleet as Python holds it: with the records that opened its tasks, so that one that is passed again is known at once.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common.hpp"
#include "fairlead/fleet.hpp"
#include "fairlead/journal.hpp"
#include "fairlead/task_classifier.hpp"

namespace fairlead::bindings {

struct HeldFleet {
  explicit HeldFleet(const FleetSettings& settings) : fleet(settings) {}

  // What Python knows of the open task in a slot.
  struct Held {
    TaskNumber number = 0;
    py::object task = {};    // the record that it was last recorded with
    py::object labels = {};  // a tuple of strings, once it was needed
  };
  Held& held(std::uint32_t slot);
  const py::object& labels(std::uint32_t slot);
  const py::object& name(ModelId model);

  py::object journal = py::none();  // kept alive for the sink
  Journal* log = nullptr;           // the same
  std::unique_ptr<EventSink> sink = {};
  Fleet fleet;
  std::vector<Held> tasks = {};
  std::vector<py::object> names = {};
  Decision decision = {};
  py::object classifier = py::none();           // kept alive for its core
  const TaskClassifier* task_types = nullptr;   // the same

  // Buffers of a call.
  std::vector<double> p = {};
  std::vector<std::string_view> label_views = {};
  std::vector<Dimension> slice_views = {};
  std::vector<ModelId> ban = {}, without = {};
  std::vector<Nanos> bounds = {};
  std::vector<double> predicted = {}, predicted_n = {};
};

// The fields of a task in the order of Task, from its record.
py::tuple task_fields(const FleetTask& task);

void bind_fleet_routing(py::module_& m, py::class_<HeldFleet>& cls);
void bind_fleet_audits(py::class_<HeldFleet>& cls);
void bind_fleet_performance(py::module_& m, py::class_<HeldFleet>& cls);

}  // namespace fairlead::bindings
