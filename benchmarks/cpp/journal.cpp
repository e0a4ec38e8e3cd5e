// What recording an event costs its caller, how many events a second become durable, and how fast they are read again.
//
//   bench_journal [events] [folder]
//
// Latency is by the time-stamp counter, each event timed on its own with a fence on either side; the row "nothing" is what
// that timing costs by itself. The timed thread has a core to itself, as a trading loop has. Prints JSON.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <new>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#if defined(__linux__)
#include <sched.h>
#include <unistd.h>
#endif

#include "fairlead/journal.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;
using Clock = std::chrono::steady_clock;

namespace {

double seconds(Clock::time_point from) { return std::chrono::duration<double>(Clock::now() - from).count(); }

double ticks_per_ns() {
  const auto start = Clock::now();
  const std::uint64_t from = bench::ticks();
  while (seconds(start) < 0.02) {
  }
  return static_cast<double>(bench::ticks() - from) / (seconds(start) * 1e9);
}

struct Event {  // 128 bytes on disk with its header of 40
  std::uint64_t task;
  double value, confidence, latency, cost;
  std::int64_t in, out;
  std::uint64_t rest[4];
};
static_assert(sizeof(Event) + sizeof(fl::journal::RecordHeader) == 128);

Event event_of(std::size_t i) {
  const auto x = static_cast<double>(i);
  return {i, x * 0.5, 0.5, x, 0.01, static_cast<std::int64_t>(i & 1023), 7, {i, i, i, i}};
}

bool first_row = true;

void row(const char* what, const char* rest, std::vector<double> ns) {
  std::sort(ns.begin(), ns.end());
  double sum = 0.0;
  for (const double x : ns) sum += x;
  const auto at = [&](double q) { return ns[static_cast<std::size_t>(q * static_cast<double>(ns.size() - 1))]; };
  std::printf("%s  {\"what\": \"%s\", %s\"events\": %zu, \"mean_ns\": %.1f, \"p50_ns\": %.1f, \"p99_ns\": %.1f, \"p999_ns\": %.1f, "
              "\"p9999_ns\": %.1f, \"max_ns\": %.1f}",
              first_row ? "" : ",\n", what, rest, ns.size(), sum / static_cast<double>(ns.size()), at(0.5), at(0.99),
              at(0.999), at(0.9999), ns.back());
  first_row = false;
}

// Each event timed on its own, one every `gap` ns (0: flat out, with pauses where the ring is full).
template <class Record>
void latency(const char* what, std::size_t n, double gap, double rate, Record&& record) {
  std::vector<double> ns(n);
  const double step = gap * rate;
  auto due = static_cast<double>(bench::ticks());
  std::uint64_t pauses = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (gap > 0.0) {
      due += step;
      while (static_cast<double>(bench::ticks()) < due) {
      }
    }
    for (;;) {
      const std::uint64_t start = bench::ticks();
      const bool done = record(i);
      const std::uint64_t end = bench::ticks();
      ns[i] = static_cast<double>(end - start) / rate;
      if (done) break;
      ++pauses;
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      due = static_cast<double>(bench::ticks());
    }
  }
  const std::string rest = "\"every_ns\": " + std::to_string(static_cast<int>(gap)) + ", \"full\": " + std::to_string(pauses) + ", ";
  row(what, rest.c_str(), std::move(ns));
}

std::unique_ptr<fl::Journal> open(const std::string& folder, fl::Overflow overflow = fl::Overflow::fail) {
  std::unique_ptr<fl::Journal> out;
  fl::journal::Recovery recovery;
  fl::JournalOptions options;
  options.overflow = overflow;
  if (const auto failure = fl::Journal::open(folder, options, out, recovery)) {
    std::fprintf(stderr, "bench_journal: %s\n", failure.what.c_str());
    std::exit(1);
  }
  return out;
}

