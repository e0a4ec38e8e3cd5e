// Weng and Lin's rules against the package openskill 6.2.0 (tau at its default, 25 / 300).
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "fairlead/weng_lin.hpp"

using namespace fairlead;

static_assert(RatingSystem<WengLin>);

namespace {

using Numbers = std::vector<double>;
using Ids = std::vector<Player>;

WengLin fleet(const std::vector<std::pair<double, double>>& skills, WengLinOptions options = {}) {
  WengLin made(options);
  made.resize(skills.size());
  for (std::size_t i = 0; i < skills.size(); ++i)
    made.put(static_cast<Player>(i), {skills[i].first, skills[i].second, no_time});
  return made;
}

void check(const WengLin& got, const Numbers& expected) {
  for (std::size_t i = 0; 2 * i < expected.size(); ++i) {
    CHECK(std::abs(got.state(static_cast<Player>(i)).mu - expected[2 * i]) < 1e-12);
    CHECK(std::abs(got.state(static_cast<Player>(i)).sigma - expected[2 * i + 1]) < 1e-12);
  }
}

const std::vector<std::pair<double, double>> four{{25, 25.0 / 3}, {30, 4}, {22, 2}, {28, 7}};
constexpr WengLinOptions luce{.rule = WengLinRule::plackett_luce};

}  // namespace

TEST_CASE("weng_lin: contests of four, as openskill rates them") {
  const Ids all{0, 1, 2, 3};
  struct Case {
    WengLinOptions options;
    Numbers losses, expected;
  };
  const std::vector<Case> cases{
      {{},
       {1, 2, 2, 3},
       {34.8823720613753, 6.94515996071749, 29.2938534122896, 3.88442228002645, 22.2487479299651, 1.99401657465555,
        20.1463372306402, 6.16606289445116}},
      {{},
       {4, 3, 2, 1},
       {16.2582353909746, 6.94515996071749, 28.0693858228678, 3.88442228002645, 22.4770094073485, 1.99401657465555,
        34.2451600589382, 6.16606289445116}},
      {{},
       {1, 1, 1, 1},
       {25.570303726175, 6.94515996071749, 29.2225127621204, 3.88442228002645, 22.2274793869212, 1.99401657465555,
        27.1957486447892, 6.16606289445116}},
      {luce,
       {1, 2, 2, 3},
       {28.7361030164503, 8.19257991678462, 29.7487297575285, 3.98123369056366, 22.0230493346935, 2.00085500390502,
        25.8510810663106, 6.82641785666035}},
      {luce,
       {4, 3, 2, 1},
       {20.4319365228905, 7.81009059227771, 29.6208998553801, 3.97060808711904, 22.1573147032892, 2.00083184868949,
        30.4599771486396, 6.91995822004892}},
      {luce,
       {1, 1, 1, 1},
       {25.1236887678327, 8.19257991678462, 29.92529587284, 3.99160068141497, 22.0188450794365, 2.00133635847753,
        27.9109513159734, 6.91995822004892}},
  };
  for (const Case& c : cases) {
    WengLin w = fleet(four, c.options);
    w.apply_contest(all, c.losses, 1.0, no_time);
    check(w, c.expected);
    WengLin other_order = fleet(four, c.options);
    other_order.apply_contest(Ids{3, 1, 0, 2}, Numbers{c.losses[3], c.losses[1], c.losses[0], c.losses[2]}, 1.0,
                              no_time);
    check(other_order, c.expected);
  }
}

TEST_CASE("weng_lin: a match of two, as openskill rates it under either rule") {
  for (const WengLinOptions& options : {WengLinOptions{}, luce}) {
    WengLin won = fleet({{27, 3}, {22, 6}}, options), contest = won, drew = won;
    won.apply(0, 1, 1.0, 1.0, no_time);
    check(won, {27.3667138443793, 2.98794625337912, 20.5339928426315, 5.78607905820939});
    contest.apply_contest(Ids{1, 0}, Numbers{2, 1}, 1.0, no_time);
    check(contest, {27.3667138443793, 2.98794625337912, 20.5339928426315, 5.78607905820939});
    drew.apply(0, 1, 0.5, 1.0, no_time);
    check(drew, {26.8623778519583, 2.98794625337912, 22.550170268, 5.78607905820939});
  }
}

