#include "litert/runtime/environment.h"

#include <array>

#include "litert/c/litert_environment_options.h"
#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr int64_t kSilent = 4;

LiteRtEnvironment create() {
  std::array<LiteRtEnvOption, 2> options{};
  // Without this tag the library tries to open GPU and NPU libraries, and logs about each.
  options[0].tag = kLiteRtEnvOptionTagAutoRegisterAccelerators;
  options[0].value.type = kLiteRtAnyTypeInt;
  options[0].value.int_value = kLiteRtHwAcceleratorCpu;
  options[1].tag = kLiteRtEnvOptionTagMinLoggerSeverity;
  options[1].value.type = kLiteRtAnyTypeInt;
  options[1].value.int_value = kSilent;
  LiteRtEnvironment created = nullptr;
  check(library().create_environment(static_cast<int>(options.size()), options.data(), &created),
        "create the environment");
  return created;
}

}  // namespace

LiteRtEnvironment environment() {
  static LiteRtEnvironment const shared = create();
  return shared;
}

}  // namespace litert_native::runtime
