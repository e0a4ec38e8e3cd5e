#include "fairlead/elo.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <optional>

#include "common.hpp"
#include "fairlead/names.hpp"

namespace fairlead::bindings {

namespace {

template <class Int>
using Ids = py::array_t<Int, py::array::c_style>;
using Values = py::array_t<double, py::array::c_style>;

// Ratings by name: what Python calls Elo.
struct NamedElo {
  Elo elo;
  NameTable names;

  Elo::Player id(std::string_view name) {
    const Elo::Player known = names.find(name);
    if (known != NameTable::absent) return known;
    elo.resize(static_cast<std::size_t>(names.size()) + 1);
    return names.intern(name);
  }

  Elo::Player known(std::string_view name) const {
    const Elo::Player id = names.find(name);
    if (id == NameTable::absent) throw py::key_error("no player is called " + py::repr(py::str(std::string(name))).cast<std::string>());
    return id;
  }
};

[[noreturn]] void explain(Status status, const NamedElo& ratings, Elo::Player i, Elo::Player j, double score, double weight) {
  if (status == Status::unknown_model) {
    throw py::key_error("no player has the id " + std::to_string(ratings.elo.has(i) ? j : i) + "; get ids from id(name)");
  }
  if (status == Status::self_contest) throw py::value_error("i and j are both " + std::to_string(i) + ": a contest needs two players");
  if (!(score >= 0.0 && score <= 1.0)) throw py::value_error("score is " + show(score) + ", outside [0, 1]");
  throw py::value_error("weight is " + show(weight) + ", outside [0, 1e6]");
}

PyObject* elo_id(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const ratings = native<NamedElo>(self);
  if (ratings == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("id", args, n, 1, 1);
    Py_ssize_t length = 0;
    const char* const name = PyUnicode_AsUTF8AndSize(args[0], &length);
    if (name == nullptr) throw py::error_already_set();
    return PyLong_FromLong(ratings->id({name, static_cast<std::size_t>(length)}));
  });
}

PyObject* elo_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const ratings = native<NamedElo>(self);
  if (ratings == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("update", args, n, 3, 4);
    const auto i = arguments.id(0), j = arguments.id(1);
    const double score = arguments.real(2), weight = arguments.real(3, 1.0);
    const Status status = ratings->elo.update(i, j, score, weight);
    if (status != Status::ok) explain(status, *ratings, i, j, score, weight);
    return Py_NewRef(Py_None);
  });
}

PyObject* elo_expected(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const ratings = native<NamedElo>(self);
  if (ratings == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("expected", args, n, 2, 2);
    const auto i = arguments.id(0), j = arguments.id(1);
    if (!ratings->elo.has(i) || !ratings->elo.has(j)) explain(Status::unknown_model, *ratings, i, j, 0.0, 1.0);
    return PyFloat_FromDouble(ratings->elo.expected(i, j));
  });
}

PyMethodDef elo_methods[] = {
    fast_method("id", elo_id,
                "id($self, name, /)\n--\n\n"
                "The id of a player, who is added with the starting rating if new. Look it up once, then use it in update.\n\n"
                ">>> import fairlead as fl\n>>> ratings = fl.Elo()\n>>> ratings.id('gpt-4o'), ratings.id('local'), ratings.id('gpt-4o')\n(0, 1, 0)"),
    fast_method("update", elo_update,
                "update($self, i, j, score, weight=1.0, /)\n--\n\n"
                "One contest of players i and j (ids). score: 1 = i won, 0.5 = draw, 0 = j won; weight scales K.\n\n"
                "Raises KeyError for an unknown id, ValueError for i == j, a score outside [0, 1] or a weight outside [0, 1e6];\n"
                "nothing has changed then.\n\n"
                ">>> import fairlead as fl\n>>> ratings = fl.Elo(k=32)\n>>> ratings.update(ratings.id('a'), ratings.id('b'), 1.0)\n"
                ">>> ratings['a'], ratings['b']\n(1516.0, 1484.0)"),
    fast_method("expected", elo_expected,
                "expected($self, i, j, /)\n--\n\n"
                "Expected score of player i against player j (ids), in (0, 1). Raises KeyError for an unknown id.\n\n"
                ">>> import fairlead as fl\n>>> ratings = fl.Elo()\n>>> ratings.expected(ratings.id('a'), ratings.id('b'))\n0.5"),
};

// What does not fit 32 bits is no id of ours.
template <class Int>
Elo::Player player(Int id) noexcept {
  return id >= 0 && id <= 0x7fffffff ? static_cast<Elo::Player>(id) : -1;
}

template <class Int>
void update_many(NamedElo& ratings, const Ids<Int>& i, const Ids<Int>& j, const Values& score,
                 const std::optional<Values>& weight) {
  const auto n = static_cast<std::size_t>(i.size());
  const auto same = [n](const char* name, const auto& array) {
    if (static_cast<std::size_t>(array.size()) != n || array.ndim() != 1) {
      throw py::value_error(std::string(name) + " has length " + std::to_string(array.size()) + ", i has " + std::to_string(n));
    }
  };
  same("i", i);
  same("j", j);
  same("score", score);
  if (weight) same("weight", *weight);
  const Int* const first = i.data();
  const Int* const second = j.data();
  const double* const s = score.data();
  const double* const w = weight ? weight->data() : nullptr;
  // All of it is checked before any of it counts.
  for (std::size_t k = 0; k < n; ++k) {
    const double weight_k = w ? w[k] : 1.0;
    const Elo::Player a = player(first[k]), b = player(second[k]);
    const bool known = ratings.elo.has(a) && ratings.elo.has(b);
    if (known && a != b && s[k] >= 0.0 && s[k] <= 1.0 && weight_k >= 0.0 && weight_k <= Elo::max_weight) continue;
    explain(!known ? Status::unknown_model : a == b ? Status::self_contest : Status::out_of_range, ratings, a, b, s[k],
            weight_k);
  }
  // The GIL stays: another thread could add players meanwhile.
  for (std::size_t k = 0; k < n; ++k) {
    (void)ratings.elo.update(player(first[k]), player(second[k]), s[k], w ? w[k] : 1.0);
  }
}

