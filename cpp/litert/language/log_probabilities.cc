#include "litert/language/log_probabilities.h"

#include <algorithm>
#include <string>

#include "litert/language/token_weights.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

float without_nan(float logit) { return logit == logit ? logit : -kInfinity; }

// Inserts a token into the `count` best so far; a later one does not pass its equals. `logprob`
// holds the logit meanwhile.
void insert(std::span<TokenLogprob> best, size_t& count, TokenLogprob token) {
  if (count < best.size()) {
    ++count;
  } else if (best.empty() || token.logprob <= best.back().logprob) {
    return;
  }
  size_t place = count - 1;
  for (; place > 0 && best[place - 1].logprob < token.logprob; --place) {
    best[place] = best[place - 1];
  }
  best[place] = token;
}

// Fills `best`, with logits for logprobs; returns the best logit.
float find_best_tokens(std::span<const float> logits, std::span<TokenLogprob> best) {
  float best_logit = -kInfinity;
  size_t count = 0;
  for (size_t first = 0; first < logits.size(); first += kBlockSize) {
    const std::span<const float> block =
        logits.subspan(first, std::min(kBlockSize, logits.size() - first));
    float block_best = -kInfinity;
    find_best(block, {&block_best, 1});
    best_logit = std::max(best_logit, block_best);
    if (count == best.size() && (best.empty() || block_best <= best.back().logprob)) {
      continue;
    }
    for (size_t i = 0; i < block.size(); ++i) {
      insert(best, count, {static_cast<int32_t>(first + i), without_nan(block[i])});
    }
  }
  return best_logit;
}

uint64_t total_weight(std::span<const float> logits, const Scale& scale) {
  if (scale.best == kInfinity) {
    return static_cast<uint64_t>(std::count(logits.begin(), logits.end(), kInfinity)) * kFullWeight;
  }
  WeightBlock weights;
  uint64_t total = 0;
  for (size_t block = 0; block < num_blocks(logits.size()); ++block) {
    total += weigh_block(logits, block, scale, weights);
  }
  return total;
}

}  // namespace

TokenLogprob log_probabilities(std::span<const float> logits, int32_t chosen,
                               std::span<TokenLogprob> best) {
  if (chosen < 0 || static_cast<size_t>(chosen) >= logits.size()) {
    throw runtime::StatusError(1, "chosen: expected an id below " + std::to_string(logits.size()) +
                                      ", got " + std::to_string(chosen));
  }
  if (best.size() > logits.size()) {
    throw runtime::StatusError(1, "num_top: expected at most " + std::to_string(logits.size()) +
                                      ", the size of the vocabulary, got " +
                                      std::to_string(best.size()));
  }
  const Scale scale{find_best_tokens(logits, best)};
  check_best(scale.best);
  const double log_total =
      natural_log(static_cast<double>(total_weight(logits, scale)) / kFullWeight);
  const auto logprob_of = [&](float logit) {
    const float difference = logit == scale.best ? 0.0F : logit - scale.best;
    return static_cast<float>(static_cast<double>(difference) - log_total);
  };
  for (TokenLogprob& token : best) {
    token.logprob = logprob_of(token.logprob);
  }
  return {chosen, logprob_of(without_nan(logits[static_cast<size_t>(chosen)]))};
}

}  // namespace litert_native::language
