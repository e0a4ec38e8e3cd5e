// The layer as phases over rows: project, attend, project back, normalise. Without gradients a thread takes some batches
// through all phases while they are in its cache; with few batches and several threads, each phase is shared.
#include "fairlead/attention_layer.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <new>
#include <type_traits>

#include "kernels/attention.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/layer.hpp"
#include "threads.hpp"

namespace fairlead {

namespace {

using kernels::Step;

constexpr std::size_t line = 64;
constexpr std::size_t some_rows = 96;  // that a thread takes at a time
constexpr std::size_t deep = 128;      // rows whose products are added at once in a weight's gradient
constexpr std::size_t parts = 16;      // in which gradients of the norm are summed, whatever the number of threads

template <class T>
constexpr std::size_t room(std::size_t n) {
  return (n * sizeof(T) + line - 1) / line * line / sizeof(T);
}

template <class T>
const kernels::LayerKernels<T>& layer_kernels() noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return kernels::layer_double;
  } else {
    return kernels::select(kernels::layer_scalar, kernels::layer_avx2, kernels::layer_avx512);
  }
}

template <class T>
const kernels::AttentionKernels<T>& attention_kernels() noexcept {
  if constexpr (std::is_same_v<T, double>) {
    return kernels::attention_double;
  } else {
    return kernels::select(kernels::attention_scalar, kernels::attention_avx2, kernels::attention_avx512);
  }
}

// Work(first, last) over blocks of rows.
template <class Work>
void by_rows(std::size_t rows, std::size_t threads, const Work& work) noexcept {
  auto job = [&](std::size_t n, std::size_t) noexcept { work(n * some_rows, std::min(rows, (n + 1) * some_rows)); };
  share((rows + some_rows - 1) / some_rows, threads, job);
}

// Pieces of one run of memory.
template <class T>
class Pieces {
 public:
  explicit Pieces(T* at) noexcept : at_(at) {}
  T* take(std::size_t n) noexcept {
    T* const out = at_;
    at_ += room<T>(n);
    return out;
  }

 private:
  T* at_;
};

}  // namespace

AttentionWorkspace* AttentionLayerWorkspace::each(std::size_t threads) noexcept {
  if (threads > threads_) {
    threads_ = 0;
    each_.reset(new (std::nothrow) AttentionWorkspace[threads]);
    if (each_ != nullptr) threads_ = threads;
  }
  return each_.get();
}

// What is saved, or made and forgotten, for batches [0, batch).
template <class T>
struct AttentionLayerRun {
  const AttentionLayer<T>& layer;
  const AttentionLayerCall<T>& call;
  std::size_t embed = layer.options_.embed, heads = layer.options_.heads;
  std::size_t queries = call.queries, keys = call.context == nullptr ? call.queries : call.keys;
  bool self = call.context == nullptr;
  LayerNorm norm = layer.options_.norm;
  // By all of the call's rows, so that neither threads nor blocks make a difference.
  bool tiles = call.batch * (call.queries + (call.context == nullptr ? 0 : call.keys)) >= 16;

  struct Buffers {
    T *projected = nullptr, *attended = nullptr, *lse = nullptr, *rows = nullptr, *mean = nullptr, *rest = nullptr;
  };

  // qkv [rows][3 embed], or q [rows][embed] and kv [keys][2 embed].
  std::size_t projected(std::size_t batch) const noexcept { return batch * embed * (self ? 3 * queries : queries + 2 * keys); }

  std::size_t numbers(std::size_t batch) const noexcept {
    const std::size_t rows = batch * queries;
    std::size_t n = room<T>(projected(batch)) + room<T>(rows * embed) + room<T>(rows * heads);
    if (norm != LayerNorm::none) n += room<T>(rows * embed) + 2 * room<T>(rows);
    return n;
  }

