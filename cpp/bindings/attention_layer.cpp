#include "fairlead/attention_layer.hpp"

#include <mutex>
#include <optional>

#include "arrays.hpp"

namespace fairlead::bindings {

namespace {

template <class T>
struct Layer {
  AttentionLayer<T> layer;
  AttentionLayerWorkspace workspace;
  std::mutex mutex;  // of both; taken without the GIL
};

LayerNorm norm_of(const std::optional<std::string>& norm) {
  if (!norm) return LayerNorm::none;
  if (*norm == "before") return LayerNorm::before;
  if (*norm == "after") return LayerNorm::after;
  throw py::value_error("norm is '" + *norm + "', must be None, 'before' or 'after'");
}

std::string show(const std::vector<py::ssize_t>& shape) { return py::str(py::tuple(py::cast(shape))).cast<std::string>(); }

template <class T>
Array<T> of_shape(py::handle given, const char* name, const std::vector<py::ssize_t>& shape) {
  const py::array array = py::array::ensure(given);
  if (!array) PyErr_Clear();
  const bool numeric = array && std::string("biuf").find(array.dtype().kind()) != std::string::npos;
  if (numeric && array.ndim() != static_cast<py::ssize_t>(shape.size()))
    throw py::value_error(std::string(name) + " has shape " + shape_of(array) + ", must have " + show(shape));
  Array<T> out = numbers<T>(given, name, static_cast<py::ssize_t>(shape.size()));
  if (std::vector<py::ssize_t>(out.shape(), out.shape() + out.ndim()) != shape)
    throw py::value_error(std::string(name) + " has shape " + shape_of(out) + ", must have " + show(shape));
  return out;
}

// What keeps the arrays of a call alive, and the call.
template <class T>
struct Given {
  AttentionLayerCall<T> call;
  Array<T> x, context;
  py::array bias, mask;
  std::vector<py::ssize_t> bias_shape;
  Array<std::int64_t> query_counts, key_counts;
  py::ssize_t batch, queries, keys, embed, heads;

  Given(const AttentionLayer<T>& layer, py::handle x_, py::handle context_, py::handle bias_, py::handle mask_, py::handle counts,
        py::handle context_counts, std::uint64_t version) {
    embed = static_cast<py::ssize_t>(layer.options().embed);
    heads = static_cast<py::ssize_t>(layer.options().heads);
    x = numbers<T>(x_, "x", 3);
    if (x.shape(2) != embed) throw py::value_error("x has shape " + shape_of(x) + ", must have embed = " + std::to_string(embed) + " as its last axis");
    batch = x.shape(0);
    queries = keys = x.shape(1);
    call.version = version;
    call.input = x.data();
    if (!context_.is_none()) {
      context = numbers<T>(context_, "context", 3);
      keys = context.shape(1);
      if (context.shape(0) != batch || context.shape(2) != embed)
        throw py::value_error("context has shape " + shape_of(context) + ", x has " + shape_of(x) + ": first and last axis must be alike");
      call.context = context.data();
    }
    call.batch = static_cast<std::size_t>(batch);
    call.queries = static_cast<std::size_t>(queries);
    call.keys = static_cast<std::size_t>(keys);
    if (!bias_.is_none()) {
      std::string shape;
      bias = numbers_any(bias_, "bias", py::dtype::of<T>(), "biuf", shape);
      bias_shape.assign(bias.shape(), bias.shape() + 4);
      call.bias = grid(bias, "bias", sizeof(T), shape);
    }
    if (!mask_.is_none()) {
      std::string shape;
      mask = numbers_any(mask_, "mask", py::dtype::of<bool>(), "b", shape);
      call.mask = grid(mask, "mask", 1, shape);
    }
    query_counts = counted(counts, "counts", queries);
    if (query_counts.size() > 0) call.query_counts = query_counts.data();
    if (call.context == nullptr) {
      if (!context_counts.is_none()) throw py::value_error("context_counts are given without a context");
      call.key_counts = call.query_counts;
    } else {
      key_counts = counted(context_counts, "context_counts", keys);
      if (key_counts.size() > 0) call.key_counts = key_counts.data();
    }
  }

  static py::array numbers_any(py::handle given, const char* name, const py::dtype& dtype, const char* kinds, std::string& said) {
    py::array array = py::array::ensure(given);
    if (!array) {
      PyErr_Clear();
      throw py::type_error(std::string(name) + " is " + py::repr(py::type::of(given)).cast<std::string>() + ", must be an array");
    }
    if (std::string(kinds).find(array.dtype().kind()) == std::string::npos)
      throw py::type_error(std::string(name) + " has dtype " + py::str(array.dtype()).cast<std::string>() + ", must be " +
                           py::str(dtype).cast<std::string>());
    said = shape_of(array);
    if (array.ndim() > 4) throw py::value_error(std::string(name) + " has shape " + shape_of(array) + ", must have at most 4 dimensions");
    bool simple = array.dtype().equal(dtype);
    for (py::ssize_t d = 0; d < array.ndim(); ++d)
      simple = simple && array.strides(d) % dtype.itemsize() == 0 && (array.strides(d) != 0 || array.shape(d) == 1);
    if (!simple) array = py::module_::import("numpy").attr("ascontiguousarray")(array, dtype);
    py::list shape;
    for (py::ssize_t d = array.ndim(); d < 4; ++d) shape.append(1);
    for (py::ssize_t d = 0; d < array.ndim(); ++d) shape.append(array.shape(d));
    return py::array(array.attr("reshape")(py::tuple(shape)));
  }

