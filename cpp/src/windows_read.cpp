// Every statistic of a key's windows, from what its sums, chains and sorted blocks know.
#include <algorithm>
#include <cmath>
#include <iterator>

#include "fairlead/windows_key.hpp"

namespace fairlead::detail {

// The statistics that most ask for, all of a window at once, and then those that are wanted.
void WindowsKey::read_common(const WindowsPlan& plan, double* out) const noexcept {
  const std::size_t width = plan.columns.size();
  const double ddof = plan.options.ddof;
  const std::int64_t least = std::max<std::int64_t>(plan.options.min_periods, 1);
  for (std::size_t w = 0; w < windows.size(); ++w, out += width) {
    const Window& window = windows[w];
    const double n = static_cast<double>(window.n);
    double known[std::size(common_stats)] = {n, nan, nan, nan, nan, nan, nan, nan};
    if (window.bad == 0 && window.n >= least) {
      if (plan.sums) {
        known[1] = n * window.sums.pivot + window.sums.d.value();
        known[2] = window.sums.mean();
        known[3] = n > ddof ? window.sums.m2 / (n - ddof) : nan;
        if (plan.root) known[4] = std::sqrt(known[3]);
      }
      if (plan.extremes) {
        const std::size_t group = plan.windows[w].group;
        known[5] = xs[min_chain[group].at(window.min) & mask];
        known[6] = xs[max_chain[group].at(window.max) & mask];
        known[7] = known[6] - known[5];
      }
    } else if (window.bad == 0 && window.n >= plan.options.min_periods) {
      known[1] = 0.0;  // the sum of nothing
    }
    for (std::size_t s = 0; s < width; ++s) out[s] = known[plan.columns[s]];
  }
}

void WindowsKey::read(const WindowsPlan& plan, double* out) const noexcept {
  if (plan.common) return read_common(plan, out);
  const std::size_t width = plan.options.stats.size();
  const double ddof = plan.options.ddof;
  for (std::size_t s = 0; s < width; ++s) {
    const StatSpec& spec = plan.options.stats[s];
    // One cell of each window; NaN where it holds too few samples, or one that is not a number.
    const auto each = [&](std::int64_t least, const auto& cell) {
      least = std::max(least, plan.options.min_periods);
      for (std::size_t w = 0; w < windows.size(); ++w) {
        const Window& window = windows[w];
        out[w * width + s] =
            window.bad == 0 && window.n >= least ? cell(w, window, static_cast<double>(window.n)) : nan;
      }
    };
    const auto seconds = [&](std::size_t at) { return static_cast<double>(age(now, times[at])) / 1e9; };
    const auto top = [&](std::size_t w, const Window& window) {
      return max_chain[plan.windows[w].group].at(window.max);
    };
    const auto bottom = [&](std::size_t w, const Window& window) {
      return min_chain[plan.windows[w].group].at(window.min);
    };
    const auto variance = [ddof](double m2, double n) { return n > ddof ? m2 / (n - ddof) : nan; };
    switch (spec.stat) {
      case Stat::count:
        for (std::size_t w = 0; w < windows.size(); ++w) out[w * width + s] = static_cast<double>(windows[w].n);
        break;
      case Stat::sum:
        each(0, [](std::size_t, const Window& k, double n) {
          return n > 0.0 ? n * k.sums.pivot + k.sums.d.value() : 0.0;
        });
        break;
      case Stat::mean: each(1, [](std::size_t, const Window& k, double) { return k.sums.mean(); }); break;
      case Stat::var: each(1, [&](std::size_t, const Window& k, double n) { return variance(k.sums.m2, n); }); break;
      case Stat::std:
        each(1, [&](std::size_t, const Window& k, double n) { return std::sqrt(variance(k.sums.m2, n)); });
        break;
      case Stat::skew:
        each(3, [&](std::size_t w, const Window& k, double n) {
          const double m2 = k.sums.m2 / n;
          return std::sqrt(n * (n - 1.0)) / (n - 2.0) * (high[w].m3 / n / (m2 * std::sqrt(m2)));
        });
        break;
      case Stat::kurt:
        each(4, [&](std::size_t w, const Window& k, double n) {
          const double m2 = k.sums.m2 / n;
          return (n - 1.0) / ((n - 2.0) * (n - 3.0)) * ((n + 1.0) * (high[w].m4 / n / (m2 * m2)) - 3.0 * (n - 1.0));
        });
        break;
      case Stat::min: each(1, [&](std::size_t w, const Window& k, double) { return xs[bottom(w, k) & mask]; }); break;
      case Stat::max: each(1, [&](std::size_t w, const Window& k, double) { return xs[top(w, k) & mask]; }); break;
      case Stat::range:
        each(1, [&](std::size_t w, const Window& k, double) { return xs[top(w, k) & mask] - xs[bottom(w, k) & mask]; });
        break;
      case Stat::argmin:
        each(1, [&](std::size_t w, const Window& k, double) {
          return static_cast<double>(bottom(w, k) - static_cast<std::uint32_t>(k.low));
        });
        break;
      case Stat::argmax:
        each(1, [&](std::size_t w, const Window& k, double) {
          return static_cast<double>(top(w, k) - static_cast<std::uint32_t>(k.low));
        });
        break;
      case Stat::min_age:
        each(1, [&](std::size_t w, const Window& k, double) { return seconds(bottom(w, k) & mask); });
        break;
      case Stat::max_age:
        each(1, [&](std::size_t w, const Window& k, double) { return seconds(top(w, k) & mask); });
        break;
      case Stat::first: each(1, [&](std::size_t, const Window& k, double) { return xs[slot(k.low)]; }); break;
      case Stat::last:
        each(1, [&](std::size_t w, const Window&, double) { return xs[slot(high_end[plan.windows[w].group] - 1)]; });
        break;
      case Stat::rate:
        for (std::size_t w = 0; w < windows.size(); ++w) {
          const Window& k = windows[w];
          const double n = static_cast<double>(k.n);
          double& cell = out[w * width + s];
          if (plan.windows[w].limit > 0) {
            cell = n / plan.windows[w].seconds;
          } else {
            const std::uint64_t last = high_end[plan.windows[w].group] - 1;
            const std::uint64_t took = k.n > 1 ? age(times[slot(last)], times[slot(k.low)]) : 0;
            cell = took > 0 ? (n - 1.0) * 1e9 / static_cast<double>(took) : nan;
          }
        }
        break;
      case Stat::quantile:
        each(1, [&](std::size_t w, const Window&, double) { return sorted[w].quantile(spec.q); });
        break;
      case Stat::ewm:
      case Stat::ewm_var:
      case Stat::ewm_std:
        for (std::size_t w = 0; w < windows.size(); ++w) {
          const Ewm& e = ewm[w];
          const double value = spec.stat == Stat::ewm       ? e.mean
                               : spec.stat == Stat::ewm_var ? e.variance()
                                                            : std::sqrt(e.variance());
          out[w * width + s] = e.n >= std::max<std::int64_t>(1, plan.options.min_periods) ? value : nan;
        }
        break;
      case Stat::cov:
        each(1, [&](std::size_t w, const Window&, double n) { return n > ddof ? joint[w].c / (n - ddof) : nan; });
        break;
      case Stat::corr:
        each(2, [&](std::size_t w, const Window& k, double) {
          const double spread = std::sqrt(k.sums.m2) * std::sqrt(joint[w].y.m2);
          return spread > 0.0 ? std::clamp(joint[w].c / spread, -1.0, 1.0) : nan;
        });
        break;
      case Stat::beta:
        each(2, [&](std::size_t w, const Window& k, double) { return k.sums.m2 > 0.0 ? joint[w].c / k.sums.m2 : nan; });
        break;
    }
  }
}

}  // namespace fairlead::detail
