// How every model is doing: calls, failures, latencies, tokens, cost and, of settled answers, their marks; for each model x
// category x regime x time to expiry, over the last hour, 6 hours, day, week, 30 days, and all time.
//
// An event touches one cell, and in it one pane of time; slices and windows are merged when they are read. A cell has five
// rings of panes, each pane a part of one of the next ring:
//
//   1h: 12 of 5 minutes | 6h: 12 of 30 minutes | 24h: 12 of 2 hours | 7d: 14 of 12 hours | 30d: 15 of 2 days | past: one
//
// Panes lie on a grid of time that is the same for all. A pane that is too old for its ring is poured into the next one.
//
// What a window holds at `now`: the events of the pane in which `now` lies and of the 11 (13, 14) panes before it, that is all
// of the last 11/12 (13/14, 14/15) of its span, and none that is older than the span. An event is placed by its own time,
// however late it comes: it counts in every window that still holds its pane. Nothing is known of the future of `now`: panes
// after it are left out. A window whose `now` lies before the newest event of a cell lacks what was poured by then.
//
// Marks of probabilities. brier, log_loss, correct: as in score.hpp. quality: 1 - loss / loss of the uniform answer, the loss
// being the squared error over all classes: 1 = right and certain, 0 = as good as knowing nothing. skill: the mean Brier score
// of all answers to the task, this one included, minus this one's; left out where nobody else answered. Numbers have no scale
// of their own: with s the decayed mean of the squared errors in their category, e' = 2 e / (e + s) lies in [0, 2], quality is
// 1 - e' (0 = an error as usual here), and skill the mean e' of the task minus one's own.
//
// A fold: no clock, no I/O; the same events give the same bits, in whatever order within a task. Hot path: `call` and
// `settled` allocate only where a cell, a pane or a stretch of latencies is met for the first time, from pools that are grown
// by slabs and never given back; none throws. One thread at a time.
//
// Memory of a (model, cell): 0.3 KiB; with settled answers 1.6 KiB more. Each pane in which something happened, of at most 66:
// 128 bytes; 216 with settled answers; and 136 for each half octave of latencies, once they are in more than 12 buckets. So
// 23 KiB for a cell that has a little in all panes, and about 55 KiB for one that has much. At most `max_cells` cells beside one for each model, and `max_places` combinations of category, regime and expiry:
// what comes beyond counts in the place `other`, which is named by none.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/performance_sums.hpp"
#include "fairlead/score.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

enum class PerformanceWindow : std::uint8_t { h1, h6, h24, d7, d30, all };
inline constexpr std::array<std::string_view, 6> performance_window_names{"1h", "6h", "24h", "7d", "30d", "all"};

