// The hot path allocates nothing after warm-up, throws nothing, and survives running out of memory unchanged.
// This file replaces the global operator new of the whole test binary; it counts, or fails, only inside a scope.
#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "fairlead/attention_layer.hpp"
#include "fairlead/attention_policy.hpp"
#include "fairlead/breakers.hpp"
#include "fairlead/budget.hpp"
#include "fairlead/calibrator.hpp"
#include "fairlead/detectors.hpp"
#include "fairlead/experts.hpp"
#include "fairlead/fleet.hpp"
#include "fairlead/glicko2.hpp"
#include "fairlead/performance.hpp"
#include "fairlead/pooling.hpp"
#include "fairlead/prompt_model.hpp"
#include "fairlead/ratings.hpp"
#include "fairlead/response_cache.hpp"
#include "fairlead/scoreboard.hpp"
#include "fairlead/spend.hpp"
#include "fairlead/task_classifier.hpp"
#include "fairlead/true_skill.hpp"
#include "fairlead/weng_lin.hpp"
#include "fairlead/windows.hpp"
#include "policy_file.hpp"

namespace fl = fairlead;
using fl::Kind;
using fl::Scoreboard;
using fl::Status;

namespace {

constexpr long never = -1;
thread_local long allocations = 0;
thread_local bool counting = false;
thread_local long fail_in = never;  // the allocation after so many more throws, and all that follow

void* allocate(std::size_t bytes, std::size_t alignment) {
  if (counting) {
    ++allocations;
    if (fail_in == 0) throw std::bad_alloc();
    if (fail_in > 0) --fail_in;
  }
  void* const memory = alignment <= alignof(std::max_align_t)
                           ? std::malloc(bytes == 0 ? 1 : bytes)
                           : std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

void* allocate_or_null(std::size_t bytes, std::size_t alignment) noexcept {
  try {
    return allocate(bytes, alignment);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

constexpr std::size_t of(std::align_val_t alignment) { return static_cast<std::size_t>(alignment); }

}  // namespace

using Bytes = std::size_t;
using Align = std::align_val_t;
using NoThrow = const std::nothrow_t&;
void* operator new(Bytes bytes) { return allocate(bytes, 1); }
void* operator new[](Bytes bytes) { return allocate(bytes, 1); }
void* operator new(Bytes bytes, Align align) { return allocate(bytes, of(align)); }
void* operator new[](Bytes bytes, Align align) { return allocate(bytes, of(align)); }
void* operator new(Bytes bytes, NoThrow) noexcept { return allocate_or_null(bytes, 1); }
void* operator new[](Bytes bytes, NoThrow) noexcept { return allocate_or_null(bytes, 1); }
void* operator new(Bytes bytes, Align align, NoThrow) noexcept { return allocate_or_null(bytes, of(align)); }
void* operator new[](Bytes bytes, Align align, NoThrow) noexcept { return allocate_or_null(bytes, of(align)); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, Bytes) noexcept { std::free(memory); }
void operator delete[](void* memory, Bytes) noexcept { std::free(memory); }
void operator delete(void* memory, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, Align) noexcept { std::free(memory); }
void operator delete(void* memory, Bytes, Align) noexcept { std::free(memory); }
void operator delete[](void* memory, Bytes, Align) noexcept { std::free(memory); }
void operator delete(void* memory, NoThrow) noexcept { std::free(memory); }
void operator delete[](void* memory, NoThrow) noexcept { std::free(memory); }
void operator delete(void* memory, Align, NoThrow) noexcept { std::free(memory); }
void operator delete[](void* memory, Align, NoThrow) noexcept { std::free(memory); }

namespace {

// Counts allocations while it lives.
class Count {
 public:
  explicit Count(long fail_after = never) {
    allocations = 0;
    fail_in = fail_after;
    counting = true;
  }
  ~Count() { counting = false; }
  Count(const Count&) = delete;
  Count& operator=(const Count&) = delete;
};

template <class Call>
long allocations_of(const Call& call) {
  {
    const Count count;
    call();
  }
  return allocations;
}

// Runs `call` with ever more allocations allowed until it no longer says out_of_memory; between failures `unchanged`
// must hold. Returns how often it failed.
template <class Call, class Unchanged>
int starve(const Call& call, const Unchanged& unchanged) {
  for (int allowed = 0; allowed < 100; ++allowed) {
    Status status;
    {
      const Count count(allowed);
      status = call();
    }
    if (status != Status::out_of_memory) {
      CHECK(status == Status::ok);
      return allowed;
    }
    INFO("allocations allowed: ", allowed);
    CHECK(unchanged());
  }
  FAIL("still out of memory");
  return -1;
}

constexpr std::size_t models = 20;

// One whole round: as many open tasks at a time as `in_flight`, of every kind.
class Loop {
 public:
  explicit Loop(Scoreboard& board) : board_(board) {
    for (std::size_t i = 0; i < models; ++i) fleet_.push_back(board.add("model-" + std::to_string(i)));
    slices_ = {board.slice("category", "crypto"), board.slice("horizon", "1d")};
  }

  // Returns whether every call was ok. Does not allocate itself.
  bool round(int t) noexcept {
    bool ok = true;
    const Kind kind = static_cast<Kind>(t % 3);
    fl::TaskHandle task;
    ok &= board_.open(kind, 5, slices_, task) == Status::ok;
    for (std::size_t i = 0; i < models; ++i) {
      const double p = 0.5 + 0.4 * std::sin(static_cast<double>(t * 31) + static_cast<double>(i));
      const double classes[5] = {p, 1.0 - p, 0.0, 0.0, 0.0};
      fl::Forecast forecast{.model = fleet_[i], .confidence = p, .latency_ms = 3.0, .cost_usd = 0.01, .time = t};
      if (kind == Kind::numeric) {
        forecast.value = p;
      } else {
        forecast.p = std::span(classes, kind == Kind::binary ? 1u : 5u);
      }
      if (i % 7 == 6) forecast.error = "timeout";
      ok &= board_.record(task, forecast) == Status::ok;
    }
    for (std::size_t s = 0; s < fl::strategy_names.size(); ++s) {
      ok &= board_.decide(task, static_cast<fl::Strategy>(s), decision_) == Status::ok;
    }
    ok &= (t % 10 == 9 ? board_.close(task) : board_.settle({.task = task, .value = 1.0, .time = t})) == Status::ok;
    return ok;
  }

 private:
  Scoreboard& board_;
  std::vector<fl::ModelId> fleet_;
  std::vector<fl::SliceId> slices_;
  fl::Decision decision_;
};

}  // namespace

using Board = Scoreboard&;
static_assert(noexcept(std::declval<Board>().open(Kind::binary, 0, std::span<const fl::SliceId>{},
                                                  std::declval<fl::TaskHandle&>())));
static_assert(noexcept(std::declval<Board>().open(fl::Task{}, std::declval<fl::TaskHandle&>())));
static_assert(noexcept(std::declval<Board>().record(fl::TaskHandle{}, std::declval<const fl::Forecast&>())));
static_assert(noexcept(std::declval<Board>().decide(fl::TaskHandle{}, fl::Strategy::hedge,
                                                    std::declval<fl::Decision&>())));
static_assert(noexcept(std::declval<Board>().settle(std::declval<const fl::Outcome&>())));
static_assert(noexcept(std::declval<Board>().close(fl::TaskHandle{})));
static_assert(noexcept(std::declval<Board>().remove(0)));
static_assert(noexcept(std::declval<Board>().history(0, 0, Kind::binary).window(1, 1)));
static_assert(noexcept(std::declval<fl::Elo&>().update(0, 1, 1.0)));
static_assert(noexcept(std::declval<fl::Elo&>().contest({}, {})));
static_assert(noexcept(std::declval<fl::Hedge&>().update({}, {}, 0)));
static_assert(noexcept(std::declval<fl::RollingWindow&>().advance(0)));
static_assert(noexcept(std::declval<fl::RollingWindow&>().moments()));
static_assert(noexcept(std::declval<fl::Windows&>().update(0, 0, 0.0)));
static_assert(noexcept(std::declval<fl::Windows&>().advance(0, 0)));
static_assert(noexcept(std::declval<fl::Windows&>().read(0, {})));
static_assert(noexcept(std::declval<fl::Windows&>().peek(0, 0, 0.0, 0.0, {})));
static_assert(noexcept(std::declval<fl::History&>().push(0.0, 0)));
static_assert(noexcept(std::declval<fl::Calibration&>().add(0.5, true)));
static_assert(noexcept(std::declval<fl::Psi&>().index({})));
static_assert(noexcept(std::declval<fl::StreamingPsi&>().index()));

TEST_CASE("no_alloc: the counter counts") {
  std::vector<double> numbers;
  CHECK(allocations_of([&] { numbers.resize(100); }) == 1);
  CHECK(allocations_of([&] { numbers.resize(1'000); }) == 1);
  CHECK(allocations_of([] {}) == 0);
}

TEST_CASE("no_alloc: breakers from the first call, the cache from the first value") {
  fl::Breakers breakers;
  fl::ModelId model = -1;
  REQUIRE(breakers.add("a", "p", model) == Status::ok);
  fl::ResponseCache cache({.limit_bytes = fl::ResponseCache::least_bytes});
  std::string value;
  value.reserve(1'000);
  std::vector<std::string> prompts;
  for (int i = 0; i < 2'000; ++i) prompts.push_back("What  is the price of number " + std::to_string(i) + "?");
  REQUIRE(cache.put({"m", "", prompts.back()}, "v", 0) == Status::ok);  // makes the buffer of normalised prompts
  bool ok = true;
  CHECK(allocations_of([&] {
          for (int i = 0; i < 2'000; ++i) {
            fl::BreakersCall call = 0;
            if (breakers.begin(model, i, call) == fl::Gate::yes) {
              ok &= (i % 3 == 0 ? breakers.failure(model, call, i, fl::CallFailure::server)
                                : breakers.success(model, call, i, 1'000 * i)) == Status::ok;
            }
            const fl::CacheKey key{"m", "", prompts[static_cast<std::size_t>(i)]};
            ok &= cache.put(key, "some value", 0) == Status::ok && cache.get(key, 0, value);
          }
        }) == 0);
  CHECK(ok);
  CHECK(cache.counters().evicted > 0);
}

TEST_CASE("no_alloc: elo and windows in the steady state") {
  fl::Elo elo;
  elo.resize(50);
  const std::vector<fl::Elo::Player> players{3, 1, 4, 15, 9, 2, 6};
  const std::vector<double> losses{0.1, 0.2, 0.3, 0.3, 0.5, 0.6, 0.0};
  bool ok = true;
  CHECK(allocations_of([&] {
          for (int t = 0; t < 1'000; ++t) {
            ok &= elo.update(0, 1, 0.5) == Status::ok;
            ok &= elo.contest(players, losses) == Status::ok;
          }
        }) == 0);

  fl::Ratings<fl::Elo> ratings(fl::Elo{}, {.undo = 10});
  for (const char* name : {"a", "b", "c"}) (void)ratings.id(name);
  const std::vector<fl::Elo::Player> all{2, 0, 1};
  const std::vector<double> ranks{1, 2, 2};
  fl::Time when = 0;
  const auto rate = [&] {
    for (int t = 0; t < 1'000; ++t) {
      ok &= ratings.update(ratings.id("a"), ratings.id("b"), 0.5, 1.0, ++when) == Status::ok;
      ok &= ratings.contest(all, ranks) == Status::ok;
      if (t % 3 == 0) ok &= ratings.undo(2) == 2;
    }
  };
  rate();
  CHECK(allocations_of(rate) == 0);

  auto by_count = fl::RollingWindow::by_count(100);
  auto by_time = fl::RollingWindow::by_time(1'000);
  fl::Time now = 0;
  const auto push = [&] {
    for (int t = 0; t < 5'000; ++t) ok &= by_count.push(t) == Status::ok && by_time.push(t, now += 7) == Status::ok;
  };
  push();
  CHECK(allocations_of(push) == 0);

  fl::StreamingPsi psi(50, 50);
  fl::KeyedPsi keyed{fl::StreamingPsi(50, 50, 40)};
  const auto key = keyed.id("k");
  fl::History history(64);
  const auto add = [&] {
    for (int t = 0; t < 500; ++t) {
      psi.add(std::sin(t));
      keyed.update(key, std::cos(t));
      ok &= t < 0 || keyed.index(key) >= -1.0 || std::isnan(keyed.index(key));
      history.push(t, t);
    }
  };
  add();
  CHECK(allocations_of(add) == 0);
  CHECK(ok);
}

TEST_CASE_TEMPLATE("no_alloc: a drift detector, from the first event", D, fl::Adwin, fl::PageHinkley, fl::Cusum, fl::Kswin,
                   fl::Ddm, fl::Eddm, fl::HddmA, fl::HddmW, fl::CutScan) {
  static_assert(noexcept(std::declval<D&>().update(0.0)));
  D detector;
  bool ok = true;
  CHECK(allocations_of([&] {
          for (int t = 0; t < 5'000; ++t) {
            const bool much = t / 500 % 2 == 1;
            ok &= detector.update((t * 31 % 10 < (much ? 7 : 2)) ? 1.0 : 0.0) == Status::ok;
          }
        }) == 0);
  CHECK(ok);
  CHECK(detector.n() == 5'000);
}

TEST_CASE("no_alloc: keyed windows with every statistic in the steady state") {
  fl::WindowsOptions options;
  options.windows = {{.count = 100}, {.span = 1'000}, {.count = 3'000}};
  for (std::size_t s = 0; s < fl::stat_names.size(); ++s) options.stats.push_back({static_cast<fl::Stat>(s), 0.9});
  fl::Windows windows(options);
  for (const char* key : {"a", "b"}) windows.handle(key);
  std::vector<double> out(windows.cells());
  fl::Time now = 0;
  bool ok = true;
  const auto run = [&] {
    for (int t = 0; t < 12'000; ++t) {
      const double x = std::sin(t) * (t % 1'000 == 0 ? 1e12 : 1.0);  // spikes, so that sums are rebuilt too
      ok &= windows.update(t % 2, now += 7, x, std::cos(t)) == Status::ok;
      ok &= windows.read(t % 2, out) == Status::ok;
      ok &= windows.peek(t % 2, now + 50, x, 1.0, out) == Status::ok;
      ok &= windows.advance(t % 2, now + 1) == Status::ok;
    }
  };
  run();
  run();
  CHECK(allocations_of(run) == 0);
  CHECK(ok);
}

TEST_CASE("no allocation: budgets and spend, once as many calls were open and every id was seen on the day") {
  fl::Budgets budgets;
  fl::Spend spend;
  fl::BudgetId id = -1;
  for (const fl::Scope scope : {fl::Scope::all, fl::Scope::model, fl::Scope::category, fl::Scope::type}) {
    const std::string name = std::to_string(static_cast<int>(scope));
    REQUIRE(budgets.define(name, {.limit = 2000, .period = fl::Period::daily, .scope = scope}, 0, id) == Status::ok);
  }
  constexpr fl::Where where{.model = 0, .tier = 1, .category = 0, .type = 0};
  bool ok = true;
  const auto loop = [&](fl::Time from) {
    std::array<fl::Reservation, 8> open;
    std::array<fl::Alert, 4> alerts;
    for (int i = 0; i < 100; ++i) {
      const fl::Time now = from + i % 10 * fl::Calendar::day_length;  // some of it exhausted, days that come and go
      for (fl::Reservation& one : open) (void)budgets.reserve(where, 50, now, one);
      for (const fl::Reservation& one : open) (void)budgets.settle(one, 60, now);
      const fl::Nanos cost = 60;
      ok = ok && spend.add(where, now, &cost, {.input = 5, .output = 1}) == Status::ok;
      ok = ok && budgets.charge(where, 1, now) == Status::ok;
      if (i % 3 == 0) (void)budgets.take_alerts(alerts);
    }
  };
  loop(0);
  CHECK(allocations_of([&] { loop(0); }) == 0);
  CHECK(ok);
  CHECK(budgets.held().empty());
}

TEST_CASE("out of memory: a reservation, a budget and a call that cannot be kept leave no trace") {
  constexpr fl::Where where{.model = 3, .tier = 1, .category = 2, .type = 0};
  fl::Budgets budgets;
  fl::BudgetId id = -1;
  REQUIRE(budgets.define("a budget with quite a long name", {.limit = 100}, 0, id) == Status::ok);
  std::string before = budgets.snapshot();
  const auto unchanged = [&] { return budgets.snapshot() == before; };
  fl::Reservation made;
  CHECK(starve([&] { return budgets.take(where, 5, 0, made); }, unchanged) > 0);
  before = budgets.snapshot();
  CHECK(starve([&] { return budgets.define("another one with a long name", {.limit = 1, .scope = fl::Scope::tier, .of = 1}, 0, id); },
               unchanged) > 0);
  fl::Spend spend;
  const fl::Nanos cost = 5;
  CHECK(starve([&] { return spend.add(where, 0, &cost); }, [&] { return spend.total(fl::Scope::all, 0).calls == 0; }) > 0);
  CHECK(spend.total(fl::Scope::type, 0).calls == 1);
}

TEST_CASE("out of memory: a sample of a key changes nothing") {
  fl::WindowsOptions options;
  options.windows = {{.count = 1'000}};
  options.stats = {{fl::Stat::mean}, {fl::Stat::max}, {fl::Stat::quantile, 0.5}};
  fl::Windows windows(options);
  windows.handle("a");
  std::vector<double> out(windows.cells());
  int failed = 0;
  for (int t = 0; t < 700; ++t) {
    const auto unchanged = [&] {
      const auto counters = windows.counters(0);
      return counters.held == static_cast<std::size_t>(t) && counters.samples == counters.held;
    };
    failed += starve([&] { return windows.update(0, t, t); }, unchanged);
    CHECK(windows.read(0, out) == Status::ok);
    CHECK(out[0] == doctest::Approx(0.5 * t));
    CHECK(out[1] == t);
  }
  CHECK(failed > 0);
}

TEST_CASE_TEMPLATE("no_alloc: matches, contests and periods of players who are known", S, fl::Glicko2, fl::WengLin, fl::TrueSkill) {
  S system;
  system.resize(5);
  const std::vector<fl::Player> all{2, 0, 1, 4, 3}, i{0, 1}, j{1, 2};
  const std::vector<double> ranks{1, 2, 2, 0, 5}, score{1.0, 0.5};
  CHECK(allocations_of([&] {
          for (int t = 0; t < 100; ++t) {
            system.apply(0, 1, 0.5, 1.0, t);
            system.apply_contest(all, ranks, 0.5, t);
            if constexpr (fl::HasPeriods<S>) system.apply_period({i, j, score, {}, {}}, t);
          }
        }) == 0);
}

TEST_CASE("no_alloc: rounds of experts, and pools of one event") {
  const std::vector<double> x{0.2, 0.7, 0.4, 0.9};
  const std::vector<std::uint8_t> awake{1, 1, 0, 1};
  bool ok = true;
  double forecast = 0.0;
  for (const auto rule : {fl::ExpertRule::hedge, fl::ExpertRule::boa, fl::ExpertRule::ml_poly}) {
    fl::Experts experts({.rule = rule, .fixed_share = 0.01, .floor = 0.05, .cap = 0.8});
    for (int k = 0; k < 4; ++k) experts.add();
    CHECK(allocations_of([&] {
            for (int t = 0; t < 500; ++t) ok &= experts.update(x, t % 2, awake, forecast) == Status::ok;
            ok &= experts.weights(awake).size() == 4;
          }) == 0);
  }
  for (const auto method : {fl::pooling::Method::linear, fl::pooling::Method::log, fl::pooling::Method::trimmed,
                            fl::pooling::Method::median, fl::pooling::Method::vote}) {
    fl::pooling::Options options;
    options.method = method;
    CHECK(allocations_of([&] { ok &= fl::pooling::pool(x, 1, 4, 1, options, &forecast) == fl::pooling::Fault::none; }) == 0);
  }
  CHECK(ok);
}

TEST_CASE("no_alloc: a calibrator, from the first answer, for any number of classes") {
  const std::vector<double> three{0.1, 0.2, 0.7}, ten(10, 0.1);
  std::vector<double> out(10);
  fl::Calibrator binary, few, many;
  CHECK(allocations_of([&] {
          for (int t = 0; t < 500; ++t) {
            binary.update(0.9, t % 2 == 0, t);
            few.update(three, static_cast<std::size_t>(t % 3), t);
            many.update(ten, 0, t);
            out[0] = binary.adjust(0.8);
            few.adjust(three, std::span(out).first(3));
            many.adjust(ten, out);
          }
        }) == 0);
  CHECK(binary.helps());
  CHECK(few.helps());
}

TEST_CASE_TEMPLATE("no_alloc: attention, forward and backward, once the workspace has seen the largest call", T, float, double) {
  constexpr std::size_t batch = 3, heads = 2, n = 20, depth = 24;
  constexpr fl::Stride row = depth, head = row * n, whole = head * heads;
  std::vector<T> q(batch * heads * n * depth, T(0.1)), out(q), dq(q), dk(q), dv(q);
  std::vector<T> bias(n * n, T(0.2)), dbias(bias), lse(batch * heads * n), weights(batch * heads * n * n);
  const std::vector<std::uint8_t> mask(n * n, 1);
  const auto tensor = [&](std::vector<T>& x) { return fl::AttentionTensor{x.data(), whole, head, row}; };
  fl::Attention a;
  a.number = std::is_same_v<T, double> ? fl::Number::f64 : fl::Number::f32;
  a.bias_number = a.number;
  a.scale = 0.2f;
  a.q = a.k = a.v = tensor(q);
  a.out = tensor(out);
  a.bias = {bias.data(), 0, 0, n, 1};
  a.mask = {mask.data(), 0, 0, n, 1};
  a.lse = lse.data();
  const fl::AttentionGradients g{tensor(q), tensor(dq), tensor(dk), tensor(dv), dbias.data()};
  fl::AttentionWorkspace workspace;
  std::size_t threads = 1;
  const auto all = [&] {
    bool ok = true;
    for (const std::size_t rows : {n, n / 2}) {  // a smaller call needs nothing more
      a.shape = {batch, heads, heads, rows, rows, depth, depth};
      const std::int64_t few[] = {0, 3, static_cast<std::int64_t>(rows)};
      a.query_counts = a.key_counts = few;
      for (const auto which : {fl::AttentionWeights::none, fl::AttentionWeights::each, fl::AttentionWeights::mean}) {
        a.which = which;
        a.weights = which == fl::AttentionWeights::none ? nullptr : weights.data();
        ok = ok && fl::attention_forward(a, workspace, threads) == Status::ok;
      }
      ok = ok && fl::attention_backward(a, g, workspace, threads) == Status::ok;
    }
    return ok;
  };
  for (threads = 1; threads <= 3; threads += 2) {  // only the caller's allocations are counted: no thread of ours makes any
    REQUIRE(all());
    bool ok = false;
    CHECK(allocations_of([&] { ok = all(); }) == 0);
    CHECK(ok);
  }
}

TEST_CASE("no_alloc: a policy's forward, after the largest observation") {
  std::mt19937 dice(1);
  const fl::test::Tensors made = fl::test::tensors(dice, 7, 24, 4, 3);
  fl::AttentionPolicy policy;
  REQUIRE(policy.read(fl::test::file(made, {{"fairlead", "attention_policy"}, {"heads", "4"}, {"pooled", "value"}})) == Status::ok);
  constexpr std::size_t most = 40;
  const std::vector<float> x(most * 7, 0.3f), c(most * most, 0.5f);
  std::vector<float> out(policy.outputs(most)), weights(policy.layers() * 4 * most * most);
  fl::AttentionPolicyWorkspace workspace;
  const auto all = [&] {
    bool ok = true;
    for (const std::size_t assets : {most, std::size_t{1}, std::size_t{17}}) {
      for (const std::size_t count : {assets, assets / 2}) {
        ok = ok && policy.forward({x.data(), assets, count, c.data()}, workspace, out.data(), weights.data()) == Status::ok;
        ok = ok && policy.forward({x.data(), assets, count, c.data()}, workspace, out.data()) == Status::ok;
      }
    }
    return ok;
  };
  REQUIRE(policy.forward({x.data(), most, most, c.data()}, workspace, out.data(), weights.data()) == Status::ok);
  bool ok = false;
  CHECK(allocations_of([&] { ok = all(); }) == 0);
  CHECK(ok);
}

TEST_CASE("no_alloc: a layer of attention, forward alone, after its largest call") {
  constexpr std::size_t embed = 24, most = 33, heads = 4;
  const std::vector<float> w(3 * embed * embed, 0.1f), x(2 * most * embed, 1.0f), bias(most * most, 0.3f);
  std::vector<float> out(x.size()), heat(2 * heads * most * most);
  for (const auto norm : {fl::LayerNorm::none, fl::LayerNorm::before, fl::LayerNorm::after}) {
    fl::AttentionLayer<float> layer;
    REQUIRE(layer.open({embed, heads, norm, true, 1e-5}) == Status::ok);
    REQUIRE(layer.pack({w.data(), w.data(), w.data(), w.data(), nullptr, nullptr}, 0, false) == Status::ok);
    fl::AttentionLayerWorkspace workspace;
    const auto run = [&](std::size_t n, bool context) {
      bool ok = true;
      for (const auto which : {fl::AttentionWeights::none, fl::AttentionWeights::each, fl::AttentionWeights::mean}) {
        fl::AttentionLayerCall<float> call;
        call.batch = 2;
        call.queries = n;
        call.keys = most;
        call.input = x.data();
        call.context = context ? x.data() : nullptr;
        call.bias = {bias.data(), 0, 0, 0, context ? 1 : 0};
        call.out = out.data();
        call.which = which;
        call.weights = which == fl::AttentionWeights::none ? nullptr : heat.data();
        ok = ok && layer.forward(call, workspace, 2) == Status::ok;
      }
      return ok;
    };
    REQUIRE(run(most, false));
    REQUIRE(run(most, true));
    bool ok = false;
    CHECK(allocations_of([&] { ok = run(most, true) && run(most, false) && run(1, true) && run(5, false); }) == 0);
    CHECK(ok);
  }
}

TEST_CASE("no_alloc: a layer of attention, forward and backward, after its first call") {
  constexpr std::size_t embed = 16, n = 9;
  const std::vector<float> w(3 * embed * embed, 0.1f), x(n * embed, 1.0f);
  std::vector<float> out(n * embed), gradient(3 * embed * embed), into(n * embed);
  fl::AttentionLayer<float> layer;
  REQUIRE(layer.open({embed, 4, fl::LayerNorm::after, true, 1e-5}) == Status::ok);
  const fl::AttentionLayerWeights<float> weights{w.data(), nullptr, w.data(), nullptr, nullptr, nullptr};
  REQUIRE(layer.pack(weights) == Status::ok);
  std::vector<float> saved(layer.saved(1, n, n));
  fl::AttentionLayerCall<float> call;
  call.queries = n;
  call.input = x.data();
  call.out = out.data();
  fl::AttentionLayerGradients<float> gradients;
  gradients.out = x.data();
  gradients.input = into.data();
  gradients.in_weight = gradient.data();
  fl::AttentionLayerWorkspace workspace;
  const auto all = [&] {
    call.saved = nullptr;
    bool ok = layer.pack(weights) == Status::ok && layer.forward(call, workspace) == Status::ok;
    call.saved = saved.data();
    ok = ok && layer.forward(call, workspace) == Status::ok && layer.backward(call, gradients, workspace) == Status::ok;
    return ok;
  };
  REQUIRE(all());
  bool ok = false;
  CHECK(allocations_of([&] { ok = all(); }) == 0);
  CHECK(ok);
}

TEST_CASE("no_alloc: the type of a task, from the first call") {
  const std::vector<std::string_view> texts{"one two", "three four"};
  const std::vector<std::uint32_t> labels{0, 1};
  for (const std::size_t types : std::vector<std::size_t>{2, 5}) {
    std::vector<std::string> names;
    std::vector<std::string_view> all;
    std::vector<std::uint32_t> each;
    for (std::size_t i = 0; i < types; ++i) {
      names.push_back("type " + std::to_string(i));
      all.push_back(texts[i % 2]);
      each.push_back(static_cast<std::uint32_t>(i));
    }
    fl::TaskClassifier classifier;
    REQUIRE(classifier.fit(all, each, {}, names) == Status::ok);
    const std::string text(100'000, 'x');
    double p[5];
    CHECK(allocations_of([&] { classifier.classify("three apples?", p); }) == 0);
    CHECK(allocations_of([&] { classifier.classify(text, p); }) == 0);
  }
}

TEST_CASE("no_alloc: a model of the prompt predicts") {
  const std::vector<std::string_view> texts{"who is it", "what was this", "book a table", "prove the lemma"};
  const std::vector<double> quality{1, 0, 0, 1, 1, 1, 0, 0.5}, penalties{1.0}, shrinks{1.0};
  const std::vector<std::size_t> neighbours{2};
  const fl::LinearPromptFit a = fl::fit_linear_prompt_model(texts, quality, 2, 17, penalties, 2);
  const fl::NearestPromptFit b = fl::fit_nearest_prompt_model(texts, quality, 2, 10, neighbours, shrinks);
  fl::LinearPromptModel linear;
  fl::NearestPromptModel nearest;
  REQUIRE(linear.assign({"a", "b"}, a.idf, a.weights, a.mean, a.explained) == Status::ok);
  REQUIRE(nearest.assign({"a", "b"}, b.idf, b.texts.starts, b.texts.rows, b.quality, b.mean, b.explained, b.neighbours, b.shrink) == Status::ok);
  fl::PromptScratch scratch;
  scratch.resize(nearest.scratch_texts());
  const std::string text(100'000, 'x');
  double p[2];
  for (const fl::PromptModel* model : {static_cast<const fl::PromptModel*>(&linear), static_cast<const fl::PromptModel*>(&nearest)}) {
    CHECK(allocations_of([&] { model->predict("prove three apples?", p, scratch); }) == 0);
    CHECK(allocations_of([&] { model->predict(text, p, scratch); }) == 0);
  }
}

TEST_CASE("no_alloc: open, record, decide, settle and close once the rings are full") {
  Scoreboard board({.history = 64, .psi_reference = 30, .psi_window = 30});
  Loop loop(board);
  bool ok = true;
  for (int t = 0; t < 150; ++t) ok &= loop.round(t);
  CHECK(allocations_of([&] {
          for (int t = 150; t < 650; ++t) ok &= loop.round(t);
        }) == 0);
  CHECK(ok);
}

TEST_CASE("no_alloc: tasks of a fleet, from their record to their outcome, once slots are used again") {
  fl::Fleet fleet({.history = 64, .psi_reference = 30, .psi_window = 30, .remember = 8});
  for (const char* name : {"a", "b", "c"}) REQUIRE(fleet.add({.name = name}) == Status::ok);
  const std::string_view labels[] = {"up", "down"};
  const fl::Dimension horizon{"horizon", "1d"};
  fl::Decision decision;
  bool ok = true, news = false;
  char id[] = "task-000000";
  int t = 0;
  const auto rounds = [&] {
    for (int end = t + 300; t < end; ++t) {
      for (int digit = 10, left = t; digit > 4; --digit, left /= 10) id[digit] = static_cast<char>('0' + left % 10);
      const fl::Task task{.id = id, .kind = Kind::categorical, .category = "rates", .labels = labels,
                          .slices = std::span(&horizon, 1), .time = t};
      for (fl::ModelId model = 0; model < 3; ++model) {
        const double p[] = {0.2 * model, 1.0 - 0.2 * model};
        ok &= fleet.record(task, {.model = model, .p = p, .cost_usd = 0.01, .time = t}) == Status::ok;
      }
      ok &= fleet.decide(id, fl::Strategy::hedge, decision, t) == Status::ok;
      ok &= (t % 7 == 0 ? fleet.close(id, t, news) : fleet.settle(id, t % 2, t, 0.5, news)) == Status::ok;
    }
  };
  rounds();
  CHECK(allocations_of(rounds) == 0);
  CHECK(ok);
}

TEST_CASE("out of memory: a fleet's calls change nothing") {
  fl::Fleet fleet({.history = 8, .psi_reference = 2, .psi_window = 2, .remember = 2});
  REQUIRE(fleet.add({.name = "a model whose name is long"}) == Status::ok);
  const double p[] = {0.25};
  bool news = false;
  REQUIRE(fleet.record(fl::Task{.id = "q", .category = "c"}, {.model = 0, .p = p}) == Status::ok);  // the slice is there
  REQUIRE(fleet.close("q", 0, news) == Status::ok);
  for (int t = 0; t < 4; ++t) {
    const std::string id = "a task whose id is long enough to be kept elsewhere " + std::to_string(t);
    const std::string before = fleet.state();
    // Where memory is short between its two events, the task is open and unanswered; that is a state too.
    const auto known = [&] { return fleet.state() == before || fleet.tasks().n_open() == 1; };
    starve([&] { return fleet.record(fl::Task{.id = id, .category = "c"}, {.model = 0, .p = p}); }, known);
    const std::string open = fleet.state();
    starve([&] { return fleet.settle(id, 1.0, t, fl::nan, news); }, [&] { return fleet.state() == open; });
    CHECK(news);
  }
  CHECK(fleet.board().score(0).n == 4);
}

TEST_CASE("no_alloc: performance, once its panes have gone round; and where memory is short nothing changes") {
  fl::Performance performance;
  const fl::PlaceId place = performance.place("rates", "calm", fl::Expiry::day);
  const fl::ModelId two[] = {0, 1};
  const double p[] = {0.25, 0.75};
  const fl::Marks marks[] = {fl::mark_classes(p, 1, true), fl::mark_classes(p, 1, true)};
  constexpr fl::Time hour = 3'600'000'000'000;
  fl::Time now = 0;
  bool ok = true;
  const auto lived = [&](int hours) {
    for (int i = 0; i < hours; ++i) {
      now += hour;
      for (const fl::ModelId model : two) {
        ok &= performance.call(model, place, now, {.latency_ms = 100.0 + i % 40, .confidence = 0.5}) == Status::ok;
      }
      ok &= performance.settled(place, now, Kind::binary, 2, two, marks) == Status::ok;
    }
  };
  lived(40 * 24);
  CHECK(allocations_of([&] { lived(40 * 24); }) == 0);
  CHECK(ok);
  const auto bytes = [&] {
    fl::SnapshotWriter out("performance", 1);
    performance.save(out);
    return out.finish();
  };
  for (fl::ModelId model = 2; model < 30; ++model) {
    const std::string before = bytes();
    const auto unchanged = [&] { return bytes() == before; };
    starve([&] { return performance.call(model, place, now, {.latency_ms = 5.0 * model}); }, unchanged);
    const std::string called = bytes();
    starve([&] { return performance.settled(place, now, Kind::binary, 2, {&model, 1}, {marks, 1}); },
           [&] { return bytes() == called; });
  }
}

TEST_CASE("no_alloc: with default options, from the first call after reserve") {
  Scoreboard board;
  Loop loop(board);
  bool ok = true;
  for (int t = 0; t < 3; ++t) ok &= loop.round(t);  // sizes the Decision, which is the caller's
  for (const Kind kind : {Kind::binary, Kind::categorical, Kind::numeric}) board.reserve(kind, 4, 8);
  CHECK(allocations_of([&] {
          for (int t = 3; t < 1'500; ++t) ok &= loop.round(t);
        }) == 0);
  CHECK(ok);
}

TEST_CASE("no_alloc: a known name is found without allocating, in a record too") {
  Scoreboard board;
  const fl::Dimension horizon{"horizon", "1d"};
  const fl::Task task{.id = "q", .category = "politics", .regime = "calm", .slices = std::span(&horizon, 1)};
  fl::TaskHandle handle;
  bool ok = true;
  const auto once = [&] { ok &= board.open(task, handle) == Status::ok && board.close(handle) == Status::ok; };
  once();
  CHECK(board.models().find("nobody") == fl::NameTable::absent);
  CHECK(allocations_of(once) == 0);
  CHECK(ok);
}

TEST_CASE_TEMPLATE("out of memory: a batch of events changes nothing in a drift detector", D, fl::Adwin, fl::Cusum) {
  std::vector<double> x(3'000);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = i / 500 % 2 == 1 ? 10.0 : 0.0;
  D detector;
  const std::string before = detector.snapshot();
  std::vector<std::int64_t> drifts, warnings;
  const auto batch = [&] {
    std::size_t bad = 0;
    drifts = {};
    warnings = {};
    return detector.update_many(x, drifts, warnings, bad);
  };
  CHECK(starve(batch, [&] { return drifts.empty() && warnings.empty() && detector.snapshot() == before; }) > 1);
  CHECK(drifts.size() > 1);
  CHECK(detector.n() == x.size());
}

TEST_CASE("out of memory: opening changes nothing") {
  Scoreboard board;
  for (int i = 0; i < 3; ++i) board.add("model-" + std::to_string(i));
  const std::string_view labels[] = {"a", "b", "c", "d"};
  const fl::Task task{
      .id = "q", .kind = Kind::categorical, .category = "a category whose name is long", .labels = labels};
  fl::TaskHandle handle;
  CHECK(starve([&] { return board.open(task, handle); },
               [&] { return board.open_tasks() == 0 && handle == fl::TaskHandle{}; }) > 0);
  CHECK(board.open_tasks() == 1);
  CHECK(board.n_slices() == 2);
  const double p[] = {0.1, 0.2, 0.3, 0.4};
  CHECK(board.record(handle, {.model = 2, .p = p}) == Status::ok);
}

TEST_CASE("out of memory: recording changes nothing") {
  Scoreboard board({.history = 8, .psi_reference = 2, .psi_window = 2});
  const fl::ModelId model = board.add("model");
  const double p[] = {0.25};
  const double q[] = {0.75};
  for (int t = 0; t < 3; ++t) {  // an empty drift reference, one about to be complete, and a complete one
    INFO("task ", t);
    fl::TaskHandle handle;
    REQUIRE(board.open(Kind::binary, 0, {}, handle) == Status::ok);
    fl::Decision decision;
    const auto unanswered = [&] {
      return board.calls(model).answered == 0u + static_cast<unsigned>(2 * t) &&
             board.calls(model).cost_usd == 0.02 * t &&
             board.decide(handle, fl::Strategy::mean, decision) == Status::no_forecast;
    };
    starve([&] { return board.record(handle, {.model = model, .p = p, .cost_usd = 0.01}); }, unanswered);
    const auto first_stands = [&] {
      return board.decide(handle, fl::Strategy::mean, decision) == Status::ok && decision.p[0] == 0.25;
    };
    CHECK(first_stands());
    starve([&] { return board.record(handle, {.model = model, .p = q, .cost_usd = 0.01}); }, first_stands);
    CHECK(board.close(handle) == Status::ok);
  }
}

TEST_CASE("out of memory: deciding and settling still work") {
  Scoreboard board;
  const fl::ModelId a = board.add("a"), b = board.add("b");
  const double p[] = {0.25};
  fl::TaskHandle handle;
  REQUIRE(board.open(Kind::binary, 0, {}, handle) == Status::ok);
  REQUIRE(board.record(handle, {.model = a, .p = p}) == Status::ok);
  REQUIRE(board.record(handle, {.model = b, .p = p}) == Status::ok);
  fl::Decision decision;
  CHECK(starve([&] { return board.decide(handle, fl::Strategy::hedge, decision); }, [] { return true; }) > 0);
  CHECK(decision.weights.size() == 2);
  Status settled;
  {
    const Count count(0);  // the ring of recent losses cannot be had: the outcome counts all the same
    settled = board.settle({.task = handle, .value = 1.0, .time = 1});
  }
  CHECK(settled == Status::ok);
  CHECK(board.score(a).n == 1);
  CHECK(board.open_tasks() == 0);
}

TEST_CASE("out of memory: adding models and slices changes nothing that can be seen") {
  Scoreboard board;
  board.add("first");
  board.slice("category", "first");
  for (int allowed = 0;; ++allowed) {
    bool failed = false;
    {
      const Count count(allowed);
      try {
        board.add("a second model with a long name");
        board.slice("category", "a second value with a long name");
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    CHECK(board.rating(0) == 1500.0);
    REQUIRE(allowed < 200);
    if (!failed) break;
    CHECK(board.models().size() <= 2);
    CHECK(board.n_slices() == 2);
    CHECK(board.rating(0, 1) == 1500.0);
  }
  CHECK(board.models().size() == 2);
  CHECK(board.n_slices() == 3);
  CHECK(board.value(2) == "a second value with a long name");
  CHECK(board.rating(1, 2) == 1500.0);
}

TEST_CASE("out of memory: a scoreboard that could not add a model settles and is restored as before") {
  for (int allowed = 0;; ++allowed) {
    Scoreboard board, calm;
    for (Scoreboard* one : {&board, &calm}) {
      one->add("first");
      one->add("second");
    }
    bool failed = false;
    {
      const Count count(allowed);
      try {
        board.add("a third model with a long name");
      } catch (const std::bad_alloc&) {
        failed = true;
      }
    }
    REQUIRE(allowed < 200);
    if (!failed) break;
    const double p[] = {0.25};
    for (Scoreboard* one : {&board, &calm}) {
      fl::TaskHandle handle;
      REQUIRE(one->open(Kind::binary, 0, {}, handle) == Status::ok);
      for (const fl::ModelId model : {0, 1}) REQUIRE(one->record(handle, {.model = model, .p = p}) == Status::ok);
      REQUIRE(one->settle({.task = handle, .value = 1.0, .time = 1}) == Status::ok);
    }
    Scoreboard restored;
    REQUIRE(Scoreboard::restore(board.snapshot(), restored) == Status::ok);
    CHECK(restored.snapshot() == board.snapshot());
    for (Scoreboard* one : {&board, &restored, &calm}) one->add("a third model with a long name");
    CHECK(restored.snapshot() == board.snapshot());
    CHECK(restored.rating(0) == calm.rating(0));
    CHECK(restored.rating(2) == 1500.0);
  }
}

TEST_CASE("out of memory: restoring a scoreboard says so and changes nothing") {
  Scoreboard board;
  board.add("a model with quite a long name");
  board.slice("category", "a value with quite a long name");
  const std::string bytes = board.snapshot();
  Scoreboard out;
  out.add("another model");
  const std::string before = out.snapshot();
  for (int allowed = 0;; ++allowed) {
    Status status;
    {
      const Count count(allowed);
      status = Scoreboard::restore(bytes, out);
    }
    REQUIRE(allowed < 500);
    if (status == Status::ok) break;
    CHECK(status == Status::out_of_memory);
    CHECK(out.snapshot() == before);
  }
  CHECK(out.snapshot() == bytes);
}
