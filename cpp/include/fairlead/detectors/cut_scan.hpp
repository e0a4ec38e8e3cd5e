// CutScan: a scan of every cut of a window of numbers in [0, 1], such as the errors of a model, into before and after,
// with a penalty for how many cuts there are of its kind. With n numbers of variance V, cut into a and b of them whose
// means are d apart, the statistic of a cut is the s that solves Bernstein's inequality
//   d = sqrt(2 m V s) + 2/3 m s,   m = c (1 / a + 1 / b),
// less 0.6 ln(n / min(a, b)): short parts can be cut off in more places (L. Duembgen, V. Spokoiny, "Multiscale testing of
// qualitative hypotheses", Annals of Statistics 29, 2001). c = `inflation`: by how much neighbours are alike, 1 being
// independent. A drift where the largest is above a threshold that follows from `arl`, and the means go the way that
// `mode` asks for. As in ADWIN (see there), the oldest bucket is dropped while a cut is found, whatever its way.
//
// Where ADWIN's bound grows with ln(n) for all cuts, this one hardly does for those near the middle: at the same rate
// of false alarms small changes are found sooner, and changes soon after another one.
//
// Cuts: between buckets of 2^i events, at most max_buckets of each size, so that a cut is found within about
// 1 / max_buckets of its age; both parts have min_length events. Tests: every `clock` events.
// Warning: the same with a threshold for `warning_arl`; it stands until the next test.
// Threshold: fitted to simulations of zeros and ones of means from .02 to .98 (tests/measure/test_cut_scan.py).
// Precision: IEEE double; sums of zeros and ones are exact, others are summed anew after a cut, so nothing is left of
// what was dropped. Memory: fixed at construction, 7 KB by default.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct CutScanOptions {
  double arl = 10'000.0;       // events in which there is one false alarm, on average
  double warning_arl = nan;    // of warnings; NaN: a tenth of arl, at least 100
  Direction mode = Direction::up;
  double inflation = 1.0;
  std::int64_t clock = 16;
  std::int64_t max_buckets = 8;
  std::int64_t min_length = 5;
};

