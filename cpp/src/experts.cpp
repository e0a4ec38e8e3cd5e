#include "fairlead/experts.hpp"

#include "fairlead/snapshot.hpp"
#include "kernels/elementary.hpp"

namespace fairlead {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr double tiny = 1e-150;  // of sums of gains and gaps: as good as 0

bool fraction(double x) noexcept { return x >= 0.0 && x <= 1.0; }

// e^x, and 0 where it would come near the denormal numbers, with which arithmetic is slow.
// For x <= 0.
inline double exp_or_zero(double x) noexcept {
  const double e = kernels::exp_bounded(x);
  return x > -690.0 ? e : 0.0;
}

// The same bits everywhere, which std::log does not promise. For x in [1e-300, 1e300].
inline double log_of(double x) noexcept { return kernels::log_ratio(x, 1.0); }

}  // namespace

const char* ExpertsOptions::fault() const noexcept {
  if (rule > ExpertRule::ml_poly) return "rule";
  if (loss > ExpertLoss::log) return "loss";
  if (!(eta >= 0.0 && eta <= 1e100) || (rule == ExpertRule::ml_poly && eta != 0.0)) return "eta";
  if (!(fixed_share >= 0.0 && fixed_share < 1.0)) return "fixed_share";
  if (!(half_life == 0.0 || (half_life >= 1e-3 && half_life <= 1e15))) return "half_life";
  if (!fraction(floor)) return "floor";
  if (!(fraction(cap) && cap > 0.0 && cap >= floor)) return "cap";
  return nullptr;
}

void Experts::add() {
  // Room first, so that running out of memory changes nothing.
  const std::size_t m = size() + 1;
  for (auto* column : {&gain_, &variance_, &reach_, &log_weight_, &rate_, &prior_, &played_, &excess_, &scale_})
    column->reserve(m);
  records_.reserve(m);
  here_.reserve(m);
  active_.reserve(m);
  for (auto* column : {&gain_, &variance_, &reach_, &log_weight_, &rate_, &prior_, &played_, &excess_, &scale_})
    column->push_back(0.0);
  records_.push_back({});
  here_.push_back(0);
  active_.push_back(1);
  ++n_active_;
  refresh();
}

Status Experts::remove(std::size_t k) noexcept {
  if (!active(k)) return Status::unknown_model;
  active_[k] = 0;
  gain_[k] = variance_[k] = reach_[k] = scale_[k] = 0.0;
  --n_active_;
  refresh();
  return Status::ok;
}

Status Experts::revive(std::size_t k) noexcept {
  if (k >= size() || active_[k] != 0) return Status::unknown_model;
  active_[k] = 1;
  records_[k] = {};
  ++n_active_;
  refresh();
  return Status::ok;
}

// Who is here, by `awake` and by what of x is not NaN. Also checks x.
Status Experts::look(std::span<const double> x, std::span<const std::uint8_t> awake, double low, double high) noexcept {
  if (x.size() != size() || (!awake.empty() && awake.size() != size())) return Status::wrong_length;
  for (std::size_t k = 0; k < x.size(); ++k) {
    here_[k] = active_[k] != 0 && (awake.empty() || awake[k] != 0) && !std::isnan(x[k]);
    if (here_[k] == 0) continue;
    if (std::isinf(x[k])) return Status::not_finite;
    if (!(x[k] >= low && x[k] <= high)) return Status::out_of_range;
  }
  return Status::ok;
}

// The prior weights of those who are here, made to sum to 1.
void Experts::weigh() noexcept {
  const std::size_t m = size();
  double total = 0.0;
  for (std::size_t k = 0; k < m; ++k) {
    played_[k] = here_[k] != 0 ? prior_[k] : 0.0;
    total += played_[k];
  }
  if (total < 1e-100) {  // all weight is with those who sleep
    double top = -std::numeric_limits<double>::infinity();
    for (std::size_t k = 0; k < m; ++k) {
      if (here_[k] != 0) top = std::max(top, log_weight_[k]);
    }
    total = 0.0;
    for (std::size_t k = 0; k < m; ++k) {
      played_[k] = here_[k] == 0 ? 0.0 : options_.rule == ExpertRule::ml_poly ? 1.0 : exp_or_zero(log_weight_[k] - top);
      total += played_[k];
    }
    if (total == 0.0) return;
  }
  for (double& w : played_) w /= total;
  if (options_.floor > 0.0 || options_.cap < 1.0) bound();
}

