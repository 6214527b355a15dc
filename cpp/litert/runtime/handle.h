// Owners of the library's opaque objects: what is created is destroyed, once.
#pragma once

#include <memory>
#include <type_traits>

#include "litert/runtime/fork_guard.h"
#include "litert/runtime/library.h"
#include "litert/runtime/stderr_capture.h"

namespace litert_native::runtime {

// Destroys an object by one member of the library table.
template <auto Member>
struct Destroy {
  template <typename T>
  void operator()(T* object) const noexcept {
    const ForkGuard guard;
    (library().*Member)(object);
  }
};

// The same of what may hold a GPU's or NPU's objects, of whose end the library speaks on stderr.
template <auto Member>
struct DestroySilently {
  template <typename T>
  void operator()(T* object) const noexcept {
    const ForkGuard guard;
    const StderrCapture capture;
    (library().*Member)(object);
  }
};

template <typename T, auto Member>
using Handle = std::unique_ptr<std::remove_pointer_t<T>, Destroy<Member>>;

template <typename T, auto Member>
using SilentHandle = std::unique_ptr<std::remove_pointer_t<T>, DestroySilently<Member>>;

using EnvironmentHandle = SilentHandle<LiteRtEnvironment, &Library::destroy_environment>;
using ModelHandle = Handle<LiteRtModel, &Library::destroy_model>;
using OptionsHandle = Handle<LiteRtOptions, &Library::destroy_options>;
using OpaqueOptionsHandle = Handle<LiteRtOpaqueOptions, &Library::destroy_opaque_options>;
using CompiledModelHandle = SilentHandle<LiteRtCompiledModel, &Library::destroy_compiled_model>;
using TensorBufferHandle = Handle<LiteRtTensorBuffer, &Library::destroy_tensor_buffer>;

}  // namespace litert_native::runtime
