// The level that the file which includes this is compiled for.
#pragma once

#include "fairlead/simd.hpp"

namespace fairlead::kernels {

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512CD__) && defined(__AVX512DQ__) && defined(__AVX512VL__)
static constexpr Simd compiled_for = Simd::avx512;
#elif defined(__AVX2__) && defined(__FMA__)
static constexpr Simd compiled_for = Simd::avx2;
#else
static constexpr Simd compiled_for = Simd::scalar;
#endif

}  // namespace fairlead::kernels
