// GLR: a generalised likelihood ratio test of every cut of the window into before and after, for numbers in [0, 1] such
// as the errors or losses of a model (D. Siegmund, E. S. Venkatraman, "Using the generalized likelihood ratio statistic
// for sequential detection of a change-point", Annals of Statistics 23, 1995; of Bernoulli variables: O.-A. Maillard,
// "Sequential change-point detection", ALT 2019). With n numbers of mean p, cut into a of mean p_a and b newer of mean
// p_b, the statistic is the largest of
//   (a kl(p_a, p) + b kl(p_b, p)) / (phi c),   kl(u, v) = u ln(u / v) + (1 - u) ln((1 - u) / (1 - v)),
// over the cuts that go the way that `mode` asks for; a drift where it is above a threshold that follows from `arl`.
// phi = variance / (p (1 - p)), the dispersion of quasi-likelihood (R. W. M. Wedderburn, Biometrika 61, 1974), is 1 for
// zeros and ones, and lets numbers in between count for what they vary. c = `inflation`: by how much what comes next to
// each other is alike, 1 being independent.
//
// A reference (mean and size) stands before the first event: what is known of the stream from elsewhere. After a drift
// the window keeps what is newer than the cut, and the reference is forgotten.
//
// Warning: the same with a threshold for `warning_arl`; it stands until the next event that can raise the statistic.
// Cuts: between buckets of 2^i events, at most max_buckets of each size, so that a cut is found within about
// 1 / max_buckets of its age. Every event is tested; where it cannot raise the statistic nothing is computed.
// Precision: IEEE double; sums of zeros and ones are exact. A cut is let go without logarithms where chi-square, which
// is never less, is not above the threshold. Memory: fixed at construction, 7 KB by default.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "fairlead/detectors/detector.hpp"

namespace fairlead {

struct GlrOptions {
  double arl = 10'000.0;         // events between false alarms, on average
  double warning_arl = nan;      // of warnings; NaN: a tenth of arl, at least 10
  Direction mode = Direction::up;
  double inflation = 1.0;
  double reference_mean = 0.5;
  double reference_size = 0.0;   // 0: there is none
  std::int64_t max_buckets = 8;
};

class Glr : public Detector<Glr> {
 public:
  using Options = GlrOptions;
  static constexpr const char* name = "detectors.glr";
  static constexpr std::int64_t most_buckets = 64;

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    if (!(o.arl >= 10.0 && o.arl <= 1e12)) return OptionFault{"arl", o.arl, "in [10, 1e12]"};
    if (!std::isnan(o.warning_arl) && !(o.warning_arl >= 10.0 && o.warning_arl <= o.arl)) {
      return OptionFault{"warning_arl", o.warning_arl, "in [10, arl]", "arl", o.arl};
    }
    if (!(o.inflation >= 1.0 && o.inflation <= 1e6)) return OptionFault{"inflation", o.inflation, "in [1, 1e6]"};
    if (!(o.reference_mean >= 0.0 && o.reference_mean <= 1.0)) {
      return OptionFault{"reference_mean", o.reference_mean, "in [0, 1]"};
    }
    if (!(o.reference_size >= 0.0 && o.reference_size <= 1e12)) {
      return OptionFault{"reference_size", o.reference_size, "in [0, 1e12]"};
    }
    if (o.max_buckets < 2 || o.max_buckets > most_buckets) {
      return OptionFault{"max_buckets", static_cast<double>(o.max_buckets), "in [2, 64]"};
    }
    if (o.mode > Direction::both) return OptionFault{"mode", static_cast<double>(o.mode), "up, down or both"};
    return std::nullopt;
  }

