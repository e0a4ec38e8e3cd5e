// What Python calls Calibrator.
#pragma once

#include "fairlead/calibrator.hpp"

namespace fairlead::bindings {

struct OptionedCalibrator {  // its options go with it
  double half_life = CalibratorOptions{}.half_life;
  Calibrator core;
};

}  // namespace fairlead::bindings
