#include "fairlead/spend.hpp"

#include "budget.hpp"

namespace fairlead::bindings {

namespace {

PyObject* spend_add(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const spend = native<Spend>(self);
  if (spend == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("add", args, n, 2, 11);
    const Time time = arguments.integer(1);
    const Usage usage{.input = arguments.integer(6, 0),
                      .output = arguments.integer(7, 0),
                      .cached = arguments.integer(8, 0),
                      .written = arguments.integer(9, 0)};
    Nanos cost = 0;
    if (arguments.given(0)) check_amount(cost = arguments.integer(0), "cost");
    const Status status =
        spend->add(where_of(arguments, 2), time, arguments.given(0) ? &cost : nullptr, usage, arguments.truth(10, false));
    if (status == Status::out_of_range) {
      throw py::value_error("tokens (" + std::to_string(usage.input) + " in, " + std::to_string(usage.output) + " out, " +
                            std::to_string(usage.cached) + " cached, " + std::to_string(usage.written) +
                            " written): none may be negative, and only what is in can be cached or written");
    }
    check(status);
    return Py_NewRef(Py_None);
  });
}

PyMethodDef methods[] = {
    fast_method("add", spend_add,
                "add($self, cost, time, model=None, tier=None, category=None, type=None, input=0, output=0, cached=0, "
                "written=0, failed=False, /)\n--\n\nA call: nano-dollars (None: not known), nanoseconds, ids, tokens."),
};

Scope scope_of(int scope) {
  if (scope < 0 || scope > static_cast<int>(Scope::type)) throw py::value_error("scope is " + std::to_string(scope));
  return static_cast<Scope>(scope);
}

py::tuple row(const SpendDay& d) {
  return py::make_tuple(d.day, d.calls, d.unpriced, d.failed, d.input, d.output, d.cached, d.written, d.cost);
}

py::bytes snapshot(const Spend& spend) { return spend.snapshot(); }
Spend restored(const py::bytes& state) {
  Spend spend;
  check(spend.restore(std::string(state)), "state");
  return spend;
}

}  // namespace

void bind_spend(py::module_& m) {
  auto cls =
      py::class_<Spend>(m, "Spend", R"(What was spent, by ids and days, in nano-dollars; `fairlead.Spend` has names, and dollars.

Rows are (day, calls, unpriced, failed, tokens in, out, cached, written, cost). Scopes: 0 all, 1 model, 2 tier, 3 category,
4 task type.

>>> from fairlead._core import Spend
>>> spend = Spend()
>>> spend.add(250, 0, 3, None, None, None, 100, 20)
>>> spend.total(1, 3)
(0, 1, 0, 0, 100, 20, 0, 0, 250))")
          .def(py::init([](const Calendar& calendar, std::int32_t days, std::int32_t max_ids, std::int32_t memory) {
                 const SpendOptions options{days, max_ids, memory};
                 check(Spend::check(options), "days, max_ids or memory");
                 return Spend(calendar, options);
               }),
               py::arg("calendar") = Calendar(), py::kw_only(), py::arg("days") = SpendOptions().days,
               py::arg("max_ids") = SpendOptions().max_ids, py::arg("memory") = SpendOptions().memory)
          .def("ids", [](const Spend& s, int scope) { return s.ids(scope_of(scope)); }, py::arg("scope"),
               "Ids of a scope run from 0 to here.")
          .def_property_readonly("other", &Spend::other, "The id that ids too high to be kept apart count as.")
          .def("days",
               [](const Spend& s, int scope, std::int32_t id) {
                 py::list out;
                 for (const SpendDay& day : s.days(scope_of(scope), id)) out.append(row(day));
                 return out;
               },
               py::arg("scope"), py::arg("id") = 0, "The days on which there were calls, in order.")
          .def("older", [](const Spend& s, int scope, std::int32_t id) { return row(s.older(scope_of(scope), id)); },
               py::arg("scope"), py::arg("id") = 0, "The sum of the days that are no longer kept apart.")
          .def("sum",
               [](const Spend& s, int scope, std::int32_t id, std::int64_t from, std::int64_t to) {
                 return row(s.sum(scope_of(scope), id, from, to));
               },
               py::arg("scope"), py::arg("id"), py::arg("first"), py::arg("end"), "The sum over the days [first, end).")
          .def("total", [](const Spend& s, int scope, std::int32_t id) { return row(s.total(scope_of(scope), id)); },
               py::arg("scope"), py::arg("id") = 0, "The sum over all days.")
          .def("call_cost",
               [](const Spend& s, ModelId model, int context, std::int32_t id) {
                 const CallCost c = s.call_cost(model, scope_of(context), id);
                 return py::make_tuple(c.calls, c.cost, c.lately, c.answer);
               },
               py::arg("model"), py::arg("context") = 0, py::arg("id") = 0,
               "What a model costs a call, overall, in a category (3) or in a task type (4): calls, nano-dollars,\n"
               "nano-dollars a call lately, output tokens a call lately.")
          .def_property(
              "calendar", &Spend::calendar, [](Spend& s, const Calendar& c) { s.set_calendar(c); },
              "Where days start; may be replaced by one that reaches further.")
          .def("snapshot", &snapshot, "The state as bytes, checked and versioned; see restore.")
          .def_static("restore", &restored, py::arg("state"),
                      "An object that goes on where snapshot() was taken. Raises ValueError for bytes that are none of "
                      "its own.")
          .def(py::pickle(&snapshot, &restored));
  for (PyMethodDef& method : methods) attach(cls, method);
}

}  // namespace fairlead::bindings
