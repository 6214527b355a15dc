// What a model is compiled for, and with.
#pragma once

#include "litert/runtime/compiled_model.h"
#include "litert/runtime/environment.h"

namespace litert_native::bindings {

struct CompileRequest {
  runtime::EnvironmentOptions environment;
  runtime::CompileOptions options;
};

}  // namespace litert_native::bindings
