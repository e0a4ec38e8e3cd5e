#include "bradley_terry_model.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.hpp"

namespace fairlead::bradley_terry {

namespace {

constexpr std::size_t dense_newton = 400;  // parameters, above which conjugate gradients are faster
constexpr double regular = 1e-14, determined = 1e-9;

std::size_t at(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

bool any_draw(const PairCells& cells) noexcept {
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (cells.ss[c] < cells.s[c]) return true;
  }
  return false;
}

}  // namespace

Model::Model(const PairCells& cells_, const Groups& groups_, const BradleyTerryOptions& options)
    : cells(cells_),
      groups(groups_),
      players(cells_.players),
      columns(cells_.columns),
      dim(cells_.players + cells_.columns + (options.ties == Ties::davidson && any_draw(cells_) ? 1 : 0)),
      ties(dim > cells_.players + cells_.columns),
      dense(dim <= dense_newton),
      most_iterations_(options.iterations),
      kernels_(
          kernels::select(kernels::bradley_terry_scalar, kernels::bradley_terry_avx2, kernels::bradley_terry_avx512)) {
  if (options.prior_for_all || !groups.needy.empty()) {
    prior_.assign(players, 0.0);
    curvature_.assign(players, 0.0);
    for (std::size_t k = 0; k < players && options.prior_for_all; ++k)
      prior_[k] = groups.component[k] >= 0 ? options.prior : 0.0;
    for (const std::int32_t k : groups.needy) prior_[at(k)] = options.prior;
  }
  if (ties) {
    bool all_drawn = true;
    for (std::size_t c = 0; c < cells.size(); ++c)
      all_drawn = all_drawn && 4.0 * (cells.s[c] - cells.ss[c]) >= cells.n[c];
    if (all_drawn || options.prior_for_ties) decisive_ = options.prior;
  }
  gradient.resize(dim);
  strength_.resize(players);
  residual_.resize(cells.size());
  information_terms.eta.resize(cells.size());
  if (ties) {
    for (auto* terms : {&residual_nu_, &information_terms.cross, &information_terms.nu}) terms->resize(cells.size());
  }
  if (columns > 0) factor_.resize(cells.rows.size() / columns);
}

Model::Sides Model::sides(std::size_t c) const noexcept {
  const double factor = columns > 0 ? factor_[cells.row[c]] : 1.0;
  if (!wide_) return {strength_[at(cells.i[c])] * factor, strength_[at(cells.j[c])]};
  // strength_ and factor_ then hold logarithms.
  const double log = strength_[at(cells.i[c])] - strength_[at(cells.j[c])] + (columns > 0 ? factor : 0.0);
  return {std::exp(std::clamp(log, -300.0, 300.0)), 1.0};
}

Outcome Model::outcome(std::size_t c) const noexcept {
  const Sides a = sides(c);
  if (!ties) return {a.i / (a.i + a.j), 0.0, a.j / (a.i + a.j)};
  const double win = a.i * a.i, loss = a.j * a.j, draw = nu_ * a.i * a.j, all = win + loss + draw;
  return {win / all, draw / all, loss / all};
}

template <bool covariates, bool davidson>
void Model::evaluate_cells() {
  const std::size_t n = cells.size();
  const double* const strength = strength_.data();
  const std::int32_t* const first = cells.i.data();
  const std::int32_t* const second = cells.j.data();
  double* const g = gradient.data();
  std::size_t current = n > 0 ? at(first[0]) : 0;
  double sum = 0.0;  // of residuals of one first player: cells are sorted by it
  for (std::size_t c = 0; c < n; ++c) {
    const std::size_t i = at(first[c]), j = at(second[c]);
    Sides a;
    if (wide_) {
      a = sides(c);
    } else {
      a = {strength[i], strength[j]};
      if constexpr (covariates) a.i *= factor_[cells.row[c]];
    }
    double r;
    if constexpr (davidson) {
      const double win = a.i * a.i, loss = a.j * a.j, draw = nu_ * a.i * a.j, scale = 1.0 / (win + loss + draw);
      const double w = win * scale, l = loss * scale, t = draw * scale;
      r = cells.s[c] - cells.n[c] * (w + 0.5 * t);
      // The variance of 1/2, 0, -1/2; as l t / 4 + w t / 4 + w l it has no cancellation.
      information_terms.eta[c] = cells.n[c] * (0.25 * t * (w + l) + w * l);
      information_terms.cross[c] = -0.5 * cells.n[c] * (w - l) * t;
      information_terms.nu[c] = cells.n[c] * t * (w + l);
      residual_nu_[c] = 4.0 * (cells.s[c] - cells.ss[c]) - cells.n[c] * t;
      gradient[dim - 1] += residual_nu_[c];
    } else {
      const double scale = 1.0 / (a.i + a.j), p = a.i * scale;
      r = cells.s[c] - cells.n[c] * p;
      information_terms.eta[c] = cells.n[c] * p * (a.j * scale);
    }
    if constexpr (covariates) {
      const double* const row = cells.rows.data() + cells.row[c] * columns;
      for (std::size_t k = 0; k < columns; ++k) g[players + k] += r * row[k];
    }
    if (i != current) {
      g[current] += sum;
      current = i;
      sum = 0.0;
    }
    sum += r;
    g[j] -= r;
  }
  if (n > 0) g[current] += sum;
}

void Model::evaluate(std::span<const double> here) {
  if (here.data() != x.data()) x.assign(here.begin(), here.end());
  const double unit = ties ? 0.5 : 1.0;
  const auto [low, high] = std::minmax_element(x.begin(), x.begin() + static_cast<std::ptrdiff_t>(players));
  double largest = players > 0 ? std::max(-*low, *high) : 0.0;
  for (std::size_t r = 0; r < factor_.size(); ++r) {
    double sum = 0.0;
    for (std::size_t k = 0; k < columns; ++k) sum += cells.rows[r * columns + k] * x[players + k];
    factor_[r] = unit * sum;
    largest = std::max(largest, std::abs(sum));
  }
  wide_ = !(largest < 150.0);
  for (std::size_t k = 0; k < players; ++k) strength_[k] = wide_ ? unit * x[k] : std::exp(unit * x[k]);
  if (!wide_) {
    for (double& f : factor_) f = std::exp(f);
  }
  nu_ = ties ? std::exp(std::min(x[dim - 1], 300.0)) : 0.0;
  std::fill(gradient.begin(), gradient.end(), 0.0);
  if (columns > 0) {
    ties ? evaluate_cells<true, true>() : evaluate_cells<true, false>();
  } else {
    ties ? evaluate_cells<false, true>() : evaluate_cells<false, false>();
  }
  add_prior_gradient();
}

void Model::means(std::span<const double> v, std::span<double> mean) const noexcept {
  std::fill(mean.begin(), mean.end(), 0.0);
  for (std::size_t k = 0; k < players; ++k) {
    if (groups.main[k]) mean[at(groups.component[k])] += v[k];
  }
  for (std::size_t a = 0; a < mean.size(); ++a) mean[a] /= groups.main_size[a];
}

void Model::centre(std::span<double> v) const {
  std::vector<double> mean(groups.main_size.size());
  means(v, mean);
  for (std::size_t k = 0; k < players; ++k) v[k] = groups.component[k] < 0 ? 0.0 : v[k] - mean[at(groups.component[k])];
}

// A virtual draw is half a win and half a loss against the mean of the main group.
void Model::add_prior_gradient() {
  if (decisive_ > 0.0) {  // between equals
    const double t = nu_ / (2.0 + nu_);
    gradient[dim - 1] -= decisive_ * t;
    decisive_curvature_ = decisive_ * t * (1.0 - t);
  }
  if (prior_.empty()) return;
  std::vector<double> mean(groups.main_size.size()), pull(groups.main_size.size());
  means(x, mean);
  for (std::size_t k = 0; k < players; ++k) {
    if (prior_[k] == 0.0) continue;
    const std::size_t a = at(groups.component[k]);
    const double half = 0.5 * std::tanh(0.5 * (x[k] - mean[a]));  // p - 1/2
    gradient[k] -= prior_[k] * half;
    pull[a] += prior_[k] * half;
    curvature_[k] = prior_[k] * (0.25 - half * half);
  }
  for (std::size_t k = 0; k < players; ++k) {
    if (groups.main[k]) gradient[k] += pull[at(groups.component[k])] / groups.main_size[at(groups.component[k])];
  }
}

Quadratic Model::squared_residuals() const {
  Quadratic out;
  out.eta.resize(cells.size());
  if (ties) {
    out.cross.resize(cells.size());
    out.nu.resize(cells.size());
  }
  const auto& n2 = cells.weighted() ? cells.n2 : cells.n;
  const auto& s2 = cells.weighted() ? cells.s2 : cells.s;
  const auto& ss2 = cells.weighted() ? cells.ss2 : cells.ss;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    if (n2[c] == 0.0) continue;  // the square of a tiny weight
    const Outcome p = outcome(c);
    if (ties) {
      const double wins = 2.0 * ss2[c] - s2[c], draws = 4.0 * (s2[c] - ss2[c]), losses = n2[c] - wins - draws;
      const double win = p.loss + 0.5 * p.draw, draw = 0.5 * (p.loss - p.win), loss = -(p.win + 0.5 * p.draw);
      const double other = 1.0 - p.draw;
      out.eta[c] = wins * win * win + draws * draw * draw + losses * loss * loss;
      out.cross[c] = draws * draw * other - p.draw * (wins * win + losses * loss);
      out.nu[c] = draws * other * other + (wins + losses) * p.draw * p.draw;
    } else {
      // Around the mean score of the pair, so that nothing cancels but what is zero.
      const double lost = n2[c] - s2[c];
      const double away = s2[c] > lost ? p.loss - lost / n2[c] : s2[c] / n2[c] - p.win;
      out.eta[c] = std::max(0.0, ss2[c] - s2[c] * s2[c] / n2[c]) + n2[c] * away * away;
    }
  }
  return out;
}

