#include "fairlead/scoreboard.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <numeric>

#include "fairlead/pooling.hpp"

namespace fairlead {

namespace {

constexpr double sum_tolerance = 1e-3 + 1e-9;  // so that three times 0.333 is within 1e-3

constexpr double calm_disagreement = 0.1;  // below it, a decision does not mention disagreement

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
  for (Hedge& hedge : slice.hedge) hedge.resize(models);
  slice.calls.resize(models);
  slice.score.resize(models);
  const History empty(options_.history);
  slice.history.resize(models, {empty, empty, empty});
}

void Scoreboard::resize_scratch(std::size_t models) {
  who_.resize(models);
  for (auto* scratch : {&weight_, &loss_, &points_, &excess_, &column_}) scratch->resize(models);
  marks_.resize(models);
  rows_.resize(models * widest_);
}

SliceId Scoreboard::find_slice(std::string_view dimension, std::string_view value) const noexcept {
  const std::int32_t d = dimension_names_.find(dimension);
  if (d == NameTable::absent) return NameTable::absent;
  const std::int32_t v = dimensions_[index(d)].values.find(value);
  return v == NameTable::absent ? v : dimensions_[index(d)].slices[index(v)];
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
  Slice slice{d, v, Elo(options_.elo), {Hedge(options_.hedge), Hedge(options_.hedge)}};
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
  widest_ = std::max(widest_, labels);
  rows_.resize(models * widest_);
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
    if (classes > widest_) {
      rows_.resize(model_state_.size() * classes);
      widest_ = classes;
    }
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
  task.models.clear();
  task.p.clear();
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

// Stores the row of an answer that was checked. Gives the probability whose drift is watched, NaN for numbers. May throw.
double Scoreboard::store_answer(OpenTask& task, const Forecast& forecast, double sum) {
  const std::size_t classes = task.classes;
  const std::span<const double> p = forecast.p;
  const auto found = std::find(task.models.begin(), task.models.end(), forecast.model);
  const auto row = static_cast<std::size_t>(found - task.models.begin());
  if (found == task.models.end()) {
    task.p.resize((row + 1) * classes);
    task.models.push_back(forecast.model);
  }
  double* const out = task.p.data() + row * classes;
  if (task.kind == Kind::numeric) {
    out[0] = forecast.value;
    return nan;
  }
  if (task.kind == Kind::binary) {
    out[0] = 1.0 - p[0];
    out[1] = p[0];
    return std::max(out[0], out[1]);
  }
  const double scale = 1.0 / sum;
  for (std::size_t k = 0; k < classes; ++k) out[k] = p[k] * scale;
  return *std::max_element(out, out + classes);
}

Status Scoreboard::record(TaskHandle handle, const Forecast& forecast) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  double sum = 1.0;
  if (const Status status = check(task->kind, task->classes, forecast, sum); status != Status::ok) return status;
  if (forecast.error.empty()) {
    double confidence = nan;
    try {
      confidence = store_answer(*task, forecast, sum);
    } catch (const std::bad_alloc&) {
      return Status::out_of_memory;
    }
    if (!std::isnan(forecast.confidence)) confidence = forecast.confidence;
    if (!std::isnan(confidence)) model_state_[index(forecast.model)].confidence.add(confidence);
  } else {
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

// The rule that turns past outcomes into weights. Equal for the strategies that give every model one vote.
void Scoreboard::weigh(const OpenTask& task, Strategy strategy, std::span<const ModelId> models,
                       std::span<double> weights) const noexcept {
  const std::size_t m = models.size();
  if (strategy == Strategy::hedge) {
    // Each narrow slice is believed by its evidence, the rest is what the model does overall; then their mean.
    const std::size_t family_of_task = family(task.kind);
    const Hedge& broad = slices_[overall].hedge[family_of_task];
    const std::size_t narrow = task.n_slices - 1u;
    const double share = narrow ? 1.0 / static_cast<double>(narrow) : 0.0;
    for (std::size_t i = 0; i < m; ++i) weights[i] = narrow ? 0.0 : broad.advantage(models[i]);
    for (std::size_t s = 1; s <= narrow; ++s) {
      const Hedge& hedge = at(task.slices[s]).hedge[family_of_task];
      for (std::size_t i = 0; i < m; ++i) {
        const double believe = hedge.evidence(models[i]);
        weights[i] += share * (believe * hedge.advantage(models[i]) + (1.0 - believe) * broad.advantage(models[i]));
      }
    }
    softmax(weights);
    return;
  }
  if (strategy == Strategy::weighted) {
    // Inverse mean loss (J. M. Bates, C. W. J. Granger, "The Combination of Forecasts", 1969) in the slice that was
    // named last, shrunk by ten pseudo-tasks toward the mean of those who answered.
    const Slice& slice = at(task.slices[task.n_slices - 1u]);
    const auto loss_sum = [&](std::size_t i) {
      const Score& score = slice.score[index(models[i])];
      return task.kind == Kind::numeric ? score.square_sum : score.brier_sum;
    };
    const auto count = [&](std::size_t i) {
      const Score& score = slice.score[index(models[i])];
      return static_cast<double>(task.kind == Kind::numeric ? score.numbers : score.n - score.numbers);
    };
    constexpr double pseudo = 10.0;
    double sum = 0.0;
    double n = 0.0;
    for (std::size_t i = 0; i < m; ++i) {
      sum += loss_sum(i);
      n += count(i);
    }
    if (sum > 0.0) {
      double total = 0.0;
      for (std::size_t i = 0; i < m; ++i) {
        // Relative to the mean loss, so that losses of any size, even denormal ones, give finite weights.
        weights[i] = (count(i) + pseudo) / (n * (loss_sum(i) / sum) + pseudo);
        total += weights[i];
      }
      for (std::size_t i = 0; i < m; ++i) weights[i] /= total;
      return;
    }
  }
  std::fill(weights.begin(), weights.end(), 1.0 / static_cast<double>(m));
}

Status Scoreboard::decide(TaskHandle handle, Strategy strategy, Decision& out, Time now) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  const std::size_t classes = task->classes;

  // Answers of models that have left are skipped; usually there are none and the rows are used where they lie.
  std::size_t m = 0;
  for (const ModelId model : task->models) {
    if (active(model)) who_[m++] = model;
  }
  if (m == 0) return Status::no_forecast;
  const double* answers = task->p.data();
  if (m < task->models.size()) {
    double* row = rows_.data();
    for (std::size_t i = 0; i < task->models.size(); ++i) {
      if (active(task->models[i])) row = std::copy_n(task->p.data() + i * classes, classes, row);
    }
    answers = rows_.data();
  }

  const std::span<const ModelId> who(who_.data(), m);
  const std::span<double> weights(weight_.data(), m);
  weigh(*task, strategy, who, weights);
  try {
    out.weights.resize(m);
    out.p.resize(classes);
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  if (strategy == Strategy::median) {
    pooling::median(answers, m, classes, out.p.data(), column_.data());
  } else if (strategy == Strategy::log && task->kind != Kind::numeric) {
    pooling::log(answers, weights.data(), m, classes, out.p.data());
  } else {
    pooling::linear(answers, weights.data(), m, classes, out.p.data());
  }
  for (std::size_t i = 0; i < m; ++i) out.weights[i] = {who[i], weights[i]};
  out.task = handle;
  out.time = now;
  out.strategy = strategy;
  out.cost_usd = task->cost_usd;
  describe(*task, m, answers, out);

  out.reasons = 0;
  const bool learns = strategy == Strategy::hedge || strategy == Strategy::weighted;
  const bool told_apart = std::any_of(weights.begin(), weights.end(), [&](double w) { return w != weights[0]; });
  if (m == 1) out.reasons |= Reason::single_model;
  if (m > 1) out.reasons |= !learns ? Reason::equal_weights : told_apart ? Reason::learned_weights : Reason::no_history;
  if (out.disagreement > calm_disagreement) out.reasons |= Reason::models_disagree;
  if (task->failed > 0) out.reasons |= Reason::models_failed;
  if (m < task->models.size()) out.reasons |= Reason::models_removed;

  if (task->kind == Kind::numeric) {
    out.value = out.p[0];
    out.p.clear();
  } else {
    out.value = nan;
    if (task->kind == Kind::binary) {
      out.p[0] = out.p[1];
      out.p.resize(1);
    }
  }
  return Status::ok;
}

// Disagreement, uncertainty and position scale of a pooled answer that stands in out.p, one value per class.
//
// Probabilities: the Gini impurity of the pool, 1 - sum p^2, is the models' own mean impurity plus the variance between
// them (an identity for linear pools). Both are divided by the impurity of the uniform answer, so `uncertainty` is 1 for
// "anything may happen", and `disagreement` is the part of it that comes from the models contradicting one another. The
// position scale is sqrt(1 - uncertainty), which for a binary answer is |2p - 1|, the Kelly fraction at even odds,
// times (1 - disagreement).
// Numbers: uncertainty is the root of the models' weighted mean squared error so far (or, with no history, the spread);
// disagreement is spread^2 / (spread^2 + uncertainty^2), or / (spread^2 + answer^2) with no history; the position scale is
// 1 - disagreement, and 0 while none of the models has been scored on a number.
void Scoreboard::describe(const OpenTask& task, std::size_t m, const double* answers, Decision& out) const noexcept {
  const std::size_t classes = task.classes;
  double between = 0.0;
  for (std::size_t i = 0; i < m; ++i) {
    double distance = 0.0;
    for (std::size_t k = 0; k < classes; ++k) {
      const double d = std::clamp(answers[i * classes + k] - out.p[k], -1e70, 1e70);
      distance += d * d;
    }
    between += out.weights[i].weight * distance;
  }
  if (task.kind == Kind::numeric) {
    double expected = 0.0;
    double known = 0.0;
    for (const auto& [model, weight] : out.weights) {
      const Score& score = at(overall).score[index(model)];
      if (score.numbers == 0) continue;
      expected += weight * score.square_sum / static_cast<double>(score.numbers);
      known += weight;
    }
    const double size = std::min(std::abs(out.p[0]), 1e70);
    // A spread that rounding alone can make is none.
    if (between <= 1e-24 * size * size) between = 0.0;
    const double reference = known > 0.0 ? expected / known : size * size;
    out.uncertainty = std::sqrt(known > 0.0 ? expected / known : between);
    out.disagreement = between > 0.0 ? between / (between + reference) : 0.0;
    out.position_scale = known > 0.0 ? 1.0 - out.disagreement : 0.0;
    return;
  }
  double impurity = 1.0;
  for (std::size_t k = 0; k < classes; ++k) impurity -= out.p[k] * out.p[k];
  const double uniform = 1.0 - 1.0 / static_cast<double>(classes);
  out.uncertainty = std::clamp(impurity / uniform, 0.0, 1.0);
  out.disagreement = std::clamp(between / uniform, 0.0, 1.0);
  out.position_scale = std::sqrt(1.0 - out.uncertainty) * (1.0 - out.disagreement);
}

Status Scoreboard::settle(const Outcome& outcome) noexcept {
  OpenTask* const task = find(outcome.task);
  if (task == nullptr) return Status::stale_task;
  const double y = outcome.value;
  const std::size_t classes = task->classes;
  const bool numeric = task->kind == Kind::numeric;
  if (const Status status = check(*task, y); status != Status::ok) return status;
  const std::size_t m = task->models.size();
  for (std::size_t i = 0; i < m; ++i) {
    const double* const row = task->p.data() + i * classes;
    marks_[i] = numeric ? mark_number(row[0], y)
                        : mark_classes({row, classes}, static_cast<std::size_t>(y), task->kind == Kind::binary);
    loss_[i] = marks_[i].loss;
  }
  if (m > 0) {
    Elo::pair_points({loss_.data(), m}, {points_.data(), m});
    for (std::size_t s = 0; s < task->n_slices; ++s) learn(*task, slices_[index(task->slices[s])], outcome.time);
  }
  settled_models_ = task->models;  // the slot keeps them until it is opened again
  release(*task, outcome.task.slot);
  return Status::ok;
}

// Folds a settled task, whose marks, losses and points are in the scratch, into one slice.
void Scoreboard::learn(const OpenTask& task, Slice& slice, Time time) noexcept {
  const std::size_t m = task.models.size();
  const std::span<const ModelId> models(task.models);
  const std::span<const double> losses(loss_.data(), m);
  double mean = std::accumulate(losses.begin(), losses.end(), 0.0) / static_cast<double>(m);
  if (task.kind == Kind::numeric) {
    // Squared errors have no scale of their own: measure them against what is usual here, so that they lie in [0, 2].
    constexpr double fade = 0.05;
    const double scale = slice.square_scale > 0.0 ? slice.square_scale : mean;
    slice.square_scale = scale + fade * (std::min(mean, 10.0 * scale) - scale);
    const auto bounded = [scale](double square) { return square > 0.0 ? 2.0 * square / (square + scale) : 0.0; };
    double sum = 0.0;
    for (std::size_t i = 0; i < m; ++i) sum += excess_[i] = bounded(losses[i]);
    mean = sum / static_cast<double>(m);
    for (std::size_t i = 0; i < m; ++i) excess_[i] -= mean;
  } else {
    for (std::size_t i = 0; i < m; ++i) excess_[i] = losses[i] - mean;
  }
  slice.elo.contest_points(models, {points_.data(), m});
  slice.hedge[family(task.kind)].update(models, std::span<const double>(excess_.data(), m), time);
  for (std::size_t i = 0; i < m; ++i) {
    slice.score[index(models[i])].add(marks_[i], task.kind);
    slice.history[index(models[i])][static_cast<std::size_t>(task.kind)].push(reported(losses[i], task.kind), time);
  }
}

Status Scoreboard::close(TaskHandle handle) noexcept {
  OpenTask* const task = find(handle);
  if (task == nullptr) return Status::stale_task;
  release(*task, handle.slot);
  return Status::ok;
}

}  // namespace fairlead
