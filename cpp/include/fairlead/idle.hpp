// Uncertainty that grows while a player does not play: lazily, when the player is next looked at.
#pragma once

#include "fairlead/rating_system.hpp"

namespace fairlead {

// How many periods of `period` nanoseconds have passed since `last`; 0 where any of the three is unknown.
inline double idle_periods(Time last, Time time, Time period) noexcept {
  if (period <= 0 || last == no_time || time == no_time || time <= last) return 0.0;
  return (static_cast<double>(time) - static_cast<double>(last)) / static_cast<double>(period);
}

// A variance after it grew, but never by growing beyond `most`: nobody becomes less known than a newcomer.
inline double grown(double variance, double by, double most) noexcept {
  if (!(by > 0.0) || variance >= most) return variance;
  return variance + by < most ? variance + by : most;
}

}  // namespace fairlead
