// The little JSON that the core writes itself: the settings of a fleet, and a model.
#pragma once

#include <string>
#include <string_view>

#include "fairlead/types.hpp"

namespace fairlead {

void append_json(std::string& out, std::string_view text);  // quoted
void append_json(std::string& out, double value);           // so that it reads back as the same

// A Model as Python's Model.to_dict has it. May throw std::bad_alloc.
std::string model_json(const Model& model);

}  // namespace fairlead
