// The classifier against its formulas in slow and plain C++; damaged files; any bytes as text.
#include "fairlead/task_classifier.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include "../src/task_text.hpp"

namespace fl = fairlead;
using fl::TaskClassifier;

namespace {

std::span<const std::byte> bytes_of(const std::string& s) { return {reinterpret_cast<const std::byte*>(s.data()), s.size()}; }

const std::vector<std::string> words{"book", "a", "table", "solve", "x", "equation", "who", "wrote", "prove", "send", "mail", "capital", "of"};

struct Made {
  std::vector<std::string> texts;
  std::vector<std::uint32_t> labels, sources;
};

// Texts in which the word "key<label>" says the label.
Made made(std::size_t n, std::size_t types) {
  Made out;
  std::mt19937 dice(7);
  for (std::size_t i = 0; i < n; ++i) {
    std::string text;
    for (int j = 0; j < 6; ++j) text += words[dice() % words.size()] + (dice() % 5 == 0 ? ", " : " ");
    out.labels.push_back(static_cast<std::uint32_t>(i % types));
    out.sources.push_back(static_cast<std::uint32_t>(i % 7));
    out.texts.push_back(text + "key" + std::to_string(i % types) + "s" + std::to_string(dice() % 1000));
    out.texts.back() += " key" + std::string(i % types + 1, 'z');
  }
  return out;
}

std::vector<std::string> names(std::size_t types) {
  std::vector<std::string> out;
  for (std::size_t i = 0; i < types; ++i) out.push_back("type " + std::to_string(i) + " \"\\\n\xc3\xa9");
  return out;
}

TaskClassifier fitted(std::size_t types, std::size_t n = 210, fl::TaskFit options = {}) {
  const Made m = made(n, types);
  const std::vector<std::string_view> views(m.texts.begin(), m.texts.end());
  options.bits = 10;
  TaskClassifier out;
  REQUIRE(out.fit(views, m.labels, m.sources, names(types), options) == fl::Status::ok);
  return out;
}

// Tokens of a text as the header says, byte after byte.
struct Token {
  std::string text;
  bool word;
};
std::vector<Token> tokens(const std::string& given) {
  std::vector<Token> out;
  bool inside = false;
  for (const char c : given) {
    const auto b = static_cast<unsigned char>(c);
    const bool word = std::isalnum(b) != 0 || b >= 0x80, alone = b >= 0xe3 && b <= 0xed;
    const char lower = b < 0x80 ? static_cast<char>(std::tolower(b)) : c;
    if (word && inside && !alone) {
      out.back().text += lower;
    } else if (word || (b > ' ' && b < 0x7f)) {
      out.push_back({std::string(1, lower), word});
    }
    inside = word;
  }
  return out;
}

struct Seen {
  std::vector<fl::task_text::Lexical> features;
  std::vector<std::size_t> rows;
  void lexical(const fl::task_text::Lexical& f) { features.push_back(f); }
  void structural(std::size_t row) { rows.push_back(row); }
};

std::string random_text(std::mt19937& dice, std::size_t n) {
  static const std::vector<std::string> pieces{" ", "\n", "a", "Z", "5", std::string(1, char(0)), "?", "'", "é", "日本", "한", "\xff", "{\"x\": 1}",
                                               "HelloWorld", "snake_case", "1234567", "3pm", "antidisestablishmentarianism", "😀", ".", "$\\frac{1}{2}$"};
  std::string out;
  while (out.size() < n) out += pieces[dice() % pieces.size()];
  return out;
}

}  // namespace

TEST_CASE("task text: kinds of bytes are the same in both ways, and as the C library has them") {
  std::mt19937 dice(3);
  for (int round = 0; round < 300; ++round) {
    unsigned char a[64], b[64];
    for (std::size_t i = 0; i < 64; ++i) a[i] = b[i] = static_cast<unsigned char>(round < 4 ? static_cast<std::size_t>(round) * 64 + i : dice());
    const fl::task_text::Kinds one = fl::task_text::kinds_portable(a), two = fl::task_text::kinds(b);
    CHECK(one == two);
    CHECK(std::memcmp(a, b, 64) == 0);
  }
}

TEST_CASE("task text: tokens are those of a slow reader") {
  std::mt19937 dice(4);
  for (int round = 0; round < 400; ++round) {
    const std::string text = random_text(dice, dice() % 300);
    const std::vector<Token> expected = tokens(text);
    const fl::task_text::Text view(text);
    Seen seen;
    const std::size_t found = fl::task_text::walk(view, seen);
    CHECK(found == seen.features.size());
    CHECK(seen.rows.size() == fl::task_text::groups);
    for (std::size_t g = 0; g < seen.rows.size(); ++g) CHECK(seen.rows[g] / fl::task_text::bins == g);
    std::size_t t = 0;
    std::map<std::string, std::uint64_t> hash;
    for (const auto& f : seen.features) {
      if (f.kind != fl::task_text::Kind::token) continue;
      REQUIRE(t < expected.size());
      const std::string token(reinterpret_cast<const char*>(view.bytes) + f.at, f.size);
      CHECK(token == expected[t].text);
      const auto [place, fresh] = hash.emplace(token, f.hash);
      CHECK(place->second == f.hash);  // wherever it stands
      ++t;
    }
    CHECK(t == expected.size());
  }
}

