#include "fairlead/true_skill.hpp"

#include "systems.hpp"

namespace fairlead::bindings {

namespace {

Named<TrueSkill> make(double mu, double sigma, double beta, double tau, double draw_probability, const py::object& idle,
                      bool history, py::ssize_t undo) {
  check_start("mu", mu);
  check_spread("sigma", sigma);
  check_spread("beta", beta);
  check_drift(tau);
  check_range("draw_probability", draw_probability, 0.0, 0.999, "[0, 0.999]");
  const TrueSkillOptions options{.mu = mu,
                                 .sigma = sigma,
                                 .beta = beta,
                                 .tau = tau,
                                 .draw_probability = draw_probability,
                                 .period = as_span(idle, "idle")};
  return Named<TrueSkill>(TrueSkill(options), keep(history, undo));
}

void set_state(Named<TrueSkill>& named, const py::object& player, std::optional<double> mu,
               std::optional<double> sigma) {
  if (mu) check_start("mu", *mu);
  if (sigma) check_range("sigma", *sigma, 0.0, 1e6, "[0, 1e6]");
  const Player i =
      PyUnicode_Check(player.ptr()) ? named.ratings.id(utf8(player.ptr())) : named.known(player.ptr(), "player");
  auto state = named.ratings.state(i);
  state.mu = mu.value_or(state.mu);
  state.sigma = sigma.value_or(state.sigma);
  named.ratings.put(i, state);
}

void contest_teams(Named<TrueSkill>& named, const py::sequence& teams, py::handle losses_given, double weight,
                   py::handle time_given) {
  const std::int32_t known = named.ratings.names().size();
  Players columns(named.ratings.names());
  const Array<double> losses = numbers<double>(losses_given, "losses");
  check_length(losses.size(), "losses", static_cast<py::ssize_t>(py::len(teams)), "teams");
  const Time time = as_time(time_given, "time"), clock = named.ratings.clock();
  std::vector<Player> players;
  std::vector<std::size_t> first{0};
  for (const py::handle team : teams) {
    if (py::isinstance<py::str>(team))
      throw py::type_error("teams holds " + py::repr(team).cast<std::string>() + ", must hold lists of players");
    const auto ids = columns.column(team, "teams");
    if (ids.empty()) throw py::value_error("teams[" + std::to_string(first.size() - 1) + "] is empty");
    players.insert(players.end(), ids.begin(), ids.end());
    first.push_back(players.size());
  }
  unchanged(named, known);
  columns.order_of_play(players, {});
  std::vector<bool> seen(columns.size());
  for (const Player i : players) {
    if (i < 0 || static_cast<std::size_t>(i) >= columns.size()) Named<TrueSkill>::unknown(py::int_(i).ptr());
    if (seen[static_cast<std::size_t>(i)])
      throw py::value_error("teams holds the player " + std::to_string(i) + " (an id) twice");
    seen[static_cast<std::size_t>(i)] = true;
  }
  for (py::ssize_t k = 0; k < losses.size(); ++k) {
    if (std::isnan(losses.data()[k])) throw py::value_error("losses[" + std::to_string(k) + "] is NaN");
  }
  if (!(weight >= 0.0 && weight <= max_match_weight) || (time != no_time && time < clock)) {
    explain(named.ratings, Status::out_of_range, 0, 0, 0.0, weight, time, clock);
  }
  named.ratings.admit(columns.newcomers());
  check(named.ratings.contest_teams(players, first, view(losses), weight, time));
}

}  // namespace

void bind_true_skill(py::module_& m) {
  auto cls = py::class_<Named<TrueSkill>>(
      m, "TrueSkill", R"(TrueSkill ratings of named players: a skill mu and how far it may be off, sigma.

mu, sigma: of a newcomer; beta: spread of performances about a skill; tau: by how much a skill drifts, added to the
uncertainty in each contest, or where idle is given (a length of time: "7d", a timedelta, nanoseconds) in each idle that
passes, up to a newcomer's sigma; draw_probability: of two equals, from which the margin of a draw follows. history,
undo: as of Elo.

Scores are 1, 0.5 or 0. A weight raises what a contest says to that power. `expected` is P(win) + P(draw) / 2. Contests
of many, alone or in teams, are solved to the last digits (the package trueskill stops at 1e-4). Neighbours in the order
of finish are compared, as in the paper; those who tie stand in the order of their ids, and may learn slightly different
amounts. Source: R. Herbrich, T. Minka and T. Graepel, "TrueSkill: a Bayesian skill rating system", NIPS 2006. Raises
ValueError for mu outside [-1e9, 1e9], sigma or beta outside [1e-6, 1e6], tau outside [0, 1e6], draw_probability outside
[0, 0.999] or an idle that is not positive.

>>> import fairlead as fl
>>> ratings = fl.TrueSkill()
>>> ratings.update("a", "b", 1.0)
>>> {name: round(x, 3) for name, x in ratings.state("a").items()}
{'mu': 29.396, 'sigma': 7.171})");
  cls.def(py::init(&make), py::kw_only(), py::arg("mu") = 25.0, py::arg("sigma") = 25.0 / 3.0,
          py::arg("beta") = 25.0 / 6.0, py::arg("tau") = 25.0 / 300.0, py::arg("draw_probability") = 0.1,
          py::arg("idle") = py::none(), py::arg("history") = false, py::arg("undo") = 0);
  bind_ratings<TrueSkill>(cls, "TrueSkill");
  bind_setting<TrueSkill>(cls, &TrueSkill::State::mu);
  cls.def("set_state", &set_state, py::arg("player"), py::kw_only(), py::arg("mu") = py::none(),
          py::arg("sigma") = py::none(),
          R"(Sets what is known of a player (id or name; an unknown name is added): what is not given stays. One event.

Raises KeyError for an unknown id, ValueError for mu outside [-1e9, 1e9] or sigma outside [0, 1e6].

>>> import fairlead as fl
>>> ratings = fl.TrueSkill()
>>> ratings.set_state("a", mu=30, sigma=2)
>>> ratings.state("a")
{'mu': 30.0, 'sigma': 2.0})");
  cls.def(
      "contest_teams", &contest_teams, py::arg("teams"), py::arg("losses"), py::arg("weight") = 1.0,
      py::arg("time") = py::none(),
      R"(One contest of teams, each of which performs as the sum of its players: a smaller loss is better, equal ones draw.

teams: m lists of players (ids or names, unknown names are added), no player twice; losses: float64 of shape (m,).
Raises KeyError for an unknown id, ValueError for an empty team, a repeated player, a NaN loss, unequal lengths, a
weight outside [0, 1e6] or a time before the latest; nothing has changed then.

>>> import fairlead as fl
>>> ratings = fl.TrueSkill()
>>> ratings.contest_teams([["a", "b"], ["c"]], [1, 2])
>>> ratings["a"] == ratings["b"] > ratings["c"]
True)");
  bind_option<TrueSkill>(cls, "mu", [](const auto& o) { return o.mu; }, "Mean of a newcomer's skill.");
  bind_option<TrueSkill>(
      cls, "sigma", [](const auto& o) { return o.sigma; }, "Standard deviation of a newcomer's skill.");
  bind_option<TrueSkill>(cls, "beta", [](const auto& o) { return o.beta; }, "Spread of performances about a skill.");
  bind_option<TrueSkill>(cls, "tau", [](const auto& o) { return o.tau; }, "By how much a skill drifts.");
  bind_option<TrueSkill>(cls, "draw_probability", [](const auto& o) { return o.draw_probability; }, "Of two equals.");
  cls.def_property_readonly("idle", &period_of<TrueSkill>,
                            "Nanoseconds in which an idle player's skill drifts by tau, or None.");
}

}  // namespace fairlead::bindings
