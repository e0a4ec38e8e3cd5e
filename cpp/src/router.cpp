#include "fairlead/router.hpp"

#include <algorithm>
#include <cmath>

#include "fairlead/normal.hpp"
#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::string_view family_name = "router";
constexpr std::uint32_t version = 1;
constexpr double blank_mean = 0.5, blank_variance = 0.0625;  // of quality where nothing is known: worth one result
constexpr double least_variance = 1e-4;  // a few equal results are no proof that all will be
constexpr double free_of_charge = 1e-9;  // USD; so that quality per dollar of what costs nothing is finite

constexpr std::size_t index(std::int32_t id) noexcept { return static_cast<std::size_t>(id); }

// A uniform number in (0, 1) from what the caller and the model are: D. Steele et al., "Fast Splittable Pseudorandom
// Number Generators", 2014.
double uniform(std::uint64_t seed, ModelId model) noexcept {
  std::uint64_t h = seed + 0x9e3779b97f4a7c15u * (static_cast<std::uint64_t>(model) + 1);
  h = (h ^ (h >> 30)) * 0xbf58476d1ce4e5b9u;
  h = (h ^ (h >> 27)) * 0x94d049bb133111ebu;
  h ^= h >> 31;
  return (static_cast<double>(h >> 11) + 0.5) * 0x1p-53;
}

// Utility as a line in quality, u = base + slope * q: its mean and its standard deviation.
struct Line {
  double mean;
  double sd;
};

constexpr std::size_t n_nodes = 16;  // of two panels of Gauss-Legendre, eight each
constexpr std::array<double, n_nodes / 2> node{-0.9602898564975363, -0.7966664774136267, -0.5255324099163290,
                                               -0.1834346424956498, 0.1834346424956498,  0.5255324099163290,
                                               0.7966664774136267,  0.9602898564975363};
constexpr std::array<double, n_nodes / 2> node_weight{0.1012285362903763, 0.2223810344533745, 0.3137066458778873,
                                                      0.3626837833783620, 0.3626837833783620, 0.3137066458778873,
                                                      0.2223810344533745, 0.1012285362903763};

using Nodes = std::array<float, n_nodes>;

// The two loops below are in single precision, without branches and bit tricks, and not inlined, so that compilers
// vectorise them.

// density[k] = e^(-z^2 / 2) for |z| <= 4, within 1e-4: e^(-y / 32) by its series, to the 32nd power.
[[gnu::noinline]] void bell(const Nodes& z, Nodes& density) noexcept {
  for (std::size_t k = 0; k < n_nodes; ++k) {
    const float y = z[k] * z[k] * (1.0f / 64.0f);
    const float p = 1.0f - y * (1.0f - y * (0.5f - y * (0.16666667f - y * (0.041666668f - y * 0.008333334f))));
    const float p2 = p * p, p4 = p2 * p2, p8 = p4 * p4, p16 = p8 * p8;
    density[k] = p16 * p16;
  }
}

// all[k] *= Phi((at[k] - mean) / sd), within 2.5e-4: M. Abramowitz, I. A. Stegun, "Handbook of Mathematical Functions",
// 26.2.19.
[[gnu::noinline]] void times_cdf(const Nodes& at, float mean, float rate, Nodes& all) noexcept {
  for (std::size_t k = 0; k < n_nodes; ++k) {
    const float x = (at[k] - mean) * rate, y = std::abs(x);
    const float t = 1.0f + y * (0.196854f + y * (0.115194f + y * (0.000344f + y * 0.019527f)));
    const float t2 = t * t, tail = 0.5f / (t2 * t2);
    all[k] *= 0.5f + std::copysign(0.5f - tail, x);
  }
}

