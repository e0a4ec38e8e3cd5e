// What is the same for all rating systems: names, checks, batches, periods, history, undo, snapshots, merging.
//
// `Ratings<System>` checks every event before anything changes, and never looks into a state (see rating_system.hpp).
// Precision: that of the system. Memory: the states; with `history` one state a player and event; with `undo` those of
// the last n events. A match between known players allocates nothing, unless history is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/rating_system.hpp"
#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

// What a fleet remembers beside its states.
struct KeepOptions {
  bool history = false;  // every state each player has had
  std::size_t undo = 0;  // how many of the last events can be undone
};

// An error, and the match it was found in.
struct Fault {
  Status status = Status::ok;
  std::size_t row = 0;
  explicit operator bool() const noexcept { return status != Status::ok; }
};

template <RatingSystem S>
class Ratings {
 public:
  using State = typename S::State;
  struct Moment {
    std::int64_t event;  // how many events the fleet had seen, this one included
    Time time;
    State state;
  };

  explicit Ratings(S system, KeepOptions keep = {}) : system_(std::move(system)), keep_(keep) {}

  const S& system() const noexcept { return system_; }
  const NameTable& names() const noexcept { return names_; }
  const KeepOptions& keep() const noexcept { return keep_; }
  std::size_t size() const noexcept { return system_.size(); }
  bool has(Player i) const noexcept { return static_cast<std::size_t>(static_cast<std::uint32_t>(i)) < system_.size(); }
  bool recording() const noexcept { return keep_.history || keep_.undo > 0; }
  std::int64_t events() const noexcept { return events_; }
  Time clock() const noexcept { return clock_; }  // of the latest event that came with a time

  // The id of a name, which is added as a newcomer if unknown.
  Player id(std::string_view name) {
    const Player known = names_.find(name);
    if (known != NameTable::absent) return known;
    system_.resize(static_cast<std::size_t>(names_.size()) + 1);
    if (keep_.history) history_.resize(size());
    return names_.intern(name);
  }

  // Adds many at once; those that are known stay as they are.
  void admit(const NameTable& newcomers) {
    std::size_t unknown = 0;
    for (Player k = 0; k < newcomers.size(); ++k)
      unknown += names_.find(newcomers.name(k)) == NameTable::absent ? 1u : 0u;
    system_.resize(static_cast<std::size_t>(names_.size()) + unknown);
    if (keep_.history) history_.resize(size());
    for (Player k = 0; k < newcomers.size(); ++k) (void)names_.intern(newcomers.name(k));
  }

  Status check(Player i, Player j, double score, double weight, Time time) const noexcept {
    if (!has(i) || !has(j)) return Status::unknown_model;
    if (i == j) return Status::self_contest;
    if (!accepts_score<S>(score) || !(weight >= 0.0 && weight <= max_match_weight)) return Status::out_of_range;
    if (time != no_time && time < clock_) return Status::out_of_range;
    return Status::ok;
  }

  // One match. Only keeping history or undo may allocate.
  Status update(Player i, Player j, double score, double weight = 1.0, Time time = no_time) {
    if (const Status status = check(i, j, score, weight, time); status != Status::ok) return status;
    play<false>(i, j, score, weight, time);
    return Status::ok;
  }

  // Matches in order, the same bits as one by one. `expected`: empty, or where to write the expected score of i before
  // each match. Nothing has changed if there is a fault.
  Fault update_many(const Matches& matches, std::span<double> expected = {});

  // What update_many would refuse, if there were so many players.
  Fault check_many(const Matches& matches, std::size_t players) const noexcept {
    return check_many(matches, 0, matches.size(), players, clock_);
  }

  // One contest among distinct players: a smaller loss is better, equal losses draw.
  Status contest(std::span<const Player> players, std::span<const double> losses, double weight = 1.0,
                 Time time = no_time);

  // One contest of teams, none of them empty: those of team k are players[first[k]] to players[first[k + 1] - 1].
  Status contest_teams(std::span<const Player> players, std::span<const std::size_t> first,
                       std::span<const double> losses, double weight = 1.0, Time time = no_time)
    requires HasTeams<S>;

  // Matches that are all rated from the states before any of them: one event. Times must not decrease; the last counts.
  Fault update_period(const Matches& matches)
    requires HasPeriods<S>;

  // Sets the state of a player, as an event.
  void put(Player i, const State& state);

  // Undoes the last n events, as far as they are remembered; says how many it undid. Newcomers stay.
  std::size_t undo(std::size_t n = 1) noexcept;
  std::size_t undoable() const noexcept { return marks_.size() - first_mark_; }

  // A player's states, oldest first; empty unless history is kept.
  std::span<const Moment> history(Player i) const noexcept {
    return keep_.history ? std::span<const Moment>(history_[static_cast<std::size_t>(i)]) : std::span<const Moment>();
  }
  // The state of a player at a time: after all events up to it, with what idleness has done since. Without history,
  // a time before the last event gives the present state.
  State state(Player i, Time at = no_time) const noexcept;

  // All players of another fleet with the same rules and no name in common come after these. What can be undone is
  // forgotten. wrong_kind: other rules, or only this one keeps history. out_of_range: a name in both, which `overlap`
  // tells.
  Status merge(const Ratings& other);
  Player overlap(const Ratings& other) const noexcept;  // id in `other` of a name in both, or NameTable::absent

  std::string snapshot() const;
  Status restore(std::string_view bytes);  // replaces all, rules included

 private:
  struct Change {
    Player player;
    std::int32_t zero;  // no padding, as it is written to snapshots
    State before;
  };
  struct Mark {
    std::size_t changes;  // how many changes there were before the event
    Time clock;
  };
  static constexpr std::size_t block = 2048;  // matches that are checked at a time, while they are in the cache
  static constexpr std::uint32_t layout = 1;  // of what stands around the system's own part of a snapshot

  Fault check_many(const Matches& matches, std::size_t first, std::size_t last, std::size_t players,
                   Time clock) const noexcept;
  Status check_contest(std::span<const Player> players, std::span<const double> losses, double weight, Time time);
  void play_many(const Matches& matches, std::size_t first, std::size_t last, std::span<double> expected);
  // The one way in which a checked match is played, so that all ways of calling give the same bits.
  template <bool predict>
  double play(Player i, Player j, double score, double weight, Time time) {
    const Player both[2] = {i, j};
    const bool record = recording();
    if (record) [[unlikely]]
      before(both);
    tick(time);
    double expected = 0.0;
    if constexpr (predict && requires(S s) { s.rate(i, j, score, weight, time); }) {
      expected = system_.rate(i, j, score, weight, clock_);
    } else {
      if constexpr (predict) expected = system_.expected(i, j, clock_);
      system_.apply(i, j, score, weight, clock_);
    }
    if (record) [[unlikely]]
      after(both);
    return expected;
  }
  void tick(Time time) noexcept {
    ++events_;
    if (time != no_time) clock_ = time;
  }

  // Around a change of the states of `players`; all that may allocate happens before.
  void before(std::span<const Player> players);
  void forget_last() noexcept;
  void after(std::span<const Player> players) noexcept;

  S system_;
  NameTable names_;
  KeepOptions keep_;
  Time clock_ = no_time;
  std::int64_t events_ = 0;
  std::vector<std::vector<Moment>> history_;  // one for each player
  std::vector<Change> changes_;               // of the events in marks_, oldest first
  std::vector<Mark> marks_;                   // those from first_mark_ on can be undone
  std::size_t first_mark_ = 0;
  std::vector<Player> sorted_;  // scratch of contest
};

}  // namespace fairlead

#include "fairlead/ratings_impl.hpp"
