// LiteRT environments: which accelerators the library has registered, and from which folders.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "litert/c/litert_environment.h"
#include "litert/runtime/handle.h"

namespace litert_native::runtime {

// Empty folders are not told to the library.
struct EnvironmentOptions {
  // The library registers exactly these: left to itself it opens every GPU and NPU library that it
  // finds, also for a model of the CPU, and one of them kills the process on older ARM cores.
  LiteRtHwAcceleratorSet accelerators = kLiteRtHwAcceleratorCpu;
  std::string gpu_folder;       // holds the GPU accelerator's library
  std::string compiler_folder;  // holds an NPU compiler's plugin
  std::string dispatch_folder;  // holds an NPU's dispatch library
  bool operator==(const EnvironmentOptions&) const = default;
};

// Immutable; several threads and models at once. Silent: the library's lines go nowhere.
class Environment {
 public:
  // For the CPU alone, made on the first call, shared by all models (the library allows it, and a
  // private one costs the same) and never destroyed: a run may be under way at exit.
  [[nodiscard]] static const std::shared_ptr<const Environment>& cpu();
  // The one with these options, made if no model uses it now. Throws StatusError, with the
  // library's lines.
  [[nodiscard]] static std::shared_ptr<const Environment> shared(const EnvironmentOptions& options);

  // One of its own without any accelerator, the CPU's neither; they are to be registered.
  [[nodiscard]] static std::shared_ptr<const Environment> make_empty();

  explicit Environment(EnvironmentHandle handle) : handle_(std::move(handle)) {}

  [[nodiscard]] LiteRtEnvironment handle() const { return handle_.get(); }
  // What is registered, in the order in which it is applied to a graph.
  [[nodiscard]] LiteRtHwAcceleratorSet registered() const;

 private:
  EnvironmentHandle handle_;
};

// Makes the library log what it does to a graph (which operators go where, and why not), for as
// long as it lives: no call tells it. The level is one for the whole process.
class VerboseLog {
 public:
  VerboseLog();
  ~VerboseLog();
  VerboseLog(const VerboseLog&) = delete;
  VerboseLog& operator=(const VerboseLog&) = delete;
};

}  // namespace litert_native::runtime
