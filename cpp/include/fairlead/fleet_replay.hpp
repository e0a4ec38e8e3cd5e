// What a fleet lived, once more: the events of its journal in their order, through Fleet::apply, and beside it what every
// strategy would have decided when the last answer to each task was in, and how good that was. Two passes over the events: the
// first counts, so that the second knows which answer is the last.
//
// It ends in the state that opening the journal ends in. Tasks of one kind are scored, the others only folded.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "fairlead/fleet.hpp"
#include "fairlead/replay.hpp"

namespace fairlead {

class FleetCensus {
 public:
  void count(const journal::Event& event);  // may throw std::bad_alloc

  journal::Seq first = 0, last = 0;
  std::array<std::uint64_t, 3> forecasts = {};  // by kind
  std::array<std::uint64_t, 3> times = {};      // by kind: how often the time of the forecasts changed
  std::vector<std::uint32_t> answers = {};      // by number of the task: forecasts that were made of it
  bool one_set_of_labels = true;                // of all categorical tasks
  std::vector<std::string> labels = {};         // of the first
  std::size_t most_labels = 0;

 private:
  std::array<Time, 3> newest_ = {};
  journal::DecodedTask decoded_;
};

class FleetReplay {
 public:
  // `census`: of the same events.
  FleetReplay(Kind kind, FleetCensus census, const ReplayOptions& options);

  // The next event. What Fleet::apply says.
  Status apply(const journal::Event& event);
  void finish();

  const Fleet& fleet() const noexcept { return fleet_; }
  Fleet take() noexcept { return std::move(fleet_); }  // in the end
  const FleetCensus& census() const noexcept { return census_; }
  const ReplayScores& scores() const noexcept { return scorer_.scores; }
  Audits take_audits() noexcept { return std::move(scorer_.audits); }  // in the end
  std::uint64_t forecasts() const noexcept { return forecasts_; }

 private:
  enum class Stage : std::uint8_t { open, decided, scored };
  struct Slot {
    TaskNumber number = 0;
    std::uint32_t answers = 0;
    Stage stage = Stage::open;
  };

  Status recorded(const journal::Event& event);
  Status ended(const journal::Event& event, TaskNumber task, double outcome, double profit_usd, bool known);
  Slot& slot_of(std::uint32_t slot);

  Kind kind_;
  FleetCensus census_;
  ReplayOptions options_;
  ReplayScorer scorer_;
  Fleet fleet_;
  std::vector<Slot> slots_;  // by slot of the fleet's tasks
  Time newest_ = 0;          // of the forecasts of the kind, and of the outcomes
  Time forecast_time_ = 0;   // of the last forecast of the kind
  std::uint64_t forecasts_ = 0, times_seen_ = 0, every_ = 1;
};

}  // namespace fairlead
