#include "fairlead/attention_policy.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <map>
#include <new>
#include <set>
#include <string_view>
#include <utility>

#include "fairlead/safetensors.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/layer.hpp"

namespace fairlead {

namespace {

constexpr std::size_t line = 16;  // numbers
constexpr std::size_t most_wide = 1 << 20, most_assets = 1 << 15;

constexpr std::size_t room(std::size_t n) { return (n + line - 1) / line * line; }

struct Wrong {
  Status status;
  std::string why;
};

[[noreturn]] void wrong(std::string why) { throw Wrong{Status::not_a_policy, std::move(why)}; }

std::string show(const std::vector<std::size_t>& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return out + "]";
}

template <class Number>
Number number(const std::string& key, const std::string& text) {
  Number out{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc() || end != text.data() + text.size()) wrong("metadata " + key + " is '" + text + "', no number");
  return out;
}

}  // namespace

// Takes tensors by name from a file, and knows at the end which nobody has taken.
struct AttentionPolicyFile {
  SafeTensors file;
  std::set<std::string, std::less<>> taken;
  AttentionPolicy policy;

  std::string text(std::string_view key, std::string_view otherwise) const {
    const auto found = file.metadata().find(key);
    return found == file.metadata().end() ? std::string(otherwise) : found->second;
  }

  bool has(const std::string& name) const { return file.find(name) != nullptr; }

  // Of two dimensions, [out][in], or one.
  std::vector<float> take(const std::string& name, std::size_t dimensions, std::vector<std::size_t>* shape = nullptr) {
    const SafeTensors::Tensor* const t = file.find(name);
    if (t == nullptr) wrong("tensor " + name + " is missing");
    if (t->shape.size() != dimensions) wrong("tensor " + name + " has shape " + show(t->shape) + ", must have " + std::to_string(dimensions) + " dimensions");
    for (const std::size_t n : t->shape)
      if (n == 0 || n > most_wide) wrong("tensor " + name + " has shape " + show(t->shape));
    if (t->type != "F32" && t->type != "BF16") wrong("tensor " + name + " has dtype " + t->type + ", must be F32 or BF16");
    std::vector<float> out(t->numbers());
    file.floats(*t, out.data());
    if (shape != nullptr) *shape = t->shape;
    taken.insert(name);
    return out;
  }
  std::vector<float> take(const std::string& name, const std::vector<std::size_t>& shape) {
    std::vector<std::size_t> found;
    std::vector<float> out = take(name, shape.size(), &found);
    if (found != shape) wrong("tensor " + name + " has shape " + show(found) + ", must have " + show(shape));
    return out;
  }
  std::vector<float> maybe(const std::string& name, const std::vector<std::size_t>& shape) {
    return has(name) ? take(name, shape) : std::vector<float>();
  }

  // Sets `width` from what goes in to what comes out; 0: whatever the weight says.
  AttentionPolicy::Linear linear(const std::string& name, std::size_t& width, std::size_t* in = nullptr) {
    std::vector<std::size_t> shape;
    const std::vector<float> weight = take(name + ".weight", 2, &shape);
    if (width != 0 && shape[1] != width)
      wrong("tensor " + name + ".weight has shape " + show(shape) + ", must take " + std::to_string(width) + " numbers");
    if (in != nullptr) *in = shape[1];
    AttentionPolicy::Linear out;
    packed(out.matrix.pack(weight.data(), shape[1], shape[0]));
    out.bias = maybe(name + ".bias", {shape[0]});
    width = shape[0];
    policy.widest_ = std::max(policy.widest_, width);
    return out;
  }

  static void packed(Status status) {
    if (status != Status::ok) throw Wrong{status, {}};
  }