dense::Matrix Model::assemble(const Quadratic& q) const {
  dense::Matrix h(dim);
  const std::size_t last = dim - 1;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::size_t i = at(cells.i[c]), j = at(cells.j[c]);
    const double w = q.eta[c];
    h(i, i) += w;
    h(j, j) += w;
    h(std::min(i, j), std::max(i, j)) -= w;
    if (columns > 0) {
      const double* const row = cells.rows.data() + cells.row[c] * columns;
      for (std::size_t k = 0; k < columns; ++k) {
        h(i, players + k) += w * row[k];
        h(j, players + k) -= w * row[k];
        for (std::size_t l = k; l < columns; ++l) h(players + k, players + l) += w * row[k] * row[l];
        if (ties) h(players + k, last) += q.cross[c] * row[k];
      }
    }
    if (ties) {
      h(i, last) += q.cross[c];
      h(j, last) -= q.cross[c];
      h(last, last) += q.nu[c];
    }
  }
  return h;
}

dense::Matrix Model::information() const {
  dense::Matrix h = assemble(information_terms);
  const std::size_t components = groups.main_size.size();
  std::vector<double> total(components), count(components), curvature(components);
  for (std::size_t k = 0; k < players; ++k) {
    if (groups.component[k] < 0) {
      h(k, k) = 1.0;
      continue;
    }
    total[at(groups.component[k])] += h(k, k);
    count[at(groups.component[k])] += 1.0;
    if (!prior_.empty()) curvature[at(groups.component[k])] += curvature_[k];
  }
  for (std::size_t k = 0; k < players; ++k) {
    const std::int32_t component = groups.component[k];
    if (component < 0) continue;
    const std::size_t a = at(component);
    const double constant = total[a] / (count[a] * count[a]);
    double* const row = h.row(k);
    if (prior_.empty() && components == 1 && count[0] == static_cast<double>(players)) {
      for (std::size_t l = k; l < players; ++l) row[l] += constant;
      continue;
    }
    const double share = groups.main[k] ? 1.0 / groups.main_size[a] : 0.0;
    for (std::size_t l = k; l < players; ++l) {
      if (groups.component[l] != component) continue;
      row[l] += constant;
      if (prior_.empty()) continue;
      const double other = groups.main[l] ? 1.0 / groups.main_size[a] : 0.0;
      row[l] += curvature[a] * share * other - curvature_[k] * other - curvature_[l] * share;
    }
    if (!prior_.empty()) row[k] += curvature_[k];
  }
  if (ties) h(dim - 1, dim - 1) += decisive_curvature_;
  return h;
}

