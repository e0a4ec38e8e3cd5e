#include "fairlead/scoreboard.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>
#include <utility>

#include "fairlead/pooling.hpp"

namespace fairlead {

namespace {

constexpr double sum_tolerance = 1e-3 + 1e-9;  // so that three times 0.333 is within 1e-3

// a + b for counts, which are never negative.
std::int64_t add_saturated(std::int64_t a, std::int64_t b) noexcept {
  return b > std::numeric_limits<std::int64_t>::max() - a ? std::numeric_limits<std::int64_t>::max() : a + b;
}

bool fits(Kind kind, std::size_t labels) noexcept {
  return kind != Kind::categorical || (labels >= 2 && labels <= Scoreboard::max_labels);
}

}  // namespace

Scoreboard::Scoreboard(ScoreboardOptions options) : options_(options) { slice("overall", ""); }

ModelId Scoreboard::add(std::string_view model) {
  if (const ModelId known = models_.find(model); known != NameTable::absent) {
    model_state_[index(known)].active = true;
    return known;
  }
  const std::size_t size = model_state_.size() + 1;
  // Everything that can fail comes before the name is taken, and each step may be repeated.
  for (Slice& slice : slices_) resize(slice, size);
  resize_scratch(size);
  model_state_.push_back({true, StreamingPsi(options_.psi_reference, options_.psi_window)});
  try {
    return models_.intern(model);
  } catch (...) {
    model_state_.pop_back();
    throw;
  }
}

Status Scoreboard::remove(ModelId model) noexcept {
  if (!has_model(model)) return Status::unknown_model;
  model_state_[index(model)].active = false;
  return Status::ok;
}

void Scoreboard::resize(Slice& slice, std::size_t models) const {
  slice.elo.resize(models);
  for (auto* hedges : {&slice.hedge, &slice.weighted}) {
    for (Hedge& hedge : *hedges) hedge.resize(models);
  }
  slice.calls.resize(models);
  slice.score.resize(models);
  const History empty(options_.history);
  slice.history.resize(models, {empty, empty, empty});
}

void Scoreboard::resize_scratch(std::size_t models) {
  who_.resize(models);
  for (auto* scratch : {&weight_, &loss_, &points_, &excess_, &distance_, &mixed_}) scratch->resize(models);
  column_.resize(std::max(column_.size(), models));
  marks_.resize(models);
  merit_.resize(models);
  widen(widest_);
}

void Scoreboard::widen(std::size_t classes) {
  for (auto* rows : {&rows_, &log_rows_}) rows->resize(std::max(rows->size(), merit_.size() * classes));
  pooled_.resize(std::max(pooled_.size(), n_strategies * classes));
  column_.resize(std::max(column_.size(), classes));
  widest_ = std::max(widest_, classes);
}

SliceId Scoreboard::find_slice(std::string_view dimension, std::string_view value) const noexcept {
  const std::int32_t d = dimension_names_.find(dimension);
  if (d == NameTable::absent) return NameTable::absent;
  const std::int32_t v = dimensions_[index(d)].values.find(value);
  return v == NameTable::absent ? v : dimensions_[index(d)].slices[index(v)];
}

Scoreboard::Slice Scoreboard::new_slice(std::int32_t dimension, std::int32_t value, Elo elo) const {
  const Hedge hedge(options_.hedge);
  return {dimension, value, std::move(elo), {hedge, hedge}, {hedge, hedge}};
}

SliceId Scoreboard::slice(std::string_view dimension, std::string_view value) {
  if (const SliceId known = find_slice(dimension, value); known != NameTable::absent) return known;
  std::int32_t d = dimension_names_.find(dimension);
  if (d == NameTable::absent) {
    dimensions_.resize(static_cast<std::size_t>(dimension_names_.size()) + 1);
    d = dimension_names_.intern(dimension);
  }
  // What can fail comes first; the name, which makes the slice known, last. Each step may be repeated.
  Values& known = dimensions_[index(d)];
  const std::int32_t v = known.values.size();
  known.slices.resize(index(v) + 1);
  Slice slice = new_slice(d, v, Elo(options_.elo));
  resize(slice, model_state_.size());
  slices_.push_back(std::move(slice));
  try {
    known.values.intern(value);
  } catch (...) {
    slices_.pop_back();
    throw;
  }
  return known.slices[index(v)] = n_slices() - 1;
}

void Scoreboard::reserve(Kind kind, std::size_t tasks, std::size_t labels) {
  const std::size_t models = model_state_.size();
  widen(labels);
  for (Slice& slice : slices_) {
    for (auto& histories : slice.history) histories[static_cast<std::size_t>(kind)].reserve();
  }
  free_.reserve(std::max(tasks, tasks_.size()));
  while (tasks_.size() < tasks) {
    tasks_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(tasks_.size() - 1));
  }
  for (OpenTask& task : tasks_) {
    task.models.reserve(models);
    task.p.reserve(models * widest_);
    task.log_p.reserve(models * widest_);
    task.merit.reserve(models);
    task.cost.reserve(models);
    task.owed.reserve(models);
  }
}

