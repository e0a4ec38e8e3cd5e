// A circuit breaker: whether a model may be called now, from how its calls have ended.
//
//   closed      calls go through. It opens on so many failures in a row, on the share of failures or of slow calls among
//               the newest results, or when the server says when to come back (429 or 503 with Retry-After).
//   open        none goes through, for `open_for`, and `backoff` times longer each time that it opens again soon.
//   half_open   one probe goes through in each such interval; as many successes as asked for close it, a failure opens it.
//
// Calls in flight count against the allowance while nothing is known: a dead model that is asked 200 things at once is hit
// `failures` times, not 200. The rule: a call may begin while
//
//   calls in flight + failures in a row < failures x (1 + successes since it was closed)
//
// where successes count only while none of its newest results is a failure, and are forgotten when none came for `window`.
// So a model that has proven itself is soon not held back at all (each success admits `failures` more), the first failure
// holds new calls back until a success follows, and no more than `failures` calls ever learn that a model is dead, but for
// those that were in flight, allowed by its successes, when it died. A call that is held back is told to `wait`: it may go
// when one of those in flight has ended. A call whose end is never told is forgotten one to two `call_timeout`s after it
// began.
//
// A call that began before the breaker last opened or closed does not change its state, however it ends, except that a
// Retry-After prolongs the interval of an open one. `begin` gives a ticket that tells when a call began; without one it is
// taken to have begun its latency before now. Time may be late: what is older than the newest result counts as if it came
// with it. A clock that was set back by more than the interval it is compared with ends that interval: a wrong clock costs
// a probe too many, and never a model.
//
// Sources: M. Nygard, "Release It!" (2007); the windows and the slow calls are those of resilience4j; the allowance is the
// slow start of TCP (V. Jacobson, 1988). Pure: no clock, no randomness; the same calls give the same bits. Exact integer
// arithmetic but for shares and back-off, which are a multiplication each. Memory: 1.3 KB, no allocation.
#pragma once

#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "fairlead/snapshot.hpp"
#include "fairlead/status.hpp"
#include "fairlead/types.hpp"

namespace fairlead {

inline constexpr Time a_second = 1'000'000'000;

struct BreakerOptions {
  std::uint32_t failures = 5;               // in a row that open it, and the calls that may be in flight unproven
  double error_rate = 0.5;                  // share of failures in the window that opens it; 1: only if all failed
  Time slow_after = 0;                      // a success that took at least so long is slow; 0: none is
  double slow_rate = 0.8;                   // share of slow calls in the window that opens it
  Time window = 60 * a_second;              // results older than this are left out, and proofs of health forgotten
  std::uint32_t window_calls = 100;         // the newest results that the shares are of, at most 128
  std::uint32_t least_calls = 20;           // fewer results have no share
  Time open_for = 30 * a_second;            // the first interval
  double backoff = 2.0;                     // each further one is so many times longer
  Time open_at_most = 600 * a_second;       // and never longer than this
  Time retry_after_at_most = 86'400 * a_second;
  std::uint32_t successes = 1;              // of probes, that close it
  Time call_timeout = 600 * a_second;       // a call that has not ended by then may have been lost
};

// An option that cannot be honoured, its value, and what it must be.
struct BreakerFault {
  const char* option;
  double value;
  const char* must;
};

enum class BreakerState : std::uint8_t { closed, open, half_open };
inline constexpr std::array<std::string_view, 3> breaker_state_names{"closed", "open", "half_open"};

// Why it opened last.
enum class OpenCause : std::uint8_t { never, failures, error_rate, slow_calls, retry_after, probe };
inline constexpr std::array<std::string_view, 6> open_cause_names{"never",      "failures",    "error_rate",
                                                                  "slow_calls", "retry_after", "probe"};

// May a call begin? `wait`: when one that is in flight has ended.
enum class Gate : std::uint8_t { yes, wait, no };
inline constexpr std::array<std::string_view, 3> gate_names{"yes", "wait", "no"};

// How a call failed; all but `cancelled` tell of the model's health. `server`: 5xx. `refused`: a bad key, no credit, a
// request that it will not answer. `cancelled`: whoever asked gave up, or knows that the request was at fault.
enum class CallFailure : std::uint8_t { server, timeout, network, rate_limited, unparsable, truncated, refused, cancelled };
inline constexpr std::array<std::string_view, 8> failure_names{"server",     "timeout",   "network", "rate_limited",
                                                               "unparsable", "truncated", "refused", "cancelled"};
constexpr bool tells_health(CallFailure kind) noexcept { return kind != CallFailure::cancelled; }
// What a model's provider answers for: the rest is the model's own affair.
constexpr bool tells_provider_health(CallFailure kind) noexcept {
  return kind == CallFailure::server || kind == CallFailure::timeout || kind == CallFailure::network;
}

// When a call began, in the breaker's own count. 0 is no call that `begin` has let through.
using BreakerCall = std::uint32_t;

class Breaker {
 public:
  static constexpr std::uint32_t most_calls = 128;
  static constexpr Time unknown = -1;  // a latency, a Retry-After

