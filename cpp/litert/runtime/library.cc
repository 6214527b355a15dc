#include "litert/runtime/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string_view>
#include <system_error>
#include <vector>

#include "litert/runtime/cpu_features.h"
#include "litert/runtime/import_patch.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr int kDynamicLoading = 502;

std::mutex open_mutex;
// Written once under open_mutex and never destroyed: runs may still be under way at exit. Read
// without the mutex, which a fork may leave locked in the child.
std::atomic<const Library*> opened = nullptr;

template <typename Function>
Function resolve(void* handle, const char* symbol, const std::string& path) {
  void* const address = dlsym(handle, symbol);
  if (address == nullptr) {
    throw StatusError(kDynamicLoading,
                      path + " has no symbol " + symbol +
                          "; ai-edge-litert 2.1.6 or later is needed: pip install -U "
                          "'ai-edge-litert>=2.1.6'");
  }
  return reinterpret_cast<Function>(address);
}

// Refuses litert-lm-api's library on a CPU that lacks what it was compiled for. This has to be
// before dlopen: the library itself checks when it is loaded, and ends the process with SIGILL.
void check_cpu(const std::string& path) {
  std::error_code error;
  const std::filesystem::path resolved = std::filesystem::canonical(path, error);
  if (error || resolved.filename().string().find("liblitert-lm") == std::string::npos) {
    return;  // a file that is missing is dlopen's to name
  }
  std::string names;
  for (const std::string_view name : lacking_features()) {
    names.append(names.empty() ? "" : ", ").append(name);
  }
  if (!names.empty()) {
    throw StatusError(kDynamicLoading,
                      "cannot load " + path + ": it is compiled for CPUs with " + names +
                          ", which this CPU lacks; ai-edge-litert's library needs none of that");
  }
}

// The symbols that each release added tell it apart.
std::string version_by_symbols(void* handle) {
  if (dlsym(handle, "LiteRtCompiledModelIsNonCpuFullyAccelerated") != nullptr) {
    return "2.3.0";
  }
  if (dlsym(handle, "kLiteRtRuntimeBuiltin") != nullptr) {
    return "2.2.0";
  }
  return "2.1.6";
}

// A flag for dlopen where another LiteRT library is loaded for everybody, as `import
// ai_edge_litert` does with its own: the functions of one release would call those of the other.
int own_symbols_first() {
#ifdef RTLD_DEEPBIND
  return dlsym(RTLD_DEFAULT, "LiteRtCreateEnvironment") != nullptr ? RTLD_DEEPBIND : 0;
#else
  return 0;
#endif
}

uid_t user_id = 0;

// The library asks the system for the user's id in every run (to schedule NPUs by it), and that
// call is an eighth to a fifth of a small model's run. It does not change while models run.
// LITERT_CACHE_USER_ID=0 leaves the library as it is.
void answer_user_id_from_memory(void* handle) {
  const char* const value = std::getenv("LITERT_CACHE_USER_ID");
  if (value != nullptr && std::string_view(value) == "0") {
    return;
  }
  user_id = ::getuid();
  uid_t (*const answer)() = []() noexcept { return user_id; };
  replace_import(handle, "getuid", reinterpret_cast<void*>(answer));
}

}  // namespace

const Library& open_library(const std::string& path) {
  const std::lock_guard lock(open_mutex);
  if (const Library* const present = opened.load(); present != nullptr) {
    if (present->path == path) {
      return *present;
    }
    throw StatusError(kDynamicLoading, "cannot load " + path + ": " + present->path +
                                           " is already in use in this process");
  }
  check_cpu(path);
  void* const handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | own_symbols_first());
  if (handle == nullptr) {
    const char* const reason = dlerror();
    throw StatusError(kDynamicLoading, std::string("cannot load the LiteRT library: ") +
                                           (reason != nullptr ? reason : path.c_str()));
  }
  std::unique_ptr<Library> table = std::make_unique<Library>();
#define X(member, function) table->member = resolve<decltype(&::function)>(handle, #function, path);
  // LiteRtCreateModelFromFd tells a library older than 2.1.6, which would pass otherwise.
  resolve<void*>(handle, "LiteRtCreateModelFromFd", path);
  LITERT_NATIVE_FUNCTIONS(X)
#undef X
  if (const void* const variable = dlsym(handle, "LiteRtStaticLinkedAcceleratorCpuDef")) {
    table->cpu_accelerator = *static_cast<const void* const*>(variable);
  }
  answer_user_id_from_memory(handle);
  table->path = path;
  table->version = version_by_symbols(handle);
  opened.store(table.release());
  return *opened.load();
}

bool is_library_open() { return opened.load() != nullptr; }

const Library& library() {
  const Library* const present = opened.load(std::memory_order_acquire);
  if (present == nullptr) {
    throw StatusError(kDynamicLoading, "no LiteRT library is loaded");
  }
  return *present;
}

}  // namespace litert_native::runtime
