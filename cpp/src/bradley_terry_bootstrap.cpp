// Refits of resampled matches. A sample with replacement of N matches is a multinomial draw of how often each kind of
// match (pair and score) comes. It is drawn exactly, at the cost of the kinds instead of the matches: independent
// Poisson counts of a mean total a little below N, given their total, are multinomial; the rest of N is drawn one by
// one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <new>
#include <unordered_map>

#include "bradley_terry_state.hpp"
#include "kernels/dispatch.hpp"
#include "random.hpp"

namespace fairlead {

using bradley_terry::Model;

namespace {

constexpr std::size_t lanes = 8;
constexpr std::size_t bytes = std::size_t{64} << 20;  // of samples that are held at a time

// A kind of match, and how many there are of it.
struct Kind {
  std::uint32_t cell;
  double score, weight, count;
};

std::vector<Kind> kinds_of(const PairCells& cells) {
  std::vector<Kind> out;
  for (std::size_t m = 0; m < cells.cell_of.size(); ++m)
    out.push_back({cells.cell_of[m], cells.score[m], cells.weight[m], 1.0});
  if (!out.empty()) return out;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const double wins = 2.0 * cells.ss[c] - cells.s[c], draws = 4.0 * (cells.s[c] - cells.ss[c]);
    const double counts[3] = {cells.n[c] - wins - draws, draws, wins};
    for (int twice = 0; twice < 3; ++twice) {
      if (counts[twice] > 0.0) out.push_back({static_cast<std::uint32_t>(c), 0.5 * twice, 1.0, counts[twice]});
    }
  }
  return out;
}

// Poisson counts by search in the cumulative distribution, from a table that says where to begin.
class Poisson {
 public:
  explicit Poisson(double mean) {
    const double mode = std::floor(mean);
    double low = mode, p = 1.0;
    while (low > 0.0 && p > 1e-18) {
      p *= low / mean;
      low -= 1.0;
    }
    first_ = low;
    double sum = 0.0;
    for (double k = low;; k += 1.0) {
      cumulative_.push_back(sum += p);
      p *= mean / (k + 1.0);
      if (k > mode && p < 1e-18) break;
    }
    start_.resize(cumulative_.size());
    std::uint32_t at = 0;
    for (std::size_t g = 0; g < start_.size(); ++g) {
      const double from = sum * static_cast<double>(g) / static_cast<double>(start_.size());
      while (cumulative_[at] <= from) ++at;
      start_[g] = at;
    }
    cumulative_.back() = std::numeric_limits<double>::infinity();
    total_ = sum;
  }

  double draw(Random& random) const noexcept {
    const double u = random.uniform();
    const double wanted = u * total_;
    std::uint32_t at = start_[static_cast<std::size_t>(u * static_cast<double>(start_.size()))];
    while (cumulative_[at] <= wanted) ++at;
    return first_ + at;
  }

  std::size_t size() const noexcept { return cumulative_.size(); }

 private:
  double first_ = 0.0, total_ = 0.0;
  std::vector<double> cumulative_;
  std::vector<std::uint32_t> start_;
};

// Draws kinds by their counts in constant time: A. J. Walker (1977), built as by M. D. Vose (1991).
class Alias {
 public:
  explicit Alias(const std::vector<Kind>& kinds, double total) : keep_(kinds.size()), other_(kinds.size()) {
    std::vector<std::uint32_t> small, large;
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      keep_[k] = kinds[k].count * static_cast<double>(kinds.size()) / total;
      (keep_[k] < 1.0 ? small : large).push_back(static_cast<std::uint32_t>(k));
    }
    while (!small.empty() && !large.empty()) {
      const std::uint32_t less = small.back(), more = large.back();
      small.pop_back();
      other_[less] = more;
      keep_[more] -= 1.0 - keep_[less];
      if (keep_[more] < 1.0) {
        large.pop_back();
        small.push_back(more);
      }
    }
    for (const auto* rest : {&small, &large}) {
      for (const std::uint32_t k : *rest) keep_[k] = 1.0;
    }
  }