TEST_CASE("task text: hashes tell words apart, and numbers by their digits alone") {
  const auto hash = [](std::string_view text) {
    const fl::task_text::Text view(text);
    Seen seen;
    fl::task_text::walk(view, seen);
    for (const auto& f : seen.features)
      if (f.kind == fl::task_text::Kind::token) return f.hash;
    return std::uint64_t{0};
  };
  CHECK(hash("123") == hash("987"));
  CHECK(hash("123") != hash("1234"));
  CHECK(hash("3pm") == hash("11PM"));
  CHECK(hash("Book") == hash("book"));
  CHECK(hash("book ") == hash("book"));
  CHECK(hash("abcdefgh") != hash("abcdefghi"));
  std::set<std::uint64_t> rows;
  for (char a = 'a'; a <= 'z'; ++a)
    for (char b = 'a'; b <= 'z'; ++b)
      for (char c = 'a'; c <= 'z'; ++c) rows.insert(hash(std::string{a, b, c}) >> 40);
  CHECK(rows.size() > 17'000);  // of 17,576, into 2^24 rows: 9 pairs would meet by chance
}

TEST_CASE("task classifier: learns, gives probabilities, and explains all of them") {
  for (const std::size_t types : std::vector<std::size_t>{2, 3, 4, 7}) {
    const TaskClassifier c = fitted(types);
    const Made m = made(210, types);
    std::size_t right = 0;
    for (std::size_t i = 0; i < m.texts.size(); ++i) {
      std::vector<double> p(types), logits(types);
      const std::size_t best = c.classify(m.texts[i], p.data());
      CHECK(best == c.classify(m.texts[i]));
      right += best == m.labels[i] ? 1 : 0;
      double sum = 0.0, total = 0.0;
      for (const TaskClassifier::Reason& r : c.explain(m.texts[i]))
        for (std::size_t k = 0; k < types; ++k) logits[k] += r.adds[k];
      for (std::size_t k = 0; k < types; ++k) total += std::exp(logits[k]);
      for (std::size_t k = 0; k < types; ++k) {
        CHECK(p[k] == doctest::Approx(std::exp(logits[k]) / total).epsilon(1e-9));
        CHECK(p[k] <= p[best]);
        sum += p[k];
      }
      CHECK(sum == doctest::Approx(1.0).epsilon(1e-12));
    }
    CHECK(right >= 205);
  }
}

TEST_CASE("task classifier: the same texts give the same bytes; the file is read back as it was") {
  const TaskClassifier c = fitted(4);
  const std::string file = c.bytes();
  CHECK(file == fitted(4).bytes());
  TaskClassifier again;
  std::string why;
  REQUIRE(again.read(bytes_of(file), &why) == fl::Status::ok);
  CHECK(again.bytes() == file);
  CHECK(again.types() == c.types());
  std::mt19937 dice(5);
  for (int i = 0; i < 100; ++i) {
    const std::string text = random_text(dice, dice() % 400);
    double p[4], q[4];
    CHECK(c.classify(text, p) == again.classify(text, q));
    CHECK(std::memcmp(p, q, sizeof p) == 0);
  }
}

TEST_CASE("task classifier: damaged files are refused or harmless, and change nothing") {
  const std::string file = fitted(3).bytes();
  TaskClassifier c;
  for (std::size_t n = 0; n < file.size(); n += n < 700 ? 1 : 97) {
    std::string why;
    CHECK(c.read(bytes_of(file.substr(0, n)), &why) == fl::Status::not_a_policy);
    CHECK_FALSE(why.empty());
    CHECK(c.types().empty());
  }
  CHECK(c.classify("anything") == 0);
  CHECK(c.explain("anything").empty());
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string other = file;
    const std::size_t at = other.find(from);
    REQUIRE(at != other.npos);
    other.replace(at, from.size(), to);
    std::string why;
    CHECK(c.read(bytes_of(other), &why) == fl::Status::not_a_policy);
    return why;
  };
  CHECK(changed("task_classifier", "task_classifies").find("must be 'task_classifier'") != std::string::npos);
  CHECK(changed("\"features\":\"1\"", "\"features\":\"2\"").find("this version reads '1'") != std::string::npos);
  CHECK(changed("type.2", "type.9").find("other entries") != std::string::npos);
  CHECK(changed("type 1", "type 0").find("twice") != std::string::npos);
  CHECK(changed("\"bias\"", "\"bios\"").find("bias is missing") != std::string::npos);
  CHECK(changed("\"lexical\":{\"dtype\":\"I8\"", "\"lexical\":{\"dtype\":\"U8\"").find("lexical must have dtype I8") != std::string::npos);
  std::mt19937 dice(6);
  for (int i = 0; i < 3000; ++i) {
    std::string other = file;
    other[dice() % 900] = static_cast<char>(dice());
    TaskClassifier d;
    if (d.read(bytes_of(other)) != fl::Status::ok) continue;
    double p[TaskClassifier::most_types];
    CHECK(d.classify("some text, 12 words", p) < d.types().size());
  }
  std::string extreme = file;
  extreme.back() = static_cast<char>(-128);
  CHECK(c.read(bytes_of(extreme)) == fl::Status::not_a_policy);
}

