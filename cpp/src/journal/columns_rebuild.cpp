#include <algorithm>
#include <cstring>
#include <iterator>

#include "fairlead/breaker.hpp"
#include "fairlead/journal/columns.hpp"

namespace fairlead::journal {

namespace {

// Writes one record after the other into bytes that grow.
class RecordWriter {
 public:
  explicit RecordWriter(std::vector<std::byte>& out) noexcept : out_(out), at_(out.size()) {}
  ~RecordWriter() { out_.resize(at_); }
  RecordWriter(const RecordWriter&) = delete;
  RecordWriter& operator=(const RecordWriter&) = delete;

  void begin(const RecordHeader& header) {
    start_ = at_;
    put(header);
  }
  template <class T>
  void put(const T& value) {
    std::memcpy(room(sizeof(T)), &value, sizeof(T));
  }
  template <class T>
  void put(std::span<const T> values) {
    if (!values.empty()) std::memcpy(room(values.size_bytes()), values.data(), values.size_bytes());
  }
  void text(std::string_view text) {
    put(static_cast<std::uint32_t>(text.size()));
    put(std::span<const char>(text));
  }
  bool end() {
    const std::size_t length = at_ - start_;
    if (length > sizeof(RecordHeader) + max_payload) return false;
    const auto stored = static_cast<std::uint32_t>(length);
    std::memcpy(out_.data() + start_ + offsetof(RecordHeader, length), &stored, sizeof stored);
    const std::size_t padding = padded(length) - length;
    std::memset(room(padding), 0, padding);
    return true;
  }
  void undo() { at_ = start_; }

 private:
  std::byte* room(std::size_t bytes) {
    if (at_ + bytes > out_.size()) out_.resize(std::max(at_ + bytes, 2 * out_.size() + 4096));
    std::byte* const here = out_.data() + at_;
    at_ += bytes;
    return here;
  }
  std::vector<std::byte>& out_;
  std::size_t at_, start_ = 0;
};

template <class T>
T number(const NumberView<T>& column, std::size_t row, T otherwise = T{}) noexcept {
  return column.has(row) ? column.values[row] : otherwise;
}

// Nothing where the row is not there; false where the offsets are wrong.
template <class T>
bool items(const ListView<T>& column, std::size_t row, std::span<const T>& out) noexcept {
  out = {};
  return !column.has(row) || column.get(row, out);
}

bool text(const TextView& column, std::size_t row, std::string_view& out) noexcept {
  std::span<const char> found;
  const bool good = items(column, row, found);
  out = {found.data(), found.size()};
  return good;
}

bool texts(const TextsView& column, std::size_t row, std::vector<std::string_view>& out) {
  out.clear();
  if (!column.has(row)) return true;
  const std::int32_t from = column.offsets[row], to = column.offsets[row + 1];
  const std::size_t n = column.items.offsets.empty() ? 0 : column.items.offsets.size() - 1;
  if (from < 0 || to < from || static_cast<std::size_t>(to) > n) return false;
  for (std::int32_t i = from; i < to; ++i) {
    std::span<const char> found;
    if (!column.items.get(static_cast<std::size_t>(i), found)) return false;
    out.emplace_back(found.data(), found.size());
  }
  return true;
}

template <class E>
bool named(const NumberView<std::int8_t>& column, std::size_t row, std::size_t names, E& out) noexcept {
  if (!column.has(row)) return false;
  const std::int8_t value = column.values[row];
  if (value < 0 || static_cast<std::size_t>(value) >= names) return false;
  out = static_cast<E>(value);
  return true;
}

class Rebuilder {
 public:
  Rebuilder(const ColumnsView& columns, const NameTable& categories, std::vector<std::byte>& out) noexcept
      : c_(columns), categories_(categories), to_(out) {}

  bool row(std::size_t i) {
    i_ = i;
    RecordHeader header;
    std::span<const char> bytes;
    if (!items(c_.header, i, bytes)) return false;
    if (!bytes.empty()) {
      if (bytes.size() != sizeof header) return false;
      std::memcpy(&header, bytes.data(), sizeof header);
      header.crc = header.prev = 0;
    } else if (!fill(header)) {
      return false;
    }
    to_.begin(header);
    bool good = true;
    if (c_.payload.has(i)) {
      good = items(c_.payload, i, bytes);
      to_.put(bytes);
    } else {
      good = payload(header);
    }
    if (good && to_.end()) return true;
    to_.undo();
    return false;
  }

 private:
  bool fill(RecordHeader& header) const noexcept {
    if (!c_.seq.has(i_) || !c_.time.has(i_)) return false;
    std::size_t type = 0;
    if (!named(c_.type, i_, std::size(column_types), type)) return false;
    header.type = column_types[type];
    header.seq = c_.seq.values[i_];
    header.time = c_.time.values[i_];
    header.model = number(c_.model, i_, -1);
    header.category = number(c_.category, i_, -1);
    if (header.type == Type::decision && c_.chosen.has(i_)) header.version = decision_version;
    return true;
  }