  std::size_t draw(Random& random) const noexcept {
    const double u = random.uniform() * static_cast<double>(keep_.size());
    const auto k = static_cast<std::size_t>(u);
    return u - static_cast<double>(k) < keep_[k] ? k : other_[k];
  }

 private:
  std::vector<double> keep_;
  std::vector<std::uint32_t> other_;
};

// Sums of samples: [block of 8 rounds][cell][lane].
struct Samples {
  std::size_t cells;
  std::vector<double> n, s, ss;

  void add(std::size_t round, const Kind& kind, double times) noexcept {
    const std::size_t to = (round / lanes * cells + kind.cell) * lanes + round % lanes;
    n[to] += times * kind.weight;
    s[to] += times * kind.weight * kind.score;
    if (!ss.empty()) ss[to] += times * kind.weight * kind.score * kind.score;
  }
};

class Sampler {
 public:
  Sampler(const PairCells& cells, std::uint64_t seed) : cells_(cells), kinds_(kinds_of(cells)), random_(seed) {
    for (const Kind& kind : kinds_) total_ += kind.count;
    rare_ = std::max(0.0, 1.0 - 6.0 / std::sqrt(total_));  // a total of more than N has a chance of 1e-9
  }

  Samples draw(std::size_t rounds, bool squares) {
    const std::size_t values = (rounds + lanes - 1) / lanes * lanes * cells_.size();
    Samples out{cells_.size(), std::vector<double>(values), std::vector<double>(values),
                std::vector<double>(squares ? values : 0)};
    std::vector<double> drawn(rounds);
    if (rare_ > 0.0) {
      std::unordered_map<double, Poisson> tables;
      std::size_t held = 0;
      for (const Kind& kind : kinds_) {
        auto table = tables.find(kind.count);
        if (table == tables.end()) {
          if (held > std::size_t{1} << 20) {
            tables.clear();
            held = 0;
          }
          table = tables.emplace(kind.count, Poisson(kind.count * rare_)).first;
          held += table->second.size();
        }
        for (std::size_t r = 0; r < rounds; ++r) {
          const double times = table->second.draw(random_);
          drawn[r] += times;
          out.add(r, kind, times);
        }
      }
    }
    const Alias alias(kinds_, total_);
    for (std::size_t r = 0; r < rounds; ++r) {
      for (double k = drawn[r]; k < total_; k += 1.0) out.add(r, kinds_[alias.draw(random_)], 1.0);
    }
    return out;
  }

 private:
  const PairCells& cells_;
  std::vector<Kind> kinds_;
  Random random_;
  double total_ = 0.0, rare_ = 0.0;
};

// The pairs of one round.
PairCells pairs_of(const PairCells& cells, const Samples& samples, std::size_t round) {
  PairCells sample;
  sample.players = cells.players;
  sample.columns = cells.columns;
  sample.rows = cells.rows;
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const std::size_t at = (round / lanes * cells.size() + c) * lanes + round % lanes;
    if (samples.n[at] == 0.0) continue;
    sample.i.push_back(cells.i[c]);
    sample.j.push_back(cells.j[c]);
    sample.n.push_back(samples.n[at]);
    sample.s.push_back(samples.s[at]);
    sample.ss.push_back(samples.ss[at]);
    if (cells.columns > 0) sample.row.push_back(cells.row[c]);
  }
  return sample;
}

}  // namespace

// One round by itself, guarded as any fit is: a sample may lack what kept a player from being undefeated.
Status BradleyTerry::State::refit(PairCells sample, std::span<double> out) const {
  State round;
  round.cells = std::move(sample);
  round.options = options;
  round.x = x;  // a good place to begin
  round.groups = bradley_terry::group(round.cells);
  if (const Status status = round.maximise(); status != Status::ok) return status;
  const std::size_t kept = cells.players + cells.columns;
  std::copy_n(round.x.begin(), kept, out.begin());
  for (std::size_t k = 0; k < cells.players; ++k) {
    if (round.groups.component[k] < 0) out[k] = std::numeric_limits<double>::quiet_NaN();
  }
  out[kept] = round.ties ? std::exp(round.x.back()) : 0.0;
  return Status::ok;
}

