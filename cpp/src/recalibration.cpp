#include "fairlead/recalibration.hpp"

#include "fairlead/snapshot.hpp"

namespace fairlead {

void Recalibration::update(std::span<const double> p, std::span<const double> log_p, std::size_t outcome, bool binary,
                           Time time) noexcept {
  // p raised to the floor and normalised: softmax(log_p) at t = 0, b = 0.
  double sum = 0.0;
  double mean = 0.0;
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double e = std::exp(log_p[k]);
    sum += e;
    mean += e * log_p[k];
  }
  mean /= sum;
  std::array<double, 2> gradient = {}, curvature = {};
  for (std::size_t k = 0; k < p.size(); ++k) {
    const double s = std::exp(log_p[k]) / sum;
    const double miss = s - (k == outcome ? 1.0 : 0.0);
    const double by_factor = s * (log_p[k] - mean);
    gradient[0] += 2.0 * miss * by_factor;
    curvature[0] += 2.0 * by_factor * by_factor;
    if (!binary) continue;
    const double by_shift = (k == 1 ? 1.0 : -1.0) * s * (1.0 - s);
    gradient[1] += 2.0 * miss * by_shift;
    curvature[1] += 2.0 * by_shift * by_shift;
  }
  const double close = started_ && time != round_time_ ? 1.0 : 0.0;  // a new time closes the round before it
  started_ = true;
  round_time_ = time;
  for (std::size_t j = 0; j < 2; ++j) {
    Parameter& x = state_[j];
    x.variance = keep * (x.variance + close * x.round * x.round);
    x.round = keep * (1.0 - close) * x.round + gradient[j];
    x.gradient = keep * x.gradient + gradient[j];
    x.curvature = keep * x.curvature + curvature[j];
  }
}

void Recalibration::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint8_t>(started_));
  out.put(round_time_);
  out.put_raw(std::span<const Parameter>(state_));
}

void Recalibration::load(SnapshotReader& in) {
  Recalibration read;
  std::uint8_t started = 0;
  in.get(started);
  in.get(read.round_time_);
  in.get_raw(std::span<Parameter>(read.state_));
  in.require(started <= 1);
  for (const Parameter& x : read.state_) {
    constexpr double most_sum = 1e150;  // whose square can be summed
    in.require(std::abs(x.gradient) <= most_sum && std::abs(x.round) <= most_sum && x.curvature >= 0.0 &&
               x.curvature <= most_sum && x.variance >= 0.0 && x.variance <= most_sum);
  }
  if (!in.ok()) return;
  read.started_ = started == 1;
  *this = read;
}

}  // namespace fairlead
