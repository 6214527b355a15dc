#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "bindings.h"
#include "compile_request.h"
#include "gil.h"
#include "litert/runtime/profiler.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::CompiledModel;
using runtime::ProfiledEvent;
using runtime::Profiler;
using runtime::Recording;

constexpr py::ssize_t kColumns = 6;

// The same model once more, so that it tells its times; apart from the one that is profiled, since
// that costs memory.
std::shared_ptr<CompiledModel> compile_with_profiling(const CompiledModel& compiled,
                                                      const CompileRequest& request) {
  runtime::CompileOptions options = request.options;
  options.enable_profiling = true;
  return free_without_gil(CompiledModel::compile(compiled.shared_model(), options));
}

// (names, int64[events, 6], whether the library dropped some). The columns: index of the name,
// kind, start in us or -1, duration in us, node, subgraph. An array, as half a million tuples would
// take a hundred megabytes.
py::tuple stop(Profiler& profiler) {
  const Recording recording = [&] {
    const GilRelease released;
    return profiler.stop();
  }();
  py::list names;
  for (const std::string& name : recording.names) {
    names.append(to_python_name(name));
  }
  py::array_t<int64_t> events({static_cast<py::ssize_t>(recording.events.size()), kColumns});
  int64_t* next = events.mutable_data();
  for (const ProfiledEvent& event : recording.events) {
    *next++ = static_cast<int64_t>(event.name);
    *next++ = static_cast<int64_t>(event.kind);
    *next++ = event.start_us ? static_cast<int64_t>(*event.start_us) : -1;
    *next++ = static_cast<int64_t>(event.duration_us);
    *next++ = static_cast<int64_t>(event.node);
    *next++ = static_cast<int64_t>(event.subgraph);
  }
  return py::make_tuple(std::move(names), std::move(events), recording.is_full);
}

}  // namespace

void bind_profiler(py::module_& module) {
  module.def("compile_with_profiling", &compile_with_profiling, py::arg("model"),
             py::arg("request"), py::call_guard<GilRelease>());
  py::class_<Profiler>(module, "Profiler", py::is_final())
      .def(py::init<std::shared_ptr<CompiledModel>>(), py::arg("model"),
           py::call_guard<GilRelease>())
      .def("start", &Profiler::start, py::call_guard<GilRelease>())
      .def("stop", &stop);
}

}  // namespace litert_native::bindings
