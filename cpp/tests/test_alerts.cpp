// Alerts of rules: what raises and clears them, alone and as events of a fleet.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "fairlead/alerts.hpp"
#include "fairlead/fleet.hpp"
#include "fleet_log.hpp"

namespace fl = fairlead;
using fl::Alerts;
using fl::Status;

namespace {

std::string alert(const std::string& key, const std::string& state, const std::string& more = {}) {
  return R"({"kind": "rule", "key": ")" + key + R"(", "state": ")" + state + '"' + more + '}';
}

std::vector<std::string> keys(const Alerts& alerts) {
  std::vector<std::string> out;
  for (const Alerts::Raised& one : alerts.raised()) out.push_back(one.key);
  return out;
}

}  // namespace

TEST_CASE("alerts: raised once, cleared once, in the order in which they came") {
  Alerts alerts;
  bool news = false;
  for (const char* key : {"b", "a", "c"}) CHECK(alerts.apply(alert(key, "raised"), 5) == Status::ok);
  CHECK(alerts.apply(alert("a", "raised", R"(, "value": 2)"), 9) == Status::ok);  // it stays what it was
  CHECK(alerts.raised()[1].time == 5);
  CHECK(alerts.raised()[1].json == alert("a", "raised"));
  CHECK(alerts.check(alert("a", "raised"), news) == Status::ok);
  CHECK_FALSE(news);
  CHECK(alerts.check(alert("a", "cleared"), news) == Status::ok);
  CHECK(news);
  CHECK(alerts.apply(alert("a", "cleared"), 10) == Status::ok);
  CHECK(alerts.apply(alert("a", "cleared"), 11) == Status::ok);
  CHECK(keys(alerts) == std::vector<std::string>{"b", "c"});
  CHECK(alerts.apply(alert("a", "raised"), 12) == Status::ok);
  CHECK(keys(alerts) == std::vector<std::string>{"b", "c", "a"});
}

TEST_CASE("alerts: what is no alert of a rule changes nothing") {
  Alerts alerts;
  bool news = true;
  for (const char* json : {"", "{", "3", "[]", "{}", R"({"kind": 3, "key": "a", "state": "raised"})",
                           R"({"kind": "budget", "key": "a", "state": "raised"})"}) {
    CHECK(alerts.apply(json, 1) == Status::ok);
    CHECK(alerts.check(json, news) == Status::ok);
    CHECK_FALSE(news);
  }
  for (const char* json : {R"({"kind": "rule"})", R"({"kind": "rule", "key": "", "state": "raised"})",
                           R"({"kind": "rule", "key": 3, "state": "raised"})", R"({"kind": "rule", "key": "a"})",
                           R"({"kind": "rule", "key": "a", "state": "both"})"}) {
    CHECK(alerts.apply(json, 1) == Status::bad_event);
  }
  CHECK(alerts.raised().empty());
}

TEST_CASE("alerts: a bounded number of bounded size") {
  Alerts alerts;
  for (std::size_t i = 0; i < Alerts::most; ++i) REQUIRE(alerts.apply(alert(std::to_string(i), "raised"), 1) == Status::ok);
  CHECK(alerts.apply(alert("more", "raised"), 1) == Status::out_of_range);
  CHECK(alerts.apply(alert("0", "raised"), 1) == Status::ok);
  CHECK(alerts.raised().size() == Alerts::most);
  CHECK(alerts.apply(alert("0", "cleared"), 1) == Status::ok);
  CHECK(alerts.apply(alert("long", "raised", R"(, "message": ")" + std::string(Alerts::most_bytes, 'x') + '"'), 1) == Status::too_long);
  CHECK(alerts.apply(alert("more", "raised"), 1) == Status::ok);
}

TEST_CASE("alerts: a snapshot, and damaged ones") {
  Alerts alerts;
  REQUIRE(alerts.apply(alert("b", "raised"), 7) == Status::ok);
  REQUIRE(alerts.apply(alert("a", "raised"), 8) == Status::ok);
  const auto bytes_of = [](const Alerts& of) {
    fl::SnapshotWriter out("alerts", 1);
    of.save(out);
    return out.finish();
  };
  const std::string bytes = bytes_of(alerts);
  Alerts again;
  fl::SnapshotReader in(bytes, "alerts", 1);
  again.load(in);
  REQUIRE(in.finish() == Status::ok);
  CHECK(bytes_of(again) == bytes);
  CHECK(keys(again) == keys(alerts));

  for (const std::string& json : {alert("a", "cleared"), alert("b", "raised"), std::string("{}")}) {
    fl::SnapshotWriter out("alerts", 1);
    out.put(std::uint64_t{2});
    out.put(std::string_view(alert("b", "raised")));
    out.put(fl::Time{7});
    out.put(std::string_view(json));
    out.put(fl::Time{8});
    const std::string bad = out.finish();
    Alerts none;
    fl::SnapshotReader reader(bad, "alerts", 1);
    none.load(reader);
    CHECK(reader.finish() == Status::bad_snapshot);
  }
}

TEST_CASE("alerts: of a fleet they are events, which its journal brings back") {
  Log log;
  fl::Fleet fleet;
  fleet.attach(&log);
  REQUIRE(fleet.configure({}, 0) == Status::ok);
  REQUIRE(fleet.add({.name = "gpt"}) == Status::ok);
  bool news = false;
  REQUIRE(fleet.alert(alert("a", "raised", R"(, "model": "gpt")"), 3, news) == Status::ok);
  CHECK(news);
  const std::size_t logged = log.size();
  CHECK(log[logged - 1].header->model == fleet.member(0).number);
  CHECK(log[logged - 1].header->time == 3);
  REQUIRE(fleet.alert(alert("a", "raised"), 4, news) == Status::ok);
  CHECK_FALSE(news);
  REQUIRE(fleet.alert(alert("b", "cleared"), 4, news) == Status::ok);
  CHECK_FALSE(news);
  CHECK(log.size() == logged);  // no news is no event
  CHECK(fleet.alert(R"({"kind": "budget", "budget": "a"})", 4, news) == Status::bad_event);
  CHECK(fleet.alert("{", 4, news) == Status::bad_event);
  CHECK(fleet.alert(alert("", "raised"), 4, news) == Status::bad_event);

  log.refuse = 0;
  CHECK(fleet.alert(alert("b", "raised"), 5, news) == Status::journal_full);
  CHECK(keys(fleet.alerts()) == std::vector<std::string>{"a"});
  log.refuse = -1;
  REQUIRE(fleet.alert(alert("b", "raised", R"(, "model": "who")"), 5, news) == Status::ok);
  REQUIRE(fleet.alert(alert("a", "cleared"), 6, news) == Status::ok);
  CHECK(news);
  CHECK(log.folded().state() == fleet.state());

  fl::Fleet restored;
  fl::FleetOrigin origin;
  REQUIRE(fl::Fleet::restore(fleet.snapshot({}), restored, origin) == Status::ok);
  CHECK(restored.state() == fleet.state());
  CHECK(keys(restored.alerts()) == std::vector<std::string>{"b"});
  CHECK(restored.alerts().raised()[0].time == 5);
}
