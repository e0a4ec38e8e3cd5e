// Population stability index: sum over bins of (q - p) ln(q / p), the symmetrised Kullback-Leibler divergence
// (H. Jeffreys 1946; in credit scoring: N. Siddiqi, "Credit Risk Scorecards", 2006). Below .1 calm, above .25 drift.
//
// Bins: quantiles of the reference by default (linear interpolation, as numpy), equal edges merged; outer edges are
// infinite; bin i holds edge[i-1] < x <= edge[i]; NaN has a bin of its own, which counts when either side has any.
// Smoothing: half a count is added to every bin (Krichevsky-Trofimov), so an empty bin is a large but finite term and
// the answer does not hang on an arbitrary epsilon.
// Chance: without drift the index is about (1/N + 1/M) chi2(B - 1) for N and M values in B bins (B. Yurdakul,
// "Statistical properties of population stability index", 2018), so small samples exceed any fixed threshold by luck.
// Precision: exact integer counts; IEEE double sums, ln(q / p) as a difference of logarithms, so that a stream can look
// them up: a relative error of 1e-12 at an index of 1e-6, less above.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

// Logarithms as the index needs them: of a count plus a half, and of a total.
struct PsiLogs {
  static double count(std::uint64_t n) noexcept { return std::log(static_cast<double>(n) + 0.5); }
  static double total(double n) noexcept { return std::log(n); }
};

// Sums in four lanes, so that no addition waits for the one before. All sums of terms go this way: the same bits.
struct PsiSum {
  double lane[4] = {};
  void add(std::size_t i, double term) noexcept { lane[i % 4] += term; }
  double value() const noexcept { return (lane[0] + lane[1]) + (lane[2] + lane[3]); }
};

// A bin's part of the index, from its shares and their logarithms. The factors have the same sign, but for rounding.
inline double psi_term(double p, double log_p, double q, double log_q) noexcept {
  const double term = (q - p) * (log_q - log_p);
  return term > 0.0 ? term : 0.0;
}

// The index of any bins, from their counts; all of them count. `terms`, if not empty, receives each bin's part.
inline double psi_index(std::span<const std::uint64_t> reference, std::span<const std::uint64_t> live,
                        std::span<double> terms = {}) noexcept {
  const double half = 0.5 * static_cast<double>(live.size());
  std::uint64_t before = 0, now = 0;
  for (const std::uint64_t n : reference) before += n;
  for (const std::uint64_t n : live) now += n;
  const double total_p = half + static_cast<double>(before), total_q = half + static_cast<double>(now);
  const double log_p = PsiLogs::total(total_p), log_q = PsiLogs::total(total_q);
  const double each_p = 1.0 / total_p, each_q = 1.0 / total_q;
  PsiSum sum;
  for (std::size_t i = 0; i < live.size(); ++i) {
    const double p = (static_cast<double>(reference[i]) + 0.5) * each_p,
                 q = (static_cast<double>(live[i]) + 0.5) * each_q;
    const double part = psi_term(p, PsiLogs::count(reference[i]) - log_p, q, PsiLogs::count(live[i]) - log_q);
    if (!terms.empty()) terms[i] = part;
    sum.add(i, part);
  }
  return sum.value();
}

class Psi {
 public:
  static constexpr std::size_t default_bins = 10;
  static constexpr std::size_t max_bins = 255;
  static constexpr std::size_t compared = 32;  // up to so many edges each value is compared with all; above, searched

  // Fits quantile edges and reference counts. Needs at least one number that is not NaN.
  static Status fit(std::span<const double> reference, std::size_t bins, Psi& out) {
    std::vector<double> values(reference.begin(), reference.end());
    Psi fitted;
    fitted.reserve(bins);
    const Status status = fitted.refit(values, bins);
    if (status == Status::ok) out = std::move(fitted);
    return status;
  }

  // Given inner edges (ascending, equal ones merged, none NaN; at least one) and the reference's counts per bin, the
  // last of which is NaN's: of length (merged edges) + 2, or empty for none yet.
  static Status from_edges(std::span<const double> edges, std::span<const std::uint64_t> counts, Psi& out) {
    Psi made;
    for (const double edge : edges) {
      if (std::isnan(edge) || (!made.edges_.empty() && edge < made.edges_.back())) return Status::out_of_range;
      if (made.edges_.empty() || edge > made.edges_.back()) made.edges_.push_back(edge);
    }
    if (made.edges_.empty() || made.edges_.size() >= max_bins) return Status::out_of_range;
    if (!counts.empty() && counts.size() != made.size()) return Status::wrong_length;
    made.reference_.assign(made.size(), 0);
    std::copy(counts.begin(), counts.end(), made.reference_.begin());
    made.prepare();
    out = std::move(made);
    return Status::ok;
  }

