#include "older.hpp"

namespace fairlead::journal {

Failure check_end(const Cursor& cursor) {
  const Walk& walk = cursor.walk();
  if (walk.next == walk.limit && walk.prev == walk.chain) return {};
  return damaged(cursor.path(), cursor.offset(), cursor.complaint());
}

Failure check_older(Cursor& cursor, const SegmentHeader& next, NameTable (*names)[n_tables]) {
  end_at(cursor, next);
  for (;;) {
    std::span<const std::byte> run;
    const std::uint64_t at = cursor.offset();
    if (Failure failure = cursor.step(run)) return failure;
    if (run.empty()) return check_end(cursor);
    if (names != nullptr && !learn_names(run, *names)) {
      return damaged(cursor.path(), at, "names that contradict those before");
    }
  }
}

}  // namespace fairlead::journal
