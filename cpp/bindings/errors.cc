#include "errors.h"

#include <string>

#include "litert/runtime/status.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

void raise(const py::object& error) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
}

py::list lines_of(const std::string& text) {
  return to_python_name(text).attr("splitlines")().cast<py::list>();
}

}  // namespace

void set_python_error(const std::exception_ptr& exception) {
  try {
    try {
      std::rethrow_exception(exception);
    } catch (const runtime::StatusError& error) {
      raise(py::module_::import("litert.errors")
                .attr("error_from_status")(error.status(), to_python_name(error.what()),
                                           lines_of(error.library_log())));
    } catch (const runtime::ClosedError& error) {
      raise(py::module_::import("litert.errors").attr("ClosedError")(error.what()));
    } catch (const BusyError&) {
      raise(py::module_::import("litert.errors")
                .attr("ExecutionError")(
                    "the runner is in use by another thread; give each thread its own runner"));
    } catch (py::error_already_set& error) {
      error.restore();
    } catch (const std::bad_alloc&) {
      PyErr_NoMemory();
    } catch (const std::exception& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what());
    }
  } catch (py::error_already_set& error) {
    // Raised while the error was being built (no memory, interpreter shutting down).
    error.restore();
  }
}

void register_error_translator() {
  py::register_exception_translator([](std::exception_ptr exception) {
    try {
      if (exception) {
        std::rethrow_exception(exception);
      }
    } catch (const runtime::StatusError&) {
      set_python_error(exception);
    } catch (const runtime::ClosedError&) {
      set_python_error(exception);
    } catch (const BusyError&) {
      set_python_error(exception);
    }
  });
}

}  // namespace litert_native::bindings
