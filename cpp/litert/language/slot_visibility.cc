#include "litert/language/slot_visibility.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <optional>

namespace litert_native::language {
namespace {

// Masks hold -1e9, -0.7 times the greatest float or, in float16, -45824; scores are far from it.
constexpr float kMaskedValue = -1e4F;

// The value of a float32 constant with one element.
std::optional<float> scalar(const PlacedGraphs& graphs, uint32_t tensor) {
  if (tensor == kNoTensor || graphs.tensors[tensor].type != tensor_type::kFloat32) {
    return std::nullopt;
  }
  const std::span<const std::byte> bytes = graphs.constant(tensor);
  if (bytes.size() != sizeof(float)) {
    return std::nullopt;
  }
  float value = 0;
  std::memcpy(&value, bytes.data(), sizeof(value));
  return value;
}

// What all operands have in common.
Slots common(std::span<const Slots> operands) {
  return std::all_of(operands.begin(), operands.end(),
                     [&](Slots slots) { return slots == operands.front(); })
             ? operands.front()
             : Slots::kVisible;
}

bool is_last_dimension(const PlacedTensor& tensor, uint8_t marks) {
  return tensor.rank() > 0 && marks == 1u << (tensor.rank() - 1);
}

bool any(std::span<const Slots> operands, Slots state) {
  return std::find(operands.begin(), operands.end(), state) != operands.end();
}

// SELECT_V2(condition, chosen, otherwise).
Slots selected(const PlacedGraphs& graphs, const PlacedOperator& op,
               std::span<const Slots> operands, std::span<const uint8_t> marks) {
  if (operands.size() != 3) {
    return Slots::kVisible;
  }
  const std::optional<float> otherwise = scalar(graphs, op.slot(2));
  const bool hides = otherwise && *otherwise <= kMaskedValue;
  if (marks[0] != 0) {
    return operands[0] == Slots::kMasked && hides ? Slots::kMasked : Slots::kVisible;
  }
  // NaN marks a position that no caller may ask for.
  const bool is_hidden = operands[2] == Slots::kMasked || (otherwise && std::isnan(*otherwise));
  return operands[1] == Slots::kMasked && (is_hidden || hides) ? Slots::kMasked : Slots::kVisible;
}

}  // namespace

Slots SlotRules::result_of(const PlacedOperator& op, std::span<const Slots> operands,
                           std::span<const uint8_t> marks) {
  using namespace operator_code;
  const PlacedTensor& first = graphs_.tensors[op.slot(0)];
  switch (op.code) {
    case kReshape:
    case kTranspose:
    case kBroadcastTo:
    case kSlice:
      return operands[0];
    case kConcatenation:
      return graphs_.option<uint8_t>(op, 1, 0) == 0 ? common(operands) : Slots::kVisible;
    case kGather:
    case kGatherNd:
      return is_last_dimension(first, marks[0]) && is_causal(op.slot(0)) ? Slots::kMasked
                                                                         : Slots::kVisible;
    case kAdd: {
      const bool is_float =
          first.type == tensor_type::kFloat32 || first.type == tensor_type::kFloat16;
      const bool is_activated = graphs_.option<uint8_t>(op, 0, 0) != 0;
      return is_float && !is_activated && any(operands, Slots::kMasked) ? Slots::kMasked
                                                                        : Slots::kVisible;
    }
    case kLogicalAnd:
      return any(operands, Slots::kMasked) ? Slots::kMasked : Slots::kVisible;
    case kSelectV2:
      return selected(graphs_, op, operands, marks);
    case kSoftmax: {
      const bool is_plain = graphs_.option<float>(op, 0, 0) == 1.0F;
      return is_plain && is_last_dimension(first, marks[0]) && operands[0] == Slots::kMasked
                 ? Slots::kZero
                 : Slots::kVisible;
    }
    case kMul:
      return any(operands, Slots::kZero) ? Slots::kZero : Slots::kVisible;
    case kCast:
      return operands[0] == Slots::kZero ? Slots::kZero : Slots::kVisible;
    default:
      return Slots::kVisible;
  }
}

bool SlotRules::is_causal(uint32_t tensor) {
  const auto [found, is_new] = causal_tables_.try_emplace(graphs_.tensors[tensor].buffer, false);
  if (is_new) {
    found->second = is_causal_table(graphs_, tensor);
  }
  return found->second;
}

bool is_causal_table(const PlacedGraphs& graphs, uint32_t tensor) {
  const PlacedTensor& table = graphs.tensors[tensor];
  const std::span<const std::byte> bytes = graphs.constant(tensor);
  if (table.type != tensor_type::kFloat32 || table.rank() < 2 || table.dim(0) < 1 ||
      table.dim(table.rank() - 1) < 1) {
    return false;
  }
  const size_t num_rows = static_cast<size_t>(table.dim(0));
  const size_t length = static_cast<size_t>(table.dim(table.rank() - 1));
  if (bytes.size() % sizeof(float) != 0 || bytes.size() / sizeof(float) / length != num_rows ||
      bytes.size() / sizeof(float) % length != 0) {
    return false;
  }
  std::vector<float> row(length);
  for (size_t i = 0; i + 1 < length && i < num_rows; ++i) {
    std::memcpy(row.data(), bytes.data() + i * length * sizeof(float), length * sizeof(float));
    // Without a branch per element, so that it becomes vectors.
    bool is_hidden = true;
    for (size_t j = i + 1; j < length; ++j) {
      is_hidden &= row[j] <= kMaskedValue;
    }
    if (!is_hidden) {
      return false;
    }
  }
  return true;
}

}  // namespace litert_native::language
