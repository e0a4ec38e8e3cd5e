// Reading, checking and repairing a journal. The writer: journal.cpp.
#include "fairlead/journal/reader.hpp"

#include <pybind11/stl.h>

#include <cstring>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "common.hpp"
#include "busy.hpp"
#include "events.hpp"
#include "journal_errors.hpp"

namespace fairlead::bindings {

namespace {

using journal::Event;
using journal::Failure;
using journal::RecordHeader;
using journal::Seq;
using journal::Table;
using journal::Type;
using Strings = std::vector<std::string>;

constexpr std::size_t gathered_bytes = std::size_t{1} << 20;

Type type_from(const std::string& name) {
  for (std::uint16_t n = static_cast<std::uint16_t>(Type::name); n <= static_cast<std::uint16_t>(Type::custom); ++n) {
    if (!name.empty() && journal::type_name(static_cast<Type>(n)) == name) return static_cast<Type>(n);
  }
  throw py::value_error("types holds '" + name + "', which is no type of event");
}

std::string name_of_type(Type type) {
  const std::string_view known = journal::type_name(type);
  return known.empty() ? "type " + std::to_string(static_cast<int>(type)) : std::string(known);
}

class Reader {
 public:
  Reader(const std::string& folder, Seq first, std::optional<Seq> last, std::optional<Time> start,
         std::optional<Time> end, const std::optional<Strings>& types, const std::optional<Strings>& models,
         const std::optional<Strings>& categories) {
    journal::Query query;
    query.first = first;
    if (last) query.last = *last;
    if (start) query.start = *start;
    if (end) query.end = *end;
    for (const std::string& type : types.value_or(Strings{})) query.types.push_back(type_from(type));
    // An empty list wants none, not all.
    if ((types && types->empty()) || (models && models->empty()) || (categories && categories->empty())) query.last = 0;
    query.models = models.value_or(Strings{});
    query.categories = categories.value_or(Strings{});
    Failure failure;
    {
      const py::gil_scoped_release unlocked;
      failure = journal::JournalReader::open(folder, query, reader_);
    }
    check(failure);
  }

  py::object next() {
    const py::list found = read(1);
    return found.size() == 0 ? py::object(py::none()) : py::object(found[0]);
  }

  // Events are gathered without the GIL, then turned into Python's with it. What goes wrong is told when all before it
  // was given.
  py::list read(std::size_t most) {
    const Busy busy(busy_);
    py::list out;
    while (out.size() < most) {
      if (at_ == gathered_.size()) {
        bool end = false;
        Failure failure;
        {
          const py::gil_scoped_release unlocked;
          failure = gather(most - out.size(), end);
        }
        if (failure && gathered_.empty() && out.size() == 0) check(failure);
        if (gathered_.empty() && (failure || end)) break;
      }
      try {
        while (at_ < gathered_.size()) out.append(take());
      } catch (const std::exception&) {
        if (out.size() == 0) throw;
        at_ = taken_;
        return out;
      }
    }
    return out;
  }

  Seq position() const { return position_; }
  py::bytes id() const {
    const auto& id = reader_.id();
    return {reinterpret_cast<const char*>(id.data()), id.size()};
  }
  Strings names(const std::string& table) const {
    if (busy_) throw std::runtime_error("the reader is in use by another thread");
    if (table != "models" && table != "categories") throw py::value_error("table is '" + table + "', must be 'models' or 'categories'");
    const NameTable& names = reader_.names(table == "models" ? Table::models : Table::categories);
    Strings out;
    for (std::int32_t i = 0; i < names.size(); ++i) out.push_back(names.name(i));
    return out;
  }

 private:
  Failure gather(std::size_t most, bool& end) {
    gathered_.clear();
    at_ = 0;
    Failure failure;
    for (std::size_t n = 0; n < most && gathered_.size() < gathered_bytes; ++n) {
      Event event;
      failure = reader_.next(event);
      end = event.header == nullptr;
      if (failure || end) break;
      const auto* const bytes = reinterpret_cast<const std::byte*>(event.header);
      gathered_.insert(gathered_.end(), bytes, bytes + journal::padded(event.header->length));
    }
    if (gathered_.empty()) position_ = reader_.position();
    return failure;
  }

  py::tuple take() {
    const Event event{reinterpret_cast<const RecordHeader*>(gathered_.data() + at_)};
    const RecordHeader& header = *event.header;
    taken_ = at_;
    at_ += journal::padded(header.length);
    position_ = at_ == gathered_.size() ? reader_.position() : header.seq;
    return py::make_tuple(header.seq, header.time, type(header.type), name(Table::models, header.model),
                          name(Table::categories, header.category), event_data(event, reader_.names(Table::models)));
  }