  // name.weight, or name.<k>.weight for k going up.
  std::vector<AttentionPolicy::Linear> sequence(const std::string& name, std::size_t& width) {
    std::vector<AttentionPolicy::Linear> out;
    if (has(name + ".weight")) {
      out.push_back(linear(name, width));
      return out;
    }
    std::map<std::size_t, std::string> steps;
    const std::string start = name + ".";
    for (auto at = file.tensors().lower_bound(start); at != file.tensors().end() && at->first.starts_with(start); ++at) {
      const std::string_view rest = std::string_view(at->first).substr(start.size());
      std::size_t step = 0;
      const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), step);
      if (error != std::errc() || std::string_view(end, static_cast<std::size_t>(rest.data() + rest.size() - end)) != ".weight") continue;
      steps.emplace(step, start + std::string(rest.substr(0, rest.size() - 7)));
    }
    for (const auto& [step, path] : steps) out.push_back(linear(path, width));
    return out;
  }

  AttentionPolicy::Norm norm(const std::string& name) {
    AttentionPolicy::Norm out;
    out.weight = maybe(name + ".weight", {policy.embed_});
    if (!out.weight.empty()) out.bias = maybe(name + ".bias", {policy.embed_});
    return out;
  }

  void layer(const std::string& name) {
    const std::size_t d = policy.embed_, h = policy.attention_heads_;
    AttentionPolicy::Layer out;
    const std::string attention = name + ".attention";
    const std::vector<float> in_weight = take(attention + ".in_proj_weight", {3 * d, d}), in_bias = maybe(attention + ".in_proj_bias", {3 * d});
    const std::vector<float> out_weight = take(attention + ".out_proj.weight", {d, d}), out_bias = maybe(attention + ".out_proj.bias", {d});
    const AttentionPolicy::Norm norm1 = norm(name + ".norm");
    AttentionLayerOptions options;
    options.embed = d;
    options.heads = h;
    options.residual = true;
    options.norm = norm1.weight.empty() ? LayerNorm::none : policy.before_ ? LayerNorm::before : LayerNorm::after;
    options.epsilon = static_cast<double>(policy.epsilon_);
    if (out.attention.open(options) != Status::ok) wrong("metadata heads is " + std::to_string(h) + ", must divide " + std::to_string(d));
    const auto given = [](const std::vector<float>& x) { return x.empty() ? nullptr : x.data(); };
    AttentionLayerWeights<float> weights;
    weights.in_weight = given(in_weight);
    weights.in_bias = given(in_bias);
    weights.out_weight = given(out_weight);
    weights.out_bias = given(out_bias);
    weights.norm_weight = given(norm1.weight);
    weights.norm_bias = given(norm1.bias);
    packed(out.attention.pack(weights, 0, false));
    const std::string correlation = name + ".correlation";
    if (has(correlation + ".slope")) {
      out.correlation = take(correlation + ".slope", std::vector<std::size_t>{h});
    } else if (has(correlation + ".into.weight")) {
      std::size_t hidden = 1;
      out.encoding.push_back(linear(correlation + ".into", hidden));
      out.encoding.push_back(linear(correlation + ".onto", hidden));
      if (hidden != h) wrong("tensor " + correlation + ".onto.weight gives " + std::to_string(hidden) + " numbers, must give " + std::to_string(h));
      policy.hidden_ = std::max({policy.hidden_, out.encoding[0].matrix.columns(), h});
    }
    std::size_t width = d;
    out.feed = sequence(name + ".feed", width);
    if (width != d) wrong(name + ".feed gives " + std::to_string(width) + " numbers, must give " + std::to_string(d));
    out.feed_norm = norm(name + ".feed_norm");
    if (out.feed.empty() && !out.feed_norm.weight.empty()) wrong(name + ".feed_norm is there without " + name + ".feed");
    policy.layers_.push_back(std::move(out));
  }

  void all() {
    if (text("fairlead", "") != "attention_policy") wrong("metadata fairlead is '" + text("fairlead", "") + "', must be 'attention_policy'");
    if (text("heads", "").empty()) wrong("metadata heads is missing");
    policy.attention_heads_ = number<std::size_t>("heads", text("heads", ""));
    if (policy.attention_heads_ == 0 || policy.attention_heads_ > 4096) wrong("metadata heads is " + text("heads", ""));
    policy.epsilon_ = number<float>("epsilon", text("epsilon", "1e-05"));
    if (!(policy.epsilon_ > 0.0f && policy.epsilon_ < 1.0f)) wrong("metadata epsilon is " + text("epsilon", "") + ", outside (0, 1)");
    const std::string place = text("norm", "after"), activation = text("activation", "relu");
    if (place != "after" && place != "before") wrong("metadata norm is '" + place + "', must be 'after' or 'before'");
    policy.before_ = place == "before";
    if (activation == "relu") policy.activation_ = Activation::relu;
    else if (activation == "gelu") policy.activation_ = Activation::gelu;
    else if (activation == "tanh") policy.activation_ = Activation::tanh;
    else wrong("metadata activation is '" + activation + "', must be 'relu', 'gelu' or 'tanh'");

    if (has("embed.weight")) {
      policy.input_.push_back(linear("embed", policy.embed_, &policy.features_));
    } else {
      const SafeTensors::Tensor* const first = file.find("layers.0.attention.out_proj.weight");
      if (first == nullptr || first->shape.size() != 2) wrong("there is neither embed.weight nor layers.0.attention.out_proj.weight");
      policy.features_ = policy.embed_ = first->shape[0];
      policy.widest_ = policy.embed_;
    }
    for (std::size_t i = 0; has("layers." + std::to_string(i) + ".attention.in_proj_weight"); ++i) layer("layers." + std::to_string(i));
    policy.norm_ = norm("norm");
    heads();
    for (const auto& [name, tensor] : file.tensors())
      if (!taken.contains(name)) wrong("tensor " + name + " is no part of a policy");
  }

  void heads() {
    std::set<std::string> names, pooled;
    const std::string start = "heads.", list = text("pooled", "");
    for (auto at = file.tensors().lower_bound(start); at != file.tensors().end() && at->first.starts_with(start); ++at) {
      const std::size_t end = at->first.find('.', start.size());
      if (end == std::string::npos || end == start.size()) wrong("tensor " + at->first + " is no part of a policy");
      names.insert(at->first.substr(start.size(), end - start.size()));
    }
    if (names.empty()) wrong("there are no heads");
    for (std::size_t from = 0; from < list.size();) {
      const std::size_t end = std::min(list.find(',', from), list.size());
      const std::string name = list.substr(from, end - from);
      if (!names.contains(name)) wrong("metadata pooled names '" + name + "', which is no head");
      pooled.insert(name);
      from = end + 1;
    }
    for (const std::string& name : names) {
      std::size_t width = policy.embed_;
      policy.heads_.push_back(sequence(start + name, width));
      if (policy.heads_.back().empty()) wrong("head " + name + " has no weight");
      policy.names_.push_back({name, width, pooled.contains(name)});
    }
  }
};

