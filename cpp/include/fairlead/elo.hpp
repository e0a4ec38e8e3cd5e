// Elo ratings: A. E. Elo, "The Rating of Chessplayers, Past and Present" (1978).
//
// THE RATING RULE lives in this file: `expected` is the model, `update` the rule for one pair, `contest` the rule for
// all who answered one task. Everything else (slices, replay, Python) calls these three.
//
// Precision: IEEE double throughout. A pair's two changes are +d and -d for the same d, so the sum of all ratings is
// conserved up to rounding. Memory: one double a player, and scratch for the largest contest seen.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

struct EloOptions {
  double k = 32.0;        // points at stake: the most one contest can move a rating
  double scale = 400.0;   // a lead of `scale` points means odds of 10 to 1
  double start = 1500.0;  // rating of a newcomer
};

class Elo {
 public:
  using Player = std::int32_t;

  explicit Elo(EloOptions options = {})
      : options_(options), exponent_(std::log2(10.0) / options.scale) {}

  const EloOptions& options() const noexcept { return options_; }
  std::size_t size() const noexcept { return ratings_.size(); }
  std::span<const double> ratings() const noexcept { return ratings_; }
  double operator[](Player i) const noexcept { return ratings_[static_cast<std::size_t>(i)]; }
  bool has(Player i) const noexcept { return i >= 0 && static_cast<std::size_t>(i) < ratings_.size(); }

  // Adds newcomers until there are `players`. May allocate; nothing else here does after warm-up.
  void resize(std::size_t players) {
    for (auto* scratch : {&strength_, &expected_, &points_}) scratch->resize(players);
    ratings_.resize(players, options_.start);
  }

  // Sets a rating, for a player who comes with one.
  Status set(Player i, double rating) noexcept {
    if (!has(i)) return Status::unknown_model;
    if (!std::isfinite(rating)) return Status::not_finite;
    ratings_[static_cast<std::size_t>(i)] = rating;
    return Status::ok;
  }

  // Expected score of i against j, in (0, 1): 1 / (1 + 10^((Rj - Ri) / scale)).
  double expected(Player i, Player j) const noexcept {
    return 1.0 / (1.0 + std::exp2(((*this)[j] - (*this)[i]) * exponent_));
  }

  // One contest of a pair. score: 1 = i won, 0.5 = draw, 0 = j won. weight scales K.
  Status update(Player i, Player j, double score, double weight = 1.0) noexcept {
    if (!has(i) || !has(j)) return Status::unknown_model;
    if (i == j) return Status::self_contest;
    if (!(score >= 0.0 && score <= 1.0)) return Status::out_of_range;
    if (!(weight >= 0.0 && weight <= max_weight)) return Status::out_of_range;
    const double change = options_.k * weight * (score - expected(i, j));
    ratings_[static_cast<std::size_t>(i)] += change;
    ratings_[static_cast<std::size_t>(j)] -= change;
    return Status::ok;
  }

  // One contest among all `players` (distinct), each pair scored by who lost less; equal losses draw. All pairs are
  // rated from the ratings before the contest, so the order of players does not matter, and K is shared among a
  // player's m - 1 pairs, so one task moves a rating by at most K however many answered it.
  Status contest(std::span<const Player> players, std::span<const double> losses, double weight = 1.0) noexcept;

  // The two halves of a contest, for callers who rate the same result in several tables: `pair_points` sums a player's
  // scores over all players, itself included as a draw; `contest_points` applies them.
  static void pair_points(std::span<const double> losses, std::span<double> points) noexcept;
  void contest_points(std::span<const Player> players, std::span<const double> points, double weight = 1.0) noexcept;

  static constexpr double max_weight = 1e6;

 private:
  EloOptions options_;
  double exponent_;
  std::vector<double> ratings_;
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

// The inner loops below run over the players being credited, a whole column against one opponent (or four) at a time: no
// reduction, so they vectorise without any sum being reordered.
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

inline void Elo::contest_points(std::span<const Player> players, std::span<const double> points, double weight) noexcept {
  const std::size_t m = players.size();
  if (m < 2) return;
  double* const s = strength_.data();
  double origin = (*this)[players[0]];
  for (const Player i : players) origin = std::max(origin, (*this)[i]);
  for (std::size_t i = 0; i < m; ++i) {
    // The clamp keeps products of four strengths above zero; it bites 30,000 points below the best.
    s[i] = std::exp2(std::max(((*this)[players[i]] - origin) * exponent_, -250.0));
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
  const double step = options_.k * weight / static_cast<double>(m - 1);
  for (std::size_t i = 0; i < m; ++i) ratings_[static_cast<std::size_t>(players[i])] += step * (points[i] - expected[i]);
}

}  // namespace fairlead
