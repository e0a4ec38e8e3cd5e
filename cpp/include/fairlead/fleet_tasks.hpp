// The tasks of a fleet: those that are open, and the newest that ended, by id and by number.
//
// Slots and their strings are reused, so that a task allocates nothing once its slot has held a longer one and the tables have
// had their size. Memory: a task's record as it lies in the journal, and some 100 bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/audits.hpp"
#include "fairlead/journal/encode.hpp"
#include "fairlead/names.hpp"
#include "fairlead/performance.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

using journal::TaskNumber;

// What routing keeps of an open task: fleet_routing.hpp.
struct TaskRouting {
  static constexpr std::size_t most_contexts = 11;
  std::array<std::int32_t, most_contexts> contexts = {};  // of the router
  std::uint8_t n_contexts = 0;
  std::uint16_t attempts = 0;   // calls that were routed
  std::int32_t category = -1;   // names of FleetRouting
  std::int32_t type = -1;       // once a route has told it

  std::span<const std::int32_t> where() const noexcept { return std::span(contexts).first(n_contexts); }
};

struct FleetTask {
  enum class State : std::uint8_t { unused, open, settled, voided };

  TaskNumber number = 0;
  TaskHandle handle = {};  // of the Scoreboard, while it is open
  Time shown = 0;
  double outcome = nan;  // once it is settled
  std::uint32_t next = 0;
  std::int32_t category = -1;  // its number in the journal
  Kind kind = Kind::binary;
  State state = State::unused;
  TaskRouting routing = {};    // while it is open
  Decided decided = {};        // the same
  PlaceId place = 0;           // of Performance, while it is open
  std::string record = {};  // the payload of its event: journal/encode.hpp

  std::string_view id() const noexcept { return part(0); }
  std::string_view text() const noexcept { return part(2); }

 private:
  std::string_view part(int n) const noexcept {  // id, category, text, regime
    std::string_view left = std::string_view(record).substr(sizeof(journal::TaskFixed));
    for (;; --n) {
      std::uint32_t bytes = 0;
      std::memcpy(&bytes, left.data(), sizeof(bytes));
      left.remove_prefix(sizeof(bytes));
      if (n == 0) return left.substr(0, bytes);
      left.remove_prefix(bytes);
    }
  }
};

// Slots by a hash: a flat table, probed in a line and at most half full. What is erased leaves no mark.
class SlotIndex {
 public:
  static constexpr std::uint32_t none = 0xffffffffu;

  template <class Same>
  std::uint32_t find(std::uint64_t hash, Same&& same) const noexcept {
    if (cells_.empty()) return none;
    for (std::size_t at = home(tag(hash));; at = next(at)) {
      if (cells_[at].slot == none) return none;
      if (cells_[at].tag == tag(hash) && same(cells_[at].slot)) return cells_[at].slot;
    }
  }
  void reserve_one();  // so that the next insert cannot fail. May throw std::bad_alloc
  void insert(std::uint64_t hash, std::uint32_t slot) noexcept { place({tag(hash), slot}), ++size_; }
  void erase(std::uint64_t hash, std::uint32_t slot) noexcept;  // it is there

 private:
  struct Cell {
    std::uint32_t tag = 0;
    std::uint32_t slot = none;
  };

  static std::uint32_t tag(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash >> 32); }
  std::size_t home(std::uint32_t tag) const noexcept { return tag & (cells_.size() - 1); }
  std::size_t next(std::size_t at) const noexcept { return (at + 1) & (cells_.size() - 1); }
  void place(Cell cell) noexcept {
    std::size_t at = home(cell.tag);
    while (cells_[at].slot != none) at = next(at);
    cells_[at] = cell;
  }

  std::vector<Cell> cells_;  // a power of two of them, or none
  std::size_t size_ = 0;
};

class FleetTasks {
 public:
  static constexpr std::uint32_t none = SlotIndex::none;

  std::uint32_t find(std::string_view id) const noexcept {
    return by_id_.find(NameTable::hash(id), [&](std::uint32_t slot) { return tasks_[slot].id() == id; });
  }
  std::uint32_t find(TaskNumber number) const noexcept {  // an open one
    return by_number_.find(spread(number), [&](std::uint32_t slot) { return tasks_[slot].number == number; });
  }
  const FleetTask& operator[](std::uint32_t slot) const noexcept { return tasks_[slot]; }
  FleetTask& operator[](std::uint32_t slot) noexcept { return tasks_[slot]; }

  // A slot with this record in it, which is not yet found. May throw std::bad_alloc, then changes nothing that can be seen.
  std::uint32_t prepare(std::span<const std::byte> record);
  void add(std::uint32_t prepared, TaskNumber number, TaskHandle handle, Kind kind, Time shown, std::int32_t category,
           const TaskRouting& routing = {}) noexcept;
  void end(std::uint32_t slot, FleetTask::State how, double outcome) noexcept;
  void forget(std::size_t keep) noexcept;  // the oldest that ended, until no more than `keep` are left

  std::size_t n_open() const noexcept { return n_open_; }
  std::size_t n_ended() const noexcept { return n_ended_; }
  std::vector<std::uint32_t> open() const;   // oldest first. May throw std::bad_alloc
  std::vector<std::uint32_t> ended() const;  // in the order in which they ended

 private:
  static std::uint64_t spread(TaskNumber number) noexcept { return number * 0x9e3779b97f4a7c15u; }

  std::vector<FleetTask> tasks_;
  std::vector<std::uint32_t> free_;
  SlotIndex by_id_, by_number_;
  std::uint32_t first_ended_ = none, last_ended_ = none;
  std::size_t n_open_ = 0, n_ended_ = 0;
};

}  // namespace fairlead