  explicit Glr(const Options& options = {}) : options_(options) {
    options_.max_buckets = std::clamp<std::int64_t>(options_.max_buckets, 2, most_buckets);
    options_.warning_arl = given_or(options_.warning_arl, std::max(0.1 * options_.arl, 10.0));
    take_memory();
    prepare();
    reset_state();
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

  std::uint64_t width() const noexcept { return width_; }  // events in the window
  double estimation() const noexcept { return total_n() > 0.0 ? total_sum() / total_n() : nan; }  // reference included
  double threshold() const noexcept { return threshold_; }
  double statistic() const noexcept { return statistic_; }  // at the last test; at least 0
  // Of the last drift: how many of its events came after the change.
  std::uint64_t newer() const noexcept { return newer_; }

  struct Cut {
    std::uint64_t newer = 0;  // events after it
    double statistic = 0.0, before = nan, after = nan;
  };
  // The likeliest change in the window as it stands, however unlikely; newer is 0 where there is none.
  Cut likeliest() const noexcept {
    const Fold all = fold();
    Cut best;
    scan(all, 0.0, best);
    if (best.newer > 0) {
      best.after = best_sum_of(best.newer) / static_cast<double>(best.newer);
      const double older = all.n - static_cast<double>(best.newer);
      best.before = (all.sum - best.after * static_cast<double>(best.newer)) / older;
    }
    return best;
  }

  // What the statistic exceeds once in `arl` events, of which nothing changes: see the calibration in tests.
  static double threshold_of(double arl, Direction mode) noexcept {
    const double l = std::log(arl * (mode == Direction::both ? 2.0 : 1.0));
    return intercept + l;
  }

 private:
  friend Detector<Glr>;

  static constexpr std::size_t most_rows = 53;
  static constexpr double intercept = -0.4;
  static constexpr double prior = 10.0;  // how many events weigh for phi = 1

  struct Fold {
    double n = 0.0, sum = 0.0, scale = 0.0;  // scale: phi times inflation
  };

  static bool accepts(double x) noexcept { return is_share(x); }

  double total_n() const noexcept { return static_cast<double>(width_) + reference_n_; }
  double total_sum() const noexcept { return sum_ + reference_n_ * options_.reference_mean; }

  Fold fold() const noexcept {
    Fold all;
    all.n = total_n();
    all.sum = total_sum();
    const double p = all.n > 0.0 ? all.sum / all.n : 0.0;
    const double binomial = p * (1.0 - p);
    // The reference is taken to vary as much as what came since, of which alone squares are known.
    const double w = static_cast<double>(width_);
    const double mean = w > 0.0 ? sum_ / w : 0.0;
    const double own = mean * (1.0 - mean);
    const double phi = own > 0.0 ? (std::max(squares_ - sum_ * mean, 0.0) + prior * own) / ((w + prior) * own) : 1.0;
    all.scale = binomial > 0.0 ? phi * options_.inflation : 0.0;
    return all;
  }

  void step(double x) noexcept {
    const double mean = total_n() > 0.0 ? total_sum() / total_n() : x;
    push(x);
    // Only an event above the mean can make the newest part higher against the rest, and one below it lower.
    const bool may = (x > mean && sees_up(options_.mode)) || (x < mean && sees_down(options_.mode));
    if (!may) return;
    const Fold all = fold();
    Cut best;
    scan(all, warning_threshold_, best);
    statistic_ = best.statistic;
    drift_ = best.statistic > threshold_;
    warning_ = best.statistic > warning_threshold_;
    if (drift_) newer_ = best.newer;
  }

  // Keeps what is newer than the cut.
  void restart() noexcept {
    std::uint64_t kept = 0;
    const auto most = stride();
    sum_ = squares_ = 0.0;
    std::size_t last = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      const std::uint64_t size = std::uint64_t{1} << row;
      double* const s = sums_.data() + row * most;
      double* const q = squared_.data() + row * most;
      const std::size_t held = counts_[row];
      std::size_t keep = 0;
      while (keep < held && kept + size <= newer_) {
        kept += size;
        ++keep;
        sum_ += s[held - keep];
        squares_ += q[held - keep];
      }
      std::copy(s + held - keep, s + held, s);
      std::copy(q + held - keep, q + held, q);
      counts_[row] = static_cast<std::uint32_t>(keep);
      if (keep > 0) last = row + 1;
    }
    rows_ = last;
    width_ = kept;
    reference_n_ = 0.0;
    statistic_ = 0.0;
    warning_ = false;
  }

  void reset_state() noexcept {
    counts_.fill(0);
    rows_ = 0;
    width_ = newer_ = 0;
    warning_ = false;
    sum_ = squares_ = statistic_ = 0.0;
    reference_n_ = options_.reference_size;
  }

