#include "numpy_array.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using py::detail::npy_api;
using Owner = std::shared_ptr<runtime::TensorMemory>;

constexpr char kOwnerName[] = "litert.TensorMemory";

py::object make_array(const py::object& dtype, const std::vector<Py_ssize_t>& shape, void* data,
                      int flags) {
  const npy_api& api = npy_api::get();
  // The call steals a reference to the dtype.
  PyObject* const created = api.PyArray_NewFromDescr_(
      api.PyArray_Type_, py::object(dtype).release().ptr(), static_cast<int>(shape.size()),
      const_cast<Py_intptr_t*>(shape.data()), /*strides=*/nullptr, data, flags, /*obj=*/nullptr);
  if (created == nullptr) {
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::object>(created);
}

}  // namespace

bool is_array(PyObject* object) { return npy_api::get().PyArray_Check_(object); }

ArrayFields fields_of(PyObject* array) {
  const py::detail::PyArray_Proxy* const proxy = py::detail::array_proxy(array);
  constexpr int kWanted = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
  constexpr int kPlain = kWanted | npy_api::NPY_ARRAY_WRITEABLE_ | npy_api::NPY_ARRAY_OWNDATA_;
  return {reinterpret_cast<const std::byte*>(proxy->data),
          proxy->dimensions,
          proxy->strides,
          proxy->nd,
          proxy->descr,
          (proxy->flags & kWanted) == kWanted,
          (proxy->flags & kPlain) == kPlain && proxy->base == nullptr};
}

py::str to_python_name(const std::string& name) {
  PyObject* text =
      PyUnicode_DecodeUTF8(name.data(), static_cast<Py_ssize_t>(name.size()), "backslashreplace");
  if (text == nullptr) {
    throw py::error_already_set();
  }
  PyUnicode_InternInPlace(&text);
  return py::reinterpret_steal<py::str>(text);
}

py::object new_array(const py::object& dtype, const std::vector<Py_ssize_t>& shape) {
  return make_array(dtype, shape, nullptr, 0);
}

py::object view_of(const std::shared_ptr<runtime::TensorMemory>& memory, const py::object& dtype,
                   const std::vector<Py_ssize_t>& shape, bool is_writable) {
  const npy_api& api = npy_api::get();
  constexpr int kDense = npy_api::NPY_ARRAY_C_CONTIGUOUS_ | npy_api::NPY_ARRAY_ALIGNED_;
  py::object array = make_array(dtype, shape, memory->data(),
                                kDense | (is_writable ? npy_api::NPY_ARRAY_WRITEABLE_ : 0));
  py::capsule owner(std::make_unique<Owner>(memory).release(), kOwnerName,
                    [](void* held) { std::unique_ptr<Owner>(static_cast<Owner*>(held)).reset(); });
  if (api.PyArray_SetBaseObject_(array.ptr(), owner.release().ptr()) != 0) {
    throw py::error_already_set();
  }
  return array;
}

py::object numpy_dtype(LiteRtElementType type) {
  switch (type) {
    case kLiteRtElementTypeBool:
      return py::dtype::of<bool>();
    case kLiteRtElementTypeInt8:
      return py::dtype::of<int8_t>();
    case kLiteRtElementTypeInt16:
      return py::dtype::of<int16_t>();
    case kLiteRtElementTypeInt32:
      return py::dtype::of<int32_t>();
    case kLiteRtElementTypeInt64:
      return py::dtype::of<int64_t>();
    case kLiteRtElementTypeUInt8:
      return py::dtype::of<uint8_t>();
    case kLiteRtElementTypeUInt16:
      return py::dtype::of<uint16_t>();
    case kLiteRtElementTypeUInt32:
      return py::dtype::of<uint32_t>();
    case kLiteRtElementTypeUInt64:
      return py::dtype::of<uint64_t>();
    case kLiteRtElementTypeFloat16:
      return py::dtype("e");
    case kLiteRtElementTypeFloat32:
      return py::dtype::of<float>();
    case kLiteRtElementTypeFloat64:
      return py::dtype::of<double>();
    default:
      return {};
  }
}

// Asks the system, since touching the bytes could end the process. Where the question itself is
// forbidden (some containers), an array's own extent is believed.
static bool is_readable(const std::byte* address, size_t size) {
  std::array<std::byte, 64> copied{};
  iovec local{copied.data(), std::min(size, copied.size())};
  iovec remote{const_cast<std::byte*>(address), local.iov_len};
  return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) >= 0 || errno != EFAULT;
}

bool has_spare_bytes(PyObject* array, size_t size_bytes) {
  const ArrayFields fields = fields_of(array);
  const std::byte* const end = fields.data + size_bytes;
  // Memory is readable by whole pages: what shares the last byte's page can be read.
  constexpr uintptr_t kSmallestPage = 4096;
  const uintptr_t last = reinterpret_cast<uintptr_t>(end) - 1;
  if (last / kSmallestPage == (last + runtime::kKernelOverread) / kSmallestPage) {
    return true;
  }
  // Or the array lies in memory of ours, or in a larger array.
  for (PyObject* base = py::detail::array_proxy(array)->base; base != nullptr;) {
    if (PyCapsule_IsValid(base, kOwnerName) != 0) {
      const Owner& memory = *static_cast<Owner*>(PyCapsule_GetPointer(base, kOwnerName));
      return fields.data >= memory->data() && end <= memory->data() + memory->size_bytes();
    }
    if (!is_array(base)) {
      return false;
    }
    const ArrayFields outer = fields_of(base);
    const py::array whole = py::reinterpret_borrow<py::array>(base);
    if (outer.is_c_contiguous_and_aligned && outer.data <= fields.data &&
        end + runtime::kKernelOverread <= outer.data + whole.nbytes()) {
      return is_readable(end, runtime::kKernelOverread);
    }
    base = py::detail::array_proxy(base)->base;
  }
  return false;
}

std::vector<Py_ssize_t> to_python_shape(const runtime::Shape& shape) {
  return {shape.begin(), shape.end()};
}

}  // namespace litert_native::bindings
