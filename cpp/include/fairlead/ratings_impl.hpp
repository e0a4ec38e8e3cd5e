// The longer members of Ratings; included by ratings.hpp, and only by it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstring>
#include <iterator>

#include "fairlead/ratings.hpp"

namespace fairlead {

template <RatingSystem S>
Fault Ratings<S>::check_many(const Matches& m, std::size_t first, std::size_t last, std::size_t players,
                             Time clock) const noexcept {
  // One look at each column, without a branch in the loop, so that they vectorise; only a fault is then searched for.
  const std::uint32_t top = static_cast<std::uint32_t>(players) - 1u;
  std::uint32_t outside = players == 0 ? ~0u : 0u;
  std::uint32_t same = 0;
  const Player* const one = m.i.data();
  const Player* const other = m.j.data();
  for (std::size_t k = first; k < last; ++k) {
    const auto i = static_cast<std::uint32_t>(one[k]), j = static_cast<std::uint32_t>(other[k]);
    outside |= i | j | (top - i) | (top - j);  // the sign bit
    same |= i == j ? 1u : 0u;
  }
  // Doubles from 0 to `most` have the bit patterns from 0 to that of `most`. (-0.0 has not; the search forgives it.)
  const auto within = [first, last](std::span<const double> column, double most) {
    const double* const x = column.data();
    const auto top_bits = std::bit_cast<std::uint64_t>(most);
    std::uint64_t outside_bits = 0;
    for (std::size_t k = first; k < last; ++k) {
      const auto bits = std::bit_cast<std::uint64_t>(x[k]);
      outside_bits |= bits | (top_bits - bits);
    }
    return (outside_bits >> 63) == 0;
  };
  bool ok = (outside >> 31) == 0 && same == 0 && within(m.score, 1.0);
  if constexpr (requires(double score) { S::accepts_score(score); }) {
    for (std::size_t k = first; k < last; ++k) ok = ok & S::accepts_score(m.score[k]);
  }
  if (!m.weight.empty()) ok = ok && within(m.weight, max_match_weight);
  if (!m.time.empty()) {
    for (std::size_t k = first; k < last; ++k) {
      if (m.time[k] == no_time) continue;
      ok = ok && m.time[k] >= clock;
      clock = std::max(clock, m.time[k]);
    }
  }
  if (ok) return {};
  Time latest = clock_;
  for (std::size_t k = 0; k < last; ++k) {
    const Player i = m.i[k], j = m.j[k];
    const Time time = m.time_of(k);
    const auto known = [players](Player p) { return p >= 0 && static_cast<std::size_t>(p) < players; };
    Status status = Status::ok;
    if (!known(i) || !known(j))
      status = Status::unknown_model;
    else if (i == j)
      status = Status::self_contest;
    else if (!accepts_score<S>(m.score[k]) ||
             !(m.weight_of(k) >= 0.0 && m.weight_of(k) <= max_match_weight)) {
      status = Status::out_of_range;
    } else if (time != no_time && time < latest)
      status = Status::out_of_range;
    if (status != Status::ok) return {status, k};
    if (time != no_time) latest = time;
  }
  return {};
}

template <RatingSystem S>
void Ratings<S>::play_many(const Matches& m, std::size_t first, std::size_t last, std::span<double> expected) {
  if constexpr (requires { system_.rate_many(m, first, last, clock_, expected.data()); }) {
    if (!recording()) {
      system_.rate_many(m, first, last, clock_, expected.empty() ? nullptr : expected.data());
      events_ += static_cast<std::int64_t>(last - first);
      for (std::size_t k = last; !m.time.empty() && k > first; --k) {
        if (m.time[k - 1] == no_time) continue;
        clock_ = m.time[k - 1];
        break;
      }
      return;
    }
  }
  if (expected.empty()) {
    for (std::size_t k = first; k < last; ++k) play<false>(m.i[k], m.j[k], m.score[k], m.weight_of(k), m.time_of(k));
  } else {
    for (std::size_t k = first; k < last; ++k) {
      expected[k] = play<true>(m.i[k], m.j[k], m.score[k], m.weight_of(k), m.time_of(k));
    }
  }
}

template <RatingSystem S>
Fault Ratings<S>::update_many(const Matches& m, std::span<double> expected) {
  const std::size_t n = m.size();
  // Each block of ids is copied before it is checked and played: whoever else can write to the caller's columns can spoil
  // the ratings, but never make this write out of bounds.
  std::array<Player, block> i, j;
  const auto own = [&](std::size_t first, std::size_t last) -> Matches {
    const auto part = [&](auto column) { return column.empty() ? column : column.subspan(first, last - first); };
    std::copy_n(m.i.data() + first, last - first, i.data());
    std::copy_n(m.j.data() + first, last - first, j.data());
    return {{i.data(), last - first}, {j.data(), last - first}, part(m.score), part(m.weight), part(m.time)};
  };
  const auto results = [&](std::size_t first, std::size_t last) {
    return expected.empty() ? expected : expected.subspan(first, last - first);
  };
  if (n <= block || recording() || size() > n / 4) {
    if (const Fault fault = check_many(m, size())) return fault;
    for (std::size_t first = 0; first < n; first += block) {
      const std::size_t last = std::min(first + block, n);
      const Matches matches = own(first, last);
      if (const Fault fault = check_many(matches, 0, last - first, size(), clock_)) return {fault.status, first + fault.row};
      play_many(matches, 0, last - first, results(first, last));
    }
    return {};
  }
  // Checked while in the cache; should a later block be refused, all goes back to what it was.
  S system_before = system_;
  const Time clock_before = clock_;
  const std::int64_t events_before = events_;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t last = std::min(first + block, n);
    const Matches matches = own(first, last);
    if (const Fault fault = check_many(matches, 0, last - first, size(), clock_)) {
      system_ = std::move(system_before);
      clock_ = clock_before;
      events_ = events_before;
      return {fault.status, first + fault.row};
    }
    play_many(matches, 0, last - first, results(first, last));
  }
  return {};
}

