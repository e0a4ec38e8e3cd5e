#include <new>
#include <unordered_map>
#include <utility>

#include "desk_files.hpp"
#include "fairlead/desk.hpp"

namespace fairlead {

using journal::Disk;
using journal::Event;
using journal::Events;
using journal::Failure;
using journal::JournalReader;
using journal::Seq;

Failure DeskAudits::open(const std::string& folder, DeskAudits& out, Disk& disk) {
  try {
    DeskAudits found;
    found.folder_ = folder;
    Seq first = 1;
    {
      JournalReader reader;
      if (Failure failure = JournalReader::open(folder, {}, reader, disk)) return failure;
      std::span<const std::byte> run;
      bool any = false;
      do {  // a run may hold own records alone
        if (Failure failure = reader.run(run)) return failure;
        for (const Event event : Events(run)) {
          first = event.header->seq;
          any = true;
          break;
        }
      } while (!any && !run.empty());
    }
    if (first > 1 && !desk_files::oldest_snapshot(folder, first, found.fleet_, disk)) {
      return {Status::journal_damaged, 0,
              folder + ": events 1 to " + std::to_string(first - 1) +
                  " are no longer among the segments, and no snapshot stands for them"};
    }
    const Seq next = found.fleet_.last() + 1;
    if (Failure failure = JournalReader::open(folder, {.first = next}, found.reader_, disk)) return failure;
    out = std::move(found);
    return {};
  } catch (const std::bad_alloc&) {
    return {Status::out_of_memory, 0, folder};
  }
}

Failure DeskAudits::advance(std::size_t n, const Visit& visit, bool& more) {
  more = true;
  std::size_t visited = 0;
  if (!begun_) {
    begun_ = true;
    const FleetTasks& tasks = fleet_.tasks();
    std::unordered_map<TaskNumber, std::uint32_t> ended;
    for (const std::uint32_t slot : tasks.ended()) ended.emplace(tasks[slot].number, slot);
    fleet_.audits().each([&](const Audit& audit) {
      const auto found = ended.find(audit.fixed.task);
      if (found == ended.end()) return;
      visit(tasks[found->second], audit);
      ++visited;
    });
  }
  while (visited < n) {
    if (run_.empty()) {
      if (Failure failure = reader_.run(run_)) return failure;
      if (run_.empty()) {
        more = false;
        return {};
      }
    }
    const std::span<const std::byte> run = std::exchange(run_, {});
    for (const Event event : Events(run)) {
      const Seq seq = event.header->seq;
      if (seq <= fleet_.last()) continue;
      // Once it has ended, the fleet may forget it.
      journal::OutcomeFixed given;
      FleetTask task;
      if (event.header->type == journal::Type::outcome && journal::decode(event.bytes(), given)) {
        if (const std::uint32_t slot = fleet_.tasks().find(given.task); slot != FleetTasks::none) task = fleet_.tasks()[slot];
      }
      const std::uint64_t before = fleet_.audits().added();
      const Status status = fleet_.apply(event);
      if (status == Status::unknown_format || status == Status::out_of_memory) {
        return {status, 0, folder_ + ": event " + std::to_string(seq) + ": " + message(status)};
      }
      if (fleet_.audits().added() == before) continue;
      fleet_.audits().newest([&](const Audit& audit) { visit(task, audit); });
      if (++visited < n) continue;
      const auto* const end = reinterpret_cast<const std::byte*>(event.header) + journal::padded(event.header->length);
      run_ = run.subspan(static_cast<std::size_t>(end - run.data()));
      break;
    }
  }
  return {};
}

}  // namespace fairlead
