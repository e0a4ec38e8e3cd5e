// PairedMatches into pairs: counts in a table where the players are few, else sorted.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "fairlead/bradley_terry.hpp"
#include "kernels/bradley_terry.hpp"
#include "kernels/dispatch.hpp"

namespace fairlead {

namespace {

constexpr std::uint32_t none = 0xffffffff;

Status check(const PairedMatches& m, std::size_t& bad) {
  const std::size_t n = m.i.size();
  bad = 0;
  if (m.j.size() != n || m.score.size() != n || (!m.weight.empty() && m.weight.size() != n))
    return Status::wrong_length;
  if (m.covariates.size() != n * m.columns || n >= none) return Status::wrong_length;
  const auto known = [&](std::int32_t id) { return id >= 0 && static_cast<std::size_t>(id) < m.players; };
  for (bad = 0; bad < n; ++bad) {
    if (!known(m.i[bad]) || !known(m.j[bad])) return Status::unknown_model;
    if (m.i[bad] == m.j[bad]) return Status::self_contest;
    if (!(m.score[bad] >= 0.0 && m.score[bad] <= 1.0)) return Status::out_of_range;
    if (m.weight.empty()) continue;
    if (!(m.weight[bad] >= 0.0 && m.weight[bad] <= BradleyTerry::max_weight)) return Status::out_of_range;
  }
  for (std::size_t k = 0; k < m.covariates.size(); ++k) {
    bad = k / m.columns;
    if (!std::isfinite(m.covariates[k])) return Status::not_finite;
  }
  return Status::ok;
}

void resize(PairCells& out, std::size_t cells) {
  for (auto* ids : {&out.i, &out.j}) ids->resize(cells);
  for (auto* sums : {&out.n, &out.s, &out.ss}) sums->resize(cells);
}

void set_counts(PairCells& out, std::size_t cell, std::size_t low, std::size_t high, const double count[3]) {
  out.i[cell] = static_cast<std::int32_t>(low);
  out.j[cell] = static_cast<std::int32_t>(high);
  out.n[cell] = count[0] + count[1] + count[2];
  out.s[cell] = count[2] + 0.5 * count[1];
  out.ss[cell] = count[2] + 0.25 * count[1];
}

// Few players, no weights, scores of 0, 1/2 and 1. False where a match is not of that kind.
bool count_in_table(const PairedMatches& m, PairCells& out) {
  const std::size_t players = m.players, entries = players * players;
  const auto& kernels =
      kernels::select(kernels::bradley_terry_scalar, kernels::bradley_terry_avx2, kernels::bradley_terry_avx512);
  constexpr std::size_t most = (std::size_t{1} << 21) - 1;  // matches that a field of the table holds
  constexpr std::uint64_t field = (std::uint64_t{1} << 21) - 1;
  std::vector<std::uint64_t> table(entries);
  std::vector<std::uint64_t> total[3];
  for (std::size_t done = 0; done < m.i.size(); done += most) {
    const std::size_t n = std::min(most, m.i.size() - done);
    if (done > 0) {
      for (std::size_t c = 0; c < 3; ++c) {
        total[c].resize(entries);
        for (std::size_t e = 0; e < entries; ++e) total[c][e] += table[e] >> (21 * c) & field;
      }
      std::fill(table.begin(), table.end(), 0);
    }
    if (kernels.tally(m.i.data() + done, m.j.data() + done, m.score.data() + done, n,
                      static_cast<std::int32_t>(players), table.data()) != n) {
      return false;
    }
  }
  resize(out, players * (players - 1) / 2);
  std::size_t cell = 0;
  for (std::size_t low = 0; low < players; ++low) {
    for (std::size_t high = low + 1; high < players; ++high) {
      const std::size_t e = low * players + high;
      double count[3];
      for (std::size_t c = 0; c < 3; ++c) {
        const std::uint64_t before = total[c].empty() ? 0 : total[c][e];
        count[c] = static_cast<double>(static_cast<std::int64_t>(before + (table[e] >> (21 * c) & field)));
      }
      if (count[0] + count[1] + count[2] > 0.0) set_counts(out, cell++, low, high, count);
    }
  }
  resize(out, cell);
  return true;
}

// Stable counting sort by a part of each record.
template <class Record, class Part>
void sort_by(std::vector<Record>& records, std::vector<Record>& spare, std::size_t parts, Part&& part) {
  std::vector<std::uint32_t> next(parts + 1);
  for (const Record& record : records) ++next[part(record) + 1];
  for (std::size_t p = 1; p <= parts; ++p) next[p] += next[p - 1];
  spare.resize(records.size());
  for (const Record& record : records) spare[next[part(record)]++] = record;
  records.swap(spare);
}

// Many players, no weights, scores of 0, 1/2 and 1: one word a match, low << 32 | high << 2 | twice the score of low.
// Sorted by low alone; the pairs of one low are told apart by a table over high.
bool count_sorted(const PairedMatches& m, PairCells& out) {
  std::vector<std::uint64_t> records(m.i.size()), spare;
  for (std::size_t k = 0; k < records.size(); ++k) {
    const double twice = 2.0 * m.score[k];
    if (twice != 0.0 && twice != 1.0 && twice != 2.0) return false;
    const bool swapped = m.i[k] > m.j[k];
    const auto low = static_cast<std::uint64_t>(swapped ? m.j[k] : m.i[k]);
    const auto high = static_cast<std::uint64_t>(swapped ? m.i[k] : m.j[k]);
    records[k] = low << 33 | high << 2 | static_cast<std::uint64_t>(swapped ? 2.0 - twice : twice);
  }
  sort_by(records, spare, m.players, [](std::uint64_t r) { return static_cast<std::size_t>(r >> 33); });
  for (auto* ids : {&out.i, &out.j}) ids->reserve(records.size());
  for (auto* sums : {&out.n, &out.s, &out.ss}) sums->reserve(records.size());
  std::vector<std::uint32_t> cell_of(m.players, none);  // of the newest low; older ones are told by being too small
  for (std::size_t k = 0; k < records.size();) {
    const std::uint64_t low = records[k] >> 33;
    const std::size_t first = out.i.size();
    for (; k < records.size() && records[k] >> 33 == low; ++k) {
      const auto high = static_cast<std::size_t>(records[k] >> 2 & 0x7fffffff);
      const double score = 0.5 * static_cast<double>(static_cast<int>(records[k] & 3));
      const double square = score * score;
      const std::uint32_t cell = cell_of[high];
      if (cell != none && cell >= first) {
        out.n[cell] += 1.0;
        out.s[cell] += score;
        out.ss[cell] += square;
        continue;
      }
      cell_of[high] = static_cast<std::uint32_t>(out.i.size());
      out.i.push_back(static_cast<std::int32_t>(low));
      out.j.push_back(static_cast<std::int32_t>(high));
      out.n.push_back(1.0);
      out.s.push_back(score);
      out.ss.push_back(square);
    }
  }
  return true;
}

// Which distinct row of covariates each match has; beyond 256 distinct rows every match is taken to have its own.
std::vector<std::uint32_t> distinct_rows(const PairedMatches& m, std::vector<double>& rows) {
  constexpr std::size_t slots = 1024, most = 256;
  std::vector<std::uint32_t> table(slots, none), row_of(m.i.size());
  for (std::size_t k = 0; k < row_of.size(); ++k) {
    const double* const row = m.covariates.data() + k * m.columns;
    std::uint64_t hash = 0;
    for (std::size_t c = 0; c < m.columns; ++c) {
      std::uint64_t bits;
      std::memcpy(&bits, row + c, sizeof bits);
      hash = (hash ^ bits) * 0x9e3779b97f4a7c15u;
      hash ^= hash >> 29;
    }
    std::size_t slot = hash % slots;
    while (table[slot] != none && !std::equal(row, row + m.columns, rows.data() + table[slot] * m.columns)) {
      slot = (slot + 1) % slots;
    }
    if (table[slot] == none) {
      const std::size_t distinct = rows.size() / m.columns;
      if (distinct == most) {
        rows.assign(m.covariates.begin(), m.covariates.end());
        for (std::size_t r = 0; r < row_of.size(); ++r) row_of[r] = static_cast<std::uint32_t>(r);
        return row_of;
      }
      table[slot] = static_cast<std::uint32_t>(distinct);
      rows.insert(rows.end(), row, row + m.columns);
    }
    row_of[k] = table[slot];
  }
  return row_of;
}

// Which cell each match belongs to, `none` for a weight of 0; fills the cells' players and rows. Without covariates the
// smaller id comes first; with them the order stays, as it tells their sign.
std::vector<std::uint32_t> cells_of(const PairedMatches& m, PairCells& out) {
  const std::size_t n = m.i.size();
  std::vector<std::uint32_t> row_of, cell_of(n, none);
  if (m.columns > 0) row_of = distinct_rows(m, out.rows);
  const std::size_t distinct = m.columns > 0 ? out.rows.size() / m.columns : 1;
  const auto skipped = [&](std::size_t k) { return !m.weight.empty() && m.weight[k] == 0.0; };
  const auto swapped = [&](std::size_t k) { return m.columns == 0 && m.i[k] > m.j[k]; };
  const auto low = [&](std::size_t k) { return static_cast<std::size_t>(swapped(k) ? m.j[k] : m.i[k]); };
  const auto high = [&](std::size_t k) { return static_cast<std::size_t>(swapped(k) ? m.i[k] : m.j[k]); };
  const auto row = [&](std::size_t k) { return row_of.empty() ? std::size_t{0} : row_of[k]; };
  const auto add = [&](std::size_t i, std::size_t j, std::size_t r) {
    out.i.push_back(static_cast<std::int32_t>(i));
    out.j.push_back(static_cast<std::int32_t>(j));
    if (m.columns > 0) out.row.push_back(static_cast<std::uint32_t>(r));
    return static_cast<std::uint32_t>(out.i.size() - 1);
  };
  const std::size_t entries = m.players <= 0x7fff ? m.players * m.players * distinct : static_cast<std::size_t>(-1);
  if (entries <= std::max<std::size_t>(n, 65'536)) {
    std::vector<std::uint32_t> table(entries, none);
    for (std::size_t k = 0; k < n; ++k) {
      if (skipped(k)) continue;
      cell_of[k] = static_cast<std::uint32_t>((low(k) * m.players + high(k)) * distinct + row(k));
      table[cell_of[k]] = 0;
    }
    for (std::size_t e = 0; e < entries; ++e) {
      if (table[e] != none) table[e] = add(e / distinct / m.players, e / distinct % m.players, e % distinct);
    }
    for (std::uint32_t& cell : cell_of) cell = cell == none ? none : table[cell];
    return cell_of;
  }
  if (distinct > 1 && distinct == n) {  // no two matches share a cell
    for (std::size_t k = 0; k < n; ++k) cell_of[k] = skipped(k) ? none : add(low(k), high(k), row(k));
    return cell_of;
  }
  std::vector<std::uint32_t> order, spare;
  for (std::size_t k = 0; k < n; ++k) {
    if (!skipped(k)) order.push_back(static_cast<std::uint32_t>(k));
  }
  if (distinct > 1) sort_by(order, spare, distinct, row);
  sort_by(order, spare, m.players, high);
  sort_by(order, spare, m.players, low);
  for (std::size_t at = 0; at < order.size(); ++at) {
    const std::size_t k = order[at], before = at > 0 ? order[at - 1] : k;
    const bool same = at > 0 && low(k) == low(before) && high(k) == high(before) && row(k) == row(before);
    cell_of[k] = same ? cell_of[before] : add(low(k), high(k), row(k));
  }
  return cell_of;
}

// Any matches: with weights, other scores, covariates.
void sum_any(const PairedMatches& m, PairCells& out) {
  const std::vector<std::uint32_t> cell_of = cells_of(m, out);
  const bool weighted = !m.weight.empty(), keep = weighted || !out.halves;
  const std::size_t cells = out.i.size();
  for (auto* sums : {&out.n, &out.s, &out.ss}) sums->assign(cells, 0.0);
  if (weighted) {
    for (auto* sums : {&out.n2, &out.s2, &out.ss2}) sums->assign(cells, 0.0);
  }
  if (keep) {
    out.cell_of.reserve(cell_of.size());
    for (auto* values : {&out.score, &out.weight}) values->reserve(cell_of.size());
  }
  for (std::size_t k = 0; k < cell_of.size(); ++k) {
    const std::uint32_t c = cell_of[k];
    if (c == none) continue;
    const double score = m.columns == 0 && m.i[k] > m.j[k] ? 1.0 - m.score[k] : m.score[k];
    const double w = weighted ? m.weight[k] : 1.0;
    out.n[c] += w;
    out.s[c] += w * score;
    out.ss[c] += w * score * score;
    if (weighted) {
      out.n2[c] += w * w;
      out.s2[c] += w * w * score;
      out.ss2[c] += w * w * score * score;
    }
    if (keep) {
      out.cell_of.push_back(c);
      out.score.push_back(score);
      out.weight.push_back(w);
    }
  }
}

}  // namespace

Status aggregate(const PairedMatches& m, PairCells& out, std::size_t& bad) try {
  PairCells cells;
  cells.players = m.players;
  cells.columns = m.columns;
  cells.matches = m.i.size();
  const bool same = m.j.size() == m.i.size() && m.score.size() == m.i.size();
  const bool in_table = m.players <= 0x7fff && m.players * m.players <= std::max<std::size_t>(m.i.size(), 65'536);
  const bool plain = same && m.weight.empty() && m.columns == 0 && m.i.size() < none;
  // The table's kernel checks as it counts.
  if (!plain || !in_table || m.players == 0 || !count_in_table(m, cells)) {
    if (const Status status = check(m, bad); status != Status::ok) return status;
    if (in_table || !plain || !count_sorted(m, cells)) {
      cells.halves =
          std::all_of(m.score.begin(), m.score.end(), [](double s) { return s == 0.0 || s == 0.5 || s == 1.0; });
      sum_any(m, cells);
    }
  }
  out = std::move(cells);
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace fairlead
