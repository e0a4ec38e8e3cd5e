// What is the same for all rating systems, tested with Elo: checks, batches, history, undo, snapshots, merging.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "fairlead/elo.hpp"
#include "fairlead/ratings.hpp"

using namespace fairlead;

namespace {

constexpr Time day = 86'400'000'000'000;

struct Season {
  std::vector<Player> i, j;
  std::vector<double> score, weight;
  std::vector<Time> time;
  Matches view() const { return {i, j, score, weight, time}; }
};

Season season(std::size_t n, std::uint64_t seed, Player players = 8) {
  std::mt19937_64 random(seed);
  Season made;
  Time now = 0;
  for (std::size_t k = 0; k < n; ++k) {
    const auto i = static_cast<Player>(random() % static_cast<std::uint64_t>(players));
    made.i.push_back(i);
    made.j.push_back(
        static_cast<Player>((static_cast<std::uint64_t>(i) + 1 + random() % static_cast<std::uint64_t>(players - 1)) %
                            static_cast<std::uint64_t>(players)));
    made.score.push_back(0.5 * static_cast<double>(random() % 3));
    made.weight.push_back(0.25 * static_cast<double>(random() % 8));
    made.time.push_back(now += static_cast<Time>(random() % static_cast<std::uint64_t>(day)));
  }
  return made;
}

std::vector<EloOptions> all_options() {
  EloOptions steps{.home = 30.0}, decay{.half_life = 20 * day};
  steps.schedule = {KSchedule::Form::steps, 40.0, 5.0, 20.0, 10.0, 1550.0};
  decay.schedule = {KSchedule::Form::decay, 60.0, 10.0, 8.0, 10.0, std::numeric_limits<double>::infinity()};
  return {EloOptions{}, steps, decay};
}

Ratings<Elo> fleet(const EloOptions& options, KeepOptions keep = {}, const std::string& prefix = "p", int players = 8) {
  Ratings<Elo> made(Elo(options), keep);
  for (int p = 0; p < players; ++p) (void)made.id(prefix + std::to_string(p));
  return made;
}

}  // namespace

TEST_CASE("ratings: a batch is one match after the other, bit for bit, and tells what was expected") {
  for (const EloOptions& options : all_options()) {
    for (const std::size_t n : {0u, 1u, 2047u, 2048u, 2049u, 9000u}) {
      const Season played = season(n, n);
      for (const KeepOptions keep : {KeepOptions{}, KeepOptions{true, 5}}) {
        Ratings<Elo> at_once = fleet(options, keep), one_by_one = fleet(options, keep), silent = fleet(options, keep);
        std::vector<double> expected(n), before(n);
        CHECK_FALSE(at_once.update_many(played.view(), expected));
        CHECK_FALSE(silent.update_many(played.view()));
        for (std::size_t k = 0; k < n; ++k) {
          before[k] = one_by_one.system().expected(played.i[k], played.j[k], played.time[k]);
          REQUIRE(one_by_one.update(played.i[k], played.j[k], played.score[k], played.weight[k], played.time[k]) ==
                  Status::ok);
        }
        CHECK(at_once.snapshot() == one_by_one.snapshot());
        CHECK(silent.snapshot() == one_by_one.snapshot());
        CHECK(expected == before);
      }
    }
  }
}

