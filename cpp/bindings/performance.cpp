// How every model is doing, as numbers that Python puts into records.
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "fairlead/performance.hpp"
#include "fleet.hpp"
#include "fleet_records.hpp"

namespace fairlead::bindings {

using namespace fleet_records;

namespace {

constexpr std::string_view other_place = "(other)";

const Performance& part(const HeldFleet& held, bool runs) { return runs ? held.fleet.runs() : held.fleet.performance(); }
const NameTable& names_of(const HeldFleet& held, bool runs) {
  return runs ? held.fleet.runners() : held.fleet.board().models();
}

// False where nothing can be there.
bool where_of(const HeldFleet& held, bool runs, const py::object& model, const py::object& category, const py::object& regime,
              int expiry, Performance::Where& out) {
  const Performance& from = part(held, runs);
  out.expiry = expiry;
  if (!model.is_none()) {
    out.model = names_of(held, runs).find(model.cast<std::string_view>());
    if (out.model < 0) return false;
  }
  if (!category.is_none()) {
    const auto name = category.cast<std::string_view>();
    out.category = from.categories().find(name);
    if (out.category < 0) {
      if (name != other_place) return false;
      out.place = Performance::other;
    }
  }
  if (!regime.is_none()) {
    out.regime = from.regimes().find(regime.cast<std::string_view>());
    if (out.regime < 0) return false;
  }
  return true;
}

double plain(std::int64_t fixed) noexcept { return static_cast<double>(fixed) / performance::unit; }

py::dict told(const PerformanceReading& r) {
  py::dict out;
  out["calls"] = r.calls.calls;
  out["succeeded"] = r.succeeded();
  out["failed"] = r.calls.failed;
  out["timeouts"] = r.calls.timeouts;
  out["cancelled"] = r.calls.cancelled;
  out["success_rate"] = r.success_rate();
  out["error_rate"] = r.error_rate();
  out["timeout_rate"] = r.timeout_rate();
  out["latency_p50_ms"] = r.latency_ms(0.5);
  out["latency_p95_ms"] = r.latency_ms(0.95);
  out["latency_p99_ms"] = r.latency_ms(0.99);
  out["latency_mean_ms"] = r.latency_mean_ms();
  out["tokens_in"] = r.calls.tokens_in;
  out["tokens_out"] = r.calls.tokens_out;
  out["cost_usd"] = to_usd(r.calls.cost);
  out["cost_per_call_usd"] = r.cost_per_call_usd();
  out["settled"] = std::max(r.settled.n, r.settled.scored);
  out["accuracy"] = r.accuracy();
  out["brier"] = r.brier();
  out["log_loss"] = r.log_loss();
  out["quality"] = r.quality();
  out["skill"] = r.skill();
  out["skill_deviation"] = r.skill_deviation();
  out["confidence"] = r.confidence();
  out["calibration_error"] = r.calibration_error();
  py::list bins, rounds;
  for (const performance::Bin& bin : r.settled.bins) bins.append(py::make_tuple(bin.n, bin.happened, plain(bin.p)));
  out["bins"] = bins;
  for (std::size_t i = 0; i < r.rounds.size(); ++i) {
    const performance::Round& round = r.rounds[i];
    rounds.append(py::make_tuple(round.number, round.n, round.scored, round.skilled, round.correct, plain(round.brier),
                                 plain(round.quality), plain(round.skill)));
  }
  out["rounds"] = rounds;
  out["round_width"] = r.round_width();
  const performance::ResourceSums& used = r.resources;
  out["api_calls"] = used.api_calls;
  out["compute_s"] = static_cast<double>(used.compute) * 1e-9;
  out["memory_mb"] = used.measured > 0 ? static_cast<double>(used.memory) * 1e-6 / used.measured : nan;
  out["memory_most_mb"] = used.measured > 0 ? static_cast<double>(used.memory_most) * 1e-6 : nan;
  return out;
}

}  // namespace

void bind_fleet_performance(py::module_& m, py::class_<HeldFleet>& cls) {
  const auto texts = [](const auto& names) {
    py::tuple out(names.size());
    for (std::size_t i = 0; i < names.size(); ++i) out[i] = str(names[i]);
    return out;
  };
  m.attr("PERFORMANCE_WINDOWS") = texts(performance_window_names);
  m.attr("EXPIRIES") = texts(expiry_names);
  py::tuple panes(Performance::levels);
  for (std::size_t i = 0; i < Performance::levels; ++i) panes[i] = py::make_tuple(Performance::pane[i], Performance::panes[i]);
  m.attr("PERFORMANCE_PANES") = panes;
  cls.def(
         "performance",
         [](const HeldFleet& held, bool runs, const py::object& model, const py::object& category, const py::object& regime,
            int expiry, int window, Time now, int back) {
           if (window < 0 || window >= static_cast<int>(performance_window_names.size())) throw py::value_error("no such window");
           PerformanceReading out;
           Performance::Where where;
           if (where_of(held, runs, model, category, regime, expiry, where)) {
             const Performance& from = part(held, runs);
             if (back < 0) {
               from.read(where, static_cast<PerformanceWindow>(window), now, out);
             } else {
               from.read_one(where, static_cast<PerformanceWindow>(window), now, back, out);
             }
           }
           return told(out);
         },
         py::arg("runs"), py::arg("model").none(true), py::arg("category").none(true), py::arg("regime").none(true),
         py::arg("expiry"), py::arg("window"), py::arg("now"), py::arg("back") = -1)
      .def(
          "performance_places",
          [](const HeldFleet& held, bool runs, const py::object& model) {
            const Performance& from = part(held, runs);
            const std::int32_t one = model.is_none() ? -1 : names_of(held, runs).find(model.cast<std::string_view>());
            py::list out;
            if (!model.is_none() && one < 0) return out;
            for (PlaceId place = 1; place < from.n_places(); ++place) {
              bool met = false;
              for (ModelId id = one < 0 ? 0 : one; !met && id < (one < 0 ? from.n_models() : one + 1); ++id) {
                met = from.met(id, place);
              }
              const Performance::Place& at = from.at(place);
              if (met) {
                out.append(py::make_tuple(str(from.categories().name(at.category)), str(from.regimes().name(at.regime)),
                                          str(expiry_names[static_cast<std::size_t>(at.expiry)])));
              }
            }
            return out;
          },
          py::arg("runs"), py::arg("model").none(true) = py::none())
      .def("model_names",
           [](const HeldFleet& held) {
             py::list out;
             for (const ModelId model : held.fleet.members()) out.append(str(held.fleet.board().models().name(model)));
             return out;
           })
      .def("runners",
           [](const HeldFleet& held) {
             py::list out;
             for (std::int32_t i = 0; i < held.fleet.runners().size(); ++i) out.append(str(held.fleet.runners().name(i)));
             return out;
           })
      .def(
          "run",
          [](HeldFleet& held, std::string_view name, std::string_view category, int status, double duration_ms, std::int64_t tokens,
             std::optional<double> cost_usd, double memory_mb, std::int64_t api_calls, double compute_s, std::string_view error,
             Time time) {
            journal::RunFixed fixed{.duration_ms = duration_ms,
                                    .compute_s = compute_s,
                                    .memory_mb = memory_mb,
                                    .tokens = tokens,
                                    .api_calls = api_calls,
                                    .status = static_cast<journal::RunStatus>(status)};
            if (cost_usd.has_value()) {
              if (const Status bad = to_nanos(*cost_usd, fixed.cost_nanos); bad != Status::ok) return static_cast<int>(bad);
            }
            return static_cast<int>(held.fleet.run(name, category, fixed, error, time));
          },
          py::arg("name"), py::arg("category"), py::arg("status"), py::arg("duration_ms"), py::arg("tokens"),
          py::arg("cost_usd").none(true), py::arg("memory_mb"), py::arg("api_calls"), py::arg("compute_s"), py::arg("error"),
          py::arg("time"));
}

}  // namespace fairlead::bindings