  Buffers buffers(T* memory, std::size_t batch) const noexcept {
    const std::size_t rows = batch * queries;
    Pieces<T> pieces(memory);
    Buffers b;
    b.projected = pieces.take(projected(batch));
    b.attended = pieces.take(rows * embed);
    b.lse = pieces.take(rows * heads);
    if (norm == LayerNorm::none) return b;
    b.rows = pieces.take(rows * embed);  // normed input, or what is normed
    b.mean = pieces.take(rows);
    b.rest = pieces.take(rows);
    return b;
  }

  double operations() const noexcept {
    const auto e = static_cast<double>(embed);
    return 2.0 * static_cast<double>(call.batch) *
           (e * e * static_cast<double>(2 * queries + 2 * keys) + 2.0 * e * static_cast<double>(queries) * static_cast<double>(keys));
  }

  Status check() const noexcept {
    if (!layer.packed_ || call.version != layer.version_) return Status::stale_weights;
    constexpr std::size_t most = std::size_t{1} << 31;
    for (const std::size_t n : {call.batch, call.queries, keys})
      if (n >= most) return Status::too_long;
    if (queries * keys >= most || call.batch * heads >= most || call.batch * std::max(queries, keys) >= most) return Status::too_long;
    for (std::size_t b = 0; b < call.batch; ++b) {
      const auto wrong = [&](const std::int64_t* counts, std::size_t n) {
        return counts != nullptr && (counts[b] < 0 || static_cast<std::uint64_t>(counts[b]) > n);
      };
      if (wrong(call.query_counts, queries) || wrong(call.key_counts, keys)) return Status::out_of_range;
    }
    return Status::ok;
  }

  static AttentionTensor tensor(T* data, std::size_t batch, std::size_t head, std::size_t row) noexcept {
    return {data, static_cast<Stride>(batch), static_cast<Stride>(head), static_cast<Stride>(row)};
  }

  // q, k and v of batches from `first` on, where projected are from there, or their gradients.
  void place(T* p, std::size_t batch, AttentionTensor& q, AttentionTensor& k, AttentionTensor& v) const noexcept {
    const std::size_t depth = embed / heads;
    if (self) {
      const std::size_t row = 3 * embed;
      q = tensor(p, queries * row, depth, row);
      k = tensor(p + embed, queries * row, depth, row);
      v = tensor(p + 2 * embed, queries * row, depth, row);
    } else {
      T* const kv = p + batch * queries * embed;
      q = tensor(p, queries * embed, depth, embed);
      k = tensor(kv, keys * 2 * embed, depth, 2 * embed);
      v = tensor(kv + embed, keys * 2 * embed, depth, 2 * embed);
    }
  }

  Attention attention(std::size_t first, std::size_t batch, const Buffers& b, bool lse) const noexcept {
    Attention a;
    a.shape = {batch, heads, heads, queries, keys, embed / heads, embed / heads};
    a.number = std::is_same_v<T, double> ? Number::f64 : Number::f32;
    a.scale64 = 1.0 / std::sqrt(static_cast<double>(embed / heads));
    a.scale = static_cast<float>(a.scale64);
    place(b.projected, batch, a.q, a.k, a.v);
    a.out = tensor(b.attended, queries * embed, embed / heads, embed);
    a.bias = call.bias;
    a.bias_number = a.number;
    if (a.bias.data != nullptr) a.bias.data = static_cast<const T*>(a.bias.data) + static_cast<Stride>(first) * a.bias.batch;
    a.mask = call.mask;
    if (a.mask.data != nullptr) a.mask.data = static_cast<const std::uint8_t*>(a.mask.data) + static_cast<Stride>(first) * a.mask.batch;
    a.query_counts = call.query_counts == nullptr ? nullptr : call.query_counts + first;
    a.key_counts = call.key_counts == nullptr ? nullptr : call.key_counts + first;
    a.lse = lse ? b.lse : nullptr;
    if (call.weights != nullptr && call.which != AttentionWeights::none) {
      a.weights = call.weights + first * (call.which == AttentionWeights::each ? heads : 1) * queries * keys;
      a.which = call.which;
    }
    return a;
  }

