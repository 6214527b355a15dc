#include "litert/runtime/environment.h"

#include <mutex>
#include <utility>

#include "litert/c/litert_environment_options.h"
#include "litert/runtime/fork_guard.h"
#include "litert/runtime/library.h"
#include "litert/runtime/status.h"
#include "litert/runtime/stderr_capture.h"

namespace litert_native::runtime {
namespace {

constexpr int64_t kInfo = 1;
constexpr int64_t kSilent = 4;

std::mutex severity_mutex;
int num_verbose = 0;

LiteRtEnvOption option_of(LiteRtEnvOptionTag tag, int64_t value) {
  LiteRtEnvOption option{};
  option.tag = tag;
  option.value.type = kLiteRtAnyTypeInt;
  option.value.int_value = value;
  return option;
}

LiteRtEnvOption option_of(LiteRtEnvOptionTag tag, const std::string& value) {
  LiteRtEnvOption option{};
  option.tag = tag;
  option.value.type = kLiteRtAnyTypeString;
  option.value.str_value = value.c_str();
  return option;
}

// To be called with a ForkGuard.
EnvironmentHandle create_handle(const EnvironmentOptions& options, int64_t severity) {
  std::vector<LiteRtEnvOption> told = {
      option_of(kLiteRtEnvOptionTagAutoRegisterAccelerators,
                static_cast<int64_t>(options.accelerators)),
      option_of(kLiteRtEnvOptionTagMinLoggerSeverity, severity),
  };
  const auto tell = [&told](LiteRtEnvOptionTag tag, const std::string& folder) {
    if (!folder.empty()) {
      told.push_back(option_of(tag, folder));
    }
  };
  tell(kLiteRtEnvOptionTagRuntimeLibraryDir, options.gpu_folder);
  tell(kLiteRtEnvOptionTagCompilerPluginLibraryDir, options.compiler_folder);
  tell(kLiteRtEnvOptionTagDispatchLibraryDir, options.dispatch_folder);
  const StderrCapture capture;
  LiteRtEnvironment created = nullptr;
  check(library().create_environment(static_cast<int>(told.size()), told.data(), &created),
        "create the environment", capture.text());
  return EnvironmentHandle(created);
}

EnvironmentHandle make(const EnvironmentOptions& options) {
  const ForkGuard guard;
  const std::lock_guard lock(severity_mutex);
  return create_handle(options, num_verbose > 0 ? kInfo : kSilent);
}

// The level belongs to the process, and making an environment is the only way to set it.
void set_severity(int64_t severity) noexcept {
  try {
    const StderrCapture capture;  // what it says of its own end
    EnvironmentOptions options;
    options.accelerators = 0;
    (void)create_handle(options, severity);
  } catch (const std::exception&) {
    // The level stays as it was: lines less or lines more, nothing else.
  }
}

}  // namespace

const std::shared_ptr<const Environment>& Environment::cpu() {
  const ForkGuard guard;
  // Leaked on purpose, see the header.
  static const auto* const shared =
      std::make_unique<std::shared_ptr<const Environment>>(std::make_shared<Environment>(make({})))
          .release();
  return *shared;
}

std::shared_ptr<const Environment> Environment::shared(const EnvironmentOptions& options) {
  if (options == EnvironmentOptions{}) {
    return cpu();
  }
  const ForkGuard guard;
  static std::mutex mutex;
  static std::vector<std::pair<EnvironmentOptions, std::weak_ptr<const Environment>>> made;
  const std::lock_guard lock(mutex);
  std::erase_if(made, [](const auto& entry) { return entry.second.expired(); });
  for (const auto& [known, environment] : made) {
    if (std::shared_ptr<const Environment> found = environment.lock();
        found != nullptr && known == options) {
      return found;
    }
  }
  std::shared_ptr<const Environment> created = std::make_shared<Environment>(make(options));
  made.emplace_back(options, created);
  return created;
}

std::shared_ptr<const Environment> Environment::make_empty() {
  EnvironmentOptions options;
  options.accelerators = 0;
  return std::make_shared<Environment>(make(options));
}

LiteRtHwAcceleratorSet Environment::registered() const {
  const Library& api = library();
  LiteRtParamIndex count = 0;
  check(api.get_num_accelerators(handle(), &count), "count the accelerators");
  LiteRtHwAcceleratorSet all = 0;
  for (LiteRtParamIndex i = 0; i < count; ++i) {
    LiteRtAccelerator accelerator = nullptr;
    LiteRtHwAcceleratorSet supported = 0;
    check(api.get_accelerator(handle(), i, &accelerator), "get an accelerator");
    check(api.get_accelerator_hardware_support(accelerator, &supported), "ask an accelerator");
    all |= supported;
  }
  return all;
}

VerboseLog::VerboseLog() {
  const ForkGuard guard;
  const std::lock_guard lock(severity_mutex);
  if (num_verbose++ == 0) {
    set_severity(kInfo);
  }
}

VerboseLog::~VerboseLog() {
  const ForkGuard guard;
  const std::lock_guard lock(severity_mutex);
  if (--num_verbose == 0) {
    set_severity(kSilent);
  }
}

}  // namespace litert_native::runtime
