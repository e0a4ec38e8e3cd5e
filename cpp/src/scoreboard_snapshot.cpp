// The state of a `Scoreboard` as bytes, and of the parts that only it is made of. Records and columns are written as
// they lie in memory; a History writes the samples it holds, oldest first, whatever its ring could hold.
//
// Reading checks whatever later calls rely on without looking: ids, sizes and flags; that no model answers a task
// twice; that times do not decrease and probabilities are such. A slot is open unless it is free; only the free ones
// are written.
#include <algorithm>
#include <cmath>
#include <new>
#include <numeric>

#include "fairlead/pooling.hpp"
#include "fairlead/scoreboard.hpp"
#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::uint32_t version = 2;

bool finite(double x) noexcept { return std::isfinite(x); }
bool natural(double x) noexcept { return x >= 0.0 && std::isfinite(x); }  // a sum of what is bounded and not negative
bool positive_or_zero(double x) noexcept { return x >= 0.0; }              // a sum that may have overflowed

template <class Holds>
bool all(std::span<const double> values, Holds holds) noexcept {
  return std::all_of(values.begin(), values.end(), holds);
}

}  // namespace

// --- parts -----------------------------------------------------------------------------------------------------------

void Calibration::save(SnapshotWriter& out) const {
  static_assert(sizeof(Bin) == 24);
  out.put(static_cast<std::uint64_t>(bins_.size()));
  out.put_raw(std::span(bins_));
}

void Calibration::load(SnapshotReader& in) {
  const std::size_t n = in.length(sizeof(Bin));
  in.require(n > 0);
  std::vector<Bin> read(n);
  in.get_raw(std::span(read));
  for (const Bin& bin : read) {
    in.require(bin.happened <= bin.n && natural(bin.p_sum) && bin.p_sum <= static_cast<double>(bin.n));
  }
  if (in.ok()) bins_ = std::move(read);
}

void Score::save(SnapshotWriter& out) const {
  for (const std::uint64_t count : {n, numbers, correct}) out.put(count);
  for (const double sum : {brier_sum, log_loss_sum, absolute_sum, square_sum}) out.put(sum);
  calibration.save(out);
}

void Score::load(SnapshotReader& in) {
  Score read;
  for (std::uint64_t* count : {&read.n, &read.numbers, &read.correct}) in.get(*count);
  for (double* sum : {&read.brier_sum, &read.log_loss_sum, &read.absolute_sum, &read.square_sum}) {
    in.get(*sum);
    in.require(natural(*sum));
  }
  read.calibration.load(in);
  // Marks say in which bin an answer is counted.
  in.require(read.calibration.bins().size() == Calibration::default_bins);
  in.require(read.numbers <= read.n && read.correct <= read.n - read.numbers &&
             read.calibration.size() == read.n - read.numbers);
  if (in.ok()) *this = std::move(read);
}

void Hedge::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint8_t>(started_));
  out.put(round_time_);
  out.put(updates_);
  out.put(std::span(met_).first(size()));
  for (const auto* column : {&excess_, &variance_, &round_, &seen_, &advantage_, &evidence_}) {
    out.put(std::span(*column).first(size()));
  }
}

void Hedge::load(SnapshotReader& in) {
  Hedge read;
  std::uint8_t started = 0;
  in.get(started);
  in.get(read.round_time_);
  in.get(read.updates_);
  in.get(read.met_);
  in.require(started <= 1);
  for (auto* column :
       {&read.excess_, &read.variance_, &read.round_, &read.seen_, &read.advantage_, &read.evidence_}) {
    in.get(*column);
    in.require(column->size() == read.met_.size() && all(*column, finite));
  }
  in.require(all(read.variance_, natural) && all(read.seen_, natural) && all(read.evidence_, natural));
  in.require(std::ranges::all_of(read.met_, [](std::uint8_t met) { return met <= 1; }));
  if (!in.ok()) return;
  read.decay_ = decay_;
  read.started_ = started == 1;
  read.n_met_ = static_cast<std::size_t>(std::ranges::count(read.met_, 1));
  *this = std::move(read);
}

void History::save(SnapshotWriter& out) const {
  static_assert(sizeof(Sample) == 16);
  out.put(static_cast<std::uint64_t>(capacity_));
  out.put(static_cast<std::uint64_t>(n_));
  const std::span<const Sample> ring(ring_);
  const std::size_t older = std::min(n_, ring.size() - first_);
  out.put_raw(ring.subspan(first_, older));
  out.put_raw(ring.first(n_ - older));
}

