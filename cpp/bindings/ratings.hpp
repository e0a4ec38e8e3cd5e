// The Python face that all rating systems share, made from fairlead::Ratings<System>.
//
// A system's own file makes the class and its __init__, adds what only it has, and calls `bind_ratings`.
#pragma once

#include "rating_events.hpp"
#include "rating_views.hpp"

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
      throw py::type_error(std::string(argument) + " is " + py::repr(given).cast<std::string>() + ", must be a name (str) or an id (int)");
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
    throw py::key_error(PyUnicode_Check(given) ? "no player is called " + shown : "no player has the id " + shown + "; get ids from id(name)");
  }
};

// Nanoseconds from an int, a datetime or an ISO string; None is no_time.
inline Time as_time(py::handle given, const char* argument) {
  if (given.is_none()) return no_time;
  if (PyLong_CheckExact(given.ptr())) {
    const long long time = PyLong_AsLongLong(given.ptr());
    if (!(time == -1 && PyErr_Occurred())) return time;
    PyErr_Clear();
  }
  return py::module_::import("fairlead.times").attr("as_time")(given, argument).cast<Time>();
}

// A column of times: integers are nanoseconds, datetime64 of any unit becomes them (NaT: not given).
inline Array<Time> times(py::handle given, const char* argument) {
  py::object array = py::array::ensure(given);
  if (array && py::reinterpret_borrow<py::array>(array).dtype().kind() == 'M') {
    array = array.attr("astype")("datetime64[ns]").attr("view")("int64");
    return numbers<Time>(array, argument, 1, "i");
  }
  PyErr_Clear();
  return numbers<Time>(given, argument, 1, "iu");
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
    throw py::key_error("no player has the id " + std::to_string(ratings.has(i) ? j : i) + "; get ids from id(name)" + where);
  }
  if (status == Status::self_contest) {
    throw py::value_error("i and j are both " + std::to_string(i) + ": a contest needs two players" + where);
  }
  if (!(score >= 0.0 && score <= 1.0)) throw py::value_error("score is " + show(score) + ", outside [0, 1]" + where);
  if (!accepts_score<S>(score)) throw py::value_error("score is " + show(score) + ", must be 0, 0.5 or 1" + where);
  if (!(weight >= 0.0 && weight <= max_match_weight)) {
    throw py::value_error("weight is " + show(weight) + ", outside [0, 1e6]" + where);
  }
  throw py::value_error("time is " + std::to_string(time) + ", before the latest event at " + std::to_string(clock) + where);
}

template <class S>
PyObject* ratings_id(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const named = native<Named<S>>(self);
  if (named == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("id", args, n, 1, 1);
    if (!PyUnicode_Check(args[0])) throw py::type_error("name is " + py::repr(args[0]).cast<std::string>() + ", must be a str");
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
      if (fault.status != Status::ok) explain(named.ratings, fault.status, i, j, score, weight, time, named.ratings.clock());
      for (std::int32_t k = 0; k < players.newcomers().size(); ++k) (void)named.ratings.id(players.newcomers().name(k));
    }
    const Status status = named.ratings.update(i, j, score, weight, time);
    if (status != Status::ok) explain(named.ratings, status, i, j, score, weight, time, named.ratings.clock());
    return Py_NewRef(Py_None);
  });
}

template <class S>
PyObject* ratings_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const named = native<Named<S>>(self);
  if (named == nullptr) return nullptr;
  Player i = 0, j = 0;
  if (n == 3 && PyFloat_CheckExact(args[2]) && named->quick(args[0], i) && named->quick(args[1], j) && !named->ratings.recording())
      [[likely]] {
    if (named->ratings.update(i, j, PyFloat_AS_DOUBLE(args[2])) == Status::ok) return Py_NewRef(Py_None);
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
    for (; k < n && PyFloat_CheckExact(PyList_GET_ITEM(given.ptr(), k)); ++k) to[k] = PyFloat_AS_DOUBLE(PyList_GET_ITEM(given.ptr(), k));
    if (k == n) return out;
  }
  return numbers<double>(given, argument);
}

