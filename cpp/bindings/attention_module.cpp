// The whole of torch's MultiHeadAttention in one call: the module's tensors are read where they are, its weights packed when
// they have changed. What does not fit is left to Python, which computes the same from parts and names what is wrong.
//
// Who decides: `applied`, and nobody else. It takes torch's plain tensors of this machine, float32 or float64, with keys and
// values of one tensor and packed projections, and nothing about that wants to see the parts: no hooks, no tracing, no
// autocast, no modes, no parametrisation.
#include <cstring>
#include <mutex>
#include <vector>

#include "fairlead/attention_layer.hpp"
#include "torch_memory.hpp"

namespace fairlead::bindings {

namespace {

// What Python tells: see `attention_module_torch`.
struct ModuleSide {
  PyObject* linear = nullptr;   // torch.nn.Linear
  PyObject* train = nullptr;    // autograd.Function.apply
  PyObject* tracing = nullptr;  // of torch.jit: None, if there is none
  std::array<PyObject*, 4> hooks{};  // of all modules: dicts
  PyObject *parameters = nullptr, *modules = nullptr, *fused = nullptr, *weights = nullptr, *heads = nullptr, *threads = nullptr,
           *need_weights = nullptr, *batch_first = nullptr, *in_weight = nullptr, *in_bias = nullptr, *out_proj = nullptr,
           *weight = nullptr, *bias = nullptr, *version = nullptr, *forward = nullptr;
  std::array<PyObject*, 4> own_hooks{};  // names of a module's dicts
};

ModuleSide& side() noexcept {
  static ModuleSide told;
  return told;
}

constexpr std::size_t w_in = 0, w_in_bias = 1, w_out = 2, w_out_bias = 3, w_all = 4;

// A weight as it was when it was packed. What changes through torch is seen by its version; what is written past it
// (tensor.data, numpy) by its numbers, or so many of them.
constexpr std::size_t few = 1024, samples = 64;

template <class T>
struct Seen {
  PyObject* object = nullptr;  // only its address
  const void* data = nullptr;
  std::int64_t version = 0;
  std::size_t n = 0;
  bool all = false;
  std::vector<T> numbers;
  std::vector<std::uint32_t> places;  // of the numbers, where they are not all: spread over all rows and columns

  void look(const View& view, std::int64_t version_, std::size_t n_, bool all_) {
    object = view.object;
    data = view.data;
    version = version_;
    n = n_;
    all = all_ || n <= few;
    const T* const from = static_cast<const T*>(view.data);
    if (!view.given()) {
      numbers.clear();
    } else if (all) {
      numbers.assign(from, from + n);
    } else {
      numbers.resize(samples);
      places.resize(samples);
      const std::size_t step = n / samples;
      for (std::size_t i = 0; i < samples; ++i) {
        places[i] = static_cast<std::uint32_t>(i * step + i * 37 % step);
        numbers[i] = from[places[i]];
      }
    }
  }

  bool same(const View& view, std::int64_t version_) const noexcept {
    if (view.object != object || view.data != data || version_ != version) return false;
    if (!view.given()) return true;
    const T* const now = static_cast<const T*>(view.data);
    if (all) return std::memcmp(now, numbers.data(), n * sizeof(T)) == 0;
    T found[samples];
    for (std::size_t i = 0; i < samples; ++i) found[i] = now[places[i]];
    return std::memcmp(found, numbers.data(), sizeof found) == 0;
  }
};

template <class T>
struct Packed {
  AttentionLayer<T> layer;
  std::array<Seen<T>, w_all> seen;
  std::uint64_t packs = 0;
  bool gradients = false;
};

struct Core {
  std::mutex mutex;  // never waited for with the GIL
  std::size_t heads = 1;
  std::unique_ptr<Packed<float>> f32;
  std::unique_ptr<Packed<double>> f64;
  bool fresh = false;  // whether what is packed may be used
  // Weights of the last forward, of each head.
  AttentionWorkspace last;
  Element last_element = Element::other;  // other: there are none
  std::array<std::size_t, 4> last_shape{};
  bool last_has_batch = true;

