// Cycles of one event at a time, and of many without a pause between them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <vector>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace bench {

// The time-stamp counter, which ticks at a constant rate whatever the clock of the core; elsewhere nanoseconds. The fences
// keep earlier work from being counted and later work from starting early.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  _mm_lfence();
  const std::uint64_t now = __rdtsc();
  _mm_lfence();
  return now;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

// Keeps the compiler from dropping what nobody reads.
template <class T>
void keep(const T& value) {
  asm volatile("" : : "r,m"(value) : "memory");
}

// Lets the compiler believe that others can see the object, so that what happens to it must happen.
template <class T>
void escape(T& object) {
  asm volatile("" : : "r"(&object) : "memory");
}

inline void heading() {
  std::printf("%-46s %9s %9s %9s %9s %9s\n", "event", "ns", "p50", "p99", "p99.9", "max");
  std::printf("%-46s %9s %9s %9s %9s %9s\n", "", "in a row", "cycles", "cycles", "cycles", "cycles");
}

// A row of the table; sorts the cycles.
inline void print(const char* what, double ns, std::vector<std::uint64_t>& cycles) {
  std::sort(cycles.begin(), cycles.end());
  const auto at = [&](double q) {
    return static_cast<unsigned long long>(cycles[static_cast<std::size_t>(q * static_cast<double>(cycles.size() - 1))]);
  };
  std::printf("%-46s %9.1f %9llu %9llu %9llu %9llu\n", what, ns, at(0.5), at(0.99), at(0.999), at(1.0));
}

// Calls `event(i)` for i in [0, n): first all in a row (the fastest of five rounds, in nanoseconds an event), then each
// timed on its own, of which it prints percentiles in cycles. The cost of the clock itself is the row "(nothing)".
template <class Event>
void measure(const char* what, std::size_t n, Event&& event) {
  using Clock = std::chrono::steady_clock;
  double fastest = 1e300;
  for (int round = 0; round < 5; ++round) {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < n; ++i) event(i);
    fastest = std::min(fastest, std::chrono::duration<double, std::nano>(Clock::now() - start).count());
  }
  std::vector<std::uint64_t> cycles(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t start = ticks();
    event(i);
    cycles[i] = ticks() - start;
  }
  print(what, fastest / static_cast<double>(n), cycles);
}

// The same of what can be done once to each of `batch` things, which `prepare` makes anew without being timed: `event(i)`
// for i in [0, batch), until there were n.
template <class Prepare, class Event>
void measure_batches(const char* what, std::size_t n, std::size_t batch, Prepare&& prepare, Event&& event) {
  using Clock = std::chrono::steady_clock;
  const std::size_t batches = (n + batch - 1) / batch;
  double fastest = 1e300;
  for (int round = 0; round < 5; ++round) {
    double took = 0.0;
    for (std::size_t b = 0; b < batches; ++b) {
      prepare();
      const auto start = Clock::now();
      for (std::size_t i = 0; i < batch; ++i) event(i);
      took += std::chrono::duration<double, std::nano>(Clock::now() - start).count();
    }
    fastest = std::min(fastest, took);
  }
  std::vector<std::uint64_t> cycles;
  for (std::size_t b = 0; b < batches; ++b) {
    prepare();
    for (std::size_t i = 0; i < batch; ++i) {
      const std::uint64_t start = ticks();
      event(i);
      cycles.push_back(ticks() - start);
    }
  }
  print(what, fastest / static_cast<double>(batches * batch), cycles);
}

}  // namespace bench
