// Statistics over the last `count` samples, or over the last `span` of time.
//
// RollingWindow answers in O(1) after every sample. It is DABA Lite (K. Tangwongsan, M. Hirzel, S. Schneider, "In-order
// sliding-window aggregation in worst-case constant time", VLDB Journal 30, 2021) over mergeable moments.
//
// Precision: IEEE double; nothing is ever subtracted out of a running sum. Moments are merged by the formula of Chan,
// Golub and LeVeque (1979), so a spike leaves no trace once it has left the window, a variance is never negative, and
// a constant window has variance exactly 0.
// Memory: 56 bytes a sample in the window, in a ring that doubles when it is full and never shrinks.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <new>
#include <vector>

#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

// What is known of a set of samples; `merge` of two disjoint sets is associative up to rounding.
struct Moments {
  double n = 0.0;
  double mean = 0.0;
  double m2 = 0.0;  // sum of squared deviations from the mean
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();

  static Moments of(double x) noexcept { return {1.0, x, 0.0, x, x}; }

  // Variance with n - ddof in the denominator; NaN where that is not positive.
  double variance(double ddof = 1.0) const noexcept { return n > ddof ? m2 / (n - ddof) : nan; }

  friend Moments merge(const Moments& a, const Moments& b) noexcept {
    if (a.n == 0.0) return b;
    if (b.n == 0.0) return a;
    const double both = a.n + b.n;
    const double delta = b.mean - a.mean;
    const double share = b.n / both;
    return {both, a.mean + delta * share, a.m2 + b.m2 + delta * delta * a.n * share, std::min(a.min, b.min),
            std::max(a.max, b.max)};
  }
};

class RollingWindow {
 public:
  // The last `count` samples; 0 is taken as 1.
  static RollingWindow by_count(std::size_t count) { return RollingWindow(std::max<std::size_t>(count, 1), 0); }
  // The samples with time in (now - span, now], where now is the newest time seen; a span below 1 ns is taken as 1.
  static RollingWindow by_time(Time span) { return RollingWindow(0, std::max<Time>(span, 1)); }

  std::size_t max_count() const noexcept { return count_; }
  Time span() const noexcept { return span_; }

  // Adds a sample and drops what has left the window. x must be finite. A count window ignores `time`. In a time
  // window a sample that comes late counts at the newest time seen, so that time never runs backwards.
  Status push(double x, Time time = 0) {
    if (!std::isfinite(x)) return Status::not_finite;
    if (span_ > 0) advance(time);
    if (end_ - front_ == ring_.size()) grow();
    at(end_) = {Moments::of(x), now_};
    ++end_;
    back_sum_ = merge(back_sum_, Moments::of(x));
    fix_up();
    if (count_ > 0 && end_ - front_ > count_) evict();
    return Status::ok;
  }

  // Moves a time window to `time` without a sample. Earlier times than the newest seen change nothing.
  void advance(Time time) noexcept {
    now_ = started_ ? std::max(now_, time) : time;
    started_ = true;
    // Unsigned subtraction cannot overflow, and now_ is never before a sample's time.
    while (span_ > 0 && front_ != end_ &&
           static_cast<std::uint64_t>(now_) - static_cast<std::uint64_t>(at(front_).time) >=
               static_cast<std::uint64_t>(span_)) {
      evict();
    }
  }

  Moments moments() const noexcept {
    return front_ == back_ ? back_sum_ : merge(at(front_).sum, back_sum_);
  }

  std::size_t size() const noexcept { return end_ - front_; }
  // Samples per second of a time window; NaN for a count window.
  double rate() const noexcept {
    return span_ > 0 ? static_cast<double>(size()) / (static_cast<double>(span_) * 1e-9) : nan;
  }

 private:
  struct Slot {
    Moments sum;
    Time time;
  };

  RollingWindow(std::size_t count, Time span) : count_(count), span_(span), ring_(16) {}

  // Positions only grow; the ring's size is a power of two.
  Slot& at(std::size_t position) noexcept { return ring_[position & (ring_.size() - 1)]; }
  const Slot& at(std::size_t position) const noexcept { return ring_[position & (ring_.size() - 1)]; }

