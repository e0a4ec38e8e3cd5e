// Attention for numpy arrays and torch tensors. `attention` is what the public function calls: it takes the short way
// where nothing but numbers is asked for, and leaves the rest (gradients, autocast, tensors that hold no numbers) to
// Python.
#include "fairlead/attention.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "tensors.hpp"

namespace fairlead::bindings {

namespace {

PyObject* otherwise = nullptr;  // Python's attention for what is not done here

struct Memory {
  AttentionWorkspace workspace;
  std::vector<std::int64_t> query_counts, key_counts;
};

Memory& memory() {
  thread_local Memory own;
  return own;
}

[[noreturn]] void wrong_shapes(const char* argument, const View& given, const char* other, const View& with,
                               const char* why) {
  throw py::value_error(std::string(argument) + " has shape " + shape_text(given) + ", " + other + " has " +
                        shape_text(with) + ": " + why);
}

[[noreturn]] void wrong_dtype(const char* argument, const View& given, const std::string& why) {
  throw py::type_error(std::string(argument) + " has dtype " +
                       py::str(py::handle(given.object).attr("dtype")).cast<std::string>() + ", " + why);
}

// The object in words, short enough for a message.
std::string said(PyObject* object) {
  const auto text = py::repr(object).cast<std::string>();
  return text.size() <= 40 ? text : "a " + py::str(py::type::of(object).attr("__name__")).cast<std::string>();
}

std::int64_t whole(PyObject* number, const std::string& argument) {
  const long long out = PyLong_AsLongLong(number);
  if (out != -1 || PyErr_Occurred() == nullptr) return out;
  const bool large = PyErr_ExceptionMatches(PyExc_OverflowError) != 0;
  PyErr_Clear();
  if (large) throw py::value_error(argument + " is " + said(number) + ", beyond 64 bits");
  throw py::type_error(argument + " is " + said(number) + ", must be a whole number");
}

View read(PyObject* object, const char* argument, const View& q) {
  View out = tensor_view(object, argument);
  if (q.given() && out.library != q.library) {
    const char* const names[] = {"numpy array", "torch tensor"};
    throw py::type_error(std::string(argument) + " is a " + names[static_cast<int>(out.library)] + ", q is a " +
                         names[static_cast<int>(q.library)]);
  }
  return out;
}

// Axis `i` of [batch, head, row, number]; the leading ones may be missing.
std::int64_t size_of(const View& x, int i) noexcept {
  const int axis = i - (4 - x.ndim);
  return axis < 0 ? 1 : x.shape[static_cast<std::size_t>(axis)];
}
Stride stride_of(const View& x, int i) noexcept {
  const int axis = i - (4 - x.ndim);
  return axis < 0 ? 0 : static_cast<Stride>(x.strides[static_cast<std::size_t>(axis)]);
}

bool rows_side_by_side(const View& x) noexcept { return size_of(x, 3) <= 1 || stride_of(x, 3) == 1 || x.empty(); }

AttentionTensor tensor_of(const View& x) noexcept {
  return {x.data, stride_of(x, 0), stride_of(x, 1), stride_of(x, 2)};
}

std::string broadcast_text(const AttentionShape& s) {
  return "(" + std::to_string(s.batch) + ", " + std::to_string(s.heads) + ", " + std::to_string(s.queries) + ", " +
         std::to_string(s.keys) + ")";
}

// A grid that is broadcast from the right to (batch, heads, queries, keys).
AttentionGrid grid_of(const View& x, const char* argument, const AttentionShape& s) {
  const std::size_t full[4] = {s.batch, s.heads, s.queries, s.keys};
  Stride strides[4];
  for (int i = 0; i < 4; ++i) {
    const std::int64_t size = size_of(x, i);
    if (size != 1 && size != static_cast<std::int64_t>(full[i])) {
      throw py::value_error(std::string(argument) + " has shape " + shape_text(x) +
                            ", which does not broadcast to (batch, heads, queries, keys) = " + broadcast_text(s));
    }
    strides[i] = size == 1 ? 0 : stride_of(x, i);
  }
  return {x.data, strides[0], strides[1], strides[2], strides[3]};
}

AttentionShape shape_of(const View& q, const View& k, const View& v) {
  if (q.ndim < 2) {
    throw py::value_error("q has shape " + shape_text(q) +
                          ", must be (batch, heads, queries, depth), or without the leading axes");
  }
  const auto like_q = [&](const View& x, const char* argument) {
    if (x.ndim != q.ndim) wrong_shapes(argument, x, "q", q, "the number of dimensions must be the same");
    if (size_of(x, 0) != size_of(q, 0)) wrong_shapes(argument, x, "q", q, "the batch must be the same");
    if (x.element != q.element) {
      wrong_dtype(argument, x, "q has " + py::str(py::handle(q.object).attr("dtype")).cast<std::string>());
    }
  };
  if (q.element != Element::f32 && q.element != Element::f64 && q.element != Element::bf16)
    wrong_dtype("q", q,
                q.library == Library::numpy ? "must be float32 or float64" : "must be float32, bfloat16 or float64");
  like_q(k, "k");
  like_q(v, "v");
  if (size_of(k, 3) != size_of(q, 3)) wrong_shapes("k", k, "q", q, "the last axis must be the same");
  if (size_of(v, 1) != size_of(k, 1)) wrong_shapes("v", v, "k", k, "the heads must be the same");
  if (size_of(v, 2) != size_of(k, 2)) wrong_shapes("v", v, "k", k, "the number of keys must be the same");
  if (size_of(k, 1) == 0 || size_of(q, 1) == 0 || size_of(q, 1) % size_of(k, 1) != 0)
    wrong_shapes("k", k, "q", q, "its heads must divide those of q");
  if (size_of(q, 3) == 0) throw py::value_error("q has shape " + shape_text(q) + ", the last axis must not be empty");
  if (size_of(v, 3) == 0) throw py::value_error("v has shape " + shape_text(v) + ", the last axis must not be empty");
  const auto size = [](const View& x, int i) { return static_cast<std::size_t>(size_of(x, i)); };
  return {size(q, 0), size(q, 1), size(k, 1), size(q, 2), size(k, 2), size(q, 3), size(v, 3)};
}

void not_elsewhere(PyObject* tensor, const std::string& argument) {
  if (!is_torch(tensor)) return;
  const py::object device = py::handle(tensor).attr("device");
  if (device.attr("type").cast<std::string>() != "cpu")
    throw py::value_error(argument + " is on " + py::str(device).cast<std::string>() + ", must be on the CPU");
}

bool is_int64(PyObject* given) {
  return (is_numpy(given) || is_torch(given)) && tensor_view(given, "counts").element == Element::i64;
}

// An array of int64, a tuple of int, or None: what can be read with no Python running.
py::object plain_counts(PyObject* given, const char* argument, std::size_t batch) {
  if (given == Py_None) return py::none();
  if (is_numpy(given) || is_torch(given)) {
    const View view = [&] {
      try {
        return tensor_view(given, argument);
      } catch (const LeaveToPython&) {
        not_elsewhere(given, argument);
        throw;
      }
    }();
    if (view.element == Element::f32 || view.element == Element::f64 || view.element == Element::bf16 ||
        view.element == Element::boolean)
      wrong_dtype(argument, view, "must be int64");
    if (view.ndim != 1 || view.shape[0] != static_cast<std::int64_t>(batch)) {
      throw py::value_error(std::string(argument) + " has shape " + shape_text(view) + ", must have (" +
                            std::to_string(batch) + ",): one for each of the batch");
    }
    if (view.element == Element::i64) return py::reinterpret_borrow<py::object>(given);
  }
  py::object items = py::reinterpret_steal<py::object>(PySequence_Tuple(given));
  if (!items || PyUnicode_Check(given) || PyBytes_Check(given)) {
    PyErr_Clear();
    throw py::type_error(std::string(argument) + " is " + said(given) +
                         ", must be an int64 array or a sequence of whole numbers, one for each of the batch");
  }
  const Py_ssize_t n = PyTuple_GET_SIZE(items.ptr());
  if (static_cast<std::size_t>(n) != batch) {
    throw py::value_error(std::string(argument) + " has length " + std::to_string(n) + ", the batch is " +
                          std::to_string(batch));
  }
  Py_ssize_t whole = 0;
  while (whole < n && PyLong_Check(PyTuple_GET_ITEM(items.ptr(), whole))) ++whole;
  if (whole == n) return items;
  py::tuple out(batch);
  for (std::size_t b = 0; b < batch; ++b) {
    PyObject* const one = PyTuple_GET_ITEM(items.ptr(), static_cast<Py_ssize_t>(b));
    PyObject* const index = PyNumber_Index(one);
    if (index == nullptr) {
      PyErr_Clear();
      throw py::type_error(std::string(argument) + "[" + std::to_string(b) + "] is " +
                           py::repr(one).cast<std::string>() + ", must be a whole number");
    }
    out[b] = detail::steal(index);
  }
  return out;
}

const std::int64_t* counts_of(PyObject* given, const char* argument, std::size_t batch, std::size_t most,
                              std::vector<std::int64_t>& to) {
  if (given == Py_None) return nullptr;
  to.clear();
  if (is_int64(given)) {
    const View view = tensor_view(given, argument);
    for (std::int64_t b = 0; b < view.shape[0]; ++b)
      to.push_back(static_cast<const std::int64_t*>(view.data)[b * view.strides[0]]);
  } else {
    for (std::size_t b = 0; b < batch; ++b)
      to.push_back(detail::whole(PyTuple_GET_ITEM(given, static_cast<Py_ssize_t>(b))));
  }
  if (to.size() != batch) throw py::value_error(std::string(argument) + " has changed meanwhile");
  for (std::size_t b = 0; b < batch; ++b) {
    if (to[b] < 0 || static_cast<std::uint64_t>(to[b]) > most) {
      throw py::value_error(std::string(argument) + "[" + std::to_string(b) + "] is " + std::to_string(to[b]) +
                            ", outside [0, " + std::to_string(most) + "]");
    }
  }
  to.push_back(0);  // so that there is an address, even where the batch is empty
  return to.data();
}

void read_counts(PyObject* counts, Attention& call, Memory& own) {
  if (counts == Py_None) return;
  PyObject *queries = counts, *keys = counts;
  const auto number = [](PyObject* x) {  // of any kind: numpy's, a tensor without axes
    if (x == Py_None) return false;
    if (PyLong_Check(x)) return true;
    const bool sized = PyObject_Size(x) >= 0;
    if (!sized) PyErr_Clear();
    return !sized;
  };
  const bool two = PyTuple_CheckExact(counts) && PyTuple_GET_SIZE(counts) == 2 &&
                   !number(PyTuple_GET_ITEM(counts, 0)) && !number(PyTuple_GET_ITEM(counts, 1));
  if (two) queries = PyTuple_GET_ITEM(counts, 0), keys = PyTuple_GET_ITEM(counts, 1);
  const std::size_t batch = call.shape.batch;
  const char *const first = two ? "counts[0]" : "counts", *const second = two ? "counts[1]" : "counts";
  // Both before either is read: a number's __index__ might call us again, and our memory is one for the thread.
  const py::object of_queries = plain_counts(queries, first, batch);
  const py::object of_keys = two ? plain_counts(keys, second, batch) : of_queries;
  call.query_counts = counts_of(of_queries.ptr(), first, batch, call.shape.queries, own.query_counts);
  call.key_counts = counts_of(of_keys.ptr(), second, batch, call.shape.keys, own.key_counts);
}

void read_scale(PyObject* given, Attention& call) {
  double scale = 1.0 / std::sqrt(static_cast<double>(call.shape.depth));
  if (given != Py_None) {
    scale = PyFloat_AsDouble(given);
    if (scale == -1.0 && PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      throw py::type_error("scale is " + said(given) + ", must be a number");
    }
    if (!std::isfinite(scale)) throw py::value_error("scale is " + show(scale) + ", must be finite");
  }
  if (call.number != Number::f64 && std::abs(scale) > static_cast<double>(std::numeric_limits<float>::max()))
    throw py::value_error("scale is " + show(scale) + ", must be finite in float32");
  call.scale = static_cast<float>(scale);
  call.scale64 = scale;
}

std::size_t read_threads(PyObject* given) {
  if (given == Py_None) return 0;
  const std::int64_t threads = whole(given, "threads");
  if (threads < 1 || threads > 4096)
    throw py::value_error("threads is " + std::to_string(threads) + ", outside [1, 4096]");
  return static_cast<std::size_t>(threads);
}

AttentionWeights read_weights(PyObject* given) {
  if (given == Py_None) return AttentionWeights::none;
  if (PyUnicode_Check(given)) {
    if (PyUnicode_CompareWithASCIIString(given, "each") == 0) return AttentionWeights::each;
    if (PyUnicode_CompareWithASCIIString(given, "mean") == 0) return AttentionWeights::mean;
  }
  throw py::value_error("weights is " + py::repr(given).cast<std::string>() + ", must be None, 'each' or 'mean'");
}

// About 20 us of work: what is longer lets other Python threads run.
bool long_work(const Attention& a) noexcept {
  const AttentionShape& s = a.shape;
  const double heads = static_cast<double>(s.batch) * static_cast<double>(s.heads);
  const double numbers =
      heads * static_cast<double>(s.queries) * static_cast<double>(s.keys) * static_cast<double>(s.depth + s.width);
  return numbers + 5e3 * heads > (a.number == Number::f64 ? 1e4 : 5e5);
}

template <class Work>
void run(const Attention& a, Work work) {
  Status status = Status::ok;
  if (long_work(a)) {
    const py::gil_scoped_release release;
    status = work();
  } else {
    status = work();
  }
  check(status, "attention");
}

struct Inputs {
  View q, k, v, bias, mask;
  Attention call;
};

void read_inputs(PyObject* const* x, PyObject* bias, PyObject* mask, Inputs& in) {
  in.q = read(x[0], "q", {});
  in.k = read(x[1], "k", in.q);
  in.v = read(x[2], "v", in.q);
  Attention& call = in.call;
  call.shape = shape_of(in.q, in.k, in.v);
  for (const View* const view : {&in.q, &in.k, &in.v})
    if (!rows_side_by_side(*view)) throw LeaveToPython{};  // which copies it
  call.number = in.q.element == Element::f64 ? Number::f64 : in.q.element == Element::bf16 ? Number::bf16 : Number::f32;
  call.q = tensor_of(in.q);
  call.k = tensor_of(in.k);
  call.v = tensor_of(in.v);
  if (bias != Py_None) {
    in.bias = read(bias, "bias", in.q);
    const bool wide = call.number == Number::f64;
    const Element given = in.bias.element;
    if (given == Element::boolean) wrong_dtype("bias", in.bias, "what is boolean is a mask: mask=");
    if (given != (wide ? Element::f64 : Element::f32) && (wide || given != Element::bf16)) {
      wrong_dtype(
          "bias", in.bias,
          std::string("must be ") + (wide ? "float64" : "float32 or bfloat16") + ", as q is " + name(in.q.element));
    }
    call.bias_number = wide ? Number::f64 : given == Element::bf16 ? Number::bf16 : Number::f32;
    call.bias = grid_of(in.bias, "bias", call.shape);
  }
  if (mask != Py_None) {
    in.mask = read(mask, "mask", in.q);
    if (in.mask.element != Element::boolean)
      wrong_dtype("mask", in.mask, "must be bool; what is added to the logits is bias=");
    call.mask = grid_of(in.mask, "mask", call.shape);
  }
}

// The shape that a result must have: the leading axes of q, then these.
struct Axes {
  std::array<std::int64_t, 4> sizes{};
  int n = 0;
};
Axes axes(const View& q, bool heads, std::initializer_list<std::size_t> last) {
  Axes out;
  const int leading = q.ndim - 2 - (heads || q.ndim < 3 ? 0 : 1);
  for (int i = 0; i < leading; ++i) out.sizes[static_cast<std::size_t>(out.n++)] = q.shape[static_cast<std::size_t>(i)];
  for (const std::size_t n : last) out.sizes[static_cast<std::size_t>(out.n++)] = static_cast<std::int64_t>(n);
  return out;
}

std::size_t numbers_of(const View& x) noexcept {
  std::size_t n = 1;
  for (int i = 0; i < x.ndim; ++i) n *= static_cast<std::size_t>(x.shape[static_cast<std::size_t>(i)]);
  return n;
}

bool without_gaps(const View& x) noexcept {
  std::int64_t step = 1;
  for (auto axis = static_cast<std::size_t>(x.ndim); axis-- > 0; step *= x.shape[axis])
    if (x.shape[axis] > 1 && x.strides[axis] != step) return false;
  return true;
}

// --- who shares memory with whom ---

std::int64_t bytes_of(Element element) noexcept {
  switch (element) {
    case Element::f64:
    case Element::i64: return 8;
    case Element::f32: return 4;
    case Element::bf16: return 2;
    default: return 1;
  }
}

// From its first byte to behind its last.
struct Extent {
  std::intptr_t from, to;
};
Extent extent_of(const View& x) noexcept {
  const std::int64_t each = bytes_of(x.element);
  Extent out{reinterpret_cast<std::intptr_t>(x.data), reinterpret_cast<std::intptr_t>(x.data) + each};
  for (std::size_t axis = 0; axis < static_cast<std::size_t>(x.ndim); ++axis) {
    const std::int64_t reach = x.strides[axis] * (x.shape[axis] - 1) * each;
    (reach < 0 ? out.from : out.to) += reach;
  }
  return out;
}

// Runs of `run` bytes, repeated along axes whose strides are multiples of `step` (0: one run).
struct Runs {
  std::int64_t run = 0, step = 0;
  bool crossed = false;  // an axis has a stride that is less than what lies inside it
};
Runs runs_of(const View& x) noexcept {
  struct Axis {
    std::int64_t stride, size;
  };
  std::array<Axis, View::most_axes> axes{};  // by stride
  std::size_t n = 0;
  const std::int64_t each = bytes_of(x.element);
  for (std::size_t axis = static_cast<std::size_t>(x.ndim); axis-- > 0;) {
    if (x.shape[axis] <= 1) continue;
    const std::int64_t stride = std::abs(x.strides[axis]) * each;
    std::size_t place = n++;
    for (; place > 0 && axes[place - 1].stride > stride; --place) axes[place] = axes[place - 1];
    axes[place] = {stride, x.shape[axis]};
  }
  Runs out;
  out.run = each;
  std::int64_t inside = each;
  for (const Axis& axis : std::span(axes).first(n)) {
    out.crossed = out.crossed || axis.stride < inside;
    inside += axis.stride * (axis.size - 1);
    if (out.step == 0 && axis.stride == out.run) {
      out.run *= axis.size;
    } else {
      out.step = std::gcd(out.step, axis.stride);
    }
  }
  return out;
}

// Of two that are not empty. True also where it cannot be told; views of one packed tensor are told apart.
bool share(const View& x, const Extent& of_x, const View& y) noexcept {
  const Extent of_y = extent_of(y);
  if (of_x.to <= of_y.from || of_y.to <= of_x.from) return false;
  const Runs a = runs_of(x), b = runs_of(y);
  const std::int64_t step = std::gcd(a.step, b.step);
  if (step == 0) return true;
  const std::int64_t apart = ((of_x.from - of_y.from) % step + step) % step;  // where x's runs begin among y's
  return !(apart >= b.run && apart + a.run <= step);
}

View written(PyObject* object, const char* argument, const View& q, const Axes& wanted) {
  const View view = read(object, argument, q);
  if (view.element != q.element) wrong_dtype(argument, view, std::string("must be ") + name(q.element) + ", as q is");
  if (view.ndim != wanted.n || !std::equal(view.shape.begin(), view.shape.begin() + wanted.n, wanted.sizes.begin())) {
    std::string text = "(";
    for (int i = 0; i < wanted.n; ++i)
      text += (i > 0 ? ", " : "") + std::to_string(wanted.sizes[static_cast<std::size_t>(i)]);
    throw py::value_error(std::string(argument) + " has shape " + shape_text(view) + ", must have " + text + ")");
  }
  if (!view.writable) throw py::value_error(std::string(argument) + " is read-only");
  if (!rows_side_by_side(view))
    throw py::value_error(std::string(argument) + " has a stride of " + std::to_string(stride_of(view, 3)) +
                          " in its last axis, must have 1");
  return view;
}

PyObject* const* padded(PyObject* const* given, Py_ssize_t n, PyObject** to, Py_ssize_t all, Py_ssize_t least,
                        const char* function) {
  if (n == all) return given;
  if (n < least || n > all) {
    throw py::type_error(std::string(function) + "() takes from " + std::to_string(least) + " to " +
                         std::to_string(all) + " positional arguments, " + std::to_string(n) + " given");
  }
  for (Py_ssize_t i = 0; i < all; ++i) to[i] = i < n ? given[i] : Py_None;
  return to;
}

enum Argument : std::uint8_t {
  a_q,
  a_k,
  a_v,
  a_bias,
  a_mask,
  a_counts,
  a_scale,
  a_weights,
  a_lse,
  a_out,
  a_threads,
  a_all
};

bool wants(PyObject* flag) {
  const int truth = flag == Py_None ? 0 : PyObject_IsTrue(flag);
  if (truth < 0) {
    PyErr_Clear();
    throw py::type_error("return_lse is " + said(flag) + ", must be True or False");
  }
  return truth != 0;
}

// What torch has in mind for these tensors besides their numbers.
enum class Watch : std::uint8_t { nothing, memory, gradients, more };  // memory: what is written into it

Watch watched(PyObject* const* x) {
  const TorchSide& torch = torch_side();
  if (!is_torch(x[a_q])) return Watch::nothing;
  if (truth_of_call(torch.is_autocast_enabled) || truth_of_call(torch.dispatch_modes) ||
      truth_of_call(torch.is_tracing))
    return Watch::more;
  if (torch.forward_mode != nullptr) {  // the level of forward-mode derivatives, -1 where there are none
    PyObject* const level = PyDict_GetItemWithError(torch.forward_mode, torch.current_level);
    if (level != nullptr && PyLong_Check(level) && detail::whole(level) >= 0) return Watch::more;
  }
  if (!truth_of_call(torch.is_grad_enabled)) return Watch::nothing;
  for (const int i : {a_q, a_k, a_v, a_bias, a_out}) {
    if (!is_torch(x[i])) continue;
    const py::object needed = detail::steal(PyObject_GetAttr(x[i], torch.requires_grad));
    if (needed.ptr() != Py_True) continue;
    return x[a_out] == Py_None && !truth_of_call(torch.transforms_active) ? Watch::gradients : Watch::more;
  }
  return Watch::memory;
}

// Straight to autograd, once it is sure that there is memory to read.
PyObject* train(PyObject* const* x) {
  Inputs in;
  read_inputs(x, x[a_bias], x[a_mask], in);
  PyObject* const given[] = {x[a_q],      x[a_k],     x[a_v],       x[a_bias], x[a_mask],
                             x[a_counts], x[a_scale], x[a_weights], x[a_lse],  x[a_threads]};
  return PyObject_Vectorcall(torch_side().train, given, std::size(given), nullptr);
}

PyObject* forward(PyObject* const* x) {
  Memory& own = memory();
  Inputs in;
  read_inputs(x, x[a_bias], x[a_mask], in);
  Attention& call = in.call;
  const AttentionShape& s = call.shape;
  read_scale(x[a_scale], call);
  call.which = read_weights(x[a_weights]);
  const std::size_t threads = read_threads(x[a_threads]);
  const bool with_lse = wants(x[a_lse]), with_weights = call.which != AttentionWeights::none;

  py::object out;
  const Axes out_axes = axes(in.q, true, {s.queries, s.width});
  if (x[a_out] != Py_None) {
    out = py::reinterpret_borrow<py::object>(x[a_out]);
  } else {
    out = s.width == s.depth ? new_like(in.q) : new_tensor(in.q, in.q.element, out_axes.sizes.data(), out_axes.n);
  }
  const View written_to = written(out.ptr(), "out", in.q, out_axes);
  call.out = tensor_of(written_to);
  if (x[a_out] != Py_None && !written_to.empty()) {
    if (!without_gaps(written_to) && runs_of(written_to).crossed)
      throw py::value_error("out is a view whose numbers share memory");
    const Extent extent = extent_of(written_to);
    const std::pair<const View*, const char*> others[] = {
        {&in.q, "q"}, {&in.k, "k"}, {&in.v, "v"}, {&in.bias, "bias"}, {&in.mask, "mask"}};
    for (const auto& [view, argument] : others)
      if (view->given() && !view->empty() && share(written_to, extent, *view))
        throw py::value_error(std::string("out shares memory with ") + argument + ", must have memory of its own");
  }

  const Element wide = call.number == Number::f64 ? Element::f64 : Element::f32;
  py::object lse, weights;
  const auto made = [&](const Axes& shape, py::object& object) {
    object = new_tensor(in.q, wide, shape.sizes.data(), shape.n);
    return tensor_view(object.ptr(), "weights").data;
  };
  if (with_lse) call.lse = made(axes(in.q, true, {s.queries}), lse);
  if (with_weights) call.weights = made(axes(in.q, call.which == AttentionWeights::each, {s.queries, s.keys}), weights);
  read_counts(x[a_counts], call, own);  // last: what Python does before might call us again
  run(call, [&]() noexcept { return attention_forward(call, own.workspace, threads); });
  if (!with_lse && !with_weights) return out.release().ptr();
  py::object all = detail::steal(PyTuple_New(1 + (with_weights ? 1 : 0) + (with_lse ? 1 : 0)));
  Py_ssize_t n = 0;
  PyTuple_SET_ITEM(all.ptr(), n++, out.release().ptr());
  if (with_weights) PyTuple_SET_ITEM(all.ptr(), n++, weights.release().ptr());
  if (with_lse) PyTuple_SET_ITEM(all.ptr(), n++, lse.release().ptr());
  return all.release().ptr();
}

PyObject* attention(PyObject*, PyObject* const* given, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    PyObject* room[a_all];
    PyObject* const* const x = padded(given, n, room, a_all, 3, "attention");
    try {
      switch (watched(x)) {
        case Watch::nothing: return forward(x);
        case Watch::memory: {
          py::object made = detail::steal(forward(x));
          if (x[a_out] != Py_None && is_torch(x[a_out])) {
            PyObject* const changed = x[a_out];  // what autograd has saved of it is so no more
            detail::steal(PyObject_Vectorcall(torch_side().changed, &changed, 1, nullptr));
          }
          return made.release().ptr();
        }
        case Watch::gradients: return train(x);
        case Watch::more: break;
      }
    } catch (const LeaveToPython&) {
    }
    if (otherwise == nullptr) throw py::type_error("q, k and v must be numpy arrays or torch tensors");
    return PyObject_Vectorcall(otherwise, x, a_all, nullptr);
  });
}

