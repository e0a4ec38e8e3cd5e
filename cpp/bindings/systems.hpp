// What Glicko-2, Weng-Lin and TrueSkill have in common beside bindings/ratings.hpp: options that are numbers in a
// range.
#pragma once

#include <optional>
#include <string>

#include "ratings.hpp"

namespace fairlead::bindings {

inline void check_range(const char* name, double x, double low, double high, const char* range) {
  if (!(x >= low && x <= high)) throw py::value_error(std::string(name) + " is " + show(x) + ", outside " + range);
}
inline void check_start(const char* name, double x) { check_range(name, x, -1e9, 1e9, "[-1e9, 1e9]"); }
inline void check_spread(const char* name, double x) { check_range(name, x, 1e-6, 1e6, "[1e-6, 1e6]"); }
inline void check_drift(double tau) { check_range("tau", tau, 0.0, 1e6, "[0, 1e6]"); }

template <class S>
std::optional<std::int64_t> period_of(const Named<S>& named) {
  const std::int64_t period = named.ratings.system().options().period;
  return period == 0 ? std::nullopt : std::optional(period);
}

// An option that can be read: `get` of the system's options.
template <class S, class Class, class Get>
void bind_option(Class& cls, const char* name, Get get, const char* doc) {
  cls.def_property_readonly(name, [get](const Named<S>& named) { return get(named.ratings.system().options()); }, doc);
}

// `ratings["a"] = x` sets the first number of a state, whose member is `rating`; the others stay.
template <class S, class Class>
void bind_setting(Class& cls, double S::State::* rating) {
  cls.def("__setitem__", [rating](Named<S>& named, const py::str& name, double x) {
    check_start("rating", x);
    const Player i = named.ratings.id(utf8(name.ptr()));
    auto state = named.ratings.state(i);
    state.*rating = x;
    named.ratings.put(i, state);
  });
}

}  // namespace fairlead::bindings
