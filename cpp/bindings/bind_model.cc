#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bind_run.h"
#include "bindings.h"
#include "dict_run.h"
#include "gil.h"
#include "litert/runtime/compiled_model.h"
#include "native_runner.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::BoundRun;
using runtime::CompiledModel;
using runtime::Model;
using runtime::Shape;

py::object describe_quantization(const runtime::SlotQuantization& quantization) {
  if (quantization.scales.empty()) {
    return py::none();
  }
  return py::make_tuple(quantization.scales, quantization.zero_points,
                        quantization.quantized_dimension);
}

// [(key, [(name, slot, type number, shape signature, quantization)...] inputs, ... outputs)]
py::list describe_signatures(const CompiledModel& compiled) {
  const Model& model = compiled.model();
  py::list described;
  for (const runtime::SignatureSpec& signature : model.signatures()) {
    const auto describe = [&](const std::vector<runtime::NamedSlot>& names,
                              const std::vector<runtime::Slot>& slots) {
      py::list tensors;
      for (const runtime::NamedSlot& named : names) {
        const runtime::Slot& slot = slots[named.slot];
        tensors.append(py::make_tuple(
            to_python_name(named.name), named.slot, static_cast<int>(slot.element_type),
            py::tuple(py::cast(slot.signature)), describe_quantization(slot.quantization)));
      }
      return tensors;
    };
    described.append(py::make_tuple(to_python_name(signature.key),
                                    describe(signature.input_names, signature.inputs),
                                    describe(signature.output_names, signature.outputs)));
  }
  return described;
}

// Types by slot, named or not: views and runs are made for all of them.
std::vector<int> slot_types(const std::vector<runtime::Slot>& slots) {
  std::vector<int> types;
  for (const runtime::Slot& slot : slots) {
    types.push_back(static_cast<int>(slot.element_type));
  }
  return types;
}

void close(CompiledModel& compiled) {
  compiled.refuse_inside_kernel();
  const GilRelease released;
  std::vector<std::shared_ptr<runtime::CustomKernel>> kernels;
  const std::unique_lock lock = compiled.lock_to_end();
  compiled.close();
  // Of callables, this ends the cycles through the model. They go once the mutex is free; who has
  // it in a forked child may still use them.
  if (lock.owns_lock()) {
    kernels = compiled.take_custom_kernels();
  }
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<CompiledModel, std::shared_ptr<CompiledModel>>(module, "CompiledModel", py::is_final())
      .def("describe_signatures", &describe_signatures)
      .def(
          "input_types",
          [](const CompiledModel& compiled, size_t signature) {
            return slot_types(compiled.signature(signature).inputs);
          },
          py::arg("signature"))
      .def(
          "output_types",
          [](const CompiledModel& compiled, size_t signature) {
            return slot_types(compiled.signature(signature).outputs);
          },
          py::arg("signature"))
      .def(
          "output_aliases",
          [](const CompiledModel& compiled, size_t signature) {
            std::vector<int> aliases;
            for (const runtime::Slot& slot : compiled.signature(signature).outputs) {
              aliases.push_back(slot.input_alias);
            }
            return aliases;
          },
          py::arg("signature"))
      .def("file_shapes", &file_shapes, py::arg("signature"))
      .def(
          "bind",
          [](const std::shared_ptr<CompiledModel>& compiled, size_t signature,
             std::vector<Shape> shapes, std::optional<bool> release_gil) {
            return std::make_unique<NativeRunner>(bind_run(compiled, signature, std::move(shapes)),
                                                  release_gil);
          },
          py::arg("signature"), py::arg("shapes"), py::arg("release_gil"))
      .def(
          "bind_dict",
          [](const std::shared_ptr<CompiledModel>& compiled, size_t signature,
             std::vector<Shape> shapes, std::optional<bool> release_gil,
             std::vector<py::object> input_dtypes, std::vector<py::object> output_dtypes) {
            return std::make_shared<DictRun>(bind_run(compiled, signature, std::move(shapes)),
                                             release_gil, input_dtypes, output_dtypes);
          },
          py::arg("signature"), py::arg("shapes"), py::arg("release_gil"), py::arg("input_dtypes"),
          py::arg("output_dtypes"))
      // Paths in it may hold what is no text.
      .def_property_readonly(
          "log", [](const CompiledModel& compiled) { return to_python_name(compiled.log()); })
      .def("registered_accelerators",
           [](const CompiledModel& compiled) {
             return static_cast<int>(compiled.model().environment().registered());
           })
      .def("cancel", &CompiledModel::cancel)
      .def("close", &close);
}

}  // namespace litert_native::bindings
