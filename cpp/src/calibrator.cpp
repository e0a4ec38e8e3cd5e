#include "fairlead/calibrator.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "fairlead/logistic.hpp"
#include "fairlead/snapshot.hpp"
#include "kernels/elementary.hpp"

namespace fairlead {

namespace {

constexpr double least = 0.003;  // probability in a logarithm
constexpr double least_isotonic = 1e-4;
constexpr double prior_slope = 10.0, prior_shift = 10.0, prior_bias = 20.0;
constexpr double prior_count = 40.0;  // of a bin
constexpr double prior_rounds = 3.0;  // outcomes whose residuals were independent
constexpr double most_spread = 200.0;
constexpr double least_slope = 0.05, most_slope = 4.0, most_shift = 4.0;
constexpr double rate = 0.5, errors = 2.0, eagerness = 0.5;
constexpr double least_square = 1e-9;

constexpr std::size_t at_scaling = 0, at_isotonic = 1, at_temperature = 2;

double log_of(double p, double top) noexcept { return kernels::log_ratio(std::max(p, least), std::max(top, least)); }
double logit(double p) noexcept { return log_of(p, 1.0 - p); }

std::size_t top_of(std::span<const double> p) noexcept {
  return static_cast<std::size_t>(std::max_element(p.begin(), p.end()) - p.begin());
}

// The top class gets the probability `to`; the others keep their proportions.
struct Moved {
  std::size_t top;
  double to, factor, each = 0.0;

  Moved(std::span<const double> p, std::size_t best, double moved_to) noexcept : top(best), to(moved_to) {
    double rest = 0.0;
    for (std::size_t k = 0; k < p.size(); ++k) rest += k == top ? 0.0 : p[k];
    factor = rest > 1e-200 ? (1.0 - to) / rest : 0.0;
    if (!(rest > 1e-200)) each = (1.0 - to) / static_cast<double>(p.size() - 1);
  }
  double operator()(std::span<const double> p, std::size_t k) const noexcept {
    return k == top ? to : p[k] * factor + each;
  }
};

std::size_t bin_of(double p) noexcept {
  const double scaled = p * static_cast<double>(Calibrator::bins);
  return scaled > 0.0 ? std::min(static_cast<std::size_t>(scaled), Calibrator::bins - 1) : 0;
}

using Row = std::array<double, Calibrator::most_classes>;

// Logarithms of probabilities over that of the top class; none where there are more classes than scaling takes.
struct Logs {
  Row log = {};
  std::size_t n;

  Logs(std::span<const double> p, std::size_t top) noexcept : n(p.size() <= log.size() ? p.size() : 0) {
    for (std::size_t k = 0; k < n; ++k) log[k] = log_of(p[k], p[top]);
  }
  std::span<const double> view() const noexcept { return std::span(log).first(n); }
};

// Softmax of slope x log p + bias.
struct Powers {
  Row q = {};

  Powers(std::span<const double> logs, double slope, const Row& bias) noexcept {
    const std::size_t n = logs.size();
    for (std::size_t k = 0; k < n; ++k) q[k] = slope * logs[k] + bias[k];
    const double top = *std::max_element(q.begin(), q.begin() + static_cast<std::ptrdiff_t>(n));
    double sum = 0.0;
    for (std::size_t k = 0; k < n; ++k) sum += q[k] = kernels::exp_bounded(q[k] - top);
    for (std::size_t k = 0; k < n; ++k) q[k] /= sum;
  }
};

double squared_error(std::span<const double> p, std::size_t outcome) noexcept {
  double loss = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double miss = p[k] - (k == outcome ? 1.0 : 0.0);
    loss += miss * miss;
  }
  return loss;
}

template <class T, std::size_t n>
void put_row(SnapshotWriter& out, const std::array<T, n>& values) {
  out.put_raw(std::span<const T>(values));
}

}  // namespace

Calibrator::Calibrator(CalibratorOptions options) noexcept
    : keep_(exp2_portable(-1.0 / options.half_life)),
      grow_(1.0 / keep_),
      slope_slope_(prior_slope),
      shift_shift_(prior_shift),
      temperature_(prior_slope),
      residual_(prior_rounds),
      variance_(prior_rounds) {
  bias_.fill(prior_bias);
}

