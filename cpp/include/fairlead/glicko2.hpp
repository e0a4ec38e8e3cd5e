// Glicko-2 ratings: M. E. Glickman, "Dynamic paired comparison models with stochastic variances" (2001), and "Example
// of the Glicko-2 system" (2013), whose steps 3 to 8 `moved` follows.
//
// A contest on its own is a rating period of its own; `apply_period` rates many at once, all from the ratings before.
// Where a `period` of time is given, uncertainty grows by the time that passed, not by the number of contests.
//
// Two things go beyond the papers. A weight counts a game as so much of a game: the information of a game and its score
// beyond expectation are both multiplied. A contest of m players is a period in which each pair plays 1 / (m - 1) game.
//
// Precision: volatility is solved for to the last digits (the paper stops at 1e-6); where there are several, the one
// next to the old is taken, as the paper's algorithm does. Ratings agree with 40 digits to 1e-11.
// Odds are taken no further than e^30, volatility is kept within [1e-9, 1] (174 points a period), so that
// nothing overflows on any input.
// Memory: 32 bytes a player, and as much as scratch.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "fairlead/idle.hpp"
#include "fairlead/logistic.hpp"
#include "fairlead/rating_system.hpp"
#include "fairlead/normal.hpp"

namespace fairlead {

struct Glicko2Options {
  double tau = 0.5;          // how fast volatility may change: 0.3 to 1.2 is sensible
  double start = 1500.0;     // rating of a newcomer
  double deviation = 350.0;  // of a newcomer; idle time makes nobody's larger
  double volatility = 0.06;  // of a newcomer
  Time period = 0;           // nanoseconds; 0: each contest, or each call of apply_period, is one period
};

class Glicko2 {
 public:
  struct State {
    double rating;
    double deviation;
    double volatility;
    Time last;
  };

  static constexpr std::string_view family = "glicko2";
  static constexpr std::uint32_t version = 1;
  static constexpr std::array<std::string_view, 3> columns{"rating", "deviation", "volatility"};
  static constexpr double points = 173.7178;  // points of a rating to one unit of Glicko-2's own scale

  explicit Glicko2(Glicko2Options options = {}) : options_(options) {}

  const Glicko2Options& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return states_.size(); }
  State state(Player i) const noexcept { return states_[static_cast<std::size_t>(i)]; }
  void put(Player i, State state) noexcept { states_[static_cast<std::size_t>(i)] = state; }
  State newcomer() const noexcept { return {options_.start, options_.deviation, options_.volatility, no_time}; }
  static std::array<double, 3> values(State s) noexcept { return {s.rating, s.deviation, s.volatility}; }

  void resize(std::size_t players) {
    scratch_.reserve(players);
    states_.resize(players, newcomer());
    scratch_.resize(players);
  }

  State at(State s, Time time) const noexcept {
    const double periods = idle_periods(s.last, time, options_.period);
    if (periods > 0.0) {
      const double step = s.volatility * points;
      s.deviation =
          std::sqrt(grown(s.deviation * s.deviation, step * step * periods, options_.deviation * options_.deviation));
      s.last = time;
    }
    return s;
  }

  // Of both as uncertain as they are, which is symmetric; a game itself is rated as if the opponent's rating were
  // spread.
  double expected(Player i, Player j, Time time = no_time) const noexcept {
    const State a = at(state(i), time), b = at(state(j), time);
    const double variance = (a.deviation * a.deviation + b.deviation * b.deviation) / (points * points);
    return logistic(shrink(variance) * ((a.rating - b.rating) / points));
  }

  void apply(Player i, Player j, double score, double weight, Time time) noexcept {
    State &a = idled(i, time), &b = idled(j, time);
    const Side first(a), second(b);
    const double lead = first.mu - second.mu;
    Sum of_first, of_second;
    of_first.add(second.g, lead, score, weight);
    of_second.add(first.g, -lead, 1.0 - score, weight);
    move(a, of_first, time);
    move(b, of_second, time);
  }

  void apply_contest(std::span<const Player> players, std::span<const double> losses, double weight,
                     Time time) noexcept {
    const std::size_t m = players.size();
    const double share = weight / static_cast<double>(m - 1);
    for (std::size_t k = 0; k < m; ++k) scratch_[k] = {Side(idled(players[k], time)), {}};
    for (std::size_t k = 0; k < m; ++k) {
      for (std::size_t l = k + 1; l < m; ++l) {
        const double score = losses[k] < losses[l] ? 1.0 : losses[k] > losses[l] ? 0.0 : 0.5;
        pair(scratch_[k], scratch_[l], score, share);
      }
    }
    for (std::size_t k = 0; k < m; ++k) move(states_[static_cast<std::size_t>(players[k])], scratch_[k].sum, time);
  }

