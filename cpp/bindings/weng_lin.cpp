#include "fairlead/weng_lin.hpp"

#include "systems.hpp"

namespace fairlead::bindings {

namespace {

constexpr const char* bradley_terry = "bradley_terry";
constexpr const char* plackett_luce = "plackett_luce";

Named<WengLin> make(const std::string& rule, double mu, double sigma, double beta, double tau, double kappa,
                    const py::object& idle, bool history, py::ssize_t undo) {
  if (rule != bradley_terry && rule != plackett_luce) {
    throw py::value_error("rule is " + py::repr(py::str(rule)).cast<std::string>() +
                          ", must be 'bradley_terry' or 'plackett_luce'");
  }
  check_start("mu", mu);
  check_spread("sigma", sigma);
  check_spread("beta", beta);
  check_drift(tau);
  if (!(kappa > 0.0 && kappa <= 1.0)) throw py::value_error("kappa is " + show(kappa) + ", outside (0, 1]");
  const WengLinOptions options{.rule = rule == bradley_terry ? WengLinRule::bradley_terry : WengLinRule::plackett_luce,
                               .mu = mu,
                               .sigma = sigma,
                               .beta = beta,
                               .tau = tau,
                               .kappa = kappa,
                               .period = as_span(idle, "idle")};
  return Named<WengLin>(WengLin(options), keep(history, undo));
}

void set_state(Named<WengLin>& named, const py::object& player, std::optional<double> mu, std::optional<double> sigma) {
  if (mu) check_start("mu", *mu);
  if (sigma) check_range("sigma", *sigma, 0.0, 1e6, "[0, 1e6]");
  const Player i =
      PyUnicode_Check(player.ptr()) ? named.ratings.id(utf8(player.ptr())) : named.known(player.ptr(), "player");
  auto state = named.ratings.state(i);
  state.mu = mu.value_or(state.mu);
  state.sigma = sigma.value_or(state.sigma);
  named.ratings.put(i, state);
}

}  // namespace

void bind_weng_lin(py::module_& m) {
  auto cls = py::class_<Named<WengLin>>(
      m, "WengLin",
      R"(Weng and Lin's Bayesian ratings of named players: a skill mu and how far it may be off, sigma. For contests.

rule: how a contest of many counts: "bradley_terry" compares every pair (Algorithm 1 of the paper), "plackett_luce"
takes the order as drawn from the winner down (Algorithm 4); for two players they are the same. mu, sigma: of a
newcomer; beta: spread of performances about a skill; tau: by how much a skill drifts, added to the uncertainty in each
contest, or where idle is given (a length of time: "7d", a timedelta, nanoseconds) in each idle that passes, up to a
newcomer's sigma; kappa: one contest leaves at least this share of a variance. history, undo: as of Elo.

A weight multiplies what a contest says. `expected` is the score that a match is compared with. Source: R. Weng and
C.-J. Lin, "A Bayesian approximation method for online ranking", JMLR 12 (2011); the same numbers as openskill's. Raises
ValueError for an unknown rule, mu outside [-1e9, 1e9], sigma or beta outside [1e-6, 1e6], tau outside [0, 1e6], kappa
outside (0, 1] or an idle that is not positive.

>>> import fairlead as fl
>>> ratings = fl.WengLin(rule="plackett_luce")
>>> ratings.contest(["a", "b", "c"], [1, 2, 3])
>>> [(name, round(mu, 3)) for name, mu in ratings.items()]
[('a', 27.869), ('b', 25.717), ('c', 21.414)])");
  cls.def(py::init(&make), py::kw_only(), py::arg("rule") = bradley_terry, py::arg("mu") = 25.0,
          py::arg("sigma") = 25.0 / 3.0, py::arg("beta") = 25.0 / 6.0, py::arg("tau") = 25.0 / 300.0,
          py::arg("kappa") = 1e-4, py::arg("idle") = py::none(), py::arg("history") = false, py::arg("undo") = 0);
  bind_ratings<WengLin>(cls, "WengLin");
  bind_setting<WengLin>(cls, &WengLin::State::mu);
  cls.def("set_state", &set_state, py::arg("player"), py::kw_only(), py::arg("mu") = py::none(),
          py::arg("sigma") = py::none(),
          R"(Sets what is known of a player (id or name; an unknown name is added): what is not given stays. One event.

Raises KeyError for an unknown id, ValueError for mu outside [-1e9, 1e9] or sigma outside [0, 1e6].

>>> import fairlead as fl
>>> ratings = fl.WengLin()
>>> ratings.set_state("a", mu=30, sigma=2)
>>> ratings.state("a")
{'mu': 30.0, 'sigma': 2.0})");
  bind_option<WengLin>(
      cls, "rule", [](const auto& o) { return o.rule == WengLinRule::bradley_terry ? bradley_terry : plackett_luce; },
      "How a contest of many counts: bradley_terry or plackett_luce.");
  bind_option<WengLin>(cls, "mu", [](const auto& o) { return o.mu; }, "Mean of a newcomer's skill.");
  bind_option<WengLin>(
      cls, "sigma", [](const auto& o) { return o.sigma; }, "Standard deviation of a newcomer's skill.");
  bind_option<WengLin>(cls, "beta", [](const auto& o) { return o.beta; }, "Spread of performances about a skill.");
  bind_option<WengLin>(cls, "tau", [](const auto& o) { return o.tau; }, "By how much a skill drifts.");
  bind_option<WengLin>(
      cls, "kappa", [](const auto& o) { return o.kappa; }, "One contest leaves at least this share of a variance.");
  cls.def_property_readonly("idle", &period_of<WengLin>,
                            "Nanoseconds in which an idle player's skill drifts by tau, or None.");
}

}  // namespace fairlead::bindings
