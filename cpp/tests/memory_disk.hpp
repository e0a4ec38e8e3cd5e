// A disk in memory that remembers every call which changes it, what was synced and when: so that a test can say what a
// power cut at any moment could have left of it.
//
// What a power cut may do here: each 512-byte sector that was written since its file was last synced is there or not,
// whatever came before or after it; so is each change of a file's size; of the changes to a folder since it was last
// synced any number of the first ones are there. After a failed sync nothing that it was about is ever sure.
#pragma once

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fairlead/journal/disk.hpp"

namespace desk {

using Bytes = std::vector<std::byte>;

class MemoryDisk : public fairlead::journal::Disk {
 public:
  struct File {
    Bytes bytes;
    int links = 0;
  };
  using Files = std::map<std::string, std::shared_ptr<File>>;

  enum class What { write, resize, create, rename, remove, sync, sync_folder };
  struct Change {
    What what;
    File* file = nullptr;       // write, resize, create, sync
    std::uint64_t offset = 0;   // write; resize: the new size
    Bytes bytes = {};
    std::string from = {}, to = {};  // create: to; rename; remove: from
    bool failed = false;        // sync
  };

  // Asked before each call that may fail: what it gives instead, or 0.
  std::function<int(const char* call)> fail = [](const char*) { return 0; };
  std::size_t most_at_once = ~std::size_t{0};  // bytes that one write takes

  Files files;
  std::vector<Change> changes;

  int open(const std::string& path, int flags) noexcept override {
    const auto at = files.find(path);
    if (at != files.end() && (flags & O_EXCL) != 0) return -EEXIST;
    if (at == files.end()) {
      if ((flags & O_CREAT) == 0) return -ENOENT;
      if (const int error = fail("open")) return error;
      auto made = std::make_shared<File>();
      made->links = 1;
      changes.push_back({.what = What::create, .file = made.get(), .to = path});
      kept_.push_back(made);
      files[path] = made;
      open_.push_back(made);
      return static_cast<int>(open_.size()) - 1;
    }
    if ((flags & O_TRUNC) != 0) resize(*at->second, 0);
    open_.push_back(at->second);
    return static_cast<int>(open_.size()) - 1;
  }
  int close(int file) noexcept override {
    open_[static_cast<std::size_t>(file)].reset();
    return 0;
  }
  std::int64_t write(int file, const void* bytes, std::size_t n, std::uint64_t offset) noexcept override {
    if (const int error = fail("write")) return error;
    n = std::min(n, most_at_once);
    File& to = at(file);
    const auto* const from = static_cast<const std::byte*>(bytes);
    put(to, offset, {from, from + n});
    changes.push_back({.what = What::write, .file = &to, .offset = offset, .bytes = {from, from + n}});
    return static_cast<std::int64_t>(n);
  }
  std::int64_t read(int file, void* bytes, std::size_t n, std::uint64_t offset) noexcept override {
    const Bytes& from = at(file).bytes;
    if (offset >= from.size()) return 0;
    n = std::min<std::size_t>(n, from.size() - static_cast<std::size_t>(offset));
    std::memcpy(bytes, from.data() + offset, n);
    return static_cast<std::int64_t>(n);
  }
  std::int64_t size(int file) noexcept override { return static_cast<std::int64_t>(at(file).bytes.size()); }
  int links(int file) noexcept override { return at(file).links; }
  int allocate(int file, std::uint64_t n) noexcept override {
    if (const int error = fail("allocate")) return error;
    if (n > at(file).bytes.size()) resize(at(file), n);
    return 0;
  }
  int truncate(int file, std::uint64_t n) noexcept override {
    if (const int error = fail("truncate")) return error;
    resize(at(file), n);
    return 0;
  }
  int sync(int file) noexcept override {
    const int error = fail("sync");
    changes.push_back({.what = What::sync, .file = &at(file), .failed = error != 0});
    return error;
  }
  int sync_folder(const std::string& path) noexcept override {
    if (const int error = fail("sync_folder")) return error;
    if (path.ends_with("/segments")) changes.push_back({.what = What::sync_folder});  // all names here are in it
    return 0;
  }
  int make_folder(const std::string&) noexcept override { return 0; }
  int rename(const std::string& from, const std::string& to) noexcept override {
    if (const int error = fail("rename")) return error;
    changes.push_back({.what = What::rename, .from = from, .to = to});
    return renamed(files, from, to);
  }
  int remove(const std::string& path) noexcept override {
    const auto it = files.find(path);
    if (it == files.end()) return -ENOENT;
    changes.push_back({.what = What::remove, .from = path});
    --it->second->links;
    files.erase(it);
    return 0;
  }
  int list(const std::string& path, std::vector<std::string>& names) noexcept override {
    names.clear();
    for (const auto& [name, file] : files) {
      if (name.starts_with(path + "/")) names.push_back(name.substr(path.size() + 1));
    }
    return 0;
  }
  int protect(const std::string&, bool) noexcept override { return 0; }
  const std::byte* map(int, std::uint64_t) noexcept override { return nullptr; }