Status Scoreboard::open(Kind kind, std::size_t labels, std::span<const SliceId> slices, TaskHandle& out) noexcept {
  if (slices.size() > max_slices) return Status::too_many_slices;
  for (const SliceId slice : slices) {
    if (!has_slice(slice)) return Status::unknown_slice;
  }
  if (!fits(kind, labels)) return Status::wrong_length;
  const std::size_t classes = Scoreboard::classes(kind, labels);
  try {
    if (classes > widest_) widen(classes);
    if (free_.empty()) {
      // Room for every slot, so that giving one back never allocates.
      if (free_.capacity() == tasks_.size()) free_.reserve(std::max<std::size_t>(16, 2 * tasks_.size()));
      tasks_.emplace_back();
      free_.push_back(static_cast<std::uint32_t>(tasks_.size() - 1));
    }
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  OpenTask& task = tasks_[slot];
  task.open = true;
  task.kind = kind;
  task.classes = static_cast<std::uint32_t>(classes);
  task.failed = 0;
  task.cost_usd = 0.0;
  task.mixture = {};
  task.models.clear();
  task.p.clear();
  task.log_p.clear();
  task.merit.clear();
  task.cost.clear();
  task.owed.clear();
  task.slices[0] = overall;
  task.n_slices = 1;
  for (const SliceId slice : slices) {
    const auto end = task.slices.begin() + task.n_slices;
    if (std::find(task.slices.begin(), end, slice) == end) task.slices[task.n_slices++] = slice;
  }
  out = {slot, task.generation};
  return Status::ok;
}

Status Scoreboard::open(const Task& task, TaskHandle& out) noexcept {
  std::array<SliceId, max_slices> ids;
  std::size_t n = 0;
  // Before a new slice is added, so that an error changes nothing.
  if (const Status status = check(task); status != Status::ok) return status;
  try {
    if (!task.category.empty()) ids[n++] = slice("category", task.category);
    if (!task.regime.empty()) ids[n++] = slice("regime", task.regime);
    for (const Dimension& dimension : task.slices) ids[n++] = slice(dimension.name, dimension.value);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  return open(task.kind, task.labels.size(), std::span(ids.data(), n), out);
}

const Scoreboard::OpenTask* Scoreboard::find(TaskHandle handle) const noexcept {
  if (handle.slot >= tasks_.size()) return nullptr;
  const OpenTask& task = tasks_[handle.slot];
  return task.open && task.generation == handle.generation ? &task : nullptr;
}

void Scoreboard::release(OpenTask& task, std::uint32_t slot) noexcept {
  task.open = false;
  task.generation = task.generation == max_generation ? 1 : task.generation + 1;
  free_.push_back(slot);  // within the capacity reserved when the slot was made
}

// Whether the model may give this answer to the task. `sum` becomes that of the probabilities, where there are several.
Status Scoreboard::check(Kind kind, std::size_t classes, const Forecast& forecast, double& sum) const noexcept {
  if (!has_model(forecast.model)) return Status::unknown_model;
  if (!active(forecast.model)) return Status::inactive_model;
  if (!(std::isnan(forecast.confidence) || (forecast.confidence >= 0.0 && forecast.confidence <= 1.0)) ||
      forecast.latency_ms < 0.0 || std::isinf(forecast.latency_ms) || !(forecast.cost_usd >= 0.0) ||
      std::isinf(forecast.cost_usd) || forecast.tokens_in < 0 || forecast.tokens_out < 0) {
    return Status::out_of_range;
  }
  if (!forecast.error.empty()) return Status::ok;
  const std::span<const double> p = forecast.p;
  if (kind == Kind::numeric) {
    if (!p.empty()) return Status::wrong_kind;
    return std::isfinite(forecast.value) ? Status::ok : Status::not_finite;
  }
  if (p.empty() || !std::isnan(forecast.value)) return Status::wrong_kind;
  if (p.size() != (kind == Kind::binary ? 1 : classes)) return Status::wrong_length;
  sum = 0.0;
  for (const double x : p) {
    if (std::isnan(x)) return Status::not_finite;
    if (!(x >= 0.0 && x <= 1.0)) return Status::out_of_range;
    sum += x;
  }
  return kind == Kind::binary || std::abs(sum - 1.0) <= sum_tolerance ? Status::ok : Status::sum_not_one;
}

Status Scoreboard::check(const OpenTask& task, double y) noexcept {
  const bool fit = task.kind == Kind::numeric
                       ? std::isfinite(y)
                       : y >= 0.0 && y < static_cast<double>(task.classes) && y == std::floor(y);
  return fit ? Status::ok : Status::bad_outcome;
}

Status Scoreboard::check(TaskHandle handle, const Forecast& forecast) const noexcept {
  const OpenTask* const task = find(handle);
  double sum = 1.0;
  return task == nullptr ? Status::stale_task : check(task->kind, task->classes, forecast, sum);
}

Status Scoreboard::check(Kind kind, std::size_t labels, const Forecast& forecast) const noexcept {
  double sum = 1.0;
  return check(kind, classes(kind, labels), forecast, sum);
}

Status Scoreboard::check(const Task& task) const noexcept {
  const std::size_t wanted = task.slices.size() + (task.category.empty() ? 0 : 1) + (task.regime.empty() ? 0 : 1);
  if (wanted > max_slices) return Status::too_many_slices;
  return fits(task.kind, task.labels.size()) ? Status::ok : Status::wrong_length;
}

Status Scoreboard::check(const Outcome& outcome) const noexcept {
  const OpenTask* const task = find(outcome.task);
  return task == nullptr ? Status::stale_task : check(*task, outcome.value);
}

// Stores the row of an answer that was checked, and the model's merit. May throw, and has changed nothing then.
void Scoreboard::store_answer(OpenTask& task, const Forecast& forecast, double sum) {
  const std::size_t classes = task.classes;
  const std::span<const double> p = forecast.p;
  const auto found = std::find(task.models.begin(), task.models.end(), forecast.model);
  const auto row = static_cast<std::size_t>(found - task.models.begin());
  if (found == task.models.end()) {
    for (auto* rows : {&task.p, &task.log_p}) rows->reserve((row + 1) * classes);
    task.merit.reserve(row + 1);
    task.cost.reserve(row + 1);
    task.models.push_back(forecast.model);
    task.merit.emplace_back();
    task.cost.push_back(0.0);
    for (ModelWeight& owed : task.owed) {
      if (owed.model == forecast.model) task.cost.back() = std::exchange(owed.weight, 0.0);
    }
    for (auto* rows : {&task.p, &task.log_p}) rows->resize((row + 1) * classes);
  }
  if (row == 0 || task.mixture.at != settled_) task.mixture = mix(task);
  double* const out = task.p.data() + row * classes;
  double* const log_out = task.log_p.data() + row * classes;
  Merit& merit = task.merit[row];
  merit = {};
  if (task.kind == Kind::numeric) {
    out[0] = forecast.value;
    log_out[0] = 0.0;
    merit.confidence = forecast.confidence;
  } else {
    if (task.kind == Kind::binary) {
      out[0] = 1.0 - p[0];
      out[1] = p[0];
    } else {
      const double scale = 1.0 / sum;
      for (std::size_t k = 0; k < classes; ++k) out[k] = p[k] * scale;
    }
    for (std::size_t k = 0; k < classes; ++k) {
      log_out[k] = std::log(std::max(out[k], pooling::log_floor));
      merit.entropy -= out[k] * log_out[k];
      if (out[k] > out[merit.top]) merit.top = static_cast<std::uint32_t>(k);
    }
    merit.confidence = calibrated(task, forecast.model, {out, classes}, merit.top);
  }
  stand(task, forecast.model, merit);
  task.cost[row] += forecast.cost_usd;
}

// What a failed call cost. May throw, and has changed nothing then.
void Scoreboard::owe(OpenTask& task, const Forecast& forecast) {
  if (!(forecast.cost_usd > 0.0)) return;
  const auto row = std::ranges::find(task.models, forecast.model);
  if (row != task.models.end()) {
    task.cost[static_cast<std::size_t>(row - task.models.begin())] += forecast.cost_usd;
    return;
  }
  const auto known = std::ranges::find(task.owed, forecast.model, &ModelWeight::model);
  if (known != task.owed.end()) {
    known->weight += forecast.cost_usd;
  } else {
    task.owed.push_back({forecast.model, forecast.cost_usd});
  }
}

// What a model's record makes of the chance that it gives to its most probable class.
double Scoreboard::calibrated(const OpenTask& task, ModelId model, std::span<const double> row, std::uint32_t top) noexcept {
  const Calibrator& calibrator = model_state_[index(model)].calibrator[static_cast<std::size_t>(task.kind)];
  if (task.kind == Kind::binary) {
    const double p = calibrator.adjust(row[1]);
    return top == 1 ? p : 1.0 - p;
  }
  if (!calibrator.helps()) return row[top];
  const std::span<double> out(pooled_.data(), row.size());
  calibrator.adjust(row, out);
  return std::min(out[top], 1.0);
}

std::span<const double> Scoreboard::row_of(const OpenTask& task, ModelId model) noexcept {
  const auto row = static_cast<std::size_t>(std::ranges::find(task.models, model) - task.models.begin());
  return {task.p.data() + row * task.classes, task.classes};
}

Status Scoreboard::record(TaskHandle handle, const Forecast& forecast) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  double sum = 1.0;
  if (const Status status = check(task->kind, task->classes, forecast, sum); status != Status::ok) return status;
  if (forecast.error.empty()) {
    try {
      store_answer(*task, forecast, sum);
    } catch (const std::bad_alloc&) {
      return Status::out_of_memory;
    }
    // What is watched for drift: the model's own word, else its largest probability.
    double confidence = forecast.confidence;
    if (std::isnan(confidence) && task->kind != Kind::numeric) confidence = *std::ranges::max_element(row_of(*task, forecast.model));
    if (!std::isnan(confidence)) model_state_[index(forecast.model)].confidence.add(confidence);
  } else {
    try {
      owe(*task, forecast);
    } catch (const std::bad_alloc&) {
      return Status::out_of_memory;
    }
    ++task->failed;
  }
  task->cost_usd += forecast.cost_usd;
  for (std::size_t i = 0; i < task->n_slices; ++i) {
    Calls& calls = slices_[index(task->slices[i])].calls[index(forecast.model)];
    ++(forecast.error.empty() ? calls.answered : calls.failed);
    calls.cost_usd += forecast.cost_usd;
    calls.tokens_in = add_saturated(calls.tokens_in, forecast.tokens_in);
    calls.tokens_out = add_saturated(calls.tokens_out, forecast.tokens_out);
    if (!std::isnan(forecast.latency_ms)) {
      calls.latency_ms_sum += forecast.latency_ms;
      ++calls.latency_n;
    }
  }
  return Status::ok;
}

Status Scoreboard::close(TaskHandle handle) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  release(*task, handle.slot);
  return Status::ok;
}

}  // namespace fairlead
