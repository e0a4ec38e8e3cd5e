// Numbers that are random and always the same: xoshiro256++ (D. Blackman and S. Vigna, 2019), seeded by splitmix64.
#pragma once

#include <bit>
#include <cstdint>

namespace fairlead {

class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept {
    for (std::uint64_t& word : state_) {
      seed += 0x9e3779b97f4a7c15u;
      std::uint64_t z = seed;
      z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
      z = (z ^ z >> 27) * 0x94d049bb133111ebu;
      word = z ^ z >> 31;
    }
  }

  std::uint64_t next() noexcept {
    const std::uint64_t out = std::rotl(state_[0] + state_[3], 23) + state_[0];
    const std::uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return out;
  }

  // Uniform in [0, 1).
  double uniform() noexcept { return static_cast<double>(static_cast<std::int64_t>(next() >> 11)) * 0x1p-53; }

 private:
  std::uint64_t state_[4];
};

}  // namespace fairlead
