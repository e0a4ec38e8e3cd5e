#include <algorithm>
#include <array>

#include "arrays.hpp"
#include "common.hpp"
#include "drift.hpp"
#include "fairlead/drift.hpp"
#include "fairlead/tails.hpp"

namespace fairlead::bindings {

namespace {

KeyedPsi make(py::handle reference, std::int64_t window, std::int64_t bins) {
  check_size(window, "window");
  const auto wide = static_cast<std::size_t>(window);
  if (py::isinstance<Psi>(reference)) return KeyedPsi(StreamingPsi(reference.cast<const Psi&>(), wide));
  if (!py::isinstance<py::int_>(reference) || py::isinstance<py::bool_>(reference)) {
    throw py::type_error("reference is " + py::repr(reference).cast<std::string>() +
                         ", must be a number of values or a Psi");
  }
  const auto first = reference.cast<std::int64_t>();
  check_size(first, "reference");
  check_bins(bins);
  return KeyedPsi(StreamingPsi(static_cast<std::size_t>(first), wide, static_cast<std::size_t>(bins)));
}

KeyedPsi::Key known(const KeyedPsi& keyed, std::int64_t given) {
  if (given < 0 || static_cast<std::uint64_t>(given) >= keyed.size()) {
    throw py::key_error("no key has the id " + std::to_string(given) + "; get ids from id(name)");
  }
  return static_cast<KeyedPsi::Key>(given);
}

PyObject* keyed_id(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const keyed = native<KeyedPsi>(self);
  if (keyed == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("id", args, n, 1, 1);
    Py_ssize_t length = 0;
    const char* const name = PyUnicode_AsUTF8AndSize(args[0], &length);
    if (name == nullptr) throw py::error_already_set();
    return PyLong_FromLong(keyed->id({name, static_cast<std::size_t>(length)}));
  });
}

PyObject* keyed_update(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const keyed = native<KeyedPsi>(self);
  if (keyed == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("update", args, n, 2, 2);
    const double x = arguments.real(1);
    keyed->update(known(*keyed, arguments.integer(0)), x);
    return Py_NewRef(Py_None);
  });
}

PyObject* keyed_index(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const keyed = native<KeyedPsi>(self);
  if (keyed == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("index", args, n, 1, 1);
    return PyFloat_FromDouble(keyed->index(known(*keyed, arguments.integer(0))));
  });
}

PyMethodDef methods[] = {
    fast_method(
        "id", keyed_id,
        "id($self, name, /)\n--\n\nThe id of a key, which is added if new. Look it up once, then use it in update.\n\n"
        ">>> import fairlead as fl\n>>> psi = fl.KeyedPsi()\n>>> psi.id('gpt-4o'), psi.id('local'), "
        "psi.id('gpt-4o')\n(0, 1, 0)"),
    fast_method("update", keyed_update,
                "update($self, key, x, /)\n--\n\nOne value of a key (an id). NaN has a bin of its own. Raises KeyError "
                "for an unknown id.\n\n"
                ">>> import fairlead as fl\n>>> psi = fl.KeyedPsi()\n>>> psi.update(psi.id('local'), 0.7)\n"
                ">>> psi.rows()[0]['n']  # in the window; the first values are the reference\n0"),
    fast_method("index", keyed_index,
                "index($self, key, /)\n--\n\nThe index of a key (an id), NaN while there is too little to compare. "
                "Raises KeyError for an unknown id.\n\n"
                ">>> import fairlead as fl\n>>> psi = fl.KeyedPsi(fl.Psi([1.0, 2.0, 3.0, 4.0], bins=2), window=2)\n"
                ">>> psi.update_many([psi.id('a')] * 2, [1.0, 3.0])\n>>> psi.index(psi.id('a'))\n0.0"),
};

void update_many(KeyedPsi& keyed, py::handle keys, py::handle x) {
  const auto which = ids(keys, "keys");
  const auto values = numbers<double>(x, "x");
  check_length(values.size(), "x", which.size(), "keys");
  const auto key = view(which);
  for (std::size_t i = 0; i < key.size(); ++i) {
    if (!keyed.has(key[i]))
      throw py::key_error("keys[" + std::to_string(i) + "] is no id of a key; get ids from id(name)");
  }
  // The GIL stays: another thread could add keys meanwhile. It can still write to the arrays, as numpy fills without
  // the GIL; so each id that is used is one that was copied here and then checked.
  const auto value = view(values);
  std::array<KeyedPsi::Key, 512> block;
  for (std::size_t start = 0; start < key.size(); start += block.size()) {
    const auto part = key.subspan(start, std::min(block.size(), key.size() - start));
    std::copy(part.begin(), part.end(), block.begin());
    for (std::size_t i = 0; i < part.size(); ++i) {
      if (!keyed.has(block[i])) throw py::value_error("keys was written to while it was read");
    }
    for (std::size_t i = 0; i < part.size(); ++i) keyed.update(block[i], value[start + i]);
  }
}

