#include "fairlead/packed_matrix.hpp"

#include <algorithm>
#include <cstring>
#include <limits>
#include <type_traits>

#include "kernels/attention.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/tiles.hpp"

namespace fairlead {

namespace {

using kernels::ahead;
using kernels::Step;
using kernels::tiles_for;

// What of a panel fits the innermost cache, and rows of `in` that meet it while it is there.
constexpr std::size_t panel = 64, deep = 128, block = 96;

template <class T>
const kernels::AttentionKernels<T>& products() noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return kernels::attention_double;
  } else {
    return kernels::select(kernels::attention_scalar, kernels::attention_avx2, kernels::attention_avx512);
  }
}

}  // namespace

template <class T>
Status PackedMatrix<T>::pack(const T* weight, std::size_t rows, std::size_t columns, bool turned, bool tiles) noexcept {
  if (rows == 0 || columns == 0) return Status::out_of_range;
  const std::size_t panels = (columns + panel - 1) / panel;
  if (rows > std::numeric_limits<std::uint32_t>::max() || columns > std::numeric_limits<std::uint32_t>::max()) return Status::too_long;
  const std::size_t numbers = rows * ((panels - 1) * ahead(panel) + ahead(columns - (panels - 1) * panel));
  auto* const data = reinterpret_cast<T*>(memory_.take(numbers * sizeof(T)));
  if (data == nullptr) {
    rows_ = columns_ = 0;
    return Status::out_of_memory;
  }
  rows_ = rows;
  columns_ = columns;
  data_ = data;
  const auto& kernels = products<T>();
  for (std::size_t p = 0; p < panels; ++p) {
    const std::size_t n = std::min(panel, columns - p * panel), wide = ahead(n);
    T* const to = data + p * rows * ahead(panel);
    if (turned) {
      kernels.turn(weight + p * panel * rows, static_cast<Step>(rows), n, rows, to);
    } else {
      for (std::size_t k = 0; k < rows; ++k) std::memcpy(to + k * wide, weight + k * columns + p * panel, n * sizeof(T));
    }
  }
  tiles_ = nullptr;
  if constexpr (std::is_same_v<T, float>) {
    const kernels::TileKernels* const unit = tiles ? kernels::tile_kernels() : nullptr;
    if (unit == nullptr || rows < kernels::tile_depth || columns < kernels::tile_rows) return Status::ok;
    const std::size_t all = tiles_for(rows, kernels::tile_depth) * tiles_for(columns, kernels::tile_rows) * kernels::tile_numbers;
    tiles_ = reinterpret_cast<std::uint16_t*>(tile_memory_.take(all * sizeof(std::uint16_t)));
    if (tiles_ == nullptr) return Status::out_of_memory;
    unit->pack({weight, rows, columns, turned, tiles_});
  }
  return Status::ok;
}

// Whether it was; where it does not fit, or there is no memory for it, it is not.
template <class T>
bool PackedMatrix<T>::on_tiles(const Product& x) const noexcept {
  if constexpr (std::is_same_v<T, float>) {
    using kernels::tile_depth, kernels::tile_numbers, kernels::tile_rows;
    const kernels::TileKernels* const unit = tiles_ == nullptr ? nullptr : kernels::tile_kernels();
    const std::size_t last = std::min(x.last, columns_), depth = x.rows == 0 ? rows_ : x.rows;
    if (unit == nullptr || x.first % tile_rows != 0 || x.row % tile_depth != 0) return false;
    if ((last != columns_ && last % tile_rows != 0) || (x.row + depth != rows_ && depth % tile_depth != 0)) return false;
    thread_local AttentionWorkspace memory;
    const std::size_t most = tiles_for(std::min(block, x.m), tile_rows) * tiles_for(depth, tile_depth) * tile_numbers;
    kernels::TileProduct product;
    product.scratch = reinterpret_cast<std::uint16_t*>(memory.take(most * sizeof(std::uint16_t)));
    if (product.scratch == nullptr) return false;
    product.n = last - x.first;
    product.k = depth;
    product.in_row = static_cast<Step>(x.in_row);
    product.weight_column = tiles_for(rows_, tile_depth) * tile_numbers;
    product.weight = tiles_ + x.first / tile_rows * product.weight_column + x.row / tile_depth * tile_numbers;
    product.out_row = static_cast<Step>(x.out_row);
    product.start = x.start == nullptr ? nullptr : x.start + x.first;
    for (std::size_t i = 0; i < x.m; i += block) {
      product.m = std::min(block, x.m - i);
      product.in = x.in + i * x.in_row;
      product.out = x.out + i * x.out_row;
      unit->multiply(product);
    }
    return true;
  } else {
    return false;
  }
}

template <class T>
void PackedMatrix<T>::multiply(const Product& x) const noexcept {
  if (x.tiles && on_tiles(x)) return;
  const auto& kernels = products<T>();
  const std::size_t last = std::min(x.last, columns_);
  for (std::size_t i = 0; i < x.m; i += block) {
    for (std::size_t j = x.first; j < last;) {
      const std::size_t p = j / panel, wide = ahead(std::min(panel, columns_ - p * panel));
      const std::size_t end = std::min(last, (p + 1) * panel);
      const std::size_t depth = x.rows == 0 ? rows_ : x.rows;
      for (std::size_t k = 0; k < depth; k += deep) {
        kernels::Layout<T> product;
        product.m = std::min(block, x.m - i);
        product.n = end - j;
        product.k = std::min(deep, depth - k);
        product.in = x.in + i * x.in_row + k;
        product.in_row = static_cast<Step>(x.in_row);
        product.by = data_ + p * rows_ * ahead(panel) + (x.row + k) * wide + (j - p * panel);
        product.by_row = static_cast<Step>(wide);
        product.out = x.out + i * x.out_row + (j - x.first);
        product.out_row = static_cast<Step>(x.out_row);
        product.start = x.start == nullptr || k > 0 ? nullptr : x.start + j;
        product.add = k > 0;
        kernels.multiply(product);
      }
      j = end;
    }
  }
}

template class PackedMatrix<float>;
template class PackedMatrix<double>;

}  // namespace fairlead