TEST_CASE("task classifier: sums of the largest weights do not overflow, whatever the text") {
  TaskClassifier c = fitted(3);
  std::string file = c.bytes();
  const std::size_t weights = 3 * (1024 + TaskClassifier::structural_rows);
  for (const int sign : {1, -1}) {
    for (std::size_t i = file.size() - weights; i < file.size(); ++i) file[i] = static_cast<char>(i % 3 == 1 ? -120 * sign : 120 * sign);
    REQUIRE(c.read(bytes_of(file)) == fl::Status::ok);
    for (const char* piece : {"?", "a ", "abcde "}) {
      std::string text;
      while (text.size() < 5000) text += piece;
      std::vector<double> logits(3);
      for (const TaskClassifier::Reason& r : c.explain(text))
        for (std::size_t k = 0; k < 3; ++k) logits[k] += r.adds[k];
      double p[3], total = 0.0;
      const std::size_t best = c.classify(text, p);
      const double most = *std::max_element(logits.begin(), logits.end());
      for (std::size_t k = 0; k < 3; ++k) total += std::exp(logits[k] - most);
      for (std::size_t k = 0; k < 3; ++k) CHECK(p[k] == doctest::Approx(std::exp(logits[k] - most) / total).epsilon(1e-6));
      CHECK(logits[best] == doctest::Approx(most));
    }
  }
}

TEST_CASE("task classifier: of a long text, the head and the tail count") {
  const TaskClassifier c = fitted(3);
  std::mt19937 dice(8);
  const std::string head = random_text(dice, 3100).substr(0, TaskClassifier::head), tail = random_text(dice, 1100).substr(0, 1024);
  double p[3], q[3];
  c.classify(head + tail, p);
  c.classify(head + std::string(1'000'000, 'x') + tail, q);
  CHECK(std::memcmp(p, q, sizeof p) == 0);
  c.classify(std::string_view(), p);
  CHECK(p[0] + p[1] + p[2] == doctest::Approx(1.0));
}

TEST_CASE("task classifier: fit refuses, and then nothing has changed") {
  TaskClassifier c = fitted(3);
  const std::string before = c.bytes();
  const std::vector<std::string_view> texts{"a", "b"};
  const std::vector<std::uint32_t> labels{0, 1}, one{0}, zeros{0, 0}, far{0, 2};
  const auto fit = [&](const std::vector<std::uint32_t>& l, const std::vector<std::uint32_t>& s, std::size_t types, fl::TaskFit o = {}) {
    const fl::Status status = c.fit(texts, l, s, names(types), o);
    CHECK(c.bytes() == before);
    return status;
  };
  CHECK(fit(one, {}, 2) == fl::Status::wrong_length);
  CHECK(fit(labels, one, 2) == fl::Status::wrong_length);
  CHECK(fit(far, {}, 2) == fl::Status::out_of_range);
  CHECK(fit(zeros, {}, 2) == fl::Status::out_of_range);
  CHECK(fit(zeros, {}, 1) == fl::Status::out_of_range);
  CHECK(fit(labels, {}, 64) == fl::Status::out_of_range);
  for (auto [member, value] : {std::pair{&fl::TaskFit::l2, 0.0}, {&fl::TaskFit::l2, NAN}, {&fl::TaskFit::structure, -1.0}, {&fl::TaskFit::balance, 1.5}}) {
    fl::TaskFit o;
    o.*member = value;
    CHECK(fit(labels, {}, 2, o) == fl::Status::out_of_range);
  }
  fl::TaskFit o;
  o.bits = 21;
  CHECK(fit(labels, {}, 2, o) == fl::Status::out_of_range);
  TaskClassifier d;
  CHECK(d.fit(texts, labels, {}, names(2)) == fl::Status::ok);
  CHECK(d.classify("a") == 0);
  CHECK(d.classify("b") == 1);
}

TEST_CASE("task classifier: a feature of one source is dropped where two are asked for") {
  const std::vector<std::string_view> texts{"apple pear", "apple fig", "plum kiwi", "plum lime"};
  const std::vector<std::uint32_t> labels{0, 0, 1, 1}, sources{0, 1, 2, 3};
  fl::TaskFit o;
  o.sources = 2;
  o.folds = 0;
  TaskClassifier c;
  REQUIRE(c.fit(texts, labels, sources, {"a", "b"}, o) == fl::Status::ok);
  std::map<std::string, double> adds;
  for (const TaskClassifier::Reason& r : c.explain("apple pear plum kiwi")) adds[r.feature] = r.adds[0] - r.adds[1];
  CHECK(adds.at("apple") > 0.01);
  CHECK(adds.at("plum") < -0.01);
  CHECK(adds.at("pear") == 0.0);
  CHECK(adds.at("kiwi") == 0.0);
}
