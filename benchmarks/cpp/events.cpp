// What one event costs in plain C++: nanoseconds in a row, and percentiles in cycles of each event timed on its own.
//
//   bench_events [events]
#include <cstdlib>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "fairlead/budget.hpp"
#include "fairlead/calibrator.hpp"
#include "fairlead/detectors.hpp"
#include "fairlead/drift.hpp"
#include "fairlead/elo.hpp"
#include "fairlead/experts.hpp"
#include "fairlead/glicko2.hpp"
#include "fairlead/pooling.hpp"
#include "fairlead/ratings.hpp"
#include "fairlead/rolling.hpp"
#include "fairlead/spend.hpp"
#include "fairlead/task_classifier.hpp"
#include "fairlead/true_skill.hpp"
#include "fairlead/weng_lin.hpp"
#include "fairlead/windows.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

struct Match {
  std::int32_t i, j;
  double score;
};

template <class System>
void rating(const char* name, const std::vector<Match>& matches) {
  fl::Ratings<System> ratings{System{}};
  bench::escape(ratings);
  for (int player = 0; player < 100; ++player) ratings.id(std::to_string(player));
  bench::measure((std::string(name) + ": a match of 100 players").c_str(), matches.size(), [&](std::size_t k) {
    bench::keep(ratings.update(matches[k].i, matches[k].j, matches[k].score));
  });
  bench::measure((std::string(name) + ": the same pair again").c_str(), matches.size(), [&](std::size_t k) {
    bench::keep(ratings.update(0, 1, matches[k].score));
  });
}

void ratings(std::size_t n, std::mt19937_64& random) {
  constexpr std::int32_t players = 100;
  std::vector<Match> matches(n);
  for (Match& match : matches) {
    match.i = static_cast<std::int32_t>(random() % players);
    match.j = static_cast<std::int32_t>((static_cast<std::size_t>(match.i) + 1 + random() % (players - 1)) % players);
    match.score = static_cast<double>(random() % 3) / 2.0;
  }
  rating<fl::Elo>("Elo", matches);
  rating<fl::Glicko2>("Glicko-2", matches);
  rating<fl::WengLin>("Weng-Lin", matches);
  rating<fl::TrueSkill>("TrueSkill", matches);
}