  template <class T>
  std::unique_ptr<Packed<T>>& packed() noexcept {
    if constexpr (std::is_same_v<T, double>) return f64;
    else return f32;
  }
};

template <class T>
constexpr Element element_for = std::is_same_v<T, double> ? Element::f64 : Element::f32;

struct Request {
  View query, context, bias, mask;
  std::array<View, w_all> weights;
  std::array<py::object, w_all> held;  // of the weights, which another thread might take from the module meanwhile
  std::array<std::int64_t, w_all> versions{};
  std::vector<std::int64_t> query_counts, key_counts;
  const std::int64_t *queries_there = nullptr, *keys_there = nullptr;
  std::size_t batch = 1, queries = 0, keys = 0, embed = 0, heads = 0, threads = 0;
  AttentionGrid bias_grid, mask_grid;

  bool wide() const noexcept { return query.element == Element::f64; }
  std::size_t key_rows() const noexcept { return context.given() ? keys : queries; }
  double operations() const noexcept {
    const auto e = static_cast<double>(embed), n = static_cast<double>(queries), m = static_cast<double>(key_rows());
    return 2.0 * static_cast<double>(batch) * (e * e * 2.0 * (n + m) + 2.0 * e * n * m);
  }
};

[[noreturn]] void leave() { throw LeaveToPython{}; }
void need(bool fits) {
  if (!fits) leave();
}

PyObject* item(PyObject* dict, PyObject* name) {
  PyObject* const found = PyDict_GetItemWithError(dict, name);
  if (found == nullptr) {
    if (PyErr_Occurred() != nullptr) throw py::error_already_set();
    leave();
  }
  return found;
}

bool truth(PyObject* object) {
  if (object == Py_True) return true;
  if (object == Py_False || object == Py_None) return false;
  const int is = PyObject_IsTrue(object);
  if (is < 0) throw py::error_already_set();
  return is != 0;
}

bool without_gaps(const View& x) noexcept {
  std::int64_t step = 1;
  for (int i = x.ndim; i-- > 0;) {
    const auto axis = static_cast<std::size_t>(i);
    if (x.shape[axis] != 1 && x.strides[axis] != step) return false;
    step *= x.shape[axis];
  }
  return true;
}

View torch_view(PyObject* object, const char* argument) {
  need(is_torch(object));
  return tensor_view(object, argument);
}

View rows_of(PyObject* object, const char* argument) {
  const View out = torch_view(object, argument);
  need((out.ndim == 2 || out.ndim == 3) && without_gaps(out));
  return out;
}

AttentionGrid grid_of(const View& x, const Request& r) {
  const std::size_t full[4] = {r.batch, r.heads, r.queries, r.key_rows()};
  Stride strides[4];
  for (int i = 0; i < 4; ++i) {
    const int axis = i - (4 - x.ndim);
    const std::int64_t size = axis < 0 ? 1 : x.shape[static_cast<std::size_t>(axis)];
    need(size == 1 || size == static_cast<std::int64_t>(full[i]));
    strides[i] = size == 1 ? 0 : static_cast<Stride>(x.strides[static_cast<std::size_t>(axis)]);
  }
  return {x.data, strides[0], strides[1], strides[2], strides[3]};
}

void read_counts(PyObject* given, std::size_t batch, std::size_t most, std::vector<std::int64_t>& to) {
  if (is_numpy(given) || is_torch(given)) {
    const View view = tensor_view(given, "counts");
    need(view.element == Element::i64 && view.ndim == 1 && view.shape[0] == static_cast<std::int64_t>(batch));
    for (std::int64_t b = 0; b < view.shape[0]; ++b)
      to.push_back(static_cast<const std::int64_t*>(view.data)[b * view.strides[0]]);
  } else {
    need(PyList_CheckExact(given) || PyTuple_CheckExact(given));
    need(PySequence_Fast_GET_SIZE(given) == static_cast<Py_ssize_t>(batch));
    for (std::size_t b = 0; b < batch; ++b) {
      PyObject* const number = PySequence_Fast_GET_ITEM(given, static_cast<Py_ssize_t>(b));
      need(PyLong_CheckExact(number));
      int overflow = 0;
      to.push_back(PyLong_AsLongLongAndOverflow(number, &overflow));
      need(overflow == 0);
    }
  }
  for (const std::int64_t count : to) need(count >= 0 && static_cast<std::uint64_t>(count) <= most);
}

void read_counts(PyObject* counts, Request& r) {
  if (counts == Py_None) return;
  PyObject *queries = counts, *keys = counts;
  if (PyTuple_CheckExact(counts) && PyTuple_GET_SIZE(counts) == 2 && !PyLong_Check(PyTuple_GET_ITEM(counts, 0)) &&
      !PyLong_Check(PyTuple_GET_ITEM(counts, 1)))
    queries = PyTuple_GET_ITEM(counts, 0), keys = PyTuple_GET_ITEM(counts, 1);
  if (queries != Py_None) {
    read_counts(queries, r.batch, r.queries, r.query_counts);
    r.queries_there = r.query_counts.data();
  }
  if (keys != Py_None) {
    read_counts(keys, r.batch, r.key_rows(), r.key_counts);
    r.keys_there = r.key_counts.data();
  }
}

std::size_t read_threads(PyObject* given) {
  if (given == Py_None) return 0;
  need(PyLong_CheckExact(given));
  const long long threads = PyLong_AsLongLong(given);
  if (threads == -1 && PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    leave();
  }
  need(threads >= 1 && threads <= 4096);
  return static_cast<std::size_t>(threads);
}

void read_weight(PyObject* object, std::size_t which, std::size_t rows, std::size_t columns, Request& r) {
  if (object == Py_None && columns == 1) return;
  const View view = torch_view(object, "weight");
  need(view.element == r.query.element && view.ndim == (columns == 1 ? 1 : 2));
  need(view.shape[0] == static_cast<std::int64_t>(rows));
  if (columns > 1) need(view.shape[1] == static_cast<std::int64_t>(columns));
  need(without_gaps(view));
  r.weights[which] = view;
  r.held[which] = py::reinterpret_borrow<py::object>(object);
  const auto version = py::reinterpret_steal<py::object>(PyObject_GetAttr(object, side().version));
  if (!version) {  // made in inference_mode: only its numbers tell
    if (PyErr_ExceptionMatches(PyExc_RuntimeError) == 0) throw py::error_already_set();
    PyErr_Clear();
    return;
  }
  r.versions[which] = detail::whole(version.ptr());
}

// x: query, context or None, bias, mask, counts, the four weights.
constexpr std::size_t p_query = 0, p_context = 1, p_bias = 2, p_mask = 3, p_counts = 4, p_weights = 5, p_all = p_weights + w_all;

void read(PyObject* const* x, std::size_t heads, Request& r) {
  r.query = rows_of(x[p_query], "query");
  need(r.query.element == Element::f32 || r.query.element == Element::f64);
  const bool one = r.query.ndim == 2;
  const auto size = [&](const View& view, std::size_t axis) { return static_cast<std::size_t>(view.shape[axis - (one ? 1 : 0)]); };
  r.batch = one ? 1 : size(r.query, 0);
  r.queries = size(r.query, 1);
  r.embed = size(r.query, 2);
  r.heads = heads;
  need(r.embed > 1 && r.embed % heads == 0);
  if (x[p_context] != Py_None) {
    r.context = rows_of(x[p_context], "key");
    need(r.context.ndim == r.query.ndim && r.context.element == r.query.element);
    need((one || size(r.context, 0) == r.batch) && size(r.context, 2) == r.embed);
    r.keys = size(r.context, 1);
  }
  need(r.batch > 0 && r.queries > 0 && r.key_rows() > 0);
  read_weight(x[p_weights + w_in], w_in, 3 * r.embed, r.embed, r);
  read_weight(x[p_weights + w_in_bias], w_in_bias, 3 * r.embed, 1, r);
  read_weight(x[p_weights + w_out], w_out, r.embed, r.embed, r);
  read_weight(x[p_weights + w_out_bias], w_out_bias, r.embed, 1, r);
  if (x[p_bias] != Py_None) {
    r.bias = torch_view(x[p_bias], "bias");
    need(r.bias.element == r.query.element && r.bias.ndim <= 4);
    r.bias_grid = grid_of(r.bias, r);
  }
  if (x[p_mask] != Py_None) {
    r.mask = torch_view(x[p_mask], "mask");
    need(r.mask.element == Element::boolean && r.mask.ndim <= 4);
    r.mask_grid = grid_of(r.mask, r);
  }
  read_counts(x[p_counts], r);
}

// --- the work ---------------------------------------------------------------------------------------------------------

AttentionLayerWorkspace& workspace() {
  thread_local AttentionLayerWorkspace own;
  return own;
}

// About 20 us of work let other Python threads run.
template <class Work>
void locked(Core& core, const Request& r, const Work& work) {
  Status status = Status::ok;
  bool done = false;
  if (r.operations() < (r.wide() ? 2e4 : 2e6)) {
    const std::unique_lock lock(core.mutex, std::try_to_lock);
    if (lock.owns_lock()) {
      status = work();
      done = true;
    }
  }
  if (!done) {
    const py::gil_scoped_release release;
    const std::lock_guard lock(core.mutex);
    status = work();
  }
  check(status, "the layer");
}

// The layer with these weights.
template <class T>
Status ready(Core& core, const Request& r, bool gradients) {
  std::unique_ptr<Packed<T>>& packed = core.packed<T>();
  if (packed == nullptr) {
    (std::is_same_v<T, double> ? static_cast<void>(core.f32.reset()) : static_cast<void>(core.f64.reset()));
    packed = std::make_unique<Packed<T>>();
    AttentionLayerOptions options;
    options.embed = r.embed;
    options.heads = r.heads;
    if (const Status status = packed->layer.open(options); status != Status::ok) return status;
    core.fresh = false;
  }
  Packed<T>& p = *packed;
  bool same = core.fresh && (p.gradients || !gradients) && p.layer.options().embed == r.embed && p.layer.options().heads == r.heads;
  for (std::size_t i = 0; same && i < w_all; ++i) same = p.seen[i].same(r.weights[i], r.versions[i]);
  if (same) return Status::ok;
  core.fresh = false;
  if (p.layer.options().embed != r.embed || p.layer.options().heads != r.heads) {
    packed.reset();
    return ready<T>(core, r, gradients);
  }
  AttentionLayerWeights<T> weights;
  weights.in_weight = static_cast<const T*>(r.weights[w_in].data);
  weights.in_bias = static_cast<const T*>(r.weights[w_in_bias].data);
  weights.out_weight = static_cast<const T*>(r.weights[w_out].data);
  weights.out_bias = static_cast<const T*>(r.weights[w_out_bias].data);
  if (const Status status = p.layer.pack(weights, ++p.packs, gradients); status != Status::ok) return status;
  p.gradients = gradients;
  p.seen[w_in].look(r.weights[w_in], r.versions[w_in], 3 * r.embed * r.embed, false);
  p.seen[w_in_bias].look(r.weights[w_in_bias], r.versions[w_in_bias], 3 * r.embed, true);
  p.seen[w_out].look(r.weights[w_out], r.versions[w_out], r.embed * r.embed, false);
  p.seen[w_out_bias].look(r.weights[w_out_bias], r.versions[w_out_bias], r.embed, true);
  core.fresh = true;
  return Status::ok;
}

template <class T>
AttentionLayerCall<T> call_of(const Core& core, const Request& r) {
  AttentionLayerCall<T> call;
  call.batch = r.batch;
  call.queries = r.queries;
  call.keys = r.key_rows();
  call.input = static_cast<const T*>(r.query.data);
  call.context = r.context.given() ? static_cast<const T*>(r.context.data) : nullptr;
  call.bias = r.bias_grid;
  call.mask = r.mask_grid;
  call.query_counts = r.queries_there;
  call.key_counts = r.keys_there;
  call.version = (std::is_same_v<T, double> ? core.f64->layer.version() : core.f32->layer.version());
  return call;
}

NewTensor made(Element element, bool has_batch, std::initializer_list<std::size_t> sizes) {
  if (has_batch) return new_torch(element, sizes);
  const std::size_t* const at = sizes.begin();
  return sizes.size() == 4 ? new_torch(element, {at[1], at[2], at[3]}) : new_torch(element, {at[1], at[2]});
}

struct Made {
  py::object out, weights, saved;
};

template <class T>
Made forward(Core& core, const Request& r, bool weights, bool average, bool keep) {
  constexpr Element element = element_for<T>;
  const std::size_t keys = r.key_rows();
  const bool has_batch = r.query.ndim == 3;
  Made out;
  const NewTensor result = made(element, has_batch, {r.batch, r.queries, r.embed});
  NewTensor given, saved;
  if (weights) {
    given = average ? made(element, has_batch, {r.batch, r.queries, keys}) : made(element, has_batch, {r.batch, r.heads, r.queries, keys});
  }
  if (keep) {
    AttentionLayer<T> shape;
    AttentionLayerOptions options;
    options.embed = r.embed;
    options.heads = r.heads;
    check(shape.open(options), "the layer");
    saved = new_torch(element, {shape.saved(r.batch, r.queries, keys)});
  }
  AttentionLayerWorkspace& memory = workspace();
  locked(core, r, [&]() -> Status {
    if (const Status status = ready<T>(core, r, keep); status != Status::ok) return status;
    AttentionLayerCall<T> call = call_of<T>(core, r);
    call.out = static_cast<T*>(result.data);
    call.saved = static_cast<T*>(saved.data);
    core.last_element = Element::other;
    if (weights) {
      const std::size_t numbers = r.batch * r.heads * r.queries * keys;
      call.which = AttentionWeights::each;
      call.weights = reinterpret_cast<T*>(core.last.take(numbers * sizeof(T)));
      if (call.weights == nullptr) return Status::out_of_memory;
      if (average) call.mean_weights = static_cast<T*>(given.data);
    }
    if (const Status status = core.packed<T>()->layer.forward(call, memory, r.threads); status != Status::ok) return status;
    if (weights) {
      core.last_element = element;
      core.last_shape = {r.batch, r.heads, r.queries, keys};
      core.last_has_batch = has_batch;
      if (!average) std::memcpy(given.data, call.weights, r.batch * r.heads * r.queries * keys * sizeof(T));
    }
    return Status::ok;
  });
  out.out = result.object;
  out.weights = weights ? given.object : py::none();
  out.saved = saved.object;
  return out;
}

Made forward(Core& core, const Request& r, bool weights, bool average, bool keep) {
  return r.wide() ? forward<double>(core, r, weights, average, keep) : forward<float>(core, r, weights, average, keep);
}

template <class T>
PyObject* gradients(Core& core, Request& r, PyObject* const* x) {
  constexpr Element element = element_for<T>;
  PyObject* const wanted = x[2];
  const auto want = [&](Py_ssize_t i) { return truth(PyTuple_GET_ITEM(wanted, i)); };
  const std::size_t keys = r.key_rows(), e = r.embed;
  const View saved = torch_view(x[0], "saved");
  View grad = torch_view(x[1], "grad");
  py::object grad_copy;  // what autograd sends may be a number, expanded
  if (!without_gaps(grad)) grad = torch_view((grad_copy = detail::steal(PyObject_CallMethodNoArgs(x[1], torch_side().contiguous))).ptr(), "grad");
  need(saved.element == element && saved.ndim == 1 && without_gaps(saved));
  need(grad.element == element && grad.ndim == r.query.ndim && grad.shape == r.query.shape);
  const bool has_batch = r.query.ndim == 3;
  AttentionLayerGradients<T> g;
  g.out = static_cast<const T*>(grad.data);
  std::array<py::object, 7> out;
  for (py::object& object : out) object = py::none();
  const auto make = [&](std::size_t i, const NewTensor& tensor) {
    out[i] = tensor.object;
    return static_cast<T*>(tensor.data);
  };
  if (want(0)) g.input = make(0, made(element, has_batch, {r.batch, r.queries, e}));
  if (r.context.given() && want(1)) g.context = make(1, made(element, has_batch, {r.batch, keys, e}));
  py::object bias_copy;
  if (r.bias.given() && want(2)) {
    // Sums are made over axes of stride 0; of a bias that is merely expanded each number has a gradient of its own.
    bool expanded = false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(r.bias.ndim); ++i) expanded |= r.bias.shape[i] > 1 && r.bias.strides[i] == 0;
    if (expanded) {
      bias_copy = detail::steal(PyObject_CallMethodNoArgs(r.bias.object, torch_side().contiguous));
      r.bias = torch_view(bias_copy.ptr(), "bias");
      r.bias_grid = grid_of(r.bias, r);
    }
    out[2] = new_tensor(r.bias, element, r.bias.shape.data(), r.bias.ndim);
    g.bias = static_cast<T*>(torch_view(out[2].ptr(), "bias").data);
  }
  if (want(3)) g.in_weight = make(3, new_torch(element, {3 * e, e}));
  if (r.weights[w_in_bias].given() && want(4)) g.in_bias = make(4, new_torch(element, {3 * e}));
  if (want(5)) g.out_weight = make(5, new_torch(element, {e, e}));
  if (r.weights[w_out_bias].given() && want(6)) g.out_bias = make(6, new_torch(element, {e}));
  AttentionLayerWorkspace& memory = workspace();
  locked(core, r, [&]() -> Status {
    if (const Status status = ready<T>(core, r, true); status != Status::ok) return status;
    AttentionLayerCall<T> call = call_of<T>(core, r);
    call.saved = static_cast<T*>(saved.data);
    const AttentionLayer<T>& layer = core.packed<T>()->layer;
    if (static_cast<std::size_t>(saved.shape[0]) != layer.saved(r.batch, r.queries, keys)) return Status::out_of_range;
    return layer.backward(call, g, memory, r.threads);
  });
  py::object all = detail::steal(PyTuple_New(7));
  for (std::size_t i = 0; i < out.size(); ++i) PyTuple_SET_ITEM(all.ptr(), static_cast<Py_ssize_t>(i), out[i].release().ptr());
  return all.release().ptr();
}

// --- from Python ------------------------------------------------------------------------------------------------------

py::object dict_of(PyObject* object) { return detail::steal(PyObject_GenericGetDict(object, nullptr)); }

bool empty_dict(PyObject* dict) noexcept { return PyDict_Check(dict) && PyDict_GET_SIZE(dict) == 0; }

PyObject* core_type = nullptr;

Core& core_of(PyObject* object) {
  if (reinterpret_cast<PyObject*>(Py_TYPE(object)) != core_type) throw py::type_error("not the core of a MultiHeadAttention");
  return *native<Core>(object);
}

bool any_gradient(PyObject* const* parts) {
  const TorchSide& torch = torch_side();
  if (!truth_of_call(torch.is_grad_enabled)) return false;
  for (const std::size_t i : {p_query, p_context, p_bias, p_weights + w_in, p_weights + w_in_bias, p_weights + w_out,
                      p_weights + w_out_bias}) {
    if (!is_torch(parts[i])) continue;
    const py::object needed = detail::steal(PyObject_GetAttr(parts[i], torch.requires_grad));
    if (needed.ptr() == Py_True) return true;
  }
  return false;
}

enum Argument : std::uint8_t { a_module, a_query, a_key, a_value, a_bias, a_mask, a_counts, a_need_weights, a_average, a_all };

PyObject* pair(const py::object& first, const py::object& second) {
  PyObject* const out = PyTuple_Pack(2, first.ptr(), second.ptr());
  if (out == nullptr) throw py::error_already_set();
  return out;
}

// Of a module, that does what its class says.
void need_no_hooks(PyObject* dict) {
  for (PyObject* const name : side().own_hooks) need(empty_dict(item(dict, name)));
  need(PyDict_Contains(dict, side().forward) == 0);
}

PyObject* applied(PyObject* const* x) {
  const TorchSide& torch = torch_side();
  const ModuleSide& names = side();
  need(names.linear != nullptr && is_torch(x[a_query]));
  if (truth_of_call(torch.is_autocast_enabled) || truth_of_call(torch.dispatch_modes)) leave();
  const py::object traced = detail::steal(PyObject_CallNoArgs(names.tracing));
  need(traced.is_none());
  for (PyObject* const hooks : names.hooks) need(empty_dict(hooks));

  PyObject* const context = x[a_key] == Py_None || x[a_key] == x[a_query] ? Py_None : x[a_key];
  if (x[a_value] != Py_None) need(x[a_value] == (context == Py_None ? x[a_query] : context));

  const py::object module = dict_of(x[a_module]);
  PyObject* const dict = module.ptr();
  need_no_hooks(dict);
  PyObject* const parameters = item(dict, names.parameters);
  PyObject* const out_proj = item(item(dict, names.modules), names.out_proj);
  need(reinterpret_cast<PyObject*>(Py_TYPE(out_proj)) == names.linear);
  const py::object linear = dict_of(out_proj);
  need_no_hooks(linear.ptr());
  PyObject* const out_parameters = item(linear.ptr(), names.parameters);

  PyObject* const parts[p_all] = {x[a_query],
                                  context,
                                  x[a_bias],
                                  x[a_mask],
                                  x[a_counts],
                                  item(parameters, names.in_weight),
                                  item(parameters, names.in_bias),
                                  item(out_parameters, names.weight),
                                  item(out_parameters, names.bias)};
  PyObject* const threads = item(dict, names.threads);
  const bool weights = truth(x[a_need_weights] == Py_None ? item(dict, names.need_weights) : x[a_need_weights]);
  const bool average = truth(x[a_average]);

  Request r;
  const std::int64_t heads = detail::whole(item(dict, names.heads));
  need(heads > 0);
  read(parts, static_cast<std::size_t>(heads), r);
  r.threads = read_threads(threads);
  // Rows first: alike where there is one batch, or one row.
  if (r.query.ndim == 3 && !truth(item(dict, names.batch_first))) leave();
  const bool train = any_gradient(parts);
  if (train && truth_of_call(torch.transforms_active)) leave();
  py::object fused = py::reinterpret_borrow<py::object>(item(dict, names.fused));
  if (fused.is_none()) {
    fused = py::cast(std::make_unique<Core>());
    if (PyDict_SetItem(dict, names.fused, fused.ptr()) != 0) throw py::error_already_set();
  }
  if (item(dict, names.weights) != Py_None && PyDict_SetItem(dict, names.weights, Py_None) != 0) throw py::error_already_set();
  Core& core = core_of(fused.ptr());
  core.heads = static_cast<std::size_t>(heads);
  if (train) {
    PyObject* const given[] = {fused.ptr(), parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7], parts[8],
                               weights ? Py_True : Py_False, average ? Py_True : Py_False, threads};
    return PyObject_Vectorcall(names.train, given, std::size(given), nullptr);
  }
  const Made made = forward(core, r, weights, average, false);
  return pair(made.out, made.weights);
}

