// Events of ratings from Python: one match by METH_FASTCALL, batches, contests.
#pragma once

#include <algorithm>

#include "named_ratings.hpp"

namespace fairlead::bindings {

template <class S>
PyObject* ratings_id(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const named = native<Named<S>>(self);
  if (named == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("id", args, n, 1, 1);
    if (!PyUnicode_Check(args[0]))
      throw py::type_error("name is " + py::repr(args[0]).cast<std::string>() + ", must be a str");
    return PyLong_FromLong(named->ratings.id(utf8(args[0])));
  });
}

template <class S>
PyObject* ratings_update_slow(Named<S>& named, PyObject* const* args, Py_ssize_t n) {
  return guarded([&] {
    const Arguments arguments("update", args, n, 3, 5);
    Player i = named.resolve(args[0], "i"), j = named.resolve(args[1], "j");
    const double score = arguments.real(2), weight = arguments.real(3, 1.0);
    const Time time = as_time(arguments.object(4), "time");
    const bool new_i = i == NameTable::absent && PyUnicode_Check(args[0]);
    const bool new_j = j == NameTable::absent && PyUnicode_Check(args[1]);
    if (new_i || new_j) {  // checked as if they were here, so that nobody is added for nothing
      if (!new_i && !named.ratings.has(i)) named.unknown(args[0]);
      if (!new_j && !named.ratings.has(j)) named.unknown(args[1]);
      Players players(named.ratings.names());
      if (new_i) i = players.id(utf8(args[0]));
      if (new_j) j = players.id(utf8(args[1]));
      const Time given[] = {time};
      const Player first[] = {i}, second[] = {j};
      const double scores[] = {score}, weights[] = {weight};
      const Fault fault = named.ratings.check_many({first, second, scores, weights, given}, players.size());
      if (fault.status != Status::ok)
        explain(named.ratings, fault.status, i, j, score, weight, time, named.ratings.clock());
      named.ratings.admit(players.newcomers());
    }
    const Status status = named.ratings.update(i, j, score, weight, time);
    if (status != Status::ok) explain(named.ratings, status, i, j, score, weight, time, named.ratings.clock());
    return Py_NewRef(Py_None);
  });
}

// A number without the detour through Python, where it is a float or a small int.
inline bool quick_real(PyObject* given, double& out) noexcept {
  if (PyFloat_CheckExact(given)) [[likely]] {
    out = PyFloat_AS_DOUBLE(given);
    return true;
  }
  std::int32_t whole = 0;
  if (!small_int(given, whole)) return false;
  out = whole;
  return true;
}

// A match of known players, given by plain numbers or names seen before, is rated here; all else, errors too, above.
template <class S>
PyObject* ratings_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const named = native<Named<S>>(self);
  if (named == nullptr) return nullptr;
  Player i = 0, j = 0;
  double score = 0.0, weight = 1.0;
  if (n >= 3 && n <= 5 && named->quick(args[0], i) && named->quick(args[1], j) && quick_real(args[2], score) &&
      (n == 3 || quick_real(args[3], weight)) && !named->ratings.recording()) [[likely]] {
    Time time = no_time;
    int overflow = 0;
    if (n == 5) time = PyLong_CheckExact(args[4]) ? PyLong_AsLongLongAndOverflow(args[4], &overflow) : no_time;
    if ((n < 5 || (overflow == 0 && time != no_time)) && named->ratings.update(i, j, score, weight, time) == Status::ok)
        [[likely]] {
      return Py_NewRef(Py_None);
    }
  }
  return ratings_update_slow(*named, args, n);
}

template <class S>
PyObject* ratings_expected(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const named = native<Named<S>>(self);
  if (named == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("expected", args, n, 2, 3);
    const Player i = named->known(args[0], "i"), j = named->known(args[1], "j");
    return PyFloat_FromDouble(named->ratings.system().expected(i, j, as_time(arguments.object(2), "time")));
  });
}

// numbers<double> for a column; a list of floats is read without numpy, which takes ten times as long.
inline Array<double> column(py::handle given, const char* argument) {
  if (PyList_CheckExact(given.ptr())) {
    const Py_ssize_t n = PyList_GET_SIZE(given.ptr());
    Array<double> out(n);
    double* const to = out.mutable_data();
    Py_ssize_t k = 0;
    for (; k < n && PyFloat_CheckExact(PyList_GET_ITEM(given.ptr(), k)); ++k)
      to[k] = PyFloat_AS_DOUBLE(PyList_GET_ITEM(given.ptr(), k));
    if (k == n) return out;
  }
  return numbers<double>(given, argument);
}

// The ids of newcomers follow those there were when the columns were read, which may run Python and other threads.
template <class S>
void unchanged(const Named<S>& named, std::int32_t known) {
  if (named.ratings.names().size() != known) {
    throw std::runtime_error("players were added to these ratings while the arguments were read");
  }
}

