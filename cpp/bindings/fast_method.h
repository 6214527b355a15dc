// The extension types behind Model.run: _native.FastSlot and _native.fast_method.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <optional>
#include <utility>

#include "dict_run.h"
#include "litert/runtime/compiled_model.h"

namespace litert_native::bindings {

// The run that Model.run tries first: the first signature, at the shapes that it was last run with.
// Until it is set, that is at the file's own shapes, bound on the first call.
class FastSlot {
 public:
  FastSlot(std::shared_ptr<runtime::CompiledModel> compiled, std::optional<bool> release_gil)
      : compiled_(std::move(compiled)), release_gil_(release_gil) {}

  // `run` is a DictRun, or None.
  void set(pybind11::object run);
  // A DictRun, as a Python object, whose reference count costs less than a shared_ptr's. None where
  // there is none: after set(None), or where an input or output has a type that needs Python's
  // hands or the file's shapes cannot be bound.
  [[nodiscard]] pybind11::object get();

 private:
#ifdef Py_GIL_DISABLED
  using Lock = std::lock_guard<std::mutex>;
#else
  // The GIL is the lock.
  struct Lock {
    explicit Lock(std::mutex& /*unused*/) {}
  };
#endif
  [[nodiscard]] pybind11::object bind_first() const;

  const std::shared_ptr<runtime::CompiledModel> compiled_;
  const std::optional<bool> release_gil_;
  std::mutex mutex_;
  bool is_set_ = false;
  pybind11::object run_;
};

}  // namespace litert_native::bindings
