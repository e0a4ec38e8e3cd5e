// What a Calibrator promises: nothing without evidence, less error where there is something to learn, valid
// probabilities for any number of classes, and snapshots that go on. The Python tests hold it against a definition.
#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "fairlead/calibration.hpp"
#include "fairlead/calibrator.hpp"
#include "fairlead/snapshot.hpp"

using fairlead::Calibration;
using fairlead::Calibrator;
using fairlead::SnapshotReader;
using fairlead::SnapshotWriter;
using fairlead::Status;
using Method = fairlead::Calibrator::Method;

namespace {

constexpr std::string_view family = "calibrator";

std::string saved(const Calibrator& calibrator) {
  SnapshotWriter out(family, 1);
  calibrator.save(out);
  return out.finish();
}

Status restore(const std::string& bytes, Calibrator& out) {
  SnapshotReader in(bytes, family, 1);
  out.load(in);
  return in.finish();
}

double squash(double p, double slope, double shift) {
  return 1.0 / (1.0 + std::exp(-(slope * std::log(p / (1.0 - p)) + shift)));
}

struct Trial {
  double brier_before = 0.0, brier_after = 0.0;
  Calibration before, after;
};

// Answers whose true probability is a function of them, adjusted before their outcome is learned.
template <class Truth>
Trial trial(Calibrator& calibrator, int n, std::uint64_t seed, Truth truth) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> uniform(0.02, 0.98), chance;
  Trial out;
  for (int i = 0; i < n; ++i) {
    const double p = uniform(random);
    const bool happened = chance(random) < truth(p);
    const double q = calibrator.adjust(p);
    out.brier_before += (p - happened) * (p - happened) / n;
    out.brier_after += (q - happened) * (q - happened) / n;
    CHECK(out.before.add(p, happened) == Status::ok);
    CHECK(out.after.add(q, happened) == Status::ok);
    calibrator.update(p, happened, i);
  }
  return out;
}

std::vector<double> drawn(std::mt19937_64& random, std::size_t classes) {
  std::uniform_real_distribution<double> uniform;
  std::vector<double> p(classes);
  for (double& x : p) x = std::pow(uniform(random), 3.0);
  if (uniform(random) < 0.2) p[0] = 0.0;
  if (uniform(random) < 0.1) {
    p.assign(classes, 0.0);
    p[classes / 2] = 1.0;
  }
  const double sum = std::accumulate(p.begin(), p.end(), 0.0);
  for (double& x : p) x /= sum;
  return p;
}

}  // namespace

TEST_CASE("a new calibrator returns what it is given, to the bit") {
  const Calibrator calibrator;
  for (const double p : {0.0, 1e-300, 0.1, 0.5, 0.7, 1.0}) CHECK(calibrator.adjust(p) == p);
  const std::array<double, 3> p = {0.2, 0.3, 0.5};
  std::array<double, 3> q = {};
  calibrator.adjust(p, q);
  CHECK(q == p);
  CHECK_FALSE(calibrator.helps());
  CHECK(calibrator.method() == Method::as_given);
  CHECK(calibrator.weights() == std::array{1.0, 0.0, 0.0, 0.0});
  CHECK(calibrator.classes() == 0);
}

TEST_CASE("overconfident answers are drawn in") {
  Calibrator calibrator;
  const Trial t = trial(calibrator, 4000, 1, [](double p) { return squash(p, 0.4, 0.3); });
  CHECK(calibrator.helps());
  CHECK(t.brier_after < t.brier_before - 0.02);
  CHECK(t.after.error() < 0.4 * t.before.error());
  CHECK(calibrator.slope() == doctest::Approx(0.4).epsilon(0.15));
  CHECK(calibrator.shift() == doctest::Approx(0.3).epsilon(0.4));
  CHECK(calibrator.evidence(Method::scaling) > 3.0);
}

