#include "fairlead/prompt_model.hpp"

#include <memory>

#include "arrays.hpp"
#include "texts.hpp"

namespace fairlead::bindings {

namespace {

// A model, what its predictions need, and its names as Python has them. `predict` holds the GIL, so one scratch is enough.
template <class Core>
struct Held {
  Core core;
  PromptScratch scratch;
  py::tuple names;
};

[[noreturn]] void refuse(const std::string& why) { throw py::value_error("no prompt model: " + why); }

// Names of the models, each a str of its own.
std::vector<std::string> as_names(const py::sequence& given) {
  if (py::isinstance<py::str>(given)) throw py::type_error("models is one str, must be a sequence of them");
  std::vector<std::string> out;
  for (const py::handle name : given) {
    if (!py::isinstance<py::str>(name)) throw py::type_error("models has an entry that is no str: " + py::repr(name).cast<std::string>());
    out.push_back(name.cast<std::string>());
    for (std::size_t i = 0; i + 1 < out.size(); ++i)
      if (out[i] == out.back()) throw py::value_error("models has " + py::repr(name).cast<std::string>() + " twice");
  }
  if (out.empty() || out.size() > PromptModel::most_models)
    throw py::value_error("models has " + std::to_string(out.size()) + " entries, must have from 1 to " + std::to_string(PromptModel::most_models));
  return out;
}

void check_assigned(Status status) {
  if (status != Status::ok) refuse(message(status));
}

template <class Core>
void finish(Held<Core>& held, const py::sequence& models) {
  held.scratch.resize(held.core.scratch_texts());
  held.names = py::tuple(models);
}

std::unique_ptr<Held<LinearPromptModel>> make_linear(const py::sequence& models, const py::object& idf, const py::object& weights, const py::object& mean,
                                                     const py::object& explained) {
  auto out = std::make_unique<Held<LinearPromptModel>>();
  std::vector<std::string> names = as_names(models);
  const auto i = numbers<float>(idf, "idf"), w = numbers<float>(weights, "weights", 2), m = numbers<float>(mean, "mean"),
             e = numbers<float>(explained, "explained");
  if (w.shape(0) != i.shape(0) || w.shape(1) != static_cast<py::ssize_t>(names.size()))
    refuse("weights has shape " + shape_of(w) + ", must have a row for each of " + std::to_string(i.shape(0)) + " and a column for each model");
  check_assigned(out->core.assign(std::move(names), view(i), view(w), view(m), view(e)));
  finish(*out, models);
  return out;
}

std::unique_ptr<Held<NearestPromptModel>> make_nearest(const py::sequence& models, const py::object& idf, const py::object& starts, const py::object& rows,
                                                       const py::object& quality, const py::object& mean, const py::object& explained, std::size_t neighbours,
                                                       double shrink) {
  auto out = std::make_unique<Held<NearestPromptModel>>();
  std::vector<std::string> names = as_names(models);
  const auto i = numbers<float>(idf, "idf"), q = numbers<float>(quality, "quality", 2), m = numbers<float>(mean, "mean"),
             e = numbers<float>(explained, "explained");
  const auto s = numbers<std::uint32_t>(starts, "starts", 1, "iu"), r = numbers<std::uint32_t>(rows, "rows", 1, "iuf");
  if (q.shape(0) + 1 != s.shape(0) || q.shape(1) != static_cast<py::ssize_t>(names.size()))
    refuse("quality has shape " + shape_of(q) + ", must have a row for each of " + std::to_string(s.shape(0) - 1) + " texts and a column for each model");
  check_assigned(out->core.assign(std::move(names), view(i), view(s), view(r), view(q), view(m), view(e), neighbours, shrink));
  finish(*out, models);
  return out;
}

template <class Core>
PyObject* predict(PyObject* self, PyObject* const* values, Py_ssize_t n) noexcept {
  return guarded([&]() -> PyObject* {
    Held<Core>* const held = native<Held<Core>>(self);
    if (held == nullptr) return nullptr;
    const Arguments arguments("predict", values, n, 1, 1);
    py::object kept;
    const std::string_view text = utf8(arguments.object(0), kept);
    py::array_t<double> out(static_cast<py::ssize_t>(held->core.models()));
    held->core.predict(text, out.mutable_data(), held->scratch);
    return out.release().ptr();
  });
}

constexpr const char* predict_doc = R"(predict($self, text, /)
--

The quality that each model is expected to have on a text, in [0, 1]: float64 (models,). Raises TypeError for what is no str.)";

template <class Core>
py::array_t<double> predict_many(const Held<Core>& held, const py::sequence& given) {
  const Texts texts(given);
  const std::size_t m = held.core.models();
  py::array_t<double> out({static_cast<py::ssize_t>(texts.views.size()), static_cast<py::ssize_t>(m)});
  double* const to = out.mutable_data();
  const py::gil_scoped_release free;
  PromptScratch scratch;
  scratch.resize(held.core.scratch_texts());
  for (std::size_t i = 0; i < texts.views.size(); ++i) held.core.predict(texts.views[i], to + i * m, scratch);
  return out;
}

template <class T>
py::array_t<T> array_of(const std::vector<T>& from, std::size_t columns = 0) {
  if (columns == 0) return py::array_t<T>(static_cast<py::ssize_t>(from.size()), from.data());
  return py::array_t<T>({static_cast<py::ssize_t>(from.size() / columns), static_cast<py::ssize_t>(columns)}, from.data());
}

// What all fits check.
struct Labelled {
  Texts texts;
  Array<double> quality;
  std::size_t models;

