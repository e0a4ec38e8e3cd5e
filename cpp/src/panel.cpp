#include "fairlead/panel.hpp"

#include <utility>

#include "fairlead/snapshot.hpp"

namespace fairlead {

void Gains::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint8_t>(started_));
  out.put(round_time_);
  out.put(seen_);
  for (const auto* column : {&gain_, &variance_, &round_, &advantage_}) out.put_raw(std::span<const double>(*column));
}

void Gains::load(SnapshotReader& in) {
  Gains read;
  std::uint8_t started = 0;
  in.get(started);
  in.get(read.round_time_);
  in.get(read.seen_);
  in.require(started <= 1 && read.seen_ >= 0.0 && std::isfinite(read.seen_));
  read.started_ = started == 1;
  for (auto* column : {&read.gain_, &read.variance_, &read.round_, &read.advantage_}) {
    in.get_raw(std::span<double>(*column));
    in.require(std::ranges::all_of(*column, [](double x) { return std::abs(x) <= 1e150; }));  // whose squares can be summed
  }
  in.require(std::ranges::all_of(read.variance_, [](double x) { return x >= 0.0; }));
  if (in.ok()) *this = read;
}

void Panel::save(SnapshotWriter& out) const {
  for (const Gains& each : gains) each.save(out);
  for (const Score& each : score) each.save(out);
}

void Panel::load(SnapshotReader& in) {
  Panel read;
  for (Gains& each : read.gains) each.load(in);
  for (Score& each : read.score) each.load(in);
  if (in.ok()) *this = std::move(read);
}

}  // namespace fairlead