struct Named {
  const char* name;
  PyObject* object;
  bool needed = false, rows = false;  // rows: its numbers must lie side by side
};

// Says which of the arguments it was that could not be read.
[[noreturn]] void refuse(std::initializer_list<Named> arguments) {
  for (const auto& [name, object, needed, rows] : arguments) {
    if (object == Py_None && !needed) continue;
    const std::string what = name;
    if (!is_numpy(object) && !is_torch(object)) {
      throw py::type_error(what + " is " + py::str(py::type::of(object).attr("__name__")).cast<std::string>() +
                           ", must be a numpy array or a torch tensor");
    }
    not_elsewhere(object, what);
    try {
      const View view = tensor_view(object, name);
      if (rows && !rows_side_by_side(view)) {
        throw py::value_error(what + " has a stride of " + std::to_string(stride_of(view, 3)) +
                              " in its last axis, must have 1");
      }
    } catch (const LeaveToPython&) {
      throw py::type_error(what + " holds no numbers that can be read here");
    }
  }
  throw py::type_error("the arguments must be numpy arrays or torch tensors in the memory of the CPU");
}

PyObject* attention_numbers(PyObject*, PyObject* const* given, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    PyObject* room[a_all];
    PyObject* const* const x = padded(given, n, room, a_all, 3, "attention_numbers");
    try {
      return forward(x);
    } catch (const LeaveToPython&) {
      refuse({{"q", x[a_q], true, true},
              {"k", x[a_k], true, true},
              {"v", x[a_v], true, true},
              {"bias", x[a_bias]},
              {"mask", x[a_mask]},
              {"out", x[a_out], false, true}});
    }
  });
}