  // Rows beyond a count become zeros.
  void clear(T* rows, std::size_t first, std::size_t batch) const noexcept {
    if (call.query_counts == nullptr) return;
    for (std::size_t n = 0; n < batch; ++n) {
      T* const at = rows + n * queries * embed;
      std::fill(at + static_cast<std::size_t>(call.query_counts[first + n]) * embed, at + queries * embed, T(0));
    }
  }

  // In pieces that stay in the cache.
  void average_weights(std::size_t first, std::size_t batch, std::size_t threads) const noexcept {
    if (call.mean_weights == nullptr || call.which != AttentionWeights::each || call.weights == nullptr) return;
    constexpr std::size_t some = 1024;
    const std::size_t all = queries * keys, pieces = (all + some - 1) / some;
    auto job = [&](std::size_t n, std::size_t) noexcept {
      const std::size_t b = first + n / pieces, at = n % pieces * some;
      layer_kernels<T>().mean(call.weights + b * heads * all + at, all, heads, std::min(some, all - at),
                              call.mean_weights + b * all + at);
    };
    if (all > 0) share(batch * pieces, threads, job);
  }

  // Batches [first, first + batch); buffers are those of these batches.
  Status forward(std::size_t first, std::size_t batch, const Buffers& b, bool keep, AttentionWorkspace& workspace,
                 std::size_t threads) const noexcept {
    const kernels::LayerKernels<T>& k = layer_kernels<T>();
    const std::size_t rows = batch * queries;
    const T* const input = call.input + first * queries * embed;
    T* const out = call.out + first * queries * embed;
    by_rows(rows, threads, [&](std::size_t i, std::size_t end) noexcept {
      const T* in = input + i * embed;
      if (norm == LayerNorm::before) {
        T* const normed = b.rows + i * embed;
        k.normalise(normalising(i, end, in, nullptr, nullptr, normed, b));
        in = normed;
      }
      const std::size_t row = self ? 3 * embed : embed;
      layer.in_.multiply({end - i, in, embed, layer.in_bias_, b.projected + i * row, row, 0, row, 0, 0, tiles});
    });
    if (!self) {
      const T* const context = call.context + first * keys * embed;
      T* const kv = b.projected + rows * embed;
      by_rows(batch * keys, threads, [&](std::size_t i, std::size_t end) noexcept {
        layer.in_.multiply({end - i, context + i * embed, embed, layer.in_bias_, kv + i * 2 * embed, 2 * embed, embed, 3 * embed, 0, 0, tiles});
      });
    }
    if (const Status status = attention_forward(attention(first, batch, b, keep), workspace, threads); status != Status::ok)
      return status;
    average_weights(first, batch, threads);
    by_rows(rows, threads, [&](std::size_t i, std::size_t end) noexcept {
      T* const made = norm == LayerNorm::after && keep ? b.rows + i * embed : out + i * embed;
      const T* const more = layer.options_.residual ? input + i * embed : nullptr;
      layer.out_.multiply({end - i, b.attended + i * embed, embed, layer.out_bias_, made, embed, 0, embed, 0, 0, tiles});
      if (norm == LayerNorm::after) {
        k.normalise(normalising(i, end, made, more, made, out + i * embed, b));
      } else if (more != nullptr) {
        k.add(made, more, (end - i) * embed);
      }
    });
    clear(out, first, batch);
    return Status::ok;
  }

  kernels::Normalise<T> normalising(std::size_t i, std::size_t end, const T* in, const T* more, T* sum, T* out,
                                    const Buffers& b) const noexcept {
    return {end - i, embed, in, more, sum, static_cast<T>(layer.options_.epsilon), layer.norm_weight_, layer.norm_bias_, out,
            b.mean + i, b.rest + i};
  }

