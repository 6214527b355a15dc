#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "bindings.h"
#include "compile_request.h"
#include "gil.h"
#include "litert/accelerate/external_delegate.h"
#include "litert/runtime/cached_compile.h"
#include "litert/runtime/status.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using runtime::CompiledModel;
using runtime::FileMapping;
using runtime::Model;
using runtime::StatusError;

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
  accelerate::DelegateEnvironment made;
  if (request.delegates.empty()) {
    made.environment = runtime::Environment::shared(request.environment);
  } else {
    made = accelerate::make_delegate_environment(request.delegates);
  }
  const std::shared_ptr<const Model> model = Model::load(mapping, made.environment);
  runtime::CachedCompile cached;
  try {
    cached = runtime::compile_cached(model, file, request.options, request.cache_folder);
  } catch (const StatusError& error) {
    const std::string problem = made.take_problem();
    if (problem.empty()) {
      throw;
    }
    throw StatusError(error.status(), problem, error.library_log());
  }
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

// The path of an external delegate, and its options.
using Delegate = std::pair<std::string, std::vector<std::pair<std::string, std::string>>>;

void bind_request(py::module_& module) {
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
                       const std::vector<std::pair<std::string, std::string>>& texts,
                       const std::vector<std::shared_ptr<runtime::CustomKernel>>& kernels,
                       const std::vector<Delegate>& delegates) {
             CompileRequest request;
             request.environment = {.accelerators = accelerators | kLiteRtHwAcceleratorCpu,
                                    .gpu_folder = gpu_folder,
                                    .compiler_folder = compiler_folder,
                                    .dispatch_folder = dispatch_folder};
             request.cache_folder = cache_folder;
             request.options.num_threads = num_threads;
             request.options.use_xnnpack = use_xnnpack;
             request.options.xnnpack_flags = xnnpack_flags;
             request.options.accelerators = accelerators;
             for (const auto& [identifier, toml] : texts) {
               request.options.accelerator_options.push_back({identifier, toml});
             }
             request.options.custom_kernels = kernels;
             request.options.has_delegates = !delegates.empty();
             for (const auto& [path, options] : delegates) {
               request.delegates.push_back({path, options});
             }
             return request;
           }),
           py::arg("num_threads"), py::arg("use_xnnpack"), py::kw_only(),
           py::arg("xnnpack_flags") = 0, py::arg("cache_folder") = "",
           py::arg("accelerators") = static_cast<int>(kLiteRtHwAcceleratorCpu),
           py::arg("gpu_folder") = "", py::arg("compiler_folder") = "",
           py::arg("dispatch_folder") = "",
           py::arg("accelerator_options") = std::vector<std::pair<std::string, std::string>>(),
           py::arg("custom_kernels") = std::vector<std::shared_ptr<runtime::CustomKernel>>(),
           py::arg("delegates") = std::vector<Delegate>());
}

}  // namespace

void bind_compile(py::module_& module) {
  bind_request(module);
  module.def(
      "content_hash",
      [](const py::bytes& source, bool is_path) {
        const std::string_view text = source;
        const GilRelease released;
        return is_path ? FileMapping::open(std::string(text))->content_hash()
                       : runtime::hash_of(std::as_bytes(std::span(text)));
      },
      py::arg("source"), py::arg("is_path"));
  module.def("compile_file", &compile_file, py::arg("path"), py::arg("request"));
  module.def("compile_buffer", &compile_buffer, py::arg("source"), py::arg("request"));
}

}  // namespace litert_native::bindings