template <RatingSystem S>
Status Ratings<S>::check_contest(std::span<const Player> players, std::span<const double> losses, double weight,
                                 Time time) {
  if (!(weight >= 0.0 && weight <= max_match_weight) || (time != no_time && time < clock_)) return Status::out_of_range;
  for (const Player i : players) {
    if (!has(i)) return Status::unknown_model;
  }
  sorted_.assign(players.begin(), players.end());
  std::sort(sorted_.begin(), sorted_.end());
  if (std::adjacent_find(sorted_.begin(), sorted_.end()) != sorted_.end()) return Status::self_contest;
  for (const double loss : losses) {
    if (loss != loss) return Status::not_finite;
  }
  return Status::ok;
}

template <RatingSystem S>
Status Ratings<S>::contest(std::span<const Player> players, std::span<const double> losses, double weight, Time time) {
  if (losses.size() != players.size()) return Status::wrong_length;
  if (const Status status = check_contest(players, losses, weight, time); status != Status::ok) return status;
  if (recording()) before(players);
  tick(time);
  if (players.size() > 1) system_.apply_contest(players, losses, weight, clock_);
  if (recording()) after(players);
  return Status::ok;
}

template <RatingSystem S>
Status Ratings<S>::contest_teams(std::span<const Player> players, std::span<const std::size_t> first,
                                 std::span<const double> losses, double weight, Time time)
  requires HasTeams<S>
{
  if (first.size() != losses.size() + 1 || first.front() != 0 || first.back() != players.size())
    return Status::wrong_length;
  for (std::size_t k = 0; k < losses.size(); ++k) {
    if (first[k] >= first[k + 1]) return Status::wrong_length;
  }
  if (const Status status = check_contest(players, losses, weight, time); status != Status::ok) return status;
  if (recording()) before(players);
  tick(time);
  if (losses.size() > 1) system_.apply_teams(players, first, losses, weight, clock_);
  if (recording()) after(players);
  return Status::ok;
}

