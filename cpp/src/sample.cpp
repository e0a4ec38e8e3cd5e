#include "fairlead/sample.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "kernels/dispatch.hpp"
#include "kernels/psi.hpp"

namespace fairlead {

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

// Bits whose order as an integer is the order of the numbers; -0 is taken for 0.
std::uint64_t key_of(double x) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(x + 0.0);
  return (bits >> 63) != 0 ? ~bits : bits | (std::uint64_t{1} << 63);
}

double number_of(std::uint64_t key) noexcept {
  return std::bit_cast<double>((key >> 63) != 0 ? key & ~(std::uint64_t{1} << 63) : ~key);
}

std::uint64_t apart(std::uint64_t a, std::uint64_t b) noexcept { return a > b ? a - b : b - a; }

}  // namespace

void sort_numbers(std::vector<double>& values) {
  const std::size_t n = values.size();
  if (n < 2048) return std::sort(values.begin(), values.end());
  constexpr std::size_t bits = 11, digits = 6, size = std::size_t{1} << bits;
  std::vector<std::uint64_t> from(n), to(n);
  std::vector<std::array<std::size_t, size>> counts(digits);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t key = key_of(values[i]);
    from[i] = key;
    for (std::size_t d = 0; d < digits; ++d) ++counts[d][(key >> (d * bits)) & (size - 1)];
  }
  for (std::size_t d = 0; d < digits; ++d) {
    auto& count = counts[d];
    if (std::ranges::find(count, n) != count.end()) continue;  // all numbers share this digit
    std::size_t place = 0;
    for (std::size_t& c : count) place += std::exchange(c, place);
    for (const std::uint64_t key : from) to[count[(key >> (d * bits)) & (size - 1)]++] = key;
    from.swap(to);
  }
  for (std::size_t i = 0; i < n; ++i) values[i] = number_of(from[i]);
}

SortedSample::SortedSample(std::span<const double> values) {
  sorted_.reserve(values.size());
  for (const double x : values) {
    if (!std::isnan(x)) sorted_.push_back(x);
  }
  missing_ = values.size() - sorted_.size();
  sort_numbers(sorted_);
  prepare();
}

void SortedSample::prepare() {
  start_.assign(cells + 2, 0);
  if (sorted_.empty()) return;
  // Cells of equal width over all but the tails, which the outer ones take in.
  const std::size_t tail = sorted_.size() / 2048;
  const double low = sorted_[tail], high = sorted_[sorted_.size() - 1 - tail];
  low_ = low;
  scale_ = static_cast<double>(cells) / (high - low);
  if (!std::isfinite(scale_) || !std::isfinite(high - low)) low_ = scale_ = 0.0;
  const kernels::Cells map{low_, scale_, static_cast<std::uint32_t>(cells - 1)};
  std::array<std::uint16_t, 1024> cell;
  for (std::size_t at = 0; at < sorted_.size(); at += cell.size()) {
    const std::size_t n = std::min(cell.size(), sorted_.size() - at);
    kernels::psi_scalar.cells(sorted_.data() + at, n, map, cell.data());
    for (std::size_t i = 0; i < n; ++i) ++start_[cell[i] + std::size_t{1}];
  }
  for (std::size_t c = 0; c < cells; ++c) start_[c + 1] += start_[c];
  start_.resize(cells + 1);
}

KsResult SortedSample::finish(KsResult found, std::size_t m) const noexcept {
  found.n = sorted_.size();
  found.m = m;
  if (found.n == 0 || m == 0) return {0, nan, nan, found.n, m};
  found.statistic = static_cast<double>(found.scaled) / (static_cast<double>(found.n) * static_cast<double>(m));
  return found;
}

