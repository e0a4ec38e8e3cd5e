// Overflow::spill: a thread of its own moves records from a ring that fills up, as the writer is held by the disk, into
// further shared memory. First they are there, then they are freed here; of two copies after a crash one is passed over,
// by its number. The writer takes what was spilled before what is in the ring.
#include <algorithm>
#include <chrono>

#include "journal/state.hpp"

namespace fairlead {

using journal::Ring;

void Journal::State::move_to_spill() noexcept {
  const auto nap = std::chrono::nanoseconds(std::clamp<Time>(static_cast<Time>(ring.bytes() / 32), 50'000, 1'000'000));
  for (;;) {
    {
      std::unique_lock guard(mutex);
      if (spill_wake.wait_for(guard, nap, [&] { return stopping.load(std::memory_order_acquire) || finished; })) return;
    }
    if (ring.used() <= ring.bytes() / 2) continue;
    const std::lock_guard guard(drain);
    Ring::Position at = ring.head();
    while (const std::uint32_t length = ring.committed(at.place)) {
      Ring::Slot slot;
      if (spill.claim(length, slot) != Status::ok) break;
      std::memcpy(slot.at + 8, ring.at(at.place) + 8, length - 8);
      Ring::commit(slot);
      at.place += Ring::units_of(length);
      ++at.seq;
    }
    ring.free(at);
  }
}

}  // namespace fairlead
