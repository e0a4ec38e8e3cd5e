#include "fairlead/types.hpp"

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

template <class Record>
py::tuple names_of() {
  constexpr auto names = field_names<Record>();
  py::tuple out(names.size());
  for (std::size_t i = 0; i < names.size(); ++i) out[i] = py::str(std::string(names[i]));
  return out;
}

}  // namespace

void bind_types(py::module_& m) {
  py::dict records;
  records["Model"] = names_of<Model>();
  records["Task"] = names_of<Task>();
  records["Forecast"] = names_of<Forecast>();
  records["Decision"] = names_of<Decision>();
  records["Outcome"] = names_of<Outcome>();
  m.attr("RECORD_FIELDS") = records;

  py::tuple strategies(strategy_names.size());
  for (std::size_t i = 0; i < strategy_names.size(); ++i) strategies[i] = py::str(std::string(strategy_names[i]));
  m.attr("STRATEGIES") = strategies;
  m.attr("DEFAULT_STRATEGY") = py::str(std::string(strategy_names[static_cast<std::size_t>(default_strategy)]));

  py::dict reasons;
  reasons["single_model"] = py::int_(static_cast<unsigned>(Reason::single_model));
  reasons["no_history"] = py::int_(static_cast<unsigned>(Reason::no_history));
  reasons["equal_weights"] = py::int_(static_cast<unsigned>(Reason::equal_weights));
  reasons["learned_weights"] = py::int_(static_cast<unsigned>(Reason::learned_weights));
  reasons["models_disagree"] = py::int_(static_cast<unsigned>(Reason::models_disagree));
  reasons["models_failed"] = py::int_(static_cast<unsigned>(Reason::models_failed));
  reasons["models_removed"] = py::int_(static_cast<unsigned>(Reason::models_removed));
  reasons["in_emergency"] = py::int_(static_cast<unsigned>(Reason::in_emergency));
  reasons["no_consensus"] = py::int_(static_cast<unsigned>(Reason::no_consensus));
  reasons["by_confidence"] = py::int_(static_cast<unsigned>(Reason::by_confidence));
  reasons["drawdown_limit"] = py::int_(static_cast<unsigned>(Reason::drawdown_limit));
  reasons["weights_given"] = py::int_(static_cast<unsigned>(Reason::weights_given));
  reasons["mixed_by_record"] = py::int_(static_cast<unsigned>(Reason::mixed_by_record));
  reasons["by_agreement"] = py::int_(static_cast<unsigned>(Reason::by_agreement));
  m.attr("REASONS") = reasons;
}

}  // namespace fairlead::bindings
