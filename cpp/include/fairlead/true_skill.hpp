// TrueSkill: R. Herbrich, T. Minka and T. Graepel, "TrueSkill: a Bayesian skill rating system", NIPS 2006.
//
// A match of two is the closed form; a contest of many, alone or in teams, is expectation propagation along the chain
// of neighbours in the final order, until nothing moves by more than 1e-12 of its standard deviation (at most 200
// sweeps).
//
// Each contest first adds tau^2 to the variance of those who play; where a `period` of time is given, tau^2 for each
// period that passed is added instead. A weight raises what a contest says (the Gaussian that stands for it) to that
// power. Only wins, losses and draws mean something: the score is 1, 0 or 0.5.
//
// Precision: 1e-9 against the package trueskill at its finest settings, 1e-12 for two players; a draw margin below 1e-5
// of the spread is taken as its limit. No input overflows. Memory: 24 bytes a player, and scratch of 110.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <vector>

#include "fairlead/idle.hpp"
#include "fairlead/rating_system.hpp"
#include "fairlead/normal.hpp"

namespace fairlead {

struct TrueSkillOptions {
  double mu = 25.0;               // mean of a newcomer's skill
  double sigma = 25.0 / 3.0;      // its standard deviation; idle time makes nobody's larger
  double beta = 25.0 / 6.0;       // spread of performances about a skill
  double tau = 25.0 / 300.0;      // by how much a skill drifts, in one contest or one period
  double draw_probability = 0.1;  // of two equals
  Time period = 0;                // nanoseconds; 0: uncertainty grows with each contest
};

namespace detail {

// A standard normal about t, known to lie within [-margin, margin]: by how much its mean moves, and its variance
// shrinks.
inline Truncated truncated_between(double t, double margin) noexcept {
  const double far = std::abs(t);
  if (margin < 1e-5 && margin * far < 1e-5) return {-t, 1.0};
  const double a = margin - far, b = margin + far;  // the two ends, seen from the mean
  double v, w;
  if (a < -1e3) {
    // Exponential about the nearer end, cut off at the other: what is below would cancel.
    const double k = exp_inline(-2.0 * margin * far), width = 2.0 * margin * -a;
    const double rest = width > 1e-3 ? width * k / (1.0 - k) : 1.0 - 0.5 * width;
    v = -a + (1.0 - rest) / -a;
    w = 1.0 - (width > 1e-3 ? 1.0 - rest * rest / k : width * width / 12.0) / (a * a);
  } else if (a <= 0.0) {
    // Both ends on one side: everything in units of the density at the nearer one, so that nothing underflows.
    const double k = exp_inline(-2.0 * margin * far);
    const double mass = mills(-a) - k * mills(b);
    v = (1.0 - k) / mass;
    w = v * v + (a + k * b) / mass;
  } else {
    const double at_a = normal_pdf(a), at_b = normal_pdf(b);
    const double mass = 1.0 - at_a * mills(a) - at_b * mills(b);
    v = (at_a - at_b) / mass;
    w = v * v + (a * at_a + b * at_b) / mass;
  }
  return {t < 0.0 ? v : -v, std::clamp(w, 0.0, 1.0)};
}

}  // namespace detail

class TrueSkill {
 public:
  struct State {
    double mu;
    double sigma;
    Time last;
  };

  static constexpr std::string_view family = "true_skill";
  static constexpr std::uint32_t version = 1;
  static constexpr std::array<std::string_view, 2> columns{"mu", "sigma"};

  explicit TrueSkill(TrueSkillOptions options = {}) : options_(options), margin_(margin(options)) {}

  const TrueSkillOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return states_.size(); }
  State state(Player i) const noexcept { return states_[static_cast<std::size_t>(i)]; }
  void put(Player i, State state) noexcept { states_[static_cast<std::size_t>(i)] = state; }
  State newcomer() const noexcept { return {options_.mu, options_.sigma, no_time}; }
  static std::array<double, 2> values(State s) noexcept { return {s.mu, s.sigma}; }
  static bool accepts_score(double score) noexcept { return score == 0.0 || score == 0.5 || score == 1.0; }