void Model::multiply(const Quadratic& q, std::span<const double> v, std::span<double> out,
                     bool with_prior) const noexcept {
  std::fill(out.begin(), out.end(), 0.0);
  const std::size_t n = cells.size();
  const std::int32_t* const first = cells.i.data();
  const std::int32_t* const second = cells.j.data();
  if (columns == 0 && !ties) {
    for (std::size_t c = 0; c < n;) {
      const std::int32_t i = first[c];
      const double of_i = v[at(i)];
      double sum = 0.0;
      for (; c < n && first[c] == i; ++c) {
        const std::size_t j = at(second[c]);
        const double change = q.eta[c] * (of_i - v[j]);
        sum += change;
        out[j] -= change;
      }
      out[at(i)] += sum;
    }
  } else {
    for (std::size_t c = 0; c < n; ++c) {
      const std::size_t i = at(first[c]), j = at(second[c]);
      double eta = v[i] - v[j];
      const double* const row = columns > 0 ? cells.rows.data() + cells.row[c] * columns : nullptr;
      for (std::size_t k = 0; k < columns; ++k) eta += row[k] * v[players + k];
      double change = q.eta[c] * eta;
      if (ties) {
        change += q.cross[c] * v[dim - 1];
        out[dim - 1] += q.cross[c] * eta + q.nu[c] * v[dim - 1];
      }
      out[i] += change;
      out[j] -= change;
      for (std::size_t k = 0; k < columns; ++k) out[players + k] += change * row[k];
    }
  }
  if (!with_prior) return;
  if (ties) out[dim - 1] += decisive_curvature_ * v[dim - 1];
  if (prior_.empty()) return;
  for (std::size_t a = 0; a < groups.main_size.size(); ++a) {
    double mean = 0.0, pull = 0.0;
    for (std::size_t k = 0; k < players; ++k) {
      if (groups.main[k] && at(groups.component[k]) == a) mean += v[k] / groups.main_size[a];
    }
    for (std::size_t k = 0; k < players; ++k) {
      if (groups.component[k] < 0 || at(groups.component[k]) != a) continue;
      out[k] += curvature_[k] * (v[k] - mean);
      pull += curvature_[k] * (v[k] - mean);
    }
    for (std::size_t k = 0; k < players; ++k) {
      if (groups.main[k] && at(groups.component[k]) == a) out[k] -= pull / groups.main_size[a];
    }
  }
}