  // The same edges with the counts of another reference.
  template <class Number>
  void recount(std::span<const Number> reference) {
    std::fill(reference_.begin(), reference_.end(), 0);
    count(reference, reference_);
    weigh();
  }

  // Takes now what refit(.., bins) will need.
  void reserve(std::size_t bins) {
    const std::size_t edges = std::max<std::size_t>(bins, 2);
    edges_.reserve(edges);
    reference_.reserve(edges + 2);
    shares_.reserve(4 * (edges + 2));
    search_edges_.reserve(edges > compared ? 2 * max_bins + 2 : 2 * edges + 2);
    if (edges > compared) first_.reserve(cells);
  }

  // The same in place: sorts `values`, and allocates nothing after reserve(bins). An error leaves this as it was.
  Status refit(std::span<double> values, std::size_t bins) {
    if (bins < 2 || bins > max_bins) return Status::out_of_range;
    const auto end = std::partition(values.begin(), values.end(), [](double x) { return !std::isnan(x); });
    const std::span<double> sorted(values.begin(), end);
    if (sorted.empty()) return Status::wrong_length;
    std::sort(sorted.begin(), sorted.end());
    return refit_sorted(sorted, values.size() - sorted.size(), bins);
  }

  // From numbers in ascending order, at least one, and how many NaN there are besides.
  Status refit_sorted(std::span<const double> sorted, std::size_t missing, std::size_t bins) {
    if (bins < 2 || bins > max_bins) return Status::out_of_range;
    if (sorted.empty()) return Status::wrong_length;
    edges_.clear();
    for (std::size_t i = 1; i < bins; ++i) {
      const double edge = quantile(sorted, static_cast<double>(i) / static_cast<double>(bins));
      // An edge at the maximum would leave an empty bin above it.
      if ((edges_.empty() || edge > edges_.back()) && edge < sorted.back()) edges_.push_back(edge);
    }
    if (edges_.empty()) {
      // Nearly every value is the same: tell it from what is below and above, where there is anything below.
      const double below = std::nextafter(sorted.back(), -std::numeric_limits<double>::infinity());
      if (below < sorted.back()) edges_.push_back(below);
      edges_.push_back(sorted.back());
    }
    reference_.assign(size(), 0);
    auto from = sorted.begin();
    for (std::size_t i = 0; i < edges_.size(); ++i) {
      const auto to = std::upper_bound(from, sorted.end(), edges_[i]);
      reference_[i] = static_cast<std::uint64_t>(to - from);
      from = to;
    }
    reference_[edges_.size()] = static_cast<std::uint64_t>(sorted.end() - from);
    reference_[size() - 1] = missing;
    prepare();
    return Status::ok;
  }

  // Bins of numbers plus the one for NaN, which is the last.
  std::size_t size() const noexcept { return edges_.size() + 2; }
  std::span<const double> edges() const noexcept { return edges_; }
  std::span<const std::uint64_t> reference() const noexcept { return reference_; }

  std::size_t bin(double x) const noexcept {
    // A binary search without a branch that depends on x.
    std::size_t above = 0;
    for (std::size_t half = half_; half > 0; half >>= 1) {
      above += half & (std::size_t{0} - static_cast<std::size_t>(x > search_edges_[above + half - 1]));
    }
    return std::isnan(x) ? size() - 1 : above;
  }

  // Adds the sample's counts per bin to `counts`, of length size().
  void count(std::span<const double> sample, std::span<std::uint64_t> counts) const noexcept;
  void count(std::span<const float> sample, std::span<std::uint64_t> counts) const noexcept;