  // Made from options without a fault.
  explicit Breaker(const BreakerOptions& options = {}) noexcept : options_(options) {}
  static std::optional<BreakerFault> fault(const BreakerOptions& options) noexcept;

  Gate gate(Time now) const noexcept {
    switch (state_) {
      case BreakerState::closed: {
        const std::uint64_t proven = streak_ > 0 ? 0 : proofs(now);
        return in_flight(now) + streak_ < options_.failures * (1 + proven) ? Gate::yes : Gate::wait;
      }
      case BreakerState::open: return over(now, opened_at_, until_) ? Gate::yes : Gate::no;
      case BreakerState::half_open: break;
    }
    return !probing_ || over(now, probe_at_, later(probe_at_, interval_)) ? Gate::yes : Gate::no;
  }
  bool allow(Time now) const noexcept { return gate(now) == Gate::yes; }

  // Where the gate says yes a call begins, and `call` is its ticket; in an open breaker it is the probe. Else `call` is 0.
  Gate begin(Time now, BreakerCall& call) noexcept {
    const Gate open = gate(now);
    call = open == Gate::yes ? enter(now) : 0;
    return open;
  }

  // The end of a call. latency: nanoseconds, or `unknown`.
  void success(BreakerCall call, Time now, Time latency = unknown) noexcept {
    ++successes_;
    if (!is_fresh(call, now, latency)) return;
    const bool slow = options_.slow_after > 0 && latency >= options_.slow_after;
    if (state_ != BreakerState::closed) return probed(now, !slow, unknown);
    leave(call, now);
    proven_ = proofs(now);
    if (proven_ < std::numeric_limits<std::uint32_t>::max()) ++proven_;
    last_success_ = now;
    streak_ = 0;
    push(now, false, slow);
    judge(now);
  }

  // The call was never made: as if it had not begun. A probe may be made at once.
  void release(BreakerCall call, Time now) noexcept {
    if (call == 0 || !is_fresh(call, now, unknown)) return;
    if (state_ == BreakerState::closed) return leave(call, now);
    probing_ = false;
  }

  // retry_after: nanoseconds from now, of `rate_limited` and `server`, or `unknown`. may_open: false where this failure alone is no
  // reason to open: the failures in a row then stop one short.
  void failure(BreakerCall call, Time now, CallFailure kind, Time retry_after = unknown, Time latency = unknown,
               bool may_open = true) noexcept {
    const bool tells = tells_health(kind);
    failures_ += tells;
    if (kind != CallFailure::rate_limited && kind != CallFailure::server) retry_after = unknown;
    if (!is_fresh(call, now, latency)) {
      if (state_ == BreakerState::open && retry_after > 0) prolong(now, retry_after);
      return;
    }
    if (state_ != BreakerState::closed) {
      if (tells) probed(now, false, retry_after);
      return;
    }
    leave(call, now);
    if (!tells) return;
    if (may_open || streak_ + 1 < options_.failures) ++streak_;
    push(now, true, false);
    if (retry_after > 0) return open(now, OpenCause::retry_after, retry_after);
    if (!may_open) return;
    if (streak_ >= options_.failures) return open(now, OpenCause::failures, unknown);
    judge(now);
  }

  // Closed, as if the last probe had just succeeded: an operator knows better.
  void close(Time now) noexcept;

  BreakerState state() const noexcept { return state_; }
  OpenCause cause() const noexcept { return cause_; }
  // When the next probe may begin; closed: the lowest time.
  Time until() const noexcept {
    if (state_ == BreakerState::closed) return std::numeric_limits<Time>::min();
    return state_ == BreakerState::open || !probing_ ? until_ : later(probe_at_, interval_);
  }
  std::uint32_t streak() const noexcept { return streak_; }      // failures in a row, while closed
  std::uint64_t successes() const noexcept { return successes_; }  // all that were told, stale ones too
  std::uint64_t failures() const noexcept { return failures_; }
  std::uint64_t opened() const noexcept { return opened_; }  // how often
  std::uint64_t in_flight(Time now) const noexcept {
    const Time age = earlier(now, period_at_);
    if (age >= twice(options_.call_timeout) || age <= -options_.call_timeout) return 0;
    return std::uint64_t{young_} + (age < options_.call_timeout ? old_ : 0u);
  }
  // Of the results in the window, as of the newest of them: how many there are, failed and slow.
  std::uint32_t window_size() const noexcept { return size_; }
  std::uint32_t window_failed() const noexcept { return n_failed_; }
  std::uint32_t window_slow() const noexcept { return n_slow_; }
  const BreakerOptions& options() const noexcept { return options_; }

