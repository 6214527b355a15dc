// Whether this library keeps inputs bound between runs: no header promises it, so it is tried.
#include <cstdlib>
#include <cstring>
#include <span>
#include <string_view>

#include "litert/runtime/bound_run.h"
#include "litert/runtime/self_check_model.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr size_t kNumValues = 6;
constexpr size_t kSizeBytes = kNumValues * sizeof(float);

struct Tensor {
  std::shared_ptr<TensorMemory> memory;
  TensorBufferHandle buffer;

  explicit Tensor(TensorMemory::Use use) : memory(TensorMemory::allocate(kSizeBytes, use)) {
    LiteRtRankedTensorType type{};
    type.element_type = kLiteRtElementTypeFloat32;
    type.layout.rank = 2;
    type.layout.dimensions[0] = 2;
    type.layout.dimensions[1] = 3;
    LiteRtTensorBuffer raw = nullptr;
    check(library().create_tensor_buffer_from_host_memory(&type, memory->data(), kSizeBytes,
                                                          /*deallocator=*/nullptr, &raw),
          "bind memory");
    buffer = TensorBufferHandle(raw);
  }

  void fill(float value) const {
    for (size_t i = 0; i < kNumValues; ++i) {
      std::memcpy(memory->data() + i * sizeof(float), &value, sizeof(float));
    }
  }
  [[nodiscard]] float first() const {
    float value = 0;
    std::memcpy(&value, memory->data(), sizeof(float));
    return value;
  }
};

// A bound run, then a run that leaves the inputs as they are bound, on changed data.
bool reads_kept_inputs() {
  const std::span<const uint8_t> bytes(kSelfCheckModel);
  const std::shared_ptr<CompiledModel> compiled =
      CompiledModel::compile(Model::load(FileMapping::borrow(std::as_bytes(bytes), nullptr)),
                             {.num_threads = 1, .use_xnnpack = false});
  const Tensor x(TensorMemory::Use::kInput);
  const Tensor y(TensorMemory::Use::kInput);
  const Tensor difference(TensorMemory::Use::kOutput);
  LiteRtTensorBuffer bound[] = {x.buffer.get(), y.buffer.get()};
  LiteRtTensorBuffer kept[] = {nullptr, nullptr};
  LiteRtTensorBuffer outputs[] = {difference.buffer.get()};
  const auto run_gives = [&](LiteRtTensorBuffer* inputs, float expected) {
    return library().run_compiled_model(compiled->handle(), 0, 2, inputs, 1, outputs) ==
               kLiteRtStatusOk &&
           difference.first() == expected;
  };
  x.fill(1.0F);
  y.fill(2.0F);
  if (!run_gives(bound, -1.0F)) {
    return false;
  }
  x.fill(10.0F);
  y.fill(30.0F);
  return run_gives(kept, -20.0F);
}

}  // namespace

bool keeps_inputs_bound() {
  static const bool keeps = [] {
    const char* const value = std::getenv("LITERT_KEEP_INPUTS");
    if (value != nullptr && std::string_view(value) == "0") {
      return false;
    }
    try {
      return reads_kept_inputs();
    } catch (const StatusError&) {
      return false;
    }
  }();
  return keeps;
}

}  // namespace litert_native::runtime