Status AttentionPolicy::read(std::span<const std::byte> bytes, std::string* why) noexcept {
  try {
    AttentionPolicyFile in;
    std::string what;
    if (const Status status = in.file.read(bytes, what); status != Status::ok) throw Wrong{status, what};
    in.all();
    *this = std::move(in.policy);
    return Status::ok;
  } catch (Wrong& found) {
    if (why != nullptr) *why = std::move(found.why);
    return found.status;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

Status AttentionPolicy::load(const std::string& path, std::string* why) noexcept {
  try {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "rb"), [](std::FILE* f) { return std::fclose(f); });
    std::vector<std::byte> bytes;
    bool good = file != nullptr;
    for (std::size_t n = 1 << 16; good;) {
      const std::size_t had = bytes.size();
      bytes.resize(had + n);
      const std::size_t got = std::fread(bytes.data() + had, 1, n, file.get());
      bytes.resize(had + got);
      if (got < n) {
        good = std::ferror(file.get()) == 0;
        break;
      }
      n = bytes.size();
    }
    if (good) return read(bytes, why);
    if (why != nullptr) *why = path + " cannot be read";
    return Status::system_refused;
  } catch (const std::bad_alloc&) {
    return Status::out_of_memory;
  }
}

std::size_t AttentionPolicy::place(std::size_t head, std::size_t assets) const noexcept {
  std::size_t n = 0;
  for (std::size_t i = 0; i < head; ++i) n += names_[i].width * (names_[i].pooled ? 1 : assets);
  return n;
}