py::object contiguous(const View& x) {
  if (x.library == Library::numpy) return py::module_::import("numpy").attr("ascontiguousarray")(py::handle(x.object));
  return detail::steal(PyObject_CallMethodNoArgs(x.object, torch_side().contiguous));
}

enum GradientArgument : std::uint8_t {
  g_q,
  g_k,
  g_v,
  g_bias,
  g_mask,
  g_counts,
  g_scale,
  g_out,
  g_lse,
  g_grad,
  g_bias_wanted,
  g_threads,
  g_all
};

PyObject* attention_gradients(PyObject*, PyObject* const* given, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    PyObject* room[g_all];
    PyObject* const* const x = padded(given, n, room, g_all, g_grad + 1, "attention_gradients");
    try {
      Memory& own = memory();
      Inputs in;
      read_inputs(x, x[g_bias], x[g_mask], in);
      Attention& call = in.call;
      const AttentionShape& s = call.shape;
      read_scale(x[g_scale], call);
      const std::size_t threads = read_threads(x[g_threads]);
      const Axes out_axes = axes(in.q, true, {s.queries, s.width});
      const auto like_out = [&](PyObject* object, const char* argument) {
        View view = read(object, argument, in.q);
        view.writable = true;
        if (view.element != in.q.element)
          wrong_dtype(argument, view, std::string("must be ") + name(in.q.element) + ", as q is");
        if (view.ndim != out_axes.n ||
            !std::equal(view.shape.begin(), view.shape.begin() + view.ndim, out_axes.sizes.begin()))
          wrong_shapes(argument, view, "q", in.q, "it must be that of the output");
        return view;
      };
      const View out = like_out(x[g_out], "out");
      if (!rows_side_by_side(out)) throw LeaveToPython{};
      View grad = like_out(x[g_grad], "grad");
      py::object copy;  // what autograd sends may be a number, expanded
      if (!rows_side_by_side(grad)) grad = read((copy = contiguous(grad)).ptr(), "grad", in.q);
      call.out = tensor_of(out);
      const View lse = read(x[g_lse], "lse", in.q);
      const Axes lse_axes = axes(in.q, true, {s.queries});
      const Element wide = call.number == Number::f64 ? Element::f64 : Element::f32;
      if (lse.element != wide) wrong_dtype("lse", lse, std::string("must be ") + name(wide));
      std::int64_t step = 1;
      for (int i = lse.ndim; i-- > 0; step *= lse.shape[static_cast<std::size_t>(i)]) {
        const auto axis = static_cast<std::size_t>(i);
        if (lse.ndim != lse_axes.n || lse.shape[axis] != lse_axes.sizes[axis])
          wrong_shapes("lse", lse, "q", in.q, "it must be that of q without the last axis");
        if (lse.shape[axis] > 1 && lse.strides[axis] != step && !lse.empty())
          throw py::value_error("lse has gaps between its numbers, must be contiguous");
      }
      call.lse = lse.data;

      const py::object dq = new_like(in.q), dk = new_like(in.k), dv = new_like(in.v);
      AttentionGradients to;
      to.out = tensor_of(grad);
      to.q = tensor_of(tensor_view(dq.ptr(), "dq"));
      to.k = tensor_of(tensor_view(dk.ptr(), "dk"));
      to.v = tensor_of(tensor_view(dv.ptr(), "dv"));
      py::object dbias = py::none(), bias_copy;
      if (in.bias.given() && wants(x[g_bias_wanted])) {
        // The kernel sums over axes of stride 0; of one that is merely expanded each number has a gradient of its own.
        bool expanded = false;
        for (int i = 0; i < 4; ++i) expanded = expanded || (size_of(in.bias, i) > 1 && stride_of(in.bias, i) == 0);
        if (expanded && !in.bias.empty()) {
          in.bias = read((bias_copy = contiguous(in.bias)).ptr(), "bias", in.q);
          call.bias = grid_of(in.bias, "bias", s);
        }
        dbias = new_tensor(in.bias, wide, in.bias.shape.data(), in.bias.ndim);
        const View made = tensor_view(dbias.ptr(), "dbias");
        if (s.batch == 0 || s.queries == 0 || s.keys == 0) {  // nobody adds to it
          std::memset(made.data, 0, numbers_of(made) * bytes_of(call.number));
        } else {
          to.bias = made.data;
        }
      }
      read_counts(x[g_counts], call, own);
      run(call, [&]() noexcept { return attention_backward(call, to, own.workspace, threads); });
      PyObject* const all = PyTuple_Pack(4, dq.ptr(), dk.ptr(), dv.ptr(), dbias.ptr());
      if (all == nullptr) throw py::error_already_set();
      return all;
    } catch (const LeaveToPython&) {
      refuse({{"q", x[g_q], true, true},
              {"k", x[g_k], true, true},
              {"v", x[g_v], true, true},
              {"bias", x[g_bias]},
              {"mask", x[g_mask]},
              {"out", x[g_out], true, true},
              {"lse", x[g_lse], true},
              {"grad", x[g_grad], true}});
    }
  });
}

