// Glicko-2 against 40 digits, and against the paper's own procedure written out in long double.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "fairlead/glicko2.hpp"

using namespace fairlead;

static_assert(RatingSystem<Glicko2>);
static_assert(HasPeriods<Glicko2>);

namespace {

using Numbers = std::vector<double>;
using Ids = std::vector<Player>;
using State = Glicko2::State;

Glicko2 fleet(const std::vector<State>& states, Glicko2Options options = {}) {
  Glicko2 made(options);
  made.resize(states.size());
  for (std::size_t i = 0; i < states.size(); ++i) made.put(static_cast<Player>(i), states[i]);
  return made;
}

struct Exact {
  long double rating, deviation, volatility;
};

struct Game {
  State other;
  long double score, weight;
};

// Steps 2 to 8, the volatility by the paper's Illinois algorithm, which of several roots finds the one next to the old.
Exact textbook(const State& s, const std::vector<Game>& games, long double tau, bool grows = true) {
  const long double scale = 173.7178L, pi = 3.14159265358979323846L;
  const long double mu = static_cast<long double>(s.rating) / scale,
                    phi = static_cast<long double>(s.deviation) / scale;
  long double information = 0.0L, surprise = 0.0L;
  for (const Game& game : games) {
    const long double phi_j = static_cast<long double>(game.other.deviation) / scale;
    const long double g = 1.0L / std::sqrt(1.0L + 3.0L * phi_j * phi_j / (pi * pi));
    const long double e = 1.0L / (1.0L + std::exp(-g * (mu - static_cast<long double>(game.other.rating) / scale)));
    information += game.weight * g * g * e * (1.0L - e);
    surprise += game.weight * g * (game.score - e);
  }
  const long double v = 1.0L / information, delta = v * surprise, sigma = static_cast<long double>(s.volatility);
  const long double a = std::log(sigma * sigma);
  const auto f = [&](long double x) {
    const long double ex = std::exp(x), sum = phi * phi + v + ex;
    return ex * (delta * delta - phi * phi - v - ex) / (2.0L * sum * sum) - (x - a) / (tau * tau);
  };
  long double x = a, y = std::log(std::max(delta * delta - phi * phi - v, 1e-300L));
  if (delta * delta <= phi * phi + v) {
    y = a - tau;
    while (f(y) < 0.0L) y -= tau;
  }
  long double fx = f(x), fy = f(y);
  for (int k = 0; k < 500 && std::abs(y - x) > 1e-19L && fx != fy; ++k) {
    const long double z = x + (x - y) * fx / (fy - fx), fz = f(z);
    if (fz * fy <= 0.0L) {
      x = y;
      fx = fy;
    } else {
      fx /= 2.0L;
    }
    y = z;
    fy = fz;
  }
  const long double now = std::exp(y / 2.0L);
  const long double variance = 1.0L / (1.0L / (phi * phi + (grows ? now * now : 0.0L)) + information);
  return {(mu + variance * surprise) * scale, std::sqrt(variance) * scale, now};
}

double gap(const State& got, const Exact& expected) {
  const auto d = [](double a, long double b) { return static_cast<double>(std::abs(static_cast<long double>(a) - b)); };
  return std::max({d(got.rating, expected.rating), d(got.deviation, expected.deviation),
                   1e3 * d(got.volatility, expected.volatility)});
}

}  // namespace

TEST_CASE("glicko2: the example of the paper, to ten digits (40 digits by mpmath)") {
  const std::vector<State> others{{1400, 30, .06, no_time}, {1550, 100, .06, no_time}, {1700, 300, .06, no_time}};
  const Ids i{0, 0, 0}, j{1, 2, 3};
  const Numbers score{1, 0, 0};
  const auto played = [&](State s) {
    Glicko2 g = fleet({s, others[0], others[1], others[2]});
    g.apply_period({i, j, score, {}, {}}, no_time);
    return g.state(0);
  };
  const State first = played({1500, 200, .06, no_time});
  CHECK(std::abs(first.rating - 1464.0506705391) < 6e-11);
  CHECK(std::abs(first.deviation - 151.5165241243) < 6e-11);
  CHECK(std::abs(first.volatility - 0.0599959844) < 6e-11);
  const State second = played({1800, 80, .07, no_time});
  CHECK(std::abs(second.rating - 1761.3108440192) < 6e-11);
  CHECK(std::abs(second.deviation - 77.9734207878) < 6e-11);
  CHECK(std::abs(second.volatility - 0.0700155314520) < 6e-14);
}

