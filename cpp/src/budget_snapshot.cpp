// The whole state of Budgets as bytes, with what is held, so that whoever is restored goes on with the same reservations.
#include <algorithm>
#include <type_traits>
#include <utility>

#include "fairlead/budget.hpp"

namespace fairlead {

namespace {

constexpr std::string_view family = "Budgets";
constexpr std::uint32_t version = 1;

static_assert(std::has_unique_object_representations_v<Tally>);
static_assert(std::has_unique_object_representations_v<Where>);

bool between(std::int64_t x, std::int64_t low, std::int64_t high) { return x >= low && x <= high; }

bool sound(const Tally& t, Nanos ceiling) {
  for (const Nanos nanos : {t.limit, t.spent, t.held, t.over}) {
    if (!between(nanos, 0, ceiling)) return false;
  }
  return t.start <= t.end && between(t.number, -1'000'000, 1'000'000) && t.raised < 8;
}

void put(SnapshotWriter& to, const Tally& tally) { to.put_raw(std::span<const Tally>(&tally, 1)); }

}  // namespace

std::string Budgets::snapshot() const {
  const std::lock_guard guard(lock_);
  SnapshotWriter out(family, version);
  calendar_.put(out);
  out.put(static_cast<std::uint64_t>(books_.size()));
  for (const Book& book : books_) {
    const BudgetOptions& o = book.options;
    out.put(std::string_view(book.name));
    out.put(o.limit);
    out.put(o.period);
    out.put(o.scope);
    out.put(o.of);
    out.put(o.warning);
    out.put(o.critical);
    out.put(o.on_exhausted);
    out.put(book.live);
    put(out, book.now);
    out.put(book.n_closed);
    for (std::uint32_t i = book.n_closed; i-- > 0;) {
      put(out, book.closed[(book.newest_closed + closed_periods - i) % closed_periods]);
    }
    put(out, book.older);
  }
  out.put(static_cast<std::uint64_t>(slots_.size()));
  out.put(free_);
  for (const Slot& slot : slots_) {
    out.put(slot.generation);
    if (slot.generation % 2 == 0) {
      out.put(slot.next_free);
      continue;
    }
    out.put(slot.bound);
    out.put(slot.time);
    out.put(slot.tag);
    out.put_raw(std::span<const Where>(&slot.where, 1));
    out.put(slot.charges);
    for (std::uint32_t i = 0; i < slot.charges; ++i) {
      out.put(slot.charge[i].book);
      out.put(slot.charge[i].number);
    }
  }
  out.put(static_cast<std::uint64_t>(due_.size()));
  for (const Alert& a : due_) {
    out.put(a.budget);
    out.put(a.level);
    for (const std::int64_t x : {a.number, a.period_start, a.time, a.limit, a.spent, a.held}) out.put(x);
  }
  out.put(dropped_);
  return out.finish();
}

Status Budgets::restore(std::string_view bytes) try {
  SnapshotReader in(bytes, family, version);
  Budgets read;
  read.calendar_.get(in);
  const auto tally = [&in](Tally& t) {
    in.get_raw(std::span<Tally>(&t, 1));
    in.require(sound(t, ceiling));
  };
  read.books_.resize(in.length(sizeof(Tally)));
  for (std::uint32_t at = 0; in.ok() && at < read.books_.size(); ++at) {
    Book& book = read.books_[at];
    BudgetOptions& o = book.options;
    std::uint8_t live = 0;
    in.get(book.name);
    in.get(o.limit);
    in.get(o.period);
    in.get(o.scope);
    in.get(o.of);
    in.get(o.warning);
    in.get(o.critical);
    in.get(o.on_exhausted);
    in.get(live);
    in.require(between(o.limit, 0, max_amount) && o.period <= Period::monthly && o.scope <= Scope::type &&
               between(o.of, 0, max_scope_id - 1) && between(o.warning, 1, o.critical) && o.critical <= 1'000'000 &&
               o.on_exhausted <= OnExhausted::refuse && live <= 1);
    tally(book.now);
    in.get(book.n_closed);
    in.require(book.n_closed <= closed_periods);
    for (std::uint32_t i = 0; in.ok() && i < book.n_closed; ++i) tally(book.closed[i]);
    tally(book.older);
    if (!in.ok()) break;
    book.newest_closed = (book.n_closed + closed_periods - 1) % closed_periods;
    book.warn_at = part_of(o.limit, o.warning);
    book.critical_at = part_of(o.limit, o.critical);
    book.live = live == 1;
    if (!book.live) continue;
    in.require(read.fits(o, none));
    auto& heads = read.heads_[static_cast<std::size_t>(o.scope)];
    if (heads.size() <= static_cast<std::size_t>(o.of)) heads.resize(static_cast<std::size_t>(o.of) + 1, none);
    if (in.ok()) read.link(at);
  }
  read.slots_.resize(in.length(2 * sizeof(std::uint32_t)));
  in.get(read.free_);
  std::size_t n_free = 0;
  for (Slot& slot : read.slots_) {
    in.get(slot.generation);
    if (!in.ok()) break;
    if (slot.generation % 2 == 0) {
      in.get(slot.next_free);
      ++n_free;
      continue;
    }
    in.get(slot.bound);
    in.get(slot.time);
    in.get(slot.tag);
    in.get_raw(std::span<Where>(&slot.where, 1));
    in.get(slot.charges);
    in.require(between(slot.bound, 0, max_amount) && slot.charges <= max_matching);
    for (std::uint32_t i = 0; in.ok() && i < slot.charges; ++i) {
      in.get(slot.charge[i].book);
      in.get(slot.charge[i].number);
      in.require(slot.charge[i].book < read.books_.size());
      if (in.ok()) ++read.books_[slot.charge[i].book].open;
    }
  }
  // The list of free slots has each of them once.
  std::uint32_t at = read.free_;
  for (; in.ok() && at != none; --n_free) {
    in.require(n_free > 0 && at < read.slots_.size() && read.slots_[at].generation % 2 == 0);
    if (in.ok()) at = read.slots_[at].next_free;
  }
  in.require(n_free == 0);
  const std::size_t waiting = in.length(sizeof(std::int64_t));
  const std::size_t room = due_each * (read.books_.size() + 1);
  in.require(waiting <= room);
  read.due_.reserve(room);
  for (std::size_t i = 0; in.ok() && i < waiting; ++i) {
    Alert a;
    in.get(a.budget);
    in.get(a.level);
    for (std::int64_t* x : {&a.number, &a.period_start, &a.time, &a.limit, &a.spent, &a.held}) in.get(*x);
    in.require(between(a.budget, 0, static_cast<std::int64_t>(read.books_.size()) - 1) && a.level <= AlertLevel::exhausted);
    if (in.ok()) read.due_.push_back(a);
  }
  in.get(read.dropped_);
  if (const Status status = in.finish(); status != Status::ok) return status;
  const std::lock_guard guard(lock_);
  std::swap(free_, read.free_);
  slots_.swap(read.slots_);
  books_.swap(read.books_);
  heads_.swap(read.heads_);
  std::swap(calendar_, read.calendar_);
  due_.swap(read.due_);
  dropped_ = read.dropped_;
  n_due_.store(due_.size(), std::memory_order_relaxed);
  return Status::ok;
} catch (const std::bad_alloc&) {
  return Status::out_of_memory;
}

}  // namespace fairlead
