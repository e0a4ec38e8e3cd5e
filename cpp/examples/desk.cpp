// A desk with no Python in it: models answer, one decision is taken, outcomes come, all of it in a journal. Then the process
// "dies" in the middle, and the next one goes on where it was.
//
//   desk [folder]
#include <fairlead/desk.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

namespace {

namespace fl = fairlead;

[[noreturn]] void fail(const std::string& what) {
  std::fprintf(stderr, "desk: %s\n", what.c_str());
  std::exit(1);
}

void check(fl::Status status) {
  if (status != fl::Status::ok) fail(fl::message(status));
}

std::unique_ptr<fl::Desk> open(const std::string& folder) {
  std::unique_ptr<fl::Desk> desk;
  fl::DeskReport report;
  fl::journal::Recovery recovery;
  if (const auto failure = fl::Desk::open(folder, nullptr, {}, desk, report, recovery)) fail(failure.what);
  std::printf("opened: %llu events, %llu of them left in shared memory by a process that died\n",
              static_cast<unsigned long long>(desk->fleet().last()), static_cast<unsigned long long>(recovery.drained));
  return desk;
}

// Tasks `first` to `last`; each is answered by both models, decided, and settled.
void trade(fl::Desk& desk, int first, int last) {
  fl::Fleet& fleet = desk.fleet();
  fl::Decision decision;  // its buffers are reused
  for (int i = first; i <= last; ++i) {
    const std::string id = "q-" + std::to_string(i);
    const fl::Task task{.id = id, .category = "politics", .time = i};
    const double sure[] = {i % 3 != 0 ? 0.8 : 0.3}, unsure[] = {0.5};
    check(fleet.record(task, {.model = fleet.find_model("sharp"), .p = sure, .time = i}));
    check(fleet.record(id, {.model = fleet.find_model("dull"), .p = unsure, .time = i}));
    check(fleet.decide(id, fl::Strategy::hedge, decision, i));
    bool news = false;
    check(fleet.settle(id, i % 3 != 0 ? 1.0 : 0.0, i, fl::nan, news));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder =
      argc > 1 ? argv[1] : (std::filesystem::temp_directory_path() / ("desk-" + std::to_string(getpid()))).string();
  const pid_t child = fork();
  if (child == 0) {
    const auto desk = open(folder);
    check(desk->fleet().add({.name = "sharp"}));
    check(desk->fleet().add({.name = "dull"}));
    trade(*desk, 1, 1'000);
    std::fflush(stdout);
    kill(getpid(), SIGKILL);  // what the journal has accepted is not lost
  }
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFSIGNALED(status)) fail("the first process came to another end");

  const auto desk = open(folder);
  trade(*desk, 1'001, 1'100);
  const fl::Scoreboard& board = desk->fleet().board();
  for (fl::ModelId model = 0; model < board.models().size(); ++model) {
    std::printf("%-6s %4llu tasks, rating %.0f, Brier score %.3f\n", board.models().name(model).c_str(),
                static_cast<unsigned long long>(board.score(model).n), board.rating(model), board.score(model).brier());
  }
  if (board.score(0).n != 1'100) fail("an outcome was lost");
  if (const auto failure = desk->close()) fail(failure.what);
  if (argc <= 1) std::filesystem::remove_all(folder);
  return 0;
}
