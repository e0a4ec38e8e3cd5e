// How far each strength may be off: covariances where they fit in memory, else solutions for drawn residuals.
#include <algorithm>
#include <cmath>
#include <new>

#include "bradley_terry_state.hpp"
#include "kernels/dispatch.hpp"
#include "random.hpp"

namespace fairlead {

using bradley_terry::Model;
using bradley_terry::Quadratic;

namespace {

constexpr std::size_t draws = 64;

std::size_t at(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// Covariances of strengths against their component's centre instead of against each other.
void centre(const Model& model, dense::Matrix& c) {
  const std::size_t components = model.groups.main_size.size();
  for (std::size_t k = 0; k < c.n; ++k) {
    if (k < model.players && model.groups.component[k] < 0) std::fill(c.row(k), c.row(k) + c.n, 0.0);
    model.centre({c.row(k), c.n});
  }
  // Now down the columns, a row at a time.
  std::vector<double> mean(components * c.n);
  for (std::size_t k = 0; k < model.players; ++k) {
    if (!model.groups.main[k]) continue;
    const std::size_t a = at(model.groups.component[k]);
    for (std::size_t l = 0; l < c.n; ++l) mean[a * c.n + l] += c(k, l) / model.groups.main_size[a];
  }
  for (std::size_t k = 0; k < model.players; ++k) {
    if (model.groups.component[k] < 0) continue;
    const std::size_t a = at(model.groups.component[k]);
    for (std::size_t l = 0; l < c.n; ++l) c(k, l) -= mean[a * c.n + l];
  }
}

double root(double variance) noexcept { return std::sqrt(std::max(0.0, variance)); }

// The sandwich, where there are residuals to speak of: a perfect record has none, nor has one of nothing but draws.
double robust(double model, double sandwich, bool ok) noexcept {
  return ok && sandwich > 1e-9 * model ? sandwich : std::max(model, 0.0);
}

}  // namespace

void BradleyTerry::State::make_dense_errors(const Model& at_max) {
  const auto& kernels =
      kernels::select(kernels::bradley_terry_scalar, kernels::bradley_terry_avx2, kernels::bradley_terry_avx512);
  dense::Matrix h = at_max.information();
  if (dense::factor(kernels, h, 0.0) < dim) {
    errors_status = Status::no_maximum;
    return;
  }
  model = dense::inverse(kernels, h);
  // Both halves of the squared residuals, as the product reads all of it.
  dense::Matrix middle = at_max.assemble(at_max.squared_residuals());
  for (std::size_t k = 1; k < dim; ++k) {
    for (std::size_t l = 0; l < k; ++l) middle(k, l) = middle(l, k);
  }
  sandwich = dense::sandwich(kernels, model, middle);
  centre(at_max, model);
  centre(at_max, sandwich);
  for (std::size_t k = 0; k < dim; ++k) {
    errors.model[k] = root(model(k, k));
    errors.sandwich[k] = root(sandwich(k, k));
  }
  dense = true;
}

// The sandwich is the variance of H^-1 g, g being the sum over pairs of their residuals; so it is the mean square of
// H^-1 g where each pair's residual is given a random sign. D^-1 g, D the diagonal of H, has nearly the same squares,
// and their mean is known: what it is off by corrects the estimate.
void BradleyTerry::State::make_drawn_errors(const Model& at_max) {
  errors.exact = false;
  const std::size_t extras = dim - cells.players;
  const Quadratic squares = at_max.squared_residuals();
  std::vector<double> g(dim), solved(dim), unit(dim);
  Random random(0);
  for (const bool robust : {false, true}) {
    const Quadratic& q = robust ? squares : at_max.information_terms;
    const std::vector<double> full = at_max.diagonal(at_max.information_terms, true), own = at_max.diagonal(q, false);
    std::vector<double> square(dim), simple(dim);
    for (std::size_t draw = 0; draw < draws; ++draw) {
      std::fill(g.begin(), g.end(), 0.0);
      std::uint64_t signs = 0;
      for (std::size_t c = 0; c < cells.size(); ++c) {
        if (c % 64 == 0) signs = random.next();
        const double sign = signs >> (c % 64) & 1 ? 1.0 : -1.0, size = std::sqrt(q.eta[c]), r = sign * size;
        g[at(cells.i[c])] += r;
        g[at(cells.j[c])] -= r;
        for (std::size_t k = 0; k < cells.columns; ++k)
          g[cells.players + k] += r * cells.rows[cells.row[c] * cells.columns + k];
        if (ties && size > 0.0) {
          const double shared = q.cross[c] / size;
          g[dim - 1] += sign * shared + (random.next() >> 63 ? 1.0 : -1.0) * root(q.nu[c] - shared * shared);
        }
      }
      at_max.conjugate_gradients(g, solved, 1e-3);
      at_max.centre(solved);
      for (std::size_t k = 0; k < cells.players; ++k) {
        square[k] += solved[k] * solved[k] / draws;
        if (full[k] > 0.0) simple[k] += g[k] * g[k] / (full[k] * full[k]) / draws;
      }
    }
    auto& out = robust ? errors.sandwich : errors.model;
    for (std::size_t k = 0; k < cells.players; ++k) {
      const double known = full[k] > 0.0 ? own[k] / (full[k] * full[k]) : 0.0;
      out[k] = simple[k] > 0.0 ? root(square[k] * known / simple[k]) : 0.0;
    }
    for (std::size_t k = 0; k < extras; ++k) {  // few, so exactly
      std::fill(unit.begin(), unit.end(), 0.0);
      unit[cells.players + k] = 1.0;
      at_max.conjugate_gradients(unit, solved, 1e-8);
      out[cells.players + k] = root(robust ? at_max.form(q, solved) : solved[cells.players + k]);
    }
  }
}

void BradleyTerry::State::make_errors() try {
  const Model at_max = at_maximum();
  errors.model.assign(dim, 0.0);
  errors.sandwich.assign(dim, 0.0);
  dim <= dense_limit ? make_dense_errors(at_max) : make_drawn_errors(at_max);
  for (std::size_t k = 0; k < dim; ++k) {
    const bool ok = k >= cells.players || groups.standing[k] == Standing::ok;
    const double m = errors.model[k], s = errors.sandwich[k];
    errors.sandwich[k] = std::sqrt(robust(m * m, s * s, ok));
  }
} catch (const std::bad_alloc&) {
  errors_status = Status::out_of_memory;
}

Status BradleyTerry::errors(Errors& out) const {
  std::call_once(state_->errors_once, [this] { state_->make_errors(); });
  if (state_->errors_status == Status::ok) out = state_->errors;
  return state_->errors_status;
}

Status BradleyTerry::contrast(std::int32_t a, std::int32_t b, Contrast& out) const try {
  const auto known = [this](std::int32_t k) { return k >= 0 && at(k) < players() && components()[at(k)] >= 0; };
  if (!known(a) || !known(b)) return Status::unknown_model;
  if (components()[at(a)] != components()[at(b)]) return Status::out_of_range;
  out.difference = strengths()[at(a)] - strengths()[at(b)];
  if (state_->dim <= dense_limit) {
    std::call_once(state_->errors_once, [this] { state_->make_errors(); });
    if (state_->errors_status != Status::ok) return state_->errors_status;
    const auto variance = [&](const dense::Matrix& c) {
      return c(at(a), at(a)) + c(at(b), at(b)) - 2.0 * c(at(a), at(b));
    };
    out.model = std::max(0.0, variance(state_->model));
    out.sandwich = std::max(0.0, variance(state_->sandwich));
  } else {
    const Model model = state_->at_maximum();
    std::vector<double> unit(state_->dim), solved(state_->dim);
    unit[at(a)] = 1.0;
    unit[at(b)] -= 1.0;
    model.conjugate_gradients(unit, solved, 1e-8);
    out.model = std::max(0.0, solved[at(a)] - solved[at(b)]);
    out.sandwich = model.form(model.squared_residuals(), solved);
  }
  const bool ok = standings()[at(a)] == Standing::ok && standings()[at(b)] == Standing::ok;
  out.sandwich = a == b ? 0.0 : robust(out.model, out.sandwich, ok);
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

Status BradleyTerry::ranks(double z, std::span<std::int32_t> best, std::span<std::int32_t> worst) const {
  Errors errors;
  if (const Status status = this->errors(errors); status != Status::ok) return status;
  const std::size_t n = players();
  const auto component = components();
  const auto strength = strengths();
  const auto standing = standings();
  std::vector<std::int32_t> better(n), worse(n), size(n);
  for (std::size_t i = 0; i < n; ++i) {
    if (component[i] < 0) continue;
    ++size[at(component[i])];
    for (std::size_t k = i + 1; k < n; ++k) {
      if (component[k] != component[i]) continue;
      double variance = errors.sandwich[i] * errors.sandwich[i] + errors.sandwich[k] * errors.sandwich[k];
      if (state_->dense) {
        const auto of = [&](const dense::Matrix& c) { return c(i, i) + c(k, k) - 2.0 * c(i, k); };
        variance =
            robust(of(state_->model), of(state_->sandwich), standing[i] == Standing::ok && standing[k] == Standing::ok);
      }
      const double difference = strength[i] - strength[k];
      if (!(difference * difference > z * z * variance)) continue;
      ++(difference > 0.0 ? worse : better)[i];
      ++(difference > 0.0 ? better : worse)[k];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    best[i] = component[i] < 0 ? 0 : 1 + better[i];
    worst[i] = component[i] < 0 ? 0 : size[at(component[i])] - worse[i];
  }
  return Status::ok;
}

}  // namespace fairlead
