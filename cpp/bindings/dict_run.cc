#include "dict_run.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstring>
#include <iterator>
#include <span>

#include "bindings.h"
#include "errors.h"
#include "gil.h"
#include "guarded_run.h"
#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

// Pointers of one call's tensors: on the stack for all but the widest models, and uninitialised.
template <typename T>
class Pointers {
 public:
  explicit Pointers(size_t size) {
    if (size > std::size(inline_)) {
      heap_.resize(size);
      data_ = heap_.data();
    }
  }
  Pointers(const Pointers&) = delete;
  Pointers& operator=(const Pointers&) = delete;
  T*& operator[](size_t index) { return data_[index]; }
  [[nodiscard]] std::span<T*> first(size_t size) { return {data_, size}; }

 private:
  T* inline_[8];
  std::vector<T*> heap_;
  T** data_ = inline_;
};

// References to the inputs' arrays: the dict that they come from may change during the call, in
// another thread or in a key's own comparison.
class HeldArrays {
 public:
  explicit HeldArrays(size_t size) : arrays_(size) {}
  ~HeldArrays() {
    for (PyObject* const array : arrays_.first(size_)) {
      Py_DECREF(array);
    }
  }
  HeldArrays(const HeldArrays&) = delete;
  HeldArrays& operator=(const HeldArrays&) = delete;
  // Takes over a reference.
  void hold(PyObject* array) { arrays_[size_++] = array; }

 private:
  Pointers<PyObject> arrays_;
  size_t size_ = 0;
};

std::vector<Py_ssize_t> shape_for_python(const runtime::Slot& slot, const runtime::Shape& shape,
                                         const runtime::TensorMemory& memory) {
  if (runtime::bits_of(slot.element_type) < 8) {
    return {static_cast<Py_ssize_t>(memory.size_bytes())};
  }
  return to_python_shape(shape);
}

ResultPool make_pool(const runtime::BoundRun& run, const std::vector<py::object>& dtypes) {
  std::vector<ResultSpec> specs;
  size_t size_bytes = 0;
  const runtime::SignatureSpec& signature = run.signature();
  for (const runtime::NamedSlot& named : signature.output_names) {
    const runtime::TensorMemory& memory = *run.output_memory(named.slot);
    specs.push_back(
        {to_python_name(named.name), dtypes[named.slot],
         shape_for_python(signature.outputs[named.slot], run.output_shape(named.slot), memory)});
    size_bytes += memory.size_bytes();
  }
  return {std::move(specs), size_bytes};
}

}  // namespace

DictRun::DictRun(std::shared_ptr<runtime::BoundRun> run, std::optional<bool> release_gil,
                 const std::vector<py::object>& input_dtypes,
                 const std::vector<py::object>& output_dtypes)
    : run_(std::move(run)),
      policy_(release_gil, run_->compiled().model().facts().has_loops),
      results_(make_pool(*run_, output_dtypes)) {
  const runtime::SignatureSpec& signature = run_->signature();
  for (const runtime::NamedSlot& named : signature.input_names) {
    const std::shared_ptr<runtime::TensorMemory>& memory = run_->input_memory(named.slot);
    inputs_.push_back(
        {to_python_name(named.name), input_dtypes[named.slot],
         shape_for_python(signature.inputs[named.slot], run_->input_shape(named.slot), *memory),
         memory});
  }
  for (const runtime::NamedSlot& named : signature.output_names) {
    outputs_.push_back(run_->output_memory(named.slot));
  }
}

DictRun::~DictRun() {
  // May free much memory, the compiled model's too.
  const GilRelease released;
  run_.reset();
}

const std::byte* DictRun::data_if_it_fits(PyObject* value, const Input& input) {
  if (value == nullptr || !is_array(value)) {
    return nullptr;
  }
  const ArrayFields fields = fields_of(value);
  const bool fits = fields.dtype == input.dtype.ptr() && fields.is_c_contiguous_and_aligned &&
                    static_cast<size_t>(fields.rank) == input.shape.size() &&
                    std::equal(input.shape.begin(), input.shape.end(), fields.shape);
  return fits ? fields.data : nullptr;
}

PyObject* DictRun::find(PyObject* dict, size_t index) const {
  PyObject* const name = inputs_[index].name.ptr();
#ifdef Py_GIL_DISABLED
  // Another thread may change the dict at any moment.
  PyObject* found = nullptr;
  (void)PyDict_GetItemRef(dict, name, &found);
  return found;
#else
  // Most callers write the names as literals and in the model's order; interned strings are one
  // object each, so walking the dict beside the names finds the value without hashing.
  Py_ssize_t position = static_cast<Py_ssize_t>(index);
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  if (PyDict_Next(dict, &position, &key, &value) == 0 || key != name) {
    value = PyDict_GetItemWithError(dict, name);
  }
  Py_XINCREF(value);
  return value;
#endif
}

py::object DictRun::run(PyObject* values) {
  // A subclass may have its own idea of what it holds.
  const bool is_dict = PyDict_CheckExact(values) != 0;
  if (is_dict ? static_cast<size_t>(PyDict_GET_SIZE(values)) != inputs_.size()
              : inputs_.size() != 1) {
    return {};
  }
  HeldArrays held(inputs_.size());
  Pointers<const std::byte> sources(inputs_.size());
  for (size_t i = 0; i < inputs_.size(); ++i) {
    PyObject* const value = is_dict ? find(values, i) : Py_NewRef(values);
    if (value != nullptr) {
      held.hold(value);
    }
    sources[i] = data_if_it_fits(value, inputs_[i]);
    if (sources[i] == nullptr) {
      PyErr_Clear();
      return {};
    }
  }
  Pointers<std::byte> targets(outputs_.size());
  py::dict results = results_.take(targets.first(outputs_.size()));
  run_guarded(*run_, policy_, [&] {
    for (size_t i = 0; i < inputs_.size(); ++i) {
      const runtime::TensorMemory& memory = *inputs_[i].memory;
      std::memcpy(memory.data(), sources[i], memory.size_bytes());
    }
    run_->run();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      const runtime::TensorMemory& memory = *outputs_[i];
      std::memcpy(targets[i], memory.data(), memory.size_bytes());
    }
  });
  return results;
}

py::dict DictRun::output_shapes() const {
  py::dict shapes;
  for (const runtime::NamedSlot& named : run_->signature().output_names) {
    shapes[to_python_name(named.name)] = py::tuple(py::cast(run_->output_shape(named.slot)));
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
  py::class_<DictRun, std::shared_ptr<DictRun>> cls(module, "DictRun", py::is_final());
  cls.def("output_shapes", &DictRun::output_shapes);
  cls.attr("run") = py::reinterpret_steal<py::object>(
      PyDescr_NewMethod(reinterpret_cast<PyTypeObject*>(cls.ptr()), &run_definition));
}

}  // namespace litert_native::bindings
