#include <algorithm>
#include <utility>

#include "fairlead/fleet_tasks.hpp"

namespace fairlead {

void SlotIndex::reserve_one() {
  if (2 * (size_ + 1) <= cells_.size()) return;
  std::vector<Cell> wider(std::max<std::size_t>(16, 2 * cells_.size()));
  cells_.swap(wider);
  for (const Cell& cell : wider) {
    if (cell.slot != none) place(cell);
  }
}

// Closes the gap, so that no search that began before it ends too early (Knuth, The Art of Computer Programming 3, 6.4 R).
void SlotIndex::erase(std::uint64_t hash, std::uint32_t slot) noexcept {
  std::size_t gap = home(tag(hash));
  while (cells_[gap].slot != slot) gap = next(gap);
  for (std::size_t at = next(gap); cells_[at].slot != none; at = next(at)) {
    const std::size_t mask = cells_.size() - 1;
    const std::size_t from = home(cells_[at].tag);
    if (((at - from) & mask) < ((at - gap) & mask)) continue;  // it lies between its home and here: it may stay
    cells_[gap] = cells_[at];
    gap = at;
  }
  cells_[gap] = Cell{};
  --size_;
}

std::uint32_t FleetTasks::prepare(std::span<const std::byte> record) {
  by_id_.reserve_one();
  by_number_.reserve_one();
  if (free_.empty()) {
    // Room for every slot, so that giving one back never allocates.
    if (free_.capacity() <= tasks_.size()) free_.reserve(std::max<std::size_t>(16, 2 * tasks_.size()));
    tasks_.emplace_back();
    free_.push_back(static_cast<std::uint32_t>(tasks_.size() - 1));
  }
  const std::uint32_t slot = free_.back();
  tasks_[slot].record.assign(reinterpret_cast<const char*>(record.data()), record.size());
  return slot;
}

void FleetTasks::add(std::uint32_t prepared, TaskNumber number, TaskHandle handle, Kind kind, Time shown,
                     std::int32_t category, const TaskRouting& routing) noexcept {
  free_.pop_back();  // the one that was prepared
  FleetTask& task = tasks_[prepared];
  task.number = number;
  task.handle = handle;
  task.kind = kind;
  task.shown = shown;
  task.category = category;
  task.routing = routing;
  task.decided.clear();
  task.outcome = nan;
  task.state = FleetTask::State::open;
  by_id_.insert(NameTable::hash(task.id()), prepared);
  by_number_.insert(spread(number), prepared);
  ++n_open_;
}

void FleetTasks::end(std::uint32_t slot, FleetTask::State how, double outcome) noexcept {
  FleetTask& task = tasks_[slot];
  by_number_.erase(spread(task.number), slot);
  task.state = how;
  task.outcome = outcome;
  task.handle = {};
  task.next = none;
  (last_ended_ == none ? first_ended_ : tasks_[last_ended_].next) = slot;
  last_ended_ = slot;
  --n_open_;
  ++n_ended_;
}

void FleetTasks::forget(std::size_t keep) noexcept {
  while (n_ended_ > keep) {
    const std::uint32_t slot = first_ended_;
    FleetTask& task = tasks_[slot];
    by_id_.erase(NameTable::hash(task.id()), slot);
    first_ended_ = task.next;
    if (first_ended_ == none) last_ended_ = none;
    task.state = FleetTask::State::unused;
    free_.push_back(slot);
    --n_ended_;
  }
}

std::vector<std::uint32_t> FleetTasks::open() const {
  std::vector<std::uint32_t> slots;
  slots.reserve(n_open_);
  for (std::uint32_t slot = 0; slot < tasks_.size(); ++slot) {
    if (tasks_[slot].state == FleetTask::State::open) slots.push_back(slot);
  }
  std::sort(slots.begin(), slots.end(),
            [this](std::uint32_t a, std::uint32_t b) { return tasks_[a].number < tasks_[b].number; });
  return slots;
}

std::vector<std::uint32_t> FleetTasks::ended() const {
  std::vector<std::uint32_t> slots;
  slots.reserve(n_ended_);
  for (std::uint32_t slot = first_ended_; slot != none; slot = tasks_[slot].next) slots.push_back(slot);
  return slots;
}

}  // namespace fairlead
