// Budgets: money is reserved before a call and settled after it, so that no number of callers at once can overspend.
//
//   reserve(where, bound) -> reservation      every budget that the call falls under holds `bound`, or none does
//   settle(reservation, actual)               what was held is let go, what was spent is counted
//   cancel(reservation)                       the call never happened
//
// A call is granted if, in each of its budgets, spent + held + bound <= limit. As long as no call costs more than its
// bound, no budget is ever overspent; a call that does is counted in full, and told (`over`).
//
// Periods follow a Calendar. A reservation is charged to the periods it was made in, however late it is settled. A period
// that has begun is never left for an earlier one: a clock that jumps back spends the money of the later period, so no
// money is given twice. (A clock that jumped far ahead has opened a far period, then; define the budget anew.)
//
// Each alert (warning, critical, exhausted) comes up once in a period, waits in a queue and is handed out once. Warning
// and critical are thresholds of what is spent. Exhausted is the first call that was refused for what is spent, or all of it
// spent; one that only what is held stands in the way of may be granted in a moment.
//
// As a fold: `check` changes nothing; `take`, `refuse`, `settle`, `cancel`, `charge` and `told` are what events do, and a
// function of the events alone. `reserve` is check, then take or refuse, at once. What is held is in the snapshot.
//
// Threads: every method may be called from any number of threads. One word guards all, held for some 20 ns: less than the
// atomic operations that a lock-free reservation of four budgets would need, and all-or-none needs no way back.
// Memory: nothing is allocated in the hot methods but for more reservations at once than ever before; a budget has
// `closed_periods` past periods, what is older is one sum. At most `max_matching` budgets cover one call.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <mutex>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fairlead/calendar.hpp"
#include "fairlead/money.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

using BudgetId = std::int32_t;

enum class Scope : std::uint8_t { all, model, tier, category, type };
inline constexpr std::array<std::string_view, 5> scope_names{"all", "model", "tier", "category", "type"};
enum class OnExhausted : std::uint8_t { degrade, queue, refuse };  // of several, the last named wins
inline constexpr std::array<std::string_view, 3> on_exhausted_names{"degrade", "queue", "refuse"};
enum class AlertLevel : std::uint8_t { warning, critical, exhausted };
inline constexpr std::array<std::string_view, 3> alert_level_names{"warning", "critical", "exhausted"};

struct BudgetOptions {
  Nanos limit = 0;
  Period period = Period::none;
  Scope scope = Scope::all;
  std::int32_t of = 0;              // the model, tier, category or type; 0 for all
  std::int32_t warning = 800'000;   // thresholds in parts per million of the limit
  std::int32_t critical = 950'000;
  OnExhausted on_exhausted = OnExhausted::refuse;
};

// What a call is: ids, or -1 for what it has not.
struct Where {
  ModelId model = -1;
  std::int32_t tier = -1;
  std::int32_t category = -1;
  std::int32_t type = -1;
};

struct Reservation {
  static constexpr std::uint32_t nowhere = 0xffffffff;  // no budget covers the call: there is nothing to settle
  std::uint32_t slot = nowhere;
  std::uint32_t generation = 0;
  friend bool operator==(const Reservation&, const Reservation&) = default;
};

// Granted: status ok and refused_by -1. Else which budget refused, what it wants done, and when its period ends.
struct Admission {
  Status status = Status::ok;
  BudgetId refused_by = -1;
  OnExhausted then = OnExhausted::degrade;
  Time until = 0;    // the latest end of the periods that refused
  Nanos left = 0;    // in the budget that refused
  bool granted() const noexcept { return status == Status::ok && refused_by < 0; }
};

// One budget in one period.
struct Tally {
  std::int64_t number = 0;
  Time start = Calendar::begin_of_time, end = Calendar::end_of_time;
  Nanos limit = 0;
  Nanos spent = 0;
  Nanos held = 0;   // reserved and not yet settled
  Nanos over = 0;   // of spent: by how much calls went above their bounds
  std::int64_t settled = 0, cancelled = 0, refused = 0, overruns = 0;  // calls
  std::uint64_t raised = 0;                                            // bits of AlertLevel
};

