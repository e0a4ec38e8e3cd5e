// Statistics of many windows over the samples of many keys, up to date after every sample.
//
// A key (of a model, say, or of a model and a category) has one ring of samples, which all its windows share, by count
// and by time, and all statistics: the left end of a window moves once for all of them. A sample costs O(1) amortised,
// plus O(log n) for quantiles; a large gap in time costs as much as what leaves, or what stays where that is less.
//
// Precision: IEEE double; see windows_sums.hpp for the sums (a variance is never negative, a constant window has
// variance 0, and a spike that left has left), windows_extremes.hpp for min and max, windows_sorted.hpp for quantiles.
// Values beyond 1e150 overflow their squares: moments are then infinite or NaN until the value has left.
// Memory: a ring holds what the longest window holds, in 16 bytes a sample (8 more for a pair, 8 for min and max, from
// 8 to 32 a window for quantiles), doubles when it is full and never shrinks; `max_samples` bounds it. Order: the same
// events give the same bits, whether one by one or as an array.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/windows_key.hpp"

namespace fairlead {

class Windows {
 public:
  using Handle = std::int32_t;

  // What cannot be honoured: no window, no statistic, one that is not positive, a q or a policy out of range.
  static Status check(const WindowsOptions& options) noexcept;
  // The options must be ok.
  explicit Windows(WindowsOptions options) : plan_(std::move(options)) {}

  const WindowsOptions& options() const noexcept { return plan_.options; }
  bool pairs() const noexcept { return plan_.pairs; }  // whether samples are (x, y)
  std::size_t cells() const noexcept { return plan_.windows.size() * plan_.options.stats.size(); }

  // The handle of a key, which is added if new. May throw std::bad_alloc, and has changed nothing then.
  Handle handle(std::string_view key);
  // Takes away all keys but the first `keys`.
  void truncate(std::size_t keys);
  Handle find(std::string_view key) const noexcept { return names_.find(key); }
  bool has(Handle h) const noexcept { return h >= 0 && static_cast<std::size_t>(h) < keys_.size(); }
  std::size_t size() const noexcept { return keys_.size(); }
  const NameTable& names() const noexcept { return names_; }

  // A sample of a key. Times are those of the policy `on_late`. Allocates only where a ring must grow.
  Status update(Handle h, Time time, double x, double y = 0.0) noexcept;
  // Whether `update` would refuse this sample for what it is, its key having reached `newest` (none yet: null).
  Status admit(const Time* newest, Time time, double x, double y = 0.0) const noexcept;
  // As many calls of `update`, in order, of one key (h holds one handle) or of many; y is empty where samples are no
  // pairs. All are checked first: where one would be refused, `bad` is its index and nothing has changed. Where `out`
  // is not empty it holds cells() for each sample, and gets what `read` gives after it.
  Status update_many(std::span<const Handle> h, std::span<const Time> times, std::span<const double> x,
                     std::span<const double> y, std::size_t& bad, std::span<double> out = {});
  // Time moves on without a sample, and what is too old leaves. Earlier times than the newest change nothing.
  Status advance(Handle h, Time time) noexcept;
  // All statistics of all windows, window by window; out holds cells().
  Status read(Handle h, std::span<double> out) const noexcept;
  // What `read` would give after this update, which is not made.
  Status peek(Handle h, Time time, double x, double y, std::span<double> out) noexcept;

  struct Counters {
    std::uint64_t samples, late, dropped, skipped;  // taken | older than the newest time | left early | not a number
    std::size_t held;                               // samples in the ring
  };
  Counters counters(Handle h) const noexcept;
  // Time of the newest event of a key; null before the first.
  const Time* newest(Handle h) const noexcept;

  // Adds the keys of `other`, whose options must be the same. A key in both is the concatenation of its samples, which
  // must be of disjoint times: out_of_range and no change where they overlap.
  Status merge(const Windows& other);

  std::string snapshot() const;
  static Status restore(std::string_view bytes, Windows& into);

 private:
  using Key = detail::WindowsKey;

  Key& key(Handle h) noexcept { return keys_[static_cast<std::size_t>(h)]; }
  const Key& key(Handle h) const noexcept { return keys_[static_cast<std::size_t>(h)]; }
  Status update(Key& key, Time time, double x, double y) noexcept;
  Status peek_by_copy(const Key& key, Time time, double x, double y, std::span<double> out) noexcept;

  detail::WindowsPlan plan_;
  NameTable names_;
  std::vector<Key> keys_;
  std::vector<detail::WindowsKey::Window> saved_;  // scratch of peek, as are those below
  std::vector<detail::High> saved_high_;
  std::vector<detail::Joint> saved_joint_;
  std::vector<detail::Ewm> saved_ewm_;
};

}  // namespace fairlead
