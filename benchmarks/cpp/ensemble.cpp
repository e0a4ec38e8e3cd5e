// What deciding together costs in plain C++: 20 models answer tasks that count overall and in two slices.
//
//   bench_ensemble [events]
//
// Bars: record 300 ns with all windows and slices, decide by hedge 1 us, settle 2 us.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/scoreboard.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

constexpr std::size_t models = 20;
constexpr std::size_t in_flight = 64;  // tasks that are open at once
constexpr fl::Time second = 1'000'000'000, start = 1'700'000'000 * second;

void need(fl::Status status) {
  if (status == fl::Status::ok) return;
  std::fprintf(stderr, "bench_ensemble: %s\n", fl::message(status));
  std::exit(1);
}

// Answers to tasks, and what happened: model i sees the truth through noise that grows with i.
class World {
 public:
  explicit World(std::size_t classes) : classes_(classes) {}

  void next() {
    for (double& x : signal_) x = normal_(random_);
    const std::array<double, 8> p = chances(0.0);
    double left = uniform_(random_);
    outcome_ = 0;
    while (outcome_ + 1 < classes_ && left >= p[outcome_]) left -= p[outcome_++];
    for (std::size_t i = 0; i < models; ++i) answers_[i] = chances(0.05 * static_cast<double>(i + 1));
  }
  std::span<const double> p(std::size_t model) const {  // of two classes only the second is told
    const std::span<const double> row(answers_[model].data(), classes_);
    return classes_ == 2 ? row.subspan(1, 1) : row;
  }
  double outcome() const { return static_cast<double>(outcome_); }

 private:
  std::array<double, 8> chances(double noise) {
    std::array<double, 8> p = {};
    double sum = 0.0;
    for (std::size_t k = 0; k < classes_; ++k) sum += p[k] = std::exp(1.5 * signal_[k] + noise * normal_(random_));
    for (double& x : p) x /= sum;
    return p;
  }

  std::size_t classes_, outcome_ = 0;
  std::mt19937_64 random_{7};
  std::normal_distribution<double> normal_;
  std::uniform_real_distribution<double> uniform_;
  std::array<double, 8> signal_ = {};
  std::array<std::array<double, 8>, models> answers_ = {};
};

class Board {
 public:
  explicit Board(std::size_t classes) : world_(classes), classes_(classes) {
    for (std::size_t i = 0; i < models; ++i) board_.add("model " + std::to_string(i));
    slices_ = {board_.slice("category", "rates"), board_.slice("horizon", "1")};
    board_.reserve(kind(), in_flight + 1, classes);
    for (int t = 0; t < 2000; ++t) {  // so that the models are told apart
      ask();
      settle(0);
    }
  }

  void ask() {
    fl::TaskHandle task;
    need(board_.open(kind(), classes_, slices_, task));
    world_.next();
    for (std::size_t i = 0; i < models; ++i) need(board_.record(task, forecast(i)));
    open_.push_back(task);
    outcomes_.push_back(world_.outcome());
  }
  void settle(std::size_t i) {
    need(board_.settle({.task = open_[i], .value = outcomes_[i], .time = now_ += second}));
    if (i + 1 < open_.size()) return;
    open_.clear();
    outcomes_.clear();
  }

  void measure(std::size_t n) {
    const std::string of = classes_ == 2 ? "" : ", " + std::to_string(classes_) + " classes";
    bench::escape(board_);
    ask();
    bench::measure(("record an answer" + of).c_str(), n, [&](std::size_t i) {
      bench::keep(board_.record(open_[0], forecast(i % models)));
    });
    for (std::size_t s = 0; s < fl::n_strategies; ++s) {
      const auto strategy = static_cast<fl::Strategy>(s);
      const std::string name = "decide by " + std::string(fl::strategy_names[s]) + of;
      bench::measure(name.c_str(), n / 10, [&](std::size_t) { need(board_.decide(open_[0], strategy, decision_)); });
    }
    // One outcome has come since the models answered, so that their merits are looked up again.
    ask();
    need(board_.settle({.task = open_.back(), .value = outcomes_.back(), .time = now_ += second}));
    open_.pop_back();
    outcomes_.pop_back();
    for (const fl::Strategy strategy : {fl::Strategy::hedge, fl::Strategy::automatic}) {
      const std::string name = "the same after an outcome, " + std::string(name_of(strategy)) + of;
      bench::measure(name.c_str(), n / 10, [&](std::size_t) { need(board_.decide(open_[0], strategy, decision_)); });
    }
    settle(0);
    const auto prepare = [&] {
      for (std::size_t i = 0; i < in_flight; ++i) ask();
    };
    bench::measure_batches(("settle" + of).c_str(), n / 10, in_flight, prepare, [&](std::size_t i) { settle(i); });
  }

