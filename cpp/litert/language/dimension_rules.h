// Which dimensions of an operator's operands and results are one and the same.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "litert/language/graph_reader.h"

namespace litert_native::language {

// A dimension of a tensor of PlacedGraphs.
using Dimension = uint32_t;

inline constexpr Dimension dimension(uint32_t tensor, size_t dim) {
  return tensor * static_cast<uint32_t>(kMaxRank) + static_cast<uint32_t>(dim);
}

// What is known of one operator. Anything not said here is unknown: a dimension that is not in
// `known` may be computed in whatever way.
struct DimensionRules {
  // Dimensions that have one size in every graph of this shape, and whose index i means the same:
  // what the operator computes at i depends on i alone, or on sums over `summed`.
  std::vector<std::pair<Dimension, Dimension>> same;
  // Contracted by a matrix product.
  std::vector<Dimension> summed;
  // By slot of the operator, a bit for each dimension in `same` or `summed`.
  std::vector<uint8_t> known;
};

// Fills `rules`, whose memory is reused. Only dimensions of size `length` are considered.
void find_rules(const PlacedGraphs& graphs, const PlacedOperator& op, int32_t length,
                DimensionRules& rules);

// The slot whose int32 values are the sizes of the result's dimensions (-1: whatever is left); -1
// where an operator of this code has none.
[[nodiscard]] int shape_slot(int32_t code);

// Whether the operator gives its operands to a subgraph whose rules are known to be its own.
[[nodiscard]] bool is_attention(const PlacedOperator& op);

}  // namespace litert_native::language
