// What the journal's tests share: batches of events whose payloads say what they must be, and folders that go away.
#pragma once

#include <doctest/doctest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <unistd.h>
#include <vector>

#include "fairlead/journal/events.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/journal/reader.hpp"

namespace desk {

namespace fs = std::filesystem;
using namespace fairlead::journal;
using fairlead::NameTable;
using fairlead::Status;
using fairlead::Time;

struct Folder {
  fs::path path;
  Folder() {
    static int made = 0;
    path = fs::temp_directory_path() / ("fairlead-" + std::to_string(::getpid()) + "-" + std::to_string(++made));
    fs::remove_all(path);
  }
  ~Folder() { fs::remove_all(path); }
  std::string str() const { return path.string(); }
  std::string segment(Seq first, std::string_view ending = ".seg") const {
    const std::string digits = std::to_string(first);
    return (path / "segments" / (std::string(20 - digits.size(), '0') + digits + std::string(ending))).string();
  }
};

inline std::string slurp(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}
inline void spew(const std::string& path, std::string_view bytes) {
  if (fs::exists(path)) fs::permissions(path, fs::perms::owner_all);
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

// What event `seq` of these tests holds: anything else that a reader gives is wrong.
inline Time time_of(Seq seq) { return static_cast<Time>(1'000 * seq + seq % 7); }
inline std::int32_t model_of(Seq seq) { return static_cast<std::int32_t>(seq % 3) - 1; }
inline Type type_of(Seq seq) { return seq % 5 == 0 ? Type::note : seq % 2 == 0 ? Type::outcome : Type::forecast; }
inline std::string payload_of(Seq seq, std::size_t most = 60) {
  std::string bytes((seq * 7919) % (most + 1), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(seq * 31 + i);
  return bytes;
}

// Records one after the other, in memory that is aligned as records must be.
class Batch {
 public:
  std::span<std::byte> span() { return bytes_; }
  void add(Type type, Seq seq, Time time, std::int32_t model, std::int32_t category, std::string_view payload) {
    RecordHeader header;
    header.length = static_cast<std::uint32_t>(sizeof header + payload.size());
    header.type = type;
    header.seq = seq;
    header.time = time;
    header.model = model;
    header.category = category;
    const std::size_t at = bytes_.size();
    bytes_.resize(at + padded(header.length));
    std::memcpy(bytes_.data() + at, &header, sizeof header);
    if (!payload.empty()) std::memcpy(bytes_.data() + at + sizeof header, payload.data(), payload.size());
  }
  void add(Seq seq, std::size_t most = 60) { add(type_of(seq), seq, time_of(seq), model_of(seq), -1, payload_of(seq, most)); }
  void name(Seq seq, Table table, std::uint32_t id, std::string_view name) {
    std::vector<std::byte> payload(9 + name.size());
    PayloadWriter to(payload.data());
    to.put(static_cast<std::uint8_t>(table));
    to.put(id);
    to.put(name);
    add(Type::name, seq, 0, -1, -1, {reinterpret_cast<const char*>(payload.data()), payload.size()});
  }
  void gap(Seq seq, Seq n) { add(Type::gap, seq, 0, -1, -1, {reinterpret_cast<const char*>(&n), sizeof n}); }
  void clear() { bytes_.clear(); }

 private:
  std::vector<std::byte> bytes_;
};

inline Batch events(Seq first, Seq last, std::size_t most = 60) {
  Batch batch;
  for (Seq seq = first; seq <= last; ++seq) batch.add(seq, most);
  return batch;
}

inline void good(const Failure& failure) {
  INFO(failure.what);
  REQUIRE(failure.status == Status::ok);
}

// Whether an event is what `seq` of these tests must be.
inline bool is_right(const Event& event, std::size_t most = 60) {
  const Seq seq = event.header->seq;
  const std::string expected = payload_of(seq, most);
  return event.header->type == type_of(seq) && event.header->time == time_of(seq) &&
         event.header->model == model_of(seq) && event.payload_size() == expected.size() &&
         std::memcmp(event.payload(), expected.data(), expected.size()) == 0;
}

// Reads to the end. Gives how many events came, in order and right, from `first` on; fails a test otherwise.
inline Failure read_all(JournalReader& reader, Seq& next, bool& right, std::size_t most = 60) {
  for (;;) {
    Event event;
    if (Failure failure = reader.next(event)) return failure;
    if (event.header == nullptr) return {};
    if (event.header->seq != next || !is_right(event, most)) right = false;
    ++next;
  }
}

}  // namespace desk
