// Kernels of custom operators that the library does not have.
//
// The library ignores whatever a kernel answers: a failed one leaves a run that says Ok. So a
// failure is kept here, asked for after every run, and ends the run under way by its cancellation.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <span>
#include <string>

#include "litert/c/litert_custom_op_kernel.h"
#include "litert/c/litert_layout.h"
#include "litert/c/litert_options.h"
#include "litert/c/litert_tensor_buffer.h"

namespace litert_native::runtime {

// What computes one kind of custom operator in one compiled model, which keeps it alive. Called in
// the thread that runs the model, for every node of that kind. What the functions throw ends the
// run and comes out of it.
class CustomKernel {
 public:
  explicit CustomKernel(std::string name) : name_(std::move(name)) {}
  virtual ~CustomKernel() = default;
  CustomKernel(const CustomKernel&) = delete;
  CustomKernel& operator=(const CustomKernel&) = delete;

  // The operator's name in the file.
  [[nodiscard]] const std::string& name() const { return name_; }

  // Makes models that are compiled with `options` use it.
  void add_to(LiteRtOptions options);

  [[nodiscard]] bool has_failed() const { return has_failed_.load(std::memory_order_acquire); }
  // Returns what the kernel has thrown first since the last call; null if it has not.
  [[nodiscard]] std::exception_ptr take_failure();

  // Says whose kernel this is: any address.
  void belong_to(const void* owner) { owner_ = owner; }
  // Whether this thread is inside a kernel of `owner`.
  [[nodiscard]] static bool is_inside(const void* owner);

 protected:
  // Once a node; `options` is what the file stores for it. Must not wait for a thread that forks.
  virtual void init(std::span<const std::byte> options) = 0;
  // Sets rank and dimensions of the outputs from those of the inputs.
  virtual void set_output_layouts(std::span<const LiteRtLayout> inputs,
                                  std::span<LiteRtLayout> outputs) = 0;
  virtual void run(std::span<const LiteRtTensorBuffer> inputs,
                   std::span<LiteRtTensorBuffer> outputs) = 0;
  // Once a node, when the compiled model goes.
  virtual void destroy() = 0;

 private:
  // Throws StatusError unless the library can take them: it does not look.
  void check_layouts(std::span<const LiteRtLayout> outputs) const;
  template <typename Work>
  static LiteRtStatus guarded(void* self, Work work) noexcept;

  std::string name_;
  const void* owner_ = nullptr;
  std::atomic<bool> has_failed_ = false;
  std::mutex mutex_;
  std::exception_ptr failure_;  // the first one; guarded by mutex_
};

}  // namespace litert_native::runtime
