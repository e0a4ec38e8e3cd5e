#include "fairlead/sliding.hpp"

#include <array>
#include <optional>
#include <utility>

#include "series.hpp"

namespace fairlead::bindings {

namespace {

constexpr std::pair<const char*, SlidingStat> stats[] = {
    {"count", SlidingStat::count}, {"rate", SlidingStat::rate},         {"sum", SlidingStat::sum},
    {"mean", SlidingStat::mean},   {"var", SlidingStat::var},           {"std", SlidingStat::std},
    {"skew", SlidingStat::skew},   {"kurt", SlidingStat::kurt},         {"min", SlidingStat::min},
    {"max", SlidingStat::max},     {"argmin", SlidingStat::argmin},     {"argmax", SlidingStat::argmax},
    {"median", SlidingStat::quantile}, {"quantile", SlidingStat::quantile}, {"rank", SlidingStat::rank},
    {"cov", SlidingStat::cov},     {"corr", SlidingStat::corr},         {"beta", SlidingStat::beta}};
constexpr std::pair<const char*, Closed> ends[] = {
    {"right", Closed::right}, {"left", Closed::left}, {"both", Closed::both}, {"neither", Closed::neither}};
constexpr std::pair<const char*, DecayStat> decays[] = {
    {"mean", DecayStat::mean}, {"var", DecayStat::var}, {"std", DecayStat::std}};

template <class T, std::size_t n>
T named(const std::string& given, const char* argument, const std::pair<const char*, T> (&known)[n]) {
  std::string all;
  for (const auto& [name, value] : known) {
    if (given == name) return value;
    all += std::string(all.empty() ? "'" : ", '") + name + "'";
  }
  throw py::value_error(std::string(argument) + " is " + py::repr(py::str(given)).cast<std::string>() +
                        ", must be one of " + all);
}

bool is_place(SlidingStat stat) { return stat == SlidingStat::argmin || stat == SlidingStat::argmax; }
bool is_pair(SlidingStat stat) {
  return stat == SlidingStat::cov || stat == SlidingStat::corr || stat == SlidingStat::beta;
}

// One row, or several of the same length.
struct Rows {
  Array<double> array;
  std::vector<py::ssize_t> shape;
  std::size_t rows, length;

  Rows(py::handle given, const char* name) {
    const py::array any = py::array::ensure(given);
    if (!any) PyErr_Clear();
    array = numbers<double>(given, name, any && any.ndim() == 2 ? 2 : 1);
    shape.assign(array.shape(), array.shape() + array.ndim());
    rows = shape.size() == 2 ? static_cast<std::size_t>(shape[0]) : 1;
    length = static_cast<std::size_t>(shape.back());
  }