// --- what Python tells ---

PyObject* kept(const py::handle& object) { return object.inc_ref().ptr(); }  // for as long as the process lives

void tell_torch(const py::object& tensor, const py::object& parameter, const py::object& api,
                const py::object& is_grad_enabled, const py::object& is_autocast_enabled,
                const py::object& dispatch_modes, const py::object& transforms_active, const py::object& train_with,
                const py::object& empty, const py::object& empty_like, const py::tuple& dtypes,
                const py::object& cpu, const py::dict& forward_mode, const py::object& changed,
                const py::object& is_tracing) {
  TorchSide side;
  if (!api.is_none()) {
    const auto* found = static_cast<const dlpack::ExchangeApi*>(PyCapsule_GetPointer(api.ptr(), "dlpack_exchange_api"));
    if (found == nullptr) throw py::error_already_set();
    // Only the header is the same in all versions.
    const dlpack::Header* header = &found->header;
    while (header != nullptr && header->version.major != 1) header = header->previous;
    side.api = reinterpret_cast<const dlpack::ExchangeApi*>(header);
    if (side.api != nullptr && side.api->dltensor_from_py_object_no_sync == nullptr) side.api = nullptr;
  }
  side.tensor = kept(tensor);
  side.parameter = kept(parameter);
  side.is_grad_enabled = kept(is_grad_enabled);
  side.is_autocast_enabled = kept(is_autocast_enabled);
  side.dispatch_modes = kept(dispatch_modes);
  side.transforms_active = kept(transforms_active);
  side.train = kept(train_with);
  side.contiguous = PyUnicode_InternFromString("contiguous");
  side.is_neg = PyUnicode_InternFromString("is_neg");
  side.empty = kept(empty);
  side.empty_like = kept(empty_like);
  for (std::size_t i = 1; i < side.dtypes.size(); ++i) side.dtypes[i] = kept(dtypes[i - 1]);
  side.cpu = kept(cpu);
  side.forward_mode = kept(forward_mode);
  side.changed = kept(changed);
  side.is_tracing = kept(is_tracing);
  side.current_level = PyUnicode_InternFromString("_current_level");
  side.requires_grad = PyUnicode_InternFromString("requires_grad");
  side.shape = PyUnicode_InternFromString("shape");
  side.stride = PyUnicode_InternFromString("stride");
  side.data_ptr = PyUnicode_InternFromString("data_ptr");
  side.dtype = PyUnicode_InternFromString("dtype");
  side.device = PyUnicode_InternFromString("device");
  side.type = PyUnicode_InternFromString("type");
  torch_side() = side;
}

