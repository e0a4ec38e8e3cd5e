// Uses one part that lives in the headers and one that lives in the library.
#include <cstdio>

#include "fairlead/elo.hpp"
#include "fairlead/scoreboard.hpp"

int main() {
  fairlead::Elo elo;
  elo.resize(2);
  if (elo.update(0, 1, 1.0) != fairlead::Status::ok) return 1;

  fairlead::Scoreboard board;
  board.add("first");
  board.add("second");

  std::printf("%.1f to %.1f, %d models\n", elo[0], elo[1], static_cast<int>(board.models().size()));
  return elo[0] > elo[1] && board.models().size() == 2 ? 0 : 1;
}
