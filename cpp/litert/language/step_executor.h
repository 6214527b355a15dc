// What the token loop needs of a model, so that it runs over LiteRT and over a script in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "litert/language/interrupt.h"

namespace litert_native::language {

// One context of one model. One thread at a time.
class StepExecutor {
 public:
  StepExecutor() = default;
  StepExecutor(const StepExecutor&) = delete;
  StepExecutor& operator=(const StepExecutor&) = delete;
  virtual ~StepExecutor() = default;

  [[nodiscard]] virtual size_t vocab_size() const = 0;
  // Tokens that the context can hold at most.
  [[nodiscard]] virtual size_t context_length() const = 0;

  // Makes room for `num_tokens` in all, of which `num_used` are there and stay; where that takes
  // another length, for `num_expected`. Called before what needs it.
  virtual void reserve(size_t num_tokens, size_t num_expected, size_t num_used) = 0;

  // Reads `ids`, of which there may be none, at positions `position`, `position` + 1, ..., and
  // makes room for `num_expected` tokens in all. Returns how many it has read: fewer than all only
  // where `interrupt` ended it.
  virtual size_t prefill(std::span<const int32_t> ids, size_t position, size_t num_expected,
                         const Interrupt& interrupt) = 0;

  // Reads one id and returns the logits of the next token, float32[vocab_size], which the caller
  // may change and which are valid until the next call.
  virtual std::span<float> step(int32_t id, size_t position) = 0;
};

}  // namespace litert_native::language
