#include "fairlead/breaker.hpp"

#include <algorithm>
#include <span>

namespace fairlead {

namespace {

constexpr Time longest = 365 * 86'400 * a_second;

bool is_span(Time span) noexcept { return span > 0 && span <= longest; }
bool is_share(double x) noexcept { return x > 0.0 && x <= 1.0; }  // false for NaN

}  // namespace

std::optional<BreakerFault> Breaker::fault(const BreakerOptions& o) noexcept {
  constexpr const char* a_span = "positive, and at most a year";
  constexpr const char* a_share = "in (0, 1]";
  const auto seconds = [](Time t) { return static_cast<double>(t) / static_cast<double>(a_second); };
  if (o.failures < 1 || o.failures > 1'000'000) return BreakerFault{"failures", static_cast<double>(o.failures), "in [1, 1e6]"};
  if (!is_share(o.error_rate)) return BreakerFault{"error_rate", o.error_rate, a_share};
  if (o.slow_after < 0 || o.slow_after > longest) return BreakerFault{"slow_after", seconds(o.slow_after), a_span};
  if (!is_share(o.slow_rate)) return BreakerFault{"slow_rate", o.slow_rate, a_share};
  if (!is_span(o.window)) return BreakerFault{"window", seconds(o.window), a_span};
  if (o.window_calls < 1 || o.window_calls > most_calls)
    return BreakerFault{"window_calls", static_cast<double>(o.window_calls), "in [1, 128]"};
  if (o.least_calls < 1 || o.least_calls > o.window_calls)
    return BreakerFault{"least_calls", static_cast<double>(o.least_calls), "in [1, window_calls]"};
  if (!is_span(o.open_for)) return BreakerFault{"open_for", seconds(o.open_for), a_span};
  if (!(o.backoff >= 1.0 && o.backoff <= 1e6)) return BreakerFault{"backoff", o.backoff, "in [1, 1e6]"};
  if (!is_span(o.open_at_most) || o.open_at_most < o.open_for)
    return BreakerFault{"open_at_most", seconds(o.open_at_most), "at least open_for, and at most a year"};
  if (!is_span(o.retry_after_at_most)) return BreakerFault{"retry_after_at_most", seconds(o.retry_after_at_most), a_span};
  if (o.successes < 1 || o.successes > 1'000'000)
    return BreakerFault{"successes", static_cast<double>(o.successes), "in [1, 1e6]"};
  if (!is_span(o.call_timeout)) return BreakerFault{"call_timeout", seconds(o.call_timeout), a_span};
  return std::nullopt;
}

void Breaker::drop_oldest() noexcept {
  n_failed_ -= how_[first_] & 1u;
  n_slow_ -= (how_[first_] & 2u) >> 1;
  first_ = (first_ + 1) % most_calls;
  --size_;
}

// Times in the window never decrease. Where the clock was set back by more than a window, it starts anew.
void Breaker::push(Time now, bool failed, bool slow) noexcept {
  if (size_ > 0) {
    const Time newest = at_[(first_ + size_ - 1) % most_calls];
    if (earlier(newest, now) > options_.window) {
      size_ = n_failed_ = n_slow_ = 0;
    } else {
      now = std::max(now, newest);
    }
  }
  while (size_ > 0 && (size_ == options_.window_calls || earlier(now, at_[first_]) >= options_.window)) drop_oldest();
  const std::uint32_t place = (first_ + size_) % most_calls;
  at_[place] = now;
  how_[place] = static_cast<std::uint8_t>((failed ? 1 : 0) | (slow ? 2 : 0));
  ++size_;
  n_failed_ += failed;
  n_slow_ += slow;
}

void Breaker::judge(Time now) noexcept {
  if (size_ < options_.least_calls) return;
  const double n = size_;
  if (n_failed_ > 0 && n_failed_ >= options_.error_rate * n) return open(now, OpenCause::error_rate, unknown);
  if (n_slow_ > 0 && n_slow_ >= options_.slow_rate * n) open(now, OpenCause::slow_calls, unknown);
}

void Breaker::probed(Time now, bool well, Time retry_after) noexcept {
  if (state_ == BreakerState::open) {  // a call that nobody announced, begun after the interval
    state_ = BreakerState::half_open;
    probed_ = 0;
  }
  probing_ = false;
  if (!well) return open(now, retry_after > 0 ? OpenCause::retry_after : OpenCause::probe, retry_after);
  last_success_ = now;
  if (++probed_ >= options_.successes) close(now);
}

void Breaker::open(Time now, OpenCause cause, Time retry_after) noexcept {
  // Soon after it was closed it is the same trouble.
  const bool again =
      state_ != BreakerState::closed || (opened_ > 0 && earlier(now, closed_at_) < options_.window);
  const double longer = static_cast<double>(interval_) * options_.backoff;
  if (!again) {
    interval_ = options_.open_for;
  } else if (longer < static_cast<double>(options_.open_at_most)) {
    interval_ = static_cast<Time>(longer);
  } else {
    interval_ = options_.open_at_most;
  }
  state_ = BreakerState::open;
  cause_ = cause;
  opened_at_ = now;
  until_ = later(now, retry_after > 0 ? std::min(retry_after, options_.retry_after_at_most) : interval_);
  ++opened_;
  next_phase(now);
}

void Breaker::prolong(Time now, Time retry_after) noexcept {
  until_ = std::max(until_, later(now, std::min(retry_after, options_.retry_after_at_most)));
}

void Breaker::close(Time now) noexcept {
  if (state_ == BreakerState::closed && opened_ == 0) return;
  state_ = BreakerState::closed;
  closed_at_ = last_success_ = now;
  proven_ = 1;
  next_phase(now);
}

// Whatever is in flight belongs to the past, and so do the results.
void Breaker::next_phase(Time now) noexcept {
  phase_ = phase_ == 0xffffff ? 1 : phase_ + 1;
  probing_ = false;
  streak_ = probed_ = young_ = old_ = 0;
  if (state_ != BreakerState::closed) proven_ = 0;
  first_ = size_ = n_failed_ = n_slow_ = 0;
  period_at_ = now;
}

template <class Self, class Visit>
void Breaker::fields(Self& self, Visit&& visit) {
  auto& o = self.options_;
  visit(o.failures, o.error_rate, o.slow_after, o.slow_rate, o.window, o.window_calls, o.least_calls, o.open_for,
        o.backoff, o.open_at_most, o.retry_after_at_most, o.successes, o.call_timeout);
  visit(self.state_, self.cause_, self.period_, self.phase_, self.streak_, self.proven_, self.young_, self.old_,
        self.probed_, self.size_, self.last_success_, self.period_at_, self.probe_at_, self.opened_at_, self.until_,
        self.interval_, self.closed_at_, self.successes_, self.failures_, self.opened_);
}

void Breaker::save(SnapshotWriter& writer) const {
  fields(*this, [&](const auto&... field) { (writer.put(field), ...); });
  writer.put(static_cast<std::uint8_t>(probing_));
  for (std::uint32_t i = 0; i < size_; ++i) {  // from its oldest, wherever the ring begins
    writer.put(at_[(first_ + i) % most_calls]);
    writer.put(how_[(first_ + i) % most_calls]);
  }
}

void Breaker::load(SnapshotReader& reader) noexcept {
  Breaker read;
  std::uint8_t probing = 0;
  fields(read, [&](auto&... field) { (reader.get(field), ...); });
  reader.get(probing);
  reader.require(!fault(read.options_) && read.state_ <= BreakerState::half_open && read.cause_ <= OpenCause::probe &&
                 probing <= 1 && read.phase_ > 0 && read.phase_ <= 0xffffff && read.interval_ >= 0 &&
                 read.size_ <= read.options_.window_calls);
  if (!reader.ok()) return;
  read.probing_ = probing == 1;
  for (std::uint32_t i = 0; i < read.size_; ++i) {
    reader.get(read.at_[i]);
    reader.get(read.how_[i]);
    reader.require(read.how_[i] <= 2 && (i == 0 || read.at_[i - 1] <= read.at_[i]));
    read.n_failed_ += read.how_[i] & 1u;
    read.n_slow_ += (read.how_[i] & 2u) >> 1;
  }
  if (reader.ok()) *this = read;
}

std::string Breaker::snapshot() const {
  SnapshotWriter writer("breaker", 1);
  save(writer);
  return writer.finish();
}

Status Breaker::restore(std::string_view bytes, Breaker& out) {
  SnapshotReader reader(bytes, "breaker", 1);
  Breaker read;
  read.load(reader);
  const Status status = reader.finish();
  if (status == Status::ok) out = read;
  return status;
}

}  // namespace fairlead
