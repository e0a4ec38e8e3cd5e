// Events as columns: numpy arrays that lie where the C++ columns do, laid out as Arrow's buffers are.
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "arrays.hpp"
#include "busy.hpp"
#include "events.hpp"
#include "fairlead/checksum.hpp"
#include "fairlead/journal/columns.hpp"
#include "journal_errors.hpp"
#include "records.hpp"

namespace fairlead::bindings {

namespace {

using journal::Columns;
using journal::ColumnsView;
using journal::ListView;
using journal::NumberView;
using journal::TextsView;

// --- to Python ---

template <class T>
py::object wrap(const T* data, std::size_t n, const py::object& owner) {
  if constexpr (std::is_same_v<T, char>) {
    return py::array_t<std::uint8_t>(static_cast<py::ssize_t>(n), reinterpret_cast<const std::uint8_t*>(data), owner);
  } else {
    return py::array_t<T>(static_cast<py::ssize_t>(n), data, owner);
  }
}

py::object bits(const std::uint8_t* valid, std::size_t rows, const py::object& owner) {
  return valid == nullptr ? py::object(py::none()) : wrap(valid, (rows + 7) / 8, owner);
}

// None where no row is there; (bits or None, values), (bits or None, offsets, items), or for lists of texts
// (bits or None, offsets, offsets of the texts, their bytes).
template <class T>
py::object wrap(const NumberView<T>& column, std::size_t rows, const py::object& owner) {
  if (column.values.empty()) return py::none();
  return py::make_tuple(bits(column.valid, rows, owner), wrap(column.values.data(), rows, owner));
}
template <class T>
py::object wrap(const ListView<T>& column, std::size_t rows, const py::object& owner) {
  if (column.offsets.empty()) return py::none();
  return py::make_tuple(bits(column.valid, rows, owner), wrap(column.offsets.data(), rows + 1, owner),
                        wrap(column.items.data(), column.items.size(), owner));
}
py::object wrap(const TextsView& column, std::size_t rows, const py::object& owner) {
  if (column.offsets.empty()) return py::none();
  const auto& texts = column.items;
  return py::make_tuple(bits(column.valid, rows, owner), wrap(column.offsets.data(), rows + 1, owner),
                        wrap(texts.offsets.data(), texts.offsets.size(), owner),
                        wrap(texts.items.data(), texts.items.size(), owner));
}

py::dict wrap(std::unique_ptr<Columns> columns) {
  ColumnsView view = columns->view();
  const py::capsule owner(columns.release(), [](void* p) { delete static_cast<Columns*>(p); });
  py::dict out;
  view.each([&](const char* name, const auto& column) { out[name] = wrap(column, view.size, owner); });
  py::list given;
  for (const std::string_view name : view.given) given.append(py::str(name.data(), name.size()));
  out["given"] = given;
  return out;
}

// --- from Python ---

template <class T>
std::span<const T> span_of(py::handle given, std::size_t least, const char* name) {
  const py::array array = py::array::ensure(given);
  if (!array || array.ndim() != 1 || array.itemsize() != sizeof(T) || (array.flags() & py::array::c_style) == 0) {
    PyErr_Clear();
    throw py::type_error(std::string(name) + " must have contiguous arrays of its type");
  }
  if (array.ptr() != given.ptr()) throw py::type_error(std::string(name) + " must have numpy arrays");
  if (static_cast<std::size_t>(array.size()) < least) {
    throw py::value_error(std::string(name) + " has " + std::to_string(array.size()) + " values, must have at least " +
                          std::to_string(least));
  }
  return {static_cast<const T*>(array.data()), static_cast<std::size_t>(array.size())};
}

py::tuple parts(py::handle given, std::size_t n, const char* name) {
  if (!py::isinstance<py::tuple>(given) || py::len(given) != n) {
    throw py::type_error(std::string(name) + " must be None or a tuple of " + std::to_string(n) + " arrays");
  }
  return py::reinterpret_borrow<py::tuple>(given);
}

const std::uint8_t* valid_bits(py::handle given, std::size_t rows, const char* name) {
  return given.is_none() ? nullptr : span_of<std::uint8_t>(given, (rows + 7) / 8, name).data();
}

template <class T>
void unwrap(py::handle given, std::size_t rows, const char* name, NumberView<T>& out) {
  const py::tuple from = parts(given, 2, name);
  out = {span_of<T>(from[1], rows, name), valid_bits(from[0], rows, name)};
}
template <class T>
void unwrap(py::handle given, std::size_t rows, const char* name, ListView<T>& out) {
  const py::tuple from = parts(given, 3, name);
  out = {span_of<std::int32_t>(from[1], rows + 1, name), span_of<T>(from[2], 0, name), valid_bits(from[0], rows, name)};
}
void unwrap(py::handle given, std::size_t rows, const char* name, TextsView& out) {
  const py::tuple from = parts(given, 4, name);
  out.offsets = span_of<std::int32_t>(from[1], rows + 1, name);
  out.items = {span_of<std::int32_t>(from[2], 0, name), span_of<char>(from[3], 0, name), nullptr};
  out.valid = valid_bits(from[0], rows, name);
}

NameTable table(const std::vector<std::string>& names) {
  NameTable out;
  for (const auto& name : names) (void)out.intern(name);
  return out;
}

py::array_t<std::uint8_t> bytes_of(std::vector<std::byte>&& bytes) {
  auto* const kept = new std::vector<std::byte>(std::move(bytes));
  const py::capsule owner(kept, [](void* p) { delete static_cast<std::vector<std::byte>*>(p); });
  return py::array_t<std::uint8_t>(static_cast<py::ssize_t>(kept->size()),
                                   reinterpret_cast<const std::uint8_t*>(kept->data()), owner);
}

py::array_t<std::uint8_t> rebuild(std::size_t rows, const py::dict& columns, const std::vector<std::string>& categories) {
  ColumnsView view;
  view.size = rows;
  std::vector<std::string> names;
  if (columns.contains("given")) names = columns["given"].cast<std::vector<std::string>>();
  view.given.assign(names.begin(), names.end());
  view.each([&](const char* name, auto& column) {
    if (!columns.contains(name)) throw py::key_error(std::string("there is no column ") + name);
    const py::object given = columns[name];
    if (!given.is_none()) unwrap(given, rows, name, column);
  });
  std::vector<std::byte> out;
  std::size_t bad = 0;
  Status status = Status::ok;
  {
    const py::gil_scoped_release unlocked;
    status = journal::rebuild(view, table(categories), out, bad);
  }
  check(status, "row " + std::to_string(bad) + " of the columns");
  return bytes_of(std::move(out));
}

std::uint32_t crc32c_of(const py::buffer& data, std::uint32_t before) {
  const py::buffer_info info = data.request();
  if (!PyBuffer_IsContiguous(info.view(), 'C')) throw py::value_error("data is not contiguous");
  const std::span bytes(static_cast<const std::byte*>(info.ptr), static_cast<std::size_t>(info.size * info.itemsize));
  const py::gil_scoped_release unlocked;
  return crc32c(bytes, before);
}

py::dict columns_of(py::handle records, const std::vector<std::string>& models,
                    const std::vector<std::string>& categories) {
  const auto bytes = record_bytes(records);
  auto columns = std::make_unique<Columns>(count_records(bytes));
  {
    const py::gil_scoped_release unlocked;
    const NameTable model_names = table(models), category_names = table(categories);
    for (const journal::Event event : journal::Events(bytes)) columns->add(event, model_names, category_names);
  }
  return wrap(std::move(columns));
}

py::list events_of(py::handle records, const std::vector<std::string>& models,
                   const std::vector<std::string>& categories) {
  const auto bytes = record_bytes(records);
  (void)count_records(bytes);
  const NameTable model_names = table(models), category_names = table(categories);
  py::list out;
  for (const journal::Event event : journal::Events(bytes)) {
    const journal::RecordHeader& header = *event.header;
    const std::string_view known = journal::type_name(header.type);
    const std::string type = known.empty() ? "type " + std::to_string(static_cast<int>(header.type)) : std::string(known);
    out.append(py::make_tuple(header.seq, header.time, type, name_of(model_names, header.model),
                              name_of(category_names, header.category), event_data(event, model_names)));
  }
  return out;
}

// --- a journal ---

class Reader {
 public:
  Reader(const std::string& folder, const journal::Query& query) {
    journal::Failure failure;
    {
      const py::gil_scoped_release unlocked;
      failure = journal::ColumnReader::open(folder, query, reader_);
    }
    check(failure);
  }

