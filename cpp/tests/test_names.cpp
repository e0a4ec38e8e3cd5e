// Names of models, dimensions and slices, and in which slices a task is scored.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "fairlead/names.hpp"
#include "fairlead/scoreboard.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::ModelId;
using fl::Scoreboard;
using fl::SliceId;
using fl::Status;
using fl::TaskHandle;

namespace {

Status say(Scoreboard& board, TaskHandle task, ModelId model, double p) {
  return board.record(task, {.model = model, .p = std::span(&p, 1)});
}

}  // namespace

TEST_CASE("names: ids are dense, in order of arrival, and stay") {
  fl::NameTable names;
  CHECK(names.find("a") == fl::NameTable::absent);
  CHECK(names.size() == 0);
  for (int i = 0; i < 2'000; ++i) REQUIRE(names.intern("name " + std::to_string(i)) == i);
  CHECK(names.intern("name 7") == 7);
  CHECK(names.size() == 2'000);
  int wrong = 0;
  for (int i = 0; i < 2'000; ++i) {
    wrong += names.find("name " + std::to_string(i)) == i && names.name(i) == "name " + std::to_string(i) ? 0 : 1;
  }
  CHECK(wrong == 0);
  CHECK(names.intern("") == 2'000);  // the empty name is a name
  CHECK(names.find("name") == fl::NameTable::absent);
}

TEST_CASE("scoreboard: names of models, dimensions and slices") {
  Scoreboard board;
  CHECK(board.add("a") == 0);
  CHECK(board.add("a") == 0);
  CHECK(board.add(fl::Model{.name = "b"}) == 1);
  CHECK(board.models().name(1) == "b");
  CHECK_FALSE(board.has_model(2));
  CHECK_FALSE(board.has_model(-1));
  const SliceId politics = board.slice("category", "politics");
  CHECK(board.slice("category", "politics") == politics);
  CHECK(board.dimension(politics) == "category");
  CHECK(board.value(politics) == "politics");
  CHECK(board.dimension(Scoreboard::overall) == "overall");
  CHECK(board.value(Scoreboard::overall).empty());
  CHECK(board.has_slice(politics));
  CHECK_FALSE(board.has_slice(politics + 1));
  for (int i = 0; i < 500; ++i) {
    const SliceId slice = board.slice("item", std::to_string(i));
    CHECK(board.value(slice) == std::to_string(i));
    CHECK(board.rating(0, slice) == 1500.0);
  }
}

TEST_CASE("scoreboard: an equals sign in a name does not make two slices one") {
  Scoreboard board;
  const SliceId left = board.slice("a=b", "c");
  const SliceId right = board.slice("a", "b=c");
  CHECK(left != right);
  CHECK(board.dimension(right) == "a");
  CHECK(board.value(right) == "b=c");
}

TEST_CASE("scoreboard: a slice named twice counts once, and eight are allowed") {
  Scoreboard board;
  const ModelId a = board.add("a"), b = board.add("b");
  std::vector<SliceId> eight;
  for (int i = 0; i < 8; ++i) eight.push_back(board.slice("d", std::to_string(i)));
  eight[7] = eight[0];
  TaskHandle task;
  REQUIRE(board.open(Kind::binary, 0, eight, task) == Status::ok);
  REQUIRE(say(board, task, a, 1.0) == Status::ok);
  REQUIRE(say(board, task, b, 0.0) == Status::ok);
  REQUIRE(board.settle({.task = task, .value = 1.0}) == Status::ok);
  CHECK(board.score(a, eight[0]).n == 1);
  CHECK(board.rating(a, eight[0]) == doctest::Approx(1516.0));
  CHECK(board.score(a).n == 1);
  CHECK(board.score(a, board.slice("d", "7")).n == 0);
}

TEST_CASE("scoreboard: a record's category, regime and slices are where it is scored") {
  Scoreboard board;
  const ModelId a = board.add("a");
  const fl::Dimension horizon{"horizon", "2"};
  TaskHandle task;
  REQUIRE(board.open({.id = "q", .category = "politics", .regime = "calm", .slices = std::span(&horizon, 1)}, task) ==
          Status::ok);
  REQUIRE(say(board, task, a, 0.5) == Status::ok);
  REQUIRE(board.settle({.task = task, .value = 1.0}) == Status::ok);
  CHECK(board.n_slices() == 4);
  for (SliceId s = 0; s < 4; ++s) CHECK(board.score(a, s).n == 1);
}

TEST_CASE("scoreboard: a record that cannot be opened adds no slice") {
  Scoreboard board;
  board.add("a");
  TaskHandle task;
  const std::string_view one[] = {"only"};
  CHECK(board.open(fl::Task{.id = "q", .kind = Kind::categorical, .category = "new", .labels = one}, task) ==
        Status::wrong_length);
  const std::vector<fl::Dimension> nine(9, fl::Dimension{"d", "v"});
  CHECK(board.open(fl::Task{.id = "q", .category = "new", .slices = nine}, task) == Status::too_many_slices);
  CHECK(board.n_slices() == 1);
  CHECK(board.open_tasks() == 0);
}
