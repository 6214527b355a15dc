// A model that follows a script, for tests of the token loop.
#pragma once

#include <algorithm>
#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "litert/language/step_executor.h"

namespace litert_native::tests {

// After reading id `i` the logit of `next(i)` is 10 and all others are 0. Remembers what it was
// asked.
class ScriptedExecutor final : public language::StepExecutor {
 public:
  using Next = std::function<int32_t(int32_t)>;

  ScriptedExecutor(size_t vocab_size, size_t context_length, Next next)
      : logits_(vocab_size), context_length_(context_length), next_(std::move(next)) {}

  [[nodiscard]] size_t vocab_size() const override { return logits_.size(); }
  [[nodiscard]] size_t context_length() const override { return context_length_; }

  void reserve(size_t num_tokens, size_t num_expected, size_t num_used) override {
    if (num_tokens > num_expected || num_used > num_tokens || num_expected > context_length_) {
      throw std::logic_error("reserve() was asked for something impossible");
    }
    capacity = std::max(capacity, num_expected);
  }

  size_t prefill(std::span<const int32_t> ids, size_t position, size_t num_expected,
                 const language::Interrupt& interrupt) override {
    reserve(position + ids.size(), num_expected, position);
    size_t num_read = 0;
    for (const int32_t id : ids) {
      if (interrupt.reason() != language::Interrupt::Reason::kNone || num_read == max_prefill) {
        break;
      }
      read(id, position + num_read);
      ++num_read;
    }
    return num_read;
  }

  std::span<float> step(int32_t id, size_t position) override {
    if (fails) {
      throw std::runtime_error("the step failed");
    }
    read(id, position);
    ++num_steps;
    std::fill(logits_.begin(), logits_.end(), 0.0F);
    logits_[static_cast<size_t>(next_(id))] = 10;
    return logits_;
  }

  std::vector<int32_t> context;  // what was read, by position
  size_t capacity = 0;
  size_t num_steps = 0;
  size_t max_prefill = SIZE_MAX;
  bool fails = false;

 private:
  void read(int32_t id, size_t position) {
    if (position > context.size() || position >= capacity) {
      throw std::logic_error("a position was left out, or there is no room for it");
    }
    context.resize(position);
    context.push_back(id);
  }

  std::vector<float> logits_;
  size_t context_length_;
  Next next_;
};

}  // namespace litert_native::tests
