#include "dict_run.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "bindings.h"
#include "errors.h"
#include "guarded_run.h"
#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

// Inputs and outputs of one call; on the stack for all but the widest models.
template <typename T>
class SmallVector {
 public:
  explicit SmallVector(size_t size) {
    if (size > inline_.size()) {
      heap_.resize(size);
      data_ = heap_.data();
    }
  }
  SmallVector(const SmallVector&) = delete;
  SmallVector& operator=(const SmallVector&) = delete;
  T& operator[](size_t index) { return data_[index]; }

 private:
  std::array<T, 8> inline_{};
  std::vector<T> heap_;
  T* data_ = inline_.data();
};

py::object interned(const std::string& text) {
  PyObject* name = py::str(text).release().ptr();
  PyUnicode_InternInPlace(&name);
  return py::reinterpret_steal<py::object>(name);
}

std::vector<Py_ssize_t> shape_for_python(const runtime::Slot& slot, const runtime::Shape& shape,
                                         const runtime::TensorMemory& memory) {
  if (runtime::bits_of(slot.element_type) < 8) {
    return {static_cast<Py_ssize_t>(memory.size_bytes())};
  }
  return to_python_shape(shape);
}

}  // namespace

DictRun::DictRun(std::shared_ptr<runtime::BoundRun> run, std::optional<bool> release_gil,
                 std::vector<py::object> input_dtypes, std::vector<py::object> output_dtypes)
    : run_(std::move(run)), policy_(release_gil, run_->compiled().model().facts().has_loops) {
  const runtime::SignatureSpec& spec = run_->signature();
  for (const runtime::NamedSlot& named : spec.input_names) {
    const std::shared_ptr<runtime::TensorMemory>& memory = run_->input_memory(named.slot);
    inputs_.push_back(
        {interned(named.name), named.slot, input_dtypes[named.slot],
         shape_for_python(spec.inputs[named.slot], run_->input_shape(named.slot), *memory),
         memory});
  }
  for (const runtime::NamedSlot& named : spec.output_names) {
    const std::shared_ptr<runtime::TensorMemory>& memory = run_->output_memory(named.slot);
    outputs_.push_back(
        {interned(named.name), named.slot, output_dtypes[named.slot],
         shape_for_python(spec.outputs[named.slot], run_->output_shape(named.slot), *memory),
         memory});
  }
}

DictRun::~DictRun() {
  // Waits for a run under way on the same model, which may be long.
  const py::gil_scoped_release released;
  run_.reset();
}

const std::byte* DictRun::data_if_it_fits(PyObject* value, const Port& port) const {
  if (value == nullptr || !is_array(value)) {
    return nullptr;
  }
  const ArrayFields fields = fields_of(value);
  const bool fits = fields.dtype == port.dtype.ptr() && fields.is_c_contiguous_and_aligned &&
                    static_cast<size_t>(fields.rank) == port.shape.size() &&
                    std::equal(port.shape.begin(), port.shape.end(), fields.shape);
  return fits ? fields.data : nullptr;
}

py::object DictRun::run(PyObject* values) {
  const bool is_dict = PyDict_Check(values) != 0;
  if (is_dict ? static_cast<size_t>(PyDict_GET_SIZE(values)) != inputs_.size()
              : inputs_.size() != 1) {
    return {};
  }
  SmallVector<const std::byte*> sources(inputs_.size());
  // References of our own: another thread may change the dict once the GIL is released.
  SmallVector<py::object> held(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    PyObject* const value =
        is_dict ? PyDict_GetItemWithError(values, inputs_[i].name.ptr()) : values;
    sources[i] = data_if_it_fits(value, inputs_[i]);
    if (sources[i] == nullptr) {
      PyErr_Clear();
      return {};
    }
    held[i] = py::reinterpret_borrow<py::object>(value);
  }
  SmallVector<std::byte*> targets(outputs_.size());
  py::dict results;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const py::object array = new_array(outputs_[i].dtype, outputs_[i].shape);
    targets[i] = const_cast<std::byte*>(fields_of(array.ptr()).data);
    if (PyDict_SetItem(results.ptr(), outputs_[i].name.ptr(), array.ptr()) != 0) {
      throw py::error_already_set();
    }
  }
  run_guarded(*run_, policy_, [&] {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const runtime::TensorMemory& memory = *inputs_[i].memory;
      std::memcpy(memory.data(), sources[i], memory.size_bytes());
    }
    run_->run();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const runtime::TensorMemory& memory = *outputs_[i].memory;
      std::memcpy(targets[i], memory.data(), memory.size_bytes());
    }
  });
  return results;
}

py::dict DictRun::output_shapes() const {
  py::dict shapes;
  for (const Port& output : outputs_) {
    shapes[output.name] = py::tuple(py::cast(run_->output_shape(output.slot)));
  }
  return shapes;
}

namespace {

// Raw for the same reason as Runner.run.
PyObject* run_method(PyObject* self, PyObject* values) {
  void* const value = reinterpret_cast<py::detail::instance*>(self)->simple_value_holder[0];
  if (value == nullptr) {
    PyErr_SetString(PyExc_TypeError, "the run is not initialised");
    return nullptr;
  }
  try {
    py::object results = static_cast<DictRun*>(value)->run(values);
    return results ? results.release().ptr() : py::none().release().ptr();
  } catch (...) {
    set_python_error(std::current_exception());
    return nullptr;
  }
}

PyMethodDef run_definition = {"run", run_method, METH_O, nullptr};

}  // namespace

void bind_dict_run(py::module_& module) {
  py::class_<DictRun> cls(module, "DictRun", py::is_final());
  cls.def("output_shapes", &DictRun::output_shapes);
  cls.attr("run") = py::reinterpret_steal<py::object>(
      PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls.ptr()), &run_definition));
}

}  // namespace litert_native::bindings
