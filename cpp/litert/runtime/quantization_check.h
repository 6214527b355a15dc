// Quantization that the library answers by ending the process.
//
// Some kernels check their rescaling factors with TFLITE_CHECK, which aborts, and take the indices
// of blockwise scales as they are. A model with such parameters must not reach the library: neither
// XNNPACK nor the plain kernels refuse it. The same rules as litert.quantization_check.
#pragma once

#include <string>

#include "litert/runtime/model_file.h"

namespace litert_native::runtime {

// What is wrong with the first operator or tensor that would end the process; empty where nothing
// is.
[[nodiscard]] std::string find_fatal_quantization(const ModelFile& file);

}  // namespace litert_native::runtime