  void resize(std::size_t players) {
    teams_.reserve(players);
    order_.reserve(players);
    states_.resize(players, newcomer());
    teams_.resize(players);
    order_.resize(players);
  }

  State at(State s, Time time) const noexcept {
    const double periods = idle_periods(s.last, time, options_.period);
    if (periods > 0.0) {
      const double step = options_.tau * options_.tau * periods;
      s.sigma = std::sqrt(grown(s.sigma * s.sigma, step, options_.sigma * options_.sigma));
      s.last = time;
    }
    return s;
  }

  // P(i wins) + P(draw) / 2
  double expected(Player i, Player j, Time time = no_time) const noexcept {
    const Normal a = prior(i, time), b = prior(j, time);
    const double inverse = 1.0 / std::sqrt(a.variance + b.variance + 2.0 * options_.beta * options_.beta);
    const double t = (a.mean - b.mean) * inverse, e = margin_ * inverse;
    return 0.5 * (normal_cdf(t - e) + normal_cdf(t + e));
  }

  void apply(Player i, Player j, double score, double weight, Time time) noexcept {
    const Normal a = prior(i, time), b = prior(j, time);
    const double inverse = 1.0 / std::sqrt(a.variance + b.variance + 2.0 * options_.beta * options_.beta);
    const double sign = score < 0.5 ? -1.0 : 1.0;
    const double t = sign * (a.mean - b.mean) * inverse, e = margin_ * inverse;
    Truncated what = score == 0.5 ? detail::truncated_between(t, e) : truncated_above(t - e);
    if (weight != 1.0) {
      const double rest = std::max(1.0 - what.w, least_share) + weight * what.w;
      what = {weight * what.v / rest, weight * what.w / rest};
    }
    const double shift = sign * what.v * inverse, shrink = what.w * inverse * inverse;
    move(i, a, shift, shrink, time);
    move(j, b, -shift, shrink, time);
  }

  void apply_contest(std::span<const Player> players, std::span<const double> losses, double weight,
                     Time time) noexcept {
    if (players.size() == 2) {
      apply(players[0], players[1], losses[0] < losses[1] ? 1.0 : losses[0] > losses[1] ? 0.0 : 0.5, weight, time);
      return;
    }
    for (std::size_t k = 0; k < players.size(); ++k) gather(teams_[k], players.subspan(k, 1), time);
    settle(players.size(), losses, weight, [&](std::size_t k) { return players[k]; });
    for (std::size_t k = 0; k < players.size(); ++k) share(teams_[k], players.subspan(k, 1), time);
  }

  // Teams: the players of team k are players[first[k]] to players[first[k + 1] - 1]; first holds one number more than
  // losses. A team performs as the sum of its players. At least two teams, none empty, no player twice.
  void apply_teams(std::span<const Player> players, std::span<const std::size_t> first, std::span<const double> losses,
                   double weight, Time time) noexcept {
    const auto team = [&](std::size_t k) { return players.subspan(first[k], first[k + 1] - first[k]); };
    for (std::size_t k = 0; k < losses.size(); ++k) gather(teams_[k], team(k), time);
    settle(losses.size(), losses, weight, [&](std::size_t k) { return team(k)[0]; });
    for (std::size_t k = 0; k < losses.size(); ++k) share(teams_[k], team(k), time);
  }

  bool same_rules(const TrueSkill& other) const noexcept {
    const auto &a = options_, &b = other.options_;
    return a.mu == b.mu && a.sigma == b.sigma && a.beta == b.beta && a.tau == b.tau &&
           a.draw_probability == b.draw_probability && a.period == b.period;
  }

  void save(SnapshotWriter& writer) const {
    for (const double x : {options_.mu, options_.sigma, options_.beta, options_.tau, options_.draw_probability})
      writer.put(x);
    writer.put(options_.period);
    writer.put(static_cast<std::uint64_t>(states_.size()));
    for (const State& s : states_) {
      writer.put(s.mu);
      writer.put(s.sigma);
      writer.put(s.last);
    }
  }