template <RatingSystem S>
Fault Ratings<S>::update_period(const Matches& given)
  requires HasPeriods<S>
{
  const std::vector<Player> i(given.i.begin(), given.i.end()), j(given.j.begin(), given.j.end());  // see update_many
  const Matches m{i, j, given.score, given.weight, given.time};
  if (const Fault fault = check_many(m, size())) return fault;
  Time latest = no_time;
  for (const Time time : m.time) latest = std::max(latest, time);
  // Anyone's state may change in a period, also that of those who did not play.
  std::vector<Player> all;
  if (recording()) {
    all.resize(size());
    for (std::size_t k = 0; k < all.size(); ++k) all[k] = static_cast<Player>(k);
    before(all);
  }
  const Time clock = latest == no_time ? clock_ : latest;
  try {
    system_.apply_period(m, clock);
  } catch (...) {
    if (keep_.undo > 0) forget_last();
    throw;
  }
  tick(latest);
  if (recording()) after(all);
  return {};
}

template <RatingSystem S>
void Ratings<S>::put(Player i, const State& state) {
  if (recording()) before({&i, 1});
  tick(no_time);
  system_.put(i, state);
  if (recording()) after({&i, 1});
}

template <RatingSystem S>
void Ratings<S>::before(std::span<const Player> players) {
  if (keep_.history) {
    for (const Player i : players) {
      auto& moments = history_[static_cast<std::size_t>(i)];
      if (moments.size() == moments.capacity()) moments.reserve(2 * moments.size() + 8);
    }
  }
  if (keep_.undo == 0) return;
  if (first_mark_ > keep_.undo) {  // as many are forgotten as are remembered: make room
    const std::size_t gone = undoable() > 0 ? marks_[first_mark_].changes : changes_.size();
    changes_.erase(changes_.begin(), changes_.begin() + static_cast<std::ptrdiff_t>(gone));
    marks_.erase(marks_.begin(), marks_.begin() + static_cast<std::ptrdiff_t>(first_mark_));
    for (Mark& mark : marks_) mark.changes -= gone;
    first_mark_ = 0;
  }
  if (changes_.size() + players.size() > changes_.capacity()) changes_.reserve(2 * (changes_.size() + players.size()));
  marks_.push_back({changes_.size(), clock_});
  for (const Player i : players) changes_.push_back({i, 0, system_.state(i)});
  if (undoable() > keep_.undo) ++first_mark_;
}

template <RatingSystem S>
void Ratings<S>::after(std::span<const Player> players) noexcept {
  if (!keep_.history) return;
  for (const Player i : players) history_[static_cast<std::size_t>(i)].push_back({events_, clock_, system_.state(i)});
}

template <RatingSystem S>
void Ratings<S>::forget_last() noexcept {
  changes_.resize(marks_.back().changes);
  marks_.pop_back();
}

template <RatingSystem S>
std::size_t Ratings<S>::undo(std::size_t n) noexcept {
  const std::size_t undone = std::min(n, undoable());
  for (std::size_t k = 0; k < undone; ++k) {
    const Mark mark = marks_.back();
    for (std::size_t c = mark.changes; c < changes_.size(); ++c) {
      system_.put(changes_[c].player, changes_[c].before);
      if (keep_.history) history_[static_cast<std::size_t>(changes_[c].player)].pop_back();
    }
    clock_ = mark.clock;
    --events_;
    forget_last();
  }
  return undone;
}

template <RatingSystem S>
typename Ratings<S>::State Ratings<S>::state(Player i, Time at) const noexcept {
  if (at == no_time || !keep_.history || at >= clock_) return system_.at(system_.state(i), at);
  const auto moments = history(i);
  const auto next = std::upper_bound(moments.begin(), moments.end(), at,
                                     [](Time time, const Moment& moment) { return time < moment.time; });
  return system_.at(next == moments.begin() ? system_.newcomer() : std::prev(next)->state, at);
}

template <RatingSystem S>
Player Ratings<S>::overlap(const Ratings& other) const noexcept {
  for (Player i = 0; i < other.names_.size(); ++i) {
    if (names_.find(other.names_.name(i)) != NameTable::absent) return i;
  }
  return NameTable::absent;
}

