// KSWIN, a Kolmogorov-Smirnov test on a sliding window (C. Raab, M. Heusinger, F.-M. Schleif, "Reactive soft
// prototype computing for concept drift streams", Neurocomputing 416, 2020). At each event the newest stat_size
// values are compared with as many drawn without replacement from the older ones in the window. Drift when the exact
// two-sided p-value is at most alpha and the distance is above 0.1; then the newest values stay and the window fills
// up again.
//
// Warning: the p-value is at most warning_alpha.
// p-value of two samples of r without ties at distance h / r (B. V. Gnedenko, V. S. Korolyuk 1951):
//   2 sum_{j >= 1} (-1)^(j-1) C(2r, r - jh) / C(2r, r)
// Randomness: SplitMix64 (G. Steele, D. Lea, C. Flood, OOPSLA 2014) from `seed`; draws are integers, so the same seed
// and events give the same answers everywhere.
// Memory: 16 bytes a value of the window, all at construction. Time: O(log window) and moving up to 8 bytes a value
// of it, O(stat_size) to compare.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <vector>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct KswinOptions {
  double alpha = 0.005;
  std::int64_t window_size = 100;
  std::int64_t stat_size = 30;
  std::uint64_t seed = 0;
  double warning_alpha = nan;  // NaN: ten times alpha, at most 1
};

