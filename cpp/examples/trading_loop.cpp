// A trading loop with no Python in it: twenty models answer every task, one decision is taken, outcomes come later.
// Prints the time of each call at the 50th, 99th and 99.9th percentile.
//
//   trading_loop [tasks]
#include <fairlead/scoreboard.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

double nanoseconds(Clock::duration d) { return std::chrono::duration<double, std::nano>(d).count(); }

// Times one call at a time. Reading the clock twice costs some 20 to 40 ns, which is measured and shown, not taken off.
class Stopwatch {
 public:
  explicit Stopwatch(const char* what, std::size_t expected) : what_(what) { samples_.reserve(expected); }

  template <class Call>
  auto operator()(Call&& call) {
    const auto start = Clock::now();
    const auto result = call();
    samples_.push_back(nanoseconds(Clock::now() - start));
    return result;
  }

  void print() {
    std::sort(samples_.begin(), samples_.end());
    const auto at = [&](double q) { return samples_[static_cast<std::size_t>(q * static_cast<double>(samples_.size() - 1))]; };
    std::printf("%-22s %10zu %10.0f %10.0f %10.0f\n", what_, samples_.size(), at(0.5), at(0.99), at(0.999));
  }

 private:
  const char* what_;
  std::vector<double> samples_;
};

[[noreturn]] void fail(fairlead::Status status) {
  std::fprintf(stderr, "trading_loop: %s\n", fairlead::message(status));
  std::exit(1);
}

void check(fairlead::Status status) {
  if (status != fairlead::Status::ok) fail(status);
}

}  // namespace

int main(int argc, char** argv) {
  namespace fl = fairlead;
  constexpr std::size_t models = 20;
  constexpr std::size_t in_flight = 64;  // outcomes arrive this many tasks later
  const std::size_t tasks = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 50'000;

  fl::Scoreboard board;
  std::vector<fl::ModelId> fleet;
  for (std::size_t i = 0; i < models; ++i) fleet.push_back(board.add("model-" + std::to_string(i)));
  const fl::SliceId crypto = board.slice("category", "crypto");
  board.reserve(fl::Kind::binary, in_flight + 1);  // from here on nothing allocates

  // Model i sees the true probability through noise that grows with i.
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0.02, 0.98);
  std::normal_distribution<double> normal;

  struct Pending {
    fl::TaskHandle task;
    double outcome;
  };
  std::vector<Pending> pending;
  pending.reserve(in_flight);
  fl::Decision decision;  // its buffers are reused

  const std::size_t warm_up = tasks / 10;
  Stopwatch clock("(an empty call)", tasks);
  Stopwatch record("record", tasks * models);
  Stopwatch decide("decide, 20 models", tasks);
  Stopwatch settle("settle, 20 models", tasks);
  double brier = 0.0;
  double brier_mean = 0.0;
  std::vector<double> answers(models);
  Clock::duration work{};

  for (std::size_t t = 0; t < tasks + warm_up; ++t) {
    const bool timed = t >= warm_up;
    const auto now = static_cast<fl::Time>(t) * 1'000'000;
    const double truth = uniform(random);
    const double outcome = uniform(random) < truth ? 1.0 : 0.0;
    double mean = 0.0;
    for (std::size_t i = 0; i < models; ++i) {
      answers[i] = std::clamp(truth + 0.02 * static_cast<double>(i) * normal(random), 0.0, 1.0);
      mean += answers[i] / static_cast<double>(models);
    }

    const auto start = Clock::now();
    fl::TaskHandle task;
    check(board.open(fl::Kind::binary, 0, std::span(&crypto, 1), task));
    for (std::size_t i = 0; i < models; ++i) {
      const fl::Forecast forecast{.model = fleet[i], .p = std::span(&answers[i], 1), .cost_usd = 0.0001};
      const auto call = [&] { return board.record(task, forecast); };
      check(timed ? record(call) : call());
    }
    const auto call = [&] { return board.decide(task, fl::Strategy::hedge, decision); };
    check(timed ? decide(call) : call());
    if (pending.size() == in_flight) {
      const Pending due = pending[t % in_flight];
      const auto finish = [&] { return board.settle({.task = due.task, .value = due.outcome, .time = now}); };
      check(timed ? settle(finish) : finish());
      pending[t % in_flight] = {task, outcome};
    } else {
      pending.push_back({task, outcome});
    }
    if (timed) {
      work += Clock::now() - start;
      clock([] { return 0; });
      brier += (decision.p[0] - outcome) * (decision.p[0] - outcome);
      brier_mean += (mean - outcome) * (mean - outcome);
    }
  }

  std::printf("%-22s %10s %10s %10s %10s\n", "nanoseconds", "calls", "p50", "p99", "p99.9");
  clock.print();
  record.print();
  decide.print();
  settle.print();
  std::printf("\n%.2f million forecasts a second, clock reading included\n",
              static_cast<double>(tasks * models) / nanoseconds(work) * 1e3);
  std::printf("Brier score: fairlead %.4f, equal weights %.4f\n", brier / static_cast<double>(tasks),
              brier_mean / static_cast<double>(tasks));
  std::printf("Brier score of the model with the least noise %.4f, with the most %.4f\n",
              board.score(fleet.front()).brier(), board.score(fleet.back()).brier());
}
