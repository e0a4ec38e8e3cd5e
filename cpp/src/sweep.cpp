#include "fairlead/sweep.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/sweep.hpp"

namespace fairlead {

namespace {

constexpr std::size_t lanes = kernels::sweep_lanes;
constexpr std::size_t chunk = 4096;  // matches to a call where scores must be copied

struct alignas(64) Row {
  double of[lanes];
};

// Scores of sets `first` on, where they do not fill eight lanes: the last one repeated.
void pack(std::span<const double> each, std::size_t sets, std::size_t first, std::size_t from, std::size_t to,
          std::vector<Row>& rows) {
  for (std::size_t m = from; m < to; ++m) {
    for (std::size_t l = 0; l < lanes; ++l) rows[m - from].of[l] = each[m * sets + std::min(first + l, sets - 1)];
  }
}

}  // namespace

void sweep(const Matches& matches, std::size_t players, std::span<const SweepSet> sets, std::span<const double> each,
           std::size_t skip, std::span<double> ratings, std::span<SweepLoss> losses) {
  const auto& kernels = kernels::select(kernels::sweep_scalar, kernels::sweep_avx2, kernels::sweep_avx512);
  const std::size_t n = matches.size(), unscored = std::min(skip, n);
  std::vector<Row> states(players), rows(each.empty() ? 0 : std::min(n, chunk));
  for (std::size_t first = 0; first < sets.size(); first += lanes) {
    const bool copied = !each.empty() && sets.size() - first < lanes;
    kernels::SweepBlock block{};
    for (std::size_t l = 0; l < lanes; ++l) {
      const SweepSet& set = sets[std::min(first + l, sets.size() - 1)];
      block.k[l] = set.k;
      block.exponent[l] = std::numbers::ln10 / std::numbers::ln2 / set.scale;
      block.home[l] = -set.home * block.exponent[l];
      for (Row& player : states) player.of[l] = set.start;
    }
    block.ratings = states.empty() ? nullptr : states.front().of;
    block.score_each = !each.empty();
    block.score_stride = copied ? lanes : each.empty() ? 1 : sets.size();
    const auto forget = [&block] {
      for (std::size_t l = 0; l < lanes; ++l) {
        block.product[l] = 1.0;
        block.doublings[l] = block.linear[l] = block.brier[l] = 0.0;
      }
    };
    forget();
    for (std::size_t from = 0; from < n;) {
      if (from == unscored) forget();
      std::size_t to = from < unscored ? unscored : n;
      if (copied) {
        to = std::min(to, from + chunk);
        pack(each, sets.size(), first, from, to, rows);
      }
      block.i = matches.i.data() + from;
      block.j = matches.j.data() + from;
      block.score = copied         ? rows.front().of
                    : each.empty() ? matches.score.data() + from
                                   : each.data() + from * sets.size() + first;
      block.weight = matches.weight.empty() ? nullptr : matches.weight.data() + from;
      block.n = to - from;
      kernels.run(block);
      from = to;
    }
    const double scored = static_cast<double>(n - unscored);
    for (std::size_t l = 0; l < lanes && first + l < sets.size(); ++l) {
      const std::size_t set = first + l;
      const double bits = std::log2(block.product[l]) + block.doublings[l] - block.linear[l];
      losses[set] = {bits * std::numbers::ln2 / scored, block.brier[l] / scored};
      if (n == unscored)
        losses[set] = {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
      for (std::size_t p = 0; p < players; ++p) ratings[set * players + p] = states[p].of[l];
    }
  }
}

}  // namespace fairlead
