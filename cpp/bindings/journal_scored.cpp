#include <stdexcept>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "busy.hpp"
#include "events.hpp"
#include "fairlead/journal/reader.hpp"
#include "fairlead/journal/scored.hpp"
#include "journal_errors.hpp"
#include "records.hpp"

namespace fairlead::bindings {

namespace {

using journal::Scored;
using journal::ScoredRows;

// A column without a copy: the array owns the vector.
template <class T>
py::array column(std::vector<T>&& values) {
  auto* const kept = new std::vector<T>(std::move(values));
  const py::capsule owner(kept, [](void* p) { delete static_cast<std::vector<T>*>(p); });
  return py::array_t<T>(static_cast<py::ssize_t>(kept->size()), kept->data(), owner);
}

py::list texts(const NameTable& names) {
  py::list out;
  for (std::int32_t i = 0; i < names.size(); ++i) out.append(name_of(names, i));
  return out;
}

// A reader and what it has read, folded.
class ScoredReader {
 public:
  explicit ScoredReader(const std::string& folder) { check(journal::JournalReader::open(folder, {}, reader_)); }

  std::uint64_t read(std::uint64_t most) {
    const Busy busy(busy_);
    std::uint64_t n = 0;
    journal::Failure failure;
    {
      const py::gil_scoped_release released;
      for (; n < most; ++n) {
        journal::Event event;
        if ((failure = reader_.next(event)) || event.header == nullptr) break;
        if (scored_.apply(event) != Status::ok) ++bad_;
      }
    }
    check(failure);
    return n;
  }

  // Folds archived events, which come before those of the folder.
  void apply(py::handle records, std::uint64_t last) {
    const Busy busy(busy_);
    const auto bytes = record_bytes(records);
    (void)count_records(bytes);
    for (const journal::Event event : journal::Events(bytes)) {
      if (event.header->seq > last) break;
      if (scored_.apply(event) != Status::ok) ++bad_;
    }
  }

  py::dict rows() {
    const Busy busy(busy_);
    ScoredRows r = scored_.take();
    py::dict out;
    out["seq"] = column(std::move(r.seq));
    out["time"] = column(std::move(r.time));
    out["asked"] = column(std::move(r.asked));
    out["task"] = column(std::move(r.task));
    out["model"] = column(std::move(r.model));
    out["category"] = column(std::move(r.category));
    out["kind"] = column(std::move(r.kind));
    out["scored"] = column(std::move(r.scored));
    out["correct"] = column(std::move(r.correct));
    out["happened"] = column(std::move(r.happened));
    out["calls"] = column(std::move(r.calls));
    out["failed"] = column(std::move(r.failed));
    out["value"] = column(std::move(r.value));
    out["outcome"] = column(std::move(r.outcome));
    out["loss"] = column(std::move(r.loss));
    out["log_loss"] = column(std::move(r.log_loss));
    out["shown"] = column(std::move(r.shown));
    out["confidence"] = column(std::move(r.confidence));
    out["latency_ms"] = column(std::move(r.latency_ms));
    out["cost_usd"] = column(std::move(r.cost_usd));
    out["profit_usd"] = column(std::move(r.profit_usd));
    out["stake_usd"] = column(std::move(r.stake_usd));
    out["tokens_in"] = column(std::move(r.tokens_in));
    out["tokens_out"] = column(std::move(r.tokens_out));
    out["context_start"] = column(std::move(r.context_start));
    out["context"] = column(std::move(r.context));
    return out;
  }

  py::list models() const { return Busy(busy_), texts(reader_.names(journal::Table::models)); }
  py::list categories() const { return Busy(busy_), texts(reader_.names(journal::Table::categories)); }
  py::list contexts() const { return Busy(busy_), texts(scored_.contexts()); }
  std::uint64_t position() const { return Busy(busy_), reader_.position(); }
  std::size_t open_tasks() const { return Busy(busy_), scored_.open_tasks(); }
  std::uint64_t unknown() const { return Busy(busy_), scored_.unknown(); }
  std::uint64_t bad() const { return Busy(busy_), bad_; }

 private:
  journal::JournalReader reader_;
  Scored scored_;
  std::uint64_t bad_ = 0;
  mutable bool busy_ = false;
};

}  // namespace

void bind_journal_scored(py::module_& m) {
  py::class_<ScoredReader>(m, "ScoredReader",
                           "Settled forecasts of a journal as columns, one row for each model that was asked about a task,\n"
                           "made when the task ends. The marks are those of the Scoreboard; NaN where nothing was scored.")
      .def(py::init<const std::string&>(), py::arg("folder"))
      .def("read", &ScoredReader::read, py::arg("most") = std::uint64_t{1} << 62,
           "Reads on, up to so many events; returns how many there were.")
      .def("apply", &ScoredReader::apply, py::arg("records"), py::arg("last"),
           "Folds whole records out of an archive, up to event `last`; to be called before `read`, in their order.")
      .def("rows", &ScoredReader::rows, "The rows since the last call, as numpy arrays by column.")
      .def_property_readonly("models", &ScoredReader::models)
      .def_property_readonly("categories", &ScoredReader::categories)
      .def_property_readonly("contexts", &ScoredReader::contexts)
      .def_property_readonly("position", &ScoredReader::position)
      .def_property_readonly("open_tasks", &ScoredReader::open_tasks)
      .def_property_readonly("unknown", &ScoredReader::unknown)
      .def_property_readonly("bad", &ScoredReader::bad);
}

}  // namespace fairlead::bindings
