#include "litert/runtime/custom_kernel.h"

#include <algorithm>
#include <utility>

#include "litert/runtime/fork_guard.h"
#include "litert/runtime/library.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

// The kernels that this thread is inside of: one may run a model that has its own.
struct ActiveKernel {
  const void* owner;
  const ActiveKernel* outer;
};

thread_local const ActiveKernel* innermost = nullptr;

// Enters a kernel, and leaves it.
class Entered {
 public:
  explicit Entered(const void* owner) : active_{owner, innermost} { innermost = &active_; }
  ~Entered() { innermost = active_.outer; }
  Entered(const Entered&) = delete;
  Entered& operator=(const Entered&) = delete;

 private:
  ActiveKernel active_;
};

}  // namespace

// No exception may pass through the library, whose frames do not know them.
template <typename Work>
LiteRtStatus CustomKernel::guarded(void* self, Work work) noexcept {
  CustomKernel& kernel = *static_cast<CustomKernel*>(self);
  try {
    const Entered entered(kernel.owner_);
    work(kernel);
    return kLiteRtStatusOk;
  } catch (...) {
    const std::lock_guard lock(kernel.mutex_);
    if (kernel.failure_ == nullptr) {
      kernel.failure_ = std::current_exception();
    }
    kernel.has_failed_.store(true, std::memory_order_release);
    return kLiteRtStatusErrorRuntimeFailure;
  }
}

void CustomKernel::check_layouts(std::span<const LiteRtLayout> outputs) const {
  constexpr int kRuntimeFailure = 3;
  const auto is_sound = [](const LiteRtLayout& layout) {
    return layout.rank <= LITERT_TENSOR_MAX_RANK && !layout.has_strides &&
           std::all_of(layout.dimensions, layout.dimensions + layout.rank,
                       [](int32_t dimension) { return dimension >= 0; });
  };
  if (!std::all_of(outputs.begin(), outputs.end(), is_sound)) {
    throw StatusError(kRuntimeFailure,
                      "custom operator '" + name_ +
                          "': its kernel gave a layout that is none: expected a rank up to 8, "
                          "dimensions from 0 and no strides");
  }
}

void CustomKernel::add_to(LiteRtOptions options) {
  // All four: the library calls them without a look.
  static constexpr LiteRtCustomOpKernel kFunctions = {
      // No pause here: the library has a lock of its own, which a child would find taken.
      .Init =
          [](void* self, const void* data, size_t size) {
            return guarded(self, [&](CustomKernel& kernel) {
              kernel.init({static_cast<const std::byte*>(data), data == nullptr ? 0 : size});
            });
          },
      .GetOutputLayouts =
          [](void* self, size_t num_inputs, const LiteRtLayout* inputs, size_t num_outputs,
             LiteRtLayout* outputs) {
            const ForkPause pause;  // it may wait for anything, Python's GIL among it
            return guarded(self, [&](CustomKernel& kernel) {
              kernel.set_output_layouts({inputs, num_inputs}, {outputs, num_outputs});
              kernel.check_layouts({outputs, num_outputs});
            });
          },
      .Run =
          [](void* self, size_t num_inputs, const LiteRtTensorBuffer* inputs, size_t num_outputs,
             LiteRtTensorBuffer* outputs) {
            const ForkPause pause;
            return guarded(self, [&](CustomKernel& kernel) {
              // Of a run that has failed already, the rest is not computed.
              if (!kernel.has_failed()) {
                kernel.run({inputs, num_inputs}, {outputs, num_outputs});
              }
            });
          },
      .Destroy =
          [](void* self) {
            // Not kept: nobody asks any more, but the next run of another model with this kernel.
            try {
              static_cast<CustomKernel*>(self)->destroy();
              return kLiteRtStatusOk;
            } catch (...) {
              return kLiteRtStatusErrorRuntimeFailure;
            }
          },
  };
  // The version is not looked at by the library.
  check(library().add_custom_op_kernel(options, name_.c_str(), /*op_version=*/1, &kFunctions, this),
        "add the kernel of the custom operator '" + name_ + "'");
}

std::exception_ptr CustomKernel::take_failure() {
  const std::lock_guard lock(mutex_);
  has_failed_.store(false, std::memory_order_release);
  return std::exchange(failure_, nullptr);
}

bool CustomKernel::is_inside(const void* owner) {
  for (const ActiveKernel* active = innermost; active != nullptr; active = active->outer) {
    if (active->owner == owner) {
      return true;
    }
  }
  return false;
}

}  // namespace litert_native::runtime