PyObject* attention_module(PyObject*, PyObject* const* x, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != a_all) throw py::type_error("attention_module() takes 9 positional arguments, " + std::to_string(n) + " given");
    try {
      return applied(x);
    } catch (const LeaveToPython&) {
      Py_RETURN_NONE;
    }
  });
}

[[noreturn]] void refuse() { throw py::type_error("what is given is not what attention_module has given to autograd"); }

// core, the nine parts, need_weights, average, threads.
PyObject* attention_module_forward(PyObject*, PyObject* const* x, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != static_cast<Py_ssize_t>(p_all) + 4) refuse();
    try {
      Core& core = core_of(x[0]);
      Request r;
      read(x + 1, core.heads, r);
      r.threads = read_threads(x[p_all + 3]);
      const Made made = forward(core, r, truth(x[p_all + 1]), truth(x[p_all + 2]), true);
      PyObject* const out = PyTuple_Pack(3, made.out.ptr(), made.weights.ptr(), made.saved.ptr());
      if (out == nullptr) throw py::error_already_set();
      return out;
    } catch (const LeaveToPython&) {
      refuse();
    }
  });
}

// core, the nine parts, threads, saved, the output's gradient, which of seven gradients are wanted: of query, context, bias
// and the weights.
PyObject* attention_module_gradients(PyObject*, PyObject* const* x, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != static_cast<Py_ssize_t>(p_all) + 5 || !PyTuple_CheckExact(x[p_all + 4]) || PyTuple_GET_SIZE(x[p_all + 4]) != 7) refuse();
    try {
      Core& core = core_of(x[0]);
      Request r;
      read(x + 1, core.heads, r);
      r.threads = read_threads(x[p_all + 1]);
      return r.wide() ? gradients<double>(core, r, x + p_all + 2) : gradients<float>(core, r, x + p_all + 2);
    } catch (const LeaveToPython&) {
      refuse();
    }
  });
}