class Kswin : public Detector<Kswin> {
 public:
  using Options = KswinOptions;
  static constexpr const char* name = "detectors.kswin";
  static constexpr std::int64_t largest_window = 1'000'000;

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (!(o.alpha > 0.0 && o.alpha < 1.0)) return OptionFault{"alpha", o.alpha, "in (0, 1)"};
    if (o.window_size < 2 || o.window_size > largest_window) {
      return OptionFault{"window_size", static_cast<double>(o.window_size), "in [2, 1e6]"};
    }
    if (o.stat_size < 1 || o.stat_size > o.window_size / 2) {
      return OptionFault{"stat_size", static_cast<double>(o.stat_size), "in [1, window_size / 2]", "window_size",
                         static_cast<double>(o.window_size)};
    }
    if (!std::isnan(o.warning_alpha) && !(o.warning_alpha >= o.alpha && o.warning_alpha <= 1.0)) {
      return OptionFault{"warning_alpha", o.warning_alpha, "in [alpha, 1]", "alpha", o.alpha};
    }
    return std::nullopt;
  }

  explicit Kswin(const Options& options = {}) : options_(options) {
    options_.window_size = std::clamp<std::int64_t>(options_.window_size, 2, largest_window);
    options_.stat_size = std::clamp<std::int64_t>(options_.stat_size, 1, options_.window_size / 2);
    options_.warning_alpha = given_or(options_.warning_alpha, std::min(10.0 * options_.alpha, 1.0));
    prepare();
  }

  const Options& options() const noexcept { return options_; }

  std::size_t width() const noexcept { return held_; }
  // Of the last test: the distance in [0, 1] and how likely it is at least that large by chance. NaN before the first.
  double statistic() const noexcept {
    return tested_ ? static_cast<double>(distance_) / static_cast<double>(r()) : nan;
  }
  double p_value() const noexcept { return tested_ ? p_value(distance_, r()) : nan; }

  // How likely two samples of r from one continuous distribution are h / r apart or more.
  static double p_value(std::size_t h, std::size_t r) noexcept {
    if (h == 0) return 1.0;
    double sum = 0.0, sign = 1.0;
    for (std::size_t k = h; k <= r; k += h, sign = -sign) {
      double term = 1.0;  // C(2r, r - k) / C(2r, r)
      for (std::size_t i = 1; i <= k && term > 0.0; ++i) {
        term *= static_cast<double>(r - k + i) / static_cast<double>(r + i);
      }
      sum += sign * term;
      if (term < 1e-30) break;
    }
    return std::clamp(2.0 * sum, 0.0, 1.0);
  }

 private:
  friend Detector<Kswin>;

  static bool accepts(double x) noexcept { return is_number(x); }

  std::size_t r() const noexcept { return static_cast<std::size_t>(options_.stat_size); }
  std::size_t window() const noexcept { return static_cast<std::size_t>(options_.window_size); }

  void step(double x) noexcept {
    const std::size_t older = held_ > r() ? held_ - r() : 0;
    if (held_ < r()) {
      replace(recent_.data(), held_, nullptr, x);
    } else {
      const double passed = ring_[back(r())];
      replace(recent_.data(), r(), &passed, x);
      if (held_ < window()) {
        replace(older_.data(), older, nullptr, passed);
      } else {
        const double left = ring_[end_];
        replace(older_.data(), older, &left, passed);
      }
    }
    ring_[end_] = x;
    end_ = end_ + 1 == window() ? 0 : end_ + 1;
    held_ = std::min(held_ + 1, window());
    if (held_ < window()) return;
    tested_ = true;
    distance_ = distance();
    drift_ = distance_ >= drift_at_;
    warning_ = distance_ >= warning_at_;
  }

  // What is newer than the drift stays.
  void restart() noexcept {
    held_ = std::min(held_, r());
    tested_ = warning_ = false;
  }

  void reset_state() noexcept {
    held_ = end_ = distance_ = 0;
    tested_ = false;
    random_ = options_.seed;
  }

  // The slot of the i-th newest value, i from 1.
  std::size_t back(std::size_t i) const noexcept { return end_ >= i ? end_ - i : end_ + window() - i; }

  // Puts x into the sorted values in place of `out`, which is one of them, or in addition.
  static void replace(double* values, std::size_t n, const double* out, double x) noexcept {
    double* const end = values + n;
    double* from = out != nullptr ? std::lower_bound(values, end, *out) : end;
    double* const to = std::upper_bound(values, end, x);
    if (to <= from) {
      std::move_backward(to, from, from + 1);
      *to = x;
    } else {
      std::move(from + 1, to, from);
      *(to - 1) = x;
    }
  }

  // Times r, of the newest values from as many of the older ones.
  std::size_t distance() noexcept {
    const std::size_t n = window() - r();
    // R. Floyd's way to draw without replacement (J. Bentley, CACM 30, 1987), over ranks, which come out sorted.
    for (std::size_t i = n - r(); i < n; ++i) {
      const std::size_t drawn = below(i + 1);
      mark(marked(drawn) ? i : drawn);
    }
    std::size_t k = 0;
    for (std::size_t word = 0; word < marks_.size(); ++word) {
      for (std::uint64_t bits = marks_[word]; bits != 0; bits &= bits - 1) {
        drawn_[k++] = older_[64 * word + static_cast<std::size_t>(std::countr_zero(bits))];
      }
      marks_[word] = 0;
    }
    std::size_t i = 0, j = 0, most = 0;
    while (i < r() && j < r()) {
      const double x = std::min(drawn_[i], recent_[j]);
      while (i < r() && drawn_[i] <= x) ++i;
      while (j < r() && recent_[j] <= x) ++j;
      most = std::max(most, i > j ? i - j : j - i);
    }
    return most;
  }

  bool marked(std::size_t i) const noexcept { return (marks_[i / 64] >> (i % 64) & 1u) != 0; }
  void mark(std::size_t i) noexcept { marks_[i / 64] |= std::uint64_t{1} << (i % 64); }

  // Uniform in [0, bound): D. Lemire's multiplication, with rejection ("Fast random integer generation in an
  // interval", 2019).
  std::size_t below(std::size_t bound) noexcept {
    const auto limit = static_cast<std::uint32_t>(bound);
    std::uint64_t product = (next() >> 32) * limit;
    if (static_cast<std::uint32_t>(product) < limit) {
      const std::uint32_t threshold = (0u - limit) % limit;
      while (static_cast<std::uint32_t>(product) < threshold) product = (next() >> 32) * limit;
    }
    return static_cast<std::size_t>(product >> 32);
  }

  std::uint64_t next() noexcept {
    std::uint64_t z = random_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  void prepare() {
    ring_.assign(window(), 0.0);
    older_.assign(window() - r(), 0.0);
    recent_.assign(r(), 0.0);
    drawn_.assign(r(), 0.0);
    marks_.assign((window() - r() + 63) / 64, 0);
    random_ = options_.seed;
    drift_at_ = std::max(critical(options_.alpha), r() / 10 + 1);
    warning_at_ = std::max(critical(options_.warning_alpha), r() / 10 + 1);
  }

  // The least distance, times r, with a p-value of at most alpha; more than r where there is none.
  std::size_t critical(double alpha) const noexcept {
    std::size_t low = 0, high = r() + 1;
    while (low + 1 < high) {
      const std::size_t middle = (low + high) / 2;
      (p_value(middle, r()) <= alpha ? high : low) = middle;
    }
    return high;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.alpha, o.window_size, o.stat_size, o.seed, o.warning_alpha);
  }

  // The window oldest first; the rest follows from it.
  void save_more(SnapshotWriter& writer) const {
    std::vector<double> values(held_);
    for (std::size_t i = 0; i < held_; ++i) values[i] = ring_[back(held_ - i)];
    writer.put(values);
    writer.put(random_);
    writer.put(static_cast<std::uint8_t>(tested_));
    writer.put(static_cast<std::uint64_t>(distance_));
  }

  void load_more(SnapshotReader& reader) {
    std::vector<double> values;
    std::uint64_t random = 0, far = 0;
    std::uint8_t tested = 0;
    reader.get(values);
    reader.get(random);
    reader.get(tested);
    reader.get(far);
    reader.require(reader.ok() && values.size() <= window() && tested <= 1 && far <= r() && !fault(options_));
    reader.require(std::all_of(values.begin(), values.end(), accepts));
    if (!reader.ok()) return;
    prepare();
    held_ = values.size();
    end_ = held_ == window() ? 0 : held_;
    std::copy(values.begin(), values.end(), ring_.begin());
    const std::size_t older = held_ > r() ? held_ - r() : 0;
    std::copy_n(values.begin(), older, older_.begin());
    std::copy(values.begin() + static_cast<std::ptrdiff_t>(older), values.end(), recent_.begin());
    std::sort(older_.begin(), older_.begin() + static_cast<std::ptrdiff_t>(older));
    std::sort(recent_.begin(), recent_.begin() + static_cast<std::ptrdiff_t>(held_ - older));
    random_ = random;
    tested_ = tested != 0;
    distance_ = static_cast<std::size_t>(far);
  }

  Options options_;
  std::vector<double> ring_;             // the newest window_size values as they came
  std::vector<double> older_, recent_;   // sorted: all but the newest stat_size of them, and those
  std::vector<double> drawn_;            // of the older ones
  std::vector<std::uint64_t> marks_;     // a bit for each older one; all 0 between tests
  std::size_t held_ = 0, end_ = 0;       // values in the window; the slot for the next
  std::uint64_t random_ = 0;
  std::size_t drift_at_ = 0, warning_at_ = 0, distance_ = 0;  // distances times stat_size
  bool tested_ = false;
};

}  // namespace fairlead
