#include "players.hpp"

#include "arrow.hpp"

namespace fairlead::bindings {

namespace {

[[noreturn]] void bad_row(const char* argument, std::size_t row, PyObject* value) {
  throw py::type_error(std::string(argument) + "[" + std::to_string(row) + "] is " +
                       py::repr(value).cast<std::string>() + ", must be a name (str) or an id (int)");
}

constexpr std::int32_t unmapped = -2;  // a category that no row so far belongs to

}  // namespace

void Players::missing(const char* argument, std::size_t row) const {
  throw py::value_error(std::string(argument) + "[" + std::to_string(row) + "] is missing: " + why_none_);
}

// str objects are borrowed from a list or an array that nothing changes meanwhile, so that they can be told by address.
bool Players::from_objects(PyObject* const* values, std::size_t n, const char* argument, Ids& out, bool plain) {
  struct Slot {
    PyObject* name = nullptr;
    std::int32_t id = -1;
  };
  const int bits = n >= 16384 ? 16 : 10;
  std::vector<Slot> slots(std::size_t{1} << bits);
  constexpr std::size_t window = 65'536;
  std::size_t misses = 0, since = 0;
  bool cache = true;  // of no use where every row has a str of its own: until so many misses came in less than twice as
                      // many rows
  out.resize(n);
  for (std::size_t k = 0; k < n; ++k) {
    PyObject* const value = values[k];
    Slot& slot = slots[(static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(value)) * 0x9e3779b97f4a7c15u) >>
                       (64 - bits)];
    if (slot.name == value) {
      out[k] = slot.id;
      continue;
    }
    if (value != nullptr && PyUnicode_CheckExact(value)) {
      out[k] = id(utf8(value));
      if (cache) slot = {value, out[k]};
      if (++misses == window) {
        cache = k - since > 2 * window;
        misses = 0;
        since = k;
      }
    } else if (value != nullptr && small_int(value, out[k])) {
      if (out[k] >= names_.size()) stray_ = out[k];
    } else if (plain) {
      return false;
    } else {
      if (value != nullptr && PyUnicode_Check(value)) {
        out[k] = id(utf8(value));
      } else if (value != nullptr && PyIndex_Check(value)) {
        int overflow = 0;
        const long long wide = PyLong_AsLongLongAndOverflow(value, &overflow);
        if (wide == -1 && PyErr_Occurred()) throw py::error_already_set();
        out[k] = overflow == 0 && wide >= 0 && wide <= 0x7fffffff ? static_cast<std::int32_t>(wide) : -1;
        if (out[k] >= names_.size()) stray_ = out[k];
      } else {
        bad_row(argument, k, value != nullptr ? value : Py_None);
      }
    }
  }
  return true;
}

// Categories are looked up when a row first belongs to them: those that never occur are no players.
bool Players::from_arrow(py::handle given, const char* argument, Ids& out) {
  const auto wanted = [](const arrow::Schema& schema) {
    return arrow::is_text(schema.dictionary != nullptr ? schema.dictionary->format : schema.format);
  };
  return arrow::chunks(given, wanted, [&](const arrow::Schema& schema, const arrow::Array& array) {
    const std::size_t before = out.size();
    out.reserve(before + static_cast<std::size_t>(array.length));
    if (schema.dictionary == nullptr) {
      const arrow::Texts texts(schema.format, array);
      for (std::int64_t row = 0; row < array.length; ++row) {
        if (array.is_null(row)) missing(argument, out.size());
        out.push_back(id(texts[row]));
      }
      return;
    }
    const arrow::Texts texts(schema.dictionary->format, *array.dictionary);
    Ids map(static_cast<std::size_t>(array.dictionary->length), unmapped);
    arrow::integers(schema.format[0], array, [&](const auto* codes) {
      for (std::int64_t row = 0; row < array.length; ++row) {
        const auto code = static_cast<std::int64_t>(codes[row]);
        if (array.is_null(row) || code < 0 || code >= array.dictionary->length) missing(argument, out.size());
        std::int32_t& mapped = map[static_cast<std::size_t>(code)];
        if (mapped == unmapped) {
          if (array.dictionary->is_null(code)) missing(argument, out.size());
          mapped = id(texts[code]);
        }
        out.push_back(mapped);
      }
    });
  });
}