TEST_CASE("glicko2: thousands of random games agree with the procedure of the paper in long double") {
  std::mt19937_64 random(5);
  const auto uniform = [&](double a, double b) { return std::uniform_real_distribution<double>(a, b)(random); };
  double worst = 0.0;
  int bounded = 0;
  for (int n = 0; n < 3'000; ++n) {
    const double tau = uniform(0.1, 1.2);
    const State a{uniform(800, 2400), uniform(20, 400), uniform(0.01, 0.3), no_time};
    const State b{uniform(800, 2400), uniform(20, 400), uniform(0.01, 0.3), no_time};
    const double score = 0.5 * static_cast<double>(random() % 3), weight = n % 3 == 0 ? uniform(0.1, 5.0) : 1.0;
    Glicko2 g = fleet({a, b}, {.tau = tau});
    g.apply(0, 1, score, weight, no_time);
    const long double w = static_cast<long double>(weight), t = static_cast<long double>(tau);
    const Exact first = textbook(a, {{b, static_cast<long double>(score), w}}, t);
    const Exact second = textbook(b, {{a, 1.0L - static_cast<long double>(score), w}}, t);
    worst = std::max(worst, gap(g.state(0), first));
    // An upset may be such that the paper's volatility explodes, to 208; here it is bounded.
    if (second.volatility > 1.0L) {
      ++bounded;
      CHECK(g.state(1).volatility == 1.0);
    } else {
      worst = std::max(worst, gap(g.state(1), second));
    }
  }
  CHECK(worst < 1e-9);
  CHECK(bounded < 5);
}

TEST_CASE("glicko2: a surprise moves volatility, as the procedure of the paper says") {
  for (const double lead : {600.0, 1200.0, 2500.0}) {
    const State strong{1500 + lead, 40, .06, no_time}, weak{1500, 40, .06, no_time};
    Glicko2 g = fleet({strong, weak}, {.tau = 1.2});
    g.apply(0, 1, 0.0, 1.0, no_time);
    CHECK(g.state(0).volatility > 0.06);
    CHECK(gap(g.state(0), textbook(strong, {{weak, 0.0L, 1.0L}}, 1.2L)) < 1e-7);
  }
}

TEST_CASE("glicko2: a contest is a period in which each pair plays a part of a game") {
  const std::vector<State> before{
      {1500, 200, .06, no_time}, {1400, 30, .05, no_time}, {1550, 100, .06, no_time}, {1700, 300, .1, no_time}};
  Glicko2 g = fleet(before), order = g;
  g.apply_contest(Ids{2, 0, 3, 1}, Numbers{0.1, 0.2, 0.2, 0.9}, 1.5, no_time);
  order.apply_contest(Ids{1, 3, 0, 2}, Numbers{0.9, 0.2, 0.2, 0.1}, 1.5, no_time);
  const long double w = 0.5L;
  CHECK(gap(g.state(0), textbook(before[0], {{before[1], 1, w}, {before[2], 0, w}, {before[3], 0.5L, w}}, 0.5L)) <
        1e-10);
  CHECK(gap(g.state(3), textbook(before[3], {{before[0], 0.5L, w}, {before[1], 1, w}, {before[2], 0, w}}, 0.5L)) <
        1e-10);
  for (Player i = 0; i < 4; ++i) CHECK(order.state(i).rating == doctest::Approx(g.state(i).rating).epsilon(1e-14));

  Glicko2 two = fleet(before), pair = fleet(before);
  two.apply_contest(Ids{3, 0}, Numbers{1.0, 2.0}, 1.0, no_time);
  pair.apply(3, 0, 1.0, 1.0, no_time);
  for (Player i = 0; i < 4; ++i) CHECK(Glicko2::values(two.state(i)) == Glicko2::values(pair.state(i)));
}

TEST_CASE("glicko2: those who sit a period out become less certain, up to a newcomer's deviation") {
  Glicko2 g = fleet({{1500, 200, .06, no_time},
                     {1500, 50, .06, no_time},
                     {1500, 349.99, .06, no_time},
                     {1500, 500, .06, no_time},
                     {1500, 50, .06, no_time}});
  g.apply_period({Ids{0}, Ids{4}, Numbers{1}, {}, {}}, no_time);
  CHECK(g.state(1).deviation == doctest::Approx(std::hypot(50.0, 0.06 * 173.7178)).epsilon(1e-14));
  CHECK(g.state(1).rating == 1500.0);
  CHECK(g.state(2).deviation == 350.0);
  CHECK(g.state(3).deviation == 500.0);
}

