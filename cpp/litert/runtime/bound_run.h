// One signature of a compiled model at one set of shapes, its tensors bound to memory.
#pragma once

#include <memory>
#include <vector>

#include "litert/runtime/compiled_model.h"
#include "litert/runtime/tensor_memory.h"

namespace litert_native::runtime {

// Memory for the tensors of a run, by slot; where an entry is null or missing the run makes its
// own. An output that is given the memory of an input is written in place.
struct GivenMemory {
  std::vector<std::shared_ptr<TensorMemory>> inputs;
  std::vector<std::shared_ptr<TensorMemory>> outputs;
};

// Everything that a run needs, resolved once: run() is one C call without lookup or allocation.
// One thread at a time, and only while holding compiled().mutex(); destroyed without it.
class BoundRun {
 public:
  // `input_shapes` has one shape without -1 for each input slot. Throws StatusError where the model
  // refuses them, or given memory has another size; the compiled model stays usable.
  BoundRun(std::shared_ptr<CompiledModel> compiled, size_t signature,
           std::vector<Shape> input_shapes, GivenMemory given = {});
  ~BoundRun();
  BoundRun(const BoundRun&) = delete;
  BoundRun& operator=(const BoundRun&) = delete;

  void run();
  // Uses `memory` (64-byte aligned, exactly as many bytes as the tensor) for an input from now on.
  void bind_input(size_t slot, std::shared_ptr<TensorMemory> memory);

  [[nodiscard]] CompiledModel& compiled() const { return *compiled_; }
  [[nodiscard]] const SignatureSpec& signature() const { return compiled_->signature(signature_); }
  [[nodiscard]] const Shape& input_shape(size_t slot) const { return input_shapes_[slot]; }
  [[nodiscard]] const Shape& output_shape(size_t slot) const { return output_shapes_[slot]; }
  [[nodiscard]] const std::shared_ptr<TensorMemory>& input_memory(size_t slot) const {
    return inputs_[slot].memory;
  }
  // Of an output that is also an input, this is the input's.
  [[nodiscard]] const std::shared_ptr<TensorMemory>& output_memory(size_t slot) const;

 private:
  struct Binding {
    std::shared_ptr<TensorMemory> memory;  // outlives the buffer over it
    TensorBufferHandle buffer;
  };

  [[nodiscard]] static Binding bind(const Slot& slot, const Shape& shape,
                                    std::shared_ptr<TensorMemory> memory);
  void bind_all(GivenMemory given);
  void collect_buffers();
  void run_on_accelerator();
  void check_outputs();

  std::shared_ptr<CompiledModel> compiled_;
  const Library& api_;
  size_t signature_;
  std::vector<Shape> input_shapes_;
  std::vector<Shape> output_shapes_;
  std::vector<Binding> inputs_;
  std::vector<Binding> outputs_;    // empty ones for outputs in an input's memory
  std::vector<int> output_inputs_;  // by output: the input slot whose buffer it has, or -1
  std::vector<LiteRtTensorBuffer> input_buffers_;
  std::vector<LiteRtTensorBuffer> kept_inputs_;  // NULL: leave the input as it is bound
  std::vector<LiteRtTensorBuffer> output_buffers_;
  bool may_keep_inputs_;
  bool is_checked_ = false;
};

// Whether inputs may stay bound between runs: not with LITERT_KEEP_INPUTS=0, and not if the library
// in use fails the self-check that runs once.
[[nodiscard]] bool keeps_inputs_bound();

}  // namespace litert_native::runtime
