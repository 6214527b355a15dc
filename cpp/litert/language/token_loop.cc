#include "litert/language/token_loop.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

constexpr int kInvalidArgument = 1;
constexpr int kRuntimeFailure = 3;
constexpr size_t kTypicalTokens = 256;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

void TextChunk::clear() {
  text.clear();
  tokens.clear();
  details.clear();
  finish_reason = FinishReason::kNone;
}

TokenLoop::TokenLoop(std::shared_ptr<Session> session, LoopOptions options,
                     std::unique_ptr<TextDecoder> decoder)
    : session_(std::move(session)),
      options_(std::move(options)),
      decoder_(std::move(decoder)),
      sampler_(options_.sampler, session_->vocab_size()),
      processor_(options_.penalties, session_->vocab_size()),
      stop_tokens_(options_.stop_tokens),
      stop_matcher_(options_.stop_strings) {
  for (const std::vector<int32_t>& sequence : options_.stop_tokens) {
    if (sequence.size() == 1 && sequence[0] >= 0 &&
        static_cast<size_t>(sequence[0]) < session_->vocab_size()) {
      banned_at_first_.push_back(sequence[0]);
    }
  }
  generated_.reserve(std::min(options_.max_tokens, kTypicalTokens));
  raw_logits_.resize(options_.num_logprobs >= 0 ? session_->vocab_size() : 0);
}

bool TokenLoop::next(TextChunk& chunk, bool to_the_end) {
  chunk.clear();
  if (finish_reason_ != FinishReason::kNone) {
    return false;
  }
  const SessionUse use(*session_);
  try {
    bool goes_on = has_begun_ || begin(chunk);
    if (session_->tokens().size() != num_tokens_seen_) {
      throw runtime::StatusError(kRuntimeFailure,
                                 "the session was changed while a generation was under way");
    }
    while (goes_on) {
      if (!was_interrupted(chunk)) {
        take_one(chunk);
      }
      const bool has_something = decoder_ == nullptr ? !chunk.tokens.empty() : !chunk.text.empty();
      goes_on = finish_reason_ == FinishReason::kNone && (to_the_end || !has_something);
    }
  } catch (...) {
    finish_reason_ = FinishReason::kCancelled;  // there is no way to go on
    throw;
  }
  num_tokens_seen_ = session_->tokens().size();
  chunk.finish_reason = finish_reason_;
  return true;
}

bool TokenLoop::begin(TextChunk& chunk) {
  has_begun_ = true;
  started_ = Clock::now();
  if (options_.timeout.has_value()) {
    interrupt_.set_deadline(started_ + *options_.timeout);
  }
  const std::vector<int32_t>& tokens = session_->tokens();
  num_tokens_seen_ = tokens.size();
  if (tokens.empty() || tokens.size() >= session_->context_length()) {
    throw runtime::StatusError(
        kInvalidArgument, "the context of " + std::to_string(session_->context_length()) +
                              " tokens holds " + std::to_string(tokens.size()) +
                              "; to generate, it must hold one at least and have room for one");
  }
  metrics_.prompt_tokens = tokens.size();
  metrics_.cached_tokens = std::min(session_->num_read(), tokens.size() - 1);
  processor_.start(tokens, options_.max_tokens);
  const bool is_complete = session_->prefill(options_.max_tokens, interrupt_);
  metrics_.prefill_seconds = seconds_since(started_);
  return is_complete || !was_interrupted(chunk);
}

bool TokenLoop::was_interrupted(TextChunk& chunk) {
  switch (interrupt_.reason()) {
    case Interrupt::Reason::kCancelled:
      finish(chunk, FinishReason::kCancelled);
      return true;
    case Interrupt::Reason::kTimeout:
      finish(chunk, FinishReason::kTimeout);
      return true;
    default:
      return false;
  }
}

void TokenLoop::take_one(TextChunk& chunk) {
  const int32_t id = choose(session_->step());
  session_->push(id);
  processor_.accept(id);
  generated_.push_back(id);
  metrics_.generated_tokens = generated_.size();
  const double seconds = seconds_since(started_);
  if (generated_.size() == 1) {
    metrics_.first_token_seconds = seconds;
  } else {
    metrics_.decode_seconds = seconds - metrics_.first_token_seconds;
  }

  released_.clear();
  bool is_stopped = false;
  if (may_stop()) {
    is_stopped = stop_tokens_.push(id, released_);
  } else {
    released_.push_back(id);
  }
  release(chunk);
  if (finish_reason_ != FinishReason::kNone) {
    return;
  }
  if (is_stopped) {
    finish(chunk, FinishReason::kStop);
  } else if (generated_.size() >= options_.max_tokens ||
             session_->tokens().size() >= session_->context_length()) {
    finish(chunk, FinishReason::kLength);
  }
}

int32_t TokenLoop::choose(std::span<float> logits) {
  std::copy_n(logits.begin(), raw_logits_.size(), raw_logits_.begin());
  processor_.apply(logits);
  if (generated_.size() < options_.min_tokens) {
    for (const int32_t id : banned_at_first_) {
      logits[static_cast<size_t>(id)] = -std::numeric_limits<float>::infinity();
    }
  }
  if (options_.hook) {
    options_.hook(logits, generated_);
  }
  const int32_t id = sampler_.sample(logits, generated_.size());
  if (options_.num_logprobs >= 0) {
    TokenDetails& details = held_details_.emplace_back();
    details.top.resize(std::min(static_cast<size_t>(options_.num_logprobs), raw_logits_.size()));
    details.logprob = log_probabilities(raw_logits_, id, details.top).logprob;
  }
  return id;
}

// Hands out what no stop sequence of ids can begin with any more, as far as no stop string ends it.
void TokenLoop::release(TextChunk& chunk) {
  for (const int32_t id : released_) {
    ++num_released_;
    chunk.tokens.push_back(id);
    if (!held_details_.empty()) {
      chunk.details.push_back(std::move(held_details_.front()));
      held_details_.erase(held_details_.begin());
    }
    if (decoder_ == nullptr) {
      continue;
    }
    text_.clear();
    decoder_->push(id, text_);
    if (!may_stop()) {
      chunk.text += text_;
    } else if (stop_matcher_.push(text_, chunk.text)) {
      finish_reason_ = FinishReason::kStop;
      forget_unreleased();
      return;
    }
  }
}

void TokenLoop::finish(TextChunk& chunk, FinishReason reason) {
  if (reason == FinishReason::kStop) {
    forget_unreleased();  // the stop sequence itself
  } else {
    released_.clear();
    stop_tokens_.flush(released_);
    release(chunk);
  }
  if (finish_reason_ != FinishReason::kNone) {
    return;  // what was held back has brought a stop string
  }
  finish_reason_ = reason;
  if (decoder_ != nullptr) {
    text_.clear();
    decoder_->flush(text_);
    if (stop_matcher_.push(text_, chunk.text)) {
      finish_reason_ = FinishReason::kStop;
    } else {
      stop_matcher_.flush(chunk.text);
    }
  }
}

// Takes ids that were generated and not handed out off the context again.
void TokenLoop::forget_unreleased() {
  session_->truncate(session_->tokens().size() - (generated_.size() - num_released_));
  generated_.resize(num_released_);
}

}  // namespace litert_native::language
