// Events of a journal as columns, and back: what an archive, a table or a data frame is made of.
//
// The columns lie in memory as Arrow wants them (values, a bit each for what is there, offsets of what has no fixed size),
// so that Python hands them on without a copy. They lose nothing: `rebuild` makes the records again, bit for bit but for
// `crc` and `prev`, which belong to the place where a record lies. What no column can express is kept as bytes beside them:
// `payload`, of layouts that are newer or not as they should be, text that is no UTF-8, NaN other than the usual one; and
// `header`, where a record has a type, version, flag or name that the columns cannot tell. NaN itself is "nothing there".
//
// Memory: a column takes none until its first value, then 8 bytes or less a row, and the bytes of its text.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "fairlead/journal/events.hpp"
#include "fairlead/journal/format.hpp"
#include "fairlead/journal/reader.hpp"
#include "fairlead/names.hpp"
#include "fairlead/status.hpp"

namespace fairlead::journal {

// --- columns that somebody owns ---

// Row i is there: no bits means that all rows are, no values that none is.
inline bool there(const std::uint8_t* bits, std::size_t i) noexcept {
  return bits == nullptr || ((bits[i >> 3] >> (i & 7)) & 1) != 0;
}

template <class T>
struct NumberView {
  std::span<const T> values = {};
  const std::uint8_t* valid = nullptr;
  bool has(std::size_t i) const noexcept { return !values.empty() && there(valid, i); }
};

// Row i is items [offsets[i], offsets[i + 1]).
template <class T>
struct ListView {
  std::span<const std::int32_t> offsets = {};  // one more than rows, or none
  std::span<const T> items = {};
  const std::uint8_t* valid = nullptr;
  bool has(std::size_t i) const noexcept { return !offsets.empty() && there(valid, i); }
  // False where the offsets are not what they should be.
  bool get(std::size_t i, std::span<const T>& out) const noexcept {
    const std::int32_t from = offsets[i], to = offsets[i + 1];
    if (from < 0 || to < from || static_cast<std::size_t>(to) > items.size()) return false;
    out = items.subspan(static_cast<std::size_t>(from), static_cast<std::size_t>(to - from));
    return true;
  }
};
using TextView = ListView<char>;

struct TextsView {
  std::span<const std::int32_t> offsets = {};
  TextView items = {};
  const std::uint8_t* valid = nullptr;
  bool has(std::size_t i) const noexcept { return !offsets.empty() && there(valid, i); }
};

struct ColumnsView {
  std::size_t size = 0;
  NumberView<Seq> seq;
  NumberView<Time> time;
  NumberView<std::int8_t> type;               // place in column_types
  NumberView<std::int32_t> model, category;   // numbers of the journal's names
  NumberView<std::uint64_t> task;
  NumberView<std::int8_t> kind;
  NumberView<double> value;                   // forecast, decision, outcome
  ListView<double> p;
  NumberView<double> confidence, latency_ms, cost_usd;
  NumberView<std::int64_t> tokens_in, tokens_out;
  TextView error;
  NumberView<double> profit_usd;              // outcome
  NumberView<double> disagreement, uncertainty, position_scale;  // decision
  NumberView<std::int32_t> strategy;          // place in strategy_names, or after them in `given`
  NumberView<std::uint32_t> reasons;          // of a route: RouteReason
  ListView<double> weights;
  ListView<std::int32_t> voters;              // whose weights they are
  TextView id, text, regime;                  // task
  TextsView labels, slices;                   // slices: "dimension=value"
  NumberView<double> stake_usd, expires_in_s;
  TextView task_type;                         // route
  NumberView<std::int8_t> goal;
  NumberView<std::uint16_t> attempt;          // route, called
  NumberView<double> propensity, quality;
  NumberView<double> spread;                  // route, decision
  NumberView<std::int64_t> reserved_nanos;
  ListView<std::int32_t> runners_up;
  ListView<double> runners_up_quality, runners_up_cost_usd, runners_up_latency_ms;
  NumberView<std::int8_t> ended, failure;     // called
  NumberView<std::int64_t> cost_nanos;        // not there: not known
  NumberView<double> first_token_ms, retry_after_ms;
  NumberView<std::int64_t> tokens_cached, tokens_written;
  NumberView<std::uint16_t> calls;
  NumberView<std::int32_t> chosen;            // decision of version 2, which alone has it; as `strategy`
  NumberView<double> entropy, divergence, pairwise, low, high;
  NumberView<std::int8_t> status;             // run, with its error, cost_nanos, and model: who ran
  NumberView<double> duration_ms, compute_s, memory_mb;
  NumberView<std::int64_t> tokens, api_calls;
  TextView data;                              // JSON of cold events, settings and models
  TextView payload, header;                   // bytes; see above
  std::vector<std::string_view> given = {};   // names of strategies that have one of their own, each once