  py::object type(Type type) {
    py::object& known = types_[static_cast<std::uint16_t>(type)];
    if (!known) known = py::str(name_of_type(type));
    return known;
  }
  py::object name(Table table, std::int32_t id) {
    const NameTable& names = reader_.names(table);
    if (id < 0 || id >= names.size()) return py::none();
    auto& made = names_[static_cast<std::size_t>(table)];
    const auto at = static_cast<std::size_t>(id);
    if (made.size() <= at) made.resize(static_cast<std::size_t>(names.size()));
    if (!made[at]) made[at] = name_of(names, id);
    return made[at];
  }

  journal::JournalReader reader_;
  Seq position_ = 0;
  bool busy_ = false;
  std::vector<std::byte> gathered_;
  std::size_t at_ = 0, taken_ = 0;  // of the event that comes next, and of the last
  std::map<std::uint16_t, py::object> types_;
  std::vector<py::object> names_[journal::n_tables];
};

py::dict verify(const std::string& folder) {
  using namespace py::literals;
  journal::VerifyReport report;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = journal::verify(folder, report);
  }
  check(failure);
  py::list segments;
  for (const journal::SegmentReport& s : report.segments) {
    segments.append(py::dict("file"_a = s.file, "bytes"_a = s.bytes, "events"_a = s.events, "first"_a = s.first,
                             "last"_a = s.last, "earliest"_a = s.earliest, "latest"_a = s.latest, "sealed"_a = s.sealed,
                             "problem"_a = s.problem, "problem_at"_a = s.problem_at, "torn"_a = s.torn));
  }
  return py::dict("segments"_a = segments, "events"_a = report.events, "whole"_a = report.whole);
}

py::dict recovery_dict(const journal::Recovery& found) {
  using namespace py::literals;
  return py::dict("events"_a = found.events, "cut_bytes"_a = found.cut_bytes, "cut_from"_a = found.cut_from,
                  "kept_in"_a = found.kept_in, "given_up"_a = found.given_up, "given_up_known"_a = found.given_up_known);
}

py::dict repair(const std::string& folder, bool accept_loss) {
  journal::Recovery found;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = journal::repair(folder, accept_loss, found);
  }
  check(failure);
  return recovery_dict(found);
}

py::dict stats(const std::string& folder) {
  using namespace py::literals;
  std::map<Type, std::uint64_t> by_type;
  std::uint64_t events = 0, bytes = 0;
  Seq first = 0, last = 0;
  Time earliest = 0, latest = 0;
  bool timed = false;
  journal::JournalReader reader;
  Failure failure;
  {
    const py::gil_scoped_release unlocked;
    failure = journal::JournalReader::open(folder, {}, reader);
    while (!failure) {
      std::span<const std::byte> run;
      failure = reader.run(run);
      if (failure || run.empty()) break;
      bytes += run.size();
      for (const Event event : journal::Events(run)) {
        const RecordHeader& header = *event.header;
        if (events == 0) first = header.seq;
        ++by_type[header.type];
        ++events;
        if (header.type <= Type::dropped) continue;  // the journal's own events have no time of their own
        earliest = timed ? std::min(earliest, header.time) : header.time;
        latest = timed ? std::max(latest, header.time) : header.time;
        timed = true;
      }
    }
    last = reader.position();
  }
  check(failure);
  std::map<std::string, std::uint64_t> named;
  for (const auto& [type, n] : by_type) named[name_of_type(type)] += n;
  const auto all = [&](Table table) {
    Strings out;
    for (std::int32_t i = 0; i < reader.names(table).size(); ++i) out.push_back(reader.names(table).name(i));
    return out;
  };
  return py::dict("bytes"_a = bytes, "events"_a = events, "by_type"_a = named, "first"_a = events > 0 ? first : 0,
                  "last"_a = events > 0 ? last : 0, "earliest"_a = earliest, "latest"_a = latest,
                  "models"_a = all(Table::models), "categories"_a = all(Table::categories));
}

// The segments alone, without ring and thread: for tests of readers.
class Log {
 public:
  Log(const std::string& folder, std::uint64_t segment_bytes) {
    check(journal::SegmentLog::open(folder, {.segment_bytes = segment_bytes}, log_, recovery_));
  }
  Seq append(const std::string& type, Time time, const std::optional<std::string>& model,
             const std::optional<std::string>& category, const std::string& payload) {
    const std::int32_t model_number = number(Table::models, model), category_number = number(Table::categories, category);
    return put(type_from(type), time, model_number, category_number, payload);
  }
  void sync() { check(log_.sync()); }
  void close() { check(log_.close()); }
  py::dict recovery() const { return recovery_dict(recovery_); }

