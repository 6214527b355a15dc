#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>

#include "bindings.h"
#include "gil.h"
#include "litert/runtime/profiler.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::CompiledModel;
using runtime::FileMapping;
using runtime::Model;
using runtime::Profiler;

// A model that tells its times; apart from CompiledModel.from_file since profiling costs memory.
std::shared_ptr<CompiledModel> compile_with_profiling(const std::string& path, int num_threads,
                                                      bool use_xnnpack) {
  return CompiledModel::compile(
      Model::load(FileMapping::open(path)),
      {.num_threads = num_threads, .use_xnnpack = use_xnnpack, .enable_profiling = true});
}

}  // namespace

void bind_profiler(py::module_& module) {
  module.def("compile_with_profiling", &compile_with_profiling, py::arg("path"),
             py::arg("num_threads"), py::arg("use_xnnpack"), py::call_guard<GilRelease>());
  py::class_<Profiler>(module, "Profiler", py::is_final())
      .def(py::init<std::shared_ptr<CompiledModel>>(), py::arg("model"),
           py::call_guard<GilRelease>())
      .def("start", &Profiler::start, py::call_guard<GilRelease>())
      // [(name, is operator, is in a delegate, microseconds)]
      .def("stop", [](Profiler& profiler) {
        const std::vector<runtime::ProfiledEvent> events = [&] {
          const GilRelease released;
          return profiler.stop();
        }();
        py::list told;
        for (const runtime::ProfiledEvent& event : events) {
          told.append(py::make_tuple(event.name, event.is_operator, event.is_in_delegate,
                                     event.microseconds));
        }
        return told;
      });
}

}  // namespace litert_native::bindings