void History::load(SnapshotReader& in) {
  std::uint64_t capacity = 0;
  in.get(capacity);
  const std::size_t n = in.length(sizeof(Sample));
  in.require(n <= capacity);
  if (!in.ok()) return;
  std::vector<Sample> read(n);
  in.get_raw(std::span(read));
  bool good = true;
  Time newest = std::numeric_limits<Time>::min();
  for (const auto& [x, time] : read) {
    good = good & (std::abs(x) <= std::numeric_limits<double>::max()) & (time >= newest);
    newest = time;
  }
  in.require(good);
  if (!in.ok()) return;
  capacity_ = static_cast<std::size_t>(capacity);
  ring_ = std::move(read);
  first_ = 0;
  n_ = n;
}

// --- writing ---------------------------------------------------------------------------------------------------------

std::string Scoreboard::snapshot() const {
  SnapshotWriter out("scoreboard", version);
  save(out);
  return out.finish();
}

void Scoreboard::save(SnapshotWriter& out) const {
  out.put(version);  // here too, for those who write this as a part of theirs
  out.put(options_.hedge.half_life);
  for (const std::size_t n : {options_.history, options_.psi_reference, options_.psi_window,
                              std::min(widest_, max_labels)}) {
    out.put(static_cast<std::uint64_t>(n));
  }
  out.put(models_);
  for (const ModelState& model : model_state_) {
    out.put(static_cast<std::uint8_t>(model.active));
    model.confidence.write(out);
    for (const Calibrator& calibrator : model.calibrator) calibrator.save(out);
    for (const Calibration& adjusted : model.adjusted) adjusted.save(out);
  }

  // All the room at once: bytes that grow are copied.
  std::size_t room = slices_.size() * (6144 + 740 * model_state_.size());
  for (const Slice& slice : slices_) {
    for (const auto& histories : slice.history) {
      for (const History& history : histories) room += 16 * history.size();
    }
  }
  for (const OpenTask& task : tasks_) {
    room += 8 + (task.open ? 128 + sizeof(ModelId) * task.models.size() + sizeof(double) * task.p.size() : 0);
  }
  out.reserve(room);

  out.put(dimension_names_);
  for (std::size_t d = 0; d < index(dimension_names_.size()); ++d) out.put(dimensions_[d].values);
  std::vector<std::int32_t> dimensions, values;
  for (const Slice& slice : slices_) {
    dimensions.push_back(slice.dimension);
    values.push_back(slice.value);
  }
  out.put(dimensions);
  out.put(values);
  for (const Slice& slice : slices_) save_slice(slice, out);
  for (const Recalibration& learned : recalibration_) learned.save(out);
  for (const auto& strategy : said_) {
    for (const Calibration& calibration : strategy) calibration.save(out);
  }
  out.put(interval_);
  out.put(settled_);
  save_tasks(out);
}

void Scoreboard::save_slice(const Slice& slice, SnapshotWriter& out) const {
  static_assert(sizeof(Calls) == 56);
  slice.elo.save(out);
  for (const auto* hedges : {&slice.hedge, &slice.weighted}) {
    for (const Hedge& hedge : *hedges) hedge.save(out);
  }
  out.put(slice.square_scale);
  slice.panel.save(out);
  // Where memory ran out while a model was added, a slice may have room for one that has no name.
  const std::size_t models = model_state_.size();
  out.put_raw(std::span(slice.calls).first(models));
  for (std::size_t i = 0; i < models; ++i) {
    slice.score[i].save(out);
    for (const History& history : slice.history[i]) history.save(out);
  }
}

void Scoreboard::save_tasks(SnapshotWriter& out) const {
  std::vector<std::uint32_t> generations;
  generations.reserve(tasks_.size());
  for (const OpenTask& task : tasks_) generations.push_back(task.generation);
  out.put(generations);
  out.put(free_);
  for (const OpenTask& task : tasks_) {
    if (!task.open) continue;
    out.put(task.kind);
    out.put(std::span(task.slices).first(task.n_slices));
    out.put(task.classes);
    out.put(task.failed);
    out.put(task.cost_usd);
    out.put(task.models);
    out.put(task.p);
    out.put(task.cost);
    out.put(static_cast<std::uint64_t>(task.owed.size()));
    for (const auto& [model, cost] : task.owed) {
      out.put(model);
      out.put(cost);
    }
    out.put_raw(std::span<const Merit>(task.merit));
    out.put_raw(std::span<const Mixture>(&task.mixture, 1));
  }
}

// --- reading ---------------------------------------------------------------------------------------------------------

