// Whether a run gives the GIL away.
//
// Handing the GIL over costs up to Python's switch interval (5 ms) when another thread wants it, so
// a run much shorter than that keeps it: the other threads notice nothing, and the hot loop is not
// stalled (seen: 896,000 calls a second held, 104,000 released, beside a busy thread).
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>

namespace litert_native::bindings {

// A cheap clock: the CPU's own counter where there is one.
[[nodiscard]] uint64_t ticks_now();
[[nodiscard]] uint64_t ticks_per_microsecond();

// One per runner. Relaxed atomics: a lost update only delays a decision.
class GilPolicy {
 public:
  // Runs expected to take longer than this give the GIL away.
  static constexpr uint64_t kHoldLimitMicroseconds = 20;

  // `forced`: true always releases, false never does; without it the runs decide by their length.
  // `always_long`: run times depend on data, so past runs say nothing.
  GilPolicy(std::optional<bool> forced, bool always_long);

  [[nodiscard]] bool releases() const { return releases_.load(std::memory_order_relaxed); }
  // Whether the coming run is to be timed and told to record(): every one that gives the GIL away,
  // and every eighth of those that keep it, since reading the clock twice is part of their cost.
  [[nodiscard]] bool wants_time() {
    if (is_fixed_) {
      return false;
    }
    const uint32_t count = count_.load(std::memory_order_relaxed) + 1;
    count_.store(count, std::memory_order_relaxed);
    return releases() || count % 8 == 0;
  }
  void record(uint64_t ticks) { update(ticks); }

 private:
  void update(uint64_t ticks);

  const bool is_fixed_;
  const uint64_t limit_ticks_;
  std::atomic<bool> releases_;
  std::atomic<uint64_t> mean_ticks_;
  std::atomic<uint32_t> count_ = 0;
};

}  // namespace litert_native::bindings
