// TFLite's external delegates in compiled models.
//
// The C API has no call for a delegate, but takes accelerators, each of which makes a delegate for
// a compiled model. They are applied in the order in which they are registered, and XNNPACK takes
// what it can; so the environment is made empty, then gets the delegates, and the CPU last.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "litert/runtime/environment.h"

namespace litert_native::accelerate {

struct DelegateSpec {
  std::string path;
  std::vector<std::pair<std::string, std::string>> options;
};

class ExternalDelegate;

// An environment whose models run on delegates first.
struct DelegateEnvironment {
  std::shared_ptr<const runtime::Environment> environment;
  std::vector<std::shared_ptr<ExternalDelegate>> delegates;

  // Why a delegate was not made for the model that was compiled last; empty where none says.
  [[nodiscard]] std::string take_problem() const;
};

// Throws StatusError: 502 where a delegate does not load or is none, 5 where the library's own CPU
// accelerator cannot be registered by hand.
[[nodiscard]] DelegateEnvironment make_delegate_environment(
    const std::vector<DelegateSpec>& delegates);

}  // namespace litert_native::accelerate