// How long a task still runs when it is shown.
enum class Expiry : std::uint8_t { hour, day, week, month, later, unknown };
inline constexpr std::array<std::string_view, 6> expiry_names{"1h", "1d", "7d", "30d", "later", "unknown"};
constexpr Expiry expiry_of(double seconds) noexcept {
  if (!(seconds >= 0.0)) return Expiry::unknown;
  if (seconds < 3600.0) return Expiry::hour;
  if (seconds < 86'400.0) return Expiry::day;
  if (seconds < 7 * 86'400.0) return Expiry::week;
  return seconds < 30 * 86'400.0 ? Expiry::month : Expiry::later;
}

// Whether a call that failed ran out of time, by what its error says: "timeout" or "timed out", in any case.
bool tells_timeout(std::string_view error) noexcept;

// A combination of category, regime and time to expiry.
using PlaceId = std::int32_t;

namespace performance {

// Items that are found by number and reused. Grows by slabs, so that none ever moves.
template <class T>
class Pool {
 public:
  static constexpr std::uint32_t none = 0xffffffffu;

  T& operator[](std::uint32_t at) noexcept { return slabs_[at / slab][at % slab]; }
  const T& operator[](std::uint32_t at) const noexcept { return slabs_[at / slab][at % slab]; }
  std::uint32_t take() {  // an empty one. May throw std::bad_alloc, then changes nothing
    if (free_.empty()) grow();
    const std::uint32_t at = free_.back();
    free_.pop_back();
    (*this)[at] = T{};
    return at;
  }
  void give(std::uint32_t at) noexcept { free_.push_back(at); }  // it has room
  void reserve(std::size_t n) {
    while (free_.size() < n) grow();
  }
  std::size_t in_use() const noexcept { return slab * slabs_.size() - free_.size(); }
  std::size_t bytes() const noexcept { return sizeof(T) * slab * slabs_.size() + sizeof(std::uint32_t) * free_.capacity(); }

 private:
  static constexpr std::uint32_t slab = 64;
  void grow() {
    const std::size_t all = slab * (slabs_.size() + 1);
    if (free_.capacity() < all) free_.reserve(2 * all);
    slabs_.reserve(slabs_.size() + 1);
    slabs_.push_back(std::make_unique<T[]>(slab));
    for (std::size_t i = all; i-- > all - slab;) free_.push_back(static_cast<std::uint32_t>(i));
  }
  std::vector<std::unique_ptr<T[]>> slabs_;
  std::vector<std::uint32_t> free_;
};

}  // namespace performance

struct PerformanceOptions {
  std::uint32_t max_cells = 16'384;
  std::int32_t max_places = 1024;
};

class Performance {
 public:
  using Window = PerformanceWindow;

  static constexpr PlaceId other = 0;
  static constexpr std::size_t levels = 5;
  static constexpr std::array<Time, levels> pane{300'000'000'000, 1'800'000'000'000, 7'200'000'000'000,
                                                 43'200'000'000'000, 172'800'000'000'000};  // nanoseconds
  static constexpr std::array<int, levels> panes{12, 12, 12, 14, 15};  // of a window

  explicit Performance(PerformanceOptions options = {});
  Performance(Performance&&) = default;
  Performance& operator=(Performance&&) = default;

  // --- the fold ---

  // The place of a task; a new one is added while there is room. May throw std::bad_alloc.
  PlaceId place(std::string_view category, std::string_view regime, Expiry expiry);

  struct Call {
    double latency_ms = nan;   // not known: NaN
    double confidence = nan;   // of the answer, in [0, 1]
    std::int64_t tokens_in = 0;
    std::int64_t tokens_out = 0;
    Nanos cost = 0;
    bool failed = false;
    bool timed_out = false;    // then it has failed
    bool cancelled = false;    // then it has not
  };
  struct Resources {
    std::int64_t api_calls = 0;
    double compute_s = nan;
    double memory_mb = nan;
  };
  // Takes all memory that a call of one of these models, or a settled task that all of them answered, can need at a place:
  // the next such event cannot fail for lack of it. Changes nothing else. May throw std::bad_alloc.
  void room(std::span<const ModelId> models, PlaceId place);

  // out_of_memory: nothing has changed. out_of_range: no such model or place.
  Status call(ModelId model, PlaceId place, Time time, const Call& call) noexcept { return add(model, place, time, call, nullptr); }
  Status run(ModelId runner, PlaceId place, Time time, const Call& call, const Resources& used) noexcept {
    return add(runner, place, time, call, &used);
  }
  // A task of `classes` classes was settled: the marks of those who answered.
  Status settled(PlaceId place, Time time, Kind kind, std::size_t classes, std::span<const ModelId> models,
                 std::span<const Marks> marks) noexcept;

  // Takes now the memory of so many panes more, each with so many half octaves of latencies. May throw std::bad_alloc.
  void reserve(std::size_t n, std::size_t half_octaves = 4);

  // --- reading ---

  // What is merged: -1 (Expiry: nothing) stands for all.
  struct Where {
    ModelId model = -1;
    std::int32_t category = -1;
    std::int32_t regime = -1;
    std::int32_t expiry = -1;
    PlaceId place = -1;  // this one alone; `other` is only in sums over all categories, regimes and expiries
  };
  // Adds what is there to `out`, whose earlier sums must be of the same window and now.
  void read(const Where& where, Window window, Time now, PerformanceReading& out) const noexcept;
  // The same of one pane of the window (not of all time): that in which `now` lies, or the one so many before it. It holds
  // [n w, (n + 1) w) with w = pane[window], n = floor(now / w) - back.
  void read_one(const Where& where, Window window, Time now, int back, PerformanceReading& out) const noexcept;

  struct Place {
    std::int32_t category = -1, regime = -1;  // names; -1: `other`
    Expiry expiry = Expiry::unknown;
  };
  PlaceId n_places() const noexcept { return static_cast<PlaceId>(places_.size()); }
  const Place& at(PlaceId place) const noexcept { return places_[static_cast<std::size_t>(place)]; }
  const NameTable& categories() const noexcept { return categories_; }
  const NameTable& regimes() const noexcept { return regimes_; }
  ModelId n_models() const noexcept { return static_cast<ModelId>(cells_of_.size()); }
  bool met(ModelId model, PlaceId place) const noexcept { return find(model, place) != none; }
  std::size_t n_cells() const noexcept { return cells_.size(); }
  std::size_t bytes() const noexcept;  // of all memory it holds, about

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static constexpr std::uint32_t none = 0xffffffffu;
  static constexpr std::size_t n_slots = 12 + 12 + 12 + 14 + 15;
  // Blocks that are free before each event, as pouring must not fail: more than all panes of a cell can need.
  static constexpr std::size_t spare = (n_slots + 1) * 24;
  static constexpr std::array<std::size_t, levels> first_slot{0, 12, 24, 36, 50};

  struct Few {
    std::uint16_t bucket = 0;
    std::uint16_t n = 0;
  };
  struct alignas(64) Pane {
    performance::CallSums calls = {};
    std::uint32_t settled = none;
    std::uint32_t resources = none;
    std::uint32_t latencies = none;  // chain of blocks, once there are more than a few
    std::uint32_t n_few = 0;
    std::array<Few, 12> few = {};  // of latencies, and not in the blocks
  };
  struct Latencies {  // half an octave
    static constexpr std::size_t width = 32;
    std::uint32_t key = 0;  // bucket / width
    std::uint32_t next = none;
    std::array<std::uint32_t, width> n = {};
  };
  struct Cell {
    ModelId model = -1;
    PlaceId place = 0;
    std::uint32_t past = none;
    std::uint32_t rounds = none;
    std::array<std::int64_t, levels> newest = {};  // number of the newest pane of each ring
    std::array<std::uint8_t, levels> head = {};    // where it is in its ring
    std::array<std::uint32_t, n_slots> slots = {};
  };

  Status add(ModelId model, PlaceId place, Time time, const Call& call, const Resources* used) noexcept;
  std::uint32_t find(ModelId model, PlaceId place) const noexcept;
  Cell& cell_of(ModelId model, PlaceId place, Time time);
  Pane& pane_of(Cell& cell, std::int64_t number) noexcept;
  std::int64_t number_of(Time time) noexcept;
  void advance(Cell& cell, std::int64_t newest) noexcept;
  void pour(Cell& cell, std::uint32_t from, std::size_t level, std::int64_t number) noexcept;
  void merge(std::uint32_t from, std::uint32_t into) noexcept;
  static void set_newest(Cell& cell, std::int64_t newest) noexcept;
  static std::size_t slot_of(const Cell& cell, std::size_t level, std::int64_t number) noexcept;
  static std::uint32_t& home_of(Cell& cell, std::size_t level, std::int64_t number) noexcept;
  std::uint32_t& counter(Pane& into, std::size_t bucket);
  void spill(Pane& into);
  void add_latency(Pane& into, std::size_t bucket, std::uint32_t n = 1);
  void merge_latencies(Pane& from, Pane& into) noexcept;
  // Panes first to last of a window; of all time: everything.
  void read_cell(const Cell& cell, Window window, std::int64_t first, std::int64_t last, PerformanceReading& out) const noexcept;
  void read_cells(const Where& where, Window window, std::int64_t first, std::int64_t last, PerformanceReading& out) const noexcept;
  void read_pane(const Pane& from, PerformanceReading& out) const noexcept;
  void save(const Pane& from, SnapshotWriter& out) const;
  std::uint32_t load_pane(SnapshotReader& in);

  PerformanceOptions options_;
  NameTable categories_, regimes_;
  std::vector<Place> places_;                                        // `other` first
  std::vector<std::vector<std::array<PlaceId, 6>>> place_of_;        // by category and regime
  std::vector<double> square_scale_;                                 // by category, `other` first: of numbers
  std::vector<std::vector<std::uint32_t>> cells_of_;                 // by model and place
  std::vector<Cell> cells_;                                          // as they came
  performance::Pool<Pane> panes_;
  performance::Pool<Latencies> latencies_;
  performance::Pool<performance::SettledSums> settled_;
  performance::Pool<performance::ResourceSums> resources_;
  performance::Pool<performance::Rounds> rounds_;

  // The pane of the newest event, as most events lie in it: time in [start, start + pane[0]).
  Time start_ = 0;
  std::int64_t number_ = 0;
};

}  // namespace fairlead
