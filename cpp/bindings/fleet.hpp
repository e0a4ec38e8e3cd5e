// A Fleet as Python holds it: with the records that opened its tasks, so that one that is passed again is known at once.
#pragma once

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "common.hpp"
#include "fairlead/fleet.hpp"
#include "fairlead/journal.hpp"

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

  // Buffers of a call.
  std::vector<double> p = {};
  std::vector<std::string_view> label_views = {};
  std::vector<Dimension> slice_views = {};
};

// The fields of a task in the order of Task, from its record.
py::tuple task_fields(const FleetTask& task);


}  // namespace fairlead::bindings
