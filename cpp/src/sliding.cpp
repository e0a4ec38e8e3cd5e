#include "fairlead/sliding.hpp"

#include <algorithm>
#include <cmath>
#include <new>

#include "kernels/dispatch.hpp"
#include "kernels/sliding.hpp"
#include "sliding_order.hpp"

namespace fairlead {

namespace {

const kernels::SlidingKernels& table() noexcept {
  return kernels::select(kernels::sliding_scalar, kernels::sliding_avx2, kernels::sliding_avx512);
}

bool is_place(SlidingStat stat) noexcept { return stat == SlidingStat::argmin || stat == SlidingStat::argmax; }
bool is_order(SlidingStat stat) noexcept { return stat == SlidingStat::quantile || stat == SlidingStat::rank; }
bool is_count(SlidingStat stat) noexcept { return stat == SlidingStat::count || stat == SlidingStat::rate; }
bool is_pair(SlidingStat stat) noexcept {
  return stat == SlidingStat::cov || stat == SlidingStat::corr || stat == SlidingStat::beta;
}
bool is_extreme(SlidingStat stat) noexcept { return stat == SlidingStat::min || stat == SlidingStat::max; }

bool has_nan(const double* x, std::size_t n) noexcept {
  // Eight sums at once stay 0 unless there is a NaN or an infinity. Only then it is asked which.
  double sums[8] = {};
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t k = 0; k < 8; ++k) sums[k] += x[i + k] * 0.0;
  }
  double sum = 0.0;
  for (; i < n; ++i) sum += x[i] * 0.0;
  for (const double one : sums) sum += one;
  return sum != sum && std::any_of(x, x + n, [](double v) { return v != v; });
}

constexpr std::size_t margin = 32;

}  // namespace

// What is asked of the row that is at hand; all pointers are moved along where the windows end before their own sample.
struct Sliding::Row {
  const double* x;
  const double* y;  // nullptr without pairs
  std::size_t n;
  const SlidingOptions& options;
  kernels::SlidingMoments moments{};
  kernels::SlidingPair pair{};
  double* min = nullptr;
  double* max = nullptr;
  double* count = nullptr;
  double* rate = nullptr;
  double* quantile = nullptr;
  double* rank = nullptr;
  std::int64_t* argmin = nullptr;
  std::int64_t* argmax = nullptr;
  bool any_moment = false, any_pair = false;
  const double* values = nullptr;  // x and y without what is left out
  const double* others = nullptr;
  bool left_out = false;

  template <class F>
  void each_number(F f) {
    for (double** const to : {&moments.sum, &moments.mean, &moments.var, &moments.std, &moments.skew, &moments.kurt,
                              &pair.cov, &pair.corr, &pair.beta, &min, &max, &count, &rate, &quantile, &rank}) {
      if (*to != nullptr) f(*to);
    }
  }
  template <class F>
  void each_place(F f) {
    for (std::int64_t** const to : {&argmin, &argmax}) {
      if (*to != nullptr) f(*to);
    }
  }

  void set(const SlidingTarget& target) noexcept {
    switch (target.stat) {
      case SlidingStat::count: count = target.number; break;
      case SlidingStat::rate: rate = target.number; break;
      case SlidingStat::sum: moments.sum = target.number; break;
      case SlidingStat::mean: moments.mean = target.number; break;
      case SlidingStat::var: moments.var = target.number; break;
      case SlidingStat::std: moments.std = target.number; break;
      case SlidingStat::skew: moments.skew = target.number; break;
      case SlidingStat::kurt: moments.kurt = target.number; break;
      case SlidingStat::min: min = target.number; break;
      case SlidingStat::max: max = target.number; break;
      case SlidingStat::argmin: argmin = target.place; break;
      case SlidingStat::argmax: argmax = target.place; break;
      case SlidingStat::quantile: quantile = target.number; break;
      case SlidingStat::rank: rank = target.number; break;
      case SlidingStat::cov: pair.cov = target.number; break;
      case SlidingStat::corr: pair.corr = target.number; break;
      case SlidingStat::beta: pair.beta = target.number; break;
    }
    any_pair |= is_pair(target.stat);
    any_moment |= !is_pair(target.stat) && !is_extreme(target.stat) && !is_place(target.stat) &&
                  !is_order(target.stat) && !is_count(target.stat);
  }
};

