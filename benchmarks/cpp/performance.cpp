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

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? static_cast<std::size_t>(std::atoll(argv[1])) : 1'000'000;
  bench::heading();
  bench::measure("(nothing)", n, [](std::size_t k) { bench::keep(k); });
  cells(n, 1, second / 100, "20 cells, 100 a second");
  cells(n, 60, second, "1,200 cells, one a second");
  cells(n, 60, 60 * second, "1,200 cells, one a minute");
  return 0;
}
