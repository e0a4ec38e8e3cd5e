// Snapshots of the Scoreboard: who goes on from one is, bit for bit, who never stopped; and no bytes do any harm.
#include <doctest/doctest.h>

#include <bit>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "fairlead/scoreboard.hpp"
#include "fairlead/snapshot.hpp"
#include "tasks.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::ModelId;
using fl::Scoreboard;
using fl::Status;

namespace {

using Bits = std::vector<std::uint64_t>;

fl::ScoreboardOptions small() { return {.history = 8, .psi_reference = 12, .psi_window = 7}; }

// A scoreboard under random events of all sorts. Two that are given the same dice do the same, so long as they answer
// the same; what they answer is in `seen`.
struct Life {
  Scoreboard board;
  std::vector<fl::TaskHandle> tasks = {};  // also those that are over
  std::vector<std::size_t> classes = {};
  fl::Time now = 0;
  Bits seen = {};

  void see(double x) { seen.push_back(std::bit_cast<std::uint64_t>(x)); }
  void see(std::uint64_t x) { seen.push_back(x); }
  void see(Status status) { see(static_cast<std::uint64_t>(status)); }

  void step(std::mt19937_64& dice) {
    const std::uint64_t what = dice();
    const auto pick = [&dice](std::size_t n) { return static_cast<std::size_t>(dice() % n); };
    const auto uniform = [&dice] { return static_cast<double>(dice() >> 11) * 0x1p-53; };
    if (what % 64 == 0) see(static_cast<std::uint64_t>(board.add("model " + std::to_string(pick(9)))));
    if (what % 64 == 1) see(board.remove(static_cast<ModelId>(pick(9))));
    if (what % 64 == 2) see(static_cast<std::uint64_t>(board.slice(pick(2) ? "regime" : "", std::to_string(pick(5)))));
    if (what % 256 == 3) board.reserve(static_cast<Kind>(pick(3)), pick(30), 2 + pick(5));
    if (what % 64 < 4) return;
    const std::size_t one = tasks.empty() ? 0 : tasks.size() - 1 - pick(std::min<std::size_t>(tasks.size(), 12));
    switch (tasks.empty() ? 0 : what % 8) {
      case 0:
      case 1: {
        const auto kind = static_cast<Kind>(pick(3));
        const std::size_t labels = 2 + pick(9);
        std::vector<fl::SliceId> slices(pick(4));
        for (auto& slice : slices) slice = static_cast<fl::SliceId>(pick(static_cast<std::size_t>(board.n_slices())));
        fl::TaskHandle task;
        see(board.open(kind, labels, slices, task));
        see((std::uint64_t{task.generation} << 32) | task.slot);
        tasks.push_back(task);
        classes.push_back(kind == Kind::numeric ? 0 : kind == Kind::binary ? 1 : labels);
        break;
      }
      case 6: {
        now += static_cast<fl::Time>(pick(3)) - (pick(10) == 0 ? 2 : 0);
        const std::size_t n = classes[one];
        const double outcome = n == 0 ? 10.0 * uniform() : static_cast<double>(pick(n == 1 ? 2 : n + 1));
        const Status status = settle(board, tasks[one], outcome, now);
        see(status);
        if (status != Status::ok) break;
        for (const auto& marks : board.settled_marks()) see(marks.loss);
        break;
      }
      case 7:
        if (pick(6) == 0) see(board.close(tasks[one]));
        break;
      default: {
        const std::size_t n = classes[one];
        std::vector<double> p(n);
        double sum = 0.0;
        for (double& x : p) sum += x = uniform() + 1e-9;
        for (double& x : p) x /= n == 1 ? 1.0 + 1e-9 : sum;
        see(board.record(tasks[one], {.model = static_cast<ModelId>(pick(9)),
                                      .p = p,
                                      .value = n == 0 ? 10.0 * uniform() : fl::nan,
                                      .confidence = pick(3) == 0 ? uniform() : fl::nan,
                                      .latency_ms = pick(2) == 0 ? 100.0 * uniform() : fl::nan,
                                      .tokens_in = static_cast<std::int64_t>(pick(1000)),
                                      .tokens_out = static_cast<std::int64_t>(pick(1000)),
                                      .cost_usd = uniform(),
                                      .error = pick(7) == 0 ? "failed" : ""}));
      }
    }
  }

