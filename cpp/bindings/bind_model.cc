#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bind_run.h"
#include "bindings.h"
#include "compile_request.h"
#include "dict_run.h"
#include "gil.h"
#include "litert/runtime/cached_compile.h"
#include "litert/runtime/compiled_model.h"
#include "native_runner.h"
#include "numpy_array.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::BoundRun;
using runtime::CompiledModel;
using runtime::FileMapping;
using runtime::Model;
using runtime::Shape;

// Holds a Python buffer open; let go with the GIL held, whoever drops it last.
std::shared_ptr<const FileMapping> borrow_buffer(const py::buffer& source) {
  const std::shared_ptr<py::buffer_info> info(
      std::make_unique<py::buffer_info>(source.request()).release(), [](py::buffer_info* held) {
        const GilAcquire acquired;
        std::unique_ptr<py::buffer_info>(held).reset();
      });
  return FileMapping::borrow(
      {static_cast<const std::byte*>(info->ptr), static_cast<size_t>(info->size * info->itemsize)},
      info);
}

// The model, what the load did with the weight cache, and why it failed there, if it did.
using Compiled = std::tuple<std::shared_ptr<CompiledModel>, std::string, std::string>;

std::string name_of(runtime::CacheUse use) {
  switch (use) {
    case runtime::CacheUse::kNone:
      return "none";
    case runtime::CacheUse::kReused:
      return "reused";
    case runtime::CacheUse::kBuilt:
      return "built";
    case runtime::CacheUse::kInMemory:
      return "in memory";
    case runtime::CacheUse::kFailed:
      return "failed";
  }
  return {};
}

// `file` is null for a model in memory.
Compiled compile(const std::shared_ptr<const FileMapping>& mapping, const runtime::OpenFile* file,
                 const CompileRequest& request) {
  const std::shared_ptr<const Model> model =
      Model::load(mapping, runtime::Environment::shared(request.environment));
  runtime::CachedCompile cached =
      runtime::compile_cached(model, file, request.options, request.cache_folder);
  // Packed weights take long to free.
  return {free_without_gil(std::move(cached.compiled)), name_of(cached.use), cached.reason};
}

Compiled compile_file(const std::string& path, const CompileRequest& request) {
  const GilRelease released;
  if (request.cache_folder.empty()) {
    return compile(FileMapping::open(path), /*file=*/nullptr, request);
  }
  const std::shared_ptr<const runtime::OpenFile> file = runtime::OpenFile::open(path);
  return compile(file->map(), file.get(), request);
}

Compiled compile_buffer(const py::buffer& source, const CompileRequest& request) {
  const std::shared_ptr<const FileMapping> mapping = borrow_buffer(source);
  const GilRelease released;
  return compile(mapping, /*file=*/nullptr, request);
}

void bind_compile_request(py::module_& module) {
  py::class_<CompileRequest>(module, "CompileRequest", py::is_final())
      // The common case by itself: converting what is left out takes as long as all the rest.
      .def(py::init([](int num_threads, bool use_xnnpack) {
             CompileRequest request;
             request.options.num_threads = num_threads;
             request.options.use_xnnpack = use_xnnpack;
             return request;
           }),
           py::arg("num_threads"), py::arg("use_xnnpack"))
      .def(py::init([](int num_threads, bool use_xnnpack, uint32_t xnnpack_flags,
                       const std::string& cache_folder, int accelerators,
                       const std::string& gpu_folder, const std::string& compiler_folder,
                       const std::string& dispatch_folder,
                       const std::vector<std::pair<std::string, std::string>>& texts) {
             CompileRequest request{
                 .environment = {.accelerators = accelerators | kLiteRtHwAcceleratorCpu,
                                 .gpu_folder = gpu_folder,
                                 .compiler_folder = compiler_folder,
                                 .dispatch_folder = dispatch_folder},
                 .options = {.accelerators = accelerators,
                             .num_threads = num_threads,
                             .use_xnnpack = use_xnnpack,
                             .xnnpack_flags = xnnpack_flags},
                 .cache_folder = cache_folder};
             for (const auto& [identifier, toml] : texts) {
               request.options.accelerator_options.push_back({identifier, toml});
             }
             return request;
           }),
           py::arg("num_threads"), py::arg("use_xnnpack"), py::kw_only(),
           py::arg("xnnpack_flags") = 0, py::arg("cache_folder") = "",
           py::arg("accelerators") = static_cast<int>(kLiteRtHwAcceleratorCpu),
           py::arg("gpu_folder") = "", py::arg("compiler_folder") = "",
           py::arg("dispatch_folder") = "",
           py::arg("accelerator_options") = std::vector<std::pair<std::string, std::string>>());
}

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
  const GilRelease released;
  const std::lock_guard lock(compiled.mutex());
  compiled.close();
}

}  // namespace

void bind_model(py::module_& module) {
  bind_compile_request(module);
  module.def(
      "content_hash",
      [](const py::bytes& source, bool is_path) {
        const std::string_view text = source;
        const GilRelease released;
        return is_path ? FileMapping::open(std::string(text))->content_hash()
                       : runtime::hash_of(std::as_bytes(std::span(text)));
      },
      py::arg("source"), py::arg("is_path"));
  py::class_<CompiledModel, std::shared_ptr<CompiledModel>>(module, "CompiledModel", py::is_final())
      .def_static("from_file", &compile_file, py::arg("path"), py::arg("request"))
      .def_static("from_buffer", &compile_buffer, py::arg("source"), py::arg("request"))
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
      .def_property_readonly("log", &CompiledModel::log)
      .def("registered_accelerators",
           [](const CompiledModel& compiled) {
             return static_cast<int>(compiled.model().environment().registered());
           })
      .def("cancel", &CompiledModel::cancel)
      .def("close", &close);
}

}  // namespace litert_native::bindings
