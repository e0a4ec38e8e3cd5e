// One writer at a time: a lock on <folder>/lock, which the system gives back when the process ends, however it ends. In
// the file stands who holds it, for people and for the message that a second writer gets.
#pragma once

#include <cstdint>
#include <string>

#include "fairlead/journal/log.hpp"
#include "journal/system.hpp"

namespace fairlead::journal {

class WriterLock {
 public:
  // Status::journal_locked says who holds it.
  static Failure take(const std::string& folder, WriterLock& out);
  void release() noexcept;  // empties the file, which stays
  void forget() noexcept { file_.close(); }  // in a child process: the lock stays with the parent

  // Of the lock's file: a copy of the folder has another one, a folder that was moved the same.
  std::uint64_t device() const noexcept { return device_; }
  std::uint64_t inode() const noexcept { return inode_; }

 private:
  Descriptor file_;
  std::uint64_t device_ = 0, inode_ = 0;
};

}  // namespace fairlead::journal
