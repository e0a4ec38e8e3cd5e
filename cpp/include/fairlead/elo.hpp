// Elo ratings: A. E. Elo, "The Rating of Chessplayers, Past and Present" (1978).
//
// THE RATING RULE lives in this file: `expected` is the model, `update` the rule for one pair, `contest` the rule for
// all who answered one task. Everything else (slices, replay, Python) calls these three.
//
// Precision: IEEE double throughout; the logistic function within 2 ulp. With a constant K and no half-life a pair's
// two changes are +d and -d for the same d, so the sum of all ratings is conserved up to rounding. Memory: one double a
// player (24 bytes with a K schedule or a half-life), and scratch for the largest contest seen.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "fairlead/logistic.hpp"
#include "fairlead/normal.hpp"
#include "fairlead/rating_system.hpp"
#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

// K by how many matches a player has played before this one.
struct KSchedule {
  enum class Form : std::int32_t {
    constant,  // `settled`, always
    steps,  // `first` for the first `games` matches, then `settled`; `top` for good once a rating reached `top_rating`
    decay,  // settled + (first - settled) / (1 + played / games)
  };
  Form form = Form::constant;
  double first = 40.0, games = 30.0, settled = 20.0, top = 10.0;
  double top_rating = std::numeric_limits<double>::infinity();

  bool operator==(const KSchedule&) const = default;
};

struct EloOptions {
  double k = 32.0;             // points at stake: the most one contest can move a rating
  double scale = 400.0;        // a lead of `scale` points means odds of 10 to 1
  double start = 1500.0;       // rating of a newcomer
  double home = 0.0;           // points added to the first player's rating in the expectation of a match
  KSchedule schedule = {};     // instead of k, unless constant
  std::int64_t half_life = 0;  // nanoseconds in which an idle player comes half the way back to the start; 0: never

  bool operator==(const EloOptions&) const = default;
};

class Elo {
 public:
  using Player = fairlead::Player;
  struct State {
    double rating;
    Time time;             // until when idleness has been counted, or no_time
    std::uint32_t games;   // counted if there is a schedule
    std::uint32_t topped;  // 1: has reached schedule.top_rating
  };
  static constexpr std::string_view family = "elo";
  static constexpr std::uint32_t version = 1;
  static constexpr std::array<std::string_view, 1> columns{"rating"};

  explicit Elo(EloOptions options = {}) : options_(options), steps_(16.0 * std::numbers::ln10 / options.scale) {
    home_ = options.home * steps_;
    plain_ = options.schedule.form == KSchedule::Form::constant && options.half_life == 0;
  }