struct Alert {
  BudgetId budget = -1;
  AlertLevel level = AlertLevel::warning;
  std::int64_t number = 0;  // of the period
  Time period_start = 0;
  Time time = 0;
  Nanos limit = 0, spent = 0, held = 0;
};

// A reservation that is neither settled nor cancelled.
struct HeldReservation {
  Reservation reservation;
  Nanos bound = 0;
  Time time = 0;
  std::uint64_t tag = 0;  // the caller's own
  Where where;
};

namespace detail {

class SpinLock {
 public:
  void lock() noexcept {
    for (unsigned tries = 0; taken_.exchange(true, std::memory_order_acquire);) {
      while (taken_.load(std::memory_order_relaxed)) {
        if (++tries % 64 == 0) {
          std::this_thread::yield();  // whoever has it may have lost its core
        } else {
#if defined(__x86_64__)
          __builtin_ia32_pause();
#endif
        }
      }
    }
  }
  void unlock() noexcept { taken_.store(false, std::memory_order_release); }

 private:
  std::atomic<bool> taken_{false};
};

}  // namespace detail

class Budgets {
 public:
  static constexpr std::size_t max_matching = 16;
  static constexpr std::size_t closed_periods = 8;
  static constexpr std::size_t due_each = 32;  // alerts a budget that wait; beyond, the oldest are dropped, and counted
  static constexpr std::int32_t max_scope_id = 1 << 20;  // of a model, category or type that has a budget

  explicit Budgets(Calendar calendar = Calendar()) : calendar_(std::move(calendar)) { due_.reserve(2 * due_each); }
  Budgets(const Budgets&) = delete;
  Budgets& operator=(const Budgets&) = delete;

  // --- cold -------------------------------------------------------------------------------------------------------

  // A budget by name. One that is there and has the same scope and period keeps its state and gets the new limit,
  // thresholds and action (an alert whose threshold is no longer reached may come again); else it starts anew, with
  // `spent`. out_of_range: limit, thresholds (0 < warning <= critical <= 1,000,000), scope or spent; wrong_length: a call
  // could fall under more than max_matching budgets.
  Status define(std::string_view name, const BudgetOptions& options, Time now, BudgetId& out, Nanos spent = 0) noexcept;
  // Its open reservations are settled without effect. unknown_key where there is none of this name.
  Status remove(std::string_view name) noexcept;
  BudgetId find(std::string_view name) const noexcept;  // -1 where there is none
  bool has(BudgetId id) const noexcept;

  // The newest calendar, e.g. one that reaches further. Periods that have begun keep their start.
  void set_calendar(Calendar calendar);
  Calendar calendar() const;

  struct View {
    std::string name;
    BudgetOptions options;
    Tally now;                   // of the newest period that has begun
    std::vector<Tally> closed;   // oldest first
    Tally older;                 // all before, in one
  };
  // The state at a time: a period that has ended by then is closed in what is returned, not in here.
  Status view(BudgetId id, Time now, View& out) const;
  std::vector<BudgetId> budgets() const;

  std::vector<HeldReservation> held(Time older_than = Calendar::end_of_time) const;
  // Settles at its bound all that was reserved before: what became of the call is not known, so it counts as made.
  std::size_t expire(Time older_than, Time now) noexcept;

  std::string snapshot() const;
  Status restore(std::string_view bytes);

  // --- hot --------------------------------------------------------------------------------------------------------

  Admission check(const Where& where, Nanos bound, Time now) const noexcept {
    const std::lock_guard guard(lock_);
    return admit(match(where), bound, now);
  }

