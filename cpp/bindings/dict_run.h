// The extension type _native.DictRun: arrays in by name, new arrays out by name.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "gil_policy.h"
#include "litert/runtime/bound_run.h"
#include "result_pool.h"

namespace litert_native::bindings {

// A BoundRun with copies in and out. Safe in several threads: copying and running happen under the
// compiled model's mutex.
class DictRun {
 public:
  // NumPy's dtypes by slot; a packed type is taken and given as its bytes.
  DictRun(std::shared_ptr<runtime::BoundRun> run, std::optional<bool> release_gil,
          const std::vector<pybind11::object>& input_dtypes,
          const std::vector<pybind11::object>& output_dtypes);
  ~DictRun();
  DictRun(const DictRun&) = delete;
  DictRun& operator=(const DictRun&) = delete;

  // Runs on a dict of arrays, or on one array for a single input. Returns a null object, having
  // done nothing, where an input does not fit exactly as it is.
  [[nodiscard]] pybind11::object run(PyObject* inputs);
  // The outputs' shapes by name, which packed bytes do not tell.
  [[nodiscard]] pybind11::dict output_shapes() const;

 private:
  struct Input {
    pybind11::object name;  // interned
    pybind11::object dtype;
    std::vector<Py_ssize_t> shape;
    std::shared_ptr<runtime::TensorMemory> memory;
  };

  [[nodiscard]] static const std::byte* data_if_it_fits(PyObject* value, const Input& input);
  // A new reference; null where the dict has no such name.
  [[nodiscard]] PyObject* find(PyObject* dict, size_t index) const;

  std::shared_ptr<runtime::BoundRun> run_;
  GilPolicy policy_;
  std::vector<Input> inputs_;
  std::vector<std::shared_ptr<runtime::TensorMemory>> outputs_;
  ResultPool results_;
};

}  // namespace litert_native::bindings
