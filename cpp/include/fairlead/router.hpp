// The router: which model to ask. It learns how good each model has been in each context, and weighs that against cost
// and time; what it is not sure of, it tries.
//
// Quality of an answer, in [0, 1]: of probabilities 1 - loss / 2, loss being the squared error over all classes (so 1 - (p
// - y)^2 of a binary answer); of a number s / (s + loss), loss being its squared error and s the mean of all models'
// there. Other than the weights of an ensemble (hedge.hpp), it does not compare with who else answered, as often nobody
// did.
//
// A context is a value of a dimension (category=politics, horizon=1d), the first is `overall`. Each cell (context, model)
// holds decayed moments of quality. It decays with what happens in its context, not with the model's own answers: so
// evidence on a model that is never asked fades, its uncertainty grows, and it is tried again. With n results of mean m
// and variance v, the overall estimate is shrunk to the mean of all models by `prior` results; that of a narrow context
// to the overall one by 20 results (n / (n + 20), as in hedge.hpp); several narrow contexts count alike. The estimate's
// variance is that of a normal model with these weights: e^2 v / n + (1 - e)^2 (v / (n_overall + prior) + v / 20).
//
// Exploration is Thompson sampling (W. R. Thompson, 1933; S. Agrawal, N. Goyal, "Further Optimal Regret Bounds for
// Thompson Sampling", AISTATS 2013) from a normal with that mean and variance, its draws being a hash of the caller's
// seed: the same seed gives the same choice. The propensity of the choice, which evaluation off policy needs, is the
// integral of the density of its utility times the others' distribution functions, by 16 nodes of Gauss and Legendre,
// within 0.01 (tested against sampling).
//
// Hot path: `estimate`, `pick` and `learn` allocate nothing, take no lock and do not throw. One thread at a time.
// Memory: 32 bytes a (context, model, family of kinds). Precision: IEEE double.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

using ContextId = std::int32_t;

struct RouterOptions {
  double half_life = 500.0;  // results in a context after which one counts half
  double prior = 2.0;        // results that the mean of all models is worth to a newcomer
};

// What a route is to be good at. A model's utility is
//   quality: q.   cost: -c.   latency: -l.   value: q per dollar.
//   mix: quality * q - cost * c / (the dearest candidate's) - latency * l / (the slowest one's).
struct Objective {
  using Goal = fairlead::Goal;
  Goal goal = Goal::quality;
  double quality = 1.0, cost = 0.0, latency = 0.0;  // of a mix; none negative
  double min_quality = 0.0;  // candidates expected to be worse are taken only where nobody is better
  double explore = 1.0;      // standard deviations of the estimate that are sampled; 0: none, the best so far
};

// A model that may be asked. The caller fills in what it costs; the router the rest.
struct Candidate {
  ModelId model = -1;
  double cost_usd = 0.0;
  double latency_ms = 0.0;   // expected; NaN counts as the slowest that is known
  double predicted = nan;    // quality that a model of the prompt expects, and how many results that is worth
  double predicted_n = 0.0;

  double quality = nan;  // expected
  double spread = nan;   // standard deviation of that estimate
  double sampled = nan;  // the quality that was drawn
  double utility = nan;  // by it
};

struct Pick {
  static constexpr std::size_t max_candidates = 256;
  std::array<std::uint8_t, max_candidates> order;  // whom to ask first, second, ...: places among the candidates
  double propensity = nan;  // how likely the first was to be the first
  bool below = false;       // no candidate is expected to reach min_quality
  bool explored = false;    // the first is not the one with the best expectation
};

class Router {
 public:
  static constexpr ContextId overall = 0;
  static constexpr std::size_t max_contexts = 12;  // of one task, `overall` not among them

  explicit Router(RouterOptions options = {});

  // --- warm-up: these may allocate and throw std::bad_alloc ---

  void resize(std::size_t models);
  ContextId context(std::string_view dimension, std::string_view value);  // added if new

  // --- hot path ---

  ContextId find_context(std::string_view dimension, std::string_view value) const noexcept;  // NameTable::absent

  // What is known of a model for a task of this kind in these contexts (`overall` not among them): quality and spread.
  // unknown_slice, unknown_model: nothing is filled in.
  Status estimate(Kind kind, std::span<const ContextId> contexts, std::span<Candidate> candidates) const noexcept;

  // Estimates, draws, and says in which order to ask the candidates. no_forecast: there is none;
  // out_of_range: an objective with a negative or no finite number, or a candidate with a negative cost.
  Status pick(Kind kind, std::span<const ContextId> contexts, const Objective& objective, std::uint64_t seed,
              std::span<Candidate> candidates, Pick& out) const noexcept;

  // A settled task: what each model that answered lost, as Marks::loss. Contexts as above; `overall` always learns.
  Status learn(Kind kind, std::span<const ContextId> contexts, std::span<const ModelId> models,
               std::span<const double> losses) noexcept;

  // --- reading ---

  std::size_t models() const noexcept { return models_; }
  ContextId n_contexts() const noexcept { return static_cast<ContextId>(contexts_.size()); }
  std::string_view dimension(ContextId context) const noexcept;
  std::string_view value(ContextId context) const noexcept;
  // Decayed number of results of a model there.
  double evidence(Kind kind, ContextId context, ModelId model) const noexcept;

  std::string snapshot() const;
  static Status restore(std::string_view bytes, Router& out);
  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // leaves this as it was where the reader fails

 private:
  static constexpr double shrink = 20.0;

  // Decayed to `at`, a number of results of its context.
  struct Cell {
    double n = 0.0;
    double mean = 0.0;
    double square = 0.0;  // sum of squared deviations
    std::uint64_t at = 0;
  };
  struct Family {  // of kinds: probabilities, numbers
    std::vector<Cell> cells = {};  // by model
    Cell all = {};                 // of all models
    std::uint64_t results = 0;     // tasks settled here
    double square_scale = 0.0;     // numbers: decayed mean of squared errors
  };
  struct Context {
    std::int32_t dimension = 0, value = 0;
    std::array<Family, 2> families = {};
  };
  struct Values {
    NameTable names = {};
    std::vector<ContextId> contexts = {};  // by the value's id
  };

  static std::size_t family(Kind kind) noexcept { return kind == Kind::numeric ? 1 : 0; }
  double fade(std::uint64_t results) const noexcept;
  void add(Cell& cell, std::uint64_t now, double quality) const noexcept;
  Status check(std::span<const ContextId> contexts) const noexcept;

  RouterOptions options_;
  std::array<double, 256> fine_;    // 2^(-i / half_life)
  std::array<double, 256> coarse_;  // 2^(-256 i / half_life)
  std::size_t models_ = 0;
  NameTable dimensions_;
  std::vector<Values> values_;  // by dimension
  std::vector<Context> contexts_;
};

// The x with normal_cdf(x) = p, for p in (0, 1): M. J. Wichura, "Algorithm AS 241", Applied Statistics 37 (1988), PPND7;
// within 1e-6.
double normal_quantile(double p) noexcept;

}  // namespace fairlead
