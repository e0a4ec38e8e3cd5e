// Which alerts of rules are raised now: the fold of `alert` events whose JSON has "kind": "rule".
//
// Rules are looked at outside the core, in Python (fairlead/monitor); what was told is an event, so that nobody is told of
// an alert twice, whatever became of the process. Cold. Memory: at most `most` alerts of `most_bytes` each.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

class Alerts {
 public:
  static constexpr std::size_t most = 4096;
  static constexpr std::size_t most_bytes = 1 << 14;

  struct Raised {
    std::string key = {};
    std::string json = {};  // of the event that raised it
    Time time = 0;
  };

  // What an event changes: "raised" keeps it under its "key", "cleared" ends it. Raised again it stays what it was. ok, and
  // nothing, for JSON of another kind. bad_event, too_long, out_of_range (too many): nothing has changed. May throw
  // std::bad_alloc.
  Status apply(std::string_view json, Time time);
  // What `apply` would say; `news` is whether it would change anything.
  Status check(std::string_view json, bool& news) const;

  std::span<const Raised> raised() const noexcept { return raised_; }  // in the order in which they were

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in);  // into a new one, which is thrown away where the reader fails

 private:
  struct Change;
  Status read(std::string_view json, Change& out) const;

  std::vector<Raised> raised_;
};

}  // namespace fairlead
