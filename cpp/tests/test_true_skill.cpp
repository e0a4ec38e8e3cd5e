// TrueSkill against the package trueskill 0.4.5 (backend mpmath, min_delta 1e-16).
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "fairlead/true_skill.hpp"

using namespace fairlead;

static_assert(RatingSystem<TrueSkill>);

namespace {

using Numbers = std::vector<double>;
using Ids = std::vector<Player>;

TrueSkill fleet(const std::vector<std::pair<double, double>>& skills, TrueSkillOptions options = {}) {
  TrueSkill made(options);
  made.resize(skills.size());
  for (std::size_t i = 0; i < skills.size(); ++i)
    made.put(static_cast<Player>(i), {skills[i].first, skills[i].second, no_time});
  return made;
}

void check(const TrueSkill& got, const Numbers& expected, double tolerance) {
  for (std::size_t i = 0; 2 * i < expected.size(); ++i) {
    CHECK(std::abs(got.state(static_cast<Player>(i)).mu - expected[2 * i]) < tolerance);
    CHECK(std::abs(got.state(static_cast<Player>(i)).sigma - expected[2 * i + 1]) < tolerance);
  }
}

}  // namespace

TEST_CASE("true_skill: a match of two, as trueskill rates it") {
  TrueSkill won = fleet({{27, 3}, {22, 6}}), lost = won, drew = won;
  won.apply(0, 1, 1.0, 1.0, no_time);
  check(won, {27.525559142294, 2.911675967192, 19.898979064925, 5.248936260987}, 1e-12);
  lost.apply(0, 1, 0.0, 1.0, no_time);
  check(lost, {25.741988045021, 2.870556621661, 27.029138000438, 4.873555609812}, 1e-12);
  drew.apply(1, 0, 0.5, 1.0, no_time);
  check(drew, {26.436496128794, 2.826986763971, 24.252712083426, 4.447952112591}, 1e-12);
}

TEST_CASE("true_skill: contests of many and of teams, as trueskill rates them") {
  const std::vector<std::pair<double, double>> four{{25, 25.0 / 3}, {30, 4}, {22, 2}, {28, 7}};
  TrueSkill a = fleet(four), b = fleet(four), other_order = fleet(four);
  a.apply_contest(Ids{0, 1, 2, 3}, Numbers{0, 1, 1, 2}, 1.0, no_time);
  check(a,
        {31.729370232847, 5.980236838464, 27.881072629913, 3.281263304238, 22.670645022768, 1.904422733499,
         21.536551643993, 5.136601573441},
        1e-9);
  other_order.apply_contest(Ids{3, 2, 0, 1}, Numbers{2, 1, 0, 1}, 1.0, no_time);
  for (Player i = 0; i < 4; ++i) CHECK(TrueSkill::values(other_order.state(i)) == TrueSkill::values(a.state(i)));
  b.apply_contest(Ids{0, 1, 2, 3}, Numbers{3, 2, 1, 0}, 1.0, no_time);
  check(b,
        {17.569243241374, 5.938010195735, 26.712986194316, 3.358026033810, 22.872395307056, 1.914394846093,
         32.637066217532, 5.412638844820},
        1e-8);

  const std::vector<std::pair<double, double>> six{{25, 25.0 / 3}, {30, 4}, {22, 2}, {28, 7}, {20, 3}, {25, 5}};
  const Ids all{0, 1, 2, 3, 4, 5};
  const std::vector<std::size_t> first{0, 2, 3, 6};
  TrueSkill t = fleet(six), u = fleet(six);
  t.apply_teams(all, first, Numbers{1, 0, 1}, 1.0, no_time);
  check(t,
        {10.753725355261, 5.937834711023, 26.716562038184, 3.767041028753, 24.082680003450, 1.955836935600,
         12.580367561275, 5.797804530381, 17.166038929711, 2.913247808128, 17.131770382337, 4.582475792961},
        1e-8);
  u.apply_teams(all, first, Numbers{0, 2, 1}, 1.0, no_time);
  check(u,
        {32.336352797720, 7.340567728269, 31.690860233851, 3.896152858979, 21.999761833121, 2.001648220077,
         22.826166405934, 6.422536462570, 19.049105544636, 2.957176397897, 22.359929889155, 4.794468872623},
        1e-8);

  TrueSkill chain = fleet({{27, 3}, {22, 6}}), pair = chain;
  chain.apply_teams(Ids{0, 1}, std::vector<std::size_t>{0, 1, 2}, Numbers{1, 1}, 1.0, no_time);
  pair.apply(0, 1, 0.5, 1.0, no_time);
  for (Player i = 0; i < 2; ++i) CHECK(chain.state(i).mu == doctest::Approx(pair.state(i).mu).epsilon(1e-12));
}

TEST_CASE("true_skill: expected is P(win) + P(draw) / 2") {
  const TrueSkill t = fleet({{27, 3}, {22, 6}, {27, 3}});
  CHECK(t.expected(0, 2) == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(t.expected(0, 1) + t.expected(1, 0) == doctest::Approx(1.0).epsilon(1e-15));
  const double tau2 = std::pow(25.0 / 300.0, 2), c = std::sqrt(9 + 36 + 2 * tau2 + 2 * std::pow(25.0 / 6.0, 2));
  const double margin = 0.12566134685507402 * std::sqrt(2.0) * 25.0 / 6.0;  // P(|z| < 0.1257) = 0.1
  const auto cdf = [](double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)); };
  CHECK(t.expected(0, 1) == doctest::Approx(0.5 * (cdf((5 - margin) / c) + cdf((5 + margin) / c))).epsilon(1e-14));
}

