// What a journal could not do, as an exception: the words are its own.
#pragma once

#include "common.hpp"
#include "fairlead/journal/log.hpp"

namespace fairlead::bindings {

inline void check(const journal::Failure& failure) {
  switch (failure.status) {
    case Status::ok: return;
    case Status::journal_locked: raise_named("JournalLockedError", failure.what);
    case Status::journal_full:
    case Status::journal_dropped: raise_named("JournalFullError", failure.what);
    case Status::journal_damaged:
    case Status::bad_event: raise_named("JournalDamagedError", failure.what);
    case Status::out_of_range: throw py::value_error(failure.what);
    case Status::out_of_memory: throw std::bad_alloc();
    default: raise_named("JournalError", failure.what);
  }
}

}  // namespace fairlead::bindings
