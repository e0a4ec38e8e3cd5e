// What the calls and the settled answers of a model amounted to: sums that add up, and what is read from them.
//
// Precision: counts, tokens and nano-dollars are integers; marks are fixed point of 2^-32, rounded once an answer, so that
// sums are exact whatever their order: parts that are added give the bits of the whole. Sums that would overflow stay at the
// largest number. Latencies are a histogram of 64 buckets an octave of nanoseconds (as in HdrHistogram, G. Tene), from 1
// microsecond to 73 minutes; what is shorter or longer lands in the first or last bucket. A quantile is the harmonic mean of
// the bounds of the bucket that holds it, and so off by at most 1/129 of itself, 0.8 % (the bound of DDSketch: C. Masson,
// J. E. Rim, H. K. Lee, VLDB 2019).
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "fairlead/calibration.hpp"
#include "fairlead/money.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

namespace performance {

inline constexpr double unit = 4294967296.0;  // 2^32

// Fixed point; |x| < 2^31.
inline std::int64_t fixed(double x) noexcept { return std::llrint(x * unit); }

constexpr void add(std::uint32_t& sum, std::uint32_t more) noexcept {
  sum = more > std::numeric_limits<std::uint32_t>::max() - sum ? std::numeric_limits<std::uint32_t>::max() : sum + more;
}
constexpr void add(std::int64_t& sum, std::int64_t more) noexcept {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  if (more > 0 && sum > most - more) {
    sum = most;
  } else if (more < 0 && sum < -most - more) {
    sum = -most;
  } else {
    sum += more;
  }
}

struct CallSums {
  std::uint32_t calls = 0;
  std::uint32_t failed = 0;     // of calls
  std::uint32_t timeouts = 0;   // of failed
  std::uint32_t cancelled = 0;  // of calls; none of failed
  std::uint32_t timed = 0;      // calls whose latency is known
  std::uint32_t confident = 0;  // answers whose confidence is known
  std::int64_t latency = 0;     // nanoseconds
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  Nanos cost = 0;
  std::int64_t confidence = 0;  // fixed

  template <class F>
  constexpr void each(const CallSums& other, F&& f) noexcept {
    f(calls, other.calls), f(failed, other.failed), f(timeouts, other.timeouts), f(cancelled, other.cancelled);
    f(timed, other.timed), f(confident, other.confident), f(latency, other.latency), f(tokens_in, other.tokens_in);
    f(tokens_out, other.tokens_out), f(cost, other.cost), f(confidence, other.confidence);
  }
  void add(const CallSums& other) noexcept {
    each(other, [](auto& sum, auto more) { performance::add(sum, more); });
  }
};
static_assert(sizeof(CallSums) == 64);

struct Bin {
  std::uint32_t n = 0;
  std::uint32_t happened = 0;
  std::int64_t p = 0;  // fixed
};

// Of answers whose task was settled.
struct SettledSums {
  std::uint32_t n = 0;        // answers that were probabilities
  std::uint32_t correct = 0;  // of these
  std::uint32_t scored = 0;   // answers that have a quality: numbers too
  std::uint32_t skilled = 0;  // of scored: somebody else answered the task, too
  std::int64_t brier = 0;     // fixed, as are those below
  std::int64_t log_loss = 0;
  std::int64_t quality = 0;
  std::int64_t skill = 0;
  std::int64_t skill_square = 0;
  std::array<Bin, Calibration::default_bins> bins = {};

  void add(const SettledSums& other) noexcept {
    performance::add(n, other.n), performance::add(correct, other.correct), performance::add(scored, other.scored);
    performance::add(skilled, other.skilled), performance::add(brier, other.brier);
    performance::add(log_loss, other.log_loss), performance::add(quality, other.quality);
    performance::add(skill, other.skill), performance::add(skill_square, other.skill_square);
    for (std::size_t i = 0; i < bins.size(); ++i) {
      performance::add(bins[i].n, other.bins[i].n);
      performance::add(bins[i].happened, other.bins[i].happened);
      performance::add(bins[i].p, other.bins[i].p);
    }
  }
};
static_assert(sizeof(SettledSums) == 56 + 16 * Calibration::default_bins);

// What runs used.
struct ResourceSums {
  std::int64_t api_calls = 0;
  std::int64_t compute = 0;      // nanoseconds
  std::int64_t memory = 0;       // millionths of a megabyte, summed over those that told it
  std::int64_t memory_most = 0;  // of one
  std::uint32_t measured = 0;    // that told their memory
  std::uint32_t padding = 0;

  void add(const ResourceSums& other) noexcept {
    performance::add(api_calls, other.api_calls), performance::add(compute, other.compute);
    performance::add(memory, other.memory), performance::add(measured, other.measured);
    memory_most = std::max(memory_most, other.memory_most);
  }
};
static_assert(sizeof(ResourceSums) == 40);

// Buckets of latencies.
inline constexpr int smallest_octave = 10, octaves = 32;
inline constexpr std::size_t parts = 64, buckets = octaves * parts;

inline std::size_t bucket(std::int64_t nanoseconds) noexcept {
  const auto x = static_cast<std::uint64_t>(std::max<std::int64_t>(nanoseconds, 0));
  if (x < (std::uint64_t{1} << smallest_octave)) return 0;
  const int octave = static_cast<int>(std::bit_width(x)) - 1;
  if (octave >= smallest_octave + octaves) return buckets - 1;
  return static_cast<std::size_t>(octave - smallest_octave) * parts + ((x >> (octave - 6)) & (parts - 1));
}
constexpr double lower_bound(std::size_t bucket) noexcept {  // also of `buckets`: the end of the last
  return static_cast<double>((parts + bucket % parts) << (bucket / parts + smallest_octave - 6));
}

// Answers that were settled in one stretch of time: what standard errors are made of.
struct Round {
  std::int64_t number = 0;  // of the stretch: its start is this times its width
  std::uint32_t n = 0, correct = 0, skilled = 0, scored = 0;
  std::int64_t brier = 0, quality = 0, skill = 0;  // fixed

