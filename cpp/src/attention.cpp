// A call's heads, handed to the kernels: what is shared, who adds to what, in which order.
#include "fairlead/attention.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "kernels/attention.hpp"
#include "kernels/dispatch.hpp"
#include "threads.hpp"

namespace fairlead {

namespace {

using kernels::ahead;
using kernels::AttentionKernels;
using kernels::Head;
using kernels::HeadGradient;

constexpr std::size_t line = 64;
constexpr std::size_t most = std::size_t{1} << 31;

constexpr std::size_t lines(std::size_t bytes) { return (bytes + line - 1) / line * line; }

// --- bfloat16: the upper half of a float ---

float widen(std::uint16_t half) noexcept {
  const std::uint32_t bits = std::uint32_t{half} << 16;
  float out;
  std::memcpy(&out, &bits, 4);
  return out;
}

std::uint16_t narrow(float x) noexcept {
  std::uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);  // NaN
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// --- where things lie ---

template <class T>
T* number_at(void* data, Stride offset) noexcept {
  return static_cast<T*>(data) + offset;
}

Stride place(const AttentionTensor& x, std::size_t b, std::size_t h) noexcept {
  return static_cast<Stride>(b) * x.batch + static_cast<Stride>(h) * x.head;
}
Stride place(const AttentionGrid& x, std::size_t b, std::size_t h) noexcept {
  return static_cast<Stride>(b) * x.batch + static_cast<Stride>(h) * x.head;
}

// Rows of numbers of type T, as they are in memory or widened into scratch.
template <class T>
struct Rows {
  T* at = nullptr;
  Stride row = 0;
};

// Scratch of one thread, given out piece by piece.
template <class T>
class Scratch {
 public:
  explicit Scratch(T* at) noexcept : at_(at) {}
  T* take(std::size_t n) noexcept {
    T* const out = at_;
    at_ += lines(n * sizeof(T)) / sizeof(T);
    return out;
  }

 private:
  T* at_;
};

template <class T>
Rows<T> rows_in(const AttentionTensor& x, bool half, std::size_t b, std::size_t h, std::size_t n, std::size_t width, T* scratch) {
  if (!half) return {number_at<T>(x.data, place(x, b, h)), x.row};
  const auto* const from = number_at<std::uint16_t>(x.data, place(x, b, h));
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t d = 0; d < width; ++d)
      scratch[i * width + d] = static_cast<T>(widen(from[static_cast<Stride>(i) * x.row + static_cast<Stride>(d)]));
  }
  return {scratch, static_cast<Stride>(width)};
}

// Where a kernel is to write: in place, or into scratch that `rows_out` then rounds.
template <class T>
Rows<T> rows_for(const AttentionTensor& x, bool half, std::size_t b, std::size_t h, std::size_t width, T* scratch) {
  if (half) return {scratch, static_cast<Stride>(width)};
  return {number_at<T>(x.data, place(x, b, h)), x.row};
}

// Rounds the n rows that were made, and makes those up to `all` zeros.
template <class T>
void rows_out(const AttentionTensor& x, bool half, std::size_t b, std::size_t h, std::size_t n, std::size_t all, std::size_t width,
              const T* scratch) {
  for (std::size_t i = half ? 0 : n; i < all; ++i) {
    for (std::size_t d = 0; d < width; ++d) {
      const Stride at = place(x, b, h) + static_cast<Stride>(i) * x.row + static_cast<Stride>(d);
      if (half) {
        *number_at<std::uint16_t>(x.data, at) = i < n ? narrow(static_cast<float>(scratch[i * width + d])) : std::uint16_t{0};
      } else {
        *number_at<T>(x.data, at) = T(0);
      }
    }
  }
}

template <class T>
const AttentionKernels<T>& kernels_of() noexcept;
template <>
const AttentionKernels<float>& kernels_of<float>() noexcept {
  return kernels::select(kernels::attention_scalar, kernels::attention_avx2, kernels::attention_avx512);
}
template <>
const AttentionKernels<double>& kernels_of<double>() noexcept {
  return kernels::attention_double;
}

