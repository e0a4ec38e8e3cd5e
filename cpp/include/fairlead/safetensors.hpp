// A file of named arrays in the safetensors format: 8 bytes with the length of a header (little endian), the header (JSON:
// for each name dtype, shape and data_offsets; strings in __metadata__), then the arrays without gaps.
//
//   https://github.com/huggingface/safetensors, "Format"
//
// Everything is checked before it is used: nothing is read outside the bytes, whatever they are. The arrays stay where they
// are; `floats` takes F32 as it is and widens BF16.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fairlead/status.hpp"

namespace fairlead {

class SafeTensors {
 public:
  struct Tensor {
    std::string type;  // F32, BF16, ...
    std::vector<std::size_t> shape;
    std::size_t from = 0, to = 0;  // bytes of the data
    std::size_t numbers() const noexcept;
  };

  // Keeps `bytes` in view. not_a_policy: damaged or of another format, `why` says what; out_of_memory. Then nothing has
  // changed but `why`.
  Status read(std::span<const std::byte> bytes, std::string& why) noexcept;

  const std::map<std::string, Tensor, std::less<>>& tensors() const noexcept { return tensors_; }
  const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return metadata_; }
  const Tensor* find(std::string_view name) const noexcept;

  // The bytes of one of `tensors`, little endian.
  std::span<const std::byte> bytes(const Tensor& tensor) const noexcept { return data_.subspan(tensor.from, tensor.to - tensor.from); }

  // The numbers of one of `tensors`, `to` having room for them; false if they are neither F32 nor BF16.
  bool floats(const Tensor& tensor, float* to) const noexcept;

 private:
  std::span<const std::byte> data_;
  std::map<std::string, Tensor, std::less<>> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
};

}  // namespace fairlead
