// The Scoreboard: what is known of every model, overall and in every slice, and the tasks that are still open.
//
//   open -> record (once per model) -> decide (as often as you like) -> settle, or close where no outcome will come
//
// Hot path: open, record, decide and settle take no lock and make no system call, and after reserve() they allocate
// nothing (without it, they stop allocating once every slot has held its largest task and every history is full). None
// throws; where memory is short they return Status::out_of_memory. A call that returns an error has changed nothing.
// One thread at a time.
//
// Memory: an open task holds two rows of doubles a model and 40 bytes; a model holds about 8 KiB; a (model, slice) pair
// holds about 0.8 KiB and, for each kind of task it has seen, up to `history` samples of 16 bytes; a slice holds about 4
// KiB for the strategies. A snapshot holds what has been
// seen, in fewer bytes than that; restoring takes as much memory as the state fills, not what reserve() had taken.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/calibrator.hpp"
#include "fairlead/drift.hpp"
#include "fairlead/elo.hpp"
#include "fairlead/ensemble.hpp"
#include "fairlead/hedge.hpp"
#include "fairlead/names.hpp"
#include "fairlead/panel.hpp"
#include "fairlead/recalibration.hpp"
#include "fairlead/rolling.hpp"
#include "fairlead/score.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

struct ScoreboardOptions {
  EloOptions elo = {};
  HedgeOptions hedge = {};
  std::size_t history = 4096;     // newest losses kept for each (model, slice), for time windows
  std::size_t psi_reference = 500;  // confidence drift: the first so many forecasts of a model ...
  std::size_t psi_window = 500;     // ... against its last so many
};

// What a model's calls on the tasks of a slice amounted to, whether or not they were settled.
struct Calls {
  std::uint64_t answered = 0;
  std::uint64_t failed = 0;
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  double cost_usd = 0.0;
  double latency_ms_sum = 0.0;
  std::uint64_t latency_n = 0;

  double mean_latency_ms() const noexcept { return latency_ms_sum / static_cast<double>(latency_n); }
};

class Scoreboard {
 public:
  static constexpr SliceId overall = 0;
  static constexpr std::size_t max_slices = 8;  // of one task, besides overall
  static constexpr std::size_t max_labels = 4096;

  explicit Scoreboard(ScoreboardOptions options = {});

  // --- warm-up: these may allocate and throw std::bad_alloc ---

  // The id of a model, added if new and made active if it had been removed.
  ModelId add(std::string_view model);
  ModelId add(const Model& model) { return add(model.name); }
  // A removed model keeps its record; its answers no longer count in decisions and new ones are refused.
  Status remove(ModelId model) noexcept;
  // The slice of a dimension's value, added if new: slice("category", "politics").
  SliceId slice(std::string_view dimension, std::string_view value);

  // Takes now all the memory that the present models and slices, and `tasks` tasks of this kind open at once, of up to
  // `labels` classes, can ever need: afterwards nothing allocates, from the first call on.
  void reserve(Kind kind, std::size_t tasks, std::size_t labels = 2);

  // --- hot path ---

  // Opens a task of `labels` classes (ignored unless categorical) that is scored overall and in `slices`.
  Status open(Kind kind, std::size_t labels, std::span<const SliceId> slices, TaskHandle& out) noexcept;
  // The same from a record: its category, regime and slices are looked up, and added if new.
  Status open(const Task& task, TaskHandle& out) noexcept;