  const EloOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return ratings_.size(); }
  std::span<const double> ratings() const noexcept { return ratings_; }
  double operator[](Player i) const noexcept { return ratings_[static_cast<std::size_t>(i)]; }
  bool has(Player i) const noexcept { return i >= 0 && static_cast<std::size_t>(i) < ratings_.size(); }

  // Adds newcomers until there are `players`. May allocate; nothing else here does after warm-up.
  void resize(std::size_t players) {
    for (auto* scratch : {&strength_, &expected_, &points_}) scratch->resize(players);
    if (!plain_) past_.resize(players, {no_time, 0, 0});
    ratings_.resize(players, options_.start);
  }

  // Sets a rating, for a player who comes with one.
  Status set(Player i, double rating) noexcept {
    if (!has(i)) return Status::unknown_model;
    if (!std::isfinite(rating)) return Status::not_finite;
    ratings_[static_cast<std::size_t>(i)] = rating;
    return Status::ok;
  }

  // Expected score of i against j at a time, in (0, 1): 1 / (1 + 10^((Rj - Ri - home) / scale)).
  double expected(Player i, Player j, Time time = no_time) const noexcept {
    if (plain_) return chance((*this)[i], (*this)[j]);
    return chance(at(state(i), time).rating, at(state(j), time).rating);
  }

  // One contest of a pair. score: 1 = i won, 0.5 = draw, 0 = j won. weight scales K.
  Status update(Player i, Player j, double score, double weight = 1.0) noexcept {
    if (!has(i) || !has(j)) return Status::unknown_model;
    if (i == j) return Status::self_contest;
    if (!(score >= 0.0 && score <= 1.0)) return Status::out_of_range;
    if (!(weight >= 0.0 && weight <= max_weight)) return Status::out_of_range;
    apply(i, j, score, weight, no_time);
    return Status::ok;
  }

  // --- as a rating system (rating_system.hpp): arguments have been checked ---

  // One match; returns the expected score of i before it.
  double rate(Player i, Player j, double score, double weight, Time time) noexcept {
    if (!plain_) return rate_with_past(i, j, score, weight, time);
    double& a = ratings_[static_cast<std::size_t>(i)];
    double& b = ratings_[static_cast<std::size_t>(j)];
    const double p = chance(a, b);
    const double change = options_.k * weight * (score - p);
    a += change;
    b -= change;
    return p;
  }
  void apply(Player i, Player j, double score, double weight, Time time) noexcept {
    (void)rate(i, j, score, weight, time);
  }
  // Matches first .. last - 1, as so many calls of rate; expected: nullptr, or where to write what each gave.
  void rate_many(const Matches& matches, std::size_t first, std::size_t last, Time clock, double* expected) noexcept;
  void apply_contest(std::span<const Player> players, std::span<const double> losses, double weight,
                     Time time) noexcept {
    for (const Player i : players) idle(i, time);
    pair_points(losses, points_);
    contest_points(players, points_, weight);
  }
  // Each player's changes are summed in the order of the matches.
  void apply_period(const Matches& matches, Time time);

  State newcomer() const noexcept { return {options_.start, no_time, 0, 0}; }
  State state(Player i) const noexcept {
    const Past past = plain_ ? Past{no_time, 0, 0} : past_[static_cast<std::size_t>(i)];
    return {(*this)[i], past.time, past.games, past.topped};
  }
  void put(Player i, const State& state) noexcept {
    ratings_[static_cast<std::size_t>(i)] = state.rating;
    if (!plain_) past_[static_cast<std::size_t>(i)] = {state.time, state.games, state.topped};
  }
  State at(State state, Time time) const noexcept {
    if (options_.half_life == 0 || time == no_time) return state;
    if (state.time != no_time && time > state.time) {
      const double lives =
          (static_cast<double>(time) - static_cast<double>(state.time)) / static_cast<double>(options_.half_life);
      state.rating = options_.start + (state.rating - options_.start) * exp2_portable(-lives);
    }
    state.time = std::max(state.time, time);
    return state;
  }
  static std::array<double, 1> values(const State& state) noexcept { return {state.rating}; }
  bool same_rules(const Elo& other) const noexcept { return options_ == other.options_; }
  void save(SnapshotWriter& writer) const;
  void load(SnapshotReader& reader);
  static bool valid(const EloOptions& o) noexcept {
    return std::isfinite(o.k) && o.scale > 0.0 && std::isfinite(o.scale) && std::isfinite(o.start) &&
           std::isfinite(o.home) && o.schedule.form >= KSchedule::Form::constant &&
           o.schedule.form <= KSchedule::Form::decay && o.half_life >= 0;
  }

  // One contest among all `players` (distinct), each pair scored by who lost less; equal losses draw. All pairs are
  // rated from the ratings before the contest, so the order of players does not matter, and K is shared among a
  // player's m - 1 pairs, so one task moves a rating by at most K however many answered it.
  Status contest(std::span<const Player> players, std::span<const double> losses, double weight = 1.0) noexcept;

  // The two halves of a contest, for callers who rate the same result in several tables: `pair_points` sums a player's
  // scores over all players, itself included as a draw; `contest_points` applies them.
  static void pair_points(std::span<const double> losses, std::span<double> points) noexcept;
  void contest_points(std::span<const Player> players, std::span<const double> points, double weight = 1.0) noexcept;

  static constexpr double max_weight = max_match_weight;

 private:
  struct Past {  // of a player, where there is a schedule or a half-life
    Time time;
    std::uint32_t games, topped;
  };

  double chance(double a, double b) const noexcept { return logistic16((a - b) * steps_ + home_); }
  double k_of(Player i) const noexcept;
  void played(Player i) noexcept;
  void idle(Player i, Time time) noexcept {
    if (options_.half_life != 0) put(i, at(state(i), time));
  }
  double rate_with_past(Player i, Player j, double score, double weight, Time time) noexcept;

  EloOptions options_;
  double steps_;  // sixteenths of a nat in a point
  double home_;   // the home advantage in sixteenths of a nat
  bool plain_;    // neither a schedule nor a half-life
  std::vector<double> ratings_;
  std::vector<Past> past_;        // empty if plain
  std::vector<double> strength_;  // scratch of contest: 10^(R / scale), relative to the best player
  std::vector<double> expected_;  // scratch of contest: expected points
  std::vector<double> points_;    // scratch of contest
};

