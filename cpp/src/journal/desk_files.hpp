// The files of a desk, for what folds it.
#pragma once

#include <string>

#include "fairlead/fleet.hpp"
#include "fairlead/journal/disk.hpp"

namespace fairlead::desk_files {

// The fleet of the oldest snapshot of use after which all events are there, `first` being the first that is.
bool oldest_snapshot(const std::string& folder, journal::Seq first, Fleet& out, journal::Disk& disk);

}  // namespace fairlead::desk_files
