#include "fairlead/elo.hpp"

#include "ratings.hpp"

namespace fairlead::bindings {

namespace {

void check_k(const char* name, double k) {
  if (!(k > 0.0 && k <= 1e6)) throw py::value_error(std::string(name) + " is " + show(k) + ", outside (0, 1e6]");
}

void check_games(double games) {
  if (!(games >= 1.0 && games <= 1e9)) throw py::value_error("games is " + show(games) + ", outside [1, 1e9]");
}

py::tuple parts(const KSchedule& s) {
  return py::make_tuple(static_cast<std::int32_t>(s.form), s.first, s.games, s.settled, s.top, s.top_rating);
}

void bind_schedule(py::module_& m) {
  py::class_<KSchedule>(
      m, "KSchedule",
      R"(K by how many matches a player has played: pass it as `k` of Elo. Made by `steps`, `decay` or `fide`.

Two players of different K exchange different amounts, so the sum of ratings is no longer conserved.

>>> import fairlead as fl
>>> ratings = fl.Elo(k=fl.KSchedule.steps(first=40, games=30, settled=20))
>>> ratings.update("a", "b", 1.0)
>>> ratings["a"]
1520.0)")
      .def_static(
          "steps",
          [](double first, double games, double settled, double top_rating, double top) {
            for (const auto& [name, k] :
                 {std::pair("first", first), std::pair("settled", settled), std::pair("top", top)})
              check_k(name, k);
            check_games(games);
            if (std::isnan(top_rating)) throw py::value_error("top_rating is nan, must be a rating");
            return KSchedule{KSchedule::Form::steps, first, games, settled, top, top_rating};
          },
          py::kw_only(), py::arg("first") = 40.0, py::arg("games") = 30.0, py::arg("settled") = 20.0,
          py::arg("top_rating") = std::numeric_limits<double>::infinity(), py::arg("top") = 10.0,
          R"(K is `first` for a player's first `games` matches, then `settled`; `top` for good from `top_rating` on.

Raises ValueError for a K outside (0, 1e6], or games below 1.)")
      .def_static(
          "decay",
          [](double first, double games, double settled) {
            check_k("first", first);
            check_k("settled", settled);
            check_games(games);
            KSchedule made;
            made.form = KSchedule::Form::decay;
            made.first = first;
            made.games = games;
            made.settled = settled;
            return made;
          },
          py::kw_only(), py::arg("first") = 40.0, py::arg("games") = 30.0, py::arg("settled") = 20.0,
          R"(K is settled + (first - settled) / (1 + played / games): half of the way down after `games` matches.

Raises ValueError for a K outside (0, 1e6], or games below 1.)")
      .def_static(
          "fide", [] { return KSchedule{KSchedule::Form::steps, 40.0, 30.0, 20.0, 10.0, 2400.0}; },
          "FIDE Rating Regulations (2022), 8.3.3: 40 for the first 30 games, then 20, and 10 for good from a rating of "
          "2400.")
      .def("__eq__", [](const KSchedule& a,
                        const py::object& b) { return py::isinstance<KSchedule>(b) && a == b.cast<KSchedule>(); })
      .def("__hash__", [](const KSchedule& s) { return py::hash(parts(s)); })
      .def("__repr__",
           [](const KSchedule& s) {
             const std::string common =
                 "first=" + show(s.first) + ", games=" + show(s.games) + ", settled=" + show(s.settled);
             if (s.form == KSchedule::Form::decay) return "KSchedule.decay(" + common + ")";
             const bool topped = std::isfinite(s.top_rating);
             return "KSchedule.steps(" + common +
                    (topped ? ", top_rating=" + show(s.top_rating) + ", top=" + show(s.top) : "") + ")";
           })
      .def(py::pickle([](const KSchedule& s) { return parts(s); },
                      [](const py::tuple& t) {
                        return KSchedule{static_cast<KSchedule::Form>(t[0].cast<std::int32_t>()),
                                         t[1].cast<double>(),
                                         t[2].cast<double>(),
                                         t[3].cast<double>(),
                                         t[4].cast<double>(),
                                         t[5].cast<double>()};
                      }));
}

Named<Elo> make_elo(const py::object& k, double scale, double start, double home, const py::object& half_life,
                    bool history, py::ssize_t undo) {
  EloOptions options{.scale = scale, .start = start, .home = home};
  if (py::isinstance<KSchedule>(k)) {
    options.schedule = k.cast<KSchedule>();
  } else {
    options.k = PyFloat_AsDouble(k.ptr());
    if (options.k == -1.0 && PyErr_Occurred()) throw py::error_already_set();
  }
  check_elo_options(options.k, scale, start);
  if (!(std::abs(home) <= 1e9)) throw py::value_error("home is " + show(home) + ", outside [-1e9, 1e9]");
  options.half_life = as_span(half_life, "half_life");
  return Named<Elo>(Elo(options), keep(history, undo));
}

}  // namespace

void bind_elo(py::module_& m) {
  bind_period(m);
  bind_schedule(m);
  auto cls = py::class_<Named<Elo>>(m, "Elo", R"(Elo ratings of named players (A. E. Elo, 1978).

k: points at stake in a match, or a KSchedule; scale: a lead of so many points means odds of 10 to 1; start: rating of a
newcomer; home: points that the first player's side is worth, as when it plays at home (a match on neutral ground is a
`contest` of two, where nobody's side counts); half_life: ratings decay, so that an old hero falls: the time ("90d", a
timedelta, nanoseconds) in which a player who does not play comes half of the way back to the start, from above or below.
It is applied when the player plays again or is asked for at a time, as in `table(at=...)`. history: keep every rating,
for `history` and `rating(..., at=...)`. undo: how many of the last events can be taken back.

With a constant k and no half_life the sum of all ratings is conserved. Raises ValueError for k outside (0, 1e6], scale
outside [1e-3, 1e9], start or home outside [-1e9, 1e9], a half_life that is not positive or a negative undo.

>>> import fairlead as fl
>>> ratings = fl.Elo(k=32)
>>> gpt, local = ratings.id("gpt-4o"), ratings.id("local-logit")
>>> ratings.update(gpt, local, 1.0)
>>> ratings["gpt-4o"]
1516.0
>>> ratings.items()
[('gpt-4o', 1516.0), ('local-logit', 1484.0)])")
                 .def(py::init(&make_elo), py::kw_only(), py::arg("k") = 32.0, py::arg("scale") = 400.0,
                      py::arg("start") = 1500.0, py::arg("home") = 0.0, py::arg("half_life") = py::none(),
                      py::arg("history") = false, py::arg("undo") = 0);
  bind_ratings<Elo>(cls, "Elo");
  cls.def("__setitem__",
          [](Named<Elo>& named, const py::str& name, double rating) {
            if (!std::isfinite(rating)) throw py::value_error("rating is " + show(rating) + ", must be finite");
            const Player i = named.ratings.id(utf8(name.ptr()));
            auto state = named.ratings.state(i, named.ratings.clock());  // idleness counts from now on
            state.rating = rating;
            named.ratings.put(i, state);
          })
      .def_property_readonly(
          "k",
          [](const Named<Elo>& named) -> py::object {
            const EloOptions& options = named.ratings.system().options();
            if (options.schedule.form == KSchedule::Form::constant) return py::float_(options.k);
            return py::cast(options.schedule);
          },
          "Points at stake in a match, or the KSchedule.")
      .def_property_readonly(
          "scale", [](const Named<Elo>& named) { return named.ratings.system().options().scale; },
          "A lead of so many points means odds of 10 to 1.")
      .def_property_readonly(
          "start", [](const Named<Elo>& named) { return named.ratings.system().options().start; },
          "Rating of a newcomer.")
      .def_property_readonly(
          "home", [](const Named<Elo>& named) { return named.ratings.system().options().home; },
          "Points that the first player's side is worth.")
      .def_property_readonly(
          "half_life",
          [](const Named<Elo>& named) -> std::optional<std::int64_t> {
            const std::int64_t half_life = named.ratings.system().options().half_life;
            return half_life == 0 ? std::nullopt : std::optional(half_life);
          },
          "Nanoseconds in which an idle player comes half of the way back to the start, or None.");
}

}  // namespace fairlead::bindings
