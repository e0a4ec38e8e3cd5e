// ADWIN: the window of all that is consistent with one mean (A. Bifet, R. Gavalda, "Learning from time-changing data
// with adaptive windowing", SIAM SDM 2007). Every `clock` events each cut of the window into an old and a new part is
// tested: while their means differ by more than sqrt(2 m V d) + 2/3 m d the oldest bucket is dropped, where V is the
// variance of the window, m = 1 / (n0 - l + 1) + 1 / (n1 - l + 1) with the lengths n0, n1 >= l = min_window_length of
// the parts, and d = ln(2 ln(n0 + n1) / delta). What is newer than the drift stays in the window, as in MOA.
//
// Warning: the same test with `warning_delta` finds a cut. It stands until the next test, `clock` events later.
// Precision: a bucket holds the sum of 2^i events and their squared deviations (Chan, Golub, LeVeque 1979); mean and
// variance of the window are folded from the buckets at each test, around the mean. Nothing is subtracted out of a
// running sum, so a spike leaves no trace once it has left the window, and an offset of 1e9 costs no digits.
// Memory: O(max_buckets log n) is used; all of it, 5 KB by default, is taken at construction. Events wait in a buffer
// of 32 and go into the buckets together, just as they would have one by one.
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

struct AdwinOptions {
  double delta = 0.002;                // confidence: smaller, fewer false alarms
  std::int64_t clock = 32;             // events between tests
  std::int64_t max_buckets = 5;        // of each size; more, finer cuts
  std::int64_t min_window_length = 5;  // of both parts of a cut
  std::int64_t grace_period = 10;      // no test before the window is longer
  double warning_delta = nan;          // NaN: ten times delta, at most 1
  Direction mode = Direction::both;    // which changes count; the window adapts to all
};

class Adwin : public Detector<Adwin> {
 public:
  using Options = AdwinOptions;
  static constexpr const char* name = "detectors.adwin";
  static constexpr std::int64_t most_buckets = 64;
  static constexpr std::size_t batch = 32;

  static std::optional<OptionFault> fault(const Options& o) noexcept {
    constexpr std::int64_t most = 1'000'000'000;
    const auto count = [](std::int64_t value) { return static_cast<double>(value); };
    if (!(o.delta > 0.0 && o.delta < 1.0)) return OptionFault{"delta", o.delta, "in (0, 1)"};
    if (o.clock < 1 || o.clock > most) return OptionFault{"clock", count(o.clock), "in [1, 1e9]"};
    if (o.max_buckets < 2 || o.max_buckets > most_buckets) {
      return OptionFault{"max_buckets", count(o.max_buckets), "in [2, 64]"};
    }
    if (o.min_window_length < 1 || o.min_window_length > most) {
      return OptionFault{"min_window_length", count(o.min_window_length), "in [1, 1e9]"};
    }
    if (o.grace_period < 0 || o.grace_period > most) {
      return OptionFault{"grace_period", count(o.grace_period), "in [0, 1e9]"};
    }
    if (!std::isnan(o.warning_delta) && !(o.warning_delta >= o.delta && o.warning_delta <= 1.0)) {
      return OptionFault{"warning_delta", o.warning_delta, "in [delta, 1]", "delta", o.delta};
    }
    if (o.mode > Direction::both) return OptionFault{"mode", count(static_cast<int>(o.mode)), "up, down or both"};
    return std::nullopt;
  }

  explicit Adwin(const Options& options = {}) : options_(options) {
    options_.max_buckets = std::clamp<std::int64_t>(options_.max_buckets, 2, most_buckets);
    options_.warning_delta = given_or(options_.warning_delta, std::min(10.0 * options_.delta, 1.0));
    take_memory();
  }

  const Options& options() const noexcept { return options_; }

  std::uint64_t width() const noexcept { return width_ + waiting_; }
  // Of the window; NaN while it is empty.
  double estimation() const noexcept {
    const Fold all = fold();
    return width() > 0 ? all.mean + all.rest / all.n : nan;
  }
  double variance() const noexcept {  // with n in the denominator
    const Fold all = fold();
    return width() > 0 ? all.m2 / all.n : nan;
  }
  double total() const noexcept {
    const Fold all = fold();
    return all.n * all.mean + all.rest;
  }

 private:
  friend Detector<Adwin>;

  // Rows enough for 2^53 events.
  static constexpr std::size_t most_rows = 53;

  // What is known of the window. rest: sum of deviations from the mean, which is rounding alone.
  struct Fold {
    double n = 0.0, mean = 0.0, m2 = 0.0, rest = 0.0;
  };

  static bool accepts(double x) noexcept { return is_number(x); }

  void step(double x) noexcept {
    buffer_[waiting_++] = x;
    ++ticks_;
    const bool test = ticks_ == static_cast<std::uint64_t>(options_.clock);
    if (!test && waiting_ < batch) return;
    flush();
    if (!test) return;
    ticks_ = 0;
    warning_ = false;
    if (width_ > static_cast<std::uint64_t>(options_.grace_period)) shrink();
  }

