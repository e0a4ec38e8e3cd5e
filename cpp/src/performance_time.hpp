// Whole numbers of panes: towards the past, also before the epoch.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fairlead/performance.hpp"

namespace fairlead::performance {

constexpr std::int64_t floor_div(std::int64_t a, std::int64_t b) noexcept { return a / b - (a % b < 0 ? 1 : 0); }
constexpr std::int64_t floor_mod(std::int64_t a, std::int64_t b) noexcept { return a % b + (a % b < 0 ? b : 0); }

// The number of a pane of the next ring, in which one of this ring lies.
constexpr std::int64_t coarser(std::size_t level, std::int64_t number) noexcept {
  return level % 2 == 0 ? floor_div(number, 6) : floor_div(number, 4);
}
static_assert(Performance::pane[1] == 6 * Performance::pane[0] && Performance::pane[2] == 4 * Performance::pane[1] &&
              Performance::pane[3] == 6 * Performance::pane[2] && Performance::pane[4] == 4 * Performance::pane[3]);

}  // namespace fairlead::performance
