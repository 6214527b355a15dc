// A run from Python: under the compiled model's mutex, with or without the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <mutex>

#include "gil.h"
#include "gil_policy.h"
#include "litert/runtime/bound_run.h"

namespace litert_native::bindings {

// Calls `work()` (which runs `run` and touches no Python object) while holding the mutex of its
// compiled model; holds the GIL throughout if the policy says so and nobody else runs the model.
// Never waits for the mutex with the GIL, nor for the GIL with the mutex.
template <typename Work>
void run_guarded(runtime::BoundRun& run, GilPolicy& policy, Work work) {
  std::mutex& mutex = run.compiled().mutex();
  const auto timed = [&] {
    if (!policy.wants_time()) {
      work();
      return;
    }
    const uint64_t start = ticks_now();
    work();
    policy.record(ticks_now() - start);
  };
  if (!policy.releases()) {
    const std::unique_lock lock(mutex, std::try_to_lock);
    if (lock.owns_lock()) {
      timed();
      return;
    }
  }
  const GilRelease released;
  run.compiled().refuse_inside_kernel();  // only who has to wait, so not in every run
  const std::lock_guard lock(mutex);
  timed();
}

}  // namespace litert_native::bindings
