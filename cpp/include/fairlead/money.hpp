// Money in integers: nano-dollars, prices of tokens, what a call costs.
//
// Precision: sums are exact (128 bits); a cost is rounded up to the nano-dollar once, so that no call is cheaper than it
// is and the sum of a million calls is off by less than a tenth of a cent. Memory: none.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "fairlead/status.hpp"

namespace fairlead {

using Nanos = std::int64_t;  // nano-dollars: 1e-9 USD

inline constexpr Nanos nanos_per_usd = 1'000'000'000;
// No call costs more, and no budget is wider: a billion dollars. Sums stay within 64 bits.
inline constexpr Nanos max_amount = 1'000'000'000 * nanos_per_usd;

// What a provider reports. `input` counts every token of the prompt: those read from its cache and written to it, too.
struct Usage {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t cached = 0;      // of input: read from the cache
  std::int64_t written = 0;     // of input: written to the cache
  std::int64_t written_1h = 0;  // of written: to be kept for an hour, which some providers charge more for
};

// Nano-dollars per million tokens, so that $0.000001 a million is still a number; `call` is per call.
struct Prices {
  std::int64_t input = 0;
  std::int64_t output = 0;
  std::int64_t cached = 0;
  std::int64_t written = 0;
  std::int64_t written_1h = 0;
  std::int64_t call = 0;  // nano-dollars a call, whatever its length
};

// Prices, and those that hold for all tokens of a call whose input is longer than `above`.
struct Tariff {
  Prices base = {};
  Prices beyond = {};
  std::int64_t above = std::numeric_limits<std::int64_t>::max();
};

namespace detail {

__extension__ typedef unsigned __int128 Wide;  // four products of 63 bits fit

inline constexpr std::uint64_t million = 1'000'000;

}  // namespace detail

// The cost of a call. out_of_range, and `out` is left alone: a negative number, more cached and written tokens than
// there is input, or a cost above max_amount.
inline Status cost(const Prices& price, const Usage& usage, Nanos& out) noexcept {
  using detail::Wide;
  const std::int64_t negative = usage.input | usage.output | usage.cached | usage.written | usage.written_1h |
                                price.input | price.output | price.cached | price.written | price.written_1h | price.call;
  if (negative < 0 || usage.cached > usage.input || usage.written > usage.input - usage.cached ||
      usage.written_1h > usage.written || price.call > max_amount) {
    return Status::out_of_range;
  }
  const std::int64_t fresh = usage.input - usage.cached - usage.written;
  const auto times = [](std::int64_t tokens, std::int64_t each) {
    return static_cast<Wide>(static_cast<std::uint64_t>(tokens)) * static_cast<std::uint64_t>(each);
  };
  const Wide sum = times(fresh, price.input) + times(usage.output, price.output) + times(usage.cached, price.cached) +
                   times(usage.written - usage.written_1h, price.written) + times(usage.written_1h, price.written_1h) +
                   (detail::million - 1);
  // A division of 128 bits is a call of thirty nanoseconds, which no real cost needs.
  if (static_cast<std::uint64_t>(sum >> 64) == 0) {
    const std::uint64_t whole = static_cast<std::uint64_t>(sum) / detail::million;
    if (whole > static_cast<std::uint64_t>(max_amount - price.call)) return Status::out_of_range;
    out = static_cast<Nanos>(whole) + price.call;
    return Status::ok;
  }
  const Wide whole = sum / detail::million;
  if (whole > static_cast<Wide>(static_cast<std::uint64_t>(max_amount - price.call))) return Status::out_of_range;
  out = static_cast<Nanos>(whole) + price.call;
  return Status::ok;
}

inline Status cost(const Tariff& tariff, const Usage& usage, Nanos& out) noexcept {
  return cost(usage.input > tariff.above ? tariff.beyond : tariff.base, usage, out);
}

// The most a call can cost whose prompt has `input` tokens and whose answer at most `output`: nothing cached, or all of
// it written, whichever is dearer; the longer prices if the prompt may be that long.
inline Status bound(const Tariff& tariff, std::int64_t input, std::int64_t output, Nanos& out) noexcept {
  Nanos most = 0;
  const bool either = input > tariff.above;
  for (const Prices* price : {&tariff.base, &tariff.beyond}) {
    if ((price == &tariff.beyond) != either) continue;
    for (const Usage& usage : {Usage{.input = input, .output = output},
                               Usage{.input = input, .output = output, .cached = input},
                               Usage{.input = input, .output = output, .written = input},
                               Usage{.input = input, .output = output, .written = input, .written_1h = input}}) {
      Nanos one = 0;
      if (const Status status = cost(*price, usage, one); status != Status::ok) return status;
      most = one > most ? one : most;
    }
  }
  out = most;
  return Status::ok;
}

// At the edge, where money is a double: the nearest nano-dollar. Exact both ways up to $2 million.
inline Status to_nanos(double usd, Nanos& out) noexcept {
  if (!std::isfinite(usd)) return Status::not_finite;
  if (!(usd >= 0.0 && usd <= static_cast<double>(max_amount / nanos_per_usd))) return Status::out_of_range;
  out = static_cast<Nanos>(std::llround(usd * static_cast<double>(nanos_per_usd)));
  return Status::ok;
}
inline double to_usd(Nanos nanos) noexcept { return static_cast<double>(nanos) / static_cast<double>(nanos_per_usd); }

}  // namespace fairlead
