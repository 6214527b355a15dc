// Probabilities as whole numbers, the same on every machine.
//
// A token's weight is 2^(30 + z), rounded to a whole number, where z is the binary logarithm of its
// probability over that of the best one: the difference of their logits over temperature * ln 2.
// Sums of whole numbers depend neither on their order nor on the width of vectors. exp2 and log are
// our own, since those of C libraries differ; the sources are compiled without fused multiply-adds.
// A token that is 2^31 times less probable than the best one has the weight 0.
// litert/language/token_weights.py computes the same bit for bit.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>
#include <span>

namespace litert_native::language {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The weight of the best token.
inline constexpr int32_t kFullWeight = 1 << 30;

// Tokens with a z below this have the weight 0.
inline constexpr float kLowestZ = -32.0F;

// Logits are read in blocks; a block whose best logit is too low is skipped as a whole.
inline constexpr size_t kBlockSize = 64;
using WeightBlock = std::array<int32_t, kBlockSize>;

[[nodiscard]] constexpr size_t num_blocks(size_t vocab_size) {
  return (vocab_size + kBlockSize - 1) / kBlockSize;
}

// From a logit to z, in float32.
struct Scale {
  float best;
  float factor = std::numbers::log2e_v<float>;  // at temperature 1

  [[nodiscard]] float z(float logit) const { return (logit - best) * factor; }
};

// The best logit, -inf where all are NaN or -inf; writes the best of each block to `block_best`,
// which has num_blocks(logits.size()) entries.
float find_best(std::span<const float> logits, std::span<float> block_best);

// Throws StatusError 3 where `best` says that no token can be drawn.
void check_best(float best);

[[nodiscard]] int32_t weight_of(float z);

// Writes the weights of a block, 0 behind the end of the logits and for NaN; returns their sum.
uint64_t weigh_block(std::span<const float> logits, size_t block, const Scale& scale,
                     WeightBlock& weights);

// The natural logarithm of a positive finite number.
[[nodiscard]] double natural_log(double value);

}  // namespace litert_native::language
