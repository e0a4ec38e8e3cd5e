// A segment that another one follows: all of it must be there, up to where the next one takes over.
#pragma once

#include "segment.hpp"

namespace fairlead::journal {

// Tells a cursor at the start of a segment where the next one takes over.
inline void end_at(Cursor& cursor, const SegmentHeader& next) noexcept {
  cursor.walk().limit = next.first;
  cursor.walk().chain = next.chain;
}

// Whether a cursor that gives nothing more has read all that the segment has to hold; else what is wrong.
Failure check_end(const Cursor& cursor);

// Walks all of it. `names`, where not null, learns the names.
Failure check_older(Cursor& cursor, const SegmentHeader& next, NameTable (*names)[n_tables]);

}  // namespace fairlead::journal