  // One rating period that ends at `time`: all games are rated from the ratings before it, so their order does not
  // matter; deviations of those who did not play grow.
  void apply_period(const Matches& matches, Time time) noexcept {
    for (std::size_t k = 0; k < size(); ++k) scratch_[k] = {Side(idled(static_cast<Player>(k), time)), {}};
    for (std::size_t m = 0; m < matches.size(); ++m) {
      pair(scratch_[static_cast<std::size_t>(matches.i[m])], scratch_[static_cast<std::size_t>(matches.j[m])],
           matches.score[m], matches.weight_of(m));
    }
    for (std::size_t k = 0; k < size(); ++k) {
      State& s = states_[k];
      if (scratch_[k].sum.information > 0.0) {
        move(s, scratch_[k].sum, time);
      } else if (options_.period == 0) {
        const double step = s.volatility * points;
        s.deviation = std::sqrt(grown(s.deviation * s.deviation, step * step, options_.deviation * options_.deviation));
      }
    }
  }

  bool same_rules(const Glicko2& other) const noexcept {
    const auto &a = options_, &b = other.options_;
    return a.tau == b.tau && a.start == b.start && a.deviation == b.deviation && a.volatility == b.volatility &&
           a.period == b.period;
  }

  void save(SnapshotWriter& writer) const {
    for (const double x : {options_.tau, options_.start, options_.deviation, options_.volatility}) writer.put(x);
    writer.put(options_.period);
    writer.put(static_cast<std::uint64_t>(states_.size()));
    for (const State& s : states_) {
      for (const double x : {s.rating, s.deviation, s.volatility}) writer.put(x);
      writer.put(s.last);
    }
  }

  void load(SnapshotReader& reader) {
    for (double* const x : {&options_.tau, &options_.start, &options_.deviation, &options_.volatility}) reader.get(*x);
    reader.get(options_.period);
    reader.require(valid(options_));
    std::uint64_t n = 0;
    reader.get(n);
    states_.clear();
    for (std::uint64_t k = 0; reader.ok() && k < n; ++k) {
      State s{};
      for (double* const x : {&s.rating, &s.deviation, &s.volatility}) reader.get(*x);
      reader.get(s.last);
      reader.require(valid(s));
      states_.push_back(s);
    }
    scratch_.resize(states_.size());
  }

  static bool valid(const Glicko2Options& o) noexcept {
    return o.tau >= 0.0 && o.tau <= 10.0 && std::abs(o.start) <= 1e9 && o.deviation > 0.0 && o.deviation <= 1e6 &&
           o.volatility >= least_volatility && o.volatility <= most_volatility && o.period >= 0;
  }
  static bool valid(const State& s) noexcept {
    return std::isfinite(s.rating) && s.deviation > 0.0 && std::isfinite(s.deviation) &&
           s.volatility >= least_volatility && s.volatility <= most_volatility;
  }

  static constexpr double least_volatility = 1e-9, most_volatility = 1.0;

 private:
  // g(phi): how much an opponent's uncertainty of this variance takes away from a lead.
  static double shrink(double variance) noexcept { return 1.0 / std::sqrt(1.0 + 0x1.37423899a1558p-2 * variance); }

  // What an opponent needs to know of a player.
  struct Side {
    double mu = 0.0;
    double g = 0.0;
    Side() noexcept = default;
    explicit Side(const State& s) noexcept
        : mu(s.rating / points), g(shrink(s.deviation * s.deviation / (points * points))) {}
  };

  // What a player's games in one period amount to: 1 / v of the paper, and the sum of g (s - E).
  struct Sum {
    double information = 0.0;
    double surprise = 0.0;

    void add(double g, double lead, double score, double weight) noexcept {
      const double x = std::clamp(g * lead, -30.0, 30.0);
      const double small = logistic(x < 0.0 ? x : -x), large = 1.0 - small;
      information += weight * (g * g) * (small * large);
      // Of the two forms the one in which nothing is lost where the favourite wins.
      surprise += weight * g * (x < 0.0 ? score - small : (score - 1.0) + small);
    }
  };

  struct Entry {
    Side side;
    Sum sum;
  };

