// The graphs of a .tflite file with the places where their numbers stand, so that they can be
// changed without writing the file anew. runtime/model_file.h reads the same graphs without places.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "litert/runtime/flatbuffer.h"

namespace litert_native::language {

// BuiltinOperator numbers of the TFLite schema.
namespace operator_code {
inline constexpr int32_t kAdd = 0, kConcatenation = 2, kDequantize = 6, kLogistic = 14, kMul = 18,
                         kReshape = 22, kSoftmax = 25, kTanh = 28, kCall = 31, kGather = 36,
                         kTranspose = 39, kSub = 41, kDiv = 42, kExp = 47, kCast = 53,
                         kMaximum = 55, kMinimum = 57, kLess = 58, kNeg = 59, kGreater = 61,
                         kGreaterEqual = 62, kLessEqual = 63, kSlice = 65, kEqual = 71,
                         kNotEqual = 72, kLogicalOr = 84, kLogicalAnd = 86, kLogicalNot = 87,
                         kGatherNd = 107, kQuantize = 114, kIf = 118, kWhile = 119, kSelectV2 = 123,
                         kBatchMatmul = 126, kCallOnce = 129, kBroadcastTo = 130,
                         kDynamicUpdateSlice = 151, kStablehloWhile = 200, kComposite = 206,
                         kStablehloCase = 209;
}  // namespace operator_code

// TensorType numbers of the TFLite schema.
namespace tensor_type {
inline constexpr int8_t kFloat32 = 0, kFloat16 = 1, kInt32 = 2;
}

inline constexpr size_t kMaxRank = 8;
inline constexpr uint32_t kNoTensor = UINT32_MAX;
inline constexpr uint32_t kNoSubgraph = UINT32_MAX;

using Int32Vector = runtime::flatbuffer::Vector<int32_t>;

struct PlacedTensor {
  Int32Vector shape;
  Int32Vector signature;  // of the shape; empty where the file has none
  uint32_t buffer = 0;
  int8_t type = 0;
  // Its shape is bound to more than its data: variables, sparse tensors, scales along a dimension.
  bool is_rigid = false;

  [[nodiscard]] size_t rank() const { return shape.size(); }
  [[nodiscard]] int32_t dim(size_t index) const { return shape[index]; }
};

struct PlacedBuffer {
  size_t data = 0;  // where it starts in the file
  size_t size = 0;  // 0 where there is no data
  size_t size_position = 0;
  bool is_size_64_bits = false;  // else 32
};

struct PlacedOperator {
  int32_t code = 0;
  uint32_t decomposition = kNoSubgraph;  // of a composite
  std::string_view composite_name;
  size_t position = 0;
  uint32_t first_tensor = 0;  // of its subgraph
  Int32Vector inputs;         // indices in the subgraph, -1 where one is left out
  Int32Vector outputs;

  [[nodiscard]] size_t num_slots() const { return inputs.size() + outputs.size(); }
  // Inputs first, then outputs, as indices into PlacedGraphs::tensors; kNoTensor where left out.
  [[nodiscard]] uint32_t slot(size_t index) const;
};

struct PlacedSubgraph {
  uint32_t first_tensor = 0;
  uint32_t num_tensors = 0;
  size_t first_operator = 0;
  size_t num_operators = 0;
  Int32Vector inputs;  // indices in the subgraph
  Int32Vector outputs;

  [[nodiscard]] uint32_t input(size_t index) const {
    return first_tensor + static_cast<uint32_t>(inputs[index]);
  }
  [[nodiscard]] uint32_t output(size_t index) const {
    return first_tensor + static_cast<uint32_t>(outputs[index]);
  }
};

struct PlacedSignature {
  std::string_view key;
  uint32_t subgraph = 0;
  std::vector<std::pair<std::string_view, uint32_t>> inputs;  // name, tensor
  std::vector<std::pair<std::string_view, uint32_t>> outputs;
};

// A small int32 constant: a shape, a permutation.
struct SmallConstant {
  std::array<int32_t, kMaxRank> values = {};
  size_t size = 0;
};

// Immutable. Views the file's bytes, which must outlive it.
class PlacedGraphs {
 public:
  // Checks every offset, length and index. Throws StatusError 501.
  explicit PlacedGraphs(std::span<const std::byte> file);
  PlacedGraphs(const PlacedGraphs&) = delete;
  PlacedGraphs& operator=(const PlacedGraphs&) = delete;

  std::vector<PlacedTensor> tensors;  // of all subgraphs, one after the other
  std::vector<PlacedBuffer> buffers;
  std::vector<PlacedOperator> operators;  // likewise
  std::vector<PlacedSubgraph> subgraphs;
  std::vector<PlacedSignature> signatures;

  [[nodiscard]] std::span<const PlacedOperator> operators_of(const PlacedSubgraph& subgraph) const {
    return std::span(operators).subspan(subgraph.first_operator, subgraph.num_operators);
  }
  // The bytes of a constant, empty where `tensor` is none.
  [[nodiscard]] std::span<const std::byte> constant(uint32_t tensor) const;
  // An int32 constant of rank 1 or 0 with at most kMaxRank values.
  [[nodiscard]] std::optional<SmallConstant> small_constant(uint32_t tensor) const;
  // A field of the operator's options, `absent` where the file leaves it out.
  template <typename T>
  [[nodiscard]] T option(const PlacedOperator& op, size_t field, T absent) const;

 private:
  class Reader;

  runtime::flatbuffer::Buffer file_;
};

}  // namespace litert_native::language
