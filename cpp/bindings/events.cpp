#include "events.hpp"

#include <cmath>
#include <string_view>

#include "fairlead/breaker.hpp"
#include "fairlead/journal/encode.hpp"
#include "fairlead/journal/events.hpp"

namespace fairlead::bindings {

namespace {

using journal::Event;
using journal::PayloadReader;
using journal::Type;

constexpr std::string_view kind_names[] = {"binary", "categorical", "numeric"};

py::str text(std::string_view value) {
  // What a program has written need not be UTF-8; a reader must not fail for it.
  return py::reinterpret_steal<py::str>(
      PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), "replace"));
}

py::object number(double value) { return std::isnan(value) ? py::object(py::none()) : py::object(py::float_(value)); }

[[noreturn]] void refuse(const Event& event) {
  throw py::value_error("event " + std::to_string(event.header->seq) + " of type " +
                        std::string(journal::type_name(event.header->type)) + ": " + message(Status::bad_event));
}

py::str kind_name(const Event& event, Kind kind) {
  if (static_cast<std::size_t>(kind) >= std::size(kind_names)) refuse(event);
  return text(kind_names[static_cast<std::size_t>(kind)]);
}

py::tuple numbers(std::span<const double> values) {
  py::tuple out(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) out[i] = py::float_(values[i]);
  return out;
}

// An answer: `p` of probabilities, `value` of a number.
void put_answer(py::dict& out, Kind kind, double value, std::span<const double> p) {
  if (kind == Kind::numeric) {
    out["value"] = number(value);
  } else {
    out["p"] = kind == Kind::binary ? number(value) : py::object(numbers(p));
  }
}

py::dict name_data(const Event& event) {
  PayloadReader in(event.bytes());
  std::uint8_t table = 0;
  std::uint32_t id = 0;
  std::string_view name;
  if (!in.get(table) || !in.get(id) || !in.get(name) || !in.done() || table >= journal::n_tables) refuse(event);
  py::dict out;
  out["table"] = table == static_cast<std::uint8_t>(journal::Table::models) ? "models" : "categories";
  out["id"] = id;
  out["name"] = text(name);
  return out;
}

py::dict count_data(const Event& event) {
  PayloadReader in(event.bytes());
  std::uint64_t n = 0;
  if (!in.get(n) || !in.done()) refuse(event);
  py::dict out;
  out["n"] = n;
  return out;
}

py::dict task_data(const Event& event) {
  PayloadReader in(event.bytes());
  journal::TaskFixed fixed;
  std::string_view id, category, words, regime;
  if (!in.get(fixed) || !in.get(id) || !in.get(category) || !in.get(words) || !in.get(regime)) refuse(event);
  const auto next = [&] {
    std::string_view value;
    if (!in.get(value)) refuse(event);
    return text(value);
  };
  py::list labels;
  for (std::uint32_t i = 0; i < fixed.n_labels; ++i) labels.append(next());
  py::dict slices;
  for (std::uint32_t i = 0; i < fixed.n_slices; ++i) {
    const py::str dimension = next();
    slices[dimension] = next();
  }
  if (!in.done()) refuse(event);
  py::dict out;
  out["task"] = fixed.task;
  out["id"] = text(id);
  out["kind"] = kind_name(event, fixed.kind);
  out["category"] = text(category);
  out["text"] = text(words);
  out["labels"] = py::tuple(labels);
  out["stake_usd"] = fixed.stake_usd;
  out["regime"] = text(regime);
  out["expires_in_s"] = number(fixed.expires_in_s);
  out["slices"] = slices;
  return out;
}

py::dict forecast_data(const Event& event) {
  PayloadReader in(event.bytes());
  journal::ForecastFixed fixed;
  std::span<const double> p;
  std::span<const char> error;
  if (!in.get(fixed) || !in.get(p, fixed.n_p) || !in.get(error, fixed.n_error) || !in.done()) refuse(event);
  py::dict out;
  out["task"] = fixed.task;
  out["kind"] = kind_name(event, fixed.kind);
  if (error.empty()) put_answer(out, fixed.kind, fixed.value, p);
  out["confidence"] = number(fixed.confidence);
  out["latency_ms"] = number(fixed.latency_ms);
  out["tokens_in"] = fixed.tokens_in;
  out["tokens_out"] = fixed.tokens_out;
  out["cost_usd"] = fixed.cost_usd;
  out["error"] = text({error.data(), error.size()});
  return out;
}

