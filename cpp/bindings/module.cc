#include <pybind11/pybind11.h>

#include "bindings.h"
#include "errors.h"

namespace py = pybind11;

// Everything behind this module is guarded by its own locks, so it needs no GIL.
PYBIND11_MODULE(_native, module, py::mod_gil_not_used()) {
  using namespace litert_native::bindings;
  register_error_translator();
  bind_custom_op(module);
  bind_language(module);
  bind_length_plan(module);
  bind_library(module);
  bind_model(module);
  bind_compile(module);  // after the kernels and the model
  bind_profiler(module);
  bind_runner(module);
  bind_sampler(module);
  bind_text(module);
  bind_dict_run(module);
  bind_fast_method(module);
}