  // The same for each of several calls.
  void check(std::span<const Where> where, std::span<const Nanos> bounds, Time now,
             std::span<Admission> out) const noexcept {
    const std::lock_guard guard(lock_);
    for (std::size_t i = 0; i < where.size(); ++i) out[i] = admit(match(where[i]), bounds[i], now);
  }

  Admission reserve(const Where& where, Nanos bound, Time now, Reservation& out, std::uint64_t tag = 0) noexcept {
    const std::lock_guard guard(lock_);
    const Matches matches = match(where);
    Admission admission = admit(matches, bound, now);
    if (admission.status != Status::ok) return admission;
    if (admission.refused_by >= 0) {
      refuse_matched(matches, bound, now);
    } else {
      admission.status = take_matched(matches, where, bound, now, tag, out);
    }
    return admission;
  }

  // Holds the bound whatever is left: for an event that says it was held. out_of_range as of a bound.
  Status take(const Where& where, Nanos bound, Time now, Reservation& out, std::uint64_t tag = 0) noexcept {
    const std::lock_guard guard(lock_);
    if (!amount(bound)) return Status::out_of_range;
    return take_matched(match(where), where, bound, now, tag, out);
  }

  // A call that was refused: counted in the budgets that had too little left.
  Status refuse(const Where& where, Nanos bound, Time now) noexcept {
    const std::lock_guard guard(lock_);
    if (!amount(bound)) return Status::out_of_range;
    refuse_matched(match(where), bound, now);
    return Status::ok;
  }

  // `over`: by how much the call went above its bound. unknown_key: settled, cancelled or never made.
  Status settle(Reservation reservation, Nanos actual, Time now, Nanos* over = nullptr) noexcept {
    const std::lock_guard guard(lock_);
    if (!amount(actual)) return Status::out_of_range;
    if (over != nullptr) *over = 0;
    if (reservation.slot == Reservation::nowhere) return Status::ok;
    Slot* const slot = open(reservation);
    if (slot == nullptr) return Status::unknown_key;
    settle_slot(*slot, actual, now);
    if (over != nullptr && actual > slot->bound) *over = actual - slot->bound;
    release(reservation.slot);
    return Status::ok;
  }

  Status cancel(Reservation reservation) noexcept {
    const std::lock_guard guard(lock_);
    if (reservation.slot == Reservation::nowhere) return Status::ok;
    Slot* const slot = open(reservation);
    if (slot == nullptr) return Status::unknown_key;
    for (std::uint32_t i = 0; i < slot->charges; ++i) {
      Book& book = books_[slot->charge[i].book];
      Tally& tally = tally_of(book, slot->charge[i].number);
      tally.held -= slot->bound;
      ++tally.cancelled;
      --book.open;
    }
    release(reservation.slot);
    return Status::ok;
  }

  // Money spent without a reservation.
  Status charge(const Where& where, Nanos actual, Time now) noexcept {
    const std::lock_guard guard(lock_);
    if (!amount(actual)) return Status::out_of_range;
    const Matches matches = match(where);
    for (std::size_t i = 0; i < matches.n; ++i) {
      Book& book = books_[matches.book[i]];
      roll(book, now);
      spend(matches.book[i], book.now, actual, now);
    }
    return Status::ok;
  }

  // --- alerts -----------------------------------------------------------------------------------------------------

  bool any_due() const noexcept { return n_due_.load(std::memory_order_relaxed) > 0; }  // one load
  // The alerts that wait, oldest first, as many as `out` holds. With `take_alerts` each goes to one caller, and is gone;
  // with `due` they stay until `told`, which is for whoever writes down first that they were told.
  std::size_t take_alerts(std::span<Alert> out) noexcept;
  std::size_t due(std::span<Alert> out) const noexcept;
  // The alert was told: it leaves the queue, and does not come again in its period.
  void told(BudgetId budget, AlertLevel level, std::int64_t number) noexcept;
  std::uint64_t dropped() const noexcept;

