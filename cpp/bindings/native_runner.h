// The extension type _native.Runner.
#pragma once

#include <pybind11/pybind11.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gil_policy.h"
#include "litert/runtime/bound_run.h"

namespace litert_native::bindings {

// One thread at a time: a second call while one is under way raises, since it would compute on data
// that is being replaced.
class NativeRunner {
 public:
  NativeRunner(std::shared_ptr<runtime::BoundRun> run, std::optional<bool> release_gil);
  ~NativeRunner();
  NativeRunner(const NativeRunner&) = delete;
  NativeRunner& operator=(const NativeRunner&) = delete;

  void run();
  // Views by slot; `dtypes` has NumPy's dtype for each slot, and packed types show their bytes.
  [[nodiscard]] pybind11::list input_views(const std::vector<pybind11::object>& dtypes);
  [[nodiscard]] pybind11::list output_views(const std::vector<pybind11::object>& dtypes);
  // Binds an array's own memory; its layout is already checked. Keeps the array alive.
  void bind_input(size_t slot, const pybind11::object& array);
  void close();

 private:
  [[nodiscard]] runtime::BoundRun& open_run() const;

  std::shared_ptr<runtime::BoundRun> run_;
  GilPolicy policy_;
  std::atomic<bool> is_busy_ = false;
};

}  // namespace litert_native::bindings
