// Shared by the bindings of scoreboard and replay.
#pragma once

#include "common.hpp"
#include "fairlead/replay.hpp"
#include "fairlead/scoreboard.hpp"

namespace fairlead::bindings {

py::list calibration_curve(const Calibration& calibration);  // calibration.cpp

py::dict replay_scores(const ReplayScores& scores);  // replay.cpp

inline Kind kind_from(int kind) {
  if (kind < 0 || kind > 2) throw py::value_error("kind is " + std::to_string(kind) + ", must be 0, 1 or 2");
  return static_cast<Kind>(kind);
}

// A score as a dictionary: n, brier, log_loss, accuracy, calibration_error, mae, rmse, curve.
inline py::dict score_dict(const Score& score) {
  py::dict out;
  out["n"] = score.n;
  out["brier"] = score.brier();
  out["log_loss"] = score.log_loss();
  out["accuracy"] = score.accuracy();
  out["calibration_error"] = score.calibration_error();
  out["mae"] = score.mae();
  out["rmse"] = score.rmse();
  out["curve"] = calibration_curve(score.calibration);
  return out;
}

}  // namespace fairlead::bindings