double* Sliding::space(std::size_t numbers) {
  space_.resize(numbers);
  return space_.data();
}

// Where the windows of the row begin and end, from left to right.
struct Sliding::Windows {
  std::size_t window = 0;  // in samples, or
  std::span<const Time> times;
  Time age = 0;  // a sample before the newest less this is too old
  bool right = true;
  std::size_t from = 0, start = 0, same = 0;

  explicit Windows(std::size_t samples) : window(samples) {}
  Windows(std::span<const Time> all, const SlidingOptions& options)
      : times(all),
        age(options.span - (options.closed == Closed::left || options.closed == Closed::both ? 0 : 1)),
        right(options.closed == Closed::right || options.closed == Closed::both) {}

  // Those of [from, to), which is where `from` moves.
  void next(std::size_t to, std::int64_t* lo, std::int64_t* hi) {
    const std::size_t n = to - from;
    for (std::size_t i = 0; i < n; ++i) hi[i] = static_cast<std::int64_t>(from + i + 1);
    if (times.empty()) {
      for (std::size_t i = 0; i < n; ++i) lo[i] = std::max<std::int64_t>(0, hi[i] - static_cast<std::int64_t>(window));
    } else {
      table().starts(times.data(), from, to, age, start, lo);
      start = static_cast<std::size_t>(lo[n - 1]);
    }
    for (std::size_t i = 0; !right && i < n; ++i) {
      if (times[from + i] != times[same]) same = from + i;
      hi[i] = static_cast<std::int64_t>(same);
      lo[i] = std::min(lo[i], hi[i]);
    }
    from = to;
  }
};

// Leaves the numbers of the row in `values`, and in numbers_before_ how many stand before each place.
void Sliding::leave_out_nans(Row& row) {
  row.values = row.x;
  row.others = row.y;
  row.left_out = has_nan(row.x, row.n) || (row.y != nullptr && has_nan(row.y, row.n));
  if (!row.left_out) return;
  numbers_before_.resize(row.n + 1);
  place_.resize(row.n);
  x_.resize(row.n);
  if (row.y != nullptr) y_.resize(row.n);
  std::int64_t numbers = 0;
  for (std::size_t i = 0; i < row.n; ++i) {
    numbers_before_[i] = numbers;
    const auto at = static_cast<std::size_t>(numbers);
    x_[at] = row.x[i];
    place_[at] = static_cast<std::int64_t>(i);
    bool number = row.x[i] == row.x[i];
    if (row.y != nullptr) {
      y_[at] = row.y[i];
      number = number && row.y[i] == row.y[i];
    }
    numbers += number;
  }
  numbers_before_[row.n] = numbers;
  row.values = x_.data();
  row.others = row.y != nullptr ? y_.data() : nullptr;
}

// From places in the row to places among its numbers.
void Sliding::count_numbers(std::size_t n) {
  sick_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto lo = static_cast<std::size_t>(lo_[i]), hi = static_cast<std::size_t>(hi_[i]);
    lo_[i] = numbers_before_[lo];
    hi_[i] = numbers_before_[hi];
    const bool any = hi_[i] - lo_[i] != static_cast<std::int64_t>(hi - lo);
    sick_[i] = !any ? Sick::no : numbers_before_[hi - 1] == numbers_before_[hi] ? Sick::newest : Sick::some;
  }
}

