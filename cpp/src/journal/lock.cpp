#include "journal/lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <ctime>
#include <string_view>

namespace fairlead::journal {

namespace {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? ' ' : c;
  }
  return out + '"';
}

// The command line, or what of it fits a line.
std::string program() {
  const Descriptor file(::open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC));
  char text[200];
  const ssize_t n = file.get() < 0 ? 0 : ::read(file.get(), text, sizeof(text));
  if (n <= 0) return "?";
  std::string out(text, static_cast<std::size_t>(n));
  while (!out.empty() && out.back() == '\0') out.pop_back();
  // Not through the middle of a character.
  if (static_cast<std::size_t>(n) == sizeof(text)) {
    while (!out.empty() && (static_cast<unsigned char>(out.back()) & 0xc0) == 0x80) out.pop_back();
    if (!out.empty() && static_cast<unsigned char>(out.back()) >= 0xc0) out.pop_back();
  }
  return out;
}

std::string holder() {
  char host[256] = "?";
  (void)gethostname(host, sizeof(host) - 1);
  const std::time_t now = std::time(nullptr);
  std::tm utc = {};
  gmtime_r(&now, &utc);
  char since[32] = "";
  (void)std::strftime(since, sizeof(since), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return "{\"pid\": " + std::to_string(getpid()) + ", \"host\": " + quoted(host) + ", \"program\": " + quoted(program()) +
         ", \"since\": \"" + since + "\"}\n";
}

// The value of a field of what `holder` wrote, whoever wrote it.
std::string field(const std::string& json, const std::string& name) {
  const std::size_t key = json.find("\"" + name + "\": ");
  if (key == std::string::npos) return "?";
  std::size_t at = key + name.size() + 4;
  const bool text = at < json.size() && json[at] == '"';
  if (text) ++at;
  std::string out;
  for (; at < json.size() && out.size() < 200; ++at) {
    const char c = json[at];
    if (text ? c == '"' : c == ',' || c == '}') break;
    if (c == '\\' && at + 1 < json.size()) ++at;
    out += static_cast<unsigned char>(json[at]) < 0x20 ? ' ' : json[at];
  }
  return out;
}

std::string held_by(int file) {
  char text[1024];
  const ssize_t n = pread(file, text, sizeof(text), 0);
  if (n <= 0) return "another process, which has not said who it is";
  const std::string json(text, static_cast<std::size_t>(n));
  const std::string pid = field(json, "pid");
  return (pid == std::to_string(getpid()) ? "this process, " : "process ") + pid + " (" + field(json, "program") + ") on " +
         field(json, "host") + " since " + field(json, "since");
}

}  // namespace

Failure WriterLock::take(const std::string& folder, WriterLock& out) {
  const std::string path = folder + "/lock";
  WriterLock lock;
  lock.file_ = Descriptor(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (lock.file_.get() < 0) return system_failure(errno, path, "cannot open");
  while (flock(lock.file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno == EINTR) continue;
    if (errno != EWOULDBLOCK) return system_failure(errno, path, "cannot lock");
    return {Status::journal_locked, 0, folder + " is held by " + held_by(lock.file_.get())};
  }
  struct stat about = {};
  if (fstat(lock.file_.get(), &about) != 0) return system_failure(errno, path, "cannot look at");
  lock.device_ = static_cast<std::uint64_t>(about.st_dev);
  lock.inode_ = static_cast<std::uint64_t>(about.st_ino);
  // Only for people to read: a disk too full for it need not stop the journal from opening.
  const std::string text = holder();
  if (ftruncate(lock.file_.get(), 0) == 0) (void)!pwrite(lock.file_.get(), text.data(), text.size(), 0);
  out = static_cast<WriterLock&&>(lock);
  return {};
}

void WriterLock::release() noexcept {
  if (file_.get() < 0) return;
  (void)!ftruncate(file_.get(), 0);
  (void)flock(file_.get(), LOCK_UN);  // not by closing alone: a process made without the fork handlers may hold it open
  file_.close();
}

}  // namespace fairlead::journal
