// Tensors from Python without a copy: numpy arrays by their C struct, torch's by DLPack's C exchange API (torch 2.10
// on), or by data_ptr() and stride() where that is missing. torch is never linked, and never imported from here.
//
//   DLPack 1.3, "C Exchange API": https://dmlc.github.io/dlpack/latest/c_api.html
//
// Only the exact types numpy.ndarray, torch.Tensor and torch.nn.Parameter are read. Subclasses may hold no numbers (a
// FakeTensor), or give them another meaning (a masked array); they are left to Python.
#pragma once

#include <pybind11/numpy.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "common.hpp"

namespace fairlead::bindings {

// --- DLPack's declarations, as the specification lays them out ---

namespace dlpack {

struct Version {
  std::uint32_t major, minor;
};
struct Device {
  std::int32_t type, id;
};
struct DataType {
  std::uint8_t code, bits;
  std::uint16_t lanes;
};
struct Tensor {
  void* data;
  Device device;
  std::int32_t ndim;
  DataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  // in numbers
  std::uint64_t byte_offset;
};
struct Header {
  Version version;
  Header* previous;
};
struct ExchangeApi {
  Header header;
  void* managed_tensor_allocator;
  void* managed_tensor_from_py_object_no_sync;
  void* managed_tensor_to_py_object_no_sync;
  int (*dltensor_from_py_object_no_sync)(void* object, Tensor* out);
  void* current_work_stream;
};

constexpr std::int32_t cpu = 1;
constexpr std::uint8_t code_int = 0, code_float = 2, code_bfloat = 4, code_bool = 6;

}  // namespace dlpack

enum class Element : std::uint8_t { other, f32, f64, bf16, boolean, i64 };

inline const char* name(Element element) noexcept {
  switch (element) {
    case Element::f32: return "float32";
    case Element::f64: return "float64";
    case Element::bf16: return "bfloat16";
    case Element::boolean: return "bool";
    case Element::i64: return "int64";
    case Element::other: break;
  }
  return "another dtype";
}

// What Python tells of torch, once it is imported: see `attention_torch`.
struct TorchSide {
  PyObject* tensor = nullptr;
  PyObject* parameter = nullptr;
  const dlpack::ExchangeApi* api = nullptr;
  PyObject* is_grad_enabled = nullptr;
  PyObject* is_autocast_enabled = nullptr;
  PyObject* dispatch_modes = nullptr;
  PyObject* is_tracing = nullptr;  // torch.jit.trace, from which legacy exporters work
  PyObject* transforms_active = nullptr;
  PyObject* train = nullptr;  // autograd.Function.apply
  PyObject* empty = nullptr;  // empty(shape, dtype=, device=)
  PyObject* empty_like = nullptr;
  std::array<PyObject*, 6> dtypes{};  // by Element
  PyObject* cpu = nullptr;            // the device: another may be the default
  PyObject *forward_mode = nullptr, *current_level = nullptr;  // the dict of torch.autograd.forward_ad, a name in it
  PyObject* changed = nullptr;        // changed(tensor): that it was written to
  PyObject *requires_grad = nullptr, *contiguous = nullptr, *is_neg = nullptr, *shape = nullptr, *stride = nullptr,
           *data_ptr = nullptr, *dtype = nullptr, *device = nullptr, *type = nullptr;
};

inline TorchSide& torch_side() noexcept {
  static TorchSide side;
  return side;
}

enum class Library : std::uint8_t { numpy, torch };

// A tensor's place in memory. Valid as long as the Python object is.
struct View {
  static constexpr int most_axes = 4;
  PyObject* object = nullptr;
  void* data = nullptr;
  int ndim = 0;
  std::array<std::int64_t, most_axes> shape{}, strides{};  // strides in numbers
  Element element = Element::other;
  Library library = Library::numpy;
  bool writable = true;

