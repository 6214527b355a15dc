// A loaded model: its bytes, the library's object, and its signatures as the C API orders them.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "litert/runtime/environment.h"
#include "litert/runtime/file_mapping.h"
#include "litert/runtime/graph_check.h"
#include "litert/runtime/handle.h"
#include "litert/runtime/model_file.h"

namespace litert_native::runtime {

// How the values of a slot are quantized; no scales where they are not, or in another way.
struct SlotQuantization {
  std::vector<float> scales;
  std::vector<int64_t> zero_points;
  int32_t quantized_dimension = 0;
};

// One entry of the C API's input or output list of a signature.
struct Slot {
  uint32_t tensor = 0;  // index in the subgraph
  LiteRtElementType element_type = kLiteRtElementTypeNone;
  std::vector<int32_t> shape;      // as the file stores it
  std::vector<int32_t> signature;  // -1 where a dimension is open
  SlotQuantization quantization;
  int input_alias = -1;  // of an output that is also an input: that input's slot
};

// A name that users see, and the slot that holds its data. Two names may share one slot.
struct NamedSlot {
  std::string name;
  size_t slot = 0;
};

struct SignatureSpec {
  std::string key;
  std::vector<Slot> inputs;
  std::vector<Slot> outputs;
  std::vector<NamedSlot> input_names;
  std::vector<NamedSlot> output_names;
};

// Immutable. Keeps of the file what its signatures say; a graph can have many thousand tensors.
class Model {
 public:
  // What is compiled from it runs on the accelerators of `environment`. Throws StatusError: 501 for
  // damaged bytes, 5 with the reason for a valid model that the compiled model cannot run rightly.
  static std::shared_ptr<const Model> load(
      std::shared_ptr<const FileMapping> mapping,
      std::shared_ptr<const Environment> environment = Environment::cpu());

  Model(std::shared_ptr<const FileMapping> mapping, std::shared_ptr<const Environment> environment,
        ModelHandle handle, const ModelFile& file, GraphFacts facts);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  [[nodiscard]] LiteRtModel handle() const { return handle_.get(); }
  [[nodiscard]] const Environment& environment() const { return *environment_; }
  [[nodiscard]] const std::vector<SignatureSpec>& signatures() const { return signatures_; }
  [[nodiscard]] const GraphFacts& facts() const { return facts_; }
  [[nodiscard]] const FileMapping& mapping() const { return *mapping_; }

 private:
  [[nodiscard]] SignatureSpec read_signature(const ModelFile& file, size_t index) const;

  std::shared_ptr<const FileMapping> mapping_;
  std::shared_ptr<const Environment> environment_;
  ModelHandle handle_;
  GraphFacts facts_;
  std::vector<SignatureSpec> signatures_;
};

}  // namespace litert_native::runtime