  // All that can be read.
  Bits readings() {
    seen.clear();
    for (const fl::TaskHandle task : tasks) {
      for (std::size_t s = 0; s < fl::strategy_names.size(); ++s) {
        fl::Decision d;
        see(board.decide(task, static_cast<fl::Strategy>(s), d));
        for (const auto& [model, weight] : d.weights) see(static_cast<std::uint64_t>(model)), see(weight);
        for (const double p : d.p) see(p);
        for (const double x : {d.value, d.disagreement, d.uncertainty, d.position_scale, d.cost_usd}) see(x);
        see(std::uint64_t{d.reasons});
      }
    }
    see(std::uint64_t{board.open_tasks()});
    for (ModelId i = 0; i < board.models().size(); ++i) {
      REQUIRE(board.models().find(board.models().name(i)) == i);
      see(std::uint64_t{board.active(i)});
      see(board.confidence_psi(i));
      for (fl::SliceId s = 0; s < board.n_slices(); ++s) {
        REQUIRE(board.find_slice(board.dimension(s), board.value(s)) == s);
        see(board.rating(i, s));
        const fl::Score& score = board.score(i, s);
        for (const std::uint64_t n : {score.n, score.numbers, score.correct}) see(n);
        for (const double x : {score.brier(), score.log_loss(), score.calibration_error(), score.mae(), score.rmse()})
          see(x);
        for (const auto& bin : score.calibration.bins()) see(bin.n), see(bin.happened), see(bin.p_sum);
        const fl::Calls& calls = board.calls(i, s);
        for (const std::uint64_t n : {calls.answered, calls.failed, calls.latency_n}) see(n);
        see(static_cast<std::uint64_t>(calls.tokens_in)), see(static_cast<std::uint64_t>(calls.tokens_out));
        see(calls.cost_usd), see(calls.latency_ms_sum);
        for (const Kind kind : {Kind::binary, Kind::categorical, Kind::numeric}) {
          const fl::History& history = board.history(i, s, kind);
          see(std::uint64_t{history.size()});
          for (const fl::Time span : {1, 3, 1000}) {
            const fl::Moments m = history.window(span, now);
            for (const double x : {m.n, m.mean, m.m2, m.min, m.max}) see(x);
          }
        }
      }
    }
    return std::move(seen);
  }
};

Life lived(std::uint64_t seed, int steps, fl::ScoreboardOptions options = small()) {
  Life life{Scoreboard(options)};
  for (int i = 0; i < 4; ++i) life.board.add("model " + std::to_string(i));
  std::mt19937_64 dice(seed);
  for (int i = 0; i < steps; ++i) life.step(dice);
  return life;
}

Scoreboard again(const Scoreboard& board) {
  Scoreboard out;
  REQUIRE(Scoreboard::restore(board.snapshot(), out) == Status::ok);
  return out;
}

std::string checked(std::string bytes) {  // with the checksum that belongs to all but the last four bytes
  const std::uint32_t checksum = fl::crc32c(std::string_view(bytes).substr(0, bytes.size() - 4));
  std::memcpy(bytes.data() + bytes.size() - 4, &checksum, 4);
  return bytes;
}

template <class T>
std::string raw(std::initializer_list<T> values) {
  std::string out;
  for (const T& x : values) out.append(reinterpret_cast<const char*>(&x), sizeof(T));
  return out;
}
std::string ids(std::initializer_list<std::int32_t> values) {
  return raw<std::uint64_t>({values.size()}) + raw<std::int32_t>(values);
}

// What a snapshot is with `from`, which is in it once, made `to`.
Status forged(const Scoreboard& board, const std::string& from, const std::string& to) {
  std::string bytes = board.snapshot();
  const std::size_t at = bytes.find(from);
  REQUIRE(at != std::string::npos);
  REQUIRE(bytes.find(from, at + 1) == std::string::npos);
  bytes.replace(at, from.size(), to);
  Scoreboard out;
  return Scoreboard::restore(checked(bytes), out);
}

}  // namespace

