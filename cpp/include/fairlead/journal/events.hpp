// The payloads of fairlead's own events: stable layouts, one struct each, and how they are written and read.
//
// Every payload begins with a struct of fixed size, then come its arrays, in the order of the struct's counts, without
// padding between them but where stated. Strings are {u32 bytes, UTF-8}. A layout never changes: a new one is a new
// `RecordHeader::version` of its type, and the old one stays readable.
//
// A reader does not trust lengths: `decode` gives false where the payload is not exactly what its counts say.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fairlead/journal/format.hpp"

namespace fairlead::journal {

// --- writing and reading bytes ---

// Writes one after the other into memory that is large enough.
class PayloadWriter {
 public:
  explicit PayloadWriter(std::byte* at) noexcept : start_(at), at_(at) {}
  template <class T>
    requires std::is_trivially_copyable_v<T>
  void put(const T& value) noexcept {
    std::memcpy(at_, &value, sizeof(T));
    at_ += sizeof(T);
  }
  template <class T>
  void put(std::span<const T> values) noexcept {
    if (!values.empty()) std::memcpy(at_, values.data(), values.size_bytes());
    at_ += values.size_bytes();
  }
  void put(std::string_view text) noexcept {
    put(static_cast<std::uint32_t>(text.size()));
    put(std::span<const char>(text));
  }
  std::size_t size() const noexcept { return static_cast<std::size_t>(at_ - start_); }

 private:
  std::byte* start_;
  std::byte* at_;
};

// Reads in the order of writing. After the first failure every `get` gives false.
class PayloadReader {
 public:
  explicit PayloadReader(std::span<const std::byte> bytes) noexcept : left_(bytes) {}
  template <class T>
    requires std::is_trivially_copyable_v<T>
  bool get(T& value) noexcept {
    if (left_.size() < sizeof(T)) return fail();
    std::memcpy(&value, left_.data(), sizeof(T));
    left_ = left_.subspan(sizeof(T));
    return ok_;
  }
  bool get(std::string_view& text) noexcept {
    std::uint32_t n = 0;
    if (!get(n) || left_.size() < n) return fail();
    text = {reinterpret_cast<const char*>(left_.data()), n};
    left_ = left_.subspan(n);
    return ok_;
  }
  // An array that lies in the payload as it is. T must need no stricter alignment than the payload gives it there.
  template <class T>
  bool get(std::span<const T>& values, std::size_t n) noexcept {
    if (n > left_.size() / sizeof(T)) return fail();
    values = {reinterpret_cast<const T*>(left_.data()), n};
    left_ = left_.subspan(n * sizeof(T));
    return ok_;
  }
  bool done() const noexcept { return ok_ && left_.empty(); }
  bool ok() const noexcept { return ok_; }

