#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>

#include "bindings.h"
#include "gil.h"
#include "litert/runtime/profiler.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::CompiledModel;
using runtime::Profiler;

}  // namespace

void bind_profiler(py::module_& module) {
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