TEST_CASE("scoreboard snapshot: who goes on from one is who never stopped") {
  fl::ScoreboardOptions idle = small();
  idle.elo.schedule = {.form = fl::KSchedule::Form::steps, .games = 5.0, .top_rating = 1510.0};
  idle.hedge.half_life = 10.0;
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    INFO("seed ", seed);
    Life life = lived(seed, static_cast<int>(seed) * 25, seed % 3 == 0 ? idle : small());
    Life other{again(life.board), life.tasks, life.classes, life.now};
    REQUIRE(other.readings() == life.readings());
    REQUIRE(other.board.snapshot() == life.board.snapshot());
    std::mt19937_64 a(seed + 1000), b(seed + 1000);
    for (int i = 0; i < 400; ++i) life.step(a), other.step(b);
    REQUIRE(other.seen == life.seen);
    REQUIRE(other.readings() == life.readings());
    REQUIRE(other.board.snapshot() == life.board.snapshot());
  }
}

TEST_CASE("scoreboard snapshot: an empty one, sums that overflowed, and one within a larger snapshot") {
  CHECK(again(Scoreboard()).models().size() == 0);
  CHECK(again(Scoreboard({.history = 0, .psi_reference = 0, .psi_window = 0})).n_slices() == 1);
  Scoreboard board;
  const double p[] = {0.5};
  const ModelId rich = board.add("rich");
  constexpr double most = std::numeric_limits<double>::max();
  const fl::TaskHandle task = open(board);
  for (int i = 0; i < 2; ++i)
    REQUIRE(board.record(task, {.model = rich, .p = p, .latency_ms = most, .cost_usd = most}) == Status::ok);
  CHECK(std::isinf(board.calls(rich).cost_usd));
  CHECK(again(board).snapshot() == board.snapshot());

  fl::SnapshotWriter writer("owner", 1);
  writer.put(1.5);
  board.save(writer);
  writer.put(2.5);
  const std::string bytes = writer.finish();
  fl::SnapshotReader reader(bytes, "owner", 1);
  double before = 0.0, after = 0.0;
  Scoreboard part;
  reader.get(before);
  part.load(reader);
  reader.get(after);
  CHECK(reader.finish() == Status::ok);
  CHECK(before == 1.5);
  CHECK(after == 2.5);
  CHECK(part.snapshot() == board.snapshot());
}

TEST_CASE("scoreboard snapshot: every cut is refused, with a good checksum or not, and changes nothing") {
  const Life life = lived(5, 150);
  const std::string bytes = life.board.snapshot();
  Scoreboard out;
  out.add("stays");
  const std::string before = out.snapshot();
  std::size_t refused = 0;
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    refused += Scoreboard::restore(bytes.substr(0, n), out) == Status::bad_snapshot ? 1u : 0u;
    if (n >= 4) refused += Scoreboard::restore(checked(bytes.substr(0, n)), out) == Status::bad_snapshot ? 1u : 0u;
  }
  CHECK(refused == 2 * bytes.size() - 4);
  CHECK(Scoreboard::restore(checked(bytes + "x"), out) == Status::bad_snapshot);
  CHECK(out.snapshot() == before);
  CHECK(Scoreboard::restore(bytes, out) == Status::ok);
  CHECK(out.snapshot() == bytes);
}

