// Latencies of one model in constant memory: a histogram whose buckets grow with what they hold, and which forgets.
//
// Each octave of nanoseconds has 16 buckets of one width (as in HdrHistogram, G. Tene), from 1 microsecond to 73 minutes;
// what is shorter or longer lands in the first or last. A quantile is interpolated within its bucket, so that it is off by
// less than 1/16 of itself. Decay is forward (Cormode, Shkapenyuk, Srivastava, Xu, "Forward decay", ICDE 2009): each new
// latency weighs a little more than the one before, so that adding one is O(1) and nothing is ever aged one by one.
// Precision: weights are float; the sums of octaves, and so which octave a quantile lies in, are rounded apart from theirs.
// Memory: 2.2 KB, no allocation. Nothing but additions, multiplications and divisions: the same bits on every machine.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "fairlead/snapshot.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class LatencyHistogram {
 public:
  static constexpr std::size_t octaves = 32, parts = 16;
  static constexpr double half_life = 200.0;  // latencies, to a part in five hundred

  // Below 0: unknown, and left out.
  void add(Time latency) noexcept {
    if (latency < 0) return;
    const std::size_t at = bucket(static_cast<std::uint64_t>(latency));
    weights_[at] += weight_;
    sums_[at / parts] += weight_;
    ++n_;
    weight_ *= growth;
    if (weight_ > heaviest) rescale();
  }

  // The latency that a share q of them does not exceed, in nanoseconds; -1 where there is none yet.
  Time quantile(double q) const noexcept {
    if (n_ == 0) return -1;
    float total = 0.0f;
    for (const float sum : sums_) total += sum;
    float left = total * static_cast<float>(q >= 0.0 ? std::min(q, 1.0) : 0.0);
    std::size_t octave = 0;
    for (std::size_t k = 0; k < octaves; ++k) {
      if (sums_[k] <= 0.0f) continue;
      octave = k;  // rounding may leave a crumb after the last
      if (left <= sums_[k]) break;
      left -= sums_[k];
    }
    std::size_t at = octave * parts;
    for (std::size_t k = octave * parts; k < (octave + 1) * parts; ++k) {
      if (weights_[k] <= 0.0f) continue;
      at = k;
      if (left <= weights_[k]) break;
      left -= weights_[k];
    }
    const float share = weights_[at] > 0.0f ? std::clamp(left / weights_[at], 0.0f, 1.0f) : 1.0f;
    return lower(at) + static_cast<Time>(static_cast<double>(lower(at + 1) - lower(at)) * static_cast<double>(share));
  }

  std::uint64_t n() const noexcept { return n_; }  // latencies that came

  void save(SnapshotWriter& writer) const {
    writer.put(n_);
    writer.put(weight_);
    writer.put_raw(std::span<const float>(weights_));
    writer.put_raw(std::span<const float>(sums_));
  }
  void load(SnapshotReader& reader) noexcept {
    reader.get(n_);
    reader.get(weight_);
    reader.get_raw(std::span<float>(weights_));
    reader.get_raw(std::span<float>(sums_));
    const auto sane = [](float weight) { return weight >= 0.0f && weight <= 1e30f; };
    reader.require(weight_ >= 1.0f && weight_ <= heaviest && std::all_of(weights_.begin(), weights_.end(), sane) &&
                   std::all_of(sums_.begin(), sums_.end(), sane));
  }

 private:
  static constexpr int smallest = 10;  // 2^10 ns
  static constexpr float growth = 1.0f + 0.693147181f / static_cast<float>(half_life);
  static constexpr float heaviest = 1048576.0f;

  static std::size_t bucket(std::uint64_t latency) noexcept {
    if (latency < (1u << smallest)) return 0;
    const auto octave = static_cast<std::size_t>(std::bit_width(latency)) - 1;
    if (octave >= smallest + octaves) return octaves * parts - 1;
    return (octave - smallest) * parts + ((latency >> (octave - 4)) & (parts - 1));
  }
  static Time lower(std::size_t at) noexcept {
    if (at == 0) return 0;
    return static_cast<Time>((parts + at % parts) << (at / parts + smallest - 4));
  }

  // A power of two: no weight is rounded. What weighs a billionth of the newest is nothing.
  void rescale() noexcept {
    const auto shrink = [](float& weight) {
      weight *= 1.0f / heaviest;
      if (weight < 1e-9f) weight = 0.0f;
    };
    for (float& weight : weights_) shrink(weight);
    for (float& sum : sums_) shrink(sum);
    weight_ = std::max(weight_ / heaviest, 1.0f);
  }

  std::array<float, octaves * parts> weights_{};
  std::array<float, octaves> sums_{};  // of each octave, so that a quantile looks at 48 numbers, not 512
  float weight_ = 1.0f;                // of the next latency
  std::uint64_t n_ = 0;
};

}  // namespace fairlead
