// libFuzzer over the reader of segments: any bytes as a segment. Give it the seeds of `fuzz_seeds FOLDER` to start from.
#include "segment_input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  desk::try_segment({data, size});
  return 0;
}
