// What a model is compiled for, and with.
#pragma once

#include <string>
#include <vector>

#include "litert/accelerate/external_delegate.h"
#include "litert/runtime/compiled_model.h"
#include "litert/runtime/environment.h"

namespace litert_native::bindings {

struct CompileRequest {
  runtime::EnvironmentOptions environment;
  runtime::CompileOptions options;
  std::vector<accelerate::DelegateSpec> delegates;  // in place of `environment`
  // Where packed weights are kept; empty for nowhere.
  std::string cache_folder;
};

}  // namespace litert_native::bindings
