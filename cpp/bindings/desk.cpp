// A folder with a journal: its fleet, snapshots of it, and what it lived once more.
#if defined(__unix__) || defined(__APPLE__)
#include "fairlead/desk.hpp"
#endif

#include <pybind11/stl.h>

#include <exception>
#include <optional>

#include "audits.hpp"
#include "fleet.hpp"
#include "journal_errors.hpp"
#include "scoreboard.hpp"

namespace fairlead::bindings {

#if defined(__unix__) || defined(__APPLE__)

namespace {

using journal::Failure;
using journal::Seq;

std::unique_ptr<HeldFleet> hold(Fleet&& fleet) {
  auto held = std::make_unique<HeldFleet>(FleetSettings{});
  held->fleet = std::move(fleet);
  return held;
}

py::tuple fold(const std::string& folder, bool snapshots) {
  Fleet fleet;
  FleetOrigin origin;
  DeskReport report;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = fold_desk(folder, fleet, origin, report, snapshots);
  }
  check(failure);
  py::dict found;
  found["snapshot"] = report.snapshot;
  found["events"] = report.events;
  found["warnings"] = report.warnings;
  return py::make_tuple(hold(std::move(fleet)), found);
}

Seq snapshot(const std::string& folder) {
  Seq seq = 0;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = snapshot_desk(folder, seq);
  }
  check(failure);
  return seq;
}

FleetCensus census(const std::string& folder) {
  FleetCensus census;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = census_desk(folder, census);
  }
  check(failure);
  return census;
}

py::tuple replay(const std::string& folder, const FleetCensus& census, int kind, std::optional<Time> score_after,
                 std::size_t history_points, const py::object& progress) {
  ReplayOptions options;
  if (score_after) options.score_after = *score_after;
  options.history_points = history_points;
  FleetReplay replay(kind_from(kind), census, options);
  StateCheck state;
  Failure failure;
  std::exception_ptr raised;  // by `progress`
  const auto go_on = [&](const FleetReplay& now) {
    const py::gil_scoped_acquire locked;
    try {
      if (PyErr_CheckSignals() != 0) throw py::error_already_set();
      if (!progress.is_none()) progress(now.forecasts());
    } catch (...) {
      raised = std::current_exception();
    }
    return raised == nullptr;
  };
  {
    const py::gil_scoped_release unlocked;
    failure = replay_desk(folder, replay, state, journal::Disk::real(), go_on);
  }
  if (raised) std::rethrow_exception(raised);
  check(failure);
  py::dict found = replay_scores(replay.scores());
  found["forecasts"] = replay.forecasts();
  py::dict checked;
  checked["event"] = state.last;
  checked["crc"] = state.crc;
  checked["snapshot"] = state.snapshot == 0 ? py::object(py::none()) : py::int_(state.snapshot);
  checked["agrees"] = state.agrees();
  auto audits = std::make_unique<HeldAudits>(replay.take_audits());
  return py::make_tuple(hold(replay.take()), found, checked, std::move(audits));
}

// Reads the audits of a desk, some at a time.
struct AuditReader {
  explicit AuditReader(const std::string& folder) { check(DeskAudits::open(folder, audits)); }

  py::list read(std::size_t n) {
    const NameOf name = [&](ModelId model) {
      const auto i = static_cast<std::size_t>(model);
      if (i >= names.size()) names.resize(i + 1);
      if (!names[i]) {
        const std::string_view text = audits.fleet().board().models().name(model);
        names[i] = py::str(text.data(), text.size());
      }
      return names[i];
    };
    py::list out;
    if (!more) return out;
    check(audits.advance(n, [&](const FleetTask& task, const Audit& audit) { out.append(audit_fields(audit, task, name)); },
                         more));
    return out;
  }

  DeskAudits audits;
  std::vector<py::object> names = {};
  bool more = true;
};

// From now on the fleet logs to this journal, of which it is the fold.
void attach_journal(HeldFleet& held, const py::object& journal) {
  auto sink = std::make_unique<JournalSink>(journal.cast<Journal&>());
  held.fleet.attach(sink.get());
  held.sink = std::move(sink);
  held.log = journal.cast<Journal*>();
  held.journal = journal;
}

}  // namespace

void bind_desk(py::module_& m) {
  m.def("attach_journal", &attach_journal, py::arg("fleet"), py::arg("journal"));
  py::class_<FleetCensus>(m, "FleetCensus")
      .def_property_readonly("forecasts", [](const FleetCensus& c) { return c.forecasts; })
      .def_property_readonly("labels", [](const FleetCensus& c) {
        return c.one_set_of_labels ? py::tuple(py::cast(c.labels)) : py::tuple();
      })
      .def_property_readonly("last", [](const FleetCensus& c) { return c.last; });
  py::class_<AuditReader>(m, "AuditReader")
      .def(py::init<const std::string&>(), py::arg("folder"))
      .def("read", &AuditReader::read, py::arg("n"))
      .def_property_readonly("more", [](const AuditReader& reader) { return reader.more; });
  m.def("fold_desk", &fold, py::arg("folder"), py::arg("snapshots") = true);
  m.def("snapshot_desk", &snapshot, py::arg("folder"));
  m.def("census_desk", &census, py::arg("folder"));
  m.def("replay_desk", &replay, py::arg("folder"), py::arg("census"), py::arg("kind"), py::arg("score_after") = py::none(),
        py::arg("history_points") = 400, py::arg("progress") = py::none());
}

#else

void bind_desk(py::module_&) {}  // no journal here

#endif

}  // namespace fairlead::bindings
