#include "result_pool.h"

#include <algorithm>
#include <utility>

#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {

ResultPool::ResultPool(std::vector<ResultSpec> specs, size_t size_bytes)
    : specs_(std::move(specs)), may_keep_(size_bytes <= kMaxKeptBytes) {
#ifdef Py_GIL_DISABLED
  // Reference counts do not tell there who else holds an object.
  may_keep_ = false;
#endif
}

py::dict ResultPool::take(std::span<std::byte*> data) {
  Kept fresh;
  Kept* chosen = &fresh;
  if (may_keep_) {
    chosen = &kept_[next_];
    next_ = 1 - next_;
  }
  if (!may_keep_ || !is_untouched(*chosen)) {
    *chosen = make();
  }
  for (size_t i = 0; i < specs_.size(); ++i) {
    data[i] = const_cast<std::byte*>(fields_of(chosen->arrays[i]).data);
  }
  return py::reinterpret_borrow<py::dict>(chosen->dict);
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
    const ResultSpec& spec = specs_[i];
    if (key != spec.name.ptr() || value != kept.arrays[i] || Py_REFCNT(value) != 1) {
      return false;
    }
    const ArrayFields fields = fields_of(value);
    if (!fields.is_plain || fields.dtype != spec.dtype.ptr() ||
        static_cast<size_t>(fields.rank) != spec.shape.size() ||
        !std::equal(spec.shape.begin(), spec.shape.end(), fields.shape)) {
      return false;
    }
  }
  return true;
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