// pandas: a Categorical, or a Series or an Index of one.
bool Players::from_categories(py::handle given, const char* argument, Ids& out) {
  const py::object values =
      py::hasattr(given, "array") ? py::object(given.attr("array")) : py::reinterpret_borrow<py::object>(given);
  if (!py::hasattr(values, "codes") || !py::hasattr(values, "categories")) return false;
  const Array<std::int32_t> codes = numbers<std::int32_t>(values.attr("codes"), argument, 1, "iu");
  const py::tuple categories(values.attr("categories").attr("tolist")());
  Ids map(categories.size(), unmapped);
  out.resize(static_cast<std::size_t>(codes.size()));
  for (std::size_t row = 0; row < out.size(); ++row) {
    const std::int32_t code = codes.data()[row];
    if (code < 0 || static_cast<std::size_t>(code) >= map.size()) missing(argument, row);
    std::int32_t& mapped = map[static_cast<std::size_t>(code)];
    if (mapped == unmapped) {
      Ids one;
      PyObject* const name = PyTuple_GET_ITEM(categories.ptr(), code);
      from_objects(&name, 1, argument, one, false);
      mapped = one[0];
    }
    out[row] = mapped;
  }
  return true;
}

void Players::order_of_play(std::span<const std::int32_t> i, std::span<const std::int32_t> j) {
  const std::int32_t known = names_.size(), added = newcomers_.size();
  if (added == 0) return;
  // An id that was not given out yet must not come to mean one of the newcomers.
  for (const auto& ids : held_) {
    for (const std::int32_t id : view(ids)) stray_ = id >= known ? id : stray_;
  }
  if (stray_ >= 0) throw py::key_error("no player has the id " + std::to_string(stray_) + "; get ids from id(name)");
  Ids place(static_cast<std::size_t>(added), -1);
  NameTable ordered;
  for (std::size_t k = 0; k < i.size() && ordered.size() < added; ++k) {
    for (const std::int32_t id : {i[k], k < j.size() ? j[k] : -1}) {
      if (id < known || id >= known + added || place[static_cast<std::size_t>(id - known)] >= 0) continue;
      place[static_cast<std::size_t>(id - known)] = ordered.size();
      (void)ordered.intern(newcomers_.name(id - known));
    }
  }
  for (Ids& ids : owned_) {
    for (std::int32_t& id : ids) {
      if (id >= known && id < known + added) id = known + place[static_cast<std::size_t>(id - known)];
    }
  }
  newcomers_ = std::move(ordered);
}

std::span<const std::int32_t> Players::column(py::handle given, const char* argument) {
  if (PyList_CheckExact(given.ptr()) || PyTuple_CheckExact(given.ptr())) {
    Ids& out = owned_.emplace_back();
    if (PyList_CheckExact(given.ptr())) {  // all str and int: no Python runs, so that the list stays what it is
      const auto n = static_cast<std::size_t>(PyList_GET_SIZE(given.ptr()));
      if (from_objects(PySequence_Fast_ITEMS(given.ptr()), n, argument, out, true)) return out;
    }
    // A tuple of our own: an __index__ of a value could change the list.
    const auto values = py::reinterpret_steal<py::tuple>(PySequence_Tuple(given.ptr()));
    if (!values) throw py::error_already_set();
    from_objects(PySequence_Fast_ITEMS(values.ptr()), values.size(), argument, out, false);
    return out;
  }
  if (py::isinstance<py::array>(given)) {
    const auto array = py::reinterpret_borrow<py::array>(given);
    const char kind = array.dtype().kind();
    if (array.ndim() == 1 && (kind == 'O' || kind == 'U' || kind == 'T'))
      return column(array.attr("tolist")(), argument);
    held_.push_back(ids(given, argument));
    return view(held_.back());
  }
  Ids& out = owned_.emplace_back();
  if (from_categories(given, argument, out) || from_arrow(given, argument, out)) return out;
  if (PyUnicode_Check(given.ptr())) {
    throw py::type_error(std::string(argument) +
                         " is one str, must be a column of names or ids; use update for one match");
  }
  py::object array = py::array::ensure(given);
  if (!array) {
    PyErr_Clear();
    throw py::type_error(std::string(argument) + " is " + py::repr(py::type::of(given)).cast<std::string>() +
                         ", must be a column of names (str) or ids (int)");
  }
  return column(array, argument);
}

}  // namespace fairlead::bindings
