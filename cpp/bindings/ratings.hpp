// The Python face that all rating systems share, made from fairlead::Ratings<System>.
//
// A system's own file makes the class and its __init__, adds what only it has, and calls `bind_ratings`.
#pragma once

#include "rating_events.hpp"
#include "rating_views.hpp"

namespace fairlead::bindings {

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
        if (!out.is_none()) batch.spare(expected);
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

So no match leaks into its own prediction. Returns float64 of shape (n,), written into `out` if given, which may be one
of the columns. Raises as update_many.

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
errors. All are rated from the ratings before; the order given does not matter. Raises KeyError for an unknown id,
ValueError for a repeated player, a NaN loss, unequal lengths, a weight outside [0, 1e6] or a time before the latest;
nothing has changed then.

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
        for (std::size_t k = 0; k < first.size(); ++k) {
          const Player a = first[k], b = second[k];  // read once: another thread may write to the columns meanwhile
          to[k] = named.ratings.has(a) && named.ratings.has(b) ? named.ratings.system().expected(a, b, at) : nan;
        }
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