  // f("name", column) for each, in the order of the table.
  template <class F>
  void each(F&& f) {
    f("seq", seq), f("time", time), f("type", type), f("model", model), f("category", category), f("task", task);
    f("kind", kind), f("value", value), f("p", p), f("confidence", confidence), f("latency_ms", latency_ms);
    f("cost_usd", cost_usd), f("tokens_in", tokens_in), f("tokens_out", tokens_out), f("error", error);
    f("profit_usd", profit_usd), f("disagreement", disagreement), f("uncertainty", uncertainty);
    f("position_scale", position_scale), f("strategy", strategy), f("reasons", reasons), f("weights", weights);
    f("voters", voters), f("id", id), f("text", text), f("regime", regime), f("labels", labels), f("slices", slices);
    f("stake_usd", stake_usd), f("expires_in_s", expires_in_s), f("task_type", task_type), f("goal", goal);
    f("attempt", attempt), f("propensity", propensity), f("quality", quality), f("spread", spread);
    f("reserved_nanos", reserved_nanos), f("runners_up", runners_up), f("runners_up_quality", runners_up_quality);
    f("runners_up_cost_usd", runners_up_cost_usd), f("runners_up_latency_ms", runners_up_latency_ms);
    f("ended", ended), f("failure", failure), f("cost_nanos", cost_nanos), f("first_token_ms", first_token_ms);
    f("retry_after_ms", retry_after_ms), f("tokens_cached", tokens_cached), f("tokens_written", tokens_written);
    f("calls", calls), f("chosen", chosen), f("entropy", entropy), f("divergence", divergence);
    f("pairwise", pairwise), f("low", low), f("high", high), f("status", status), f("duration_ms", duration_ms);
    f("compute_s", compute_s), f("memory_mb", memory_mb), f("tokens", tokens), f("api_calls", api_calls);
    f("data", data), f("payload", payload), f("header", header);
  }
};

// The types that column `type` can name. Tables that are stored have the words, so one may be put anywhere.
inline constexpr Type column_types[] = {
    Type::name,          Type::gap,        Type::dropped,  Type::settings, Type::model,   Type::model_removed,
    Type::task,          Type::forecast,   Type::decision, Type::outcome,  Type::closed,  Type::route,
    Type::called,        Type::run,        Type::note,     Type::alert,    Type::training_run,
    Type::model_version, Type::deployment, Type::budget,   Type::health,   Type::routing, Type::input,
    Type::label,         Type::summary,    Type::custom};

// --- building them ---

// Grows in the order of rows; what is passed over is not there.
template <class T>
class NumberColumn {
 public:
  void set(std::size_t row, T value, std::size_t capacity) {
    if (values_.empty()) {
      values_.resize(capacity);
      valid_.resize((capacity + 7) / 8);
    }
    values_[row] = value;
    valid_[row >> 3] = static_cast<std::uint8_t>(valid_[row >> 3] | (1u << (row & 7)));
    ++count_;
  }
  NumberView<T> view(std::size_t rows) const noexcept {
    if (values_.empty()) return {};
    return {{values_.data(), rows}, count_ == rows ? nullptr : valid_.data()};
  }

 private:
  std::vector<T> values_;
  std::vector<std::uint8_t> valid_;
  std::size_t count_ = 0;
};

template <class T>
class ListColumn {
 public:
  void set(std::size_t row, std::span<const T> items, std::size_t capacity) {
    if (offsets_.empty()) {
      offsets_.resize(capacity + 1);
      valid_.resize((capacity + 7) / 8);
    }
    fill(row);
    items_.insert(items_.end(), items.begin(), items.end());
    valid_[row >> 3] = static_cast<std::uint8_t>(valid_[row >> 3] | (1u << (row & 7)));
    ++count_;
  }
  void finish(std::size_t rows) noexcept {
    if (!offsets_.empty()) fill(rows);
  }
  ListView<T> view(std::size_t rows) const noexcept {
    if (offsets_.empty()) return {};
    return {{offsets_.data(), rows + 1}, {items_.data(), items_.size()}, count_ == rows ? nullptr : valid_.data()};
  }

 private:
  void fill(std::size_t row) noexcept {
    const auto end = static_cast<std::int32_t>(items_.size());
    for (; next_ <= row; ++next_) offsets_[next_] = end;
  }
  std::vector<std::int32_t> offsets_;
  std::vector<T> items_;
  std::vector<std::uint8_t> valid_;
  std::size_t next_ = 0, count_ = 0;
};

// Lists of texts: the texts of one row after the other.
class TextsColumn {
 public:
  void begin(std::size_t row, std::size_t capacity);
  void put(std::string_view text) {
    bytes_.insert(bytes_.end(), text.begin(), text.end());
    ends_.push_back(static_cast<std::int32_t>(bytes_.size()));
  }
  void finish(std::size_t rows) noexcept;
  TextsView view(std::size_t rows) const noexcept;

