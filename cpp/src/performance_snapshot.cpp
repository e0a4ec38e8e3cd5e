// Performance as bytes: the same for the same events, wherever their memory lies.
#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "fairlead/performance.hpp"
#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

template <class T>
std::span<const T> one(const T& value) noexcept {
  return {&value, 1};
}
template <class T>
std::span<T> one(T& value) noexcept {
  return {&value, 1};
}

enum Holds : std::uint8_t { holds_settled = 1, holds_resources = 2 };

}  // namespace

void Performance::save(const Pane& from, SnapshotWriter& out) const {
  out.put_raw(one(from.calls));
  out.put(static_cast<std::uint8_t>((from.settled != none ? holds_settled : 0) |
                                    (from.resources != none ? holds_resources : 0)));
  if (from.settled != none) out.put_raw(one(settled_[from.settled]));
  if (from.resources != none) out.put_raw(one(resources_[from.resources]));
  std::vector<std::pair<std::uint16_t, std::uint32_t>> counts;
  for (std::uint32_t at = from.latencies; at != none; at = latencies_[at].next) {
    const Latencies& block = latencies_[at];
    for (std::size_t i = 0; i < Latencies::width; ++i) {
      if (block.n[i] > 0) counts.emplace_back(static_cast<std::uint16_t>(block.key * Latencies::width + i), block.n[i]);
    }
  }
  for (std::size_t i = 0; i < from.n_few; ++i) counts.emplace_back(from.few[i].bucket, from.few[i].n);
  std::sort(counts.begin(), counts.end());
  std::size_t n_buckets = 0;  // one may be in both, where memory was short
  for (const auto& [bucket, n] : counts) {
    if (n_buckets > 0 && counts[n_buckets - 1].first == bucket) {
      performance::add(counts[n_buckets - 1].second, n);
    } else {
      counts[n_buckets++] = {bucket, n};
    }
  }
  counts.resize(n_buckets);
  out.put(static_cast<std::uint16_t>(counts.size()));
  for (const auto& [bucket, n] : counts) {
    out.put(bucket);
    out.put(n);
  }
}

std::uint32_t Performance::load_pane(SnapshotReader& in) {
  const std::uint32_t at = panes_.take();
  Pane& into = panes_[at];
  std::uint8_t holds = 0;
  in.get_raw(one(into.calls));
  in.get(holds);
  in.require(holds <= (holds_settled | holds_resources));
  if (!in.ok()) return at;
  if ((holds & holds_settled) != 0) in.get_raw(one(settled_[into.settled = settled_.take()]));
  if ((holds & holds_resources) != 0) in.get_raw(one(resources_[into.resources = resources_.take()]));
  std::uint16_t n = 0;
  in.get(n);
  std::uint16_t bucket = 0, after = 0;
  for (std::uint16_t i = 0; in.ok() && i < n; ++i) {
    std::uint32_t count = 0;
    in.get(bucket);
    in.get(count);
    in.require(bucket >= after && bucket < performance::buckets && count > 0);
    if (in.ok()) add_latency(into, bucket, count);
    after = static_cast<std::uint16_t>(bucket + 1);
  }
  return at;
}

void Performance::save(SnapshotWriter& out) const {
  out.put(options_.max_cells);
  out.put(options_.max_places);
  // By their names, as memory that was short may have left some without a place.
  out.put(static_cast<std::uint64_t>(places_.size()));
  std::vector<bool> told(square_scale_.size());
  out.put(square_scale_[0]);
  for (const Place& place : std::span(places_).subspan(1)) {
    out.put(std::string_view(categories_.name(place.category)));
    out.put(std::string_view(regimes_.name(place.regime)));
    out.put(place.expiry);
    const std::size_t own = index(place.category) + 1;
    if (!told[own]) out.put(square_scale_[own]);
    told[own] = true;
  }
  out.put(static_cast<std::uint64_t>(cells_.size()));
  for (const Cell& cell : cells_) {
    out.put(cell.model);
    out.put(cell.place);
    out.put(cell.newest[0]);
    const auto n = std::count_if(cell.slots.begin(), cell.slots.end(), [](std::uint32_t at) { return at != none; });
    out.put(static_cast<std::uint8_t>(n));
    for (std::size_t slot = 0; slot < n_slots; ++slot) {
      if (cell.slots[slot] == none) continue;
      out.put(static_cast<std::uint8_t>(slot));
      save(panes_[cell.slots[slot]], out);
    }
    out.put(static_cast<std::uint8_t>((cell.past != none ? 1 : 0) | (cell.rounds != none ? 2 : 0)));
    if (cell.past != none) save(panes_[cell.past], out);
    if (cell.rounds != none) rounds_[cell.rounds].save(out);
  }
}

void Performance::load(SnapshotReader& in) {
  PerformanceOptions options;
  in.get(options.max_cells);
  in.get(options.max_places);
  in.require(options.max_places >= 1);
  Performance read(options);
  const auto get_scale = [&](double& scale) {
    in.get(scale);
    in.require(scale >= 0.0 && std::isfinite(scale));
  };
  std::size_t n = in.length(1);
  in.require(n >= 1 && n <= index(options.max_places));
  get_scale(read.square_scale_[0]);
  std::string category, regime;
  for (std::size_t i = 1; in.ok() && i < n; ++i) {
    Expiry expiry = Expiry::unknown;
    in.get(category);
    in.get(regime);
    in.get(expiry);
    in.require(static_cast<std::size_t>(expiry) < expiry_names.size());
    if (!in.ok()) break;
    const bool known = read.categories_.find(category) >= 0;
    in.require(index(read.place(category, regime, expiry)) == i);
    if (in.ok() && !known) get_scale(read.square_scale_[index(read.places_[i].category) + 1]);
  }
  n = in.length(18);
  for (std::size_t i = 0; in.ok() && i < n; ++i) {
    ModelId model = -1;
    PlaceId place = -1;
    std::int64_t newest = 0;
    in.get(model);
    in.get(place);
    in.get(newest);
    constexpr std::int64_t most = std::numeric_limits<Time>::max() / pane[0];
    in.require(model >= 0 && model < (1 << 24) && place >= 0 && place < read.n_places() && read.find(model, place) == none &&
               newest >= -most - 1 && newest <= most && (place == other || i < options.max_cells));
    if (!in.ok()) break;
    read.room({&model, 1}, place);
    Cell& cell = read.cell_of(model, place, 0);
    set_newest(cell, newest);
    std::uint8_t slots = 0, slot = 0, rest = 0;
    in.get(slots);
    for (std::size_t k = 0; in.ok() && k < slots; ++k) {
      const std::uint8_t before = slot;
      in.get(slot);
      in.require(slot < n_slots && (k == 0 || slot > before));
      if (in.ok()) cell.slots[slot] = read.load_pane(in);
    }
    in.get(rest);
    in.require(rest <= 3);
    if (in.ok() && (rest & 1) != 0) cell.past = read.load_pane(in);
    if (in.ok() && (rest & 2) != 0) read.rounds_[cell.rounds = read.rounds_.take()].load(in);
  }
  if (in.ok()) *this = std::move(read);
}

}  // namespace fairlead
