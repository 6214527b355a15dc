#include "litert/accelerate/external_delegate.h"

#include <cstdint>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "litert/accelerate/shared_object.h"
#include "litert/runtime/fork_guard.h"
#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::accelerate {
namespace {

using runtime::check;
using runtime::library;
using runtime::StatusError;

constexpr int kUnsupported = 5;

// See tflite/delegates/external/external_delegate.h.
using CreateFunction = TfLiteOpaqueDelegate* (*)(const char* const*, const char* const*, size_t,
                                                 void (*)(const char*));
using DestroyFunction = void (*)(TfLiteOpaqueDelegate*);

// What a delegate says while it is made: its function for it gets no pointer of ours.
thread_local std::string* reported = nullptr;

void report(const char* message) {
  if (reported != nullptr && message != nullptr) {
    reported->append(reported->empty() ? "" : "; ").append(message);
  }
}

}  // namespace

// Lives as long as the environment that its accelerator is registered in.
class ExternalDelegate {
 public:
  explicit ExternalDelegate(const DelegateSpec& spec)
      : object_(spec.path),
        options_(spec.options),
        create_(reinterpret_cast<CreateFunction>(object_.symbol("tflite_plugin_create_delegate"))),
        destroy_(
            reinterpret_cast<DestroyFunction>(object_.symbol("tflite_plugin_destroy_delegate"))) {}

  [[nodiscard]] const std::string& path() const { return object_.path(); }

  // Called by the library for every model that it compiles.
  LiteRtStatus create(LiteRtDelegateWrapper* wrapper) noexcept {
    std::string said;
    std::vector<const char*> keys;
    std::vector<const char*> values;
    reported = &said;
    TfLiteOpaqueDelegate* delegate = nullptr;
    std::string failure = "gave none";
    try {
      for (const auto& [key, value] : options_) {
        keys.push_back(key.c_str());
        values.push_back(value.c_str());
      }
      delegate = create_(keys.data(), values.data(), keys.size(), report);
    } catch (const std::exception& error) {
      failure = std::string("has thrown: ") + error.what();
    } catch (...) {
      failure = "has thrown no std::exception";
    }
    reported = nullptr;
    if (delegate == nullptr) {
      // The library would not call destroy with nothing either.
      const std::lock_guard lock(mutex_);
      problem_ = "delegate " + path() + " " + failure + (said.empty() ? "" : ": " + said);
      return kLiteRtStatusErrorRuntimeFailure;
    }
    return library().wrap_delegate(delegate, destroy_, wrapper);
  }

  std::string take_problem() {
    const std::lock_guard lock(mutex_);
    return std::exchange(problem_, {});
  }

 private:
  SharedObject object_;
  std::vector<std::pair<std::string, std::string>> options_;
  CreateFunction create_;
  DestroyFunction destroy_;
  std::mutex mutex_;
  std::string problem_;
};

