// New tensors of torch at a third of what torch.empty costs: memory of our own, handed over through DLPack's exchange API.
//
// Such a tensor is as any other but that its storage cannot be resized. Where torch has no exchange API (before 2.10),
// torch.empty makes it.
#pragma once

#include <cstdlib>
#include <new>

#include "tensors.hpp"

namespace fairlead::bindings {

namespace dlpack {

struct Managed {
  Version version;
  void* owner;
  void (*free)(Managed*);
  std::uint64_t flags;
  Tensor tensor;
};

}  // namespace dlpack

namespace detail {

// What goes before the numbers of a tensor, in the same run of memory.
struct Block {
  dlpack::Managed managed;
  std::int64_t shape[View::most_axes], strides[View::most_axes];
};

constexpr std::size_t block_line = 64, block_head = (sizeof(Block) + block_line - 1) / block_line * block_line;

}  // namespace detail

struct NewTensor {
  py::object object;
  void* data = nullptr;
};

// Without gaps. element: a kind of number.
inline NewTensor new_torch(Element element, std::initializer_list<std::size_t> sizes) {
  using detail::Block;
  const TorchSide& torch = torch_side();
  const int ndim = static_cast<int>(sizes.size());
  std::array<std::int64_t, View::most_axes> shape{};
  std::size_t numbers = 1;
  int i = 0;
  for (const std::size_t size : sizes) {
    shape[static_cast<std::size_t>(i++)] = static_cast<std::int64_t>(size);
    numbers *= size;
  }
  if (torch.api == nullptr || torch.api->managed_tensor_to_py_object_no_sync == nullptr || numbers == 0) {
    View like;
    like.library = Library::torch;
    NewTensor out;
    out.object = new_tensor(like, element, shape.data(), ndim);
    out.data = tensor_view(out.object.ptr(), "what torch has made").data;
    return out;
  }
  const std::size_t bytes = element == Element::f64 ? 8 : 4;
  // malloc keeps blocks at hand, what aligns does not.
  void* const owner = std::malloc(detail::block_line + detail::block_head + numbers * bytes);
  if (owner == nullptr) throw std::bad_alloc();
  const auto address = reinterpret_cast<std::uintptr_t>(owner);
  auto* const memory = static_cast<std::byte*>(owner) + (detail::block_line - address % detail::block_line);
  auto* const block = new (memory) Block;
  for (int axis = ndim; axis-- > 0;) {
    const auto at = static_cast<std::size_t>(axis);
    block->shape[at] = shape[at];
    block->strides[at] = axis + 1 == ndim ? 1 : block->strides[at + 1] * block->shape[at + 1];
  }
  dlpack::Managed& managed = block->managed;
  managed.version = {1, 1};
  managed.owner = owner;
  managed.free = [](dlpack::Managed* self) { std::free(self->owner); };
  managed.flags = 0;
  managed.tensor = {memory + detail::block_head, {dlpack::cpu, 0}, ndim, {dlpack::code_float, static_cast<std::uint8_t>(8 * bytes), 1},
                    block->shape, block->strides, 0};
  using ToPython = int (*)(dlpack::Managed*, void**);
  void* made = nullptr;
  if (reinterpret_cast<ToPython>(torch.api->managed_tensor_to_py_object_no_sync)(&managed, &made) != 0) {
    managed.free(&managed);
    throw py::error_already_set();
  }
  return {py::reinterpret_steal<py::object>(static_cast<PyObject*>(made)), memory + detail::block_head};
}

}  // namespace fairlead::bindings
