// Which instruction set the batch kernels use. Chosen once, when the first kernel runs: the widest that this machine has,
// unless the environment variable FAIRLEAD_SIMD names one: scalar, avx2 or avx512.
//
// Scalar kernels are the reference; how far another level may differ is said where each kernel is declared.
#pragma once

#include <cstdint>

#include "fairlead/status.hpp"

namespace fairlead {

enum class Simd : std::uint8_t {
  scalar,
  avx2,    // AVX2, FMA, BMI2
  avx512,  // AVX-512 F, BW, CD, DQ, VL
};

const char* name(Simd level) noexcept;

// The widest level that both this machine and this build have.
Simd simd_best() noexcept;

// What kernels use now.
Simd simd_level() noexcept;

// Uses another level from now on, in all threads. out_of_range where this machine or build lacks it.
Status set_simd_level(Simd level) noexcept;

// The value of FAIRLEAD_SIMD where it names no level that can be had, and was therefore ignored; else nullptr.
const char* simd_refused() noexcept;

// The level of the kernel that this thread ran last, as the kernel's own file was compiled.
Simd simd_ran() noexcept;

}  // namespace fairlead
