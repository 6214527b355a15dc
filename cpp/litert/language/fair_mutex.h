// A mutex that serves waiters in the order they came.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace litert_native::language {

// With a plain mutex a thread that generates takes it again before any waiter has woken up.
class FairMutex {
 public:
  void lock() {
    std::unique_lock lock(mutex_);
    const uint64_t ticket = next_++;
    served_.wait(lock, [&] { return ticket == serving_; });
  }
  void unlock() {
    const std::lock_guard lock(mutex_);
    ++serving_;
    if (serving_ != next_) {
      served_.notify_all();
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable served_;
  uint64_t next_ = 0;
  uint64_t serving_ = 0;
};

}  // namespace litert_native::language