TEST_CASE("true_skill: a weight raises what a match says to that power") {
  const TrueSkillOptions still{.tau = 0.0};
  TrueSkill once = fleet({{27, 3}, {22, 6}}, still), none = once;
  none.apply(0, 1, 1.0, 0.0, no_time);
  CHECK(none.state(0).mu == 27.0);
  CHECK(none.state(1).sigma == 6.0);
  // In closed form and in the chain the same.
  for (const double loss : {0.0, 0.5, 1.0}) {
    TrueSkill closed = once, chain = once, plain = once;
    closed.apply(0, 1, 1.0 - loss, 2.5, no_time);
    plain.apply(0, 1, 1.0 - loss, 1.0, no_time);
    chain.apply_teams(Ids{0, 1}, std::vector<std::size_t>{0, 1, 2}, Numbers{loss, 1.0 - loss}, 2.5, no_time);
    CHECK(closed.state(1).sigma < plain.state(1).sigma);
    for (Player i = 0; i < 2; ++i) {
      CHECK(chain.state(i).mu == doctest::Approx(closed.state(i).mu).epsilon(1e-12));
      CHECK(chain.state(i).sigma == doctest::Approx(closed.state(i).sigma).epsilon(1e-12));
    }
  }
}

TEST_CASE("true_skill: draws far off, and margins near zero") {
  for (const double draws : {0.0, 1e-9, 1e-4, 0.1, 0.9}) {
    for (const double lead : {0.0, 1e-3, 1.0, 30.0, 1e3, 1e5, 1e9}) {
      TrueSkill t = fleet({{25 + lead, 2}, {25, 2}}, {.tau = 0.0, .draw_probability = draws});
      t.apply(0, 1, 0.5, 1.0, no_time);
      CHECK(TrueSkill::valid(t.state(0)));
      CHECK(t.state(0).mu <= 25 + lead);
      CHECK(t.state(0).sigma < 2.0);
      CHECK(t.state(1).sigma == doctest::Approx(t.state(0).sigma).epsilon(1e-12));
      CHECK(std::abs((t.state(0).mu - 25 - lead) - (25 - t.state(1).mu)) <= 1e-9 * (1.0 + lead));
    }
  }
  // The limit of a narrow margin: known to be equal.
  TrueSkill narrow = fleet({{30, 2}, {25, 2}}, {.tau = 0.0, .draw_probability = 1e-4}),
            limit = fleet({{30, 2}, {25, 2}}, {.tau = 0.0, .draw_probability = 0.0});
  narrow.apply(0, 1, 0.5, 1.0, no_time);
  limit.apply(0, 1, 0.5, 1.0, no_time);
  CHECK(narrow.state(0).mu == doctest::Approx(limit.state(0).mu).epsilon(1e-6));
  CHECK(narrow.state(0).sigma == doctest::Approx(limit.state(0).sigma).epsilon(1e-6));
}

TEST_CASE("true_skill: where a period is given, uncertainty grows with time, up to a newcomer's") {
  TrueSkill t({.tau = 0.5, .period = 100});
  t.resize(2);
  t.put(0, {30.0, 2.0, 1'000});
  CHECK(t.at(t.state(0), 1'400).sigma == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));
  CHECK(t.at(t.state(0), 1'000'000'000).sigma == 25.0 / 3.0);
  t.apply(0, 1, 1.0, 0.0, 1'400);
  CHECK(t.state(0).sigma == doctest::Approx(std::sqrt(5.0)).epsilon(1e-15));
  CHECK(t.state(1).last == 1'400);
}

TEST_CASE("true_skill: nothing overflows, whatever is thrown at it") {
  for (const double draws : {0.0, 0.1, 0.99}) {
    std::mt19937_64 random(3);
    TrueSkill t = fleet({{-1e9, 8}, {1e9, 1e-3}, {0, 1e6}, {25, 8}, {25, 0}}, {.draw_probability = draws});
    for (int n = 0; n < 3'000; ++n) {
      Ids players{0, 1, 2, 3, 4};
      std::shuffle(players.begin(), players.end(), random);
      players.resize(2 + random() % 4);
      Numbers losses;
      for (std::size_t k = 0; k < players.size(); ++k) losses.push_back(static_cast<double>(random() % 4));
      const double weights[] = {1.0, 1e-300, 1e-9, 1e6};
      t.apply_contest(players, losses, weights[random() % 4], no_time);
      t.apply(players[0], players[1], 0.5 * static_cast<double>(random() % 3), weights[random() % 4], no_time);
      for (Player i = 0; i < 5; ++i) REQUIRE(TrueSkill::valid(t.state(i)));
    }
  }
}

TEST_CASE("true_skill: a snapshot holds all") {
  TrueSkill t = fleet({{27, 3}, {22, 6}}, {.draw_probability = 0.3, .period = 7}), read;
  SnapshotWriter writer(TrueSkill::family, TrueSkill::version);
  t.save(writer);
  const std::string bytes = writer.finish();
  SnapshotReader reader(bytes, TrueSkill::family, TrueSkill::version);
  read.load(reader);
  REQUIRE(reader.finish() == Status::ok);
  CHECK(read.same_rules(t));
  CHECK_FALSE(TrueSkill().same_rules(t));
  t.apply(0, 1, 0.5, 1.0, no_time);
  read.apply(0, 1, 0.5, 1.0, no_time);
  for (Player i = 0; i < 2; ++i) CHECK(TrueSkill::values(read.state(i)) == TrueSkill::values(t.state(i)));
}
