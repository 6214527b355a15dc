// The few NumPy calls of the hot path, through the function table that pybind11 already holds.
#pragma once

#include <pybind11/numpy.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "litert/runtime/compiled_model.h"
#include "litert/runtime/tensor_memory.h"

namespace litert_native::bindings {

// Borrowed fields of an ndarray.
struct ArrayFields {
  const std::byte* data;
  const Py_ssize_t* shape;
  const Py_ssize_t* strides;  // bytes
  int rank;
  PyObject* dtype;
  bool is_c_contiguous_and_aligned;
  bool is_plain;  // writable, dense and the owner of its data, as new_array makes it
};

// Whether `object` is an ndarray (or a subclass).
[[nodiscard]] bool is_array(PyObject* object);
[[nodiscard]] ArrayFields fields_of(PyObject* array);

// A name from a file, interned; bytes that are no UTF-8 are shown as \xNN.
[[nodiscard]] pybind11::str to_python_name(const std::string& name);

// A new uninitialised C-contiguous array. Throws error_already_set.
[[nodiscard]] pybind11::object new_array(const pybind11::object& dtype,
                                         const std::vector<Py_ssize_t>& shape);
// A view of `memory` that keeps it alive.
[[nodiscard]] pybind11::object view_of(const std::shared_ptr<runtime::TensorMemory>& memory,
                                       const pybind11::object& dtype,
                                       const std::vector<Py_ssize_t>& shape, bool is_writable);

// Whether the bytes behind the array's `size_bytes` that kernels may read can be read.
[[nodiscard]] bool has_spare_bytes(PyObject* array, size_t size_bytes);

// NumPy's own dtype of a type; a null object for packed types and those of ml_dtypes.
[[nodiscard]] pybind11::object numpy_dtype(LiteRtElementType type);

[[nodiscard]] std::vector<Py_ssize_t> to_python_shape(const runtime::Shape& shape);

}  // namespace litert_native::bindings
