// Whether there is a matrix unit, and the system lets us use it.
#include "kernels/tiles.hpp"

#include <atomic>

#include "fairlead/simd.hpp"

#ifdef FAIRLEAD_AMX
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace fairlead::kernels {

#ifdef FAIRLEAD_AMX

extern const TileKernels tiles_amx;

namespace {

// Linux gives the registers to a process that asks for them.
bool granted() noexcept {
  constexpr int ask = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr int data = 18;     // of the tiles
  return ::syscall(SYS_arch_prctl, ask, data) == 0;
}

bool detect() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (simd_best() != Simd::avx512 || __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  const bool tiles = (d >> 22 & 1u) != 0 && (d >> 24 & 1u) != 0;  // AMX-BF16, AMX-TILE
  if (!tiles || __get_cpuid_count(7, 1, &a, &b, &c, &d) == 0 || (a >> 5 & 1u) == 0) return false;  // AVX512-BF16
  return granted();
}

std::atomic<bool> wanted{true};

}  // namespace

const TileKernels* tile_kernels() noexcept {
  if (!wanted.load(std::memory_order_relaxed) || simd_level() != Simd::avx512) return nullptr;
  static const bool have = detect();
  return have ? &tiles_amx : nullptr;
}

void use_tiles(bool use) noexcept { wanted.store(use, std::memory_order_relaxed); }

#else

const TileKernels* tile_kernels() noexcept { return nullptr; }
void use_tiles(bool) noexcept {}

#endif

}  // namespace fairlead::kernels