  bool given() const noexcept { return object != nullptr; }
  bool empty() const noexcept {
    for (int i = 0; i < ndim; ++i)
      if (shape[static_cast<std::size_t>(i)] == 0) return true;
    return false;
  }
};

inline std::string shape_text(PyObject* object) {  // a torch.Size would say that it is one
  return py::str(py::tuple(py::list(py::handle(object).attr("shape")))).cast<std::string>();
}
inline std::string shape_text(const View& view) { return shape_text(view.object); }

// Ends reading, without an error: what is asked for is left to Python.
struct LeaveToPython {};

namespace detail {

inline py::object steal(PyObject* object) {
  if (object == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(object);
}

inline void check_axes(const char* argument, PyObject* object, std::int64_t ndim) {
  if (ndim > View::most_axes)
    throw py::value_error(std::string(argument) + " has shape " + shape_text(object) +
                          ", must have at most 4 dimensions");
}

inline View numpy_view(PyObject* object, const char* argument) {
  const auto* const array = py::detail::array_proxy(object);
  const auto* const dtype = py::detail::array_descriptor_proxy(array->descr);
  View out;
  out.object = object;
  out.library = Library::numpy;
  out.data = array->data;
  out.writable = (array->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) != 0;
  const bool native = dtype->byteorder != '>' && (array->flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
  std::int64_t bytes = 1;
  switch (dtype->type_num) {
    case py::detail::npy_api::NPY_FLOAT_: out.element = Element::f32, bytes = 4; break;
    case py::detail::npy_api::NPY_DOUBLE_: out.element = Element::f64, bytes = 8; break;
    case py::detail::npy_api::NPY_BOOL_: out.element = Element::boolean; break;
    case py::detail::npy_api::NPY_LONG_:
    case py::detail::npy_api::NPY_LONGLONG_:
      out.element =
          sizeof(long) == 8 || dtype->type_num == py::detail::npy_api::NPY_LONGLONG_ ? Element::i64 : Element::other,
      bytes = 8;
      break;
    default: break;
  }
  if (!native) out.element = Element::other;
  check_axes(argument, object, array->nd);
  out.ndim = array->nd;
  for (int i = 0; i < out.ndim; ++i) {
    const auto axis = static_cast<std::size_t>(i);
    out.shape[axis] = array->dimensions[i];
    if (out.element != Element::other && array->strides[i] % bytes != 0) throw LeaveToPython{};  // a field of a record
    out.strides[axis] = array->strides[i] / bytes;
  }
  return out;
}

inline Element element_of(dlpack::DataType type) noexcept {
  if (type.lanes != 1) return Element::other;
  if (type.code == dlpack::code_float)
    return type.bits == 32 ? Element::f32 : type.bits == 64 ? Element::f64 : Element::other;
  if (type.code == dlpack::code_bfloat && type.bits == 16) return Element::bf16;
  if (type.code == dlpack::code_bool && type.bits == 8) return Element::boolean;
  if (type.code == dlpack::code_int && type.bits == 64) return Element::i64;
  return Element::other;
}

// The imaginary part of a conjugate is a view of numbers whose sign is to be changed. Its strides are all even.
inline void check_sign(const View& view, const TorchSide& torch) {
  for (int i = 0; i < view.ndim; ++i)
    if (view.strides[static_cast<std::size_t>(i)] % 2 != 0) return;
  const py::object negative = steal(PyObject_CallMethodNoArgs(view.object, torch.is_neg));
  if (negative.ptr() == Py_True) throw LeaveToPython{};
}

inline View exchanged(PyObject* object, const char* argument, const TorchSide& torch) {
  dlpack::Tensor tensor{};
  if (torch.api->dltensor_from_py_object_no_sync(object, &tensor) != 0) {
    PyErr_Clear();
    throw LeaveToPython{};  // a tensor that has no memory: of torch.func, or of another device
  }
  if (tensor.device.type != dlpack::cpu) throw LeaveToPython{};
  View out;
  out.object = object;
  out.library = Library::torch;
  out.data = static_cast<std::byte*>(tensor.data) + tensor.byte_offset;
  out.element = element_of(tensor.dtype);
  check_axes(argument, object, tensor.ndim);
  out.ndim = tensor.ndim;
  for (int i = 0; i < out.ndim; ++i) {
    out.shape[static_cast<std::size_t>(i)] = tensor.shape[i];
    out.strides[static_cast<std::size_t>(i)] = tensor.strides[i];
  }
  if (tensor.data == nullptr && !out.empty()) throw LeaveToPython{};
  check_sign(out, torch);
  return out;
}

inline std::int64_t whole(PyObject* number) {
  const long long out = PyLong_AsLongLong(number);
  if (out == -1 && PyErr_Occurred() != nullptr) throw py::error_already_set();
  return out;
}

// For torch 2.6 to 2.9, which have no exchange API.
inline View asked(PyObject* object, const char* argument, const TorchSide& torch) {
  const py::object device = steal(PyObject_GetAttr(object, torch.device));
  const py::object type = steal(PyObject_GetAttr(device.ptr(), torch.type));
  if (PyUnicode_CompareWithASCIIString(type.ptr(), "cpu") != 0) throw LeaveToPython{};
  View out;
  out.object = object;
  out.library = Library::torch;
  const py::object dtype = steal(PyObject_GetAttr(object, torch.dtype));
  for (std::size_t i = 1; i < torch.dtypes.size(); ++i)
    if (dtype.ptr() == torch.dtypes[i]) out.element = static_cast<Element>(i);
  const py::object shape = steal(PyObject_GetAttr(object, torch.shape));
  const py::object strides = steal(PyObject_CallMethodNoArgs(object, torch.stride));
  check_axes(argument, object, PyTuple_GET_SIZE(shape.ptr()));
  out.ndim = static_cast<int>(PyTuple_GET_SIZE(shape.ptr()));
  for (int i = 0; i < out.ndim; ++i) {
    out.shape[static_cast<std::size_t>(i)] = whole(PyTuple_GET_ITEM(shape.ptr(), i));
    out.strides[static_cast<std::size_t>(i)] = whole(PyTuple_GET_ITEM(strides.ptr(), i));
  }
  PyObject* const data = PyObject_CallMethodNoArgs(object, torch.data_ptr);
  if (data == nullptr) {
    PyErr_Clear();
    throw LeaveToPython{};  // a tensor of torch.func
  }
  const py::object owner = steal(data);
  out.data = PyLong_AsVoidPtr(data);
  if (out.data == nullptr && !out.empty()) throw LeaveToPython{};
  check_sign(out, torch);
  return out;
}

}  // namespace detail

inline bool is_numpy(PyObject* object) noexcept {
  return reinterpret_cast<PyObject*>(Py_TYPE(object)) ==
         reinterpret_cast<PyObject*>(py::detail::npy_api::get().PyArray_Type_);
}
inline bool is_torch(PyObject* object) noexcept {
  const TorchSide& torch = torch_side();
  auto* const type = reinterpret_cast<PyObject*>(Py_TYPE(object));
  return torch.tensor != nullptr && (type == torch.tensor || type == torch.parameter);
}

// Throws LeaveToPython for what is neither, and for tensors without memory on this machine.
inline View tensor_view(PyObject* object, const char* argument) {
  if (is_numpy(object)) return detail::numpy_view(object, argument);
  const TorchSide& torch = torch_side();
  if (!is_torch(object)) throw LeaveToPython{};
  return torch.api != nullptr ? detail::exchanged(object, argument, torch) : detail::asked(object, argument, torch);
}

inline bool truth_of_call(PyObject* function) {
  const py::object answer = detail::steal(PyObject_CallNoArgs(function));
  const int truth = PyObject_IsTrue(answer.ptr());
  if (truth < 0) throw py::error_already_set();
  return truth != 0;
}

// A new tensor, without gaps, of the library that `like` is of.
inline py::object new_tensor(const View& like, Element element, const std::int64_t* shape, int ndim) {
  if (like.library == Library::numpy) {
    const auto& api = py::detail::npy_api::get();
    std::array<Py_intptr_t, View::most_axes> sizes{};
    for (int i = 0; i < ndim; ++i) sizes[static_cast<std::size_t>(i)] = static_cast<Py_intptr_t>(shape[i]);
    PyObject* const descr = api.PyArray_DescrFromType_(element == Element::f64 ? py::detail::npy_api::NPY_DOUBLE_
                                                                               : py::detail::npy_api::NPY_FLOAT_);
    return detail::steal(
        api.PyArray_NewFromDescr_(api.PyArray_Type_, descr, ndim, sizes.data(), nullptr, nullptr, 0, nullptr));
  }
  const TorchSide& torch = torch_side();
  const py::object sizes = detail::steal(PyTuple_New(ndim));
  for (int i = 0; i < ndim; ++i) {
    PyObject* const size = PyLong_FromLongLong(shape[i]);
    if (size == nullptr) throw py::error_already_set();
    PyTuple_SET_ITEM(sizes.ptr(), i, size);
  }
  static PyObject* const names =
      PyTuple_Pack(2, PyUnicode_InternFromString("dtype"), PyUnicode_InternFromString("device"));
  PyObject* const arguments[] = {sizes.ptr(), torch.dtypes[static_cast<std::size_t>(element)], torch.cpu};
  return detail::steal(PyObject_Vectorcall(torch.empty, arguments, 1, names));
}

// As `like` in shape and element, and for torch in the order of its axes, too.
inline py::object new_like(const View& like) {
  if (like.library == Library::numpy) return new_tensor(like, like.element, like.shape.data(), like.ndim);
  PyObject* const arguments[] = {like.object};
  return detail::steal(PyObject_Vectorcall(torch_side().empty_like, arguments, 1, nullptr));
}

}  // namespace fairlead::bindings
