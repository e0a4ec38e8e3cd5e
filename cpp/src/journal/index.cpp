#include "fairlead/journal/index.hpp"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

#include "fairlead/checksum.hpp"
#include "segment.hpp"

namespace fairlead::journal {

namespace {

void set(Bits& bits, std::int32_t number) noexcept {
  if (number < 0) return;
  const auto n = static_cast<std::uint32_t>(number) % 256;
  bits[n / 64] |= std::uint64_t{1} << (n % 64);
}

}  // namespace

void Index::clear() noexcept {
  header = {};
  blocks.clear();
}

void Index::add(std::uint64_t offset, const RecordHeader& record) {
  if (blocks.empty() || offset - blocks.back().offset >= index_block_bytes) {
    blocks.emplace_back();
    blocks.back().offset = offset;
    blocks.back().first = record.seq;
    blocks.back().prev = record.prev;
  }
  IndexBlock& block = blocks.back();
  block.types |= bit(record.type);
  if ((record.flags & flag_own) != 0) return;
  block.earliest = std::min(block.earliest, record.time);
  block.latest = std::max(block.latest, record.time);
  set(block.models, record.model);
  set(block.categories, record.category);
}

void Index::save(Disk& disk, const std::string& path) {
  header.magic = index_magic;
  header.version = index_version;
  header.blocks = static_cast<std::uint32_t>(blocks.size());
  std::vector<std::byte> bytes(sizeof header + blocks.size() * sizeof(IndexBlock));
  std::memcpy(bytes.data(), &header, sizeof header);
  if (!blocks.empty()) std::memcpy(bytes.data() + sizeof header, blocks.data(), blocks.size() * sizeof(IndexBlock));
  const std::uint32_t crc = crc32c(std::span<const std::byte>(bytes).subspan(16));
  std::memcpy(bytes.data() + offsetof(IndexHeader, crc), &crc, sizeof crc);
  const std::string fresh = path + ".new";
  const File file(disk, disk.open(fresh, O_WRONLY | O_CREAT | O_TRUNC));
  if (!file) return;
  const bool whole =
      disk.write(file.get(), bytes.data(), bytes.size(), 0) == static_cast<std::int64_t>(bytes.size()) &&
      disk.rename(fresh, path) == 0;
  if (!whole) disk.remove(fresh);
}

bool Index::load(Disk& disk, const std::string& path) {
  clear();
  const File file(disk, disk.open(path, O_RDONLY | O_NONBLOCK));
  if (!file) return false;
  const std::int64_t size = disk.size(file.get());
  if (size < static_cast<std::int64_t>(sizeof header) || size > std::int64_t{1} << 32) return false;
  std::vector<std::byte> bytes(static_cast<std::size_t>(size));
  if (disk.read(file.get(), bytes.data(), bytes.size(), 0) != size) return false;
  IndexHeader found;
  std::memcpy(&found, bytes.data(), sizeof found);
  if (found.magic != index_magic || found.version != index_version) return false;
  if (bytes.size() != sizeof found + std::size_t{found.blocks} * sizeof(IndexBlock)) return false;
  if (crc32c(std::span<const std::byte>(bytes).subspan(16)) != found.crc) return false;
  header = found;
  blocks.resize(found.blocks);
  if (!blocks.empty()) std::memcpy(blocks.data(), bytes.data() + sizeof found, bytes.size() - sizeof found);
  return true;
}

}  // namespace fairlead::journal