  void restart() noexcept {}

  void reset_state() noexcept {
    counts_.fill(0);
    rows_ = waiting_ = 0;
    ticks_ = width_ = 0;
  }

  // Puts the buffer into the buckets. A row of more than max_buckets merges its two oldest into one bucket of the next;
  // all the merges that a batch causes in a row are made at once.
  void flush() noexcept {
    constexpr std::size_t held_most = static_cast<std::size_t>(most_buckets);
    const auto most = static_cast<std::size_t>(options_.max_buckets);
    // In each, what a row holds stands before position held_most, what comes in behind it.
    std::array<double, held_most + batch> sums_a, sums_b, squares_a, squares_b;
    double *sums = sums_a.data(), *squares = squares_a.data();
    double *next_sums = sums_b.data(), *next_squares = squares_b.data();
    std::size_t incoming = waiting_;
    std::copy_n(buffer_.data(), incoming, sums + held_most);
    std::fill_n(squares + held_most, incoming, 0.0);
    width_ += waiting_;
    waiting_ = 0;
    double size = 1.0;
    for (std::size_t row = 0; incoming > 0; ++row, size *= 2.0) {
      double* const row_sums = sums_.data() + row * most;
      double* const row_squares = squares_.data() + row * most;
      const std::size_t held = counts_[row];
      const std::size_t all = held + incoming;
      const std::size_t merges = all > most ? (all - most + 1) / 2 : 0;
      double* const s = sums + held_most - held;
      double* const q = squares + held_most - held;
      std::copy_n(row_sums, held, s);
      std::copy_n(row_squares, held, q);
      const double inverse = 1.0 / size, half = 0.5 * size;  // powers of two: exact
      for (std::size_t i = 0; i < merges; ++i) {
        const double apart = (s[2 * i] - s[2 * i + 1]) * inverse;
        next_sums[held_most + i] = s[2 * i] + s[2 * i + 1];
        next_squares[held_most + i] = q[2 * i] + q[2 * i + 1] + half * (apart * apart);
      }
      counts_[row] = static_cast<std::uint32_t>(all - 2 * merges);
      std::copy_n(s + 2 * merges, counts_[row], row_sums);
      std::copy_n(q + 2 * merges, counts_[row], row_squares);
      rows_ = std::max(rows_, row + 1);
      std::swap(sums, next_sums);
      std::swap(squares, next_squares);
      incoming = merges;
    }
  }

  // Calls visit(sum, squares, size, 1 / size) for each bucket, oldest first, with what waits last; ends when it says
  // false.
  template <class Visit>
  void for_each(const Visit& visit) const noexcept {
    const auto most = static_cast<std::size_t>(options_.max_buckets);
    for (std::size_t row = rows_; row-- > 0;) {
      const auto size = static_cast<double>(std::uint64_t{1} << row);
      const double inverse = 1.0 / size;
      for (std::size_t i = 0; i < counts_[row]; ++i) {
        if (!visit(sums_[row * most + i], squares_[row * most + i], size, inverse)) return;
      }
    }
    for (std::size_t i = 0; i < waiting_; ++i) {
      if (!visit(buffer_[i], 0.0, 1.0, 1.0)) return;
    }
  }

  Fold fold() const noexcept {
    Fold all;
    all.n = static_cast<double>(width());
    if (all.n == 0.0) return all;
    // From the oldest bucket's mean, so that a constant window has exactly that mean and no variance.
    const double pivot = rows_ > 0 ? sums_[(rows_ - 1) * static_cast<std::size_t>(options_.max_buckets)] /
                                         static_cast<double>(std::uint64_t{1} << (rows_ - 1))
                                   : buffer_[0];
    double total = 0.0;
    for_each([&](double sum, double, double size, double inverse) {
      total += size * (sum * inverse - pivot);
      return true;
    });
    all.mean = pivot + total / all.n;
    double m2 = 0.0, rest = 0.0;
    for_each([&](double sum, double squares, double size, double inverse) {
      const double deviation = sum * inverse - all.mean;
      m2 += squares + size * (deviation * deviation);
      rest += size * deviation;
      return true;
    });
    all.m2 = std::max(m2 - rest * rest / all.n, 0.0);
    all.rest = rest;
    return all;
  }

  // Drops the oldest bucket for as long as a cut is found.
  void shrink() noexcept {
    Fold window = fold();
    const double before = window.mean;
    bool warned = false, dropped = false;
    while (cut(window, warned)) {
      drop_oldest();
      dropped = true;
      window = fold();
    }
    drift_ = dropped && (window.mean > before ? sees_up(options_.mode) : sees_down(options_.mode));
    warning_ = warned && !dropped;
  }