template <class T>
struct Call {
  const Attention& a;
  const AttentionShape& s = a.shape;
  const AttentionKernels<T>& k = kernels_of<T>();
  bool half = a.number == Number::bf16, half_bias = a.bias.data != nullptr && a.bias_number == Number::bf16;
  std::size_t group = s.heads / s.key_heads;

  std::size_t queries(std::size_t b) const noexcept {
    return a.query_counts == nullptr ? s.queries : static_cast<std::size_t>(a.query_counts[b]);
  }
  std::size_t keys(std::size_t b) const noexcept {
    return a.key_counts == nullptr ? s.keys : static_cast<std::size_t>(a.key_counts[b]);
  }
  T scale() const noexcept {
    return std::is_same_v<T, double> && a.scale64 != 0.0 ? static_cast<T>(a.scale64) : static_cast<T>(a.scale);
  }

  // Numbers of scratch a thread needs.
  std::size_t scratch(bool gradients) const noexcept {
    const auto room = [](std::size_t n) { return lines(n * sizeof(T)) / sizeof(T); };
    std::size_t n = room(s.depth * ahead(s.keys)) + room(kernels::scratch_of(s.queries, s.keys, gradients));
    if (half_bias) n += room(s.queries * s.keys);
    if (half) n += room(s.queries * s.depth) + room(s.keys * s.depth) + room(s.keys * s.width) + room(s.queries * s.width);
    if (!gradients) return n;
    n += room(s.width * ahead(s.keys));
    if (half) n += room(s.queries * s.width) + room(s.queries * s.depth) + room(s.keys * s.depth) + room(s.keys * s.width);
    return n;
  }

  Head<T> head(std::size_t b, std::size_t h, T* bias_scratch) const noexcept {
    Head<T> out;
    out.queries = queries(b);
    out.keys = keys(b);
    out.depth = s.depth;
    out.width = s.width;
    out.scale = scale();
    if (half_bias) {
      const auto* const from = static_cast<const std::uint16_t*>(a.bias.data) + place(a.bias, b, h);
      for (std::size_t i = 0; i < out.queries; ++i) {
        for (std::size_t j = 0; j < out.keys; ++j)
          bias_scratch[i * s.keys + j] =
              static_cast<T>(widen(from[static_cast<Stride>(i) * a.bias.query + static_cast<Stride>(j) * a.bias.key]));
      }
      out.bias = bias_scratch;
      out.bias_row = static_cast<Stride>(s.keys);
      out.bias_key = 1;
    } else if (a.bias.data != nullptr) {
      out.bias = static_cast<const T*>(a.bias.data) + place(a.bias, b, h);
      out.bias_row = a.bias.query;
      out.bias_key = a.bias.key;
    }
    if (a.mask.data != nullptr) {
      out.mask = static_cast<const std::uint8_t*>(a.mask.data) + place(a.mask, b, h);
      out.mask_row = a.mask.query;
      out.mask_key = a.mask.key;
    }
    if (a.lse != nullptr) out.lse = static_cast<T*>(a.lse) + (b * s.heads + h) * s.queries;
    return out;
  }
};

// --- forward ---

template <class T>
struct Forward {
  Call<T> call;
  T* memory;
  std::size_t each;  // numbers of scratch a thread
  bool whole_batch;  // a job has all heads of a batch, as they add to one mean
  bool far = call.s.batch * call.s.heads * call.s.queries * call.s.depth >= std::size_t{1} << 17;  // beyond the nearer caches

  void operator()(std::size_t job, std::size_t thread) noexcept {
    const AttentionShape& s = call.s;
    const std::size_t b = whole_batch ? job : job / s.key_heads;
    const std::size_t first = whole_batch ? 0 : job % s.key_heads, last = whole_batch ? s.key_heads : first + 1;
    for (std::size_t g = first; g < last; ++g) keys_of(b, g, memory + thread * each);
  }

