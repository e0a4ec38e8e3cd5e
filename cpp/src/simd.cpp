#include "fairlead/simd.hpp"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "kernels/dispatch.hpp"

namespace fairlead {

namespace {

Simd detect() noexcept {
#if FAIRLEAD_X86
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")) {
    return Simd::avx512;
  }
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) return Simd::avx2;
#endif
  return Simd::scalar;
}

struct Choice {
  std::atomic<Simd> level{simd_best()};
  const char* refused = nullptr;

  Choice() noexcept {
    const char* const wish = std::getenv("FAIRLEAD_SIMD");
    if (wish == nullptr || *wish == '\0') return;
    for (const Simd level_ : {Simd::scalar, Simd::avx2, Simd::avx512}) {
      if (std::strcmp(wish, name(level_)) != 0 || level_ > simd_best()) continue;
      level.store(level_, std::memory_order_relaxed);
      return;
    }
    refused = wish;
  }
};

Choice& choice() noexcept {
  static Choice made;
  return made;
}

thread_local Simd ran = Simd::scalar;

}  // namespace

const char* name(Simd level) noexcept {
  switch (level) {
    case Simd::scalar: return "scalar";
    case Simd::avx2: return "avx2";
    case Simd::avx512: return "avx512";
  }
  return "unknown";
}

Simd simd_best() noexcept {
  static const Simd best = detect();
  return best;
}

Simd simd_level() noexcept { return choice().level.load(std::memory_order_relaxed); }

Status set_simd_level(Simd level) noexcept {
  if (level > simd_best()) return Status::out_of_range;
  choice().level.store(level, std::memory_order_relaxed);
  return Status::ok;
}

const char* simd_refused() noexcept { return choice().refused; }

Simd simd_ran() noexcept { return ran; }

void kernels::note_ran(Simd level) noexcept { ran = level; }

}  // namespace fairlead
