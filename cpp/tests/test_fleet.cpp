// The fleet as a fold: what is lived is what is replayed, and a call that is refused leaves no trace.
#include "fairlead/fleet.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>
#include <vector>

#include "fleet_life.hpp"
#include "fleet_log.hpp"

namespace fl = fairlead;
using namespace life;
using fl::Kind;
using fl::Status;

TEST_CASE("fleet: what is replayed is what was lived, and what was lived in memory") {
  for (unsigned seed = 0; seed < 3; ++seed) {
    Log log;
    fl::Fleet live = lived(seed, 3'000, &log, narrow);
    fl::Fleet memory = lived(seed, 3'000, nullptr, narrow);
    fl::Fleet again = log.folded();
    CHECK(view(again) == view(live));
    CHECK(view(memory) == view(live));
    CHECK(again.last() == log.size());
    CHECK(again.last() == live.last());
    CHECK(again.settings() == narrow);
    CHECK(again.passed_over() == 0);
    CHECK(live.unlogged() == 0);
  }
}

TEST_CASE("fleet: what the sink refuses has not happened") {
  for (const Status why : {Status::journal_full, Status::journal_dropped, Status::journal_failed}) {
    Log log;
    log.why = why;
    fl::Fleet live;
    live.attach(&log);
    REQUIRE(live.configure(narrow, 0) == Status::ok);
    Life life(7);
    int refused = 0;
    for (int t = 1; t <= 4'000; ++t) {
      const std::string before = t % 5 == 0 ? view(live) : "";
      const std::size_t events = log.size();
      log.refuse = t % 5 == 0 ? t / 5 % 2 : -1;
      const Status status = life.step(live, t);
      if (status == why) {
        ++refused;
        // Of two events, a name or a task and what came with it, the first may stand.
        if (log.size() == events) CHECK(view(live) == before);
        CHECK(log.size() - events <= 2);
      }
    }
    CHECK(refused > 50);
    CHECK(live.unlogged() > 2);  // decisions are given all the same
    fl::Fleet again = log.folded();
    CHECK(view(again) == view(live));
  }
}

TEST_CASE("fleet: a task is opened once, named by id or number, and remembered for a while") {
  fl::Fleet fleet({.remember = 2});
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  CHECK(fleet.add({.name = "a", .tier = fl::Tier::fast}) == Status::model_differs);
  CHECK(fleet.remove("b") == Status::unknown_model);
  const double p[] = {0.75};
  const fl::Forecast forecast{.model = 0, .p = p};
  fl::TaskNumber one = 0, same = 0;
  REQUIRE(fleet.open({.id = "q", .category = "x", .time = 3}, one) == Status::ok);
  CHECK(fleet.open({.id = "q", .category = "x", .time = 9}, same) == Status::ok);
  CHECK(one == 1);
  CHECK(same == one);
  CHECK(fleet.open({.id = "q", .category = "y"}, same) == Status::task_differs);
  CHECK(fleet.open({.id = ""}, same) == Status::out_of_range);
  CHECK(fleet.record("r", forecast) == Status::unknown_task);
  CHECK(fleet.record(fl::Task{.id = "r", .kind = Kind::numeric}, forecast) == Status::wrong_kind);
  CHECK(fleet.tasks().find("r") == fl::FleetTasks::none);
  CHECK(fleet.record(one, forecast) == Status::ok);
  fl::Decision decision;
  CHECK(fleet.decide("q", fl::Strategy::mean, decision, 4) == Status::ok);
  CHECK(decision.p[0] == 0.75);
  CHECK(decision.time == 4);
  bool news = false;
  CHECK(fleet.settle("q", 2.0, 5, fl::nan, news) == Status::bad_outcome);
  CHECK(fleet.settle("q", 1.0, 5, fl::nan, news) == Status::ok);
  CHECK(news);
  CHECK(fleet.settle("q", 1.0, 6, fl::nan, news) == Status::ok);
  CHECK_FALSE(news);
  CHECK(fleet.settle("q", 0.0, 6, fl::nan, news) == Status::task_ended);
  CHECK(fleet.close("q", 6, news) == Status::task_ended);
  CHECK(fleet.record("q", forecast) == Status::task_ended);
  CHECK(fleet.record(one, forecast) == Status::unknown_task);
  for (const char* id : {"s", "t"}) {
    REQUIRE(fleet.record(fl::Task{.id = id}, forecast) == Status::ok);
    REQUIRE(fleet.close(id, 7, news) == Status::ok);
  }
  CHECK(fleet.close("t", 8, news) == Status::ok);
  CHECK_FALSE(news);
  CHECK(fleet.settle("q", 1.0, 6, fl::nan, news) == Status::unknown_task);  // forgotten
  REQUIRE(fleet.open({.id = "q"}, same) == Status::ok);                     // and may be opened again
  CHECK(same == 4);
}

TEST_CASE("fleet: events that do not fit are passed over, newer ones are not") {
  fl::Fleet fleet;
  REQUIRE(fleet.add({.name = "a"}) == Status::ok);
  fl::TaskNumber number = 0;
  REQUIRE(fleet.open({.id = "q"}, number) == Status::ok);
  const std::string before = view(fleet);
  fl::journal::EventBuffer event;
  const double p[] = {0.5};
  const auto refused = [&](Status why) {
    event.header().seq = fleet.last() + 1;
    const std::uint64_t passed = fleet.passed_over();
    CHECK(fleet.apply(event.event()) == why);
    CHECK(fleet.passed_over() == passed + 1);
    CHECK(view(fleet) == before);
  };
  encode(event, fl::Forecast{.p = p}, 7, Kind::binary, 0, -1);
  refused(Status::unknown_task);
  CHECK(fleet.first_passed_over() == fleet.last());
  encode(event, fl::Forecast{.p = p}, number, Kind::binary, 9, -1);
  refused(Status::unknown_model);
  encode(event, fl::Forecast{.value = 3}, number, Kind::numeric, 0, -1);
  refused(Status::wrong_kind);
  encode(event, fl::Task{.id = "q"}, 12, -1);
  refused(Status::task_differs);
  encode(event, fl::Task{.id = "z"}, number, -1);
  refused(Status::task_differs);
  fl::journal::encode_outcome(event, number, Kind::binary, 0.5, 1, fl::nan, -1);
  refused(Status::bad_outcome);
  fl::journal::encode_text(event, fl::journal::Type::settings, 0, -1, -1, R"({"k": 3})");
  refused(Status::bad_event);  // there are models already
  for (const char* text : {"", "{", "{\"k\": 1", "[1]", "{\"k\": 1} x", "{\"k\": nan}", "{\"k\": -1}", "{\"history\": 1.5}"}) {
    fl::journal::encode_text(event, fl::journal::Type::settings, 0, -1, -1, text);
    refused(Status::bad_event);
  }
  for (const fl::journal::Type type : {fl::journal::Type::task, fl::journal::Type::forecast, fl::journal::Type::outcome,
                                       fl::journal::Type::closed, fl::journal::Type::name}) {
    for (std::size_t n = 0; n < 200; ++n) {  // zeros are no event either, of no length
      fl::journal::encode_text(event, type, 0, 0, -1, std::string(n, '\0'));
      if (type == fl::journal::Type::forecast && n == 64) continue;  // it is of task 0
      if (n == 8 || n == 32 || n == 64 || n == 9) continue;
      refused(Status::bad_event);
    }
  }
  fl::journal::encode_text(event, fl::journal::Type::settings, 0, -1, -1, R"({"k": 32, "gravity": 9.81})");
  CHECK(fleet.apply(event.event()) == Status::unknown_format);
  encode(event, fl::Forecast{.p = p}, number, Kind::binary, 0, -1);
  event.header().version = 2;
  CHECK(fleet.apply(event.event()) == Status::unknown_format);
  for (const auto type : {fl::journal::Type::note, fl::journal::Type::decision, static_cast<fl::journal::Type>(4711)}) {
    fl::journal::encode_text(event, type, 0, -1, -1, "{}");
    CHECK(fleet.apply(event.event()) == Status::ok);
  }
  CHECK(view(fleet) == before);
}

TEST_CASE("fleet: what is written reads back") {
  fl::journal::EventBuffer event;
  const std::string_view labels[] = {"up", "", "down"};
  const fl::Dimension slices[] = {{"horizon", "1d"}, {"desk", "é"}};
  const fl::Task task{.id = "q", .kind = Kind::categorical, .category = "c", .text = "t", .labels = labels, .stake_usd = 2,
                      .regime = "r", .expires_in_s = 5, .slices = slices, .time = 6};
  encode(event, task, 17, 3);
  CHECK(event.event().header->time == 6);
  CHECK(event.event().header->category == 3);
  fl::journal::DecodedTask read;
  REQUIRE(decode(event.payload(), read));
  CHECK(read.number == 17);
  CHECK(read.task.id == "q");
  CHECK(read.task.regime == "r");
  CHECK(read.task.labels[2] == "down");
  CHECK(read.task.slices[1].value == "é");
  CHECK(read.task.expires_in_s == 5);
  for (std::size_t n = 0; n < event.payload().size(); ++n) CHECK_FALSE(decode(event.payload().first(n), read));

  const double p[] = {0.5, 0.25, 0.25};
  encode(event, fl::Forecast{.p = p, .tokens_in = 4, .time = 8}, 17, Kind::categorical, 2, 3);
  fl::journal::DecodedForecast forecast;
  REQUIRE(decode(event.payload(), forecast));
  CHECK(forecast.forecast.p.size() == 3);
  CHECK(forecast.forecast.p[2] == 0.25);
  CHECK(forecast.forecast.tokens_in == 4);
  CHECK(event.event().header->model == 2);
  const std::string text = std::string(65'534, 'x') + "é and more";
  encode(event, fl::Forecast{.error = text}, 17, Kind::binary, 2, 3);
  REQUIRE(decode(event.payload(), forecast));
  CHECK(forecast.forecast.error == std::string(65'534, 'x'));  // not half of a character
  CHECK(forecast.forecast.p.empty());

  fl::FleetSettings settings;
  REQUIRE(fl::FleetSettings::parse(narrow.json(), settings) == Status::ok);
  CHECK(settings == narrow);
  CHECK(narrow.json() == R"({"k": 24, "scale": 400, "start": 1500, "half_life": 200, "history": 16, "psi_reference": 20, "psi_window": 20, "remember": 5})");
}

// tests/fleet/test_open.py has Python write the same.
TEST_CASE("fleet: a model is written as Python writes it") {
  const std::vector<std::string_view> tags{"a/b\tc\n\b\f\r\x01\x7f", "\"\\"};
  fl::Model model{.name = "é", .provider = "lab", .price_in = 0.0, .price_out = 2.5, .price_cached = 1e-05, .tags = tags};
  fl::Fleet fleet;
  REQUIRE(fleet.add(model) == Status::ok);
  const std::string written =
      R"({"name": "é", "provider": "lab", "tier": "standard", "price_in": 0.0, "price_out": 2.5, "price_cached": 1e-05, )"
      "\"tags\": [\"a/b\\tc\\n\\b\\f\\r\\u0001\x7f\", \"\\\"\\\\\"]}";
  CHECK(fleet.member(fleet.find_model("é")).record == written);
  CHECK(fleet.add("é", written) == Status::ok);
  model.name = "w";
  model.price_written = 3.75;
  REQUIRE(fleet.add(model) == Status::ok);
  CHECK(fleet.member(fleet.find_model("w")).record.find(R"(], "price_written": 3.75})") != std::string::npos);
  const std::pair<double, const char*> prices[] = {{100000.0, "100000.0"}, {0.0001, "0.0001"}, {0.00012345, "0.00012345"},
                                                   {9.999e-05, "9.999e-05"}, {1e15, "1000000000000000.0"}, {1e16, "1e+16"},
                                                   {1.5e300, "1.5e+300"}, {0.1 + 0.2, "0.30000000000000004"}, {5e-324, "5e-324"},
                                                   {123456789.125, "123456789.125"}};
  for (const auto& [price, text] : prices) {
    model.name = text;
    model.price_in = price;
    REQUIRE(fleet.add(model) == Status::ok);
    CHECK(fleet.member(fleet.find_model(text)).record.find("\"price_in\": " + std::string(text) + ",") != std::string::npos);
  }
}

TEST_CASE("fleet: slots are found again whatever was put in and taken out") {
  fl::SlotIndex index;
  std::mt19937_64 random(3);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> held;
  for (int i = 0; i < 20'000; ++i) {
    if (held.empty() || random() % 100 < 52) {
      const std::uint64_t hash = (random() % 50) << 32 | random() % 4;  // many that collide
      index.reserve_one();
      index.insert(hash, static_cast<std::uint32_t>(i));
      held.emplace_back(hash, i);
    } else {
      std::swap(held[random() % held.size()], held.back());
      index.erase(held.back().first, held.back().second);
      const auto gone = held.back();
      held.pop_back();
      CHECK(index.find(gone.first, [&](std::uint32_t slot) { return slot == gone.second; }) == index.none);
    }
    if (i % 50 == 0) {
      bool all = true;
      for (const auto& [hash, slot] : held) {
        all &= index.find(hash, [want = slot](std::uint32_t found) { return found == want; }) == slot;
      }
      CHECK(all);
    }
  }
}

TEST_CASE("fleet: a snapshot at any place goes on as if nothing had happened") {
  for (unsigned seed = 10; seed < 13; ++seed) {
    Log log;
    const fl::Fleet live = lived(seed, 1'500, &log, narrow);
    const std::string end = live.state();
    const fl::FleetOrigin id{{1, 2, 3}, 4};
    for (std::size_t n = 0; n < log.size(); n += 97) {
      const std::string bytes = log.folded(n).snapshot(id);
      fl::Fleet fleet;
      fl::FleetOrigin of;
      REQUIRE(fl::Fleet::restore(bytes, fleet, of) == Status::ok);
      CHECK(of == id);
      CHECK(fleet.last() == n);
      CHECK(fleet.snapshot(id) == bytes);
      for (std::size_t i = n; i < log.size(); ++i) REQUIRE(fleet.apply(log[i]) == Status::ok);
      CHECK(fleet.state() == end);
      CHECK(fleet.snapshot(id) == log.folded().snapshot(id));
    }
  }
}

TEST_CASE("fleet: bytes that are no snapshot change nothing") {
  Log log;
  const fl::Fleet live = lived(3, 300, &log, narrow);
  std::string bytes = live.snapshot({});
  fl::FleetOrigin of;
  fl::Fleet fleet;
  const std::string before = fleet.state();
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    std::string bad = bytes;
    if (i % 2 == 0) bad.resize(random() % bad.size());
    else bad[random() % bad.size()] ^= static_cast<char>(1 << random() % 8);
    CHECK(fl::Fleet::restore(bad, fleet, of) == Status::bad_snapshot);
    // With a checksum that is right it is either refused, or a fleet that works.
    if (bad.size() < 20) continue;
    bad.resize(bad.size() - 4);
    const std::uint32_t crc = fl::crc32c(bad);
    bad.append(reinterpret_cast<const char*>(&crc), 4);
    fl::Fleet odd;
    if (fl::Fleet::restore(bad, odd, of) != Status::ok) continue;
    Life life(4);
    for (int t = 1'000; t < 1'100; ++t) (void)life.step(odd, t);
    CHECK_FALSE(odd.state().empty());
  }
  CHECK(fleet.state() == before);
}
