#include "litert/language/dimension_rules.h"

#include <algorithm>
#include <optional>

namespace litert_native::language {
namespace {

bool is_elementwise(int32_t code) {
  using namespace operator_code;
  switch (code) {
    case kAdd:
    case kSub:
    case kMul:
    case kDiv:
    case kMaximum:
    case kMinimum:
    case kDequantize:
    case kQuantize:
    case kCast:
    case kExp:
    case kNeg:
    case kTanh:
    case kLogistic:
    case kLess:
    case kLessEqual:
    case kGreater:
    case kGreaterEqual:
    case kEqual:
    case kNotEqual:
    case kLogicalAnd:
    case kLogicalOr:
    case kLogicalNot:
    case kSelectV2:
      return true;
    default:
      return false;
  }
}

class RuleFinder {
 public:
  RuleFinder(const PlacedGraphs& graphs, const PlacedOperator& op, int32_t length,
             DimensionRules& rules)
      : graphs_(graphs), op_(op), length_(length), rules_(rules), result_(op.inputs.size()) {
    rules_.same.clear();
    rules_.summed.clear();
    rules_.known.assign(op.num_slots(), 0);
  }

  void find() {
    using namespace operator_code;
    if (op_.code == kComposite) {
      if (is_attention(op_)) {
        composite();
      }
      return;
    }
    if (op_.outputs.size() != 1 || op_.inputs.size() == 0 || !tensor(0) || !tensor(result_)) {
      return;
    }
    if (is_elementwise(op_.code)) {
      broadcast();
      return;
    }
    switch (op_.code) {
      case kSoftmax:
      case kDynamicUpdateSlice:  // the update is a part: its dimensions are its own
        whole(0);
        break;
      case kBroadcastTo:
        broadcast_operand(0);
        break;
      case kConcatenation:
        concatenation();
        break;
      case kReshape:
        reshape();
        break;
      case kTranspose:
        transpose();
        break;
      case kSlice:
        slice();
        break;
      case kGather:
        gather();
        break;
      case kGatherNd:
        gather_nd();
        break;
      case kBatchMatmul:
        batch_matmul();
        break;
      default:
        break;
    }
  }

 private:
  // Null where the slot is left out or does not exist.
  [[nodiscard]] const PlacedTensor* tensor(size_t slot) const {
    const uint32_t index = slot < op_.num_slots() ? op_.slot(slot) : kNoTensor;
    return index == kNoTensor || graphs_.tensors[index].rank() > kMaxRank ? nullptr
                                                                          : &graphs_.tensors[index];
  }
  [[nodiscard]] size_t rank(size_t slot) const { return tensor(slot)->rank(); }
  [[nodiscard]] int32_t size(size_t slot, size_t dim) const { return tensor(slot)->dim(dim); }

  void know(size_t slot, size_t dim) {
    rules_.known[slot] = static_cast<uint8_t>(rules_.known[slot] | 1u << dim);
  }

  void same(size_t slot, size_t dim, size_t other_slot, size_t other_dim) {
    if (size(slot, dim) == length_ && size(other_slot, other_dim) == length_) {
      rules_.same.emplace_back(dimension(op_.slot(slot), dim),
                               dimension(op_.slot(other_slot), other_dim));
      know(slot, dim);
      know(other_slot, other_dim);
    }
  }

  void whole(size_t slot) {
    if (rank(slot) == rank(result_)) {
      for (size_t i = 0; i < rank(slot); ++i) {
        same(slot, i, result_, i);
      }
    }
  }

  // Dimensions count from the last; one of size 1 is repeated and so has no index of its own.
  void broadcast_operand(size_t slot, size_t num_inner = 0) {
    const PlacedTensor* operand = tensor(slot);
    if (operand == nullptr || operand->rank() > rank(result_)) {
      return;
    }
    const size_t offset = rank(result_) - operand->rank();
    for (size_t i = 0; i + num_inner < operand->rank(); ++i) {
      same(slot, i, result_, i + offset);
    }
  }

  void broadcast() {
    for (size_t slot = 0; slot < result_; ++slot) {
      broadcast_operand(slot);
    }
  }

  void concatenation() {
    int32_t axis = graphs_.option<int32_t>(op_, 0, 0);
    axis += axis < 0 ? static_cast<int32_t>(rank(result_)) : 0;
    for (size_t slot = 0; slot < result_; ++slot) {
      if (tensor(slot) == nullptr || rank(slot) != rank(result_)) {
        continue;
      }
      for (size_t i = 0; i < rank(slot); ++i) {
        if (static_cast<int32_t>(i) != axis) {
          same(slot, i, result_, i);
        }
      }
    }
  }

  // A dimension passes where as many elements stand before it and it has the same size. There is
  // one such pair at most: of the dimensions with one product before them only the last is not 1.
  void reshape() {
    int64_t before = 1;
    for (size_t i = 0; i < rank(0) && before > 0; ++i) {
      int64_t other_before = 1;
      for (size_t j = 0; j < rank(result_) && other_before <= before; ++j) {
        if (before == other_before) {
          same(0, i, result_, j);
        }
        other_before = product(other_before, size(result_, j));
      }
      before = product(before, size(0, i));
    }
  }

  // -1 where it is absurd.
  static int64_t product(int64_t left, int64_t right) {
    return left < 0 || right <= 0 || left > INT64_MAX / right ? -1 : left * right;
  }