namespace {

const kernels::LayerKernels<float>& layer_kernels() noexcept {
  return kernels::select(kernels::layer_scalar, kernels::layer_avx2, kernels::layer_avx512);
}

}  // namespace

// What comes out lies in a or b.
const float* AttentionPolicy::run(const std::vector<Linear>& linears, const float* in, std::size_t rows, float* a, float* b) const noexcept {
  const kernels::LayerKernels<float>& k = layer_kernels();
  for (std::size_t i = 0; i < linears.size(); ++i) {
    const Linear& linear = linears[i];
    const std::size_t width = linear.matrix.columns();
    linear.matrix.multiply({rows, in, linear.matrix.rows(), linear.bias.empty() ? nullptr : linear.bias.data(), a, width});
    if (i + 1 < linears.size()) k.activate[static_cast<std::size_t>(activation_)](a, rows * width);
    in = a;
    std::swap(a, b);
  }
  return in;
}

void AttentionPolicy::normalise(const Norm& norm, std::size_t rows, const float* in, const float* more, float* sum, float* out) const noexcept {
  kernels::Normalise<float> x;
  x.rows = rows;
  x.n = embed_;
  x.in = in;
  x.more = more;
  x.sum = sum;
  x.epsilon = epsilon_;
  x.by = norm.weight.data();
  x.start = norm.bias.empty() ? nullptr : norm.bias.data();
  x.out = out;
  layer_kernels().normalise(x);
}

// The bias of each head, [heads][n][n]; a correlation that is NaN counts as 0.
void AttentionPolicy::encode(const Layer& layer, const AttentionObservation& o, std::size_t n, float* bias, float* scratch) const noexcept {
  const std::size_t grid = n * n, heads = attention_heads_;
  const bool straight = layer.encoding.empty();
  float *const known = scratch, *const a = known + room(grid), *const b = a + grid * hidden_;
  for (std::size_t i = 0; i < n; ++i) {
    const float* const from = o.correlation + i * o.assets;
    for (std::size_t j = 0; j < n; ++j) known[i * n + j] = from[j] == from[j] ? from[j] : 0.0f;
  }
  for (std::size_t h = 0; straight && h < heads; ++h) {
    const float by = layer.correlation[h];
    for (std::size_t i = 0; i < grid; ++i) bias[h * grid + i] = by * known[i];
  }
  if (straight) return;
  const Linear &into = layer.encoding[0], &onto = layer.encoding[1];
  const std::size_t hidden = into.matrix.columns();
  into.matrix.multiply({grid, known, 1, into.bias.empty() ? nullptr : into.bias.data(), a, hidden});
  layer_kernels().activate[static_cast<std::size_t>(Activation::gelu)](a, grid * hidden);
  onto.matrix.multiply({grid, a, hidden, onto.bias.empty() ? nullptr : onto.bias.data(), b, heads});
  for (std::size_t h = 0; h < heads; ++h) {
    for (std::size_t i = 0; i < grid; ++i) bias[h * grid + i] = b[i * heads + h];
  }
}

bool AttentionPolicy::correlated() const noexcept {
  return std::any_of(layers_.begin(), layers_.end(), [](const Layer& l) { return !l.correlation.empty() || !l.encoding.empty(); });
}