double Model::form(const Quadratic& q, std::span<const double> v) const noexcept {
  double sum = 0.0;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    double eta = v[at(cells.i[c])] - v[at(cells.j[c])];
    for (std::size_t k = 0; k < columns; ++k) eta += cells.rows[cells.row[c] * columns + k] * v[players + k];
    sum += q.eta[c] * eta * eta;
    if (ties) sum += v[dim - 1] * (2.0 * q.cross[c] * eta + q.nu[c] * v[dim - 1]);
  }
  return sum;
}

std::vector<double> Model::diagonal(const Quadratic& q, bool with_prior) const {
  std::vector<double> out(dim);
  for (std::size_t c = 0; c < cells.size(); ++c) {
    out[at(cells.i[c])] += q.eta[c];
    out[at(cells.j[c])] += q.eta[c];
    for (std::size_t k = 0; k < columns; ++k) {
      const double value = cells.rows[cells.row[c] * columns + k];
      out[players + k] += q.eta[c] * value * value;
    }
    if (ties) out[dim - 1] += q.nu[c];
  }
  if (!with_prior) return out;
  if (ties) out[dim - 1] += decisive_curvature_;
  for (std::size_t k = 0; k < curvature_.size(); ++k) out[k] += curvature_[k];
  return out;
}

void Model::conjugate_gradients(std::span<const double> b, std::span<double> out, double tolerance,
                                bool strengths_only) const {
  std::vector<double> residual(b.begin(), b.end()), scaled(dim), direction(dim), product(dim);
  std::vector<double> scale = diagonal(information_terms, true);
  for (double& s : scale) s = s > 0.0 ? 1.0 / s : 1.0;
  std::fill(out.begin(), out.end(), 0.0);
  // What rounding left of the constants, which the information maps to 0 and steps would blow up.
  std::vector<double> sum(groups.main_size.size()), count(groups.main_size.size());
  for (std::size_t k = 0; k < players; ++k) {
    if (groups.component[k] < 0) continue;
    sum[at(groups.component[k])] += residual[k];
    count[at(groups.component[k])] += 1.0;
  }
  for (std::size_t k = 0; k < players; ++k) {
    residual[k] -=
        groups.component[k] < 0 ? residual[k] : sum[at(groups.component[k])] / count[at(groups.component[k])];
  }
  const auto precondition = [&] {
    double dot = 0.0;
    for (std::size_t k = 0; k < dim; ++k) {
      scaled[k] = residual[k] * scale[k];
      dot += scaled[k] * residual[k];
    }
    return dot;
  };
  double dot = precondition();
  const double enough = dot * tolerance * tolerance;
  direction = scaled;
  for (std::size_t step = 0; step < 2 * dim + 100 && dot > enough; ++step) {
    multiply(information_terms, direction, product, true);
    if (strengths_only) std::fill(product.begin() + static_cast<std::ptrdiff_t>(players), product.end(), 0.0);
    double curvature = 0.0;
    for (std::size_t k = 0; k < dim; ++k) curvature += direction[k] * product[k];
    if (!(curvature > 0.0)) break;
    const double length = dot / curvature;
    for (std::size_t k = 0; k < dim; ++k) {
      out[k] += length * direction[k];
      residual[k] -= length * product[k];
    }
    const double next = precondition();
    const double keep = next / dot;
    for (std::size_t k = 0; k < dim; ++k) direction[k] = scaled[k] + keep * direction[k];
    dot = next;
  }
}

