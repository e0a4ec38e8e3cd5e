#include "fairlead/response_cache.hpp"

#include <pybind11/stl.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common.hpp"

namespace fairlead::bindings {

namespace {

// What a value was, as the mark of its entry.
constexpr std::uint8_t as_bytes = 0, as_text = 1, as_ascii = 2;

// The bytes of a str (UTF-8) or of bytes; they live as long as the object.
std::string_view text(PyObject* given, const char* name) {
  if (PyUnicode_Check(given)) {
    Py_ssize_t size = 0;
    const char* const utf8 = PyUnicode_AsUTF8AndSize(given, &size);  // refuses a surrogate that stands alone
    if (utf8 == nullptr) throw py::error_already_set();
    return {utf8, static_cast<std::size_t>(size)};
  }
  if (PyBytes_Check(given)) return {PyBytes_AS_STRING(given), static_cast<std::size_t>(PyBytes_GET_SIZE(given))};
  throw py::type_error(std::string(name) + " is " + py::repr(py::type::of(given)).cast<std::string>() +
                       ", must be str or bytes");
}

Time clock() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

CacheKey key(const Arguments& arguments) {
  CacheKey key;
  key.prompt = text(arguments.object(0), "prompt");
  if (arguments.given(1)) key.model = text(arguments.object(1), "model");
  if (arguments.given(2)) key.state = text(arguments.object(2), "state");
  return key;
}

PyObject* cache_get(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<ResponseCache>(self);
  if (me == nullptr) return nullptr;
  return guarded([&]() -> PyObject* {
    const Arguments arguments("get", args, n, 1, 4);
    const CacheKey asked = key(arguments);
    const Time now = arguments.given(3) ? arguments.integer(3) : clock();
    PyObject* value = nullptr;
    std::string utf8;  // of what is not ASCII
    bool decode = false;
    const bool hit = me->get(asked, now, [&](std::size_t size, std::uint8_t mark) -> char* {
      if (mark == as_text) {
        decode = true;
        utf8.resize(size);
        return utf8.data();
      }
      const auto length = static_cast<Py_ssize_t>(size);
      value = mark == as_ascii ? PyUnicode_New(length, 127) : PyBytes_FromStringAndSize(nullptr, length);
      if (value == nullptr) return nullptr;
      return mark == as_ascii ? static_cast<char*>(PyUnicode_DATA(value)) : PyBytes_AS_STRING(value);
    });
    if (decode) return PyUnicode_DecodeUTF8(utf8.data(), static_cast<Py_ssize_t>(utf8.size()), nullptr);
    if (value == nullptr && PyErr_Occurred()) return nullptr;
    return hit ? value : Py_NewRef(Py_None);
  });
}

PyObject* cache_holds(PyObject* self, PyObject* const* args, Py_ssize_t n) {
  auto* const me = native<ResponseCache>(self);
  if (me == nullptr) return nullptr;
  return guarded([&] {
    const Arguments arguments("holds", args, n, 1, 4);
    return PyBool_FromLong(me->holds(key(arguments), arguments.given(3) ? arguments.integer(3) : clock()));
  });
}

PyMethodDef methods[] = {
    fast_method("get", cache_get,
                "get($self, prompt, model='', state='', now=None, /)\n--\n\n"
                "The value that was put under this prompt, model and state, or None. now: integer nanoseconds since "
                "the epoch, the\nclock's if not given. Counts a hit or a miss. Raises TypeError for what is neither str "
                "nor bytes, UnicodeEncodeError\nfor a surrogate that stands alone."),
    fast_method("holds", cache_holds,
                "holds($self, prompt, model='', state='', now=None, /)\n--\n\n"
                "Whether `get` would find it. Counts nothing."),
};

std::uint64_t tag(const ResponseCache& me, char kind, const py::handle& name, const char* what) {
  return me.tag(kind, text(name.ptr(), what));
}

// Names of one kind: a str alone is one name, not its letters.
void add_tags(const ResponseCache& me, char kind, const py::object& names, const char* what,
              std::vector<std::uint64_t>& into) {
  if (PyUnicode_Check(names.ptr()) || PyBytes_Check(names.ptr())) {
    into.push_back(tag(me, kind, names, what));
    return;
  }
  for (const py::handle name : names) into.push_back(tag(me, kind, name, what));
}

bool put(ResponseCache& me, const py::object& prompt, const py::object& value, const py::object& model,
         const py::object& state, std::optional<Time> now, const py::object& ttl, const py::object& tags,
         const py::object& symbols) {
  const CacheKey asked{text(model.ptr(), "model"), text(state.ptr(), "state"), text(prompt.ptr(), "prompt")};
  const std::string_view bytes = text(value.ptr(), "value");
  const Time life =
      ttl.is_none() ? me.options().ttl : py::module_::import("fairlead.times").attr("as_span")(ttl, "ttl").cast<Time>();
  std::vector<std::uint64_t> all;
  add_tags(me, 't', tags, "tags", all);
  add_tags(me, 's', symbols, "symbols", all);
  // A short str may be an object that others have, which must not be written to.
  std::uint8_t mark = as_bytes;
  if (PyUnicode_Check(value.ptr())) mark = PyUnicode_IS_ASCII(value.ptr()) && bytes.size() > 1 ? as_ascii : as_text;
  const Status status = me.put(asked, bytes, now ? *now : clock(), life, all, mark);
  if (status == Status::too_long) return false;
  if (status == Status::wrong_length) {
    throw py::value_error("tags and symbols are " + std::to_string(all.size()) + ", at most " +
                          std::to_string(ResponseCache::most_tags) + " together");
  }
  check(status, "put");
  return true;
}

}  // namespace

void bind_response_cache(py::module_& m) {
  auto cls = py::class_<ResponseCache>(m, "ResponseCache");
  cls.def(py::init([](std::int64_t limit_bytes, Time ttl, std::uint64_t seed) {
            const auto least = static_cast<std::int64_t>(ResponseCache::least_bytes);
            const auto most = static_cast<std::int64_t>(ResponseCache::most_bytes);
            if (limit_bytes < least || limit_bytes > most) {
              throw py::value_error("limit_bytes is " + std::to_string(limit_bytes) + ", outside [" +
                                    std::to_string(least) + ", " + std::to_string(most) + "]");
            }
            return ResponseCache({static_cast<std::size_t>(limit_bytes), ttl, seed});
          }),
          py::arg("limit_bytes"), py::arg("ttl"), py::arg("seed"))
      .def("put", &put, py::arg("prompt"), py::arg("value"), py::arg("model") = "", py::arg("state") = "", py::kw_only(),
           py::arg("now") = py::none(), py::arg("ttl") = py::none(), py::arg("tags") = py::tuple(),
           py::arg("symbols") = py::tuple(),
           "Keeps a value, str or bytes, instead of what is there. Returns False where it is too big to be kept: more than a\n"
           "quarter of the memory. ttl: a span; the cache's if not given. tags and symbols: names by which `invalidate` finds\n"
           "it, at most 16 together. Raises ValueError for more, and InvalidRecordError for a ttl that is no span.")
      .def("erase",
           [](ResponseCache& me, const py::object& prompt, const py::object& model, const py::object& state) {
             return me.erase({text(model.ptr(), "model"), text(state.ptr(), "state"), text(prompt.ptr(), "prompt")});
           },
           py::arg("prompt"), py::arg("model") = "", py::arg("state") = "", "Drops one entry; whether it was there.")
      .def("invalidate",
           [](ResponseCache& me, const py::object& tag_name, const py::object& symbol, const py::object& model) {
             const bool some = !tag_name.is_none() || !symbol.is_none() || !model.is_none();
             if (!some) throw py::type_error("invalidate() needs a tag, a symbol or a model; clear() drops everything");
             if (!tag_name.is_none()) (void)tag(me, 't', tag_name, "tag");
             if (!symbol.is_none()) (void)tag(me, 's', symbol, "symbol");
             if (!model.is_none()) (void)tag(me, 'm', model, "model");
             if (!tag_name.is_none()) me.invalidate(tag(me, 't', tag_name, "tag"));
             if (!symbol.is_none()) me.invalidate(tag(me, 's', symbol, "symbol"));
             if (!model.is_none()) me.invalidate(tag(me, 'm', model, "model"));
           },
           py::kw_only(), py::arg("tag") = py::none(), py::arg("symbol") = py::none(), py::arg("model") = py::none(),
           "Drops what was put with this tag, with this symbol, or for this model (a new version of it came): each that is\n"
           "given, in constant time. At worst one entry in 4,096 goes, too, that has it not. Raises TypeError for none.")
      .def("clear", &ResponseCache::clear, "Drops everything. Counters stay.")
      .def("report_false_hit", &ResponseCache::report_false_hit, "Counts a hit that should have been none.")
      .def("as_dict",
           [](const ResponseCache& me) {
             const CacheCounters& c = me.counters();
             using namespace py::literals;
             return py::dict("hits"_a = c.hits, "misses"_a = c.misses, "inserted"_a = c.inserted, "replaced"_a = c.replaced,
                             "too_big"_a = c.too_big, "evicted"_a = c.evicted, "expired"_a = c.expired,
                             "invalidated"_a = c.invalidated, "false_hits"_a = c.false_hits, "entries"_a = me.size(),
                             "bytes_used"_a = me.bytes_used(), "bytes_reserved"_a = me.bytes_reserved());
           },
           "Counters: hits, misses, inserted, replaced, too_big, evicted (to make room), expired, invalidated (both when\n"
           "they are met), false_hits (as reported), entries, bytes_used (of entries, in whole blocks) and bytes_reserved\n"
           "(of everything at most, never above limit_bytes).")
      .def_static("normalised",
                  [](const py::object& prompt) {
                    std::string buffer;
                    return py::bytes(std::string(ResponseCache::normalised(text(prompt.ptr(), "prompt"), buffer)));
                  },
                  py::arg("prompt"), "The prompt as it is compared, in UTF-8: white space folded and trimmed, nothing else.")
      .def("__len__", &ResponseCache::size);
  for (PyMethodDef& method : methods) attach(cls, method);
}

}  // namespace fairlead::bindings
