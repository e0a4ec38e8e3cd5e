#include "fairlead/attention_policy.hpp"

#include <mutex>

#include "arrays.hpp"

namespace fairlead::bindings {

namespace {

struct Policy {
  AttentionPolicy policy;
  AttentionPolicyWorkspace workspace;
  std::mutex mutex;  // of the workspace; taken without the GIL
};

std::unique_ptr<Policy> made(Status status, const std::string& why, std::unique_ptr<Policy> policy, const std::string& what) {
  if (status == Status::ok) return policy;
  if (status == Status::out_of_memory) throw std::bad_alloc();
  if (status == Status::system_refused) {
    py::module_::import("builtins").attr("open")(what, "rb").attr("close")();  // raises what is the matter
    PyErr_SetString(PyExc_OSError, why.c_str());
    throw py::error_already_set();
  }
  throw py::value_error(what + " is no policy: " + why);
}

std::unique_ptr<Policy> load(const py::object& path) {
  const auto name = py::module_::import("os").attr("fspath")(path).cast<std::string>();
  auto policy = std::make_unique<Policy>();
  std::string why;
  Status status;
  {
    const py::gil_scoped_release free;
    status = policy->policy.load(name, &why);
  }
  return made(status, why, std::move(policy), name);
}

std::unique_ptr<Policy> read(const py::buffer& data) {
  const py::buffer_info info = data.request();
  if (info.itemsize != 1 || info.ndim != 1 || info.strides[0] != 1) throw py::type_error("data must be bytes");
  auto policy = std::make_unique<Policy>();
  std::string why;
  const Status status =
      policy->policy.read({static_cast<const std::byte*>(info.ptr), static_cast<std::size_t>(info.size)}, &why);
  return made(status, why, std::move(policy), "data");
}

py::object call(Policy& self, py::handle observation, py::handle correlation, py::handle count, bool need_weights) {
  const AttentionPolicy& policy = self.policy;
  const Array<float> x = numbers<float>(observation, "observation", 2);
  AttentionObservation o;
  o.features = x.data();
  o.assets = static_cast<std::size_t>(x.shape(0));
  if (static_cast<std::size_t>(x.shape(1)) != policy.features() || o.assets == 0) {
    throw py::value_error("observation has shape " + shape_of(x) + ", must be (assets, " + std::to_string(policy.features()) + ")");
  }
  Array<float> c;
  if (!correlation.is_none()) {
    c = numbers<float>(correlation, "correlation", 2);
    if (c.shape(0) != x.shape(0) || c.shape(1) != x.shape(0)) {
      throw py::value_error("correlation has shape " + shape_of(c) + ", observation has " + shape_of(x) + ": it must be (" +
                            std::to_string(o.assets) + ", " + std::to_string(o.assets) + ")");
    }
    o.correlation = c.data();
  } else if (policy.correlated()) {
    throw py::value_error("correlation is missing: the policy was trained with correlations");
  }
  if (!count.is_none()) {
    const long long n = PyLong_AsLongLong(count.ptr());
    if (n == -1 && PyErr_Occurred() != nullptr) {
      PyErr_Clear();
      throw py::type_error("count is " + py::repr(count).cast<std::string>() + ", must be a whole number");
    }
    if (n < 0 || n > x.shape(0)) {
      throw py::value_error("count is " + std::to_string(n) + ", observation has " + std::to_string(o.assets) + " assets");
    }
    o.count = static_cast<std::size_t>(n);
  }
  py::dict out;
  Array<float> all(static_cast<py::ssize_t>(policy.outputs(o.assets)));
  float* const to = all.mutable_data();
  Array<float> weights;
  float* heat = nullptr;
  if (need_weights) {
    const auto n = static_cast<py::ssize_t>(o.assets);
    weights = Array<float>({static_cast<py::ssize_t>(policy.layers()), static_cast<py::ssize_t>(policy.attention_heads()), n, n});
    heat = weights.mutable_data();
  }
  Status status;
  {
    const py::gil_scoped_release free;
    const std::lock_guard lock(self.mutex);
    status = policy.forward(o, self.workspace, to, heat);
  }
  check(status, "observation");
  for (std::size_t h = 0; h < policy.heads().size(); ++h) {
    const AttentionPolicy::Head& head = policy.heads()[h];
    std::vector<py::ssize_t> shape;
    if (!head.pooled) shape.push_back(static_cast<py::ssize_t>(o.assets));
    shape.push_back(static_cast<py::ssize_t>(head.width));
    out[py::str(head.name)] = py::array_t<float>(shape, to + policy.place(h, o.assets), all);
  }
  if (!need_weights) return out;
  return py::make_tuple(out, weights);
}

}  // namespace

void bind_attention_policy(py::module_& m) {
  py::class_<Policy>(m, "AttentionPolicy", R"(A policy over a set of assets, without torch: layers of attention, and heads.

Loaded from a safetensors file as ``safetensors.torch.save_file(module.state_dict(), path, metadata)`` or
`fairlead.attention.policy_bytes` writes it. The names of its tensors are those of torch modules: ``embed`` (Linear),
``layers.0.attention`` (MultiheadAttention), ``layers.0.correlation`` (CorrelationBias), ``layers.0.norm`` (LayerNorm),
``layers.0.feed`` (Sequential), ``layers.0.feed_norm``, ``norm``, ``heads.<name>`` (Linear or Sequential); all but the
attention and at least one head may be missing. Metadata: ``fairlead`` "attention_policy", ``heads``, and where they differ
from these ``norm`` "after", ``activation`` "relu", ``epsilon`` "1e-05", ``pooled`` "" (names of heads that see the mean
over the assets, with commas between them).

>>> import numpy as np
>>> from fairlead.attention import AttentionPolicy, policy_bytes
>>> tensors = {
...     "layers.0.attention.in_proj_weight": np.zeros((12, 4)),
...     "layers.0.attention.out_proj.weight": np.zeros((4, 4)),
...     "heads.score.weight": np.ones((1, 4)),
... }
>>> policy = AttentionPolicy.read(policy_bytes(tensors, heads=2))
>>> policy
AttentionPolicy(features=4, embed=4, layers=1, attention_heads=2, heads=['score'])
>>> policy(np.arange(12.0).reshape(3, 4))["score"].ravel()
array([ 6., 22., 38.], dtype=float32)
)")
      .def_static("load", &load, py::arg("path"),
                  "From a file. Raises OSError (FileNotFoundError, ...) if it cannot be read, ValueError, saying what is wrong, if it is damaged or "
                  "holds no policy.")
      .def_static("read", &read, py::arg("data"), "From the bytes of a file. Raises ValueError as `load` does.")
      .def("__call__", &call, py::arg("observation"), py::arg("correlation") = py::none(), py::arg("count") = py::none(), py::kw_only(),
           py::arg("need_weights") = false,
           R"(The outputs of the heads, by name: float32, (assets, width), or (width,) for pooled heads.

observation: (assets, features). correlation: (assets, assets), added to the logits of attention, multiplied by what each
layer has learned for each head; None only for a policy that was trained without. count: of assets that are there, the first ones; the others give zeros. need_weights:
returns (outputs, weights), the weights of attention being (layers, attention heads, assets, assets). Raises ValueError for
a wrong shape or count, or where correlations are missing.)")
      .def_property_readonly("features", [](const Policy& p) { return p.policy.features(); }, "Numbers of an asset.")
      .def_property_readonly("embed", [](const Policy& p) { return p.policy.embed(); }, "Numbers of an asset between layers.")
      .def_property_readonly("layers", [](const Policy& p) { return p.policy.layers(); }, "How many layers of attention.")
      .def_property_readonly("attention_heads", [](const Policy& p) { return p.policy.attention_heads(); }, "Heads of each layer of attention.")
      .def_property_readonly(
          "heads",
          [](const Policy& p) {
            py::dict out;
            for (const AttentionPolicy::Head& head : p.policy.heads()) out[py::str(head.name)] = head.width;
            return out;
          },
          "The width of each head, by name.")
      .def_property_readonly(
          "pooled",
          [](const Policy& p) {
            py::list out;
            for (const AttentionPolicy::Head& head : p.policy.heads())
              if (head.pooled) out.append(head.name);
            return out;
          },
          "Names of the heads that see the mean over the assets.")
      .def("__repr__", [](const Policy& p) {
        py::list names;
        for (const AttentionPolicy::Head& head : p.policy.heads()) names.append(head.name);
        return "AttentionPolicy(features=" + std::to_string(p.policy.features()) + ", embed=" + std::to_string(p.policy.embed()) +
               ", layers=" + std::to_string(p.policy.layers()) + ", attention_heads=" + std::to_string(p.policy.attention_heads()) +
               ", heads=" + py::repr(names).cast<std::string>() + ")";
      });
}

}  // namespace fairlead::bindings
