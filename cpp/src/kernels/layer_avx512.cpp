#include "kernels/layer_body.hpp"

namespace fairlead::kernels {

const LayerKernels<float> layer_avx512 = layer_kernels<float>();

}  // namespace fairlead::kernels
