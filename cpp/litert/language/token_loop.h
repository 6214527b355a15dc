// The loop from prompt ids to pieces of text: prefill, then step, sample, stop?, text.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "litert/language/interrupt.h"
#include "litert/language/log_probabilities.h"
#include "litert/language/logits_processor.h"
#include "litert/language/sampler.h"
#include "litert/language/session.h"
#include "litert/language/stop_matcher.h"
#include "litert/language/text_decoder.h"

namespace litert_native::language {

// Sees the logits after the penalties and before sampling, and may change them; the ids are those
// generated so far.
using LogitsHook = std::function<void(std::span<float> logits, std::span<const int32_t> ids)>;

struct LoopOptions {
  size_t max_tokens = 1;
  size_t min_tokens = 0;  // no stop before
  SamplerOptions sampler = {};
  PenaltyOptions penalties = {};
  std::vector<std::vector<int32_t>> stop_tokens = {};  // sequences of ids
  std::vector<std::string> stop_strings = {};
  int num_logprobs = -1;  // alternatives a token; -1: no logprobs
  LogitsHook hook = {};
  std::optional<Clock::duration> timeout = {};
};

enum class FinishReason { kNone, kStop, kLength, kCancelled, kTimeout };

struct TokenDetails {
  float logprob = 0;
  std::vector<TokenLogprob> top;
};

struct TextChunk {
  std::string text;
  std::vector<int32_t> tokens;
  std::vector<TokenDetails> details;  // one a token, where asked for
  FinishReason finish_reason = FinishReason::kNone;

  void clear();
};

struct LoopMetrics {
  size_t prompt_tokens = 0;
  size_t cached_tokens = 0;
  size_t generated_tokens = 0;
  double prefill_seconds = 0;  // reading all tokens of the prompt but the last
  double first_token_seconds = 0;
  double decode_seconds = 0;  // after the first token
};

// One generation over one session. One thread at a time, but for cancel(). Allocates nothing per
// token but what the chunk that it is given grows by.
class TokenLoop {
 public:
  // `decoder` may be null: ids in, ids out. Throws StatusError 1 for options out of range.
  TokenLoop(std::shared_ptr<Session> session, LoopOptions options,
            std::unique_ptr<TextDecoder> decoder);

  // Goes on until there is text to show (without a decoder: one token), or to the end where
  // `to_the_end` is set. False after the end.
  bool next(TextChunk& chunk, bool to_the_end);

  void cancel() { interrupt_.cancel(); }
  [[nodiscard]] const LoopMetrics& metrics() const { return metrics_; }

 private:
  [[nodiscard]] bool begin(TextChunk& chunk);
  void take_one(TextChunk& chunk);
  [[nodiscard]] int32_t choose(std::span<float> logits);
  [[nodiscard]] bool may_stop() const { return generated_.size() > options_.min_tokens; }
  void release(TextChunk& chunk);
  void finish(TextChunk& chunk, FinishReason reason);
  void forget_unreleased();
  [[nodiscard]] bool was_interrupted(TextChunk& chunk);

  std::shared_ptr<Session> session_;
  LoopOptions options_;
  std::unique_ptr<TextDecoder> decoder_;
  Sampler sampler_;
  LogitsProcessor processor_;
  StopTokens stop_tokens_;
  StopMatcher stop_matcher_;
  std::vector<int32_t> banned_at_first_;  // single stop tokens, until min_tokens
  Interrupt interrupt_;
  Clock::time_point started_;
  LoopMetrics metrics_;
  FinishReason finish_reason_ = FinishReason::kNone;
  std::vector<int32_t> generated_;
  size_t num_released_ = 0;                 // of them; a stop sequence may still swallow the others
  std::vector<int32_t> released_;           // by the last token
  std::string text_;                        // of one token
  std::vector<float> raw_logits_;           // where logprobs are asked for
  std::vector<TokenDetails> held_details_;  // of ids that are not released
  size_t num_tokens_seen_ = 0;              // in the session, after the last call
  bool has_begun_ = false;
};

}  // namespace litert_native::language
