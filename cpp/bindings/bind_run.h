// Binding a signature from Python.
#pragma once

#include <memory>
#include <vector>

#include "litert/runtime/bound_run.h"

namespace litert_native::bindings {

// The input shapes that the file stores.
[[nodiscard]] std::vector<runtime::Shape> file_shapes(const runtime::CompiledModel& compiled,
                                                      size_t signature);

// Makes a bound run without the GIL, under the compiled model's mutex. Throws ClosedError after the
// model's close().
[[nodiscard]] std::shared_ptr<runtime::BoundRun> bind_run(
    const std::shared_ptr<runtime::CompiledModel>& compiled, size_t signature,
    std::vector<runtime::Shape> shapes);

}  // namespace litert_native::bindings