namespace {

// The library's functions get the accelerator and nothing else, so it is what a delegate is found
// by. Entries go with the environment.
std::mutex registered_mutex;
std::map<LiteRtAcceleratorConst, std::shared_ptr<ExternalDelegate>>& registered() {
  static auto* const entries =
      std::make_unique<std::map<LiteRtAcceleratorConst, std::shared_ptr<ExternalDelegate>>>()
          .release();
  return *entries;
}

std::shared_ptr<ExternalDelegate> find(LiteRtAcceleratorConst accelerator) {
  const std::lock_guard lock(registered_mutex);
  const auto found = registered().find(accelerator);
  return found == registered().end() ? nullptr : found->second;
}

void forget(void* accelerator) {
  const std::lock_guard lock(registered_mutex);
  registered().erase(static_cast<LiteRtAcceleratorConst>(accelerator));
}

// A delegate, as the library sees an accelerator.
void set_functions(LiteRtAccelerator accelerator) {
  const runtime::Library& api = library();
  check(api.set_accelerator_get_name(accelerator,
                                     [](LiteRtAcceleratorConst self, const char** name) {
                                       const auto delegate = find(self);
                                       *name = delegate ? delegate->path().c_str() : "delegate";
                                       return kLiteRtStatusOk;
                                     }),
        "name a delegate");
  check(api.set_accelerator_get_version(accelerator,
                                        [](LiteRtAcceleratorConst, LiteRtApiVersion* version) {
                                          *version = {.major = 1, .minor = 0, .patch = 0};
                                          return kLiteRtStatusOk;
                                        }),
        "give a delegate a version");
  // The CPU's bit: it is applied to models that are compiled for the CPU.
  check(api.set_accelerator_get_hardware_support(
            accelerator,
            [](LiteRtAcceleratorConst, LiteRtHwAcceleratorSet* hardware) {
              *hardware = kLiteRtHwAcceleratorCpu;
              return kLiteRtStatusOk;
            }),
        "say what a delegate runs on");
  check(api.set_accelerator_is_jit(accelerator,
                                   [](LiteRtAcceleratorConst, bool* is_responsible) {
                                     *is_responsible = true;
                                     return kLiteRtStatusOk;
                                   }),
        "set up a delegate");
  check(api.set_delegate_function(
            accelerator,
            [](LiteRtRuntimeContext*, LiteRtEnvironment, LiteRtAcceleratorConst self, LiteRtOptions,
               LiteRtDelegateWrapper* wrapper) {
              const auto delegate = find(self);
              return delegate ? delegate->create(wrapper) : kLiteRtStatusErrorNotFound;
            }),
        "set up a delegate");
}

void add(LiteRtEnvironment environment, const std::shared_ptr<ExternalDelegate>& delegate) {
  LiteRtAccelerator accelerator = nullptr;
  check(library().create_accelerator(&accelerator), "make an accelerator");
  set_functions(accelerator);
  {
    const runtime::ForkGuard guard;
    const std::lock_guard lock(registered_mutex);
    registered()[accelerator] = delegate;
  }
  // The environment owns it from here on, and says so when it goes.
  check(library().register_accelerator(environment, accelerator, accelerator, forget),
        "register a delegate");
}

// LiteRtAcceleratorDef as far as releases 2.1.6 to 2.3.0 agree.
struct Definition {
  uint64_t header;
  LiteRtStatus (*get_name)(LiteRtAcceleratorConst, const char**);
  LiteRtStatus (*get_version)(LiteRtAcceleratorConst, LiteRtApiVersion*);
  LiteRtStatus (*get_hardware_support)(LiteRtAcceleratorConst, LiteRtHwAcceleratorSet*);
  LiteRtStatus (*is_jit)(LiteRtAcceleratorConst, bool*);
  LiteRtStatus (*create_delegate)(LiteRtRuntimeContext*, LiteRtEnvironment, LiteRtAcceleratorConst,
                                  LiteRtOptions, LiteRtDelegateWrapper*);
};

// 2.1.6 has the version alone in it; later ones size, major and minor version in 16 bits each.
bool is_known(uint64_t header) {
  constexpr uint64_t kMajor = 1;
  return header == kMajor ||
         ((header & 0xFFFF) >= sizeof(Definition) && ((header >> 16) & 0xFFFF) == kMajor);
}

void add_cpu(LiteRtEnvironment environment) {
  const runtime::Library& api = library();
  const auto* const definition = static_cast<const Definition*>(api.cpu_accelerator);
  if (definition == nullptr || !is_known(definition->header)) {
    throw StatusError(kUnsupported, "delegates: the CPU accelerator of LiteRT " + api.version +
                                        " is of a layout that is not known");
  }
  LiteRtAccelerator accelerator = nullptr;
  check(api.create_accelerator(&accelerator), "make the CPU accelerator");
  check(api.set_accelerator_get_name(accelerator, definition->get_name), "set up the CPU");
  check(api.set_accelerator_get_version(accelerator, definition->get_version), "set up the CPU");
  check(api.set_accelerator_get_hardware_support(accelerator, definition->get_hardware_support),
        "set up the CPU");
  check(api.set_accelerator_is_jit(accelerator, definition->is_jit), "set up the CPU");
  check(api.set_delegate_function(accelerator, definition->create_delegate), "set up the CPU");
  check(api.register_accelerator(environment, accelerator, nullptr, nullptr), "register the CPU");
}

}  // namespace

std::string DelegateEnvironment::take_problem() const {
  for (const std::shared_ptr<ExternalDelegate>& delegate : delegates) {
    if (std::string problem = delegate->take_problem(); !problem.empty()) {
      return problem;
    }
  }
  return {};
}

DelegateEnvironment make_delegate_environment(const std::vector<DelegateSpec>& delegates) {
  DelegateEnvironment made;
  for (const DelegateSpec& spec : delegates) {
    made.delegates.push_back(std::make_shared<ExternalDelegate>(spec));
  }
  made.environment = runtime::Environment::make_empty();
  for (const std::shared_ptr<ExternalDelegate>& delegate : made.delegates) {
    add(made.environment->handle(), delegate);
  }
  add_cpu(made.environment->handle());
  return made;
}

}  // namespace litert_native::accelerate
