// The likelihood of summed pairs and its maximum. Private to bradley_terry*.cpp.
//
// Parameters are one vector: strengths, then coefficients of covariates, then log nu where ties are Davidson's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "dense.hpp"
#include "fairlead/bradley_terry.hpp"

namespace fairlead::bradley_terry {

// Who can be compared with whom.
struct Groups {
  std::vector<std::int32_t> component;  // 0 is the largest; -1: unplayed
  std::vector<Standing> standing;
  std::vector<std::uint8_t> main;   // in the group that its component is centred on
  std::vector<double> main_size;    // of each component
  std::vector<std::int32_t> needy;  // players without a finite maximum
};

Groups group(const PairCells& cells);

// Symmetric weights of a pair in a quadratic form of (eta, log nu): the observed information, or what residuals square
// to.
struct Quadratic {
  std::vector<double> eta, cross, nu;  // the last two only with ties
};

struct Outcome {
  double win, draw, loss;
};

class Model {
 public:
  Model(const PairCells& cells, const Groups& groups, const BradleyTerryOptions& options);

  // Moves to the maximum from where it is, or from a rough guess if `x` is empty. no_maximum if there is none.
  Status maximise();

  void evaluate(std::span<const double> at);  // everything below, at these parameters
  Outcome outcome(std::size_t cell) const noexcept;
  Quadratic squared_residuals() const;
  dense::Matrix information() const;  // upper half, with a constant added for each component that makes it regular
  dense::Matrix assemble(const Quadratic& q) const;
  void multiply(const Quadratic& q, std::span<const double> v, std::span<double> out, bool with_prior) const noexcept;
  double form(const Quadratic& q, std::span<const double> v) const noexcept;  // v' q v, without the prior
  // Solves information * out = b, b orthogonal to each component's constant, until the residual is `tolerance` smaller.
  void conjugate_gradients(std::span<const double> b, std::span<double> out, double tolerance,
                           bool strengths_only = false) const;
  std::vector<double> diagonal(const Quadratic& q, bool with_prior) const;
  bool ties_guarded() const noexcept { return decisive_ > 0.0; }
  void centre(std::span<double> v) const;  // strengths minus the mean of their component's main group

  const PairCells& cells;
  const Groups& groups;
  const std::size_t players, columns, dim;
  const bool ties;  // has log nu, the last parameter
  const bool dense;
  std::vector<double> x, gradient;
  Quadratic information_terms;
  int iterations = 0;

 private:
  struct Sides {
    double i, j;  // exp of the strengths of both, of half of them with ties
  };
  Sides sides(std::size_t cell) const noexcept;
  void guess();
  Status newton_step(std::span<double> step, double tolerance);
  bool covariates_determined() const;
  template <bool covariates, bool davidson>
  void evaluate_cells();
  void add_prior_gradient();
  void means(std::span<const double> v, std::span<double> of_component) const noexcept;

  const int most_iterations_;
  std::vector<double> prior_, curvature_;  // of each player; empty without a prior
  double decisive_ = 0.0;                  // virtual decisive matches where all were drawn
  double decisive_curvature_ = 0.0;
  double nu_ = 0.0;
  bool wide_ = false;                      // strengths too far apart for exp of one alone
  std::vector<double> strength_, factor_;  // exp of strengths and of covariates * coefficients
  std::vector<double> residual_, residual_nu_;
  const dense::Kernels& kernels_;
};

}  // namespace fairlead::bradley_terry
