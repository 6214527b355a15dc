// Graphs whose operators do not fit together, which the library runs all the same.
//
// The library checks neither that a tensor is computed before it is read, nor that RESHAPE keeps
// the type: it reads memory that nobody wrote, or past a tensor's end, with status Ok. The same
// rules as litert.data_flow_check.
#pragma once

#include <string>

#include "litert/runtime/model_file.h"

namespace litert_native::runtime {

// What is wrong with the first operator or output; empty where nothing is.
[[nodiscard]] std::string find_broken_data_flow(const ModelFile& file);

}  // namespace litert_native::runtime