TEST_CASE("isotonic follows what no logistic curve does") {
  Calibrator calibrator;
  const Trial t = trial(calibrator, 8000, 2, [](double p) { return p < 0.3 ? 0.05 : p < 0.7 ? 0.5 : 0.55; });
  CHECK(t.brier_after < t.brier_before);
  CHECK(calibrator.method() == Method::isotonic);
  CHECK(calibrator.adjust(Method::isotonic, 0.9) == doctest::Approx(0.55).epsilon(0.1));
  for (double p = 0.0; p < 0.999; p += 0.001) {
    CHECK(calibrator.adjust(Method::isotonic, p) <= calibrator.adjust(Method::isotonic, p + 0.001) + 1e-7);
  }
}

TEST_CASE("calibrated answers stay nearly as they are") {
  for (const std::uint64_t seed : {3u, 4u, 5u, 6u, 7u, 8u, 9u, 10u}) {
    Calibrator calibrator;
    const Trial t = trial(calibrator, 5000, seed, [](double p) { return p; });
    CHECK(t.brier_after < t.brier_before + 1e-4);
    CHECK(t.after.error() < t.before.error() + 2e-3);
  }
}

TEST_CASE("what stops helping is left") {
  Calibrator calibrator;
  trial(calibrator, 3000, 11, [](double p) { return squash(p, 0.3, 0.0); });
  const auto helped = calibrator.weights();
  CHECK(helped[0] < 0.2);
  trial(calibrator, 6000, 12, [](double p) { return p; });
  CHECK(std::abs(calibrator.adjust(0.9) - 0.9) < 0.03);
}

TEST_CASE("outcomes of one round are no more evidence than what they have in common") {
  // In each round of 200 all answers of .5 come true, or none: by chance alone.
  Calibrator calibrator;
  std::mt19937_64 random(13);
  double worst = 0.0;
  for (int round = 0; round < 300; ++round) {
    worst = std::max(worst, std::abs(calibrator.adjust(0.5) - 0.5));
    const bool happened = (random() & 1) != 0;
    for (int i = 0; i < 200; ++i) calibrator.update(0.5, happened, round);
  }
  CHECK(calibrator.spread() > 100.0);
  CHECK(worst < 0.35);
}

TEST_CASE("any number of classes: probabilities stay probabilities") {
  std::mt19937_64 random(14);
  for (const std::size_t classes : {3u, 5u, 8u, 9u, 40u}) {
    Calibrator calibrator;
    for (int i = 0; i < 1500; ++i) {
      // Now and then of another number of classes.
      const std::size_t n = i > 0 && i % 7 == 0 ? 4 : classes;
      const std::vector<double> p = drawn(random, n);
      std::vector<double> q(n);
      for (const Method method : {Method::as_given, Method::scaling, Method::isotonic, Method::temperature}) {
        calibrator.adjust(method, p, q);
        CHECK(std::accumulate(q.begin(), q.end(), 0.0) == doctest::Approx(1.0).epsilon(1e-12));
      }
      calibrator.adjust(p, q);
      CHECK(std::accumulate(q.begin(), q.end(), 0.0) == doctest::Approx(1.0).epsilon(1e-12));
      for (const double x : q) CHECK((x >= 0.0 && x <= 1.0));
      calibrator.update(p, static_cast<std::size_t>(random() % n), i / 10);
    }
    CHECK(calibrator.classes() == classes);
    CHECK(calibrator.biases().size() == (classes <= Calibrator::most_classes ? classes : 0));
    CHECK(calibrator.helps());  // outcomes have nothing to do with answers
    CHECK(calibrator.temperature() < 0.7);
  }
}

