// Runs as bytes and back.
#include <doctest/doctest.h>

#include <cstring>
#include <string>
#include <vector>

#include "fairlead/journal/encode.hpp"

namespace fl = fairlead;
using namespace fairlead::journal;

TEST_CASE("a run comes back as it was") {
  EventBuffer out;
  encode(out,
         {.cost_nanos = 7,
          .duration_ms = 12.5,
          .compute_s = 0.5,
          .memory_mb = 256.0,
          .tokens = 900,
          .api_calls = 3,
          .status = RunStatus::error},
         99, 4, 2, "out of disk");
  const RecordHeader& header = *out.event().header;
  CHECK(header.type == Type::run);
  CHECK(type_name(header.type) == "run");
  CHECK(header.time == 99);
  CHECK(header.model == 4);
  CHECK(header.category == 2);
  DecodedRun run;
  REQUIRE(decode(out.payload(), run));
  CHECK(run.fixed.cost_nanos == 7);
  CHECK(run.fixed.duration_ms == 12.5);
  CHECK(run.fixed.compute_s == 0.5);
  CHECK(run.fixed.memory_mb == 256.0);
  CHECK(run.fixed.tokens == 900);
  CHECK(run.fixed.api_calls == 3);
  CHECK(run.fixed.status == RunStatus::error);
  CHECK(run.error == "out of disk");
}

TEST_CASE("a run whose bytes are not what its count says is none") {
  EventBuffer out;
  encode(out, RunFixed{}, 0, 0, -1, std::string(70'000, 'x'));
  DecodedRun run;
  REQUIRE(decode(out.payload(), run));
  CHECK(run.error.size() == 65'535);
  std::vector<std::byte> bytes(out.payload().begin(), out.payload().end());
  CHECK_FALSE(decode(std::span(bytes).first(bytes.size() - 1), run));
  CHECK_FALSE(decode(std::span(bytes).first(20), run));
  bytes.push_back({});
  CHECK_FALSE(decode(bytes, run));
  bytes.pop_back();
  bytes[offsetof(RunFixed, status)] = std::byte{4};
  CHECK_FALSE(decode(bytes, run));
}