py::dict decision_data(const Event& event, const NameTable& models) {
  journal::DecodedDecision found;
  if (!journal::decode(event, found)) refuse(event);
  const journal::DecisionFixed& fixed = found.fixed;
  const journal::DecisionShape& shape = found.shape;
  py::dict shares;
  for (std::size_t i = 0; i < found.models.size(); ++i) shares[name_of(models, found.models[i])] = found.weights[i];
  py::dict out;
  out["task"] = fixed.task;
  out["kind"] = kind_name(event, fixed.kind);
  out["weights"] = shares;
  put_answer(out, fixed.kind, fixed.value, found.p);
  out["disagreement"] = fixed.disagreement;
  out["uncertainty"] = fixed.uncertainty;
  out["position_scale"] = fixed.position_scale;
  out["cost_usd"] = fixed.cost_usd;
  out["strategy"] = text(found.name);
  out["reasons"] = fixed.reasons;
  if (event.header->version == 1) return out;  // the same as ever: a store remembers what the last event was
  out["spread"] = number(shape.spread);
  out["entropy"] = number(shape.entropy);
  out["divergence"] = number(shape.divergence);
  out["pairwise"] = number(shape.pairwise);
  out["low"] = number(shape.low);
  out["high"] = number(shape.high);
  out["chosen"] = shape.chosen == Strategy::given ? text(found.name)
                                                  : text(strategy_names[static_cast<std::size_t>(shape.chosen)]);
  return out;
}

py::dict outcome_data(const Event& event) {
  PayloadReader in(event.bytes());
  journal::OutcomeFixed fixed;
  if (!in.get(fixed) || !in.done()) refuse(event);
  py::dict out;
  out["task"] = fixed.task;
  out["kind"] = kind_name(event, fixed.kind);
  out["value"] = fixed.value;
  out["profit_usd"] = number(fixed.profit_usd);
  return out;
}

py::dict closed_data(const Event& event) {
  PayloadReader in(event.bytes());
  journal::ClosedFixed fixed;
  if (!in.get(fixed) || !in.done()) refuse(event);
  py::dict out;
  out["task"] = fixed.task;
  return out;
}

// What newer versions know and this one does not is told by its number.
py::str reason_of(std::uint32_t bit) {
  return bit < route_reason_names.size() ? text(route_reason_names[bit]) : text("reason_" + std::to_string(bit));
}

double usd(std::int64_t nanos) { return static_cast<double>(nanos) / 1e9; }

py::dict route_data(const Event& event, const NameTable& models) {
  journal::DecodedRoute route;
  if (!journal::decode(event.bytes(), route)) refuse(event);
  const journal::RouteFixed& fixed = route.fixed;
  py::list reasons;
  for (std::uint32_t bit = 0; bit < 32; ++bit) {
    if ((fixed.reasons >> bit & 1) != 0) reasons.append(reason_of(bit));
  }
  py::list others;
  for (std::size_t i = 0; i < route.others.size(); ++i) {
    py::dict other;
    other["model"] = name_of(models, route.others[i]);
    other["quality"] = number(route.quality[i]);
    other["cost_usd"] = number(route.cost_usd[i]);
    other["latency_ms"] = number(route.latency_ms[i]);
    others.append(other);
  }
  py::dict out;
  out["task"] = fixed.task;
  out["attempt"] = fixed.attempt;
  out["type"] = text(route.type);
  out["goal"] = text(goal_names[static_cast<std::size_t>(fixed.goal)]);
  out["propensity"] = number(fixed.propensity);
  out["quality"] = number(fixed.quality);
  out["spread"] = number(fixed.spread);
  out["cost_usd"] = number(fixed.cost_usd);
  out["latency_ms"] = number(fixed.latency_ms);
  out["reserved_usd"] = usd(fixed.reserved_nanos);
  out["reserved_nanos"] = fixed.reserved_nanos;
  out["reasons"] = py::tuple(reasons);
  out["runners_up"] = others;
  return out;
}