// clamp(z w, floor, cap) with the z for which the sum is 1: a monotone, piecewise linear function of z. Newton's method
// finds its root in a few steps, held between bounds.
void Experts::bound() noexcept {
  std::size_t n = 0;
  for (const std::uint8_t here : here_) n += here;
  if (n == 0) return;
  const double even = 1.0 / static_cast<double>(n);
  const double low = std::min(options_.floor, even), high = std::max(options_.cap, even);
  for (std::size_t k = 0; k < size(); ++k) {
    if (here_[k] != 0) played_[k] = std::max(played_[k], 1e-200);  // so that z can lift it
  }
  double least = 0.0, most = 1e201, z = 1.0;
  for (int step = 0; step < 200; ++step) {
    double sum = 0.0, slope = 0.0;
    for (std::size_t k = 0; k < size(); ++k) {
      if (here_[k] == 0) continue;
      const double w = z * played_[k];
      sum += std::clamp(w, low, high);
      if (w > low && w < high) slope += played_[k];
    }
    if (sum < 1.0) least = z;
    else most = z;
    if (std::abs(sum - 1.0) <= 4e-16) break;
    double next = slope > 0.0 ? z + (1.0 - sum) / slope : nan;
    if (!(next > least && next < most)) next = least > 0.0 ? std::sqrt(least) * std::sqrt(most) : 0.5 * z;
    if (next == z) break;
    z = next;
  }
  double sum = 0.0;
  for (std::size_t k = 0; k < size(); ++k) {
    if (here_[k] != 0) played_[k] = std::clamp(z * played_[k], low, high);
    sum += played_[k];
  }
  for (double& w : played_) w /= sum;  // off by rounding only
}

std::span<const double> Experts::weights(std::span<const std::uint8_t> awake) noexcept {
  for (std::size_t k = 0; k < size(); ++k) here_[k] = active_[k] != 0 && (awake.empty() || awake[k] != 0);
  weigh();
  return played_;
}

Status Experts::predict(std::span<const double> x, std::span<const std::uint8_t> awake, double& forecast) noexcept {
  if (const Status status = check(x, awake); status != Status::ok) return status;
  weigh();
  double sum = 0.0, total = 0.0;
  for (std::size_t k = 0; k < size(); ++k) {
    if (here_[k] == 0) continue;
    sum += played_[k] * x[k];
    total += played_[k];
  }
  forecast = total > 0.0 ? sum : nan;
  return Status::ok;
}

double Experts::loss_of(double forecast, double y) const noexcept {
  switch (options_.loss) {
    case ExpertLoss::square: return (forecast - y) * (forecast - y);
    case ExpertLoss::absolute: return std::abs(forecast - y);
    case ExpertLoss::log: break;
  }
  const double p = std::clamp(forecast, clip, 1.0 - clip);
  return -(y * log_of(p) + (1.0 - y) * log_of(1.0 - p));
}

double Experts::slope(double forecast, double y) const noexcept {
  switch (options_.loss) {
    case ExpertLoss::square: return 2.0 * (forecast - y);
    case ExpertLoss::absolute: return forecast > y ? 1.0 : forecast < y ? -1.0 : 0.0;
    case ExpertLoss::log: break;
  }
  const double p = std::clamp(forecast, clip, 1.0 - clip);
  return (p - y) / (p * (1.0 - p));
}

Status Experts::check(std::span<const double> x, std::span<const std::uint8_t> awake) noexcept {
  const bool log = options_.loss == ExpertLoss::log;
  return look(x, awake, log ? 0.0 : -value_max, log ? 1.0 : value_max);
}

