// Errors are values in the core; only the bindings turn them into exceptions.
#pragma once

#include <cstdint>

namespace fairlead {

enum class [[nodiscard]] Status : std::uint8_t {
  ok,
  unknown_model,
  inactive_model,
  unknown_slice,
  unknown_key,
  stale_task,
  unknown_task,
  task_ended,
  task_differs,
  model_differs,
  wrong_kind,
  wrong_length,
  too_many_slices,
  out_of_range,
  not_finite,
  late_event,
  window_full,
  not_mergeable,
  sum_not_one,
  bad_outcome,
  no_forecast,
  self_contest,
  no_maximum,
  bad_snapshot,
  bad_event,
  too_long,
  journal_full,
  journal_dropped,
  journal_failed,
  journal_closed,
  journal_locked,
  journal_damaged,
  not_a_journal,
  unknown_format,
  timed_out,
  system_refused,
  out_of_memory,
  stale_weights,
  not_a_policy,
};

constexpr const char* message(Status status) noexcept {
  switch (status) {
    case Status::ok: return "ok";
    case Status::unknown_model: return "no model has this id";
    case Status::inactive_model: return "the model was removed from the fleet";
    case Status::unknown_slice: return "no slice has this id";
    case Status::unknown_key: return "no key has this handle";
    case Status::stale_task: return "the task is not open: it was settled, closed or never opened";
    case Status::unknown_task: return "no open task has this id";
    case Status::task_ended: return "the task has ended, with another outcome where one was given";
    case Status::task_differs: return "the task differs from the open one of its id";
    case Status::model_differs: return "the fleet has another model of this name";
    case Status::wrong_kind: return "the answer does not fit the kind of the task";
    case Status::wrong_length: return "the number of values does not fit";
    case Status::too_many_slices: return "a task lies in at most max_slices slices besides overall";
    case Status::out_of_range: return "a value is outside its range";
    case Status::not_finite: return "a value is NaN or infinite";
    case Status::late_event: return "the time is before the newest time of its key";
    case Status::window_full: return "the key holds max_samples samples";
    case Status::not_mergeable: return "the options differ, or the times of a key in both overlap";
    case Status::sum_not_one: return "the probabilities do not sum to 1 within 1e-3";
    case Status::bad_outcome: return "the outcome does not fit the task";
    case Status::no_forecast: return "no active model has answered the task";
    case Status::self_contest: return "a contest needs two different players";
    case Status::no_maximum: return "the likelihood has no finite maximum, or none that the data determine";
    case Status::bad_snapshot: return "the bytes are no snapshot of this kind and version, or were damaged";
    case Status::bad_event: return "the payload of the event is not what its type says";
    case Status::too_long: return "an event holds at most 1 MiB";
    case Status::journal_full: return "the journal's ring is full: the disk does not keep up, or refuses";
    case Status::journal_dropped: return "the journal's ring is full: the event was dropped, and counted";
    case Status::journal_failed: return "the journal takes nothing any more: the disk refused to keep what it was given";
    case Status::journal_closed: return "the journal is closed, or belongs to the parent process";
    case Status::journal_locked: return "another writer holds the journal";
    case Status::journal_damaged: return "the journal is damaged";
    case Status::not_a_journal: return "there is no journal";
    case Status::unknown_format: return "the format is newer than this version of fairlead";
    case Status::timed_out: return "timed out";
    case Status::system_refused: return "the operating system refused";
    case Status::out_of_memory: return "out of memory";
    case Status::stale_weights: return "the weights are not packed, or have changed since they were";
    case Status::not_a_policy: return "the bytes are no policy in the safetensors format, or were damaged";
  }
  return "unknown status";
}

}  // namespace fairlead