KsResult SortedSample::ks(std::span<const double> other) const {
  const auto& run = kernels::select(kernels::psi_scalar, kernels::psi_avx2, kernels::psi_avx512);
  const kernels::Cells map{low_, scale_, static_cast<std::uint32_t>(cells - 1)};
  std::vector<std::uint16_t> cell(other.size());
  // Two counters a cell, in turns, so that neighbours in one cell do not wait for each other.
  std::vector<std::uint32_t> count(2 * (cells + 1));
  constexpr std::size_t block = 4096;
  for (std::size_t at = 0; at < other.size(); at += block) {
    const std::size_t n = std::min(block, other.size() - at);
    run.cells(other.data() + at, n, map, cell.data() + at);
    std::size_t i = 0;
    for (; i + 1 < n; i += 2) {
      ++count[2 * std::size_t{cell[at + i]}];
      ++count[2 * std::size_t{cell[at + i + 1]} + 1];
    }
    if (i < n) ++count[2 * std::size_t{cell[at + i]}];
  }
  const std::uint64_t n = sorted_.size();
  const std::uint64_t m = other.size() - count[2 * cells] - count[2 * cells + 1];
  KsResult best;
  if (n == 0 || m == 0) return finish(best, m);

  // What the difference is where a cell ends, and what it can be at most within.
  std::vector<std::uint64_t> before(cells + 1), bound(cells);
  for (std::size_t c = 0; c < cells; ++c) {
    const std::uint64_t low = before[c];
    before[c + 1] = low + count[2 * c] + count[2 * c + 1];
    best.scaled = std::max(best.scaled, apart(start_[c + 1] * m, before[c + 1] * n));
    bound[c] = std::max(apart(start_[c + 1] * m, low * n), apart(start_[c] * m, before[c + 1] * n));
  }
  // Those that may reach the best are sorted; it is reached in one of them, so its place is found as well.
  std::vector<std::uint8_t> open(cells + 1);
  for (std::size_t c = 0; c < cells; ++c) open[c] = bound[c] >= best.scaled ? 1 : 0;
  std::vector<double> values;
  for (std::size_t i = 0; i < other.size(); ++i) {
    if (open[cell[i]] != 0) values.push_back(other[i]);
  }
  sort_numbers(values);
  best.scaled = 0;
  std::size_t at = 0;
  for (std::size_t c = 0; c < cells; ++c) {
    if (open[c] == 0) continue;
    std::uint64_t i = start_[c], j = before[c];
    const std::size_t shift = at - static_cast<std::size_t>(j);  // values[j + shift], wrapping round
    while (i < start_[c + 1] || j < before[c + 1]) {
      const double a = i < start_[c + 1] ? sorted_[i] : infinity;
      const double b = j < before[c + 1] ? values[j + shift] : infinity;
      const double x = a < b ? a : b;
      while (i < start_[c + 1] && sorted_[i] == x) ++i;
      while (j < before[c + 1] && values[j + shift] == x) ++j;
      const std::uint64_t here = apart(i * m, j * n);
      if (here > best.scaled) {
        best.scaled = here;
        best.at = x;
      }
    }
    at = static_cast<std::size_t>(j) + shift;
  }
  return finish(best, m);
}

Distances SortedSample::all(std::span<const double> other) const {
  std::vector<double> values;
  values.reserve(other.size());
  for (const double x : other) {
    if (!std::isnan(x)) values.push_back(x);
  }
  sort_numbers(values);
  const std::size_t n = sorted_.size(), m = values.size();
  Distances out;
  if (n == 0 || m == 0) {
    out.ks = finish({}, m);
    return out;
  }
  const double wide_n = static_cast<double>(n), wide_m = static_cast<double>(m), total = wide_n + wide_m;
  double area = 0.0, squares = 0.0, last = 0.0, gap = 0.0;
  std::size_t i = 0, j = 0;
  while (i < n || j < m) {
    const double left = i < n ? sorted_[i] : infinity, right = j < m ? values[j] : infinity;
    const double x = left < right ? left : right;
    std::size_t a = 0, b = 0;
    while (i + a < n && sorted_[i + a] == x) ++a;
    while (j + b < m && values[j + b] == x) ++b;
    if (gap != 0.0) area += std::abs(gap) * (x - last);
    i += a;
    j += b;
    const std::uint64_t here = apart(std::uint64_t{i} * m, std::uint64_t{j} * n);
    if (here > out.ks.scaled) {
      out.ks.scaled = here;
      out.ks.at = x;
    }
    gap = static_cast<double>(i) * wide_m - static_cast<double>(j) * wide_n;
    squares += static_cast<double>(a + b) * gap * gap;
    last = x;
  }
  out.ks = finish(out.ks, m);
  out.wasserstein = area / wide_n / wide_m;
  out.cramer_von_mises = squares / total / total / wide_n / wide_m;
  return out;
}

}  // namespace fairlead