// Without a fence in between: what a loop pays. In bursts that the ring holds; the fastest of them, as on a machine with
// other work a burst may be interrupted.
double in_a_row(fl::Journal& log, std::size_t n, bool build_only) {
  constexpr std::size_t burst = 50'000;
  double fastest = 1e300;
  Event sink = {};
  if (log.wait_written(0, -1) != fl::Status::ok) std::exit(3);
  for (std::size_t done = 0; done < n; done += burst) {
    const std::size_t m = std::min(burst, n - done);
    const auto start = Clock::now();
    for (std::size_t i = 0; i < m; ++i) {
      if (build_only) {
        sink = event_of(i);
        bench::escape(sink);
        continue;
      }
      fl::Journal::Claim claim;
      if (log.claim(fl::journal::Type::custom, static_cast<fl::Time>(i), -1, -1, sizeof(Event), claim) != fl::Status::ok) std::exit(2);
      new (claim.payload) Event(event_of(i));
      log.commit(claim);
    }
    if (m == burst || n < burst) fastest = std::min(fastest, seconds(start) / static_cast<double>(m));
    if (!build_only && log.wait_written(0, -1) != fl::Status::ok) std::exit(3);
  }
  return fastest * 1e9;
}

void durable(const std::string& folder, int producers, double span) {
  auto log = open(folder);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> refused{0};
  std::vector<std::thread> threads;
  const auto start = Clock::now();
  for (int t = 0; t < producers; ++t) {
    threads.emplace_back([&] {
      std::uint64_t full = 0;
      for (std::size_t i = 0; !stop.load(std::memory_order_relaxed); ++i) {
        fl::journal::Seq seq = 0;
        const Event event = event_of(i);
        while (log->append(fl::journal::Type::custom, static_cast<fl::Time>(i), -1, -1, std::as_bytes(std::span(&event, 1)), seq) != fl::Status::ok) {
          ++full;
          if (stop.load(std::memory_order_relaxed)) break;
          std::this_thread::sleep_for(std::chrono::microseconds(200));
        }
      }
      refused += full;
    });
  }
  while (seconds(start) < span) std::this_thread::sleep_for(std::chrono::milliseconds(5));
  const double took = seconds(start);
  const fl::Watermarks marks = log->watermarks();
  stop = true;
  for (std::thread& thread : threads) thread.join();
  if (log->wait_durable(0, -1) != fl::Status::ok) std::exit(4);
  const double whole = seconds(start);
  const auto n = static_cast<double>(log->watermarks().durable);
  std::printf(",\n  {\"what\": \"durable events a second\", \"producers\": %d, \"seconds\": %.2f, \"accepted\": %llu, "
              "\"durable\": %llu, \"durable_per_s\": %.0f, \"until_all_durable_per_s\": %.0f, \"full\": %llu}",
              producers, took, static_cast<unsigned long long>(marks.accepted), static_cast<unsigned long long>(marks.durable),
              static_cast<double>(marks.durable) / took, n / whole, static_cast<unsigned long long>(refused.load()));
}

// All records of what `durable` wrote, their checksums and their chain verified: the fastest of three.
void replay(const std::string& folder) {
  double reading = 1e300, verifying = 1e300;
  std::size_t events = 0, bytes = 0;
  for (int round = 0; round < 3; ++round) {
    const auto start = Clock::now();
    fl::journal::JournalReader reader;
    auto failure = fl::journal::JournalReader::open(folder, {}, reader);
    std::span<const std::byte> run;
    bytes = 0;
    do {
      if (!failure) failure = reader.run(run);
      if (failure) {
        std::fprintf(stderr, "bench_journal: %s\n", failure.what.c_str());
        std::exit(5);
      }
      bytes += run.size();
    } while (!run.empty());
    events = reader.position();
    reading = std::min(reading, seconds(start));
    const auto again = Clock::now();
    fl::journal::VerifyReport report;
    if (fl::journal::verify(folder, report) || !report.whole || report.events != events) std::exit(6);
    verifying = std::min(verifying, seconds(again));
  }
  const auto n = static_cast<double>(events);
  std::printf(",\n  {\"what\": \"replay, every checksum verified\", \"events\": %zu, \"read_ns\": %.1f, \"gb_per_s\": %.1f, "
              "\"verify_ns\": %.1f}", events, reading / n * 1e9, static_cast<double>(bytes) / reading / 1e9, verifying / n * 1e9);
}

}  // namespace