  void keys_of(std::size_t b, std::size_t g, T* at) noexcept {
    const AttentionShape& s = call.s;
    const Attention& a = call.a;
    const std::size_t queries = call.queries(b), keys = call.keys(b);
    Scratch<T> scratch(at);
    T* const turned = scratch.take(s.depth * ahead(s.keys));
    T* const work = scratch.take(kernels::scratch_of(s.queries, s.keys, false));
    T* const bias = call.half_bias ? scratch.take(s.queries * s.keys) : nullptr;
    T *wide_q = nullptr, *wide_k = nullptr, *wide_v = nullptr, *wide_out = nullptr;
    if (call.half) {
      wide_q = scratch.take(s.queries * s.depth);
      wide_k = scratch.take(s.keys * s.depth);
      wide_v = scratch.take(s.keys * s.width);
      wide_out = scratch.take(s.queries * s.width);
    }
    const bool any = queries > 0 && keys > 0;
    Rows<T> v;
    Stride k_row = 0;
    if (any) {
      const Rows<T> k = rows_in(a.k, call.half, b, g, keys, s.depth, wide_k);
      k_row = k.row;
      v = rows_in(a.v, call.half, b, g, keys, s.width, wide_v);
      call.k.turn(k.at, k.row, keys, s.depth, turned);
    }
    for (std::size_t h = g * call.group; h < (g + 1) * call.group; ++h) {
      Head<T> head = call.head(b, h, bias);
      T* const lse = head.lse;
      T* weights = nullptr;
      if (a.weights != nullptr && a.which != AttentionWeights::none) {
        const bool mean = a.which == AttentionWeights::mean;
        weights = static_cast<T*>(a.weights) + (mean ? b : b * s.heads + h) * s.queries * s.keys;
        head.weights = weights;
        head.weights_row = static_cast<Stride>(s.keys);
        head.share = mean ? T(1) / static_cast<T>(s.heads) : T(1);
        head.add_weights = mean && h > 0;
        if (!head.add_weights) clear_weights(weights, any ? queries : 0, any ? keys : 0);
      }
      if (any) {
        const Rows<T> q = rows_in(a.q, call.half, b, h, queries, s.depth, wide_q);
        const Rows<T> out = rows_for(a.out, call.half, b, h, s.width, wide_out);
        head.q = q.at;
        head.q_row = q.row;
        head.turned_k = turned;
        head.v = v.at;
        head.v_row = v.row;
        head.out = out.at;
        head.out_row = out.row;
        if (!call.half && far) announce(b, h, g, k_row, head);
        call.k.forward(head, work);
      }
      rows_out(a.out, call.half, b, h, any ? queries : 0, s.queries, s.width, wide_out);
      if (lse != nullptr) std::fill(lse + (any ? queries : 0), lse + s.queries, -std::numeric_limits<T>::infinity());
    }
  }

  // What is likely to come next: memory is far, where there are many heads.
  void announce(std::size_t b, std::size_t h, std::size_t g, Stride k_row, Head<T>& head) const noexcept {
    const AttentionShape& s = call.s;
    const Attention& a = call.a;
    const bool last = h + 1 == s.heads;
    if (last && b + 1 == s.batch) return;
    head.next_q = number_at<T>(a.q.data, place(a.q, last ? b + 1 : b, last ? 0 : h + 1));
    if (h + 1 < (g + 1) * call.group) return;
    head.next_k = number_at<T>(a.k.data, place(a.k, last ? b + 1 : b, last ? 0 : g + 1));
    head.next_v = number_at<T>(a.v.data, place(a.v, last ? b + 1 : b, last ? 0 : g + 1));
    head.next_k_row = k_row;
  }

  // Those that no kernel writes.
  void clear_weights(T* weights, std::size_t queries, std::size_t keys) const noexcept {
    const AttentionShape& s = call.s;
    for (std::size_t i = 0; i < s.queries; ++i) {
      T* const row = weights + i * s.keys;
      std::fill(row + (i < queries ? keys : 0), row + s.keys, T(0));
    }
  }
};

// --- backward ---

constexpr std::size_t most_parts = 16;

