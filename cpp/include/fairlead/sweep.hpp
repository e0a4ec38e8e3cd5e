// Many sets of Elo parameters, or many fleets that play the same pairs, rated side by side: eight in the lanes of a
// vector.
//
// The rule is that of elo.hpp with a constant K. Precision: 2^x within 2 ulp, so ratings agree with Elo within 1e-9;
// the same bits at every level of kernels. Log-losses are not summed term by term but taken from the product of all 1 +
// odds. Odds go no further than 2^250, so one match costs at most 173 nats. Memory: 64 bytes a player while it runs.
#pragma once

#include <cstddef>
#include <span>

#include "fairlead/rating_system.hpp"

namespace fairlead {

struct SweepSet {
  double k = 32.0;        // points at stake
  double scale = 400.0;   // a lead of `scale` points means odds of 10 to 1
  double home = 0.0;      // points added to the first player's rating in the expectation
  double start = 1500.0;  // rating of a newcomer
};

// Means over the matches scored, of the expectation before each match. A draw's log-loss is -(ln p + ln(1 - p)) / 2.
struct SweepLoss {
  double log_loss = 0.0;
  double brier = 0.0;
};

// Rates all matches in order, once for each set. Trusts its arguments: ids below `players`, i != j, scores in [0, 1];
// times are not looked at. `each`, unless empty, holds a score for each match and set (matches x sets) in place of
// matches.score. The first `skip` matches rate but are not scored. ratings: sets x players. A match counts once in the
// losses, whatever its weight; where none is scored they are NaN. May throw std::bad_alloc, before it has written.
void sweep(const Matches& matches, std::size_t players, std::span<const SweepSet> sets, std::span<const double> each,
           std::size_t skip, std::span<double> ratings, std::span<SweepLoss> losses);

}  // namespace fairlead