class CutScan : public Detector<CutScan> {
 public:
  using Options = CutScanOptions;
  static constexpr const char* name = "detectors.cut_scan";
  static constexpr std::int64_t most_buckets = 64;

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    const auto count = [](std::int64_t value) { return static_cast<double>(value); };
    if (!(o.arl >= 100.0 && o.arl <= 1e12)) return OptionFault{"arl", o.arl, "in [100, 1e12]"};
    if (!std::isnan(o.warning_arl) && !(o.warning_arl >= 100.0 && o.warning_arl <= o.arl)) {
      return OptionFault{"warning_arl", o.warning_arl, "in [100, arl]", "arl", o.arl};
    }
    if (!(o.inflation >= 1.0 && o.inflation <= 1e6)) return OptionFault{"inflation", o.inflation, "in [1, 1e6]"};
    if (o.clock < 1 || o.clock > 1'000'000) return OptionFault{"clock", count(o.clock), "in [1, 1e6]"};
    if (o.max_buckets < 2 || o.max_buckets > most_buckets) {
      return OptionFault{"max_buckets", count(o.max_buckets), "in [2, 64]"};
    }
    if (o.min_length < 1 || o.min_length > 1'000'000) {
      return OptionFault{"min_length", count(o.min_length), "in [1, 1e6]"};
    }
    if (o.mode > Direction::both) return OptionFault{"mode", count(static_cast<int>(o.mode)), "up, down or both"};
    return std::nullopt;
  }

  explicit CutScan(const Options& options = {}) : options_(options) {
    options_.max_buckets = std::clamp<std::int64_t>(options_.max_buckets, 2, most_buckets);
    options_.warning_arl = given_or(options_.warning_arl, std::max(0.1 * options_.arl, 100.0));
    take_memory();
    prepare();
  }

  const Options& options() const noexcept { return options_; }

  // What is known better now. False where it is none; nothing has changed then.
  bool inflate(double inflation) noexcept {
    Options after = options_;
    after.inflation = inflation;
    if (fault(after)) return false;
    options_ = after;
    return true;
  }

  std::uint64_t width() const noexcept { return width_; }
  double estimation() const noexcept { return width_ > 0 ? sum_ / static_cast<double>(width_) : nan; }
  double threshold() const noexcept { return threshold_; }
  double statistic() const noexcept { return statistic_; }  // of the last test; 0 where no cut came near a warning
  // Of the last drift: how many events had come after the change when it was found; the means before and after.
  std::uint64_t newer() const noexcept { return newer_; }
  double before() const noexcept { return before_; }
  double after() const noexcept { return after_; }

  struct Cut {
    std::uint64_t newer = 0;  // events after it; 0: there is none
    double statistic = 0.0, before = nan, after = nan;
  };
  // The likeliest change in the window as it stands, however unlikely.
  Cut likeliest() const noexcept { return scan(-std::numeric_limits<double>::infinity()); }

  // Above it there is at most one false alarm in `arl` events: a line that lies above what was measured from 300 to 1e6.
  static double threshold_of(double arl, Direction mode) noexcept {
    return level + slope * std::log(arl * (mode == Direction::both ? 2.0 : 1.0));
  }

 private:
  friend Detector<CutScan>;

  static constexpr std::size_t most_rows = 53;
  static constexpr double level = -2.8, slope = 0.6;
  static constexpr double penalty = 0.6;
  static constexpr double third = 2.0 / 3.0;

  static bool accepts(double x) noexcept { return is_share(x); }

  void step(double x) noexcept {
    push(x);
    if (++ticks_ < static_cast<std::uint64_t>(options_.clock)) return;
    ticks_ = 0;
    const Cut best = scan(warning_threshold_);
    statistic_ = std::max(best.statistic, 0.0);
    const bool ours = best.after > best.before ? sees_up(options_.mode) : sees_down(options_.mode);
    warning_ = best.newer > 0 && ours;
    if (best.newer == 0 || best.statistic <= threshold_) return;
    drift_ = ours;
    if (ours) {
      newer_ = best.newer;
      before_ = best.before;
      after_ = best.after;
    }
    do {
      drop_oldest();
    } while (scan(threshold_).newer > 0);
    sum_anew();
  }

  void restart() noexcept {}

  void reset_state() noexcept {
    counts_.fill(0);
    rows_ = 0;
    width_ = newer_ = ticks_ = 0;
    sum_ = squares_ = statistic_ = 0.0;
    before_ = after_ = nan;
    warning_ = false;
  }

  void push(double x) noexcept {
    const auto most = static_cast<std::uint32_t>(options_.max_buckets);
    sum_ += x;
    squares_ += x * x;
    ++width_;
    double sum = x, square = x * x;
    for (std::size_t row = 0; row < most_rows; ++row) {
      double* const s = sums_.data() + row * stride();
      double* const q = squared_.data() + row * stride();
      rows_ = std::max(rows_, row + 1);
      s[counts_[row]] = sum;
      q[counts_[row]] = square;
      if (++counts_[row] <= most) return;
      sum = s[0] + s[1];
      square = q[0] + q[1];
      counts_[row] -= 2;
      std::copy_n(s + 2, counts_[row], s);
      std::copy_n(q + 2, counts_[row], q);
    }
  }

  void drop_oldest() noexcept {
    const std::size_t row = rows_ - 1;
    double* const s = sums_.data() + row * stride();
    double* const q = squared_.data() + row * stride();
    sum_ -= s[0];
    squares_ -= q[0];
    width_ -= std::uint64_t{1} << row;
    --counts_[row];
    std::copy_n(s + 1, counts_[row], s);
    std::copy_n(q + 1, counts_[row], q);
    if (counts_[row] == 0) --rows_;
  }

  void sum_anew() noexcept {
    sum_ = squares_ = 0.0;
    for (std::size_t row = rows_; row-- > 0;) {
      for (std::size_t i = 0; i < counts_[row]; ++i) {
        sum_ += sums_[row * stride() + i];
        squares_ += squared_[row * stride() + i];
      }
    }
  }

  // The best of the cuts whose statistic is above `floor`.
  Cut scan(double floor) const noexcept {
    Cut best;
    double least = floor, best_sum = 0.0;
    const auto n = static_cast<double>(width_);
    const double mean = sum_ / n;
    const double variance = std::max(squares_ / n - mean * mean, 0.0);
    if (!(variance > 0.0)) return best;
    const auto shortest = static_cast<double>(options_.min_length);
    const double c = options_.inflation;
    // A cut is let go where even without penalty and the second term of the bound it would not do.
    const double spread = 2.0 * c * variance * n * (1.0 - 1e-9);
    double newest = 0.0, b = 0.0;
    std::uint64_t newer = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      const double* const s = sums_.data() + row * stride();
      for (std::size_t i = counts_[row]; i-- > 0;) {
        newest += s[i];
        newer += std::uint64_t{1} << row;
        b = static_cast<double>(newer);
        const double a = n - b;
        if (b < shortest) continue;
        if (a < shortest) return found(best, best_sum);
        const double scaled = newest * n - sum_ * b;  // a b times how far the means are apart
        if (scaled * scaled <= std::max(least, 0.0) * spread * (a * b)) continue;
        const double apart = std::abs(scaled) / (a * b);
        const double m = c * (n / (a * b));
        // The positive root of 2/3 m r^2 + sqrt(2 m V) r = apart, r being the root of s.
        const double linear = std::sqrt(2.0 * m * variance), square = third * m;
        const double root = 2.0 * apart / (linear + std::sqrt(linear * linear + 4.0 * square * apart));
        const double statistic = root * root - penalty * std::log(n / std::min(a, b));
        if (statistic > least) {
          least = best.statistic = statistic;
          best.newer = newer;
          best_sum = newest;
        }
      }
    }
    return found(best, best_sum);
  }

  Cut found(Cut best, double newest) const noexcept {
    if (best.newer > 0) {
      const auto b = static_cast<double>(best.newer);
      best.after = newest / b;
      best.before = (sum_ - newest) / (static_cast<double>(width_) - b);
    }
    return best;
  }

  std::size_t stride() const noexcept { return static_cast<std::size_t>(options_.max_buckets) + 1; }

  void take_memory() {
    sums_.assign(most_rows * stride(), 0.0);
    squared_ = sums_;
  }

  void prepare() noexcept {
    threshold_ = threshold_of(options_.arl, options_.mode);
    warning_threshold_ = threshold_of(options_.warning_arl, options_.mode);
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.arl, o.warning_arl, o.mode, o.inflation, o.clock, o.max_buckets, o.min_length, s.sum_, s.squares_,
          s.statistic_, s.before_, s.after_, s.newer_, s.ticks_);
  }

  void save_more(SnapshotWriter& writer) const {
    writer.put(std::span(counts_.data(), rows_));
    for (std::size_t row = 0; row < rows_; ++row) {
      writer.put(std::span(sums_.data() + row * stride(), counts_[row]));
      writer.put(std::span(squared_.data() + row * stride(), counts_[row]));
    }
  }

  void load_more(SnapshotReader& reader) {
    std::vector<std::uint32_t> counts;
    std::vector<double> sums, squares;
    reader.get(counts);
    reader.require(!fault(options_) && counts.size() < most_rows && ticks_ < static_cast<std::uint64_t>(options_.clock));
    if (!reader.ok()) return;
    take_memory();
    prepare();
    counts_.fill(0);
    rows_ = counts.size();
    width_ = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      reader.get(sums);
      reader.get(squares);
      reader.require(counts[row] > 0 && counts[row] < stride() && sums.size() == counts[row] &&
                     squares.size() == counts[row]);
      if (!reader.ok()) return;
      counts_[row] = counts[row];
      std::copy(sums.begin(), sums.end(), sums_.begin() + static_cast<std::ptrdiff_t>(row * stride()));
      std::copy(squares.begin(), squares.end(), squared_.begin() + static_cast<std::ptrdiff_t>(row * stride()));
      width_ += std::uint64_t{counts[row]} << row;
      reader.require(width_ < std::uint64_t{1} << (most_rows - 1));
    }
  }

  Options options_;
  double threshold_ = 0.0, warning_threshold_ = 0.0;
  double sum_ = 0.0, squares_ = 0.0, statistic_ = 0.0;
  double before_ = nan, after_ = nan;
  std::uint64_t width_ = 0, newer_ = 0, ticks_ = 0;
  std::size_t rows_ = 0;
  std::array<std::uint32_t, most_rows> counts_{};  // buckets in use of each size, 2^row
  std::vector<double> sums_, squared_;             // max_buckets of each size and one to come, oldest first
};

}  // namespace fairlead
