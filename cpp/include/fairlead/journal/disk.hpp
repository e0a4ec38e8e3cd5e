// What stands between the journal and the disk, so that a test can put something else there: one that remembers every
// write and sync and then plays all the ways in which a power cut could have cut them off, or one that is full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fairlead::journal {

// Every call gives a result that is not negative, or -errno. The methods of this class are the real disk's.
class Disk {
 public:
  Disk() = default;
  virtual ~Disk() = default;
  Disk(const Disk&) = delete;
  Disk& operator=(const Disk&) = delete;

  static Disk& real() noexcept;

  // `flags` are those of open(2); O_CLOEXEC and O_NOFOLLOW are added, so that a segment that is a link is refused (ELOOP).
  virtual int open(const std::string& path, int flags) noexcept;
  virtual int close(int file) noexcept;
  // All of it, or less where the disk takes no more; a call that a signal interrupts is taken up again.
  virtual std::int64_t write(int file, const void* bytes, std::size_t n, std::uint64_t offset) noexcept;
  virtual std::int64_t read(int file, void* bytes, std::size_t n, std::uint64_t offset) noexcept;
  virtual std::int64_t size(int file) noexcept;  // -EINVAL where it is no plain file
  virtual int links(int file) noexcept;          // 0: another file took its name, or it was removed
  virtual int allocate(int file, std::uint64_t n) noexcept;  // space for n bytes, zeros where nothing was written
  virtual int truncate(int file, std::uint64_t n) noexcept;
  virtual int sync(int file) noexcept;  // fdatasync. What fails once must not be asked again: the kernel forgets
  virtual int sync_folder(const std::string& path) noexcept;
  virtual int make_folder(const std::string& path) noexcept;  // 0 where it is there already
  virtual int rename(const std::string& from, const std::string& to) noexcept;
  virtual int remove(const std::string& path) noexcept;
  virtual int list(const std::string& path, std::vector<std::string>& names) noexcept;  // sorted; without . and ..
  virtual int protect(const std::string& path, bool read_only) noexcept;
  // The first n bytes in memory, for reading; nullptr where this cannot be had, so read them. Only for what nobody cuts.
  virtual const std::byte* map(int file, std::uint64_t n) noexcept;
  virtual void unmap(const std::byte* at, std::uint64_t n) noexcept;
};

}  // namespace fairlead::journal
