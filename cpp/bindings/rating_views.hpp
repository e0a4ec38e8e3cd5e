// What Python reads of ratings: players, tables, the past; and how they are kept: undo, snapshots, merging.
#pragma once

#include <algorithm>
#include <memory>

#include "named_ratings.hpp"

namespace fairlead::bindings {

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
        for (Player i = 0; i < named.ratings.names().size(); ++i)
          out.mutable_data()[i] = S::values(named.ratings.state(i))[0];
        return out;
      },
      "Ratings by id: a float64 array of shape (players,), a copy.");
  cls.def(
      "state",
      [](N& named, const py::object& player, py::handle at) {
        const auto values =
            S::values(named.ratings.state(named.known(player.ptr(), "player"), past(named.ratings, at)));
        py::dict out;
        for (std::size_t c = 0; c < values.size(); ++c) out[py::str(std::string(S::columns[c]))] = values[c];
        return out;
      },
      py::arg("player"), py::kw_only(), py::arg("at") = py::none(),
      doc_of(name, R"(All that is known of a player (id or name), as a dict; at a time, if given, as of that time.

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
      py::arg("player"), py::kw_only(), py::arg("at") = py::none(),
      doc_of(name, R"(The rating of a player (id or name); at a time, if given, as of that time.

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
      py::kw_only(), py::arg("at") = py::none(),
      doc_of(
          name,
          R"(All players, best first, as columns: a plain dict for a DataFrame of pandas or polars; at a time, if given.

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
        if (!named.ratings.keep().history)
          throw py::value_error("history is not kept: make the ratings with history=True");
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
      py::arg("player"),
      doc_of(
          name,
          R"(What a player (id or name) was after each of its matches, oldest first, as columns of a plain dict.

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
      py::arg("n") = 1,
      doc_of(
          name,
          R"(Takes back the last n events exactly, as far as they are remembered (undo=... of the class).

A match, a contest, a period and a rating that was set are an event each. Newcomers stay. Raises ValueError if
fewer are remembered.

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
        if (named.ratings.keep().history && !other.ratings.keep().history) {
          throw py::value_error("other was made without history=True, so that the past of its players is not known");
        }
        if (const Player both = named.ratings.overlap(other.ratings); both != NameTable::absent) {
          throw py::value_error("other has the player " +
                                py::repr(py::str(other.ratings.names().name(both))).cast<std::string>() +
                                " too: only fleets without a common player can be merged");
        }
        check(named.ratings.merge(other.ratings));
      },
      py::arg("other"),
      doc_of(
          name,
          R"(Takes in the players of another fleet, with their histories; their ids follow.

What could be undone is forgotten. Fleets that never met give the same as one fleet that saw both.
Raises ValueError for a name that is in both, for other options, or if only this one keeps history.

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
  cls.def(
      "snapshot", snapshot,
      doc_of(
          name,
          R"(The whole state as bytes, which `restore` turns back into the same ratings; pickle and copy use it too.

>>> import fairlead as fl
>>> ratings = fl.{cls}()
>>> ratings.update("a", "b", 1.0)
>>> fl.{cls}.restore(ratings.snapshot()).items() == ratings.items()
True)"));
  cls.def_static("restore", restore, py::arg("snapshot"),
                 "Ratings from the bytes of snapshot(). Raises ValueError for anything else.");
  cls.def(py::pickle(snapshot, restore));
  cls.def_property_readonly(
      "events", [](const N& named) { return named.ratings.events(); }, "How many events the fleet has seen.");
}

}  // namespace fairlead::bindings
