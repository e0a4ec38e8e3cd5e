// The newest settled tasks as they were answered, decided and scored: what an audit is made of.
//
// Each stands in a ring of fixed size as it was written: the outcome, the decision that was last made of the task before
// (if any), who answered what and what it cost, and the loss of every model and of every strategy. The oldest make room.
// One that would take more than a quarter of the ring is left out, and counted.
//
// Memory: the ring, taken when the first task is settled; nothing allocates after. The records of the tasks themselves are
// those of FleetTasks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/types.hpp"

namespace fairlead {

class SnapshotReader;
class SnapshotWriter;

// The decision that was last made of an open task.
struct Decided {
  bool made = false;
  Strategy strategy = default_strategy;
  Strategy chosen = default_strategy;
  std::uint32_t reasons = 0;
  Time time = 0;
  double disagreement = nan;
  double position_scale = nan;
  std::vector<double> p = {};  // binary: {P(1)}; categorical: one per label; numeric: the number
  std::vector<ModelWeight> weights = {};
  std::string name = {};  // of a strategy that is `given`

  void clear() noexcept {
    made = false;
    p.clear();
    weights.clear();
    name.clear();
  }
};

// The fixed part of an entry. Then, in this order and without padding: the answers (m x classes), their costs (m), the
// losses of the models (m) and of the strategies (n_strategies), what was decided (n_p), the weights (n_weights), all
// doubles; the models (m) and those of the weights (n_weights), i32; the name of the strategy.
struct AuditFixed {
  std::uint32_t words = 0;  // of 8 bytes, of the whole entry
  std::uint32_t m = 0;
  std::uint64_t task = 0;
  double outcome = nan;
  double profit_usd = nan;
  double cost_usd = 0.0;
  Time time = 0;  // when the outcome became known
  Time decided = 0;
  double disagreement = nan;
  double position_scale = nan;
  std::uint32_t classes = 0;
  std::uint32_t n_p = 0;
  std::uint32_t n_weights = 0;
  std::uint32_t reasons = 0;
  std::uint16_t n_name = 0;
  Kind kind = Kind::binary;
  Strategy strategy = default_strategy;
  Strategy chosen = default_strategy;
  std::uint8_t made = 0;  // whether it was decided
  std::uint8_t reserved[2] = {};
};
static_assert(sizeof(AuditFixed) == 96);

// An entry, as views.
struct Audit {
  AuditFixed fixed = {};
  std::span<const double> answers = {}, costs = {}, losses = {}, strategies = {}, p = {}, weights = {};
  std::span<const ModelId> models = {}, weighted = {};
  std::string_view name = {};
};

class Audits {
 public:
  explicit Audits(std::size_t bytes = std::size_t{1} << 20) : words_(bytes / 8) {}

  void reserve();  // the ring, where it is not there yet. May throw std::bad_alloc

  // What stands in `audit`, but for its count of words. The ring is there.
  void add(const Audit& audit) noexcept;

  std::size_t size() const noexcept { return n_; }
  std::uint64_t left_out() const noexcept { return left_out_; }
  // Calls visit(audit) for each, oldest first; its views hold during the call. May throw std::bad_alloc.
  template <class Visit>
  void each(Visit&& visit) const {
    std::vector<std::uint64_t> entry;
    std::size_t at = first_;
    for (std::size_t i = 0; i < n_; ++i) {
      at = copy(at, entry);
      visit(view(entry));
    }
  }

  // The one that was added last, where one was added since this was made or loaded. May throw std::bad_alloc
  template <class Visit>
  void newest(Visit&& visit) const {
    if (added_ == 0) return;
    std::vector<std::uint64_t> entry;
    copy(newest_, entry);
    visit(view(entry));
  }
  // How many were ever added since this was made or loaded.
  std::uint64_t added() const noexcept { return added_; }

  void save(SnapshotWriter& out) const;
  void load(SnapshotReader& in, std::size_t models);  // of so many models; leaves this as it was where the reader fails

 private:
  std::size_t copy(std::size_t at, std::vector<std::uint64_t>& out) const;  // gives where the next one is
  static Audit view(std::span<const std::uint64_t> entry) noexcept;
  std::size_t wrapped(std::size_t at) const noexcept { return at < ring_.size() ? at : at - ring_.size(); }

  std::size_t words_;
  std::vector<std::uint64_t> ring_ = {};  // an entry may run over its end to its beginning
  std::size_t first_ = 0, used_ = 0, n_ = 0;
  std::size_t newest_ = 0;  // where it begins; not known of one that was loaded
  std::uint64_t added_ = 0;
  std::uint64_t left_out_ = 0;
};

}  // namespace fairlead
