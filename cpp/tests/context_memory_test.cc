// The memory of a context: caches that grow, and masks that change by one slot a step.
#include <cstring>
#include <utility>
#include <vector>

#include "check.h"
#include "litert/language/attention_mask.h"
#include "litert/language/kv_caches.h"

namespace {

using litert_native::language::AttentionMask;
using litert_native::language::CacheShape;
using litert_native::language::KvCaches;
using litert_native::tests::error_of;

// [1, 2 heads, length, 3], [1, 2, 3, length] and [1, length, 2, 3] of one byte an element.
const std::vector<CacheShape> kShapes = {
    {{1, 2, 8, 3}, 2, 1}, {{1, 2, 3, 8}, 3, 1}, {{1, 8, 2, 3}, 1, 1}};

std::byte value_at(size_t cache, size_t outer, size_t slot, size_t inner) {
  return static_cast<std::byte>(1 + cache * 60 + outer * 20 + slot * 3 + inner);
}

// Calls `visit(bytes of the element, outer, slot, inner)`.
template <typename Visit>
void for_each(const KvCaches& caches, size_t cache, Visit visit) {
  const size_t outer_sizes[] = {2, 6, 1};
  const size_t inner_sizes[] = {3, 1, 6};
  const size_t length = static_cast<size_t>(caches.length());
  for (size_t outer = 0; outer < outer_sizes[cache]; ++outer) {
    for (size_t slot = 0; slot < length; ++slot) {
      for (size_t inner = 0; inner < inner_sizes[cache]; ++inner) {
        visit(caches.memory(cache)->data()[(outer * length + slot) * inner_sizes[cache] + inner],
              outer, slot, inner);
      }
    }
  }
}

void copies_the_used_slots_and_leaves_the_rest_zero() {
  for (const int32_t new_length : {5, 8, 19}) {
    KvCaches small(kShapes, 8);
    for (size_t cache = 0; cache < small.size(); ++cache) {
      for_each(small, cache, [&](std::byte& element, size_t outer, size_t slot, size_t inner) {
        element = value_at(cache, outer, slot, inner);
      });
    }
    KvCaches other(kShapes, new_length);
    other.take_from(std::move(small), 5);
    for (size_t cache = 0; cache < other.size(); ++cache) {
      for_each(other, cache, [&](std::byte& element, size_t outer, size_t slot, size_t inner) {
        CHECK(element == (slot < 5 ? value_at(cache, outer, slot, inner) : std::byte{0}));
      });
    }
  }
}

void memory_is_aligned_and_apart() {
  const KvCaches caches(kShapes, 7);
  for (size_t i = 0; i < caches.size(); ++i) {
    CHECK(reinterpret_cast<uintptr_t>(caches.memory(i)->data()) % 64 == 0);
    CHECK(caches.memory(i)->size_bytes() == 2 * 7 * 3);
    CHECK(i == 0 || caches.memory(i)->data() >=
                        caches.memory(i - 1)->data() + caches.memory(i - 1)->size_bytes() + 64);
  }
}

void clear_zeroes_everything() {
  KvCaches caches(kShapes, 8);
  std::memset(caches.memory(1)->data(), 0x55, caches.memory(1)->size_bytes());
  caches.clear();
  for_each(caches, 1,
           [](std::byte& element, size_t, size_t, size_t) { CHECK(element == std::byte{0}); });
}

void mask_keeps_each_row_up_to_its_position() {
  constexpr size_t kRows = 3, kLength = 16;
  std::vector<float> floats(kRows * kLength, 7.0F);
  std::vector<uint8_t> flags(kRows * kLength, 7);
  std::vector<uint16_t> halves(kRows * kLength, 7);
  AttentionMask of_floats(kLiteRtElementTypeFloat32, std::as_writable_bytes(std::span(floats)),
                          kRows, kLength);
  AttentionMask of_flags(kLiteRtElementTypeBool, std::as_writable_bytes(std::span(flags)), kRows,
                         kLength);
  AttentionMask of_halves(kLiteRtElementTypeFloat16, std::as_writable_bytes(std::span(halves)),
                          kRows, kLength);
  for (const size_t first : {4, 5, 6, 13, 2, 2, 0}) {
    of_floats.write(first);
    of_flags.write(first);
    of_halves.write(first);
    for (size_t row = 0; row < kRows; ++row) {
      for (size_t slot = 0; slot < kLength; ++slot) {
        const bool keep = slot <= first + row;
        CHECK(floats[row * kLength + slot] == (keep ? 0.0F : -1e9F));
        CHECK(flags[row * kLength + slot] == (keep ? 1 : 0));
        CHECK(halves[row * kLength + slot] == (keep ? 0 : 0xF998));
      }
    }
  }
}

void mask_of_another_type_is_refused() {
  std::vector<int32_t> memory(4);
  CHECK(error_of([&] {
          AttentionMask(kLiteRtElementTypeInt32, std::as_writable_bytes(std::span(memory)), 1, 4);
        }).status() == 5);
}

}  // namespace

int main() {
  copies_the_used_slots_and_leaves_the_rest_zero();
  memory_is_aligned_and_apart();
  clear_zeroes_everything();
  mask_keeps_each_row_up_to_its_position();
  mask_of_another_type_is_refused();
}
