#include "litert/runtime/bound_run.h"

#include <algorithm>
#include <string>
#include <utility>

#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"

namespace litert_native::runtime {
namespace {

constexpr int kUnsupported = 5;

LiteRtRankedTensorType tensor_type(const Slot& slot, const Shape& shape) {
  LiteRtRankedTensorType type{};
  type.element_type = slot.element_type;
  type.layout.rank = static_cast<unsigned>(shape.size()) & 0x7FU;
  std::copy(shape.begin(), shape.end(), type.layout.dimensions);
  return type;
}

}  // namespace

BoundRun::BoundRun(std::shared_ptr<CompiledModel> compiled, size_t signature,
                   std::vector<Shape> input_shapes)
    : compiled_(std::move(compiled)),
      api_(library()),
      signature_(signature),
      input_shapes_(std::move(input_shapes)) {
  const SignatureSpec& spec = this->signature();
  compiled_->apply_shapes(signature_, input_shapes_);
  output_shapes_ = compiled_->output_shapes(signature_, /*update_allocation=*/false);
  const auto allocate = [](const Slot& slot, const Shape& shape, TensorMemory::Use use) {
    const size_t size_bytes = size_bytes_of(slot.element_type, shape);
    if (size_bytes == 0) {
      throw StatusError(kUnsupported, "zero-size tensors cannot be bound");
    }
    return bind(slot, shape, TensorMemory::allocate(size_bytes, use));
  };
  bool has_alias = false;
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    inputs_.push_back(allocate(spec.inputs[i], input_shapes_[i], TensorMemory::Use::kInput));
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    const bool is_alias = spec.outputs[i].input_alias >= 0;
    has_alias |= is_alias;
    outputs_.push_back(
        is_alias ? Binding{}
                 : allocate(spec.outputs[i], output_shapes_[i], TensorMemory::Use::kOutput));
  }
  may_keep_inputs_ = !has_alias && keeps_inputs_bound();
  collect_buffers();
}

BoundRun::~BoundRun() {
  const std::lock_guard lock(compiled_->mutex());
  if (compiled_->bound() == this) {
    compiled_->set_bound(nullptr);
  }
}

void BoundRun::run() {
  if (compiled_->bound() != this) {
    compiled_->apply_shapes(signature_, input_shapes_);
  }
  compiled_->clear_cancel();
  const bool keep = may_keep_inputs_ && compiled_->bound() == this;
  LiteRtCompiledModel const handle = compiled_->handle();
  const LiteRtStatus status = without_exceptions([&] {
    return api_.run_compiled_model(handle, signature_, input_buffers_.size(),
                                   keep ? kept_inputs_.data() : input_buffers_.data(),
                                   output_buffers_.size(), output_buffers_.data());
  });
  compiled_->set_bound(status == kLiteRtStatusOk ? this : nullptr);
  if (status != kLiteRtStatusOk) {
    compiled_->check_run(status, "run the model");
  }
  if (!is_checked_) {
    check_first_run();
  }
}

// A second net under check_graph: an output that turns out to have another shape than was told was
// not written where we look, or written past its end.
void BoundRun::check_first_run() {
  const bool is_intact = std::all_of(outputs_.begin(), outputs_.end(), [](const Binding& output) {
    return output.memory == nullptr || output.memory->is_intact();
  });
  if (!is_intact ||
      compiled_->output_shapes(signature_, /*update_allocation=*/false) != output_shapes_) {
    compiled_->set_bound(nullptr);
    throw StatusError(kUnsupported,
                      "an output has another shape than the library told before the run; open the "
                      "model with backend='reference'");
  }
  is_checked_ = true;
}

void BoundRun::bind_input(size_t slot, std::shared_ptr<TensorMemory> memory) {
  inputs_[slot] = bind(signature().inputs[slot], input_shapes_[slot], std::move(memory));
  if (compiled_->bound() == this) {
    compiled_->set_bound(nullptr);
  }
  collect_buffers();
}

const std::shared_ptr<TensorMemory>& BoundRun::output_memory(size_t slot) const {
  const int alias = signature().outputs[slot].input_alias;
  return alias >= 0 ? inputs_[static_cast<size_t>(alias)].memory : outputs_[slot].memory;
}

BoundRun::Binding BoundRun::bind(const Slot& slot, const Shape& shape,
                                 std::shared_ptr<TensorMemory> memory) {
  const LiteRtRankedTensorType type = tensor_type(slot, shape);
  LiteRtTensorBuffer raw = nullptr;
  // Exactly the tensor's bytes: of a constant output the library copies as many as we say.
  check(library().create_tensor_buffer_from_host_memory(&type, memory->data(), memory->size_bytes(),
                                                        /*deallocator=*/nullptr, &raw),
        "bind memory");
  return {std::move(memory), TensorBufferHandle(raw)};
}

void BoundRun::collect_buffers() {
  input_buffers_.clear();
  output_buffers_.clear();
  for (const Binding& input : inputs_) {
    input_buffers_.push_back(input.buffer.get());
  }
  kept_inputs_.assign(inputs_.size(), nullptr);
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const int alias = signature().outputs[i].input_alias;
    // The library lets an output's buffer replace the input's, so both must be one and the same.
    output_buffers_.push_back(alias >= 0 ? input_buffers_[static_cast<size_t>(alias)]
                                         : outputs_[i].buffer.get());
  }
}

}  // namespace litert_native::runtime
