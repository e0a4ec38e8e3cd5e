#include "detectors.hpp"

namespace fairlead::bindings {

namespace {

void bind_adwin(py::module_& m) {
  py::class_<Adwin> cls(m, "ADWIN", R"(ADWIN: a window that grows while its mean stands, and drops what is older.

Every `clock` events each cut of the window into two parts is tested; while their means differ by more than a bound
the oldest events are dropped, which is a drift.

delta: in (0, 1), smaller means fewer false alarms; clock: events between tests; max_buckets: 2 to 64 of each size,
more are finer cuts; min_window_length: events that both parts of a cut must have; grace_period: no test before the
window is longer; warning_delta: in [delta, 1], ten times delta if None, the same test for the warning state, which
stands until the next test; mode: 'up', 'down' or 'both', which changes of the mean count as drift (the window adapts
to all).
Takes finite numbers within [-1e100, 1e100]. Raises ValueError for an option out of range.

After a drift the newer part of the window stays, as in MOA and the paper; river.drift.ADWIN forgets it, which a call
of reset() after each drift does here too. Drifts are those of river's own core (AdaptiveWindowing), which this
follows. Memory is fixed, about 5 KB, for windows of any length. An offset of 1e9 or a spike of 1e12 that has left
costs no accuracy.
Source: A. Bifet, R. Gavalda, "Learning from time-changing data with adaptive windowing", SIAM SDM
2007.

>>> import fairlead as fl
>>> adwin = fl.ADWIN()
>>> stream = [0.0, 1.0] * 500 + [5.0, 6.0] * 500
>>> [i for i, x in enumerate(stream) if adwin.update(x)]
[1023, 1087]
>>> adwin.width, adwin.estimation
(992, 5.5)
>>> adwin.reset()
>>> drifts, warnings = adwin.update_many(stream)
>>> drifts.tolist(), adwin
([1023, 1087], ADWIN(n=2000, drifts=2, stable)))");
  cls.def(py::init([](double delta, std::int64_t clock, std::int64_t max_buckets, std::int64_t min_window_length,
                      std::int64_t grace_period, const std::optional<double>& warning_delta, py::handle mode) {
            return make_detector<Adwin>({.delta = delta,
                                         .clock = clock,
                                         .max_buckets = max_buckets,
                                         .min_window_length = min_window_length,
                                         .grace_period = grace_period,
                                         .warning_delta = open_option(warning_delta, "warning_delta"),
                                         .mode = direction(mode)});
          }),
          py::kw_only(), py::arg("delta") = 0.002, py::arg("clock") = 32, py::arg("max_buckets") = 5,
          py::arg("min_window_length") = 5, py::arg("grace_period") = 10, py::arg("warning_delta") = py::none(),
          py::arg("mode") = "both")
      .def_property_readonly("width", &Adwin::width, "Events in the window.")
      .def_property_readonly("estimation", &Adwin::estimation,
                             "Mean of the window; NaN while it is empty.")
      .def_property_readonly("variance", &Adwin::variance,
                             "Variance of the window, with its width in the denominator; NaN while it is empty.")
      .def_property_readonly("total", &Adwin::total, "Sum of the window.");
  add_common(cls, "ADWIN");
}

void bind_page_hinkley(py::module_& m) {
  py::class_<PageHinkley> cls(m, "PageHinkley", R"(The Page-Hinkley test for a change of the mean.

Sums the deviations from the mean of all events since the last drift, less `delta` each, and compares the sum with its
least value so far (for a rise; for a fall with its largest). Then it starts anew.

min_instances: no test before so many events; delta: a change that is tolerated, in units of x; threshold: larger
means fewer false alarms and more delay; alpha: in (0, 1], forgetting of the sums, 1 keeps all; warning_threshold:
half of threshold if None; mode: 'up', 'down' or 'both'.
Takes finite numbers within [-1e100, 1e100]. Raises ValueError for an option out of range.
Same drifts as river.drift.PageHinkley.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); D. V. Hinkley, Biometrika 58 (1971).

>>> import fairlead as fl
>>> test = fl.PageHinkley(threshold=10)
>>> [i for i, x in enumerate([0.0, 1.0] * 100 + [3.0, 4.0] * 5) if test.update(x)]
[203]
>>> test
PageHinkley(n=210, drifts=1, stable))");
  cls.def(py::init([](std::int64_t min_instances, double delta, double threshold, double alpha,
                      const std::optional<double>& warning_threshold, py::handle mode) {
            return make_detector<PageHinkley>({.min_instances = min_instances,
                                               .delta = delta,
                                               .threshold = threshold,
                                               .alpha = alpha,
                                               .warning_threshold = open_option(warning_threshold, "warning_threshold"),
                                               .mode = direction(mode)});
          }),
          py::kw_only(), py::arg("min_instances") = 30, py::arg("delta") = 0.005, py::arg("threshold") = 50.0,
          py::arg("alpha") = 1.0 - 0.0001, py::arg("warning_threshold") = py::none(), py::arg("mode") = "both")
      .def_property_readonly("estimation", &PageHinkley::estimation,
                             "Mean since the last drift; NaN while there is no event.")
      .def_property_readonly("statistic", &PageHinkley::statistic, "What is compared with the threshold, at least 0.");
  add_common(cls, "PageHinkley");
}

void bind_cusum(py::module_& m) {
  py::class_<Cusum> cls(m, "CUSUM", R"(CUSUM: cumulative sums of deviations from a mean.

There is one for rises and one for falls. Each sum grows by the deviation less `delta` and never falls below 0; a drift
when one is above `threshold`. Then both start anew.

min_instances: no test before so many events; delta: slack, often half of the shift that matters, in units of x;
threshold: larger means fewer false alarms and more delay; target: the mean when all is well, or None for the mean of
all events since the last drift; warning_threshold: half of threshold if None; mode: 'up', 'down' or 'both'.
Takes finite numbers within [-1e100, 1e100]. Raises ValueError for an option out of range.
Source: E. S. Page, "Continuous inspection schemes", Biometrika 41 (1954); D. C. Montgomery, "Introduction to
Statistical Quality Control" (2009), chapter 9, has tables for delta and threshold. With target None and mode 'up' as
in MOA.

>>> import fairlead as fl
>>> chart = fl.CUSUM(target=10, delta=0.5, threshold=5, min_instances=1)
>>> [chart.update(x) for x in (9.5, 10.5, 12.0, 12.0, 12.0, 12.0)]
[False, False, False, False, False, True]
>>> chart.statistic
6.0)");
  cls.def(py::init([](std::int64_t min_instances, double delta, double threshold, const std::optional<double>& target,
                      const std::optional<double>& warning_threshold, py::handle mode) {
            return make_detector<Cusum>({.min_instances = min_instances,
                                         .delta = delta,
                                         .threshold = threshold,
                                         .target = open_option(target, "target"),
                                         .warning_threshold = open_option(warning_threshold, "warning_threshold"),
                                         .mode = direction(mode)});
          }),
          py::kw_only(), py::arg("min_instances") = 30, py::arg("delta") = 0.005, py::arg("threshold") = 50.0,
          py::arg("target") = py::none(), py::arg("warning_threshold") = py::none(), py::arg("mode") = "both")
      .def_property_readonly("estimation", &Cusum::estimation,
                             "Mean since the last drift; NaN while there is no event.")
      .def_property_readonly("statistic", &Cusum::statistic, "What is compared with the threshold, at least 0.");
  add_common(cls, "CUSUM");
}

void bind_kswin(py::module_& m) {
  py::class_<Kswin> cls(m, "KSWIN", R"(KSWIN: a Kolmogorov-Smirnov test of the newest values against older ones.

It sees changes of the whole distribution, not of the mean alone.
Once the window is full, at each event the newest stat_size values are compared with as many drawn from the older
ones. A drift where the exact two-sided p-value is at most alpha and the distance above 0.1; then the newest values
stay and the window fills up again (river.drift.KSWIN empties it).

alpha: in (0, 1), for each test, of which there is one at each event; window_size: 2 to 1e6; stat_size: at most half
of it; seed: 0 to 2**64 - 1, of the draws: the same seed and events give the same answers on every machine;
warning_alpha: in [alpha, 1], ten times alpha (at most 1) if None.
Takes finite numbers within [-1e100, 1e100]. Raises ValueError for an option out of range.
Source: C. Raab, M. Heusinger, F.-M. Schleif, "Reactive soft prototype computing for concept drift streams",
Neurocomputing 416 (2020).

>>> import fairlead as fl
>>> kswin = fl.KSWIN(alpha=0.0001)
>>> [i for i, x in enumerate([i % 7 for i in range(300)] + [i % 7 + 5 for i in range(20)]) if kswin.update(x)]
[319]
>>> kswin.p_value < 0.0001, kswin.statistic
(True, 0.6666666666666666))");
  cls.def(py::init([](double alpha, std::int64_t window_size, std::int64_t stat_size, py::handle seed,
                      const std::optional<double>& warning_alpha) {
            return make_detector<Kswin>({.alpha = alpha,
                                         .window_size = window_size,
                                         .stat_size = stat_size,
                                         .seed = seed_of(seed),
                                         .warning_alpha = open_option(warning_alpha, "warning_alpha")});
          }),
          py::kw_only(), py::arg("alpha") = 0.005, py::arg("window_size") = 100, py::arg("stat_size") = 30,
          py::arg("seed") = 0, py::arg("warning_alpha") = py::none())
      .def_property_readonly("width", &Kswin::width, "Values in the window.")
      .def_property_readonly("statistic", &Kswin::statistic,
                             "Distance of the two distributions in the last test, in [0, 1]; NaN before the first.")
      .def_property_readonly("p_value", [](const Kswin& kswin) { return kswin.p_value(); },
                             "How likely that distance is by chance; NaN before the first test.");
  add_common(cls, "KSWIN");
}

void bind_ddm(py::module_& m) {
  py::class_<Ddm> cls(m, "DDM", R"(DDM, the drift detection method: watches the error rate of a classifier for a rise.

Drift when the error rate plus its standard deviation is more than drift_threshold standard deviations above the least
that it was; then it starts anew.

warm_start: no test before more than so many events; warning_threshold, drift_threshold: in standard deviations. Takes
True or 1 for an error, False or 0 for a correct answer. Raises ValueError for an option out of range. Same drifts as
river.drift.binary.DDM. MOA counts one event fewer as warm-up.
Source: J. Gama, P. Medas, G. Castillo, P. Rodrigues, "Learning with drift detection", SBIA 2004.

>>> import fairlead as fl
>>> ddm = fl.DDM()
>>> errors = [i % 10 == 0 for i in range(500)] + [i % 2 == 0 for i in range(200)]
>>> [i for i, error in enumerate(errors) if ddm.update(error)]
[534]
>>> ddm
DDM(n=700, drifts=1, stable))");
  cls.def(py::init([](std::int64_t warm_start, double warning_threshold, double drift_threshold) {
            return make_detector<Ddm>(
                {.warm_start = warm_start, .warning_threshold = warning_threshold, .drift_threshold = drift_threshold});
          }),
          py::kw_only(), py::arg("warm_start") = 30, py::arg("warning_threshold") = 2.0,
          py::arg("drift_threshold") = 3.0)
      .def_property_readonly("estimation", &Ddm::estimation,
                             "Error rate since the last drift; NaN while there is no event.");
  add_common(cls, "DDM");
}

void bind_eddm(py::module_& m) {
  py::class_<Eddm> cls(m, "EDDM", R"(EDDM, the early drift detection method: watches the distances between errors.

With mean m and standard deviation s of the distances since the last drift: a drift when (m + 2s) / (its largest so
far) is below beta, a warning when below alpha; then it starts anew. It suits slow changes, and gives more false
alarms than DDM.

warm_start: no test before more than so many errors; 0 < beta <= alpha <= 1.
Takes True or 1 for an error, False or 0 for a correct answer. Raises ValueError for an option out of range. s has n
in the denominator as in MOA, and a warning ends with a new largest; river.drift.binary.EDDM divides by n - 1 and lets
the warning stand.
Source: M. Baena-Garcia et al., "Early drift detection method", IWKDDS 2006.

>>> import fairlead as fl
>>> eddm = fl.EDDM()
>>> errors = [i * i % 31 == 1 for i in range(2000)] + [i % 2 == 0 for i in range(100)]
>>> [i for i, error in enumerate(errors) if eddm.update(error)]
[2084]
>>> eddm
EDDM(n=2100, drifts=1, stable))");
  cls.def(py::init([](std::int64_t warm_start, double alpha, double beta) {
            return make_detector<Eddm>({.warm_start = warm_start, .alpha = alpha, .beta = beta});
          }),
          py::kw_only(), py::arg("warm_start") = 30, py::arg("alpha") = 0.95, py::arg("beta") = 0.9)
      .def_property_readonly("estimation", &Eddm::estimation,
                             "Mean distance between errors; NaN while there is none.")
      .def_property_readonly("statistic", &Eddm::statistic, "What is compared with alpha and beta, in (0, 1].");
  add_common(cls, "EDDM");
}

void bind_hddm(py::module_& m) {
  py::class_<HddmA> a(m, "HDDM_A", R"(HDDM_A: compares means before and after a cut, by Hoeffding's bound.

The mean of all events is compared with that up to the best cut point. It needs no distribution,
and suits abrupt changes. After a drift it starts anew.

drift_confidence, warning_confidence: chance of a false alarm at one test, 0 < drift <= warning < 1; mode: 'up'
(errors become more), 'down' or 'both'.
Takes numbers in [0, 1]; for a classifier True or 1 is an error. Raises ValueError for an option out of range. Same
drifts as river.drift.binary.HDDMA, and as MOA for rises; MOA does not report falls.
Source: I. Frias-Blanco et al., "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE
TKDE 27 (2015).

>>> import fairlead as fl
>>> hddm = fl.HDDM_A()
>>> errors = [i % 10 == 0 for i in range(500)] + [i % 2 == 0 for i in range(200)]
>>> [i for i, error in enumerate(errors) if hddm.update(error)]
[522]
>>> round(hddm.estimation, 2)
0.5)");
  a.def(py::init([](double drift_confidence, double warning_confidence, py::handle mode) {
          return make_detector<HddmA>({.drift_confidence = drift_confidence,
                                       .warning_confidence = warning_confidence,
                                       .mode = direction(mode)});
        }),
        py::kw_only(), py::arg("drift_confidence") = 0.001, py::arg("warning_confidence") = 0.005,
        py::arg("mode") = "up")
      .def_property_readonly("estimation", &HddmA::estimation,
                             "Mean since the last drift; NaN while there is no event.");
  add_common(a, "HDDM_A");

  py::class_<HddmW> w(m, "HDDM_W", R"(HDDM_W: compares weighted means before and after a cut, by McDiarmid's bound.

Both means are exponentially weighted. It needs no distribution, and suits gradual changes. After a
drift it starts anew.

drift_confidence, warning_confidence: chance of a false alarm at one test, 0 < drift <= warning < 1; lambda_val: in
(0, 1], weight of the newest event; mode: 'up' (errors become more), 'down' or 'both'.
Takes numbers in [0, 1]; for a classifier True or 1 is an error. Raises ValueError for an option out of range. The sum
of squared weights starts with 1, as in the paper and MOA; river.drift.binary.HDDMW starts it smaller, so its bounds
are tighter than the theory has them.
Source: I. Frias-Blanco et al., "Online and non-parametric drift detection methods based on Hoeffding's bounds", IEEE
TKDE 27 (2015).

>>> import fairlead as fl
>>> hddm = fl.HDDM_W()
>>> errors = [i % 10 == 0 for i in range(500)] + [i % 2 == 0 for i in range(200)]
>>> [i for i, error in enumerate(errors) if hddm.update(error)]
[536]
>>> hddm.drifts
1)");
  w.def(py::init([](double drift_confidence, double warning_confidence, double lambda_val, py::handle mode) {
          HddmWOptions options;
          options.drift_confidence = drift_confidence;
          options.warning_confidence = warning_confidence;
          options.mode = direction(mode);
          options.lambda_val = lambda_val;
          return make_detector<HddmW>(options);
        }),
        py::kw_only(), py::arg("drift_confidence") = 0.001, py::arg("warning_confidence") = 0.005,
        py::arg("lambda_val") = 0.05, py::arg("mode") = "up")
      .def_property_readonly("estimation", &HddmW::estimation,
                             "Weighted mean since the last drift; NaN while there is no event.");
  add_common(w, "HDDM_W");
}

void bind_cut_scan(py::module_& m) {
  py::class_<CutScan> cls(m, "CutScan", R"(CutScan: tests every cut of a window into before and after, for errors of a model.

A window as that of ADWIN, with a bound that allows for how many cuts there are of each kind. At the same rate of false
alarms it finds small changes sooner, and changes soon after another one.

arl: events in which there is one false alarm where nothing changes, on average, in [100, 1e12]; measured: between .4
and 1.1 of zeros and ones of any mean from .02 to .98. warning_arl: that of warnings, a tenth of arl if None. mode: 'up'
(errors become more), 'down' or 'both', which changes count as drift (the window adapts to all). inflation: at least 1,
by how much the variance of a sum of neighbours is above that of independent ones. clock: events between tests.
max_buckets: 2 to 64, more are finer cuts. min_length: of both parts of a cut.
Takes numbers in [0, 1]; for a classifier True or 1 is an error. Raises ValueError for an option out of range.
Source: Bernstein's inequality for each cut; L. Duembgen, V. Spokoiny, "Multiscale testing of qualitative hypotheses",
Annals of Statistics 29 (2001), for the penalty; the window: see ADWIN.

>>> import fairlead as fl
>>> scan = fl.CutScan()
>>> errors = [i % 10 == 0 for i in range(500)] + [i % 2 == 0 for i in range(200)]
>>> next(i for i, error in enumerate(errors) if scan.update(error))
527
>>> scan.newer, round(scan.before, 2), round(scan.after, 2)
(28, 0.1, 0.5))");
  cls.def(py::init([](double arl, const std::optional<double>& warning_arl, py::handle mode, double inflation,
                      std::int64_t clock, std::int64_t max_buckets, std::int64_t min_length) {
            return make_detector<CutScan>({.arl = arl,
                                           .warning_arl = open_option(warning_arl, "warning_arl"),
                                           .mode = direction(mode),
                                           .inflation = inflation,
                                           .clock = clock,
                                           .max_buckets = max_buckets,
                                           .min_length = min_length});
          }),
          py::kw_only(), py::arg("arl") = 10'000.0, py::arg("warning_arl") = py::none(), py::arg("mode") = "up",
          py::arg("inflation") = 1.0, py::arg("clock") = 16, py::arg("max_buckets") = 8, py::arg("min_length") = 5)
      .def(
          "likeliest",
          [](const CutScan& scan) {
            const CutScan::Cut cut = scan.likeliest();
            using namespace py::literals;
            return py::dict("newer"_a = cut.newer, "statistic"_a = cut.statistic, "before"_a = cut.before,
                            "after"_a = cut.after);
          },
          R"(The likeliest change in the window as it stands, however unlikely.

newer: how many events came after it, 0 where there is none; statistic: to be held against `threshold`; before, after:
the means, NaN where there is none.)")
      .def_property(
          "inflation", [](const CutScan& scan) { return scan.options().inflation; },
          [](CutScan& scan, double inflation) {
            if (scan.inflate(inflation)) return;
            throw py::value_error("inflation is " + show(inflation) + ", must be in [1, 1e6]");
          },
          "See the class; may be set once it is known better. Raises ValueError below 1.")
      .def_property_readonly("width", &CutScan::width, "Events in the window.")
      .def_property_readonly("newer", &CutScan::newer,
                             "Of the last drift, how many events had come after the change when it was found.")
      .def_property_readonly("before", &CutScan::before, "Of the last drift, the mean before it; NaN where none was.")
      .def_property_readonly("after", &CutScan::after, "Of the last drift, the mean after it; NaN where none was.")
      .def_property_readonly("estimation", &CutScan::estimation, "Mean of the window; NaN while it is empty.")
      .def_property_readonly("statistic", &CutScan::statistic,
                             "Of the last test, to be held against `threshold`; 0 where no cut came near a warning.")
      .def_property_readonly("threshold", &CutScan::threshold, "Above it is a drift; it follows from arl and mode.");
  add_common(cls, "CutScan");
}

}  // namespace

void bind_detectors(py::module_& m) {
  bind_adwin(m);
  bind_page_hinkley(m);
  bind_cusum(m);
  bind_kswin(m);
  bind_ddm(m);
  bind_eddm(m);
  bind_hddm(m);
  bind_cut_scan(m);
}

}  // namespace fairlead::bindings
