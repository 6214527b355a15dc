#include "gil_policy.h"

#include <chrono>

#if defined(__x86_64__)
#include <x86intrin.h>
#endif

namespace litert_native::bindings {

uint64_t ticks_now() {
#if defined(__x86_64__)
  return __rdtsc();
#elif defined(__aarch64__)
  uint64_t value;
  asm volatile("mrs %0, cntvct_el0" : "=r"(value));
  return value;
#else
  return static_cast<uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

uint64_t ticks_per_microsecond() {
  // Calibrated once over 50 us: the policy needs no more than the order of magnitude.
  static const uint64_t rate = [] {
    using Clock = std::chrono::steady_clock;
    const Clock::time_point start = Clock::now();
    const uint64_t first = ticks_now();
    Clock::time_point now = start;
    while (now - start < std::chrono::microseconds(50)) {
      now = Clock::now();
    }
    const uint64_t ticks = ticks_now() - first;
    const auto elapsed = std::chrono::duration_cast<std::chrono::microseconds>(now - start).count();
    const uint64_t per_microsecond = ticks / static_cast<uint64_t>(elapsed);
    return per_microsecond > 0 ? per_microsecond : 1;
  }();
  return rate;
}

GilPolicy::GilPolicy(std::optional<bool> forced, bool always_long)
    : is_fixed_(forced.has_value() || always_long),
      limit_ticks_(kHoldLimitMicroseconds * ticks_per_microsecond()),
      // The first run is unknown, and includes the library's own set-up.
      releases_(forced.value_or(true)),
      mean_ticks_(limit_ticks_) {}

void GilPolicy::update(uint64_t ticks) {
  // An exponential mean over about 8 timed runs. A single long run (the scheduler took the CPU
  // away) counts at most for twice the limit, or it would keep a short model releasing for long.
  const uint64_t capped = ticks < 2 * limit_ticks_ ? ticks : 2 * limit_ticks_;
  const uint64_t mean = mean_ticks_.load(std::memory_order_relaxed);
  const uint64_t next = mean - mean / 8 + capped / 8;
  mean_ticks_.store(next, std::memory_order_relaxed);
  releases_.store(next >= limit_ticks_, std::memory_order_relaxed);
}

}  // namespace litert_native::bindings
