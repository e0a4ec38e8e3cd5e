// The state of a tracker as bytes: magic, family, version, payload, CRC-32C of all before it. Little-endian.
//
// A reader never trusts its bytes: whatever they hold, it either gives back what was written or says bad_snapshot.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fairlead/checksum.hpp"
#include "fairlead/names.hpp"
#include "fairlead/status.hpp"

namespace fairlead {

static_assert(std::endian::native == std::endian::little, "snapshots are written as they lie in memory");

class SnapshotWriter {
 public:
  SnapshotWriter(std::string_view family, std::uint32_t version) {
    put(magic);
    put(family);
    put(version);
  }

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void put(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof(T));
  }
  void put(std::string_view text) {
    put(static_cast<std::uint64_t>(text.size()));
    bytes_.append(text);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  void put(std::span<const T> values) {
    put(static_cast<std::uint64_t>(values.size()));
    if (!values.empty()) bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  void put(const std::vector<T>& values) {
    put(std::span<const T>(values));
  }
  void put(const NameTable& names) {
    put(names.size());
    for (std::int32_t i = 0; i < names.size(); ++i) put(std::string_view(names.name(i)));
  }
  // Records as they lie in memory, without their number. T has no padding.
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put_raw(std::span<const T> values) {
    if (!values.empty()) bytes_.append(reinterpret_cast<const char*>(values.data()), values.size_bytes());
  }

  // Room for so many bytes more, which need not be used.
  void reserve(std::size_t more) { bytes_.reserve(bytes_.size() + more); }

  // The bytes; the writer is used up.
  std::string finish() {
    put(crc32c(bytes_));
    return std::move(bytes_);
  }

  static constexpr std::uint32_t magic = 0x4e534c46;  // "FLSN"

 private:
  std::string bytes_;
};

// Reads in the order of writing. After the first failure every `get` leaves its target alone, and `finish` tells.
class SnapshotReader {
 public:
  SnapshotReader(std::string_view bytes, std::string_view family, std::uint32_t version) : left_(bytes) {
    std::uint32_t checksum = 0;
    if (bytes.size() >= sizeof(checksum)) {
      std::memcpy(&checksum, bytes.data() + bytes.size() - sizeof(checksum), sizeof(checksum));
      left_.remove_suffix(sizeof(checksum));
      ok_ = crc32c(left_) == checksum;
    }
    std::uint32_t magic = 0, written = 0;
    std::string of;
    get(magic);
    get(of);
    get(written);
    require(magic == SnapshotWriter::magic && of == family && written == version);
  }

  template <class T>
    requires std::is_arithmetic_v<T> || std::is_enum_v<T>
  void get(T& value) noexcept {
    if (!ok_ || left_.size() < sizeof(T)) return fail();
    std::memcpy(&value, left_.data(), sizeof(T));
    left_.remove_prefix(sizeof(T));
  }
  void get(std::string& text) {
    const std::size_t n = length(1);
    if (!ok_) return;
    text.assign(left_.substr(0, n));
    left_.remove_prefix(n);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  void get(std::vector<T>& values) {
    const std::size_t n = length(sizeof(T));
    if (!ok_) return;
    values.resize(n);
    if (n > 0) std::memcpy(values.data(), left_.data(), n * sizeof(T));
    left_.remove_prefix(n * sizeof(T));
  }
  void get(NameTable& names) {
    std::int32_t n = 0;
    get(n);
    NameTable read;
    std::string name;
    for (std::int32_t i = 0; ok_ && i < n; ++i) {
      get(name);
      if (ok_ && read.intern(name) != i) fail();
    }
    if (ok_) names = std::move(read);
  }

  template <class T>
    requires std::is_trivially_copyable_v<T>
  void get_raw(std::span<T> values) noexcept {
    if (!ok_ || left_.size() < values.size_bytes()) return fail();
    if (!values.empty()) std::memcpy(values.data(), left_.data(), values.size_bytes());
    left_.remove_prefix(values.size_bytes());
  }
  // The number of what follows, each of at least `width` bytes; 0, and a failure, where it cannot all be there.
  std::size_t length(std::size_t width) noexcept {
    std::uint64_t n = 0;
    get(n);
    if (n > left_.size() / width) fail();
    return ok_ ? static_cast<std::size_t>(n) : 0;
  }

  // For what the caller finds wrong in what it read.
  void require(bool holds) noexcept {
    if (!holds) fail();
  }
  bool ok() const noexcept { return ok_; }
  Status finish() noexcept { return ok_ && left_.empty() ? Status::ok : Status::bad_snapshot; }

 private:
  void fail() noexcept {
    ok_ = false;
    left_ = {};
  }

  std::string_view left_;
  bool ok_ = false;
};

}  // namespace fairlead
