#include "fairlead/windows_key.hpp"

#include <algorithm>
#include <cmath>
#include <new>

namespace fairlead::detail {

namespace {

// Whether to sum what stays, as less stays than leaves.
bool anew(std::uint64_t leaving, std::uint64_t staying) noexcept { return leaving > 8 && leaving > staying; }

}  // namespace

WindowsPlan::WindowsPlan(WindowsOptions given) : options(std::move(given)) {
  const Closed closed = options.closed;
  right = closed == Closed::right || closed == Closed::both;
  groups = right ? 1 : 2;
  const std::uint64_t left_end = closed == Closed::left || closed == Closed::both ? 1 : 0;
  for (const WindowSpec& spec : options.windows) {
    Window window;
    if (spec.span > 0) {
      window.limit = static_cast<std::uint64_t>(spec.span) + left_end;
      window.seconds = static_cast<double>(spec.span) / 1e9;
    } else {
      window.keep = static_cast<std::uint64_t>(spec.count) + left_end - (right ? 0 : 1);
      if (closed == Closed::left) window.keep = static_cast<std::uint64_t>(spec.count);
    }
    window.group = right || spec.span > 0 ? 0 : 1;
    const bool own = options.half_life.count == 0 && options.half_life.span == 0;
    const WindowSpec half_life = own ? spec : options.half_life;
    if (half_life.span > 0) {
      window.halvings = 1.0 / static_cast<double>(half_life.span);
    } else {
      window.decay = std::exp2(-1.0 / static_cast<double>(half_life.count));
    }
    windows.push_back(window);
  }
  for (const StatSpec& spec : options.stats) {
    switch (spec.stat) {
      case Stat::sum:
      case Stat::mean:
      case Stat::var:
      case Stat::std: sums = true; break;
      case Stat::skew:
      case Stat::kurt: sums = high = true; break;
      case Stat::min:
      case Stat::max:
      case Stat::range:
      case Stat::argmin:
      case Stat::argmax:
      case Stat::min_age:
      case Stat::max_age: extremes = true; break;
      case Stat::quantile: sorted = true; break;
      case Stat::ewm:
      case Stat::ewm_var:
      case Stat::ewm_std: ewm = true; break;
      case Stat::cov:
      case Stat::corr:
      case Stat::beta: sums = joint = pairs = true; break;
      case Stat::count:
      case Stat::first:
      case Stat::last:
      case Stat::rate: break;
    }
  }
  plain = right && !high && !joint && !sorted && !ewm;
  common = true;
  for (const StatSpec& spec : options.stats) {
    const auto it = std::find(std::begin(common_stats), std::end(common_stats), spec.stat);
    common &= it != std::end(common_stats);
    columns.push_back(static_cast<std::uint8_t>(it - std::begin(common_stats)));
    root |= spec.stat == Stat::std;
  }
}

WindowsKey::WindowsKey(const WindowsPlan& plan)
    : windows(plan.windows.size()),
      high(plan.high ? plan.windows.size() : 0),
      joint(plan.joint ? plan.windows.size() : 0),
      ewm(plan.ewm ? plan.windows.size() : 0),
      sorted(plan.sorted ? plan.windows.size() : 0) {}

std::uint64_t WindowsKey::oldest() const noexcept {
  std::uint64_t low = end;
  for (const Window& window : windows) low = std::min(low, window.low);
  return low;
}

std::uint64_t WindowsKey::group_end(const WindowsPlan& plan, std::size_t group) const noexcept {
  if (plan.right) return end;
  std::uint64_t position = high_end[group];
  if (group == 1) return end == 0 ? position : std::max(position, end - 1);
  while (position != end && times[slot(position)] < now) ++position;
  return position;
}

// The oldest position inside window w when it ends before `high_now` and the time is `time`; it was `low`.
std::uint64_t WindowsKey::low_of(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now,
                                 Time time) const noexcept {
  const WindowsPlan::Window& window = plan.windows[w];
  if (window.limit > 0) {
    while (low != high_now && age(time, times[slot(low)]) >= window.limit) ++low;
  } else if (high_now - low > window.keep) {
    low = high_now - window.keep;
  }
  return std::min(std::max(low, floor), high_now);
}

// --- the ring ------------------------------------------------------------------------------------------------------

Status WindowsKey::find_room(const WindowsPlan& plan, Time time) noexcept {
  std::uint64_t bound = floor, lost = 0;
  if (const std::int64_t most = plan.options.max_samples; most > 0 && end - front >= static_cast<std::uint64_t>(most)) {
    std::uint64_t low = end;
    for (std::size_t w = 0; w < windows.size(); ++w) {
      low = std::min(low,
                     low_of(plan, w, windows[w].low, plan.windows[w].limit > 0 || !plan.right ? end : end + 1, time));
    }
    if (end - low >= static_cast<std::uint64_t>(most)) {
      if (plan.options.on_full == OnFull::raise) return Status::window_full;
      bound = end + 1 - static_cast<std::uint64_t>(most);
      lost = bound - low;
    }
  }
  try {
    for (Sorted& order : sorted) order.reserve(end - (plan.right ? end : std::min(high_end[0], high_end[1])) + 1);
    if (end - front == xs.size()) {
      front = oldest();
      if (end - front == xs.size()) grow(plan);
    }
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  floor = bound;
  dropped += lost;
  return Status::ok;
}

void WindowsKey::grow(const WindowsPlan& plan) {
  const std::size_t size = xs.empty() ? 16 : 2 * xs.size();
  if (size > std::size_t{1} << 30) throw std::bad_alloc();
  if (plan.extremes) {
    for (std::size_t g = 0; g < plan.groups; ++g) {
      max_chain[g].resize(size);
      min_chain[g].resize(size);
    }
  }
  std::vector<Time> wider_times(size);
  std::vector<double> wider_xs(size), wider_ys(plan.pairs ? size : 0);
  for (std::uint64_t i = front; i != end; ++i) {
    wider_times[i & (size - 1)] = times[slot(i)];
    wider_xs[i & (size - 1)] = xs[slot(i)];
    if (plan.pairs) wider_ys[i & (size - 1)] = ys[slot(i)];
  }
  times.swap(wider_times);
  xs.swap(wider_xs);
  ys.swap(wider_ys);
  mask = size - 1;
}

// The samples from `low` to `high_now`: a piece of the ring, or two with `second` for the other.
std::span<const double> WindowsKey::part(const std::vector<double>& ring, std::uint64_t low, std::uint64_t high_now,
                                         bool second) const noexcept {
  if (low == high_now) return {};
  const std::size_t n = high_now - low, at = slot(low), first = std::min(n, ring.size() - at);
  return second ? std::span<const double>(ring).first(n - first) : std::span<const double>(ring).subspan(at, first);
}

// --- one event -----------------------------------------------------------------------------------------------------

void WindowsKey::push(const WindowsPlan& plan, Time time, double x, double y) noexcept {
  const std::size_t at = slot(end);
  times[at] = time;
  xs[at] = x;
  if (plan.pairs) ys[at] = y;
  ++end;
  ++samples;
  now = time;
  started = true;
  step(plan);
}

void WindowsKey::advance(const WindowsPlan& plan, Time time) noexcept {
  if (started && time <= now) return;
  now = time;
  started = true;
  step(plan);
}

namespace {

// What `step_window` does, to the bit, for windows that end with the newest sample and want sums only, or not even
// these: sums in registers, and one pass over what leaves.
void step_plain(WindowsKey& key, const WindowsPlan& plan, std::size_t w) noexcept {
  WindowsKey::Window& window = key.windows[w];
  const std::uint64_t before = key.high_end[0], after = key.end, first = window.low, cut = key.mask, floor = key.floor;
  const double* const x = key.xs.data();
  const bool summed = plan.sums;
  std::uint64_t low = first;
  std::int64_t n = window.n, bad = window.bad;
  Sums sums = window.sums;
  const auto leaves = [&] {
    const double value = x[low++ & cut];
    if (!number(value)) {
      --bad;
    } else {
      --n;
      if (summed) sums.leave(value);
    }
  };
  if (const std::uint64_t limit = plan.windows[w].limit; limit > 0) {
    const Time* const t = key.times.data();
    const Time time = key.now;
    while (low != before && age(time, t[low & cut]) >= limit) leaves();
  } else {
    const std::uint64_t keep = plan.windows[w].keep;
    while (after - low > keep && low != before) leaves();
  }
  while (low < floor && low != before) leaves();
  if (anew(low - first, before - low)) return key.step_window(plan, w, after);
  for (std::uint64_t i = before; i != after; ++i) {  // one sample, or none
    const double value = x[i & cut];
    if (!number(value)) {
      ++bad;
    } else if (n++ == 0) {
      sums.start(value);
    } else if (summed) {
      sums.enter(value);
    }
  }
  const bool good = n <= 1 || !summed || sums.settle(static_cast<double>(n));
  window.low = low;
  window.n = n;
  window.bad = bad;
  window.sums = sums;
  if (summed && (n <= 1 || !good)) key.settle(plan, w, after);
}

// The extremes of all windows of one group that end before `high_now`.
template <class Beats>
void step_chain(WindowsKey& key, const WindowsPlan& plan, Chain<Beats>& chain, std::uint64_t WindowsKey::Window::* head,
                std::size_t group, std::uint64_t high_now) noexcept {
  std::uint64_t put = chain.back();
  const double* const values = key.xs.data();
  for (std::uint64_t i = key.high_end[group]; i != high_now; ++i) {
    const double x = values[key.slot(i)];
    if (number(x)) put = std::min(put, chain.push(i, x, values, key.mask));
  }
  std::uint64_t base = chain.back();
  for (std::size_t w = 0; w < key.windows.size(); ++w) {
    if (!plan.right && plan.windows[w].group != group) continue;
    WindowsKey::Window& window = key.windows[w];
    const std::uint64_t index = chain.from(std::min(window.*head, put), window.low);
    window.*head = index;
    base = std::min(base, index);
  }
  chain.forget(base);
}

}  // namespace

// Brings all windows up to `end` and `now`.
void WindowsKey::step(const WindowsPlan& plan) noexcept {
  if (plan.plain) {
    for (std::size_t w = 0; w < windows.size(); ++w) step_plain(*this, plan, w);
    if (plan.extremes) {
      step_chain(*this, plan, max_chain[0], &Window::max, 0, end);
      step_chain(*this, plan, min_chain[0], &Window::min, 0, end);
    }
    high_end[0] = end;
    return;
  }
  const std::uint64_t ends[2] = {group_end(plan, 0), plan.groups > 1 ? group_end(plan, 1) : 0};
  for (std::size_t w = 0; w < windows.size(); ++w) step_window(plan, w, ends[plan.windows[w].group]);
  for (std::size_t g = 0; g < plan.groups; ++g) {
    if (plan.extremes) step_chains(plan, g, ends[g]);
    high_end[g] = ends[g];
  }
}

void WindowsKey::step_window(const WindowsPlan& plan, std::size_t w, std::uint64_t high_now) noexcept {
  Window& window = windows[w];
  const std::uint64_t before = high_end[plan.windows[w].group], low = low_of(plan, w, window.low, high_now, now);
  if (low != window.low) {
    leave(plan, w, std::min(low, before));
    window.low = low;
  }
  for (std::uint64_t i = std::max(before, low); i != high_now; ++i) enter(plan, w, i);
  if (plan.sums) settle(plan, w, high_now);
  if (plan.ewm) {
    for (std::uint64_t i = before; i != high_now; ++i) weigh(plan, w, i);
  }
}

void WindowsKey::enter(const WindowsPlan& plan, std::size_t w, std::uint64_t position) noexcept {
  Window& window = windows[w];
  const double x = xs[slot(position)];
  if (!number(x)) {
    ++window.bad;
    return;
  }
  if (plan.sums) {
    if (window.n == 0) {
      window.sums.start(x);
      if (plan.high) high[w] = High{};
      if (plan.joint) joint[w].start(ys[slot(position)]);
    } else {
      window.sums.enter(x);
      if (plan.high) high[w].add(x - window.sums.pivot, 1.0);
      if (plan.joint) joint[w].add(x - window.sums.pivot, ys[slot(position)], 1.0);
    }
  }
  if (plan.sorted) sorted[w].insert(x);
  ++window.n;
}

// What is before `low` leaves.
void WindowsKey::leave(const WindowsPlan& plan, std::size_t w, std::uint64_t low) noexcept {
  Window& window = windows[w];
  const std::uint64_t before = high_end[plan.windows[w].group];
  if (anew(low - window.low, before - low)) {
    recount(plan, w, low, before);
    if (plan.sums && window.n > 0) resum(plan, w, low, before);
    return;
  }
  for (std::uint64_t i = window.low; i != low; ++i) {
    const double x = xs[slot(i)];
    if (!number(x)) {
      --window.bad;
      continue;
    }
    --window.n;
    if (plan.sums) {
      window.sums.leave(x);
      if (plan.high) high[w].add(x - window.sums.pivot, -1.0);
      if (plan.joint) joint[w].add(x - window.sums.pivot, ys[slot(i)], -1.0);
    }
    if (plan.sorted) sorted[w].erase(x);
  }
}

// Brings what is read up to date, from new sums where those at hand have lost too much.
void WindowsKey::settle(const WindowsPlan& plan, std::size_t w, std::uint64_t high_now) noexcept {
  Window& window = windows[w];
  if (window.n == 0) return;
  if (window.n == 1 && window.bad == 0) {
    window.sums.start(xs[slot(window.low)]);
    if (plan.high) high[w] = High{};
    if (plan.joint) joint[w].start(ys[slot(window.low)]);
    return;
  }
  const double n = static_cast<double>(window.n);
  bool good = window.sums.settle(n);
  if (plan.high) good &= high[w].settle(n, window.sums);
  if (plan.joint) good &= joint[w].settle(n, window.sums);
  // With one number among others that are not, nothing is read, and the sums are exact anyhow.
  if (!good && window.n > 1) resum(plan, w, window.low, high_now);
}

void WindowsKey::recount(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now) noexcept {
  Window& window = windows[w];
  window.n = 0;
  if (plan.sorted) sorted[w].clear();
  for (std::uint64_t i = low; i != high_now; ++i) {
    const double x = xs[slot(i)];
    window.n += number(x) ? 1 : 0;
    if (plan.sorted && number(x)) sorted[w].insert(x);
  }
  window.bad = static_cast<std::int64_t>(high_now - low) - window.n;
}

// All sums anew, about a new pivot. Needs a number in the window.
void WindowsKey::resum(const WindowsPlan& plan, std::size_t w, std::uint64_t low, std::uint64_t high_now) noexcept {
  Window& window = windows[w];
  std::uint64_t some = high_now - 1;
  while (!number(xs[slot(some)])) --some;
  const auto pivot = [&](const std::vector<double>& ring) {
    return pivot_of(part(ring, low, high_now, false), part(ring, low, high_now, true), ring[slot(some)]);
  };
  const double n = static_cast<double>(window.n);
  window.sums.start(pivot(xs));
  sum_about(window.sums, part(xs, low, high_now, false), part(xs, low, high_now, true));
  (void)window.sums.settle(n);
  if (plan.high) high[w] = High{};
  if (plan.joint) joint[w].start(pivot(ys));
  if (plan.high || plan.joint) {
    for (std::uint64_t i = low; i != high_now; ++i) {
      const double x = xs[slot(i)];
      if (!number(x)) continue;
      if (plan.high) high[w].add(x - window.sums.pivot, 1.0);
      if (plan.joint) joint[w].add(x - window.sums.pivot, ys[slot(i)], 1.0);
    }
    if (plan.high) (void)high[w].settle(n, window.sums);
    if (plan.joint) (void)joint[w].settle(n, window.sums);
  }
}

void WindowsKey::weigh(const WindowsPlan& plan, std::size_t w, std::uint64_t position) noexcept {
  const double x = xs[slot(position)];
  if (!number(x)) return;
  const WindowsPlan::Window& window = plan.windows[w];
  const Time time = times[slot(position)];
  Ewm& e = ewm[w];
  const double decay = window.halvings > 0.0
                           ? std::exp2(-static_cast<double>(age(time, e.n > 0 ? e.time : time)) * window.halvings)
                           : window.decay;
  e.enter(x, decay);
  e.time = time;
}

void WindowsKey::step_chains(const WindowsPlan& plan, std::size_t group, std::uint64_t high_now) noexcept {
  step_chain(*this, plan, max_chain[group], &Window::max, group, high_now);
  step_chain(*this, plan, min_chain[group], &Window::min, group, high_now);
}

}  // namespace fairlead::detail
