#include "fairlead/budget.hpp"

#include <algorithm>
#include <utility>

namespace fairlead {

namespace {

constexpr std::int64_t whole = 1'000'000;

constexpr std::uint64_t bit(AlertLevel level) { return std::uint64_t{1} << static_cast<unsigned>(level); }

bool sound(const BudgetOptions& o, std::int32_t max_scope_id) noexcept {
  return o.limit >= 0 && o.limit <= max_amount && o.period <= Period::monthly && o.scope <= Scope::type && o.of >= 0 &&
         o.of < max_scope_id && (o.scope != Scope::all || o.of == 0) && o.warning > 0 && o.warning <= o.critical &&
         o.critical <= whole && o.on_exhausted <= OnExhausted::refuse;
}

}  // namespace

Nanos Budgets::part_of(Nanos limit, std::int32_t ppm) noexcept {
  // In two parts, so that neither product overflows; rounded up.
  return limit / whole * ppm + (limit % whole * ppm + whole - 1) / whole;
}

// --- periods ---------------------------------------------------------------------------------------------------------

Time Budgets::end_of(const Book& book, Time now) const noexcept {
  const Period period = book.options.period;
  return calendar_.start(period, calendar_.number(period, now) + 1);
}

void Budgets::begin(Book& book, Time now) const noexcept {
  const Period period = book.options.period;
  book.now = {};
  book.now.number = calendar_.number(period, now);
  book.now.start = calendar_.start(period, book.now.number);
  book.now.end = calendar_.start(period, book.now.number + 1);
  if (book.now.end <= now) book.now.end = Calendar::end_of_time;  // the calendar goes no further
  book.now.limit = book.options.limit;
}

void Budgets::close(Book& book) noexcept {
  if (book.n_closed == closed_periods) {
    const Tally& oldest = book.closed[(book.newest_closed + 1) % closed_periods];
    Tally& older = book.older;
    if (older.start == Calendar::begin_of_time) older.start = oldest.start;
    older.number = oldest.number;
    older.end = oldest.end;
    older.limit = sum(older.limit, oldest.limit);
    older.spent = sum(older.spent, oldest.spent);
    older.held = sum(older.held, oldest.held);
    older.over = sum(older.over, oldest.over);
    older.settled += oldest.settled;
    older.cancelled += oldest.cancelled;
    older.refused += oldest.refused;
    older.overruns += oldest.overruns;
  } else {
    ++book.n_closed;
  }
  book.newest_closed = (book.newest_closed + 1) % closed_periods;
  book.closed[book.newest_closed] = book.now;
}

void Budgets::set_calendar(Calendar calendar) {
  const std::lock_guard guard(lock_);
  std::swap(calendar_, calendar);
  for (Book& book : books_) {
    const Time end = calendar_.start(book.options.period, book.now.number + 1);
    book.now.end = std::max(end, book.now.start);
  }
}

Calendar Budgets::calendar() const {
  const std::lock_guard guard(lock_);
  return calendar_;
}

// --- which budgets there are -----------------------------------------------------------------------------------------

std::uint32_t Budgets::place(std::string_view name) const noexcept {
  for (std::uint32_t at = 0; at < books_.size(); ++at) {
    if (books_[at].live && books_[at].name == name) return at;
  }
  return none;
}

BudgetId Budgets::find(std::string_view name) const noexcept {
  const std::lock_guard guard(lock_);
  return static_cast<BudgetId>(place(name));
}

bool Budgets::has(BudgetId id) const noexcept {
  const std::lock_guard guard(lock_);
  return id >= 0 && static_cast<std::size_t>(id) < books_.size() && books_[static_cast<std::size_t>(id)].live;
}

// Whether a call falls under at most max_matching budgets, if one more has these options and `without` has gone.
bool Budgets::fits(const BudgetOptions& options, std::uint32_t without) const noexcept {
  std::size_t all = 0;
  for (std::size_t scope = 0; scope < heads_.size(); ++scope) {
    std::size_t longest = 0;
    for (std::size_t of = 0; of < heads_[scope].size() || of == static_cast<std::size_t>(options.of); ++of) {
      std::size_t n = static_cast<std::size_t>(options.scope) == scope && static_cast<std::size_t>(options.of) == of ? 1 : 0;
      const std::uint32_t first = of < heads_[scope].size() ? heads_[scope][of] : none;
      for (std::uint32_t at = first; at != none; at = books_[at].next) n += at == without ? 0 : 1;
      longest = std::max(longest, n);
    }
    if (static_cast<std::size_t>(options.scope) == scope && static_cast<std::size_t>(options.of) >= heads_[scope].size()) {
      longest = std::max<std::size_t>(longest, 1);
    }
    all += longest;
  }
  return all <= max_matching;
}

// Into the list of its scope, by number, so that the order does not depend on when it came. Has room already.
void Budgets::link(std::uint32_t at) {
  Book& book = books_[at];
  std::uint32_t* to = &heads_[static_cast<std::size_t>(book.options.scope)][static_cast<std::size_t>(book.options.of)];
  while (*to != none && *to < at) to = &books_[*to].next;
  book.next = *to;
  *to = at;
}

void Budgets::unlink(std::uint32_t at) noexcept {
  Book& book = books_[at];
  std::uint32_t* to = &heads_[static_cast<std::size_t>(book.options.scope)][static_cast<std::size_t>(book.options.of)];
  while (*to != at) to = &books_[*to].next;
  *to = book.next;
  book.next = none;
  book.live = false;
}

Status Budgets::define(std::string_view name, const BudgetOptions& options, Time now, BudgetId& out, Nanos spent) noexcept {
  const std::lock_guard guard(lock_);
  if (!sound(options, max_scope_id) || !amount(spent)) return Status::out_of_range;
  const std::uint32_t known = place(name);
  if (known != none) {
    Book& book = books_[known];
    if (book.options.scope == options.scope && book.options.of == options.of && book.options.period == options.period) {
      const bool wider = options.limit > book.options.limit;
      book.options = options;
      book.warn_at = part_of(options.limit, options.warning);
      book.critical_at = part_of(options.limit, options.critical);
      roll(book, now);
      book.now.limit = options.limit;
      if (book.now.spent < book.warn_at) book.now.raised &= ~bit(AlertLevel::warning);
      if (book.now.spent < book.critical_at) book.now.raised &= ~bit(AlertLevel::critical);
      if (wider && book.now.spent < options.limit) book.now.raised &= ~bit(AlertLevel::exhausted);
      if (book.now.spent > 0) alert(known, book.now, now);
      out = static_cast<BudgetId>(known);
      return Status::ok;
    }
  }
  if (!fits(options, known)) return Status::wrong_length;
  // A place of a budget that was removed, if nothing refers to it any more.
  std::uint32_t at = 0;
  const auto waits = [this](std::uint32_t book) {
    return std::any_of(due_.begin(), due_.end(), [book](const Alert& a) { return a.budget == static_cast<BudgetId>(book); });
  };
  while (at < books_.size() && (books_[at].live || books_[at].open > 0 || waits(at))) ++at;
  try {
    Book made;
    made.name = name;
    auto& heads = heads_[static_cast<std::size_t>(options.scope)];
    if (heads.size() <= static_cast<std::size_t>(options.of)) heads.resize(static_cast<std::size_t>(options.of) + 1, none);
    due_.reserve(due_each * (books_.size() + 2));
    if (at == books_.size()) {
      books_.push_back(std::move(made));
    } else {
      books_[at] = std::move(made);
    }
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
  if (known != none) unlink(known);
  Book& book = books_[at];
  book.options = options;
  book.live = true;
  book.warn_at = part_of(options.limit, options.warning);
  book.critical_at = part_of(options.limit, options.critical);
  begin(book, now);
  book.now.spent = spent;
  link(at);
  if (spent > 0) alert(at, book.now, now);
  out = static_cast<BudgetId>(at);
  return Status::ok;
}

Status Budgets::remove(std::string_view name) noexcept {
  const std::lock_guard guard(lock_);
  const std::uint32_t at = place(name);
  if (at == none) return Status::unknown_key;
  unlink(at);
  return Status::ok;
}

std::vector<BudgetId> Budgets::budgets() const {
  const std::lock_guard guard(lock_);
  std::vector<BudgetId> out;
  for (std::size_t at = 0; at < books_.size(); ++at) {
    if (books_[at].live) out.push_back(static_cast<BudgetId>(at));
  }
  return out;
}

Status Budgets::view(BudgetId id, Time now, View& out) const {
  const std::lock_guard guard(lock_);
  if (id < 0 || static_cast<std::size_t>(id) >= books_.size() || !books_[static_cast<std::size_t>(id)].live) {
    return Status::unknown_key;
  }
  Book book = books_[static_cast<std::size_t>(id)];
  if (is_over(book, now)) {
    close(book);
    begin(book, now);
  }
  out.name = book.name;
  out.options = book.options;
  out.now = book.now;
  out.older = book.older;
  out.closed.clear();
  for (std::uint32_t i = book.n_closed; i-- > 0;) {
    out.closed.push_back(book.closed[(book.newest_closed + closed_periods - i) % closed_periods]);
  }
  return Status::ok;
}

// --- reservations ----------------------------------------------------------------------------------------------------

bool Budgets::grow() noexcept {
  try {
    slots_.emplace_back();
  } catch (const std::bad_alloc&) {
    return false;
  }
  free_ = static_cast<std::uint32_t>(slots_.size() - 1);
  return true;
}

void Budgets::reserve_slots(std::size_t n) {
  const std::lock_guard guard(lock_);
  slots_.reserve(n);
}

void Budgets::refuse_matched(const Matches& matches, Nanos bound, Time now) noexcept {
  for (std::size_t i = 0; i < matches.n && bound > 0; ++i) {
    Book& book = books_[matches.book[i]];
    if (bound <= left(book, now)) continue;
    roll(book, now);
    ++book.now.refused;
    // What is only held may come back.
    if (bound > book.options.limit - book.now.spent) raise(matches.book[i], book.now, AlertLevel::exhausted, now);
  }
}

std::vector<HeldReservation> Budgets::held(Time older_than) const {
  const std::lock_guard guard(lock_);
  std::vector<HeldReservation> out;
  for (std::size_t at = 0; at < slots_.size(); ++at) {
    const Slot& slot = slots_[at];
    if (slot.generation % 2 == 0 || slot.time >= older_than) continue;
    out.push_back({{static_cast<std::uint32_t>(at), slot.generation}, slot.bound, slot.time, slot.tag, slot.where});
  }
  std::stable_sort(out.begin(), out.end(), [](const HeldReservation& a, const HeldReservation& b) { return a.time < b.time; });
  return out;
}

std::size_t Budgets::expire(Time older_than, Time now) noexcept {
  const std::lock_guard guard(lock_);
  std::size_t n = 0;
  for (std::size_t at = 0; at < slots_.size(); ++at) {
    const Slot& slot = slots_[at];
    if (slot.generation % 2 == 0 || slot.time >= older_than) continue;
    settle_slot(slot, slot.bound, now);
    release(static_cast<std::uint32_t>(at));
    ++n;
  }
  return n;
}

// --- alerts ----------------------------------------------------------------------------------------------------------

void Budgets::alert(std::uint32_t at, Tally& tally, Time now) noexcept {
  const Book& book = books_[at];
  if (tally.spent >= book.warn_at) raise(at, tally, AlertLevel::warning, now);
  if (tally.spent >= book.critical_at) raise(at, tally, AlertLevel::critical, now);
  if (tally.spent >= tally.limit) raise(at, tally, AlertLevel::exhausted, now);
}

void Budgets::raise(std::uint32_t at, Tally& tally, AlertLevel level, Time now) noexcept {
  if ((tally.raised & bit(level)) != 0 || !books_[at].live) return;
  tally.raised |= bit(level);
  if (due_.size() >= due_each * (books_.size() + 1)) {
    due_.erase(due_.begin());
    ++dropped_;
  }
  due_.push_back({.budget = static_cast<BudgetId>(at),
                  .level = level,
                  .number = tally.number,
                  .period_start = tally.start,
                  .time = now,
                  .limit = tally.limit,
                  .spent = tally.spent,
                  .held = tally.held});
  n_due_.store(due_.size(), std::memory_order_relaxed);
}

std::size_t Budgets::take_alerts(std::span<Alert> out) noexcept {
  const std::lock_guard guard(lock_);
  const std::size_t n = std::min(out.size(), due_.size());
  std::copy_n(due_.begin(), n, out.begin());
  due_.erase(due_.begin(), due_.begin() + static_cast<std::ptrdiff_t>(n));
  n_due_.store(due_.size(), std::memory_order_relaxed);
  return n;
}

std::size_t Budgets::due(std::span<Alert> out) const noexcept {
  const std::lock_guard guard(lock_);
  const std::size_t n = std::min(out.size(), due_.size());
  std::copy_n(due_.begin(), n, out.begin());
  return n;
}

void Budgets::told(BudgetId budget, AlertLevel level, std::int64_t number) noexcept {
  const std::lock_guard guard(lock_);
  std::erase_if(due_, [&](const Alert& a) { return a.budget == budget && a.level == level && a.number == number; });
  n_due_.store(due_.size(), std::memory_order_relaxed);
  if (budget < 0 || static_cast<std::size_t>(budget) >= books_.size() || level > AlertLevel::exhausted) return;
  Tally& tally = tally_of(books_[static_cast<std::size_t>(budget)], number);
  if (tally.number == number) tally.raised |= bit(level);
}

std::uint64_t Budgets::dropped() const noexcept {
  const std::lock_guard guard(lock_);
  return dropped_;
}

}  // namespace fairlead
