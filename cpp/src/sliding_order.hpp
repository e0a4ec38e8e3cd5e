// Quantiles and ranks of sliding windows by ranks within a stretch of the row.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/sliding.hpp"

namespace fairlead {

// A stretch of some windows' length is sorted once; then a window is a set of bits over ranks, of which one enters and
// one leaves at each step, and the quantile moves to a neighbouring bit. Memory: 32 bytes a sample of the stretch.
class SlidingOrder {
 public:
  // quantile, rank: where they go, or nullptr. The rank is that of the newest sample, from 1; equals share their mean
  // rank.
  void run(const double* x, const kernels::SlidingBounds& bounds, double q, double* quantile, double* rank);

 private:
  void sort(const double* x, std::size_t n);
  bool even_cells(const double* x, std::size_t n);
  void cells_of_bits(const double* x, std::size_t n);
  void mend_ties(const double* x, std::size_t n);
  void stretch(const kernels::SlidingBounds& bounds, std::size_t from, std::size_t to, double q, double* quantile,
               double* rank);
  std::size_t next(std::size_t place) const noexcept;
  std::size_t previous(std::size_t place) const noexcept;
  std::size_t set_before(std::size_t place) const noexcept;

  std::vector<std::uint64_t> sorted_, other_, bits_;
  std::vector<std::uint32_t> rank_, histogram_, first_equal_, last_equal_, in_group_;
  std::vector<double> value_;
};

}  // namespace fairlead
