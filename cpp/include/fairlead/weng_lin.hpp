// Bayesian ratings without message passing: R. C. Weng and C.-J. Lin, "A Bayesian approximation method for online
// ranking", JMLR 12 (2011): Algorithm 1 (Bradley-Terry, full pairing) and Algorithm 4 (Plackett-Luce), players alone.
//
// Two rules for a contest of many: `bradley_terry` compares every pair; `plackett_luce` takes the order as drawn from
// the winner down, players who tie sharing a place. For two players they are the same rule.
//
// Each contest first adds tau^2 to the variance of those who play, so that nobody's rating freezes; where a `period` of
// time is given, tau^2 for each period that passed is added instead. A weight multiplies a contest's log-likelihood.
//
// Precision: agrees with openskill to 1e-12. No input overflows. Memory: 24 bytes a player, and as much as scratch.
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

enum class WengLinRule : std::uint8_t { bradley_terry, plackett_luce };

struct WengLinOptions {
  WengLinRule rule = WengLinRule::bradley_terry;
  double mu = 25.0;           // mean of a newcomer's skill
  double sigma = 25.0 / 3.0;  // its standard deviation; idle time makes nobody's larger
  double beta = 25.0 / 6.0;   // spread of performances about a skill
  double tau = 25.0 / 300.0;  // by how much a skill drifts, in one contest or one period
  double kappa = 1e-4;        // one contest leaves at least this share of a variance
  Time period = 0;            // nanoseconds; 0: uncertainty grows with each contest
};

class WengLin {
 public:
  struct State {
    double mu;
    double sigma;
    Time last;
  };

  static constexpr std::string_view family = "weng_lin";
  static constexpr std::uint32_t version = 1;
  static constexpr std::array<std::string_view, 2> columns{"mu", "sigma"};

  explicit WengLin(WengLinOptions options = {}) : options_(options) {}