 private:
  static std::string_view name_of(fl::Strategy s) { return fl::strategy_names[static_cast<std::size_t>(s)]; }
  fl::Kind kind() const { return classes_ == 2 ? fl::Kind::binary : fl::Kind::categorical; }
  fl::Forecast forecast(std::size_t i) const {
    return {.model = static_cast<fl::ModelId>(i), .p = world_.p(i), .latency_ms = 300.0, .tokens_in = 300, .cost_usd = 0.001};
  }

  fl::Scoreboard board_;
  World world_;
  std::size_t classes_;
  std::array<fl::SliceId, 2> slices_ = {};
  std::vector<fl::TaskHandle> open_;
  std::vector<double> outcomes_;
  fl::Decision decision_;
  fl::Time now_ = start;
};

// The same through the Fleet, which counts every call by model, category, regime, expiry and window as well.
class WholeFleet {
 public:
  WholeFleet() {
    for (std::size_t i = 0; i < models; ++i) need(fleet_.add({.name = "model " + std::to_string(i)}));
    for (int t = 0; t < 2000; ++t) {
      ask();
      settle(0);
    }
  }

  void ask() {
    fl::TaskNumber task = 0;
    const std::string id = std::to_string(asked_++);
    now_ += second;
    need(fleet_.open({.id = id, .category = "rates", .regime = "calm", .expires_in_s = 5000, .time = now_}, task));
    world_.next();
    for (std::size_t i = 0; i < models; ++i) need(fleet_.record(task, forecast(i)));
    open_.push_back(task);
    outcomes_.push_back(world_.outcome());
  }
  void settle(std::size_t i) {
    need(fleet_.settle(open_[i], outcomes_[i], now_ += second));
    if (i + 1 < open_.size()) return;
    open_.clear();
    outcomes_.clear();
  }

  void measure(std::size_t n) {
    bench::escape(fleet_);
    ask();
    bench::measure("Fleet: record an answer", n, [&](std::size_t i) {
      now_ += 1000;
      bench::keep(fleet_.record(open_[0], forecast(i % models)));
    });
    for (const fl::Strategy strategy : {fl::Strategy::hedge, fl::Strategy::automatic}) {
      const std::string name = "Fleet: decide by " + std::string(fl::strategy_names[static_cast<std::size_t>(strategy)]);
      bench::measure(name.c_str(), n / 10, [&](std::size_t) { need(fleet_.decide(open_[0], strategy, decision_, now_)); });
    }
    settle(0);
    const auto prepare = [&] {
      for (std::size_t i = 0; i < in_flight; ++i) ask();
    };
    bench::measure_batches("Fleet: settle", n / 10, in_flight, prepare, [&](std::size_t i) { settle(i); });
  }

 private:
  fl::Forecast forecast(std::size_t i) const {
    return {.model = static_cast<fl::ModelId>(i),
            .p = world_.p(i),
            .latency_ms = 300.0 + static_cast<double>(i),
            .tokens_in = 300,
            .tokens_out = 20,
            .cost_usd = 0.001,
            .time = now_};
  }

  fl::Fleet fleet_;
  World world_{2};
  std::size_t asked_ = 0;
  std::vector<fl::TaskNumber> open_;
  std::vector<double> outcomes_;
  fl::Decision decision_;
  fl::Time now_ = start;
};

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 500'000;
  if (n < 1000) {
    std::fprintf(stderr, "bench_ensemble: events is %zu, must be at least 1000\n", n);
    return 1;
  }
  bench::heading();
  bench::measure("(nothing)", n, [](std::size_t k) { bench::keep(k); });
  Board(2).measure(n);
  Board(5).measure(n / 2);
  WholeFleet().measure(n);
}
