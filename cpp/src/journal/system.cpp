#include "journal/system.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <system_error>

namespace fairlead::journal {

void Descriptor::close() noexcept {
  if (file_ >= 0) ::close(file_);
  file_ = -1;
}

Failure system_failure(int error, const std::string& path, const std::string& what) {
  return {Status::system_refused, error, what + " " + path + ": " + std::generic_category().message(error)};
}

bool random_bytes(void* to, std::size_t n) noexcept {
  const Descriptor file(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  return file.get() >= 0 && ::read(file.get(), to, n) == static_cast<ssize_t>(n);
}

std::array<std::uint8_t, 16> boot_id() noexcept {
  std::array<std::uint8_t, 16> id = {};
  const Descriptor file(::open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC));
  char text[37] = {};
  if (file.get() < 0 || ::read(file.get(), text, 36) != 36) return id;
  std::size_t digits = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0 || digits == 32) continue;
    id[digits / 2] = static_cast<std::uint8_t>(id[digits / 2] * 16 + digit);
    ++digits;
  }
  return id;
}

Time wall_clock() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

Time steady_clock() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace fairlead::journal
