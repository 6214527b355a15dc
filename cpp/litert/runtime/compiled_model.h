// A model compiled for the CPU or an accelerator, and what is bound to it now.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "litert/runtime/custom_kernel.h"
#include "litert/runtime/handle.h"
#include "litert/runtime/mapping_guard.h"
#include "litert/runtime/model.h"

namespace litert_native::runtime {

// Options of an accelerator: TOML under the name that the library's parser looks for. It ignores
// keys that it does not know, so whoever writes the text owns the list of those.
struct AcceleratorOptions {
  std::string identifier;
  std::string toml;
};

struct CompileOptions {
  // Where the model may run; more than the CPU needs an environment that has it.
  LiteRtHwAcceleratorSet accelerators = kLiteRtHwAcceleratorCpu;
  std::vector<AcceleratorOptions> accelerator_options = {};
  // Kernels of operators that the library does not have; each of one compiled model alone.
  std::vector<std::shared_ptr<CustomKernel>> custom_kernels = {};
  // Whether the environment has external delegates, which come before XNNPACK.
  bool has_delegates = false;
  int num_threads = 1;
  bool use_xnnpack = true;
  bool enable_profiling = false;
  // XNNPACK's flags; they replace the library's own choice (QS8 and QU8), which 0 leaves alone.
  uint32_t xnnpack_flags = 0;
  // Where XNNPACK keeps packed weights: nowhere (once a signature in anonymous memory), in a file
  // that it writes at this path, or in the finished file behind this descriptor, which the library
  // closes. kSharedMemoryWeights packs once, without a file.
  std::string weight_cache_path = {};
  int weight_cache_descriptor = -1;
  // Keys of the signatures to compile; all where it is empty, and with releases before 2.2.0, which
  // know no choice. Others cannot be bound then.
  std::vector<std::string> selected_signatures = {};
  // Whether to prepare all signatures at once, as the test of whether they can run; else each is
  // prepared, and tested, when it is first bound.
  bool prepares_all = true;
};

inline constexpr char kSharedMemoryWeights[] = ":memory";

using Shape = std::vector<int32_t>;

// The library's compiled model is not thread-safe (two threads get wrong results with status Ok),
// so everything here but cancel() is done while holding mutex(). Runs on several threads wait for
// each other; for parallel runs make several.
class CompiledModel {
 public:
  // Compiles and asks at once whether every signature can run (the layouts query with allocation).
  static std::shared_ptr<CompiledModel> compile(std::shared_ptr<const Model> model,
                                                const CompileOptions& options);

  CompiledModel(std::shared_ptr<const Model> model, const CompileOptions& options,
                CompiledModelHandle handle);
  ~CompiledModel() { close(); }
  CompiledModel(const CompiledModel&) = delete;
  CompiledModel& operator=(const CompiledModel&) = delete;

  [[nodiscard]] std::mutex& mutex() { return mutex_; }
  // Takes the mutex. In a forked child only if it is free: the thread that has it may have stayed
  // behind in the parent.
  [[nodiscard]] std::unique_lock<std::mutex> lock_to_end();
  // To be called before waiting for the mutex. Throws StatusError where this thread has it: inside
  // a custom kernel of this model.
  void refuse_inside_kernel() const;
  // Throws StatusError in a forked child whose parent has the model on an accelerator: it would
  // wait for the threads of the device's library, which stayed behind, for ever.
  void refuse_in_child() const;
  [[nodiscard]] const Model& model() const { return *model_; }
  // Whether this is a forked child, and the model its parent's.
  [[nodiscard]] bool is_of_parent() const { return process_ != ::getpid(); }
  // To compile it once more.
  [[nodiscard]] const std::shared_ptr<const Model>& shared_model() const { return model_; }
  [[nodiscard]] const SignatureSpec& signature(size_t index) const {
    return model_->signatures()[index];
  }

  // Whether an accelerator may run some of it.
  [[nodiscard]] bool is_accelerated() const { return is_accelerated_; }
  // Whether inputs may stay bound between runs; what others compute may need to see them anew.
  [[nodiscard]] bool keeps_inputs() const { return keeps_inputs_; }
  // What the library said while it compiled for an accelerator, which no call tells; lines.
  [[nodiscard]] const std::string& log() const { return log_; }

  // The rest needs the mutex.

  // Throws ClosedError after close().
  [[nodiscard]] LiteRtCompiledModel handle() const;
  // Destroys the library's object; idempotent. In a forked child, which needs no mutex for it, the
  // object is left as it is.
  void close();
  // Keeps `guard`, over the file of packed weights that is mapped, as long as the library's object.
  void keep_guarded(std::unique_ptr<MappingGuard> guard) { guard_ = std::move(guard); }

  // Resizes the inputs of a signature to `shapes` (one for each input slot, no -1) where they
  // differ from those in force, which drops what is bound. Throws StatusError where the graph
  // refuses.
  void apply_shapes(size_t signature, const std::vector<Shape>& shapes);
  // The output shapes in force, as the library tells them.
  [[nodiscard]] std::vector<Shape> output_shapes(size_t signature, bool update_allocation);

  // Whose buffers the library has now. It reads inputs that are passed as NULL from what was bound
  // last, by whomever, so anything that rebinds must say so here.
  [[nodiscard]] const void* bound() const { return bound_.load(std::memory_order_relaxed); }
  void set_bound(const void* run) { bound_.store(run, std::memory_order_relaxed); }
  // Says that `run` is gone. Needs no mutex.
  void forget_bound(const void* run) { bound_.compare_exchange_strong(run, nullptr); }

  // Takes the library's messages, lines separated by '\n'; empty where it has none.
  [[nodiscard]] std::string take_messages();
  // Throws StatusError unless Ok, with what the call `said` and the library's messages; what a
  // custom kernel has thrown, if one has, whatever the status.
  void check_run(LiteRtStatus status, const std::string& what, const std::string& said = {});
  // After close() nobody calls them; to be dropped without the mutex, as they may hold anything.
  [[nodiscard]] std::vector<std::shared_ptr<CustomKernel>> take_custom_kernels();
  // Custom kernels fail without the library noticing, so every run has to be checked.
  [[nodiscard]] bool has_custom_kernels() const { return !custom_kernels_.empty(); }

  // Asks a run under way to stop: graphs with loops stop at their next operator, others only before
  // they have started. Needs no mutex.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  // To be called before each run.
  void clear_cancel() { cancelled_.store(false, std::memory_order_relaxed); }

 private:
  [[nodiscard]] bool must_stop() const;

  std::shared_ptr<const Model> model_;
  std::vector<std::shared_ptr<CustomKernel>> custom_kernels_;  // called until the handle is gone
  OptionsHandle options_;  // with custom kernels: the library points to the names in there
  const pid_t process_ = ::getpid();
  bool is_accelerated_;
  bool keeps_inputs_;
  std::string log_;
  std::mutex mutex_;
  CompiledModelHandle handle_;
  std::unique_ptr<MappingGuard> guard_;     // may be null
  std::vector<std::vector<Shape>> shapes_;  // in force, by signature; empty where unknown
  std::atomic<const void*> bound_ = nullptr;
  std::atomic<bool> cancelled_ = false;
};

}  // namespace litert_native::runtime
