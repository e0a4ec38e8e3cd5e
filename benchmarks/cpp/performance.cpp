// What it costs to know how every model is doing: a call and a settled answer, with all windows and slices.
//
//   bench_performance [events]
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/performance.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

constexpr std::size_t models = 20;
constexpr fl::Time second = 1'000'000'000, start = 1'772'000'000 * second;

void cells(std::size_t n, fl::PlaceId places, fl::Time pace, const std::string& what) {
  fl::Performance performance;
  bench::escape(performance);
  for (fl::PlaceId i = 0; i < places; ++i) {
    bench::keep(performance.place(std::to_string(i / 6), "calm", static_cast<fl::Expiry>(i % 6)));
  }
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(7.0, 0.5);
  std::vector<double> latency(4096);
  for (double& ms : latency) ms = std::exp(normal(random));
  fl::Time now = start;
  bench::measure(("a call: " + what).c_str(), n, [&](std::size_t k) {
    now += pace;
    bench::keep(performance.call(static_cast<fl::ModelId>(k % models), 1 + static_cast<fl::PlaceId>(k / models) % places, now,
                                 {.latency_ms = latency[k % 4096], .confidence = 0.75, .tokens_in = 1000, .tokens_out = 50,
                                  .cost = 400'000}));
  });
  std::vector<fl::ModelId> who(models);
  std::vector<fl::Marks> marks(models);
  for (std::size_t i = 0; i < models; ++i) {
    const double p = static_cast<double>(i + 1) / (models + 1);
    const double both[] = {1.0 - p, p};
    who[i] = static_cast<fl::ModelId>(i);
    marks[i] = fl::mark_classes(both, i % 2, true);
  }
  bench::measure(("a task of 20 answers settled: " + what).c_str(), n / models + 1, [&](std::size_t k) {
    now += pace * static_cast<fl::Time>(models);
    bench::keep(performance.settled(1 + static_cast<fl::PlaceId>(k) % places, now, fl::Kind::binary, 2, who, marks));
  });
  std::printf("  %zu cells, %.1f KiB each\n", performance.n_cells(),
              static_cast<double>(performance.bytes()) / 1024.0 / static_cast<double>(performance.n_cells()));
  fl::PerformanceReading out;
  bench::escape(out);
  bench::measure(("reading 7d of a model: " + what).c_str(), 1000, [&](std::size_t k) {
    out = {};
    performance.read({.model = static_cast<fl::ModelId>(k % models)}, fl::PerformanceWindow::d7, now, out);
    bench::keep(out);
  });
}

// All that a fleet does for an answer: scores, weights, windows, routing, spending and this.
void fleet(std::size_t n, int categories, fl::Time pace) {
  fl::Fleet fleet;
  bench::escape(fleet);
  for (std::size_t i = 0; i < models; ++i) bench::keep(fleet.add({.name = "model " + std::to_string(i)}));
  fl::Time now = start;
  std::size_t number = 0;
  std::vector<std::string> names;
  for (int i = 0; i < categories; ++i) names.push_back("category " + std::to_string(i));
  std::string id;
  const auto open = [&] {
    id = std::to_string(++number);
    const fl::Task task{.id = id, .category = names[number % names.size()], .regime = number % 3 == 0 ? "wild" : "calm",
                        .expires_in_s = 7200.0, .time = now};
    fl::TaskNumber out = 0;
    bench::keep(fleet.open(task, out));
    return out;
  };
  const auto record = [&](fl::TaskNumber task, std::size_t model) {
    const double p = 0.05 + 0.9 * static_cast<double>((task * 7 + model * 3) % 20) / 20.0;
    bench::keep(fleet.record(task, {.model = static_cast<fl::ModelId>(model), .p = {&p, 1}, .latency_ms = 400.0 + static_cast<double>(model),
                                    .tokens_in = 900, .tokens_out = 40, .cost_usd = 0.002, .time = now}));
  };
  const std::string where = std::to_string(categories) + " categories";
  const fl::TaskNumber task = open();
  bench::measure(("a fleet records an answer: " + where).c_str(), n, [&](std::size_t k) { record(task, k % models); });
  bench::measure(("a fleet's task, 20 answers, settled: " + where).c_str(), n / models + 1, [&](std::size_t) {
    now += pace;
    const fl::TaskNumber one = open();
    for (std::size_t model = 0; model < models; ++model) record(one, model);
    bench::keep(fleet.settle(one, static_cast<double>(number % 2), now));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? static_cast<std::size_t>(std::atoll(argv[1])) : 1'000'000;
  bench::heading();
  bench::measure("(nothing)", n, [](std::size_t k) { bench::keep(k); });
  cells(n, 1, second / 100, "20 cells, 100 a second");
  cells(n, 60, second, "1,200 cells, one a second");
  cells(n, 60, 60 * second, "1,200 cells, one a minute");
  fleet(n, 1, second);
  fleet(n, 10, 60 * second);
  return 0;
}
