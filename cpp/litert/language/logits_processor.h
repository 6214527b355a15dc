// Changes logits before sampling: biases, penalties and bans.
//
// In the order of Hugging Face's generate():
//   logit_bias           is added.
//   repetition_penalty   divides a positive logit and multiplies any other, once for each id that
//                        the prompt or the generation holds.
//   presence, frequency  count * frequency + presence is taken away, for ids generated so far.
//   no_repeat_ngram      n: bans each id that would end a sequence of n ids that came before, in
//                        the prompt or the generation.
//   suppressed_tokens    are banned.
// A ban is a logit of -inf. litert/language/sampling.py computes the same bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "litert/language/ngram_index.h"

namespace litert_native::language {

struct PenaltyOptions {
  float repetition_penalty = 1.0F;
  float presence_penalty = 0.0F;
  float frequency_penalty = 0.0F;
  int32_t no_repeat_ngram = 0;  // 0 bans none
  std::vector<std::pair<int32_t, float>> logit_bias = {};
  std::vector<int32_t> suppressed_tokens = {};
};

// One thread at a time. Allocates in its constructor and in start() only, as long as no more tokens
// are accepted than start() was told.
class LogitsProcessor {
 public:
  // Throws StatusError 1 for an option out of its range and for ids outside of the vocabulary.
  LogitsProcessor(PenaltyOptions options, size_t vocab_size);

  // Whether apply() changes nothing, whatever came before.
  [[nodiscard]] bool does_nothing() const;

  // Forgets everything and takes the ids that were there before. Throws StatusError 1 for an id
  // outside of the vocabulary, as accept() does.
  void start(std::span<const int32_t> prompt, size_t max_new_tokens = 0);
  // Takes a generated id.
  void accept(int32_t id);
  // Changes the logits of the next token. Throws StatusError 1 unless there are vocab_size.
  void apply(std::span<float> logits) const;

 private:
  void remember(int32_t id, uint32_t count);

  PenaltyOptions options_;
  size_t vocab_size_;
  bool has_penalties_;
  // Without penalties these stay empty.
  std::vector<uint8_t> is_seen_;         // by id
  std::vector<uint32_t> num_generated_;  // by id
  std::vector<int32_t> seen_;            // ids of the prompt and the generation, each once
  NgramIndex ngrams_;
};

}  // namespace litert_native::language