// --- adjusting -------------------------------------------------------------------------------------------------------

double Calibrator::moved(const Map& map, double p) const noexcept {
  // Between the middles of bins; beyond the outer ones, as there.
  const double at = std::min(std::max(p * static_cast<double>(bins) - 0.5, 0.0), static_cast<double>(bins - 1));
  const auto i = std::min(static_cast<std::size_t>(at), bins - 2);
  const double beyond = at - static_cast<double>(i);
  const double move = static_cast<double>(map.move[i]) * (1.0 - beyond) + static_cast<double>(map.move[i + 1]) * beyond;
  return std::min(std::max(p + move, least_isotonic), 1.0 - least_isotonic);
}

double Calibrator::adjusted(double p) const noexcept {
  double q = binary_[0] * p;
  if (const double w = binary_[1]; w > 0.0) q += w * logistic(live_.slope * logit(p) + live_.shift);
  if (const double w = binary_[2]; w > 0.0) q += w * moved(live_, p);
  return q;
}

void Calibrator::adjust(std::span<const double> p, std::span<double> out) const noexcept {
  if (adjusts_) {
    adjusted(p, out);
  } else {
    std::copy(p.begin(), p.end(), out.begin());
  }
}

std::array<double, 4> Calibrator::weights(std::size_t classes) const noexcept {
  const double vector = classes == 2 || (classes == classes_ && scaled(classes)) ? weight_[at_scaling] : 0.0;
  const double heat = classes > 2 ? weight_[at_temperature] : 0.0;
  const double sum = 1.0 + vector + weight_[at_isotonic] + heat;
  return {1.0 / sum, vector / sum, weight_[at_isotonic] / sum, heat / sum};
}

std::array<double, 4> Calibrator::weights() const noexcept { return weights(classes_ == 0 ? 2 : classes_); }

Calibrator::Method Calibrator::method() const noexcept {
  const auto w = weights();
  return static_cast<Method>(std::max_element(w.begin(), w.end()) - w.begin());
}

void Calibrator::adjusted(std::span<const double> p, std::span<double> out) const noexcept {
  if (p.size() == 2) {
    const double q = adjusted(p[1]);
    out[0] = 1.0 - q;
    out[1] = q;
    return;
  }
  const auto [as_given, by_scaling, by_isotonic, by_temperature] = weights(p.size());
  const std::size_t top = top_of(p);
  const Moved isotonic(p, top, moved(live_, p[top]));
  double sum = 1.0;
  if (by_temperature > 0.0) {
    sum = 0.0;
    for (std::size_t k = 0; k < p.size(); ++k) {
      out[k] = kernels::exp_bounded(live_.temperature * log_of(p[k], p[top]));
      sum += out[k];
    }
  } else {
    std::fill(out.begin(), out.end(), 0.0);
  }
  const double heat = by_temperature / sum;
  for (std::size_t k = 0; k < p.size(); ++k) {
    out[k] = as_given * p[k] + by_isotonic * isotonic(p, k) + heat * out[k];
  }
  if (by_scaling > 0.0) {
    const Logs logs(p, top);
    const Powers powers(logs.view(), live_.slope, live_.bias);
    for (std::size_t k = 0; k < p.size(); ++k) out[k] += by_scaling * powers.q[k];
  }
}

double Calibrator::adjust(Method method, double p) const noexcept {
  if (method == Method::scaling) return logistic(live_.slope * logit(p) + live_.shift);
  return method == Method::isotonic ? moved(live_, p) : p;
}

void Calibrator::adjust(Method method, std::span<const double> p, std::span<double> out) const noexcept {
  Calibrator alone = *this;
  alone.weight_ = {};
  // So large that what was given counts for nothing.
  if (method != Method::as_given) alone.weight_[static_cast<std::size_t>(method) - 1] = 1e300;
  alone.mix();
  alone.adjust(p, out);
}

// --- learning --------------------------------------------------------------------------------------------------------

