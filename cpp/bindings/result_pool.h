// Result dicts of small outputs, used again once the caller has dropped them.
#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <span>
#include <vector>

namespace litert_native::bindings {

// What one result array is.
struct ResultSpec {
  pybind11::object name;  // interned
  pybind11::object dtype;
  std::vector<Py_ssize_t> shape;
};

// Making and freeing a dict with an array is a quarter of a small model's run. The pool keeps the
// last two results, one for the caller to hold while the next is computed, and gives one out again
// only if nobody else has a reference to the dict or to any of its arrays and nothing about them
// was changed: nobody can tell it from a new one. The GIL guards it; Python without one keeps
// nothing, so any number of threads may take results there.
class ResultPool {
 public:
  // Keeps nothing if the results have more than this many bytes together.
  static constexpr size_t kMaxKeptBytes = 64 * 1024;

  ResultPool(std::vector<ResultSpec> specs, size_t size_bytes);

  // A dict of arrays whose contents are undefined; their data goes to `data`, one for each output.
  // Throws error_already_set.
  [[nodiscard]] pybind11::dict take(std::span<std::byte*> data);

 private:
  struct Kept {
    pybind11::object dict;
    std::vector<PyObject*> arrays;  // owned by the dict, if it still has them
  };

  static void point_to(const Kept& results, std::span<std::byte*> data);
  [[nodiscard]] bool is_untouched(const Kept& kept) const;
  [[nodiscard]] bool is_as_made(PyObject* array, size_t index) const;
  [[nodiscard]] Kept make() const;

  std::vector<ResultSpec> specs_;
  std::vector<std::vector<Py_ssize_t>> strides_;
  bool may_keep_;
  std::array<Kept, 2> kept_;
  size_t next_ = 0;
};

}  // namespace litert_native::bindings
