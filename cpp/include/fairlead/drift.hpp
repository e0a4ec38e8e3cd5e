// Drift of streams: the population stability index of the newest values against a reference.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/psi.hpp"
#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

// PSI of the last `window` values of a stream against a reference: a fitted one, or the stream's first values. O(1) a
// value, and no allocation after construction, but for the one value that completes the reference, which sorts it.
// Memory: 8 bytes a value of the reference where that is the stream's own, 1 byte a value of the window.
class StreamingPsi {
 public:
  explicit StreamingPsi(std::size_t reference = 500, std::size_t window = 500, std::size_t bins = Psi::default_bins)
      : reference_(std::max<std::size_t>(reference, 1)),
        bins_(std::clamp<std::size_t>(bins, 2, Psi::max_bins)),
        recent_(std::max<std::size_t>(window, 1)) {
    first_.reserve(reference_);
    psi_.reserve(bins_);
    counts_.reserve(bins_ + 2);
  }

  // Against a reference that is known beforehand.
  StreamingPsi(const Psi& reference, std::size_t window)
      : reference_(0),
        bins_(0),
        fitted_(true),
        psi_(reference),
        recent_(std::max<std::size_t>(window, 1)),
        counts_(reference.size()) {}

  void add(double x) noexcept {
    if (!fitted_) {
      first_.push_back(x);  // within the capacity reserved above, as is everything below
      if (first_.size() == reference_) finish_reference();
      return;
    }
    push(static_cast<std::uint8_t>(psi_.bin(x)));
  }

  // NaN until the reference is complete and the window is full: a smaller window would read as drift by chance.
  double index() const noexcept { return index(PsiLogs()); }
  template <class Logs>
  double index(const Logs& logs) const noexcept {
    return ready() ? psi_.index(counts_, n_, logs) : nan;
  }

  bool ready() const noexcept { return fitted_ && n_ == recent_.size(); }
  bool fitted() const noexcept { return fitted_; }
  std::size_t window() const noexcept { return recent_.size(); }
  std::size_t reference() const noexcept { return reference_; }  // values of the stream's own; 0 where it was given
  std::size_t bins() const noexcept { return bins_; }
  std::size_t size() const noexcept { return n_; }  // values in the window
  const Psi& psi() const noexcept { return psi_; }
  std::span<const std::uint64_t> counts() const noexcept { return counts_; }

  // As if the values of `later` had come after those of this. out_of_range where that cannot be told: `later` has
  // fitted a reference to its own first values, which are gone; wrong_length for other references, windows or bins.
  Status merge(const StreamingPsi& later) {
    const Status status = mergeable(later);
    if (status != Status::ok) return status;
    if (reference_ > 0 && later.fitted_) {
      *this = later;
      return Status::ok;
    }
    for (const double x : later.first_) add(x);
    const std::size_t oldest = later.n_ == later.window() ? later.next_ : 0;
    for (std::size_t i = 0; i < later.n_; ++i) push(later.recent_[(oldest + i) % later.window()]);
    return Status::ok;
  }

  Status mergeable(const StreamingPsi& later) const noexcept {
    if (reference_ != later.reference_ || bins_ != later.bins_ || window() != later.window())
      return Status::wrong_length;
    if (reference_ == 0 && !same_reference(later)) return Status::wrong_length;
    const bool told = reference_ == 0 || !later.fitted_ || (!fitted_ && first_.empty());
    return told ? Status::ok : Status::out_of_range;
  }

  // One of the same settings that has seen nothing. A copy would not have taken the memory beforehand.
  StreamingPsi blank() const {
    return reference_ == 0 ? StreamingPsi(psi_, window()) : StreamingPsi(reference_, window(), bins_);
  }

  void write(SnapshotWriter& out) const {
    for (const std::uint64_t n : {reference_, bins_, n_, next_}) out.put(static_cast<std::uint64_t>(n));
    out.put(static_cast<std::uint8_t>(fitted_));
    out.put(recent_);
    out.put(first_);
    if (fitted_) psi_.write(out);
  }
  // Leaves this as it was where the reader fails.
  void read(SnapshotReader& in) {
    std::uint64_t sizes[4] = {};
    std::uint8_t fitted = 0;
    std::vector<std::uint8_t> recent;
    std::vector<double> first;
    for (std::uint64_t& n : sizes) in.get(n);
    in.get(fitted);
    in.get(recent);
    in.get(first);
    const auto [reference, bins, n, next] = sizes;
    in.require(fitted <= 1 && !recent.empty() && n <= recent.size() && next < recent.size());
    in.require(n == recent.size() || next == n);
    in.require(reference == 0 ? fitted == 1 && bins == 0
                              : bins >= 2 && bins <= Psi::max_bins && reference <= most_values);
    in.require(fitted == 1 ? first.empty() : first.size() < reference && n == 0);
    if (!in.ok()) return;
    StreamingPsi made =
        reference == 0 ? StreamingPsi(Psi(), recent.size()) : StreamingPsi(reference, recent.size(), bins);
    made.first_.insert(made.first_.end(), first.begin(), first.end());
    made.fitted_ = fitted == 1;
    if (made.fitted_) {
      made.psi_.read(in);
      if (!in.ok()) return;
      made.counts_.assign(made.psi_.size(), 0);
      for (std::size_t i = 0; i < n; ++i) {
        in.require(recent[i] < made.psi_.size());
        if (!in.ok()) return;
        ++made.counts_[recent[i]];
      }
    }
    made.recent_ = std::move(recent);
    made.n_ = n;
    made.next_ = next;
    *this = std::move(made);
  }

