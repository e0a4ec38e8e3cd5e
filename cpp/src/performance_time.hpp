// Whole numbers of panes: towards the past, also before the epoch.
#pragma once

#include <cstdint>

namespace fairlead::performance {

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }
constexpr std::int64_t floor_mod(std::int64_t a, std::int64_t b) noexcept { return a % b + (a % b < 0 ? b : 0); }

}  // namespace fairlead::performance
