#include "kernels/pooling_body.hpp"

namespace fairlead::kernels {

const PoolKernels pool_scalar = {compiled_for, survey_of<double>, linear_all<double, false>, linear_all<double, true>,
                                log_all<double>, sorted_all<double>};

}  // namespace fairlead::kernels