TEST_CASE("two probabilities are a binary answer") {
  Calibrator one, two;
  std::mt19937_64 random(15);
  std::uniform_real_distribution<double> uniform;
  for (int i = 0; i < 500; ++i) {
    const double p = uniform(random);
    const std::array<double, 2> row = {1.0 - p, p};
    std::array<double, 2> out = {};
    two.adjust(row, out);
    CHECK(out[1] == one.adjust(p));
    CHECK(out[0] == 1.0 - out[1]);
    const bool happened = uniform(random) < 0.5;
    one.update(p, happened, i / 3);
    two.update(row, happened ? 1 : 0, i / 3);
  }
  CHECK(saved(one) == saved(two));
}

TEST_CASE("extremes leave numbers") {
  Calibrator calibrator;
  for (int i = 0; i < 20000; ++i) {
    calibrator.update(i % 2 == 0 ? 0.0 : 1.0, i % 2 == 0, i);
    const double q = calibrator.adjust(1.0);
    if (!(q >= 0.0 && q <= 1.0)) FAIL("adjusted to ", q);
  }
  CHECK(calibrator.adjust(1.0) < 0.6);
  const std::array<double, 3> sure = {0.0, 0.0, 1.0};
  std::array<double, 3> q = {};
  Calibrator classes;
  for (int i = 0; i < 20000; ++i) classes.update(sure, static_cast<std::size_t>(i % 3), i);
  classes.adjust(sure, q);
  CHECK(q[2] < 0.7);
  CHECK(q[0] + q[1] + q[2] == doctest::Approx(1.0));
}

TEST_CASE("a snapshot goes on as if it had never stopped") {
  std::mt19937_64 random(16);
  for (const std::size_t classes : {2u, 5u, 12u}) {
    Calibrator calibrator, restored;
    for (int i = 0; i < 700; ++i) {
      const std::vector<double> p = drawn(random, classes);
      calibrator.update(p, static_cast<std::size_t>(random() % classes), i / 9);
      if (i == 333) CHECK(restore(saved(calibrator), restored) == Status::ok);
      if (i > 333) restored.update(p, 0, i / 9);
      if (i == 333) {
        std::vector<double> a(classes), b(classes);
        calibrator.adjust(p, a);
        restored.adjust(p, b);
        CHECK(a == b);
      }
    }
    CHECK(saved(calibrator) != saved(restored));  // what they saw since was not the same
    CHECK(restore(saved(calibrator), restored) == Status::ok);
    for (int i = 0; i < 100; ++i) {
      const std::vector<double> p = drawn(random, classes);
      calibrator.update(p, static_cast<std::size_t>(i) % classes, 100 + i);
      restored.update(p, static_cast<std::size_t>(i) % classes, 100 + i);
    }
    CHECK(saved(calibrator) == saved(restored));
  }
}

TEST_CASE("damaged snapshots change nothing") {
  Calibrator calibrator;
  trial(calibrator, 300, 17, [](double p) { return 1.0 - p; });
  const std::string before = saved(calibrator);
  Calibrator other;
  trial(other, 100, 18, [](double p) { return p; });
  const std::string good = saved(other);
  for (std::size_t i = 0; i < good.size(); i += 3) {
    std::string bad = good;
    bad[i] = static_cast<char>(bad[i] ^ 0x41);
    CHECK(restore(bad, calibrator) == Status::bad_snapshot);
    CHECK(restore(good.substr(0, i), calibrator) == Status::bad_snapshot);
  }
  CHECK(saved(calibrator) == before);
  // Numbers that cannot be, under a checksum that holds.
  for (std::size_t skip = 8 + 8 + 4; skip + 8 < good.size() - 40; skip += 8) {
    SnapshotWriter out(family, 1);
    const std::size_t head = 4 + 8 + family.size() + 4;
    std::string payload = good.substr(head, good.size() - head - 4);
    const double nan = std::nan("");
    if (skip + 8 > payload.size()) break;
    payload.replace(skip, 8, reinterpret_cast<const char*>(&nan), 8);
    out.put_raw(std::span<const char>(payload));
    CHECK(restore(out.finish(), calibrator) == Status::bad_snapshot);
  }
  CHECK(saved(calibrator) == before);
}