  // A model's answer. Given again for the same task it replaces the earlier answer; the costs add up. A forecast with
  // an error counts as a failed call and leaves an earlier answer standing.
  Status record(TaskHandle task, const Forecast& forecast) noexcept;
  Status decide(TaskHandle task, Strategy strategy, Decision& out, Time now = 0) noexcept;
  // By weights of the caller's, which are raised to sum to 1: those of models that did not answer, or have left, do not
  // count. out_of_range: one is negative or not finite, or none is above 0.
  Status decide_by(TaskHandle task, std::span<const ModelWeight> weights, Decision& out, Time now = 0) noexcept;
  Status settle(const Outcome& outcome) noexcept;
  // What the last call of settle that returned ok found, in the order of `settled_models`; valid until the next open.
  std::span<const ModelId> settled_models() const noexcept { return settled_models_; }
  std::span<const Marks> settled_marks() const noexcept { return {marks_.data(), settled_models_.size()}; }
  // The same task's answers, a row a model; what each cost; and what they cost in all, failed calls too.
  std::span<const double> settled_answers() const noexcept { return settled_answers_; }
  std::span<const double> settled_costs() const noexcept { return settled_costs_; }
  double settled_cost_usd() const noexcept { return settled_cost_usd_; }
  // What each strategy would have scored by what was known when the models answered, by its number; empty if none did.
  std::span<const Marks> settled_strategies() const noexcept {
    return std::span(panel_marks_).first(settled_models_.empty() ? 0 : n_strategies);
  }
  // Ends a task whose outcome will never come; nobody is scored.
  Status close(TaskHandle task) noexcept;

  // What `open`, `record` and `settle` would say but for lack of memory, and nothing changes.
  Status check(const Task& task) const noexcept;
  Status check(Kind kind, std::size_t labels, const Forecast& forecast) const noexcept;
  Status check(TaskHandle task, const Forecast& forecast) const noexcept;
  Status check(const Outcome& outcome) const noexcept;

  // --- reading ---

  const ScoreboardOptions& options() const noexcept { return options_; }
  const NameTable& models() const noexcept { return models_; }
  SliceId n_slices() const noexcept { return static_cast<SliceId>(slices_.size()); }  // overall is the first
  SliceId find_slice(std::string_view dimension, std::string_view value) const noexcept;  // NameTable::absent if unknown
  std::string_view dimension(SliceId slice) const noexcept { return dimension_names_.name(at(slice).dimension); }
  std::string_view value(SliceId slice) const noexcept {
    return dimensions_[index(at(slice).dimension)].values.name(at(slice).value);
  }
  bool active(ModelId model) const noexcept { return model_state_[index(model)].active; }
  bool has_model(ModelId model) const noexcept { return model >= 0 && model < models_.size(); }
  bool has_slice(SliceId slice) const noexcept { return slice >= 0 && index(slice) < slices_.size(); }
  bool is_open(TaskHandle task) const noexcept { return find(task) != nullptr; }
  std::span<const SliceId> slices(TaskHandle task) const noexcept {  // of an open one, overall first
    const OpenTask* const open = find(task);
    return open == nullptr ? std::span<const SliceId>{} : std::span(open->slices).first(open->n_slices);
  }
  std::size_t open_tasks() const noexcept { return tasks_.size() - free_.size(); }
  // Who answered an open task, and what: `classes` values each, two of a binary one. Removed models too.
  std::span<const ModelId> answered(TaskHandle task) const noexcept {
    const OpenTask* const open = find(task);
    return open == nullptr ? std::span<const ModelId>{} : std::span<const ModelId>(open->models);
  }
  std::span<const double> answers(TaskHandle task) const noexcept {
    const OpenTask* const open = find(task);
    return open == nullptr ? std::span<const double>{} : std::span<const double>(open->p);
  }
  std::span<const double> costs(TaskHandle task) const noexcept {
    const OpenTask* const open = find(task);
    return open == nullptr ? std::span<const double>{} : std::span<const double>(open->cost);
  }
  std::span<const Merit> merits(TaskHandle task) const noexcept {
    const OpenTask* const open = find(task);
    return open == nullptr ? std::span<const Merit>{} : std::span<const Merit>(open->merit);
  }