  // Whether some cut splits the window. Sets `warned` where one would with warning_delta.
  bool cut(const Fold& window, bool& warned) const noexcept {
    const auto shortest = static_cast<double>(options_.min_window_length);
    const double variance = window.m2 / window.n;
    const double log_n = std::log(window.n);
    const double strict = std::log(2.0 * log_n / options_.delta);
    const double loose = std::log(2.0 * log_n / options_.warning_delta);
    const double lengths = window.n - 2.0 * shortest + 2.0;
    // Without the second term of the bound, and free of divisions, the test only lets too much through; what is let
    // through is tested in full. The margin is far wider than its rounding.
    constexpr double margin = 1.0 - 1e-6;
    const double strict_floor = 2.0 * lengths * variance * strict * margin;
    double floor = warned ? strict_floor : 2.0 * lengths * variance * loose * margin;
    double n0 = 0.0, sum0 = 0.0;
    bool found = false;
    for_each([&](double sum, double, double size, double inverse) {
      n0 += size;
      sum0 += size * (sum * inverse - window.mean);
      const double n1 = window.n - n0;
      if (n1 < shortest) return false;
      if (n0 < shortest) return true;
      const double a = n0 - shortest + 1.0, b = n1 - shortest + 1.0;
      const double scaled = sum0 * window.n - window.rest * n0;
      const double product = n0 * n1;
      if (scaled * scaled * (a * b) <= floor * (product * product)) return true;
      const double apart = std::abs(sum0 / n0 - (window.rest - sum0) / n1);
      const double m = 1.0 / a + 1.0 / b;
      const auto bound = [&](double d) { return std::sqrt(2.0 * m * variance * d) + 2.0 / 3.0 * d * m; };
      if (!warned && apart > bound(loose)) {
        warned = true;
        floor = strict_floor;
      }
      found = apart > bound(strict);
      return !found;
    });
    return found;
  }

  void drop_oldest() noexcept {
    const auto most = static_cast<std::size_t>(options_.max_buckets);
    const std::size_t row = rows_ - 1;
    double* const s = sums_.data() + row * most;
    double* const q = squares_.data() + row * most;
    width_ -= std::uint64_t{1} << row;
    --counts_[row];
    std::copy_n(s + 1, counts_[row], s);
    std::copy_n(q + 1, counts_[row], q);
    if (counts_[row] == 0) --rows_;
  }

  void take_memory() {
    sums_.assign(most_rows * static_cast<std::size_t>(options_.max_buckets), 0.0);
    squares_ = sums_;
  }

  template <class S, class Visit>
  static void fields(S& s, Visit&& visit) {
    auto& o = s.options_;
    visit(o.delta, o.clock, o.max_buckets, o.min_window_length, o.grace_period, o.warning_delta, o.mode, s.ticks_);
  }

  void save_more(SnapshotWriter& writer) const {
    const auto most = static_cast<std::size_t>(options_.max_buckets);
    writer.put(std::span(counts_.data(), rows_));
    for (std::size_t row = 0; row < rows_; ++row) {
      writer.put(std::span(sums_.data() + row * most, counts_[row]));
      writer.put(std::span(squares_.data() + row * most, counts_[row]));
    }
    writer.put(std::span(buffer_.data(), waiting_));
  }

  void load_more(SnapshotReader& reader) {
    std::vector<std::uint32_t> counts;
    std::vector<double> sums, squares;
    reader.get(counts);
    reader.require(!fault(options_) && counts.size() <= most_rows);
    if (!reader.ok()) return;
    take_memory();
    const auto most = static_cast<std::size_t>(options_.max_buckets);
    rows_ = counts.size();
    width_ = 0;
    for (std::size_t row = 0; row < rows_; ++row) {
      reader.get(sums);
      reader.get(squares);
      // A row is never empty below another: a merge leaves max_buckets - 1 at least.
      reader.require(counts[row] > 0 && counts[row] <= most && sums.size() == counts[row] &&
                     squares.size() == counts[row]);
      if (!reader.ok()) return;
      counts_[row] = counts[row];
      std::copy(sums.begin(), sums.end(), sums_.data() + row * most);
      std::copy(squares.begin(), squares.end(), squares_.data() + row * most);
      width_ += std::uint64_t{counts[row]} << row;
      // Each addend is below 2^60, so a sum that wraps around was too large before.
      reader.require(width_ < std::uint64_t{1} << (most_rows - 1));
    }
    reader.get(sums);
    reader.require(sums.size() < batch && ticks_ < static_cast<std::uint64_t>(options_.clock));
    if (!reader.ok()) return;
    waiting_ = sums.size();
    std::copy(sums.begin(), sums.end(), buffer_.begin());
  }

  Options options_;
  std::uint64_t ticks_ = 0, width_ = 0;  // events since the last test; events in the buckets
  std::size_t rows_ = 0, waiting_ = 0;
  std::array<double, batch> buffer_{};
  std::array<std::uint32_t, most_rows> counts_{};  // buckets in use of each size, 2^row
  std::vector<double> sums_, squares_;             // max_buckets of each size, oldest first
};

}  // namespace fairlead
