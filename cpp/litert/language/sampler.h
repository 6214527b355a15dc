// Draws a token from logits.
//
// The definition, in the order of Hugging Face's generate(): everything is of the logits over the
// temperature, and each filter sees what the one before it kept.
//   temperature  0 takes the best logit, lowest id first. Otherwise tokens have the weights of
//                token_weights.h, whole numbers; those of weight 0 are out.
//   top_k        keeps the first k tokens by logit.
//   top_p        keeps the first tokens by weight until theirs is at least p of the sum.
//   min_p        keeps tokens whose weight is at least p times the best one's.
//   typical_p    keeps tokens whose surprise -log(probability) lies nearest to its expected value,
//                until their weight is at least p of the sum.
// Ties go to the lowest id. The draw is a number of Philox, u in [0, 1): of the tokens left, by
// ascending id, the first is taken at which the running sum of weights exceeds u times their sum.
// A logit of +inf is taken at once; NaN counts as -inf, which is never drawn.
// litert/language/sampling.py computes the same bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "litert/language/candidates.h"
#include "litert/language/token_weights.h"

namespace litert_native::language {

struct SamplerOptions {
  float temperature = 0.0F;  // 0 is greedy
  int32_t top_k = 0;         // 0 keeps all
  float top_p = 1.0F;        // 1 keeps all
  float min_p = 0.0F;        // 0 keeps all
  float typical_p = 1.0F;    // 1 keeps all
  uint64_t seed = 0;
};

// One thread at a time. Allocates in its constructor only.
class Sampler {
 public:
  // Throws StatusError 1 for an option out of its range or an empty vocabulary.
  Sampler(const SamplerOptions& options, size_t vocab_size);

  // `draw_index` is the token's place in the generation: the same place draws the same number.
  // Throws StatusError 1 unless there are vocab_size logits, 3 where no token can be drawn.
  [[nodiscard]] int32_t sample(std::span<const float> logits, uint64_t draw_index);

 private:
  [[nodiscard]] bool keeps_all() const;
  [[nodiscard]] int32_t first_with(std::span<const float> logits, float best) const;
  [[nodiscard]] int32_t draw_from_all(std::span<const float> logits, const Scale& scale, double u);
  // The sum of all weights; those of the blocks go to block_sums_.
  uint64_t weigh_all(std::span<const float> logits, const Scale& scale);
  // These three fill candidates_ and return the weight that top_p is a share of.
  uint64_t collect_top_k(std::span<const float> logits, const Scale& scale);
  uint64_t collect_for_top_p(std::span<const float> logits, const Scale& scale);
  uint64_t collect(std::span<const float> logits, const Scale& scale, int32_t least);
  void filter(std::span<const float> logits, const Scale& scale, uint64_t total);
  void keep_typical(std::span<const float> logits, const Scale& scale);

  SamplerOptions options_;
  size_t vocab_size_;
  float factor_ = 1.0F;       // of Scale
  int32_t least_weight_ = 1;  // of min_p
  std::vector<float> block_best_;
  std::vector<float> block_order_;    // scratch of the search for the k-th best block
  std::vector<uint64_t> block_sums_;  // weight of each block
  Candidates candidates_;             // by ascending id
};

}  // namespace litert_native::language