PyMethodDef methods[] = {
    fast_method(
        "attention", attention,
        "attention(q, k, v, bias=None, mask=None, counts=None, scale=None, weights=None, return_lse=False, out=None, "
        "threads=None, /)\n\nSee fairlead.attention.attention."),
    fast_method("attention_numbers", attention_numbers,
                "As attention, of nothing but the numbers: no gradients, no autocast, nothing is left to Python."),
    fast_method("attention_gradients", attention_gradients,
                "attention_gradients(q, k, v, bias, mask, counts, scale, out, lse, grad, bias_wanted=False, "
                "threads=None, /)\n\n"
                "Gradients of q, k, v and, where it is wanted, of bias, from that of the output."),
};

}  // namespace

void bind_attention(py::module_& m) {
  for (PyMethodDef& method : methods) {
    PyObject* const function = PyCFunction_NewEx(&method, nullptr, m.attr("__name__").ptr());
    if (function == nullptr) throw py::error_already_set();
    m.attr(method.ml_name) = py::reinterpret_steal<py::object>(function);
  }
  m.def("attention_torch", &tell_torch, py::arg("tensor"), py::arg("parameter"), py::arg("api").none(true),
        py::arg("is_grad_enabled"), py::arg("is_autocast_enabled"), py::arg("dispatch_modes"),
        py::arg("transforms_active"), py::arg("train"), py::arg("empty"), py::arg("empty_like"), py::arg("dtypes"),
        py::arg("cpu"), py::arg("forward_mode"), py::arg("changed"), py::arg("is_tracing"),
        "Tells what torch is, once it is imported.");
  m.def(
      "attention_otherwise", [](const py::object& function) { otherwise = kept(function); }, py::arg("function"),
      "Tells who does what attention leaves to Python.");
}

}  // namespace fairlead::bindings