Status Scoreboard::restore(std::string_view bytes, Scoreboard& out) {
  try {
    SnapshotReader in(bytes, "scoreboard", version);
    Scoreboard read;
    read.load(in);
    const Status status = in.finish();
    if (status == Status::ok) out = std::move(read);
    return status;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

void Scoreboard::load(SnapshotReader& in) {
  std::uint32_t written = 0;
  ScoreboardOptions options;
  std::uint64_t history = 0, psi_reference = 0, psi_window = 0, widest = 0;
  in.get(written);
  in.get(options.hedge.half_life);
  for (std::uint64_t* n : {&history, &psi_reference, &psi_window, &widest}) in.get(*n);
  in.require(written == version && options.hedge.half_life > 0.0 && widest >= 2 && widest <= max_labels);
  in.require(psi_reference <= StreamingPsi::most_values && psi_window <= StreamingPsi::most_values);
  if (!in.ok()) return;
  options.history = static_cast<std::size_t>(history);
  options.psi_reference = static_cast<std::size_t>(psi_reference);
  options.psi_window = static_cast<std::size_t>(psi_window);

  Scoreboard read(options);
  read.widest_ = static_cast<std::size_t>(widest);
  read.load_models(in);
  read.load_slices(in);
  for (Recalibration& learned : read.recalibration_) learned.load(in);
  for (auto& strategy : read.said_) {
    for (Calibration& calibration : strategy) {
      calibration.load(in);
      in.require(calibration.bins().size() == Calibration::default_bins);
    }
  }
  in.get(read.interval_);
  in.get(read.settled_);
  in.require(read.interval_ >= 0.01 && read.interval_ <= 100.0);
  read.load_tasks(in);
  if (!in.ok()) return;
  read.options_.elo = read.slices_[overall].elo.options();
  read.resize_scratch(read.model_state_.size());
  *this = std::move(read);
}

void Scoreboard::load_models(SnapshotReader& in) {
  in.get(models_);
  for (std::int32_t i = 0; in.ok() && i < models_.size(); ++i) {
    ModelState& model = model_state_.emplace_back(ModelState{true, StreamingPsi(1, 1)});
    std::uint8_t active = 0;
    in.get(active);
    in.require(active <= 1);
    model.active = active == 1;
    StreamingPsi& confidence = model.confidence;
    confidence.read(in);
    in.require(confidence.reference() == std::max<std::size_t>(options_.psi_reference, 1) &&
               confidence.window() == std::max<std::size_t>(options_.psi_window, 1) &&
               confidence.bins() == Psi::default_bins);
    for (Calibrator& calibrator : model.calibrator) calibrator.load(in);
    for (Calibration& adjusted : model.adjusted) {
      adjusted.load(in);
      in.require(adjusted.bins().size() == Calibration::default_bins);
    }
  }
}

void Scoreboard::load_slices(SnapshotReader& in) {
  dimension_names_ = {};
  dimensions_.clear();
  slices_.clear();
  in.get(dimension_names_);
  std::size_t n = 0;
  for (std::int32_t d = 0; in.ok() && d < dimension_names_.size(); ++d) {
    Values& known = dimensions_.emplace_back();
    in.get(known.values);
    known.slices.assign(index(known.values.size()), NameTable::absent);
    n += known.slices.size();
  }
  std::vector<std::int32_t> dimensions, values;
  in.get(dimensions);
  in.get(values);
  in.require(n > 0 && dimensions.size() == n && values.size() == n);
  if (!in.ok()) return;
  // As many slices as values, so if each is of another value, each value has its slice.
  for (std::size_t i = 0; in.ok() && i < n; ++i) {
    const std::int32_t d = dimensions[i], v = values[i];
    in.require(d >= 0 && d < dimension_names_.size() && v >= 0 && v < dimensions_[index(d)].values.size());
    if (!in.ok()) return;
    SliceId& slice = dimensions_[index(d)].slices[index(v)];
    in.require(slice == NameTable::absent);
    slice = static_cast<SliceId>(i);
    slices_.push_back(new_slice(d, v, Elo()));
    load_slice(slices_.back(), in);
    in.require(slices_.back().elo.same_rules(slices_[overall].elo));
  }
  in.require(find_slice("overall", "") == overall);
}

void Scoreboard::load_slice(Slice& slice, SnapshotReader& in) const {
  const std::size_t models = model_state_.size();
  const auto has_all = [models](std::size_t size) { return size == models || size == models + 1; };  // see save_slice
  slice.elo.load(in);
  in.require(has_all(slice.elo.size()));
  for (auto* hedges : {&slice.hedge, &slice.weighted}) {
    for (Hedge& hedge : *hedges) {
      hedge.load(in);
      in.require(has_all(hedge.size()));
    }
  }
  in.get(slice.square_scale);
  in.require(natural(slice.square_scale));
  slice.panel.load(in);
  if (!in.ok()) return;
  slice.calls.resize(models);
  in.get_raw(std::span(slice.calls));
  for (const Calls& calls : slice.calls) {
    in.require(calls.tokens_in >= 0 && calls.tokens_out >= 0 && positive_or_zero(calls.cost_usd) &&
               positive_or_zero(calls.latency_ms_sum));
  }
  if (!in.ok()) return;
  slice.score.resize(models);
  slice.history.resize(models);
  for (std::size_t i = 0; in.ok() && i < models; ++i) {
    slice.score[i].load(in);
    for (History& history : slice.history[i]) {
      history.load(in);
      in.require(history.capacity() <= options_.history);
    }
  }
}

void Scoreboard::load_tasks(SnapshotReader& in) {
  std::vector<std::uint32_t> generations;
  in.get(generations);
  in.get(free_);
  in.require(free_.size() <= generations.size());
  if (!in.ok()) return;
  tasks_.resize(generations.size());
  free_.reserve(tasks_.size());  // so that giving a slot back never allocates
  for (std::size_t slot = 0; slot < tasks_.size(); ++slot) {
    in.require(generations[slot] >= 1 && generations[slot] <= max_generation);
    tasks_[slot].generation = generations[slot];
    tasks_[slot].open = true;
  }
  for (const std::uint32_t slot : free_) {
    in.require(slot < tasks_.size() && tasks_[slot].open);
    if (!in.ok()) return;
    tasks_[slot].open = false;
  }
  for (OpenTask& task : tasks_) {
    if (task.open) load_task(task, in);
  }
}

void Scoreboard::load_task(OpenTask& task, SnapshotReader& in) const {
  std::vector<SliceId> slices;
  in.get(task.kind);
  in.get(slices);
  in.get(task.classes);
  in.get(task.failed);
  in.get(task.cost_usd);
  in.get(task.models);
  in.get(task.p);
  in.get(task.cost);
  const std::size_t owed = in.length(sizeof(ModelId) + sizeof(double));
  in.require(owed <= model_state_.size());
  if (!in.ok()) return;
  task.owed.resize(owed);
  for (auto& [model, cost] : task.owed) {
    in.get(model);
    in.get(cost);
    in.require(has_model(model) && positive_or_zero(cost));
  }
  if (!in.ok() || task.models.size() > model_state_.size()) return in.require(false);
  in.require(task.cost.size() == task.models.size() && all(task.cost, positive_or_zero));
  task.merit.resize(task.models.size());
  in.get_raw(std::span<Merit>(task.merit));
  in.get_raw(std::span<Mixture>(&task.mixture, 1));
  in.require(std::ranges::all_of(task.merit, [&](const Merit& merit) {
    return finite(merit.advantage) && finite(merit.worth) && finite(merit.entropy) && merit.top < task.classes &&
           (task.kind == Kind::numeric || (merit.confidence >= 0.0 && merit.confidence <= 1.0));
  }));
  in.require(all(task.mixture.share, [](double share) { return share >= 0.0 && share <= 1.0; }) &&
             task.mixture.factor >= 1.0 - Recalibration::most && task.mixture.factor <= 1.0 + Recalibration::most &&
             std::abs(task.mixture.shift) <= Recalibration::most && natural(task.mixture.tolerance));
  const double shares = std::accumulate(task.mixture.share.begin(), task.mixture.share.end(), 0.0);
  in.require(task.models.empty() || std::abs(shares - 1.0) <= 1e-9);
  in.require(task.kind == Kind::binary        ? task.classes == 2
             : task.kind == Kind::categorical ? task.classes >= 2 && task.classes <= widest_
                                              : task.kind == Kind::numeric && task.classes == 1);
  in.require(!slices.empty() && slices.size() <= task.slices.size() && slices[0] == overall &&
             std::ranges::all_of(slices, [this](SliceId slice) { return has_slice(slice); }));
  in.require(std::ranges::all_of(task.models, [this](ModelId model) { return has_model(model); }));
  in.require(positive_or_zero(task.cost_usd) && task.models.size() <= model_state_.size() &&
             task.p.size() == task.models.size() * task.classes);
  if (!in.ok()) return;
  std::ranges::copy(slices, task.slices.begin());
  task.n_slices = static_cast<std::uint8_t>(slices.size());
  std::vector<std::int32_t> once(task.models);
  std::ranges::sort(once);
  in.require(std::ranges::adjacent_find(once) == once.end());
  std::ranges::sort(slices);
  in.require(std::ranges::adjacent_find(slices) == slices.end());
  task.log_p.resize(task.p.size());
  if (task.kind == Kind::numeric) return in.require(all(task.p, finite));
  constexpr double rounding = 1e-9;
  for (std::size_t row = 0; row < task.p.size(); row += task.classes) {
    double sum = 0.0;
    for (std::size_t k = row; k < row + task.classes; ++k) {
      in.require(task.p[k] >= 0.0);
      sum += task.p[k];
    }
    in.require(std::abs(sum - 1.0) <= rounding);
  }
  // What follows from the answers is worked out again.
  std::ranges::transform(task.p, task.log_p.begin(), [](double p) { return std::log(std::max(p, pooling::log_floor)); });
}

}  // namespace fairlead
