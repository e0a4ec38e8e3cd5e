#include "fairlead/journal/disk.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace fairlead::journal {

namespace {

// A call that a signal interrupts is taken up again.
template <class Call>
auto persist(Call call) noexcept {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

int outcome(int result) noexcept { return result < 0 ? -errno : result; }

}  // namespace

Disk& Disk::real() noexcept {
  static Disk disk;
  return disk;
}

int Disk::open(const std::string& path, int flags) noexcept {
  return outcome(persist([&] { return ::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, 0644); }));
}

int Disk::close(int file) noexcept { return outcome(::close(file)); }

std::int64_t Disk::write(int file, const void* bytes, std::size_t n, std::uint64_t offset) noexcept {
  const char* const from = static_cast<const char*>(bytes);
  std::size_t done = 0;
  while (done < n) {
    const ssize_t wrote = persist([&] { return ::pwrite(file, from + done, n - done, static_cast<off_t>(offset + done)); });
    if (wrote < 0) return done > 0 ? static_cast<std::int64_t>(done) : -errno;
    if (wrote == 0) break;
    done += static_cast<std::size_t>(wrote);
  }
  return static_cast<std::int64_t>(done);
}

std::int64_t Disk::read(int file, void* bytes, std::size_t n, std::uint64_t offset) noexcept {
  char* const to = static_cast<char*>(bytes);
  std::size_t done = 0;
  while (done < n) {
    const ssize_t got = persist([&] { return ::pread(file, to + done, n - done, static_cast<off_t>(offset + done)); });
    if (got < 0) return -errno;
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return static_cast<std::int64_t>(done);
}

std::int64_t Disk::size(int file) noexcept {
  struct stat info;
  if (::fstat(file, &info) != 0) return -errno;
  return S_ISREG(info.st_mode) ? info.st_size : -EINVAL;
}

int Disk::links(int file) noexcept {
  struct stat info;
  return ::fstat(file, &info) != 0 ? -errno : static_cast<int>(info.st_nlink);
}

int Disk::allocate(int file, std::uint64_t n) noexcept {
#ifdef __linux__
  const int result = persist([&] { return ::fallocate(file, 0, 0, static_cast<off_t>(n)); });
  if (result == 0 || errno != EOPNOTSUPP) return outcome(result);
#endif
  // A file system that takes no space in advance: zeros that cost nothing, and a full disk shows when they are written.
  const std::int64_t now = size(file);
  if (now < 0) return static_cast<int>(now);
  return static_cast<std::uint64_t>(now) < n ? truncate(file, n) : 0;
}

int Disk::truncate(int file, std::uint64_t n) noexcept {
  return outcome(persist([&] { return ::ftruncate(file, static_cast<off_t>(n)); }));
}

int Disk::sync(int file) noexcept {
#ifdef __APPLE__
  return outcome(::fcntl(file, F_FULLFSYNC));
#else
  return outcome(::fdatasync(file));
#endif
}

int Disk::sync_folder(const std::string& path) noexcept {
  const int folder = outcome(persist([&] { return ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  if (folder < 0) return folder;
  const int result = outcome(::fsync(folder));
  ::close(folder);
  return result;
}

int Disk::make_folder(const std::string& path) noexcept {
  if (::mkdir(path.c_str(), 0755) == 0) return 0;
  const int error = errno;
  struct stat info;
  if (::stat(path.c_str(), &info) != 0) return -error;
  return S_ISDIR(info.st_mode) ? 0 : -ENOTDIR;
}

int Disk::rename(const std::string& from, const std::string& to) noexcept {
  return outcome(::rename(from.c_str(), to.c_str()));
}

int Disk::remove(const std::string& path) noexcept { return outcome(::unlink(path.c_str())); }

int Disk::protect(const std::string& path, bool read_only) noexcept {
  return outcome(::chmod(path.c_str(), read_only ? 0444 : 0644));
}

int Disk::list(const std::string& path, std::vector<std::string>& names) noexcept {
  names.clear();
  DIR* const folder = ::opendir(path.c_str());
  if (folder == nullptr) return -errno;
  errno = 0;
  while (const dirent* const entry = ::readdir(folder)) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
  }
  const int error = errno;
  ::closedir(folder);
  std::sort(names.begin(), names.end());
  return -error;
}

const std::byte* Disk::map(int file, std::uint64_t n) noexcept {
#ifdef MAP_POPULATE
  const int flags = MAP_SHARED | MAP_POPULATE;  // one call for all pages, not a fault for each
#else
  const int flags = MAP_SHARED;
#endif
  void* const at = ::mmap(nullptr, n, PROT_READ, flags, file, 0);
  return at == MAP_FAILED ? nullptr : static_cast<const std::byte*>(at);
}

void Disk::unmap(const std::byte* at, std::uint64_t n) noexcept { ::munmap(const_cast<std::byte*>(at), n); }

}  // namespace fairlead::journal
