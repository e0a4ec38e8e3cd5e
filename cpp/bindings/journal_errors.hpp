// What a journal could not do, as an exception: the words are its own.
#pragma once

#include "common.hpp"
#include "fairlead/journal.hpp"

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

// A JournalWarning, once each time the disk begins to refuse. Before an event is taken: a filter may make it an error.
inline void warn_of_disk(Journal& log) {
  if (!log.take_trouble()) [[likely]] return;
  const journal::Failure failure = log.failure();
  if (!failure) return;  // it takes them again
  const std::string told = failure.what + "; until the disk takes them, new events lie in shared memory alone";
  const py::object warning = py::module_::import("fairlead.errors").attr("JournalWarning");
  if (PyErr_WarnEx(warning.ptr(), told.c_str(), 1) != 0) throw py::error_already_set();
}

}  // namespace fairlead::bindings