py::dict called_data(const Event& event) {
  journal::CalledFixed fixed;
  if (!journal::decode(event.bytes(), fixed)) refuse(event);
  py::dict out;
  out["task"] = fixed.task;
  out["attempt"] = fixed.attempt;
  out["end"] = text(call_end_names[static_cast<std::size_t>(fixed.end)]);
  if (fixed.end == CallEnd::failed) {
    const std::size_t kind = fixed.failure;
    out["failure"] = kind < failure_names.size() ? text(failure_names[kind]) : text("failure_" + std::to_string(kind));
  }
  const bool priced = fixed.cost_nanos != -1;
  out["cost_usd"] = priced ? py::object(py::float_(usd(fixed.cost_nanos))) : py::object(py::none());
  out["cost_nanos"] = priced ? py::object(py::int_(fixed.cost_nanos)) : py::object(py::none());
  out["latency_ms"] = number(fixed.latency_ms);
  out["first_token_ms"] = number(fixed.first_token_ms);
  out["retry_after_ms"] = number(fixed.retry_after_ms);
  out["tokens_in"] = fixed.tokens_in;
  out["tokens_out"] = fixed.tokens_out;
  out["tokens_cached"] = fixed.tokens_cached;
  out["tokens_written"] = fixed.tokens_written;
  out["calls"] = fixed.calls;
  return out;
}

py::dict run_data(const Event& event) {
  journal::DecodedRun found;
  if (!journal::decode(event.bytes(), found)) refuse(event);
  const journal::RunFixed& fixed = found.fixed;
  const bool priced = fixed.cost_nanos != -1;
  py::dict out;
  out["status"] = text(journal::run_status_names[static_cast<std::size_t>(fixed.status)]);
  out["duration_ms"] = number(fixed.duration_ms);
  out["tokens"] = fixed.tokens;
  out["api_calls"] = fixed.api_calls;
  out["cost_usd"] = priced ? py::object(py::float_(usd(fixed.cost_nanos))) : py::object(py::none());
  out["cost_nanos"] = priced ? py::object(py::int_(fixed.cost_nanos)) : py::object(py::none());
  out["compute_s"] = number(fixed.compute_s);
  out["memory_mb"] = number(fixed.memory_mb);
  out["error"] = text(found.error);
  return out;
}

// One JSON object; read by Python's own reader, as these events are cold.
py::dict json_data(const Event& event) {
  static PyObject* const loads = py::object(py::module_::import("json").attr("loads")).release().ptr();
  const auto bytes = event.bytes();
  py::object out;
  try {
    out = py::handle(loads)(text({reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError)) throw;
    refuse(event);
  }
  if (!py::isinstance<py::dict>(out)) refuse(event);
  return py::dict(out);
}

}  // namespace

py::object name_of(const NameTable& names, std::int32_t id) {
  if (id < 0 || id >= names.size()) return py::none();
  return text(names.name(id));
}

py::dict event_data(const Event& event, const NameTable& models) {
  if (event.header->version == 0 || event.header->version > journal::newest_version(event.header->type)) {
    throw py::value_error("event " + std::to_string(event.header->seq) + " has layout " +
                          std::to_string(event.header->version) + ": " + message(Status::unknown_format));
  }
  switch (event.header->type) {
    case Type::name: return name_data(event);
    case Type::gap:
    case Type::dropped: return count_data(event);
    case Type::model_removed: return py::dict();
    case Type::task: return task_data(event);
    case Type::forecast: return forecast_data(event);
    case Type::decision: return decision_data(event, models);
    case Type::outcome: return outcome_data(event);
    case Type::closed: return closed_data(event);
    case Type::route: return route_data(event, models);
    case Type::called: return called_data(event);
    case Type::run: return run_data(event);
    case Type::settings:
    case Type::model:
    case Type::note:
    case Type::alert:
    case Type::training_run:
    case Type::model_version:
    case Type::deployment:
    case Type::budget:
    case Type::health:
    case Type::routing:
    case Type::input:
    case Type::label:
    case Type::summary: return json_data(event);
    case Type::mark:
    case Type::seal:
    case Type::names:
    case Type::custom: break;
  }
  const auto bytes = event.bytes();
  py::dict out;
  out["payload"] = py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return out;
}

}  // namespace fairlead::bindings
