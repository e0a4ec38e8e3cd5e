// What is remembered of settled tasks, and what the desk's money allows.
#include <doctest/doctest.h>

#include <deque>
#include <random>
#include <string>
#include <vector>

#include "fairlead/audits.hpp"
#include "fairlead/fleet.hpp"
#include "fairlead/snapshot.hpp"
#include "fleet_log.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::Status;
using fl::Strategy;

namespace {

// An entry that owns what it shows.
struct Entry {
  fl::AuditFixed fixed;
  std::vector<double> answers, costs, losses, strategies, p, weights;
  std::vector<fl::ModelId> models, weighted;
  std::string name;

  fl::Audit view() const {
    return {fixed, answers, costs, losses, strategies, p, weights, models, weighted, name};
  }
};

Entry random_entry(std::mt19937_64& random, std::uint64_t task) {
  Entry e;
  const auto some = [&](std::size_t n) {
    std::vector<double> values(n);
    for (double& x : values) x = static_cast<double>(random() % 1000) / 7.0;
    return values;
  };
  e.fixed.task = task;
  e.fixed.m = static_cast<std::uint32_t>(random() % 6);
  e.fixed.classes = static_cast<std::uint32_t>(1 + random() % 4);
  e.fixed.n_p = e.fixed.classes;
  e.fixed.n_weights = static_cast<std::uint32_t>(random() % (e.fixed.m + 1));
  e.name.assign(random() % 12, 'x');
  e.fixed.n_name = static_cast<std::uint16_t>(e.name.size());
  e.answers = some(std::size_t{e.fixed.m} * e.fixed.classes);
  e.costs = some(e.fixed.m);
  e.losses = some(e.fixed.m);
  e.strategies = some(fl::n_strategies);
  e.p = some(e.fixed.n_p);
  e.weights = some(e.fixed.n_weights);
  for (std::uint32_t i = 0; i < e.fixed.m; ++i) e.models.push_back(static_cast<fl::ModelId>(i));
  for (std::uint32_t i = 0; i < e.fixed.n_weights; ++i) e.weighted.push_back(static_cast<fl::ModelId>(i));
  return e;
}

bool same(std::span<const double> a, const std::vector<double>& b) { return std::ranges::equal(a, b); }

}  // namespace

