// What a fit holds. Private to bradley_terry*.cpp.
#pragma once

#include <mutex>

#include "bradley_terry_model.hpp"

namespace fairlead {

struct BradleyTerry::State {
  PairCells cells;
  BradleyTerryOptions options;
  bradley_terry::Groups groups;
  std::vector<double> x;  // parameters at the maximum, strengths centred
  std::size_t dim = 0;
  bool ties = false, ties_guarded = false;
  int iterations = 0;

  // Made when first asked for, by whichever thread comes first.
  std::once_flag errors_once;
  Status errors_status = Status::ok;
  Errors errors;
  bool dense = false;  // the covariances below were computed
  dense::Matrix model, sandwich;

  bradley_terry::Model at_maximum() const {
    bradley_terry::Model out(cells, groups, options);
    out.evaluate(x);
    return out;
  }
  Status maximise();  // from x, if it has as many parameters
  Status refit(PairCells sample, std::span<double> out) const;
  void make_errors();
  void make_dense_errors(const bradley_terry::Model& at);
  void make_drawn_errors(const bradley_terry::Model& at);
};

}  // namespace fairlead
