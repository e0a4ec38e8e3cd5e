// What the files that bind drift share.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>

namespace fairlead::bindings {

void check_bins(std::int64_t bins);
void check_size(std::int64_t size, const char* name);
void bind_keyed_psi(pybind11::module_& m);

}  // namespace fairlead::bindings
