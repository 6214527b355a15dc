#include "fast_method.h"

#include <pybind11/stl.h>

#include <cstddef>
#include <vector>

#include "bind_run.h"
#include "bindings.h"
#include "errors.h"
#include "litert/runtime/status.h"
#include "numpy_array.h"
#include "structmember.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

// A method in place of a Python function: called with one positional argument alone, it tries the
// instance's FastSlot (its attribute `_fast`) and calls the function only where that does not
// apply. A Python frame and two keyword defaults cost as much as a third of a small model's run.
struct FastMethod {
  PyObject_HEAD PyObject* function;
  vectorcallfunc vectorcall;
};

// Made with the module and never freed. Not in the functions that use them: there the first of
// several threads would make them while it holds a lock of C++, which Python knows nothing of.
PyObject* fast_name = nullptr;
PyTypeObject* slot_type = nullptr;
PyTypeObject* method_type = nullptr;

FastMethod* as_method(PyObject* object) { return reinterpret_cast<FastMethod*>(object); }

// The C++ object of an instance of a simple pybind11 class; null before its __init__.
template <typename T>
T* value_of(PyObject* object) {
  return static_cast<T*>(reinterpret_cast<py::detail::instance*>(object)->simple_value_holder[0]);
}

// The slot's run, or None.
py::object fast_run_of(PyObject* instance) {
  PyObject* const found = PyObject_GetAttr(instance, fast_name);
  if (found == nullptr) {
    PyErr_Clear();
    return py::none();
  }
  const py::object slot = py::reinterpret_steal<py::object>(found);
  FastSlot* const value = Py_TYPE(found) == slot_type ? value_of<FastSlot>(found) : nullptr;
  return value == nullptr ? py::none() : value->get();
}

PyObject* call(PyObject* self, PyObject* const* arguments, size_t flags, PyObject* names) {
  if (PyVectorcall_NARGS(flags) == 2 && names == nullptr) {
    try {
      if (const py::object run = fast_run_of(arguments[0]); !run.is_none()) {
        if (py::object results = value_of<DictRun>(run.ptr())->run(arguments[1])) {
          return results.release().ptr();
        }
      }
    } catch (...) {
      set_python_error(std::current_exception());
      return nullptr;
    }
  }
  return PyObject_Vectorcall(as_method(self)->function, arguments, flags, names);
}

PyObject* bind_to_instance(PyObject* self, PyObject* instance, PyObject* /*type*/) {
  if (instance == nullptr || instance == Py_None) {
    return py::reinterpret_borrow<py::object>(self).release().ptr();
  }
  return PyMethod_New(self, instance);
}

int traverse(PyObject* self, visitproc visit, void* arg) {
  Py_VISIT(as_method(self)->function);
  Py_VISIT(Py_TYPE(self));
  return 0;
}

int clear(PyObject* self) {
  Py_CLEAR(as_method(self)->function);
  return 0;
}

void deallocate(PyObject* self) {
  PyTypeObject* const type = Py_TYPE(self);
  PyObject_GC_UnTrack(self);
  clear(self);
  type->tp_free(self);
  Py_DECREF(type);
}

// __doc__, __name__, __qualname__, __module__, ... are the function's.
PyObject* attribute(PyObject* self, PyObject* name) {
  // A type always has a __module__ of its own.
  if (PyUnicode_CompareWithASCIIString(name, "__module__") == 0) {
    return PyObject_GetAttr(as_method(self)->function, name);
  }
  PyObject* const own = PyObject_GenericGetAttr(self, name);
  if (own != nullptr || PyErr_ExceptionMatches(PyExc_AttributeError) == 0) {
    return own;
  }
  PyErr_Clear();
  return PyObject_GetAttr(as_method(self)->function, name);
}

PyObject* documentation(PyObject* self, void* /*closure*/) {
  return PyObject_GetAttrString(as_method(self)->function, "__doc__");
}

PyMemberDef members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(FastMethod, vectorcall), READONLY, nullptr},
    // inspect.signature follows it.
    {"__wrapped__", T_OBJECT, offsetof(FastMethod, function), READONLY, nullptr},
    {nullptr, 0, 0, 0, nullptr}};