void money(std::size_t n) {
  fl::Budgets budgets;
  bench::escape(budgets);
  constexpr fl::Time now = 1'772'000'000'000'000'000;
  constexpr fl::Where where{.model = 1, .tier = 1, .category = 1, .type = 1};
  for (int i = 0; i < 4; ++i) {
    fl::BudgetId id = -1;
    const fl::BudgetOptions options{
        .limit = fl::max_amount, .period = static_cast<fl::Period>(i), .scope = static_cast<fl::Scope>(i), .of = i > 0};
    bench::keep(budgets.define(std::to_string(i), options, now, id));
  }
  const auto turn = [&](std::size_t k) {
    fl::Reservation held;
    bench::keep(budgets.reserve(where, 1000, now + static_cast<fl::Time>(k), held).refused_by);
    bench::keep(budgets.settle(held, 900, now + static_cast<fl::Time>(k)));
  };
  bench::measure("Budgets: reserve and settle in 4 budgets", n, turn);
  fl::Spend spend;
  bench::escape(spend);
  fl::Nanos cost = 900;
  const auto add = [&](std::size_t k) {
    bench::keep(spend.add(where, now + static_cast<fl::Time>(k), &cost, {.input = 100, .output = 20, .cached = 5}));
  };
  bench::measure("Spend: a call by model, tier, category, type", n, add);
  bench::measure("both", n, [&](std::size_t k) {
    turn(k);
    add(k);
  });
  fl::Prices prices{.input = 2'500'000'000, .output = 10'000'000'000, .cached = 1'250'000'000};
  bench::escape(prices);
  bench::measure("cost of a call", n, [&](std::size_t k) {
    fl::Nanos out = 0;
    bench::keep(fl::cost(prices, {.input = static_cast<std::int64_t>(k), .output = 20}, out));
    bench::keep(out);
  });
}

void windows(std::size_t n, const std::vector<double>& x) {
  auto window = fl::RollingWindow::by_count(10'000);
  bench::escape(window);
  bench::measure("RollingWindow of 10,000: push, read moments", n, [&](std::size_t k) {
    bench::keep(window.push(x[k]));
    bench::keep(window.moments().mean);
  });
  const auto three_by_four = [](std::vector<fl::WindowSpec> specs) {
    fl::WindowsOptions options;
    options.windows = std::move(specs);
    options.stats = {{fl::Stat::mean}, {fl::Stat::var}, {fl::Stat::min}, {fl::Stat::max}};
    return fl::Windows(options);
  };
  constexpr fl::Time second = 1'000'000'000, day = 86'400 * second;
  std::vector<double> out(12);
  auto counts = three_by_four({{.count = 100}, {.count = 1'000}, {.count = 10'000}});
  const auto one = counts.handle("one");
  fl::Time now = 0;
  bench::measure("Windows 100|1k|10k x 4: update, read all twelve", n, [&](std::size_t k) {
    bench::keep(counts.update(one, now += second, x[k]));
    bench::keep(counts.read(one, out));
  });
  auto spans = three_by_four({{.span = day}, {.span = 7 * day}, {.span = 30 * day}});
  std::vector<fl::Windows::Handle> keys;
  for (int key = 0; key < 200; ++key) keys.push_back(spans.handle(std::to_string(key)));
  bench::measure("Windows 24h|7d|30d x 4, 200 keys: the same", n, [&](std::size_t k) {
    const auto key = keys[k % keys.size()];
    bench::keep(spans.update(key, now += 60 * second, x[k]));
    bench::keep(spans.read(key, out));
  });
}

void drift(std::size_t n, const std::vector<double>& x) {
  fl::StreamingPsi psi(500, 500);
  bench::escape(psi);
  for (double value : x) psi.add(value);
  bench::measure("StreamingPsi: add", n, [&](std::size_t k) { psi.add(x[k]); });
  bench::measure("StreamingPsi: add, read the index", n, [&](std::size_t k) {
    psi.add(x[k]);
    bench::keep(psi.index());
  });
  fl::KeyedPsi keyed{fl::StreamingPsi(500, 500)};
  bench::escape(keyed);
  const auto key = keyed.id("one");
  for (double value : x) keyed.update(key, value);
  bench::measure("KeyedPsi: update, read the index", n, [&](std::size_t k) {
    keyed.update(key, x[k]);
    bench::keep(keyed.index(key));
  });
  fl::Adwin adwin;
  bench::escape(adwin);
  bench::measure("ADWIN", n, [&](std::size_t k) { bench::keep(adwin.update(x[k])); });
  fl::PageHinkley page_hinkley;
  bench::escape(page_hinkley);
  bench::measure("Page-Hinkley", n, [&](std::size_t k) { bench::keep(page_hinkley.update(x[k])); });
  fl::Ddm ddm;
  bench::escape(ddm);
  bench::measure("DDM", n, [&](std::size_t k) { bench::keep(ddm.update(x[k] > 1.0 ? 1.0 : 0.0)); });
}

void pooling(std::size_t n, std::mt19937_64& random) {
  constexpr std::size_t models = 8;
  std::vector<double> p(n * models);
  for (double& value : p) value = std::uniform_real_distribution<double>(0.01, 0.99)(random);
  fl::pooling::Options options;
  options.method = fl::pooling::Method::log;
  double pooled = 0.0;
  bench::measure("log pool of 8 probabilities", n, [&](std::size_t k) {
    bench::keep(fl::pooling::pool({&p[k * models], models}, 1, models, 1, options, &pooled));
  });
  for (const auto& [name, rule] : {std::pair{"Hedge, a round of 8", fl::ExpertRule::hedge},
                                   std::pair{"BOA, a round of 8", fl::ExpertRule::boa},
                                   std::pair{"ML-Poly, a round of 8", fl::ExpertRule::ml_poly}}) {
    fl::Experts experts({.rule = rule});
    for (std::size_t m = 0; m < models; ++m) experts.add();
    bench::measure(name, n, [&](std::size_t k) {
      bench::keep(experts.update({&p[k * models], models}, k % 2 == 0 ? 1.0 : 0.0, {}, pooled));
    });
  }
}

// A calibrator that has found something to adjust, by scaling and isotonic alike.
void calibration(std::size_t n, std::mt19937_64& random) {
  std::uniform_real_distribution<double> uniform(0.02, 0.98);
  std::vector<double> p(n), classes(5 * n);
  std::vector<std::uint8_t> happened(n);
  for (std::size_t k = 0; k < n; ++k) {
    p[k] = uniform(random);
    happened[k] = uniform(random) < 0.25 + 0.5 * p[k];
    double sum = 0.0;
    for (std::size_t c = 0; c < 5; ++c) sum += classes[5 * k + c] = uniform(random);
    for (std::size_t c = 0; c < 5; ++c) classes[5 * k + c] /= sum;
  }
  fl::Calibrator binary, five;
  double out[5];
  bench::measure("calibrator learns a binary outcome", n, [&](std::size_t k) {
    binary.update(p[k], happened[k] != 0, static_cast<fl::Time>(k));
  });
  bench::measure("calibrator adjusts a binary answer", n, [&](std::size_t k) { bench::keep(binary.adjust(p[k])); });
  bench::measure("calibrator learns one of 5 classes", n, [&](std::size_t k) {
    five.update({&classes[5 * k], 5}, k % 5, static_cast<fl::Time>(k));
  });
  bench::measure("calibrator adjusts 5 probabilities", n, [&](std::size_t k) {
    five.adjust({&classes[5 * k], 5}, out);
    bench::keep(out[0]);
  });
}

// Types of 64 texts in turn, by a classifier with a full table of weights.
void task_types(std::size_t n, std::mt19937_64& random) {
  const std::string prompt =
      "I'm planning a trip to Berlin next Friday and need the weather forecast there for 3 days, in Celsius please. Could you "
      "also find me a hotel near the main station, under 120 euros a night, and then book it? ";
  for (const std::size_t size : {std::size_t{200}, std::size_t{2048}}) {
    std::vector<std::string> texts(64);
    for (std::string& text : texts) {
      while (text.size() < size) text += prompt;
      text.resize(size);
      for (int i = 0; i < 20; ++i) text[random() % size] = static_cast<char>('a' + random() % 26);
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    std::vector<std::uint32_t> labels;
    for (std::uint32_t i = 0; i < 64; ++i) labels.push_back(i % 3);
    fl::TaskClassifier classifier;
    if (classifier.fit(views, labels, {}, {"reasoning", "simple", "tool_use"}) != fl::Status::ok) return;
    double p[3];
    bench::measure(("type of a task, " + std::to_string(size) + " bytes").c_str(), std::max<std::size_t>(n / 10, 100), [&](std::size_t k) {
      classifier.classify(views[k % 64], p);
      bench::keep(p[0]);
    });
  }
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
  money(n);
  windows(n, x);
  drift(n, x);
  pooling(n, random);
  calibration(n, random);
  task_types(n, random);
}
