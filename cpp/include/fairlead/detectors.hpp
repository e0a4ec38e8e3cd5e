// Online drift detectors: each watches one stream, an event at a time, and says when it has changed.
//
// Means of any stream:           Adwin, PageHinkley, Cusum
// Distributions of any stream:   Kswin
// Numbers in [0, 1]:             CutScan
// Errors of a classifier (0, 1): Ddm, Eddm, HddmA, HddmW
#pragma once

#include "fairlead/detectors/adwin.hpp"
#include "fairlead/detectors/cusum.hpp"
#include "fairlead/detectors/cut_scan.hpp"
#include "fairlead/detectors/ddm.hpp"
#include "fairlead/detectors/detector.hpp"
#include "fairlead/detectors/eddm.hpp"
#include "fairlead/detectors/hddm.hpp"
#include "fairlead/detectors/kswin.hpp"
#include "fairlead/detectors/page_hinkley.hpp"