  AttentionGrid grid(const py::array& a, const char* name, std::size_t bytes, const std::string& said) const {
    const py::ssize_t wanted[] = {batch, heads, queries, keys};
    Stride strides[4];
    for (py::ssize_t d = 0; d < 4; ++d) {
      if (a.shape(d) != wanted[d] && a.shape(d) != 1)
        throw py::value_error(std::string(name) + " has shape " + said + ", must broadcast to (batch, heads, queries, keys) = " +
                              show({batch, heads, queries, keys}));
      strides[d] = a.shape(d) == 1 ? 0 : a.strides(d) / static_cast<py::ssize_t>(bytes);
    }
    return {a.data(), strides[0], strides[1], strides[2], strides[3]};
  }

  Array<std::int64_t> counted(py::handle given, const char* name, py::ssize_t most) const {
    if (given.is_none()) return Array<std::int64_t>(0);
    Array<std::int64_t> out = numbers<std::int64_t>(given, name, 1, "iu");
    check_length(out.size(), name, batch, "the batch");
    for (py::ssize_t i = 0; i < out.size(); ++i) {
      if (out.data()[i] < 0 || out.data()[i] > most)
        throw py::value_error(std::string(name) + "[" + std::to_string(i) + "] is " + std::to_string(out.data()[i]) + ", outside [0, " +
                              std::to_string(most) + "]");
    }
    return out;
  }
};

template <class T>
py::tuple forward(Layer<T>& self, py::handle x, py::handle context, py::handle bias, py::handle mask, py::handle counts,
                  py::handle context_counts, const std::string& weights, bool keep, std::uint64_t version, std::size_t threads,
                  py::handle out) {
  Given<T> given(self.layer, x, context, bias, mask, counts, context_counts, version);
  AttentionLayerCall<T>& call = given.call;
  const std::vector<py::ssize_t> shape{given.batch, given.queries, given.embed};
  py::array_t<T> made;
  if (out.is_none()) {
    made = py::array_t<T>(shape);
  } else {
    if (!py::isinstance<py::array_t<T, py::array::c_style>>(out))
      throw py::type_error("out is " + (py::isinstance<py::array>(out) ? "an array of " + py::str(out.attr("dtype")).cast<std::string>() + ", shape " +
                                                                               py::str(out.attr("shape")).cast<std::string>()
                                                                         : py::repr(py::type::of(out)).cast<std::string>()) +
                           ", must be a C-contiguous array of " + py::str(py::dtype::of<T>()).cast<std::string>());
    made = py::reinterpret_borrow<py::array_t<T>>(out);
    if (!made.writeable()) throw py::value_error("out is read-only");
    if (std::vector<py::ssize_t>(made.shape(), made.shape() + made.ndim()) != shape)
      throw py::value_error("out has shape " + shape_of(made) + ", must have " + show(shape));
    // Written before all of the others has been read.
    const py::object may_share = py::module_::import("numpy").attr("may_share_memory");
    const std::pair<const void*, py::handle> others[] = {
        {call.input, given.x}, {call.context, given.context}, {call.bias.data, given.bias}, {call.mask.data, given.mask}};
    for (const auto& [data, array] : others)
      if (data != nullptr && may_share(made, array).template cast<bool>())
        throw py::value_error("out shares memory with x, context, bias or mask");
  }
  call.out = made.mutable_data();
  py::object heat = py::none(), kept = py::none();
  if (weights != "none") {
    const bool each = weights == "each";
    py::array_t<T> w(each ? std::vector<py::ssize_t>{given.batch, given.heads, given.queries, given.keys}
                          : std::vector<py::ssize_t>{given.batch, given.queries, given.keys});
    call.weights = w.mutable_data();
    call.which = each ? AttentionWeights::each : AttentionWeights::mean;
    heat = w;
  }
  if (keep) {
    py::array_t<T> saved(static_cast<py::ssize_t>(self.layer.saved(call.batch, call.queries, call.keys)));
    call.saved = saved.mutable_data();
    kept = saved;
  }
  Status status;
  {
    const py::gil_scoped_release free;
    const std::lock_guard lock(self.mutex);
    status = self.layer.forward(call, self.workspace, threads);
  }
  check(status, "the layer");
  return py::make_tuple(made, heat, kept);
}

template <class T>
py::dict backward(Layer<T>& self, py::handle gradient, py::handle saved, py::handle x, py::handle context, py::handle bias,
                  py::handle mask, py::handle counts, py::handle context_counts, std::uint64_t version, std::size_t threads) {
  Given<T> given(self.layer, x, context, bias, mask, counts, context_counts, version);
  AttentionLayerCall<T>& call = given.call;
  const Array<T> dout = of_shape<T>(gradient, "gradient", {given.batch, given.queries, given.embed});
  const auto wanted = static_cast<py::ssize_t>(self.layer.saved(call.batch, call.queries, call.keys));
  Array<T> kept = of_shape<T>(saved, "saved", {wanted});
  call.saved = const_cast<T*>(kept.data());
  AttentionLayerGradients<T> g;
  g.out = dout.data();
  py::dict out;
  const auto make = [&](const char* name, const std::vector<py::ssize_t>& shape) {
    py::array_t<T> array(shape);
    out[name] = array;
    return array.mutable_data();
  };
  const py::ssize_t e = given.embed;
  g.input = make("x", {given.batch, given.queries, e});
  if (call.context != nullptr) g.context = make("context", {given.batch, given.keys, e});
  g.in_weight = make("in_proj_weight", {3 * e, e});
  g.in_bias = make("in_proj_bias", {3 * e});
  g.out_weight = make("out_proj.weight", {e, e});
  g.out_bias = make("out_proj.bias", {e});
  if (self.layer.options().norm != LayerNorm::none) {
    g.norm_weight = make("norm.weight", {e});
    g.norm_bias = make("norm.bias", {e});
  }
  if (call.bias.data != nullptr) {
    g.bias = make("bias", given.bias_shape);
    if (call.batch == 0 || given.queries == 0 || given.keys == 0) {  // nobody adds to it
      py::object(out["bias"]).attr("fill")(0);
      g.bias = nullptr;
    }
  }
  Status status;
  {
    const py::gil_scoped_release free;
    const std::lock_guard lock(self.mutex);
    status = self.layer.backward(call, g, self.workspace, threads);
  }
  check(status, "the layer");
  return out;
}

template <class T>
void pack(Layer<T>& self, py::handle in_weight, py::handle in_bias, py::handle out_weight, py::handle out_bias, py::handle norm_weight,
          py::handle norm_bias, std::uint64_t version, bool gradients) {
  const auto e = static_cast<py::ssize_t>(self.layer.options().embed);
  std::vector<Array<T>> alive;
  const auto take = [&](py::handle given, const char* name, const std::vector<py::ssize_t>& shape) -> const T* {
    if (given.is_none()) return nullptr;
    alive.push_back(of_shape<T>(given, name, shape));
    return alive.back().data();
  };
  AttentionLayerWeights<T> w;
  w.in_weight = take(in_weight, "in_proj_weight", {3 * e, e});
  w.in_bias = take(in_bias, "in_proj_bias", {3 * e});
  w.out_weight = take(out_weight, "out_proj.weight", {e, e});
  w.out_bias = take(out_bias, "out_proj.bias", {e});
  w.norm_weight = take(norm_weight, "norm.weight", {e});
  w.norm_bias = take(norm_bias, "norm.bias", {e});
  Status status;
  {
    const py::gil_scoped_release free;
    const std::lock_guard lock(self.mutex);
    status = self.layer.pack(w, version, gradients);
  }
  check(status, "the weights");
}

template <class T>
void bind(py::module_& m, const char* name) {
  using namespace py::literals;
  py::class_<Layer<T>>(m, name, "A layer of attention. Private: its public face is fairlead.attention.AttentionLayer.")
      .def(py::init([](std::size_t embed, std::size_t heads, const std::optional<std::string>& norm, bool residual, double epsilon) {
             auto out = std::make_unique<Layer<T>>();
             AttentionLayerOptions o;
             o.embed = embed;
             o.heads = heads;
             o.norm = norm_of(norm);
             o.residual = residual;
             o.epsilon = epsilon;
             if (out->layer.open(o) != Status::ok) {
               throw py::value_error("embed is " + std::to_string(embed) + ", heads is " + std::to_string(heads) + ", epsilon is " +
                                     bindings::show(epsilon) + ": heads must divide embed, and epsilon be positive");
             }
             return out;
           }),
           "embed"_a, "heads"_a, "norm"_a, "residual"_a, "epsilon"_a)
      .def("pack", &pack<T>, "in_proj_weight"_a, "in_proj_bias"_a, "out_proj_weight"_a, "out_proj_bias"_a, "norm_weight"_a, "norm_bias"_a,
           "version"_a, "gradients"_a)
      .def("forward", &forward<T>, "x"_a, "context"_a, "bias"_a, "mask"_a, "counts"_a, "context_counts"_a, "weights"_a, "keep"_a,
           "version"_a, "threads"_a, "out"_a)
      .def("backward", &backward<T>, "gradient"_a, "saved"_a, "x"_a, "context"_a, "bias"_a, "mask"_a, "counts"_a, "context_counts"_a,
           "version"_a, "threads"_a);
}

}  // namespace

void bind_attention_layer(py::module_& m) {
  bind<float>(m, "AttentionLayer");
  bind<double>(m, "AttentionLayer64");
}

}  // namespace fairlead::bindings