  void load(SnapshotReader& reader) {
    for (double* const x : {&options_.mu, &options_.sigma, &options_.beta, &options_.tau, &options_.draw_probability})
      reader.get(*x);
    reader.get(options_.period);
    reader.require(valid(options_));
    if (reader.ok()) margin_ = margin(options_);
    std::uint64_t n = 0;
    reader.get(n);
    states_.clear();
    for (std::uint64_t k = 0; reader.ok() && k < n; ++k) {
      State s{};
      reader.get(s.mu);
      reader.get(s.sigma);
      reader.get(s.last);
      reader.require(valid(s));
      states_.push_back(s);
    }
    teams_.resize(states_.size());
    order_.resize(states_.size());
  }

  static bool valid(const TrueSkillOptions& o) noexcept {
    return std::abs(o.mu) <= 1e9 && o.sigma > 0.0 && o.sigma <= 1e6 && o.beta >= 1e-6 && o.beta <= 1e6 &&
           o.tau >= 0.0 && o.tau <= 1e6 && o.draw_probability >= 0.0 && o.draw_probability <= 0.999 && o.period >= 0;
  }
  static bool valid(const State& s) noexcept { return std::isfinite(s.mu) && s.sigma >= 0.0 && std::isfinite(s.sigma); }

 private:
  static constexpr double least_share = 1e-14;  // of a variance, that a contest leaves

  struct Normal {
    double mean = 0.0;
    double variance = 0.0;
  };

  // A Gaussian factor by precision and precision times mean: all zero says nothing.
  struct Message {
    double precision = 0.0;
    double shift = 0.0;
  };

  // A team's performance, and what the comparisons with its neighbours above and below say of it.
  struct Team {
    Normal prior;
    Message above, below;
    Message site;  // the Gaussian that stands for the comparison with the neighbour below
    double size = 1.0;

    // The prior and one message, without dividing by what may be zero.
    Normal with(const Message& message) const noexcept {
      const double by = 1.0 / (1.0 + prior.variance * message.precision);
      return {(prior.mean + prior.variance * message.shift) * by, prior.variance * by};
    }
  };

  // So that two equals draw with this probability: P(|d| < margin) for d of variance 2 beta^2.
  static double margin(const TrueSkillOptions& o) noexcept {
    const double p = 0.5 + 0.5 * o.draw_probability;
    double x = 0.0;
    for (int round = 0; round < 50; ++round) {  // Newton's method; convex for x > 0, so it comes from one side
      const double step = (p - normal_cdf(x)) / normal_pdf(x);
      x += step;
      if (std::abs(step) < 1e-15 * x) break;
    }
    return x * std::sqrt(2.0) * o.beta;
  }

  Normal prior(Player i, Time time) const noexcept {
    const State& s = states_[static_cast<std::size_t>(i)];
    if (options_.period != 0) [[unlikely]] {
      const double sigma = at(s, time).sigma;
      return {s.mu, sigma * sigma};
    }
    return {s.mu, s.sigma * s.sigma + options_.tau * options_.tau};
  }

  void move(Player i, const Normal& prior, double shift, double shrink, Time time) noexcept {
    State& s = states_[static_cast<std::size_t>(i)];
    s.mu = prior.mean + prior.variance * shift;
    s.sigma = std::sqrt(prior.variance * std::max(1.0 - prior.variance * shrink, least_share));
    if (time != no_time) s.last = time;
  }

  void gather(Team& team, std::span<const Player> players, Time time) const noexcept {
    team = {};
    team.size = static_cast<double>(players.size());
    for (const Player i : players) {
      const Normal p = prior(i, time);
      team.prior.mean += p.mean;
      team.prior.variance += p.variance + options_.beta * options_.beta;
    }
  }