template <bool max>
void Sliding::place_extremes(const Row& row, std::size_t n, std::int64_t* out) {
  // The oldest of equals. best_: the best of [k, boundary), as in the kernels; what follows the boundary is a running
  // best. It is seldom beaten, so that a branch costs less than to carry its place through a selection.
  const double* const x = row.values;
  const auto better = [](double a, double b) { return max ? a > b : a < b; };
  const auto least = static_cast<std::int64_t>(row.options.min_periods);
  for (std::size_t i = 0; i < n;) {
    const std::int64_t lo = lo_[i], b = hi_[i] - 1;
    if (b < lo) {
      out[i++] = -1;
      continue;
    }
    std::int64_t place = b;
    double best = x[b];
    for (std::int64_t k = b; k >= lo;) {
      best = x[k];
      place = k;
      do {
        best_[static_cast<std::size_t>(k - lo)] = {best, place};
      } while (--k >= lo && better(best, x[k]));
    }
    std::int64_t seen = b + 1;
    place = b;
    best = x[b];
    for (; i < n && lo_[i] <= b; ++i) {
      for (; seen < hi_[i]; ++seen) {
        if (better(x[seen], best)) {
          best = x[seen];
          place = seen;
        }
      }
      const Best& before = best_[static_cast<std::size_t>(lo_[i] - lo)];
      const std::int64_t found = better(best, before.value) ? place : before.place;
      out[i] = hi_[i] - lo_[i] < least ? -1 : row.left_out ? place_[static_cast<std::size_t>(found)] : found;
    }
  }
}

// All windows, some thousand at a time, so that their bounds stay in the cache; `n` outputs.
void Sliding::bounded(Row& row, std::size_t n, Windows windows) {
  leave_out_nans(row);
  std::size_t longest = std::min(windows.window, row.n);
  while (windows.from < n) {
    // Each stretch looks back one window, so it is not much shorter than some of them.
    const std::size_t from = windows.from, size = std::min(n - from, std::max<std::size_t>(8192, 4 * longest));
    lo_.resize(size);
    hi_.resize(size);
    windows.next(from + size, lo_.data(), hi_.data());
    if (row.left_out) count_numbers(size);
    if (!windows.times.empty()) {
      std::int64_t most = 0;
      for (std::size_t i = 0; i < size; ++i) most = std::max(most, hi_[i] - lo_[i]);
      longest = static_cast<std::size_t>(most);
    }
    stretch(row, size, longest, windows.right && !row.left_out);
    row.each_number([&](double*& to) { to += size; });
    row.each_place([&](std::int64_t*& to) { to += size; });
  }
}

// The n windows of lo_ and hi_.
void Sliding::stretch(Row& row, std::size_t n, std::size_t longest, bool steady) {
  const auto& run = table();
  const kernels::SlidingBounds bounds{lo_.data(), hi_.data(), n, static_cast<double>(row.options.min_periods), steady};
  const std::size_t room = longest + margin;
  if (row.any_moment) {
    const bool high = row.moments.skew != nullptr || row.moments.kurt != nullptr;
    run.moments_of(row.values, row.n, bounds, row.options.ddof, row.moments, space((high ? 8 : 4) * room), room);
  }
  if (row.min != nullptr) run.extreme_of(false, row.values, row.n, bounds, row.min, space(2 * room), room);
  if (row.max != nullptr) run.extreme_of(true, row.values, row.n, bounds, row.max, space(2 * room), room);
  if (row.any_pair)
    run.pair_of(row.values, row.others, row.n, bounds, row.options.ddof, row.pair, space(10 * room), room);
  if (row.argmin != nullptr || row.argmax != nullptr) best_.resize(longest + 1);
  if (row.argmin != nullptr) place_extremes<false>(row, n, row.argmin);
  if (row.argmax != nullptr) place_extremes<true>(row, n, row.argmax);
  if (row.quantile != nullptr || row.rank != nullptr) {
    order_->run(row.values, bounds, row.options.q, row.quantile, row.rank);
  }
  const auto span = static_cast<double>(row.options.span);
  for (std::size_t i = 0; (row.count != nullptr || row.rate != nullptr) && i < n; ++i) {
    const auto count = static_cast<double>(hi_[i] - lo_[i]);
    const bool few = count < bounds.least;
    if (row.count != nullptr) row.count[i] = few ? nan : count;
    if (row.rate != nullptr) row.rate[i] = few ? nan : count * 1e9 / span;
  }
  for (std::size_t i = 0; row.left_out && i < n; ++i) {
    if (row.rank != nullptr && sick_[i] == Sick::newest) row.rank[i] = nan;
    if (!row.options.propagate || sick_[i] == Sick::no) continue;
    row.each_number([&](double* to) { to[i] = nan; });
    row.each_place([&](std::int64_t* to) { to[i] = -1; });
  }
}