// Of the last forward, made of a copy; None where it made none.
PyObject* attention_module_weights(PyObject*, PyObject* const* x, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != 1) refuse();
    Core& core = core_of(x[0]);
    const std::array<std::size_t, 4> shape = core.last_shape;
    const bool has_batch = core.last_has_batch;
    const Element element = core.last_element;
    if (element == Element::other) Py_RETURN_NONE;
    const NewTensor out = made(element, has_batch, {shape[0], shape[1], shape[2], shape[3]});
    const std::size_t bytes = shape[0] * shape[1] * shape[2] * shape[3] * (element == Element::f64 ? 8 : 4);
    bool same = false;
    {
      const py::gil_scoped_release release;
      const std::lock_guard lock(core.mutex);
      same = core.last_element == element && core.last_shape == shape;
      if (same) std::memcpy(out.data, core.last.take(bytes), bytes);
    }
    if (!same) Py_RETURN_NONE;
    return out.object.inc_ref().ptr();
  });
}

PyObject* attention_module_repack(PyObject*, PyObject* const* x, Py_ssize_t n) {
  return guarded([&]() -> PyObject* {
    if (n != 1) refuse();
    Core& core = core_of(x[0]);
    {
      const py::gil_scoped_release release;
      const std::lock_guard lock(core.mutex);
      core.fresh = false;
    }
    Py_RETURN_NONE;
  });
}

