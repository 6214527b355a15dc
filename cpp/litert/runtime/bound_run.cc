#include "litert/runtime/bound_run.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "litert/runtime/element_type.h"
#include "litert/runtime/fork_guard.h"
#include "litert/runtime/status.h"
#include "litert/runtime/stderr_capture.h"

namespace litert_native::runtime {
namespace {

constexpr int kInvalidArgument = 1;
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
                   std::vector<Shape> input_shapes, GivenMemory given)
    : compiled_(std::move(compiled)),
      api_(library()),
      signature_(signature),
      input_shapes_(std::move(input_shapes)) {
  compiled_->refuse_in_child();
  compiled_->apply_shapes(signature_, input_shapes_);
  output_shapes_ = compiled_->output_shapes(signature_, /*update_allocation=*/false);
  bind_all(std::move(given));
  const std::vector<Slot>& outputs = this->signature().outputs;
  may_keep_inputs_ = keeps_inputs_bound() && compiled_->keeps_inputs() &&
                     std::none_of(outputs.begin(), outputs.end(),
                                  [](const Slot& output) { return output.input_alias >= 0; });
  collect_buffers();
}

void BoundRun::bind_all(GivenMemory given) {
  const SignatureSpec& spec = signature();
  given.inputs.resize(spec.inputs.size());
  given.outputs.resize(spec.outputs.size());
  const auto bind_slot = [](const Slot& slot, const Shape& shape, TensorMemory::Use use,
                            std::shared_ptr<TensorMemory> memory) {
    const size_t size_bytes = size_bytes_of(slot.element_type, shape);
    if (size_bytes == 0) {
      throw StatusError(kUnsupported, "zero-size tensors cannot be bound");
    }
    if (memory == nullptr) {
      memory = TensorMemory::allocate(size_bytes, use);
    } else if (memory->size_bytes() != size_bytes) {
      throw StatusError(kInvalidArgument,
                        "a tensor of " + std::to_string(size_bytes) + " bytes was given " +
                            std::to_string(memory->size_bytes()) + " bytes of memory");
    }
    return bind(slot, shape, std::move(memory));
  };
  for (size_t i = 0; i < spec.inputs.size(); ++i) {
    inputs_.push_back(bind_slot(spec.inputs[i], input_shapes_[i], TensorMemory::Use::kInput,
                                std::move(given.inputs[i])));
  }
  for (size_t i = 0; i < spec.outputs.size(); ++i) {
    int input = spec.outputs[i].input_alias;
    if (given.outputs[i] != nullptr) {
      const auto same = std::find_if(inputs_.begin(), inputs_.end(), [&](const Binding& bound) {
        return bound.memory == given.outputs[i];
      });
      input = same == inputs_.end() ? input : static_cast<int>(same - inputs_.begin());
    }
    output_inputs_.push_back(input);
    outputs_.push_back(input >= 0
                           ? Binding{}
                           : bind_slot(spec.outputs[i], output_shapes_[i],
                                       TensorMemory::Use::kOutput, std::move(given.outputs[i])));
  }
}

// Does not wait for another run of the model: Python may drop one in a thread that has nothing to
// do with it, perhaps the one that is to cancel that run.
BoundRun::~BoundRun() { compiled_->forget_bound(this); }

void BoundRun::run() {
  if (compiled_->bound() != this) {
    compiled_->refuse_in_child();
    compiled_->apply_shapes(signature_, input_shapes_);
    if (compiled_->is_accelerated()) {  // asked here, where it costs the CPU's runs nothing
      run_on_accelerator();
      return;
    }
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
    check_outputs();
  }
}

// A device's library prints what goes wrong, also in runs that end Ok. Delegates copy from what
// they are given in the call, so nothing stays bound.
void BoundRun::run_on_accelerator() {
  compiled_->clear_cancel();
  compiled_->set_bound(nullptr);
  LiteRtCompiledModel const handle = compiled_->handle();
  std::optional<ForkGuard> guard;
  std::optional<StderrCapture> capture;
  if (!compiled_->has_custom_kernels()) {  // a kernel may wait for what the forking thread has
    guard.emplace();
    capture.emplace();
  }
  const LiteRtStatus status = without_exceptions([&] {
    return api_.run_compiled_model(handle, signature_, input_buffers_.size(), input_buffers_.data(),
                                   output_buffers_.size(), output_buffers_.data());
  });
  if (status != kLiteRtStatusOk) {
    compiled_->check_run(status, "run the model", capture ? capture->text() : std::string());
  }
  if (!is_checked_) {
    check_outputs();
  }
}

// After the first run, and after each one with custom kernels, whose failures the library ignores.
// Also a second net under check_graph: an output that turns out to have another shape than was told
// was not written where we look, or written past its end.
void BoundRun::check_outputs() {
  compiled_->check_run(kLiteRtStatusOk, "run the model");
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
  is_checked_ = !compiled_->has_custom_kernels();
}

void BoundRun::bind_input(size_t slot, std::shared_ptr<TensorMemory> memory) {
  inputs_[slot] = bind(signature().inputs[slot], input_shapes_[slot], std::move(memory));
  if (compiled_->bound() == this) {
    compiled_->set_bound(nullptr);
  }
  collect_buffers();
}

const std::shared_ptr<TensorMemory>& BoundRun::output_memory(size_t slot) const {
  const int input = output_inputs_[slot];
  return input >= 0 ? inputs_[static_cast<size_t>(input)].memory : outputs_[slot].memory;
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
    const int input = output_inputs_[i];
    // The library lets an output's buffer replace the input's, so both must be one and the same.
    output_buffers_.push_back(input >= 0 ? input_buffers_[static_cast<size_t>(input)]
                                         : outputs_[i].buffer.get());
  }
}

}  // namespace litert_native::runtime