// Sums of bias gradients that several batches share are made in parts, which are then added in their order, so that the
// result does not depend on the threads: part c has batches [c batch / parts, (c + 1) batch / parts).
template <class T>
struct Backward {
  Call<T> call;
  const AttentionGradients& g;
  T* memory;
  std::size_t each;
  std::size_t parts;   // of the batch
  bool all_heads;      // a job has all heads, as they share a bias
  T* sums = nullptr;   // [parts or batch][heads or 1][queries][keys]; null: no bias gradient is wanted
  bool one_a_batch = false;  // each batch has sums of its own

  std::size_t slabs() const noexcept { return all_heads ? 1 : call.s.heads; }

  void operator()(std::size_t job, std::size_t thread) noexcept {
    const AttentionShape& s = call.s;
    const std::size_t units = all_heads ? 1 : s.key_heads;
    const std::size_t part = job / units, unit = job % units;
    for (std::size_t b = part * s.batch / parts; b < (part + 1) * s.batch / parts; ++b) {
      const bool first_batch = one_a_batch || b == part * s.batch / parts;
      for (std::size_t u = all_heads ? 0 : unit; u < (all_heads ? s.key_heads : unit + 1); ++u) {
        keys_of(b, u, one_a_batch ? b : part, first_batch && (!all_heads || u == 0), memory + thread * each);
      }
    }
  }

  void keys_of(std::size_t b, std::size_t u, std::size_t slab, bool first, T* at) noexcept {
    const AttentionShape& s = call.s;
    const Attention& a = call.a;
    const std::size_t queries = call.queries(b), keys = call.keys(b);
    const bool half = call.half;
    Scratch<T> scratch(at);
    T* const turned_k = scratch.take(s.depth * ahead(s.keys));
    T* const turned_v = scratch.take(s.width * ahead(s.keys));
    T* const work = scratch.take(kernels::scratch_of(s.queries, s.keys, true));
    T* const bias = call.half_bias ? scratch.take(s.queries * s.keys) : nullptr;
    T* wide[8] = {};
    if (half) {
      const std::size_t sizes[8] = {s.queries * s.depth, s.keys * s.depth,    s.keys * s.width,  s.queries * s.width,
                                    s.queries * s.width, s.queries * s.depth, s.keys * s.depth, s.keys * s.width};
      for (std::size_t i = 0; i < 8; ++i) wide[i] = scratch.take(sizes[i]);
    }
    const bool any = queries > 0 && keys > 0;
    Rows<T> k, v;
    const Rows<T> dk = rows_for(g.k, half, b, u, s.depth, wide[6]), dv = rows_for(g.v, half, b, u, s.width, wide[7]);
    if (any) {
      k = rows_in(a.k, half, b, u, keys, s.depth, wide[1]);
      v = rows_in(a.v, half, b, u, keys, s.width, wide[2]);
      call.k.turn(k.at, k.row, keys, s.depth, turned_k);
      call.k.turn(v.at, v.row, keys, s.width, turned_v);
    }
    for (std::size_t h = u * call.group; h < (u + 1) * call.group; ++h) {
      T* sum = nullptr;
      const bool fresh = first && (!all_heads || h == u * call.group);
      if (sums != nullptr) {
        sum = sums + (slab * slabs() + (all_heads ? 0 : h)) * s.queries * s.keys;
        if (fresh && (queries < s.queries || keys < s.keys || !any)) std::fill(sum, sum + s.queries * s.keys, T(0));
      }
      if (any) {
        HeadGradient<T> out;
        out.head = call.head(b, h, bias);
        const Rows<T> q = rows_in(a.q, half, b, h, queries, s.depth, wide[0]);
        const Rows<T> o = rows_in(a.out, half, b, h, queries, s.width, wide[3]);
        const Rows<T> dout = rows_in(g.out, half, b, h, queries, s.width, wide[4]);
        const Rows<T> dq = rows_for(g.q, half, b, h, s.depth, wide[5]);
        out.head.q = q.at;
        out.head.q_row = q.row;
        out.head.turned_k = turned_k;
        out.head.v = v.at;
        out.head.v_row = v.row;
        out.head.out = o.at;
        out.head.out_row = o.row;
        out.k = k.at;
        out.k_row = k.row;
        out.turned_v = turned_v;
        out.out_gradient = dout.at;
        out.out_gradient_row = dout.row;
        out.q_gradient = dq.at;
        out.q_gradient_row = dq.row;
        out.k_gradient = dk.at;
        out.k_gradient_row = dk.row;
        out.v_gradient = dv.at;
        out.v_gradient_row = dv.row;
        out.add_keys = h > u * call.group;
        out.bias_gradient = sum;
        out.bias_gradient_row = static_cast<Stride>(s.keys);
        out.add_bias = !fresh || queries < s.queries || keys < s.keys;
        call.k.backward(out, work);
      }
      rows_out(g.q, half, b, h, any ? queries : 0, s.queries, s.depth, wide[5]);
    }
    rows_out(g.k, half, b, u, any ? keys : 0, s.keys, s.depth, wide[6]);
    rows_out(g.v, half, b, u, any ? keys : 0, s.keys, s.width, wide[7]);
  }
};

