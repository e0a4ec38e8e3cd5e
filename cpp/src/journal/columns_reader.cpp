#include <algorithm>
#include <cstring>
#include <utility>

#include "fairlead/journal/columns.hpp"

namespace fairlead::journal {

namespace {

// Whether number `id` is one that is asked for by name. What is known of a number is kept in `known`: -1 not asked yet.
bool chosen(const std::vector<std::string>& names, const NameTable& table, std::int32_t id,
            std::vector<std::int8_t>& known) {
  if (names.empty()) return true;
  if (id < 0 || id >= table.size()) return false;
  const auto place = static_cast<std::size_t>(id);
  if (place >= known.size()) known.resize(place + 1, -1);
  if (known[place] < 0) known[place] = std::find(names.begin(), names.end(), table.name(id)) != names.end() ? 1 : 0;
  return known[place] == 1;
}

void keep(const Event& event, std::vector<std::byte>& out) {
  const std::size_t length = event.header->length, from = out.size();
  out.resize(from + padded(length));
  std::memcpy(out.data() + from, event.header, length);
  const std::uint32_t none = 0;
  std::memcpy(out.data() + from + offsetof(RecordHeader, crc), &none, sizeof none);
  std::memcpy(out.data() + from + offsetof(RecordHeader, prev), &none, sizeof none);
}

}  // namespace

Failure ColumnReader::open(const std::string& folder, const Query& query, ColumnReader& out, Disk& disk) {
  Query all;  // of the numbers that are wanted: so that one that is missing is noticed
  all.first = std::max<Seq>(query.first, 1);
  all.last = query.last;
  ColumnReader opened;
  if (Failure failure = JournalReader::open(folder, all, opened.reader_, disk)) return failure;
  opened.query_ = query;
  opened.expected_ = all.first;
  out = std::move(opened);
  return {};
}

bool ColumnReader::wanted(const RecordHeader& header) {
  const Type type = std::min(header.type, Type::custom);  // a program's own are all `custom`
  return query_.overlaps(header.time, header.time) &&
         (query_.types.empty() || std::find(query_.types.begin(), query_.types.end(), type) != query_.types.end()) &&
         chosen(query_.models, reader_.names(Table::models), header.model, models_) &&
         chosen(query_.categories, reader_.names(Table::categories), header.category, categories_);
}

Failure ColumnReader::next(Columns& out, std::vector<std::byte>* records) {
  const std::size_t before = out.size();
  while (!gap_ && !out.full() && expected_ <= query_.last) {
    if (left_.empty()) {
      if (Failure failure = reader_.run(left_)) return out.size() > before ? Failure{} : failure;  // it stays one
      if (left_.empty()) return {};
    }
    const NameTable& models = reader_.names(Table::models);
    const NameTable& categories = reader_.names(Table::categories);
    while (!left_.empty() && !out.full()) {
      const Event event{reinterpret_cast<const RecordHeader*>(left_.data())};
      const RecordHeader& header = *event.header;
      if ((header.flags & flag_own) == 0 && header.seq >= expected_) {
        if (header.seq > expected_) {
          gap_ = true;
          return {};
        }
        if (header.seq > query_.last) return {};
        std::uint64_t numbers = 1;
        if (header.type == Type::gap && event.payload_size() == sizeof numbers) {
          std::memcpy(&numbers, event.payload(), sizeof numbers);
        }
        expected_ = header.seq + std::max<std::uint64_t>(numbers, 1);
        if (wanted(header)) {
          out.add(event, models, categories);
          if (records != nullptr) keep(event, *records);
        }
      }
      left_ = left_.subspan(padded(header.length));
    }
  }
  return {};
}

}  // namespace fairlead::journal
