// The one LiteRT environment of the process.
#pragma once

#include "litert/c/litert_environment.h"

namespace litert_native::runtime {

// Made on the first call, for the CPU alone and silent, shared by all models (the library allows
// it, and a private one costs the same) and never destroyed: a run may be under way at exit.
[[nodiscard]] LiteRtEnvironment environment();

}  // namespace litert_native::runtime
