#include "fairlead/bradley_terry.hpp"

#include <algorithm>
#include <cmath>
#include <new>

#include "bradley_terry_state.hpp"

namespace fairlead {

BradleyTerry::BradleyTerry() : state_(std::make_unique<State>()) {}
BradleyTerry::~BradleyTerry() = default;
BradleyTerry::BradleyTerry(BradleyTerry&&) noexcept = default;
BradleyTerry& BradleyTerry::operator=(BradleyTerry&&) noexcept = default;

Status BradleyTerry::fit(PairCells cells, const BradleyTerryOptions& options) try {
  if (cells.size() == 0) return Status::wrong_length;
  if (options.ties == Ties::davidson && !cells.halves) return Status::out_of_range;
  if (!(options.prior > 0.0 && std::isfinite(options.prior))) return Status::out_of_range;
  auto state = std::make_unique<State>();
  state->cells = std::move(cells);
  state->options = options;
  state->groups = bradley_terry::group(state->cells);
  if (const Status status = state->maximise(); status != Status::ok) return status;
  state_ = std::move(state);
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

// Draws and wins that no cycle of more wins than draws contradicts are likeliest at the largest nu: then there is no
// maximum, Newton's method says so, and nu is given a prior.
Status BradleyTerry::State::maximise() {
  for (const bool guarded : {false, true}) {
    options.prior_for_ties = options.prior_for_ties || guarded;
    bradley_terry::Model likelihood(cells, groups, options);
    if (x.size() == likelihood.dim) likelihood.x = x;
    const Status status = likelihood.maximise();
    if (status == Status::no_maximum && likelihood.ties && !guarded) continue;
    if (status != Status::ok) return status;
    likelihood.centre(likelihood.x);
    x = std::move(likelihood.x);
    dim = likelihood.dim;
    ties = likelihood.ties;
    ties_guarded = likelihood.ties_guarded();
    iterations = likelihood.iterations;
    break;
  }
  return Status::ok;
}

const PairCells& BradleyTerry::cells() const noexcept { return state_->cells; }
std::span<const double> BradleyTerry::strengths() const noexcept { return std::span(state_->x).first(players()); }
std::span<const double> BradleyTerry::coefficients() const noexcept {
  return std::span(state_->x).subspan(players(), cells().columns);
}
double BradleyTerry::tie_strength() const noexcept { return state_->ties ? std::exp(state_->x.back()) : 0.0; }
bool BradleyTerry::ties_guarded() const noexcept { return state_->ties_guarded; }
std::span<const Standing> BradleyTerry::standings() const noexcept { return state_->groups.standing; }
std::span<const std::int32_t> BradleyTerry::components() const noexcept { return state_->groups.component; }
int BradleyTerry::iterations() const noexcept { return state_->iterations; }

void BradleyTerry::probabilities(std::int32_t i, std::int32_t j, std::span<const double> covariates,
                                 double out[3]) const noexcept {
  double eta = strengths()[static_cast<std::size_t>(i)] - strengths()[static_cast<std::size_t>(j)];
  for (std::size_t k = 0; k < covariates.size(); ++k) eta += covariates[k] * coefficients()[k];
  const double nu = tie_strength();
  // Divided by the larger of the two sides, so that nothing overflows.
  const double win = eta > 0.0 ? 1.0 : std::exp(eta), loss = eta > 0.0 ? std::exp(-eta) : 1.0;
  const double draw = nu * std::exp(-0.5 * std::abs(eta)), all = win + draw + loss;
  out[0] = win / all;
  out[1] = draw / all;
  out[2] = loss / all;
}

namespace {

// x log(x / n), 0 at 0.
double entropy(double x, double n) noexcept { return x > 0.0 ? x * std::log(x / n) : 0.0; }

// log-likelihood of the fit, and of one that has each pair's own frequencies.
std::pair<double, double> likelihoods(const BradleyTerry& fit, bool ties) noexcept {
  const PairCells& cells = fit.cells();
  double ours = 0.0, perfect = 0.0;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::span<const double> row = cells.columns > 0
                                            ? std::span(cells.rows).subspan(cells.row[c] * cells.columns, cells.columns)
                                            : std::span<const double>();
    double p[3];
    fit.probabilities(cells.i[c], cells.j[c], row, p);
    const double n = cells.n[c], s = cells.s[c];
    const double wins = ties ? 2.0 * cells.ss[c] - s : s, draws = ties ? 4.0 * (s - cells.ss[c]) : 0.0;
    const double losses = n - wins - draws;
    if (wins > 0.0) ours += wins * std::log(p[0]);
    if (draws > 0.0) ours += draws * std::log(p[1]);
    if (losses > 0.0) ours += losses * std::log(p[2]);
    perfect += entropy(wins, n) + entropy(draws, n) + entropy(losses, n);
  }
  return {ours, perfect};
}

}  // namespace

double BradleyTerry::log_likelihood() const noexcept { return likelihoods(*this, state_->ties).first; }

double BradleyTerry::deviance() const noexcept {
  const auto [ours, perfect] = likelihoods(*this, state_->ties);
  return std::max(0.0, 2.0 * (perfect - ours));
}

}  // namespace fairlead