Status Model::newton_step(std::span<double> step, double tolerance) {
  if (!dense) {
    conjugate_gradients(gradient, step, tolerance);
    return Status::ok;
  }
  dense::Matrix h = information();
  if (dense::factor(kernels_, h, regular) < dim) return Status::no_maximum;
  for (std::size_t k = players; k < dim; ++k) {
    double norm = 0.0;  // the diagonal of h, from the column of its factor
    for (std::size_t l = 0; l <= k; ++l) norm += h(l, k) * h(l, k);
    if (!(h(k, k) * h(k, k) > determined * norm)) return Status::no_maximum;
  }
  std::copy(gradient.begin(), gradient.end(), step.begin());
  dense::solve(h, step);
  return Status::ok;
}

// Where matches are close to all against all, the log-odds of a player's score are close to the strength.
void Model::guess() {
  x.assign(dim, 0.0);
  std::vector<double> points(players), games(players);
  for (std::size_t c = 0; c < cells.size(); ++c) {
    games[at(cells.i[c])] += cells.n[c];
    games[at(cells.j[c])] += cells.n[c];
    points[at(cells.i[c])] += cells.s[c];
    points[at(cells.j[c])] += cells.n[c] - cells.s[c];
  }
  for (std::size_t k = 0; k < players; ++k) x[k] = std::log((points[k] + 0.5) / (games[k] - points[k] + 0.5));
}

// Newton's method on a concave function. A step is shortened where it went too far: where the slope along it has turned
// round to nearly its size at the start. No likelihood is computed, so no logarithms.
Status Model::maximise() {
  if (x.empty()) guess();
  evaluate(x);
  std::vector<double> step(dim), before(dim), trial(dim);
  double tolerance = 0.05;
  for (iterations = 1; iterations <= most_iterations_; ++iterations) {
    if (const Status status = newton_step(step, tolerance); status != Status::ok) return status;
    double slope = 0.0, largest = 0.0;
    for (std::size_t k = 0; k < dim; ++k) {
      slope += gradient[k] * step[k];
      largest = std::max(largest, std::abs(step[k]));
    }
    if (!(largest < 1e9)) return Status::no_maximum;
    before = x;
    double length = 1.0;
    for (int attempt = 0;; ++attempt) {
      for (std::size_t k = 0; k < dim; ++k) trial[k] = before[k] + length * step[k];
      evaluate(trial);
      double now = 0.0;
      for (std::size_t k = 0; k < dim; ++k) now += gradient[k] * step[k];
      if (now >= -0.9 * slope || largest * length < 1e-7) break;
      if (attempt == 60) return Status::no_maximum;
      length *= std::clamp(slope / (slope - now), 0.1, 0.6);
    }
    // After an exact step the error is about its square, after an inexact one also `tolerance` of it.
    if (largest * length < 1e-9 ||
        (length == 1.0 && largest < (dense ? 1e-6 : 1e-5) && (dense || largest * tolerance < 1e-10))) {
      if (!dense && columns > 0 && !covariates_determined()) return Status::no_maximum;
      return Status::ok;
    }
    tolerance = std::clamp(0.1 * largest * length, 1e-6, 0.05);
  }
  return Status::no_maximum;
}

// Whether the information about the coefficients is regular once the strengths are free: its Schur complement.
bool Model::covariates_determined() const {
  const std::size_t extras = dim - players;
  dense::Matrix schur(extras);
  std::vector<double> unit(dim), column(dim), solved(dim), norm(extras);
  for (std::size_t k = 0; k < extras; ++k) {
    std::fill(unit.begin(), unit.end(), 0.0);
    unit[players + k] = 1.0;
    multiply(information_terms, unit, column, true);
    for (std::size_t l = 0; l < extras; ++l) schur(k, l) = column[players + l];
    norm[k] = schur(k, k);
    std::fill(column.begin() + static_cast<std::ptrdiff_t>(players), column.end(), 0.0);
    conjugate_gradients(column, solved, 1e-7, true);
    multiply(information_terms, solved, column, true);
    for (std::size_t l = 0; l < extras; ++l) schur(k, l) -= column[players + l];
  }
  if (dense::factor(kernels_, schur, determined) < extras) return false;
  for (std::size_t k = 0; k < extras; ++k) {
    if (!(schur(k, k) * schur(k, k) > determined * norm[k])) return false;
  }
  return true;
}

}  // namespace fairlead::bradley_terry
