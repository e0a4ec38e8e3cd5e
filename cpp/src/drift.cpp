#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "fairlead/psi.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/psi.hpp"

namespace fairlead {

namespace {

const kernels::PsiKernels& chosen() noexcept {
  return kernels::select(kernels::psi_scalar, kernels::psi_avx2, kernels::psi_avx512);
}

// Lanes count in 32 bits.
constexpr std::size_t chunk = std::size_t{1} << 30;

// From how many are above each edge, and how many are numbers, to how many are in each bin.
void add_bins(const std::uint64_t* above, std::size_t n_edges, std::size_t step, std::uint64_t numbers, std::size_t n,
              std::uint64_t* counts) noexcept {
  std::uint64_t more = numbers;
  for (std::size_t i = 0; i < n_edges; ++i) {
    counts[i] += more - above[i * step];
    more = above[i * step];
  }
  counts[n_edges] += more;
  counts[n_edges + 1] += n - numbers;
}

// The largest float that is not above x: a float is above the one exactly when it is above the other.
float floor_to_float(double x) noexcept {
  const auto near = static_cast<float>(x);
  return static_cast<double>(near) > x ? std::nextafterf(near, -std::numeric_limits<float>::infinity()) : near;
}

}  // namespace

void Psi::index_edges() {
  first_.clear();
  half_ = std::bit_floor(edges_.size());
  search_edges_.assign(edges_.begin(), edges_.end());
  search_edges_.resize(2 * half_, std::numeric_limits<double>::infinity());
  if (edges_.size() <= compared) return;
  // Cells span the finite edges; what lies outside is in the first or the last.
  double low = edges_.front(), high = edges_.back();
  if (std::isinf(low)) low = edges_[1];
  if (std::isinf(high)) high = edges_[edges_.size() - 2];
  low_ = low;
  scale_ = static_cast<double>(cells) / (high - low);
  if (!std::isfinite(scale_) || !std::isfinite(high - low)) scale_ = 0.0;
  const kernels::Cells map{low_, scale_, static_cast<std::uint32_t>(cells - 1)};
  std::array<std::uint16_t, max_bins> cell{};
  kernels::psi_scalar.cells(edges_.data(), edges_.size(), map, cell.data());
  // An edge of a lower cell lies below every number of this one, as the map is monotone.
  std::size_t below = 0, most = 0;
  for (std::size_t c = 0; c < cells; ++c) {
    const std::size_t start = below;
    while (below < edges_.size() && cell[below] == c) ++below;
    first_.push_back(static_cast<std::uint32_t>(start));
    most = std::max(most, below - start);
  }
  steps_ = static_cast<std::uint32_t>(std::bit_width(most));
  search_edges_.resize(std::max(2 * half_, edges_.size() + (std::size_t{1} << steps_)),
                       std::numeric_limits<double>::infinity());
}

void Psi::count(std::span<const double> sample, std::span<std::uint64_t> counts) const noexcept {
  const auto& run = chosen();
  for (std::size_t at = 0; at < sample.size(); at += chunk) {
    const std::size_t n = std::min(chunk, sample.size() - at);
    if (first_.empty()) {
      std::array<std::uint64_t, compared + 1> above{};
      const std::uint64_t numbers = run.count_above(sample.data() + at, n, edges_.data(), edges_.size(), above.data());
      add_bins(above.data(), edges_.size(), 1, numbers, n, counts.data());
      continue;
    }
    std::array<std::uint32_t, max_bins + 1> found{};
    const kernels::EdgeTable table{{low_, scale_, static_cast<std::uint32_t>(cells - 1)},
                                   first_.data(),
                                   search_edges_.data(),
                                   steps_,
                                   static_cast<std::uint32_t>(size() - 1)};
    run.count_bins(sample.data() + at, n, table, found.data());
    for (std::size_t i = 0; i < size(); ++i) counts[i] += found[i];
  }
}

void Psi::count(std::span<const float> sample, std::span<std::uint64_t> counts) const noexcept {
  if (!first_.empty()) {
    std::array<double, 1024> wide;
    for (std::size_t at = 0; at < sample.size(); at += wide.size()) {
      const auto part = sample.subspan(at, std::min(wide.size(), sample.size() - at));
      for (std::size_t i = 0; i < part.size(); ++i) wide[i] = static_cast<double>(part[i]);
      count(std::span<const double>(wide).first(part.size()), counts);
    }
    return;
  }
  std::array<float, compared + 1> edges{};
  for (std::size_t i = 0; i < edges_.size(); ++i) edges[i] = floor_to_float(edges_[i]);
  const auto& run = chosen();
  for (std::size_t at = 0; at < sample.size(); at += chunk) {
    const std::size_t n = std::min(chunk, sample.size() - at);
    std::array<std::uint64_t, compared + 1> above{};
    const std::uint64_t numbers = run.count_above_f32(sample.data() + at, n, edges.data(), edges_.size(), above.data());
    add_bins(above.data(), edges_.size(), 1, numbers, n, counts.data());
  }
}

std::vector<std::uint64_t> PsiTable::count(const double* x, std::size_t rows, std::ptrdiff_t row,
                                           std::ptrdiff_t column) const {
  std::vector<std::size_t> start(columns_.size() + 1);
  for (std::size_t c = 0; c < columns_.size(); ++c) start[c + 1] = start[c] + columns_[c].size();
  std::vector<std::uint64_t> counts(start.back());
  const auto into = [&](std::size_t c) { return std::span(counts).subspan(start[c], columns_[c].size()); };
  std::vector<double> column_copy;

  // Eight columns at a time need no transposition: a row of them is a register, with edges of its own in each lane.
  struct Group {
    std::size_t first, skip, n_edges, edges, above;  // the last two: where in the vectors below
  };
  std::vector<Group> groups;
  std::vector<double> edges;
  std::size_t above_size = 0;
  std::size_t c = 0;
  while (c < columns_.size()) {
    // The last group may overlap the one before, and skip what that has counted.
    const std::size_t first = std::min(c, columns_.size() - std::min(columns_.size(), kernels::psi_columns));
    std::size_t most = 0;
    bool together = row > 1 && column == 1 && columns_.size() >= kernels::psi_columns;
    for (std::size_t i = 0; together && i < kernels::psi_columns; ++i) {
      most = std::max(most, columns_[first + i].edges().size());
      together = most <= Psi::compared;
    }
    if (together) {
      groups.push_back({first, c - first, most, edges.size(), above_size});
      for (std::size_t e = 0; e < most; ++e) {
        for (std::size_t i = 0; i < kernels::psi_columns; ++i) {
          const auto own = columns_[first + i].edges();
          edges.push_back(e < own.size() ? own[e] : std::numeric_limits<double>::infinity());
        }
      }
      above_size += (most + 1) * kernels::psi_columns;
      c = first + kernels::psi_columns;
      continue;
    }
    const double* const from = x + static_cast<std::ptrdiff_t>(c) * column;
    if (row == 1) {
      columns_[c].count(std::span(from, rows), into(c));
    } else {
      column_copy.resize(rows);
      for (std::size_t r = 0; r < rows; ++r) column_copy[r] = from[static_cast<std::ptrdiff_t>(r) * row];
      columns_[c].count(std::span<const double>(column_copy), into(c));
    }
    ++c;
  }
  if (groups.empty()) return counts;

  const auto& run = chosen();
  std::vector<std::uint64_t> above(above_size);
  // So many rows that they stay in the second-level cache while all groups pass over them.
  const std::size_t width = columns_.size() * sizeof(double);
  const std::size_t block = std::max<std::size_t>(64, (std::size_t{1} << 18) / std::max<std::size_t>(width, 1));
  for (std::size_t r = 0; r < rows; r += block) {
    const double* const from = x + static_cast<std::ptrdiff_t>(r) * row;
    const bool more = r + 2 * block <= rows;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const Group& group = groups[g];
      run.count_above_rows(
          from + static_cast<std::ptrdiff_t>(group.first), std::min(block, rows - r), static_cast<std::size_t>(row),
          edges.data() + group.edges, group.n_edges, above.data() + group.above,
          more ? from + static_cast<std::ptrdiff_t>(block) * row + g * block * kernels::psi_columns : from);
    }
  }
  for (const Group& g : groups) {
    for (std::size_t i = g.skip; i < kernels::psi_columns; ++i) {
      const std::uint64_t* const own = above.data() + g.above + i;
      const std::size_t n_edges = columns_[g.first + i].edges().size();
      add_bins(own, n_edges, kernels::psi_columns, own[g.n_edges * kernels::psi_columns], rows,
               into(g.first + i).data());
    }
  }
  return counts;
}

}  // namespace fairlead