  // One thing that a power cut may have kept or not.
  struct Unit {
    std::size_t change;
    std::uint64_t from, to;  // of a write: the bytes
  };
  static constexpr std::uint64_t sector = 512;

  // What is not sure after the first `n` changes.
  std::vector<Unit> unsure(std::size_t n) const {
    std::vector<Unit> units;
    for (std::size_t c = 0; c < n; ++c) {
      const Change& change = changes[c];
      if (change.what != What::write && change.what != What::resize) continue;
      if (is_synced(c, n)) continue;
      if (change.what == What::resize) {
        units.push_back({c, 0, 0});
        continue;
      }
      const std::uint64_t end = change.offset + change.bytes.size();
      for (std::uint64_t at = change.offset; at < end;) {
        const std::uint64_t to = std::min(end, (at / sector + 1) * sector);
        units.push_back({c, at, to});
        at = to;
      }
    }
    return units;
  }
  // How many of the first n changes are to a folder and not sure.
  std::size_t unsure_names(std::size_t n) const {
    std::size_t count = 0;
    for (std::size_t c = 0; c < n; ++c) {
      if (changes[c].what == What::sync_folder) count = 0;
      if (is_name(changes[c].what)) ++count;
    }
    return count;
  }

  // The disk after a power cut that follows the first `n` changes: `kept` says which units are there, `names` how many of
  // the changes to folders that are not sure.
  void after_cut(std::size_t n, const std::vector<Unit>& units, const std::vector<bool>& kept, std::size_t names,
                 MemoryDisk& out) const {
    std::map<const File*, std::shared_ptr<File>> copies;
    const auto copy = [&](const File* file) {
      auto& made = copies[file];
      if (!made) made = std::make_shared<File>();
      return made;
    };
    std::size_t sure = 0;  // changes before the last sync of the folder
    for (std::size_t c = 0; c < n; ++c) {
      if (changes[c].what == What::sync_folder) sure = c;
    }
    std::size_t unit = 0;
    for (std::size_t c = 0; c < n; ++c) {
      const Change& change = changes[c];
      if (is_name(change.what)) {
        if (c > sure && names == 0) continue;
        if (c > sure) --names;
        if (change.what == What::create) out.files[change.to] = copy(change.file);
        if (change.what == What::rename) renamed(out.files, change.from, change.to);
        if (change.what == What::remove) out.files.erase(change.from);
      } else if (change.what == What::write || change.what == What::resize) {
        File& file = *copy(change.file);
        const bool certain = unit == units.size() || units[unit].change != c;
        if (certain) {
          if (change.what == What::write) put(file, change.offset, change.bytes);
          if (change.what == What::resize) file.bytes.resize(static_cast<std::size_t>(change.offset));
          continue;
        }
        for (; unit < units.size() && units[unit].change == c; ++unit) {
          if (!kept[unit]) continue;
          if (change.what == What::resize) {
            file.bytes.resize(static_cast<std::size_t>(change.offset));
          } else {
            const auto from = change.bytes.begin() + static_cast<std::ptrdiff_t>(units[unit].from - change.offset);
            put(file, units[unit].from, {from, from + static_cast<std::ptrdiff_t>(units[unit].to - units[unit].from)});
          }
        }
      }
    }
    for (auto& [name, file] : out.files) file->links = 1;
  }

 private:
  static bool is_name(What what) { return what == What::create || what == What::rename || what == What::remove; }
  bool is_synced(std::size_t c, std::size_t n) const {
    for (std::size_t s = c + 1; s < n; ++s) {
      if (changes[s].what == What::sync && changes[s].file == changes[c].file) return !changes[s].failed;
    }
    return false;
  }
  static int renamed(Files& files, const std::string& from, const std::string& to) {
    const auto it = files.find(from);
    if (it == files.end()) return -ENOENT;
    if (const auto old = files.find(to); old != files.end()) --old->second->links;
    files[to] = it->second;
    files.erase(from);
    return 0;
  }
  static void put(File& file, std::uint64_t offset, const Bytes& bytes) {
    const auto end = static_cast<std::size_t>(offset) + bytes.size();
    if (file.bytes.size() < end) file.bytes.resize(end);
    std::copy(bytes.begin(), bytes.end(), file.bytes.begin() + static_cast<std::ptrdiff_t>(offset));
  }
  void resize(File& file, std::uint64_t n) {
    file.bytes.resize(static_cast<std::size_t>(n));
    changes.push_back({.what = What::resize, .file = &file, .offset = n});
  }
  File& at(int file) { return *open_[static_cast<std::size_t>(file)]; }

  std::vector<std::shared_ptr<File>> open_, kept_;  // kept_: so that no two files ever have one address
};

}  // namespace desk
