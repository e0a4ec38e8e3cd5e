// A fleet on the real journal: closed or killed, with snapshots or without, it goes on as if nothing had happened.
#include "fairlead/desk.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "fleet_life.hpp"
#include "journal_desk.hpp"

namespace fs = std::filesystem;
namespace fl = fairlead;
using namespace life;

namespace {

std::unique_ptr<fl::Desk> open(const std::string& folder, const fl::FleetSettings* settings, fl::DeskReport& report,
                               const fl::JournalOptions& options = {}) {
  std::unique_ptr<fl::Desk> desk;
  fl::journal::Recovery recovery;
  const fl::journal::Failure failure = fl::Desk::open(folder, settings, options, desk, report, recovery);
  INFO(failure.what);
  REQUIRE_FALSE(failure);
  return desk;
}

fl::Fleet folded(const std::string& folder, fl::DeskReport& report, bool snapshots) {
  fl::Fleet fleet;
  fl::FleetOrigin origin;
  const fl::journal::Failure failure = fl::fold_desk(folder, fleet, origin, report, snapshots);
  INFO(failure.what);
  REQUIRE_FALSE(failure);
  return fleet;
}

std::vector<std::string> snapshots(const std::string& folder) {
  std::vector<std::string> found;
  for (const auto& file : fs::directory_iterator(folder + "/snapshots")) found.push_back(file.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

// An audit as numbers, but for the size of its entry.
std::vector<double> numbers(const fl::Audit& audit) {
  const fl::AuditFixed& fixed = audit.fixed;
  std::vector<double> out{static_cast<double>(fixed.task), fixed.outcome, static_cast<double>(fixed.time),
                          static_cast<double>(fixed.decided), fixed.cost_usd, static_cast<double>(fixed.made)};
  for (const auto values : {audit.answers, audit.costs, audit.losses, audit.p, audit.weights}) {
    out.insert(out.end(), values.begin(), values.end());
  }
  for (const double loss : audit.strategies) out.push_back(std::isnan(loss) ? -1.0 : loss);
  return out;
}

// All audits of a desk, some at a time.
std::vector<std::vector<double>> audits(const std::string& folder, std::size_t step) {
  fl::DeskAudits reader;
  const fl::journal::Failure failure = fl::DeskAudits::open(folder, reader);
  INFO(failure.what);
  REQUIRE_FALSE(failure);
  std::vector<std::vector<double>> out;
  for (bool more = true; more;) {
    const std::size_t before = out.size();
    REQUIRE_FALSE(reader.advance(
        step,
        [&](const fl::FleetTask& task, const fl::Audit& audit) {
          CHECK(task.number == audit.fixed.task);
          CHECK(task.kind == audit.fixed.kind);
          CHECK_FALSE(task.id().empty());
          out.push_back(numbers(audit));
        },
        more));
    CHECK((out.size() - before == step || !more || before == 0));
  }
  return out;
}

void snap(const std::string& folder) {
  fl::journal::Seq seq = 0;
  REQUIRE_FALSE(fl::snapshot_desk(folder, seq));
}

}  // namespace

TEST_CASE("desk: closed and opened at any place, it is the fleet in memory") {
  const desk::Folder folder;
  Life there(21), here(21);
  fl::Fleet memory(narrow);
  fl::JournalOptions options;
  options.log.segment_bytes = 1 << 16;
  int t = 0;
  for (const int steps : {0, 1, 500, 40, 3'000}) {
    fl::DeskReport report;
    const auto desk = open(folder.str(), &narrow, report, options);
    CHECK(report.warnings.empty());
    CHECK(desk->fleet().state() == memory.state());
    for (const int end = t + steps; t < end;) {
      ++t;
      CHECK(there.step(desk->fleet(), t) == here.step(memory, t));
    }
    CHECK(desk->fleet().state() == memory.state());
    CHECK(desk->fleet().unlogged() == 0);
    if (steps == 500) {
      REQUIRE(desk->journal().wait_written(0, -1) == Status::ok);
      snap(folder.str());  // while it is open
    }
    REQUIRE_FALSE(desk->close());
    CHECK(desk->fleet().add("late", "{}") == Status::journal_closed);
  }
  fl::DeskReport with, without;
  CHECK(folded(folder.str(), with, true).state() == memory.state());
  CHECK(folded(folder.str(), without, false).state() == memory.state());
  CHECK(with.snapshot > 0);
  CHECK(with.snapshot + with.events == without.events);
  fl::FleetSettings other = narrow;
  other.k = 32;
  std::unique_ptr<fl::Desk> none;
  fl::journal::Recovery recovery;
  CHECK(fl::Desk::open(folder.str(), &other, options, none, with, recovery).status == Status::bad_event);
  CHECK(open(folder.str(), nullptr, with, options)->fleet().settings() == narrow);
}

TEST_CASE("desk: a snapshot that is of no use is passed over, and the state is the same") {
  const desk::Folder folder;
  fl::DeskReport report;
  std::string state;
  std::vector<std::string> states;
  {
    const auto desk = open(folder.str(), &narrow, report);
    Life life(5);
    for (int t = 1; t <= 1'200; ++t) {
      (void)life.step(desk->fleet(), t);
      if (t % 300 != 0) continue;
      REQUIRE(desk->journal().wait_written(0, -1) == Status::ok);
      snap(folder.str());
      CHECK(snapshots(folder.str()).size() <= 2);
    }
    for (int t = 1'201; t <= 1'300; ++t) (void)life.step(desk->fleet(), t);
    state = desk->fleet().state();
  }
  CHECK(folded(folder.str(), report, true).state() == state);
  CHECK(report.warnings.empty());
  const fl::journal::Seq newest = report.snapshot;
  CHECK(newest > 0);
  const std::vector<std::string> files = snapshots(folder.str());
  REQUIRE(files.size() == 2);
  const std::string good = desk::slurp(files[1]);

  const auto passed_over = [&](const std::string& why, std::size_t warnings) {
    CHECK(folded(folder.str(), report, true).state() == state);
    CHECK(report.snapshot < newest);
    REQUIRE(report.warnings.size() == warnings);
    CHECK(report.warnings[0].find(why) != std::string::npos);
  };
  std::string bad = good;
  bad[bad.size() / 2] ^= 4;
  desk::spew(files[1], bad);
  passed_over("no snapshot", 1);
  CHECK(report.snapshot > 0);
  desk::spew(files[1], good.substr(0, good.size() / 2));
  passed_over("no snapshot", 1);
  desk::spew(files[1], "");
  passed_over("no snapshot", 1);
  desk::spew(files[1], desk::slurp(files[0]));
  passed_over("it is of event", 1);
  desk::spew(files[0], "x");
  passed_over("it is of event", 2);
  CHECK(report.snapshot == 0);

  const desk::Folder another;
  { (void)open(another.str(), nullptr, report); }
  fs::create_directories(another.path / "snapshots");
  fs::copy_file(files[0], another.path / "snapshots" / fs::path(files[0]).filename());
  desk::spew((another.path / "snapshots" / fs::path(files[1]).filename()).string(), good);
  (void)folded(another.str(), report, true);
  REQUIRE(report.warnings.size() == 2);
  CHECK(report.warnings[0].find("of another journal") != std::string::npos);
  fs::create_directories(another.path / "snapshots" / (std::string(19, '0') + "7.fleet"));
  (void)folded(another.str(), report, true);
  CHECK(report.warnings.size() == 3);
}

TEST_CASE("desk: a journal that lost its end, and went on, has no use for what came after") {
  const desk::Folder folder;
  fl::DeskReport report;
  fl::JournalOptions options;
  fs::create_directories(folder.path);
  const fs::path early = folder.path / "early", desk_folder = folder.path / "desk";
  Life life(9);
  {
    const auto desk = open(desk_folder.string(), &narrow, report, options);
    for (int t = 1; t <= 300; ++t) (void)life.step(desk->fleet(), t);
    REQUIRE_FALSE(desk->close());
  }
  fs::copy(desk_folder, early, fs::copy_options::recursive);
  {
    const auto desk = open(desk_folder.string(), &narrow, report, options);
    for (int t = 301; t <= 600; ++t) (void)life.step(desk->fleet(), t);
    REQUIRE_FALSE(desk->close());
    snap(desk_folder.string());
  }
  // As if a power cut had taken what came after the copy, but not the snapshot.
  fs::copy(desk_folder / "snapshots", early / "snapshots", fs::copy_options::recursive);
  fl::Fleet fleet = folded(early.string(), report, true);
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("ahead of the journal") != std::string::npos);
  Life other(77);
  std::string state;
  {
    const auto desk = open(early.string(), &narrow, report, options);
    for (int t = 301; t <= 1'500; ++t) (void)other.step(desk->fleet(), t);
    state = desk->fleet().state();
  }
  CHECK(folded(early.string(), report, true).state() == state);
  REQUIRE(report.warnings.size() == 1);
  CHECK(report.warnings[0].find("another course") != std::string::npos);
  snap(early.string());
  CHECK(folded(early.string(), report, true).state() == state);
  CHECK(report.warnings.empty());
  CHECK(report.events == 0);
}

TEST_CASE("desk: what was archived needs a snapshot, and says so") {
  const desk::Folder folder;
  fl::DeskReport report;
  fl::JournalOptions options;
  options.log.segment_bytes = 1 << 16;
  std::string state;
  {
    const auto desk = open(folder.str(), &narrow, report, options);
    Life life(5);
    for (int t = 1; t <= 3'000; ++t) (void)life.step(desk->fleet(), t);
    REQUIRE(desk->journal().wait_written(0, -1) == Status::ok);
    snap(folder.str());
    for (int t = 3'001; t <= 3'100; ++t) (void)life.step(desk->fleet(), t);
    state = desk->fleet().state();
  }
  fs::remove(folder.segment(1));
  fs::remove(folder.segment(1, ".idx"));
  CHECK(folded(folder.str(), report, true).state() == state);
  for (const std::string& file : snapshots(folder.str())) desk::spew(file, "damaged");
  fl::Fleet fleet;
  fl::FleetOrigin origin;
  const fl::journal::Failure failure = fl::fold_desk(folder.str(), fleet, origin, report);
  CHECK(failure.status == Status::journal_damaged);
  CHECK(failure.what.find("events 1 to") != std::string::npos);
  CHECK(failure.what.find("passed over") != std::string::npos);
  CHECK(fl::fold_desk(folder.str() + "/none", fleet, origin, report).status == Status::not_a_journal);
}

TEST_CASE("desk: what was lived is replayed, in the same state, with the scores of every strategy") {
  const desk::Folder folder;
  fl::DeskReport report;
  std::string state;
  {
    const auto desk = open(folder.str(), &narrow, report);
    Life life(31);
    for (int t = 1; t <= 3'000; ++t) {
      (void)life.step(desk->fleet(), t);
      if (t == 1'000) {
        REQUIRE(desk->journal().wait_written(0, -1) == Status::ok);
        snap(folder.str());
      }
    }
    state = desk->fleet().state();
  }
  fl::FleetCensus census;
  REQUIRE_FALSE(fl::census_desk(folder.str(), census));
  std::uint64_t scored = 0;
  for (const Kind kind : {Kind::binary, Kind::categorical, Kind::numeric}) {
    fl::FleetReplay replay(kind, census, {});
    fl::StateCheck check;
    REQUIRE_FALSE(fl::replay_desk(folder.str(), replay, check));
    CHECK(replay.fleet().state() == state);
    std::uint32_t crc = 0;
    std::memcpy(&crc, state.data() + state.size() - sizeof(crc), sizeof(crc));
    CHECK(check.crc == crc);
    CHECK(check.snapshot > 0);
    CHECK(check.agrees());
    CHECK(replay.forecasts() == census.forecasts[static_cast<std::size_t>(kind)]);
    const fl::ReplayScores& scores = replay.scores();
    CHECK(scores.tasks > 10);
    scored += scores.tasks;
    for (const fl::Score& score : scores.strategies) CHECK(score.n == scores.tasks);
    CHECK(scores.history_n.back() == scores.tasks);
    CHECK(scores.history_rating.size() == scores.history_time.size() * scores.models.size());
  }
  CHECK(scored > 100);
}

TEST_CASE("desk: the audits of all settled tasks are those of the fleet that lived them") {
  const desk::Folder folder;
  fl::DeskReport report;
  fl::JournalOptions options;
  options.log.segment_bytes = 1 << 16;
  std::vector<std::vector<double>> lived;
  std::uint64_t seen = 0;
  {
    const auto desk = open(folder.str(), &narrow, report, options);
    Life life(8);
    for (int t = 1; t <= 6'000; ++t) {
      (void)life.step(desk->fleet(), t);
      const fl::Audits& ring = desk->fleet().audits();
      for (; seen < ring.added(); ++seen) ring.newest([&](const fl::Audit& audit) { lived.push_back(numbers(audit)); });
      if (t == 3'000) {
        REQUIRE(desk->journal().wait_written(0, -1) == Status::ok);
        snap(folder.str());
      }
    }
  }
  REQUIRE(lived.size() > 200);
  for (const std::size_t step : {1u, 7u, 100'000u}) CHECK(audits(folder.str(), step) == lived);

  // What was archived: it goes on from the snapshot, and with what that remembers.
  fs::remove(folder.segment(1));
  fs::remove(folder.segment(1, ".idx"));
  const std::vector<std::vector<double>> later = audits(folder.str(), 10);
  REQUIRE(later.size() > 50);
  CHECK(later.back() == lived.back());
  CHECK(later.size() < lived.size());  // narrow settings forget tasks
  for (const std::string& file : snapshots(folder.str())) desk::spew(file, "damaged");
  fl::DeskAudits reader;
  CHECK(fl::DeskAudits::open(folder.str(), reader).status == Status::journal_damaged);
  CHECK(fl::DeskAudits::open(folder.str() + "/none", reader).status == Status::not_a_journal);
}
