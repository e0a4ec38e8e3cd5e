// What the bindings of budgets and of spend share.
#pragma once

#include <string>

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/budget.hpp"

namespace fairlead::bindings {

// model, tier, category and task type from the argument `first` on; None or a negative id: the call has none.
inline Where where_of(const Arguments& arguments, Py_ssize_t first) {
  const auto id = [&](Py_ssize_t i) { return arguments.given(i) ? arguments.id(i) : -1; };
  return {.model = id(first), .tier = id(first + 1), .category = id(first + 2), .type = id(first + 3)};
}

inline void check_amount(std::int64_t nanos, const char* name) {
  if (nanos >= 0 && nanos <= max_amount) return;
  throw py::value_error(std::string(name) + " is " + std::to_string(nanos) +
                        ", outside [0, 1e18] nano-dollars (a billion dollars)");
}

}  // namespace fairlead::bindings
