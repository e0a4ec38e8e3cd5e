#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "fairlead/journal/index.hpp"
#include "fairlead/journal/events.hpp"
#include "fairlead/journal/reader.hpp"
#include "older.hpp"

namespace fairlead::journal {

namespace {

// All records of one segment. `next`: the header of the one after it, or null.
Failure look_at(Disk& disk, Cursor& cursor, const SegmentHeader* next, bool first_of_all, NameTable (&names)[n_tables],
                SegmentReport& report) {
  if (next != nullptr) end_at(cursor, *next);
  const auto problem = [&](std::uint64_t at, const std::string& what) {
    report.problem = what;
    report.problem_at = at;
  };
  bool named = first_of_all, timed = false;
  for (;;) {
    std::span<const std::byte> run;
    const std::uint64_t at = cursor.offset();
    if (Failure failure = cursor.step(run)) return failure;
    if (run.empty()) break;
    for (std::size_t i = 0; i < run.size() && report.problem.empty();) {
      const Event record{reinterpret_cast<const RecordHeader*>(run.data() + i)};
      const RecordHeader& header = *record.header;
      if (header.type == Type::names || header.type == Type::name) {
        named |= header.type == Type::names;
        if (!learn_names(record, names)) problem(at + i, "names that contradict those before");
      }
      if ((header.flags & flag_own) == 0) {
        if (!named) problem(at + i, "events before the names");
        if (report.first == 0) report.first = header.seq;
        if (header.type > Type::dropped) {  // the journal's own events have no time of their own
          report.earliest = timed ? std::min(report.earliest, header.time) : header.time;
          report.latest = timed ? std::max(report.latest, header.time) : header.time;
          timed = true;
        }
        ++report.events;
      }
      if (header.type == Type::seal) {
        SealPayload seal;
        PayloadReader in(record.bytes());
        report.sealed = in.get(seal) && in.done();
        if (!report.sealed || seal.records + 1 != cursor.walk().records || seal.last + 1 != header.seq) {
          problem(at + i, "the seal does not say what the segment holds");
        }
      }
      i += padded(header.length);
    }
    if (!report.problem.empty()) return {};
  }
  report.bytes = cursor.offset();
  if (report.events > 0) report.last = cursor.walk().next - 1;
  if (next != nullptr) {
    if (const Failure failure = check_end(cursor)) problem(cursor.offset(), cursor.complaint());
    return {};
  }
  Tail tail;
  if (Failure failure = look_at_tail(disk, cursor, tail)) return failure;
  if (tail.last > cursor.offset()) {
    problem(cursor.offset(), report.sealed ? "bytes after the seal" : cursor.complaint());
    report.torn = !tail.covered;
  }
  return {};
}

// Whether a seal ends the file, whatever lies before it.
bool ends_with_seal(Disk& disk, const Cursor& cursor) {
  RecordHeader header;
  SealPayload seal;
  return cursor.is_open() && read_seal(disk, cursor.file(), cursor.size(), header, seal);
}

// Calls look(i) for each i in [0, n): by as many threads as there are cores, four at most, or by this one alone.
template <class Look>
void for_each(std::size_t n, bool threads, const Look& look) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr thrown;
  std::mutex throwing;
  const auto work = [&]() noexcept {
    try {
      for (std::size_t i = next++; i < n; i = next++) look(i);
    } catch (...) {  // out of memory
      const std::lock_guard lock(throwing);
      thrown = std::current_exception();
      next = n;
    }
  };
  std::vector<std::thread> others;
  const std::size_t most = threads ? std::min<std::size_t>({4, n, std::thread::hardware_concurrency()}) : 1;
  try {
    while (others.size() + 1 < most) others.emplace_back(work);
  } catch (const std::system_error&) {  // no more threads: those that there are do it
  }
  work();
  for (std::thread& other : others) other.join();
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace

Failure verify(const std::string& folder, VerifyReport& out, Disk& disk) {
  out = {};
  const std::string segments = segments_folder(folder);
  std::vector<Seq> firsts;
  if (Failure failure = list_segments(disk, segments, firsts)) return failure;
  if (firsts.empty()) return {Status::not_a_journal, 0, "there is no journal: " + segments + " holds no segment"};

  std::vector<SegmentHeader> headers(firsts.size());
  std::vector<std::string> bad(firsts.size());
  std::size_t some = firsts.size();  // a segment whose header is whole
  for (std::size_t i = 0; i < firsts.size(); ++i) {
    Cursor cursor;
    const std::string path = segments + "/" + file_name(firsts[i], ".seg");
    if (Failure failure = cursor.open(disk, path, firsts[i], false)) {
      if (failure.status == Status::unknown_format) return failure;
      bad[i] = failure.what;
    } else {
      headers[i] = cursor.header();
      if (some == firsts.size()) some = i;
      if (headers[i].journal != headers[some].journal) bad[i] = path + " belongs to another journal";
    }
  }
  out.segments.resize(firsts.size());
  // Each segment for itself: damage in one says nothing about the names in the next.
  const auto look = [&](std::size_t i) {
    SegmentReport& report = out.segments[i];
    report.file = segments + "/" + file_name(firsts[i], ".seg");
    const bool followed = i + 1 < firsts.size();
    if (!bad[i].empty()) {
      report.problem = bad[i];
      Index index;
      report.sealed = followed || (index.load(disk, segments + "/" + file_name(firsts[i], ".idx")) && some < firsts.size() &&
                                   index.header.journal == headers[some].journal);
      return;
    }
    const SegmentHeader* const next = followed && bad[i + 1].empty() ? &headers[i + 1] : nullptr;
    const auto walk = [&] {
      NameTable names[n_tables];
      Cursor cursor;
      Failure failure = cursor.open(disk, report.file, firsts[i], false);
      if (!failure) failure = look_at(disk, cursor, next, firsts[i] == 1, names, report);
      if (failure) report.problem = failure.what;
      if (report.sealed || report.problem.empty()) return;
      report.sealed = followed || ends_with_seal(disk, cursor);
    };
    walk();
    const std::string index_file = segments + "/" + file_name(firsts[i], ".idx");
    Index index;
    const auto lacks = [&] {  // what its index knows
      return !report.sealed && index.load(disk, index_file) && index.header.journal == headers[i].journal &&
             index.header.bytes > report.bytes;
    };
    if (!followed && lacks()) {
      report = {.file = report.file};  // perhaps it was sealed only after we had looked
      walk();
      if (lacks()) {
        if (report.problem.empty()) report.problem_at = report.bytes;
        report.problem += report.problem.empty() ? "records are missing" : "";
        report.problem += ": the segment was sealed with " + std::to_string(index.header.bytes) + " bytes";
        report.sealed = true;
        report.torn = false;
      }
    }
    if (followed) report.torn = false;
  };
  for_each(firsts.size(), &disk == &Disk::real(), look);
  for (const SegmentReport& report : out.segments) {
    out.events += report.events;
    out.whole = out.whole && report.problem.empty();
  }
  return {};
}

}  // namespace fairlead::journal
