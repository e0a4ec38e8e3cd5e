#include <doctest/doctest.h>

#include <limits>
#include <map>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "fairlead/response_cache.hpp"

namespace fl = fairlead;
using fl::CacheKey;
using fl::ResponseCache;
using fl::Status;
using fl::Time;

namespace {

constexpr Time s = 1'000'000'000;

// By hand, a character at a time: the oracle of `normalised`.
std::string folded(const std::string& text) {
  static const std::vector<std::string> spaces = [] {
    std::vector<std::string> all{"\t", "\n", "\v", "\f", "\r", " ", "\u0085", "\u00a0", "\u1680"};
    for (const char* each : {"\u2000", "\u2001", "\u2002", "\u2003", "\u2004", "\u2005", "\u2006", "\u2007", "\u2008",
                             "\u2009", "\u200a", "\u2028", "\u2029", "\u202f", "\u205f", "\u3000"})
      all.emplace_back(each);
    return all;
  }();
  std::string out;
  bool gap = false;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t space = 0;
    for (const std::string& each : spaces)
      if (text.compare(at, each.size(), each) == 0) space = each.size();
    if (space > 0) {
      gap = true;
      at += space;
      continue;
    }
    if (gap && !out.empty()) out += ' ';
    gap = false;
    out += text[at++];
  }
  return out;
}

}  // namespace

TEST_CASE("response cache: white space is folded and trimmed, and nothing else") {
  std::mt19937_64 random(1);
  const std::vector<std::string> pieces{"a", "B", " ", "  ", "\n", "\t", "\u00a0", "\u2003", "\u3000", "\u00e9", "\u0085",
                                        "\u200b", "\u2028", "\xc2", "\xe2\x80", "word", std::string(1, '\0'), "\x1f", "?",
                                        "\x7f", "\xff"};
  std::string buffer;
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    const std::size_t n = random() % 24;
    const bool plain = round % 2 == 0;  // mostly letters and single spaces: the fast way
    for (std::size_t i = 0; i < n; ++i) text += plain && random() % 16 != 0 ? pieces[random() % 3] : pieces[random() % pieces.size()];
    REQUIRE(std::string(ResponseCache::normalised(text, buffer)) == folded(text));
  }
  CHECK(ResponseCache::normalised("Will AAPL rise?", buffer) == "Will AAPL rise?");
  CHECK(ResponseCache::normalised("", buffer).empty());
}

TEST_CASE("response cache: gives back what was put, for that model and state, until it is too old") {
  ResponseCache cache;
  std::string value;
  REQUIRE(cache.put({"gpt", "up", "Will  AAPL\nrise?"}, "yes", 0, 10 * s) == Status::ok);
  CHECK(cache.get({"gpt", "up", " Will AAPL rise? "}, 9 * s, value));
  CHECK(value == "yes");
  CHECK_FALSE(cache.get({"gpt", "up", "will aapl rise?"}, 9 * s, value));
  CHECK_FALSE(cache.get({"gpt", "down", "Will AAPL rise?"}, 9 * s, value));
  CHECK_FALSE(cache.get({"gptu", "p", "Will AAPL rise?"}, 9 * s, value));
  CHECK(cache.holds({"gpt", "up", "Will AAPL rise?"}, -9 * s));  // a late time
  CHECK_FALSE(cache.holds({"gpt", "up", "Will AAPL rise?"}, -10 * s));  // a clock set back
  CHECK_FALSE(cache.get({"gpt", "up", "Will AAPL rise?"}, 10 * s, value));
  CHECK(cache.size() == 0);
  CHECK(cache.counters().expired == 1);
  CHECK(cache.counters().hits == 1);
  CHECK(cache.counters().misses == 4);
  CHECK(cache.put({"gpt", "", "x"}, "v", 0, 0) == Status::out_of_range);
  CHECK(cache.put({"gpt", "", "x"}, "v", 0, s, std::vector<std::uint64_t>(17)) == Status::wrong_length);
  CHECK(cache.size() == 0);
  REQUIRE(cache.put({"", "", ""}, "", std::numeric_limits<Time>::min(), std::numeric_limits<Time>::max()) == Status::ok);
  CHECK_FALSE(cache.get({"", "", ""}, std::numeric_limits<Time>::max(), value));
}

