// Costs against exact arithmetic written out, their bounds, and the edge to doubles.
#include <doctest/doctest.h>

#include <random>

#include "fairlead/money.hpp"

using namespace fairlead;

TEST_CASE("money: the cost of a call is exact, rounded up once") {
  const Prices price{.input = 2'500'000'000, .output = 10'000'000'000, .cached = 1'250'000'000, .written = 3'125'000'000,
                     .written_1h = 5'000'000'000};
  Nanos nanos = -1;
  REQUIRE(cost(price, {.input = 1'000'000, .output = 100'000, .cached = 400'000}, nanos) == Status::ok);
  CHECK(nanos == 3'000'000'000);  // 0.6 * 2.5 + 0.4 * 1.25 + 0.1 * 10 dollars
  REQUIRE(cost(price, {.input = 1000, .output = 0, .written = 600, .written_1h = 200}, nanos) == Status::ok);
  CHECK(nanos == 400 * 2500 + 400 * 3125 + 200 * 5000);
  REQUIRE(cost(Prices{.input = 1}, {.input = 1}, nanos) == Status::ok);
  CHECK(nanos == 1);  // a millionth of a nano-dollar is not nothing
  REQUIRE(cost(Prices{.input = 1, .output = 999'999}, {.input = 1, .output = 1}, nanos) == Status::ok);
  CHECK(nanos == 1);  // rounded once, not twice
  REQUIRE(cost(Prices{}, {.input = 1'000'000}, nanos) == Status::ok);
  CHECK(nanos == 0);
  REQUIRE(cost(Prices{.call = 7}, {}, nanos) == Status::ok);
  CHECK(nanos == 7);
}

TEST_CASE("money: products beyond 64 bits, and what is refused leaves the result alone") {
  Nanos nanos = -1;
  // 1e9 tokens at 1e18 nano-dollars a million: 1e27 in the sum, 1e21 nano-dollars.
  CHECK(cost(Prices{.input = max_amount}, {.input = 1'000'000'000}, nanos) == Status::out_of_range);
  CHECK(nanos == -1);
  REQUIRE(cost(Prices{.input = max_amount}, {.input = 1'000'000}, nanos) == Status::ok);
  CHECK(nanos == max_amount);
  REQUIRE(cost(Prices{.output = 30'000'000'000}, {.output = 3'000'000'000}, nanos) == Status::ok);
  CHECK(nanos == 90'000'000'000'000);  // 9e19 in the sum: more than 64 bits
  nanos = -1;
  for (const Usage& usage : {Usage{.input = -1}, Usage{.output = -1}, Usage{.input = 1, .cached = 2},
                             Usage{.input = 3, .cached = 2, .written = 2}, Usage{.input = 3, .written = 2, .written_1h = 3},
                             Usage{.input = INT64_MIN}, Usage{.input = INT64_MIN, .cached = INT64_MAX},
                             Usage{.input = 5, .cached = INT64_MAX, .written = INT64_MAX}}) {
    CHECK(cost(Prices{.input = 1}, usage, nanos) == Status::out_of_range);
  }
  CHECK(cost(Prices{.input = -1}, {.input = 1}, nanos) == Status::out_of_range);
  CHECK(cost(Prices{.input = 1, .call = max_amount}, {.input = 1}, nanos) == Status::out_of_range);
  CHECK(nanos == -1);
}

TEST_CASE("money: a long prompt costs the longer prices for all of it; the bound holds for every usage") {
  const Tariff tariff{.base = {.input = 1'250'000'000, .output = 10'000'000'000, .cached = 125'000'000, .written = 1'500'000'000,
                               .written_1h = 2'000'000'000},
                      .beyond = {.input = 2'500'000'000, .output = 15'000'000'000, .cached = 250'000'000,
                                 .written = 3'000'000'000, .written_1h = 4'000'000'000},
                      .above = 200'000};
  Nanos at = 0, beyond = 0;
  REQUIRE(cost(tariff, {.input = 200'000}, at) == Status::ok);
  REQUIRE(cost(tariff, {.input = 200'001}, beyond) == Status::ok);
  CHECK(at == 250'000'000);
  CHECK(beyond == 500'002'500);
  std::mt19937_64 random(1);
  const auto below = [&](std::int64_t n) { return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n + 1)); };
  for (int i = 0; i < 2000; ++i) {
    const std::int64_t most_in = below(400'000), most_out = below(10'000);
    Usage usage{.input = most_in, .output = below(most_out)};
    usage.cached = below(usage.input);
    usage.written = below(usage.input - usage.cached);
    usage.written_1h = below(usage.written);
    Nanos most = 0, one = 0;
    REQUIRE(bound(tariff, most_in, most_out, most) == Status::ok);
    REQUIRE(cost(tariff, usage, one) == Status::ok);
    CHECK(one <= most);
  }
}

TEST_CASE("money: dollars as doubles go there and back") {
  std::mt19937_64 random(2);
  for (int i = 0; i < 10'000; ++i) {
    const auto nanos = static_cast<Nanos>(random() % 2'000'000'000'000'000ULL);
    Nanos back = 0;
    REQUIRE(to_nanos(to_usd(nanos), back) == Status::ok);
    REQUIRE(back == nanos);
  }
  Nanos nanos = -1;
  CHECK(to_nanos(-0.1, nanos) == Status::out_of_range);
  CHECK(to_nanos(1.1e9, nanos) == Status::out_of_range);
  CHECK(to_nanos(std::numeric_limits<double>::quiet_NaN(), nanos) == Status::not_finite);
  CHECK(nanos == -1);
}
