// Who can be compared with whom. The likelihood has a finite maximum just where every player can be reached from every
// other along "won or drew against" (L. R. Ford Jr., 1957): inside a strongly connected component of that graph.
#include <algorithm>
#include <numeric>

#include "bradley_terry_model.hpp"

namespace fairlead::bradley_terry {

namespace {

using Ids = std::vector<std::int32_t>;

std::size_t at(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// Arcs from winners to losers, or the other way round; a draw is both.
struct Arcs {
  std::vector<std::uint32_t> first;
  Ids to;

  Arcs(const PairCells& cells, bool from_winner) : first(cells.players + 1) {
    each(cells, from_winner, [&](std::int32_t from, std::int32_t) { ++first[at(from) + 1]; });
    std::partial_sum(first.begin(), first.end(), first.begin());
    to.resize(first.back());
    std::vector<std::uint32_t> next(first.begin(), first.end() - 1);
    each(cells, from_winner, [&](std::int32_t from, std::int32_t target) { to[next[at(from)]++] = target; });
  }

  std::span<const std::int32_t> of(std::int32_t player) const noexcept {
    return {to.data() + first[at(player)], first[at(player) + 1] - first[at(player)]};
  }

 private:
  template <class Use>
  static void each(const PairCells& cells, bool from_winner, Use&& use) {
    for (std::size_t c = 0; c < cells.size(); ++c) {
      const bool won = cells.s[c] > 0.0, lost = cells.s[c] < cells.n[c];
      if (from_winner ? won : lost) use(cells.i[c], cells.j[c]);
      if (from_winner ? lost : won) use(cells.j[c], cells.i[c]);
    }
  }
};

// The usual case, in a few passes over the pairs: all who played reach, and are reached from, the first player.
// `played` is set in any case.
bool strongly_connected(const PairCells& cells, std::vector<std::uint8_t>& played) {
  constexpr unsigned reached = 1, reaches = 2, plays = 4, all = 7;
  std::vector<std::uint8_t> flags(cells.players);
  flags[at(cells.i[0])] = all;
  bool done = false;
  for (int pass = 0; pass < 8 && !done; ++pass) {
    for (std::size_t c = 0; c < cells.size();) {
      const std::int32_t first = cells.i[c];
      unsigned i = flags[at(first)] | plays;
      for (; c < cells.size() && cells.i[c] == first; ++c) {
        const unsigned j = flags[at(cells.j[c])];
        const unsigned won = cells.s[c] > 0.0 ? all : 0, lost = cells.s[c] < cells.n[c] ? all : 0;
        flags[at(cells.j[c])] = static_cast<std::uint8_t>(j | plays | (i & ((won & reached) | (lost & reaches))));
        i |= j & ((lost & reached) | (won & reaches));
      }
      flags[at(first)] = static_cast<std::uint8_t>(i);
    }
    done = std::all_of(flags.begin(), flags.end(), [](std::uint8_t f) { return f == all || f == 0; });
  }
  for (std::size_t k = 0; k < flags.size(); ++k) played[k] = flags[k] & plays ? 1 : 0;
  return done;
}

// Strongly connected components: R. Tarjan (1972), without recursion.
Ids strong_components(const Arcs& arcs, std::size_t players, std::int32_t& count) {
  Ids component(players, -1), order(players, -1), low(players), stack, path;
  std::vector<std::uint32_t> next(players);
  std::int32_t seen = 0;
  count = 0;
  for (std::size_t root = 0; root < players; ++root) {
    if (order[root] >= 0) continue;
    path.push_back(static_cast<std::int32_t>(root));
    while (!path.empty()) {
      const std::int32_t k = path.back();
      if (order[at(k)] < 0) {
        order[at(k)] = low[at(k)] = seen++;
        stack.push_back(k);
      }
      const auto targets = arcs.of(k);
      bool descended = false;
      while (next[at(k)] < targets.size()) {
        const std::int32_t target = targets[next[at(k)]];
        if (order[at(target)] < 0) {
          path.push_back(target);
          descended = true;
          break;
        }
        if (component[at(target)] < 0) low[at(k)] = std::min(low[at(k)], low[at(target)]);
        ++next[at(k)];
      }
      if (descended) continue;
      path.pop_back();
      if (low[at(k)] != order[at(k)]) continue;
      for (bool more = true; more;) {
        more = stack.back() != k;
        component[at(stack.back())] = count;
        stack.pop_back();
      }
      ++count;
    }
  }
  return component;
}

std::int32_t root_of(Ids& parent, std::int32_t k) noexcept {
  while (parent[at(k)] != k) k = parent[at(k)] = parent[at(parent[at(k)])];
  return k;
}

// Connected components by any match, numbered from the largest (then the most weight, then the first player).
Ids components(const PairCells& cells, const std::vector<std::uint8_t>& played, const std::vector<double>& games) {
  Ids parent(cells.players);
  std::iota(parent.begin(), parent.end(), 0);
  for (std::size_t c = 0; c < cells.size(); ++c) parent[at(root_of(parent, cells.i[c]))] = root_of(parent, cells.j[c]);
  std::vector<double> size(cells.players), weight(cells.players);
  Ids roots, first(cells.players, -1), number(cells.players, -1);
  for (std::size_t k = 0; k < cells.players; ++k) {
    if (!played[k]) continue;
    const std::int32_t root = root_of(parent, static_cast<std::int32_t>(k));
    if (first[at(root)] < 0) {
      first[at(root)] = static_cast<std::int32_t>(k);
      roots.push_back(root);
    }
    size[at(root)] += 1.0;
    weight[at(root)] += games[k];
  }
  std::stable_sort(roots.begin(), roots.end(), [&](std::int32_t a, std::int32_t b) {
    return size[at(a)] != size[at(b)] ? size[at(a)] > size[at(b)] : weight[at(a)] > weight[at(b)];
  });
  for (std::size_t r = 0; r < roots.size(); ++r) number[at(roots[r])] = static_cast<std::int32_t>(r);
  Ids out(cells.players, -1);
  for (std::size_t k = 0; k < cells.players; ++k) {
    if (played[k]) out[k] = number[at(root_of(parent, static_cast<std::int32_t>(k)))];
  }
  return out;
}

// Everyone whom the arcs reach from the players that are marked.
std::vector<std::uint8_t> spread(const Arcs& arcs, std::vector<std::uint8_t> marked) {
  Ids todo;
  for (std::size_t k = 0; k < marked.size(); ++k) {
    if (marked[k]) todo.push_back(static_cast<std::int32_t>(k));
  }
  while (!todo.empty()) {
    const std::int32_t k = todo.back();
    todo.pop_back();
    for (const std::int32_t target : arcs.of(k)) {
      if (marked[at(target)]) continue;
      marked[at(target)] = 1;
      todo.push_back(target);
    }
  }
  return marked;
}

}  // namespace

Groups group(const PairCells& cells) {
  const std::size_t players = cells.players;
  std::vector<std::uint8_t> played(players);
  Groups out;
  out.standing.assign(players, Standing::ok);
  const bool connected = strongly_connected(cells, played);
  out.main = played;
  if (connected) {
    out.component.assign(players, 0);
    out.main_size = {static_cast<double>(std::count(played.begin(), played.end(), 1))};
    for (std::size_t k = 0; k < players; ++k) {
      if (played[k]) continue;
      out.component[k] = -1;
      out.standing[k] = Standing::unplayed;
    }
    return out;
  }
  std::vector<std::uint8_t> won(players), lost(players);
  std::vector<double> games(players);
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::size_t i = at(cells.i[c]), j = at(cells.j[c]);
    games[i] += cells.n[c];
    games[j] += cells.n[c];
    if (cells.s[c] > 0.0) won[i] = lost[j] = 1;
    if (cells.s[c] < cells.n[c]) won[j] = lost[i] = 1;
  }
  out.component = components(cells, played, games);
  const auto n_components = static_cast<std::size_t>(*std::max_element(out.component.begin(), out.component.end()) + 1);
  const Arcs to_losers(cells, true), to_winners(cells, false);
  std::int32_t n_strong = 0;
  const Ids strong = strong_components(to_losers, players, n_strong);
  std::vector<double> size(at(n_strong)), weight(at(n_strong));
  for (std::size_t k = 0; k < players; ++k) {
    size[at(strong[k])] += 1.0;
    weight[at(strong[k])] += games[k];
  }
  // The main group of a component: the largest of its strong ones; of those alike the one with the most weight.
  Ids main_of(n_components, -1);
  for (std::size_t k = 0; k < players; ++k) {
    if (!played[k]) continue;
    std::int32_t& best = main_of[at(out.component[k])];
    const std::size_t s = at(strong[k]);
    if (best < 0 || size[s] > size[at(best)] || (size[s] == size[at(best)] && weight[s] > weight[at(best)]))
      best = strong[k];
  }
  out.main_size.assign(n_components, 0.0);
  std::vector<std::uint8_t> core(players);  // of a main group of at least two, which stands by itself
  for (std::size_t k = 0; k < players; ++k) {
    if (!played[k]) continue;
    const std::int32_t group = main_of[at(out.component[k])];
    const bool order_only = size[at(group)] == 1.0;  // a pure order: all are centred on all
    core[k] = !order_only && strong[k] == group ? 1 : 0;
    out.main[k] = order_only || core[k] ? 1 : 0;
    if (out.main[k]) out.main_size[at(out.component[k])] += 1.0;
  }
  const auto below = spread(to_losers, core), above = spread(to_winners, core);
  for (std::size_t k = 0; k < players; ++k) {
    if (core[k]) continue;
    if (played[k]) out.needy.push_back(static_cast<std::int32_t>(k));
    out.standing[k] = !played[k] ? Standing::unplayed
                      : !lost[k] ? Standing::undefeated
                      : !won[k]  ? Standing::winless
                      : above[k] ? Standing::above
                      : below[k] ? Standing::below
                                 : Standing::apart;
  }
  return out;
}

}  // namespace fairlead::bradley_terry