 private:
  bool fail() noexcept {
    left_ = {};
    return ok_ = false;
  }
  std::span<const std::byte> left_;
  bool ok_ = true;
};

// --- forecast: header.model answered, header.category is the task's ---

struct ForecastFixed {
  std::uint64_t task = 0;  // number of the task: the n-th that was opened
  double confidence = nan;
  double latency_ms = nan;
  double cost_usd = 0.0;
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  double value = nan;      // the number, or P(1) of a binary answer
  std::uint32_t n_p = 0;   // categorical: probabilities that follow, f64
  std::uint16_t n_error = 0;  // bytes of the error that follow; > 0: the call failed
  Kind kind = Kind::binary;   // of the task
  std::uint8_t reserved = 0;
};
static_assert(sizeof(ForecastFixed) == 64);

// --- decision: header.category is the task's. Version 2: the shape follows the fixed part, the name of a strategy comes last;
// version 1 has neither ---

struct DecisionFixed {
  std::uint64_t task = 0;
  double value = nan;  // the number, or P(1)
  double disagreement = 0.0;
  double uncertainty = 0.0;
  double position_scale = 0.0;
  double cost_usd = 0.0;
  std::uint32_t n_p = 0;        // categorical: probabilities that follow, f64
  std::uint32_t n_weights = 0;  // then weights, f64, then as many models, i32 (numbers of the journal's names)
  std::uint32_t reasons = 0;    // bits of Reason
  Strategy strategy = default_strategy;
  Kind kind = Kind::binary;  // of the task
  std::uint16_t n_name = 0;  // version 2: bytes of the name that follow, where the strategy is `given`
};
static_assert(sizeof(DecisionFixed) == 64);

inline constexpr std::uint16_t decision_version = 2;

struct DecisionShape {
  double spread = nan;
  double entropy = nan;
  double divergence = nan;
  double pairwise = nan;
  double low = nan, high = nan;
  Strategy chosen = default_strategy;
  std::uint8_t reserved[7] = {};
};
static_assert(sizeof(DecisionShape) == 56);

// The newest layout of a type; older ones have smaller numbers, from 1.
constexpr std::uint16_t newest_version(Type type) noexcept { return type == Type::decision ? decision_version : 1; }

// --- outcome, closed ---

struct OutcomeFixed {
  std::uint64_t task = 0;
  double value = nan;  // 0 or 1, the index of a label, or the number
  double profit_usd = nan;
  Kind kind = Kind::binary;  // of the task
  std::uint8_t reserved[7] = {};
};
static_assert(sizeof(OutcomeFixed) == 32);

struct ClosedFixed {
  std::uint64_t task = 0;
};

// --- route: header.model is asked, or was wanted where `reasons` says refused; -1: nobody was there to be asked ---

struct RouteFixed {
  std::uint64_t task = 0;
  std::int64_t reserved_nanos = 0;  // the most that the call may cost, held until it has ended
  double propensity = nan;          // how likely this choice was
  double quality = nan;             // expected of the answer, in [0, 1]
  double spread = nan;              // standard deviation of that
  double cost_usd = nan;            // expected
  double latency_ms = nan;          // expected
  std::uint32_t reasons = 0;        // bits of RouteReason
  std::uint16_t attempt = 0;        // the n-th call for this task, from 1; 0 where nobody is asked
  std::uint16_t n_others = 0;       // runners-up, the next best first: quality, then cost, then latency, f64 each, then
                                    // as many models, i32
  std::uint16_t n_type = 0;         // bytes of the task's type that follow
  Goal goal = Goal::quality;        // the router's objective
  std::uint8_t padding[5] = {};
};
static_assert(sizeof(RouteFixed) == 72);

// --- called: header.model was asked ---

struct CalledFixed {
  std::uint64_t task = 0;
  std::int64_t cost_nanos = -1;  // what was billed; -1: not known
  double latency_ms = nan;
  double first_token_ms = nan;
  double retry_after_ms = nan;   // the server's wish
  std::int64_t tokens_in = 0;
  std::int64_t tokens_out = 0;
  std::int64_t tokens_cached = 0;   // of tokens_in: read from the provider's cache
  std::int64_t tokens_written = 0;  // of tokens_in: written to it
  std::uint16_t attempt = 0;        // of the route
  std::uint16_t calls = 1;          // requests that were sent, repeats included
  CallEnd end = CallEnd::answered;
  std::uint8_t failure = 0;         // of a call that failed: CallFailure of breaker.hpp
  std::uint8_t padding[2] = {};
};
static_assert(sizeof(CalledFixed) == 80);

// --- run: header.model is the name of what ran, which need be no model; header.category what it ran for ---

enum class RunStatus : std::uint8_t { ok, error, timeout, cancelled };
inline constexpr std::array<std::string_view, 4> run_status_names{"ok", "error", "timeout", "cancelled"};

struct RunFixed {
  std::int64_t cost_nanos = -1;  // -1: not known
  double duration_ms = nan;
  double compute_s = nan;        // of processors or accelerators
  double memory_mb = nan;        // the most at once
  std::int64_t tokens = 0;
  std::int64_t api_calls = 0;
  std::uint16_t n_error = 0;     // bytes that follow, of what went wrong
  RunStatus status = RunStatus::ok;
  std::uint8_t padding[5] = {};
};
static_assert(sizeof(RunFixed) == 56);

// --- task: header.time is when it was shown ---

struct TaskFixed {
  std::uint64_t task = 0;
  double stake_usd = 0.0;
  double expires_in_s = nan;
  Kind kind = Kind::binary;
  std::uint8_t reserved = 0;
  std::uint16_t n_slices = 0;  // each two strings, dimension and value: after the labels
  std::uint32_t n_labels = 0;  // strings: after id, category, text and regime
};
static_assert(sizeof(TaskFixed) == 32);

// settings, model: one JSON object, what Settings and Model are in Python. routing, budget, health, alert: fleet_routing.hpp. model_removed: empty. The model is header.model.

}  // namespace fairlead::journal