  // The gradient of a weight [columns of out_gradient][embed]: out_gradient^T in; and of its bias.
  void weight_gradient(const T* out_gradient, std::size_t row, std::size_t columns, const T* in, std::size_t rows, T* weight, T* bias,
                       std::size_t threads) const noexcept {
    constexpr std::size_t some = 48;
    auto job = [&](std::size_t n, std::size_t) noexcept {
      const std::size_t c = n * some, m = std::min(some, columns - c);
      if (bias != nullptr) layer_kernels<T>().sum_rows(out_gradient + c, row, rows, m, bias + c);
      if (weight == nullptr) return;
      if (rows == 0) std::fill(weight + c * embed, weight + (c + m) * embed, T(0));
      for (std::size_t i = 0; i < rows; i += deep) {
        kernels::Layout<T> product;
        product.m = m;
        product.n = embed;
        product.k = std::min(deep, rows - i);
        product.in = out_gradient + i * row + c;
        product.in_row = 1;
        product.in_k = static_cast<Step>(row);
        product.by = in + i * embed;
        product.by_row = static_cast<Step>(embed);
        product.out = weight + c * embed;
        product.out_row = static_cast<Step>(embed);
        product.add = i > 0;
        attention_kernels<T>().multiply(product);
      }
    };
    if (weight != nullptr || bias != nullptr) share((columns + some - 1) / some, threads, job);
  }

  // From the gradient of what was normed, in place, to that of what went in; sums of the norm's weights in parts.
  void norm_gradient(T* gradient, const T* what, const Buffers& b, const AttentionLayerGradients<T>& g, T* sums,
                     std::size_t threads) const noexcept {
    const std::size_t rows = call.batch * queries;
    T *const by = sums, *const start = sums + room<T>(parts * embed);
    auto job = [&](std::size_t n, std::size_t) noexcept {
      const std::size_t i = n * rows / parts, end = (n + 1) * rows / parts;
      T* const dby = g.norm_weight == nullptr ? nullptr : by + n * embed;
      T* const dstart = g.norm_bias == nullptr ? nullptr : start + n * embed;
      if (dby != nullptr) std::fill(dby, dby + embed, T(0));
      if (dstart != nullptr) std::fill(dstart, dstart + embed, T(0));
      layer_kernels<T>().normalise_gradient({end - i, embed, what + i * embed, b.mean + i, b.rest + i, layer.norm_weight_,
                                             gradient + i * embed, gradient + i * embed, dby, dstart});
    };
    share(parts, threads, job);
    if (g.norm_weight != nullptr) layer_kernels<T>().sum_rows(by, embed, parts, embed, g.norm_weight);
    if (g.norm_bias != nullptr) layer_kernels<T>().sum_rows(start, embed, parts, embed, g.norm_bias);
  }

  std::size_t backward_numbers() const noexcept {
    const std::size_t rows = call.batch * queries;
    return 3 * room<T>(rows * embed) + room<T>(projected(call.batch)) + 2 * room<T>(parts * embed);
  }

