#include <utility>

#include "ratings.hpp"

namespace fairlead::bindings {

namespace {

// Matches of a rating period, until it ends.
struct RatingPeriod {
  py::object ratings;
  py::list i{}, j{}, score{}, weight{}, time{};
  bool timed = false;
};

}  // namespace

void bind_period(py::module_& m) {
  py::class_<RatingPeriod>(
      m, "RatingPeriod", R"(The matches of one rating period: made by `period()` of a rating class, for a `with` block.

At the end of the block all are rated from the ratings before it; if the block raises, none is. Either way it is empty
then, and may begin another block.

>>> import fairlead as fl
>>> ratings = fl.Elo(k=32)
>>> with ratings.period() as period:
...     period.update("a", "b", 1.0)
...     period.update("a", "b", 1.0)
>>> ratings["a"]
1532.0)")
      .def(py::init([](const py::object& ratings) {
             RatingPeriod period;
             period.ratings = ratings;
             return period;
           }),
           py::arg("ratings"))
      .def(
          "update",
          [](RatingPeriod& period, const py::object& i, const py::object& j, double score, double weight,
             const py::object& time) {
            const Time at = as_time(time, "time");
            period.i.append(i);
            period.j.append(j);
            period.score.append(score);
            period.weight.append(weight);
            period.time.append(at);
            period.timed = period.timed || at != no_time;
          },
          py::arg("i"), py::arg("j"), py::arg("score"), py::arg("weight") = 1.0, py::arg("time") = py::none(),
          "One match, as update of the rating class takes it; checked when the period ends.")
      .def("__len__", [](const RatingPeriod& period) { return period.i.size(); })
      .def("__enter__", [](py::object self) { return self; })
      .def("__exit__", [](RatingPeriod& period, const py::object& error, const py::object&, const py::object&) {
        RatingPeriod ended{.ratings = period.ratings};
        std::swap(ended, period);  // which is empty again, for another block
        if (!error.is_none()) return;
        ended.ratings.attr("update_period")(ended.i, ended.j, ended.score, ended.weight,
                                            ended.timed ? py::object(ended.time) : py::none());
      });
}

}  // namespace fairlead::bindings