  Labelled(const py::sequence& given, const py::object& labels, std::size_t bits) : texts(given), quality(numbers<double>(labels, "quality", 2)) {
    models = static_cast<std::size_t>(quality.shape(1));
    check_length(quality.shape(0), "quality", static_cast<py::ssize_t>(texts.views.size()), "texts");
    if (texts.views.empty()) throw py::value_error("texts is empty");
    if (texts.views.size() > NearestPromptModel::most_texts) throw py::value_error("texts has " + std::to_string(texts.views.size()) + " entries, must have at most 2^24");
    if (models == 0 || models > PromptModel::most_models) throw py::value_error("quality has " + std::to_string(models) + " columns, must have from 1 to 256");
    if (bits < PromptModel::least_bits || bits > PromptModel::most_bits) throw py::value_error("bits is " + std::to_string(bits) + ", outside [8, 18]");
    std::vector<char> labelled(models);
    for (std::size_t i = 0; i < texts.views.size() * models; ++i) {
      const double q = quality.data()[i];
      if (std::isnan(q)) continue;
      labelled[i % models] = 1;
      if (!(q >= 0.0 && q <= 1.0))
        throw py::value_error("quality[" + std::to_string(i / models) + ", " + std::to_string(i % models) + "] is " + show(q) + ", outside [0, 1]");
    }
    for (std::size_t m = 0; m < models; ++m)
      if (labelled[m] == 0) throw py::value_error("quality[:, " + std::to_string(m) + "] has no label");
  }
};

py::dict fit_linear(const py::sequence& given, const py::object& labels, std::size_t bits, const std::vector<double>& penalties, std::size_t folds) {
  const Labelled data(given, labels, bits);
  if (penalties.empty()) throw py::value_error("penalties is empty");
  for (const double p : penalties)
    if (!(p > 0.0 && p <= 1e9)) throw py::value_error("penalty is " + show(p) + ", outside (0, 1e+09]");
  LinearPromptFit fit;
  {
    const py::gil_scoped_release free;
    fit = fit_linear_prompt_model(data.texts.views, view(data.quality), data.models, bits, penalties, folds);
  }
  py::dict out;
  out["idf"] = array_of(fit.idf);
  out["weights"] = array_of(fit.weights, data.models);
  out["mean"] = array_of(fit.mean);
  out["explained"] = array_of(fit.explained);
  out["penalties"] = py::make_tuple(fit.level_penalty, fit.difference_penalty);
  return out;
}

py::dict fit_nearest(const py::sequence& given, const py::object& labels, std::size_t bits, const std::vector<std::size_t>& neighbours,
                     const std::vector<double>& shrinks) {
  const Labelled data(given, labels, bits);
  if (neighbours.empty() || shrinks.empty()) throw py::value_error("neighbours or shrinks is empty");
  for (const std::size_t k : neighbours)
    if (k == 0 || k > NearestPromptModel::most_neighbours) throw py::value_error("neighbours is " + std::to_string(k) + ", outside [1, 256]");
  for (const double s : shrinks)
    if (!(s >= 0.0 && s <= 1e6)) throw py::value_error("shrink is " + show(s) + ", outside [0, 1e+06]");
  NearestPromptFit fit;
  {
    const py::gil_scoped_release free;
    fit = fit_nearest_prompt_model(data.texts.views, view(data.quality), data.models, bits, neighbours, shrinks);
  }
  py::dict out;
  out["idf"] = array_of(fit.idf);
  out["starts"] = array_of(fit.texts.starts);
  out["rows"] = array_of(fit.texts.rows);
  out["quality"] = array_of(fit.quality, data.models);
  out["mean"] = array_of(fit.mean);
  out["explained"] = array_of(fit.explained);
  out["neighbours"] = fit.neighbours;
  out["shrink"] = fit.shrink;
  return out;
}

py::tuple rows(const py::sequence& given, std::size_t bits) {
  const Texts texts(given);
  if (bits < PromptModel::least_bits || bits > PromptModel::most_bits) throw py::value_error("bits is " + std::to_string(bits) + ", outside [8, 18]");
  PromptRows found;
  {
    const py::gil_scoped_release free;
    found = prompt_rows(texts.views, bits);
  }
  return py::make_tuple(array_of(found.starts), array_of(found.rows));
}

template <class Core>
void common(py::class_<Held<Core>>& cls) {
  using Self = Held<Core>;
  static PyMethodDef method = fast_method("predict", &predict<Core>, predict_doc);
  cls.def("predict_many", &predict_many<Core>, py::arg("texts"), "The same for many texts: float64 (texts, models). Lets go of the GIL.")
      .def_property_readonly("models", [](const Self& s) { return s.names; }, "The names of the models.")
      .def_property_readonly("bits", [](const Self& s) { return s.core.bits(); }, "Features are hashed to one of 2**bits rows.")
      .def_property_readonly("explained", [](const Self& s) {
        py::tuple out(s.core.models());
        for (std::size_t m = 0; m < out.size(); ++m) out[m] = static_cast<double>(s.core.explained()[m]);
        return out;
      }, "The share of the variance of each model's quality that predictions explained on texts that were held out.")
      .def_property_readonly("weight", [](const Self& s) {
        py::tuple out(s.core.models());
        for (std::size_t m = 0; m < out.size(); ++m) out[m] = s.core.weight(m);
        return out;
      }, "How many results of a slice a prediction is worth, for each model: from 0 to 100.");
  attach(cls, method);
}

}  // namespace

