#include "fairlead/bradley_terry.hpp"

#include <optional>

#include "arrays.hpp"
#include "players.hpp"

namespace fairlead::bindings {

namespace {

py::array_t<double> copy(std::span<const double> values) {
  return py::array_t<double>(static_cast<py::ssize_t>(values.size()), values.data());
}

std::string at_match(std::size_t match) { return " (match " + std::to_string(match) + ")"; }

[[noreturn]] void explain(Status status, const PairedMatches& m, std::size_t k) {
  switch (status) {
    case Status::unknown_model: {
      const bool first = m.i[k] < 0 || static_cast<std::size_t>(m.i[k]) >= m.players;
      throw py::value_error(std::string(first ? "i" : "j") + " is " + std::to_string(first ? m.i[k] : m.j[k]) +
                            at_match(k) + ", outside [0, " + std::to_string(m.players) + ")");
    }
    case Status::self_contest:
      throw py::value_error("i and j are both " + std::to_string(m.i[k]) + at_match(k) + ": a match needs two players");
    case Status::out_of_range:
      if (!(m.score[k] >= 0.0 && m.score[k] <= 1.0)) {
        throw py::value_error("score is " + show(m.score[k]) + at_match(k) + ", outside [0, 1]");
      }
      throw py::value_error("weight is " + show(m.weight[k]) + at_match(k) + ", outside [0, 1e6]");
    case Status::not_finite: throw py::value_error("covariates hold NaN or an infinity" + at_match(k));
    default: raise(status, "matches");
  }
}

// A fit, and the names of the players where the columns held names.
struct NamedFit : BradleyTerry {
  std::optional<std::vector<std::string>> names;
};

std::unique_ptr<NamedFit> fit(py::handle i, py::handle j, py::handle score, py::handle weight, py::handle covariates,
                              std::int64_t players, const std::string& ties, double prior, bool prior_for_all) {
  if (ties != "half" && ties != "davidson") {
    throw py::value_error("ties is " + py::repr(py::str(ties)).cast<std::string>() + ", must be 'half' or 'davidson'");
  }
  if (!(prior > 0.0 && prior <= 1e6)) throw py::value_error("prior is " + show(prior) + ", outside (0, 1e6]");
  const NameTable nobody;
  Players who(nobody);
  const auto first = who.column(i, "i"), second = who.column(j, "j");
  const auto n = static_cast<py::ssize_t>(first.size());
  const auto points = numbers<double>(score, "score");
  check_length(static_cast<py::ssize_t>(second.size()), "j", n, "i");
  check_length(points.size(), "score", n, "i");
  auto out = std::make_unique<NamedFit>();
  try {
    who.order_of_play(first, second);
  } catch (const py::key_error&) {
    throw py::type_error("i and j hold names and ids, must hold either");
  }
  if (who.size() > 0) {
    if (players >= 0) throw py::value_error("names is given, but i and j hold names already");
    players = static_cast<std::int64_t>(who.size());
    out->names.emplace();
    for (std::int32_t id = 0; id < players; ++id) out->names->push_back(who.newcomers().name(id));
  }
  Array<double> weights, design;
  PairedMatches matches{.i = first, .j = second, .score = view(points)};
  if (!weight.is_none()) {
    weights = numbers<double>(weight, "weight");
    check_length(weights.size(), "weight", n, "i");
    matches.weight = view(weights);
  }
  if (!covariates.is_none()) {
    design = numbers<double>(covariates, "covariates", 2);
    check_length(design.shape(0), "covariates", n, "i");
    matches.covariates = view(design);
    matches.columns = static_cast<std::size_t>(design.shape(1));
  }
  std::size_t bad = 0;
  // The matches are summed with the GIL held, as another thread could write to the caller's columns once they were
  // checked. Where nobody says how many players there are, the first matches tell, unless a larger id comes later.
  constexpr std::size_t first_look = 65'536;
  const auto most = [&](std::size_t looked) {
    std::int32_t largest = -1;
    for (const auto ids_of : {matches.i.first(looked), matches.j.first(looked)}) {
      for (const std::int32_t id : ids_of) largest = std::max(largest, id);
    }
    if (largest >= 1 << 26) {
      throw py::value_error("i or j holds the id " + std::to_string(largest) + ": ids must be below 2^26");
    }
    return static_cast<std::size_t>(largest + std::int64_t{1});
  };
  const std::size_t looked = std::min(first_look, matches.i.size());
  matches.players = players >= 0 ? static_cast<std::size_t>(players) : most(looked);
  PairCells cells;
  Status summed = aggregate(matches, cells, bad);
  if (summed == Status::unknown_model && players < 0 && looked < matches.i.size()) {
    matches.players = most(matches.i.size());
    summed = aggregate(matches, cells, bad);
  }
  if (summed != Status::ok) explain(summed, matches, bad);
  const BradleyTerryOptions options{
      .ties = ties == "half" ? Ties::half : Ties::davidson, .prior = prior, .prior_for_all = prior_for_all};
  Status fitted = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    fitted = out->fit(std::move(cells), options);
  }
  if (fitted == Status::wrong_length)
    throw py::value_error("i is empty, or every weight is 0: there is no match to fit");
  if (fitted == Status::out_of_range)
    throw py::value_error("score must be 0, 0.5 or 1 with ties='davidson'; other scores need ties='half'");
  if (fitted == Status::no_maximum && matches.columns > 0) {
    throw py::value_error(
        "covariates are not determined by the matches: a column is constant zero, follows from the players or other "
        "columns, or separates wins from losses");
  }
  check(fitted, "Bradley-Terry fit");
  return out;
}

py::tuple errors(const NamedFit& fit) {
  BradleyTerry::Errors out;
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    status = fit.errors(out);
  }
  check(status, "standard errors");
  return py::make_tuple(copy(out.model), copy(out.sandwich), out.exact);
}

