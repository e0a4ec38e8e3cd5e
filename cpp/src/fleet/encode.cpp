#include "fairlead/journal/encode.hpp"

#include <algorithm>
#include <limits>

namespace fairlead::journal {

namespace {

constexpr std::size_t of(std::string_view text) noexcept { return sizeof(std::uint32_t) + text.size(); }

// The first bytes of a text, at most so many, cut between two characters of UTF-8.
std::string_view beginning(std::string_view text, std::size_t most) noexcept {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xc0u) == 0x80u) --most;
  return text.substr(0, most);
}

bool known(Kind kind) noexcept { return kind <= Kind::numeric; }

template <class Fixed>
bool decode_fixed(std::span<const std::byte> payload, Fixed& out) noexcept {
  PayloadReader in(payload);
  in.get(out);
  return in.done();
}

}  // namespace

PayloadWriter EventBuffer::start(Type type, Time time, std::int32_t model, std::int32_t category,
                                 std::size_t payload_bytes) {
  const std::size_t length = sizeof(RecordHeader) + payload_bytes;
  const std::size_t words = padded(length) / sizeof(std::uint64_t);
  if (words_.size() < words) words_.resize(words);
  RecordHeader header;
  header.length = static_cast<std::uint32_t>(std::min<std::size_t>(length, std::numeric_limits<std::uint32_t>::max()));
  header.type = type;
  header.time = time;
  header.model = model;
  header.category = category;
  std::memcpy(words_.data(), &header, sizeof(header));
  return PayloadWriter(reinterpret_cast<std::byte*>(words_.data()) + sizeof(header));
}

void encode(EventBuffer& out, const Task& task, TaskNumber number, std::int32_t category) {
  std::size_t size = sizeof(TaskFixed) + of(task.id) + of(task.category) + of(task.text) + of(task.regime);
  for (const std::string_view label : task.labels) size += of(label);
  for (const Dimension& slice : task.slices) size += of(slice.name) + of(slice.value);
  PayloadWriter to = out.start(Type::task, task.time, -1, category, size);
  to.put(TaskFixed{.task = number,
                   .stake_usd = task.stake_usd,
                   .expires_in_s = task.expires_in_s,
                   .kind = task.kind,
                   .n_slices = static_cast<std::uint16_t>(task.slices.size()),
                   .n_labels = static_cast<std::uint32_t>(task.labels.size())});
  for (const std::string_view text : {task.id, task.category, task.text, task.regime}) to.put(text);
  for (const std::string_view label : task.labels) to.put(label);
  for (const Dimension& slice : task.slices) {
    to.put(slice.name);
    to.put(slice.value);
  }
}

void encode(EventBuffer& out, const Forecast& forecast, TaskNumber task, Kind kind, std::int32_t model,
            std::int32_t category) {
  const std::string_view error = beginning(forecast.error, std::numeric_limits<std::uint16_t>::max());
  const std::span<const double> p = kind == Kind::categorical && error.empty() ? forecast.p : std::span<const double>{};
  ForecastFixed fixed{.task = task,
                      .confidence = forecast.confidence,
                      .latency_ms = forecast.latency_ms,
                      .cost_usd = forecast.cost_usd,
                      .tokens_in = forecast.tokens_in,
                      .tokens_out = forecast.tokens_out,
                      .n_p = static_cast<std::uint32_t>(p.size()),
                      .n_error = static_cast<std::uint16_t>(error.size()),
                      .kind = kind};
  if (error.empty() && kind == Kind::numeric) fixed.value = forecast.value;
  if (error.empty() && kind == Kind::binary && !forecast.p.empty()) fixed.value = forecast.p[0];
  PayloadWriter to =
      out.start(Type::forecast, forecast.time, model, category, sizeof(fixed) + p.size_bytes() + error.size());
  to.put(fixed);
  to.put(p);
  to.put(std::span<const char>(error));
}