  void push(double x) noexcept {
    const auto most = static_cast<std::uint32_t>(options_.max_buckets);
    const auto wide = stride();
    sum_ += x;
    squares_ += x * x;
    ++width_;
    double sum = x, square = x * x;
    for (std::size_t row = 0; row < most_rows; ++row) {
      double* const s = sums_.data() + row * wide;
      double* const q = squared_.data() + row * wide;
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

  // The best of the cuts whose statistic is above `floor`, from the newest on.
  void scan(const Fold& all, double floor, Cut& best) const noexcept {
    if (!(all.scale > 0.0)) return;
    const bool up = sees_up(options_.mode), down = sees_down(options_.mode);
    const double mean = all.sum / all.n;
    const double spread = all.scale * mean * (1.0 - mean) * all.n;
    double bar = floor * spread;
    double least = floor;
    double b = 0.0, after = 0.0;
    std::uint64_t newer = 0;
    const auto wide = stride();
    for (std::size_t row = 0; row < rows_; ++row) {
      const std::uint64_t size = std::uint64_t{1} << row;
      const double* const s = sums_.data() + row * wide;
      for (std::size_t i = counts_[row]; i-- > 0;) {
        after += s[i];
        newer += size;
        b = static_cast<double>(newer);
        const double a = all.n - b;
        if (!(a > 0.0)) return;
        const double apart = after * all.n - all.sum * b;
        if (apart * apart <= bar * (a * b)) continue;
        if (apart > 0.0 ? !up : !down) continue;
        const double p_b = after / b, p_a = std::clamp((all.sum - after) / a, 0.0, 1.0);
        const double found = (a * kl(p_a, mean) + b * kl(p_b, mean)) / all.scale;
        if (found > least) {
          least = found;
          bar = found * spread;
          best.newer = newer;
          best.statistic = found;
        }
      }
    }
  }

  double best_sum_of(std::uint64_t newer) const noexcept {
    double after = 0.0;
    std::uint64_t seen = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      for (std::size_t i = counts_[row]; i-- > 0 && seen < newer;) {
        after += sums_[row * stride() + i];
        seen += std::uint64_t{1} << row;
      }
    }
    return after;
  }

  static double kl(double u, double v) noexcept {
    const double one = u > 0.0 ? u * std::log(u / v) : 0.0;
    const double other = u < 1.0 ? (1.0 - u) * std::log((1.0 - u) / (1.0 - v)) : 0.0;
    return one + other;
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
    visit(o.arl, o.warning_arl, o.mode, o.inflation, o.reference_mean, o.reference_size, o.max_buckets, s.reference_n_,
          s.sum_, s.squares_, s.statistic_, s.newer_);
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
    reader.require(!fault(options_) && counts.size() < most_rows);
    if (!reader.ok()) return;
    take_memory();
    prepare();
    counts_.fill(0);
    rows_ = counts.size();
    width_ = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      reader.get(sums);
      reader.get(squares);
      reader.require(counts[row] < stride() && sums.size() == counts[row] && squares.size() == counts[row]);
      if (!reader.ok()) return;
      counts_[row] = counts[row];
      std::copy(sums.begin(), sums.end(), sums_.begin() + static_cast<std::ptrdiff_t>(row * stride()));
      std::copy(squares.begin(), squares.end(), squared_.begin() + static_cast<std::ptrdiff_t>(row * stride()));
      width_ += std::uint64_t{counts[row]} << row;
      reader.require(width_ < std::uint64_t{1} << (most_rows - 1));
    }
    reader.require(newer_ <= std::uint64_t{1} << most_rows);
  }

  Options options_;
  double threshold_ = 0.0, warning_threshold_ = 0.0;
  double reference_n_ = 0.0;                             // 0 once it is forgotten
  double sum_ = 0.0, squares_ = 0.0, statistic_ = 0.0;   // of the events in the window
  std::uint64_t width_ = 0, newer_ = 0;
  std::size_t rows_ = 0;
  std::array<std::uint32_t, most_rows> counts_{};  // buckets in use of each size, 2^row
  std::vector<double> sums_, squared_;             // max_buckets of each size and one to come, oldest first
};

}  // namespace fairlead
