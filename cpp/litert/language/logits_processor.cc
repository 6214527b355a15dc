#include "litert/language/logits_processor.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "litert/language/option_check.h"
#include "litert/language/token_weights.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

// Builds its text only where it is needed, since it runs at each step.
void check_id(const char* name, int32_t id, size_t vocab_size) {
  if (id < 0 || static_cast<size_t>(id) >= vocab_size) {
    const std::string expected = "ids from 0 to " + std::to_string(vocab_size - 1);
    check_option(false, name, expected.c_str(), id);
  }
}

void check_options(const PenaltyOptions& options, size_t vocab_size) {
  check_option(vocab_size > 0, "vocab_size", "1 or more", vocab_size);
  check_option(options.repetition_penalty > 0.0F && options.repetition_penalty < kInfinity,
               "repetition_penalty", "a finite number above 0", options.repetition_penalty);
  check_option(std::isfinite(options.presence_penalty), "presence_penalty", "a finite number",
               options.presence_penalty);
  check_option(std::isfinite(options.frequency_penalty), "frequency_penalty", "a finite number",
               options.frequency_penalty);
  check_option(options.no_repeat_ngram >= 0, "no_repeat_ngram", "0 or more",
               options.no_repeat_ngram);
  for (const auto& [id, bias] : options.logit_bias) {
    check_id("logit_bias", id, vocab_size);
    check_option(!std::isnan(bias), "logit_bias", "numbers", bias);
  }
  for (const int32_t id : options.suppressed_tokens) {
    check_id("suppressed_tokens", id, vocab_size);
  }
}

}  // namespace

LogitsProcessor::LogitsProcessor(PenaltyOptions options, size_t vocab_size)
    : options_(std::move(options)),
      vocab_size_(vocab_size),
      has_penalties_(options_.repetition_penalty != 1.0F || options_.presence_penalty != 0.0F ||
                     options_.frequency_penalty != 0.0F),
      ngrams_(static_cast<size_t>(std::max(options_.no_repeat_ngram, 0))) {
  check_options(options_, vocab_size);
  if (has_penalties_) {
    is_seen_.resize(vocab_size);
    num_generated_.resize(vocab_size);
    seen_.reserve(vocab_size);
  }
}

bool LogitsProcessor::does_nothing() const {
  return !has_penalties_ && options_.no_repeat_ngram == 0 && options_.logit_bias.empty() &&
         options_.suppressed_tokens.empty();
}

void LogitsProcessor::start(std::span<const int32_t> prompt, size_t max_new_tokens) {
  for (const int32_t id : prompt) {
    check_id("prompt", id, vocab_size_);
  }
  for (const int32_t id : seen_) {
    is_seen_[static_cast<size_t>(id)] = 0;
    num_generated_[static_cast<size_t>(id)] = 0;
  }
  seen_.clear();
  ngrams_.clear();
  ngrams_.reserve(prompt.size() + max_new_tokens);
  for (const int32_t id : prompt) {
    remember(id, 0);
  }
}

void LogitsProcessor::accept(int32_t id) {
  check_id("token", id, vocab_size_);
  remember(id, 1);
}

void LogitsProcessor::apply(std::span<float> logits) const {
  if (logits.size() != vocab_size_) {
    throw runtime::StatusError(1, "logits: expected float32[" + std::to_string(vocab_size_) +
                                      "], got float32[" + std::to_string(logits.size()) + "]");
  }
  for (const auto& [id, bias] : options_.logit_bias) {
    logits[static_cast<size_t>(id)] += bias;
  }
  for (const int32_t id : seen_) {
    float& logit = logits[static_cast<size_t>(id)];
    logit =
        logit > 0.0F ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
    const uint32_t count = num_generated_[static_cast<size_t>(id)];
    if (count > 0) {
      logit -= static_cast<float>(count) * options_.frequency_penalty + options_.presence_penalty;
    }
  }
  ngrams_.for_each_follower([&](int32_t id) { logits[static_cast<size_t>(id)] = -kInfinity; });
  for (const int32_t id : options_.suppressed_tokens) {
    logits[static_cast<size_t>(id)] = -kInfinity;
  }
}

void LogitsProcessor::remember(int32_t id, uint32_t count) {
  ngrams_.add(id);
  if (has_penalties_) {
    const size_t index = static_cast<size_t>(id);
    if (is_seen_[index] == 0) {
      is_seen_[index] = 1;
      seen_.push_back(id);
    }
    num_generated_[index] += count;
  }
}

}  // namespace litert_native::language
