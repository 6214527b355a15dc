// One context: the ids in it, and how many of them the model has read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "litert/language/interrupt.h"
#include "litert/language/step_executor.h"

namespace litert_native::language {

// One thread at a time; SessionUse says when another one comes.
class Session {
 public:
  explicit Session(std::unique_ptr<StepExecutor> executor);

  [[nodiscard]] const std::vector<int32_t>& tokens() const { return tokens_; }
  [[nodiscard]] size_t num_read() const { return num_read_; }
  [[nodiscard]] size_t vocab_size() const { return executor_->vocab_size(); }
  [[nodiscard]] size_t context_length() const { return executor_->context_length(); }

  // Throws StatusError 1 for ids outside of the vocabulary or more than the context holds.
  void append(std::span<const int32_t> ids);
  // Keeps the first `length` ids. What the caches hold behind them is hidden from then on.
  void truncate(size_t length);

  // Reads all ids but the last. False where `interrupt` ended it; what was read stays read.
  // `room`: how many more are expected.
  [[nodiscard]] bool prefill(size_t room, const Interrupt& interrupt);
  // Reads the last id and returns the logits of the next.
  [[nodiscard]] std::span<float> step();
  void push(int32_t id) { tokens_.push_back(id); }

  // Releases the caches. Idempotent. Throws StatusError 3 while another thread uses the session.
  void close();
  [[nodiscard]] bool is_closed() const { return executor_ == nullptr; }

 private:
  friend class SessionUse;

  // Marks the session as in use, or throws StatusError 3.
  void enter();
  void leave() { is_in_use_ = false; }
  // Runs `call`; after a failure the caches are as new.
  template <typename Call>
  auto guarded(Call call);

  std::unique_ptr<StepExecutor> executor_;
  std::vector<int32_t> tokens_;
  size_t num_read_ = 0;
  std::atomic<bool> is_in_use_ = false;
};

// Held while a thread works with a session. Throws StatusError 3 if another thread does,
// ClosedError after close().
class SessionUse {
 public:
  explicit SessionUse(Session& session);
  ~SessionUse();
  SessionUse(const SessionUse&) = delete;
  SessionUse& operator=(const SessionUse&) = delete;

 private:
  Session& session_;
};

}  // namespace litert_native::language
