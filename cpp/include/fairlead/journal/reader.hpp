// Reading a journal: from any number, forwards, through all segments, and on along the tail while somebody writes; in the
// writer's process or another. A reader takes no lock and never waits for the writer.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "fairlead/journal/disk.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/journal/log.hpp"
#include "fairlead/names.hpp"

namespace fairlead::journal {

// What events one wants. Empty lists: all. Names are looked up as the reader goes, so one may ask for names still to come.
struct Query {
  Seq first = 1;
  Seq last = ~Seq{0};
  Time start = std::numeric_limits<Time>::min();  // of the event, in [start, end); the greatest `end`: no end
  Time end = std::numeric_limits<Time>::max();
  std::vector<Type> types = {};
  std::vector<std::string> models = {};
  std::vector<std::string> categories = {};

  // Whether some time in [earliest, latest] is asked for. The greatest `end` is none, as an event may have that time.
  bool overlaps(Time earliest, Time latest) const noexcept {
    return latest >= start && (earliest < end || end == std::numeric_limits<Time>::max());
  }
};

class JournalReader {
 public:
  JournalReader();
  ~JournalReader();
  JournalReader(JournalReader&&) noexcept;
  JournalReader& operator=(JournalReader&&) noexcept;

  // Fails where the folder holds no journal. Positioned before the first event that matches `query`; blocks that the
  // sparse index rules out are passed over unread.
  static Failure open(const std::string& folder, const Query& query, JournalReader& out, Disk& disk = Disk::real());

  // The next event that matches, checked; valid until the next call. At the end of what is written `out.header` is
  // nullptr: call again later to follow the tail. Damage is a Failure that names segment and offset, and stays one.
  Failure next(Event& out);

  // The same for replay: a run of whole checked records in memory, own ones and those that do not match included, empty
  // at the end. Walk it with `Events`; valid until the next call. Use either this or `next`.
  Failure run(std::span<const std::byte>& out);

  // Names as of the events read so far.
  const NameTable& names(Table table) const noexcept;
  Seq position() const noexcept;  // number of the last event passed
  const std::array<std::uint8_t, 16>& id() const noexcept;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Walks whole records that lie one after the other: for (Event event : Events(run)) ... Own records are passed over.
class Events {
 public:
  class Iterator {
   public:
    Iterator(const std::byte* at, const std::byte* end) noexcept : at_(at), end_(end) { skip(); }
    Event operator*() const noexcept { return {header()}; }
    Iterator& operator++() noexcept {
      at_ += padded(header()->length);
      skip();
      return *this;
    }
    bool operator!=(const Iterator& other) const noexcept { return at_ != other.at_; }

   private:
    const RecordHeader* header() const noexcept { return reinterpret_cast<const RecordHeader*>(at_); }
    void skip() noexcept {
      while (at_ != end_ && (header()->flags & flag_own) != 0) at_ += padded(header()->length);
    }
    const std::byte* at_;
    const std::byte* end_;
  };

  explicit Events(std::span<const std::byte> run) noexcept : run_(run) {}
  Iterator begin() const noexcept { return {run_.data(), run_.data() + run_.size()}; }
  Iterator end() const noexcept { return {run_.data() + run_.size(), run_.data() + run_.size()}; }

 private:
  std::span<const std::byte> run_;
};

// What a whole check of a journal found: of each segment, and what is wrong.
struct SegmentReport {
  std::string file = {};
  std::uint64_t bytes = 0;    // of header and records
  std::uint64_t events = 0;
  Seq first = 0, last = 0;    // 0 where there is none
  Time earliest = 0, latest = 0;
  bool sealed = false;        // by a seal; of a damaged one: or its index or a segment after it tells that it was
  std::string problem = {};   // empty: whole
  std::uint64_t problem_at = 0;
  bool torn = false;          // the problem is a torn end, which opening or `repair` cuts
};
struct VerifyReport {
  std::vector<SegmentReport> segments = {};
  std::uint64_t events = 0;
  bool whole = true;
};
Failure verify(const std::string& folder, VerifyReport& out, Disk& disk = Disk::real());

}  // namespace fairlead::journal
