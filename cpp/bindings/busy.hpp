// For objects that let go of the GIL while they change: a second thread gets an error, as from a generator.
#pragma once

#include <stdexcept>

namespace fairlead::bindings {

class Busy {
 public:
  explicit Busy(bool& flag) : flag_(flag) {
    if (flag_) throw std::runtime_error("the reader is in use by another thread");
    flag_ = true;
  }
  ~Busy() { flag_ = false; }
  Busy(const Busy&) = delete;
  Busy& operator=(const Busy&) = delete;

 private:
  bool& flag_;
};

}  // namespace fairlead::bindings