  void save(SnapshotWriter& writer) const;
  void load(SnapshotReader& reader) noexcept;
  std::string snapshot() const;
  static Status restore(std::string_view bytes, Breaker& out);

 private:
  friend class Breakers;

  // Sums and differences that stay at the ends of time.
  static constexpr Time later(Time t, Time span) noexcept {
    return t > std::numeric_limits<Time>::max() - span ? std::numeric_limits<Time>::max() : t + span;
  }
  static constexpr Time earlier(Time t, Time than) noexcept {
    if (than < 0 && t > std::numeric_limits<Time>::max() + than) return std::numeric_limits<Time>::max();
    if (than > 0 && t < std::numeric_limits<Time>::min() + than) return std::numeric_limits<Time>::min();
    return t - than;
  }
  static constexpr Time twice(Time span) noexcept { return later(span, span); }
  // An interval has ended, or the clock was set back by more than its length.
  static bool over(Time now, Time start, Time end) noexcept {
    return now >= end || earlier(start, now) >= earlier(end, start);
  }

  std::uint32_t proofs(Time now) const noexcept {
    const Time age = earlier(now, last_success_);
    return proven_ > 0 && age < options_.window && age > -options_.window ? proven_ : 0;
  }

  // A ticket: the phase in 24 bits, which is never 0, and the period in 8.
  BreakerCall enter(Time now) noexcept {
    if (state_ == BreakerState::closed) {
      turn(now);
      ++young_;
    } else {
      if (state_ == BreakerState::open) probed_ = 0;
      state_ = BreakerState::half_open;
      probing_ = true;
      probe_at_ = now;
    }
    return phase_ << 8 | period_;
  }
  void leave(BreakerCall call, Time now) noexcept {
    if (call == 0) return;
    turn(now);
    const auto period = static_cast<std::uint8_t>(call);
    if (period == period_ && young_ > 0) --young_;
    if (static_cast<std::uint8_t>(period + 1) == period_ && old_ > 0) --old_;
  }
  // Calls in flight are counted by the period of length call_timeout in which they began: this one, the one before.
  void turn(Time now) noexcept {
    const Time age = earlier(now, period_at_);
    if (age < options_.call_timeout && age > -options_.call_timeout) return;
    const bool next = age >= options_.call_timeout && age < twice(options_.call_timeout);
    old_ = next ? young_ : 0;
    young_ = 0;
    period_ = static_cast<std::uint8_t>(period_ + (next ? 1 : 2));
    period_at_ = next ? later(period_at_, options_.call_timeout) : now;
  }

  // Whether a call belongs to the present phase.
  bool is_fresh(BreakerCall call, Time now, Time latency) const noexcept {
    if (call != 0) return call >> 8 == phase_;
    const Time began = latency > 0 ? earlier(now, latency) : now;
    if (state_ == BreakerState::closed)
      return opened_ == 0 || began >= closed_at_ || began < earlier(closed_at_, options_.call_timeout);
    return began >= until_ || began < earlier(opened_at_, options_.call_timeout);
  }

  void push(Time now, bool failed, bool slow) noexcept;
  void judge(Time now) noexcept;
  void probed(Time now, bool well, Time retry_after) noexcept;
  void open(Time now, OpenCause cause, Time retry_after) noexcept;
  void prolong(Time now, Time retry_after) noexcept;
  void next_phase(Time now) noexcept;
  void drop_oldest() noexcept;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit);

  BreakerOptions options_;
  BreakerState state_ = BreakerState::closed;
  OpenCause cause_ = OpenCause::never;
  bool probing_ = false;       // half_open: a probe has not ended
  std::uint8_t period_ = 0;
  std::uint32_t phase_ = 1;    // since it last opened or closed; in 24 bits
  std::uint32_t streak_ = 0;   // failures in a row
  std::uint32_t proven_ = 0;   // successes since it was closed
  std::uint32_t young_ = 0, old_ = 0;
  std::uint32_t probed_ = 0;   // probes that succeeded
  std::uint32_t first_ = 0, size_ = 0, n_failed_ = 0, n_slow_ = 0;  // the window: a ring
  Time last_success_ = 0, period_at_ = 0, probe_at_ = 0;
  Time opened_at_ = 0, until_ = 0, interval_ = 0, closed_at_ = 0;
  std::uint64_t successes_ = 0, failures_ = 0, opened_ = 0;
  std::array<Time, most_calls> at_{};
  std::array<std::uint8_t, most_calls> how_{};  // bit 0: failed, bit 1: slow
};

}  // namespace fairlead