TEST_CASE("ratings: a batch with one bad match changes nothing, wherever it is") {
  const Season good = season(9000, 3);
  for (const EloOptions& options : all_options()) {
    for (const KeepOptions keep : {KeepOptions{}, KeepOptions{true, 5}}) {
      Ratings<Elo> ratings = fleet(options, keep);
      REQUIRE(ratings.update(0, 1, 1.0, 1.0, -5) == Status::ok);
      const std::string before = ratings.snapshot();
      for (const std::size_t row : {0u, 2047u, 2048u, 8999u}) {
        const auto refused = [&](Status status, auto&& spoil) {
          Season bad = good;
          spoil(bad);
          const Fault fault = ratings.update_many(bad.view());
          CHECK(fault.status == status);
          CHECK(fault.row == row);
          CHECK(ratings.snapshot() == before);
          CHECK(ratings.update_period(bad.view()).status == status);
          CHECK(ratings.snapshot() == before);
        };
        refused(Status::unknown_model, [row](Season& s) { s.i[row] = 8; });
        refused(Status::unknown_model, [row](Season& s) { s.j[row] = -1; });
        refused(Status::unknown_model, [row](Season& s) { s.j[row] = std::numeric_limits<Player>::min(); });
        refused(Status::self_contest, [row](Season& s) { s.j[row] = s.i[row]; });
        for (const double wrong : {-1e-300, 1.0 + 1e-15, -std::numeric_limits<double>::infinity(),
                                   std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
          refused(Status::out_of_range, [row, wrong](Season& s) { s.score[row] = wrong; });
          refused(Status::out_of_range,
                  [row, wrong](Season& s) { s.weight[row] = wrong > 1.0 && wrong < 2.0 ? 1e6 + 1e-9 : wrong; });
        }
        refused(Status::out_of_range, [row](Season& s) { s.time[row] = row == 0 ? -6 : s.time[row - 1] - 1; });
      }
    }
  }
}

TEST_CASE("ratings: minus zero is zero, and rows without a time stand where the clock is") {
  Ratings<Elo> ratings = fleet({});
  const std::vector<Player> i{0, 0, 0}, j{1, 1, 1};
  const std::vector<double> score{-0.0, 1.0, 0.0}, weight{1.0, -0.0, 1.0};
  const std::vector<Time> time{7, no_time, 7};
  CHECK_FALSE(ratings.update_many({i, j, score, weight, time}));
  CHECK(ratings.clock() == 7);
  CHECK(ratings.events() == 3);
  CHECK(ratings.update(0, 1, 1.0, 1.0, 6) == Status::out_of_range);
  CHECK(ratings.update(0, 1, 1.0) == Status::ok);
}

TEST_CASE("ratings: nobody is known in an empty fleet") {
  Ratings<Elo> ratings(Elo{});
  const std::vector<Player> i{0}, j{1};
  const std::vector<double> score{1.0};
  CHECK(ratings.update_many({i, j, score, {}, {}}).status == Status::unknown_model);
  CHECK(ratings.update(0, 1, 1.0) == Status::unknown_model);
  CHECK(ratings.contest(i, score) == Status::unknown_model);
}

TEST_CASE("ratings: undo goes back through everything that is remembered, however long ago memory was full") {
  for (const EloOptions& options : all_options()) {
    const Season played = season(200, 9);
    Ratings<Elo> ratings = fleet(options, {true, 7});
    std::vector<std::vector<Elo::State>> stages;
    const auto states = [&ratings] {
      std::vector<Elo::State> all;
      for (Player p = 0; p < 8; ++p) all.push_back(ratings.state(p));
      return all;
    };
    const auto same = [](const std::vector<Elo::State>& a, const std::vector<Elo::State>& b) {
      for (std::size_t p = 0; p < a.size(); ++p) {
        if (a[p].rating != b[p].rating || a[p].time != b[p].time || a[p].games != b[p].games ||
            a[p].topped != b[p].topped)
          return false;
      }
      return true;
    };
    for (std::size_t k = 0; k < 200; ++k) {
      stages.push_back(states());
      REQUIRE(ratings.update(played.i[k], played.j[k], played.score[k], played.weight[k], played.time[k]) ==
              Status::ok);
      if (k % 23 == 22) {  // some steps back, and on again
        for (std::size_t back = 0; back < 7; ++back) {
          CHECK(ratings.undo() == 1);
          CHECK(same(states(), stages[k - back]));
        }
        CHECK(ratings.undo() == 0);
        for (std::size_t again = k - 6; again <= k; ++again) {
          REQUIRE(ratings.update(played.i[again], played.j[again], played.score[again], played.weight[again],
                                 played.time[again]) == Status::ok);
        }
      }
    }
    std::size_t moments = 0;
    for (Player p = 0; p < 8; ++p) moments += ratings.history(p).size();
    CHECK(moments == 400);
  }
}

TEST_CASE("ratings: restored is as never stopped; damaged bytes are refused and change nothing") {
  for (const EloOptions& options : all_options()) {
    const Season played = season(300, 4);
    Ratings<Elo> straight = fleet(options, {true, 3}), first = fleet(options, {true, 3});
    Ratings<Elo> second(Elo{});
    const auto part = [&played](std::size_t from, std::size_t to) {
      const auto cut = [from, to]<class T>(const std::vector<T>& v) {
        return std::span<const T>(v).subspan(from, to - from);
      };
      return Matches{cut(played.i), cut(played.j), cut(played.score), cut(played.weight), cut(played.time)};
    };
    CHECK_FALSE(straight.update_many(played.view()));
    CHECK_FALSE(first.update_many(part(0, 150)));
    const std::string bytes = first.snapshot();
    REQUIRE(second.restore(bytes) == Status::ok);
    CHECK_FALSE(second.update_many(part(150, 300)));
    CHECK(second.snapshot() == straight.snapshot());
    const std::string before = second.snapshot();
    for (std::size_t at = 0; at < bytes.size(); at += 7) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ 4);
      CHECK(second.restore(damaged) == Status::bad_snapshot);
      CHECK(second.restore(std::string_view(bytes).substr(0, at)) == Status::bad_snapshot);
    }
    CHECK(second.snapshot() == before);
  }
}

TEST_CASE("ratings: fleets merge under the same rules, and only without a common name") {
  Ratings<Elo> east = fleet({}, {}, "e", 3), west = fleet({}, {}, "w", 2);
  REQUIRE(east.update(0, 1, 1.0, 1.0, 50) == Status::ok);
  REQUIRE(west.update(0, 1, 1.0, 1.0, 20) == Status::ok);
  CHECK(east.merge(fleet({.k = 16.0}, {}, "x")) == Status::wrong_kind);
  CHECK(east.merge(fleet({}, {}, "e", 1)) == Status::out_of_range);
  CHECK(east.size() == 3);
  CHECK(east.merge(west) == Status::ok);
  CHECK(east.size() == 5);
  CHECK(east.names().find("w1") == 4);
  CHECK(east.system()[3] == west.system()[0]);
  CHECK(east.clock() == 50);
  CHECK(east.events() == 2);
}

TEST_CASE("ratings: a contest takes distinct players, and one alone changes nothing but the clock") {
  Ratings<Elo> ratings = fleet({}, {true, 4});
  const std::vector<Player> twice{0, 1, 0}, alone{2}, three{2, 0, 1};
  const std::vector<double> losses{0.1, 0.2, 0.3}, loss{0.5};
  CHECK(ratings.contest(twice, losses) == Status::self_contest);
  CHECK(ratings.contest(alone, losses) == Status::wrong_length);
  CHECK(ratings.contest(alone, loss, 1.0, 9) == Status::ok);
  CHECK(ratings.system()[2] == 1500.0);
  CHECK(ratings.contest(three, losses, 1.0, 8) == Status::out_of_range);
  CHECK(ratings.contest(three, losses, 1.0, 9) == Status::ok);
  CHECK(ratings.system()[2] == 1516.0);
  CHECK(ratings.undo(2) == 2);
  CHECK(ratings.system()[2] == 1500.0);
  CHECK(ratings.clock() == no_time);
}