  void add(const Round& other) noexcept {
    performance::add(n, other.n), performance::add(correct, other.correct), performance::add(skilled, other.skilled);
    performance::add(scored, other.scored), performance::add(brier, other.brier);
    performance::add(quality, other.quality), performance::add(skill, other.skill);
  }
  void add(const SettledSums& other) noexcept {
    add(Round{.n = other.n, .correct = other.correct, .skilled = other.skilled, .scored = other.scored,
              .brier = other.brier, .quality = other.quality, .skill = other.skill});
  }
};
static_assert(sizeof(Round) == 48);

// Rounds in the order of time, at most 32 of them, all of one width, which doubles whenever there would be more: which
// rounds there are follows from the times that were settled, in whatever order they came, and so rounds of several add up.
class Rounds {
 public:
  static constexpr std::size_t most = 32;
  static constexpr Time shortest = 60'000'000'000;  // a minute

  std::size_t size() const noexcept { return size_; }
  const Round& operator[](std::size_t i) const noexcept { return rounds_[i]; }
  int doublings() const noexcept { return doublings_; }

  void add(std::int64_t minute, const Round& more) noexcept;  // its own number is not looked at
  void add(const Rounds& other) noexcept;
  // Of a stretch of one's own width.
  void add_own(std::int64_t number, const Round& more) noexcept { insert(number, more); }

  template <class Writer>
  void save(Writer& out) const {
    out.put(doublings_);
    out.put(static_cast<std::uint8_t>(size_));
    for (std::size_t i = 0; i < size_; ++i) put_round(out, rounds_[i]);
  }
  template <class Reader>
  void load(Reader& in) {
    std::uint8_t n = 0;
    in.get(doublings_);
    in.get(n);
    in.require(doublings_ >= 0 && doublings_ < 40 && n <= most);
    for (size_ = 0; in.ok() && size_ < n; ++size_) {
      get_round(in, rounds_[size_]);
      in.require(size_ == 0 || rounds_[size_ - 1].number < rounds_[size_].number);
    }
  }

 private:
  template <class Writer>
  static void put_round(Writer& out, const Round& r) {
    out.put(r.number), out.put(r.n), out.put(r.correct), out.put(r.skilled), out.put(r.scored);
    out.put(r.brier), out.put(r.quality), out.put(r.skill);
  }
  template <class Reader>
  static void get_round(Reader& in, Round& r) {
    in.get(r.number), in.get(r.n), in.get(r.correct), in.get(r.skilled), in.get(r.scored);
    in.get(r.brier), in.get(r.quality), in.get(r.skill);
  }
  void insert(std::int64_t number, const Round& more) noexcept;
  void widen() noexcept;

  std::size_t size_ = 0;
  std::int8_t doublings_ = 0;
  std::array<Round, most> rounds_ = {};
};

}  // namespace performance

// Everything of some calls and settled answers, merged. NaN where there is nothing.
struct PerformanceReading {
  performance::CallSums calls = {};
  performance::SettledSums settled = {};
  performance::ResourceSums resources = {};
  std::array<std::uint32_t, performance::buckets> latency = {};
  performance::Rounds rounds = {};  // panes of the window; of all time: what has become of minutes
  Time shortest_round = performance::Rounds::shortest;

  void add(const PerformanceReading& other) noexcept;  // of the same window and now
  Time round_width() const noexcept { return shortest_round << rounds.doublings(); }

  static double share(std::uint32_t part, std::uint32_t whole) noexcept {
    return whole > 0 ? static_cast<double>(part) / static_cast<double>(whole) : nan;
  }
  static double mean(std::int64_t fixed_sum, std::uint32_t n) noexcept {
    return n > 0 ? static_cast<double>(fixed_sum) / performance::unit / static_cast<double>(n) : nan;
  }

  std::uint32_t succeeded() const noexcept { return calls.calls - std::min(calls.calls, calls.failed + calls.cancelled); }
  double success_rate() const noexcept { return share(succeeded(), calls.calls); }
  double error_rate() const noexcept { return share(calls.failed, calls.calls); }
  double timeout_rate() const noexcept { return share(calls.timeouts, calls.calls); }
  double latency_mean_ms() const noexcept {
    return calls.timed > 0 ? static_cast<double>(calls.latency) * 1e-6 / static_cast<double>(calls.timed) : nan;
  }
  // The latency that a share q of those known does not exceed (the ceil(q n)-th shortest), in milliseconds, within 1/129.
  double latency_ms(double q) const noexcept;
  double cost_per_call_usd() const noexcept {
    return calls.calls > 0 ? to_usd(calls.cost) / static_cast<double>(calls.calls) : nan;
  }
  double confidence() const noexcept { return mean(calls.confidence, calls.confident); }

  double accuracy() const noexcept { return share(settled.correct, settled.n); }
  double brier() const noexcept { return mean(settled.brier, settled.n); }
  double log_loss() const noexcept { return mean(settled.log_loss, settled.n); }
  double quality() const noexcept { return mean(settled.quality, settled.scored); }
  double skill() const noexcept { return mean(settled.skill, settled.skilled); }
  double skill_deviation() const noexcept;  // of one answer's: the standard deviation, NaN for fewer than two
  double calibration_error() const noexcept;
};

}  // namespace fairlead