py::tuple contrast(const NamedFit& fit, std::int32_t a, std::int32_t b) {
  BradleyTerry::Contrast out{};
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    status = fit.contrast(a, b, out);
  }
  check(status, "contrast");
  return py::make_tuple(out.difference, out.model, out.sandwich);
}

py::tuple ranks(const NamedFit& fit, double z) {
  const auto n = static_cast<py::ssize_t>(fit.players());
  py::array_t<std::int32_t> best(n), worst(n);
  const std::span<std::int32_t> to_best{best.mutable_data(), fit.players()},
      to_worst{worst.mutable_data(), fit.players()};
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    status = fit.ranks(z, to_best, to_worst);
  }
  check(status, "ranks");
  return py::make_tuple(best, worst);
}

py::array_t<double> bootstrap(const NamedFit& fit, std::int64_t rounds, std::uint64_t seed) {
  if (rounds < 1) throw py::value_error("rounds is " + std::to_string(rounds) + ", must be at least 1");
  const auto width = static_cast<py::ssize_t>(fit.players() + fit.cells().columns + 1);
  py::array_t<double> out({static_cast<py::ssize_t>(rounds), width});
  const std::span<double> to{out.mutable_data(), static_cast<std::size_t>(out.size())};
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    status = fit.bootstrap(static_cast<std::size_t>(rounds), seed, to);
  }
  check(status, "bootstrap");
  return out;
}

py::array_t<double> probability(const NamedFit& fit, std::int32_t i, std::int32_t j,
                                const std::vector<double>& covariates) {
  double out[3];
  const auto known = [&](std::int32_t k) { return k >= 0 && static_cast<std::size_t>(k) < fit.players(); };
  if (!known(i) || !known(j)) throw py::key_error("no player has the id " + std::to_string(known(i) ? j : i));
  if (covariates.size() != fit.cells().columns) {
    throw py::value_error("covariates has length " + std::to_string(covariates.size()) + ", the fit has " +
                          std::to_string(fit.cells().columns));
  }
  fit.probabilities(i, j, covariates, out);
  return copy(out);
}

// Games and points of each player, as weights.
py::tuple records(const NamedFit& fit) {
  const PairCells& cells = fit.cells();
  std::vector<double> games(fit.players()), points(fit.players());
  for (std::size_t c = 0; c < cells.size(); ++c) {
    const auto i = static_cast<std::size_t>(cells.i[c]), j = static_cast<std::size_t>(cells.j[c]);
    games[i] += cells.n[c];
    games[j] += cells.n[c];
    points[i] += cells.s[c];
    points[j] += cells.n[c] - cells.s[c];
  }
  return py::make_tuple(copy(games), copy(points));
}

}  // namespace

void bind_bradley_terry(py::module_& m) {
  py::class_<NamedFit>(m, "BradleyTerryFit", "Private: what stands behind fairlead.BradleyTerry.")
      .def(py::init(&fit), py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = py::none(),
           py::arg("covariates") = py::none(), py::arg("players") = -1, py::arg("ties") = "half",
           py::arg("prior") = 1.0, py::arg("prior_for_all") = false)
      .def("errors", &errors, "(model, sandwich, exact): standard errors of strengths, coefficients and log nu.")
      .def("contrast", &contrast, py::arg("a"), py::arg("b"),
           "(difference, variance by the model, variance by the sandwich).")
      .def("ranks", &ranks, py::arg("z"), "(best, worst) rank of each player, 0 for the unplayed.")
      .def("bootstrap", &bootstrap, py::arg("rounds"), py::arg("seed"),
           "float64 of shape (rounds, players + coefficients + 1).")
      .def("probability", &probability, py::arg("i"), py::arg("j"), py::arg("covariates"),
           "Of a win, a draw and a loss of i.")
      .def("records", &records, "(games, points) of each player, in weights.")
      .def_property_readonly(
          "names", [](const NamedFit& fit) { return fit.names; }, "By id, where the columns held names.")
      .def_property_readonly(
          "strengths", [](const NamedFit& fit) { return copy(fit.strengths()); }, "Centred log-strengths.")
      .def_property_readonly(
          "coefficients", [](const NamedFit& fit) { return copy(fit.coefficients()); }, "Of the covariates.")
      .def_property_readonly("tie_strength", &BradleyTerry::tie_strength, "Davidson's nu.")
      .def_property_readonly("ties_guarded", &BradleyTerry::ties_guarded, "Whether nu had no finite maximum.")
      .def_property_readonly(
          "standings",
          [](const NamedFit& fit) {
            std::vector<int> out;
            for (const Standing standing : fit.standings()) out.push_back(static_cast<int>(standing));
            return out;
          },
          "0 ok, 1 undefeated, 2 winless, 3 above, 4 below, 5 apart, 6 unplayed.")
      .def_property_readonly(
          "components",
          [](const NamedFit& fit) {
            return std::vector<std::int32_t>(fit.components().begin(), fit.components().end());
          },
          "Number of each player's component.")
      .def_property_readonly(
          "matches", [](const NamedFit& fit) { return fit.cells().matches; }, "How many were given.")
      .def_property_readonly(
          "pairs", [](const NamedFit& fit) { return fit.cells().size(); }, "How many were left after summing.")
      .def_property_readonly("iterations", &BradleyTerry::iterations, "Steps of Newton's method.")
      .def_property_readonly("log_likelihood", &BradleyTerry::log_likelihood, "Of the matches.")
      .def_property_readonly("deviance", &BradleyTerry::deviance, "From a perfect fit to each pair.");
}

}  // namespace fairlead::bindings
