// Sixty-four threads on one object: never a nano-dollar too much, each alert once, every sum exact. Also run under tsan.
#include <doctest/doctest.h>

#include <atomic>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include "fairlead/budget.hpp"

using namespace fairlead;

namespace {

constexpr int n_threads = 64;
constexpr int calls = 300;

template <class Work>
void together(const Work& work) {
  std::atomic<bool> go{false};
  std::vector<std::thread> threads;
  for (int t = 0; t < n_threads; ++t) {
    threads.emplace_back([&, t] {
      while (!go.load()) std::this_thread::yield();
      work(t);
    });
  }
  go = true;
  for (std::thread& thread : threads) thread.join();
}

Tally now_of(const Budgets& budgets, BudgetId id, Time now = 0) {
  Budgets::View view;
  REQUIRE(budgets.view(id, now, view) == Status::ok);
  return view.now;
}

}  // namespace

TEST_CASE("budget: no overshoot with 64 threads, and all that fits is granted") {
  Budgets budgets;
  BudgetId all = -1, model = -1;
  // 64 * 20,000 calls of 10 ask for 12,800,000.
  REQUIRE(budgets.define("all", {.limit = 7'500'000}, 0, all) == Status::ok);
  REQUIRE(budgets.define("model", {.limit = 3'000'000, .scope = Scope::model, .of = 0}, 0, model) == Status::ok);
  std::atomic<std::int64_t> granted{0}, of_model{0}, seen_over{0};
  together([&](int t) {
    for (int i = 0; i < 20'000; ++i) {
      const Where where{.model = (t + i) % 2};
      Reservation made;
      if (!budgets.reserve(where, 10, 0, made).granted()) continue;
      granted += 1;
      of_model += where.model == 0 ? 1 : 0;
      Budgets::View view;
      if (i % 500 == 0 && budgets.view(all, 0, view) == Status::ok && view.now.spent + view.now.held > 7'500'000) seen_over += 1;
      if (budgets.settle(made, 10, 0) != Status::ok) seen_over += 1;
    }
  });
  CHECK(seen_over == 0);
  CHECK(of_model <= 300'000);
  CHECK(granted == 750'000);  // to the last one: nobody was refused what there was
  CHECK(now_of(budgets, all).spent == 7'500'000);
  CHECK(now_of(budgets, all).held == 0);
  CHECK(now_of(budgets, model).spent == of_model * 10);
}

TEST_CASE("budget: with 64 threads every sum is exact, through settle, cancel and new days") {
  Budgets budgets;
  BudgetId daily = -1, ever = -1;
  REQUIRE(budgets.define("daily", {.limit = 1'000, .period = Period::daily}, 0, daily) == Status::ok);
  REQUIRE(budgets.define("ever", {.limit = max_amount}, 0, ever) == Status::ok);
  std::atomic<std::int64_t> spent{0}, settled{0}, cancelled{0}, refused{0};
  std::atomic<std::int64_t> alerts{0};
  together([&](int t) {
    std::mt19937_64 dice(static_cast<std::uint64_t>(t));
    std::vector<Alert> mine(16);
    for (int i = 0; i < calls; ++i) {
      const Time now = i / 60 * Calendar::day_length;  // five days, which the threads reach at different moments
      const auto bound = static_cast<Nanos>(1 + dice() % 20);
      Reservation made;
      if (!budgets.reserve({.model = t}, bound, now, made).granted()) {
        refused += 1;
      } else if (dice() % 4 == 0) {
        cancelled += budgets.cancel(made) == Status::ok ? 1 : 0;
      } else {
        const auto actual = static_cast<Nanos>(dice() % static_cast<std::uint64_t>(bound + 1));
        settled += budgets.settle(made, actual, now) == Status::ok ? 1 : 0;
        spent += actual;
      }
      if (budgets.any_due()) alerts += static_cast<std::int64_t>(budgets.take_alerts(mine));
    }
  });
  const Tally total = now_of(budgets, ever);
  CHECK(total.spent == spent);
  CHECK(total.held == 0);
  CHECK(total.settled == settled);
  CHECK(total.cancelled == cancelled);
  CHECK(settled + cancelled + refused == n_threads * calls);
  Budgets::View view;
  REQUIRE(budgets.view(daily, 4 * Calendar::day_length, view) == Status::ok);
  view.closed.push_back(view.now);
  Nanos by_day = 0;
  std::int64_t raised = 0;
  for (const Tally& tally : view.closed) {
    CHECK(tally.spent <= 1'000);
    CHECK(tally.held == 0);
    by_day += tally.spent;
    for (std::uint64_t bits = tally.raised; bits != 0; bits &= bits - 1) ++raised;
  }
  CHECK(by_day == spent);
  std::vector<Alert> rest(64);
  CHECK(alerts + static_cast<std::int64_t>(budgets.take_alerts(rest)) == raised);
  CHECK(raised >= 3);
}
