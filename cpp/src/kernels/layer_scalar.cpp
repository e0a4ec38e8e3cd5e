#include "kernels/layer_body.hpp"

namespace fairlead::kernels {

const LayerKernels<float> layer_scalar = layer_kernels<float>();
const LayerKernels<double> layer_double = layer_kernels<double>();

}  // namespace fairlead::kernels