// P(the i-th draw is the largest), draws being independent normals, none of them certain. What lies between the strongest rival's lower and
// upper end is one panel, what lies above it another, so that a narrow rival is seen; beyond all of them nothing needs
// to be integrated.
double chance_of_first(std::span<const Line> lines, std::size_t i) noexcept {
  constexpr double reach = 4.0;  // standard deviations; beyond, 3e-5
  const auto [mean, sd] = lines[i];
  double from = -HUGE_VAL, passed = -HUGE_VAL, to = -HUGE_VAL;
  for (std::size_t j = 0; j < lines.size(); ++j) {
    if (j == i) continue;
    const double low = lines[j].mean - reach * lines[j].sd, high = lines[j].mean + reach * lines[j].sd;
    if (low > from || (low == from && high > passed)) {
      from = low;
      passed = high;
    }
    to = std::max(to, high);
  }
  if (to == -HUGE_VAL) return 1.0;  // no rival
  from = std::max(from, mean - reach * sd);
  to = std::min(to, mean + reach * sd);
  const double above = 1.0 - normal_cdf((to - mean) / sd);
  if (!(to > from)) return above;
  passed = std::clamp(passed, from, to);
  // From here on in units of sd, from its mean.
  std::array<double, n_nodes> weight;
  Nodes z, density, all;
  const double inverse = 1.0 / sd;
  for (std::size_t k = 0; k < n_nodes; ++k) {
    const bool lower = k < n_nodes / 2;
    const double a = lower ? from : passed, half = 0.5 * ((lower ? passed : to) - a) * inverse;
    z[k] = static_cast<float>((a - mean) * inverse + half * (1.0 + node[k % node.size()]));
    weight[k] = half * node_weight[k % node.size()];
  }
  bell(z, density);
  all.fill(0.398942280f);
  for (std::size_t j = 0; j < lines.size(); ++j) {
    const auto [other, spread] = lines[j];
    if (j == i || other + reach * spread <= from) continue;
    times_cdf(z, static_cast<float>((other - mean) * inverse), static_cast<float>(sd / spread), all);
  }
  double sum = above;
  for (std::size_t k = 0; k < n_nodes; ++k) sum += weight[k] * static_cast<double>(density[k] * all[k]);
  return std::clamp(sum, 0.0, 1.0);
}

// Places by falling key, without branches that depend on them: each one's place is the number of greater ones. False where
// keys are equal.
bool order_by(std::span<const double> keys, std::array<std::uint8_t, Pick::max_candidates>& order) noexcept {
  constexpr std::uint8_t nobody = 0xff;
  const std::size_t n = keys.size();
  if (n > 64) return false;  // then it is slower
  for (std::size_t i = 0; i < n; ++i) order[i] = nobody;
  for (std::size_t i = 0; i < n; ++i) {
    std::int64_t greater = 0;
    for (std::size_t j = 0; j < n; ++j) greater += keys[j] > keys[i] ? 1 : 0;
    std::uint8_t& place = order[static_cast<std::size_t>(greater)];
    if (place != nobody) return false;
    place = static_cast<std::uint8_t>(i);
  }
  return true;
}

}  // namespace

double normal_quantile(double p) noexcept {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * (((59.109374720 * r + 159.29113202) * r + 50.434271938) * r + 3.3871327179) /
           (((67.187563600 * r + 78.757757664) * r + 17.895169469) * r + 1.0);
  }
  double r = std::sqrt(-std::log(std::min(p, 1.0 - p)));
  double x = 0.0;
  if (r <= 5.0) {
    r -= 1.6;
    x = (((0.17023821103 * r + 1.3067284816) * r + 2.7568153900) * r + 1.4234372777) /
        ((0.12021132975 * r + 0.73700164250) * r + 1.0);
  } else {
    r -= 5.0;
    x = (((0.017337203997 * r + 0.42868294337) * r + 3.0812263860) * r + 6.6579051150) /
        ((0.012258202635 * r + 0.24197894225) * r + 1.0);
  }
  return q < 0.0 ? -x : x;
}

Router::Router(RouterOptions options) : options_(options) {
  const double keep = std::exp2(-1.0 / options_.half_life);
  for (std::size_t i = 0; i < fine_.size(); ++i) fine_[i] = i == 0 ? 1.0 : fine_[i - 1] * keep;
  const double far = fine_.back() * keep;
  for (std::size_t i = 0; i < coarse_.size(); ++i) coarse_[i] = i == 0 ? 1.0 : coarse_[i - 1] * far;
  context("overall", "");
}

void Router::resize(std::size_t models) {
  if (models <= models_) return;
  for (Context& context : contexts_) {
    for (Family& family : context.families) family.cells.resize(models);
  }
  models_ = models;
}

ContextId Router::find_context(std::string_view dimension, std::string_view value) const noexcept {
  const std::int32_t d = dimensions_.find(dimension);
  if (d == NameTable::absent) return NameTable::absent;
  const std::int32_t v = values_[index(d)].names.find(value);
  return v == NameTable::absent ? v : values_[index(d)].contexts[index(v)];
}