TEST_CASE("audits: the newest that fit, as they were added, whatever the ring had to turn") {
  std::mt19937_64 random(1);
  for (const std::size_t bytes : {std::size_t{4096}, std::size_t{10'000}}) {
    fl::Audits audits(bytes);
    audits.reserve();
    std::deque<Entry> wanted;
    for (std::uint64_t t = 0; t < 500; ++t) {
      wanted.push_back(random_entry(random, t));
      audits.add(wanted.back().view());
      while (wanted.size() > audits.size()) wanted.pop_front();
      REQUIRE(!wanted.empty());
      std::size_t i = 0;
      audits.each([&](const fl::Audit& found) {
        const Entry& e = wanted[i++];
        CHECK(found.fixed.task == e.fixed.task);
        CHECK(same(found.answers, e.answers));
        CHECK(same(found.costs, e.costs));
        CHECK(same(found.losses, e.losses));
        CHECK(same(found.strategies, e.strategies));
        CHECK(same(found.p, e.p));
        CHECK(same(found.weights, e.weights));
        CHECK(std::ranges::equal(found.models, e.models));
        CHECK(std::ranges::equal(found.weighted, e.weighted));
        CHECK(found.name == e.name);
      });
      CHECK(i == wanted.size());
      if (t % 50 != 0) continue;
      // A snapshot goes on as if it had never stopped, to the byte.
      fl::SnapshotWriter out("audits", 1);
      audits.save(out);
      const std::string saved = out.finish();
      fl::SnapshotReader in(saved, "audits", 1);
      fl::Audits again(bytes);
      again.load(in, 6);
      REQUIRE(in.finish() == Status::ok);
      audits = again;
    }
    CHECK(wanted.size() > 3);
    CHECK(audits.left_out() == 0);
    Entry wide = random_entry(random, 1000);
    wide.fixed.n_p = 4096;
    wide.p.assign(4096, 0.5);
    audits.add(wide.view());
    CHECK(audits.left_out() == 1);
  }
}

TEST_CASE("audits: a task as it was answered, decided and scored") {
  fl::Fleet fleet;
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  REQUIRE(fleet.add({.name = "b"}) == Status::ok);
  const double high[] = {0.9}, low[] = {0.5};
  REQUIRE(fleet.record({.id = "q", .time = 1}, {.model = 0, .p = high, .cost_usd = 0.25, .time = 1}) == Status::ok);
  REQUIRE(fleet.record("q", {.model = 1, .p = low, .cost_usd = 0.5, .time = 2}) == Status::ok);
  fl::Decision d;
  REQUIRE(fleet.decide("q", Strategy::mean, d, 3) == Status::ok);
  bool news = false;
  REQUIRE(fleet.settle("q", 1.0, 9, 12.0, news) == Status::ok);
  REQUIRE(fleet.audits().size() == 1);
  fleet.audits().each([&](const fl::Audit& audit) {
    CHECK(audit.fixed.task == 1);
    CHECK(audit.fixed.made == 1);
    CHECK(audit.fixed.strategy == Strategy::mean);
    CHECK(audit.fixed.outcome == 1.0);
    CHECK(audit.fixed.profit_usd == 12.0);
    CHECK(audit.fixed.cost_usd == 0.75);
    CHECK(audit.fixed.time == 9);
    CHECK(audit.fixed.decided == 3);
    CHECK(audit.p[0] == 0.7);
    CHECK(audit.weights[0] == 0.5);
    CHECK(audit.costs[1] == 0.5);
    CHECK(audit.losses[0] == doctest::Approx(0.02));
    CHECK(audit.strategies[static_cast<std::size_t>(Strategy::confidence)] == doctest::Approx(0.02));
    CHECK(audit.strategies[static_cast<std::size_t>(Strategy::mean)] == doctest::Approx(0.18));
  });
  // One that was never decided, and one that nobody answered.
  REQUIRE(fleet.record({.id = "r", .time = 1}, {.model = 0, .p = high, .time = 1}) == Status::ok);
  REQUIRE(fleet.record({.id = "s", .time = 1}, {.model = 0, .error = "timeout", .time = 1}) == Status::ok);
  REQUIRE(fleet.settle("r", 1.0, 9, fl::nan, news) == Status::ok);
  REQUIRE(fleet.settle("s", 1.0, 9, fl::nan, news) == Status::ok);
  std::vector<fl::AuditFixed> all;
  fleet.audits().each([&](const fl::Audit& audit) { all.push_back(audit.fixed); });
  REQUIRE(all.size() == 3);
  CHECK(all[1].made == 0);
  CHECK(all[2].m == 0);
}

TEST_CASE("position: a fraction of Kelly, and less the more of the money is lost") {
  fl::Fleet fleet({.kelly = 0.5, .capital_usd = 100.0, .drawdown_limit = 0.2});
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  const double p[] = {0.9};
  const auto scale = [&](const std::string& id) {
    REQUIRE(fleet.record(fl::Task{.id = id}, {.model = 0, .p = p}) == Status::ok);
    fl::Decision d;
    REQUIRE(fleet.decide(id, Strategy::mean, d, 1) == Status::ok);
    CHECK(((d.reasons & fl::drawdown_limit) != 0) == (fleet.drawdown() > 0.0));
    return d.position_scale;
  };
  const auto earn = [&](const std::string& id, double profit) {
    bool news = false;
    REQUIRE(fleet.settle(id, 1.0, 2, profit, news) == Status::ok);
  };
  CHECK(scale("a") == doctest::Approx(0.4));  // half of 2 * 0.9 - 1
  earn("a", 50.0);
  CHECK(scale("b") == doctest::Approx(0.4));
  earn("b", -15.0);  // a tenth of 150: half way to the limit
  CHECK(fleet.drawdown() == doctest::Approx(0.1));
  CHECK(scale("c") == doctest::Approx(0.2));
  earn("c", -30.0);
  CHECK(scale("d") == 0.0);
  earn("d", 45.0);
  CHECK(scale("e") == doctest::Approx(0.4));
  fl::FleetSettings read;
  REQUIRE(fl::FleetSettings::parse(fleet.settings().json(), read) == Status::ok);
  CHECK(read == fleet.settings());
  for (const char* bad : {R"({"kelly": 1.5})", R"({"capital_usd": -1})", R"({"drawdown_limit": 0})"}) {
    CHECK(fl::FleetSettings::parse(bad, read) == Status::bad_event);
  }
  CHECK(fl::FleetSettings{}.json().find("kelly") == std::string::npos);  // as older versions wrote it
}
