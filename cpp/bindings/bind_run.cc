#include "bind_run.h"

#include <pybind11/pybind11.h>

#include <mutex>
#include <utility>

#include "gil.h"

namespace litert_native::bindings {

std::vector<runtime::Shape> file_shapes(const runtime::CompiledModel& compiled, size_t signature) {
  std::vector<runtime::Shape> shapes;
  for (const runtime::Slot& slot : compiled.signature(signature).inputs) {
    shapes.push_back(slot.shape);
  }
  return shapes;
}

std::shared_ptr<runtime::BoundRun> bind_run(const std::shared_ptr<runtime::CompiledModel>& compiled,
                                            size_t signature, std::vector<runtime::Shape> shapes) {
  const GilRelease released;
  compiled->refuse_inside_kernel();
  const std::lock_guard lock(compiled->mutex());
  (void)compiled->handle();
  return std::make_shared<runtime::BoundRun>(compiled, signature, std::move(shapes));
}

}  // namespace litert_native::bindings
