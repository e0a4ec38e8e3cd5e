#include "fairlead/sweep.hpp"

#include "fairlead/ratings.hpp"
#include "fairlead/simd.hpp"
#include "ratings.hpp"

namespace fairlead::bindings {

namespace {

[[noreturn]] void bad(const char* name, const std::string& value, const char* rule, std::size_t match) {
  throw py::value_error(std::string(name) + " is " + value + ", " + rule + " (match " + std::to_string(match) + ")");
}

void check_matches(const Matches& m, std::size_t players, std::span<const double> each) {
  for (std::size_t k = 0; k < m.size(); ++k) {
    for (const auto& [name, id] : {std::pair("i", m.i[k]), std::pair("j", m.j[k])}) {
      if (id < 0) bad(name, "no id", "must be an id from 0 on", k);
      if (static_cast<std::size_t>(id) >= players) bad(name, std::to_string(id), "not below players", k);
    }
    if (m.i[k] == m.j[k]) bad("i", std::to_string(m.i[k]), "the same as j: a contest needs two players", k);
    if (!m.weight.empty() && !(m.weight[k] >= 0.0 && m.weight[k] <= max_match_weight)) {
      bad("weight", show(m.weight[k]), "outside [0, 1e6]", k);
    }
  }
  const std::size_t sets = each.empty() || m.size() == 0 ? 1 : each.size() / m.size();
  const auto scores = each.empty() ? m.score : each;
  for (std::size_t k = 0; k < scores.size(); ++k) {
    if (!(scores[k] >= 0.0 && scores[k] <= 1.0)) bad("score", show(scores[k]), "outside [0, 1]", k / sets);
  }
}

py::tuple run(py::handle i, py::handle j, py::handle score, py::handle k, py::handle scale, py::handle home,
              py::handle start, py::handle weight, py::ssize_t players_given, py::ssize_t skip) {
  const NameTable nobody;
  Players columns(nobody);
  Matches matches;
  matches.i = columns.column(i, "i");
  matches.j = columns.column(j, "j");
  const auto n = static_cast<py::ssize_t>(matches.size());
  check_length(static_cast<py::ssize_t>(matches.j.size()), "j", n, "i");
  try {
    columns.order_of_play(matches.i, matches.j);
  } catch (const py::key_error&) {
    throw py::type_error("i and j hold names and ids, must hold either");
  }
  const Array<double> ks = numbers<double>(k, "k"), scales = numbers<double>(scale, "scale"),
                      homes = numbers<double>(home, "home"), starts = numbers<double>(start, "start");
  std::vector<SweepSet> sets;
  for (py::ssize_t s = 0; s < ks.size(); ++s) {
    check_elo_options(ks.at(s), scales.at(s), starts.at(s));
    if (!(std::abs(homes.at(s)) <= 1e9))
      throw py::value_error("home is " + show(homes.at(s)) + ", outside [-1e9, 1e9]");
    sets.push_back({.k = ks.at(s), .scale = scales.at(s), .home = homes.at(s), .start = starts.at(s)});
  }
  const py::array any = py::array::ensure(score);
  const bool each = any && any.ndim() == 2;
  const Array<double> scores = numbers<double>(score, "score", each ? 2 : 1);
  check_length(scores.shape(0), "score", n, "i");
  if (each && scores.shape(1) != ks.size()) {
    throw py::value_error("score has " + std::to_string(scores.shape(1)) + " columns, there are " +
                          std::to_string(ks.size()) + " sets of parameters");
  }
  if (!each) matches.score = view(scores);
  Array<double> weights;
  if (!weight.is_none()) {
    weights = numbers<double>(weight, "weight");
    check_length(weights.size(), "weight", n, "i");
    matches.weight = view(weights);
  }
  const bool named = columns.newcomers().size() > 0;
  std::size_t players = static_cast<std::size_t>(columns.newcomers().size());
  if (named && players_given >= 0)
    throw py::value_error("players is given, but i and j hold names, which tell how many there are");
  if (!named && players_given >= 0) players = static_cast<std::size_t>(players_given);
  if (!named && players_given < 0) {
    for (const auto& column : {matches.i, matches.j}) {
      for (const Player id : column) players = std::max(players, id < 0 ? 0 : static_cast<std::size_t>(id) + 1);
    }
  }
  if (players > std::size_t{1} << 26)
    throw py::value_error("i or j holds the id " + std::to_string(players - 1) + ": ids must be below 2^26");
  if (skip < 0) throw py::value_error("skip is " + std::to_string(skip) + ", must not be negative");
  const auto each_scores = each ? view(scores) : std::span<const double>();
  check_matches(matches, players, each_scores);

  const auto count = static_cast<py::ssize_t>(sets.size());
  py::array_t<double> ratings({count, static_cast<py::ssize_t>(players)}), log_loss(count), brier(count);
  std::vector<SweepLoss> losses(sets.size());
  const std::span<double> out(ratings.mutable_data(), sets.size() * players);
  sweep(matches, players, sets, each_scores, static_cast<std::size_t>(skip), out, losses);
  for (py::ssize_t s = 0; s < count; ++s) {
    log_loss.mutable_at(s) = losses[static_cast<std::size_t>(s)].log_loss;
    brier.mutable_at(s) = losses[static_cast<std::size_t>(s)].brier;
  }
  py::object names = py::none();
  if (named) {
    py::list all;
    for (std::int32_t p = 0; p < columns.newcomers().size(); ++p) all.append(columns.newcomers().name(p));
    names = all;
  }
  return py::make_tuple(ratings, log_loss, brier, names);
}

}  // namespace

void bind_sweep(py::module_& m) {
  m.def("sweep", &run, py::arg("i"), py::arg("j"), py::arg("score"), py::arg("k"), py::arg("scale"), py::arg("home"),
        py::arg("start"), py::arg("weight"), py::arg("players"), py::arg("skip"),
        "Elo with one set of parameters a place of k, scale, home and start: (ratings, log_loss, brier, names). See "
        "fairlead.sweep.");
}

}  // namespace fairlead::bindings