 private:
  void fill(std::size_t row) noexcept;
  std::vector<std::int32_t> offsets_, ends_ = {0};
  std::vector<char> bytes_;
  std::vector<std::uint8_t> valid_;
  std::size_t next_ = 0, count_ = 0;
};

// At most `capacity` rows, and about `max_bytes` of text and lists, so that 32-bit offsets do.
class Columns {
 public:
  static constexpr std::size_t max_bytes = std::size_t{1} << 29;

  explicit Columns(std::size_t capacity) : capacity_(capacity) {}

  // One more row. May throw std::bad_alloc; then the columns are of no more use.
  void add(const Event& event, const NameTable& models, const NameTable& categories);

  bool full() const noexcept { return size_ == capacity_ || bytes_ >= max_bytes; }
  std::size_t size() const noexcept { return size_; }
  ColumnsView view() noexcept;

 private:
  bool put(NumberColumn<double>& column, double value);
  bool put(ListColumn<double>& column, std::span<const double> values);
  bool put(ListColumn<char>& column, std::string_view text);
  bool put(NumberColumn<std::int8_t>& column, std::uint8_t value, std::size_t names);
  bool task(const Event& event, const NameTable& categories);
  bool forecast(const Event& event);
  bool decision(const Event& event, const NameTable& models);
  bool outcome(const Event& event);
  bool closed(const Event& event);
  bool route(const Event& event, const NameTable& models);
  bool called(const Event& event);
  bool run(const Event& event);
  bool strategy(NumberColumn<std::int32_t>& column, Strategy strategy, std::string_view name);
  bool told(const Event& event, const NameTable& models, const NameTable& categories);

  std::size_t capacity_, size_ = 0, row_ = 0, bytes_ = 0;
  NumberColumn<Seq> seq_;
  NumberColumn<Time> time_;
  NumberColumn<std::int8_t> type_, kind_, goal_, ended_, failure_, status_;
  NumberColumn<std::int32_t> model_, category_, strategy_, chosen_;
  NumberColumn<std::uint64_t> task_;
  NumberColumn<double> value_, confidence_, latency_ms_, cost_usd_, profit_usd_, disagreement_, uncertainty_;
  NumberColumn<double> position_scale_, stake_usd_, expires_in_s_, propensity_, quality_, spread_;
  NumberColumn<double> first_token_ms_, retry_after_ms_, entropy_, divergence_, pairwise_, low_, high_;
  NumberColumn<double> duration_ms_, compute_s_, memory_mb_;
  NumberColumn<std::int64_t> tokens_in_, tokens_out_, tokens_cached_, tokens_written_, reserved_nanos_, cost_nanos_;
  NumberColumn<std::int64_t> tokens_, api_calls_;
  NumberColumn<std::uint32_t> reasons_;
  NumberColumn<std::uint16_t> attempt_, calls_;
  ListColumn<double> p_, weights_, runners_up_quality_, runners_up_cost_usd_, runners_up_latency_ms_;
  ListColumn<std::int32_t> voters_, runners_up_;
  ListColumn<char> error_, id_, text_, regime_, task_type_, data_, payload_, header_;
  TextsColumn labels_, slices_;
  NameTable given_;  // strategies
};

// The records of the columns, each padded to 8 bytes, one after the other, `crc` and `prev` 0: appended to `out`.
// `categories` are those of the journal: a task's payload has its category's name. bad_event: `bad` is the row that is not
// what columns of events can be, and `out` ends before it.
Status rebuild(const ColumnsView& columns, const NameTable& categories, std::vector<std::byte>& out, std::size_t& bad);

// --- a journal in batches of columns ---

class ColumnReader {
 public:
  // Events from `query.first` on. What the query does not want is left out of the columns, but all is read and counted.
  static Failure open(const std::string& folder, const Query& query, ColumnReader& out, Disk& disk = Disk::real());

  // Adds rows until `out` is full or the end of what is written. With `records` it appends what `rebuild` must give.
  // `out` stays as it is at the end, and where numbers are missing: then `gap()` is true, and `position` is the last
  // number before them.
  Failure next(Columns& out, std::vector<std::byte>* records);

  Seq position() const noexcept { return expected_ - 1; }  // number of the last event passed
  bool gap() const noexcept { return gap_; }
  const JournalReader& journal() const noexcept { return reader_; }

 private:
  bool wanted(const RecordHeader& header);
  JournalReader reader_;
  Query query_;
  Seq expected_ = 1;
  bool gap_ = false;
  std::span<const std::byte> left_;
  std::vector<std::int8_t> models_, categories_;  // by number: 1 wanted, 0 not, as far as they are known
};

}  // namespace fairlead::journal