Status Experts::check(double y) const noexcept {
  const bool fits = options_.loss == ExpertLoss::log ? fraction(y) : std::abs(y) <= value_max;
  return fits ? Status::ok : Status::bad_outcome;
}

Status Experts::update(std::span<const double> x, double y, std::span<const std::uint8_t> awake,
                       double& forecast) noexcept {
  if (const Status status = check(y); status != Status::ok) return status;
  if (const Status status = predict(x, awake, forecast); status != Status::ok) return status;
  if (std::isnan(forecast)) return Status::ok;
  const double mixture = loss_of(forecast, y);
  const double g = options_.gradient ? slope(forecast, y) : 0.0;
  for (std::size_t k = 0; k < size(); ++k) {
    excess_[k] = 0.0;
    if (here_[k] == 0) continue;
    const double loss = loss_of(x[k], y);
    records_[k].loss += loss;
    excess_[k] = options_.gradient ? g * (forecast - x[k]) : mixture - loss;
  }
  learn(mixture);
  return Status::ok;
}

Status Experts::update_losses(std::span<const double> losses, std::span<const std::uint8_t> awake,
                              double& loss) noexcept {
  if (const Status status = look(losses, awake, -value_max, value_max); status != Status::ok) return status;
  weigh();
  double mixture = 0.0, total = 0.0;
  for (std::size_t k = 0; k < size(); ++k) {
    if (here_[k] == 0) continue;
    mixture += played_[k] * losses[k];
    total += played_[k];
  }
  loss = total > 0.0 ? mixture : nan;
  if (std::isnan(loss)) return Status::ok;
  for (std::size_t k = 0; k < size(); ++k) {
    excess_[k] = 0.0;
    if (here_[k] == 0) continue;
    records_[k].loss += losses[k];
    excess_[k] = mixture - losses[k];
  }
  learn(mixture);
  return Status::ok;
}

// `excess_` holds the gains r of the round, `played_` its weights.
void Experts::learn(double mixture) noexcept {
  loss_ += mixture;
  ++rounds_;
  for (std::size_t k = 0; k < size(); ++k) {
    if (here_[k] != 0) {
      records_[k].mixture_loss += mixture;
      ++records_[k].rounds;
    }
    gain_[k] *= keep_;
    variance_[k] *= keep_;
    largest_ = std::max(largest_, std::abs(excess_[k]));
  }
  switch (options_.rule) {
    case ExpertRule::hedge: learn_hedge(); break;
    case ExpertRule::boa: learn_boa(); break;
    case ExpertRule::ml_poly: learn_ml_poly(); break;
  }
  refresh();
  if (options_.fixed_share > 0.0) share();
}

void Experts::learn_hedge() noexcept {
  const double eta = options_.eta > 0.0 ? options_.eta
                     : gap_ > tiny      ? log_count() / gap_
                                        : 0.0;  // 0 stands for infinity
  double top = 0.0;
  bool any = false;
  for (std::size_t k = 0; k < size(); ++k) {
    gain_[k] += excess_[k];
    if (played_[k] > 0.0 && (!any || excess_[k] > top)) top = excess_[k];
    any = any || played_[k] > 0.0;
  }
  // How much more the mixture lost than the soft minimum of the losses does: its limit, the minimum, at an infinite
  // rate.
  double gap = top;
  if (eta > 0.0) {
    double sum = 0.0;
    for (std::size_t k = 0; k < size(); ++k) sum += played_[k] * exp_or_zero(std::min(eta * (excess_[k] - top), 0.0));
    gap = top + log_of(sum) / eta;
  }
  gap_ = keep_ * gap_ + std::max(gap, 0.0);
}

