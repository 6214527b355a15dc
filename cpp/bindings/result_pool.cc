#include "result_pool.h"

#include <algorithm>
#include <utility>

#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {

namespace {

std::vector<Py_ssize_t> dense_strides(const ResultSpec& spec) {
  Py_ssize_t stride = spec.dtype.attr("itemsize").cast<Py_ssize_t>();
  std::vector<Py_ssize_t> strides(spec.shape.size());
  for (size_t i = strides.size(); i-- > 0;) {
    strides[i] = stride;
    stride *= spec.shape[i];
  }
  return strides;
}

bool has_weak_references(PyObject* array) {
  const Py_ssize_t offset = Py_TYPE(array)->tp_weaklistoffset;
  return offset > 0 &&
         *reinterpret_cast<PyObject**>(reinterpret_cast<std::byte*>(array) + offset) != nullptr;
}

}  // namespace

ResultPool::ResultPool(std::vector<ResultSpec> specs, size_t size_bytes)
    : specs_(std::move(specs)), may_keep_(size_bytes <= kMaxKeptBytes) {
#ifdef Py_GIL_DISABLED
  // Reference counts do not tell there who else holds an object, and nothing guards what is kept.
  may_keep_ = false;
#endif
  for (const ResultSpec& spec : specs_) {
    strides_.push_back(dense_strides(spec));
  }
}

py::dict ResultPool::take(std::span<std::byte*> data) {
  if (!may_keep_) {
    const Kept made = make();
    point_to(made, data);
    return py::reinterpret_borrow<py::dict>(made.dict);
  }
  Kept* const chosen = &kept_[next_];
  next_ = 1 - next_;
  Kept replaced;
  if (!is_untouched(*chosen)) {
    replaced = make();
    // What was there goes at the end: a weak reference to it may call back into this.
    std::swap(*chosen, replaced);
  }
  point_to(*chosen, data);
  return py::reinterpret_borrow<py::dict>(chosen->dict);
}

void ResultPool::point_to(const Kept& results, std::span<std::byte*> data) {
  for (size_t i = 0; i < results.arrays.size(); ++i) {
    data[i] = const_cast<std::byte*>(fields_of(results.arrays[i]).data);
  }
}

bool ResultPool::is_untouched(const Kept& kept) const {
  PyObject* const dict = kept.dict.ptr();
  if (dict == nullptr || Py_REFCNT(dict) != 1 ||
      static_cast<size_t>(PyDict_GET_SIZE(dict)) != specs_.size()) {
    return false;
  }
  Py_ssize_t position = 0;
  PyObject* key = nullptr;
  PyObject* value = nullptr;
  for (size_t i = 0; PyDict_Next(dict, &position, &key, &value) != 0; ++i) {
    if (key != specs_[i].name.ptr() || value != kept.arrays[i] || Py_REFCNT(value) != 1 ||
        !is_as_made(value, i)) {
      return false;
    }
  }
  return true;
}

bool ResultPool::is_as_made(PyObject* array, size_t index) const {
  const ResultSpec& spec = specs_[index];
  const ArrayFields fields = fields_of(array);
  return fields.is_plain && !has_weak_references(array) && fields.dtype == spec.dtype.ptr() &&
         static_cast<size_t>(fields.rank) == spec.shape.size() &&
         std::equal(spec.shape.begin(), spec.shape.end(), fields.shape) &&
         std::equal(strides_[index].begin(), strides_[index].end(), fields.strides);
}

ResultPool::Kept ResultPool::make() const {
  py::dict dict;
  Kept made;
  for (const ResultSpec& spec : specs_) {
    const py::object array = new_array(spec.dtype, spec.shape);
    if (PyDict_SetItem(dict.ptr(), spec.name.ptr(), array.ptr()) != 0) {
      throw py::error_already_set();
    }
    made.arrays.push_back(array.ptr());
  }
  made.dict = std::move(dict);
  return made;
}

}  // namespace litert_native::bindings
