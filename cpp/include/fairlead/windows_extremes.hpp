// One chain of candidates for the maximum (or minimum) of all windows that end at the same sample.
//
// A sample that a later one beats can be no window's extreme any more; the rest, oldest first, fall (rise) in value. So
// one chain serves windows of every length: the extreme of a window is the first candidate inside it, to which the
// window keeps an index. A sample beaten is dropped and a window moves on by galloping search: O(1) amortised, O(log n)
// at worst for one sample, where a monotonic deque (D. Lemire, "Streaming maximum-minimum filter", 2006) has O(n). Of
// equal samples the earliest stays. Memory: 4 bytes a sample.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace fairlead::detail {

// Positions count all samples of a key; their low 32 bits tell those in the ring apart, which holds less than 2^31.
template <class Beats>
class Chain {
 public:
  void resize(std::size_t capacity) {
    std::vector<std::uint32_t> wider(capacity);
    for (std::uint64_t i = base_; i != back_; ++i) wider[i & (capacity - 1)] = at(i);
    positions_.swap(wider);
    mask_ = capacity - 1;
  }
  void clear() noexcept { base_ = back_ = 0; }

  // The sample x at `position`; values and mask are those of the ring. Returns the index it got: no window's index may
  // be above it.
  std::uint64_t push(std::uint64_t position, double x, const double* values, std::size_t mask) noexcept {
    const auto beaten = [&](std::uint64_t i) { return Beats{}(x, values[at(i) & mask]); };
    std::uint64_t i = back_;
    if (i - base_ >= 4) {  // without branches: how many are beaten is what no predictor knows
      const std::uint32_t* const p = positions_.data();
      const auto beats = [&](std::uint64_t k) {
        return static_cast<std::uint64_t>(Beats{}(x, values[p[k & mask_] & mask]));
      };
      const std::uint64_t n = (beats(i - 1) + beats(i - 2)) + (beats(i - 3) + beats(i - 4));
      i -= n;
      if (n < 4) return put(i, position);
    }
    while (i != base_ && beaten(i - 1)) {
      if (back_ - --i == 12) {
        i = gallop(i, beaten);
        break;
      }
    }
    return put(i, position);
  }

  // The first index from `i` on that holds `low` or a later position; `back()` if there is none.
  std::uint64_t from(std::uint64_t i, std::uint64_t low) const noexcept {
    const auto before = [&](std::uint64_t k) {
      return static_cast<std::int32_t>(at(k) - static_cast<std::uint32_t>(low)) < 0;
    };
    for (int tries = 0; tries < 4; ++tries, ++i) {
      if (i == back_ || !before(i)) return i;
    }
    std::uint64_t high = back_;
    while (i < high) {
      const std::uint64_t middle = i + (high - i) / 2;
      before(middle) ? i = middle + 1 : high = middle;
    }
    return i;
  }

  std::uint32_t at(std::uint64_t i) const noexcept { return positions_[i & mask_]; }
  std::uint64_t back() const noexcept { return back_; }
  // No index below `base` will be asked for again.
  void forget(std::uint64_t base) noexcept { base_ = base; }

  // What a push overwrites, so that it can be taken back.
  struct Mark {
    std::uint64_t base, back, index;
    std::uint32_t position;
  };
  Mark mark(double x, const double* values, std::size_t mask) noexcept {
    Mark mark{base_, back_, 0, 0};
    const auto beaten = [&](std::uint64_t i) { return Beats{}(x, values[at(i) & mask]); };
    mark.index = gallop(back_, beaten);
    mark.position = at(mark.index);
    return mark;
  }
  void undo(const Mark& mark) noexcept {
    positions_[mark.index & mask_] = mark.position;
    base_ = mark.base;
    back_ = mark.back;
  }

 private:
  std::uint64_t put(std::uint64_t i, std::uint64_t position) noexcept {
    positions_[i & mask_] = static_cast<std::uint32_t>(position);
    back_ = i + 1;
    return i;
  }

  // The first index, of those up to `high`, from which on all are beaten.
  template <class Beaten>
  std::uint64_t gallop(std::uint64_t high, const Beaten& beaten) const noexcept {
    std::uint64_t low = base_, step = 1;
    while (step < high - base_) {
      if (!beaten(high - step)) {
        low = high - step + 1;
        break;
      }
      high -= step;
      step *= 2;
    }
    while (low < high) {
      const std::uint64_t middle = low + (high - low) / 2;
      beaten(middle) ? high = middle : low = middle + 1;
    }
    return low;
  }

  std::vector<std::uint32_t> positions_;  // its size is a power of two
  std::size_t mask_ = 0;
  std::uint64_t base_ = 0, back_ = 0;
};

struct Greater {
  bool operator()(double a, double b) const noexcept { return a > b; }
};
struct Less {
  bool operator()(double a, double b) const noexcept { return a < b; }
};

}  // namespace fairlead::detail
