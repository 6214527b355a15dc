#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "litert/accelerate/plugin_kernel.h"
#include "litert/runtime/custom_kernel.h"
#include "litert/runtime/locked_buffer.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::CustomKernel;
using runtime::LockedBuffer;

// (memory, element type's number, shape); the memory has to be let go before the buffer is.
py::tuple describe(const LockedBuffer& buffer, bool is_readonly) {
  py::list shape;
  for (const int32_t size : buffer.shape()) {
    shape.append(size);
  }
  return py::make_tuple(
      py::memoryview::from_memory(buffer.bytes().data(),
                                  static_cast<py::ssize_t>(buffer.bytes().size()), is_readonly),
      static_cast<int>(buffer.element_type()), py::tuple(shape));
}

// Calls function(first, second). Python code may give the GIL away and want it back while the
// interpreter ends; see gil.h for what becomes of the thread. Nothing here is to be unwound then.
py::object call(const py::object& function, const py::object& first, const py::object& second) {
  PyObject* result = nullptr;
  try {
    result = PyObject_CallFunctionObjArgs(function.ptr(), first.ptr(), second.ptr(), nullptr);
  } catch (...) {
    hang();
  }
  if (result == nullptr) {
    throw py::error_already_set();
  }
  return py::reinterpret_steal<py::object>(result);
}

// Views of locked memory, let go with the owner whatever Python has kept of them: a traceback holds
// the variables of its frames. Needs the GIL.
class Views {
 public:
  Views(const std::vector<std::unique_ptr<LockedBuffer>>& buffers, bool is_readonly) {
    for (const std::unique_ptr<LockedBuffer>& buffer : buffers) {
      list_.append(describe(*buffer, is_readonly));
    }
  }
  ~Views() {
    for (const py::handle& one : list_) {
      PyObject* const view = PyTuple_GetItem(one.ptr(), 0);
      PyObject* const released = PyObject_CallMethod(view, "release", nullptr);
      if (released == nullptr) {
        PyErr_Clear();
      }
      Py_XDECREF(released);
    }
  }
  Views(const Views&) = delete;
  Views& operator=(const Views&) = delete;

  [[nodiscard]] const py::list& list() const { return list_; }

 private:
  py::list list_;
};

// Calls run(inputs, outputs) with what describe() gives, and output_shapes(input shapes,
// number of outputs) -> shapes. What they raise comes out of the run as it is.
class PythonKernel final : public CustomKernel {
 public:
  // Needs the GIL, as does nothing else here.
  PythonKernel(std::string name, py::object run, py::object output_shapes)
      : CustomKernel(std::move(name)),
        run_(std::move(run)),
        output_shapes_(std::move(output_shapes)) {}
  ~PythonKernel() override {
    const GilAcquire acquired;
    run_ = {};
    output_shapes_ = {};
  }

 protected:
  void init(std::span<const std::byte> /*options*/) override {}
  void destroy() override {}

  void set_output_layouts(std::span<const LiteRtLayout> inputs,
                          std::span<LiteRtLayout> outputs) override {
    const GilAcquire acquired;
    py::list shapes;
    for (const LiteRtLayout& input : inputs) {
      shapes.append(std::vector<int32_t>(input.dimensions, input.dimensions + input.rank));
    }
    const auto told = call(output_shapes_, shapes, py::int_(outputs.size()))
                          .cast<std::vector<std::vector<int32_t>>>();
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (told.at(i).size() > LITERT_TENSOR_MAX_RANK) {
        throw py::value_error("output_shapes: a tensor has 8 dimensions at most");
      }
      outputs[i].rank = static_cast<unsigned>(told.at(i).size()) & 0x7FU;
      outputs[i].has_strides = false;
      std::copy(told[i].begin(), told[i].end(), outputs[i].dimensions);
    }
  }

  void run(std::span<const LiteRtTensorBuffer> inputs,
           std::span<LiteRtTensorBuffer> outputs) override {
    std::vector<std::unique_ptr<LockedBuffer>> read;
    std::vector<std::unique_ptr<LockedBuffer>> written;
    for (LiteRtTensorBuffer const input : inputs) {
      read.push_back(std::make_unique<LockedBuffer>(input, kLiteRtTensorBufferLockModeRead));
    }
    for (LiteRtTensorBuffer const output : outputs) {
      written.push_back(std::make_unique<LockedBuffer>(output, kLiteRtTensorBufferLockModeWrite));
    }
    const GilAcquire acquired;
    const Views given(read, /*is_readonly=*/true);
    const Views wanted(written, /*is_readonly=*/false);
    (void)call(run_, given.list(), wanted.list());
  }

 private:
  py::object run_;
  py::object output_shapes_;
};

}  // namespace

void bind_custom_op(py::module_& module) {
  py::class_<CustomKernel, std::shared_ptr<CustomKernel>>(module, "CustomKernel");
  module.def(
      "plugin_kernel",
      [](std::string name, const std::string& path,
         const std::string& symbol) -> std::shared_ptr<CustomKernel> {
        return std::make_shared<accelerate::PluginKernel>(std::move(name), path, symbol);
      },
      py::arg("name"), py::arg("path"), py::arg("symbol"), py::call_guard<GilRelease>());
  module.def(
      "python_kernel",
      [](std::string name, py::object run,
         py::object output_shapes) -> std::shared_ptr<CustomKernel> {
        return std::make_shared<PythonKernel>(std::move(name), std::move(run),
                                              std::move(output_shapes));
      },
      py::arg("name"), py::arg("run"), py::arg("output_shapes"));
}

}  // namespace litert_native::bindings
