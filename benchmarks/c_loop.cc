// The floor: a loop over LiteRT's C API with nothing around it. Built by c_loop.py; no exceptions,
// no ownership beyond a loop that lives as long as the process.
#include <dlfcn.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "litert/c/litert_compiled_model.h"
#include "litert/c/litert_environment.h"
#include "litert/c/litert_environment_options.h"
#include "litert/c/litert_model.h"
#include "litert/c/litert_opaque_options.h"
#include "litert/c/litert_options.h"
#include "litert/c/litert_tensor_buffer.h"

namespace {

struct Loop {
  decltype(&LiteRtRunCompiledModel) run = nullptr;
  LiteRtCompiledModel compiled = nullptr;
  std::vector<LiteRtTensorBuffer> inputs;
  std::vector<LiteRtTensorBuffer> kept;  // NULL: as bound before
  std::vector<LiteRtTensorBuffer> outputs;
};

struct Memory {
  void* address;
  size_t size_bytes;
};

template <typename Function>
Function* find(void* library, const char* name, Function* /*type*/) {
  return reinterpret_cast<Function*>(dlsym(library, name));
}
#define FIND(function) find(library, #function, &function)

LiteRtEnvironment make_environment(void* library) {
  LiteRtEnvOption options[2] = {};
  options[0].tag = kLiteRtEnvOptionTagAutoRegisterAccelerators;
  options[0].value.type = kLiteRtAnyTypeInt;
  options[0].value.int_value = kLiteRtHwAcceleratorCpu;
  options[1].tag = kLiteRtEnvOptionTagMinLoggerSeverity;
  options[1].value.type = kLiteRtAnyTypeInt;
  options[1].value.int_value = 4;  // silent
  LiteRtEnvironment environment = nullptr;
  FIND(LiteRtCreateEnvironment)(2, options, &environment);
  return environment;
}

LiteRtOptions make_options(void* library) {
  LiteRtOptions options = nullptr;
  FIND(LiteRtCreateOptions)(&options);
  FIND(LiteRtSetOptionsHardwareAccelerators)(options, kLiteRtHwAcceleratorCpu);
  LiteRtOpaqueOptions runtime = nullptr;
  FIND(LiteRtCreateOpaqueOptions)("runtime_options_string", strdup("error_reporter_mode = 2\n"),
                                  std::free, &runtime);
  FIND(LiteRtAddOpaqueOptions)(options, runtime);
  return options;
}

LiteRtTensorBuffer make_buffer(void* library, const LiteRtLayout& layout, const Memory& memory) {
  LiteRtRankedTensorType type = {};
  type.element_type = kLiteRtElementTypeFloat32;
  type.layout.rank = layout.rank;
  std::memcpy(type.layout.dimensions, layout.dimensions, sizeof(layout.dimensions));
  LiteRtTensorBuffer buffer = nullptr;
  FIND(LiteRtCreateTensorBufferFromHostMemory)(&type, memory.address, memory.size_bytes, nullptr,
                                               &buffer);
  return buffer;
}

}  // namespace

// Makes a loop over the first signature of a model with float32 tensors, over memory of the
// caller's, in the order of the C API. NULL if anything fails.
extern "C" void* c_loop_open(const char* library_path, const void* model_bytes, size_t model_size,
                             const Memory* inputs, size_t num_inputs, const Memory* outputs,
                             size_t num_outputs) {
  void* const library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return nullptr;
  }
  const LiteRtEnvironment environment = make_environment(library);
  LiteRtModel model = nullptr;
  if (FIND(LiteRtCreateModelFromBuffer)(environment, model_bytes, model_size, &model) != 0) {
    return nullptr;
  }
  Loop* const loop = new Loop;
  loop->run = FIND(LiteRtRunCompiledModel);
  if (FIND(LiteRtCreateCompiledModel)(environment, model, make_options(library), &loop->compiled) !=
      0) {
    return nullptr;
  }
  for (size_t i = 0; i < num_inputs; ++i) {
    LiteRtLayout layout = {};
    FIND(LiteRtGetCompiledModelInputTensorLayout)(loop->compiled, 0, i, &layout);
    loop->inputs.push_back(make_buffer(library, layout, inputs[i]));
    loop->kept.push_back(nullptr);
  }
  std::vector<LiteRtLayout> layouts(num_outputs);
  FIND(LiteRtGetCompiledModelOutputTensorLayouts)(loop->compiled, 0, num_outputs, layouts.data(),
                                                  true);
  for (size_t i = 0; i < num_outputs; ++i) {
    loop->outputs.push_back(make_buffer(library, layouts[i], outputs[i]));
  }
  return loop;
}

// Returns the seconds that `count` runs take, or a negative number if one fails. With `keep_inputs`
// the inputs are left as the runs before have bound them.
extern "C" double c_loop_run(void* opened, int64_t count, int keep_inputs) {
  Loop& loop = *static_cast<Loop*>(opened);
  LiteRtTensorBuffer* const inputs = keep_inputs != 0 ? loop.kept.data() : loop.inputs.data();
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < count; ++i) {
    if (loop.run(loop.compiled, 0, loop.inputs.size(), inputs, loop.outputs.size(),
                 loop.outputs.data()) != kLiteRtStatusOk) {
      return -1;
    }
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}