  static void pair(Entry& a, Entry& b, double score, double weight) noexcept {
    const double lead = a.side.mu - b.side.mu;
    a.sum.add(b.side.g, lead, score, weight);
    b.sum.add(a.side.g, -lead, 1.0 - score, weight);
  }

  // The state itself, after what idleness has done to it. (Fields are read and written one by one: copies of whole
  // states would wait for the stores before them.)
  State& idled(Player i, Time time) noexcept {
    State& s = states_[static_cast<std::size_t>(i)];
    if (options_.period != 0) [[unlikely]]
      s = at(s, time);
    return s;
  }

  void move(State& s, const Sum& sum, Time time) const noexcept {
    if (time != no_time) s.last = time;
    if (!(sum.information > 0.0)) return;
    const double phi = s.deviation / points;
    double variance = phi * phi;
    const double sigma = volatility(s.volatility, variance, sum);
    if (options_.period == 0) variance += sigma * sigma;
    variance /= 1.0 + variance * sum.information;
    s.rating += variance * sum.surprise * points;
    s.deviation = std::sqrt(variance) * points;
    s.volatility = sigma;
  }

  // Step 5: the volatility s = sigma e^(x / 2) for which x = tau^2 h(x), where, with everything measured in 1 / v,
  //   h = u (a - u) / (2 (b + u)^2),   u = sigma^2 e^x / v,   b = phi^2 / v + 1,   a = delta^2 / v - b.
  double volatility(double sigma, double variance, const Sum& sum) const noexcept {
    const double tau2 = options_.tau * options_.tau;
    const double u = sum.information * sigma * sigma;
    const double b = variance * sum.information + 1.0;
    const double a = sum.surprise * sum.surprise / sum.information - b;
    // One step of Halley's kind from x = 0, which needs no exponential: what it leaves is x^4.
    const double inverse = 1.0 / (b + u);
    const double part = 0.5 * u * inverse * inverse;
    const double n = a * b - (a + 2.0 * b) * u;
    const double h = part * (a - u), h1 = part * n * inverse;
    const double h2 = part * inverse * (n - (a + 2.0 * b) * u - 3.0 * u * n * inverse);
    const double per = tau2 / (1.0 - tau2 * h1);
    const double first = h * per;
    double x = first + 0.5 * h2 * first * first * per;
    if (!(std::abs(x) < 2e-4)) [[unlikely]] {
      // One step of Newton's squares what is left; e^x is still its first few terms.
      if (!(std::abs(x) < 0.02))
        return std::clamp(sigma * exp_inline(0.5 * solve(x, tau2, a, b, u)), least_volatility, most_volatility);
      x = newton(x, tau2, a, b, u * exp_near_0(x)).next;
    }
    return std::clamp(sigma * exp_near_0(0.5 * x), least_volatility, most_volatility);
  }

  static double exp_near_0(double x) noexcept {  // within 3e-16 for |x| < 0.02
    const double x2 = x * x;
    return 1.0 + (x + x2 * ((0.5 + x * (1.0 / 6.0)) + x2 * ((1.0 / 24.0 + x * (1.0 / 120.0)) + x2 * (1.0 / 720.0))));
  }

  struct Step {
    double f, next;
  };
  static Step newton(double x, double tau2, double a, double b, double u) noexcept {
    const double inverse = 1.0 / (b + u), part = 0.5 * u * inverse * inverse;
    const double f = tau2 * part * (a - u) - x;
    const double slope = tau2 * part * inverse * (a * b - (a + 2.0 * b) * u) - 1.0;
    return {f, x - f / slope};
  }

  // Newton's method, kept inside a bracket: tau^2 h lies between -tau^2 / 2 and tau^2 a / (8 b).
  static double solve(double x, double tau2, double a, double b, double u0) noexcept {
    double low = -0.5 * tau2, high = a > 0.0 ? std::min(0.125 * tau2 * a / b, 50.0) : 0.0;
    if (!(x >= low && x <= high)) x = 0.0;
    for (int round = 0; round < 100; ++round) {
      auto [f, next] = newton(x, tau2, a, b, u0 * exp_inline(x));
      (f > 0.0 ? low : high) = x;
      const bool inside = next >= low && next <= high;
      if (!inside) next = 0.5 * (low + high);
      const double step = next - x;
      x = next;
      if (inside && std::abs(step) <= 1e-9) break;  // what is left is its square
    }
    return x;
  }

  Glicko2Options options_;
  std::vector<State> states_;
  std::vector<Entry> scratch_;
};

}  // namespace fairlead