#if defined(__linux__)
// The core that has served the fewest interrupts of devices: a loop that counts its nanoseconds keeps off the disk's.
long quietest_core(long cores) {
  std::ifstream table("/proc/interrupts");
  std::vector<double> served(static_cast<std::size_t>(cores), 0.0);
  std::string line;
  for (std::getline(table, line); std::getline(table, line);) {
    std::istringstream words(line);
    std::string name;
    words >> name;
    if (name.empty() || name.front() < '0' || name.front() > '9') continue;  // those without a number are no devices'
    for (double& core : served) {
      double n = 0.0;
      if (words >> n) core += n;
    }
  }
  return std::min_element(served.begin(), served.end()) - served.begin();
}
#endif

// As a trading loop is run: this thread has a core to itself, all others share the rest.
void give_this_thread_a_core() {
#if defined(__linux__)
  const long cores = sysconf(_SC_NPROCESSORS_ONLN);
  if (cores < 2) return;
  const long mine = quietest_core(cores);
  cpu_set_t rest, own;
  CPU_ZERO(&rest);
  CPU_ZERO(&own);
  for (long core = 0; core < cores; ++core) CPU_SET(static_cast<std::size_t>(core), core == mine ? &own : &rest);
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    (void)sched_setaffinity(std::stoi(task.path().filename().string()), sizeof(rest), &rest);
  }
  (void)sched_setaffinity(0, sizeof(own), &own);
#endif
}

void take_all_cores() {
#if defined(__linux__)
  cpu_set_t all;
  CPU_ZERO(&all);
  for (long core = 0; core < sysconf(_SC_NPROCESSORS_ONLN); ++core) CPU_SET(static_cast<std::size_t>(core), &all);
  (void)sched_setaffinity(0, sizeof(all), &all);
#endif
}

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 1'000'000;
  if (n < 1000) {
    std::fprintf(stderr, "bench_journal: events is %zu, must be at least 1000\n", n);
    return 1;
  }
  namespace fs = std::filesystem;
  const fs::path folder = argc > 2 ? fs::path(argv[2]) : fs::temp_directory_path() / "fairlead-bench-journal";
  fs::remove_all(folder);
  fs::create_directories(folder);
  const double rate = ticks_per_ns();
  std::printf("{\"event_bytes\": 128, \"rows\": [\n");
  latency("nothing", n, 0.0, rate, [](std::size_t i) { return bench::keep(i), true; });
  Event sink = {};
  const auto build = [&](std::size_t i) {
    sink = event_of(i);
    bench::escape(sink);
    return true;
  };
  {
    auto log = open(folder / "latency");
    give_this_thread_a_core();
    const auto record = [&](std::size_t i) {
      fl::Journal::Claim claim;
      if (log->claim(fl::journal::Type::custom, static_cast<fl::Time>(i), -1, -1, sizeof(Event), claim) != fl::Status::ok) return false;
      new (claim.payload) Event(event_of(i));
      log->commit(claim);
      return true;
    };
    latency("build the event only", n, 2000.0, rate, build);
    latency("record", n, 2000.0, rate, record);
    latency("build the event only", n, 0.0, rate, build);
    latency("record", n, 0.0, rate, record);
    const double built = in_a_row(*log, n, true), recorded = in_a_row(*log, n, false);
    std::printf(",\n  {\"what\": \"in a row, unfenced\", \"events\": %zu, \"build_ns\": %.1f, \"record_ns\": %.1f}", n, built, recorded);
    if (const auto failure = log->close()) std::fprintf(stderr, "bench_journal: %s\n", failure.what.c_str());
    take_all_cores();
  }
  const double span = n >= 1'000'000 ? 5.0 : 0.05;
  durable(folder / "one", 1, span);
  replay(folder / "one");
  fs::remove_all(folder / "one");
  durable(folder / "two", 2, span);
  std::printf("\n]}\n");
  fs::remove_all(folder);
}
