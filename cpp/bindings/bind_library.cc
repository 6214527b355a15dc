#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "gil.h"
#include "litert/runtime/bound_run.h"
#include "litert/runtime/library.h"
#include "litert/runtime/tensor_memory.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {

void bind_library(py::module_& module) {
  module.def(
      "open_library", [](const std::string& path) { runtime::open_library(path); }, py::arg("path"),
      py::call_guard<GilRelease>());
  module.def("is_library_open", &runtime::is_library_open);
  module.def("library_path", [] { return runtime::library().path; });
  module.def("library_version", [] { return runtime::library().version; });
  module.def("keeps_inputs_bound", &runtime::keeps_inputs_bound, py::call_guard<GilRelease>());
  module.def(
      "has_spare_bytes",
      [](const py::array& array) {
        return has_spare_bytes(array.ptr(), static_cast<size_t>(array.nbytes()));
      },
      py::arg("array"));
  module.def(
      "empty_aligned",
      [](const std::vector<Py_ssize_t>& shape, const py::object& dtype, size_t size_bytes) {
        return view_of(
            runtime::TensorMemory::allocate(size_bytes, runtime::TensorMemory::Use::kInput), dtype,
            shape, /*is_writable=*/true);
      },
      py::arg("shape"), py::arg("dtype"), py::arg("size_bytes"));
}

}  // namespace litert_native::bindings