template <RatingSystem S>
Status Ratings<S>::merge(const Ratings& other) {
  if (!system_.same_rules(other.system_) || (keep_.history && !other.keep_.history)) return Status::wrong_kind;
  if (overlap(other) != NameTable::absent) return Status::out_of_range;
  for (Player i = 0; i < other.names_.size(); ++i) {
    const Player here = id(other.names_.name(i));
    system_.put(here, other.system_.state(i));
    if (keep_.history) history_.back() = other.history_[static_cast<std::size_t>(i)];
  }
  events_ += other.events_;
  clock_ = std::max(clock_, other.clock_);
  changes_.clear();
  marks_.clear();
  first_mark_ = 0;
  return Status::ok;
}

template <RatingSystem S>
std::string Ratings<S>::snapshot() const {
  SnapshotWriter writer(S::family, S::version);
  const auto put_raw = [&writer]<class T>(const std::vector<T>& values) {
    writer.put(std::span(reinterpret_cast<const std::uint8_t*>(values.data()), values.size() * sizeof(T)));
  };
  writer.put(layout);
  system_.save(writer);
  writer.put(names_);
  writer.put(clock_);
  writer.put(events_);
  writer.put(static_cast<std::uint8_t>(keep_.history));
  writer.put(static_cast<std::uint64_t>(keep_.undo));
  for (const auto& moments : history_) put_raw(moments);
  put_raw(changes_);
  put_raw(marks_);
  writer.put(static_cast<std::uint64_t>(first_mark_));
  return writer.finish();
}

template <RatingSystem S>
Status Ratings<S>::restore(std::string_view bytes) {
  SnapshotReader reader(bytes, S::family, S::version);
  const auto get_raw = [&reader]<class T>(std::vector<T>& values) {
    std::vector<std::uint8_t> raw;
    reader.get(raw);
    reader.require(raw.size() % sizeof(T) == 0);
    if (!reader.ok()) return;
    values.resize(raw.size() / sizeof(T));
    if (!raw.empty()) std::memcpy(values.data(), raw.data(), raw.size());
  };
  std::uint32_t written = 0;
  reader.get(written);
  reader.require(written == layout);
  if (!reader.ok()) return Status::bad_snapshot;
  Ratings read(S{});
  std::uint64_t undo = 0, first_mark = 0;
  read.system_.load(reader);
  reader.get(read.names_);
  reader.get(read.clock_);
  reader.get(read.events_);
  std::uint8_t history = 0;
  reader.get(history);
  read.keep_.history = history != 0;
  reader.get(undo);
  reader.require(static_cast<std::size_t>(read.names_.size()) == read.size());
  if (!reader.ok()) return Status::bad_snapshot;
  read.keep_.undo = static_cast<std::size_t>(undo);
  if (read.keep_.history) read.history_.resize(read.size());
  for (auto& moments : read.history_) get_raw(moments);
  get_raw(read.changes_);
  get_raw(read.marks_);
  reader.get(first_mark);
  read.first_mark_ = static_cast<std::size_t>(first_mark);
  reader.require(read.first_mark_ <= read.marks_.size());
  std::size_t changes = 0;
  for (const Mark& mark : read.marks_) {
    reader.require(mark.changes >= changes && mark.changes <= read.changes_.size());
    changes = mark.changes;
  }
  std::vector<std::size_t> moments(read.keep_.history ? read.size() : 0);  // that undoing everything would take away
  for (const Change& change : read.changes_) {
    const bool known = read.has(change.player);
    reader.require(known);
    if (known && read.keep_.history) ++moments[static_cast<std::size_t>(change.player)];
  }
  for (std::size_t i = 0; i < moments.size(); ++i) reader.require(moments[i] <= read.history_[i].size());
  reader.require(read.events_ >= 0 && static_cast<std::uint64_t>(read.events_) >= read.undoable());
  if (const Status status = reader.finish(); status != Status::ok) return status;
  *this = std::move(read);
  return Status::ok;
}

}  // namespace fairlead