  [[nodiscard]] std::optional<SmallConstant> constant(size_t slot) const {
    return slot < op_.inputs.size() ? graphs_.small_constant(op_.slot(slot)) : std::nullopt;
  }

  void transpose() {
    const std::optional<SmallConstant> order = constant(1);
    if (!order || order->size != rank(0) || order->size != rank(result_)) {
      return;
    }
    for (size_t i = 0; i < order->size; ++i) {
      if (order->values[i] >= 0 && static_cast<size_t>(order->values[i]) < rank(0)) {
        same(0, static_cast<size_t>(order->values[i]), result_, i);
      }
    }
  }

  void slice() {
    const std::optional<SmallConstant> begin = constant(1);
    const std::optional<SmallConstant> sizes = constant(2);
    if (!begin || !sizes || begin->size != rank(0) || sizes->size != rank(0) ||
        rank(0) != rank(result_)) {
      return;
    }
    for (size_t i = 0; i < rank(0); ++i) {
      if (begin->values[i] == 0) {
        same(0, i, result_, i);
      }
    }
  }

  void gather() {
    int32_t axis = graphs_.option<int32_t>(op_, 0, 0);
    const bool is_batched = graphs_.option<int32_t>(op_, 1, 0) != 0;
    axis += axis < 0 ? static_cast<int32_t>(rank(0)) : 0;
    if (is_batched || axis < 0 || tensor(1) == nullptr || rank(0) + rank(1) != rank(result_) + 1) {
      return;
    }
    const size_t along = static_cast<size_t>(axis);
    for (size_t i = 0; i < rank(0); ++i) {
      if (i != along) {
        same(0, i, result_, i < along ? i : i + rank(1) - 1);
      }
    }
  }

  // Indices of [..., depth] choose along the first `depth` dimensions; the others pass whole.
  void gather_nd() {
    if (tensor(1) == nullptr || rank(1) == 0) {
      return;
    }
    const int32_t depth = size(1, rank(1) - 1);
    if (depth < 0 || static_cast<size_t>(depth) > rank(0)) {
      return;
    }
    const size_t num_passing = rank(0) - static_cast<size_t>(depth);
    if (rank(result_) != rank(1) - 1 + num_passing) {
      return;
    }
    for (size_t i = 0; i < num_passing; ++i) {
      same(0, static_cast<size_t>(depth) + i, result_, rank(1) - 1 + i);
    }
  }

  void batch_matmul() {
    if (tensor(1) == nullptr || rank(0) < 2 || rank(1) < 2 ||
        rank(result_) != std::max(rank(0), rank(1))) {
      return;
    }
    const size_t left_swaps = graphs_.option<uint8_t>(op_, 0, 0) != 0 ? 1 : 0;
    const size_t right_swaps = graphs_.option<uint8_t>(op_, 1, 0) != 0 ? 1 : 0;
    const size_t left_sum = rank(0) - 1 - left_swaps;
    const size_t right_sum = rank(1) - 2 + right_swaps;
    same(0, rank(0) - 2 + left_swaps, result_, rank(result_) - 2);
    same(1, rank(1) - 1 - right_swaps, result_, rank(result_) - 1);
    broadcast_operand(0, /*num_inner=*/2);
    broadcast_operand(1, /*num_inner=*/2);
    if (size(0, left_sum) == length_ && size(1, right_sum) == length_) {
      same(0, left_sum, 1, right_sum);
      rules_.summed.push_back(dimension(op_.slot(0), left_sum));
    }
  }

  // The operands are the subgraph's inputs, the results its outputs.
  void composite() {
    const PlacedSubgraph& inner = graphs_.subgraphs[op_.decomposition];
    if (inner.inputs.size() != op_.inputs.size() || inner.outputs.size() != op_.outputs.size()) {
      return;
    }
    for (size_t slot = 0; slot < op_.num_slots(); ++slot) {
      const uint32_t inner_index =
          slot < result_ ? inner.input(slot) : inner.output(slot - result_);
      const PlacedTensor& inner_tensor = graphs_.tensors[inner_index];
      if (tensor(slot) == nullptr || inner_tensor.rank() != rank(slot)) {
        continue;
      }
      for (size_t i = 0; i < rank(slot); ++i) {
        if (size(slot, i) == length_ && inner_tensor.dim(i) == length_) {
          rules_.same.emplace_back(dimension(op_.slot(slot), i), dimension(inner_index, i));
          know(slot, i);
        }
      }
    }
  }

  const PlacedGraphs& graphs_;
  const PlacedOperator& op_;
  const int32_t length_;
  DimensionRules& rules_;
  const size_t result_;  // the slot of the first result
};

}  // namespace

int shape_slot(int32_t code) {
  switch (code) {
    case operator_code::kReshape:
    case operator_code::kBroadcastTo:
      return 1;
    case operator_code::kSlice:
      return 2;
    default:
      return -1;
  }
}

bool is_attention(const PlacedOperator& op) {
  return op.code == operator_code::kComposite && op.decomposition != kNoSubgraph &&
         op.composite_name == "odml.scaled_dot_product_attention";
}

void find_rules(const PlacedGraphs& graphs, const PlacedOperator& op, int32_t length,
                DimensionRules& rules) {
  RuleFinder(graphs, op, length, rules).find();
}

}  // namespace litert_native::language