TEST_CASE("scoreboard snapshot: bytes made up with a good checksum do no harm") {
  const Life life = lived(7, 700);
  const std::string bytes = life.board.snapshot();
  const std::size_t payload = bytes.find("scoreboard") + 14;
  std::mt19937_64 dice(11);
  int taken = 0, refused = 0;
  for (int i = 0; i < 4000; ++i) {
    std::string made_up = bytes;
    for (std::uint64_t flips = 1 + dice() % 3; flips > 0; --flips) {
      char& byte = made_up[payload + static_cast<std::size_t>(dice() % (bytes.size() - payload - 4))];
      constexpr unsigned char chosen[] = {0, 1, 2, 127, 128, 255};
      byte = dice() % 2 ? static_cast<char>(byte ^ (1 << dice() % 8)) : static_cast<char>(chosen[dice() % 6]);
    }
    Life other{Scoreboard(), life.tasks, life.classes, life.now};
    if (Scoreboard::restore(checked(made_up), other.board) != Status::ok) {
      ++refused;
      continue;
    }
    ++taken;
    for (int k = 0; k < 40; ++k) other.step(dice);
    (void)other.readings();
    (void)again(other.board);
  }
  CHECK(taken > 500);
  CHECK(refused > 500);
}

TEST_CASE("scoreboard snapshot: what does not fit together is refused") {
  Scoreboard board(small());
  const ModelId a = board.add("model a"), b = board.add("model b");
  const fl::SliceId narrow = board.slice("category", "politics");
  const fl::TaskHandle gone = open(board), left = open(board), task = open(board, Kind::categorical, 3, {narrow});
  REQUIRE(board.close(gone) == Status::ok);
  REQUIRE(board.close(left) == Status::ok);
  const double p[] = {0.25, 0.25, 0.5};
  for (const ModelId model : {a, b}) REQUIRE(board.record(task, {.model = model, .p = p}) == Status::ok);

  const auto models = [](std::initializer_list<std::int32_t> who) { return ids(who) + raw<std::uint64_t>({6}); };
  CHECK(forged(board, models({0, 1}), models({1, 0})) == Status::ok);
  CHECK(forged(board, models({0, 1}), models({0, 0})) == Status::bad_snapshot);
  CHECK(forged(board, models({0, 1}), models({0, 2})) == Status::bad_snapshot);
  CHECK(forged(board, models({0, 1}), models({-1, 1})) == Status::bad_snapshot);
  CHECK(forged(board, models({0, 1}), models({0})) == Status::bad_snapshot);

  const std::string kind(1, static_cast<char>(Kind::categorical));
  const auto opened = [&](std::initializer_list<std::int32_t> slices, std::uint32_t classes) {
    return kind + ids(slices) + raw<std::uint32_t>({classes});
  };
  CHECK(forged(board, opened({0, 1}, 3), opened({0}, 3)) == Status::ok);
  CHECK(forged(board, opened({0, 1}, 3), opened({1, 0}, 3)) == Status::bad_snapshot);
  CHECK(forged(board, opened({0, 1}, 3), opened({0, 0}, 3)) == Status::bad_snapshot);
  CHECK(forged(board, opened({0, 1}, 3), opened({0, 2}, 3)) == Status::bad_snapshot);
  CHECK(forged(board, opened({0, 1}, 3), opened({}, 3)) == Status::bad_snapshot);
  CHECK(forged(board, opened({0, 1}, 3), opened({0, 1}, 2)) == Status::bad_snapshot);
  CHECK(forged(board, opened({0, 1}, 3), opened({0, 1}, 4)) == Status::bad_snapshot);

  const auto slots = [](std::initializer_list<std::int32_t> generations, std::initializer_list<std::int32_t> free) {
    return ids(generations) + ids(free);
  };
  const std::string now = slots({2, 2, 1}, {0, 1});
  CHECK(forged(board, now, slots({2, 2, 1}, {1, 0})) == Status::ok);
  CHECK(forged(board, now, slots({2, 2, 1}, {0, 0})) == Status::bad_snapshot);
  CHECK(forged(board, now, slots({2, 2, 1}, {0, 3})) == Status::bad_snapshot);
  CHECK(forged(board, now, slots({2, 2, 1}, {0})) == Status::bad_snapshot);        // an open task that is not there
  CHECK(forged(board, now, slots({2, 2, 1}, {0, 1, 2})) == Status::bad_snapshot);  // and one that should not be
  CHECK(forged(board, now, slots({2, 0, 1}, {0, 1})) == Status::bad_snapshot);
  CHECK(forged(board, now, slots({2, -1, 1}, {0, 1})) == Status::bad_snapshot);

  const auto columns = [](std::initializer_list<std::int32_t> dimension, std::initializer_list<std::int32_t> value) {
    return ids(dimension) + ids(value);
  };
  CHECK(forged(board, columns({0, 1}, {0, 0}), columns({1, 0}, {0, 0})) == Status::bad_snapshot);  // overall is first
  CHECK(forged(board, columns({0, 1}, {0, 0}), columns({0, 0}, {0, 0})) == Status::bad_snapshot);
  CHECK(forged(board, columns({0, 1}, {0, 0}), columns({0, 2}, {0, 0})) == Status::bad_snapshot);
  CHECK(forged(board, columns({0, 1}, {0, 0}), columns({0, 1}, {0, 1})) == Status::bad_snapshot);
  CHECK(forged(board, "model b", "model a") == Status::bad_snapshot);
  CHECK(forged(board, "overall", "overlap") == Status::bad_snapshot);

  const std::string row = raw<double>({0.25, 0.25, 0.5, 0.25, 0.25, 0.5});
  CHECK(forged(board, row, raw<double>({0.5, 0.25, 0.25, 0.25, 0.25, 0.5})) == Status::ok);
  CHECK(forged(board, row, raw<double>({-0.25, 0.75, 0.5, 0.25, 0.25, 0.5})) == Status::bad_snapshot);
  CHECK(forged(board, row, raw<double>({0.25, 0.25, fl::nan, 0.25, 0.25, 0.5})) == Status::bad_snapshot);
  CHECK(forged(board, row, raw<double>({0.25, 0.25, 0.75, 0.25, 0.25, 0.5})) == Status::bad_snapshot);
}