// Opens the round of an outcome: what was learned before is what the round is scored by.
void Calibrator::begin(std::size_t classes, Time time) noexcept {
  if (classes_ == 0) classes_ = static_cast<std::uint32_t>(classes);
  if (n_ == 0 || time != round_time_) {
    for (Gate& gate : gate_) {
      gate.square += gate.round * gate.round;
      gate.round = 0.0;
    }
    residual_ += round_residual_ * round_residual_;
    variance_ += round_variance_;
    round_residual_ = round_variance_ = 0.0;
    spread_ = std::clamp(residual_ / std::max(variance_, 1e-9), 1.0, most_spread);
    before_ = live_;
  }
  round_time_ = time;
  ++n_;
}

void Calibrator::finish(double shown, bool happened, double expected,
                        const std::array<double, n_methods>& gain) noexcept {
  for (std::size_t m = 0; m < n_methods; ++m) {
    Gate& gate = gate_[m];
    gate.saved = keep_ * gate.saved + gain[m];
    gate.square *= keep_ * keep_;
    gate.round = keep_ * gate.round + gain[m];
  }
  residual_ *= keep_;
  variance_ *= keep_;
  round_residual_ += (happened ? 1.0 : 0.0) - expected;
  round_variance_ += expected * (1.0 - expected);

  grown_ *= grow_;
  const std::size_t bin = bin_of(shown);
  count_[bin] += grown_;
  p_[bin] += grown_ * shown;
  if (happened) happened_[bin] += grown_;
  if (n_ % (n_ < 256 ? refresh_early : refresh_late) == 0) refresh();
}

void Calibrator::update(double p, bool happened, Time time) noexcept {
  begin(2, time);
  const double y = happened ? 1.0 : 0.0;
  const double x = logit(p);
  const double then = logistic(before_.slope * x + before_.shift);
  const double now = logistic(live_.slope * x + live_.shift);
  const double by_isotonic = moved(before_, p);
  // Squared errors over both classes.
  const double loss = 2.0 * (p - y) * (p - y);
  const std::array<double, n_methods> gain = {loss - 2.0 * (then - y) * (then - y),
                                              loss - 2.0 * (by_isotonic - y) * (by_isotonic - y), 0.0};
  // One Newton step on the log posterior, whose prior comes back as what was learned decays.
  const double information = now * (1.0 - now) / spread_, lost = 1.0 - keep_;
  slope_slope_ = keep_ * slope_slope_ + lost * prior_slope + information * x * x;
  slope_shift_ = keep_ * slope_shift_ + information * x;
  shift_shift_ = keep_ * shift_shift_ + lost * prior_shift + information;
  const double miss = (y - now) / spread_;
  const double by_slope = miss * x + lost * prior_slope * (1.0 - live_.slope);
  const double by_shift = miss - lost * prior_shift * live_.shift;
  const double scale = 1.0 / (slope_slope_ * shift_shift_ - slope_shift_ * slope_shift_);
  live_.slope += (shift_shift_ * by_slope - slope_shift_ * by_shift) * scale;
  live_.shift += (slope_slope_ * by_shift - slope_shift_ * by_slope) * scale;
  live_.slope = std::clamp(live_.slope, least_slope, most_slope);
  live_.shift = std::clamp(live_.shift, -most_shift, most_shift);
  finish(p, happened, then, gain);
}

void Calibrator::update(std::span<const double> p, std::size_t outcome, Time time) noexcept {
  if (p.size() == 2) return update(p[1], outcome == 1, time);
  begin(p.size(), time);
  const std::size_t top = top_of(p);
  const double loss = squared_error(p, outcome);
  std::array<double, n_methods> gain = {};
  double expected = 0.0, then = 0.0;
  const Logs logs(p, top);
  learn_temperature(p, logs.view(), top, outcome, then, expected);
  gain[at_temperature] = loss - then;
  if (p.size() == classes_ && scaled(p.size())) {
    learn_classes(logs.view(), top, outcome, then, expected);
    gain[at_scaling] = loss - then;
  }
  const Moved isotonic(p, top, moved(before_, p[top]));
  then = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double miss = isotonic(p, k) - (k == outcome ? 1.0 : 0.0);
    then += miss * miss;
  }
  gain[at_isotonic] = loss - then;
  finish(std::min(p[top], 1.0), top == outcome, expected, gain);
}

