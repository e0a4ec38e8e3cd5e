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
  bool any = false;
  for (std::size_t i = 0; i < n; ++i) any |= x[i] != x[i];
  return any;
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
    for (double** const to : {&moments.sum, &moments.mean, &moments.var, &moments.std, &moments.skew, &moments.kurt, &pair.cov,
                              &pair.corr, &pair.beta, &min, &max, &count, &rate, &quantile, &rank}) {
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
    any_moment |= !is_pair(target.stat) && !is_extreme(target.stat) && !is_place(target.stat) && !is_order(target.stat) &&
                  !is_count(target.stat);
  }
};

double* Sliding::space(std::size_t numbers) {
  space_.resize(numbers);
  return space_.data();
}

std::size_t Sliding::longest(std::size_t n) const noexcept {
  std::int64_t most = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, hi_[i] - lo_[i]);
  return static_cast<std::size_t>(most);
}

void Sliding::bound_by_count(std::size_t n, std::size_t window) {
  lo_.resize(n);
  hi_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    lo_[i] = static_cast<std::int64_t>(i + 1 < window ? 0 : i + 1 - window);
    hi_[i] = static_cast<std::int64_t>(i + 1);
  }
}

void Sliding::bound_by_time(std::span<const Time> times, const SlidingOptions& options) {
  const std::size_t n = times.size();
  lo_.resize(n);
  hi_.resize(n);
  const bool right = options.closed == Closed::right || options.closed == Closed::both;
  // A sample is too old where its age is more than `oldest`; unsigned subtraction cannot overflow.
  const bool left = options.closed == Closed::left || options.closed == Closed::both;
  const std::uint64_t oldest = static_cast<std::uint64_t>(options.span) - (left ? 0 : 1);
  const auto age = [&](std::size_t now, std::size_t then) {
    return static_cast<std::uint64_t>(times[now]) - static_cast<std::uint64_t>(times[then]);
  };
  std::size_t lo = 0, same = 0;
  for (std::size_t i = 0; i < n; ++i) {
    while (age(i, lo) > oldest) ++lo;
    if (times[i] != times[same]) same = i;
    lo_[i] = static_cast<std::int64_t>(right ? lo : std::min(lo, same));
    hi_[i] = static_cast<std::int64_t>(right ? i + 1 : same);
  }
}

// Leaves the numbers of the row in `values`, with the bounds counted among them.
void Sliding::leave_out_nans(Row& row, std::size_t n) {
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
  // 1: a NaN in the window. 2: the newest sample is one.
  sick_.resize(n);
  for (std::size_t i = 0; i < n; ++i) {
    const auto lo = static_cast<std::size_t>(lo_[i]), hi = static_cast<std::size_t>(hi_[i]);
    lo_[i] = numbers_before_[lo];
    hi_[i] = numbers_before_[hi];
    sick_[i] = 0;
    if (hi_[i] - lo_[i] != static_cast<std::int64_t>(hi - lo)) sick_[i] = numbers_before_[hi - 1] == numbers_before_[hi] ? 2 : 1;
  }
  row.values = x_.data();
  row.others = row.y != nullptr ? y_.data() : nullptr;
}

void Sliding::place_extremes(bool max, const Row& row, std::size_t n, std::int64_t* out) {
  // The oldest of equals. best_: the best of [k, boundary), as in the kernels; what follows the boundary is a running best.
  best_.resize(longest(n) + 1);
  const double* const x = row.values;
  const auto better = [&](std::int64_t a, std::int64_t b) { return max ? x[a] > x[b] : x[a] < x[b]; };
  for (std::size_t i = 0; i < n;) {
    const std::int64_t lo = lo_[i], b = hi_[i] - 1;
    if (b < lo) {
      out[i++] = -1;
      continue;
    }
    std::int64_t best = b;
    for (std::int64_t k = b; k >= lo; --k) {
      if (!better(best, k)) best = k;
      best_[static_cast<std::size_t>(k - lo)] = best;
    }
    std::int64_t after = b, seen = b + 1;
    for (; i < n && lo_[i] <= b; ++i) {
      for (; seen < hi_[i]; ++seen) after = better(seen, after) ? seen : after;
      const std::int64_t before = best_[static_cast<std::size_t>(lo_[i] - lo)];
      const std::int64_t found = better(after, before) ? after : before;
      const bool few = hi_[i] - lo_[i] < static_cast<std::int64_t>(row.options.min_periods);
      out[i] = few ? -1 : row.left_out ? place_[static_cast<std::size_t>(found)] : found;
    }
  }
}

// The first n windows, as bounded by lo_ and hi_.
void Sliding::bounded(Row& row, std::size_t n) {
  leave_out_nans(row, n);
  const auto& run = table();
  const kernels::SlidingBounds bounds{lo_.data(), hi_.data(), n, static_cast<double>(row.options.min_periods)};
  const std::size_t room = longest(n) + margin;
  if (row.any_moment) {
    const bool high = row.moments.skew != nullptr || row.moments.kurt != nullptr;
    run.moments_of(row.values, row.n, bounds, row.options.ddof, row.moments, space((high ? 8 : 4) * room), room);
  }
  if (row.min != nullptr) run.extreme_of(false, row.values, row.n, bounds, row.min, space(2 * room), room);
  if (row.max != nullptr) run.extreme_of(true, row.values, row.n, bounds, row.max, space(2 * room), room);
  if (row.any_pair) run.pair_of(row.values, row.others, row.n, bounds, row.options.ddof, row.pair, space(10 * room), room);
  if (row.argmin != nullptr) place_extremes(false, row, n, row.argmin);
  if (row.argmax != nullptr) place_extremes(true, row, n, row.argmax);
  if (row.quantile != nullptr || row.rank != nullptr) {
    SlidingOrder().run(row.values, bounds, row.options.q, row.quantile, row.rank);
  }
  for (std::size_t i = 0; row.count != nullptr && i < n; ++i) {
    const auto count = static_cast<double>(hi_[i] - lo_[i]);
    row.count[i] = count < bounds.least ? nan : count;
  }
  const auto span = static_cast<double>(row.options.span);
  for (std::size_t i = 0; row.rate != nullptr && i < n; ++i) {
    const auto count = static_cast<double>(hi_[i] - lo_[i]);
    row.rate[i] = count < bounds.least ? nan : count * 1e9 / span;
  }
  if (!row.left_out) return;
  for (std::size_t i = 0; i < n; ++i) {
    if (row.rank != nullptr && sick_[i] == 2) row.rank[i] = nan;
    if (!row.options.propagate || sick_[i] == 0) continue;
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
    bound_by_count(head, window);
    return bounded(row, head);
  }
  bound_by_count(row.n, window);
  bounded(row, row.n);
}

Status Sliding::row(std::span<const double> x, std::span<const double> y, std::span<const Time> times,
                    const SlidingOptions& options, std::span<const SlidingTarget> targets) noexcept {
  const bool timed = options.span > 0;
  if (timed == (options.count > 0) || options.span < 0 || !(options.q >= 0.0 && options.q <= 1.0) || std::isnan(options.ddof) ||
      x.size() > 0xffffffffu) {
    return Status::out_of_range;
  }
  try {
    Row row{x.data(), y.empty() ? nullptr : y.data(), x.size(), options};
    for (const SlidingTarget& target : targets) row.set(target);
    if (x.empty()) return Status::ok;
    if (!timed) {
      run(row);
    } else {
      bound_by_time(times, options);
      bounded(row, row.n);
    }
    return Status::ok;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

}  // namespace fairlead
