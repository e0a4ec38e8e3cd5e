#include "fairlead/alerts.hpp"

#include <algorithm>
#include <utility>

#include "json_value.hpp"

namespace fairlead {

using Json = JsonValue::Kind;

struct Alerts::Change {
  std::string key = {};
  std::size_t at = 0;  // where it is raised; else their number
  bool raises = false;
  bool news = false;
};

Status Alerts::read(std::string_view json, Change& out) const {
  JsonValue given;
  std::string kind, state;
  if (!JsonValue::parse(json, given) || !given.is(Json::object)) return Status::ok;  // somebody's own
  if (!given.read("kind", kind) || kind != "rule") return Status::ok;
  if (!given.read("key", out.key) || out.key.empty() || !given.read("state", state)) return Status::bad_event;
  out.raises = state == "raised";
  if (!out.raises && state != "cleared") return Status::bad_event;
  const auto found = std::find_if(raised_.begin(), raised_.end(), [&](const Raised& one) { return one.key == out.key; });
  out.at = static_cast<std::size_t>(found - raised_.begin());
  out.news = out.raises == (found == raised_.end());
  if (!out.raises || !out.news) return Status::ok;
  if (json.size() > most_bytes) return Status::too_long;
  return raised_.size() < most ? Status::ok : Status::out_of_range;
}

Status Alerts::check(std::string_view json, bool& news) const {
  Change change;
  const Status status = read(json, change);
  news = change.news;
  return status;
}

Status Alerts::apply(std::string_view json, Time time) {
  Change change;
  if (const Status status = read(json, change); status != Status::ok || !change.news) return status;
  if (change.raises) {
    raised_.push_back({std::move(change.key), std::string(json), time});
  } else {
    raised_.erase(raised_.begin() + static_cast<std::ptrdiff_t>(change.at));
  }
  return Status::ok;
}

void Alerts::save(SnapshotWriter& out) const {
  out.put(static_cast<std::uint64_t>(raised_.size()));
  for (const Raised& one : raised_) {
    out.put(std::string_view(one.json));
    out.put(one.time);
  }
}

void Alerts::load(SnapshotReader& in) {
  std::uint64_t n = 0;
  in.get(n);
  std::string json;
  for (std::uint64_t i = 0; in.ok() && i < n; ++i) {
    Time time = 0;
    in.get(json);
    in.get(time);
    if (!in.ok()) return;
    in.require(apply(json, time) == Status::ok && raised_.size() == i + 1);  // one that raises nothing is none of ours
  }
}

}  // namespace fairlead
