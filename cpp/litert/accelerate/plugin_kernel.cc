#include "litert/accelerate/plugin_kernel.h"

#include <exception>
#include <utility>

#include "litert/runtime/fork_guard.h"
#include "litert/runtime/status.h"

namespace litert_native::accelerate {
namespace {

constexpr int kInvalidArgument = 1;
constexpr int kRuntimeFailure = 3;

}  // namespace

PluginKernel::PluginKernel(std::string name, const std::string& path, const std::string& symbol)
    : CustomKernel(std::move(name)),
      object_(path),
      functions_(*static_cast<const LiteRtCustomOpKernel*>(object_.symbol(symbol))) {
  const auto need = [&](bool is_set, const char* function) {
    if (!is_set) {
      throw runtime::StatusError(kInvalidArgument, path + ": " + symbol + " has no function " +
                                                       function + ", and all four are called");
    }
  };
  need(functions_.Init != nullptr, "Init");
  need(functions_.GetOutputLayouts != nullptr, "GetOutputLayouts");
  need(functions_.Run != nullptr, "Run");
  need(functions_.Destroy != nullptr, "Destroy");
}

template <typename Call>
void PluginKernel::checked(const char* what, Call call) const {
  const std::string where = "custom operator '" + name() + "': " + what;
  LiteRtStatus status = kLiteRtStatusOk;
  try {
    status = call();
  } catch (const std::exception& error) {
    throw runtime::StatusError(kRuntimeFailure, where + " has thrown: " + error.what());
  } catch (...) {
    throw runtime::StatusError(kRuntimeFailure, where + " has thrown no std::exception");
  }
  if (status != kLiteRtStatusOk) {
    throw runtime::StatusError(kRuntimeFailure,
                               where + " failed: status " + std::to_string(status) + " (" +
                                   std::string(runtime::status_name(status)) + ")");
  }
}

void PluginKernel::init(std::span<const std::byte> options) {
  const runtime::ForkPause pause;  // nobody knows what it does; it may want Python's GIL
  checked("Init", [&] { return functions_.Init(nullptr, options.data(), options.size()); });
}

void PluginKernel::set_output_layouts(std::span<const LiteRtLayout> inputs,
                                      std::span<LiteRtLayout> outputs) {
  checked("GetOutputLayouts", [&] {
    return functions_.GetOutputLayouts(nullptr, inputs.size(), inputs.data(), outputs.size(),
                                       outputs.data());
  });
}

void PluginKernel::run(std::span<const LiteRtTensorBuffer> inputs,
                       std::span<LiteRtTensorBuffer> outputs) {
  checked("Run", [&] {
    return functions_.Run(nullptr, inputs.size(), inputs.data(), outputs.size(), outputs.data());
  });
}

void PluginKernel::destroy() {
  checked("Destroy", [&] { return functions_.Destroy(nullptr); });
}

}  // namespace litert_native::accelerate
