// The LiteRT library with a clock around LiteRtRunCompiledModel: LITERT_LIBRARY may name it. All
// other functions are those of the real library, which this one is linked to: looking a symbol up
// here goes on there. Built by native_build.py; for one thread at a time.
#include <dlfcn.h>

#include <array>
#include <chrono>
#include <cstddef>

#include "litert/c/litert_compiled_model.h"

namespace {

// The seconds of the latest runs.
std::array<double, 4096> latest;
size_t num_runs = 0;

}  // namespace

extern "C" LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel compiled_model,
                                               LiteRtParamIndex signature_index,
                                               size_t num_input_buffers,
                                               LiteRtTensorBuffer* input_buffers,
                                               size_t num_output_buffers,
                                               LiteRtTensorBuffer* output_buffers) {
  static const auto run =
      reinterpret_cast<decltype(&LiteRtRunCompiledModel)>(dlsym(RTLD_NEXT, __func__));
  const auto start = std::chrono::steady_clock::now();
  const LiteRtStatus status = run(compiled_model, signature_index, num_input_buffers, input_buffers,
                                  num_output_buffers, output_buffers);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  latest[num_runs++ % latest.size()] = elapsed.count();
  return status;
}

// Returns the seconds that the last `count` runs took together; at most 4,096.
extern "C" double timed_library_seconds(size_t count) {
  double seconds = 0;
  for (size_t i = 0; i < count; ++i) {
    seconds += latest[(num_runs - 1 - i) % latest.size()];
  }
  return seconds;
}
