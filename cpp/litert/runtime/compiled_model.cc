#include "litert/runtime/compiled_model.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <shared_mutex>
#include <utility>

#include "litert/runtime/environment.h"
#include "litert/runtime/status.h"
#include "litert/runtime/stderr_capture.h"
#include "litert/runtime/stdout_capture.h"

namespace litert_native::runtime {
namespace {

constexpr int kInvalidArgument = 1;
constexpr int kRuntimeFailure = 3;
constexpr int kCancelled = 100;

// Options reach the library as TOML text, of which it ignores every key that it does not know.
// Those of the CPU and of the runtime are written here.
void add_toml(LiteRtOptions options, const char* identifier, const std::string& text) {
  LiteRtOpaqueOptions raw = nullptr;
  char* const payload = ::strdup(text.c_str());
  const LiteRtStatus status = library().create_opaque_options(
      identifier, payload, [](void* data) { std::free(data); }, &raw);
  if (status != kLiteRtStatusOk) {
    std::free(payload);
  }
  check(status, "create options");
  OpaqueOptionsHandle owned(raw);
  check(library().add_opaque_options(options, owned.get()), "add options");
  (void)owned.release();  // they belong to `options` now
}

// Keys that hold a quote or a backslash cannot be written: the library's parser knows no escapes.
std::string to_toml(const std::vector<std::string>& keys) {
  std::string text = "[";
  for (const std::string& key : keys) {
    if (key.find_first_of("\"\\\n") != std::string::npos) {
      throw StatusError(kInvalidArgument, "cannot select the signature '" + key + "'");
    }
    text += (text.size() > 1 ? ", \"" : "\"") + key + "\"";
  }
  return text + "]";
}

OptionsHandle make_options(const CompileOptions& options) {
  LiteRtOptions raw = nullptr;
  check(library().create_options(&raw), "create options");
  OptionsHandle created(raw);
  check(library().set_options_hardware_accelerators(raw, options.accelerators), "set options");
  std::string cpu = "num_threads = " + std::to_string(options.num_threads) + "\nkernel_mode = \"" +
                    (options.use_xnnpack ? "xnnpack" : "builtin") + "\"\n";
  if (options.xnnpack_flags != 0) {
    cpu += "flags = " + std::to_string(options.xnnpack_flags) + "\n";
  }
  if (options.weight_cache_descriptor >= 0) {
    cpu +=
        "weight_cache_file_descriptor = " + std::to_string(options.weight_cache_descriptor) + "\n";
  } else if (!options.weight_cache_path.empty()) {
    // The library's parser knows no escapes.
    if (options.weight_cache_path.find_first_of("\"\n") != std::string::npos) {
      throw StatusError(kInvalidArgument,
                        "a weight cache's path must not hold a quote or a newline");
    }
    cpu += "weight_cache_file_path = \"" + options.weight_cache_path + "\"\n";
  }
  add_toml(raw, "xnnpack", cpu);
  // Mode 2 collects errors for take_messages; every other mode prints them. Giving any of these
  // options also makes the library inline composites, which saves up to a tenth of a run.
  std::string runtime = "error_reporter_mode = 2\n";
  if (options.enable_profiling) {
    runtime += "enable_profiling = true\n";
  }
  if (!options.selected_signatures.empty()) {
    runtime += "selected_signature_keys = " + to_toml(options.selected_signatures) + "\n";
  }
  add_toml(raw, "runtime_options_string", runtime);
  for (const AcceleratorOptions& accelerator : options.accelerator_options) {
    add_toml(raw, accelerator.identifier.c_str(), accelerator.toml);
  }
  for (const std::shared_ptr<CustomKernel>& kernel : options.custom_kernels) {
    kernel->add_to(raw);
  }
  return created;
}

// Throws the first failure. All are taken, or the next run would find those that are left.
void rethrow_failures(const std::vector<std::shared_ptr<CustomKernel>>& kernels) {
  const ForkPause pause;  // the others are dropped here, for which Python's need the GIL
  std::exception_ptr first;
  for (const std::shared_ptr<CustomKernel>& kernel : kernels) {
    std::exception_ptr failure = kernel->take_failure();
    if (first == nullptr) {
      first = std::move(failure);
    }
  }
  if (first != nullptr) {
    std::rethrow_exception(first);
  }
}

}  // namespace

std::shared_ptr<CompiledModel> CompiledModel::compile(std::shared_ptr<const Model> model,
                                                      const CompileOptions& options) {
  const ForkGuard guard;
  std::optional<VerboseLog> verbose;
  std::optional<StdoutCapture> quiet;
  if (options.accelerators != kLiteRtHwAcceleratorCpu) {
    verbose.emplace();
    quiet.emplace();
  }
  const StderrCapture capture;
  OptionsHandle compile_options = make_options(options);
  LiteRtCompiledModel raw = nullptr;
  const LiteRtStatus status = library().create_compiled_model(
      model->environment().handle(), model->handle(), compile_options.get(), &raw);
  CompiledModelHandle handle(raw);
  rethrow_failures(options.custom_kernels);
  check(status, "compile the model", capture.text());
  std::shared_ptr<CompiledModel> compiled =
      std::make_shared<CompiledModel>(std::move(model), options, std::move(handle));
  if (compiled->has_custom_kernels()) {
    compiled->options_ = std::move(compile_options);
  }
  if (compiled->is_accelerated()) {
    // Delegates report what they do not take as errors of the graph.
    compiled->log_ = capture.all_text() + compiled->take_messages();
  }
  const size_t num_prepared = options.prepares_all ? compiled->model().signatures().size() : 0;
  try {
    for (size_t i = 0; i < num_prepared; ++i) {
      (void)compiled->output_shapes(i, /*update_allocation=*/true);
    }
  } catch (const StatusError& error) {
    // Why an accelerator's library does not load is said on stderr alone.
    throw StatusError(error.status(), error.what(), capture.text() + error.library_log());
  }
  return compiled;
}

CompiledModel::CompiledModel(std::shared_ptr<const Model> model, const CompileOptions& options,
                             CompiledModelHandle handle)
    : model_(std::move(model)),
      custom_kernels_(options.custom_kernels),
      is_accelerated_(options.accelerators != kLiteRtHwAcceleratorCpu),
      keeps_inputs_(!is_accelerated_ && !options.has_delegates),
      handle_(std::move(handle)) {
  for (const SignatureSpec& signature : model_->signatures()) {
    std::vector<Shape>& shapes = shapes_.emplace_back();
    for (const Slot& input : signature.inputs) {
      shapes.push_back(input.shape);
    }
  }
  for (const std::shared_ptr<CustomKernel>& kernel : custom_kernels_) {
    kernel->belong_to(this);
  }
  if (model_->facts().has_loops || has_custom_kernels()) {
    // Asked for once per operator, so only where it can stop something.
    check(library().set_cancellation_function(
              handle_.get(), this,
              [](void* self) { return static_cast<CompiledModel*>(self)->must_stop(); }),
          "set the cancellation function");
  }
}

bool CompiledModel::must_stop() const {
  return cancelled_.load(std::memory_order_relaxed) ||
         std::any_of(custom_kernels_.begin(), custom_kernels_.end(),
                     [](const auto& kernel) { return kernel->has_failed(); });
}

std::unique_lock<std::mutex> CompiledModel::lock_to_end() {
  std::unique_lock lock(mutex_, std::try_to_lock);
  if (!lock.owns_lock() && !is_of_parent()) {
    lock.lock();
  }
  return lock;
}

void CompiledModel::refuse_inside_kernel() const {
  if (CustomKernel::is_inside(this)) {
    throw StatusError(kRuntimeFailure,
                      "a custom operator's kernel uses the model that it computes for, which "
                      "would wait for itself");
  }
}

std::vector<std::shared_ptr<CustomKernel>> CompiledModel::take_custom_kernels() {
  return std::exchange(custom_kernels_, {});
}

LiteRtCompiledModel CompiledModel::handle() const {
  if (handle_ == nullptr) {
    throw ClosedError("the model is closed");
  }
  return handle_.get();
}

void CompiledModel::refuse_in_child() const {
  if (is_accelerated_ && is_of_parent()) {
    throw StatusError(
        kRuntimeFailure,
        "a model on an accelerator cannot be used in a forked child; open it after the "
        "fork, or start the process in another way (multiprocessing: 'spawn')");
  }
}

void CompiledModel::close() {
  bound_ = nullptr;
  std::shared_lock<std::shared_mutex> unmaps;
  if (guard_ != nullptr) {
    unmaps = MappingGuard::hold_mappings();
  }
  if (is_of_parent()) {
    // Its threads stayed behind, and release 2.1.6 waits for them. The child's memory is the
    // parent's as far as nobody writes to it.
    (void)handle_.release();
  } else {
    handle_.reset();
  }
  guard_.reset();
}

void CompiledModel::apply_shapes(size_t signature, const std::vector<Shape>& shapes) {
  if (shapes_[signature] == shapes) {
    return;
  }
  const std::vector<Shape> before = std::exchange(shapes_[signature], {});
  bound_ = nullptr;
  for (size_t i = 0; i < shapes.size(); ++i) {
    if (before.empty() || before[i] != shapes[i]) {
      const LiteRtStatus status = without_exceptions([&] {
        return library().resize_input_tensor(handle(), signature, i, shapes[i].data(),
                                             shapes[i].size());
      });
      check_run(status, "resize an input");
    }
  }
  // Asked now: what the graph cannot take shows here, before anything is run. On failure the shapes
  // stay unknown, and the next user of this signature resizes again.
  (void)output_shapes(signature, /*update_allocation=*/true);
  shapes_[signature] = shapes;
}

std::vector<Shape> CompiledModel::output_shapes(size_t signature, bool update_allocation) {
  const size_t num_outputs = model_->signatures()[signature].outputs.size();
  if (num_outputs == 0) {
    return {};  // the library refuses the question
  }
  // Zeroed: the library fills only rank and dimensions.
  std::vector<LiteRtLayout> layouts(num_outputs);
  std::memset(layouts.data(), 0, layouts.size() * sizeof(LiteRtLayout));
  const LiteRtStatus status = without_exceptions([&] {
    return library().get_output_tensor_layouts(handle(), signature, num_outputs, layouts.data(),
                                               update_allocation);
  });
  check_run(status, "prepare the model");
  std::vector<Shape> shapes;
  shapes.reserve(num_outputs);
  for (const LiteRtLayout& layout : layouts) {
    if (layout.rank > LITERT_TENSOR_MAX_RANK) {
      throw StatusError(kRuntimeFailure, "the library tells an output of rank " +
                                             std::to_string(static_cast<unsigned>(layout.rank)));
    }
    shapes.emplace_back(layout.dimensions, layout.dimensions + layout.rank);
  }
  return shapes;
}

std::string CompiledModel::take_messages() {
  char* text = nullptr;
  if (library().get_error_messages(handle_.get(), &text) != kLiteRtStatusOk || text == nullptr) {
    return {};
  }
  std::string messages(text);
  std::free(text);
  // They accumulate otherwise.
  library().clear_errors(handle_.get());
  return messages;
}

void CompiledModel::check_run(LiteRtStatus status, const std::string& what,
                              const std::string& said) {
  if (status == kLiteRtStatusOk) {
    rethrow_failures(custom_kernels_);
    return;
  }
  const std::string messages = said + take_messages();
  rethrow_failures(custom_kernels_);
  // The library answers a cancelled run with RuntimeFailure.
  if (cancelled_.load(std::memory_order_relaxed)) {
    throw StatusError(kCancelled, what + ": cancelled", messages);
  }
  check(status, what, messages);
}

}  // namespace litert_native::runtime