  bool payload(const RecordHeader& header) {
    switch (header.type) {
      case Type::task: return task(header);
      case Type::forecast: return forecast();
      case Type::decision: return decision(header);
      case Type::outcome: return outcome();
      case Type::closed:
        to_.put(ClosedFixed{number(c_.task, i_)});
        return c_.task.has(i_);
      case Type::route: return route();
      case Type::called: return called();
      case Type::run: return run();
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
      case Type::summary: {
        std::string_view data;
        if (!c_.data.has(i_) || !text(c_.data, i_, data)) return false;
        to_.put(std::span<const char>(data));
        return true;
      }
      case Type::model_removed: return true;
      default: return false;  // its bytes should be there
    }
  }

  bool forecast() {
    ForecastFixed fixed;
    std::span<const double> p;
    std::string_view error;
    if (!c_.task.has(i_) || !named(c_.kind, i_, 3, fixed.kind) || !items(c_.p, i_, p) || !text(c_.error, i_, error) ||
        error.size() > 0xffff) {
      return false;
    }
    fixed.task = c_.task.values[i_];
    fixed.confidence = number(c_.confidence, i_, nan);
    fixed.latency_ms = number(c_.latency_ms, i_, nan);
    fixed.cost_usd = number(c_.cost_usd, i_, nan);
    fixed.tokens_in = number(c_.tokens_in, i_);
    fixed.tokens_out = number(c_.tokens_out, i_);
    fixed.value = number(c_.value, i_, nan);
    fixed.n_p = static_cast<std::uint32_t>(p.size());
    fixed.n_error = static_cast<std::uint16_t>(error.size());
    to_.put(fixed);
    to_.put(p);
    to_.put(std::span<const char>(error));
    return true;
  }

  // `name`: of one that has its own.
  bool strategy(const NumberView<std::int32_t>& column, Strategy& out, std::string_view& name) const noexcept {
    if (!column.has(i_) || column.values[i_] < 0) return false;
    const auto place = static_cast<std::size_t>(column.values[i_]);
    if (place >= n_strategies + c_.given.size()) return false;
    out = place < n_strategies ? static_cast<Strategy>(place) : Strategy::given;
    name = place < n_strategies ? std::string_view{} : c_.given[place - n_strategies];
    return true;
  }

  bool decision(const RecordHeader& header) {
    const bool shaped = header.version == decision_version;
    DecisionFixed fixed;
    DecisionShape shape;
    std::span<const double> p, weights;
    std::span<const std::int32_t> voters;
    std::string_view name, chosen;
    if (!c_.task.has(i_) || !named(c_.kind, i_, 3, fixed.kind) || !strategy(c_.strategy, fixed.strategy, name) ||
        !items(c_.p, i_, p) || !items(c_.weights, i_, weights) || !items(c_.voters, i_, voters) ||
        weights.size() != voters.size() || name.size() > 0xffff) {
      return false;
    }
    if (fixed.strategy == Strategy::given && !shaped) return false;
    if (shaped && (!strategy(c_.chosen, shape.chosen, chosen) ||
                   (shape.chosen == Strategy::given && (fixed.strategy != Strategy::given || chosen != name)))) {
      return false;
    }
    fixed.task = c_.task.values[i_];
    fixed.value = number(c_.value, i_, nan);
    fixed.disagreement = number(c_.disagreement, i_, nan);
    fixed.uncertainty = number(c_.uncertainty, i_, nan);
    fixed.position_scale = number(c_.position_scale, i_, nan);
    fixed.cost_usd = number(c_.cost_usd, i_, nan);
    fixed.n_p = static_cast<std::uint32_t>(p.size());
    fixed.n_weights = static_cast<std::uint32_t>(weights.size());
    fixed.reasons = number(c_.reasons, i_);
    fixed.n_name = static_cast<std::uint16_t>(name.size());
    to_.put(fixed);
    if (shaped) {
      shape.spread = number(c_.spread, i_, nan);
      shape.entropy = number(c_.entropy, i_, nan);
      shape.divergence = number(c_.divergence, i_, nan);
      shape.pairwise = number(c_.pairwise, i_, nan);
      shape.low = number(c_.low, i_, nan);
      shape.high = number(c_.high, i_, nan);
      to_.put(shape);
    }
    to_.put(p);
    to_.put(weights);
    to_.put(voters);
    to_.put(std::span<const char>(name));
    return true;
  }

  bool outcome() {
    OutcomeFixed fixed;
    if (!c_.task.has(i_) || !named(c_.kind, i_, 3, fixed.kind)) return false;
    fixed.task = c_.task.values[i_];
    fixed.value = number(c_.value, i_, nan);
    fixed.profit_usd = number(c_.profit_usd, i_, nan);
    to_.put(fixed);
    return true;
  }

