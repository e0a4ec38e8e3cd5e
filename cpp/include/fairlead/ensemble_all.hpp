// What all strategies say to one task, where that is asked at once: to the bit what ensemble.hpp says one by one.
//
// Precision and memory: as in ensemble.hpp.
#pragma once

#include <array>
#include <span>

#include "fairlead/ensemble.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

// What `weigh` and `pool` make of probabilities by each strategy but `automatic`: a row of `classes` values a strategy,
// by its number. `weights` and `other` hold m values.
void answer_all(const Answers& answers, double* out, std::span<double> weights, double* other, double* scratch) noexcept;

// `automatic`, as far as it is made of the answers of hedge and weighted, and of `stacked` (which is written too), as
// departures from `core` (the mean of the first two, written too), so that what all agree on is told to the last bit.
void blend(const Answers& answers, const std::array<double, n_strategies>& share, const double* hedge, const double* weighted,
           double* core, double* stacked, double* out, double* scratch) noexcept;

}  // namespace fairlead