TEST_CASE("glicko2: where a period of time is given, uncertainty grows with time alone") {
  const Time day = 86'400'000'000'000;
  const State a{1500, 60, .06, 10 * day}, b{1600, 80, .06, no_time};
  Glicko2 g = fleet({a, b}, {.period = 7 * day});
  const double grown_to = std::sqrt(60.0 * 60.0 + 2.0 * std::pow(0.06 * 173.7178, 2));
  CHECK(g.at(a, 24 * day).deviation == doctest::Approx(grown_to).epsilon(1e-14));
  CHECK(g.at(a, 24 * day).last == 24 * day);
  CHECK(g.at(a, 3 * day).deviation == 60.0);
  CHECK(g.at(b, 24 * day).deviation == 80.0);
  CHECK(g.at(a, 100'000 * day).deviation == 350.0);
  const double p = g.expected(0, 1, 24 * day);
  CHECK(p > g.expected(0, 1, 10 * day));
  g.apply(0, 1, 1.0, 1.0, 24 * day);
  State then = a;
  then.deviation = grown_to;
  CHECK(gap(g.state(0), textbook(then, {{b, 1.0L, 1.0L}}, 0.5L, false)) < 1e-10);
  CHECK(g.state(0).last == 24 * day);
  CHECK(g.state(1).last == 24 * day);
}

TEST_CASE("glicko2: a game of no weight is none") {
  Glicko2 g = fleet({{1500, 200, .06, no_time}, {1400, 30, .05, no_time}});
  const auto a = Glicko2::values(g.state(0)), b = Glicko2::values(g.state(1));
  g.apply(0, 1, 1.0, 0.0, no_time);
  CHECK(Glicko2::values(g.state(0)) == a);
  CHECK(Glicko2::values(g.state(1)) == b);
}

TEST_CASE("glicko2: nothing overflows, whatever is thrown at it") {
  for (const double tau : {0.0, 0.5, 10.0}) {
    std::mt19937_64 random(3);
    Glicko2 g = fleet({{-1e9, 350, .06, no_time},
                       {1e9, 1e-3, 1e-9, no_time},
                       {0, 1e6, 1.0, no_time},
                       {1500, 350, .06, no_time},
                       {1500, 30, 0.5, no_time}},
                      {.tau = tau});
    for (int n = 0; n < 20'000; ++n) {
      const auto i = static_cast<Player>(random() % 5),
                 j = static_cast<Player>((static_cast<std::uint64_t>(i) + 1 + random() % 4) % 5);
      const double weights[] = {1.0, 1e-300, 1e-9, 1e6};
      g.apply(i, j, 0.5 * static_cast<double>(random() % 3), weights[random() % 4], no_time);
      REQUIRE(Glicko2::valid(g.state(i)));
      REQUIRE(Glicko2::valid(g.state(j)));
      const double p = g.expected(i, j);
      REQUIRE((p >= 0.0 && p <= 1.0));
    }
  }
}

TEST_CASE("glicko2: a snapshot holds all, and refuses what cannot be") {
  Glicko2 g = fleet({{1500, 200, .06, 5}, {1400, 30, .05, no_time}}, {.tau = 0.7, .period = 9});
  SnapshotWriter writer(Glicko2::family, Glicko2::version);
  g.save(writer);
  const std::string bytes = writer.finish();
  Glicko2 read;
  SnapshotReader reader(bytes, Glicko2::family, Glicko2::version);
  read.load(reader);
  REQUIRE(reader.finish() == Status::ok);
  CHECK(read.same_rules(g));
  CHECK_FALSE(read.same_rules(Glicko2()));
  for (Player i = 0; i < 2; ++i) {
    CHECK(Glicko2::values(read.state(i)) == Glicko2::values(g.state(i)));
    CHECK(read.state(i).last == g.state(i).last);
  }
  g.put(0, {1500, -1.0, .06, no_time});
  SnapshotWriter bad(Glicko2::family, Glicko2::version);
  g.save(bad);
  const std::string worse = bad.finish();
  SnapshotReader refuses(worse, Glicko2::family, Glicko2::version);
  read.load(refuses);
  CHECK(refuses.finish() == Status::bad_snapshot);
}
