// From a family's tables of kernels, one a level, to the one to run. Look up once per batch, outside loops.
//
// A family has a header kernels/<family>.hpp with a struct of function pointers whose first member is `Simd level`, and
// kernels/<family>_{scalar,avx2,avx512}.cpp, each of which defines one such table. Those for a wider instruction set
// include no standard library and export plain pointers only: an inline function compiled there would be a weak symbol
// that the linker may choose for all callers, on machines that cannot run it. The test `weak_symbols` looks for them.
#pragma once

#include "fairlead/simd.hpp"

namespace fairlead::kernels {

void note_ran(Simd level) noexcept;

template <class Table>
const Table& select(const Table& scalar, [[maybe_unused]] const Table& avx2, [[maybe_unused]] const Table& avx512) noexcept {
  const Table* table = &scalar;
#if FAIRLEAD_X86
  const Simd level = simd_level();
  if (level == Simd::avx2) table = &avx2;
  if (level == Simd::avx512) table = &avx512;
#endif
  note_ran(table->level);
  return *table;
}

}  // namespace fairlead::kernels
