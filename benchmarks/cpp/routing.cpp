// What routing costs in plain C++: deciding whom to ask among 16 models, and a whole call with its outcome.
//
//   bench_routing [events] [weights of a TaskClassifier]
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/task_classifier.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

constexpr fl::Time second = 1'000'000'000, start = 1'700'000'000 * second;
constexpr int models = 16;

void need(fl::Status status) {
  if (status != fl::Status::ok) std::abort();
}

std::string prompt_of(std::size_t size) {
  const std::string text = "Will the Federal Reserve cut rates at its next meeting? Answer with a probability. ";
  std::string out;
  while (out.size() < size) out += text;
  return out.substr(0, size - 1) + "?";
}

// A fleet whose models are known from `tasks` outcomes, under three budgets. `apart`: how much their skill differs.
fl::Fleet fleet_of(int tasks, double apart) {
  fl::Fleet fleet;
  const char* const names[] = {"reasoning", "simple"};
  for (int m = 0; m < models; ++m) {
    const std::string name = "model " + std::to_string(m), provider = "provider " + std::to_string(m % 4);
    need(fleet.add({.name = name, .provider = provider, .tier = static_cast<fl::Tier>(m % 3), .price_in = 0.5 + m, .price_out = 2.0 + m}));
  }
  need(fleet.budget(R"({"name": "all", "limit": 900000000000000, "period": "monthly"})", start));
  need(fleet.budget(R"({"name": "fast", "limit": 900000000000000, "period": "daily", "scope": "tier", "of": "fast"})", start));
  need(fleet.budget(R"({"name": "one", "limit": 900000000000000, "period": "daily", "scope": "model", "of": "model 3"})", start));
  for (int t = 0; t < tasks; ++t) {
    const std::string id = "before " + std::to_string(t);
    fl::TaskNumber number = 0;
    const fl::Time now = start + t * second;
    need(fleet.open({.id = id, .category = t % 2 == 0 ? "politics" : "rates", .regime = "calm", .expires_in_s = 5000, .time = now}, number));
    fl::Route route;
    need(fleet.route(number, {.type = names[t % 2]}, route, now));
    if (route.asks()) need(fleet.called(route, {.cost_nanos = 1'000'000, .latency_ms = 400, .tokens_in = 300, .tokens_out = 20}, now));
    for (int m = 0; m < models; ++m) {
      const double p = 0.5 + apart * (m % 8) / 16.0 + 0.001 * ((t * 7 + m * 3) % 11);
      need(fleet.record(number, {.model = m, .p = std::span(&p, 1), .latency_ms = 300.0 + 10.0 * m, .cost_usd = 0.001 * (m + 1), .time = now}));
    }
    need(fleet.settle(number, t % 5 == 0 ? 0.0 : 1.0, now));
  }
  return fleet;
}

void decisions(std::size_t n, const fl::TaskClassifier* classifier) {
  const fl::Time now = start + 3600 * second;
  for (const auto& [what, apart, objective] :
       {std::tuple{"some of them contend", 0.8, fl::Objective{}}, {"all of them contend", 0.0, fl::Objective{}},
        {"quality per dollar", 0.8, fl::Objective{.goal = fl::Goal::value}}, {"without exploring", 0.8, fl::Objective{.explore = 0.0}}}) {
    fl::Fleet fleet = fleet_of(400, apart);
    bench::escape(fleet);
    for (const std::size_t size : {200u, 2000u}) {
      const std::string text = prompt_of(size);
      fl::TaskNumber number = 0;
      const std::string id = "now " + std::to_string(size);
      need(fleet.open({.id = id, .category = "politics", .text = text, .regime = "calm", .expires_in_s = 5000, .time = now}, number));
      const fl::FleetTask& task = fleet.tasks()[fleet.tasks().find(number)];
      fl::Route route;
      const std::string name = std::string("Route: type, masks, budgets and pick among 16, ") + std::to_string(size) + " B, " + what;
      bench::measure(name.c_str(), n, [&](std::size_t i) {
        fl::RouteRequest request{.type = "simple", .objective = objective};
        if (classifier != nullptr) request.type = classifier->types()[classifier->classify(text)];
        bench::keep(fleet.routing().choose(task.routing, task.kind, text.size(), request, i, now, route));
        bench::keep(route.model);
      });
      need(fleet.close(number, now));
    }
  }
}

void calls(std::size_t n) {
  fl::Fleet fleet = fleet_of(400, 0.8);
  bench::escape(fleet);
  const fl::Time now = start + 3600 * second;
  fl::TaskNumber number = 0;
  fl::Route route;
  std::size_t left = 0;
  const auto renew = [&](std::size_t calls) {  // a task has 65,535 calls at most
    if (left >= calls) {
      left -= calls;
      return;
    }
    if (number != 0) need(fleet.close(number, now));
    const std::string id = "now " + std::to_string(number);
    need(fleet.open({.id = id, .category = "politics", .regime = "calm", .expires_in_s = 5000, .time = now}, number));
    left = 60'000;
  };
  bench::measure("A call of a fleet in memory: route and called", n, [&](std::size_t i) {
    renew(1);
    const fl::Time at = now + static_cast<fl::Time>(i) * 1000;
    bench::keep(fleet.route(number, {.type = "simple"}, route, at));
    bench::keep(fleet.called(route, {.cost_nanos = 900'000, .latency_ms = 400, .tokens_in = 300, .tokens_out = 20}, at));
  });
  // The end of a call alone: cost, budgets, spending, both breakers, latency.
  std::vector<fl::Route> made;
  const std::size_t batch = 4;  // within what may be in flight
  bench::measure("Four calls: route and called, cost, budgets, breakers", n / batch, [&](std::size_t i) {
    renew(batch);
    const fl::Time at = now + static_cast<fl::Time>(i) * 1000;
    made.clear();
    for (std::size_t k = 0; k < batch; ++k) {
      bench::keep(fleet.route(number, {.type = "simple"}, route, at));
      made.push_back(route);
    }
    for (const fl::Route& one : made) {
      bench::keep(fleet.called(one, {.cost_nanos = 900'000, .latency_ms = 400, .tokens_in = 300, .tokens_out = 20}, at));
    }
  });
  const double p = 0.6;
  bench::measure("A forecast: record with cost, budgets, spending, breakers", n, [&](std::size_t i) {
    const fl::Time at = now + static_cast<fl::Time>(i) * 1000;
    bench::keep(fleet.record(number, {.model = static_cast<fl::ModelId>(i % models), .p = std::span(&p, 1), .latency_ms = 400,
                                      .tokens_in = 300, .tokens_out = 20, .cost_usd = 0.001, .time = at}));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  fl::TaskClassifier classifier;
  const fl::TaskClassifier* known = nullptr;
  if (argc > 2) {
    std::ifstream file(argv[2], std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    need(classifier.read(std::as_bytes(std::span(bytes))));
    known = &classifier;
  }
  bench::heading();
  decisions(n, known);
  calls(n);
}