  Status backward(const AttentionLayerGradients<T>& g, T* memory, AttentionWorkspace& workspace, std::size_t threads) const noexcept {
    const kernels::LayerKernels<T>& k = layer_kernels<T>();
    const std::size_t rows = call.batch * queries;
    Pieces<T> pieces(memory);
    T *const dout = pieces.take(rows * embed), *const attended = pieces.take(rows * embed), *const inner = pieces.take(rows * embed);
    T *const projected_gradient = pieces.take(projected(call.batch)), *const sums = pieces.take(2 * room<T>(parts * embed));
    const Buffers b = buffers(call.saved, call.batch);

    std::copy(g.out, g.out + rows * embed, dout);
    clear(dout, 0, call.batch);
    if (norm == LayerNorm::after) norm_gradient(dout, b.rows, b, g, sums, threads);
    weight_gradient(dout, embed, embed, b.attended, rows, g.out_weight, g.out_bias, threads);
    by_rows(rows, threads, [&](std::size_t i, std::size_t end) noexcept {
      layer.out_back_.multiply({end - i, dout + i * embed, embed, nullptr, attended + i * embed, embed, 0, embed, 0, 0, tiles});
    });

    AttentionGradients a;
    a.out = tensor(attended, queries * embed, embed / heads, embed);
    place(projected_gradient, call.batch, a.q, a.k, a.v);
    a.bias = g.bias;
    Attention forward_call = attention(0, call.batch, b, true);
    forward_call.weights = nullptr;
    forward_call.which = AttentionWeights::none;
    if (const Status status = attention_backward(forward_call, a, workspace, threads); status != Status::ok) return status;

    const T* const in = norm == LayerNorm::before ? b.rows : call.input;
    const std::size_t row = self ? 3 * embed : embed;
    weight_gradient(projected_gradient, row, row, in, rows, g.in_weight, g.in_bias, threads);
    if (!self) {
      T* const kv = projected_gradient + rows * embed;
      weight_gradient(kv, 2 * embed, 2 * embed, call.context, call.batch * keys,
                      g.in_weight == nullptr ? nullptr : g.in_weight + embed * embed, g.in_bias == nullptr ? nullptr : g.in_bias + embed,
                      threads);
      if (g.context != nullptr) {
        by_rows(call.batch * keys, threads, [&](std::size_t i, std::size_t end) noexcept {
          multiply_part(kv + i * 2 * embed, 2 * embed, end - i, embed, g.context + i * embed);
        });
      }
    }
    const bool norm_before = norm == LayerNorm::before;
    if (g.input == nullptr && !(norm_before && (g.norm_weight != nullptr || g.norm_bias != nullptr))) return Status::ok;
    T* const made = g.input == nullptr ? inner : g.input;
    by_rows(rows, threads, [&](std::size_t i, std::size_t end) noexcept {
      multiply_part(projected_gradient + i * row, row, end - i, 0, made + i * embed);
    });
    if (norm_before) norm_gradient(made, call.input, b, g, sums, threads);
    if (layer.options_.residual) {
      by_rows(rows, threads, [&](std::size_t i, std::size_t end) noexcept { k.add(made + i * embed, dout + i * embed, (end - i) * embed); });
    }
    return Status::ok;
  }

  // out = in * in_weight, from row `first` of in_weight on, as many rows as `in` is wide.
  void multiply_part(const T* in, std::size_t width, std::size_t m, std::size_t first, T* out) const noexcept {
    layer.in_back_.multiply({m, in, width, nullptr, out, embed, 0, embed, first, width, tiles});
  }
};

template <class T>
Status AttentionLayer<T>::open(const AttentionLayerOptions& o) noexcept {
  if (o.embed == 0 || o.heads == 0 || o.embed % o.heads != 0 || !(o.epsilon > 0.0) || o.embed >= (std::size_t{1} << 24))
    return Status::out_of_range;
  options_ = o;
  packed_ = false;
  return Status::ok;
}

template <class T>
Status AttentionLayer<T>::pack(const AttentionLayerWeights<T>& w, std::uint64_t version, bool gradients) noexcept {
  const std::size_t embed = options_.embed;
  if (embed == 0 || w.in_weight == nullptr || w.out_weight == nullptr) return Status::out_of_range;
  packed_ = false;  // until all is there
  auto* const small = reinterpret_cast<T*>(small_.take((room<T>(3 * embed) + 3 * room<T>(embed)) * sizeof(T)));
  if (small == nullptr) return Status::out_of_memory;
  if (const Status status = in_.pack(w.in_weight, embed, 3 * embed, true, true); status != Status::ok) return status;
  if (const Status status = out_.pack(w.out_weight, embed, embed, true, true); status != Status::ok) return status;
  if (gradients) {
    if (const Status status = in_back_.pack(w.in_weight, 3 * embed, embed, false, true); status != Status::ok) return status;
    if (const Status status = out_back_.pack(w.out_weight, embed, embed, false, true); status != Status::ok) return status;
  }
  Pieces<T> pieces(small);
  const auto copy = [&](const T* from, std::size_t n, bool ones = false) -> const T* {
    T* const to = pieces.take(n);
    if (from != nullptr) {
      std::copy(from, from + n, to);
    } else if (ones) {
      std::fill(to, to + n, T(1));
    }
    return from == nullptr && !ones ? nullptr : to;
  };
  in_bias_ = copy(w.in_bias, 3 * embed);
  out_bias_ = copy(w.out_bias, embed);
  norm_weight_ = copy(w.norm_weight, embed, true);
  norm_bias_ = copy(w.norm_bias, embed);
  gradients_ = gradients;
  version_ = version;
  packed_ = true;
  return Status::ok;
}

