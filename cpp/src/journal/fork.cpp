// A child of fork() has a copy of the journal's object, but none of its threads, and shares its memory and its lock.
#include <pthread.h>

#include <algorithm>
#include <mutex>
#include <vector>

#include "journal/state.hpp"

namespace fairlead::journal {

namespace {

struct Watched {
  std::mutex mutex;
  std::vector<Journal::State*> open;
};

// Never destroyed: a journal may be closed while the program ends.
Watched& watched() {
  static Watched* const all = new Watched;
  return *all;
}

}  // namespace

void watch_forks(Journal::State& state) {
  Watched& all = watched();
  static const int hooked = pthread_atfork(
      [] { watched().mutex.lock(); }, [] { watched().mutex.unlock(); },
      [] {
        for (Journal::State* const mine : watched().open) {
          mine->foreign.store(true, std::memory_order_relaxed);
          mine->gate.store(Status::journal_closed, std::memory_order_relaxed);
          mine->held.forget();  // or a child that outlives us would hold it
        }
        watched().open.clear();
        watched().mutex.unlock();
      });
  (void)hooked;
  const std::lock_guard lock(all.mutex);
  all.open.push_back(&state);
}

void forget_forks(Journal::State& state) noexcept {
  Watched& all = watched();
  const std::lock_guard lock(all.mutex);
  std::erase(all.open, &state);
}

}  // namespace fairlead::journal