py::list rows(const KeyedPsi& keyed) {
  py::list out;
  for (KeyedPsi::Key key = 0; keyed.has(key); ++key) {
    const StreamingPsi& one = keyed[key];
    const double index = keyed.index(key);
    double corrected = nan, p = nan;
    if (one.ready()) {
      double before = 0.0, now = 0.0, bins = 0.0;
      for (std::size_t b = 0; b < one.psi().size(); ++b) {
        const auto there = one.psi().reference()[b];
        before += static_cast<double>(there);
        now += static_cast<double>(one.counts()[b]);
        bins += there > 0 || one.counts()[b] > 0 ? 1.0 : 0.0;
      }
      const double scale = 1.0 / before + 1.0 / now;
      corrected = index - scale * (bins - 1.0);
      p = chi2_tail(index / scale, bins - 1.0);
    }
    using namespace py::literals;
    out.append(py::dict("key"_a = keyed.names().name(key), "n"_a = one.size(), "psi"_a = index,
                        "psi_corrected"_a = corrected, "p_value"_a = p));
  }
  return out;
}

py::list names(const KeyedPsi& keyed) {
  py::list out;
  for (std::int32_t key = 0; key < keyed.names().size(); ++key) out.append(keyed.names().name(key));
  return out;
}

void merge(KeyedPsi& keyed, const KeyedPsi& later) {
  if (&keyed == &later) throw py::value_error("later is the same object");
  KeyedPsi::Key wrong = NameTable::absent;
  const Status status = keyed.merge(later, wrong);
  if (status == Status::ok) return;
  if (status == Status::out_of_range) {
    throw py::value_error(
        "later holds the key " + py::repr(py::str(later.names().name(wrong))).cast<std::string>() +
        ", which is here too, with a reference of its own fitted: one reference given to both could be merged");
  }
  throw py::value_error("later has another reference, window or number of bins");
}

py::bytes snapshot(const KeyedPsi& keyed) { return keyed.snapshot(); }

KeyedPsi restored(const py::bytes& state) {
  KeyedPsi keyed{StreamingPsi()};
  check(keyed.restore(std::string(state)), "state");
  return keyed;
}

}  // namespace

void bind_keyed_psi(py::module_& m) {
  auto cls =
      py::class_<KeyedPsi>(
          m, "KeyedPsi", R"(PSI of the last `window` values of each key, a few nanoseconds an event and a byte a value.

reference: a fitted Psi, shared by all keys, or how many first values of a key are its own reference; window: values compared;
bins: 2 to 255 quantile bins of a reference of a key's own. The index is NaN until the reference is complete and the window full.
merge, snapshot and pickle carry the whole state. Raises ValueError for sizes out of range.
Source: see Psi.

>>> import fairlead as fl
>>> psi = fl.KeyedPsi(fl.Psi([i % 10 for i in range(1000)]), window=50)
>>> calm, moved = psi.id('calm'), psi.id('moved')
>>> psi.update_many([calm] * 50, [i % 10 for i in range(50)])
>>> psi.update_many([moved] * 50, [i % 3 for i in range(50)])
>>> psi.index(calm) < 0.1, psi.index(moved) > 0.25
(True, True)
>>> [(row['key'], row['p_value'] < 0.01) for row in psi.rows()]
[('calm', False), ('moved', True)])")
          .def(py::init(&make), py::arg("reference") = 500, py::kw_only(), py::arg("window") = 500,
               py::arg("bins") = Psi::default_bins)
          .def("update_many", &update_many, py::arg("keys"), py::arg("x"),
               R"(Values in order, as many calls of update: integer ids and numbers, both of shape (n,).

Everything is checked first: an unknown id (KeyError) or unequal lengths (ValueError) leave all keys as they were.)")
          .def("rows", &rows,
               R"(For each key, in the order they came: key, n (values in the window), psi, psi_corrected, p_value.

psi_corrected is less what chance alone would give, (1/N + 1/M)(B - 1); p_value is the chance of such an index without
drift. Both are NaN while the index is.)")
          .def("merge", &merge, py::arg("later"),
               R"(As if the events of `later` had come after these: disjoint keys come over, those in both are joined.

A key in both can be joined where both were given the same reference, or `later` has not completed its own. Else, or for
another reference, window or number of bins, raises ValueError and changes nothing.)")
          .def("snapshot", &snapshot, "The state as bytes, checked and versioned; see restore.")
          .def_static("restore", &restored, py::arg("state"),
                      "An object that goes on where snapshot() was taken. Raises ValueError for bytes that are none of "
                      "its own.")
          .def(py::pickle(&snapshot, &restored))
          .def_property_readonly("names", &names,
                                 R"(The names of the keys, by id; iterating gives the same.

>>> import fairlead as fl
>>> psi = fl.KeyedPsi(fl.Psi([1.0, 2.0, 3.0, 4.0]), window=2)
>>> for name in ("gpt-4o", "local"):
...     _ = psi.id(name)
>>> psi.names, list(psi)
(['gpt-4o', 'local'], ['gpt-4o', 'local']))")
          .def("__iter__", [](const KeyedPsi& keyed) { return py::iter(names(keyed)); })
          .def("__repr__",
               [](const KeyedPsi& keyed) {
                 return "KeyedPsi(keys=" + std::to_string(keyed.size()) +
                        ", window=" + std::to_string(keyed.blank().window()) + ")";
               })
          .def("__len__", &KeyedPsi::size)
          .def("__contains__", [](const KeyedPsi& keyed, std::string_view name) {
            return keyed.names().find(name) != NameTable::absent;
          });
  for (PyMethodDef& method : methods) attach(cls, method);
}

}  // namespace fairlead::bindings
