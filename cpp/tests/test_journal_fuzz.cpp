// The fuzz target's own entry point over its seeds and some thousand changes of them, the same each time: a bounded run
// that needs no clang. The real one: `make fuzz`.
#include <doctest/doctest.h>

#include <random>

#include "../fuzz/seeds.hpp"

TEST_CASE("fuzz: the seeds, and changes of them by a fixed stream of random numbers") {
  const auto corpus = desk::seeds();
  REQUIRE(corpus.size() == 16);
  for (const auto& seed : corpus) desk::try_segment(seed);
  std::mt19937_64 random(2024);
  const auto below = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  int tried = 0;
  for (int round = 0; round < 12'000; ++round) {
    std::vector<std::uint8_t> input = corpus[below(corpus.size())];
    input[0] = static_cast<std::uint8_t>(random() % 4 != 0 ? input[0] | 1 : random());
    for (std::size_t changes = 1 + below(5); changes > 0 && input.size() > 2; --changes) {
      const std::size_t at = 1 + below(input.size() - 1);
      switch (below(7)) {
        case 0: input[at] = static_cast<std::uint8_t>(random()); break;
        case 1: input[at] = static_cast<std::uint8_t>(input[at] ^ (1u << below(8))); break;
        case 2: input.resize(at + 1); break;
        case 3: input[at] = random() % 2 != 0 ? 0xff : 0; break;
        case 4: {  // a field of a record: length, type, version, flags, number
          const std::size_t record = 2 + 64 + 8 * below((input.size() - 1) / 8 + 1);
          const std::size_t field = record + std::size_t{4} * (1 + below(4));
          if (field + 4 <= input.size()) input[field + below(4)] = static_cast<std::uint8_t>(below(48));
          break;
        }
        case 5: {  // a part once more
          const std::size_t n = std::min<std::size_t>(input.size() - at, 8 * (1 + below(12)));
          const std::vector<std::uint8_t> part(input.begin() + static_cast<std::ptrdiff_t>(at),
                                               input.begin() + static_cast<std::ptrdiff_t>(at + n));
          input.insert(input.begin() + static_cast<std::ptrdiff_t>(2 + below(input.size() - 2)), part.begin(), part.end());
          break;
        }
        default: input.resize(input.size() + 8 * below(20)); break;
      }
    }
    desk::try_segment(input);  // aborts where something does not hold
    ++tried;
  }
  CHECK(tried == 12'000);
}
