// The extension types behind Model.run: _native.FastSlot and _native.fast_method.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <mutex>
#include <utility>

#include "dict_run.h"

namespace litert_native::bindings {

// The run that Model.run tries first: the first signature at the shapes it was last run with.
class FastSlot {
 public:
  void set(std::shared_ptr<DictRun> run) {
    const Lock lock(mutex_);
    run_.swap(run);
    // What `run` holds now is dropped behind the lock.
  }
  [[nodiscard]] std::shared_ptr<DictRun> get() const {
    const Lock lock(mutex_);
    return run_;
  }

 private:
#ifdef Py_GIL_DISABLED
  using Lock = std::lock_guard<std::mutex>;
#else
  // The GIL is the lock: both calls are made, and return, while holding it.
  struct Lock {
    explicit Lock(std::mutex& /*unused*/) {}
  };
#endif
  mutable std::mutex mutex_;
  std::shared_ptr<DictRun> run_;
};

}  // namespace litert_native::bindings
