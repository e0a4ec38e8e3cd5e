#include "fairlead/checksum.hpp"

#include "kernels/crc.hpp"
#include "kernels/dispatch.hpp"

namespace fairlead {

const kernels::CrcKernels& kernels::crc_kernels() noexcept { return select(crc_scalar, crc_avx2, crc_avx512); }

std::uint32_t crc32c(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return kernels::crc_kernels().crc32c(bytes.data(), bytes.size(), before);
}

}  // namespace fairlead
