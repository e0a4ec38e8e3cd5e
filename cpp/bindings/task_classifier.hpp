// A TaskClassifier as Python holds it.
#pragma once

#include "common.hpp"
#include "fairlead/task_classifier.hpp"

namespace fairlead::bindings {

struct Classifier {
  TaskClassifier core;
  py::tuple names;
};

}  // namespace fairlead::bindings