  void grow() {
    std::vector<Slot> wider(ring_.size() * 2);
    for (std::size_t i = front_; i != end_; ++i) wider[i & (wider.size() - 1)] = at(i);
    ring_.swap(wider);
  }

  void evict() noexcept {
    ++front_;
    fix_up();
  }

  // The invariant of DABA Lite. Slots hold, by region:
  //   [front, left)     sum of [slot, back)     ready to answer
  //   [left, right)     sum of [slot, right)
  //   [right, inner)    one sample
  //   [inner, back)     sum of [slot, back)
  //   [back, end)       one sample; all of them together are back_sum_
  // right_sum_ is the sum of [right, back). Each push or eviction moves the regions by one step, so that [front, left)
  // is never empty while the window is not.
  void fix_up() noexcept {
    if (front_ == back_) {
      left_ = right_ = inner_ = back_ = end_;
      right_sum_ = back_sum_ = Moments{};
      // With one sample in the window, its slot already holds the sum of itself.
      return;
    }
    if (left_ == back_) {
      left_ = front_;
      right_ = back_;
      inner_ = back_ = end_;
      right_sum_ = back_sum_;
      back_sum_ = Moments{};
    }
    if (left_ == right_) {
      ++left_;
      ++right_;
      ++inner_;
      return;
    }
    at(left_).sum = merge(at(left_).sum, right_sum_);
    ++left_;
    const Moments inner_sum = inner_ == back_ ? Moments{} : at(inner_).sum;
    --inner_;
    at(inner_).sum = merge(at(inner_).sum, inner_sum);
  }

  std::size_t count_;
  Time span_;
  Time now_ = 0;
  bool started_ = false;
  std::vector<Slot> ring_;
  std::size_t front_ = 0, left_ = 0, right_ = 0, inner_ = 0, back_ = 0, end_ = 0;
  Moments right_sum_, back_sum_;
};

// The newest samples with their times, for windows that are written always and read rarely: `push` is one store, and
// any window is folded when it is asked for. Memory: 16 bytes a sample, at most `capacity` of them; the oldest leave
// first.
class History {
 public:
  explicit History(std::size_t capacity = 4096) : capacity_(capacity) {}

  // Times must not decrease; an earlier one counts at the newest seen. Where memory is short the ring stops growing.
  void push(double x, Time time) noexcept {
    if (n_ > 0) time = std::max(time, sample(n_ - 1).time);
    if (n_ == ring_.size() && n_ < capacity_) grow();
    if (n_ < ring_.size()) {
      ring_[n_++] = {x, time};
    } else if (n_ > 0) {
      ring_[first_] = {x, time};
      first_ = first_ + 1 == n_ ? 0 : first_ + 1;
    }
  }

  std::size_t size() const noexcept { return n_; }
  std::size_t capacity() const noexcept { return capacity_; }

  // Takes all the memory it may ever need now, and touches it, so that no page is first touched in a loop.
  void reserve() { ring_.resize(capacity_); }

  // Moments of the samples with time in (now - span, now].
  Moments window(Time span, Time now) const noexcept {
    Moments sum;
    for (std::size_t i = n_; i-- > 0;) {
      const auto [x, time] = sample(i);
      if (time > now) continue;
      if (static_cast<std::uint64_t>(now) - static_cast<std::uint64_t>(time) >= static_cast<std::uint64_t>(span)) break;
      sum = merge(sum, Moments::of(x));
    }
    return sum;
  }

  // The samples that are there, oldest first; memory that was reserved for more is not asked for again.
  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  struct Sample {
    double x;
    Time time;
  };

  // i-th oldest. Until the ring is full for good, first_ is 0 and only n_ of it is in use.
  const Sample& sample(std::size_t i) const noexcept {
    const std::size_t at = first_ + i;
    return ring_[at < ring_.size() ? at : at - ring_.size()];
  }

  void grow() noexcept {
    try {
      ring_.resize(n_ == 0 ? std::min<std::size_t>(capacity_, 8) : std::min(capacity_, 2 * n_));
    } catch (const std::bad_alloc&) {
      capacity_ = n_;
    }
  }

  std::size_t capacity_;
  std::vector<Sample> ring_;
  std::size_t first_ = 0, n_ = 0;
};

}  // namespace fairlead
