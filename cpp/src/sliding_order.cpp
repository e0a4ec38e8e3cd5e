#include "sliding_order.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include "fairlead/types.hpp"

namespace fairlead {

namespace {

// Unsigned integers in the order of the doubles.
std::uint64_t ordered(double x) noexcept {
  const auto bits = std::bit_cast<std::uint64_t>(x);
  return bits >> 63 ? ~bits : bits | (std::uint64_t{1} << 63);
}

constexpr std::size_t group_bits = 10;  // 1024 places

}  // namespace

// Numbers the cells of equal width that the numbers lie in, where few would lie together. False where many might.
bool SlidingOrder::even_cells(const double* x, std::size_t n) {
  double least = x[0], most = x[0], sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    least = x[i] < least ? x[i] : least;
    most = x[i] > most ? x[i] : most;
    sum += x[i];
  }
  const double mean = sum / static_cast<double>(n);
  double distance = 0.0;
  for (std::size_t i = 0; i < n; ++i) distance += std::abs(x[i] - mean);
  const double cells = 0x1p22, range = most - least, scale = (cells - 1.0) / range;
  // The mean distance in cells is to be twice the count of numbers, though four thousand will do for few.
  const bool even = distance / static_cast<double>(n) * scale > std::max(2.0 * static_cast<double>(n), 4096.0);
  if (!even || !(range > 0.0) || !std::isfinite(scale)) return false;
  for (std::size_t i = 0; i < n; ++i) {
    const auto cell = static_cast<std::uint64_t>(static_cast<std::int64_t>((x[i] - least) * scale));
    sorted_[i] = cell << 42 | i;
  }
  return true;
}

// The 32 highest bits in which the numbers differ.
void SlidingOrder::cells_of_bits(const double* x, std::size_t n) {
  std::uint64_t differ = 1;
  const std::uint64_t one = ordered(x[0]);
  for (std::size_t i = 0; i < n; ++i) differ |= ordered(x[i]) ^ one;
  const int common = std::countl_zero(differ);
  for (std::size_t i = 0; i < n; ++i) sorted_[i] = ((ordered(x[i]) << common) & 0xffffffff00000000u) | i;
}

// By the highest bits of `sorted_`, then the few ties among those by the numbers themselves.
void SlidingOrder::sort(const double* x, std::size_t n) {
  sorted_.resize(n);
  other_.resize(n);
  rank_.resize(n);
  value_.resize(n);
  int from = 42;
  if (!even_cells(x, n)) {
    from = 32;
    cells_of_bits(x, n);
  }
  constexpr int width = 11;
  constexpr std::size_t size = std::size_t{1} << width;
  const int digits = (64 - from + width - 1) / width;
  histogram_.assign(size * static_cast<std::size_t>(digits), 0);
  const auto digit = [&](std::uint64_t packed, int d) {
    const int shift = from + d * width;
    return static_cast<std::size_t>(packed >> shift) & (size - 1);
  };
  for (std::size_t i = 0; i < n; ++i) {
    for (int d = 0; d < digits; ++d) ++histogram_[size * static_cast<std::size_t>(d) + digit(sorted_[i], d)];
  }
  for (int d = 0; d < digits; ++d) {
    std::uint32_t* const place = histogram_.data() + size * static_cast<std::size_t>(d);
    std::uint32_t sum = 0;
    for (std::size_t k = 0; k < size; ++k) {
      const std::uint32_t count = place[k];
      place[k] = sum;
      sum += count;
    }
    for (std::size_t i = 0; i < n; ++i) other_[place[digit(sorted_[i], d)]++] = sorted_[i];
    sorted_.swap(other_);
  }
  mend_ties(x, n);
  for (std::size_t place = 0; place < n; ++place) {
    const auto i = static_cast<std::uint32_t>(sorted_[place]);
    rank_[i] = static_cast<std::uint32_t>(place);
    value_[place] = x[i];
  }
}

void SlidingOrder::mend_ties(const double* x, std::size_t n) {
  const auto number = [&](std::uint64_t packed) { return x[static_cast<std::uint32_t>(packed)]; };
  const auto less = [&](std::uint64_t a, std::uint64_t b) { return number(a) < number(b); };
  for (std::size_t i = 1; i < n; ++i) {
    if (((sorted_[i] ^ sorted_[i - 1]) >> 32) != 0) continue;
    const std::size_t first = i - 1;
    while (i < n && ((sorted_[i] ^ sorted_[first]) >> 32) == 0) ++i;
    const auto begin = sorted_.begin() + static_cast<std::ptrdiff_t>(first),
               end = sorted_.begin() + static_cast<std::ptrdiff_t>(i);
    if (!std::is_sorted(begin, end, less)) std::sort(begin, end, less);
  }
}

std::size_t SlidingOrder::next(std::size_t place) const noexcept {
  std::size_t at = place >> 6;
  std::uint64_t word = bits_[at] >> (place & 63) << (place & 63);
  while (word == 0) word = bits_[++at];
  return at << 6 | static_cast<std::size_t>(std::countr_zero(word));
}