Status AttentionPolicy::forward(const AttentionObservation& o, AttentionPolicyWorkspace& workspace, float* out, float* weights) const noexcept {
  if (heads_.empty()) return Status::stale_weights;
  const std::size_t n = o.count == static_cast<std::size_t>(-1) ? o.assets : o.count, d = embed_;
  if (o.assets == 0 || n > o.assets) return Status::out_of_range;
  if (o.assets > most_assets) return Status::too_long;
  const kernels::LayerKernels<float>& k = layer_kernels();
  const bool encoded = correlated();
  if (encoded && o.correlation == nullptr) return Status::out_of_range;
  const std::size_t rows = room(n * d), wide = room(n * widest_), grid = n * n;
  const std::size_t grids = encoded ? room(attention_heads_ * grid) + room(2 * hidden_ * grid) + room(grid) : 0, heat = weights != nullptr && n < o.assets ? room(attention_heads_ * grid) : 0;
  auto* const memory = reinterpret_cast<float*>(workspace.memory.take((2 * rows + 2 * wide + grids + heat + line) * sizeof(float)));
  if (memory == nullptr) return Status::out_of_memory;
  float *x = memory, *y = x + rows;
  float *const a = y + rows, *const b = a + wide, *const bias = b + wide, *const seen = bias + grids;

  const std::size_t each = attention_heads_ * o.assets * o.assets;
  if (n == 0) {
    std::fill(out, out + outputs(o.assets), 0.0f);
    if (weights != nullptr) std::fill(weights, weights + layers_.size() * each, 0.0f);
    return Status::ok;
  }
  if (input_.empty()) {
    std::copy(o.features, o.features + n * d, x);
  } else {
    const Linear& in = input_[0];
    in.matrix.multiply({n, o.features, features_, in.bias.empty() ? nullptr : in.bias.data(), x, d});
  }
  for (std::size_t l = 0; l < layers_.size(); ++l) {
    const Layer& layer = layers_[l];
    AttentionLayerCall<float> call;
    call.queries = call.keys = n;
    call.input = x;
    call.out = y;
    if (o.correlation != nullptr && layer.correlation.empty() && layer.encoding.empty()) {
      call.bias = {o.correlation, 0, 0, static_cast<Stride>(o.assets), 1};
    } else if (o.correlation != nullptr) {
      encode(layer, o, n, bias, bias + room(attention_heads_ * grid));
      call.bias = {bias, 0, static_cast<Stride>(grid), static_cast<Stride>(n), 1};
    }
    float* const all = weights == nullptr ? nullptr : weights + l * each;
    call.weights = n < o.assets && all != nullptr ? seen : all;
    call.which = all == nullptr ? AttentionWeights::none : AttentionWeights::each;
    if (const Status status = layer.attention.forward(call, workspace.layer, 1); status != Status::ok) return status;
    if (call.weights != all) {
      std::fill(all, all + each, 0.0f);
      for (std::size_t i = 0; i < attention_heads_ * n; ++i) std::copy(seen + i * n, seen + (i + 1) * n, all + (i / n * o.assets + i % n) * o.assets);
    }
    std::swap(x, y);
    if (layer.feed.empty()) continue;
    const bool normed = !layer.feed_norm.weight.empty();
    const float* in = x;
    if (normed && before_) {
      normalise(layer.feed_norm, n, x, nullptr, nullptr, y);
      in = y;
    }
    const float* const fed = run(layer.feed, in, n, a, b);
    if (normed && !before_) {
      normalise(layer.feed_norm, n, x, fed, x, x);
    } else {
      k.add(x, fed, n * d);
    }
  }
  if (!norm_.weight.empty()) normalise(norm_, n, x, nullptr, nullptr, x);
  bool pooled = false;
  for (std::size_t h = 0; h < names_.size(); ++h) {
    const std::size_t width = names_[h].width;
    float* const to = out + place(h, o.assets);
    if (names_[h].pooled) {
      if (!pooled) {
        k.sum_rows(x, d, n, d, y);
        for (std::size_t j = 0; j < d; ++j) y[j] /= static_cast<float>(n);
        pooled = true;
      }
      const float* const made = run(heads_[h], y, 1, a, b);
      std::copy(made, made + width, to);
    } else {
      const float* const made = run(heads_[h], x, n, a, b);
      std::copy(made, made + n * width, to);
      std::fill(to + n * width, to + o.assets * width, 0.0f);
    }
  }
  return Status::ok;
}

}  // namespace fairlead
