// What one event costs in plain C++: nanoseconds in a row, and percentiles in cycles of each event timed on its own.
//
//   bench_events [events]
#include <cstdlib>
#include <random>
#include <vector>

#include "fairlead/drift.hpp"
#include "fairlead/elo.hpp"
#include "fairlead/rolling.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

void ratings(std::size_t n, std::mt19937_64& random) {
  constexpr std::int32_t players = 100;
  std::vector<std::int32_t> i(n), j(n);
  std::vector<double> score(n);
  for (std::size_t k = 0; k < n; ++k) {
    i[k] = static_cast<std::int32_t>(random() % players);
    j[k] = static_cast<std::int32_t>((static_cast<std::size_t>(i[k]) + 1 + random() % (players - 1)) % players);
    score[k] = static_cast<double>(random() % 3) / 2.0;
  }
  fl::Elo elo;
  elo.resize(players);
  bench::measure("Elo: one match of 100 players", n, [&](std::size_t k) { bench::keep(elo.update(i[k], j[k], score[k])); });
  bench::measure("Elo: the same pair again (dependent)", n, [&](std::size_t k) { bench::keep(elo.update(0, 1, score[k])); });
}

void windows(std::size_t n, const std::vector<double>& x) {
  auto window = fl::RollingWindow::by_count(10'000);
  bench::measure("RollingWindow of 10,000: push, read moments", n, [&](std::size_t k) {
    bench::keep(window.push(x[k]));
    bench::keep(window.moments().mean);
  });
}

void drift(std::size_t n, const std::vector<double>& x) {
  fl::StreamingPsi psi(500, 500);
  for (double value : x) psi.add(value);
  bench::measure("StreamingPsi: add", n, [&](std::size_t k) { psi.add(x[k]); });
  bench::measure("StreamingPsi: add, read the index", n, [&](std::size_t k) {
    psi.add(x[k]);
    bench::keep(psi.index());
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  if (n < 1000) {
    std::fprintf(stderr, "bench_events: events is %zu, must be at least 1000\n", n);
    return 1;
  }
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> x(n);
  for (double& value : x) value = normal(random);
  bench::heading();
  bench::measure("(nothing)", n, [](std::size_t k) { bench::keep(k); });
  ratings(n, random);
  windows(n, x);
  drift(n, x);
}