  py::object read(std::size_t rows, bool keep_records) {
    if (rows == 0 || rows > std::size_t{1} << 27) {
      throw py::value_error("rows is " + std::to_string(rows) + ", must be from 1 to 2**27");
    }
    const Busy busy(busy_);
    auto columns = std::make_unique<Columns>(rows);
    std::vector<std::byte> records;
    journal::Failure failure;
    {
      const py::gil_scoped_release unlocked;
      failure = reader_.next(*columns, keep_records ? &records : nullptr);
    }
    check(failure);
    const std::size_t n = columns->size();
    if (n == 0) return py::none();
    return py::make_tuple(n, wrap(std::move(columns)), keep_records ? py::object(bytes_of(std::move(records))) : py::none());
  }

  py::list names(journal::Table table) const {
    const Busy busy(busy_);
    const NameTable& names = reader_.journal().names(table);
    py::list out;
    for (std::int32_t i = 0; i < names.size(); ++i) out.append(name_of(names, i));
    return out;
  }
  py::bytes id() const {
    const auto& id = reader_.journal().id();
    return {reinterpret_cast<const char*>(id.data()), id.size()};
  }
  journal::Seq position() const noexcept { return reader_.position(); }
  bool gap() const noexcept { return reader_.gap(); }

 private:
  journal::ColumnReader reader_;
  mutable bool busy_ = false;
};

std::unique_ptr<Reader> open(const std::string& folder, journal::Seq first, std::optional<journal::Seq> last,
                             std::optional<Time> start, std::optional<Time> end, const std::vector<std::uint16_t>& types,
                             std::vector<std::string> models, std::vector<std::string> categories) {
  journal::Query query;
  query.first = first;
  query.last = last.value_or(query.last);
  query.start = start.value_or(query.start);
  query.end = end.value_or(query.end);
  for (const std::uint16_t type : types) query.types.push_back(static_cast<journal::Type>(type));
  query.models = std::move(models);
  query.categories = std::move(categories);
  return std::make_unique<Reader>(folder, query);
}

}  // namespace

void bind_journal_columns(py::module_& m) {
  using namespace py::literals;
  py::class_<Reader>(m, "JournalColumns", R"(A journal in batches of columns, as Arrow lays them out.

`read(rows)` gives (number of rows, {column: buffers}, records or None), or None at the end of what is written, and where
numbers are missing (`gap`). Buffers are numpy arrays that share the memory of the batch: None where the column is empty,
else (bits of what is there or None, values), with offsets before the values of lists and texts.
`records` are the events' bytes, `crc` and `prev` 0: what `journal_rebuild` must give.)")
      .def(py::init(&open), "folder"_a, py::kw_only(), "first"_a = 1, "last"_a = py::none(), "start"_a = py::none(),
           "end"_a = py::none(), "types"_a = std::vector<std::uint16_t>{}, "models"_a = std::vector<std::string>{},
           "categories"_a = std::vector<std::string>{})
      .def("read", &Reader::read, "rows"_a = std::size_t{1} << 18, "keep_records"_a = false,
           "The next batch of at most so many rows.")
      .def_property_readonly("models", [](const Reader& r) { return r.names(journal::Table::models); },
                             "Names of models, as of what was read.")
      .def_property_readonly("categories", [](const Reader& r) { return r.names(journal::Table::categories); },
                             "Names of categories, as of what was read.")
      .def_property_readonly("id", &Reader::id, "16 bytes that are this journal's own.")
      .def_property_readonly("position", &Reader::position, "Number of the last event passed.")
      .def_property_readonly("gap", &Reader::gap, "True where the number after `position` is missing.");
  py::dict types;
  for (const journal::Type type : journal::column_types) {
    const std::string_view name = journal::type_name(type);
    types[py::str(name.data(), name.size())] = static_cast<int>(type);
  }
  m.attr("EVENT_TYPES") = types;
  py::tuple statuses(journal::run_status_names.size());
  for (std::size_t i = 0; i < statuses.size(); ++i) {
    statuses[i] = py::str(journal::run_status_names[i].data(), journal::run_status_names[i].size());
  }
  m.attr("RUN_STATUSES") = statuses;
  m.def("crc32c", &crc32c_of, "data"_a, "before"_a = 0, R"(The CRC-32C (Castagnoli) of bytes, or of bytes that follow others whose sum is `before`.

>>> from fairlead._core import crc32c
>>> hex(crc32c(b"123456789"))
'0xe3069283'
>>> crc32c(b"6789", crc32c(b"12345")) == crc32c(b"123456789")
True)");
  m.def("journal_columns", &columns_of, "records"_a, "models"_a, "categories"_a,
        "Records in memory, whole and padded, as {column: buffers}.");
  m.def("journal_events", &events_of, "records"_a, "models"_a, "categories"_a,
        "Records in memory as (seq, time, type, model, category, data), as JournalReader gives them.");
  m.def("journal_rebuild", &rebuild, "rows"_a, "columns"_a, "categories"_a, R"(The records of columns, bit for bit.

Raises JournalDamagedError where a row is no event.)");
}

}  // namespace fairlead::bindings