TEST_CASE("scoreboard snapshot: recent losses out of order, or more than may be kept, are refused") {
  Scoreboard board(small());
  board.add("model");
  const double p[] = {0.5};
  for (const fl::Time time : {7001, 7002}) {
    const fl::TaskHandle task = open(board);
    REQUIRE(board.record(task, {.model = 0, .p = p}) == Status::ok);
    REQUIRE(settle(board, task, 1.0, time) == Status::ok);
  }
  const auto history = [](std::uint64_t capacity, std::uint64_t n, std::int64_t first, std::int64_t second, double x) {
    return raw<std::uint64_t>({capacity, n}) + raw<double>({x}) + raw<std::int64_t>({first}) + raw<double>({0.25}) +
           raw<std::int64_t>({second});
  };
  const std::string now = history(8, 2, 7001, 7002, 0.25);
  CHECK(forged(board, now, history(8, 2, 7001, 7001, 0.5)) == Status::ok);
  CHECK(forged(board, now, history(2, 2, 7001, 7002, 0.25)) == Status::ok);
  CHECK(forged(board, now, history(8, 2, 7002, 7001, 0.25)) == Status::bad_snapshot);
  CHECK(forged(board, now, history(8, 2, 7001, 7002, fl::nan)) == Status::bad_snapshot);
  CHECK(forged(board, now, history(1, 2, 7001, 7002, 0.25)) == Status::bad_snapshot);
  CHECK(forged(board, now, history(9, 2, 7001, 7002, 0.25)) == Status::bad_snapshot);
  CHECK(forged(board, now, history(8, std::uint64_t{1} << 60, 7001, 7002, 0.25)) == Status::bad_snapshot);
}