// The set bit before `place`; there is one.
std::size_t SlidingOrder::previous(std::size_t place) const noexcept {
  std::size_t at = place >> 6;
  std::uint64_t word = bits_[at] & ((std::uint64_t{1} << (place & 63)) - 1);
  while (word == 0) word = bits_[--at];
  return at << 6 | static_cast<std::size_t>(63 - std::countl_zero(word));
}

std::size_t SlidingOrder::set_before(std::size_t place) const noexcept {
  std::size_t sum = 0;
  for (std::size_t g = 0; g < place >> group_bits; ++g) sum += in_group_[g];
  for (std::size_t at = place >> group_bits << (group_bits - 6); at < place >> 6; ++at) {
    sum += static_cast<std::size_t>(std::popcount(bits_[at]));
  }
  return sum + static_cast<std::size_t>(std::popcount(bits_[place >> 6] & ((std::uint64_t{1} << (place & 63)) - 1)));
}

void SlidingOrder::stretch(const kernels::SlidingBounds& bounds, std::size_t from, std::size_t to, double q,
                           double* quantile, double* rank) {
  const auto start = bounds.lo[from];
  const std::size_t n = rank_.size();
  bits_.assign((n >> 6) + 2, 0);
  if (rank != nullptr) {
    in_group_.assign((n >> group_bits) + 1, 0);
    first_equal_.resize(n);
    last_equal_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
      first_equal_[i] = i > 0 && value_[i] == value_[i - 1] ? first_equal_[i - 1] : static_cast<std::uint32_t>(i);
    }
    for (std::size_t i = n; i-- > 0;) {
      last_equal_[i] = i + 1 < n && value_[i] == value_[i + 1] ? last_equal_[i + 1] : static_cast<std::uint32_t>(i);
    }
  }
  std::int64_t lo = start, hi = start, length = -1;
  std::size_t now = 0, below = 0;  // `below` bits are set before place `now`
  std::size_t wanted = 0;
  double part = 0.0;
  for (std::size_t i = from; i < to; ++i) {
    for (; hi < bounds.hi[i]; ++hi) {
      const std::size_t r = rank_[static_cast<std::size_t>(hi - start)];
      bits_[r >> 6] |= std::uint64_t{1} << (r & 63);
      below += r < now;
      if (rank != nullptr) ++in_group_[r >> group_bits];
    }
    for (; lo < bounds.lo[i]; ++lo) {
      const std::size_t r = rank_[static_cast<std::size_t>(lo - start)];
      bits_[r >> 6] &= ~(std::uint64_t{1} << (r & 63));
      below -= r < now;
      if (rank != nullptr) --in_group_[r >> group_bits];
    }
    const std::int64_t count = bounds.hi[i] - bounds.lo[i];
    if (count == 0 || static_cast<double>(count) < bounds.least) {
      if (quantile != nullptr) quantile[i] = nan;
      if (rank != nullptr) rank[i] = nan;
      continue;
    }
    if (rank != nullptr) {
      const std::size_t r = rank_[static_cast<std::size_t>(hi - 1 - start)];
      const std::size_t less = set_before(first_equal_[r]);
      const std::size_t up_to =
          last_equal_[r] == r && first_equal_[r] == r ? less + 1 : set_before(last_equal_[r] + std::size_t{1});
      rank[i] = 0.5 * static_cast<double>(less + 1 + up_to);
    }
    if (quantile == nullptr) continue;
    if (count != length) {
      length = count;
      const double place = q * static_cast<double>(count - 1);
      wanted = static_cast<std::size_t>(place);
      part = place - static_cast<double>(wanted);
    }
    while (below > wanted) {
      now = previous(now);
      --below;
    }
    now = next(now);
    for (; below < wanted; ++below) now = next(now + 1);
    const double a = value_[now];
    if (part == 0.0) {
      quantile[i] = a;
      continue;
    }
    const double b = value_[next(now + 1)];
    quantile[i] = a == b        ? a
                  : part == 0.5 ? 0.5 * a + 0.5 * b
                  : part < 0.5  ? a + (b - a) * part
                                : b - (b - a) * (1.0 - part);
  }
}

void SlidingOrder::run(const double* x, const kernels::SlidingBounds& bounds, double q, double* quantile,
                       double* rank) {
  for (std::size_t from = 0; from < bounds.n;) {
    const auto start = bounds.lo[from];
    const auto room = std::max<std::int64_t>(4096, 5 * (bounds.hi[from] - start));
    // A stretch holds at least one window, and as many more as there is room for.
    std::size_t to = from + 1;
    while (to < bounds.n && bounds.hi[to] - start <= room) ++to;
    const auto n = static_cast<std::size_t>(bounds.hi[to - 1] - start);
    if (n > 0) {
      sort(x + start, n);
    } else {
      rank_.clear();
      value_.clear();
    }
    stretch(bounds, from, to, q, quantile, rank);
    from = to;
  }
}

}  // namespace fairlead
