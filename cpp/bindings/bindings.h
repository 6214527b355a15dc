// What each bind_<concept>.cc adds to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace litert_native::bindings {

void bind_compile(pybind11::module_& module);
void bind_custom_op(pybind11::module_& module);
void bind_language(pybind11::module_& module);
void bind_length_plan(pybind11::module_& module);
void bind_library(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_profiler(pybind11::module_& module);
void bind_runner(pybind11::module_& module);
void bind_sampler(pybind11::module_& module);
void bind_text(pybind11::module_& module);
void bind_dict_run(pybind11::module_& module);
void bind_fast_method(pybind11::module_& module);

}  // namespace litert_native::bindings
