#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include "bindings.h"
#include "gil.h"
#include "litert/language/length_rewriter.h"

namespace py = pybind11;

namespace litert_native::bindings {
namespace {

using language::CachePorts;
using language::LengthPlan;
using language::LengthUse;

using RawCache = std::tuple<std::string, std::string, size_t>;  // input, output, sequence axis
using RawPorts = std::tuple<std::string, std::vector<RawCache>, std::string>;  // key, caches, mask

LengthPlan analyse(const py::buffer& file, const std::vector<RawPorts>& signatures,
                   int32_t length) {
  std::vector<CachePorts> ports;
  for (const auto& [key, caches, mask] : signatures) {
    CachePorts& added =
        ports.emplace_back(CachePorts{.signature = key, .caches = {}, .mask = mask});
    for (const auto& [input, output, axis] : caches) {
      added.caches.push_back({.input = input, .output = output, .sequence_axis = axis});
    }
  }
  const py::buffer_info info = file.request();
  const std::span bytes(static_cast<const std::byte*>(info.ptr),
                        static_cast<size_t>(info.size * info.itemsize));
  const GilRelease released;
  return LengthPlan::analyse(bytes, ports, length);
}

void apply(const LengthPlan& plan, const py::buffer& file, int32_t new_length) {
  const py::buffer_info info = file.request(/*writable=*/true);
  const std::span bytes(static_cast<std::byte*>(info.ptr),
                        static_cast<size_t>(info.size * info.itemsize));
  const GilRelease released;
  plan.apply(bytes, new_length);
}

const char* use_name(const LengthPlan& plan) {
  switch (plan.use()) {
    case LengthUse::kResizable:
      return "resizable";
    case LengthUse::kRewritable:
      return "rewritable";
    case LengthUse::kFixed:
      break;
  }
  return "fixed";
}

}  // namespace

void bind_length_plan(py::module_& module) {
  py::class_<LengthPlan>(module, "LengthPlan", py::is_final())
      .def_static("analyse", &analyse, py::arg("file"), py::arg("signatures"), py::arg("length"))
      .def_property_readonly("use", &use_name)
      .def_property_readonly("reason", &LengthPlan::reason)
      .def_property_readonly("length", &LengthPlan::length)
      .def_property_readonly("max_length", &LengthPlan::max_length)
      .def_property_readonly("num_places", &LengthPlan::num_places)
      .def_property_readonly("num_tables", &LengthPlan::num_tables)
      .def("apply", &apply, py::arg("file"), py::arg("new_length"));
}

}  // namespace litert_native::bindings