PyGetSetDef properties[] = {{"__doc__", documentation, nullptr, nullptr, nullptr},
                            {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyType_Slot slots[] = {{Py_tp_call, reinterpret_cast<void*>(PyVectorcall_Call)},
                       {Py_tp_descr_get, reinterpret_cast<void*>(bind_to_instance)},
                       {Py_tp_traverse, reinterpret_cast<void*>(traverse)},
                       {Py_tp_clear, reinterpret_cast<void*>(clear)},
                       {Py_tp_dealloc, reinterpret_cast<void*>(deallocate)},
                       {Py_tp_getattro, reinterpret_cast<void*>(attribute)},
                       {Py_tp_members, members},
                       {Py_tp_getset, properties},
                       {0, nullptr}};

PyType_Spec spec = {"litert._native.FastMethod", sizeof(FastMethod), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL |
                        Py_TPFLAGS_METHOD_DESCRIPTOR | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                    slots};

// NumPy's dtypes by slot; empty if one of them is none of NumPy's own.
std::vector<py::object> own_dtypes(const std::vector<runtime::Slot>& tensors) {
  std::vector<py::object> dtypes;
  for (const runtime::Slot& slot : tensors) {
    py::object dtype = numpy_dtype(slot.element_type);
    if (!dtype) {
      return {};
    }
    dtypes.push_back(std::move(dtype));
  }
  return dtypes;
}

py::object make_fast_method(const py::function& function) {
  PyObject* const created = PyType_GenericAlloc(method_type, 0);
  if (created == nullptr) {
    throw py::error_already_set();
  }
  as_method(created)->function = py::function(function).release().ptr();
  as_method(created)->vectorcall = call;
  return py::reinterpret_steal<py::object>(created);
}

}  // namespace

void FastSlot::set(py::object run) {
  const Lock lock(mutex_);
  is_set_ = true;
  // What `run` holds then is dropped behind the lock.
  std::swap(run_, run);
}

py::object FastSlot::get() {
  {
    const Lock lock(mutex_);
    if (is_set_) {
      return run_;
    }
  }
  py::object bound = bind_first();
  const Lock lock(mutex_);
  // Another thread may have been faster: its run stays.
  if (!is_set_) {
    is_set_ = true;
    std::swap(run_, bound);
  }
  return run_;
}

py::object FastSlot::bind_first() const {
  const runtime::SignatureSpec& signature = compiled_->signature(0);
  const std::vector<py::object> inputs = own_dtypes(signature.inputs);
  const std::vector<py::object> outputs = own_dtypes(signature.outputs);
  if (inputs.size() != signature.inputs.size() || outputs.size() != signature.outputs.size()) {
    return py::none();
  }
  try {
    return py::cast(std::make_shared<DictRun>(bind_run(compiled_, 0, file_shapes(*compiled_, 0)),
                                              release_gil_, inputs, outputs));
  } catch (const runtime::StatusError&) {
    return py::none();  // the way through Python says why
  } catch (const runtime::ClosedError&) {
    return py::none();
  }
}

void bind_fast_method(py::module_& module) {
  py::class_<FastSlot> cls(module, "FastSlot", py::is_final());
  cls.def(py::init<std::shared_ptr<runtime::CompiledModel>, std::optional<bool>>(),
          py::arg("compiled"), py::arg("release_gil"))
      .def(
          "set",
          [](FastSlot& slot, const std::shared_ptr<DictRun>& run) { slot.set(py::cast(run)); },
          py::arg("run").none(true))
      .def("get", &FastSlot::get);
  fast_name = PyUnicode_InternFromString("_fast");
  slot_type = reinterpret_cast<PyTypeObject*>(cls.ptr());
  method_type = reinterpret_cast<PyTypeObject*>(PyType_FromSpec(&spec));
  if (fast_name == nullptr || method_type == nullptr) {
    throw py::error_already_set();
  }
  module.def("fast_method", &make_fast_method, py::arg("function"));
}

}  // namespace litert_native::bindings
