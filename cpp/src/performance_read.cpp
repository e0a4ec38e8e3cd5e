// Reading: cells, panes and rounds are added up.
#include <algorithm>
#include <cmath>

#include "fairlead/performance.hpp"
#include "performance_time.hpp"

namespace fairlead {

namespace performance {

void Rounds::insert(std::int64_t number, const Round& more) noexcept {
  for (;;) {
    std::size_t at = size_;
    while (at > 0 && rounds_[at - 1].number > number) --at;
    if (at > 0 && rounds_[at - 1].number == number) return rounds_[at - 1].add(more);
    if (size_ < most) {
      std::move_backward(rounds_.begin() + static_cast<std::ptrdiff_t>(at),
                         rounds_.begin() + static_cast<std::ptrdiff_t>(size_),
                         rounds_.begin() + static_cast<std::ptrdiff_t>(size_ + 1));
      rounds_[at] = more;
      rounds_[at].number = number;
      ++size_;
      return;
    }
    widen();
    number >>= 1;
  }
}

void Rounds::widen() noexcept {
  ++doublings_;
  std::size_t n = 0;
  for (std::size_t i = 0; i < size_; ++i) {
    Round round = rounds_[i];
    round.number >>= 1;
    if (n > 0 && rounds_[n - 1].number == round.number) {
      rounds_[n - 1].add(round);
    } else {
      rounds_[n++] = round;
    }
  }
  size_ = n;
}

void Rounds::add(std::int64_t minute, const Round& more) noexcept { insert(minute >> doublings_, more); }

void Rounds::add(const Rounds& other) noexcept {
  while (doublings_ < other.doublings_) widen();
  for (std::size_t i = 0; i < other.size_; ++i) {
    const Round& more = other.rounds_[i];
    insert(more.number >> (doublings_ - other.doublings_), more);
  }
}

}  // namespace performance

double PerformanceReading::latency_ms(double q) const noexcept {
  if (calls.timed == 0 || !(q >= 0.0 && q <= 1.0)) return nan;
  const auto n = static_cast<double>(calls.timed);
  // The least whole number that is at least q n; the product may be rounded up across one.
  auto rank = static_cast<std::uint64_t>(std::ceil(q * n));
  if (rank > 0 && static_cast<double>(rank - 1) / n >= q) --rank;
  rank = std::max<std::uint64_t>(rank, 1);
  std::size_t last = 0;
  std::uint64_t before = 0;
  for (std::size_t i = 0; i < latency.size(); ++i) {
    if (latency[i] == 0) continue;
    last = i;
    before += latency[i];
    if (before >= rank) break;
  }
  const double a = performance::lower_bound(last), b = performance::lower_bound(last + 1);
  return 2.0 * a * b / (a + b) * 1e-6;
}

double PerformanceReading::skill_deviation() const noexcept {
  const auto n = static_cast<double>(settled.skilled);
  if (n < 2.0) return nan;
  const double square = static_cast<double>(settled.skill_square) / performance::unit, mean = skill();
  return std::sqrt(std::max(square - n * mean * mean, 0.0) / (n - 1.0));
}

double PerformanceReading::calibration_error() const noexcept {
  if (settled.n == 0) return nan;
  double gap = 0.0;
  for (const performance::Bin& bin : settled.bins) {
    gap += std::abs(static_cast<double>(bin.p) / performance::unit - static_cast<double>(bin.happened));
  }
  return gap / static_cast<double>(settled.n);
}

void PerformanceReading::add(const PerformanceReading& other) noexcept {
  calls.add(other.calls);
  settled.add(other.settled);
  resources.add(other.resources);
  for (std::size_t i = 0; i < latency.size(); ++i) performance::add(latency[i], other.latency[i]);
  rounds.add(other.rounds);
  shortest_round = other.shortest_round;
}

void Performance::read_pane(const Pane& from, PerformanceReading& out) const noexcept {
  out.calls.add(from.calls);
  if (from.settled != none) out.settled.add(settled_[from.settled]);
  if (from.resources != none) out.resources.add(resources_[from.resources]);
  for (std::size_t i = 0; i < from.n_few; ++i) performance::add(out.latency[from.few[i].bucket], from.few[i].n);
  for (std::uint32_t at = from.latencies; at != none; at = latencies_[at].next) {
    const Latencies& block = latencies_[at];
    std::uint32_t* const into = out.latency.data() + block.key * Latencies::width;
    for (std::size_t i = 0; i < Latencies::width; ++i) performance::add(into[i], block.n[i]);
  }
}

void Performance::read_cell(const Cell& cell, Window window, std::int64_t first, std::int64_t last_own,
                            PerformanceReading& out) const noexcept {
  const bool all = window == Window::all;
  const std::size_t longest = all ? levels - 1 : static_cast<std::size_t>(window);
  for (std::size_t level = 0; level <= longest; ++level) {
    const std::int64_t of = pane[longest] / pane[level], last = cell.newest[level];
    for (std::int64_t number = last - panes[level] + 1; number <= last; ++number) {
      const std::uint32_t at = cell.slots[slot_of(cell, level, number)];
      if (at == none) continue;
      const std::int64_t own = performance::floor_div(number, of);
      if (!all && (own > last_own || own < first)) continue;
      read_pane(panes_[at], out);
      if (!all && panes_[at].settled != none) {
        performance::Round round;
        round.add(settled_[panes_[at].settled]);
        out.rounds.add_own(own, round);
      }
    }
  }
  if (!all) {
    out.shortest_round = pane[longest];
    return;
  }
  if (cell.past != none) read_pane(panes_[cell.past], out);
  if (cell.rounds != none) out.rounds.add(rounds_[cell.rounds]);
}

void Performance::read(const Where& where, Window window, Time now, PerformanceReading& out) const noexcept {
  const std::size_t level = std::min(static_cast<std::size_t>(window), levels - 1);
  const std::int64_t newest = performance::floor_div(now, pane[level]);
  read_cells(where, window, newest - panes[level] + 1, newest, out);
}

void Performance::read_one(const Where& where, Window window, Time now, int back, PerformanceReading& out) const noexcept {
  const std::size_t level = std::min(static_cast<std::size_t>(window), levels - 1);
  const std::int64_t number = performance::floor_div(now, pane[level]) - back;
  read_cells(where, window, number, number, out);
}

void Performance::read_cells(const Where& where, Window window, std::int64_t first_pane, std::int64_t last_pane,
                             PerformanceReading& out) const noexcept {
  const bool any = where.category < 0 && where.regime < 0 && where.expiry < 0;
  const auto fits = [&](PlaceId id) {
    if (where.place >= 0) return id == where.place;
    if (any) return true;
    const Place& place = at(id);
    return id != other && (where.category < 0 || place.category == where.category) &&
           (where.regime < 0 || place.regime == where.regime) &&
           (where.expiry < 0 || static_cast<std::int32_t>(place.expiry) == where.expiry);
  };
  const ModelId first = where.model < 0 ? 0 : where.model, end = where.model < 0 ? n_models() : where.model + 1;
  for (ModelId model = first; model < end && model < n_models(); ++model) {
    const std::vector<std::uint32_t>& row = cells_of_[static_cast<std::size_t>(model)];
    for (std::size_t place = 0; place < row.size(); ++place) {
      if (row[place] != none && fits(static_cast<PlaceId>(place))) read_cell(cells_[row[place]], window, first_pane, last_pane, out);
    }
  }
}

}  // namespace fairlead