// Columns of matches as Python gave them, checked; newcomers are added by `commit`.
template <class S>
class Batch {
 public:
  Batch(Named<S>& named, py::handle i, py::handle j, py::handle score, py::handle weight, py::handle time)
      : named_(named), known_(named.ratings.names().size()), players_(named.ratings.names()) {
    matches_.i = players_.column(i, "i");
    matches_.j = players_.column(j, "j");
    const auto n = static_cast<py::ssize_t>(matches_.i.size());
    check_length(static_cast<py::ssize_t>(matches_.j.size()), "j", n, "i");
    score_ = column(score, "score");
    check_length(score_.size(), "score", n, "i");
    matches_.score = view(score_);
    if (!weight.is_none()) {
      weight_ = column(weight, "weight");
      check_length(weight_.size(), "weight", n, "i");
      matches_.weight = view(weight_);
    }
    if (!time.is_none()) {
      time_ = times(time, "time");
      check_length(time_.size(), "time", n, "i");
      matches_.time = view(time_);
    }
  }

  const Matches& matches() const noexcept { return matches_; }

  // Before a result is written to an `out` that the caller gave: everything is checked, so that a refused batch leaves it
  // alone, and what it lies over is copied.
  void spare(const py::array& out) {
    if (const Fault fault = named_.ratings.check_many(matches_, players_.size())) raise(fault);
    const auto* const from = static_cast<const char*>(out.data());
    const auto below = [&](const auto& column) {
      const auto bytes = std::as_bytes(column);
      const auto* const begin = reinterpret_cast<const char*>(bytes.data());
      return begin < from + out.nbytes() && from < begin + bytes.size();
    };
    const auto part = [&](auto& column) {
      if (below(view(column))) column = std::decay_t<decltype(column)>(py::array(column).attr("copy")());
    };
    if (below(matches_.i) || below(matches_.j)) throw py::value_error("out overlaps i or j");
    part(score_);
    part(weight_);
    part(time_);
    matches_.score = view(score_);
    if (!matches_.weight.empty()) matches_.weight = view(weight_);
    if (!matches_.time.empty()) matches_.time = view(time_);
  }

  // Adds the newcomers, after all has been checked if there are any: from here on nothing may fail but what
  // Ratings checks itself.
  void commit() {
    if (players_.newcomers().size() == 0) return;
    unchanged(named_, known_);
    players_.order_of_play(matches_.i, matches_.j);
    if (const Fault fault = named_.ratings.check_many(matches_, players_.size())) raise(fault);
    named_.ratings.admit(players_.newcomers());
  }

  [[noreturn]] void raise(Fault fault) const {
    const std::size_t k = fault.row;
    Time clock = named_.ratings.clock();
    for (std::size_t before = 0; before < k; ++before) clock = std::max(clock, matches_.time_of(before));
    explain(named_.ratings, fault.status, matches_.i[k], matches_.j[k], matches_.score[k], matches_.weight_of(k),
            matches_.time_of(k), clock, " (match " + std::to_string(k) + ")");
  }

 private:
  Named<S>& named_;
  const std::int32_t known_;
  Players players_;
  Array<double> score_, weight_;
  Array<Time> time_;
  Matches matches_;
};

template <class S>
void contest(Named<S>& named, py::handle given, py::handle losses_given, double weight, Time time) {
  const std::int32_t known = named.ratings.names().size();
  Players players(named.ratings.names());
  const auto ids = players.column(given, "players");
  const Array<double> losses = column(losses_given, "losses");
  unchanged(named, known);
  players.order_of_play(ids, {});
  if (static_cast<std::size_t>(losses.size()) != ids.size()) {
    throw py::value_error("losses has " + std::to_string(losses.size()) + " values, " + std::to_string(ids.size()) +
                          " players");
  }
  std::vector<bool> seen(players.size());
  for (std::size_t k = 0; k < ids.size(); ++k) {
    const Player i = ids[k];
    if (i < 0 || static_cast<std::size_t>(i) >= players.size()) Named<S>::unknown(py::int_(i).ptr());
    if (seen[static_cast<std::size_t>(i)])
      throw py::value_error("players holds the id " + std::to_string(i) + " twice");
    seen[static_cast<std::size_t>(i)] = true;
    if (std::isnan(losses.data()[k])) throw py::value_error("losses[" + std::to_string(k) + "] is NaN");
  }
  const Time clock = named.ratings.clock();
  if (!(weight >= 0.0 && weight <= max_match_weight) || (time != no_time && time < clock)) {
    explain(named.ratings, Status::out_of_range, 0, 0, 0.0, weight, time, clock);
  }
  named.ratings.admit(players.newcomers());
  check(named.ratings.contest(ids, view(losses), weight, time));
}

}  // namespace fairlead::bindings