PyObject* kept(const py::handle& object) { return object.inc_ref().ptr(); }  // for as long as the process lives

void tell(const py::object& linear, const py::object& train, const py::object& tracing, const py::tuple& hooks) {
  ModuleSide told;
  told.linear = kept(linear);
  told.train = kept(train);
  told.tracing = kept(tracing);
  for (std::size_t i = 0; i < told.hooks.size(); ++i) told.hooks[i] = kept(hooks[i]);
  told.parameters = PyUnicode_InternFromString("_parameters");
  told.modules = PyUnicode_InternFromString("_modules");
  told.fused = PyUnicode_InternFromString("_fused");
  told.weights = PyUnicode_InternFromString("_weights");
  told.heads = PyUnicode_InternFromString("heads");
  told.threads = PyUnicode_InternFromString("threads");
  told.need_weights = PyUnicode_InternFromString("need_weights");
  told.batch_first = PyUnicode_InternFromString("batch_first");
  told.in_weight = PyUnicode_InternFromString("in_proj_weight");
  told.in_bias = PyUnicode_InternFromString("in_proj_bias");
  told.out_proj = PyUnicode_InternFromString("out_proj");
  told.weight = PyUnicode_InternFromString("weight");
  told.bias = PyUnicode_InternFromString("bias");
  told.version = PyUnicode_InternFromString("_version");
  told.forward = PyUnicode_InternFromString("forward");
  const char* const own[] = {"_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"};
  for (std::size_t i = 0; i < told.own_hooks.size(); ++i) told.own_hooks[i] = PyUnicode_InternFromString(own[i]);
  side() = told;
}

