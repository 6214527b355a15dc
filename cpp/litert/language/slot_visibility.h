// Whether what stands in cache slots beyond the context can reach a result.
//
// A shorter cache gives the same numbers only if the slots that it lacks would have had no effect:
// a mask makes their scores very low, SOFTMAX makes them 0, and the product with V adds 0 for each.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "litert/language/graph_reader.h"

namespace litert_native::language {

// Of a tensor, about its elements beyond the context, along the dimension of the context.
enum class Slots : uint8_t {
  kVisible,  // anything
  kMasked,   // so low, or false, that SOFTMAX or SELECT hides them
  kZero,     // exactly 0
};

class SlotRules {
 public:
  explicit SlotRules(const PlacedGraphs& graphs) : graphs_(graphs) {}

  // What holds for the result of an operator that find_rules() knows and that is no composite,
  // given what holds for the operands in its slots and which of their dimensions (a bit for each)
  // is that of the context.
  [[nodiscard]] Slots result_of(const PlacedOperator& op, std::span<const Slots> operands,
                                std::span<const uint8_t> marks);

 private:
  [[nodiscard]] bool is_causal(uint32_t tensor);

  const PlacedGraphs& graphs_;
  std::map<uint32_t, bool> causal_tables_;  // by buffer; looked through once
};

// Whether `tensor` is a constant float32[rows, ..., length] that hides all positions after a row's
// own: what stands in columns greater than the row's number is very low.
[[nodiscard]] bool is_causal_table(const PlacedGraphs& graphs, uint32_t tensor);

}  // namespace litert_native::language
