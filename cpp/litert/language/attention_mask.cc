#include "litert/language/attention_mask.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "litert/runtime/element_type.h"
#include "litert/runtime/status.h"

namespace litert_native::language {
namespace {

constexpr int kUnsupported = 5;

// Far below any score, and far enough from the lowest float that adding a model's own mask to it
// stays finite.
constexpr float kDropFloat32 = -1e9F;
// -45824 as float16, which is what LiteRT-LM writes.
constexpr uint16_t kDropFloat16 = 0xF998;

template <typename T>
void fill_with(std::byte* first, size_t count, T value) {
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(first + i * sizeof(T), &value, sizeof(T));
  }
}

}  // namespace

AttentionMask::AttentionMask(LiteRtElementType type, std::span<std::byte> memory, size_t num_rows,
                             size_t length)
    : type_(type),
      memory_(memory),
      num_rows_(num_rows),
      length_(length),
      element_bytes_(runtime::bits_of(type) / 8) {
  if (type != kLiteRtElementTypeFloat32 && type != kLiteRtElementTypeFloat16 &&
      type != kLiteRtElementTypeBool) {
    throw runtime::StatusError(kUnsupported, "an attention mask of type " +
                                                 std::string(runtime::name_of(type)) +
                                                 "; expected float32, float16 or bool");
  }
}

void AttentionMask::write(size_t first) {
  const size_t row_bytes = length_ * element_bytes_;
  for (size_t r = 0; r < num_rows_; ++r) {
    std::byte* const row = memory_.data() + r * row_bytes;
    const size_t end = first + r + 1;
    if (!is_written_) {
      fill(row, 0, end, true);
      fill(row, end, length_, false);
      continue;
    }
    const size_t end_before = first_ + r + 1;
    fill(row, std::min(end, end_before), std::max(end, end_before), end > end_before);
  }
  first_ = first;
  is_written_ = true;
}

void AttentionMask::fill(std::byte* row, size_t begin, size_t end, bool keep) {
  std::byte* const first = row + begin * element_bytes_;
  const size_t count = end - begin;
  switch (type_) {
    case kLiteRtElementTypeFloat32:
      return fill_with(first, count, keep ? 0.0F : kDropFloat32);
    case kLiteRtElementTypeFloat16:
      return fill_with(first, count, keep ? uint16_t{0} : kDropFloat16);
    default:
      return fill_with(first, count, static_cast<uint8_t>(keep));
  }
}

}  // namespace litert_native::language