// Scores the temperature of before the round and learns the one of now; no memory is needed for any number of classes.
void Calibrator::learn_temperature(std::span<const double> p, std::span<const double> logs, std::size_t top,
                                   std::size_t outcome, double& loss, double& expected) noexcept {
  double then = 0.0, then_squares = 0.0, then_outcome = 0.0;
  double now = 0.0, first = 0.0, second = 0.0, log_outcome = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double log = logs.empty() ? log_of(p[k], p[top]) : logs[k];
    const double e = kernels::exp_bounded(before_.temperature * log);
    then += e;
    then_squares += e * e;
    const double f = kernels::exp_bounded(live_.temperature * log);
    now += f;
    first += f * log;
    second += f * log * log;
    if (k == outcome) {
      then_outcome = e;
      log_outcome = log;
    }
  }
  loss = then_squares / (then * then) - 2.0 * then_outcome / then + 1.0;
  expected = 1.0 / then;
  const double mean = first / now, lost = 1.0 - keep_;
  temperature_ = keep_ * temperature_ + lost * prior_slope + std::max(second / now - mean * mean, 0.0) / spread_;
  const double step = (log_outcome - mean) / spread_ + lost * prior_slope * (1.0 - live_.temperature);
  live_.temperature = std::clamp(live_.temperature + step / temperature_, least_slope, most_slope);
}

void Calibrator::learn_classes(std::span<const double> logs, std::size_t top, std::size_t outcome, double& loss,
                               double& expected) noexcept {
  const std::size_t n = logs.size();
  const Powers then(logs, before_.slope, before_.bias);
  loss = squared_error(std::span(then.q).first(n), outcome);
  expected = then.q[top];

  const Powers now(logs, live_.slope, live_.bias);
  double mean = 0.0, second = 0.0;
  for (std::size_t k = 0; k < n; ++k) {
    mean += now.q[k] * logs[k];
    second += now.q[k] * logs[k] * logs[k];
  }
  const double lost = 1.0 - keep_;
  slope_slope_ = keep_ * slope_slope_ + lost * prior_slope + std::max(second - mean * mean, 0.0) / spread_;
  const double step = (logs[outcome] - mean) / spread_ + lost * prior_slope * (1.0 - live_.slope);
  live_.slope = std::clamp(live_.slope + step / slope_slope_, least_slope, most_slope);
  for (std::size_t k = 0; k < n; ++k) {
    const double q = now.q[k];
    bias_[k] = keep_ * bias_[k] + lost * prior_bias + q * (1.0 - q) / spread_;
    const double by = ((k == outcome ? 1.0 : 0.0) - q) / spread_ - lost * prior_bias * live_.bias[k];
    live_.bias[k] = std::clamp(live_.bias[k] + by / bias_[k], -most_shift, most_shift);
  }
}

void Calibrator::refresh() noexcept {
  if (grown_ > 1e100) {
    for (auto* sums : {&count_, &happened_, &p_}) {
      for (double& sum : *sums) sum /= grown_;
    }
    grown_ = 1.0;
  }
  fit_isotonic();
  std::array<double, n_methods> exponent = {};
  for (std::size_t m = 0; m < n_methods; ++m) {
    const Gate& gate = gate_[m];
    if (!(gate.saved > 0.0)) continue;
    const double square = gate.square + gate.round * gate.round + least_square;
    exponent[m] = std::min(std::min(rate, errors / std::sqrt(square)) * gate.saved, 50.0);
  }
  for (std::size_t m = 0; m < n_methods; ++m) {
    weight_[m] = exponent[m] > 0.0 ? eagerness * (1.0 / kernels::exp_bounded(-exponent[m]) - 1.0) : 0.0;
  }
  mix();
}

void Calibrator::mix() noexcept {
  adjusts_ = std::ranges::any_of(weight_, [](double w) { return w > 0.0; });
  const auto w = weights(2);
  binary_ = {w[0], w[1], w[2]};
}

