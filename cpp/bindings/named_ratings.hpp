// Ratings by name, as Python holds them, and what all of their methods need: players, times, options, errors.
#pragma once

#include <deque>
#include <string>

#include "arrays.hpp"
#include "common.hpp"
#include "fairlead/ratings.hpp"
#include "players.hpp"

namespace fairlead::bindings {

// What Python calls Elo, Glicko2, ...
template <RatingSystem S>
struct Named {
  Ratings<S> ratings;
  NameCache cache;

  explicit Named(S system, KeepOptions keep = {}) : ratings(std::move(system), keep) {}

  // An id or a known name as an id; -1 for what is neither, which `resolve` looks into.
  bool quick(PyObject* given, Player& id) const noexcept { return small_int(given, id) || cache.find(given, id); }

  // The id of a player given by id or by name. An unknown name is `absent`.
  Player resolve(PyObject* given, const char* argument) {
    Player id = NameTable::absent;
    if (quick(given, id)) return id;
    if (PyUnicode_Check(given)) {
      id = ratings.names().find(utf8(given));
      if (id != NameTable::absent && PyUnicode_CheckExact(given)) cache.remember(given, id, ratings.size());
      return id;
    }
    if (!PyIndex_Check(given)) {
      throw py::type_error(std::string(argument) + " is " + py::repr(given).cast<std::string>() +
                           ", must be a name (str) or an id (int)");
    }
    int overflow = 0;
    const long long wide = PyLong_AsLongLongAndOverflow(given, &overflow);
    if (wide == -1 && PyErr_Occurred()) throw py::error_already_set();
    return overflow == 0 && wide >= 0 && wide <= 0x7fffffff ? static_cast<Player>(wide) : -1;
  }
  // One who must be there already.
  Player known(PyObject* given, const char* argument) {
    const Player id = resolve(given, argument);
    if (!ratings.has(id)) unknown(given);
    return id;
  }
  [[noreturn]] static void unknown(PyObject* given) {
    const std::string shown = py::repr(given).cast<std::string>();
    throw py::key_error(PyUnicode_Check(given) ? "no player is called " + shown
                                               : "no player has the id " + shown + "; get ids from id(name)");
  }
};

// datetime64 of any unit as integer nanoseconds, exactly; NaT is no_time.
inline py::object nanoseconds(const py::object& given, const char* argument) {
  if (py::object(given.attr("dtype")).equal(py::dtype("datetime64[ns]"))) return given.attr("view")("int64");
  const py::object fine = given.attr("astype")("datetime64[ns]");
  const py::object isnat = py::module_::import("numpy").attr("isnat");
  const py::object kept = fine.attr("astype")(given.attr("dtype")).attr("__eq__")(given);
  if (!py::bool_(kept.attr("__or__")(isnat(given)).attr("all")())) {
    throw py::value_error(std::string(argument) + " is " + py::repr(given).cast<std::string>() +
                          ", outside the 64-bit nanoseconds (years 1677 to 2262)");
  }
  return fine.attr("view")("int64");
}

// Nanoseconds from an int, a datetime or an ISO string; None is no_time.
inline Time as_time(py::handle given, const char* argument) {
  if (given.is_none()) return no_time;
  if (PyLong_CheckExact(given.ptr())) {
    const long long time = PyLong_AsLongLong(given.ptr());
    if (!(time == -1 && PyErr_Occurred())) return time;
    PyErr_Clear();
  }
  if (py::hasattr(given, "dtype") && py::object(given.attr("dtype").attr("kind")).equal(py::str("M"))) {
    return nanoseconds(py::reinterpret_borrow<py::object>(given), argument).cast<Time>();
  }
  return py::module_::import("fairlead.times").attr("as_time")(given, argument).cast<Time>();
}

// A column of times: integers are nanoseconds, datetime64 of any unit becomes them (NaT: not given), datetimes and ISO
// strings are read one by one.
inline Array<Time> times(py::handle given, const char* argument) {
  const py::array array = py::array::ensure(given);
  if (!array) PyErr_Clear();
  const char kind = array ? array.dtype().kind() : ' ';
  if (kind == 'M') return numbers<Time>(nanoseconds(array, argument), argument, 1, "i");
  if ((kind == 'O' || kind == 'U') && array.ndim() == 1) {
    Array<Time> out(array.size());
    const py::list values(array.attr("tolist")());
    for (std::size_t k = 0; k < values.size(); ++k) out.mutable_data()[k] = as_time(values[k], argument);
    return out;
  }
  return whole_times(given, argument);
}

// A span of time in nanoseconds from "90d", a timedelta or an int; None is 0.
inline std::int64_t as_span(py::handle given, const char* argument) {
  if (given.is_none()) return 0;
  return py::module_::import("fairlead.times").attr("as_span")(given, argument).cast<std::int64_t>();
}

// The options `history` and `undo` that all rating classes take.
inline KeepOptions keep(bool history, py::ssize_t undo) {
  if (undo < 0) throw py::value_error("undo is " + std::to_string(undo) + ", must not be negative");
  return {history, static_cast<std::size_t>(undo)};
}

// The class RatingPeriod, once for all systems.
void bind_period(py::module_& m);

template <class S>
[[noreturn]] void explain(const Ratings<S>& ratings, Status status, Player i, Player j, double score, double weight,
                          Time time, Time clock, const std::string& where = {}) {
  if (status == Status::unknown_model) {
    throw py::key_error("no player has the id " + std::to_string(ratings.has(i) ? j : i) + "; get ids from id(name)" +
                        where);
  }
  if (status == Status::self_contest) {
    throw py::value_error("i and j are both " + std::to_string(i) + ": a contest needs two players" + where);
  }
  if (!(score >= 0.0 && score <= 1.0)) throw py::value_error("score is " + show(score) + ", outside [0, 1]" + where);
  if (!accepts_score<S>(score)) throw py::value_error("score is " + show(score) + ", must be 0, 0.5 or 1" + where);
  if (!(weight >= 0.0 && weight <= max_match_weight)) {
    throw py::value_error("weight is " + show(weight) + ", outside [0, 1e6]" + where);
  }
  throw py::value_error("time is " + std::to_string(time) + ", before the latest event at " + std::to_string(clock) +
                        where);
}

// `{cls}` in a docstring is the class; the text lives for ever, as a PyMethodDef keeps a pointer to it.
inline const char* doc_of(const char* cls, std::string text) {
  static std::deque<std::string> texts;
  for (std::size_t at = text.find("{cls}"); at != std::string::npos; at = text.find("{cls}", at))
    text.replace(at, 5, cls);
  return texts.emplace_back(std::move(text)).c_str();
}

// The time of a question about the past, which needs the history.
template <class S>
Time past(const Ratings<S>& ratings, py::handle at) {
  const Time time = as_time(at, "at");
  if (time != no_time && time < ratings.clock() && !ratings.keep().history) {
    throw py::value_error("at is " + std::to_string(time) + ", before the latest event at " +
                          std::to_string(ratings.clock()) + ", and history is not kept: make it with history=True");
  }
  return time;
}

}  // namespace fairlead::bindings
