#include "fairlead/performance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <utility>

#include "performance_time.hpp"

namespace fairlead {

namespace {

using performance::fixed;

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

constexpr std::int64_t most_tokens = std::int64_t{1} << 53;

std::int64_t whole(std::int64_t n) noexcept { return std::clamp<std::int64_t>(n, 0, most_tokens); }

// Of x >= 0, in units of which there are `per` in one; -1 where it is not known.
std::int64_t units(double x, double per) noexcept { return x >= 0.0 ? std::llrint(std::min(x * per, 4e18)) : -1; }

void fetch(const void* address) noexcept {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  (void)address;
#endif
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool holds(std::string_view text, std::string_view word) noexcept {  // the word in lower case
  const auto same = [](char a, char b) { return lower(a) == b; };
  return std::search(text.begin(), text.end(), word.begin(), word.end(), same) != text.end();
}

}  // namespace

bool tells_timeout(std::string_view error) noexcept {
  error = error.substr(0, 512);
  return holds(error, "timeout") || holds(error, "timed out");
}

Performance::Performance(PerformanceOptions options)
    : options_(options), places_(1), square_scale_(1, 0.0) {}

PlaceId Performance::place(std::string_view category, std::string_view regime, Expiry expiry) {
  const std::int32_t c = categories_.find(category), r = regimes_.find(regime);
  const auto e = static_cast<std::size_t>(expiry);
  if (c >= 0 && r >= 0 && index(c) < place_of_.size() && index(r) < place_of_[index(c)].size()) {
    if (const PlaceId known = place_of_[index(c)][index(r)][e]; known != other) return known;
  }
  if (n_places() >= options_.max_places) return other;
  places_.reserve(places_.size() + 1);
  const std::int32_t own = categories_.intern(category), of = regimes_.intern(regime);
  if (square_scale_.size() < index(own) + 2) square_scale_.resize(index(own) + 2, 0.0);
  if (place_of_.size() <= index(own)) place_of_.resize(index(own) + 1);
  std::vector<std::array<PlaceId, 6>>& row = place_of_[index(own)];
  if (row.size() <= index(of)) row.resize(index(of) + 1, std::array<PlaceId, 6>{});
  row[index(of)][e] = n_places();
  places_.push_back({own, of, expiry});
  return row[index(of)][e];
}

std::uint32_t Performance::find(ModelId model, PlaceId place) const noexcept {
  if (model < 0 || index(model) >= cells_of_.size() || index(place) >= cells_of_[index(model)].size()) return none;
  return cells_of_[index(model)][index(place)];
}

// There is memory for it. Where there are too many cells, that of the model's other place.
Performance::Cell& Performance::cell_of(ModelId model, PlaceId place, Time time) {
  std::uint32_t at = find(model, place);
  if (at != none) return cells_[at];
  if (place != other && cells_.size() >= options_.max_cells) return cell_of(model, other, time);
  at = static_cast<std::uint32_t>(cells_.size());
  Cell& cell = cells_.emplace_back();
  cell.model = model;
  cell.place = place;
  set_newest(cell, number_of(time));
  cell.slots.fill(none);
  cells_of_[index(model)][index(place)] = at;
  return cell;
}

void Performance::room(std::span<const ModelId> models, PlaceId place) {
  std::size_t wanted = 0;
  for (const ModelId model : models) {
    if (find(model, place) != none) continue;
    if (cells_of_.size() <= index(model)) cells_of_.resize(index(model) + 1);
    std::vector<std::uint32_t>& row = cells_of_[index(model)];
    if (row.size() <= index(place)) row.resize(index(place) + 1, none);  // `other` has its cell in it too
    ++wanted;
  }
  if (cells_.capacity() - cells_.size() < wanted) cells_.reserve(std::max(2 * cells_.capacity(), cells_.size() + wanted));
  const std::size_t n = models.size();
  panes_.reserve(n);
  settled_.reserve(n);
  rounds_.reserve(n);
  latencies_.reserve(spare + (std::tuple_size_v<decltype(Pane::few)> + 1) * n);
}

std::int64_t Performance::number_of(Time time) noexcept {
  if (static_cast<std::uint64_t>(time) - static_cast<std::uint64_t>(start_) < static_cast<std::uint64_t>(pane[0])) return number_;
  const std::int64_t number = performance::floor_div(time, pane[0]);
  if (number > std::numeric_limits<Time>::min() / pane[0]) {  // so that it does not start before all time
    start_ = number * pane[0];
    number_ = number;
  }
  return number;
}

void Performance::set_newest(Cell& cell, std::int64_t newest) noexcept {
  for (std::size_t level = 0; level < levels; ++level) {
    cell.newest[level] = newest;
    cell.head[level] = static_cast<std::uint8_t>(performance::floor_mod(newest, panes[level]));
    if (level + 1 < levels) newest = performance::coarser(level, newest);
  }
}

// Of a pane that its ring reaches back to.
std::size_t Performance::slot_of(const Cell& cell, std::size_t level, std::int64_t number) noexcept {
  const int at = static_cast<int>(cell.head[level]) - static_cast<int>(cell.newest[level] - number);
  return first_slot[level] + static_cast<std::size_t>(at < 0 ? at + panes[level] : at);
}

// Where the pane of this number is kept: the first ring from its own level on that reaches back to it.
std::uint32_t& Performance::home_of(Cell& cell, std::size_t level, std::int64_t number) noexcept {
  while (number <= cell.newest[level] - panes[level]) {
    if (level + 1 == levels) return cell.past;
    number = performance::coarser(level++, number);
  }
  return cell.slots[slot_of(cell, level, number)];
}

// The pane of an event whose pane of level 0 has this number. There is memory for it.
Performance::Pane& Performance::pane_of(Cell& cell, std::int64_t number) noexcept {
  if (number > cell.newest[0]) advance(cell, number);
  std::uint32_t& slot = home_of(cell, 0, number);
  if (slot == none) slot = panes_.take();
  return panes_[slot];
}

// Time goes on: what is too old for its ring is poured into the next, the longest rings first.
void Performance::advance(Cell& cell, std::int64_t newest) noexcept {
  std::array<std::int64_t, levels> now;
  std::size_t changed = 0;
  for (; changed < levels && newest != cell.newest[changed]; ++changed) {
    now[changed] = newest;
    if (changed + 1 < levels) newest = performance::coarser(changed, newest);
  }
  while (changed-- > 0) {
    const std::size_t level = changed;
    const std::int64_t old = cell.newest[level], step = now[level] - old;
    const auto n = static_cast<std::size_t>(panes[level]);
    const std::size_t gone = step < panes[level] ? static_cast<std::size_t>(step) : n;
    std::size_t at = cell.head[level];
    cell.newest[level] = now[level];
    cell.head[level] = static_cast<std::uint8_t>(step < panes[level] ? (at + gone) % n
                                                                     : (at + static_cast<std::uint64_t>(step) % n) % n);
    std::int64_t number = old - panes[level];
    for (std::size_t i = 0; i < gone; ++i) {
      ++number;
      if (++at == n) at = 0;
      const std::uint32_t from = std::exchange(cell.slots[first_slot[level] + at], none);
      if (from != none) pour(cell, from, level, number);
    }
  }
}

// Of a pane that its ring no longer reaches back to.
void Performance::pour(Cell& cell, std::uint32_t from, std::size_t level, std::int64_t number) noexcept {
  std::uint32_t& slot = home_of(cell, level, number);
  if (slot == none) {
    slot = from;
  } else {
    merge(from, slot);
  }
}

// The pane `from` is given back.
void Performance::merge(std::uint32_t from, std::uint32_t into) noexcept {
  Pane& source = panes_[from];
  Pane& sum = panes_[into];
  sum.calls.add(source.calls);
  const auto join = [](auto& pool, std::uint32_t given, std::uint32_t& kept) {
    if (given == none) return;
    if (kept == none) {
      kept = given;
    } else {
      pool[kept].add(pool[given]);
      pool.give(given);
    }
  };
  join(settled_, source.settled, sum.settled);
  join(resources_, source.resources, sum.resources);
  merge_latencies(source, sum);
  panes_.give(from);
}

void Performance::merge_latencies(Pane& from, Pane& into) noexcept {
  for (std::uint32_t at = from.latencies; at != none;) {
    Latencies& block = latencies_[at];
    const std::uint32_t next = block.next;
    std::uint32_t same = into.latencies;
    while (same != none && latencies_[same].key != block.key) same = latencies_[same].next;
    if (same == none) {
      block.next = into.latencies;
      into.latencies = at;
    } else {
      for (std::size_t i = 0; i < Latencies::width; ++i) performance::add(latencies_[same].n[i], block.n[i]);
      latencies_.give(at);
    }
    at = next;
  }
  for (const Few& few : std::span(from.few).first(from.n_few)) {
    add_latency(into, few.bucket, few.n);  // there is memory for it
  }
}

// The few latencies of a pane go into blocks. May throw, then they are still where they were.
void Performance::spill(Pane& into) {
  for (std::size_t i = 0; i < into.n_few; ++i) (void)counter(into, into.few[i].bucket);
  for (std::size_t i = 0; i < into.n_few; ++i) performance::add(counter(into, into.few[i].bucket), into.few[i].n);
  into.n_few = 0;
}

// May throw, then nothing was added.
void Performance::add_latency(Pane& into, std::size_t bucket, std::uint32_t n) {
  if (into.latencies == none) {
    std::size_t i = 0;
    while (i < into.n_few && into.few[i].bucket != bucket) ++i;
    // A new one is 0, as are all that no one took yet.
    if (i < into.few.size() && n <= 0xffffu - into.few[i].n) {
      into.few[i].bucket = static_cast<std::uint16_t>(bucket);
      into.n_few = std::max(into.n_few, static_cast<std::uint32_t>(i + 1));
      into.few[i].n = static_cast<std::uint16_t>(into.few[i].n + n);
      return;
    }
    spill(into);
  }
  performance::add(counter(into, bucket), n);
}

// How many latencies lie in a bucket. May throw.
std::uint32_t& Performance::counter(Pane& into, std::size_t bucket) {
  const auto key = static_cast<std::uint32_t>(bucket / Latencies::width);
  std::uint32_t at = into.latencies;
  while (at != none && latencies_[at].key != key) at = latencies_[at].next;
  if (at == none) {
    at = latencies_.take();
    latencies_[at].key = key;
    latencies_[at].next = std::exchange(into.latencies, at);
  }
  return latencies_[at].n[bucket % Latencies::width];
}

Status Performance::add(ModelId model, PlaceId place, Time time, const Call& call, const Resources* used) noexcept {
  if (model < 0 || place < 0 || place >= n_places()) return Status::out_of_range;
  try {
    room({&model, 1}, place);
    if (used != nullptr) resources_.reserve(1);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  const std::int64_t latency = units(call.latency_ms, 1e6);
  Pane* const at = &pane_of(cell_of(model, place, time), number_of(time));
  if (used != nullptr && at->resources == none) at->resources = resources_.take();
  if (latency >= 0) add_latency(*at, performance::bucket(latency));
  performance::CallSums& sums = at->calls;
  performance::add(sums.calls, 1);
  performance::add(sums.failed, call.failed ? 1 : 0);
  performance::add(sums.timeouts, call.failed && call.timed_out ? 1 : 0);
  performance::add(sums.cancelled, call.cancelled && !call.failed ? 1 : 0);
  performance::add(sums.tokens_in, whole(call.tokens_in));
  performance::add(sums.tokens_out, whole(call.tokens_out));
  performance::add(sums.cost, std::clamp<Nanos>(call.cost, 0, max_amount));
  if (latency >= 0) {
    performance::add(sums.timed, 1);
    performance::add(sums.latency, latency);
  }
  if (call.confidence >= 0.0 && call.confidence <= 1.0) {
    performance::add(sums.confident, 1);
    performance::add(sums.confidence, fixed(call.confidence));
  }
  if (used != nullptr) {
    performance::ResourceSums& resources = resources_[at->resources];
    performance::add(resources.api_calls, whole(used->api_calls));
    performance::add(resources.compute, std::max<std::int64_t>(units(used->compute_s, 1e9), 0));
    if (const std::int64_t memory = units(used->memory_mb, 1e6); memory >= 0) {
      performance::add(resources.memory, memory);
      performance::add(resources.measured, 1);
      resources.memory_most = std::max(resources.memory_most, memory);
    }
  }
  return Status::ok;
}

Status Performance::settled(PlaceId place, Time time, Kind kind, std::size_t classes, std::span<const ModelId> models,
                            std::span<const Marks> marks) noexcept {
  if (place < 0 || place >= n_places() || marks.size() != models.size()) return Status::out_of_range;
  for (const ModelId model : models) {
    if (model < 0) return Status::out_of_range;
  }
  if (models.empty()) return Status::ok;
  try {
    room(models, place);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  const std::int64_t number = number_of(time);
  // Cells lie far apart: all are asked for before the first is used.
  for (const ModelId model : models) {
    if (const std::uint32_t at = find(model, place); at != none) {
      const char* const cell = reinterpret_cast<const char*>(&cells_[at]);
      for (std::size_t byte = 0; byte < sizeof(Cell); byte += 64) fetch(cell + byte);
    }
  }

  const bool numeric = kind == Kind::numeric;
  const auto m = static_cast<double>(models.size());
  double mean = 0.0, scale = 0.0;
  for (const Marks& mark : marks) mean += mark.loss;
  mean /= m;
  if (numeric) {
    // As the Scoreboard has it: bounded, so that one absurd number does not become the measure of all.
    constexpr double fade = 0.05;
    double& usual = square_scale_[index(places_[index(place)].category + 1)];
    scale = usual > 0.0 ? usual : mean;
    usual = scale + fade * (std::min(mean, 10.0 * scale) - scale);
  }
  const auto bounded = [scale](double square) { return square > 0.0 ? 2.0 * square / (square + scale) : 0.0; };
  const auto comparable = [&](const Marks& mark) { return numeric ? bounded(mark.loss) : reported(mark.loss, kind); };
  double usual = 0.0;
  for (const Marks& mark : marks) usual += comparable(mark);
  usual /= m;
  const double uniform = classes > 1 ? 1.0 - 1.0 / static_cast<double>(classes) : nan;
  const std::int64_t minute = performance::floor_div(time, performance::Rounds::shortest);

  for (std::size_t i = 0; i < models.size(); ++i) {
    const Marks& mark = marks[i];
    performance::Round round;
    const double loss = comparable(mark);
    if (numeric || classes > 1) {
      round.scored = 1;
      round.quality = fixed(numeric ? 1.0 - loss : 1.0 - mark.loss / uniform);
    }
    if (models.size() > 1) {
      round.skilled = 1;
      round.skill = fixed(usual - loss);
    }
    if (!numeric) {
      round.n = 1;
      round.correct = mark.correct ? 1 : 0;
      round.brier = fixed(loss);
    }
    Cell& cell = cell_of(models[i], place, time);
    if (cell.rounds == none) cell.rounds = rounds_.take();
    rounds_[cell.rounds].add(minute, round);
    Pane& into = pane_of(cell, number);
    if (into.settled == none) into.settled = settled_.take();
    performance::SettledSums& sums = settled_[into.settled];
    performance::add(sums.n, round.n), performance::add(sums.correct, round.correct);
    performance::add(sums.scored, round.scored), performance::add(sums.skilled, round.skilled);
    performance::add(sums.brier, round.brier), performance::add(sums.quality, round.quality);
    performance::add(sums.skill, round.skill);
    performance::add(sums.skill_square, models.size() > 1 ? fixed((usual - loss) * (usual - loss)) : 0);
    if (!numeric) {
      performance::add(sums.log_loss, fixed(mark.log_loss));
      performance::Bin& bin = sums.bins[mark.bin];
      performance::add(bin.n, 1);
      performance::add(bin.happened, mark.happened ? 1 : 0);
      performance::add(bin.p, fixed(mark.shown));
    }
  }
  return Status::ok;
}

void Performance::reserve(std::size_t n, std::size_t half_octaves) {
  panes_.reserve(n);
  latencies_.reserve(n * half_octaves);
  settled_.reserve(n);
  rounds_.reserve(cells_.size());
}

std::size_t Performance::bytes() const noexcept {
  std::size_t sum = sizeof(*this) + cells_.capacity() * sizeof(Cell) + panes_.bytes() + latencies_.bytes() +
                    settled_.bytes() + resources_.bytes() + rounds_.bytes() + places_.capacity() * sizeof(Place);
  for (const auto& row : cells_of_) sum += sizeof(row) + row.capacity() * sizeof(std::uint32_t);
  for (const auto& row : place_of_) sum += sizeof(row) + row.capacity() * sizeof(row[0]);
  return sum;
}

}  // namespace fairlead