void Experts::learn_boa() noexcept {
  double sum = 0.0, met = 0.0;
  for (std::size_t k = 0; k < size(); ++k) {
    sum += variance_[k];
    met += variance_[k] > 0.0 ? 1.0 : 0.0;
  }
  const double mean = met > 0.0 ? sum / met : 0.0;
  const double log_models = log_count();
  for (std::size_t k = 0; k < size(); ++k) {
    const double r = excess_[k];
    if (r == 0.0) continue;
    if (options_.eta > 0.0) {
      gain_[k] += r - options_.eta * r * r;
      continue;
    }
    // Who is new starts with the rate of the others, or its larger one would outweigh what they have proved.
    variance_[k] = (variance_[k] > 0.0 ? variance_[k] : mean) + r * r;
    if (std::abs(r) > reach_[k]) {
      reach_[k] = std::abs(r);
      int exponent = 0;
      scale_[k] = std::frexp(reach_[k], &exponent) == 0.5 ? reach_[k] : std::ldexp(1.0, exponent);
    }
    const double eta = std::min(1.0 / scale_[k], std::sqrt(log_models / variance_[k]));
    gain_[k] += 0.5 * (r - eta * r * r + (eta * r > 0.5 ? scale_[k] : 0.0));
  }
}

void Experts::learn_ml_poly() noexcept {
  for (std::size_t k = 0; k < size(); ++k) {
    gain_[k] += excess_[k];
    variance_[k] += excess_[k] * excess_[k];
  }
}

// Rates and prior weights from gains and variances.
void Experts::refresh() noexcept {
  const std::size_t m = size();
  double total = 0.0;
  if (options_.rule == ExpertRule::ml_poly) {
    for (std::size_t k = 0; k < m; ++k) {
      const double spread = largest_ * largest_ + variance_[k];
      rate_[k] = spread > 0.0 ? 1.0 / spread : 0.0;
      prior_[k] = active_[k] != 0 ? rate_[k] * std::max(gain_[k], 0.0) : 0.0;
      total += prior_[k];
    }
  } else {
    double mean = 0.0, met = 0.0;
    for (std::size_t k = 0; k < m; ++k) {
      mean += variance_[k];
      met += variance_[k] > 0.0 ? 1.0 : 0.0;
    }
    mean = met > 0.0 ? mean / met : 0.0;
    const double log_models = log_count();
    const double hedge = gap_ > tiny ? log_models / gap_ : 0.0;
    double top = -std::numeric_limits<double>::infinity(), leader = top;
    for (std::size_t k = 0; k < m; ++k) leader = active_[k] != 0 ? std::max(leader, gain_[k]) : leader;
    for (std::size_t k = 0; k < m; ++k) {
      if (options_.eta > 0.0) {
        rate_[k] = options_.eta;
      } else if (options_.rule == ExpertRule::hedge) {
        rate_[k] = hedge;
      } else {
        const double v = variance_[k] > 0.0 ? variance_[k] : mean;
        const double rate = v > 0.0 ? std::sqrt(log_models / v) : 0.0;
        rate_[k] = scale_[k] > 0.0  ? std::min(rate, 1.0 / scale_[k])
                   : largest_ > 0.0 ? std::min(rate, 1.0 / largest_)
                                    : rate;
      }
      log_weight_[k] = rate_[k] * gain_[k];
      if (options_.rule == ExpertRule::boa && options_.eta == 0.0 && rate_[k] > 0.0) log_weight_[k] += log_of(rate_[k]);
      // No gap yet, so an infinite rate: follow the leaders.
      if (options_.rule == ExpertRule::hedge && rate_[k] == 0.0) log_weight_[k] = gain_[k] == leader ? 0.0 : -1e300;
      if (active_[k] != 0) top = std::max(top, log_weight_[k]);
    }
    for (std::size_t k = 0; k < m; ++k) {
      const double w = exp_or_zero(std::min(log_weight_[k] - top, 0.0));
      prior_[k] = active_[k] != 0 ? w : 0.0;
    }
    for (const double w : prior_) total += w;
  }
  for (std::size_t k = 0; k < m; ++k) {
    if (total > 0.0) prior_[k] /= total;
    else prior_[k] = active_[k] != 0 ? 1.0 / static_cast<double>(n_active_) : 0.0;
  }
}