inline Status Elo::contest(std::span<const Player> players, std::span<const double> losses, double weight) noexcept {
  if (losses.size() != players.size() || players.size() > ratings_.size()) return Status::wrong_length;
  if (!(weight >= 0.0 && weight <= max_weight)) return Status::out_of_range;
  for (const Player i : players) {
    if (!has(i)) return Status::unknown_model;
  }
  for (const double loss : losses) {
    if (std::isnan(loss)) return Status::not_finite;
  }
  pair_points(losses, points_);
  contest_points(players, points_, weight);
  return Status::ok;
}

// The inner loops below run over the players being credited, a whole column against one opponent (or four) at a time:
// no reduction, so they vectorise without any sum being reordered.
inline void Elo::pair_points(std::span<const double> losses, std::span<double> points) noexcept {
  const std::size_t m = losses.size();
  const double* const loss = losses.data();
  double* const gain = points.data();
  std::fill(gain, gain + m, 0.0);
  for (std::size_t j = 0; j < m; ++j) {
    const double other = loss[j];
    for (std::size_t i = 0; i < m; ++i) {
      const double won = loss[i] < other ? 0.5 : 0.0;
      const double not_lost = loss[i] <= other ? 0.5 : 0.0;
      gain[i] += won + not_lost;
    }
  }
}

inline void Elo::contest_points(std::span<const Player> players, std::span<const double> points,
                                double weight) noexcept {
  const std::size_t m = players.size();
  if (m < 2) return;
  const double exponent = std::numbers::ln10 / options_.scale;
  double* const s = strength_.data();
  double origin = (*this)[players[0]];
  for (const Player i : players) origin = std::max(origin, (*this)[i]);
  for (std::size_t i = 0; i < m; ++i) {
    // The clamp keeps products of four strengths above zero; it bites 30,000 points below the best.
    s[i] = exp_inline(std::max(((*this)[players[i]] - origin) * exponent, -173.0));
  }
  // Expected points of i: the sum over j of s_i / (s_i + s_j), four opponents to a division (the kernel's bottleneck).
  double* const expected = expected_.data();
  std::fill(expected, expected + m, 0.0);
  std::size_t j = 0;
  for (; j + 4 <= m; j += 4) {
    const double s0 = s[j], s1 = s[j + 1], s2 = s[j + 2], s3 = s[j + 3];
    for (std::size_t i = 0; i < m; ++i) {
      const double a = s[i] + s0, b = s[i] + s1, c = s[i] + s2, d = s[i] + s3;
      const double ab = a * b, cd = c * d;
      expected[i] += s[i] * (((a + b) * cd + (c + d) * ab) / (ab * cd));
    }
  }
  for (; j < m; ++j) {
    const double sj = s[j];
    for (std::size_t i = 0; i < m; ++i) expected[i] += s[i] / (s[i] + sj);
  }
  if (plain_) {
    const double step = options_.k * weight / static_cast<double>(m - 1);
    for (std::size_t i = 0; i < m; ++i)
      ratings_[static_cast<std::size_t>(players[i])] += step * (points[i] - expected[i]);
    return;
  }
  for (std::size_t i = 0; i < m; ++i) {
    const double step = k_of(players[i]) * weight / static_cast<double>(m - 1);
    ratings_[static_cast<std::size_t>(players[i])] += step * (points[i] - expected[i]);
    played(players[i]);
  }
}

inline double Elo::k_of(Player i) const noexcept {
  const KSchedule& s = options_.schedule;
  if (s.form == KSchedule::Form::constant) return options_.k;
  const Past past = past_[static_cast<std::size_t>(i)];
  const auto games = static_cast<double>(past.games);
  if (s.form == KSchedule::Form::decay) return s.settled + (s.first - s.settled) / (1.0 + games / s.games);
  if (past.topped != 0) return s.top;
  return games < s.games ? s.first : s.settled;
}

inline void Elo::played(Player i) noexcept {
  Past& past = past_[static_cast<std::size_t>(i)];
  if (past.games != ~0u) ++past.games;
  if ((*this)[i] >= options_.schedule.top_rating) past.topped = 1;
}

