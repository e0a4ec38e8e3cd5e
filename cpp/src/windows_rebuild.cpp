// What is done seldom to a key of a `Windows`: everything anew from its ring, a late sample, the samples of another
// key.
#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "fairlead/windows_key.hpp"

namespace fairlead::detail {

// --------------------------------------------------------------------------------------------------------------

void WindowsKey::rebuild(const WindowsPlan& plan) noexcept {
  for (std::size_t g = 0; g < plan.groups; ++g) {
    high_end[g] = front;
    high_end[g] = group_end(plan, g);
  }
  for (std::size_t w = 0; w < windows.size(); ++w) {
    const std::uint64_t high_now = high_end[plan.windows[w].group];
    windows[w] = Window{};
    windows[w].low = low_of(plan, w, front, high_now, now);
    recount(plan, w, windows[w].low, high_now);
    if (plan.sums && windows[w].n > 0) {
      resum(plan, w, windows[w].low, high_now);
      settle(plan, w, high_now);
    }
  }
  if (!plan.extremes) return;
  for (std::size_t g = 0; g < plan.groups; ++g) {
    max_chain[g].clear();
    min_chain[g].clear();
    const std::uint64_t high_now = high_end[g];
    high_end[g] = front;
    step_chains(plan, g, high_now);
    high_end[g] = high_now;
  }
}

Status WindowsKey::insert(const WindowsPlan& plan, Time time, double x, double y) noexcept {
  if (const Status status = make_room(plan, now); status != Status::ok) return status;
  front = oldest();
  try {
    for (Sorted& order : sorted) order.reserve(end - front + 1);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  std::uint64_t place = end;
  for (; place != front && times[slot(place - 1)] > time; --place) {
    times[slot(place)] = times[slot(place - 1)];
    xs[slot(place)] = xs[slot(place - 1)];
    if (plan.pairs) ys[slot(place)] = ys[slot(place - 1)];
  }
  times[slot(place)] = time;
  xs[slot(place)] = x;
  if (plan.pairs) ys[slot(place)] = y;
  ++end;
  ++samples;
  rebuild(plan);
  for (std::size_t w = 0; w < ewm.size() && number(x); ++w) {
    if (place >= high_end[plan.windows[w].group]) continue;  // it will be weighed when it enters
    const WindowsPlan::Window& window = plan.windows[w];
    Ewm& e = ewm[w];
    if (window.halvings > 0.0 && e.n > 0 && time < e.time) {
      e.enter(x, 1.0, std::exp2(-static_cast<double>(age(e.time, time)) * window.halvings));
    } else {
      weigh(plan, w, place);
    }
  }
  return Status::ok;
}

Status WindowsKey::append(const WindowsPlan& plan, const WindowsKey& later) {
  if (!plan.right && plan.ewm && later.first_time() <= now) return Status::not_mergeable;
  advance(plan, later.first_time());
  std::vector<Ewm> weighed = ewm;
  for (std::size_t w = 0; w < weighed.size(); ++w) {
    const WindowsPlan::Window& window = plan.windows[w];
    const Ewm& e = later.ewm[w];
    if (e.n == 0) continue;
    const double halvings =
        window.halvings > 0.0 ? static_cast<double>(age(e.time, weighed[w].n > 0 ? weighed[w].time : e.time)) : 0.0;
    weighed[w].append(e, window.halvings > 0.0 ? std::exp2(-halvings * window.halvings)
                                               : std::pow(window.decay, static_cast<double>(e.n)));
  }
  const std::uint64_t taken = samples + later.samples;
  for (std::uint64_t i = later.oldest(); i != later.end; ++i) {
    const std::size_t at = later.slot(i);
    if (const Status status = make_room(plan, later.times[at]); status != Status::ok) return status;
    push(plan, later.times[at], later.xs[at], plan.pairs ? later.ys[at] : 0.0);
  }
  advance(plan, later.now);
  ewm = std::move(weighed);
  samples = taken;
  late += later.late;
  dropped += later.dropped;
  skipped += later.skipped;
  return Status::ok;
}

}  // namespace fairlead::detail