Status BradleyTerry::bootstrap(std::size_t rounds, std::uint64_t seed, std::span<double> out) const try {
  const State& state = *state_;
  const std::size_t n = players(), pairs = cells().size(), width = n + cells().columns + 1;
  if (out.size() != rounds * width) return Status::wrong_length;
  Errors errors;
  bool together = state.groups.main_size.size() == 1 && cells().columns == 0 && !state.ties &&
                  state.dim <= dense_limit && state.groups.needy.empty() && !state.options.prior_for_all &&
                  std::all_of(state.x.begin(), state.x.end(), [](double x) { return std::abs(x) < 100.0; });
  if (together) {
    if (const Status status = this->errors(errors); status != Status::ok) return status;
  }
  const auto& kernels =
      kernels::select(kernels::bradley_terry_scalar, kernels::bradley_terry_avx2, kernels::bradley_terry_avx512);
  const std::size_t at_once = std::max(lanes, bytes / (24 * pairs) / lanes * lanes);
  Sampler sampler(cells(), seed);
  std::vector<double> x(n * lanes), p(n * lanes), g(n * lanes), step(n * lanes);
  for (std::size_t first = 0; first < rounds; first += at_once) {
    const std::size_t now = std::min(at_once, rounds - first);
    const Samples samples = sampler.draw(now, true);
    for (std::size_t block = 0; block < now; block += lanes) {
      bool done[lanes] = {};
      if (together) {
        for (std::size_t k = 0; k < n * lanes; ++k) x[k] = state.x[k / lanes];
        const double* const games = samples.n.data() + block * pairs;
        const double* const points = samples.s.data() + block * pairs;
        // Newton's method with the information of the whole instead of the sample's: each step is some hundred times
        // smaller than the one before, and costs no factorisation.
        for (int iteration = 0; iteration < 25; ++iteration) {
          for (std::size_t k = 0; k < n * lanes; ++k) p[k] = std::exp(x[k]);
          std::fill(g.begin(), g.end(), 0.0);
          std::fill(step.begin(), step.end(), 0.0);
          kernels.gradients(cells().i.data(), cells().j.data(), pairs, games, points, p.data(), g.data());
          kernels.product(n, lanes, n, state.model.row(0), n, g.data(), lanes, step.data(), lanes, 1.0, false);
          double largest[lanes] = {};
          for (std::size_t k = 0; k < n * lanes; ++k) {
            x[k] += step[k];
            largest[k % lanes] = std::max(largest[k % lanes], std::abs(step[k]));
          }
          bool all = true;
          for (std::size_t lane = 0; lane < lanes; ++lane) all = (done[lane] = largest[lane] < 1e-9) && all;
          if (all) break;
        }
      }
      for (std::size_t lane = 0; lane < lanes && block + lane < now; ++lane) {
        const std::span<double> row = out.subspan((first + block + lane) * width, width);
        if (!done[lane]) {
          const Status status = state.refit(pairs_of(cells(), samples, block + lane), row);
          if (status == Status::no_maximum) {
            std::fill(row.begin(), row.end(), std::numeric_limits<double>::quiet_NaN());
          } else if (status != Status::ok) {
            return status;
          }
          continue;
        }
        double mean = 0.0;
        for (std::size_t k = 0; k < n; ++k)
          mean += state.groups.main[k] ? x[k * lanes + lane] / state.groups.main_size[0] : 0.0;
        for (std::size_t k = 0; k < n; ++k) row[k] = state.groups.main[k] ? x[k * lanes + lane] - mean : 0.0;
        row[n] = 0.0;
      }
    }
  }
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace fairlead
