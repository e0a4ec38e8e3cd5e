// What the journal asks of the operating system beside its segments.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "fairlead/journal/log.hpp"
#include "fairlead/types.hpp"

namespace fairlead::journal {

// A descriptor that is closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int file = -1) noexcept : file_(file) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : file_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    if (this != &other) {
      close();
      file_ = other.release();
    }
    return *this;
  }
  int get() const noexcept { return file_; }
  int release() noexcept {
    const int file = file_;
    file_ = -1;
    return file;
  }
  void close() noexcept;

 private:
  int file_;
};

// "cannot open /a/b: Permission denied"
Failure system_failure(int error, const std::string& path, const std::string& what);

bool random_bytes(void* to, std::size_t n) noexcept;

// Another one each time that the machine is started; zeros where the system has none.
std::array<std::uint8_t, 16> boot_id() noexcept;

Time wall_clock() noexcept;
Time steady_clock() noexcept;

}  // namespace fairlead::journal
