// What the tests of the live journal share: a folder that goes away, a disk that refuses, and reading all back.
#pragma once

#include <doctest/doctest.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fairlead/journal.hpp"

namespace fairlead::test {

class Folder {
 public:
  Folder() {
    std::string name = (std::filesystem::temp_directory_path() / "fairlead-XXXXXX").string();
    REQUIRE(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~Folder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline std::string bytes_of(const std::string& path) {
  std::ostringstream all;
  all << std::ifstream(path, std::ios::binary).rdbuf();
  return all.str();
}

inline void put_bytes(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

// A disk that can be told to refuse, or to hold up whoever writes.
class SwitchedDisk : public journal::Disk {
 public:
  std::atomic<bool> full{false}, held{false}, broken{false};
  std::atomic<int> syncs{0}, refusals{0};

  std::int64_t write(int file, const void* bytes, std::size_t n, std::uint64_t offset) noexcept override {
    while (held.load()) std::this_thread::yield();
    if (full.load()) return ++refusals, -ENOSPC;
    return Disk::write(file, bytes, n, offset);
  }
  int allocate(int file, std::uint64_t n) noexcept override { return full.load() ? -ENOSPC : Disk::allocate(file, n); }
  int sync(int file) noexcept override {
    ++syncs;
    return broken.load() ? -EIO : Disk::sync(file);
  }
};

struct Read {
  journal::RecordHeader header;
  std::string payload;
};

inline std::vector<Read> read_all(const std::string& folder) {
  journal::JournalReader reader;
  journal::Failure failure = journal::JournalReader::open(folder, {}, reader);
  REQUIRE_MESSAGE(!failure, failure.what);
  std::vector<Read> out;
  for (;;) {
    journal::Event event;
    failure = reader.next(event);
    REQUIRE_MESSAGE(!failure, failure.what);
    if (event.header == nullptr) return out;
    out.push_back({*event.header, std::string(reinterpret_cast<const char*>(event.payload()), event.payload_size())});
  }
}

inline std::span<const std::byte> as_bytes(std::string_view text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline std::unique_ptr<Journal> open(const std::string& folder, const JournalOptions& options = {},
                                     journal::Recovery* recovery = nullptr,
                                     journal::Disk& disk = journal::Disk::real()) {
  std::unique_ptr<Journal> out;
  journal::Recovery unused;
  const journal::Failure failure = Journal::open(folder, options, out, recovery ? *recovery : unused, disk);
  REQUIRE_MESSAGE(!failure, failure.what);
  return out;
}

}  // namespace fairlead::test