Status check(const Attention& a) noexcept {
  const AttentionShape& s = a.shape;
  if (s.heads == 0 || s.key_heads == 0 || s.depth == 0 || s.width == 0 || s.heads % s.key_heads != 0) return Status::out_of_range;
  for (const std::size_t n : {s.batch, s.heads, s.queries, s.keys, s.depth, s.width})
    if (n >= most) return Status::too_long;
  if (s.queries * s.keys >= most || s.batch * s.heads >= most) return Status::too_long;
  // What is copied and summed inside: no product of sizes wraps, also where rows are expanded by a stride of 0.
  if ((s.queries + s.keys) * (s.depth + s.width) >= most * 256 || s.heads * (s.queries * s.keys) >= most * 4096) return Status::too_long;
  for (std::size_t b = 0; b < s.batch; ++b) {
    const auto wrong = [&](const std::int64_t* counts, std::size_t n) {
      return counts != nullptr && (counts[b] < 0 || static_cast<std::uint64_t>(counts[b]) > n);
    };
    if (wrong(a.query_counts, s.queries) || wrong(a.key_counts, s.keys)) return Status::out_of_range;
  }
  return Status::ok;
}

double operations(const AttentionShape& s) noexcept {
  return 2.0 * static_cast<double>(s.batch * s.heads) * static_cast<double>(s.queries * s.keys) * static_cast<double>(s.depth + s.width);
}

template <class T>
Status forward(const Attention& a, AttentionWorkspace& workspace, std::size_t threads) noexcept {
  Call<T> call{a};
  const AttentionShape& s = a.shape;
  const bool whole = a.weights != nullptr && a.which == AttentionWeights::mean;
  const std::size_t jobs = whole ? s.batch : s.batch * s.key_heads;
  if (jobs == 0 || s.queries == 0) return Status::ok;
  threads = threads_for(threads, operations(s), jobs);
  const std::size_t each = call.scratch(false);
  std::byte* const memory = workspace.take(threads * each * sizeof(T));
  if (memory == nullptr) return Status::out_of_memory;
  Forward<T> work{call, reinterpret_cast<T*>(memory), each, whole};
  share(jobs, threads, work);
  return Status::ok;
}

