// A forecast table that owns its columns, and what the tests of replay do with one.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "fairlead/replay.hpp"

namespace fairlead::testing {

using Numbers = std::vector<double>;

inline constexpr std::size_t hedge = static_cast<std::size_t>(Strategy::hedge);
inline constexpr std::size_t mean = static_cast<std::size_t>(Strategy::mean);

// A table that owns its columns.
struct Table {
  Kind kind = Kind::binary;
  std::size_t labels = 0, dimensions = 0;
  std::vector<Time> time = {}, outcome_time = {};
  std::vector<std::int32_t> task = {};
  std::vector<ModelId> model = {};
  std::vector<std::uint8_t> failed = {};
  std::vector<std::int64_t> tokens = {};
  Numbers answer = {}, missing = {}, cost = {}, outcome = {};
  std::vector<SliceId> slices = {};

  std::size_t width() const { return kind == Kind::categorical ? labels : 1; }

  void forecast(Time at, std::int32_t of, ModelId by, Numbers p, bool failure = false) {
    if (failure) p.assign(width(), nan);
    time.push_back(at);
    task.push_back(of);
    model.push_back(by);
    failed.push_back(failure);
    answer.insert(answer.end(), p.begin(), p.end());
    missing.push_back(nan);
    cost.push_back(0.25);
    tokens.push_back(3);
  }
  std::int32_t settles(double y, Time known) {
    outcome.push_back(y);
    outcome_time.push_back(known);
    return static_cast<std::int32_t>(outcome.size() - 1);
  }
  ReplayTable view() const {
    return {.kind = kind,
            .labels = labels,
            .dimensions = dimensions,
            .time = time,
            .task = task,
            .model = model,
            .answer = answer,
            .failed = failed,
            .confidence = missing,
            .latency_ms = missing,
            .cost_usd = cost,
            .tokens_in = tokens,
            .tokens_out = tokens,
            .outcome = outcome,
            .outcome_time = outcome_time,
            .slices = slices};
  }
};

inline Scoreboard fleet_of(std::size_t models, std::size_t slices = 0) {
  Scoreboard board;
  for (std::size_t i = 0; i < models; ++i) board.add("model-" + std::to_string(i));
  for (std::size_t i = 0; i < slices; ++i) board.slice("d", std::to_string(i));
  return board;
}

inline ReplayScores play(Scoreboard& board, const Table& table, const ReplayOptions& options = {},
                         std::size_t step = 1'000'000) {
  Replay replay(board, table.view(), options);
  while (!replay.done()) REQUIRE(replay.advance(step).status == Status::ok);
  REQUIRE(replay.finish().status == Status::ok);
  CHECK(board.open_tasks() == 0);
  return replay.scores();
}

inline bool same_bits(const Numbers& a, const Numbers& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(double)) == 0;
}

inline Numbers ratings(const Scoreboard& board) {
  Numbers out;
  for (SliceId s = 0; board.has_slice(s); ++s) {
    for (ModelId i = 0; board.has_model(i); ++i) {
      out.push_back(board.rating(i, s));
      out.push_back(static_cast<double>(board.score(i, s).n));
    }
  }
  return out;
}

}  // namespace fairlead::testing