// Gives each active expert the gain for which its prior weight is (1 - a) v + a / m, the sum of all as before.
void Experts::share() noexcept {
  const double even = 1.0 / static_cast<double>(n_active_);
  const bool poly = options_.rule == ExpertRule::ml_poly;
  double total = 0.0, top = -std::numeric_limits<double>::infinity();
  for (std::size_t k = 0; k < size(); ++k) {
    if (active_[k] == 0) continue;
    if (rate_[k] == 0.0) return;  // nothing is learnt yet: all weigh the same
    total += rate_[k] * std::max(gain_[k], 0.0);
    top = std::max(top, log_weight_[k]);
  }
  if (poly && total == 0.0) return;
  double sum = 0.0;
  for (std::size_t k = 0; k < size() && !poly; ++k) sum += active_[k] != 0 ? exp_or_zero(log_weight_[k] - top) : 0.0;
  const double log_sum = poly ? 0.0 : top + log_of(sum);
  for (std::size_t k = 0; k < size(); ++k) {
    if (active_[k] == 0) continue;
    prior_[k] = (1.0 - options_.fixed_share) * prior_[k] + options_.fixed_share * even;
    if (poly) {
      gain_[k] = total * prior_[k] / rate_[k];
    } else {
      log_weight_[k] = log_sum + log_of(prior_[k]);
      const double own = options_.rule == ExpertRule::boa && options_.eta == 0.0 ? log_of(rate_[k]) : 0.0;
      gain_[k] = (log_weight_[k] - own) / rate_[k];
    }
  }
}

std::string Experts::snapshot() const {
  SnapshotWriter to("experts", 1);
  to.put(options_.rule);
  to.put(options_.loss);
  to.put(static_cast<std::uint8_t>(options_.gradient));
  for (const double x : {options_.eta, options_.fixed_share, options_.half_life, options_.floor, options_.cap})
    to.put(x);
  for (const double x : {gap_, largest_, loss_}) to.put(x);
  to.put(rounds_);
  to.put(active_);
  for (const auto* column : {&gain_, &variance_, &reach_, &scale_, &log_weight_, &rate_, &prior_}) to.put(*column);
  for (const ExpertRecord& record : records_) {
    to.put(record.loss);
    to.put(record.mixture_loss);
    to.put(record.rounds);
  }
  return to.finish();
}

Status Experts::restore(std::string_view bytes, Experts& experts) {
  SnapshotReader from(bytes, "experts", 1);
  ExpertsOptions options;
  from.get(options.rule);
  from.get(options.loss);
  std::uint8_t gradient = 0;
  from.get(gradient);
  options.gradient = gradient != 0;
  for (double* const x : {&options.eta, &options.fixed_share, &options.half_life, &options.floor, &options.cap})
    from.get(*x);
  from.require(options.fault() == nullptr);
  Experts read(options);
  for (double* const x : {&read.gap_, &read.largest_, &read.loss_}) from.get(*x);
  from.get(read.rounds_);
  from.get(read.active_);
  const std::size_t m = read.size();
  for (auto* column :
       {&read.gain_, &read.variance_, &read.reach_, &read.scale_, &read.log_weight_, &read.rate_, &read.prior_}) {
    from.get(*column);
    from.require(column->size() == m);
  }
  if (!from.ok()) return Status::bad_snapshot;
  read.records_.resize(m);
  for (ExpertRecord& record : read.records_) {
    from.get(record.loss);
    from.get(record.mixture_loss);
    from.get(record.rounds);
  }
  if (const Status status = from.finish(); status != Status::ok) return status;
  for (const std::uint8_t active : read.active_) read.n_active_ += active != 0 ? 1 : 0;
  read.played_.assign(m, 0.0);
  read.excess_.assign(m, 0.0);
  read.here_.assign(m, 0);
  experts = std::move(read);
  return Status::ok;
}

}  // namespace fairlead