ContextId Router::context(std::string_view dimension, std::string_view value) {
  if (const ContextId known = find_context(dimension, value); known != NameTable::absent) return known;
  std::int32_t d = dimensions_.find(dimension);
  if (d == NameTable::absent) {
    values_.resize(index(dimensions_.size()) + 1);
    d = dimensions_.intern(dimension);
  }
  // What can fail comes first; the name, which makes the context known, last. Each step may be repeated.
  Values& known = values_[index(d)];
  const std::int32_t v = known.names.size();
  known.contexts.resize(index(v) + 1);
  Context fresh{d, v};
  for (Family& family : fresh.families) family.cells.resize(models_);
  contexts_.push_back(std::move(fresh));
  try {
    known.names.intern(value);
  } catch (...) {
    contexts_.pop_back();
    throw;
  }
  return known.contexts[index(v)] = n_contexts() - 1;
}

std::string_view Router::dimension(ContextId context) const noexcept {
  return dimensions_.name(contexts_[index(context)].dimension);
}
std::string_view Router::value(ContextId context) const noexcept {
  const Context& at = contexts_[index(context)];
  return values_[index(at.dimension)].names.name(at.value);
}

double Router::fade(std::uint64_t results) const noexcept {
  const std::uint64_t high = results >> 8;
  return high < coarse_.size() ? fine_[results & 255] * coarse_[high] : 0.0;
}

double Router::evidence(Kind kind, ContextId context, ModelId model) const noexcept {
  const Family& here = contexts_[index(context)].families[family(kind)];
  const Cell& cell = here.cells[index(model)];
  return cell.n * fade(here.results - cell.at);
}

Status Router::check(std::span<const ContextId> contexts) const noexcept {
  if (contexts.size() > max_contexts) return Status::too_many_slices;
  for (const ContextId context : contexts) {
    if (context < 0 || context >= n_contexts()) return Status::unknown_slice;
  }
  return Status::ok;
}

Status Router::estimate(Kind kind, std::span<const ContextId> contexts, std::span<Candidate> candidates) const noexcept {
  if (const Status status = check(contexts); status != Status::ok) return status;
  for (const Candidate& candidate : candidates) {
    if (candidate.model < 0 || index(candidate.model) >= models_) return Status::unknown_model;
  }
  const std::size_t f = family(kind);
  const Family& broad = contexts_[overall].families[f];
  const double all_n = broad.all.n * fade(broad.results - broad.all.at);
  const double all_mean = (all_n * broad.all.mean + blank_mean) / (all_n + 1.0);
  const double all_fade = broad.all.n > 0.0 ? all_n / broad.all.n : 0.0;
  const double all_variance = (broad.all.square * all_fade + blank_variance) / (all_n + 1.0);
  const double share = contexts.empty() ? 0.0 : 1.0 / static_cast<double>(contexts.size());
  const double v_floor = options_.prior * all_variance, m_floor = options_.prior * all_mean;
  for (Candidate& candidate : candidates) {
    const std::size_t model = index(candidate.model);
    const Cell& own = broad.cells[model];
    const double faded = fade(broad.results - own.at), n = own.n * faded;
    const double inverse = 1.0 / (n + options_.prior);
    const double mean = (n * own.mean + m_floor) * inverse;
    const double v = std::max((own.square * faded + v_floor) * inverse, least_variance);
    double quality = mean, variance = v * inverse;
    if (!contexts.empty()) {
      const double apart = variance + v * (1.0 / shrink);
      quality = variance = 0.0;
      for (const ContextId context : contexts) {
        const Family& here = contexts_[index(context)].families[f];
        const Cell& cell = here.cells[model];
        const double n_here = cell.n * fade(here.results - cell.at), inverse_here = 1.0 / (n_here + shrink);
        const double believe = n_here * inverse_here, rest = 1.0 - believe;
        quality += believe * cell.mean + rest * mean;
        variance += believe * inverse_here * v + rest * rest * apart;
      }
      quality *= share;
      variance *= share;
    }
    if (candidate.predicted_n > 0.0 && !std::isnan(candidate.predicted)) {
      const double worth = v / variance;
      quality = (worth * quality + candidate.predicted_n * candidate.predicted) / (worth + candidate.predicted_n);
      variance = v / (worth + candidate.predicted_n);
    }
    candidate.quality = quality;
    candidate.spread = std::sqrt(variance);
  }
  return Status::ok;
}