  double rating(ModelId model, SliceId slice = overall) const noexcept { return at(slice).elo[model]; }
  const Score& score(ModelId model, SliceId slice = overall) const noexcept { return at(slice).score[index(model)]; }
  const Calls& calls(ModelId model, SliceId slice = overall) const noexcept { return at(slice).calls[index(model)]; }
  // What a strategy would have scored in a slice, by what was known when the models answered.
  const Score& score(Strategy strategy, SliceId slice = overall) const noexcept {
    return at(slice).panel.score[static_cast<std::size_t>(strategy)];
  }
  // PSI of the model's confidence, its last forecasts against its first; NaN until there are enough.
  double confidence_psi(ModelId model) const noexcept { return model_state_[index(model)].confidence.index(); }
  // How a model's probabilities are adjusted (kind: binary or categorical), and how calibrated the adjusted ones have been,
  // each as it was when the model answered. Score::calibration says the same of the answers as they were given.
  const Calibrator& calibrator(ModelId model, Kind kind) const noexcept {
    return model_state_[index(model)].calibrator[static_cast<std::size_t>(kind)];
  }
  const Calibration& adjusted(ModelId model, Kind kind) const noexcept {
    return model_state_[index(model)].adjusted[static_cast<std::size_t>(kind)];
  }
  // The model's newest losses on tasks of one kind: Brier scores, or squared errors of numbers.
  const History& history(ModelId model, SliceId slice, Kind kind) const noexcept {
    return at(slice).history[index(model)][static_cast<std::size_t>(kind)];
  }

  // --- snapshots: these may allocate and throw std::bad_alloc, but for restore ---

  // All that later calls depend on, bit for bit: also open tasks, whose handles stay valid, and which handles come
  // next. What the last settle found is not among it.
  std::string snapshot() const;
  // Says bad_snapshot or out_of_memory, and leaves `out` as it was, where the bytes or the memory will not do.
  static Status restore(std::string_view bytes, Scoreboard& out);
  // The same as a part of a larger snapshot.
  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static constexpr std::uint32_t max_generation = 0x7fffffff;  // so that a handle fits a signed 64-bit integer

  // What is known of the strategies in the slices of a task.
  struct Mixture {
    std::array<double, n_strategies> share = {};  // of each strategy in `auto`
    double factor = 1.0, shift = 0.0;             // stacked
    double tolerance = 0.0;                       // consensus of numbers
    std::uint32_t at = 0;                         // settled_ when this was true
    std::uint32_t reserved = 0;
  };

  struct OpenTask {
    std::uint32_t generation = 1;
    bool open = false;
    Kind kind = Kind::binary;
    std::uint8_t n_slices = 0;
    std::array<SliceId, max_slices + 1> slices = {};  // overall first
    std::uint32_t classes = 0;                        // values of a row: 2 if binary, 1 if numeric
    std::uint32_t failed = 0;
    double cost_usd = 0.0;
    std::vector<ModelId> models = {};  // who answered
    std::vector<double> p = {};        // their answers, a row each
    std::vector<double> log_p = {};    // logarithms of them; none of numbers
    std::vector<double> cost = {};     // USD, of each model's calls
    std::vector<ModelWeight> owed = {};  // the same of models whose calls have all failed so far
    std::vector<Merit> merit = {};
    Mixture mixture = {};              // as it was when the newest answer came
  };

  struct ModelState {
    bool active = true;
    StreamingPsi confidence;
    std::array<Calibrator, 2> calibrator = {Calibrator(), Calibrator()};  // of binary, of categorical answers
    std::array<Calibration, 2> adjusted = {Calibration(), Calibration()};  // of what they made of those answers
  };

  struct Values {
    NameTable values = {};
    std::vector<SliceId> slices = {};  // by the value's id
  };

  struct Slice {
    std::int32_t dimension;
    std::int32_t value;
    Elo elo;
    std::array<Hedge, 2> hedge;     // for probabilities, for numbers: skill at one says little of the other
    std::array<Hedge, 2> weighted;  // the same, fed with what the pool would gain: scoreboard_settle.cpp
    std::vector<Score> score = {};
    std::vector<std::array<History, 3>> history = {};  // by kind, as their losses have different scales
    std::vector<Calls> calls = {};
    double square_scale = 0.0;  // numeric tasks: decayed mean of the models' squared error
    Panel panel = Panel();
  };