PyMethodDef methods[] = {
    fast_method("attention_module", attention_module,
                "attention_module(module, query, key, value, bias, mask, counts, need_weights, average, /)\n\n"
                "What a MultiHeadAttention gives: (output, weights or None). None where Python is to compute it."),
    fast_method("attention_module_forward", attention_module_forward,
                "For autograd: (output, weights or None, what the gradients need)."),
    fast_method("attention_module_gradients", attention_module_gradients,
                "For autograd: gradients of query, context, bias and the four weights; None for those not wanted."),
    fast_method("attention_module_weights", attention_module_weights,
                "attention_module_weights(core, /)\n\nOf each head in the last forward, or None."),
    fast_method("attention_module_repack", attention_module_repack,
                "attention_module_repack(core, /)\n\nHas the weights packed anew, whether or not they seem to have changed."),
};

}  // namespace

void bind_attention_module(py::module_& m) {
  core_type = py::class_<Core>(m, "AttentionModule", "What a MultiHeadAttention keeps from call to call. Private.").inc_ref().ptr();
  for (PyMethodDef& method : methods) {
    PyObject* const function = PyCFunction_NewEx(&method, nullptr, m.attr("__name__").ptr());
    if (function == nullptr) throw py::error_already_set();
    m.attr(method.ml_name) = py::reinterpret_steal<py::object>(function);
  }
  m.def("attention_module_torch", &tell, py::arg("linear"), py::arg("train"), py::arg("tracing"), py::arg("hooks"),
        "Tells what torch is.");
}

}  // namespace fairlead::bindings
