// Kernels of a custom operator for the tests, as LiteRT's C API has them: sinh, and ones that go
// wrong. Linked to the LiteRT library, whose functions read and write the tensors.
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "litert/c/litert_custom_op_kernel.h"
#include "litert/c/litert_tensor_buffer.h"

namespace {

LiteRtStatus init(void*, const void*, size_t) { return kLiteRtStatusOk; }

LiteRtStatus init_fails(void*, const void*, size_t) { return kLiteRtStatusErrorUnsupported; }

LiteRtStatus same_layouts(void*, size_t, const LiteRtLayout* inputs, size_t num_outputs,
                          LiteRtLayout* outputs) {
  for (size_t i = 0; i < num_outputs; ++i) {
    outputs[i] = inputs[0];
  }
  return kLiteRtStatusOk;
}

LiteRtStatus layouts_fail(void*, size_t, const LiteRtLayout*, size_t, LiteRtLayout*) {
  return kLiteRtStatusErrorInvalidArgument;
}

LiteRtStatus layouts_too_wide(void*, size_t, const LiteRtLayout*, size_t, LiteRtLayout* outputs) {
  outputs[0].rank = 9;
  return kLiteRtStatusOk;
}

LiteRtStatus run(void*, size_t, const LiteRtTensorBuffer* inputs, size_t,
                 LiteRtTensorBuffer* outputs) {
  void* input = nullptr;
  void* output = nullptr;
  size_t size = 0;
  LiteRtGetTensorBufferPackedSize(inputs[0], &size);
  LiteRtLockTensorBuffer(inputs[0], &input, kLiteRtTensorBufferLockModeRead);
  LiteRtLockTensorBuffer(outputs[0], &output, kLiteRtTensorBufferLockModeWrite);
  for (size_t i = 0; i < size / sizeof(float); ++i) {
    static_cast<float*>(output)[i] = std::sinh(static_cast<const float*>(input)[i]);
  }
  LiteRtUnlockTensorBuffer(inputs[0]);
  LiteRtUnlockTensorBuffer(outputs[0]);
  return kLiteRtStatusOk;
}

// Fails as long as the first value is negative.
LiteRtStatus run_fails_below_zero(void* data, size_t num_inputs, const LiteRtTensorBuffer* inputs,
                                  size_t num_outputs, LiteRtTensorBuffer* outputs) {
  void* input = nullptr;
  LiteRtLockTensorBuffer(inputs[0], &input, kLiteRtTensorBufferLockModeRead);
  const float first = *static_cast<const float*>(input);
  LiteRtUnlockTensorBuffer(inputs[0]);
  return first < 0 ? kLiteRtStatusErrorRuntimeFailure
                   : run(data, num_inputs, inputs, num_outputs, outputs);
}

LiteRtStatus run_throws(void*, size_t, const LiteRtTensorBuffer*, size_t, LiteRtTensorBuffer*) {
  throw std::runtime_error("the sum does not converge");
}

LiteRtStatus destroy(void*) { return kLiteRtStatusOk; }

}  // namespace

extern "C" {

LiteRtCustomOpKernel LitertTestUnknownOp_kernel = {init, same_layouts, run, destroy};
LiteRtCustomOpKernel init_fails_kernel = {init_fails, same_layouts, run, destroy};
LiteRtCustomOpKernel layouts_fail_kernel = {init, layouts_fail, run, destroy};
LiteRtCustomOpKernel layouts_too_wide_kernel = {init, layouts_too_wide, run, destroy};
LiteRtCustomOpKernel fails_below_zero_kernel = {init, same_layouts, run_fails_below_zero, destroy};
LiteRtCustomOpKernel throws_kernel = {init, same_layouts, run_throws, destroy};
LiteRtCustomOpKernel incomplete_kernel = {init, same_layouts, run, nullptr};
}