  // Makes room for so many reservations at once. May throw std::bad_alloc.
  void reserve_slots(std::size_t n);

 private:
  struct Book {
    std::string name;
    BudgetOptions options;
    bool live = false;
    std::uint32_t next = none;  // of the same scope
    std::uint64_t open = 0;     // reservations that will come back to it
    Nanos warn_at = 0, critical_at = 0;
    Tally now;
    std::array<Tally, closed_periods> closed{};
    std::uint32_t n_closed = 0, newest_closed = 0;
    Tally older;
  };
  struct Charge {
    std::uint32_t book = 0;
    std::uint32_t unused = 0;
    std::int64_t number = 0;
  };
  struct Slot {
    std::uint32_t generation = 0;  // odd while it is open
    std::uint32_t charges = 0;
    std::uint32_t next_free = none;
    std::uint32_t unused = 0;
    Nanos bound = 0;
    Time time = 0;
    std::uint64_t tag = 0;
    Where where;
    std::array<Charge, max_matching> charge{};
  };
  struct Matches {
    std::array<std::uint32_t, max_matching> book;
    std::size_t n = 0;
  };
  static constexpr std::uint32_t none = 0xffffffff;

  // No sum goes above it, so that none overflows; four billion dollars.
  static constexpr Nanos ceiling = 4 * max_amount;
  static Nanos sum(Nanos a, Nanos b) noexcept { return a > ceiling - b ? ceiling : a + b; }
  static bool amount(Nanos nanos) noexcept { return nanos >= 0 && nanos <= max_amount; }

  std::uint32_t head(Scope scope, std::int32_t of) const noexcept {
    const auto& heads = heads_[static_cast<std::size_t>(scope)];
    return static_cast<std::size_t>(of) < heads.size() && of >= 0 ? heads[static_cast<std::size_t>(of)] : none;
  }
  Matches match(const Where& where) const noexcept {
    Matches out;
    const auto follow = [&](std::uint32_t at) {
      for (; at != none; at = books_[at].next) out.book[out.n++] = at;  // define() keeps them within max_matching
    };
    follow(head(Scope::all, 0));
    follow(head(Scope::model, where.model));
    follow(head(Scope::tier, where.tier));
    follow(head(Scope::category, where.category));
    follow(head(Scope::type, where.type));
    return out;
  }

  // The last period that there is has no end.
  static bool is_over(const Book& book, Time now) noexcept {
    return now >= book.now.end && book.now.end < Calendar::end_of_time;
  }
  static Nanos left(const Book& book, Time now) noexcept {
    return is_over(book, now) ? book.options.limit : book.options.limit - book.now.spent - book.now.held;
  }
  Admission admit(const Matches& matches, Nanos bound, Time now) const noexcept {
    Admission out;
    if (!amount(bound)) {
      out.status = Status::out_of_range;
      return out;
    }
    for (std::size_t i = 0; i < matches.n && bound > 0; ++i) {
      const Book& book = books_[matches.book[i]];
      if (bound <= left(book, now)) continue;
      const Time end = is_over(book, now) ? end_of(book, now) : book.now.end;
      out.until = out.refused_by < 0 || end > out.until ? end : out.until;
      if (out.refused_by < 0 || book.options.on_exhausted > out.then) {
        out.refused_by = static_cast<BudgetId>(matches.book[i]);
        out.then = book.options.on_exhausted;
        out.left = left(book, now) > 0 ? left(book, now) : 0;
      }
    }
    return out;
  }
  Time end_of(const Book& book, Time now) const noexcept;
  void begin(Book& book, Time now) const noexcept;  // the period that holds `now`, with nothing in it
  static void close(Book& book) noexcept;                  // puts the present period with the closed ones
  void roll(Book& book, Time now) noexcept {
    if (!is_over(book, now)) return;
    close(book);
    begin(book, now);
  }
  // The tally of a period, which may have been added to those that are too old to be kept apart.
  static Tally& tally_of(Book& book, std::int64_t number) noexcept {
    if (book.now.number == number) return book.now;
    for (std::uint32_t i = 0; i < book.n_closed; ++i) {
      Tally& tally = book.closed[(book.newest_closed + closed_periods - i) % closed_periods];
      if (tally.number == number) return tally;
    }
    return book.older;
  }