  bool route() {
    RouteFixed fixed;
    std::span<const double> quality, cost, latency;
    std::span<const std::int32_t> others;
    std::string_view type;
    if (!c_.task.has(i_) || !named(c_.goal, i_, goal_names.size(), fixed.goal) || !text(c_.task_type, i_, type) ||
        !items(c_.runners_up, i_, others) || !items(c_.runners_up_quality, i_, quality) ||
        !items(c_.runners_up_cost_usd, i_, cost) || !items(c_.runners_up_latency_ms, i_, latency) ||
        quality.size() != others.size() || cost.size() != others.size() || latency.size() != others.size() ||
        others.size() > 0xffff || type.size() > 0xffff) {
      return false;
    }
    fixed.task = c_.task.values[i_];
    fixed.reserved_nanos = number(c_.reserved_nanos, i_);
    fixed.propensity = number(c_.propensity, i_, nan);
    fixed.quality = number(c_.quality, i_, nan);
    fixed.spread = number(c_.spread, i_, nan);
    fixed.cost_usd = number(c_.cost_usd, i_, nan);
    fixed.latency_ms = number(c_.latency_ms, i_, nan);
    fixed.reasons = number(c_.reasons, i_);
    fixed.attempt = number(c_.attempt, i_);
    fixed.n_others = static_cast<std::uint16_t>(others.size());
    fixed.n_type = static_cast<std::uint16_t>(type.size());
    to_.put(fixed);
    to_.put(quality);
    to_.put(cost);
    to_.put(latency);
    to_.put(others);
    to_.put(std::span<const char>(type));
    return true;
  }

  bool called() {
    CalledFixed fixed;
    if (!c_.task.has(i_) || !named(c_.ended, i_, call_end_names.size(), fixed.end) ||
        (fixed.end == CallEnd::failed && !named(c_.failure, i_, failure_names.size(), fixed.failure))) {
      return false;
    }
    fixed.task = c_.task.values[i_];
    fixed.cost_nanos = number(c_.cost_nanos, i_, std::int64_t{-1});
    fixed.latency_ms = number(c_.latency_ms, i_, nan);
    fixed.first_token_ms = number(c_.first_token_ms, i_, nan);
    fixed.retry_after_ms = number(c_.retry_after_ms, i_, nan);
    fixed.tokens_in = number(c_.tokens_in, i_);
    fixed.tokens_out = number(c_.tokens_out, i_);
    fixed.tokens_cached = number(c_.tokens_cached, i_);
    fixed.tokens_written = number(c_.tokens_written, i_);
    fixed.attempt = number(c_.attempt, i_);
    fixed.calls = number(c_.calls, i_);
    to_.put(fixed);
    return true;
  }

  bool run() {
    RunFixed fixed;
    std::string_view error;
    if (!named(c_.status, i_, run_status_names.size(), fixed.status) || !text(c_.error, i_, error) ||
        error.size() > 0xffff) {
      return false;
    }
    fixed.cost_nanos = number(c_.cost_nanos, i_, std::int64_t{-1});
    fixed.duration_ms = number(c_.duration_ms, i_, nan);
    fixed.compute_s = number(c_.compute_s, i_, nan);
    fixed.memory_mb = number(c_.memory_mb, i_, nan);
    fixed.tokens = number(c_.tokens, i_);
    fixed.api_calls = number(c_.api_calls, i_);
    fixed.n_error = static_cast<std::uint16_t>(error.size());
    to_.put(fixed);
    to_.put(std::span<const char>(error));
    return true;
  }

  bool task(const RecordHeader& header) {
    TaskFixed fixed;
    std::string_view id, words, regime, category;
    if (!c_.task.has(i_) || !named(c_.kind, i_, 3, fixed.kind) || !text(c_.id, i_, id) || !text(c_.text, i_, words) ||
        !text(c_.regime, i_, regime) || !texts(c_.labels, i_, labels_) || !texts(c_.slices, i_, slices_) ||
        slices_.size() > 0xffff || header.category < -1 || header.category >= categories_.size()) {
      return false;
    }
    if (header.category >= 0) category = categories_.name(header.category);
    fixed.task = c_.task.values[i_];
    fixed.stake_usd = number(c_.stake_usd, i_, nan);
    fixed.expires_in_s = number(c_.expires_in_s, i_, nan);
    fixed.n_slices = static_cast<std::uint16_t>(slices_.size());
    fixed.n_labels = static_cast<std::uint32_t>(labels_.size());
    to_.put(fixed);
    to_.text(id);
    to_.text(category);
    to_.text(words);
    to_.text(regime);
    for (const std::string_view label : labels_) to_.text(label);
    for (const std::string_view slice : slices_) {
      const std::size_t middle = slice.find('=');
      if (middle == std::string_view::npos) return false;
      to_.text(slice.substr(0, middle));
      to_.text(slice.substr(middle + 1));
    }
    return true;
  }

  const ColumnsView& c_;
  const NameTable& categories_;
  RecordWriter to_;
  std::size_t i_ = 0;
  std::vector<std::string_view> labels_, slices_;
};

}  // namespace

Status rebuild(const ColumnsView& columns, const NameTable& categories, std::vector<std::byte>& out, std::size_t& bad) {
  Rebuilder rebuilder(columns, categories, out);
  for (std::size_t i = 0; i < columns.size; ++i) {
    if (!rebuilder.row(i)) {
      bad = i;
      return Status::bad_event;
    }
  }
  return Status::ok;
}

}  // namespace fairlead::journal
