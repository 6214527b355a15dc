// Random numbers without a state: Philox4x32-10, a block cipher over a counter (Salmon et al.,
// 2011).
#pragma once

#include <array>
#include <cstdint>

namespace litert_native::language {

using PhiloxCounter = std::array<uint32_t, 4>;

[[nodiscard]] constexpr PhiloxCounter philox(PhiloxCounter counter, uint64_t seed) {
  uint32_t key_low = static_cast<uint32_t>(seed);
  uint32_t key_high = static_cast<uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key_low, static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key_high, static_cast<uint32_t>(first)};
    key_low += 0x9E3779B9;
    key_high += 0xBB67AE85;
  }
  return counter;
}

// The number of a draw, a multiple of 2^-53 in [0, 1). The counter is the draw's place, so a
// generation that is rolled back or continued elsewhere draws the same numbers.
[[nodiscard]] constexpr double uniform(uint64_t seed, uint64_t draw_index) {
  const PhiloxCounter words = philox(
      {static_cast<uint32_t>(draw_index), static_cast<uint32_t>(draw_index >> 32), 0, 0}, seed);
  const uint64_t bits = (uint64_t{words[1]} << 32) | words[0];
  return static_cast<double>(bits >> 11) * 0x1p-53;
}

}  // namespace litert_native::language