Status Router::pick(Kind kind, std::span<const ContextId> contexts, const Objective& objective, std::uint64_t seed,
                    std::span<Candidate> candidates, Pick& out) const noexcept {
  const auto sound = [](double x) { return x >= 0.0 && x < HUGE_VAL; };
  if (!sound(objective.quality) || !sound(objective.cost) || !sound(objective.latency) || !sound(objective.explore) ||
      !sound(objective.min_quality)) {
    return Status::out_of_range;
  }
  if (candidates.empty()) return Status::no_forecast;
  if (candidates.size() > Pick::max_candidates) return Status::too_long;
  double dearest = 0.0, slowest = 0.0;
  for (const Candidate& candidate : candidates) {
    if (!sound(candidate.cost_usd) || candidate.latency_ms < 0.0) return Status::out_of_range;
    dearest = std::max(dearest, candidate.cost_usd);
    if (candidate.latency_ms > slowest) slowest = candidate.latency_ms;
  }
  if (const Status status = estimate(kind, contexts, candidates); status != Status::ok) return status;

  std::size_t able = 0;
  for (const Candidate& candidate : candidates) able += candidate.quality >= objective.min_quality ? 1u : 0u;
  const double floor = able > 0 ? objective.min_quality : -HUGE_VAL;
  std::array<Line, Pick::max_candidates> lines;  // of those that are good enough
  std::array<double, Pick::max_candidates> keys;
  std::array<std::uint8_t, Pick::max_candidates> line_of;
  bool hopeless = false;
  std::size_t n = 0, greedy = 0;
  double best = -HUGE_VAL, best_quality = 0.0;
  bool certain = true;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Candidate& candidate = candidates[i];
    const double cost = candidate.cost_usd;
    const double latency = std::isnan(candidate.latency_ms) ? slowest : candidate.latency_ms;
    double base = 0.0, slope = 0.0;
    switch (objective.goal) {
      case Objective::Goal::quality: slope = 1.0; break;
      case Objective::Goal::cost: base = -cost; break;
      case Objective::Goal::latency: base = -latency; break;
      case Objective::Goal::value: slope = 1.0 / std::max(cost, free_of_charge); break;
      case Objective::Goal::mix:
        slope = objective.quality;
        base = -(dearest > 0.0 ? objective.cost * cost / dearest : 0.0) -
               (slowest > 0.0 ? objective.latency * latency / slowest : 0.0);
    }
    const double spread = objective.explore * candidate.spread;
    candidate.sampled = candidate.quality;
    if (spread > 0.0) candidate.sampled += spread * normal_quantile(uniform(seed, candidate.model));
    candidate.utility = base + slope * candidate.sampled;
    const bool enough = candidate.quality >= floor;
    keys[i] = enough ? candidate.utility : -HUGE_VAL;
    hopeless = hopeless || !(keys[i] > -HUGE_VAL);
    if (!enough) continue;
    line_of[i] = static_cast<std::uint8_t>(n);
    const double expected = base + slope * candidate.quality;
    if (expected > best || (expected == best && candidate.quality > best_quality)) {
      best = expected;
      best_quality = candidate.quality;
      greedy = i;
    }
    lines[n++] = {expected, slope * spread};
    certain = certain && slope * spread <= 0.0;
  }
  // Who is not good enough has no key.
  if (hopeless || !order_by(std::span(keys).first(candidates.size()), out.order)) {
    const auto before = [&](std::uint8_t a, std::uint8_t b) {
      const Candidate &one = candidates[a], &other = candidates[b];
      const bool enough = one.quality >= floor, other_enough = other.quality >= floor;
      if (enough != other_enough) return enough;
      return one.utility > other.utility || (one.utility == other.utility && one.quality > other.quality);
    };
    // By insertion: what is equal stays in the order in which it came.
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      std::size_t to = i;
      for (; to > 0 && before(static_cast<std::uint8_t>(i), out.order[to - 1]); --to) out.order[to] = out.order[to - 1];
      out.order[to] = static_cast<std::uint8_t>(i);
    }
  }
  out.propensity = certain ? 1.0 : chance_of_first(std::span(lines).first(n), line_of[out.order[0]]);
  out.below = able == 0;
  out.explored = out.order[0] != greedy;
  return Status::ok;
}

