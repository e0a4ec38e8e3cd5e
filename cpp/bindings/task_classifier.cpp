#include "fairlead/task_classifier.hpp"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>

#include "common.hpp"
#include "task_classifier.hpp"
#include "texts.hpp"

namespace fairlead::bindings {

namespace {

// --- TaskType: what classify returns ---------------------------------------------------------------------------------
// A class of pybind11 would cost more to make than a text of 200 bytes to classify.

struct TaskTypeObject {
  PyObject_VAR_HEAD PyObject* names;  // a tuple of str
  Py_ssize_t best;
  double probabilities[1];
};

PyTypeObject* task_type = nullptr;

const TaskTypeObject& of(PyObject* self) noexcept { return *reinterpret_cast<TaskTypeObject*>(self); }
PyObject* name_of(PyObject* self) noexcept { return PyTuple_GET_ITEM(of(self).names, of(self).best); }

TaskTypeObject* blank(PyObject* names) noexcept {  // the probabilities are the caller's to set
  auto* const made = PyObject_NewVar(TaskTypeObject, task_type, PyTuple_GET_SIZE(names));
  if (made != nullptr) made->names = Py_NewRef(names);
  return made;
}

void task_type_free(PyObject* self) noexcept {
  Py_DECREF(of(self).names);
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_Free(self);
  Py_DECREF(type);
}

PyObject* task_type_new(PyTypeObject*, PyObject* args, PyObject* keywords) noexcept {
  return guarded([&]() -> PyObject* {
    static const char* names[] = {"probabilities", nullptr};
    PyObject* given = nullptr;
    if (PyArg_ParseTupleAndKeywords(args, keywords, "O!:TaskType", const_cast<char**>(names), &PyDict_Type, &given) == 0) throw py::error_already_set();
    const auto dict = py::reinterpret_borrow<py::dict>(given);
    if (dict.empty()) throw py::value_error("probabilities is empty");
    py::tuple types(dict.size());
    std::vector<double> values;
    for (const auto& [name, value] : dict) {
      if (!py::isinstance<py::str>(name)) throw py::type_error("probabilities has a name that is no str: " + py::repr(name).cast<std::string>());
      const double p = PyFloat_AsDouble(value.ptr());
      if (p == -1.0 && PyErr_Occurred()) throw py::error_already_set();
      if (!(p >= 0.0 && p <= 1.0)) throw py::value_error("probabilities[" + py::repr(name).cast<std::string>() + "] is " + show(p) + ", outside [0, 1]");
      types[values.size()] = name;
      values.push_back(p);
    }
    TaskTypeObject* const made = blank(types.ptr());
    if (made == nullptr) throw py::error_already_set();
    made->best = std::max_element(values.begin(), values.end()) - values.begin();
    std::copy(values.begin(), values.end(), made->probabilities);
    return reinterpret_cast<PyObject*>(made);
  });
}

PyObject* get_name(PyObject* self, void*) noexcept { return Py_NewRef(name_of(self)); }
PyObject* get_probability(PyObject* self, void*) noexcept { return PyFloat_FromDouble(of(self).probabilities[of(self).best]); }
PyObject* get_probabilities(PyObject* self, void*) noexcept {
  return guarded([&] {
    py::dict out;
    for (Py_ssize_t i = 0; i < Py_SIZE(self); ++i) out[py::handle(PyTuple_GET_ITEM(of(self).names, i))] = of(self).probabilities[i];
    return out.release().ptr();
  });
}
PyObject* task_type_str(PyObject* self) noexcept { return get_name(self, nullptr); }
PyObject* task_type_repr(PyObject* self) noexcept {
  return guarded([&] {
    py::str text = py::str("TaskType({!r}, probability={:.3f})").format(py::handle(name_of(self)), of(self).probabilities[of(self).best]);
    return text.release().ptr();
  });
}
Py_hash_t task_type_hash(PyObject* self) noexcept { return PyObject_Hash(name_of(self)); }
PyObject* task_type_compare(PyObject* self, PyObject* other, int operation) noexcept {
  if (operation != Py_EQ && operation != Py_NE) Py_RETURN_NOTIMPLEMENTED;
  if (Py_TYPE(other) == task_type) return PyObject_RichCompare(name_of(self), name_of(other), operation);
  if (PyUnicode_Check(other)) return PyObject_RichCompare(name_of(self), other, operation);
  Py_RETURN_NOTIMPLEMENTED;
}
PyObject* task_type_reduce(PyObject* self, PyObject*) noexcept {
  return guarded([&] {
    return py::make_tuple(py::handle(reinterpret_cast<PyObject*>(task_type)),
                          py::make_tuple(py::reinterpret_steal<py::object>(get_probabilities(self, nullptr))))
        .release()
        .ptr();
  });
}

constexpr const char* task_type_doc = R"(TaskType(probabilities)
--

What a text is, of the types that a TaskClassifier knows: the most probable one, and the probabilities of all.

It equals the str of its name, has its hash, and so may look up a dict by name.

>>> from fairlead import TaskType
>>> found = TaskType({"reasoning": 0.9, "tool_use": 0.06, "simple": 0.04})
>>> found == "reasoning", found.name, found.probability
(True, 'reasoning', 0.9)
>>> found
TaskType('reasoning', probability=0.900)
>>> {"reasoning": "the large model"}[found]
'the large model'

probabilities: by name of the type, each in [0, 1]; else ValueError.)";

PyTypeObject* make_task_type() {
  static PyGetSetDef properties[] = {{"name", &get_name, nullptr, "The most probable type.", nullptr},
                                     {"probability", &get_probability, nullptr, "That of the most probable type.", nullptr},
                                     {"probabilities", &get_probabilities, nullptr, "The probability of each type, by name.", nullptr},
                                     {nullptr, nullptr, nullptr, nullptr, nullptr}};
  static PyMethodDef methods[] = {{"__reduce__", &task_type_reduce, METH_NOARGS, nullptr}, {nullptr, nullptr, 0, nullptr}};
  static PyType_Slot slots[] = {{Py_tp_doc, const_cast<char*>(task_type_doc)},
                                {Py_tp_new, reinterpret_cast<void*>(&task_type_new)},
                                {Py_tp_dealloc, reinterpret_cast<void*>(&task_type_free)},
                                {Py_tp_str, reinterpret_cast<void*>(&task_type_str)},
                                {Py_tp_repr, reinterpret_cast<void*>(&task_type_repr)},
                                {Py_tp_hash, reinterpret_cast<void*>(&task_type_hash)},
                                {Py_tp_richcompare, reinterpret_cast<void*>(&task_type_compare)},
                                {Py_tp_getset, properties},
                                {Py_tp_methods, methods},
                                {0, nullptr}};
  static PyType_Spec spec = {"fairlead._core.TaskType", static_cast<int>(offsetof(TaskTypeObject, probabilities)), sizeof(double), Py_TPFLAGS_DEFAULT, slots};
  PyObject* const type = PyType_FromSpec(&spec);
  if (type == nullptr) throw py::error_already_set();
  return reinterpret_cast<PyTypeObject*>(type);
}

// --- TaskClassifier --------------------------------------------------------------------------------------------------


py::str as_str(const std::string& text) {
  PyObject* const made = PyUnicode_DecodeUTF8(text.data(), static_cast<Py_ssize_t>(text.size()), "replace");
  if (made == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::str>(made);
}

std::unique_ptr<Classifier> read(const py::bytes& data) {
  auto out = std::make_unique<Classifier>();
  const std::string_view bytes = data;
  std::string why;
  const Status status = out->core.read({reinterpret_cast<const std::byte*>(bytes.data()), bytes.size()}, &why);
  if (status == Status::not_a_policy) throw py::value_error("no task classifier: " + why);
  check(status);
  py::tuple names(out->core.types().size());
  for (std::size_t i = 0; i < names.size(); ++i) names[i] = as_str(out->core.types()[i]);
  out->names = std::move(names);
  return out;
}

PyObject* classify(PyObject* self, PyObject* const* values, Py_ssize_t n) noexcept {
  return guarded([&]() -> PyObject* {
    Classifier* const classifier = native<Classifier>(self);
    if (classifier == nullptr) return nullptr;
    const Arguments arguments("classify", values, n, 1, 1);
    py::object kept;
    const std::string_view text = utf8(arguments.object(0), kept);
    TaskTypeObject* const made = blank(classifier->names.ptr());
    if (made == nullptr) return nullptr;
    made->best = static_cast<Py_ssize_t>(classifier->core.classify(text, made->probabilities));
    return reinterpret_cast<PyObject*>(made);
  });
}

PyMethodDef classify_method = fast_method("classify", &classify, R"(classify($self, text, /)
--

The TaskType of a text. Of one longer than 4096 bytes of UTF-8, the first 3072 and the last 1024 count. Raises TypeError for
what is no str.)");

py::array_t<double> probabilities(const Classifier& self, const py::sequence& given) {
  const Texts texts(given);
  const auto k = self.core.types().size();
  py::array_t<double> out({static_cast<py::ssize_t>(texts.views.size()), static_cast<py::ssize_t>(k)});
  double* const to = out.mutable_data();
  const py::gil_scoped_release free;
  for (std::size_t i = 0; i < texts.views.size(); ++i) self.core.classify(texts.views[i], to + i * k);
  return out;
}

py::list reasons(const Classifier& self, const py::str& text) {
  py::object kept;
  py::list out;
  for (const TaskClassifier::Reason& reason : self.core.explain(utf8(text.ptr(), kept))) {
    py::tuple adds(self.core.types().size());
    for (std::size_t k = 0; k < adds.size(); ++k) adds[k] = reason.adds[k];
    out.append(py::make_tuple(as_str(reason.feature), adds));
  }
  return out;
}

py::bytes fit(const py::sequence& given, const std::vector<std::uint32_t>& labels, const std::vector<std::uint32_t>& sources, std::vector<std::string> types,
              double l2, double structure, double balance, std::size_t least_sources, std::size_t bits, std::size_t folds) {
  const Texts texts(given);
  TaskFit options;
  options.l2 = l2;
  options.structure = structure;
  options.balance = balance;
  options.sources = least_sources;
  options.bits = bits;
  options.folds = folds;
  TaskClassifier made;
  std::string bytes;
  {
    const py::gil_scoped_release free;
    check(made.fit(texts.views, labels, sources, std::move(types), options), "fit");
    bytes = made.bytes();
  }
  return py::bytes(bytes);
}

}  // namespace

void bind_task_classifier(py::module_& m) {
  task_type = make_task_type();
  m.attr("TaskType") = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(task_type));

