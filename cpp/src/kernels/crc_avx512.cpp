#include "kernels/crc_instruction.hpp"
#include "kernels/crc_body.hpp"

namespace fairlead::kernels {

const CrcKernels crc_avx512 = {compiled_for, crc32c, check, fill};

}  // namespace fairlead::kernels
