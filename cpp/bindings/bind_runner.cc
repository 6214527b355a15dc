#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include "bindings.h"
#include "errors.h"
#include "gil.h"
#include "guarded_run.h"
#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"
#include "native_runner.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

// Marks a runner as in use for the time of a call.
class BusyMark {
 public:
  explicit BusyMark(std::atomic<bool>& flag) : flag_(flag) {
    if (flag_.exchange(true, std::memory_order_acquire)) {
      throw BusyError();
    }
  }
  ~BusyMark() { flag_.store(false, std::memory_order_release); }
  BusyMark(const BusyMark&) = delete;
  BusyMark& operator=(const BusyMark&) = delete;

 private:
  std::atomic<bool>& flag_;
};

py::object view_of_slot(const runtime::Slot& slot, const runtime::Shape& shape,
                        const std::shared_ptr<runtime::TensorMemory>& memory,
                        const py::object& dtype, bool is_writable) {
  const bool is_packed = runtime::bits_of(slot.element_type) < 8;
  return view_of(memory, dtype,
                 is_packed ? std::vector<Py_ssize_t>{static_cast<Py_ssize_t>(memory->size_bytes())}
                           : to_python_shape(shape),
                 is_writable);
}

}  // namespace

NativeRunner::NativeRunner(std::shared_ptr<runtime::BoundRun> run, std::optional<bool> release_gil)
    : run_(std::move(run)), policy_(release_gil, run_->compiled().model().facts().has_loops) {}

NativeRunner::~NativeRunner() {
  // May free much memory, the compiled model's too.
  const GilRelease released;
  run_.reset();
}

runtime::BoundRun& NativeRunner::open_run() const {
  if (run_ == nullptr) {
    throw runtime::ClosedError("the runner is closed");
  }
  return *run_;
}

void NativeRunner::run() {
  const BusyMark mark(is_busy_);
  runtime::BoundRun& bound = open_run();
  run_guarded(bound, policy_, [&bound] { bound.run(); });
}

py::list NativeRunner::input_views(const std::vector<py::object>& dtypes) {
  const BusyMark mark(is_busy_);
  const runtime::BoundRun& run = open_run();
  py::list views;
  for (size_t i = 0; i < dtypes.size(); ++i) {
    views.append(view_of_slot(run.signature().inputs[i], run.input_shape(i), run.input_memory(i),
                              dtypes[i], /*is_writable=*/true));
  }
  return views;
}

py::list NativeRunner::output_views(const std::vector<py::object>& dtypes) {
  const BusyMark mark(is_busy_);
  const runtime::BoundRun& run = open_run();
  py::list views;
  for (size_t i = 0; i < dtypes.size(); ++i) {
    views.append(view_of_slot(run.signature().outputs[i], run.output_shape(i), run.output_memory(i),
                              dtypes[i], /*is_writable=*/true));
  }
  return views;
}

void NativeRunner::bind_input(size_t slot, const py::object& array) {
  const BusyMark mark(is_busy_);
  runtime::BoundRun& run = open_run();
  const ArrayFields fields = fields_of(array.ptr());
  // The array's own reference keeps its memory; it is dropped with the GIL held.
  std::shared_ptr<void> owner(py::object(array).release().ptr(), [](void* held) {
    const GilAcquire acquired;
    Py_DECREF(static_cast<PyObject*>(held));
  });
  const std::span<std::byte> bytes(const_cast<std::byte*>(fields.data),
                                   run.input_memory(slot)->size_bytes());
  std::shared_ptr<runtime::TensorMemory> memory =
      runtime::TensorMemory::borrow(bytes, std::move(owner));
  // The binding that this one replaces may hold the last reference to an array.
  const std::shared_ptr<runtime::TensorMemory> replaced = run.input_memory(slot);
  const GilRelease released;
  run.compiled().refuse_inside_kernel();
  const std::lock_guard lock(run.compiled().mutex());
  run.bind_input(slot, std::move(memory));
}

void NativeRunner::close() {
  const BusyMark mark(is_busy_);
  std::shared_ptr<runtime::BoundRun> dropped = std::move(run_);
  const GilRelease released;
  dropped.reset();
}

namespace {

// Raw, not through pybind11's dispatcher: that alone costs more than some models' whole run.
PyObject* run_method(PyObject* self, PyObject* /*unused*/) {
  void* const value = reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0];
  if (value == nullptr) {
    PyErr_SetString(PyExc_TypeError, "the runner is not initialised");
    return nullptr;
  }
  try {
    static_cast<NativeRunner*>(value)->run();
  } catch (...) {
    set_python_error(std::current_exception());
    return nullptr;
  }
  Py_RETURN_NONE;
}

PyMethodDef run_definition = {"run", run_method, METH_NOARGS, nullptr};

}  // namespace

void bind_runner(py::module_& module) {
  py::class_<NativeRunner> cls(module, "Runner", py::is_final());
  cls.def("input_views", &NativeRunner::input_views, py::arg("dtypes"))
      .def("output_views", &NativeRunner::output_views, py::arg("dtypes"))
      .def("bind_input", &NativeRunner::bind_input, py::arg("slot"), py::arg("array"))
      .def("close", &NativeRunner::close);
  cls.attr("run") = py::reinterpret_steal<py::object>(
      PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls.ptr()), &run_definition));
}

}  // namespace litert_native::bindings