// The full windows of `window` samples: outputs from window - 1 on.
void Sliding::fixed(Row& row, std::size_t window) {
  if (row.n < window) return;
  const auto& run = table();
  const std::size_t room = window + margin;
  if (row.any_moment) {
    const bool high = row.moments.skew != nullptr || row.moments.kurt != nullptr;
    run.moments(row.x, row.n, window, row.options.ddof, row.moments, space((high ? 4 : 2) * room));
  }
  if (row.min != nullptr) run.extreme(false, row.x, row.n, window, row.min, space(room));
  if (row.max != nullptr) run.extreme(true, row.x, row.n, window, row.max, space(room));
  if (row.any_pair) run.pair(row.x, row.y, row.n, window, row.options.ddof, row.pair, space(5 * room));
}

void Sliding::run(Row& row) {
  const SlidingOptions& options = row.options;
  const bool both = options.closed == Closed::both, neither = options.closed == Closed::neither;
  const std::size_t window = options.count + both - neither;
  const std::size_t late = options.closed == Closed::left || neither ? 1 : 0;
  if (late > 0 || window == 0) {
    const std::size_t empty = window == 0 ? row.n : std::min<std::size_t>(row.n, 1);
    const double none = options.min_periods == 0 ? 0.0 : nan;
    row.each_number([&](double* to) {
      std::fill_n(to, empty, to == row.moments.sum || to == row.count || to == row.rate ? none : nan);
    });
    row.each_place([&](std::int64_t* to) { std::fill_n(to, empty, -1); });
    if (empty == row.n) return;
    row.each_number([&](double*& to) { ++to; });
    row.each_place([&](std::int64_t*& to) { ++to; });
    --row.n;
  }
  const bool simple = row.count == nullptr && row.rate == nullptr && row.quantile == nullptr && row.rank == nullptr &&
                      row.argmin == nullptr && row.argmax == nullptr;
  const bool full = options.min_periods >= window;
  const std::size_t head = options.min_periods > window ? row.n : std::min(window - 1, row.n);
  if (simple && full) {
    row.each_number([&](double* to) { std::fill_n(to, head, nan); });
    if (head < row.n) fixed(row, window);
    return;
  }
  if (simple && !has_nan(row.x, row.n) && (row.y == nullptr || !has_nan(row.y, row.n))) {
    fixed(row, window);
    return bounded(row, head, Windows(window));
  }
  bounded(row, row.n, Windows(window));
}

Sliding::Sliding() : order_(std::make_unique<SlidingOrder>()) {}
Sliding::~Sliding() = default;

Status Sliding::row(std::span<const double> x, std::span<const double> y, std::span<const Time> times,
                    const SlidingOptions& options, std::span<const SlidingTarget> targets) noexcept {
  const bool timed = options.span > 0;
  if (timed == (options.count > 0) || options.span < 0 || !(options.q >= 0.0 && options.q <= 1.0) ||
      std::isnan(options.ddof) || x.size() > 0xffffffffu) {
    return Status::out_of_range;
  }
  try {
    Row row{x.data(), y.empty() ? nullptr : y.data(), x.size(), options};
    for (const SlidingTarget& target : targets) row.set(target);
    if (x.empty()) return Status::ok;
    if (!timed) {
      run(row);
    } else {
      bounded(row, row.n, Windows(times, options));
    }
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

}  // namespace fairlead