void contest(NamedElo& ratings, const Ids<std::int64_t>& given, const Values& losses, double weight) {
  std::vector<Elo::Player> players;
  for (py::ssize_t k = 0; k < given.size(); ++k) players.push_back(player(given.data()[k]));
  std::vector<bool> seen(ratings.elo.size());
  for (const Elo::Player i : players) {
    if (!ratings.elo.has(i)) explain(Status::unknown_model, ratings, i, i, 0.0, 1.0);
    if (seen[static_cast<std::size_t>(i)]) throw py::value_error("players holds the id " + std::to_string(i) + " twice");
    seen[static_cast<std::size_t>(i)] = true;
  }
  check(ratings.elo.contest(players,
                            {losses.data(), static_cast<std::size_t>(losses.size())}, weight),
        "losses (" + std::to_string(losses.size()) + " values, " + std::to_string(players.size()) + " players, weight " +
            show(weight) + ")");
}

NamedElo make_elo(double k, double scale, double start) {
  check_elo_options(k, scale, start);
  return {Elo({.k = k, .scale = scale, .start = start}), {}};
}

}  // namespace

void bind_elo(py::module_& m) {
  auto cls =
      py::class_<NamedElo>(m, "Elo", R"(Elo ratings of named players (A. E. Elo, 1978).

k: points at stake in a contest; scale: a lead of so many points means odds of 10 to 1; start: rating of a newcomer.
The sum of all ratings is conserved. Raises ValueError for k outside (0, 1e6], scale outside
[1e-3, 1e9] or start outside [-1e9, 1e9].

>>> import fairlead as fl
>>> ratings = fl.Elo(k=32)
>>> gpt, local = ratings.id("gpt-4o"), ratings.id("local-logit")
>>> ratings.update(gpt, local, 1.0)
>>> ratings["gpt-4o"]
1516.0
>>> ratings.items()
[('gpt-4o', 1516.0), ('local-logit', 1484.0)])")
          .def(py::init(&make_elo), py::kw_only(), py::arg("k") = 32.0, py::arg("scale") = 400.0, py::arg("start") = 1500.0)
          .def("update_many", &update_many<std::int32_t>, py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = py::none(),
               R"(Contests in order, as many calls of update: int32 (or int64) arrays i and j, float64 score and weight, all of shape (n,).

Everything is checked first: an unknown id (KeyError), i == j, a score outside [0, 1], a weight outside [0, 1e6] or unequal
lengths (ValueError) leave all ratings as they were.)")
          .def("update_many", &update_many<std::int64_t>, py::arg("i"), py::arg("j"), py::arg("score"),
               py::arg("weight") = py::none())
          .def("contest", &contest, py::arg("players"), py::arg("losses"), py::arg("weight") = 1.0,
               R"(One contest among many: every pair is scored by who has the smaller loss, equal losses draw.

players: distinct ids, integers of shape (m,); losses: float64 of shape (m,), lower is better. All pairs are rated from the
ratings before, so order does not matter, and K is shared among a player's m - 1 pairs. Raises KeyError for an unknown id,
ValueError for a repeated id, a NaN loss or unequal lengths.

>>> import fairlead as fl
>>> ratings = fl.Elo(k=32)
>>> ratings.contest([ratings.id("a"), ratings.id("b"), ratings.id("c")], [0.1, 0.2, 0.3])
>>> ratings.items()
[('a', 1516.0), ('b', 1500.0), ('c', 1484.0)])")
          .def("__getitem__", [](const NamedElo& ratings, std::string_view name) { return ratings.elo[ratings.known(name)]; })
          .def("__setitem__",
               [](NamedElo& ratings, std::string_view name, double rating) {
                 if (!std::isfinite(rating)) throw py::value_error("rating is " + show(rating) + ", must be finite");
                 check(ratings.elo.set(ratings.id(name), rating));
               })
          .def("__contains__",
               [](const NamedElo& ratings, std::string_view name) { return ratings.names.find(name) != NameTable::absent; })
          .def("__len__", [](const NamedElo& ratings) { return ratings.elo.size(); })
          .def(
              "items",
              [](const NamedElo& ratings) {
                py::list out;
                for (std::int32_t i = 0; i < ratings.names.size(); ++i) {
                  out.append(py::make_tuple(ratings.names.name(i), ratings.elo[i]));
                }
                return out;
              },
              "(name, rating) of every player, in the order they came.")
          .def(
              "ratings",
              [](const NamedElo& ratings) {
                const auto all = ratings.elo.ratings();
                return py::array_t<double>(static_cast<py::ssize_t>(all.size()), all.data());
              },
              "Ratings by id: a float64 array of shape (players,), a copy.")
          .def_property_readonly("k", [](const NamedElo& ratings) { return ratings.elo.options().k; }, "Points at stake in a contest.")
          .def_property_readonly("scale", [](const NamedElo& ratings) { return ratings.elo.options().scale; }, "A lead of so many points means odds of 10 to 1.")
          .def_property_readonly("start", [](const NamedElo& ratings) { return ratings.elo.options().start; }, "Rating of a newcomer.");
  for (PyMethodDef& method : elo_methods) attach(cls, method);
}

}  // namespace fairlead::bindings