inline double Elo::rate_with_past(Player i, Player j, double score, double weight, Time time) noexcept {
  idle(i, time);
  idle(j, time);
  double& a = ratings_[static_cast<std::size_t>(i)];
  double& b = ratings_[static_cast<std::size_t>(j)];
  const double p = chance(a, b);
  const double surprise = weight * (score - p);
  a += k_of(i) * surprise;
  b -= k_of(j) * surprise;
  played(i);
  played(j);
  return p;
}

inline void Elo::rate_many(const Matches& matches, std::size_t first, std::size_t last, Time clock,
                           double* expected) noexcept {
  if (!plain_) {
    for (std::size_t m = first; m < last; ++m) {
      if (matches.time_of(m) != no_time) clock = matches.time_of(m);
      const double p = rate_with_past(matches.i[m], matches.j[m], matches.score[m], matches.weight_of(m), clock);
      if (expected != nullptr) expected[m] = p;
    }
    return;
  }
  // All that stays the same is told to the compiler, which cannot know what the stores to ratings leave alone.
  const auto loop = [=, this, i = matches.i.data(), j = matches.j.data(), score = matches.score.data(), k = options_.k,
                     weight = matches.weight.data(), rating = ratings_.data()](auto weighted, auto told) {
    const double steps = steps_, home = home_;
    for (std::size_t m = first; m < last; ++m) {
      double& a = rating[i[m]];
      double& b = rating[j[m]];
      const double p = logistic16((a - b) * steps + home);
      double stake = k;
      if constexpr (weighted) stake *= weight[m];
      const double change = stake * (score[m] - p);
      a += change;
      b -= change;
      if constexpr (told) expected[m] = p;
    }
  };
  constexpr std::true_type yes;
  constexpr std::false_type no;
  if (matches.weight.empty()) {
    expected == nullptr ? loop(no, no) : loop(no, yes);
  } else {
    expected == nullptr ? loop(yes, no) : loop(yes, yes);
  }
}

inline void Elo::apply_period(const Matches& matches, Time time) {
  std::vector<double> change(2 * matches.size());
  if (!plain_) {
    for (std::size_t m = 0; m < matches.size(); ++m) {
      idle(matches.i[m], time);
      idle(matches.j[m], time);
    }
  }
  const auto k = [this](Player i) { return plain_ ? options_.k : k_of(i); };
  for (std::size_t m = 0; m < matches.size(); ++m) {
    const Player i = matches.i[m], j = matches.j[m];
    const double surprise = matches.weight_of(m) * (matches.score[m] - chance((*this)[i], (*this)[j]));
    change[2 * m] = k(i) * surprise;
    change[2 * m + 1] = k(j) * surprise;
  }
  for (std::size_t m = 0; m < matches.size(); ++m) {
    const Player i = matches.i[m], j = matches.j[m];
    ratings_[static_cast<std::size_t>(i)] += change[2 * m];
    ratings_[static_cast<std::size_t>(j)] -= change[2 * m + 1];
  }
  if (plain_) return;
  for (std::size_t m = 0; m < matches.size(); ++m) {
    played(matches.i[m]);
    played(matches.j[m]);
  }
}

inline void Elo::save(SnapshotWriter& writer) const {
  const EloOptions& o = options_;
  const KSchedule& s = o.schedule;
  for (const double x : {o.k, o.scale, o.start, o.home, s.first, s.games, s.settled, s.top, s.top_rating})
    writer.put(x);
  writer.put(s.form);
  writer.put(o.half_life);
  writer.put(ratings());
  for (const Past& past : past_) {
    writer.put(past.time);
    writer.put(past.games);
    writer.put(past.topped);
  }
}

inline void Elo::load(SnapshotReader& reader) {
  EloOptions o;
  KSchedule& s = o.schedule;
  for (double* x : {&o.k, &o.scale, &o.start, &o.home, &s.first, &s.games, &s.settled, &s.top, &s.top_rating})
    reader.get(*x);
  reader.get(s.form);
  reader.get(o.half_life);
  reader.require(valid(o));
  Elo read(o);
  std::vector<double> ratings;
  reader.get(ratings);
  for (const double rating : ratings) reader.require(std::isfinite(rating));
  if (!reader.ok()) return;
  read.resize(ratings.size());
  read.ratings_ = std::move(ratings);
  for (Past& past : read.past_) {
    reader.get(past.time);
    reader.get(past.games);
    reader.get(past.topped);
  }
  if (reader.ok()) *this = std::move(read);
}

static_assert(RatingSystem<Elo> && HasPeriods<Elo>);

}  // namespace fairlead