void bind_prompt_model(py::module_& m) {
  auto linear = py::class_<Held<LinearPromptModel>>(m, "LinearPromptModel", "The core of fairlead.LinearPromptModel, from the arrays of its file.")
                    .def(py::init(&make_linear), py::arg("models"), py::arg("idf"), py::arg("weights"), py::arg("mean"), py::arg("explained"),
                         "Raises ValueError for arrays that are no prompt model.")
                    .def_static("fitted", &fit_linear, py::arg("texts"), py::arg("quality"), py::kw_only(), py::arg("bits"), py::arg("penalties"),
                                py::arg("folds"), "The arrays of a fitted model, and its penalties of level and difference; see fairlead.LinearPromptModel.fit.");
  common(linear);
  auto nearest = py::class_<Held<NearestPromptModel>>(m, "NearestPromptModel", "The core of fairlead.NearestPromptModel, from the arrays of its file.")
                     .def(py::init(&make_nearest), py::arg("models"), py::arg("idf"), py::arg("starts"), py::arg("rows"), py::arg("quality"), py::arg("mean"),
                          py::arg("explained"), py::arg("neighbours"), py::arg("shrink"), "Raises ValueError for arrays that are no prompt model.")
                     .def_static("fitted", &fit_nearest, py::arg("texts"), py::arg("quality"), py::kw_only(), py::arg("bits"), py::arg("neighbours"),
                                 py::arg("shrinks"), "The arrays of a fitted model, and its options; see fairlead.NearestPromptModel.fit.");
  common(nearest);
  m.def("prompt_rows", &rows, py::arg("texts"), py::arg("bits") = 16,
        "The rows that texts have, distinct and increasing, as (starts, rows): those of text i are rows[starts[i]:starts[i + 1]].");
}

}  // namespace fairlead::bindings
