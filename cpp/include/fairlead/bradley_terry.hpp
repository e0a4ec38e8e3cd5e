// Bradley-Terry strengths by maximum likelihood: R. A. Bradley and M. E. Terry, Biometrika 39 (1952); ties as half a
// win each, or by R. R. Davidson, JASA 65 (1970); existence of the maximum by L. R. Ford Jr., Amer. Math. Monthly 64
// (1957).
//
// i beats j with odds exp(eta), eta = theta_i - theta_j + x * beta, x being the covariates of the match.
//
// PairedMatches are first summed by pair; everything after that costs what the pairs cost. The maximum is found by
// Newton's method: Cholesky where there are few parameters, conjugate gradients over the pairs where there are many.
//
// A player who never lost, or never won, or any group that only ever won against all others, has no finite maximum.
// Such players, and only they, are given `prior` virtual draws against the average of the rest, and their standing says
// so. Players whom no chain of matches connects are fitted apart, each component about its own centre.
//
// Precision: IEEE double; the last Newton step is below 1e-6 (1e-10 after conjugate gradients), so the error is about
// its square. Results of different instruction sets differ by rounding alone, about 1e-13 of a strength. Memory: 5
// doubles a pair (8 with weights), and two square matrices of players once standard errors are asked for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

// Columns of matches. score is of i, in [0, 1]; an empty weight means 1 each; covariates hold `columns` values a match.
struct PairedMatches {
  std::span<const std::int32_t> i, j;
  std::span<const double> score;
  std::span<const double> weight{};
  std::span<const double> covariates{};
  std::size_t columns = 0;
  std::size_t players = 0;
};

// PairedMatches summed by pair (and by the covariates' values, where there are any).
struct PairCells {
  std::size_t players = 0, columns = 0, matches = 0;
  std::vector<std::int32_t> i, j;
  std::vector<double> n, s, ss;     // sums of w, w s, w s^2
  std::vector<double> n2, s2, ss2;  // the same of w^2; empty where every weight is 1
  std::vector<std::uint32_t> row;   // which of `rows`; empty without covariates
  std::vector<double> rows;         // distinct covariates, `columns` each
  bool halves = true;               // every score is 0, 1/2 or 1
  // For the bootstrap of what are no counts (weights, other scores): the matches themselves.
  std::vector<std::uint32_t> cell_of;
  std::vector<double> score, weight;

  std::size_t size() const noexcept { return i.size(); }
  bool weighted() const noexcept { return !n2.empty(); }
};

// Sums the matches. On an error `bad` is the match at fault: unknown_model for an id outside [0, players),
// self_contest, out_of_range for a score or a weight (0 to 1e6), not_finite for a covariate. wrong_length: columns
// differ in length.
Status aggregate(const PairedMatches& matches, PairCells& out, std::size_t& bad);

enum class Ties : std::uint8_t { half, davidson };

// What the record of a player allows to say.
enum class Standing : std::uint8_t {
  ok,
  undefeated,  // every match won: the maximum is infinite
  winless,     // every match lost
  above,       // in a group of which none ever lost to the main group
  below,       // in a group of which none ever won against the main group
  apart,       // neither above nor below: the order of the two groups is open
  unplayed,    // no match of positive weight
};

struct BradleyTerryOptions {
  Ties ties = Ties::half;
  double prior = 1.0;          // virtual draws against the average of the main group
  bool prior_for_all = false;  // for every player, not only for those without a finite maximum
  // `prior` virtual decisive matches between equals, where Davidson's nu has no finite maximum. `fit` sets it by
  // itself.
  bool prior_for_ties = false;
  int iterations = 100;  // at most, of Newton's method
};

class BradleyTerry {
 public:
  BradleyTerry();
  ~BradleyTerry();
  BradleyTerry(BradleyTerry&&) noexcept;
  BradleyTerry& operator=(BradleyTerry&&) noexcept;

  // wrong_length: no match of positive weight. out_of_range: Davidson's ties with scores other than 0, 1/2, 1.
  // no_maximum: covariates that the matches do not determine, or no convergence.
  Status fit(PairCells cells, const BradleyTerryOptions& options = {});

  const PairCells& cells() const noexcept;
  std::size_t players() const noexcept { return cells().players; }

  // Log-strengths, centred on the mean of each component's main group.
  std::span<const double> strengths() const noexcept;
  std::span<const double> coefficients() const noexcept;  // of the covariates
  double tie_strength() const noexcept;                   // Davidson's nu; 0 without ties
  bool ties_guarded() const noexcept;                     // nu had no finite maximum and was given a prior
  std::span<const Standing> standings() const noexcept;
  std::span<const std::int32_t> components() const noexcept;  // 0 is the largest; -1: unplayed
  int iterations() const noexcept;
  double log_likelihood() const noexcept;  // of the matches, without the prior
  double deviance() const noexcept;        // twice the distance to the likelihood of a perfect fit

  // Probabilities of a win, a draw and a loss of i. Draws are 0 where ties count as halves.
  void probabilities(std::int32_t i, std::int32_t j, std::span<const double> covariates, double out[3]) const noexcept;

  // Standard errors of each strength against its centre, then of each coefficient and of log nu: by the observed
  // information, and by the sandwich (P. J. Huber, 1967), which holds also where the model is only nearly true. Where
  // there are no residuals (a perfect record, nothing but draws) both are the former. Above `dense_limit` parameters
  // those of strengths are estimated from solutions for 64 random residuals, and exact is false.
  struct Errors {
    std::vector<double> model, sandwich;
    bool exact = true;
  };
  Status errors(Errors& out) const;

  // Variances of strength a - strength b: exact, however many players there are.
  struct Contrast {
    double difference, model, sandwich;
  };
  Status contrast(std::int32_t a, std::int32_t b, Contrast& out) const;

  // Ranks that are not significantly different, within the component: one plus how many are better, to how many are not
  // worse, by `z` standard errors of the difference. 0 for the unplayed.
  Status ranks(double z, std::span<std::int32_t> best, std::span<std::int32_t> worst) const;

  // Refits of `rounds` samples of as many matches, drawn with replacement; rows of players + coefficients + 1. NaN for
  // players who are not in the sample, and all of a row where the sample does not determine the coefficients.
  Status bootstrap(std::size_t rounds, std::uint64_t seed, std::span<double> out) const;

  static constexpr std::size_t dense_limit = 2048;
  static constexpr double max_weight = 1e6;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace fairlead
