// What a call costs a fleet in plain C++: its breakers, its latency, an answer that was paid for already.
//
//   bench_health [events]
#include <cstdlib>
#include <string>
#include <vector>

#include "fairlead/breakers.hpp"
#include "fairlead/response_cache.hpp"
#include "stopwatch.hpp"

namespace fl = fairlead;

namespace {

constexpr fl::Time start = 1'700'000'000 * fl::a_second;

std::string prompt_of(std::size_t size) {
  const std::string text = "Will the Federal Reserve cut rates at its next meeting? Answer with a probability. ";
  std::string out;
  while (out.size() < size) out += text;
  return out.substr(0, size - 1) + "?";
}

void breakers(std::size_t n) {
  fl::Breakers all;
  bench::escape(all);
  for (int i = 0; i < 16; ++i) {
    fl::ModelId id = -1;
    if (all.add("model " + std::to_string(i), i % 2 == 0 ? "openai" : "local", id) != fl::Status::ok) std::abort();
    for (int k = 0; k < 20; ++k) bench::keep(all.success(id, 0, start, 1'000'000'000));
  }
  bench::measure("Breakers: may a model be called", n, [&](std::size_t i) {
    bench::keep(all.gate(static_cast<fl::ModelId>(i % 16), start));
  });
  bench::measure("Breakers: which of 16 models may be called", n, [&](std::size_t) {
    unsigned mask = 0;
    for (fl::ModelId m = 0; m < 16; ++m) mask |= static_cast<unsigned>(all.allow(m, start)) << m;
    bench::keep(mask);
  });
  bench::measure("Breakers: a call begins and ends well", n, [&](std::size_t i) {
    const auto model = static_cast<fl::ModelId>(i % 16);
    const fl::Time now = start + static_cast<fl::Time>(i) * 1'000'000;
    fl::BreakersCall call = 0;
    bench::keep(all.begin(model, now, call));
    bench::keep(all.success(model, call, now, 500'000'000 + static_cast<fl::Time>(i % 1000) * 1'000'000));
  });
  bench::measure("Breakers: a failure of a model that is dead", n, [&](std::size_t i) {
    const fl::Time now = start + static_cast<fl::Time>(i) * 1'000'000;
    bench::keep(all.failure(3, 0, now, fl::CallFailure::timeout));
  });
  bench::measure("Breakers: the 95th percentile of latency", n, [&](std::size_t i) {
    bench::keep(all.latency(static_cast<fl::ModelId>(i % 16)).quantile(0.95));
  });
}

void cache(std::size_t n, std::size_t size) {
  fl::ResponseCache responses;
  bench::escape(responses);
  const std::string bytes = std::to_string(size) + " B";
  const std::string prompt = prompt_of(size), other = prompt_of(size - 1);
  std::string spaced = prompt;
  for (std::size_t i = 60; i < size; i += 60) spaced[spaced.find(' ', i - 20)] = '\n';  // lines
  std::string value;
  if (responses.put({"gpt-4o", "calm", prompt}, R"({"p": 0.42, "confidence": 0.7})", start) != fl::Status::ok) std::abort();
  bench::measure(("Cache: a hit, prompt of " + bytes).c_str(), n, [&](std::size_t) {
    bench::keep(responses.get({"gpt-4o", "calm", prompt}, start, value));
  });
  bench::measure(("Cache: a hit, white space to fold, " + bytes).c_str(), n, [&](std::size_t) {
    bench::keep(responses.get({"gpt-4o", "calm", spaced}, start, value));
  });
  bench::measure(("Cache: a miss, " + bytes).c_str(), n, [&](std::size_t) {
    bench::keep(responses.get({"gpt-4o", "calm", other}, start, value));
  });
}

void many(std::size_t n) {
  fl::ResponseCache responses;
  bench::escape(responses);
  const std::string tail = prompt_of(200);
  std::vector<std::string> prompts;
  for (std::size_t i = 0; i < 20'000; ++i) prompts.push_back(std::to_string(i) + tail);
  std::string value;
  bench::measure("Cache: a put, 200 B", n, [&](std::size_t i) {
    bench::keep(responses.put({"gpt-4o", "calm", prompts[i % prompts.size()]}, "0.42", start));
  });
  bench::measure("Cache: a hit among 20,000 (memory cold), 200 B", n, [&](std::size_t i) {
    bench::keep(responses.get({"gpt-4o", "calm", prompts[i * 7919 % prompts.size()]}, start, value));
  });
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t n = argc > 1 ? std::strtoull(argv[1], nullptr, 10) : 200'000;
  bench::heading();
  breakers(n);
  for (const std::size_t size : {200u, 2'000u}) cache(n, size);
  many(n);
}
