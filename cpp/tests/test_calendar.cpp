// Days, weeks and months against std::chrono and against a table of days, with the odd ones in it.
#include <doctest/doctest.h>

#include <chrono>
#include <random>
#include <string>
#include <vector>

#include "fairlead/calendar.hpp"

using namespace fairlead;

namespace {

constexpr Time hour = Calendar::hour, day = Calendar::day_length;

}  // namespace

TEST_CASE("calendar: a fixed offset is arithmetic, and months are those of std::chrono") {
  const Calendar utc, india(Time{5} * hour + hour / 2);
  CHECK(utc.day(0) == 0);
  CHECK(utc.day(-1) == -1);
  CHECK(utc.day(day - 1) == 0);
  CHECK(utc.day(day) == 1);
  CHECK(india.day(18 * hour + hour / 2 - 1) == 0);
  CHECK(india.day(18 * hour + hour / 2) == 1);
  CHECK(india.start_of_day(1) == 18 * hour + hour / 2);
  for (std::int64_t d = -40'000; d < 60'000; d += 7) {
    const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{d}}};
    const auto month = Calendar::number_of_day(Period::monthly, d);
    const auto first = Calendar::first_day(Period::monthly, month);
    REQUIRE(d - first == static_cast<std::int64_t>(static_cast<unsigned>(date.day())) - 1);
    REQUIRE(Calendar::number_of_day(Period::monthly, Calendar::first_day(Period::monthly, month + 1) - 1) == month);
    const std::chrono::weekday weekday{std::chrono::sys_days{std::chrono::days{Calendar::first_day(Period::weekly, Calendar::number_of_day(Period::weekly, d))}}};
    REQUIRE(weekday == std::chrono::Monday);
  }
  for (const Time t : {Calendar::begin_of_time, Calendar::end_of_time}) {
    for (const Period period : {Period::daily, Period::weekly, Period::monthly}) {
      const auto number = india.number(period, t);
      CHECK(india.start(period, number) < india.start(period, number + 1));
    }
  }
  CHECK(utc.start(Period::none, utc.number(Period::none, 5)) == Calendar::begin_of_time);
  CHECK(utc.start(Period::none, 1) == Calendar::end_of_time);
}

TEST_CASE("calendar: days of 23, 25 and 0 hours") {
  // Days 0..5 start at 0, 24, 47 (after 23 hours), 72 (25), 96, 96 (a day left out), then 120.
  const std::vector<Time> starts{0, 24 * hour, 47 * hour, 72 * hour, 96 * hour, 96 * hour, 120 * hour};
  Calendar calendar;
  REQUIRE(Calendar::from_days(0, starts, calendar) == Status::ok);
  for (std::size_t d = 0; d < starts.size(); ++d) {
    CHECK(calendar.start_of_day(static_cast<std::int64_t>(d)) == starts[d]);
  }
  for (Time t = -100 * hour; t < 200 * hour; t += hour / 4) {
    std::int64_t expected = 0;
    for (std::size_t d = 0; d < starts.size(); ++d) {
      if (t >= starts[d]) expected = static_cast<std::int64_t>(d);
    }
    if (t < 0) expected = (t + 1) / day - 1;
    if (t >= 144 * hour) expected = 6 + (t - 120 * hour) / day;
    REQUIRE(calendar.day(t) == expected);
  }
  CHECK(calendar.runs().size() <= 7);
}

TEST_CASE("calendar: tables that cannot be are refused, and snapshots hold what they were given") {
  Calendar calendar(hour);
  const Calendar before = calendar;
  CHECK(Calendar::from_days(0, {}, calendar) == Status::out_of_range);
  for (const std::vector<Time>& bad : {std::vector<Time>{0, -1}, {0, 49 * hour}, {3 * day, 4 * day}, {Calendar::begin_of_time}}) {
    CHECK(Calendar::from_days(0, bad, calendar) == Status::out_of_range);
  }
  CHECK(calendar == before);
  REQUIRE(Calendar::from_days(1, std::vector<Time>{day, 2 * day - hour, 3 * day}, calendar) == Status::ok);
  SnapshotWriter out("c", 1);
  calendar.put(out);
  const std::string bytes = out.finish();
  SnapshotReader in(bytes, "c", 1);
  Calendar read;
  read.get(in);
  REQUIRE(in.finish() == Status::ok);
  CHECK(read == calendar);
  Calendar made;
  REQUIRE(Calendar::from_runs(calendar.runs(), made) == Status::ok);
  CHECK(made == calendar);
  using Runs = std::vector<Calendar::Run>;
  for (const Runs& bad : {Runs{}, Runs{{0, 1}}, Runs{{3 * day, 0}}, Runs{{0, 0}, {day, 2}, {day - 1, 3}}, Runs{{0, 0}, {day, 2}, {2 * day, 2}},
                          Runs{{0, 0}, {Calendar::end_of_time, 2}}, Runs{{0, 0}, {day, 200'001}}}) {
    CHECK(Calendar::from_runs(bad, made) == Status::out_of_range);
  }
  CHECK(made == calendar);
}