  static constexpr std::size_t most_values = (std::size_t{1} << 31) - 1;  // of a reference or a window

 private:
  void push(std::uint8_t code) noexcept {
    if (n_ == recent_.size()) {
      --counts_[recent_[next_]];
    } else {
      ++n_;
    }
    recent_[next_] = code;
    ++counts_[code];
    next_ = next_ + 1 == recent_.size() ? 0 : next_ + 1;
  }

  bool same_reference(const StreamingPsi& other) const noexcept {
    return std::ranges::equal(psi_.edges(), other.psi_.edges()) &&
           std::ranges::equal(psi_.reference(), other.psi_.reference());
  }

  void finish_reference() noexcept {
    // All values NaN: wait for as many more rather than compare with nothing.
    fitted_ = psi_.refit(first_, bins_) == Status::ok;
    if (fitted_) counts_.assign(psi_.size(), 0);
    first_.clear();
  }

  std::size_t reference_, bins_;  // both 0 where the reference was given
  bool fitted_ = false;
  Psi psi_;
  std::vector<double> first_;
  std::vector<std::uint8_t> recent_;
  std::vector<std::uint64_t> counts_;
  std::size_t n_ = 0, next_ = 0;
};

// A StreamingPsi for each key, all of one window. Logarithms are looked up, as a window has few different counts; the
// index is bit for bit that of a StreamingPsi.
class KeyedPsi {
 public:
  using Key = std::int32_t;

  explicit KeyedPsi(StreamingPsi blank) : blank_(std::move(blank)) { tabulate(); }

  const StreamingPsi& blank() const noexcept { return blank_; }  // a key that has seen nothing
  const NameTable& names() const noexcept { return names_; }
  std::size_t size() const noexcept { return keys_.size(); }
  bool has(Key key) const noexcept { return key >= 0 && static_cast<std::size_t>(key) < keys_.size(); }

  // The id of a key, added if new.
  Key id(std::string_view name) {
    const Key known = names_.find(name);
    if (known != NameTable::absent) return known;
    keys_.push_back(blank_.blank());  // first, so that a name always has its key
    try {
      return names_.intern(name);
    } catch (...) {
      keys_.pop_back();
      throw;
    }
  }

  const StreamingPsi& operator[](Key key) const noexcept { return keys_[static_cast<std::size_t>(key)]; }
  void update(Key key, double x) noexcept { keys_[static_cast<std::size_t>(key)].add(x); }
  double index(Key key) const noexcept {
    const StreamingPsi& one = (*this)[key];
    return log_count_.empty() ? one.index() : one.index(Logs{log_count_.data(), log_total_});
  }

  // Keys of `later` that are new here come over; those in both are joined as StreamingPsi::merge does. An error (at the
  // key `wrong`) leaves this as it was.
  Status merge(const KeyedPsi& later, Key& wrong) {
    wrong = NameTable::absent;
    if (const Status status = blank_.mergeable(later.blank_); status != Status::ok) return status;
    for (Key other = 0; other < later.names_.size(); ++other) {
      const Key own = names_.find(later.names_.name(other));
      const Status status = own == NameTable::absent ? Status::ok : (*this)[own].mergeable(later[other]);
      if (status == Status::ok) continue;
      wrong = other;
      return status;
    }
    for (Key other = 0; other < later.names_.size(); ++other) {
      (void)keys_[static_cast<std::size_t>(id(later.names_.name(other)))].merge(later[other]);
    }
    return Status::ok;
  }

  std::string snapshot() const {
    SnapshotWriter out("keyed_psi", 1);
    out.put(names_);
    blank_.write(out);
    for (const StreamingPsi& key : keys_) key.write(out);
    return out.finish();
  }
  Status restore(std::string_view bytes) {
    SnapshotReader in(bytes, "keyed_psi", 1);
    NameTable names;
    StreamingPsi blank;
    in.get(names);
    blank.read(in);
    KeyedPsi made(std::move(blank));
    for (std::int32_t i = 0; in.ok() && i < names.size(); ++i) {
      made.keys_.push_back(made.blank_.blank());
      made.keys_.back().read(in);
      in.require(made.keys_.back().window() == made.blank_.window());
    }
    made.names_ = std::move(names);
    const Status status = in.finish();
    if (status == Status::ok) *this = std::move(made);
    return status;
  }

 private:
  static constexpr std::size_t looked_up = 1 << 16;  // of larger windows, logarithms are computed

  struct Logs {
    const double* table;
    const double (&full)[2][2];  // totals of a full window, without and with the bin of NaN, and their logarithms
    double count(std::uint64_t n) const noexcept { return table[n]; }
    double total(double n) const noexcept {
      return n == full[0][0] ? full[0][1] : n == full[1][0] ? full[1][1] : PsiLogs::total(n);
    }
  };

  void tabulate() {
    if (blank_.window() > looked_up) return;
    log_count_.resize(blank_.window() + 1);
    for (std::size_t n = 0; n < log_count_.size(); ++n) log_count_[n] = PsiLogs::count(n);
    // Keys that merged edges have fewer bins, and compute theirs.
    const std::size_t bins = blank_.fitted() ? blank_.psi().size() : blank_.bins() + 1;
    for (std::size_t i = 0; i < 2; ++i) {
      log_total_[i][0] = 0.5 * static_cast<double>(bins - 1 + i) + static_cast<double>(blank_.window());
      log_total_[i][1] = PsiLogs::total(log_total_[i][0]);
    }
  }

  StreamingPsi blank_;
  std::vector<StreamingPsi> keys_;
  NameTable names_;
  std::vector<double> log_count_;
  double log_total_[2][2] = {};
};

}  // namespace fairlead