void encode(EventBuffer& out, const Decision& decision, TaskNumber task, Kind kind, std::int32_t category,
            std::span<const std::int32_t> numbers, std::string_view name) {
  name = beginning(name, std::numeric_limits<std::uint16_t>::max());
  const std::span<const double> p = kind == Kind::categorical ? std::span<const double>(decision.p) : std::span<const double>{};
  const std::size_t n = decision.weights.size();
  DecisionFixed fixed{.task = task,
                      .value = decision.value,
                      .disagreement = decision.disagreement,
                      .uncertainty = decision.uncertainty,
                      .position_scale = decision.position_scale,
                      .cost_usd = decision.cost_usd,
                      .n_p = static_cast<std::uint32_t>(p.size()),
                      .n_weights = static_cast<std::uint32_t>(n),
                      .reasons = decision.reasons,
                      .strategy = decision.strategy,
                      .kind = kind,
                      .n_name = static_cast<std::uint16_t>(name.size())};
  if (kind == Kind::binary && !decision.p.empty()) fixed.value = decision.p[0];
  const DecisionShape shape{.spread = decision.spread,
                            .entropy = decision.entropy,
                            .divergence = decision.divergence,
                            .pairwise = decision.pairwise,
                            .low = decision.low,
                            .high = decision.high,
                            .chosen = decision.chosen};
  PayloadWriter to = out.start(
      Type::decision, decision.time, -1, category,
      sizeof(fixed) + sizeof(shape) + p.size_bytes() + n * (sizeof(double) + sizeof(std::int32_t)) + name.size());
  out.header().version = decision_version;
  to.put(fixed);
  to.put(shape);
  to.put(p);
  for (const ModelWeight& weight : decision.weights) to.put(weight.weight);
  for (const ModelWeight& weight : decision.weights) to.put(numbers[static_cast<std::size_t>(weight.model)]);
  to.put(std::span<const char>(name));
}

void encode_outcome(EventBuffer& out, TaskNumber task, Kind kind, double value, Time time, double profit_usd,
                    std::int32_t category) {
  out.start(Type::outcome, time, -1, category, sizeof(OutcomeFixed))
      .put(OutcomeFixed{.task = task, .value = value, .profit_usd = profit_usd, .kind = kind});
}

void encode_closed(EventBuffer& out, TaskNumber task, Time time, std::int32_t category) {
  out.start(Type::closed, time, -1, category, sizeof(ClosedFixed)).put(ClosedFixed{.task = task});
}

void encode(EventBuffer& out, RouteFixed fixed, Time time, std::int32_t model, std::int32_t category,
            std::span<const RouteOther> others, std::string_view type) {
  others = others.first(std::min<std::size_t>(others.size(), std::numeric_limits<std::uint16_t>::max()));
  type = beginning(type, std::numeric_limits<std::uint16_t>::max());
  fixed.n_others = static_cast<std::uint16_t>(others.size());
  fixed.n_type = static_cast<std::uint16_t>(type.size());
  PayloadWriter to = out.start(Type::route, time, model, category,
                               sizeof(fixed) + others.size() * (3 * sizeof(double) + sizeof(std::int32_t)) + type.size());
  to.put(fixed);
  for (const RouteOther& other : others) to.put(other.quality);
  for (const RouteOther& other : others) to.put(other.cost_usd);
  for (const RouteOther& other : others) to.put(other.latency_ms);
  for (const RouteOther& other : others) to.put(other.model);
  to.put(std::span<const char>(type));
}

void encode(EventBuffer& out, const CalledFixed& fixed, Time time, std::int32_t model, std::int32_t category) {
  out.start(Type::called, time, model, category, sizeof(fixed)).put(fixed);
}

void encode(EventBuffer& out, RunFixed fixed, Time time, std::int32_t name, std::int32_t category, std::string_view error) {
  error = beginning(error, std::numeric_limits<std::uint16_t>::max());
  fixed.n_error = static_cast<std::uint16_t>(error.size());
  PayloadWriter to = out.start(Type::run, time, name, category, sizeof(fixed) + error.size());
  to.put(fixed);
  to.put(std::span<const char>(error));
}

void encode_name(EventBuffer& out, Table table, std::int32_t number, std::string_view name) {
  PayloadWriter to = out.start(Type::name, 0, -1, -1, 1 + sizeof(number) + of(name));
  to.put(table);
  to.put(number);
  to.put(name);
}

void encode_text(EventBuffer& out, Type type, Time time, std::int32_t model, std::int32_t category, std::string_view text) {
  out.start(type, time, model, category, text.size()).put(std::span<const char>(text));
}

bool decode(std::span<const std::byte> payload, DecodedTask& out) {
  PayloadReader in(payload);
  TaskFixed fixed;
  if (!in.get(fixed) || !known(fixed.kind)) return false;
  out.number = fixed.task;
  out.task = Task{.id = {}, .kind = fixed.kind, .stake_usd = fixed.stake_usd, .expires_in_s = fixed.expires_in_s};
  for (std::string_view* text : {&out.task.id, &out.task.category, &out.task.text, &out.task.regime}) in.get(*text);
  // A string takes four bytes at least, so that a false count takes no memory.
  if (!in.ok() || fixed.n_labels > payload.size() / 4 || fixed.n_slices > payload.size() / 8) return false;
  out.labels.resize(fixed.n_labels);
  out.slices.resize(fixed.n_slices);
  for (std::string_view& label : out.labels) in.get(label);
  for (Dimension& slice : out.slices) {
    in.get(slice.name);
    in.get(slice.value);
  }
  out.task.labels = out.labels;
  out.task.slices = out.slices;
  return in.done();
}