template <class T>
Status backward(const Attention& a, const AttentionGradients& g, AttentionWorkspace& workspace, std::size_t threads) noexcept {
  Call<T> call{a};
  const AttentionShape& s = a.shape;
  const AttentionGrid& bias = a.bias;
  const bool wanted = g.bias != nullptr && bias.data != nullptr;
  if (wanted && (s.batch == 0 || s.queries == 0 || s.keys == 0)) {  // nobody looks at anybody
    std::size_t n = 1;
    const std::array<std::pair<Stride, std::size_t>, 4> axes{{{bias.batch, s.batch}, {bias.head, s.heads}, {bias.query, s.queries}, {bias.key, s.keys}}};
    for (const auto& [stride, size] : axes) n *= stride == 0 ? 1 : size;
    std::fill_n(static_cast<T*>(g.bias), n, T(0));
  }
  if (s.batch == 0) return Status::ok;
  const bool one_batch = bias.batch == 0 && s.batch > 1, one_head = bias.head == 0 && s.heads > 1;
  const bool one_query = bias.query == 0 && s.queries > 1, one_key = bias.key == 0 && s.keys > 1;
  const bool all_heads = wanted && one_head;
  const std::size_t parts = wanted && one_batch ? std::min(s.batch, most_parts) : s.batch;
  const std::size_t slab = s.queries * s.keys, slabs = all_heads ? 1 : s.heads;
  // Sums that are the result already are made in place.
  const bool in_place = wanted && !one_batch && !one_query && !one_key;
  const std::size_t jobs = parts * (all_heads ? 1 : s.key_heads);
  threads = threads_for(threads, 2.5 * operations(s), jobs);
  const std::size_t each = call.scratch(true), extra = wanted && !in_place ? lines(parts * slabs * slab * sizeof(T)) : 0;
  std::byte* const memory = workspace.take(extra + threads * each * sizeof(T));
  if (memory == nullptr) return Status::out_of_memory;
  Backward<T> work{call, g, reinterpret_cast<T*>(memory + extra), each, parts, all_heads};
  if (wanted) work.sums = in_place ? static_cast<T*>(g.bias) : reinterpret_cast<T*>(memory);
  work.one_a_batch = !one_batch;
  share(jobs, threads, work);
  if (!wanted || in_place) return Status::ok;
  // The parts in their order, then along the axes that the bias does not have.
  T* const sums = work.sums;
  const std::size_t left = one_batch ? 1 : s.batch;
  if (one_batch) {
    for (std::size_t part = 1; part < parts; ++part) {
      for (std::size_t i = 0; i < slabs * slab; ++i) sums[i] += sums[part * slabs * slab + i];
    }
  }
  T* out = static_cast<T*>(g.bias);
  const std::size_t rows = one_query ? 1 : s.queries, columns = one_key ? 1 : s.keys;
  for (std::size_t n = 0; n < left * slabs; ++n, out += rows * columns) {
    std::fill(out, out + rows * columns, T(0));
    for (std::size_t i = 0; i < s.queries; ++i) {
      for (std::size_t j = 0; j < s.keys; ++j)
        out[(one_query ? 0 : i) * columns + (one_key ? 0 : j)] += sums[n * slab + i * s.keys + j];
    }
  }
  return Status::ok;
}

}  // namespace

AttentionWorkspace::AttentionWorkspace() noexcept = default;
AttentionWorkspace::~AttentionWorkspace() = default;
AttentionWorkspace::AttentionWorkspace(AttentionWorkspace&&) noexcept = default;
AttentionWorkspace& AttentionWorkspace::operator=(AttentionWorkspace&&) noexcept = default;

void AttentionWorkspace::Free::operator()(std::byte* p) const noexcept { ::operator delete(p, std::align_val_t{line}); }

std::byte* AttentionWorkspace::take(std::size_t bytes) noexcept {
  if (bytes > bytes_) {
    memory_.reset();
    bytes_ = 0;
    memory_.reset(static_cast<std::byte*>(::operator new(lines(bytes), std::align_val_t{line}, std::nothrow)));
    if (memory_ != nullptr) bytes_ = bytes;
  }
  return memory_.get();
}

Status attention_forward(const Attention& call, AttentionWorkspace& workspace, std::size_t threads) noexcept {
  if (const Status status = check(call); status != Status::ok) return status;
  return call.number == Number::f64 ? forward<double>(call, workspace, threads) : forward<float>(call, workspace, threads);
}

Status attention_backward(const Attention& call, const AttentionGradients& gradients, AttentionWorkspace& workspace,
                          std::size_t threads) noexcept {
  if (const Status status = check(call); status != Status::ok) return status;
  return call.number == Number::f64 ? backward<double>(call, gradients, workspace, threads)
                                    : backward<float>(call, gradients, workspace, threads);
}

}  // namespace fairlead
