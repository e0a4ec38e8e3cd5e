#include "fairlead/journal/columns.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "fairlead/breaker.hpp"
#include "fairlead/journal/encode.hpp"
#include "fairlead/journal/utf8.hpp"

namespace fairlead::journal {

namespace {

constexpr std::uint64_t usual_nan = 0x7ff8000000000000ULL;  // the bits of `nan`

bool is_usual_nan(double value) noexcept { return std::bit_cast<std::uint64_t>(value) == usual_nan; }

// Other NaNs have bits that a table of data may lose.
bool is_odd_nan(double value) noexcept { return std::isnan(value) && !is_usual_nan(value); }

std::int8_t type_place(Type type) noexcept {
  static const auto places = [] {
    std::array<std::int8_t, 49> out;
    out.fill(-1);
    for (std::size_t i = 0; i + 1 < std::size(column_types); ++i)
      out[static_cast<std::size_t>(column_types[i])] = static_cast<std::int8_t>(i);
    return out;
  }();
  const auto code = static_cast<std::size_t>(type);
  if (code < places.size()) return places[code];
  return code >= static_cast<std::size_t>(Type::custom) ? static_cast<std::int8_t>(std::size(column_types) - 1)
                                                        : std::int8_t{-1};
}

}  // namespace

void TextsColumn::begin(std::size_t row, std::size_t capacity) {
  if (offsets_.empty()) {
    offsets_.resize(capacity + 1);
    valid_.resize((capacity + 7) / 8);
  }
  fill(row);
  valid_[row >> 3] = static_cast<std::uint8_t>(valid_[row >> 3] | (1u << (row & 7)));
  ++count_;
}

void TextsColumn::fill(std::size_t row) noexcept {
  const auto end = static_cast<std::int32_t>(ends_.size() - 1);
  for (; next_ <= row; ++next_) offsets_[next_] = end;
}

void TextsColumn::finish(std::size_t rows) noexcept {
  if (!offsets_.empty()) fill(rows);
}

TextsView TextsColumn::view(std::size_t rows) const noexcept {
  if (offsets_.empty()) return {};
  return {{offsets_.data(), rows + 1}, {ends_, bytes_, nullptr}, count_ == rows ? nullptr : valid_.data()};
}

// Each of these says whether the column tells the value.

bool Columns::put(NumberColumn<double>& column, double value) {
  if (std::isnan(value)) return is_usual_nan(value);
  column.set(row_, value, capacity_);
  return true;
}

bool Columns::put(ListColumn<double>& column, std::span<const double> values) {
  if (std::any_of(values.begin(), values.end(), is_odd_nan)) return false;
  if (!values.empty()) column.set(row_, values, capacity_);
  bytes_ += values.size_bytes();
  return true;
}

bool Columns::put(ListColumn<char>& column, std::string_view text) {
  if (!is_utf8(text)) return false;
  column.set(row_, text, capacity_);
  bytes_ += text.size();
  return true;
}

bool Columns::put(NumberColumn<std::int8_t>& column, std::uint8_t value, std::size_t names) {
  if (value >= names) return false;
  column.set(row_, static_cast<std::int8_t>(value), capacity_);
  return true;
}

// `given` has a name, which must not be one that means another.
bool Columns::strategy(NumberColumn<std::int32_t>& column, Strategy strategy, std::string_view name) {
  auto place = static_cast<std::size_t>(strategy);
  if (strategy == Strategy::given) {
    if (!is_utf8(name) || std::find(strategy_names.begin(), strategy_names.end(), name) != strategy_names.end()) {
      return false;
    }
    place = n_strategies + static_cast<std::size_t>(given_.intern(name));
    bytes_ += name.size();
  } else if (place >= n_strategies) {
    return false;
  }
  column.set(row_, static_cast<std::int32_t>(place), capacity_);
  return true;
}

void Columns::add(const Event& event, const NameTable& models, const NameTable& categories) {
  const RecordHeader& header = *event.header;
  row_ = size_++;
  seq_.set(row_, header.seq, capacity_);
  time_.set(row_, header.time, capacity_);
  const std::int8_t type = type_place(header.type);
  if (type >= 0) type_.set(row_, type, capacity_);
  const auto known = [&](NumberColumn<std::int32_t>& column, std::int32_t id, const NameTable& names) {
    if (id < 0 || id >= names.size()) return id == -1;
    column.set(row_, id, capacity_);
    return true;
  };
  const bool version = header.version > 0 && header.version <= newest_version(header.type);
  const bool whole = version && told(event, models, categories);
  bool plain = type >= 0 && column_types[static_cast<std::size_t>(type)] == header.type && header.flags == 0 &&
               (header.version == 1 || whole);
  plain &= known(model_, header.model, models);
  plain &= known(category_, header.category, categories);
  if (!plain) {
    RecordHeader copy = header;
    copy.crc = copy.prev = 0;
    header_.set(row_, {reinterpret_cast<const char*>(&copy), sizeof copy}, capacity_);
    bytes_ += sizeof copy;
  }
  if (!whole) {
    payload_.set(row_, {reinterpret_cast<const char*>(event.payload()), event.payload_size()}, capacity_);
    bytes_ += event.payload_size();
  }
}

bool Columns::told(const Event& event, const NameTable& models, const NameTable& categories) {
  switch (event.header->type) {
    case Type::task: return task(event, categories);
    case Type::forecast: return forecast(event);
    case Type::decision: return decision(event, models);
    case Type::outcome: return outcome(event);
    case Type::closed: return closed(event);
    case Type::route: return route(event, models);
    case Type::called: return called(event);
    case Type::run: return run(event);
    case Type::settings:
    case Type::model:
    case Type::note:
    case Type::alert:
    case Type::training_run:
    case Type::model_version:
    case Type::deployment:
    case Type::budget:
    case Type::health:
    case Type::routing:
    case Type::input:
    case Type::label:
    case Type::summary:
      return put(data_, {reinterpret_cast<const char*>(event.payload()), event.payload_size()});
    case Type::model_removed: return event.payload_size() == 0;
    default: return false;
  }
}

bool Columns::forecast(const Event& event) {
  PayloadReader in(event.bytes());
  ForecastFixed fixed;
  std::span<const double> p;
  std::span<const char> error;
  if (!in.get(fixed) || !in.get(p, fixed.n_p) || !in.get(error, fixed.n_error) || !in.done()) return false;
  bool all = fixed.reserved == 0;
  task_.set(row_, fixed.task, capacity_);
  tokens_in_.set(row_, fixed.tokens_in, capacity_);
  tokens_out_.set(row_, fixed.tokens_out, capacity_);
  all &= put(kind_, static_cast<std::uint8_t>(fixed.kind), 3);
  all &= put(value_, fixed.value);
  all &= put(p_, p);
  all &= put(confidence_, fixed.confidence);
  all &= put(latency_ms_, fixed.latency_ms);
  all &= put(cost_usd_, fixed.cost_usd);
  if (!error.empty()) all &= put(error_, std::string_view(error.data(), error.size()));
  return all;
}

bool Columns::decision(const Event& event, const NameTable& models) {
  DecodedDecision found;
  if (!decode(event, found)) return false;
  const DecisionFixed& fixed = found.fixed;
  const DecisionShape& shape = found.shape;
  const bool given = fixed.strategy == Strategy::given;
  bool all = given || fixed.n_name == 0;
  if (event.header->version == decision_version) {  // the version is told by there being a `chosen`
    all &= std::all_of(std::begin(shape.reserved), std::end(shape.reserved), [](std::uint8_t b) { return b == 0; });
    all &= shape.chosen != Strategy::given || given;  // as its name is that of the strategy
    all &= strategy(chosen_, shape.chosen, found.name);
    all &= put(spread_, shape.spread);
    all &= put(entropy_, shape.entropy);
    all &= put(divergence_, shape.divergence);
    all &= put(pairwise_, shape.pairwise);
    all &= put(low_, shape.low);
    all &= put(high_, shape.high);
  }
  task_.set(row_, fixed.task, capacity_);
  reasons_.set(row_, fixed.reasons, capacity_);
  all &= put(kind_, static_cast<std::uint8_t>(fixed.kind), 3);
  all &= strategy(strategy_, fixed.strategy, found.name);
  all &= put(value_, fixed.value);
  all &= put(disagreement_, fixed.disagreement);
  all &= put(uncertainty_, fixed.uncertainty);
  all &= put(position_scale_, fixed.position_scale);
  all &= put(cost_usd_, fixed.cost_usd);
  all &= put(p_, found.p);
  const auto known = [&](std::int32_t id) { return id >= 0 && id < models.size(); };
  if (!std::all_of(found.models.begin(), found.models.end(), known)) return false;
  all &= put(weights_, found.weights);
  if (!found.models.empty()) voters_.set(row_, found.models, capacity_);
  bytes_ += found.models.size_bytes();
  return all;
}

bool Columns::outcome(const Event& event) {
  PayloadReader in(event.bytes());
  OutcomeFixed fixed;
  if (!in.get(fixed) || !in.done()) return false;
  bool all = std::all_of(std::begin(fixed.reserved), std::end(fixed.reserved), [](std::uint8_t b) { return b == 0; });
  task_.set(row_, fixed.task, capacity_);
  all &= put(kind_, static_cast<std::uint8_t>(fixed.kind), 3);
  all &= put(value_, fixed.value);
  all &= put(profit_usd_, fixed.profit_usd);
  return all;
}

bool Columns::closed(const Event& event) {
  PayloadReader in(event.bytes());
  ClosedFixed fixed;
  if (!in.get(fixed) || !in.done()) return false;
  task_.set(row_, fixed.task, capacity_);
  return true;
}

bool Columns::route(const Event& event, const NameTable& models) {
  PayloadReader in(event.bytes());
  RouteFixed fixed;
  std::span<const double> quality, cost, latency;
  std::span<const std::int32_t> who;
  std::span<const char> type;
  if (!in.get(fixed) || !in.get(quality, fixed.n_others) || !in.get(cost, fixed.n_others) ||
      !in.get(latency, fixed.n_others) || !in.get(who, fixed.n_others) || !in.get(type, fixed.n_type) || !in.done()) {
    return false;
  }
  bool all = std::all_of(std::begin(fixed.padding), std::end(fixed.padding), [](std::uint8_t b) { return b == 0; });
  task_.set(row_, fixed.task, capacity_);
  attempt_.set(row_, fixed.attempt, capacity_);
  reasons_.set(row_, fixed.reasons, capacity_);
  reserved_nanos_.set(row_, fixed.reserved_nanos, capacity_);
  all &= put(goal_, static_cast<std::uint8_t>(fixed.goal), goal_names.size());
  all &= put(propensity_, fixed.propensity);
  all &= put(quality_, fixed.quality);
  all &= put(spread_, fixed.spread);
  all &= put(cost_usd_, fixed.cost_usd);
  all &= put(latency_ms_, fixed.latency_ms);
  if (!type.empty()) all &= put(task_type_, std::string_view(type.data(), type.size()));
  const auto known = [&](std::int32_t id) { return id >= 0 && id < models.size(); };
  if (!std::all_of(who.begin(), who.end(), known)) return false;
  all &= put(runners_up_quality_, quality);
  all &= put(runners_up_cost_usd_, cost);
  all &= put(runners_up_latency_ms_, latency);
  if (!who.empty()) runners_up_.set(row_, who, capacity_);
  bytes_ += who.size_bytes();
  return all;
}

bool Columns::called(const Event& event) {
  PayloadReader in(event.bytes());
  CalledFixed fixed;
  if (!in.get(fixed) || !in.done()) return false;
  bool all = fixed.padding[0] == 0 && fixed.padding[1] == 0;
  task_.set(row_, fixed.task, capacity_);
  attempt_.set(row_, fixed.attempt, capacity_);
  calls_.set(row_, fixed.calls, capacity_);
  if (fixed.cost_nanos != -1) cost_nanos_.set(row_, fixed.cost_nanos, capacity_);
  tokens_in_.set(row_, fixed.tokens_in, capacity_);
  tokens_out_.set(row_, fixed.tokens_out, capacity_);
  tokens_cached_.set(row_, fixed.tokens_cached, capacity_);
  tokens_written_.set(row_, fixed.tokens_written, capacity_);
  all &= put(latency_ms_, fixed.latency_ms);
  all &= put(first_token_ms_, fixed.first_token_ms);
  all &= put(retry_after_ms_, fixed.retry_after_ms);
  all &= put(ended_, static_cast<std::uint8_t>(fixed.end), call_end_names.size());
  all &= fixed.end == CallEnd::failed ? put(failure_, fixed.failure, failure_names.size()) : fixed.failure == 0;
  return all;
}

bool Columns::run(const Event& event) {
  DecodedRun found;
  if (!decode(event.bytes(), found)) return false;
  const RunFixed& fixed = found.fixed;
  bool all = std::all_of(std::begin(fixed.padding), std::end(fixed.padding), [](std::uint8_t b) { return b == 0; });
  tokens_.set(row_, fixed.tokens, capacity_);
  api_calls_.set(row_, fixed.api_calls, capacity_);
  if (fixed.cost_nanos != -1) cost_nanos_.set(row_, fixed.cost_nanos, capacity_);
  all &= put(status_, static_cast<std::uint8_t>(fixed.status), run_status_names.size());
  all &= put(duration_ms_, fixed.duration_ms);
  all &= put(compute_s_, fixed.compute_s);
  all &= put(memory_mb_, fixed.memory_mb);
  if (!found.error.empty()) all &= put(error_, found.error);
  return all;
}

bool Columns::task(const Event& event, const NameTable& categories) {
  // Once to see whether all is as it should be, then once to take it: lists must not be left half filled.
  PayloadReader in(event.bytes());
  TaskFixed fixed;
  std::string_view id, category, words, regime, part, value;
  if (!in.get(fixed) || !in.get(id) || !in.get(category) || !in.get(words) || !in.get(regime)) return false;
  const std::int32_t number = event.header->category;
  const bool named = number >= 0 && number < categories.size() ? categories.name(number) == category
                                                               : number == -1 && category.empty();
  bool all = named && fixed.reserved == 0;
  PayloadReader again = in;
  bool whole = true;
  for (std::uint32_t i = 0; i < fixed.n_labels && in.get(part); ++i) whole &= is_utf8(part);
  for (std::uint32_t i = 0; i < fixed.n_slices && in.get(part) && in.get(value); ++i) {
    whole &= is_utf8(part) && is_utf8(value) && part.find('=') == std::string_view::npos;
  }
  if (!in.done()) return false;

  task_.set(row_, fixed.task, capacity_);
  all &= put(kind_, static_cast<std::uint8_t>(fixed.kind), 3);
  all &= put(stake_usd_, fixed.stake_usd);
  all &= put(expires_in_s_, fixed.expires_in_s);
  all &= put(id_, id);
  all &= put(text_, words);
  all &= put(regime_, regime);
  if (!whole) return false;
  bytes_ += event.payload_size();
  if (fixed.n_labels > 0) labels_.begin(row_, capacity_);
  for (std::uint32_t i = 0; i < fixed.n_labels; ++i) {
    (void)again.get(part);
    labels_.put(part);
  }
  if (fixed.n_slices > 0) slices_.begin(row_, capacity_);
  std::string slice;
  for (std::uint32_t i = 0; i < fixed.n_slices; ++i) {
    (void)again.get(part);
    (void)again.get(value);
    slices_.put(slice.assign(part).append("=").append(value));
  }
  return all;
}

ColumnsView Columns::view() noexcept {
  const auto finish = [n = size_](auto&... columns) { (columns.finish(n), ...); };
  finish(p_, weights_, voters_, error_, id_, text_, regime_, data_, payload_, header_, labels_, slices_);
  finish(task_type_, runners_up_, runners_up_quality_, runners_up_cost_usd_, runners_up_latency_ms_);
  ColumnsView out;
  out.size = size_;
  const auto take = [n = size_](auto& to, const auto& from) { to = from.view(n); };
  take(out.seq, seq_), take(out.time, time_), take(out.type, type_), take(out.model, model_);
  take(out.category, category_), take(out.task, task_), take(out.kind, kind_), take(out.value, value_);
  take(out.p, p_), take(out.confidence, confidence_), take(out.latency_ms, latency_ms_);
  take(out.cost_usd, cost_usd_), take(out.tokens_in, tokens_in_), take(out.tokens_out, tokens_out_);
  take(out.error, error_), take(out.profit_usd, profit_usd_), take(out.disagreement, disagreement_);
  take(out.uncertainty, uncertainty_), take(out.position_scale, position_scale_), take(out.strategy, strategy_);
  take(out.reasons, reasons_), take(out.weights, weights_), take(out.voters, voters_), take(out.id, id_);
  take(out.text, text_), take(out.regime, regime_), take(out.labels, labels_), take(out.slices, slices_);
  take(out.stake_usd, stake_usd_), take(out.expires_in_s, expires_in_s_), take(out.data, data_);
  take(out.payload, payload_), take(out.header, header_), take(out.task_type, task_type_), take(out.goal, goal_);
  take(out.attempt, attempt_), take(out.propensity, propensity_), take(out.quality, quality_);
  take(out.spread, spread_), take(out.reserved_nanos, reserved_nanos_), take(out.runners_up, runners_up_);
  take(out.runners_up_quality, runners_up_quality_), take(out.runners_up_cost_usd, runners_up_cost_usd_);
  take(out.runners_up_latency_ms, runners_up_latency_ms_), take(out.ended, ended_), take(out.failure, failure_);
  take(out.cost_nanos, cost_nanos_), take(out.first_token_ms, first_token_ms_);
  take(out.retry_after_ms, retry_after_ms_), take(out.tokens_cached, tokens_cached_);
  take(out.tokens_written, tokens_written_), take(out.calls, calls_), take(out.chosen, chosen_);
  take(out.entropy, entropy_), take(out.divergence, divergence_), take(out.pairwise, pairwise_);
  take(out.low, low_), take(out.high, high_), take(out.status, status_), take(out.duration_ms, duration_ms_);
  take(out.compute_s, compute_s_), take(out.memory_mb, memory_mb_), take(out.tokens, tokens_);
  take(out.api_calls, api_calls_);
  for (std::int32_t id = 0; id < given_.size(); ++id) out.given.emplace_back(given_.name(id));
  return out;
}

}  // namespace fairlead::journal
