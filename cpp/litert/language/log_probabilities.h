// How probable a model holds its tokens, whatever the sampler does with them.
#pragma once

#include <cstdint>
#include <span>

namespace litert_native::language {

struct TokenLogprob {
  int32_t id;
  float logprob;  // natural logarithm
};

// The log probability of `chosen` at temperature 1, log softmax(logits)[chosen]. Fills `best` with
// the most probable tokens, best first, ties by lowest id. NaN counts as -inf; where logits are
// +inf, they share all the probability. Sums up as litert/language/token_weights.h says, so an
// error is below 1e-5 unless the tail that has no weight there is what counts. Throws StatusError 1
// for a `chosen` outside of the vocabulary or a `best` larger than it, 3 where all logits are NaN
// or -inf.
[[nodiscard]] TokenLogprob log_probabilities(std::span<const float> logits, int32_t chosen,
                                             std::span<TokenLogprob> best);

}  // namespace litert_native::language
