#include "fairlead/glicko2.hpp"

#include "systems.hpp"

namespace fairlead::bindings {

namespace {

void check_deviation(double deviation) { check_range("deviation", deviation, 1e-6, 1e6, "[1e-6, 1e6]"); }
void check_volatility(double volatility) {
  check_range("volatility", volatility, Glicko2::least_volatility, Glicko2::most_volatility, "[1e-9, 1]");
}

Named<Glicko2> make(double tau, double start, double deviation, double volatility, const py::object& idle, bool history,
                    py::ssize_t undo) {
  check_range("tau", tau, 0.0, 10.0, "[0, 10]");
  check_start("start", start);
  check_deviation(deviation);
  check_volatility(volatility);
  const Glicko2Options options{
      .tau = tau, .start = start, .deviation = deviation, .volatility = volatility, .period = as_span(idle, "idle")};
  return Named<Glicko2>(Glicko2(options), keep(history, undo));
}

void set_state(Named<Glicko2>& named, const py::object& player, std::optional<double> rating,
               std::optional<double> deviation, std::optional<double> volatility) {
  if (rating) check_start("rating", *rating);
  if (deviation) check_deviation(*deviation);
  if (volatility) check_volatility(*volatility);
  const Player i =
      PyUnicode_Check(player.ptr()) ? named.ratings.id(utf8(player.ptr())) : named.known(player.ptr(), "player");
  auto state = named.ratings.state(i);
  state.rating = rating.value_or(state.rating);
  state.deviation = deviation.value_or(state.deviation);
  state.volatility = volatility.value_or(state.volatility);
  named.ratings.put(i, state);
}

}  // namespace

void bind_glicko2(py::module_& m) {
  auto cls = py::class_<Named<Glicko2>>(
      m, "Glicko2",
      R"(Glicko-2 ratings of named players: a rating, how far it may be off, and how steadily the player plays.

tau: how fast volatility may change, 0.3 to 1.2 being sensible; start, deviation, volatility: of a newcomer. idle: a
length of time ("7d", a timedelta, nanoseconds) after which the deviation of a player who does not play has grown by one
volatility, up to a newcomer's; it grows when the player plays again, or is asked for at a time. history, undo: as of
Elo.

Glicko-2 is made for rating periods: `update_period` and `with ratings.period():` rate the games of one, all from the
ratings before it, and widen the deviations of those who did not play. `update`, `update_many` and `contest` rate at
once: each is a period of its own, or where idle is given an instant, as uncertainty then grows with time alone. In a
contest of m players each pair plays 1 / (m - 1) game. A weight counts a game as so much of a game.

Source: M. Glickman, "Example of the Glicko-2 system" (2013). Volatility is bounded by 1 (174 points a period). Raises
ValueError for tau outside [0, 10], start outside [-1e9, 1e9], deviation outside [1e-6, 1e6], volatility outside [1e-9,
1] or an idle that is not positive.

>>> import fairlead as fl
>>> ratings = fl.Glicko2(tau=0.5)
>>> ratings.set_state("player", rating=1500, deviation=200)
>>> for name, rating, deviation in [("a", 1400, 30), ("b", 1550, 100), ("c", 1700, 300)]:
...     ratings.set_state(name, rating=rating, deviation=deviation)
>>> ratings.update_period(["player"] * 3, ["a", "b", "c"], [1.0, 0.0, 0.0])
>>> {name: round(x, 4) for name, x in ratings.state("player").items()}
{'rating': 1464.0507, 'deviation': 151.5165, 'volatility': 0.06})");
  cls.def(py::init(&make), py::kw_only(), py::arg("tau") = 0.5, py::arg("start") = 1500.0, py::arg("deviation") = 350.0,
          py::arg("volatility") = 0.06, py::arg("idle") = py::none(), py::arg("history") = false, py::arg("undo") = 0);
  bind_ratings<Glicko2>(cls, "Glicko2");
  bind_setting<Glicko2>(cls, &Glicko2::State::rating);
  cls.def("set_state", &set_state, py::arg("player"), py::kw_only(), py::arg("rating") = py::none(),
          py::arg("deviation") = py::none(), py::arg("volatility") = py::none(),
          R"(Sets what is known of a player (id or name; an unknown name is added): what is not given stays. One event.

Raises KeyError for an unknown id, ValueError for a rating outside [-1e9, 1e9], a deviation outside [1e-6, 1e6] or a
volatility outside [1e-9, 1].

>>> import fairlead as fl
>>> ratings = fl.Glicko2()
>>> ratings.set_state("a", rating=1800, deviation=80)
>>> ratings.state("a")
{'rating': 1800.0, 'deviation': 80.0, 'volatility': 0.06})");
  bind_option<Glicko2>(cls, "tau", [](const auto& o) { return o.tau; }, "How fast volatility may change.");
  bind_option<Glicko2>(cls, "start", [](const auto& o) { return o.start; }, "Rating of a newcomer.");
  bind_option<Glicko2>(cls, "deviation", [](const auto& o) { return o.deviation; }, "Deviation of a newcomer.");
  bind_option<Glicko2>(cls, "volatility", [](const auto& o) { return o.volatility; }, "Volatility of a newcomer.");
  cls.def_property_readonly("idle", &period_of<Glicko2>,
                            "Nanoseconds in which an idle player's deviation grows by one volatility, or None.");
}

}  // namespace fairlead::bindings