// Columns of matches as Python gave them, checked; newcomers are added by `commit`.
template <class S>
class Batch {
 public:
  Batch(Named<S>& named, py::handle i, py::handle j, py::handle score, py::handle weight, py::handle time)
      : named_(named), players_(named.ratings.names()) {
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

  // Adds the newcomers, after all has been checked if there are any: from here on nothing may fail but what
  // Ratings checks itself.
  void commit() {
    if (players_.newcomers().size() == 0) return;
    players_.order_of_play(matches_.i, matches_.j);
    if (const Fault fault = named_.ratings.check_many(matches_, players_.size())) raise(fault);
    for (std::int32_t k = 0; k < players_.newcomers().size(); ++k) (void)named_.ratings.id(players_.newcomers().name(k));
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
  Players players_;
  Array<double> score_, weight_;
  Array<Time> time_;
  Matches matches_;
};

// `{cls}` in a docstring is the class; the text lives for ever, as a PyMethodDef keeps a pointer to it.
inline const char* doc_of(const char* cls, std::string text) {
  static std::deque<std::string> texts;
  for (std::size_t at = text.find("{cls}"); at != std::string::npos; at = text.find("{cls}", at)) text.replace(at, 5, cls);
  return texts.emplace_back(std::move(text)).c_str();
}

// The time of a question about the past, which needs the history.
template <class S>
Time past(const Ratings<S>& ratings, py::handle at) {
  const Time time = as_time(at, "at");
  if (time != no_time && time < ratings.clock() && !ratings.keep().history) {
    throw py::value_error("at is before the latest event, and history is not kept: make the ratings with history=True");
  }
  return time;
}

template <class S>
void contest(Named<S>& named, py::handle given, py::handle losses_given, double weight, Time time) {
  Players players(named.ratings.names());
  const auto ids = players.column(given, "players");
  const Array<double> losses = column(losses_given, "losses");
  if (static_cast<std::size_t>(losses.size()) != ids.size()) {
    throw py::value_error("losses has " + std::to_string(losses.size()) + " values, " + std::to_string(ids.size()) + " players");
  }
  std::vector<bool> seen(players.size());
  for (std::size_t k = 0; k < ids.size(); ++k) {
    const Player i = ids[k];
    if (i < 0 || static_cast<std::size_t>(i) >= players.size()) Named<S>::unknown(py::int_(i).ptr());
    if (seen[static_cast<std::size_t>(i)]) throw py::value_error("players holds the id " + std::to_string(i) + " twice");
    seen[static_cast<std::size_t>(i)] = true;
    if (std::isnan(losses.data()[k])) throw py::value_error("losses[" + std::to_string(k) + "] is NaN");
  }
  const Time clock = named.ratings.clock();
  if (!(weight >= 0.0 && weight <= max_match_weight) || (time != no_time && time < clock)) {
    explain(named.ratings, Status::out_of_range, 0, 0, 0.0, weight, time, clock);
  }
  for (std::int32_t k = 0; k < players.newcomers().size(); ++k) (void)named.ratings.id(players.newcomers().name(k));
  check(named.ratings.contest(ids, view(losses), weight, time));
}

// What can be read of the players.
template <class S, class Class>
void bind_views(Class& cls, const char* name) {
  using N = Named<S>;
  cls.def("__getitem__", [](N& named, const py::str& player) {
    return S::values(named.ratings.state(named.known(player.ptr(), "name")))[0];
  });
  cls.def("__contains__", [](N& named, const py::object& player) {
    return PyUnicode_Check(player.ptr()) && named.ratings.names().find(utf8(player.ptr())) != NameTable::absent;
  });
  cls.def("__len__", [](const N& named) { return named.ratings.size(); });
  cls.def(
      "items",
      [](const N& named) {
        py::list out;
        for (Player i = 0; i < named.ratings.names().size(); ++i) {
          out.append(py::make_tuple(named.ratings.names().name(i), S::values(named.ratings.state(i))[0]));
        }
        return out;
      },
      "(name, rating) of every player, in the order they came.");
  cls.def(
      "names",
      [](const N& named) {
        py::list out;
        for (Player i = 0; i < named.ratings.names().size(); ++i) out.append(named.ratings.names().name(i));
        return out;
      },
      "Names of the players by id.");
  cls.def(
      "ratings",
      [](const N& named) {
        py::array_t<double> out(static_cast<py::ssize_t>(named.ratings.size()));
        for (Player i = 0; i < named.ratings.names().size(); ++i) out.mutable_data()[i] = S::values(named.ratings.state(i))[0];
        return out;
      },
      "Ratings by id: a float64 array of shape (players,), a copy.");
  cls.def(
      "state",
      [](N& named, const py::object& player, py::handle at) {
        const auto values = S::values(named.ratings.state(named.known(player.ptr(), "player"), past(named.ratings, at)));
        py::dict out;
        for (std::size_t c = 0; c < values.size(); ++c) out[py::str(std::string(S::columns[c]))] = values[c];
        return out;
      },
      py::arg("player"), py::kw_only(), py::arg("at") = py::none(), doc_of(name, R"(All that is known of a player (id or name), as a dict; at a time, if given, as of that time.

A time before the latest needs history=True. Raises KeyError for an unknown player.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> _ = ratings.id('a')
>>> next(iter(ratings.state('a').values())) == ratings['a']
True)"));
  cls.def(
      "rating",
      [](N& named, const py::object& player, py::handle at) {
        return S::values(named.ratings.state(named.known(player.ptr(), "player"), past(named.ratings, at)))[0];
      },
      py::arg("player"), py::kw_only(), py::arg("at") = py::none(), doc_of(name, R"(The rating of a player (id or name); at a time, if given, as of that time.

A time before the latest needs history=True, and ValueError says so. Raises KeyError for an unknown player.

>>> import fairlead as fl
>>> ratings = fl.{cls}(history=True)
>>> ratings.update("a", "b", 1.0, 1.0, "2024-01-01")
>>> before = ratings.rating("a", at="2024-01-02")
>>> ratings.update("a", "b", 0.0, 1.0, "2024-01-03")
>>> before == ratings.rating("a", at="2024-01-02") > ratings.rating("a")
True)"));
  cls.def(
      "table",
      [](const N& named, py::handle at_given) {
        const Time at = past(named.ratings, at_given);
        const auto n = static_cast<std::size_t>(named.ratings.size());
        std::vector<std::array<double, std::size(S::columns)>> values;
        std::vector<Player> order(n);
        for (std::size_t i = 0; i < n; ++i) {
          order[i] = static_cast<Player>(i);
          values.push_back(S::values(named.ratings.state(order[i], at)));
        }
        const auto rating = [&values](Player i) { return values[static_cast<std::size_t>(i)][0]; };
        std::stable_sort(order.begin(), order.end(), [&rating](Player a, Player b) { return rating(a) > rating(b); });
        py::dict out;
        py::list names;
        for (const Player i : order) names.append(named.ratings.names().name(i));
        out["name"] = names;
        for (std::size_t c = 0; c < std::size(S::columns); ++c) {
          py::array_t<double> column(static_cast<py::ssize_t>(n));
          for (std::size_t k = 0; k < n; ++k) column.mutable_data()[k] = values[static_cast<std::size_t>(order[k])][c];
          out[py::str(std::string(S::columns[c]))] = column;
        }
        return out;
      },
      py::kw_only(), py::arg("at") = py::none(), doc_of(name, R"(All players, best first, as columns: a plain dict for pandas.DataFrame or polars.DataFrame; at a time, if given.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update("a", "b", 0.0)
>>> ratings.table()["name"]
['b', 'a'])"));
  cls.def("__repr__", [name](const N& named) {
    std::string text = std::string(name) + "(" + std::to_string(named.ratings.size()) + " players, " +
                       std::to_string(named.ratings.events()) + " events)";
    return text;
  });
}

// What was, and what is kept: history, undo, snapshots, merging.
template <class S, class Class>
void bind_memory(Class& cls, const char* name) {
  using N = Named<S>;
  cls.def(
      "history",
      [](N& named, const py::object& player) {
        const Player i = named.known(player.ptr(), "player");
        if (!named.ratings.keep().history) throw py::value_error("history is not kept: make the ratings with history=True");
        const auto moments = named.ratings.history(i);
        const auto n = static_cast<py::ssize_t>(moments.size());
        py::array_t<std::int64_t> event(n), time(n);
        std::array<py::array_t<double>, std::size(S::columns)> columns;
        for (auto& column : columns) column = py::array_t<double>(n);
        for (py::ssize_t k = 0; k < n; ++k) {
          const auto& moment = moments[static_cast<std::size_t>(k)];
          event.mutable_data()[k] = moment.event;
          time.mutable_data()[k] = moment.time;
          const auto values = S::values(moment.state);
          for (std::size_t c = 0; c < values.size(); ++c) columns[c].mutable_data()[k] = values[c];
        }
        py::dict out;
        out["event"] = event;
        out["time"] = time.attr("view")("datetime64[ns]");
        for (std::size_t c = 0; c < columns.size(); ++c) out[py::str(std::string(S::columns[c]))] = columns[c];
        return out;
      },
      py::arg("player"), doc_of(name, R"(What a player (id or name) was after each of its matches, oldest first, as columns: a plain dict for a DataFrame.

event: int64, how many events the fleet had seen; time: datetime64[ns], NaT while no time was given; then the numbers of
`state`. Raises KeyError for an unknown player, ValueError unless made with history=True.

>>> import fairlead as fl
>>> ratings = fl.{cls}(history=True)
>>> ratings.update_many(["a", "b", "a"], ["b", "c", "c"], [1.0, 0.5, 1.0])
>>> ratings.history("a")["event"]
array([1, 3]))"));
  cls.def(
      "undo",
      [](N& named, py::ssize_t n) {
        if (n < 0) throw py::value_error("n is " + std::to_string(n) + ", must not be negative");
        const auto count = static_cast<std::size_t>(n);
        if (count > named.ratings.undoable()) {
          throw py::value_error("n is " + std::to_string(n) + ", but " + std::to_string(named.ratings.undoable()) +
                                " events are remembered: make the ratings with undo=" + std::to_string(n));
        }
        (void)named.ratings.undo(count);
      },
      py::arg("n") = 1, doc_of(name, R"(Takes back the last n events exactly, as far as they are remembered (undo=... of the class). Newcomers stay.

A match, a contest, a period and a rating that was set are an event each. Raises ValueError if fewer are remembered.

>>> import fairlead as fl
>>> ratings = fl.{cls}(undo=10)
>>> before = [ratings.id("a"), ratings['a']]
>>> ratings.update("a", "b", 1.0)
>>> ratings.undo()
>>> [ratings.id("a"), ratings['a']] == before
True)"));
  cls.def(
      "merge",
      [](N& named, const N& other) {
        if (!named.ratings.system().same_rules(other.ratings.system())) {
          throw py::value_error("other was made with other options: ratings merge only under the same rules");
        }
        if (const Player both = named.ratings.overlap(other.ratings); both != NameTable::absent) {
          throw py::value_error("other has the player " + py::repr(py::str(other.ratings.names().name(both))).cast<std::string>() +
                                " too: only fleets without a common player can be merged");
        }
        check(named.ratings.merge(other.ratings));
      },
      py::arg("other"), doc_of(name, R"(Takes in the players of another fleet, with their histories; their ids follow. What could be undone is forgotten.

Fleets that never met give the same as one fleet that saw both. Raises ValueError for a name that is in both, or other options.

>>> import fairlead as fl
>>> east, west = fl.{cls}(), fl.{cls}()
>>> east.update("a", "b", 1.0)
>>> west.update("c", "d", 1.0)
>>> east.merge(west)
>>> east.names()
['a', 'b', 'c', 'd'])"));
  const auto snapshot = [](const N& named) { return py::bytes(named.ratings.snapshot()); };
  const auto restore = [](const py::bytes& bytes) {
    auto named = std::make_unique<N>(S{});
    check(named->ratings.restore(bytes), "snapshot");
    return named;
  };
  cls.def("snapshot", snapshot, doc_of(name, R"(The whole state as bytes, which `restore` turns back into the same ratings. Pickling and copying use it too.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update("a", "b", 1.0)
>>> fl.{cls}.restore(ratings.snapshot()).items() == ratings.items()
True)"));
  cls.def_static("restore", restore, py::arg("snapshot"), "Ratings from the bytes of snapshot(). Raises ValueError for anything else.");
  cls.def(py::pickle(snapshot, restore));
  cls.def_property_readonly("events", [](const N& named) { return named.ratings.events(); }, "How many events the fleet has seen.");
}

template <class S, class Class>
void bind_ratings(Class& cls, const char* name) {
  using N = Named<S>;
  static PyMethodDef fast[] = {
      fast_method("id", &ratings_id<S>, doc_of(name, R"(id($self, name, /)
--

The id of a player, who is added as a newcomer if unknown. Look it up once, then use it in update.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.id('gpt-4o'), ratings.id('local'), ratings.id('gpt-4o')
(0, 1, 0))")),
      fast_method("update", &ratings_update<S>, doc_of(name, R"(update($self, i, j, score, weight=1.0, time=None, /)
--

One match of players i and j, each an id or a name; an unknown name is added as a newcomer.

score: 1 = i won, 0.5 = draw, 0 = j won. weight: scales how much the match counts. time: integer nanoseconds, a datetime
or an ISO string, not before that of an earlier match; without it the time stands still.

Raises KeyError for an unknown id, ValueError for i == j, a score outside [0, 1], a weight outside [0, 1e6] or a time
before the latest; nothing has changed then.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> a, b = ratings.id('a'), ratings.id('b')
>>> ratings.update(a, b, 1.0)
>>> ratings.update('b', 'c', 0.5)
>>> ratings['a'] > ratings['b']
True)")),
      fast_method("expected", &ratings_expected<S>, doc_of(name, R"(expected($self, i, j, time=None, /)
--

Expected score of player i against player j (ids or names), in (0, 1), at a time (None: as of their last matches).

Raises KeyError for an unknown player.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> round(ratings.expected(ratings.id('a'), ratings.id('b')), 12)
0.5)")),
  };
  for (PyMethodDef& method : fast) attach(cls, method);

  cls.def(
      "update_many",
      [](N& named, py::handle i, py::handle j, py::handle score, py::handle weight, py::handle time) {
        Batch<S> batch(named, i, j, score, weight, time);
        batch.commit();
        // The GIL stays: another thread could add players meanwhile.
        if (const Fault fault = named.ratings.update_many(batch.matches())) batch.raise(fault);
      },
      py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = py::none(), py::arg("time") = py::none(),
      doc_of(name, R"(Matches in order: the same bits as so many calls of update, and much faster.

i, j: columns of shape (n,): int32 or int64 ids, lists of names, or the string, categorical and dictionary columns of
pandas, polars and pyarrow, of which each category is looked up once. score, weight: float64. time: integer nanoseconds,
datetime64, datetimes or ISO strings.

Everything is checked before anything changes; raises as update does, naming the match, and ValueError for unequal
lengths.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update_many(["a", "b", "a"], ["b", "c", "c"], [1.0, 0.5, 1.0])
>>> len(ratings), ratings['a'] > ratings['c']
(3, True))"));
  cls.def(
      "rate",
      [](N& named, py::handle i, py::handle j, py::handle score, py::handle weight, py::handle time, py::handle out) {
        Batch<S> batch(named, i, j, score, weight, time);
        auto expected = output(out, {static_cast<py::ssize_t>(batch.matches().size())});
        batch.commit();
        const Fault fault =
            named.ratings.update_many(batch.matches(), {expected.mutable_data(), batch.matches().size()});
        if (fault) batch.raise(fault);
        return expected;
      },
      py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = py::none(), py::arg("time") = py::none(),
      py::arg("out") = py::none(),
      doc_of(
          name,
          R"(update_many that also tells what was expected: the score of i in each match, before that match was rated.

So no match leaks into its own prediction. Returns float64 of shape (n,), written into `out` if given. Raises as
update_many.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> expected = ratings.rate(["a", "a"], ["b", "b"], [1.0, 1.0])
>>> bool(expected[0] < expected[1])
True)"));

  if constexpr (HasPeriods<S>) {
    cls.def(
        "update_period",
        [](N& named, py::handle i, py::handle j, py::handle score, py::handle weight, py::handle time) {
          Batch<S> batch(named, i, j, score, weight, time);
          batch.commit();
          if (const Fault fault = named.ratings.update_period(batch.matches())) batch.raise(fault);
        },
        py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = py::none(), py::arg("time") = py::none(),
        doc_of(
            name,
            R"(The matches of one rating period: all are rated from the ratings before it, whatever their order.

Arguments and errors as of update_many. It counts as one event, at the latest of the times. Source: M. Glickman,
"Example of the Glicko-2 system" (2013), where periods come from.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update_period(["a", "b"], ["b", "a"], [1.0, 1.0])
>>> round(ratings['a'] - ratings['b'], 9)
0.0)"));
    cls.def(
        "period",
        [](py::object self) { return py::module_::import("fairlead._core").attr("RatingPeriod")(std::move(self)); },
        doc_of(name, R"(A rating period as a `with` block: matches are collected, and rated at its end by update_period.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> with ratings.period() as period:
...     period.update("a", "b", 1.0)
...     period.update("b", "a", 1.0)
>>> round(ratings['a'] - ratings['b'], 9)
0.0)"));
  }
  cls.def(
      "contest",
      [](N& named, py::handle players, py::handle losses, double weight, py::handle time) {
        contest(named, players, losses, weight, as_time(time, "time"));
      },
      py::arg("players"), py::arg("losses"), py::arg("weight") = 1.0, py::arg("time") = py::none(),
      doc_of(name, R"(One contest among many: a smaller loss is better, equal losses draw.

players: distinct ids or names, shape (m,); unknown names are added. losses: float64 of shape (m,): ranks, times,
errors. All are rated from the ratings before, so the order does not matter. Raises KeyError for an unknown id,
ValueError for a repeated player, a NaN loss, unequal lengths, a weight outside [0, 1e6] or a time before the latest; nothing has
changed then.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.contest(["a", "b", "c"], [0.1, 0.2, 0.3])
>>> ratings['a'] > ratings['b'] > ratings['c']
True)"));
  cls.def(
      "expected_many",
      [](N& named, py::handle i, py::handle j, py::handle time, py::handle out) {
        Players players(named.ratings.names());
        const auto first = players.column(i, "i"), second = players.column(j, "j");
        check_length(static_cast<py::ssize_t>(second.size()), "j", static_cast<py::ssize_t>(first.size()), "i");
        if (players.newcomers().size() > 0) N::unknown(py::str(players.newcomers().name(0)).ptr());
        const Time at = as_time(time, "time");
        auto expected = output(out, {static_cast<py::ssize_t>(first.size())});
        double* const to = expected.mutable_data();
        for (std::size_t k = 0; k < first.size(); ++k) {
          if (!named.ratings.has(first[k]) || !named.ratings.has(second[k])) {
            N::unknown(py::int_(named.ratings.has(first[k]) ? second[k] : first[k]).ptr());
          }
        }
        for (std::size_t k = 0; k < first.size(); ++k) to[k] = named.ratings.system().expected(first[k], second[k], at);
        return expected;
      },
      py::arg("i"), py::arg("j"), py::arg("time") = py::none(), py::arg("out") = py::none(),
      doc_of(name, R"(expected for columns of pairs, as update_many takes them: float64 of shape (n,). Nothing is rated.

Raises KeyError for an unknown player.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update_many(["a"], ["b"], [1.0])
>>> expected = ratings.expected_many(["a", "b"], ["b", "a"])
>>> bool(expected[0] > 0.5 > expected[1])
True)"));
  bind_views<S>(cls, name);
  bind_memory<S>(cls, name);
}

}  // namespace fairlead::bindings
