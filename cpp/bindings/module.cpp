// The compiled extension: a table of contents.
#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace fairlead::bindings {
void bind_simd(py::module_& m);
void bind_types(py::module_& m);
void bind_elo(py::module_& m);
void bind_bradley_terry(py::module_& m);
void bind_glicko2(py::module_& m);
void bind_weng_lin(py::module_& m);
void bind_true_skill(py::module_& m);
void bind_sweep(py::module_& m);
void bind_rolling(py::module_& m);
void bind_sliding(py::module_& m);
void bind_windows(py::module_& m);
void bind_calibration(py::module_& m);
void bind_calibrator(py::module_& m);
void bind_breaker(py::module_& m);
void bind_response_cache(py::module_& m);
void bind_drift(py::module_& m);
void bind_detectors(py::module_& m);
void bind_sample(py::module_& m);
void bind_pooling(py::module_& m);
void bind_experts(py::module_& m);
void bind_budget(py::module_& m);
void bind_spend(py::module_& m);
void bind_attention(py::module_& m);
void bind_attention_layer(py::module_& m);
void bind_attention_module(py::module_& m);
void bind_attention_policy(py::module_& m);
void bind_prompt_model(py::module_& m);
void bind_task_classifier(py::module_& m);
void bind_scoreboard(py::module_& m);
void bind_journal(py::module_& m);
void bind_journal_reader(py::module_& m);
void bind_journal_columns(py::module_& m);
void bind_journal_scored(py::module_& m);
void bind_journal_restore(py::module_& m);
void bind_fleet(py::module_& m);
void bind_desk(py::module_& m);
void bind_replay(py::module_& m);
}  // namespace fairlead::bindings

PYBIND11_MODULE(_core, m) {
  m.attr("__version__") = FAIRLEAD_VERSION;
  m.doc() = "The compiled core of fairlead. Private: use the names that `fairlead` exports.";
  fairlead::bindings::bind_simd(m);
  fairlead::bindings::bind_types(m);
  fairlead::bindings::bind_elo(m);
  fairlead::bindings::bind_bradley_terry(m);
  fairlead::bindings::bind_glicko2(m);
  fairlead::bindings::bind_weng_lin(m);
  fairlead::bindings::bind_true_skill(m);
  fairlead::bindings::bind_sweep(m);
  fairlead::bindings::bind_rolling(m);
  fairlead::bindings::bind_sliding(m);
  fairlead::bindings::bind_windows(m);
  fairlead::bindings::bind_calibration(m);
  fairlead::bindings::bind_calibrator(m);
  fairlead::bindings::bind_breaker(m);
  fairlead::bindings::bind_response_cache(m);
  fairlead::bindings::bind_drift(m);
  fairlead::bindings::bind_detectors(m);
  fairlead::bindings::bind_sample(m);
  fairlead::bindings::bind_pooling(m);
  fairlead::bindings::bind_experts(m);
  fairlead::bindings::bind_budget(m);
  fairlead::bindings::bind_spend(m);
  fairlead::bindings::bind_attention(m);
  fairlead::bindings::bind_attention_layer(m);
  fairlead::bindings::bind_attention_module(m);
  fairlead::bindings::bind_attention_policy(m);
  fairlead::bindings::bind_prompt_model(m);
  fairlead::bindings::bind_task_classifier(m);
  fairlead::bindings::bind_scoreboard(m);
  fairlead::bindings::bind_journal(m);
  fairlead::bindings::bind_journal_reader(m);
  fairlead::bindings::bind_journal_columns(m);
  fairlead::bindings::bind_journal_scored(m);
  fairlead::bindings::bind_journal_restore(m);
  fairlead::bindings::bind_fleet(m);
  fairlead::bindings::bind_desk(m);
  fairlead::bindings::bind_replay(m);
}