  // The index, from counts per bin. `terms`, if not empty, receives each bin's contribution.
  double index(std::span<const std::uint64_t> live, std::span<double> terms = {}) const noexcept {
    std::uint64_t n = 0;
    for (const std::uint64_t count : live) n += count;
    return index(live, n, PsiLogs(), terms);
  }
  // The same for one who knows the sum of the counts, and perhaps logarithms.
  template <class Logs>
  double index(std::span<const std::uint64_t> live, std::uint64_t n, const Logs& logs,
               std::span<double> terms = {}) const noexcept {
    const std::size_t nan_bin = size() - 1;
    const bool with_nan = reference_[nan_bin] + live[nan_bin] > 0;
    const std::size_t used = with_nan ? size() : nan_bin;
    const double* const share = shares_.data() + (with_nan ? 2 * size() : 0);
    const double* const log_share = share + size();
    const double total = 0.5 * static_cast<double>(used) + static_cast<double>(n);
    const double log_total = logs.total(total);
    const double each = 1.0 / total;
    std::fill(terms.begin(), terms.end(), 0.0);
    PsiSum sum;
    const auto part = [&](std::size_t i) {
      // Signed, as that has an instruction.
      const double q = (static_cast<double>(static_cast<std::int64_t>(live[i])) + 0.5) * each;
      return psi_term(share[i], log_share[i], q, logs.count(live[i]) - log_total);
    };
    std::size_t i = 0;
    for (; terms.empty() && i + 4 <= used; i += 4) {
      for (std::size_t j = 0; j < 4; ++j) sum.add(j, part(i + j));
    }
    for (; i < used; ++i) {
      const double term = part(i);
      if (!terms.empty()) terms[i] = term;
      sum.add(i, term);
    }
    return sum.value();
  }

  void write(SnapshotWriter& out) const {
    out.put(edges_);
    out.put(reference_);
  }
  void read(SnapshotReader& in) {
    std::vector<double> edges;
    std::vector<std::uint64_t> counts;
    in.get(edges);
    in.get(counts);
    if (!in.ok()) return;
    // Edges that were not written by us might be merged here, or the counts be none.
    Psi made;
    const bool good =
        counts.size() == edges.size() + 2 && from_edges(edges, counts, made) == Status::ok && made.edges_ == edges;
    in.require(good);
    if (good) *this = std::move(made);
  }

 private:
  static constexpr std::size_t cells = 2048;

  static double quantile(std::span<const double> sorted, double q) noexcept {
    const double at = q * static_cast<double>(sorted.size() - 1);
    const auto below = static_cast<std::size_t>(at);
    const double low = sorted[below];
    const double high = sorted[std::min(below + 1, sorted.size() - 1)];
    return low == high ? low : low + (high - low) * (at - static_cast<double>(below));
  }

  void prepare() {
    index_edges();
    weigh();
  }

  // The reference's smoothed shares and their logarithms, without and with the bin of NaN.
  void weigh() {
    shares_.assign(4 * size(), 0.0);
    for (const std::size_t used : {size() - 1, size()}) {
      double* const share = shares_.data() + (used == size() ? 2 * size() : 0);
      std::uint64_t n = 0;
      for (std::size_t i = 0; i < used; ++i) n += reference_[i];
      const double total = 0.5 * static_cast<double>(used) + static_cast<double>(n);
      const double each = 1.0 / total;
      for (std::size_t i = 0; i < used; ++i) {
        share[i] = (static_cast<double>(reference_[i]) + 0.5) * each;
        share[size() + i] = PsiLogs::count(reference_[i]) - PsiLogs::total(total);
      }
    }
  }

  void index_edges();

  std::vector<double> edges_;
  std::vector<std::uint64_t> reference_;
  std::vector<double> shares_;
  std::vector<double> search_edges_;  // and infinities after them, for searches to overrun
  std::size_t half_ = 0;              // the first step of a binary search
  // Of many edges only: where in `edges_` the search for a number begins, by its cell; see kernels/psi.hpp.
  std::vector<std::uint32_t> first_;
  double low_ = 0.0, scale_ = 0.0;
  std::uint32_t steps_ = 0;
};

// Columns of a table, each with a Psi of its own.
class PsiTable {
 public:
  explicit PsiTable(std::vector<Psi> columns) : columns_(std::move(columns)) {}

  const std::vector<Psi>& columns() const noexcept { return columns_; }

  // Counts per bin of each column, appended column after column: sum of size() over columns. x[r * row + c * column].
  std::vector<std::uint64_t> count(const double* x, std::size_t rows, std::ptrdiff_t row, std::ptrdiff_t column) const;

 private:
  std::vector<Psi> columns_;
};

}  // namespace fairlead
