#include "threads.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace fairlead {

namespace {

constexpr double worth_sharing = 1e6;  // operations: below, waking somebody takes longer
constexpr std::size_t most_threads = 64;
constexpr auto patience = std::chrono::microseconds(50);

// What is to be done now. Threads enter while the gate is open, and count themselves in it; who closes it waits until all
// have left. So nobody who wakes late finds work that is over.
struct Pool {
  static constexpr std::uint32_t closed = 1u << 31;

  std::mutex owner;  // of the call that the threads work for
  std::atomic<std::uint32_t> gate{closed}, round{0};
  std::atomic<std::size_t> next{0}, seats{0};
  std::size_t jobs = 0, threads = 0, made = 1;
  void (*work)(void*, std::size_t, std::size_t) noexcept = nullptr;
  void* context = nullptr;

  void take_jobs(std::size_t thread) noexcept {
    for (std::size_t job = next.fetch_add(1, std::memory_order_relaxed); job < jobs; job = next.fetch_add(1, std::memory_order_relaxed))
      work(context, job, thread);
  }

  bool enter() noexcept {
    std::uint32_t inside = gate.load(std::memory_order_relaxed);
    while ((inside & closed) == 0)
      if (gate.compare_exchange_weak(inside, inside + 1, std::memory_order_acquire)) return true;
    return false;
  }

  [[noreturn]] void serve() noexcept {
    std::uint32_t seen = 0;
    for (;;) {
      const auto start = std::chrono::steady_clock::now();
      while (round.load(std::memory_order_acquire) == seen) {
        if (std::chrono::steady_clock::now() - start > patience) round.wait(seen, std::memory_order_acquire);
      }
      seen = round.load(std::memory_order_acquire);
      if (!enter()) continue;
      const std::size_t seat = seats.fetch_add(1, std::memory_order_relaxed);
      if (seat < threads) take_jobs(seat);
      gate.fetch_sub(1, std::memory_order_release);
    }
  }

  void grow(std::size_t n) noexcept {
    for (; made < n; ++made) {
      try {
        std::thread([this] { serve(); }).detach();
      } catch (...) {  // no thread, or no memory for one: fewer do
        return;
      }
    }
  }
};

// Never destroyed: its threads run until the process ends. A child process has none of them, and begins with a new one.
std::atomic<Pool*> current{nullptr};
std::mutex making;

Pool* pool() noexcept {
  if (Pool* const there = current.load(std::memory_order_acquire)) return there;
  const std::lock_guard lock(making);
  if (current.load(std::memory_order_relaxed) == nullptr) {
#if defined(__unix__) || defined(__APPLE__)
    static const int watched = pthread_atfork([] { making.lock(); }, [] { making.unlock(); }, [] {
      current.store(nullptr, std::memory_order_release);
      making.unlock();
    });
    if (watched != 0) return nullptr;
#endif
    current.store(new (std::nothrow) Pool, std::memory_order_release);
  }
  return current.load(std::memory_order_relaxed);
}

}  // namespace

std::size_t threads_for(std::size_t threads, double operations, std::size_t jobs) noexcept {
  if (threads == 0) {
    if (operations < worth_sharing) return 1;
    static const std::size_t cores = std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
    threads = cores;
  }
  return std::max<std::size_t>(std::min({threads, jobs, most_threads}), 1);
}

void share(std::size_t jobs, std::size_t threads, void (*work)(void*, std::size_t, std::size_t) noexcept,
           void* context) noexcept {
  Pool* const found = threads > 1 ? pool() : nullptr;
  std::unique_lock<std::mutex> mine;
  if (found != nullptr) mine = std::unique_lock(found->owner, std::try_to_lock);
  if (!mine.owns_lock()) {
    for (std::size_t job = 0; job < jobs; ++job) work(context, job, 0);
    return;
  }
  Pool& p = *found;
  p.grow(threads);
  p.jobs = jobs;
  p.threads = threads;
  p.work = work;
  p.context = context;
  p.next.store(0, std::memory_order_relaxed);
  p.seats.store(1, std::memory_order_relaxed);
  p.gate.store(0, std::memory_order_release);
  p.round.fetch_add(1, std::memory_order_release);
  p.round.notify_all();
  p.take_jobs(0);
  p.gate.fetch_or(Pool::closed, std::memory_order_acq_rel);
  while (p.gate.load(std::memory_order_acquire) != Pool::closed) std::this_thread::yield();
}

}  // namespace fairlead
