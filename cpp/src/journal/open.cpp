// Opening a journal: the lock, the segments, what a dead process left in shared memory, then rings and threads of our own.
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "journal/state.hpp"

namespace fairlead {

using journal::Failure;
using journal::Ring;
using journal::Seq;

std::string Journal::State::memory_path() const {
  struct stat about = {};
  const bool there = !options.memory.empty() && stat(options.memory.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
  std::string path = (there ? options.memory : folder) + "/fairlead-";
  constexpr char digits[] = "0123456789abcdef";
  for (const std::uint8_t byte : id) {
    path += digits[byte >> 4];
    path += digits[byte & 15];
  }
  // The lock's file too: of two copies of a folder each finds its own ring.
  return path + "-" + std::to_string(held.device()) + "-" + std::to_string(held.inode());
}

Failure Journal::State::start(const std::string& given, const JournalOptions& chosen, journal::Recovery& recovery,
                              journal::Disk& disk) {
  if (chosen.sync == Sync::interval && chosen.sync_interval <= 0) {
    return {Status::out_of_range, 0, "sync_interval is " + std::to_string(chosen.sync_interval) + " ns, must be positive"};
  }
  folder = given;
  while (folder.size() > 1 && folder.back() == '/') folder.pop_back();
  options = chosen;
  overflow = chosen.overflow;
  if (const int error = disk.make_folder(folder); error < 0) {
    return journal::system_failure(-error, folder, "cannot make");
  }
  if (Failure failure = journal::WriterLock::take(folder, held)) return failure;
  recovery = {};
  if (Failure failure = journal::SegmentLog::open(folder, chosen.log, log, recovery, disk)) return failure;
  id = log.id();

  // What a dead process left. Its rings stay until all that was in them is in the segments; if this process dies too, the
  // next one finds them again, and knows by their numbers which events have been written meanwhile.
  const std::string path = memory_path(), spill_path = path + ".spill";
  Ring old, old_spill;
  bool found = false, found_spill = false;
  if (Failure failure = Ring::open(path, id, old, found)) return failure;
  if (Failure failure = Ring::open(spill_path, id, old_spill, found_spill)) return failure;
  if (found || found_spill) {
    if (Failure failure = journal::drain_rings(old_spill, old, log, recovery)) return failure;
  }
  const Seq first = log.written() + 1;
  if (Failure failure = Ring::create(path, id, chosen.ring_bytes, first, true, ring)) return failure;
  unlink(spill_path.c_str());
  if (overflow == Overflow::spill) {
    if (Failure failure = Ring::create(spill_path, id, chosen.spill_bytes, first, false, spill)) {
      if (failure.status == Status::out_of_range) failure.what.replace(0, 4, "spill");
      ring.remove();
      return failure;
    }
  }

  for (const journal::Table table : {journal::Table::models, journal::Table::categories}) {
    const NameTable& known = log.names(table);
    const auto t = static_cast<std::size_t>(table);
    for (std::int32_t n = 0; n < known.size(); ++n) names[t].intern(known.name(n));
    n_names[t].store(names[t].size(), std::memory_order_relaxed);
  }
  written.store(log.written(), std::memory_order_relaxed);
  durable.store(log.durable(), std::memory_order_relaxed);
  front = ring.head();
  writer = std::thread([this] { run(); });
  if (spill.made()) spiller = std::thread([this] { move_to_spill(); });
  journal::watch_forks(*this);
  gate.store(Status::ok, std::memory_order_release);
  return {};
}

Journal::State::~State() {
  if (writer.joinable()) (void)stop();
  journal::forget_forks(*this);  // where stop() ran out of memory
}

}  // namespace fairlead