TEST_CASE("weng_lin: what is expected is what the score is compared with") {
  WengLin w = fleet({{27, 3}, {22, 6}});
  const double p = w.expected(0, 1);
  CHECK(p + w.expected(1, 0) == doctest::Approx(1.0).epsilon(1e-15));
  WengLin same = w;
  CHECK(same.rate(0, 1, 0.3, 2.0, no_time) == p);
  w.apply(0, 1, p, 1.0, no_time);
  CHECK(w.state(0).mu == 27.0);
  CHECK(w.state(1).mu == 22.0);
}

TEST_CASE("weng_lin: without drift, twice the weight is twice the step") {
  const WengLinOptions still{.tau = 0.0};
  WengLin once = fleet({{27, 3}, {22, 6}}, still), twice = once, never = once;
  once.apply(0, 1, 0.0, 1.0, no_time);
  twice.apply(0, 1, 0.0, 2.0, no_time);
  never.apply(0, 1, 0.0, 0.0, no_time);
  CHECK(twice.state(0).mu - 27.0 == doctest::Approx(2.0 * (once.state(0).mu - 27.0)).epsilon(1e-12));
  const auto left = [](double sigma, double of) { return 1.0 - sigma * sigma / (of * of); };
  CHECK(left(twice.state(1).sigma, 6.0) == doctest::Approx(2.0 * left(once.state(1).sigma, 6.0)).epsilon(1e-12));
  CHECK(never.state(0).mu == 27.0);
  CHECK(never.state(0).sigma == 3.0);
}

TEST_CASE("weng_lin: where a period is given, uncertainty grows with time, up to a newcomer's") {
  WengLin w({.tau = 0.5, .period = 100});
  w.resize(2);
  w.put(0, {30.0, 2.0, 1'000});
  CHECK(w.at(w.state(0), 1'400).sigma == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));
  CHECK(w.at(w.state(0), 900).sigma == 2.0);
  CHECK(w.at(w.state(0), 1'000'000'000).sigma == 25.0 / 3.0);
  w.apply(0, 1, 1.0, 0.0, 1'400);  // weight 0: nothing but the time
  CHECK(w.state(0).sigma == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));
  CHECK(w.state(1).sigma == doctest::Approx(25.0 / 3.0).epsilon(1e-15));
  CHECK(w.state(0).last == 1'400);
}

TEST_CASE("weng_lin: nothing overflows, whatever is thrown at it") {
  for (const auto rule : {WengLinRule::bradley_terry, WengLinRule::plackett_luce}) {
    std::mt19937_64 random(3);
    WengLin w = fleet({{-1e9, 8}, {1e9, 1e-3}, {0, 1e6}, {25, 8}, {25, 0}}, {.rule = rule});
    for (int n = 0; n < 10'000; ++n) {
      Ids players{0, 1, 2, 3, 4};
      std::shuffle(players.begin(), players.end(), random);
      players.resize(2 + random() % 4);
      Numbers losses;
      for (std::size_t k = 0; k < players.size(); ++k) losses.push_back(static_cast<double>(random() % 4));
      const double weights[] = {1.0, 1e-300, 1e-9, 1e6};
      w.apply_contest(players, losses, weights[random() % 4], no_time);
      w.apply(players[0], players[1], 0.5 * static_cast<double>(random() % 3), weights[random() % 4], no_time);
      for (Player i = 0; i < 5; ++i) REQUIRE(WengLin::valid(w.state(i)));
    }
  }
}

TEST_CASE("weng_lin: a snapshot holds all") {
  WengLin w = fleet({{27, 3}, {22, 6}}, {.rule = WengLinRule::plackett_luce, .tau = 0.1, .period = 7}), read;
  SnapshotWriter writer(WengLin::family, WengLin::version);
  w.save(writer);
  const std::string bytes = writer.finish();
  SnapshotReader reader(bytes, WengLin::family, WengLin::version);
  read.load(reader);
  REQUIRE(reader.finish() == Status::ok);
  CHECK(read.same_rules(w));
  CHECK_FALSE(WengLin().same_rules(w));
  check(read, {27, 3, 22, 6});
}