template <class T>
std::size_t AttentionLayer<T>::saved(std::size_t batch, std::size_t queries, std::size_t keys) const noexcept {
  AttentionLayerCall<T> call;
  call.queries = queries;
  call.keys = keys;
  // The layout depends on whether there is a context; the larger one serves both.
  AttentionLayerRun<T> run{*this, call};
  const std::size_t own = queries == keys ? run.numbers(batch) : 0;
  run.self = false;
  run.keys = keys;
  return std::max(own, run.numbers(batch)) + line / sizeof(T);
}

template <class T>
Status AttentionLayer<T>::forward(const AttentionLayerCall<T>& call, AttentionLayerWorkspace& workspace,
                                  std::size_t threads) const noexcept {
  const AttentionLayerRun<T> run{*this, call};
  if (const Status status = run.check(); status != Status::ok) return status;
  if (call.batch == 0 || call.queries == 0) return Status::ok;
  threads = threads_for(threads, run.operations(), 64);
  const bool keep = call.saved != nullptr;
  const std::size_t some = std::min(call.batch, std::max<std::size_t>(1, some_rows / std::max(run.queries, run.keys)));
  const std::size_t jobs = (call.batch + some - 1) / some;
  AttentionWorkspace* const each = workspace.each(threads);
  if (each == nullptr) return Status::out_of_memory;
  // Few batches, or rows that are to be kept where the backward pass looks for them: phase by phase.
  if (keep || jobs < 2 * threads) {
    T* memory = call.saved;
    if (!keep) memory = reinterpret_cast<T*>(workspace.memory.take(run.numbers(call.batch) * sizeof(T)));
    if (memory == nullptr) return Status::out_of_memory;
    return run.forward(0, call.batch, run.buffers(memory, call.batch), keep, each[0], threads);
  }
  const std::size_t numbers = run.numbers(some);
  auto* const memory = reinterpret_cast<T*>(workspace.memory.take(threads * numbers * sizeof(T)));
  if (memory == nullptr) return Status::out_of_memory;
  std::atomic<Status> status{Status::ok};
  auto job = [&](std::size_t n, std::size_t thread) noexcept {
    const std::size_t batch = std::min(some, call.batch - n * some);
    const Status one = run.forward(n * some, batch, run.buffers(memory + thread * numbers, batch), false, each[thread], 1);
    if (one != Status::ok) status.store(one, std::memory_order_relaxed);
  };
  share(jobs, threads, job);
  return status.load(std::memory_order_relaxed);
}

template <class T>
Status AttentionLayer<T>::backward(const AttentionLayerCall<T>& call, const AttentionLayerGradients<T>& gradients,
                                   AttentionLayerWorkspace& workspace, std::size_t threads) const noexcept {
  const AttentionLayerRun<T> run{*this, call};
  if (const Status status = run.check(); status != Status::ok) return status;
  if (!gradients_ || call.saved == nullptr) return Status::stale_weights;
  threads = threads_for(threads, 2.0 * run.operations(), 64);
  AttentionWorkspace* const each = workspace.each(threads);
  auto* const memory = reinterpret_cast<T*>(workspace.memory.take(run.backward_numbers() * sizeof(T)));
  if (each == nullptr || memory == nullptr) return Status::out_of_memory;
  return run.backward(gradients, memory, each[0], threads);
}

template class AttentionLayer<float>;
template class AttentionLayer<double>;

}  // namespace fairlead
