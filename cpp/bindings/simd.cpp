#include "fairlead/simd.hpp"

#include "common.hpp"

namespace fairlead::bindings {

namespace {

void set_level(const std::string& wish) {
  for (const Simd level : {Simd::scalar, Simd::avx2, Simd::avx512}) {
    if (wish != name(level)) continue;
    if (set_simd_level(level) == Status::ok) return;
    throw py::value_error("level is '" + wish + "', but this machine or build goes no further than '" + name(simd_best()) + "'");
  }
  throw py::value_error("level is " + py::repr(py::str(wish)).cast<std::string>() + ", must be 'scalar', 'avx2' or 'avx512'");
}

}  // namespace

void bind_simd(py::module_& m) {
  if (const char* const refused = simd_refused()) {
    throw py::import_error("FAIRLEAD_SIMD is '" + std::string(refused) + "', must be 'scalar', 'avx2' or 'avx512'; this machine " +
                           "and build go no further than '" + name(simd_best()) + "'");
  }
  m.def("simd_best", [] { return name(simd_best()); }, "The widest instruction set of this machine and build: scalar, avx2 or avx512.");
  m.def("simd_level", [] { return name(simd_level()); }, "The instruction set that batch kernels use now.");
  m.def("set_simd_level", &set_level, py::arg("level"), "Makes batch kernels use another instruction set. Raises ValueError for one that cannot be had.");
  m.def("simd_ran", [] { return name(simd_ran()); }, "The instruction set of the kernel that this thread ran last.");
}

}  // namespace fairlead::bindings
