#include "litert/accelerate/shared_object.h"

#include <dlfcn.h>

#include <utility>

#include "litert/runtime/status.h"

namespace litert_native::accelerate {
namespace {

constexpr int kDynamicLoading = 502;

std::string loader_text() {
  const char* const text = dlerror();
  return text != nullptr ? text : "no reason is given";
}

// The loader looks for a bare name in its own folders, not in the working folder.
std::string advice(const std::string& path) {
  if (path.find('/') != std::string::npos) {
    return "";
  }
  return "; a name without a slash is not looked for in the working folder: write ./" + path;
}

}  // namespace

SharedObject::SharedObject(std::string path)
    : path_(std::move(path)), handle_(dlopen(path_.c_str(), RTLD_NOW | RTLD_LOCAL)) {
  if (handle_ == nullptr) {
    throw runtime::StatusError(kDynamicLoading,
                               "cannot load " + path_ + ": " + loader_text() + advice(path_));
  }
}

void* SharedObject::symbol(const std::string& name) const {
  void* const address = dlsym(handle_, name.c_str());
  if (address == nullptr) {
    throw runtime::StatusError(kDynamicLoading, path_ + " has no symbol " + name);
  }
  return address;
}

}  // namespace litert_native::accelerate
