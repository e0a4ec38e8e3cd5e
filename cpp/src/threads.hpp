// A few threads that share short pieces of work: they spin for a moment after each, then sleep. Results must not depend on
// who does what: a job knows its number, and the number of the thread only to find scratch of its own.
#pragma once

#include <cstddef>

namespace fairlead {

// How many threads work for a call of `operations` that asks for `threads` (0: as is best) and has so many jobs.
std::size_t threads_for(std::size_t threads, double operations, std::size_t jobs) noexcept;

// Calls work(context, job, thread) for each job in [0, jobs), thread in [0, threads): this thread is 0. Where another call
// has the threads at the time, or there are none to be had, this thread does all of it.
void share(std::size_t jobs, std::size_t threads, void (*work)(void*, std::size_t, std::size_t) noexcept,
           void* context) noexcept;

template <class Work>
void share(std::size_t jobs, std::size_t threads, Work& work) noexcept {
  share(jobs, threads, [](void* w, std::size_t job, std::size_t thread) noexcept { (*static_cast<Work*>(w))(job, thread); },
        &work);
}

}  // namespace fairlead