  auto cls = py::class_<Classifier>(m, "TaskClassifier", "The core of fairlead.TaskClassifier, from the bytes of its file.")
                 .def(py::init(&read), py::arg("data"), "Raises ValueError, saying what is wrong, for bytes that are no classifier.")
                 .def_static("fitted", &fit, py::arg("texts"), py::arg("labels"), py::arg("sources"), py::arg("types"), py::kw_only(), py::arg("l2"),
                             py::arg("structure"), py::arg("balance"), py::arg("least_sources"), py::arg("bits"), py::arg("folds"),
                             "The bytes of a classifier trained on texts; see fairlead.TaskClassifier.fit.")
                 .def("probabilities", &probabilities, py::arg("texts"),
                      "The probabilities of each type (texts, types), float64. Lets go of the GIL.")
                 .def("reasons", &reasons, py::arg("text"), "The features of a text, and what each adds to the logit of each type.")
                 .def_property_readonly("types", [](const Classifier& c) { return c.names; }, "The names of the types.")
                 .def_property_readonly("temperature", [](const Classifier& c) { return c.core.temperature(); }, "By which logits were divided.")
                 .def("to_bytes", [](const Classifier& c) { return py::bytes(c.core.bytes()); }, "The bytes of its file.");
  attach(cls, classify_method);
}

}  // namespace fairlead::bindings