TEST_CASE("response cache: tags, symbols and models are dropped at once") {
  ResponseCache cache;
  std::string value;
  const auto put = [&](const char* prompt, const char* model, std::vector<std::uint64_t> tags) {
    REQUIRE(cache.put({model, "", prompt}, prompt, 0, s, tags) == Status::ok);
  };
  put("one", "gpt", {cache.tag('s', "AAPL"), cache.tag('t', "fed")});
  put("two", "gpt", {cache.tag('s', "MSFT")});
  put("three", "local", {});
  cache.invalidate(cache.tag('t', "AAPL"));  // another kind of thing
  CHECK(cache.holds({"gpt", "", "one"}, 0));
  cache.invalidate(cache.tag('s', "AAPL"));
  CHECK_FALSE(cache.get({"gpt", "", "one"}, 0, value));
  CHECK(cache.counters().invalidated == 1);
  CHECK(cache.get({"gpt", "", "two"}, 0, value));
  put("one", "gpt", {cache.tag('s', "AAPL")});  // what comes later is not concerned
  CHECK(cache.get({"gpt", "", "one"}, 0, value));
  cache.invalidate(cache.tag('m', "gpt"));
  CHECK_FALSE(cache.get({"gpt", "", "one"}, 0, value));
  CHECK_FALSE(cache.get({"gpt", "", "two"}, 0, value));
  CHECK(cache.get({"local", "", "three"}, 0, value));
  CHECK(value == "three");
  cache.clear();
  CHECK_FALSE(cache.get({"local", "", "three"}, 0, value));
  CHECK(cache.bytes_used() == 0);
}

TEST_CASE("response cache: never another value than the newest under that key, whatever was evicted meanwhile") {
  ResponseCache cache({.limit_bytes = ResponseCache::least_bytes, .ttl = s, .seed = 1});
  std::map<std::tuple<std::string, std::string, std::string>, std::string> model;
  std::mt19937_64 random(11);
  std::string value;
  int hits = 0;
  const auto text = [&](std::size_t most) {
    std::string out(random() % most, 'x');
    for (char& c : out) c = static_cast<char>('a' + random() % 26);
    return out;
  };
  std::vector<std::tuple<std::string, std::string, std::string>> keys;
  for (int i = 0; i < 400; ++i) keys.emplace_back(text(3), text(3), text(i % 10 == 0 ? 3'000 : 300));
  for (int round = 0; round < 60'000; ++round) {
    const auto& key = keys[random() % (random() % 2 == 0 ? 40 : keys.size())];
    const CacheKey asked{std::get<0>(key), std::get<1>(key), std::get<2>(key)};
    switch (random() % 4) {
      case 0: {
        const std::string given = text(random() % 50 == 0 ? 15'000 : 500);
        REQUIRE(cache.put(asked, given, 0, s) == Status::ok);
        model[key] = given;
        break;
      }
      case 1:
        if (random() % 8 == 0) {
          cache.erase(asked);
          model.erase(key);
          REQUIRE_FALSE(cache.holds(asked, 0));
        }
        break;
      default:
        if (cache.get(asked, 0, value)) {
          ++hits;
          const auto known = model.find(key);
          REQUIRE(known != model.end());
          REQUIRE(value == known->second);
        }
    }
    REQUIRE(cache.bytes_used() <= cache.bytes_reserved());
  }
  CHECK(hits > 5'000);
  CHECK(cache.counters().evicted > 5'000);
  cache.clear();
  CHECK(cache.size() == 0);
}

TEST_CASE("response cache: a million inserts stay below the limit, and what is too big is not kept") {
  ResponseCache cache({.limit_bytes = std::size_t{4} << 20});
  CHECK(cache.bytes_reserved() <= cache.options().limit_bytes);
  CHECK(cache.bytes_reserved() > cache.options().limit_bytes * 8 / 10);
  for (int i = 0; i < 1'000'000; ++i) {
    const std::string prompt = "What is the price of number " + std::to_string(i) + "?";
    REQUIRE(cache.put({"gpt", "", prompt}, prompt, i) == Status::ok);
  }
  CHECK(cache.bytes_used() <= cache.options().limit_bytes);
  CHECK(cache.size() > 10'000);
  CHECK(cache.counters().inserted == 1'000'000);
  CHECK(cache.counters().evicted == 1'000'000 - cache.size());
  const std::string huge(std::size_t{2} << 20, 'x');
  REQUIRE(cache.put({"gpt", "", "huge"}, "small", 0) == Status::ok);
  CHECK(cache.put({"gpt", "", "huge"}, huge, 0) == Status::too_long);
  CHECK_FALSE(cache.holds({"gpt", "", "huge"}, 0));  // what was there is not the newest any more
  CHECK(cache.counters().too_big == 1);
  CHECK(cache.put({"gpt", "", huge}, "", 0) == Status::too_long);
  std::string value;
  CHECK_FALSE(cache.get({"gpt", "", huge + "  "}, 0, value));
}

TEST_CASE("response cache: prompts that come but once do not flush out those that come again") {
  ResponseCache cache({.limit_bytes = std::size_t{1} << 20});
  std::string value;
  const auto prompt = [](const char* kind, int i) { return std::string(kind) + " " + std::to_string(i); };
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 200; ++i)
      if (!cache.get({"m", "", prompt("often", i)}, 0, value)) REQUIRE(cache.put({"m", "", prompt("often", i)}, "v", 0) == Status::ok);
  }
  for (int i = 0; i < 100'000; ++i) REQUIRE(cache.put({"m", "", prompt("once", i)}, "v", 0) == Status::ok);
  int kept = 0;
  for (int i = 0; i < 200; ++i) kept += cache.holds({"m", "", prompt("often", i)}, 0);
  CHECK(kept == 200);
}
