// The samples of a window in order, for quantiles: sorted blocks of at most 512, one block being a plain sorted array.
//
// Adding and removing costs a binary search and a move within a block, a quantile one pass over the sizes of the
// blocks. Memory: 8 bytes a sample over the fill of the blocks, a quarter or more; blocks are kept for reuse. Up to 512
// samples are one block, which grows with them.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

namespace fairlead::detail {

class Sorted {
 public:
  std::size_t size() const noexcept { return size_; }

  void clear() noexcept {
    for (const Block& block : order_) free_.push_back(block.at);  // free_ has room for every block there is
    order_.clear();
    size_ = 0;
  }

  // Room for `more` samples, so that as many calls of `insert` cannot fail.
  void reserve(std::size_t more) {
    if (blocks_ <= 1 && size_ + more <= width) {
      if (pool_.size() >= size_ + more) return;
      order_.reserve(1);
      free_.reserve(1);
      pool_.resize(std::bit_ceil(std::max<std::size_t>(size_ + more, 8)));
      if (blocks_ == 0) free_.push_back(0);
      blocks_ = 1;
      return;
    }
    const std::size_t need = more / (width / 2) + 2, blocks = blocks_;
    if (free_.size() >= need) return;
    const std::size_t added = std::max(need - free_.size(), blocks / 2);
    order_.reserve(blocks + added);
    free_.reserve(blocks + added);
    pool_.resize((blocks + added) * width);
    for (std::size_t i = blocks + added; i-- > blocks;) free_.push_back(static_cast<std::uint32_t>(i));
    blocks_ = blocks + added;
  }

  // Needs `reserve` before it.
  void insert(double x) noexcept {
    x += 0.0;  // no -0
    ++size_;
    if (order_.empty()) order_.push_back({take(), 0, x});
    std::size_t i = block_of(x);
    if (i == order_.size()) --i;
    if (order_[i].n == width) {
      split(i);
      if (x > order_[i].last) ++i;
    }
    Block& block = order_[i];
    double* const values = data(block);
    double* const place = std::upper_bound(values, values + block.n, x);
    std::memmove(place + 1, place, static_cast<std::size_t>(values + block.n - place) * sizeof(double));
    *place = x;
    ++block.n;
    block.last = values[block.n - 1];
  }

  // x must be there.
  void erase(double x) noexcept {
    const std::size_t i = block_of(x);
    if (i == order_.size()) return;
    Block& block = order_[i];
    double* const values = data(block);
    double* const place = std::lower_bound(values, values + block.n, x);
    std::memmove(place, place + 1, static_cast<std::size_t>(values + block.n - place - 1) * sizeof(double));
    --size_;
    if (--block.n == 0) {
      drop(i);
      return;
    }
    block.last = values[block.n - 1];
    if (block.n > width / 4) return;
    if (i + 1 < order_.size() && block.n + order_[i + 1].n <= width / 2)
      join(i);
    else if (i > 0 && block.n + order_[i - 1].n <= width / 2)
      join(i - 1);
  }

  // Between the two samples that q lies between, linearly: numpy.quantile's default. Needs a sample.
  double quantile(double q) const noexcept {
    const double rank = static_cast<double>(size_ - 1) * q, below = std::floor(rank);
    std::size_t k = static_cast<std::size_t>(below), i = 0;
    while (k >= order_[i].n) k -= order_[i++].n;
    const double a = data(order_[i])[k];
    if (rank == below) return a;
    const double b = k + 1 < order_[i].n ? data(order_[i])[k + 1] : data(order_[i + 1])[0];
    const double part = rank - below;
    return a == b ? a : a * (1.0 - part) + b * part;  // b - a may overflow
  }

 private:
  static constexpr std::uint32_t width = 512;
  struct Block {
    std::uint32_t at;  // in the pool
    std::uint32_t n;
    double last;
  };

  double* data(const Block& block) noexcept { return pool_.data() + std::size_t{block.at} * width; }
  const double* data(const Block& block) const noexcept { return pool_.data() + std::size_t{block.at} * width; }

  std::size_t block_of(double x) const noexcept {
    const auto it =
        std::lower_bound(order_.begin(), order_.end(), x, [](const Block& b, double v) { return b.last < v; });
    return static_cast<std::size_t>(it - order_.begin());
  }
  std::uint32_t take() noexcept {
    const std::uint32_t at = free_.back();
    free_.pop_back();
    return at;
  }
  void drop(std::size_t i) noexcept {
    free_.push_back(order_[i].at);
    order_.erase(order_.begin() + static_cast<std::ptrdiff_t>(i));
  }
  void split(std::size_t i) noexcept {
    Block upper{take(), width / 2, order_[i].last};
    std::memcpy(data(upper), data(order_[i]) + width / 2, width / 2 * sizeof(double));
    order_[i].n = width / 2;
    order_[i].last = data(order_[i])[width / 2 - 1];
    order_.insert(order_.begin() + static_cast<std::ptrdiff_t>(i) + 1, upper);  // reserved
  }
  void join(std::size_t i) noexcept {
    Block& a = order_[i];
    const Block& b = order_[i + 1];
    std::memcpy(data(a) + a.n, data(b), b.n * sizeof(double));
    a.n += b.n;
    a.last = b.last;
    drop(i + 1);
  }

  std::vector<double> pool_;
  std::vector<Block> order_;
  std::vector<std::uint32_t> free_;
  std::size_t size_ = 0, blocks_ = 0;
};

}  // namespace fairlead::detail