bool decode(std::span<const std::byte> payload, DecodedForecast& out) noexcept {
  PayloadReader in(payload);
  ForecastFixed fixed;
  std::span<const double> p;
  std::span<const char> error;
  if (!in.get(fixed) || !in.get(p, fixed.n_p) || !in.get(error, fixed.n_error) || !in.done() || !known(fixed.kind)) {
    return false;
  }
  out.task = fixed.task;
  out.kind = fixed.kind;
  out.value = fixed.value;
  out.forecast = Forecast{.p = p,
                          .confidence = fixed.confidence,
                          .latency_ms = fixed.latency_ms,
                          .tokens_in = fixed.tokens_in,
                          .tokens_out = fixed.tokens_out,
                          .cost_usd = fixed.cost_usd,
                          .error = {error.data(), error.size()}};
  if (error.empty() && fixed.kind == Kind::binary) out.forecast.p = {&out.value, 1};
  if (fixed.kind == Kind::numeric) out.forecast.value = fixed.value;
  return true;
}

bool decode(const Event& event, DecodedDecision& out) noexcept {
  PayloadReader in(event.bytes());
  const DecisionFixed& fixed = out.fixed;
  const bool shaped = event.header->version == decision_version;
  std::span<const char> name;
  if (!in.get(out.fixed)) return false;
  if (shaped) {
    in.get(out.shape);
  } else {
    out.shape = {.chosen = fixed.strategy};
  }
  if (!in.get(out.p, fixed.n_p) || !in.get(out.weights, fixed.n_weights) || !in.get(out.models, fixed.n_weights) ||
      !in.get(name, shaped ? fixed.n_name : 0) || !in.done() || !known(fixed.kind)) {
    return false;
  }
  const auto known_strategy = [&](Strategy strategy) {
    return static_cast<std::size_t>(strategy) < n_strategies || (shaped && strategy == Strategy::given);
  };
  if (!known_strategy(fixed.strategy) || !known_strategy(out.shape.chosen)) return false;
  out.name = fixed.strategy == Strategy::given ? std::string_view(name.data(), name.size())
                                               : strategy_names[static_cast<std::size_t>(fixed.strategy)];
  return true;
}

bool decode(std::span<const std::byte> payload, OutcomeFixed& out) noexcept {
  return decode_fixed(payload, out) && known(out.kind);
}

bool decode(std::span<const std::byte> payload, ClosedFixed& out) noexcept { return decode_fixed(payload, out); }

bool decode(std::span<const std::byte> payload, DecodedRoute& out) noexcept {
  PayloadReader in(payload);
  std::span<const char> type;
  const RouteFixed& fixed = out.fixed;
  if (!in.get(out.fixed) || !in.get(out.quality, fixed.n_others) || !in.get(out.cost_usd, fixed.n_others) ||
      !in.get(out.latency_ms, fixed.n_others) || !in.get(out.others, fixed.n_others) || !in.get(type, fixed.n_type) ||
      !in.done()) {
    return false;
  }
  out.type = {type.data(), type.size()};
  return static_cast<std::size_t>(fixed.goal) < goal_names.size();
}

bool decode(std::span<const std::byte> payload, CalledFixed& out) noexcept {
  return decode_fixed(payload, out) && static_cast<std::size_t>(out.end) < call_end_names.size();
}

bool decode(std::span<const std::byte> payload, DecodedRun& out) noexcept {
  PayloadReader in(payload);
  std::span<const char> error;
  if (!in.get(out.fixed) || !in.get(error, out.fixed.n_error) || !in.done()) return false;
  out.error = {error.data(), error.size()};
  return static_cast<std::size_t>(out.fixed.status) < run_status_names.size();
}

bool decode(std::span<const std::byte> payload, DecodedName& out) noexcept {
  PayloadReader in(payload);
  in.get(out.table);
  in.get(out.number);
  in.get(out.name);
  return in.done() && static_cast<std::size_t>(out.table) < n_tables && out.number >= 0;
}

}  // namespace fairlead::journal