  Status take_matched(const Matches& matches, const Where& where, Nanos bound, Time now, std::uint64_t tag, Reservation& out) noexcept {
    if (matches.n == 0) {
      out = {};
      return Status::ok;
    }
    for (std::size_t i = 0; i < matches.n; ++i) {
      const Book& book = books_[matches.book[i]];
      if (!is_over(book, now) && book.now.held > ceiling - bound) return Status::out_of_range;
    }
    if (free_ == none && !grow()) return Status::out_of_memory;
    const std::uint32_t at = free_;
    Slot& slot = slots_[at];
    free_ = slot.next_free;
    ++slot.generation;
    slot.charges = static_cast<std::uint32_t>(matches.n);
    slot.bound = bound;
    slot.time = now;
    slot.tag = tag;
    slot.where = where;
    for (std::size_t i = 0; i < matches.n; ++i) {
      Book& book = books_[matches.book[i]];
      roll(book, now);
      book.now.held += bound;
      ++book.open;
      slot.charge[i] = {matches.book[i], 0, book.now.number};
    }
    out = {at, slot.generation};
    return Status::ok;
  }
  void refuse_matched(const Matches& matches, Nanos bound, Time now) noexcept;
  bool grow() noexcept;

  Slot* open(Reservation reservation) noexcept {
    if (reservation.slot >= slots_.size()) return nullptr;
    Slot& slot = slots_[reservation.slot];
    return slot.generation == reservation.generation && slot.generation % 2 == 1 ? &slot : nullptr;
  }
  void release(std::uint32_t at) noexcept {
    Slot& slot = slots_[at];
    ++slot.generation;
    slot.next_free = free_;
    free_ = at;
  }
  void settle_slot(const Slot& slot, Nanos actual, Time now) noexcept {
    for (std::uint32_t i = 0; i < slot.charges; ++i) {
      Book& book = books_[slot.charge[i].book];
      Tally& tally = tally_of(book, slot.charge[i].number);
      tally.held -= slot.bound;
      --book.open;
      if (actual > slot.bound) {
        tally.over = sum(tally.over, actual - slot.bound);
        ++tally.overruns;
      }
      spend(slot.charge[i].book, tally, actual, now);
    }
  }
  void spend(std::uint32_t at, Tally& tally, Nanos actual, Time now) noexcept {
    tally.spent = sum(tally.spent, actual);
    ++tally.settled;
    const Book& book = books_[at];
    if (tally.spent >= book.warn_at && actual > 0 && &tally != &book.older) alert(at, tally, now);
  }
  // All levels that the tally has reached and that have not come up.
  void alert(std::uint32_t at, Tally& tally, Time now) noexcept;
  void raise(std::uint32_t at, Tally& tally, AlertLevel level, Time now) noexcept;

  static Nanos part_of(Nanos limit, std::int32_t ppm) noexcept;
  void link(std::uint32_t at);
  void unlink(std::uint32_t at) noexcept;
  bool fits(const BudgetOptions& options, std::uint32_t without) const noexcept;
  std::uint32_t place(std::string_view name) const noexcept;

  mutable detail::SpinLock lock_;
  std::uint32_t free_ = none;
  std::vector<Slot> slots_;
  std::vector<Book> books_;
  std::array<std::vector<std::uint32_t>, 5> heads_;  // by scope, then by id: the first book
  Calendar calendar_;
  std::vector<Alert> due_;
  std::atomic<std::size_t> n_due_{0};
  std::uint64_t dropped_ = 0;
};

}  // namespace fairlead
