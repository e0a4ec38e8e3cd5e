// What a rating system is: the states of players 0 .. n - 1, and the rule by which a match changes them.
//
// A system (elo.hpp is the smallest) trusts its arguments: `Ratings<System>` of ratings.hpp stands in front of it,
// names the players, checks every event and remembers. Time is integer nanoseconds; `no_time` is "not given".
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "fairlead/snapshot.hpp"

namespace fairlead {

using Player = std::int32_t;
using Time = std::int64_t;
inline constexpr Time no_time = std::numeric_limits<Time>::min();
inline constexpr double max_match_weight = 1e6;

// Columns of n matches: weight and time may be empty, which is 1 and "not given".
struct Matches {
  std::span<const Player> i, j;
  std::span<const double> score, weight;
  std::span<const Time> time;

  std::size_t size() const noexcept { return i.size(); }
  double weight_of(std::size_t m) const noexcept { return weight.empty() ? 1.0 : weight[m]; }
  Time time_of(std::size_t m) const noexcept { return time.empty() ? no_time : time[m]; }
};

// State:    all that is known of one player, trivially copyable, with no padding (snapshots hold it as it lies).
// columns:  names of the numbers that `values` gives for a state; the first is what players are ranked by.
// at:       a state as it stands at a time, without an event: idle time widens or pulls it. no_time: as it is.
// expected: expected score of i against j at a time, in (0, 1); what `apply` would compare the score with.
// apply:    one match. score: 1 = i won, 0.5 = draw, 0 = j won. The caller has checked that i and j exist and differ,
//           0 <= score <= 1, 0 <= weight <= max_match_weight, and that no earlier event was later than `time`.
// apply_contest: one contest among distinct players, at least two; a smaller loss is better, equal losses draw.
// A system to which only some scores mean something has a static `accepts_score(score)`.
// A system may also have, where that is cheaper, `rate(i, j, score, weight, time)`, which is `expected` and `apply` in
// one, and `rate_many(matches, first, last, clock, expected)`, which is `rate` for a range of matches, of which those
// without a time are at that of the match before (at first: clock); expected is nullptr or where to write what each
// gave. And it may have `apply_period(matches, time)`: all matches rated from the states before any of them, in which
// it may allocate, and throw std::bad_alloc before it has changed anything.
template <class S>
concept RatingSystem =
    std::copy_constructible<S> && std::is_nothrow_move_assignable_v<S> &&
    std::is_trivially_copyable_v<typename S::State> &&
    requires(S system, const S known, const typename S::State state, Player i, double x, Time time, std::size_t n,
             std::span<const Player> players, std::span<const double> losses, SnapshotWriter& writer,
             SnapshotReader& reader) {
      { S::family } -> std::convertible_to<std::string_view>;
      { S::version } -> std::convertible_to<std::uint32_t>;
      { S::columns[0] } -> std::convertible_to<std::string_view>;
      { S::values(state) } -> std::same_as<std::array<double, std::size(S::columns)>>;
      { known.size() } -> std::same_as<std::size_t>;
      { system.resize(n) };  // adds newcomers until there are n; may throw std::bad_alloc, then changes nothing
      { known.state(i) } -> std::same_as<typename S::State>;
      { system.put(i, state) } noexcept;
      { known.newcomer() } noexcept -> std::same_as<typename S::State>;
      { known.at(state, time) } noexcept -> std::same_as<typename S::State>;
      { known.expected(i, i, time) } noexcept -> std::same_as<double>;
      { system.apply(i, i, x, x, time) } noexcept;
      { system.apply_contest(players, losses, x, time) } noexcept;
      { known.same_rules(known) } -> std::same_as<bool>;  // may two fleets be merged?
      { known.save(writer) };   // options and states
      { system.load(reader) };  // reader.require(...) for what cannot be
    };

template <class S>
bool accepts_score(double score) noexcept {
  if constexpr (requires { S::accepts_score(score); }) return S::accepts_score(score);
  else return score >= 0.0 && score <= 1.0;
}

template <class S>
concept HasPeriods = RatingSystem<S> && requires(S system, const Matches& matches, Time time) {
  { system.apply_period(matches, time) };
};

// Contests of teams: those of team k are players[first[k]] to players[first[k + 1] - 1]; first holds one more
// than losses.
template <class S>
concept HasTeams = RatingSystem<S> && requires(S system, std::span<const Player> players,
                                               std::span<const std::size_t> first, std::span<const double> losses,
                                               double weight, Time time) {
  { system.apply_teams(players, first, losses, weight, time) } noexcept;
};

}  // namespace fairlead
