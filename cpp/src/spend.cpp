#include "fairlead/spend.hpp"

#include <algorithm>
#include <new>
#include <type_traits>

#include "fairlead/snapshot.hpp"

namespace fairlead {

namespace {

constexpr std::string_view family = "Spend";
constexpr std::uint32_t version = 1;

static_assert(std::has_unique_object_representations_v<SpendDay>);

bool earlier(const SpendDay& day, std::int64_t number) { return day.day < number; }

// Room for one more, doubled as a vector does by itself, and for an index.
template <class T>
void widen(std::vector<T>& to, std::size_t at) {
  if (to.size() <= at) to.resize(at + 1);
}

}  // namespace

Status Spend::check(const Options& o) noexcept {
  const bool ok = o.days >= 1 && o.days <= 100'000 && o.max_ids >= 1 && o.max_ids <= 1'000'000 && o.memory >= 1;
  return ok ? Status::ok : Status::out_of_range;
}

void Spend::set_calendar(Calendar calendar) {
  calendar_ = std::move(calendar);
  today_ = tomorrow_ = 0;
}

void Spend::look_up(Time time) noexcept {
  day_ = calendar_.day(time);
  today_ = calendar_.start_of_day(day_);
  tomorrow_ = calendar_.start_of_day(day_ + 1);
}

SpendDay* Spend::make_bucket(std::size_t scope, std::size_t at) noexcept try {
  auto& all = series_[scope];
  widen(all, at);
  Series& series = all[at];
  auto place = std::lower_bound(series.days.begin(), series.days.end(), day_, earlier);
  if (place != series.days.end() && place->day == day_) return &*place;
  if (series.days.size() >= static_cast<std::size_t>(options_.days)) {
    if (place == series.days.begin()) {  // before all that is kept apart
      series.older.day = std::max(series.older.day, day_);
      return &series.older;
    }
    series.older.add(series.days.front());
    series.older.day = series.days.front().day;
    std::move(series.days.begin() + 1, place, series.days.begin());
    *--place = {.day = day_};
    return &*place;
  }
  return &*series.days.insert(place, {.day = day_});
} catch (const std::bad_alloc&) {
  return nullptr;
}

CallCost* Spend::make_pair(std::size_t kind, std::size_t model, std::size_t context) noexcept try {
  widen(pairs_[kind], model);
  widen(pairs_[kind][model], context);
  return &pairs_[kind][model][context];
} catch (const std::bad_alloc&) {
  return nullptr;
}

std::int32_t Spend::ids(Scope scope) const noexcept {
  return static_cast<std::int32_t>(series_[static_cast<std::size_t>(scope)].size());
}

const std::vector<SpendDay>& Spend::days(Scope scope, std::int32_t id) const noexcept {
  static const std::vector<SpendDay> nothing;
  const auto& all = series_[static_cast<std::size_t>(scope)];
  return id >= 0 && static_cast<std::size_t>(id) < all.size() ? all[static_cast<std::size_t>(id)].days : nothing;
}

SpendDay Spend::older(Scope scope, std::int32_t id) const noexcept {
  const auto& all = series_[static_cast<std::size_t>(scope)];
  return id >= 0 && static_cast<std::size_t>(id) < all.size() ? all[static_cast<std::size_t>(id)].older : SpendDay{};
}

SpendDay Spend::sum(Scope scope, std::int32_t id, std::int64_t from, std::int64_t to) const noexcept {
  SpendDay out{.day = from};
  const auto& kept = days(scope, id);
  for (auto at = std::lower_bound(kept.begin(), kept.end(), from, earlier); at != kept.end() && at->day < to; ++at) {
    out.add(*at);
  }
  return out;
}

SpendDay Spend::total(Scope scope, std::int32_t id) const noexcept {
  SpendDay out = older(scope, id);
  for (const SpendDay& day : days(scope, id)) out.add(day);
  return out;
}

CallCost Spend::call_cost(ModelId model, Scope context, std::int32_t id) const noexcept {
  const std::size_t kind = context == Scope::all ? 0 : context == Scope::category ? 1 : 2;
  if (model < 0 || id < 0 || context == Scope::model || context == Scope::tier) return {};
  const std::size_t m = slot(model), c = slot(id);
  return m < pairs_[kind].size() && c < pairs_[kind][m].size() ? pairs_[kind][m][c] : CallCost{};
}

std::string Spend::snapshot() const {
  SnapshotWriter out(family, version);
  out.put(options_.days);
  out.put(options_.max_ids);
  out.put(options_.memory);
  calendar_.put(out);
  for (const auto& all : series_) {
    out.put(static_cast<std::uint64_t>(all.size()));
    for (const Series& series : all) {
      out.put(static_cast<std::uint64_t>(series.days.size()));
      out.put_raw(std::span<const SpendDay>(series.days));
      out.put_raw(std::span<const SpendDay>(&series.older, 1));
    }
  }
  for (const auto& models : pairs_) {
    out.put(static_cast<std::uint64_t>(models.size()));
    for (const auto& row : models) {
      out.put(static_cast<std::uint64_t>(row.size()));
      for (const CallCost& each : row) {
        out.put(each.calls);
        out.put(each.cost);
        out.put(each.lately);
        out.put(each.answer);
      }
    }
  }
  return out.finish();
}

Status Spend::restore(std::string_view bytes) try {
  SnapshotReader in(bytes, family, version);
  Options options;
  in.get(options.days);
  in.get(options.max_ids);
  in.get(options.memory);
  in.require(check(options) == Status::ok);
  Spend read(Calendar(), options);
  read.calendar_.get(in);
  const auto most = static_cast<std::size_t>(options.max_ids) + 1;
  for (auto& all : read.series_) {
    all.resize(in.length(sizeof(SpendDay)));
    in.require(all.size() <= most);
    for (Series& series : all) {
      series.days.resize(in.length(sizeof(SpendDay)));
      in.get_raw(std::span<SpendDay>(series.days));
      in.get_raw(std::span<SpendDay>(&series.older, 1));
      in.require(series.days.size() <= static_cast<std::size_t>(options.days));
      in.require(std::adjacent_find(series.days.begin(), series.days.end(), [](const SpendDay& a, const SpendDay& b) {
                   return a.day >= b.day;
                 }) == series.days.end());
      if (!in.ok()) break;
    }
  }
  for (auto& models : read.pairs_) {
    models.resize(in.length(sizeof(std::uint64_t)));
    in.require(models.size() <= most);
    for (auto& row : models) {
      row.resize(in.length(4 * sizeof(std::uint64_t)));
      in.require(row.size() <= most);
      for (CallCost& each : row) {
        in.get(each.calls);
        in.get(each.cost);
        in.get(each.lately);
        in.get(each.answer);
        in.require(each.calls >= 0);
      }
      if (!in.ok()) break;
    }
  }
  if (const Status status = in.finish(); status != Status::ok) return status;
  *this = std::move(read);
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace fairlead
