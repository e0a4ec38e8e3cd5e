// The life of a task in a few words, for tests that are about something else.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "fairlead/scoreboard.hpp"

inline fairlead::TaskHandle open(fairlead::Scoreboard& board, fairlead::Kind kind = fairlead::Kind::binary,
                                 std::size_t labels = 0, std::vector<fairlead::SliceId> slices = {}) {
  fairlead::TaskHandle task;
  REQUIRE(board.open(kind, labels, slices, task) == fairlead::Status::ok);
  return task;
}

inline fairlead::Decision decide(fairlead::Scoreboard& board, fairlead::TaskHandle task,
                                 fairlead::Strategy strategy = fairlead::default_strategy) {
  fairlead::Decision out;
  REQUIRE(board.decide(task, strategy, out) == fairlead::Status::ok);
  return out;
}

inline fairlead::Status settle(fairlead::Scoreboard& board, fairlead::TaskHandle task, double outcome,
                               fairlead::Time time = 0) {
  return board.settle({.task = task, .value = outcome, .time = time});
}