// West's update of weighted moments (D. H. D. West, "Updating Mean and Variance Estimates", 1979), after decay.
void Router::add(Cell& cell, std::uint64_t now, double quality) const noexcept {
  const double faded = fade(now - cell.at);
  cell.n = cell.n * faded + 1.0;
  cell.square *= faded;
  cell.at = now;
  const double off = quality - cell.mean;
  cell.mean += off / cell.n;
  cell.square += off * (quality - cell.mean);
}

Status Router::learn(Kind kind, std::span<const ContextId> contexts, std::span<const ModelId> models,
                     std::span<const double> losses) noexcept {
  if (models.size() != losses.size()) return Status::wrong_length;
  if (const Status status = check(contexts); status != Status::ok) return status;
  for (const ModelId model : models) {
    if (model < 0 || index(model) >= models_) return Status::unknown_model;
  }
  if (models.empty()) return Status::ok;
  const auto learn_in = [&](Family& here) noexcept {
    ++here.results;
    if (kind == Kind::numeric) {
      double sum = 0.0;
      for (const double loss : losses) sum += loss;
      const double mean = sum / static_cast<double>(losses.size());
      const double rate = 1.0 / std::min(static_cast<double>(here.results), 1.4427 * options_.half_life);
      here.square_scale += (mean - here.square_scale) * std::max(rate, 1e-9);
    }
    const double scale = std::max(here.square_scale, 1e-300);
    for (std::size_t i = 0; i < models.size(); ++i) {
      const double quality = kind == Kind::numeric ? scale / (scale + losses[i]) : 1.0 - 0.5 * losses[i];
      add(here.cells[index(models[i])], here.results, quality);
      add(here.all, here.results, quality);
    }
  };
  const std::size_t f = family(kind);
  learn_in(contexts_[overall].families[f]);
  for (std::size_t i = 0; i < contexts.size(); ++i) {
    const auto before = contexts.first(i);
    if (contexts[i] == overall || std::find(before.begin(), before.end(), contexts[i]) != before.end()) continue;
    learn_in(contexts_[index(contexts[i])].families[f]);
  }
  return Status::ok;
}

std::string Router::snapshot() const {
  SnapshotWriter out(family_name, version);
  save(out);
  return out.finish();
}

Status Router::restore(std::string_view bytes, Router& out) {
  SnapshotReader in(bytes, family_name, version);
  Router read(out.options_);
  read.load(in);
  const Status status = in.finish();
  if (status == Status::ok) out = std::move(read);
  return status;
}

void Router::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint64_t>(models_));
  out.put(static_cast<std::uint64_t>(contexts_.size()));
  for (const Context& context : contexts_) {
    out.put(dimension(static_cast<ContextId>(&context - contexts_.data())));
    out.put(value(static_cast<ContextId>(&context - contexts_.data())));
    for (const Family& family : context.families) {
      out.put(family.results);
      out.put(family.square_scale);
      out.put_raw(std::span(&family.all, 1));
      out.put(static_cast<std::uint64_t>(family.cells.size()));
      out.put_raw(std::span(family.cells));
    }
  }
}

void Router::load(SnapshotReader& in) {
  Router read(options_);
  std::uint64_t models = 0;
  in.get(models);
  const std::size_t n = in.length(8);
  in.require(n >= 1);
  std::string dimension, value;
  for (std::size_t i = 0; in.ok() && i < n; ++i) {
    in.get(dimension);
    in.get(value);
    if (!in.ok()) return;
    const ContextId id = read.context(dimension, value);
    in.require(id == static_cast<ContextId>(i));
    if (!in.ok()) return;
    for (Family& family : read.contexts_[i].families) {
      in.get(family.results);
      in.get(family.square_scale);
      in.get_raw(std::span(&family.all, 1));
      family.cells.resize(in.length(sizeof(Cell)));
      in.require(family.cells.size() == models);
      in.get_raw(std::span(family.cells));
      in.require(family.all.at <= family.results);
      for (const Cell& cell : family.cells) in.require(cell.at <= family.results);
    }
  }
  if (!in.ok()) return;
  read.models_ = models;
  *this = std::move(read);
}

}  // namespace fairlead