  std::span<const double> row(std::size_t i) const { return {array.data() + i * length, length}; }
};

void refuse_nan(const Rows& x, const char* name) {
  for (std::size_t i = 0; i < x.rows * x.length; ++i) {
    if (x.array.data()[i] == x.array.data()[i]) continue;
    const std::string place =
        x.shape.size() == 2 ? std::to_string(i / x.length) + ", " + std::to_string(i % x.length) : std::to_string(i);
    throw py::value_error(std::string(name) + "[" + place + "] is NaN");
  }
}

std::optional<Array<Time>> ordered_times(py::handle given, std::size_t length) {
  if (given.is_none()) return std::nullopt;
  auto times = whole_times(given);
  check_length(times.size(), "times", static_cast<py::ssize_t>(length), "x");
  for (std::size_t i = 1; i < length; ++i) {
    const Time* const t = times.data();
    if (t[i] >= t[i - 1]) continue;
    throw py::value_error("times[" + std::to_string(i) + "] is " + std::to_string(t[i]) + ", before times[" +
                          std::to_string(i - 1) + "], which is " + std::to_string(t[i - 1]) +
                          ": times must not decrease");
  }
  return times;
}

template <class T>
py::array_t<T> target(py::handle out, const std::vector<py::ssize_t>& shape, const char* dtype) {
  if (out.is_none()) return py::array_t<T>(shape);
  if (!py::isinstance<py::array_t<T, py::array::c_style>>(out)) {
    const std::string found = py::isinstance<py::array>(out)
                                  ? "an array of " + py::str(out.attr("dtype")).cast<std::string>()
                                  : py::repr(py::type::of(out)).cast<std::string>();
    throw py::type_error("out is " + found + ", must be a C-contiguous " + dtype + " array");
  }
  auto array = py::reinterpret_borrow<py::array_t<T>>(out);
  if (!array.writeable()) throw py::value_error("out is read-only");
  if (std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()) != shape) {
    throw py::value_error("out has shape " + shape_of(array) + ", must have " +
                          py::str(py::tuple(py::cast(shape))).cast<std::string>());
  }
  return array;
}

std::vector<py::array> sliding(const std::vector<std::string>& names, py::handle x_, py::handle y_, py::handle times_,
                               std::int64_t count, Time span, const std::string& closed, std::int64_t min_periods,
                               const std::string& nans, double ddof, double q,
                               const std::optional<std::vector<py::object>>& outs) {
  SlidingOptions options;
  if ((count > 0) == (span > 0) || count < 0 || span < 0) {
    throw py::value_error("count is " + std::to_string(count) + " and span is " + std::to_string(span) +
                          " ns: exactly one must be positive");
  }
  if (min_periods < 0)
    throw py::value_error("min_periods is " + std::to_string(min_periods) + ", must not be negative");
  if (!(ddof >= 0.0 && std::isfinite(ddof)))
    throw py::value_error("ddof is " + show(ddof) + ", must be finite and at least 0");
  if (!(q >= 0.0 && q <= 1.0)) throw py::value_error("q is " + show(q) + ", outside [0, 1]");
  if (nans != "skip" && nans != "propagate" && nans != "raise") {
    throw py::value_error("nan is " + py::repr(py::str(nans)).cast<std::string>() +
                          ", must be one of 'skip', 'propagate', 'raise'");
  }
  options.count = static_cast<std::size_t>(count);
  options.span = span;
  options.closed = named(closed, "closed", ends);
  options.min_periods = static_cast<std::size_t>(min_periods);
  options.propagate = nans == "propagate";
  options.ddof = ddof;
  options.q = q;

  Rows x(x_, "x");
  std::optional<Rows> y;
  if (!y_.is_none()) {
    y.emplace(y_, "y");
    if (y->shape != x.shape)
      throw py::value_error("y has shape " + shape_of(y->array) + ", x has " + shape_of(x.array));
  }
  auto times = ordered_times(times_, x.length);
  if (times.has_value() != (span > 0))
    throw py::type_error(span > 0 ? "times are needed by a window of time"
                                  : "times are of no use to a window of samples");
  if (outs && outs->size() != names.size())
    throw py::value_error("out has " + std::to_string(outs->size()) + " arrays for " + std::to_string(names.size()) +
                          " statistics");
  if (nans == "raise") {
    refuse_nan(x, "x");
    if (y) refuse_nan(*y, "y");
  }
  std::vector<py::array> results;
  std::vector<SlidingTarget> targets;
  for (std::size_t i = 0; i < names.size(); ++i) {
    const SlidingStat stat = named(names[i], "stats", stats);
    if (is_pair(stat) != y.has_value())
      throw py::type_error(names[i] + (y ? " is of one row, but y is given" : " needs y"));
    for (const SlidingTarget& other : targets) {
      if (other.stat == stat) throw py::value_error("stats has " + names[i] + " twice");
    }
    if (names[i] == "median") options.q = 0.5;
    if (stat == SlidingStat::rate && span == 0) throw py::value_error("rate is of a window of time, not of samples");
    const py::handle out = outs ? py::handle((*outs)[i]) : py::handle(Py_None);
    SlidingTarget& to = targets.emplace_back();
    to.stat = stat;
    if (is_place(stat)) {
      auto array = target<std::int64_t>(out, x.shape, "int64");
      to.place = array.mutable_data();
      results.push_back(std::move(array));
    } else {
      auto array = target<double>(out, x.shape, "float64");
      to.number = array.mutable_data();
      results.push_back(std::move(array));
    }
  }
  for (std::size_t i = 0; i < results.size(); ++i) {
    const py::array& out = results[i];
    for (std::size_t k = 0; k < i; ++k) {
      if (!overlap(out.data(), out.nbytes(), results[k].data(), results[k].nbytes())) continue;
      throw py::value_error("out: the arrays of " + names[k] + " and " + names[i] + " overlap");
    }
    part(x.array, out);
    if (y) part(y->array, out);
    if (times) part(*times, out);
  }
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    Sliding work;
    for (std::size_t r = 0; r < x.rows && status == Status::ok; ++r) {
      status = work.row(x.row(r), y ? y->row(r) : std::span<const double>(),
                        times ? view(*times) : std::span<const Time>(), options, targets);
      for (SlidingTarget& to : targets) {
        if (to.number != nullptr) to.number += x.length;
        if (to.place != nullptr) to.place += x.length;
      }
    }
  }
  check(status);
  return results;
}

py::array decayed(const std::string& name, py::handle x_, py::handle times_, double alpha, double half_life,
                  bool adjust, bool ignore_nan, bool bias, std::int64_t min_periods, py::handle out) {
  const DecayStat stat = named(name, "stat", decays);
  Rows x(x_, "x");
  auto times = ordered_times(times_, x.length);
  if (times ? !(half_life > 0.0 && std::isfinite(half_life)) : !(alpha > 0.0 && alpha <= 1.0)) {
    throw py::value_error(times ? "half_life is " + show(half_life) + " ns, must be positive"
                                : "alpha is " + show(alpha) + ", outside (0, 1]");
  }
  if (times && !adjust) throw py::value_error("adjust is False, must be True with times");
  if (min_periods < 0)
    throw py::value_error("min_periods is " + std::to_string(min_periods) + ", must not be negative");
  const DecayOptions options{alpha, half_life, adjust, ignore_nan, bias, static_cast<std::size_t>(min_periods)};
  auto result = target<double>(out, x.shape, "float64");
  double* const to = result.mutable_data();
  part(x.array, result);
  if (times) part(*times, result);
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    for (std::size_t r = 0; r < x.rows && status == Status::ok; ++r) {
      status = decayed_row(x.row(r), times ? view(*times) : std::span<const Time>(), options, stat, to + r * x.length);
    }
  }
  check(status);
  return result;
}

}  // namespace

void bind_sliding(py::module_& m) {
  m.def("sliding", &sliding, py::arg("stats"), py::arg("x"), py::arg("y") = py::none(), py::arg("times") = py::none(),
        py::kw_only(), py::arg("count") = 0, py::arg("span") = 0, py::arg("closed") = "right",
        py::arg("min_periods") = 1, py::arg("nan") = "skip", py::arg("ddof") = 1.0, py::arg("q") = 0.5,
        py::arg("out") = py::none(), "Statistics of every window of a row or of several; see fairlead.rolling.");
  m.def("decayed", &decayed, py::arg("stat"), py::arg("x"), py::arg("times") = py::none(), py::kw_only(),
        py::arg("alpha") = 0.0, py::arg("half_life") = 0.0, py::arg("adjust") = true, py::arg("ignore_nan") = false,
        py::arg("bias") = false, py::arg("min_periods") = 1, py::arg("out") = py::none(),
        "Exponentially weighted statistics; see fairlead.rolling.");
}

}  // namespace fairlead::bindings
