// A shared object that the user names: a delegate, a kernel.
#pragma once

#include <string>

namespace litert_native::accelerate {

// Opened once and never closed, as what came out of it may still be in use at exit.
class SharedObject {
 public:
  // Throws StatusError 502 with the loader's own text.
  explicit SharedObject(std::string path);

  [[nodiscard]] const std::string& path() const { return path_; }
  // Throws StatusError 502, naming the symbol.
  [[nodiscard]] void* symbol(const std::string& name) const;

 private:
  std::string path_;
  void* handle_;
};

}  // namespace litert_native::accelerate