  static std::array<std::array<Calibration, 2>, n_strategies> calibrations() { return std::array<std::array<Calibration, 2>, n_strategies>(); }
  static std::size_t family(Kind kind) noexcept { return kind == Kind::numeric ? 1 : 0; }
  static constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }
  const Slice& at(SliceId slice) const noexcept { return slices_[index(slice)]; }
  const OpenTask* find(TaskHandle handle) const noexcept;
  OpenTask* find(TaskHandle handle) noexcept { return const_cast<OpenTask*>(std::as_const(*this).find(handle)); }
  Slice new_slice(std::int32_t dimension, std::int32_t value, Elo elo) const;
  void resize(Slice& slice, std::size_t models) const;
  void resize_scratch(std::size_t models);
  void widen(std::size_t classes);
  void release(OpenTask& task, std::uint32_t slot) noexcept;
  static std::size_t classes(Kind kind, std::size_t labels) noexcept {
    return kind == Kind::categorical ? labels : kind == Kind::binary ? 2 : 1;
  }
  Status check(Kind kind, std::size_t classes, const Forecast& forecast, double& sum) const noexcept;
  static Status check(const OpenTask& task, double outcome) noexcept;
  void store_answer(OpenTask& task, const Forecast& forecast, double sum);
  static void owe(OpenTask& task, const Forecast& forecast);
  double calibrated(const OpenTask& task, ModelId model, std::span<const double> row, std::uint32_t top) noexcept;
  static std::span<const double> row_of(const OpenTask& task, ModelId model) noexcept;  // it has answered
  void stand(const OpenTask& task, ModelId model, Merit& out) const noexcept;
  Mixture mix(const OpenTask& task) const noexcept;
  std::size_t gather(const OpenTask& task, Answers& out) noexcept;
  bool combine(Strategy strategy, const Answers& answers, const Mixture& mixture, std::span<double> weights,
               double* out) noexcept;
  void explain(const OpenTask& task, const Answers& answers, Decision& out) const noexcept;
  void describe(const OpenTask& task, const Answers& answers, Decision& out) noexcept;
  void describe_number(const Answers& answers, double between, Decision& out) const noexcept;
  void describe_classes(const Answers& answers, double between, Decision& out) noexcept;
  double expected_square(std::span<const ModelWeight> weights) const noexcept;
  static void finish(const OpenTask& task, Decision& out) noexcept;
  void judge(const OpenTask& task, double outcome, Time time) noexcept;
  void calibrate(const OpenTask& task, std::size_t outcome, Time time) noexcept;
  void learn(const OpenTask& task, Slice& slice, Time time) noexcept;
  void save_slice(const Slice& slice, SnapshotWriter& out) const;
  void save_tasks(SnapshotWriter& out) const;
  void load_models(SnapshotReader& in);
  void load_slices(SnapshotReader& in);
  void load_slice(Slice& slice, SnapshotReader& in) const;
  void load_tasks(SnapshotReader& in);
  void load_task(OpenTask& task, SnapshotReader& in) const;

  ScoreboardOptions options_;
  NameTable models_, dimension_names_;
  std::vector<Values> dimensions_;
  std::vector<ModelState> model_state_;
  std::vector<Slice> slices_;
  std::vector<OpenTask> tasks_;
  std::vector<std::uint32_t> free_;
  std::array<Recalibration, 2> recalibration_;  // stacked: of binary, of categorical answers
  std::array<std::array<Calibration, 2>, n_strategies> said_ = calibrations();  // for intervals: of binary, of categorical
  double interval_ = 1.645;               // numbers: 90 % of errors were within so many times what was expected
  std::uint32_t settled_ = 0;             // counts settled tasks that were answered

  // Scratch, sized when models are added or a wider task is opened.
  std::vector<ModelId> who_;
  std::vector<double> weight_, loss_, points_, excess_, distance_, mixed_, rows_, log_rows_, column_, pooled_;
  std::vector<Merit> merit_;
  std::vector<Marks> marks_;
  std::array<Marks, n_strategies> panel_marks_ = {};
  double core_loss_ = 0.0;
  std::span<const ModelId> settled_models_ = {};
  std::span<const double> settled_answers_ = {}, settled_costs_ = {};
  double settled_cost_usd_ = 0.0;
  std::size_t widest_ = 2;
};

}  // namespace fairlead
