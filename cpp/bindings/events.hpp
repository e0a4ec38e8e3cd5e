// Events of a journal as Python sees them.
#pragma once

#include "common.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/names.hpp"

namespace fairlead::bindings {

// The payload by field name, as `Event.data` in Python holds it; {"payload": bytes} for a program's own events. `models` are the
// journal's names. Raises ValueError where the payload is not what its type says, and for a layout that is newer.
py::dict event_data(const journal::Event& event, const NameTable& models);

// The name behind a number of the journal, None for none.
py::object name_of(const NameTable& names, std::int32_t id);

}  // namespace fairlead::bindings