 private:
  std::int32_t number(Table table, const std::optional<std::string>& name) {
    if (!name) return NameTable::absent;
    const std::int32_t known = log_.names(table).find(*name);
    if (known != NameTable::absent) return known;
    const auto id = static_cast<std::uint32_t>(log_.names(table).size());
    const auto bytes = static_cast<std::uint32_t>(name->size());
    std::string payload(1, static_cast<char>(table));
    payload.append(reinterpret_cast<const char*>(&id), sizeof id);
    payload.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
    (void)put(Type::name, 0, NameTable::absent, NameTable::absent, payload + *name);
    return static_cast<std::int32_t>(id);
  }
  Seq put(Type type, Time time, std::int32_t model, std::int32_t category, const std::string& payload) {
    RecordHeader header;
    header.length = static_cast<std::uint32_t>(sizeof header + payload.size());
    header.type = type;
    header.seq = log_.written() + 1;
    header.time = time;
    header.model = model;
    header.category = category;
    std::vector<std::byte> record(journal::padded(header.length));
    std::memcpy(record.data(), &header, sizeof header);
    if (!payload.empty()) std::memcpy(record.data() + sizeof header, payload.data(), payload.size());
    check(log_.append(record, 0));
    return log_.written();
  }

  journal::SegmentLog log_;
  journal::Recovery recovery_;
};

}  // namespace

void bind_journal_reader(py::module_& m) {
  using namespace py::literals;
  py::class_<Reader>(m, "JournalReader", R"(Reads the events of a journal in order, and follows its tail.

Takes no lock and never waits for the writer, in this process or another. Every record is checked against its checksum and
the one before it. `first`, `last`: numbers; `start`, `end`: times of the events, in [start, end); `types`, `models`,
`categories`: lists of names, None for all. Parts that the segments' index rules out are passed over unread.

Raises JournalError where the folder holds no journal, JournalDamagedError where it is damaged: at the damage.

>>> import tempfile
>>> from fairlead._core import JournalReader, SegmentLog
>>> with tempfile.TemporaryDirectory() as desk:
...     log = SegmentLog(desk)
...     n = log.append("note", 7, "gpt", None, b'{"text": "hello"}')
...     reader = JournalReader(desk, types=["note"])
...     print(reader.next(), reader.next(), reader.position == n)
(2, 7, 'note', 'gpt', None, {'text': 'hello'}) None True)")
      .def(py::init<const std::string&, Seq, std::optional<Seq>, std::optional<Time>, std::optional<Time>,
                    const std::optional<Strings>&, const std::optional<Strings>&, const std::optional<Strings>&>(),
           "folder"_a, "first"_a = 1, "last"_a = py::none(), "start"_a = py::none(), "end"_a = py::none(),
           "types"_a = py::none(), "models"_a = py::none(), "categories"_a = py::none())
      .def("next", &Reader::next,
           "The next event as (seq, time, type, model, category, data), None at the end of what is written: call again later.")
      .def("read", &Reader::read, "max_events"_a, "Up to so many events, as `next` gives them; fewer at the end.")
      .def("names", &Reader::names, "table"_a, "All names of \"models\" or \"categories\" that were read so far.")
      .def_property_readonly("position", &Reader::position, "Number of the last event passed, 0 before the first.")
      .def_property_readonly("id", &Reader::id, "The journal's own 16 bytes, drawn when it was made.");

  py::class_<Log>(m, "SegmentLog", R"(The segments of a journal without its ring: for tests. Each event is one write.

>>> import tempfile
>>> from fairlead._core import SegmentLog
>>> with tempfile.TemporaryDirectory() as desk:
...     log = SegmentLog(desk)
...     print(log.append("note", 7, "gpt", None, "{}"), log.recovery["cut_bytes"])
...     log.close()
2 0)")
      .def(py::init<const std::string&, std::uint64_t>(), "folder"_a, "segment_bytes"_a = std::uint64_t{64} << 20)
      .def("append", &Log::append, "type"_a, "time"_a, "model"_a, "category"_a, "payload"_a, "Writes one event; gives its number.")
      .def("sync", &Log::sync, "Makes all that was appended durable.")
      .def("close", &Log::close, "Syncs and seals.")
      .def_property_readonly("recovery", &Log::recovery, "What opening found, as journal_repair gives it.");

  m.def("journal_verify", &verify, "folder"_a, "Checks every record of every segment: a dict with `segments`, `events`, `whole`.");
  m.def("journal_repair", &repair, "folder"_a, "accept_loss"_a = false,
        "Cuts the torn end of a journal that nobody writes: a dict with `events`, `cut_bytes`, `cut_from`, `kept_in`,\n"
        "`given_up`, `given_up_known`.");
  m.def("journal_stats", &stats, "folder"_a, "Counts all events: a dict.");
}

}  // namespace fairlead::bindings