void Calibrator::fit_isotonic() noexcept {
  std::array<double, bins> value, weight, mean;
  std::array<std::size_t, bins> first;
  std::size_t blocks = 0;
  const double scale = 1.0 / (grown_ * spread_);
  for (std::size_t i = 0; i < bins; ++i) {
    const double middle = (static_cast<double>(i) + 0.5) / static_cast<double>(bins);
    mean[i] = count_[i] > 0.0 ? p_[i] / count_[i] : middle;
    weight[blocks] = count_[i] * scale + prior_count;
    value[blocks] = happened_[i] * scale + prior_count * mean[i];  // a sum, until all is pooled
    first[blocks] = i;
    ++blocks;
    while (blocks > 1 && value[blocks - 2] * weight[blocks - 1] >= value[blocks - 1] * weight[blocks - 2]) {
      value[blocks - 2] += value[blocks - 1];
      weight[blocks - 2] += weight[blocks - 1];
      --blocks;
    }
  }
  for (std::size_t b = 0; b < blocks; ++b) {
    const double pooled = value[b] / weight[b];
    const std::size_t end = b + 1 < blocks ? first[b + 1] : bins;
    for (std::size_t i = first[b]; i < end; ++i) live_.move[i] = static_cast<float>(pooled - mean[i]);
  }
  // What is added falls by no more than p rises from the middle of one bin to that of the next: the map is monotone.
  constexpr float width = 1.0f / static_cast<float>(bins);
  for (std::size_t i = 1; i < bins; ++i) live_.move[i] = std::max(live_.move[i], live_.move[i - 1] - width);
}

double Calibrator::evidence(Method method) const noexcept {
  if (method == Method::as_given) return 0.0;
  const Gate& gate = gate_[static_cast<std::size_t>(method) - 1];
  return gate.saved / std::sqrt(gate.square + gate.round * gate.round + least_square);
}

// --- snapshots -------------------------------------------------------------------------------------------------------

void Calibrator::save(SnapshotWriter& out) const {
  out.put(n_);
  out.put(round_time_);
  out.put(classes_);
  for (const Map* map : {&live_, &before_}) {
    for (const double x : {map->slope, map->shift, map->temperature}) out.put(x);
    put_row(out, map->bias);
    put_row(out, map->move);
  }
  put_row(out, weight_);
  for (const Gate& gate : gate_) {
    for (const double x : {gate.saved, gate.square, gate.round}) out.put(x);
  }
  for (const double x : {slope_slope_, slope_shift_, shift_shift_, temperature_}) out.put(x);
  put_row(out, bias_);
  for (const auto* sums : {&count_, &happened_, &p_}) put_row(out, *sums);
  for (const double x : {grown_, round_residual_, round_variance_, residual_, variance_, spread_}) out.put(x);
}

void Calibrator::load(SnapshotReader& in) {
  Calibrator read = *this;  // the options
  in.get(read.n_);
  in.get(read.round_time_);
  in.get(read.classes_);
  const auto number = [&in](double& x, double low, double high) {
    in.get(x);
    in.require(x >= low && x <= high);
  };
  const auto row = [&in](auto& values, double low, double high) {
    in.get_raw(std::span(values.data(), values.size()));
    for (const double x : values) in.require(x >= low && x <= high);
  };
  constexpr double any = 1e300;
  for (Map* map : {&read.live_, &read.before_}) {
    number(map->slope, least_slope, most_slope);
    number(map->shift, -most_shift, most_shift);
    number(map->temperature, least_slope, most_slope);
    row(map->bias, -most_shift, most_shift);
    row(map->move, -1.0, 1.0);
  }
  row(read.weight_, 0.0, any);
  for (Gate& gate : read.gate_) {
    number(gate.saved, -any, any);
    number(gate.square, 0.0, any);
    number(gate.round, -any, any);
  }
  number(read.slope_slope_, 1e-300, any);
  number(read.slope_shift_, -any, any);
  number(read.shift_shift_, 1e-300, any);
  number(read.temperature_, 1e-300, any);
  in.require(read.slope_slope_ * read.shift_shift_ > read.slope_shift_ * read.slope_shift_);
  row(read.bias_, 1e-300, any);
  for (auto* sums : {&read.count_, &read.happened_, &read.p_}) row(*sums, 0.0, any);
  number(read.grown_, 1.0, any);
  number(read.round_residual_, -any, any);
  for (double* x : {&read.round_variance_, &read.residual_, &read.variance_}) number(*x, 0.0, any);
  number(read.spread_, 1.0, most_spread);
  if (!in.ok()) return;
  read.mix();
  *this = read;
}

}  // namespace fairlead
