// A matrix laid out for products with rows: out = in * matrix (+ start), as a linear layer computes it.
//
// Its columns are cut into panels of 64, each a run of memory, so that a product reads it from front to back. Precision:
// float, sums over a row in order, fused above the scalar level; a row's result does not depend on the rows beside it.
// On tiles (see Product::tiles) the numbers are others by float's rounding. Memory: `pack` allocates where the matrix has
// grown, a product on tiles where it is the largest that its thread has made.
#pragma once

#include <cstddef>
#include <cstdint>

#include "fairlead/attention.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

template <class T>  // float or double
class PackedMatrix {
 public:
  // weight: [columns][rows], as torch.nn.Linear has it (out_features, in_features), or [rows][columns] where not `turned`.
  // tiles: also for products on the machine's matrix unit, if it has one.
  Status pack(const T* weight, std::size_t rows, std::size_t columns, bool turned = true,
              bool tiles = false) noexcept;

  struct Product {
    std::size_t m = 0;      // rows of in and out
    const T* in = nullptr;  // [m][rows]
    std::size_t in_row = 0;
    const T* start = nullptr;  // [columns], what each row of out begins with; null: 0
    T* out = nullptr;          // [m][columns], or only columns [first, last)
    std::size_t out_row = 0;
    std::size_t first = 0, last = static_cast<std::size_t>(-1);
    std::size_t row = 0, rows = 0;  // only rows [row, row + rows) of the matrix, as wide as `in` then is; 0: all
    bool tiles = false;  // on the matrix unit, where there is one: worth it from 16 rows on
  };
  void multiply(const Product& product) const noexcept;

  std::size_t rows() const noexcept { return rows_; }
  std::size_t columns() const noexcept { return columns_; }

 private:
  std::size_t rows_ = 0, columns_ = 0;
  AttentionWorkspace memory_;
  T* data_ = nullptr;
  AttentionWorkspace tile_memory_;
  std::uint16_t* tiles_ = nullptr;

  bool on_tiles(const Product& product) const noexcept;
};

extern template class PackedMatrix<float>;
extern template class PackedMatrix<double>;

}  // namespace fairlead
