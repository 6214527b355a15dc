// What ends a generation from outside: a request to stop, or a deadline.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>

namespace litert_native::language {

using Clock = std::chrono::steady_clock;

// Asked before every step and every chunk of prefill. cancel() may be called from any thread.
class Interrupt {
 public:
  enum class Reason { kNone, kCancelled, kTimeout };

  void set_deadline(Clock::time_point deadline) { deadline_ = deadline; }
  void cancel() { is_cancelled_.store(true, std::memory_order_relaxed); }

  [[nodiscard]] Reason reason() const {
    if (is_cancelled_.load(std::memory_order_relaxed)) {
      return Reason::kCancelled;
    }
    return deadline_.has_value() && Clock::now() >= *deadline_ ? Reason::kTimeout : Reason::kNone;
  }

 private:
  std::atomic<bool> is_cancelled_ = false;
  std::optional<Clock::time_point> deadline_;
};

}  // namespace litert_native::language
