// Records in memory, from an archive: into new segments, or folded into settled forecasts.
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/journal/reader.hpp"
#include "fairlead/journal/scored.hpp"
#include "journal_errors.hpp"
#include "records.hpp"

namespace fairlead::bindings {

namespace {

class SegmentWriter {
 public:
  SegmentWriter(const std::string& folder, std::uint64_t segment_bytes) {
    if (segment_bytes < 4096) {
      throw py::value_error("segment_bytes is " + std::to_string(segment_bytes) + ", must be at least 4096");
    }
    journal::LogOptions options;
    options.segment_bytes = segment_bytes;
    journal::Recovery recovery;
    check(journal::SegmentLog::open(folder, options, log_, recovery));
  }

  void append(py::handle records, Time now) {
    const auto given = record_bytes(records);
    (void)count_records(given);
    std::vector<std::byte> bytes(given.begin(), given.end());  // checksums are filled in, in place
    check(log_.append(bytes, now));
  }

  void sync() { check(log_.sync()); }
  void close() { check(log_.close()); }
  journal::Seq written() const noexcept { return log_.written(); }

 private:
  journal::SegmentLog log_;
};

template <class T>
py::array column(std::vector<T>&& values) {
  auto* const kept = new std::vector<T>(std::move(values));
  const py::capsule owner(kept, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(static_cast<py::ssize_t>(kept->size()), kept->data(), owner);
}

class ScoredRecords {
 public:
  void apply(py::handle records) {
    const auto bytes = record_bytes(records);
    (void)count_records(bytes);
    for (const journal::Event event : journal::Events(bytes)) {
      if (scored_.apply(event) != Status::ok) ++bad_;
    }
  }

  py::dict rows() {
    journal::ScoredRows r = scored_.take();
    py::dict out;
    const auto put = [&out](const char* name, auto& values) { out[name] = column(std::move(values)); };
    put("seq", r.seq), put("time", r.time), put("task", r.task), put("model", r.model), put("category", r.category);
    put("kind", r.kind), put("scored", r.scored), put("correct", r.correct), put("calls", r.calls);
    put("failed", r.failed), put("unpriced", r.unpriced), put("outcome", r.outcome), put("loss", r.loss);
    put("log_loss", r.log_loss), put("latency_ms", r.latency_ms), put("cost_usd", r.cost_usd);
    put("profit_usd", r.profit_usd), put("stake_usd", r.stake_usd), put("tokens_in", r.tokens_in);
    put("tokens_out", r.tokens_out);
    return out;
  }

  std::uint64_t bad() const noexcept { return bad_; }
  std::uint64_t unknown() const noexcept { return scored_.unknown(); }

 private:
  journal::Scored scored_;
  std::uint64_t bad_ = 0;
};

}  // namespace

void bind_journal_restore(py::module_& m) {
  using namespace py::literals;
  py::class_<SegmentWriter>(m, "SegmentWriter", R"(Whole records, as `journal_rebuild` gives them, into segments.

Takes no lock: for a folder that nobody else writes. Numbers must follow those that are there.)")
      .def(py::init<const std::string&, std::uint64_t>(), "folder"_a, "segment_bytes"_a = std::uint64_t{64} << 20)
      .def("append", &SegmentWriter::append, "records"_a, "now"_a = Time{0})
      .def("sync", &SegmentWriter::sync, "Makes all of it durable.")
      .def("close", &SegmentWriter::close, "Syncs and seals.")
      .def_property_readonly("written", &SegmentWriter::written, "Number of the last event that was written.");
  py::class_<ScoredRecords>(m, "ScoredRecords",
                            "Settled forecasts of records in memory, a row for each model that was asked about a task.")
      .def(py::init<>())
      .def("apply", &ScoredRecords::apply, "records"_a, "Folds whole records, in their order.")
      .def("rows", &ScoredRecords::rows, "The rows since the last call, as numpy arrays by column.")
      .def_property_readonly("bad", &ScoredRecords::bad, "Events whose payload is not what its type says.")
      .def_property_readonly("unknown", &ScoredRecords::unknown, "Forecasts and outcomes of tasks that were not seen.");
}

}  // namespace fairlead::bindings
