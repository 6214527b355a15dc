// The table of C functions used, resolved once from the LiteRT library, which is never linked and
// never closed.
#pragma once

#include <string>

#include "litert/c/internal/litert_accelerator.h"
#include "litert/c/internal/litert_accelerator_registration.h"
#include "litert/c/internal/litert_delegate_wrapper.h"
#include "litert/c/litert_compiled_model.h"
#include "litert/c/litert_environment.h"
#include "litert/c/litert_model.h"
#include "litert/c/litert_opaque_options.h"
#include "litert/c/litert_options.h"
#include "litert/c/litert_profiler.h"
#include "litert/c/litert_tensor_buffer.h"
#include "litert/c/litert_tensor_buffer_requirements.h"

// X(member, C function): all are in every supported version, 2.1.6 and later.
#define LITERT_NATIVE_FUNCTIONS(X)                                                      \
  X(create_environment, LiteRtCreateEnvironment)                                        \
  X(destroy_environment, LiteRtDestroyEnvironment)                                      \
  X(get_num_accelerators, LiteRtGetNumAccelerators)                                     \
  X(get_accelerator, LiteRtGetAccelerator)                                              \
  X(get_accelerator_hardware_support, LiteRtGetAcceleratorHardwareSupport)              \
  X(create_accelerator, LiteRtCreateAccelerator)                                        \
  X(register_accelerator, LiteRtRegisterAccelerator)                                    \
  X(set_accelerator_get_name, LiteRtSetAcceleratorGetName)                              \
  X(set_accelerator_get_version, LiteRtSetAcceleratorGetVersion)                        \
  X(set_accelerator_get_hardware_support, LiteRtSetAcceleratorGetHardwareSupport)       \
  X(set_accelerator_is_jit, LiteRtSetIsAcceleratorDelegateResponsibleForJitCompilation) \
  X(set_delegate_function, LiteRtSetDelegateFunction)                                   \
  X(wrap_delegate, LiteRtWrapDelegate)                                                  \
  X(create_model_from_buffer, LiteRtCreateModelFromBuffer)                              \
  X(destroy_model, LiteRtDestroyModel)                                                  \
  X(get_num_model_signatures, LiteRtGetNumModelSignatures)                              \
  X(get_model_signature, LiteRtGetModelSignature)                                       \
  X(get_num_signature_inputs, LiteRtGetNumSignatureInputs)                              \
  X(get_num_signature_outputs, LiteRtGetNumSignatureOutputs)                            \
  X(get_signature_input_tensor_by_index, LiteRtGetSignatureInputTensorByIndex)          \
  X(get_signature_output_tensor_by_index, LiteRtGetSignatureOutputTensorByIndex)        \
  X(get_tensor_index, LiteRtGetTensorIndex)                                             \
  X(create_options, LiteRtCreateOptions)                                                \
  X(destroy_options, LiteRtDestroyOptions)                                              \
  X(set_options_hardware_accelerators, LiteRtSetOptionsHardwareAccelerators)            \
  X(create_opaque_options, LiteRtCreateOpaqueOptions)                                   \
  X(destroy_opaque_options, LiteRtDestroyOpaqueOptions)                                 \
  X(add_opaque_options, LiteRtAddOpaqueOptions)                                         \
  X(add_custom_op_kernel, LiteRtAddCustomOpKernelOption)                                \
  X(create_compiled_model, LiteRtCreateCompiledModel)                                   \
  X(destroy_compiled_model, LiteRtDestroyCompiledModel)                                 \
  X(get_output_tensor_layouts, LiteRtGetCompiledModelOutputTensorLayouts)               \
  X(resize_input_tensor, LiteRtCompiledModelResizeInputTensorNonStrict)                 \
  X(run_compiled_model, LiteRtRunCompiledModel)                                         \
  X(set_cancellation_function, LiteRtSetCompiledModelCancellationFunction)              \
  X(get_error_messages, LiteRtCompiledModelGetErrorMessages)                            \
  X(clear_errors, LiteRtCompiledModelClearErrors)                                       \
  X(get_profiler, LiteRtCompiledModelGetProfiler)                                       \
  X(start_profiler, LiteRtStartProfiler)                                                \
  X(stop_profiler, LiteRtStopProfiler)                                                  \
  X(reset_profiler, LiteRtResetProfiler)                                                \
  X(get_num_profiler_events, LiteRtGetNumProfilerEvents)                                \
  X(get_profiler_events, LiteRtGetProfilerEvents)                                       \
  X(lock_tensor_buffer, LiteRtLockTensorBuffer)                                         \
  X(unlock_tensor_buffer, LiteRtUnlockTensorBuffer)                                     \
  X(get_tensor_buffer_tensor_type, LiteRtGetTensorBufferTensorType)                     \
  X(get_tensor_buffer_packed_size, LiteRtGetTensorBufferPackedSize)                     \
  X(create_tensor_buffer_from_host_memory, LiteRtCreateTensorBufferFromHostMemory)      \
  X(destroy_tensor_buffer, LiteRtDestroyTensorBuffer)

namespace litert_native::runtime {

// Immutable once opened.
struct Library {
#define X(member, function) decltype(&::function) member = nullptr;
  LITERT_NATIVE_FUNCTIONS(X)
#undef X
  // What the library registers for the CPU by itself (a LiteRtAcceleratorDef); may be null.
  const void* cpu_accelerator = nullptr;
  std::string path;
  // "2.1.6", "2.2.0", "2.3.0": the oldest release with the symbols that this library has. There is
  // no version function.
  std::string version;
};

// Opens the library at `path` and makes it the one of this process. Throws StatusError 502 with the
// loader's own text if it does not load, naming the first missing symbol, or naming what this CPU
// lacks of what the library was compiled for. Opening the same path again does nothing; another
// path once one is open is refused.
const Library& open_library(const std::string& path);

// Whether open_library has succeeded.
[[nodiscard]] bool is_library_open();

// The opened library. Throws StatusError 502 if none is.
[[nodiscard]] const Library& library();

}  // namespace litert_native::runtime
