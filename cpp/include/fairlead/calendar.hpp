// Days, weeks and months of one time zone: where each starts.
//
// The core knows no time zones. A calendar is a fixed offset from UTC, or the starts of the days of a zone, which
// `fairlead.measure.calendar` works out from the IANA database for decades ahead. Days are kept as runs of 24 hours, so
// that a change of daylight saving time costs 32 bytes and 60 years of London 4 KB. Outside the table its first and last
// offset go on. A day is found in O(log n); whoever asks often keeps the start and the end of the last answer.
//
// Days are numbered from 1970-01-01, weeks start on Monday, months are year * 12 + (month - 1).
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

enum class Period : std::uint8_t { none, daily, weekly, monthly };
inline constexpr std::array<std::string_view, 4> period_names{"none", "daily", "weekly", "monthly"};

class Calendar {
 public:
  static constexpr Time hour = 3'600'000'000'000;
  static constexpr Time day_length = 24 * hour;
  static constexpr Time begin_of_time = std::numeric_limits<Time>::min();
  static constexpr Time end_of_time = std::numeric_limits<Time>::max();

  Calendar() : Calendar(0) {}
  // Local time is UTC plus so many nanoseconds; at most 24 hours either way.
  explicit Calendar(Time offset) : runs_{{-std::clamp(offset, -day_length, day_length), 0}} {}

  // The days first_day, first_day + 1, ... and the moment each starts. out_of_range: no day, one of more than 48 hours or
  // before the one it follows, days before 1938 or after 2200. A day that the zone left out has the start of the next.
  static Status from_days(std::int64_t first_day, std::span<const Time> starts, Calendar& out) {
    if (starts.empty() || starts[0] < earliest || starts[starts.size() - 1] > latest) return Status::out_of_range;
    if (first_day < -20'000 || first_day > 100'000) return Status::out_of_range;
    const Time offset = first_day * day_length - starts[0];
    if (offset < -2 * day_length || offset > 2 * day_length) return Status::out_of_range;
    Calendar made;
    made.runs_[0] = {-offset, 0};
    for (std::size_t i = 1; i < starts.size(); ++i) {
      const Time length = starts[i] - starts[i - 1];
      if (length < 0 || length > 2 * day_length) return Status::out_of_range;
      if (length != day_length) made.runs_.push_back({starts[i], first_day + static_cast<std::int64_t>(i)});
    }
    out = std::move(made);
    return Status::ok;
  }

  // The number of the day a moment lies in.
  std::int64_t day(Time t) const noexcept {
    t = std::clamp(t, -farthest, farthest);
    const auto next = std::upper_bound(runs_.begin() + 1, runs_.end(), t, [](Time at, const Run& r) { return at < r.start; });
    const Run& run = *(next - 1);
    const std::int64_t found = run.day + floored(t - run.start, day_length);
    return next == runs_.end() ? found : std::min(found, next->day - 1);  // the last day of a run may have 25 hours
  }
  Time start_of_day(std::int64_t day) const noexcept {
    day = std::clamp<std::int64_t>(day, -farthest / day_length - 1, farthest / day_length + 1);
    const auto next = std::upper_bound(runs_.begin() + 1, runs_.end(), day, [](std::int64_t d, const Run& r) { return d < r.day; });
    const Run& run = *(next - 1);
    return run.start + (day - run.day) * day_length;
  }

  // The number of the period that holds a day, and the first day of a period.
  static std::int64_t number_of_day(Period period, std::int64_t day) noexcept {
    switch (period) {
      case Period::daily: return day;
      case Period::weekly: return floored(day + 3, 7);  // 1970-01-01 was a Thursday
      case Period::monthly: {
        const std::chrono::year_month_day date{std::chrono::sys_days{std::chrono::days{day}}};
        return std::int64_t{static_cast<int>(date.year())} * 12 + static_cast<unsigned>(date.month()) - 1;
      }
      case Period::none: break;
    }
    return 0;
  }
  static std::int64_t first_day(Period period, std::int64_t number) noexcept {
    switch (period) {
      case Period::daily: return number;
      case Period::weekly: return number * 7 - 3;
      case Period::monthly: {
        const std::int64_t year = floored(number, 12);
        const std::chrono::year_month_day date{std::chrono::year{static_cast<int>(year)},
                                               std::chrono::month{static_cast<unsigned>(number - year * 12) + 1},
                                               std::chrono::day{1}};
        return std::chrono::sys_days{date}.time_since_epoch().count();
      }
      case Period::none: break;
    }
    return 0;
  }

  std::int64_t number(Period period, Time t) const noexcept {
    return period == Period::none ? 0 : number_of_day(period, day(t));
  }
  // `none` is one period without a start or an end.
  Time start(Period period, std::int64_t number) const noexcept {
    if (period == Period::none) return number <= 0 ? begin_of_time : end_of_time;
    return start_of_day(first_day(period, number));
  }

  // What it is made of: days of 24 hours from `start` on, the first of which has this number. The first run also goes back
  // for ever, the last goes on for ever. For an event that says which calendar it was: zones change their rules.
  struct Run {
    Time start;
    std::int64_t day;
    friend bool operator==(const Run&, const Run&) = default;
  };
  std::span<const Run> runs() const noexcept { return runs_; }
  // out_of_range for runs that are no calendar's.
  static Status from_runs(std::span<const Run> runs, Calendar& out) {
    if (!sound(runs)) return Status::out_of_range;
    out.runs_.assign(runs.begin(), runs.end());
    return Status::ok;
  }
  friend bool operator==(const Calendar&, const Calendar&) = default;

  void put(SnapshotWriter& to) const {
    to.put(static_cast<std::uint64_t>(runs_.size()));
    to.put_raw(std::span<const Run>(runs_));
  }
  void get(SnapshotReader& from) {
    std::vector<Run> read(from.length(sizeof(Run)));
    from.get_raw(std::span<Run>(read));
    from.require(sound(read));
    if (from.ok()) runs_ = std::move(read);
  }

 private:
  static bool sound(std::span<const Run> runs) noexcept {
    const auto within = [](std::int64_t x, std::int64_t low, std::int64_t high) { return x >= low && x <= high; };
    if (runs.empty() || runs[0].day != 0 || !within(runs[0].start, -2 * day_length, 2 * day_length)) return false;
    for (std::size_t i = 1; i < runs.size(); ++i) {
      if (!within(runs[i].start, i == 1 ? earliest : runs[i - 1].start, latest)) return false;
      if (!within(runs[i].day, i == 1 ? -20'000 : runs[i - 1].day + 1, 200'000)) return false;
    }
    return true;
  }

  static constexpr Time farthest = 8'000'000'000'000'000'000;  // 1716 and 2223: no sum below overflows
  static constexpr Time earliest = -1'000'000'000'000'000'000, latest = 7'300'000'000'000'000'000;

  static constexpr std::int64_t floored(std::int64_t a, std::int64_t b) noexcept {
    return a / b - (a % b < 0 ? 1 : 0);
  }

  std::vector<Run> runs_;  // the first goes back for ever, the last goes on for ever
};

}  // namespace fairlead