  // What was learnt of the team's sum, shared out: exact for Gaussians.
  void share(const Team& team, std::span<const Player> players, Time time) noexcept {
    const double precision = team.above.precision + team.below.precision, shift = team.above.shift + team.below.shift;
    const double by = 1.0 / (1.0 + team.prior.variance * precision);
    for (const Player i : players)
      move(i, prior(i, time), (shift - team.prior.mean * precision) * by, precision * by, time);
  }

  // Messages up and down the chain of neighbours until they stand still. `first_of` breaks ties of the order, so that
  // it does not depend on the order in which teams were named.
  template <class FirstOf>
  void settle(std::size_t m, std::span<const double> losses, double weight, FirstOf first_of) noexcept {
    const std::span<std::uint32_t> order{order_.data(), m};
    for (std::size_t k = 0; k < m; ++k) order[k] = static_cast<std::uint32_t>(k);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return losses[a] != losses[b] ? losses[a] < losses[b] : first_of(a) < first_of(b);
    });
    const auto compare = [&](std::size_t k) {
      return neighbours(teams_[order[k]], teams_[order[k + 1]], losses[order[k]] == losses[order[k + 1]]);
    };
    for (int sweep = 0; sweep < 200; ++sweep) {
      double most = 0.0;
      for (std::size_t k = 0; k + 1 < m; ++k) most = std::max(most, compare(k));
      for (std::size_t k = m - 2; k-- > 0;) most = std::max(most, compare(k));
      if (m == 2 || !(most > 1e-12)) break;
    }
    if (weight == 1.0) return;
    for (std::size_t k = 0; k + 1 < m; ++k) {
      Team& team = teams_[order[k]];
      team.site = {weight * team.site.precision, weight * team.site.shift};
      teams_[order[k + 1]].above = downward(team.site, team.with(team.above));
    }
    for (std::size_t k = m - 1; k-- > 0;) {
      const Team& worse = teams_[order[k + 1]];
      teams_[order[k]].below = upward(teams_[order[k]].site, worse.with(worse.below));
    }
  }

  // One comparison; returns how far it moved either message, in standard deviations of the prior.
  double neighbours(Team& better, Team& worse, bool drawn) const noexcept {
    const Normal a = better.with(better.above), b = worse.with(worse.below);
    const double variance = a.variance + b.variance, inverse = 1.0 / std::sqrt(variance);
    const double t = (a.mean - b.mean) * inverse;
    const double e = margin_ * std::sqrt(0.5 * (better.size + worse.size)) * inverse;
    const Truncated what = drawn ? detail::truncated_between(t, e) : truncated_above(t - e);
    // The factor that turns the difference's normal into the truncated one's.
    const double rest = 1.0 / std::max(1.0 - what.w, least_share);
    better.site = {what.w * inverse * inverse * rest, (what.v + t * what.w) * inverse * rest};
    const Message up = upward(better.site, b), down = downward(better.site, a);
    const double moved = std::max(change(better, better.below, up), change(worse, worse.above, down));
    better.below = up;
    worse.above = down;
    return moved;
  }

  // What a comparison says of the better one, given the worse, and the other way round.
  static Message upward(const Message& site, const Normal& worse) noexcept {
    const double by = 1.0 / (1.0 + site.precision * worse.variance);
    return {site.precision * by, (site.shift + site.precision * worse.mean) * by};
  }
  static Message downward(const Message& site, const Normal& better) noexcept {
    const double by = 1.0 / (1.0 + site.precision * better.variance);
    return {site.precision * by, (site.precision * better.mean - site.shift) * by};
  }

  static double change(const Team& team, const Message& from, const Message& to) noexcept {
    const Normal before = team.with(from), after = team.with(to);
    const double deviation = std::sqrt(team.prior.variance);
    return (std::abs(after.mean - before.mean) + std::abs(after.variance - before.variance) / deviation) / deviation;
  }

  TrueSkillOptions options_;
  double margin_;
  std::vector<State> states_;
  std::vector<Team> teams_;
  std::vector<std::uint32_t> order_;
};

}  // namespace fairlead
