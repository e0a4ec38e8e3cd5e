// The models of the prompt: what they learn, what a prediction is worth, and what is refused.
#include "fairlead/prompt_model.hpp"

#include <doctest/doctest.h>

#include <limits>

using namespace fairlead;

namespace {

const std::vector<std::string_view> texts{"prove the lemma", "prove the theorem", "who wrote this book", "who wrote this song"};
const std::vector<double> quality{0, 1, 0, 1, 1, 1, 1, 0.5};
const std::vector<double> penalties{4.0, 1.0};

LinearPromptModel linear(const LinearPromptFit& fit) {
  LinearPromptModel out;
  REQUIRE(out.assign({"small", "large"}, fit.idf, fit.weights, fit.mean, fit.explained) == Status::ok);
  return out;
}

NearestPromptModel nearest(const NearestPromptFit& fit) {
  NearestPromptModel out;
  REQUIRE(out.assign({"small", "large"}, fit.idf, fit.texts.starts, fit.texts.rows, fit.quality, fit.mean, fit.explained, fit.neighbours, fit.shrink) ==
          Status::ok);
  return out;
}

}  // namespace

TEST_CASE("prompt model: rows are distinct, and those of small and large tables agree") {
  const PromptRows once = prompt_rows(texts, 18), small = prompt_rows(texts, 16);
  REQUIRE(once.starts.size() == 5);
  CHECK(once.starts.back() == once.rows.size());
  const std::string_view twice[] = {"prove prove prove", "prove prove"};
  const PromptRows rows = prompt_rows(twice, 16);
  CHECK(rows.starts[2] - rows.starts[1] == rows.starts[1]);
  for (std::size_t i = 0; i + 1 < small.starts.size(); ++i)
    for (std::size_t j = small.starts[i] + 1; j < small.starts[i + 1]; ++j) CHECK(small.rows[j] > small.rows[j - 1]);
  CHECK(prompt_rows({}, 8).starts.size() == 1);
}

TEST_CASE("prompt model: linear and nearest learn which texts are hard") {
  const LinearPromptModel a = linear(fit_linear_prompt_model(texts, quality, 2, 12, penalties, 2));
  const std::size_t ks[] = {1, 2};
  const double shrinks[] = {0.0};
  const NearestPromptModel b = nearest(fit_nearest_prompt_model(texts, quality, 2, 12, ks, shrinks));
  CHECK(a.scratch_texts() == 0);
  CHECK(b.scratch_texts() == 4);
  for (const PromptModel* model : {static_cast<const PromptModel*>(&a), static_cast<const PromptModel*>(&b)}) {
    PromptScratch scratch;
    scratch.resize(model->scratch_texts());
    double hard[2], easy[2];
    model->predict("prove the claim", hard, scratch);
    model->predict("who wrote this play", easy, scratch);
    CHECK(hard[0] < easy[0]);
    CHECK(hard[1] > hard[0]);
    CHECK(hard[1] <= 1.0);
  }
}

TEST_CASE("prompt model: what a prediction is worth") {
  LinearPromptFit fit = fit_linear_prompt_model(texts, quality, 2, 8, penalties, 0);
  CHECK(linear(fit).weight(0) == 0.0);
  fit.explained = {1.0f / 42.0f, 0.5f};  // half of what a slice can explain: as a slice of 20 results
  const LinearPromptModel model = linear(fit);
  CHECK(model.weight(0) == doctest::Approx(20.0).epsilon(1e-5));
  CHECK(model.weight(1) == PromptModel::most_weight);
}

TEST_CASE("prompt model: what is no model is refused and changes nothing") {
  const LinearPromptFit fit = fit_linear_prompt_model(texts, quality, 2, 8, penalties, 0);
  LinearPromptModel model = linear(fit);
  const auto refused = [&](LinearPromptFit wrong, Status why) {
    CHECK(model.assign({"small", "large"}, wrong.idf, wrong.weights, wrong.mean, wrong.explained) == why);
    CHECK(model.models() == 2);
    CHECK(model.names()[1] == "large");
  };
  LinearPromptFit wrong = fit;
  wrong.idf[3] = 0.0f;
  refused(wrong, Status::out_of_range);
  wrong = fit;
  wrong.weights[0] = std::numeric_limits<float>::quiet_NaN();
  refused(wrong, Status::not_finite);
  wrong = fit;
  wrong.weights.pop_back();
  refused(wrong, Status::wrong_length);
  wrong = fit;
  wrong.mean[0] = -0.5f;
  refused(wrong, Status::out_of_range);
  CHECK(model.assign({}, fit.idf, {}, {}, {}) == Status::out_of_range);

  const std::size_t ks[] = {2};
  const double shrinks[] = {1.0};
  const NearestPromptFit near = fit_nearest_prompt_model(texts, quality, 2, 8, ks, shrinks);
  NearestPromptModel other = nearest(near);
  const auto assign = [&](const NearestPromptFit& f) {
    return other.assign({"small", "large"}, f.idf, f.texts.starts, f.texts.rows, f.quality, f.mean, f.explained, f.neighbours, f.shrink);
  };
  NearestPromptFit bad = near;
  bad.texts.rows[0] = 256;
  CHECK(assign(bad) == Status::out_of_range);
  bad = near;
  bad.texts.starts[1] = 0xffffffff;
  CHECK(assign(bad) == Status::out_of_range);
  bad = near;
  bad.neighbours = 257;
  CHECK(assign(bad) == Status::out_of_range);
  bad = near;
  bad.shrink = -1.0;
  CHECK(assign(bad) == Status::out_of_range);
  CHECK(other.scratch_texts() == 4);
}

TEST_CASE("prompt model: nearest without room or texts says the mean") {
  const std::size_t ks[] = {2};
  const double shrinks[] = {0.0};
  const NearestPromptModel model = nearest(fit_nearest_prompt_model(texts, quality, 2, 10, ks, shrinks));
  PromptScratch none;
  double out[2];
  model.predict("prove", out, none);
  CHECK(out[0] == doctest::Approx(0.5));
  none.resize(4);
  model.predict("", out, none);
  CHECK(out[0] == doctest::Approx(0.5));
}