  const WengLinOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return states_.size(); }
  State state(Player i) const noexcept { return states_[static_cast<std::size_t>(i)]; }
  void put(Player i, State state) noexcept { states_[static_cast<std::size_t>(i)] = state; }
  State newcomer() const noexcept { return {options_.mu, options_.sigma, no_time}; }
  static std::array<double, 2> values(State s) noexcept { return {s.mu, s.sigma}; }

  void resize(std::size_t players) {
    scratch_.reserve(players);
    order_.reserve(players);
    states_.resize(players, newcomer());
    scratch_.resize(players);
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

  double expected(Player i, Player j, Time time = no_time) const noexcept {
    const Prior a = prior(i, time), b = prior(j, time);
    return logistic((a.mu - b.mu) * (1.0 / std::sqrt(a.variance + b.variance + spread())));  // the same bits as rate
  }

  void apply(Player i, Player j, double score, double weight, Time time) noexcept {
    (void)rate(i, j, score, weight, time);
  }

  // `expected` and `apply` in one.
  double rate(Player i, Player j, double score, double weight, Time time) noexcept {
    const Prior a = prior(i, time), b = prior(j, time);
    const double inverse = 1.0 / std::sqrt(a.variance + b.variance + spread());
    const double p = logistic((a.mu - b.mu) * inverse);
    const double surprise = weight * (score - p) * inverse,
                 known = weight * p * (1.0 - p) * (inverse * inverse * inverse);
    move(i, a, surprise, known * std::sqrt(a.variance), time);
    move(j, b, -surprise, known * std::sqrt(b.variance), time);
    return p;
  }

  void apply_contest(std::span<const Player> players, std::span<const double> losses, double weight,
                     Time time) noexcept {
    const std::size_t m = players.size();
    for (std::size_t k = 0; k < m; ++k) scratch_[k] = {prior(players[k], time), 0.0, 0.0};
    if (options_.rule == WengLinRule::bradley_terry) {
      pairs({scratch_.data(), m}, losses);
    } else {
      places({scratch_.data(), m}, losses);
    }
    for (std::size_t k = 0; k < m; ++k) {
      const Entry& e = scratch_[k];
      move(players[k], e.prior, weight * e.surprise, weight * e.known * std::sqrt(e.prior.variance), time);
    }
  }

  bool same_rules(const WengLin& other) const noexcept {
    const auto &a = options_, &b = other.options_;
    return a.rule == b.rule && a.mu == b.mu && a.sigma == b.sigma && a.beta == b.beta && a.tau == b.tau &&
           a.kappa == b.kappa && a.period == b.period;
  }

  void save(SnapshotWriter& writer) const {
    writer.put(options_.rule);
    for (const double x : {options_.mu, options_.sigma, options_.beta, options_.tau, options_.kappa}) writer.put(x);
    writer.put(options_.period);
    writer.put(static_cast<std::uint64_t>(states_.size()));
    for (const State& s : states_) {
      writer.put(s.mu);
      writer.put(s.sigma);
      writer.put(s.last);
    }
  }

  void load(SnapshotReader& reader) {
    reader.get(options_.rule);
    for (double* const x : {&options_.mu, &options_.sigma, &options_.beta, &options_.tau, &options_.kappa})
      reader.get(*x);
    reader.get(options_.period);
    reader.require(valid(options_));
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
    scratch_.resize(states_.size());
    order_.resize(states_.size());
  }

  static bool valid(const WengLinOptions& o) noexcept {
    return o.rule <= WengLinRule::plackett_luce && std::abs(o.mu) <= 1e9 && o.sigma > 0.0 && o.sigma <= 1e6 &&
           o.beta >= 1e-6 && o.beta <= 1e6 && o.tau >= 0.0 && o.tau <= 1e6 && o.kappa > 0.0 && o.kappa <= 1.0 &&
           o.period >= 0;
  }
  static bool valid(const State& s) noexcept { return std::isfinite(s.mu) && s.sigma >= 0.0 && std::isfinite(s.sigma); }

 private:
  struct Prior {
    double mu = 0.0;
    double variance = 0.0;
  };

  // What a contest says of a player, but for the factors that are the player's own.
  struct Entry {
    Prior prior;
    double surprise = 0.0;  // mu moves by variance times this
    double known = 0.0;     // the share of the variance that goes, over its 3/2 power
  };

  double spread() const noexcept { return 2.0 * options_.beta * options_.beta; }

  Prior prior(Player i, Time time) const noexcept {
    const State& s = states_[static_cast<std::size_t>(i)];
    if (options_.period != 0) [[unlikely]] {
      const double sigma = at(s, time).sigma;
      return {s.mu, sigma * sigma};
    }
    return {s.mu, s.sigma * s.sigma + options_.tau * options_.tau};
  }

  // gamma, which keeps a certain player certain, is sigma / c, as in section 3.6 of the paper.
  void move(Player i, const Prior& prior, double surprise, double known, Time time) noexcept {
    State& s = states_[static_cast<std::size_t>(i)];
    s.mu = prior.mu + prior.variance * surprise;
    s.sigma = std::sqrt(prior.variance * std::max(1.0 - prior.variance * known, options_.kappa));
    if (time != no_time) s.last = time;
  }

  void pairs(std::span<Entry> all, std::span<const double> losses) const noexcept {
    for (std::size_t k = 0; k < all.size(); ++k) {
      for (std::size_t l = k + 1; l < all.size(); ++l) {
        Entry &a = all[k], &b = all[l];
        const double inverse = 1.0 / std::sqrt(a.prior.variance + b.prior.variance + spread());
        const double p = logistic((a.prior.mu - b.prior.mu) * inverse);
        const double score = losses[k] < losses[l] ? 1.0 : losses[k] > losses[l] ? 0.0 : 0.5;
        const double surprise = (score - p) * inverse, known = p * (1.0 - p) * (inverse * inverse * inverse);
        a.surprise += surprise;
        b.surprise -= surprise;
        a.known += known;
        b.known += known;
      }
    }
  }

  // From the last place up, so that each place's sum runs over those who were still to be placed.
  void places(std::span<Entry> all, std::span<const double> losses) noexcept {
    const std::size_t m = all.size();
    const std::span<std::uint32_t> order{order_.data(), m};
    double c2 = 0.0, best = all[0].prior.mu;
    for (std::size_t k = 0; k < m; ++k) {
      order[k] = static_cast<std::uint32_t>(k);
      c2 += all[k].prior.variance + 0.5 * spread();
      best = std::max(best, all[k].prior.mu);
    }
    std::sort(order.begin(), order.end(),
              [&](std::uint32_t a, std::uint32_t b) { return losses[a] != losses[b] ? losses[a] < losses[b] : a < b; });
    const double inverse = 1.0 / std::sqrt(c2);
    // Relative to the best; the limit keeps squares of sums above zero.
    for (Entry& e : all) e.known = exp_inline(std::max((e.prior.mu - best) * inverse, -300.0));
    // surprise holds the sum of all who are placed no better, until it is used.
    double sum = 0.0;
    for (std::size_t k = m; k-- > 0;) {
      sum += all[order[k]].known;
      all[order[k]].surprise = sum;
    }
    double once = 0.0, twice = 0.0;  // sums of 1 / sum and 1 / sum^2 over the places so far
    for (std::size_t k = 0; k < m;) {
      std::size_t end = k;
      while (end < m && losses[order[end]] == losses[order[k]]) ++end;
      const double part = 1.0 / all[order[k]].surprise;
      once += part;
      twice += part * part;
      for (const double share = 1.0 / static_cast<double>(end - k); k < end; ++k) {
        Entry& e = all[order[k]];
        const double strength = e.known;
        e.surprise = (share - strength * once) * inverse;
        e.known = strength * (once - strength * twice) * (inverse * inverse * inverse);
      }
    }
  }

  WengLinOptions options_;
  std::vector<State> states_;
  std::vector<Entry> scratch_;
  std::vector<std::uint32_t> order_;
};

}  // namespace fairlead
